"""The beam search finds what a search of every alignment finds, and what another decoder finds; commitments hold."""

from __future__ import annotations

import itertools
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from stream.decoding import STEP_S, GlossDecoder, SearchOptions
from stream.language import LanguageModel, read_arpa

Rows = NDArray[np.float32]
Labels = tuple[str, ...]
PLAIN = SearchOptions(width=1200, candidates=9, weight=0.0, bonus=0.0)


def rows(rng: np.random.Generator, steps: int, glosses: int, sharpness: float = 2.0) -> Rows:
    raw = rng.normal(size=(steps, glosses + 1)) * sharpness
    return np.asarray(raw - np.logaddexp.reduce(raw, axis=1, keepdims=True), np.float32)


def every_alignment(
    log_probabilities: Rows, glosses: str
) -> dict[Labels, tuple[float, float, tuple[int, ...]]]:
    """By labelling: log of the sum over all alignments, log of the best one, and that alignment."""
    steps, classes = log_probabilities.shape
    found: dict[Labels, tuple[float, float, tuple[int, ...]]] = {}
    for path in itertools.product(range(classes), repeat=steps):
        labels = tuple(glosses[label - 1] for label, _ in itertools.groupby(path) if label)
        one = float(sum(float(log_probabilities[step, label]) for step, label in enumerate(path)))
        total, best, best_path = found.get(labels, (-np.inf, -np.inf, path))
        found[labels] = (np.logaddexp(total, one), max(best, one), path if one > best else best_path)
    return found


@pytest.mark.parametrize("seed", range(8))
def test_probabilities_are_those_of_all_alignments(seed: int) -> None:
    rng = np.random.default_rng(seed)
    glosses = "ABC"[: rng.integers(1, 4)]
    log_probabilities = rows(rng, int(rng.integers(1, 7)), len(glosses))
    decoder = GlossDecoder(glosses, options=PLAIN)
    decoder.accept(log_probabilities)
    hypotheses = decoder.best(10_000)
    truth = every_alignment(log_probabilities, glosses)
    found = {tuple(one.gloss for one in hypothesis.glosses): hypothesis for hypothesis in hypotheses}
    assert len(hypotheses) == len(found)  # none twice
    assert found.keys() == truth.keys()
    for labels, (total, _, _) in truth.items():
        assert found[labels].log_ctc == pytest.approx(total, abs=1e-6)
        assert found[labels].posterior == pytest.approx(np.exp(total), abs=1e-6)  # all alignments' sum is 1
    assert [one.score for one in hypotheses] == sorted((one.score for one in hypotheses), reverse=True)


@pytest.mark.parametrize("seed", range(4))
def test_times_are_those_of_the_best_alignment(seed: int) -> None:
    log_probabilities = rows(np.random.default_rng(seed), 6, 2)
    decoder = GlossDecoder("AB", options=PLAIN, start_s=3.0)
    decoder.accept(log_probabilities)
    truth = every_alignment(log_probabilities, "AB")
    for hypothesis in decoder.best(10_000):
        path = truth[tuple(one.gloss for one in hypothesis.glosses)][2]
        spans = []
        at = 0
        for label, run in itertools.groupby(path):
            length = len(list(run))
            if label:
                spans.append((3.0 + at * STEP_S, 3.0 + (at + length) * STEP_S))
            at += length
        found = [(one.start_s, one.end_s) for one in hypothesis.glosses]
        np.testing.assert_allclose(np.reshape(found, (-1, 2)), np.reshape(spans, (-1, 2)), atol=1e-9)


BIGRAMS = LanguageModel(
    (
        {("<s>",): (-99.0, -0.2), ("</s>",): (-0.7, 0.0), ("<unk>",): (-1.5, 0.0), ("A",): (-0.4, -0.3), ("B",): (-0.8, -0.1)},
        {("<s>", "A"): (-0.9, 0.0), ("A", "B"): (-0.1, 0.0), ("B", "</s>"): (-0.3, 0.0)},
    )
)  # fmt: skip


def by_hand(labels: Labels, *, ended: bool) -> float:
    """log10 of a sentence under `BIGRAMS`, back-off written out."""
    total = 0.0
    before = "<s>"
    for word in (*labels, "</s>") if ended else labels:
        known = BIGRAMS.grams[1].get((before, word))
        name = word if (word,) in BIGRAMS.grams[0] else "<unk>"
        total += (
            known[0] if known else BIGRAMS.grams[0].get((before,), (0, 0.0))[1] + BIGRAMS.grams[0][(name,)][0]
        )
        before = word
    return total


@pytest.mark.parametrize("ended", [False, True])
def test_a_language_model_ranks_as_over_all_alignments(ended: bool) -> None:
    log_probabilities = rows(np.random.default_rng(11), 5, 3)
    decoder = GlossDecoder(
        "ABC",
        model=BIGRAMS,
        options=SearchOptions(width=1200, candidates=9, weight=0.7, bonus=0.3, model_bonus=0.1),
    )
    decoder.accept(log_probabilities)
    hypotheses = decoder.best(10_000, ended=ended)
    truth = {
        labels: total + 0.7 * np.log(10) * by_hand(labels, ended=ended) + 0.4 * len(labels)
        for labels, (total, _, _) in every_alignment(log_probabilities, "ABC").items()
    }
    for hypothesis in hypotheses:
        assert hypothesis.score == pytest.approx(
            truth[tuple(one.gloss for one in hypothesis.glosses)], abs=1e-6
        )
    assert [h.text for h in hypotheses][:5] == [
        " ".join(one) for one in sorted(truth, key=lambda o: -truth[o])[:5]
    ]


def test_chunks_of_any_length_give_the_same() -> None:
    log_probabilities = rows(np.random.default_rng(5), 60, 30)
    whole, parts = GlossDecoder(NAMES[:30]), GlossDecoder(NAMES[:30])
    whole.accept(log_probabilities)
    for first, last in itertools.pairwise((0, 1, 2, 9, 9, 40, 60)):
        parts.accept(log_probabilities[first:last])
    assert whole.best(5) == parts.best(5)


NAMES = [f"G{number}" for number in range(1085)]


def plainly(log_probabilities: Rows, width: int) -> dict[tuple[int, ...], float]:
    """Prefix beam search as the papers write it, with a dict."""
    beam: dict[tuple[int, ...], tuple[float, float]] = {(): (0.0, -np.inf)}
    for row in log_probabilities.astype(float):
        found: dict[tuple[int, ...], tuple[float, float]] = {}

        def add(
            prefix: tuple[int, ...],
            blank: float,
            gloss: float,
            into: dict[tuple[int, ...], tuple[float, float]],
        ) -> None:
            before = into.get(prefix, (-np.inf, -np.inf))
            into[prefix] = (np.logaddexp(before[0], blank), np.logaddexp(before[1], gloss))

        for prefix, (blank, gloss) in beam.items():
            both = np.logaddexp(blank, gloss)
            add(prefix, both + row[0], -np.inf, found)
            for label in range(1, len(row)):
                if prefix[-1:] == (label,):
                    add(prefix, -np.inf, gloss + row[label], found)
                    add((*prefix, label), -np.inf, blank + row[label], found)
                else:
                    add((*prefix, label), -np.inf, both + row[label], found)
        beam = dict(sorted(found.items(), key=lambda item: -np.logaddexp(*item[1]))[:width])
    return {prefix: float(np.logaddexp(*both)) for prefix, both in beam.items()}


@pytest.mark.parametrize(
    ("steps", "glosses", "width"), [(12, 5, 60), (12, 5, 10), (20, 4, 25), (20, 4, 3), (30, 9, 1)]
)
def test_a_narrow_beam_keeps_what_a_plain_one_keeps(steps: int, glosses: int, width: int) -> None:
    log_probabilities = rows(np.random.default_rng(width), steps, glosses, 4.0)
    decoder = GlossDecoder(
        NAMES[:glosses], options=SearchOptions(width=width, candidates=glosses, weight=0.0, bonus=0.0)
    )
    decoder.accept(log_probabilities)
    found = {tuple(NAMES.index(one.gloss) + 1 for one in h.glosses): h.log_ctc for h in decoder.best(width)}
    assert found == pytest.approx(plainly(log_probabilities, width), abs=1e-9)


@pytest.mark.parametrize(
    ("steps", "glosses", "width", "seed"), [(12, 5, 200, 0), (40, 20, 100, 1), (80, 40, 100, 2)]
)
def test_another_decoder_agrees(steps: int, glosses: int, width: int, seed: int) -> None:
    flashlight = pytest.importorskip("flashlight.lib.text.decoder", reason="flashlight-text is not installed")
    log_probabilities = rows(np.random.default_rng(seed), steps, glosses, 4.0)
    options = flashlight.LexiconFreeDecoderOptions(
        4 * width, glosses + 1, 1e9, 0.0, 0.0, True, flashlight.CriterionType.CTC
    )
    other = flashlight.LexiconFreeDecoder(options, flashlight.ZeroLM(), -1, 0, [])
    theirs: dict[Labels, float] = {}
    for one in other.decode(log_probabilities.ctypes.data, steps, glosses + 1):
        # it tells apart what ends in a blank and what does not: the sum is the labelling's probability
        labels = tuple(
            NAMES[label - 1] for label, _ in itertools.groupby(t for t in one.tokens if t >= 0) if label
        )
        theirs[labels] = float(np.logaddexp(theirs.get(labels, -np.inf), one.score))
    ours = GlossDecoder(
        NAMES[:glosses], options=SearchOptions(width=width, candidates=glosses, weight=0.0, bonus=0.0)
    )
    ours.accept(log_probabilities)
    (best,) = ours.best()
    assert tuple(one.gloss for one in best.glosses) == max(theirs, key=lambda one: theirs[one])
    apart = best.log_ctc - max(theirs.values())
    assert -0.1 < apart < 0.2  # both have dropped some alignments, not the same ones


@pytest.mark.parametrize("seed", range(4))
def test_after_a_commitment_only_what_begins_so_is_left(seed: int) -> None:
    log_probabilities = rows(np.random.default_rng(seed + 20), 6, 2)
    decoder = GlossDecoder("AB", options=PLAIN)
    decoder.accept(log_probabilities[:4])
    held = tuple(one.gloss for one in decoder.best()[0].glosses)[:1]
    if not held:
        pytest.skip("the best hypothesis of this draw is empty")
    decoder.commit(1)
    decoder.accept(log_probabilities[4:])
    found = {
        (*held, *(one.gloss for one in hypothesis.glosses)): hypothesis.log_ctc
        for hypothesis in decoder.best(9999)
    }
    # prefixes that the commitment dropped cannot come back: what is left is what could begin with it after four steps
    truth = every_alignment(log_probabilities, "AB")
    early = every_alignment(log_probabilities[:4], "AB")
    alive = {labels for labels in early if labels[:1] == held}
    assert found.keys() == {
        labels for labels in truth if labels[:1] == held and any(labels[: len(a)] == a for a in alive)
    }
    for labels, score in found.items():
        assert score <= truth[labels][0] + 1e-6
    assert max(found, key=lambda one: found[one])[:1] == held


def test_confidence_is_the_share_of_hypotheses_that_agree() -> None:
    with np.errstate(divide="ignore"):
        # first A for certain, a blank, then B (0.7) or C (0.3)
        table = np.log(np.array([[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0.7, 0.3], [1, 0, 0, 0]], np.float32))
    decoder = GlossDecoder("ABC", options=PLAIN)
    decoder.accept(table)
    best, second = decoder.best(2)
    assert [(one.gloss, round(one.confidence, 4)) for one in best.glosses] == [("A", 1.0), ("B", 0.7)]
    assert [(one.gloss, round(one.confidence, 4)) for one in second.glosses] == [("A", 1.0), ("C", 0.3)]
    assert (best.posterior, second.posterior) == pytest.approx((0.7, 0.3), abs=1e-6)


def test_an_hour_without_a_pause_takes_no_more_memory_than_a_minute() -> None:
    rng = np.random.default_rng(3)
    decoder = GlossDecoder(NAMES[:20])

    def minutes(count: int) -> int:
        for _ in range(count):
            decoder.accept(rows(rng, 375, 20, 4.0))
            (best,) = decoder.best()
            decoder.commit(max(len(best.glosses) - 5, 0))
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        after_two, after_ten = minutes(2), minutes(8)
    finally:
        tracemalloc.stop()
    assert after_ten < after_two + 1_000_000


def test_a_reset_forgets_the_sentence_and_time_goes_on() -> None:
    rng = np.random.default_rng(1)
    first, second = rows(rng, 10, 3), rows(rng, 8, 3)
    decoder, fresh = GlossDecoder("ABC"), GlossDecoder("ABC", start_s=10 * STEP_S)
    decoder.accept(first)
    decoder.reset()
    decoder.accept(second)
    fresh.accept(second)
    assert decoder.best(3) == fresh.best(3)
    assert decoder.now_s == pytest.approx(18 * STEP_S)


def test_what_cannot_be_decoded_is_refused() -> None:
    decoder = GlossDecoder("AB")
    with pytest.raises(ValueError, match=r"must be \(K, 3\), not \(2, 4\)"):
        decoder.accept(np.zeros((2, 4), np.float32))
    with pytest.raises(ValueError, match="must not be NaN"):
        decoder.accept(np.full((1, 3), np.nan, np.float32))
    with pytest.raises(ValueError, match="something must be possible"):
        decoder.accept(np.full((1, 3), -np.inf, np.float32))
    with pytest.raises(ValueError, match="1 cannot be committed"):
        decoder.commit(1)
    with pytest.raises(ValueError, match="width and candidates"):
        SearchOptions(width=0)


def test_a_model_that_ends_no_empty_sentence_opens(tmp_path: Path) -> None:
    """It refused to start with language models by which one gloss is better than none only once a sentence is over."""
    arpa = tmp_path / "two.arpa"
    arpa.write_text(
        "\\data\\\nngram 1=4\nngram 2=2\n\n\\1-grams:\n-5.0\t</s>\n-99\t<s>\t0\n-1.2\tA\t0\n-1.2\tB\t0\n\n"
        "\\2-grams:\n-0.1\tA </s>\n-0.1\tB </s>\n\n\\end\\\n"
    )
    decoder = GlossDecoder(("A", "B"), model=read_arpa(arpa))
    assert decoder.best()[0].glosses == ()
