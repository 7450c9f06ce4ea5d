"""The figures of `signspot evaluate spotting`: what each video gave, and what all of them come to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from calibration.evaluation.closed import Counts, answer_all, count
from calibration.evaluation.playing import Played
from calibration.evaluation.ranks import Ranked, rank, top
from calibration.evaluation.rates import poisson_bounds
from calibration.evaluation.spotting import Matching, Sign, Tally, match, tally
from engines.ticks import TICK_S
from stream.spotting import Spotted

LOOSE, TIGHT = 0.2, 0.5
OVERLAPS = (LOOSE, TIGHT)
"""Intersection over union in time from which on a detection counts; a false alarm is one that misses the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoResult:
    """One video against its annotations."""

    name: str
    signs: tuple[Sign, ...]
    detections: tuple[Spotted, ...]
    length_s: float
    matchings: Mapping[float, Matching]  # by overlap
    closed: Counts
    answers: Mapping[str, Sign]  # to the closed queries
    ranked: tuple[Ranked, ...]  # one a sign
    latencies_ms: tuple[float, ...]  # stream time from a detection's end to the tick that decided it
    true_latencies_ms: tuple[float, ...]  # the same from the annotated end of the sign that was found
    swept: Mapping[float, tuple[int, int]]  # shift of the thresholds -> signs found, false alarms


def result_of(
    name: str, signs: Sequence[Sign], played: Played, glosses: Sequence[str], same: Iterable[Sequence[str]]
) -> VideoResult:
    """Hold one played video against its annotations.

    Args:
        name: of the video.
        signs: what is signed in it.
        played: what the live path made of it.
        glosses: the gallery's.
        same: groups of glosses that count as one.
    """
    same = tuple(same)
    detections = played.detections
    matchings = {overlap: match(detections, signs, iou=overlap, same=same) for overlap in OVERLAPS}
    answers = answer_all(played.windows, glosses, signs, same=same)
    swept = {shift: match(found, signs, iou=LOOSE, same=same) for shift, found in played.swept.items()}
    return VideoResult(
        name=name,
        signs=tuple(signs),
        detections=detections,
        length_s=played.length_s,
        matchings=matchings,
        closed=count(answers, signs, same=same),
        answers=answers,
        ranked=tuple(rank(played.windows, glosses, sign, same=same) for sign in signs),
        latencies_ms=tuple(_latency_ms(one, one.end_s) for one in played.spotted),
        true_latencies_ms=tuple(
            _latency_ms(detections[number], signs[index].end_s)
            for number, index in matchings[LOOSE].pairs
            if number < len(played.spotted)
        ),
        swept={shift: (len(found.pairs), len(found.false_alarms)) for shift, found in swept.items()},
    )


def _latency_ms(one: Spotted, end_s: float) -> float:
    return (one.newest_tick * TICK_S - end_s) * 1000


def tallies(results: Sequence[VideoResult]) -> dict[float, Tally]:
    """Hits of all videos, by overlap."""
    return {overlap: tally(one.matchings[overlap] for one in results) for overlap in OVERLAPS}


def figures(results: Sequence[VideoResult]) -> dict[str, Any]:
    """All figures by name, rounded for JSON; a rate without exposure and a median of nothing are None.

    Latencies are stream time, as for a file that is played at full speed: from the end of a detection to the tick at
    which it was decided. What the machine costs comes on top (`processing_ms` of an event, `signspot bench`).
    Detections that only the end of a video decided have none.
    """
    closed = sum((one.closed for one in results), Counts())
    at = tallies(results)
    ranked = [one for result in results for one in result.ranked]
    false_alarms = at[LOOSE].detections - at[LOOSE].hits
    seconds = sum(one.length_s for one in results)
    minutes = seconds / 60
    low, high = poisson_bounds(false_alarms)
    rates = [round(n / minutes, 4) if minutes else None for n in (false_alarms, low, high)]
    return {
        "videos": len(results),
        "signs": at[LOOSE].signs,
        "closed": {
            **_shares(closed),
            "queries": round(closed.hits + closed.misses),
        },
        "open": {
            **_shares(at[LOOSE]),
            "top1": round(top(ranked, 1), 4),
            "top5": round(top(ranked, 5), 4),
            "detections": at[LOOSE].detections,
            "false_alarms": false_alarms,
            "false_alarms_per_minute": rates[0],
            "false_alarms_per_minute_95": rates[1:],
            "exposure_minutes": round(minutes, 4),
            "seconds": round(seconds, 3),
            "latency_ms_p50": _median(ms for one in results for ms in one.latencies_ms),
            "latency_from_truth_ms_p50": _median(ms for one in results for ms in one.true_latencies_ms),
            **{f"iou{overlap}": _shares(one) for overlap, one in at.items()},
        },
    }


def _shares(one: Tally | Counts) -> dict[str, float]:
    return {"precision": round(one.precision, 4), "recall": round(one.recall, 4), "f1": round(one.f1, 4)}


def _median(values: Iterable[float]) -> float | None:
    known = list(values)
    return round(float(np.median(known)), 1) if known else None
