"""RWTH-BOSTON-104: what is in the CSV files is in the corpus, in the same places at the same times."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from calibration.corpus.boston104 import convert
from calibration.corpus.landmarks import read_spans, read_track
from calibration.corpus.reading import read_corpus
from calibration.corpus.sentences import CorpusError
from engines.tick_features import NOSE_AND_WRISTS
from run_stream import main


def miniature(folder: Path) -> Path:
    """Twelve sentences of 60 frames; the left hand moves 1 pixel a frame to the right, the right one 2 down."""
    folder.mkdir()
    frames = [
        f"{video},{frame},{100 + frame},150,120,{60 + 2 * frame},156,60"
        for video in range(1, 13)
        for frame in range(60)
    ]
    (folder / "hands_condensed.csv").write_text(
        "video,frame,left-x,left-y,right-x,right-y,nose-x,nose-y\n" + "\n".join(frames) + "\n"
    )
    (folder / "speaker.csv").write_text(
        "video,speaker\n" + "".join(f"{video},woman-{video % 2}\n" for video in range(1, 13))
    )
    head = "video,speaker,word,startframe,endframe\n"
    text = "".join(f"{video},woman-1,JOHN,8,17\n{video},woman-1,WRITE,30,50\n" for video in range(1, 12))
    (folder / "train_words.csv").write_text(head + text)
    (folder / "test_words.csv").write_text(head + "12,woman-1,MARY,0,29\n")
    return folder


def test_places_and_times_are_the_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = miniature(tmp_path / "source"), tmp_path / "out"
    assert main(["corpus", "boston104", str(source), "--out", str(out)]) == 0
    assert "10 sentences of train, 1 sentences of dev, 1 sentences of test" in capsys.readouterr().out
    corpus = read_corpus(out)
    (sentence,) = corpus.split("test")
    assert (sentence.id, sentence.glosses, sentence.signer) == ("12", ("MARY",), "woman-0")
    assert sentence.media is not None
    track = read_track(sentence.media)
    assert len(track) == 50  # 59 intervals of 1/30 s are 49.2 of 1/25 s
    # tick 25 is second 1, frame 30
    np.testing.assert_allclose(track.pose[25, 15, :2] * (312, 242), (130, 150), atol=0.05)
    np.testing.assert_allclose(track.pose[25, 16, :2] * (312, 242), (120, 120), atol=0.05)
    # tick 1 is frame 1.2
    np.testing.assert_allclose(track.pose[1, 15, :2] * (312, 242), (101.2, 150), atol=0.05)
    assert np.isnan(track.pose[:, 11]).all()
    spans = read_spans(corpus.split("train")[0].media or Path())
    assert spans is not None
    np.testing.assert_allclose(spans, [(8 / 30, 18 / 30), (1.0, 51 / 30)], atol=1e-5)
    # relative to the nose at (156, 60), in quarters of the height
    row = NOSE_AND_WRISTS.row(track.at(25)).reshape(3, 3)
    np.testing.assert_allclose(row[1], (-26 / 60.5, 90 / 60.5, 1), atol=2e-3)
    np.testing.assert_allclose(row[2], (-36 / 60.5, 60 / 60.5, 1), atol=2e-3)


def test_damage_is_named(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"hands_condensed\.csv cannot be read"):
        convert(tmp_path, tmp_path / "out")
    source = miniature(tmp_path / "source")
    (source / "test_words.csv").write_text("video,word\n12,MARY\n")
    with pytest.raises(CorpusError, match=r"test_words\.csv must have the columns video, word, startframe"):
        convert(source, tmp_path / "out")
    (source / "test_words.csv").write_text("video,word,startframe,endframe\n99,MARY,0,x\n")
    with pytest.raises(CorpusError, match=r"'x' where a number belongs"):
        convert(source, tmp_path / "out")
    (source / "test_words.csv").write_text("video,word,startframe,endframe\n99,MARY,0,9\n")
    with pytest.raises(CorpusError, match="no frames of video 99"):
        convert(source, tmp_path / "out")
