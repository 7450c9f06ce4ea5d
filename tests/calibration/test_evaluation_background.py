"""False alarms are counted by the live path's own stages, over the time that was played."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from engines.landmarks import PARTS
from run_stream import main
from stream.gallery import Gallery


def save(path: Path, gallery: Path, seconds: float) -> Path:
    """A stream in which the one sign of the gallery is signed twice, standing still for the rest of the time."""
    edition = Gallery.load(gallery)
    track = edition.landmarks(edition.takes[0])
    still = track.cut(0, 1)
    rows = {}
    for name in PARTS:
        sign, rest = getattr(track, name), getattr(still, name)
        pause = np.repeat(rest, 50, axis=0)
        both = np.concatenate([sign, pause, sign])
        rows[name] = np.concatenate([both, np.repeat(rest, round(seconds * 25) - len(both), axis=0)])
    np.savez(path, **rows, size=np.array([track.width, track.height]), estimator=np.array("synthetic"))
    return path


def test_what_is_reported_is_counted_by_the_hour(
    hello_gallery: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stream = save(tmp_path / "track.npz", hello_gallery, seconds=18.0)
    assert main(["evaluate", "background", "--gallery", str(hello_gallery), "--json", str(stream)]) == 0
    found = json.loads(capsys.readouterr().out)["background"]
    assert found["by_gloss"] == {"HELLO": 2}
    assert found["hours"] == pytest.approx(18 / 3600, abs=1e-4)
    assert found["false_alarms_per_hour"] == pytest.approx(2 / (18 / 3600), rel=1e-3)
    low, high = found["false_alarms_per_hour_95"]  # Garwood: 0.242 .. 7.225 events
    assert (low, high) == pytest.approx((0.242 * 200, 7.225 * 200), rel=1e-2)


def test_files_without_landmarks_are_named(
    hello_gallery: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "other.npz", joints=np.zeros(3))
    for name in ("other.npz", "gone.npz"):
        words = ["evaluate", "background", "--gallery", str(hello_gallery), str(tmp_path / name)]
        assert main(words) == 1
        assert name in capsys.readouterr().err
