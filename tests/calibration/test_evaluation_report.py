"""The figures of `signspot evaluate spotting`: worked out by hand, and from a real clip through the real command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from calibration.evaluation.pictures import principal_axes
from calibration.evaluation.playing import Played, WindowScores
from calibration.evaluation.report import figures, result_of
from calibration.evaluation.spotting import Sign
from engines.encoders import DEFAULT_ENCODERS
from engines.ticks import TICK_S
from run_stream import main
from stream.demo import gallery_clips
from stream.gallery import Gallery
from stream.spotting import Spotted


def spotted(gloss: str, start_s: float, end_s: float, newest_tick: int) -> Spotted:
    return Spotted(
        gloss=gloss,
        score=0.9,
        confidence=0.9,
        start_s=start_s,
        end_s=end_s,
        peak_s=(start_s + end_s) / 2,
        runner_up=None,
        per_encoder={},
        newest_tick=newest_tick,
    )


def played(*, spotted: list[Spotted], cut_off: list[Spotted], length_s: float) -> Played:
    """No window was scored: ranks and the closed answers, tested elsewhere, are all misses."""
    none = WindowScores(np.zeros((0, 2), np.int64), np.zeros((0, 2), np.float32))
    return Played(spotted=tuple(spotted), cut_off=tuple(cut_off), windows=none, swept={}, length_s=length_s)


def test_open_figures_by_hand() -> None:
    signs = [Sign("A", 1.0, 2.0), Sign("B", 3.0, 4.0)]
    first = played(
        spotted=[
            spotted("A", 1.0, 1.3, newest_tick=40),  # IoU 0.3: found at 0.2, not at 0.5; 300 ms after its end
            spotted("B", 5.0, 6.0, newest_tick=160),  # elsewhere: false; 400 ms
        ],
        cut_off=[spotted("B", 3.0, 4.0, newest_tick=99)],  # found, but only the video's end decided it
        length_s=30.0,
    )
    second = played(
        spotted=[spotted("A", 0.0, 1.0, newest_tick=50)], cut_off=[], length_s=60.0
    )  # false; 1000 ms
    found = figures(
        [
            result_of("one.mp4", signs, first, ("A", "B"), ()),
            result_of("two.mp4", [], second, ("A", "B"), ()),
        ]
    )
    assert (found["videos"], found["signs"]) == (2, 2)
    opened = found["open"]
    assert (opened["detections"], opened["false_alarms"]) == (4, 2)
    assert opened["iou0.2"] == {"precision": 0.5, "recall": 1.0, "f1": pytest.approx(2 / 3, abs=1e-4)}
    assert opened["iou0.5"] == {"precision": 0.25, "recall": 0.5, "f1": pytest.approx(1 / 3, abs=1e-4)}
    assert [opened[name] for name in ("precision", "recall", "f1")] == list(opened["iou0.2"].values())
    assert opened["exposure_minutes"] == 1.5
    assert opened["false_alarms_per_minute"] == pytest.approx(2 / 1.5, abs=1e-4)
    # Garwood's table: 2 events, 0.2422 .. 7.2247
    assert opened["false_alarms_per_minute_95"] == pytest.approx([0.2422 / 1.5, 7.2247 / 1.5], abs=1e-3)
    assert opened["latency_ms_p50"] == 400.0  # of 300, 400 and 1000; what the end decided has none
    assert opened["latency_from_truth_ms_p50"] == -400.0  # decided at 1.6 s, truly over at 2.0 s
    assert found["closed"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "queries": 2}


def test_without_exposure_there_is_no_rate() -> None:
    opened = figures([])["open"]
    assert opened["false_alarms_per_minute"] is None
    assert opened["latency_ms_p50"] is None


def test_the_map_keeps_distances_that_lie_in_a_plane() -> None:
    rng = np.random.default_rng(0)
    plane = rng.standard_normal((9, 2)) * [3.0, 1.0]
    turned = plane @ np.linalg.qr(rng.standard_normal((6, 2)))[0].T + rng.standard_normal(6)
    places, shares = principal_axes(turned.astype(np.float32))
    apart = np.linalg.norm(plane[:, None] - plane[None], axis=2)
    np.testing.assert_allclose(np.linalg.norm(places[:, None] - places[None], axis=2), apart, atol=1e-5)
    assert sum(shares) == pytest.approx(1.0)
    assert principal_axes(np.ones((1, 6), np.float32))[0].tolist() == [[0.0, 0.0]]


def test_a_clip_is_found_in_itself(
    hello_gallery: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = gallery_clips()["HELLO"]
    take = Gallery.load(hello_gallery).takes[0]
    sign = {"gloss": "HELLO", "start_s": take.first_tick * TICK_S, "end_s": take.last_tick * TICK_S}
    absent = {"gloss": "NOSUCH", "start_s": 0.1, "end_s": 0.4}
    (tmp_path / "truth.json").write_text(json.dumps({"videos": {clip.name: [sign, absent]}}))
    words = ["evaluate", "spotting", "--gallery", str(hello_gallery), "--json"]
    words += ["--annotations", str(tmp_path / "truth.json"), "--videos", str(clip.parent)]
    capsys.readouterr()
    assert main([*words, "--pictures", str(tmp_path / "pictures")]) == 0
    told = capsys.readouterr()
    found = json.loads(told.out)["spotting"]  # one object and nothing else
    assert "NOSUCH" in told.err
    assert (found["videos"], found["signs"], found["closed"]["queries"]) == (1, 2, 2)
    assert 0 < found["closed"]["recall"] <= 0.5 <= found["closed"]["precision"]
    assert found["open"]["top1"] == 0.5
    drawn = {picture.name for picture in (tmp_path / "pictures").iterdir()}
    assert drawn == {"similarity-HELLO.mp4.png", "det.png", "confusion.png"} | {
        f"map-{name}.png" for name in DEFAULT_ENCODERS
    }
    with pytest.raises(SystemExit):
        main(["evaluate", "spotting", "--gallery", str(hello_gallery)])
    assert main([*words[:-1], str(tmp_path)]) == 1
    assert "lacks annotated videos: HELLO.mp4" in capsys.readouterr().err
