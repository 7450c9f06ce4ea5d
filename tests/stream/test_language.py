"""A model in ARPA format scores as back-off is defined, as KenLM does, and a damaged file is named by its line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stream.language import LanguageModel, LanguageModelError, read_arpa, write_arpa

ARPA = """
made by hand

\\data\\
ngram 1=5
ngram 2=4
ngram 3=1

\\1-grams:
-99\t<s>\t-0.3
-0.9\t</s>
-1.5\t<unk>
-0.5\tREGEN\t-0.2
-0.7\tWIND\t-0.4

\\2-grams:
-0.25\t<s> REGEN\t-0.1
-0.35\tREGEN WIND\t-0.15
-0.45\tWIND </s>
-0.55\tWIND WIND

\\3-grams:
-0.05\t<s> REGEN WIND

\\end\\
"""


@pytest.fixture
def model(tmp_path: Path) -> LanguageModel:
    (tmp_path / "hand.arpa").write_text(ARPA, encoding="utf-8")
    return read_arpa(tmp_path / "hand.arpa")


@pytest.mark.parametrize(
    ("sentence", "scores"),
    [
        # <s> REGEN; the trigram; (REGEN WIND </s>) backs off with -0.15 to WIND </s>
        (["REGEN", "WIND"], [-0.25, -0.05, -0.15 - 0.45]),
        # <s> WIND is not there: -0.3 - 0.7; WIND WIND; its back-off is 0, so WIND </s>
        (["WIND", "WIND"], [-0.3 - 0.7, -0.55, -0.45]),
        # nothing of REGEN REGEN is there: back-off of <s> REGEN, of REGEN, and the unigram
        (["REGEN", "REGEN"], [-0.25, -0.1 - 0.2 - 0.5, -0.2 - 0.9]),
        # an unknown gloss is <unk>, and what follows it has no history
        (["SCHNEE", "REGEN"], [-0.3 - 1.5, -0.5, -0.2 - 0.9]),
        ([], [-0.3 - 0.9]),
    ],
)
def test_scores_are_those_worked_out_by_hand(
    model: LanguageModel, sentence: list[str], scores: list[float]
) -> None:
    np.testing.assert_allclose(model.log10(sentence), scores, atol=1e-9)


def test_perplexity_is_that_worked_out_by_hand(model: LanguageModel) -> None:
    found = model.perplexity([["REGEN", "WIND"], ["SCHNEE"]])
    assert (found.events, found.unknown) == (5, 1)
    known = -0.25 - 0.05 - 0.6 - 0.9  # and </s> after the unknown: -0.9
    assert found.without_unknown == pytest.approx(10 ** (-known / 4))
    assert found.with_unknown == pytest.approx(10 ** (-(known - 1.8) / 5))


@pytest.mark.slow  # kenlm has to be compiled by whoever wants this: it is no wheel
def test_kenlm_agrees(model: LanguageModel, tmp_path: Path) -> None:
    kenlm = pytest.importorskip("kenlm", reason="kenlm is not installed")
    theirs = kenlm.Model(str(tmp_path / "hand.arpa"))
    for sentence in (["REGEN", "WIND"], ["WIND", "WIND"], ["REGEN", "REGEN"], ["SCHNEE", "REGEN", "WIND"]):
        expected = [score for score, _, _ in theirs.full_scores(" ".join(sentence))]
        np.testing.assert_allclose(model.log10(sentence), expected, atol=1e-5)


def test_a_model_comes_back_as_it_was_written(model: LanguageModel, tmp_path: Path) -> None:
    write_arpa(tmp_path / "again.arpa", model)
    assert read_arpa(tmp_path / "again.arpa") == model


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("\\data\\\n", "", r"\\data\\ is missing"),
        ("ngram 2=4", "ngram 2=three", "line 6: it must be `ngram 2=COUNT`"),
        ("ngram 1=5", "ngram 1=0", "the number of 1-grams must stand here"),
        ("ngram 2=4", "ngram 2=5", "line 22: it must be a log10 probability, 2 glosses"),
        ("ngram 2=4", "ngram 2=3", r"line 20: \\3-grams: must stand here"),
        ("ngram 3=1", "ngram 3=2", "it must be a log10 probability, 3 glosses"),
        ("\\end\\", "", r"\\end\\ is missing, it was cut off"),
        ("-0.35\tREGEN WIND\t-0.15", "-0.35\tREGEN\t-0.15", "line 18: '-0.15' is no 1-gram"),
        ("-0.35\tREGEN", "low\tREGEN", "line 18: log10 probability and back-off must be numbers"),
        ("-0.35\tREGEN", "0.35\tREGEN", "line 18: a log10 probability is at most 0"),
        ("-0.35\tREGEN", "nan\tREGEN", "line 18: a log10 probability is at most 0"),
        ("WIND WIND", "REGEN WIND", "line 20: the 2-gram 'REGEN WIND' has come before"),
        ("WIND WIND", "NEU WIND", "line 20: the 2-gram 'NEU WIND' lacks its 1-gram 'NEU'"),
    ],
)  # fmt: skip
def test_a_damaged_file_is_named(old: str, new: str, said: str, tmp_path: Path) -> None:
    assert old in ARPA
    path = tmp_path / "damaged.arpa"
    path.write_text(ARPA.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(LanguageModelError, match=said):
        read_arpa(path)


def test_what_cannot_be_read_or_written_is_named(model: LanguageModel, tmp_path: Path) -> None:
    with pytest.raises(LanguageModelError, match=r"missing\.arpa cannot be read"):
        read_arpa(tmp_path / "missing.arpa")
    (tmp_path / "binary.arpa").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(LanguageModelError, match=r"binary\.arpa cannot be read"):
        read_arpa(tmp_path / "binary.arpa")
    with pytest.raises(LanguageModelError, match="cannot be written"):
        write_arpa(tmp_path / "nowhere" / "m.arpa", model)
