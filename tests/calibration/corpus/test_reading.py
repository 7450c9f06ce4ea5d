"""A user's own corpus and RWTH-PHOENIX as unpacked are read whole, and a damaged line is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from calibration.corpus.landmarks import (
    frames_of,
    landmarks_of_sentence,
    read_spans,
    read_track,
    save_packed,
    save_track,
)
from calibration.corpus.reading import read_corpus
from calibration.corpus.sentences import CorpusError, Sentence, read_sentences, within, write_sentences
from engines.landmarks import PARTS, LandmarkTrack
from tests.calibration.corpus.miniature import phoenix_2014, phoenix_2014t


def track(ticks: int = 7) -> LandmarkTrack:
    rng = np.random.default_rng(5)
    parts: dict[str, Any] = {
        name: rng.uniform(-1, 1, (ticks, *shape)).astype(np.float32) for name, shape in PARTS.items()
    }
    parts["left_hand"][2:4] = np.nan
    return LandmarkTrack(**parts, width=640, height=480, estimator="synthetic", start_s=0.0)


def test_phoenix_2014t_is_read_as_distributed(tmp_path: Path) -> None:
    corpus = read_corpus(phoenix_2014t(tmp_path))
    assert {name: len(part) for name, part in corpus.splits.items()} == {"train": 3, "dev": 1, "test": 1}
    first = corpus.split("train")[0]
    assert (first.id, first.signer, first.glosses) == (
        "11August_2010_Wednesday_tagesschau-1",
        "Signer08",
        ("JETZT", "WETTER", "MORGEN"),
    )
    assert first.media is not None
    pictures = list(frames_of(first.media, corpus.fps))
    assert [round(frame.pts_s, 3) for frame in pictures] == [0.0, 0.04, 0.08, 0.12, 0.16]
    assert [int(frame.image[0, 0, 2]) for frame in pictures] == [0, 1, 2, 3, 4]  # in order, and RGB


def test_phoenix_2014_is_read_as_distributed(tmp_path: Path) -> None:
    corpus = read_corpus(phoenix_2014(tmp_path))
    assert corpus.split("dev")[0].glosses == ("__ON__", "LIEB", "ZUSCHAUER", "__OFF__")
    assert [len(list(frames_of(part[0].media))) for part in corpus.splits.values() if part[0].media] == [
        4,
        3,
        2,
    ]


def test_annotations_without_frames_are_read_all_the_same(tmp_path: Path) -> None:
    manual = tmp_path / "annotations" / "manual"
    manual.mkdir(parents=True)
    (manual / "dev.corpus.csv").write_text("id|folder|signer|annotation\nx|x/1/*.png|Signer01|REGEN\n")
    (sentence,) = read_corpus(tmp_path).split("dev")
    assert sentence.media is None
    with pytest.raises(CorpusError, match="sentence x has neither landmarks nor video nor frames"):
        landmarks_of_sentence(sentence)


def test_a_folder_of_files_and_a_tsv_is_a_corpus(tmp_path: Path) -> None:
    (tmp_path / "landmarks").mkdir()
    (tmp_path / "train.tsv").write_text("a-1\tREGEN WIND\nb-2\tWIND\n", encoding="utf-8")
    (tmp_path / "b-2.mp4").touch()
    save_track(tmp_path / "landmarks" / "a-1.npz", track())
    first, second = read_corpus(tmp_path).split("train")
    assert (first.glosses, second.glosses) == (("REGEN", "WIND"), ("WIND",))
    assert second.media == tmp_path / "b-2.mp4"
    assert len(landmarks_of_sentence(first)) == 7


def test_sentences_come_back_as_they_were_written(tmp_path: Path) -> None:
    sentences = (
        Sentence(id="a", glosses=("S+H", 'a"b'), signer="7", frames=120),
        Sentence(id="b", glosses=("REGEN",)),
    )
    write_sentences(tmp_path / "train.tsv", sentences)
    assert read_sentences(tmp_path / "train.tsv") == sentences
    assert within(sentences, ["REGEN"]) == sentences[1:]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a\tREGEN\nb\n", "line 2: it has 1 columns, not 2"),
        ("a\t \n", "line 1: it must be an id, a tab and glosses"),
        ("a\tX\na\tY\n", "line 2: the id a has come before"),
        ("id\tglosses\tage\na\tX\t5\n", "line 1: the columns may be"),
        ("id\tglosses\tframes\na\tX\tmany\n", "line 2: invalid literal"),
        ("../a\tX\n", "line 1: a sentence's id must name a file"),
        ("", "holds no sentence"),
    ],
)
def test_a_damaged_tsv_is_named(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "train.tsv").write_text(text, encoding="utf-8")
    with pytest.raises(CorpusError, match=said):
        read_corpus(tmp_path)


def test_what_is_no_corpus_is_named(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="holds no TSV"):
        read_corpus(tmp_path)
    with pytest.raises(CorpusError, match="must be a folder"):
        read_corpus(tmp_path / "missing")
    manual = tmp_path / "annotations" / "manual"
    manual.mkdir(parents=True)
    (manual / "train.corpus.csv").write_text("id|text\na|b\n")
    with pytest.raises(CorpusError, match="its columns are id, text"):
        read_corpus(tmp_path)
    (manual / "train.corpus.csv").write_text("id|folder|signer|annotation\na|b|c\n")
    with pytest.raises(CorpusError, match=r"train\.corpus\.csv, line 2"):
        read_corpus(tmp_path)


def test_packed_landmarks_are_the_same_within_their_step(tmp_path: Path) -> None:
    seen, spans = track(), np.array([[0.1, 0.5]], np.float32)
    save_packed(tmp_path / "a.npz", seen, spans)
    back = read_track(tmp_path / "a.npz")
    for part in ("pose", "left_hand", "right_hand", "pose_world"):
        np.testing.assert_allclose(getattr(back, part), getattr(seen, part), atol=0.5 / 16384)
    assert np.isnan(back.left_hand[2:4]).all()
    assert np.isnan(back.left_hand_world).all()  # as MediaPipe Holistic has none
    known = read_spans(tmp_path / "a.npz")
    assert known is not None
    np.testing.assert_array_equal(known, spans)
