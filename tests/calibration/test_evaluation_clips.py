"""Data sets that `signspot evaluate oneshot` cannot use are named with what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from run_stream import main


def write(path: Path, **changed: object) -> Path:
    """A file in the form of wlasl_hands.npz: two signs by two signers each, three frames a clip, no hand in view."""
    arrays: dict[str, object] = {
        "landmarks": np.full((12, 2, 21, 3), -32768, np.int16),
        "offsets": np.arange(0, 13, 3),
        "gloss": np.array([0, 0, 1, 1]),
        "gloss_names": np.array(["A", "B"]),
        "signer": np.array([0, 1, 0, 1]),
        "bbox": np.tile([100, 50, 500, 480], (4, 1)),
        "frame_wh": np.tile([640, 480], (4, 1)),
    } | changed
    np.savez(path, **{name: value for name, value in arrays.items() if value is not None})  # type: ignore[arg-type]
    return path


def test_a_file_of_this_form_is_scored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "oneshot", str(write(tmp_path / "clips.npz"))]) == 0
    assert "2 clips of 2 signs" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"signer": None}, "lacks signer"),  # an array is missing
        ({"gloss": np.array([0, 0, 1])}, "gloss has 3"),  # arrays of different lengths
        ({"gloss": np.array([0, 0, 1, 7])}, "do not fit"),  # a gloss without a name
        ({"offsets": np.array([0, 6, 3, 9, 12])}, "have to rise"),
        ({"signer": np.zeros(4, np.int64)}, "nothing to score"),  # no query by another signer
    ],
)
def test_a_file_that_does_not_fit_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changed: dict[str, object], said: str
) -> None:
    assert main(["evaluate", "oneshot", str(write(tmp_path / "clips.npz", **changed))]) == 1
    told = capsys.readouterr().err
    assert said in told
    assert "clips.npz" in told


def test_other_files_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "text.npz").write_text("no landmarks")
    assert main(["evaluate", "oneshot", str(tmp_path / "text.npz")]) == 1
    assert "no .npz file" in capsys.readouterr().err
    assert main(["evaluate", "oneshot", str(tmp_path / "gone.npz")]) == 1
    assert "there is no data set" in capsys.readouterr().err
