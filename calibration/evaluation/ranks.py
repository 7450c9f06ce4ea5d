"""Open-set ranks: how many glosses of the gallery are nearer to an annotated sign than its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from calibration.evaluation.playing import WindowScores
from calibration.evaluation.spotting import Sign, one_name

OVERLAP = 0.5
"""Windows that overlap the true interval with a greater intersection over union say which gloss it is."""


@dataclass(frozen=True, slots=True)
class Ranked:
    """How the gallery's glosses rank at one annotated sign."""

    sign: Sign
    rank: (
        int | None
    )  # of its gloss, 0 for the first; None: not in the gallery, or no window overlaps the sign
    first: str | None  # the gloss that ranks first


def rank(
    windows: WindowScores, glosses: Sequence[str], sign: Sign, *, same: Iterable[Sequence[str]] = ()
) -> Ranked:
    """Rank the glosses by their best window among those that overlap the sign with IoU > 0.5.

    If there is none, those that overlap it most are taken. A gloss that is just as near as the true one ranks before
    it.

    Args:
        windows: of the video.
        glosses: the gallery's, in the order of the scores' columns.
        sign: an annotated sign of the video.
        same: groups of glosses that count as one; the best of a group counts for all.
    """
    names = one_name(same)
    overlaps = _overlaps(windows, sign)
    most = overlaps.max(initial=0.0)
    if most <= 0.0:
        return Ranked(sign, None, None)
    inside = overlaps > OVERLAP if most > OVERLAP else overlaps == most
    best: dict[str, float] = {}
    for gloss, value in zip(glosses, windows.excess[inside].max(axis=0).tolist(), strict=True):
        name = names.get(gloss, gloss)
        best[name] = max(value, best.get(name, -np.inf))
    first = max(best, key=lambda name: best[name])
    mine = names.get(sign.gloss, sign.gloss)
    if mine not in best:
        return Ranked(sign, None, first)
    return Ranked(sign, sum(value >= best[mine] for value in best.values()) - 1, first)


def top(ranked: Sequence[Ranked], k: int) -> float:
    """Share of the signs whose gloss is among the first k; 0 when there are none."""
    return sum(one.rank is not None and one.rank < k for one in ranked) / len(ranked) if ranked else 0.0


def _overlaps(windows: WindowScores, sign: Sign) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Intersection over union (N,) of every window with the sign."""
    begin, end = windows.spans_s.T
    shared = np.minimum(end, sign.end_s) - np.maximum(begin, sign.start_s)
    union = np.maximum(end, sign.end_s) - np.minimum(begin, sign.start_s)
    return np.asarray(np.maximum(shared, 0.0) / union)
