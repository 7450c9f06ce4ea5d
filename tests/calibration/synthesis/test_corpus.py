"""A synthetic corpus keeps the real sentences, tells the truth about them, and has no signer in two splits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("anny", reason="the synthetic signer needs the package anny")

from calibration.corpus.landmarks import landmarks_of_sentence, read_spans
from calibration.corpus.reading import read_corpus
from calibration.synthesis.lexicon import read_lexicon
from run_stream import main

SENTENCES = {
    "train": ["REGEN WIND REGEN", "WIND S+H", "REGEN SELTEN"],
    "dev": ["WIND REGEN"],
    "test": ["REGEN NEU"],
}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    for split, lines in SENTENCES.items():
        text = "".join(f"{split}-{number}\t{line}\n" for number, line in enumerate(lines))
        (folder / f"{split}.tsv").write_text(text, encoding="utf-8")
    return folder


def make(source: Path, out: Path, *more: str) -> int:
    words = ["synth", "corpus", "--sentences", str(source), "--signers", "1", "--others", "1"]
    return main([*words, "--out", str(out), *more])


def test_sentences_are_signed_gloss_by_gloss(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "corpus"
    assert make(source, out) == 0
    corpus = read_corpus(out)
    for split, lines in SENTENCES.items():
        for sentence, line in zip(corpus.split(split), lines, strict=True):
            assert " ".join(sentence.glosses) == line
            track = landmarks_of_sentence(sentence)
            assert len(track) == sentence.frames
            assert sentence.media is not None
            spans = read_spans(sentence.media)
            assert spans is not None
            assert spans.shape == (len(sentence.glosses), 2)
            assert (np.diff(spans.ravel()) > 0).all()  # one after the other
            assert 0.2 < spans[0, 0] < spans[-1, 1] < len(track) / 25
    people = [{sentence.signer for sentence in part} for part in corpus.splits.values()]
    assert not people[0] & people[1]
    assert not people[0] & people[2]
    assert not people[1] & people[2]
    assert set(read_lexicon(out / "lexicon.toml")) == {"REGEN", "WIND", "S+H", "SELTEN", "NEU"}


def test_a_smaller_vocabulary_keeps_whole_sentences_and_the_same_signs(source: Path, tmp_path: Path) -> None:
    (source / "test.tsv").write_text("test-0\tREGEN WIND\n", encoding="utf-8")
    assert make(source, tmp_path / "small", "--glosses", "2") == 0
    assert make(source, tmp_path / "large") == 0
    small, large = (
        read_lexicon(tmp_path / "small" / "lexicon.toml"),
        read_lexicon(tmp_path / "large" / "lexicon.toml"),
    )
    assert set(small) == {"REGEN", "WIND"}
    assert small == {gloss: large[gloss] for gloss in small}
    corpus = read_corpus(tmp_path / "small")
    assert [sentence.id for sentence in corpus.split("train")] == ["train-0"]


def test_a_stopped_run_goes_on_and_gives_the_same(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "corpus"
    assert make(source, out) == 0
    path = out / "landmarks" / "train-0.npz"
    first = path.read_bytes()
    kept = out / "landmarks" / "train-1.npz"
    age = kept.stat().st_mtime_ns
    path.unlink()
    assert make(source, out, "--processes", "2") == 0
    assert path.read_bytes() == first
    assert kept.stat().st_mtime_ns == age


def test_the_folder_of_another_corpus_is_refused(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert make(source, tmp_path / "corpus", "--limit", "1") == 0
    assert make(source, tmp_path / "corpus", "--limit", "1", "--seed", "1") == 1
    assert "was made otherwise" in capsys.readouterr().err
    assert make(source, tmp_path / "none", "--glosses", "1") == 1
    assert "no sentence of" in capsys.readouterr().err
