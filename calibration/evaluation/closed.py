"""The one-shot track's score of the ECCV 2022 Sign Spotting Challenge (OSLWL): the sign is known to be there; where?

One query per video and gloss, one answer: the best window of that gloss over the whole video. An answer that meets any
interval of the gloss is right, a wrong one is a false positive and a false negative, none at all is a false negative.
The counts of each video are averaged over 13 thresholds of overlap and summed over the videos. (Vázquez-Enríquez et
al., "ECCV 2022 Sign Spotting Challenge: Dataset, Design and Results", 2022.)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from calibration.evaluation.playing import WindowScores
from calibration.evaluation.spotting import Sign, Span, iou, meets, one_name
from engines.ticks import TICK_S
from stream.spotting import RULES, Rules, refined

THRESHOLDS = tuple(percent / 100 for percent in range(20, 81, 5))
"""Intersection over union in time that an answer has to reach: 0.20, 0.25 .. 0.80."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Right and wrong answers, averaged over the thresholds."""

    hits: float = 0.0
    false_alarms: float = 0.0
    misses: float = 0.0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.hits + other.hits,
            self.false_alarms + other.false_alarms,
            self.misses + other.misses,
        )

    @property
    def precision(self) -> float:
        """Share of the answers that are right; 0 when there are none."""
        answers = self.hits + self.false_alarms
        return self.hits / answers if answers else 0.0

    @property
    def recall(self) -> float:
        """Share of the queries that are answered right; 0 when there are none."""
        queries = self.hits + self.misses
        return self.hits / queries if queries else 0.0

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 0 when there is neither query nor answer."""
        both = 2 * self.hits + self.false_alarms + self.misses
        return 2 * self.hits / both if both else 0.0


def queries(signs: Sequence[Sign], same: Iterable[Sequence[str]] = ()) -> dict[str, tuple[Sign, ...]]:
    """The queries of one video: each gloss that is signed in it, under one name, and its intervals.

    Args:
        signs: what is signed in the video.
        same: groups of glosses that count as one.
    """
    names = one_name(same)
    asked: dict[str, list[Sign]] = {}
    for sign in signs:
        asked.setdefault(names.get(sign.gloss, sign.gloss), []).append(sign)
    return {gloss: tuple(intervals) for gloss, intervals in asked.items()}


def count(
    answers: Mapping[str, Span], signs: Sequence[Sign], *, same: Iterable[Sequence[str]] = ()
) -> Counts:
    """Score the answers to one video's queries.

    Args:
        answers: by the name that `queries` gives the gloss; one that is missing is no answer.
        signs: what is signed in the video.
        same: groups of glosses that count as one.
    """
    total = Counts()
    for gloss, intervals in queries(signs, same).items():
        answer = answers.get(gloss)
        if answer is None:
            total += Counts(misses=1.0)
            continue
        best = max(iou(answer, interval) for interval in intervals)
        right = sum(meets(best, threshold) for threshold in THRESHOLDS) / len(THRESHOLDS)
        total += Counts(right, 1 - right, 1 - right)
    return total


def answer_all(
    windows: WindowScores,
    glosses: Sequence[str],
    signs: Sequence[Sign],
    *,
    same: Iterable[Sequence[str]] = (),
) -> dict[str, Sign]:
    """Answer one video's queries; a gloss that the gallery lacks, or a video without a window, gets no answer.

    Args:
        windows: of the video.
        glosses: the gallery's, in the order of the scores' columns.
        signs: what is signed in the video; only the glosses are looked at.
        same: groups of glosses that count as one.
    """
    names = one_name(same)
    answers = {}
    for gloss in queries(signs, same):
        columns = [index for index, name in enumerate(glosses) if names.get(name, name) == gloss]
        if columns and len(windows.spans):
            answers[gloss] = answer(windows, columns, gloss)
    return answers


def answer(windows: WindowScores, columns: Sequence[int], gloss: str, *, rules: Rules = RULES) -> Sign:
    """The best window of a gloss, its begin and end refined as the live path's `Spotter` refines them.

    Of each tick the best window has a say, if it shares enough of its time with the best of all; how much of a say
    falls with what it lacks to the best.

    Args:
        windows: N >= 1 of them.
        columns: of the scores; several where glosses are one sign.
        gloss: the name to give the answer.
        rules: the spotter's.
    """
    strength = windows.excess[:, columns].max(axis=1).astype(np.float64)
    first, last = windows.spans.T
    best = int(strength.argmax())
    order = np.lexsort((-strength, last))
    _, newest = np.unique(last[order], return_index=True)
    rows = order[newest]  # the best window of each tick
    shared = np.minimum(last[rows], last[best]) - np.maximum(first[rows], first[best]) + 1
    shorter = np.minimum(last[rows] - first[rows], last[best] - first[best]) + 1
    rows = rows[shared > rules.overlap * shorter]
    say = np.exp((strength[rows] - strength[best]) / rules.soften)
    start, stop = windows.hands.settled(*refined(windows.spans[rows], say, rules))
    return Sign(gloss, start * TICK_S, stop * TICK_S)
