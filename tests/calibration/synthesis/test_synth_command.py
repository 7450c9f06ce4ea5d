"""`signspot synth` gives the same bytes for the same seed, and says what is wrong with a request."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("anny", reason="the synthetic signer needs the package anny")

from calibration.evaluation.spotting import read_annotations
from run_stream import main


def test_a_stream_comes_with_landmarks_joints_and_truth(tmp_path: Path) -> None:
    words = ["synth", "stream", "HELLO", "BOOK", "TREE", "--sentences", "3", "--no-video", "--seed", "4"]
    for name in ("one", "two"):
        assert main([*words, "--out", str(tmp_path / name)]) == 0
    truth = read_annotations(tmp_path / "one" / "annotations.json")
    signs = truth.videos["stream.mp4"]
    assert len(signs) >= 6
    assert {sign.gloss for sign in signs} <= {"HELLO", "BOOK", "TREE"}
    stored = np.load(tmp_path / "one" / "landmarks.npz")
    joints = np.load(tmp_path / "one" / "joints.npz")
    assert len(stored["pose"]) == len(joints["joints"]) > signs[-1].end_s * 25
    other = np.load(tmp_path / "two" / "landmarks.npz")
    for part in stored.files:
        np.testing.assert_array_equal(stored[part], other[part])


def test_another_seed_gives_another_stream(tmp_path: Path) -> None:
    for seed in ("1", "2"):
        main(
            [
                "synth",
                "stream",
                "--sentences",
                "2",
                "--no-video",
                "--seed",
                seed,
                "--out",
                str(tmp_path / seed),
            ]
        )
    one, two = (
        json.loads((tmp_path / seed / "annotations.json").read_text())["videos"] for seed in ("1", "2")
    )
    assert one != two


def test_idling_has_no_signs(tmp_path: Path) -> None:
    assert main(["synth", "stream", "--idle", "20", "--no-video", "--out", str(tmp_path / "idle")]) == 0
    assert read_annotations(tmp_path / "idle" / "annotations.json").videos == {"stream.mp4": ()}
    assert len(np.load(tmp_path / "idle" / "landmarks.npz")["pose"]) == 500


def test_a_dataset_has_the_form_of_the_real_one(tmp_path: Path) -> None:
    out = tmp_path / "drawn.npz"
    assert main(["synth", "dataset", "--glosses", "5", "--signers", "3", "--out", str(out)]) == 0
    data = np.load(out)
    assert data["landmarks"].dtype == np.int16
    assert data["landmarks"].shape[1:] == (2, 21, 3)
    assert len(data["offsets"]) == 16
    assert sorted(set(data["gloss"])) == list(range(5))
    assert sorted(set(data["signer"])) == list(range(3))
    seen = data["landmarks"] != -32768
    assert 0 < np.abs(data["landmarks"][seen] / 16384).max() <= 2


def test_a_sheet_shows_signs(tmp_path: Path) -> None:
    assert main(["synth", "show", "HELLO", "BOOK", "--out", str(tmp_path / "signs.png")]) == 0
    picture = cv2.imread(str(tmp_path / "signs.png"))
    assert picture.shape == (150, 1800, 3)
    assert (picture < 128).any()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["sign", "HALLO", "--out", "x.mp4"], "HALLO"),  # a gloss that the lexicon does not have
        (["show", "--lexicon", "missing.toml"], "missing.toml"),
        (["show", "HELLO", "--out", "x.txt"], "x.txt: its name must end in .png"),
        (["sign", "HELLO", "--out", "x.txt"], "x.txt: its name must end in .mp4 or .npz"),
        (["sign", "HELLO", "--out", "nowhere/x.mp4"], "there is no folder nowhere"),
        (["sign", "HELLO", "--out", "x.mp4", "--size", "big"], "640x480"),
        (["sign", "HELLO", "--out", "x.mp4", "--size", "3x3"], "both must be even"),
        (["sign", "HELLO", "--out", "x.mp4", "--seed", "-1"], "--seed must be at least 0"),
        (["stream", "--out", "s", "--sentences", "0"], "--sentences must be at least 1"),
        (["stream", "--out", "s", "--idle", "nan"], "--idle must be 1 to"),
        (["stream", "--out", "file"], "file cannot be written"),  # a file, not a folder
        (["dataset", "--out", "d.npz", "--glosses", "0"], "--glosses must be at least 1"),
        (["dataset", "--out", "nowhere/d.npz"], "there is no folder nowhere"),
    ],
)
def test_a_wrong_request_is_named(
    words: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    assert main(["synth", *words]) == 1
    assert said in capsys.readouterr().err
