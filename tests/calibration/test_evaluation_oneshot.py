"""If these fail, the pictures of `evaluate oneshot` show other figures than those that were measured, or none."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from numpy.typing import NDArray

from calibration.evaluation.oneshot import Alike, cumulative_match, mistaken_pairs
from calibration.evaluation.pictures import save_pairs, save_queries_map, save_ranks
from engines.encoders import DEFAULT_ENCODERS
from run_stream import main

GLOSSES = ("HELLO", "$WHY", "$WHAT", "HOME", "COLD", "NICE")
SIGNERS = 3
FRAMES = 24


def movement(gloss: int, signer: int) -> NDArray[np.int16]:
    """A hand (FRAMES, 2, 21, 3) on the path of its gloss, a little different by each signer; no second hand."""
    of_gloss, of_signer = np.random.default_rng(gloss), np.random.default_rng(100 * gloss + signer)
    hand = of_gloss.uniform(-0.05, 0.05, (21, 3)) + of_signer.normal(0, 0.002, (21, 3))
    phase, speed = of_gloss.uniform(0, 2 * np.pi, 2), of_gloss.uniform(0.1, 0.5, 2)
    place = 0.5 + 0.2 * np.sin(phase + speed * np.arange(FRAMES)[:, None])
    seen = np.full((FRAMES, 2, 21, 3), -32768, np.int16)
    seen[:, 0] = 16384 * (hand + np.pad(place, ((0, 0), (0, 1)))[:, None])
    return seen


def clips(path: Path) -> Path:
    """A file in the form of wlasl_hands.npz in which signer 1 signs $WHAT where it says $WHY."""
    told = [(gloss, signer) for gloss in range(len(GLOSSES)) for signer in range(SIGNERS)]
    swapped = {(GLOSSES.index("$WHY"), 1): (GLOSSES.index("$WHAT"), 0)}
    np.savez(
        path,
        landmarks=np.concatenate([movement(*swapped.get(one, one)) for one in told]),
        offsets=np.arange(0, FRAMES * len(told) + 1, FRAMES),
        gloss=np.array([gloss for gloss, _ in told]),
        gloss_names=np.array(GLOSSES),
        signer=np.array([signer for _, signer in told]),
        bbox=np.tile([100, 50, 500, 480], (len(told), 1)),
        frame_wh=np.tile([640, 480], (len(told), 1)),
    )
    return path


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> dict[str, Figure]:
    """Figures by the names of the files that they are saved to."""
    saved: dict[str, Figure] = {}
    save = Figure.savefig

    def savefig(self: Figure, path: Path, *, dpi: int) -> None:
        saved[path.name] = self
        save(self, path, dpi=dpi)

    monkeypatch.setattr(Figure, "savefig", savefig)
    return saved


def curves_of(figure: Figure) -> list[str]:
    legend = figure.axes[0].get_legend()
    assert legend is not None
    return [text.get_text().split(":")[0] for text in legend.get_texts()]


def test_the_curve_counts_queries_whose_gloss_is_among_the_first() -> None:
    # of 5 queries two have their gloss first, one second, two fourth
    assert cumulative_match(np.array([0, 3, 0, 1, 3]), 4).tolist() == [0.4, 0.6, 0.6, 1.0]
    assert cumulative_match(np.array([0]), 3).tolist() == [1.0, 1.0, 1.0]


def test_pairs_count_both_directions() -> None:
    own = np.array([0, 0, 0, 1, 1, 2, 2, 3])
    scores = np.array(
        [
            [0.9, 0.1, 0.2, 0.3],  # right
            [0.1, 0.9, 0.2, 0.3],  # 0 is taken for 1
            [0.5, 0.5, 0.2, 0.3],  # a tie of 0 and 1 is no answer
            [0.9, 0.1, 0.2, 0.3],  # 1 is taken for 0
            [0.1, 0.9, 0.2, 0.3],  # right
            [0.1, 0.2, 0.3, 0.9],  # 2 is taken for 3
            [0.1, 0.2, 0.9, 0.3],  # right
            [0.9, 0.2, 0.1, 0.3],  # 3 is taken for 0
        ],
        np.float32,
    )
    assert mistaken_pairs(own, scores) == [
        Alike(glosses=(0, 1), mistaken=(2, 1), queries=(3, 2)),
        Alike(glosses=(2, 3), mistaken=(1, 0), queries=(2, 1)),  # one of 3 queries, the next one of 4
        Alike(glosses=(3, 0), mistaken=(1, 0), queries=(1, 3)),
    ]
    assert mistaken_pairs(own[:1], scores[:1]) == []


def test_pictures_show_what_the_report_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], drawn: dict[str, Figure]
) -> None:
    folder = tmp_path / "not yet" / "pictures"
    words = ["evaluate", "oneshot", str(clips(tmp_path / "clips.npz")), "--pictures", str(folder)]
    assert main([*words, "--json"]) == 0
    told = capsys.readouterr()
    found = json.loads(told.out)["oneshot"]  # one object and nothing else
    assert list(found) == ["ways", "queries", "top1", "top5", "map"]
    assert f"pictures: {folder}" in told.err
    maps = {f"map-{name}.png" for name in DEFAULT_ENCODERS}
    assert set(drawn) == {one.name for one in folder.iterdir()} == {"ranks.png", "confusion.png"} | maps

    curves = drawn["ranks.png"].axes[0]
    assert curves.get_title() == "12 queries, 6 glosses to choose from"
    marks = [f"top-1\n{found['top1']:.3f}", f"top-5\n{found['top5']:.3f}"]
    assert [text.get_text() for text in curves.texts] == marks
    alone = [f"{name} alone" for name in DEFAULT_ENCODERS]
    assert curves_of(drawn["ranks.png"]) == ["fused", *alone, "chance"]

    pairs = drawn["confusion.png"].axes[0]
    wrong = round(12 * (1 - found["top1"]))
    assert pairs.get_title() == f"Taken for another gloss: {wrong} of 12 queries"
    rows = [label.get_text() for label in pairs.get_yticklabels()]
    assert any({"$WHY", "$WHAT"} == set(row.split()[::2]) for row in rows)

    for name in maps:
        axis = drawn[name].axes[0]
        assert {text.get_text() for text in axis.texts} == set(GLOSSES)
        dots = [
            len(np.asarray(one.get_offsets())) for one in axis.collections if isinstance(one, PathCollection)
        ]
        assert dots[0] + dots[1] == 12  # right and wrong
        assert dots[2:] == [len(GLOSSES)]


def test_one_encoder_has_one_curve(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], drawn: dict[str, Figure]
) -> None:
    name = DEFAULT_ENCODERS[0]
    words = ["evaluate", "oneshot", str(clips(tmp_path / "clips.npz")), "--encoder", name]
    assert main([*words, "--pictures", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"pictures: {tmp_path}"
    assert curves_of(drawn["ranks.png"]) == [name, "chance"]


@pytest.mark.parametrize("place", ["file", "file/below"])  # is a file; lies in a file
def test_a_folder_that_cannot_be_is_refused_before_anything_is_embedded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    (tmp_path / "file").write_text("no folder")
    words = ["evaluate", "oneshot", str(clips(tmp_path / "clips.npz")), "--pictures", str(tmp_path / place)]
    assert main(words) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert f"--pictures {tmp_path / place} cannot be written" in told.err


def test_a_picture_that_cannot_be_written_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "pictures" / "ranks.png").mkdir(parents=True)
    words = ["evaluate", "oneshot", str(clips(tmp_path / "clips.npz"))]
    assert main([*words, "--pictures", str(tmp_path / "pictures")]) == 1
    told = capsys.readouterr()
    assert "12 clips of 6 signs" in told.out
    assert "cannot be written" in told.err


def test_names_that_would_overlap_are_left_out_and_counted(tmp_path: Path, drawn: dict[str, Figure]) -> None:
    names = [f"SIGN{number}" for number in range(60)]
    rng = np.random.default_rng(0)
    bank = np.concatenate([rng.normal(0, 1e-3, (50, 8)), rng.normal(0, 1, (10, 8))]).astype(np.float32)
    rows = bank[:1] + 1
    save_queries_map(tmp_path / "map.png", "e", bank, rows, np.array([0]), np.array([False]), names)
    axis = drawn["map.png"].axes[0]
    boxes = [text.get_window_extent() for text in axis.texts]
    assert not any(one.overlaps(other) for at, one in enumerate(boxes) for other in boxes[:at])
    assert f"names left out for lack of room: {60 - len(boxes)})" in axis.get_title()
    assert 10 <= len(boxes) < 60


def test_little_to_show_can_be_drawn(tmp_path: Path, drawn: dict[str, Figure]) -> None:
    save_ranks(tmp_path / "ranks.png", np.zeros(1, np.int64), {"e": np.zeros(1, np.int64)}, 1)
    save_pairs(tmp_path / "confusion.png", [], ["A"], 1)
    assert [text.get_text() for text in drawn["ranks.png"].axes[0].texts] == ["top-1\n1.000"]
    assert drawn["confusion.png"].axes[0].get_title().endswith("0 of 1 queries")
