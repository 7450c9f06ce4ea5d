"""Made-up signs as training clips: alone and in sentences, the same with the same seed, beside real ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("anny", reason="the synthetic signer needs the package anny")

from calibration.corpus.landmarks import spans_of_sentence
from calibration.corpus.reading import read_corpus
from calibration.training import made_up
from calibration.training.corpora import Corpus
from calibration.training.sentence_rows import rows_of
from engines.features import ANGLES, KEYPOINTS, Features
from engines.tick_features import PictureRow
from run_stream import main


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(made_up, "SIGNERS", 4)
    monkeypatch.setattr(made_up, "TAKES", 4)


@pytest.mark.parametrize("features", [KEYPOINTS, ANGLES])
def test_every_sign_is_made_by_several_signers_alone_and_in_sentences(features: Features) -> None:
    calls: list[None] = []
    made = made_up.made_up_signs(features, 3, progress=lambda: calls.append(None))
    assert len(calls) == made_up.performances(3) == 8  # 2 takes of 3 signs alone, 2 sentences
    assert np.bincount(made.gloss).tolist() == [4, 4, 4]
    assert all(len(set(made.signer[made.gloss == gloss])) == 4 for gloss in range(3))
    assert made.points.shape[1:] == (features.rows, 3)
    for clip in range(len(made)):
        first, last = made.spans[clip]
        assert 0 <= first < last <= len(made.clip(clip))
        assert np.isfinite(made.sign(clip)).any()


def test_they_are_kept_for_the_next_run_and_made_again_for_another(tmp_path: Path) -> None:
    path = tmp_path / "run" / "made-up.npz"
    first = made_up.kept_signs(path, KEYPOINTS, 2)
    np.testing.assert_array_equal(first.points, made_up.made_up_signs(KEYPOINTS, 2).points)
    written = path.stat().st_mtime_ns
    again = made_up.kept_signs(path, KEYPOINTS, 2)
    assert path.stat().st_mtime_ns == written
    assert again.glosses == first.glosses
    np.testing.assert_array_equal(again.points, first.points)
    assert len(made_up.kept_signs(path, KEYPOINTS, 3).glosses) == 3


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """What signs were made for, each clip of one tick that tells how many have been made."""
    calls: list[tuple[str, int]] = []

    def cheap(features: Features, glosses: int, *, progress: object = None) -> Corpus:
        calls.append((features.name, glosses))
        return Corpus(
            points=np.full((glosses, features.rows, 3), len(calls), np.float32),
            offsets=np.arange(glosses + 1),
            spans=np.tile([0, 1], (glosses, 1)),
            gloss=np.arange(glosses),
            signer=np.arange(glosses) + 100,
            form=np.zeros(glosses, np.int64),
            glosses=tuple(f"SIGN {number}" for number in range(glosses)),
            features=features.name,
        )

    monkeypatch.setattr(made_up, "made_up_signs", cheap)
    return calls


def test_signs_that_were_made_by_other_code_are_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: list[tuple[str, int]]
) -> None:
    sources = tuple(tmp_path / source.name for source in made_up.SOURCES[:3])
    for copy, source in zip(sources, made_up.SOURCES, strict=False):
        copy.write_bytes(source.read_bytes())
    monkeypatch.setattr(made_up, "SOURCES", sources)
    path = tmp_path / "made-up.npz"
    first = made_up.kept_signs(path, KEYPOINTS, 3)
    again = made_up.kept_signs(path, KEYPOINTS, 3)
    assert made == [(KEYPOINTS.name, 3)]
    assert again.digest == first.digest
    assert again.signer.tolist() == first.signer.tolist()
    for number, source in enumerate(sources, 2):
        source.write_bytes(source.read_bytes() + b" ")
        for _ in range(2):  # and kept as what the new code made
            assert (made_up.kept_signs(path, KEYPOINTS, 3).points == number).all()
        assert len(made) == number


def test_signs_of_other_features_or_of_no_known_code_are_made_anew(
    tmp_path: Path, made: list[tuple[str, int]]
) -> None:
    path = tmp_path / "made-up.npz"
    made_up.kept_signs(path, KEYPOINTS, 3)
    made_up.kept_signs(path, ANGLES, 3)
    made_up.kept_signs(path, ANGLES, 4)
    assert made == [(KEYPOINTS.name, 3), (ANGLES.name, 3), (ANGLES.name, 4)]
    with np.load(path) as stored:
        parts = {name: stored[name] for name in stored.files if name != "origin"}
    np.savez(path, **parts)  # as files were before they told
    assert (made_up.kept_signs(path, ANGLES, 4).points == 4).all()
    made_up.kept_signs(path, ANGLES, 4)
    assert len(made) == 4


def test_what_makes_the_signs_is_all_in_their_origin() -> None:
    """Each of these changes the clips: a file from before such a change must not pass for one from after it."""
    root = Path(made_up.__file__).parents[2]
    sources = {str(path.relative_to(root)) for path in made_up.SOURCES}
    assert all(path.is_file() for path in made_up.SOURCES)
    assert len(sources) == len(made_up.SOURCES)
    assert sources >= {
        f"calibration/synthesis/{path.name}" for path in (root / "calibration/synthesis").glob("*.py")
    }
    assert sources >= {
        "calibration/synthesis/mediapipe_noise.json",
        "calibration/training/made_up.py",
        "engines/joints.py",
        "engines/kinematics.py",
        "engines/skeleton.py",
    }


def test_they_follow_the_real_clips_and_share_neither_gloss_nor_signer() -> None:
    real = Corpus(
        points=np.ones((7, KEYPOINTS.rows, 3), np.float32),
        offsets=np.array([0, 4, 7]),
        spans=np.array([[0, 4], [1, 3]]),
        gloss=np.array([0, 1]),
        signer=np.array([5, 101]),
        form=np.zeros(2, np.int64),
        glosses=("HELLO", "BYE"),
    )
    made = made_up.made_up_signs(KEYPOINTS, 2)
    both = real.joined(made)
    assert len(both) == 2 + len(made)
    np.testing.assert_array_equal(both.clip(1), real.clip(1))
    np.testing.assert_array_equal(both.sign(3), made.sign(1))
    assert [both.glosses[gloss] for gloss in both.gloss[2:]] == [made.glosses[gloss] for gloss in made.gloss]
    assert not set(both.signer[:2]) & set(both.signer[2:])
    with pytest.raises(ValueError, match="cannot join"):
        real.joined(made_up.made_up_signs(ANGLES, 2))


def test_random_sentences_are_signed_as_landmarks_and_as_small_videos(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", "sentences", "--out", str(tmp_path / "corpus"), "--glosses", "3", "--share", "0.005"]
    assert main([*words, "--videos", "48"]) == 0
    told = " ".join(capsys.readouterr().err.split())
    assert "2 sentences of train, 1 sentences of dev, 1 sentences of test" in told
    corpus = read_corpus(tmp_path / "corpus", prefer="videos")
    assert len(corpus.vocabulary("train")) == 3
    for sentence in (one for part in corpus.splits.values() for one in part):
        pictures = rows_of(sentence, PictureRow(48))
        assert pictures.shape == (sentence.frames, 48, 48, 3)
        spans = spans_of_sentence(sentence)
        assert spans is not None
        assert len(spans) == len(sentence.glosses)
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "corpus" / "videos").iterdir()}
    (tmp_path / "corpus" / "videos" / "dev-0000.mp4").unlink()
    assert main([*words, "--videos", "48"]) == 0  # what is missing alone is made
    again = {path: path.stat().st_mtime_ns for path in (tmp_path / "corpus" / "videos").iterdir()}
    assert {path.name for path in written if again[path] != written[path]} == {"dev-0000.mp4"}


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--glosses", "61", "2 to 60"),
        ("--share", "0", "above 0"),
        ("--videos", "47", "even number of pixels"),
    ],
)
def test_sentences_that_cannot_be_made_are_refused(
    option: str, value: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "sentences", "--out", str(tmp_path / "corpus"), option, value]) == 1
    assert said in capsys.readouterr().err
