"""`signspot lm build` estimates Kneser-Ney as it is defined, and what it writes can be used."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from calibration.language import estimate
from run_stream import main
from stream.language import END, UNKNOWN, LanguageModelError, read_arpa, write_arpa

PHOENIX = Path("../shared/data/phoenix2014t")
CORPUS = [["A", "B"], ["A", "B"], ["A", "C"]]


def test_probabilities_are_those_worked_out_by_hand() -> None:
    """Bigrams occur 3, 2, 1, 2, 1 times: D = 2 / (2 + 2 * 2) = 1/3.

    Before A, B and C stands one gloss each, before </s> two: of 5, D = 3 / (3 + 2 * 1) = 0.6, and 0.6 * 4 / 5 = 0.48 is
    spread over the five words A, B, C, </s> and <unk>.
    """
    model = estimate(CORPUS, order=2)
    one = {gram[0]: 10**score for gram, (score, _) in model.grams[0].items()}
    for word, value in {"A": 0.176, "B": 0.176, "C": 0.176, "</s>": 0.376, "<unk>": 0.096}.items():
        assert one[word] == pytest.approx(value)
    # (3 - 1/3) / 3 + 1/9 * 0.176; (2 - 1/3) / 3 + 2/9 * 0.176; (2 - 1/3) / 2 + 1/6 * 0.376
    np.testing.assert_allclose(
        10 ** np.array(model.log10(["A", "B"])), [0.9084444, 0.5946667, 0.896], rtol=1e-6
    )
    # B A was not seen: 1/6 * 0.176; A </s> neither: 2/9 * 0.376
    np.testing.assert_allclose(
        10 ** np.array(model.log10(["A", "B", "A"]))[2:], [0.176 / 6, 0.376 * 2 / 9], rtol=1e-6
    )
    product = 0.9084444 * 0.5946667 * 0.896
    assert model.perplexity([["A", "B"]]).with_unknown == pytest.approx(product ** (-1 / 3), rel=1e-6)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_what_can_follow_adds_up_to_one(order: int) -> None:
    model = estimate([*CORPUS, ["C", "C", "C"], ["B", "A", "C", "A"]], order=order)
    words = [*model.words, UNKNOWN]
    for history in itertools.chain.from_iterable(itertools.product("ABC", repeat=n) for n in range(4)):
        total = 0.0
        for word in words:
            *_, score, _ = model.log10([*history, word])
            total += 10**score
        *_, end = model.log10(list(history))
        assert total + 10**end == pytest.approx(1.0, abs=1e-9)


def test_the_command_writes_what_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "".join(f"{number}\t{' '.join(sentence)}\n" for number, sentence in enumerate(CORPUS))
    (tmp_path / "train.tsv").write_text(text, encoding="utf-8")
    out = tmp_path / "glosses.arpa"
    assert main(["lm", "build", str(tmp_path), "--order", "2", "--out", str(out)]) == 0
    assert "6 1-grams, 5 2-grams" in capsys.readouterr().out
    np.testing.assert_allclose(
        read_arpa(out).log10(["A", "B"]), estimate(CORPUS, order=2).log10(["A", "B"]), atol=1e-6
    )
    assert main(["lm", "perplexity", str(out), str(tmp_path / "train.tsv"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["perplexity"]["events"] == 9


@pytest.mark.slow  # kenlm has to be compiled by whoever wants this: it is no wheel
def test_kenlm_reads_what_is_written(tmp_path: Path) -> None:
    kenlm = pytest.importorskip("kenlm", reason="kenlm is not installed")
    out = tmp_path / "glosses.arpa"
    write_arpa(out, estimate(CORPUS, order=2))
    theirs = kenlm.Model(str(out))
    for sentence in (["A", "B"], ["B", "C", "A"], ["A", "D"]):
        expected = [score for score, _, _ in theirs.full_scores(" ".join(sentence))]
        np.testing.assert_allclose(read_arpa(out).log10(sentence), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["build", "train.tsv", "--out", "m.txt"], "must end in .arpa"),
        (["build", "train.tsv", "--out", "m.arpa", "--order", "0"], "--order must be 1 to 6"),
        (["build", "missing.tsv", "--out", "m.arpa"], "missing.tsv cannot be read"),
        (["build", "train.tsv", "--out", "nowhere/m.arpa"], "cannot be written"),
        (["perplexity", "train.tsv", "train.tsv"], "train.tsv ends after line"),
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
    (tmp_path / "train.tsv").write_text("a\tA B\n", encoding="utf-8")
    assert main(["lm", *words]) == 1
    assert said in capsys.readouterr().err


def test_a_corpus_that_gives_no_model_is_refused() -> None:
    with pytest.raises(LanguageModelError, match="no sentence"):
        estimate([])
    with pytest.raises(LanguageModelError, match="cannot be named </s>"):
        estimate([["A", END]])
    assert estimate([["A"]], order=3).perplexity([["A"]]).with_unknown < 5  # as small as can be, and it works


@pytest.mark.skipif(not PHOENIX.exists(), reason="../shared/data/phoenix2014t is not there")
def test_three_glosses_foresee_real_sentences_better_than_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = {}
    for order in ("1", "3"):
        out = tmp_path / f"{order}.arpa"
        assert main(["lm", "build", str(PHOENIX), "--order", order, "--out", str(out)]) == 0
        capsys.readouterr()
        assert main(["lm", "perplexity", str(out), str(PHOENIX / "dev.tsv"), "--json"]) == 0
        found[order] = json.loads(capsys.readouterr().out)["perplexity"]["with_unknown"]
    assert found["3"] < 0.6 * found["1"]
