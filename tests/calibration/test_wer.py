"""Error rates are those that sclite counts, so that they can be compared with published ones."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from calibration.corpus.sentences import CorpusError, Sentence
from calibration.evaluation.wer import ErrorCounts, align, clean_phoenix, score
from run_stream import main

SCLITE = json.loads(Path(__file__).with_name("sclite.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("row", SCLITE["rows"])
def test_counts_are_those_of_sclite(row: list[str | int]) -> None:
    counts = ErrorCounts.of([align(str(row[0]).split(), str(row[1]).split())])
    assert [counts.correct, counts.substitutions, counts.deletions, counts.insertions] == row[2:]


def test_totals_are_those_of_jiwer_where_both_mean_the_same() -> None:
    """With unit costs jiwer finds the fewest errors; sclite's costs may prefer more of them, never fewer."""
    jiwer = pytest.importorskip("jiwer", reason="jiwer is not installed")
    rng = random.Random(5)
    same = 0
    for _ in range(200):
        reference = [rng.choice("ABCDEFGHIJ") for _ in range(rng.randint(1, 12))]
        hypothesis = [gloss for gloss in reference if rng.random() < 0.85]
        hypothesis += [rng.choice("ABCDEFGHIJ") for _ in range(rng.randint(0, 2))]
        if not hypothesis:
            continue
        ours = ErrorCounts.of([align(reference, hypothesis)])
        theirs = jiwer.process_words(" ".join(reference), " ".join(hypothesis))
        fewest = theirs.substitutions + theirs.deletions + theirs.insertions
        assert ours.errors >= fewest
        assert ours.references == theirs.hits + theirs.substitutions + theirs.deletions
        same += ours.errors == fewest
        if ours.errors == fewest and theirs.substitutions == ours.substitutions:
            assert (ours.deletions, ours.insertions) == (theirs.deletions, theirs.insertions)
            assert ours.wer == pytest.approx(100 * theirs.wer)
    assert same >= 190


def test_an_alignment_names_the_glosses() -> None:
    pairs = align(["A", "B", "C", "D"], ["A", "X", "C", "D", "E"])
    assert [(pair.kind, pair.reference, pair.hypothesis) for pair in pairs] == [
        ("correct", "A", "A"),
        ("substitution", "B", "X"),
        ("correct", "C", "C"),
        ("correct", "D", "D"),
        ("insertion", "", "E"),
    ]


@pytest.mark.parametrize(
    ("glosses", "cleaned"),
    [
        ("__ON__ LIEB ZUSCHAUER __OFF__", "LIEB ZUSCHAUER"),  # marks
        ("REGEN __LEFTHAND__ WIND __EMOTION__", "REGEN WIND"),
        ("loc-NORD cl-KOMMEN", "NORD KOMMEN"),  # prefixes
        ("REGEN-PLUSPLUS loc-REGION-PLUSPLUS", "REGEN REGION"),
        ("NORDRAUM RAUM SUEDRAUM", "NORD RAUM SUED"),  # a space in the north is the north; RAUM itself stays
        ("REGEN REGEN REGEN WIND REGEN", "REGEN WIND REGEN"),  # in a row
        ("NORD loc-NORD NORDRAUM", "NORD"),  # in a row once they are plain
        ("__EPENTHESIS__", ""),
        ("neg-NORD", "neg-NORD"),  # other prefixes stay
    ],
)
def test_phoenix_is_cleaned_up_by_its_own_rules(glosses: str, cleaned: str) -> None:
    assert " ".join(clean_phoenix(glosses.split())) == cleaned


def test_sentences_are_matched_by_their_ids() -> None:
    signed = [Sentence(id="a", glosses=("A",)), Sentence(id="b", glosses=("B", "C"))]
    found = [Sentence(id="b", glosses=("B",)), Sentence(id="a", glosses=())]
    counts = score(signed, found).counts
    assert (counts.deletions, counts.correct, counts.wrong_sentences) == (2, 1, 2)
    assert counts.wer == pytest.approx(200 / 3)
    with pytest.raises(CorpusError, match="1 sentences have no hypothesis: b"):
        score(signed, found[1:])
    with pytest.raises(CorpusError, match="1 hypotheses are of no sentence in the reference: b"):
        score(signed[:1], found)


def test_the_command_reports_and_prints_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "ref.tsv").write_text("a\tREGEN loc-NORD WIND\nb\tSCHNEE\n", encoding="utf-8")
    (tmp_path / "hyp.tsv").write_text("b\t\na\tREGEN NORD SONNE WIND\n", encoding="utf-8")
    files = [str(tmp_path / "ref.tsv"), str(tmp_path / "hyp.tsv")]
    assert main(["evaluate", "wer", *files]) == 0
    printed = capsys.readouterr().out
    assert "WER 75.0%: del 25.0, ins 25.0, sub 25.0 (3 errors on 4 glosses)" in printed
    assert "2 of 2 sentences have an error" in printed
    assert "SCHNEE 1x" in printed
    assert main(["evaluate", "wer", *files, "--phoenix", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["wer"]
    assert (found["substitutions"], found["insertions"], found["deletions"], found["wer"]) == (0, 1, 1, 50.0)
    assert main(["evaluate", "wer", files[0], str(tmp_path / "none.tsv")]) == 1
    assert "none.tsv cannot be read" in capsys.readouterr().err
