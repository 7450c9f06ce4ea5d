"""What a transcript has called stable it never takes back; each utterance ends once; revisions count."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from stream.decoding import STEP_S, GlossDecoder, SearchOptions
from stream.hypotheses import CtcTranscript, Patience
from stream.transcript import Revision

Rows = NDArray[np.float32]
GLOSSES = ("REGEN", "WIND", "SCHNEE")


def transcript(**patience: float) -> CtcTranscript:
    options = SearchOptions(width=8, candidates=3, weight=0.0, bonus=0.0)
    return CtcTranscript(GlossDecoder(GLOSSES, options=options), patience=Patience(**patience))  # type: ignore[arg-type]


def spikes(*labels: int, sure: float = 0.97) -> Rows:
    """One step a label, 0 for blank."""
    table = np.full((len(labels), len(GLOSSES) + 1), (1 - sure) / len(GLOSSES), np.float32)
    table[np.arange(len(labels)), labels] = sure
    return np.log(table)


def check(revisions: list[Revision]) -> None:
    """What holds of every stream."""
    for number, (utterance, group) in enumerate(itertools.groupby(revisions, key=lambda one: one.utterance)):
        told = list(group)
        assert utterance == number
        assert [one.revision for one in told] == list(range(len(told)))
        assert all(one.state != "final" for one in told[:-1])
        held: tuple[object, ...] = ()
        for one in told:
            assert one.glosses[: len(held)] == held, "a stable gloss was taken back, or its times changed"
            times = [at for gloss in one.glosses for at in (gloss.start_s, gloss.end_s)]
            assert times == sorted(times)
            assert all(0 <= gloss.confidence <= 1 for gloss in one.glosses)
            if one.state == "stable":
                assert len(one.glosses) > len(held)
                held = one.glosses
    assert all(one.state == "final" for one in revisions[-1:])


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    steps=st.integers(1, 60),
    sharpness=st.floats(0.2, 6.0),
    blank=st.floats(-3.0, 5.0),
    rest=st.floats(0.0, 0.4),
    agree_s=st.sampled_from([0.0, 0.16, 0.48, 1.0]),
    sure=st.sampled_from([0.0, 0.5, 0.9]),
    longest=st.sampled_from([1, 3, 60]),
    chunk=st.integers(1, 9),
)
def test_what_is_stable_is_never_taken_back(
    seed: int, steps: int, sharpness: float, blank: float, rest: float, agree_s: float, sure: float, longest: int,
    chunk: int,
) -> None:  # fmt: skip
    rng = np.random.default_rng(seed)
    raw = rng.normal(size=(steps, len(GLOSSES) + 1)) * sharpness
    raw[:, 0] += blank
    table = np.asarray(raw - np.logaddexp.reduce(raw, axis=1, keepdims=True), np.float32)
    resting = [bool(draw < rest) for draw in rng.random(steps)]
    running = transcript(agree_s=agree_s, sure=sure, longest=longest)
    revisions: list[Revision] = []
    for first in range(0, steps, chunk):
        revisions += running.push(table[first : first + chunk], resting=resting[first : first + chunk])
    last = running.finish()
    check([*revisions, *([last] if last else [])])


def test_a_gloss_is_partial_then_stable_then_final() -> None:
    running = transcript(agree_s=0.48)
    said = running.push(spikes(0, 1, 0, 0, 0, 2, 0, 0, 0, 0))
    assert [(one.state, one.text) for one in said] == [
        ("partial", "REGEN"),
        ("stable", "REGEN"),  # three steps later
        ("partial", "REGEN WIND"),
        ("stable", "REGEN WIND"),
    ]
    first = said[1].glosses[0]
    assert (first.start_s, first.end_s) == pytest.approx((STEP_S, 2 * STEP_S))
    final = running.push(spikes(0, 0, 0), resting=True)
    assert [(one.state, one.text, one.utterance) for one in final] == [("final", "REGEN WIND", 0)]
    assert running.push(spikes(0, 0, 0), resting=True) == []
    following = running.push(spikes(3))
    assert [(one.utterance, one.revision, one.text) for one in following] == [(1, 0, "SCHNEE")]
    assert following[0].glosses[0].start_s == pytest.approx(16 * STEP_S)  # stream time goes on


def test_a_pause_ends_an_utterance_although_the_hands_are_up() -> None:
    running = transcript(pause_s=0.8)
    said = running.push(spikes(1, *[0] * 8))
    assert [one.state for one in said] == ["partial", "stable", "final"]
    assert said[-1].glosses == said[1].glosses


def test_a_change_of_mind_shows_until_it_is_stable() -> None:
    running = transcript(agree_s=0.48)
    doubt = spikes(1, sure=0.55)
    other = spikes(2, 2, sure=0.9)
    said = running.push(np.concatenate([doubt, other, spikes(0, 0, 0, 0)]))
    assert said[0].state == "partial"
    assert {one.text for one in said if one.state == "partial"} >= {"REGEN", "REGEN WIND"}
    check([*said, *filter(None, [running.finish()])])


def test_what_was_only_partial_and_vanishes_is_taken_back_in_words() -> None:
    running = transcript(agree_s=10.0)
    # a faint gloss leads for a moment; then resting hands, and nothing else was ever signed
    with np.errstate(divide="ignore"):
        faint = np.log(np.array([[0.45, 0.55, 0, 0], [0.9, 0, 0.1, 0]], np.float32))
    said = running.push(faint)
    assert said[0].text == "REGEN"
    last = running.finish()
    assert last is not None
    assert last.state == "final"


def test_an_endless_utterance_is_cut_and_the_search_goes_on() -> None:
    running = transcript(agree_s=0.16, longest=4)
    said = running.push(spikes(*[1, 0, 2, 0, 3, 0] * 8))
    finals = [one for one in said if one.state == "final"]
    assert all(len(one.glosses) == 4 for one in finals)
    last = running.finish()
    line = [gloss.gloss for one in [*finals, *([last] if last else [])] for gloss in one.glosses]
    assert line == list(GLOSSES) * 8
    check([*said, *([last] if last else [])])


def test_nothing_signed_is_nothing_said() -> None:
    running = transcript()
    assert running.push(spikes(*[0] * 40)) == []
    assert running.finish() is None


def test_resting_must_be_told_for_each_step() -> None:
    with pytest.raises(ValueError, match="for 2 steps, not 1"):
        transcript().push(spikes(0, 0), resting=[True])
    with pytest.raises(ValueError, match="times must not be negative"):
        Patience(agree_s=-1)
