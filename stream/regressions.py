"""Two reports of `signspot bench` side by side: what became slower, beyond what such runs waver by themselves."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Verdict = Literal["worse", "better", "same"]

LEAST_CHANGE = 0.10
"""A ratio nearer to 1 than this is never told as a change."""
DEVIATIONS = 3.0
"""A change has to exceed so many standard errors of both runs."""
TAIL = 2.0
"""Tails (p95) waver more than medians."""
LEAST_MS = 0.3
"""A change of less than this is no change, whatever its ratio: a stage of 0.1 ms wavers by itself."""
DROPPED_SHARE = 0.01
"""Frames dropped more than before, as a share of the ticks, from which it is a regression."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One figure then and now."""

    streams: int
    name: str  # as "processing_ms p50"
    then: float
    now: float
    limit: float  # ratio beyond which (or below the inverse of which) it counts as a change
    verdict: Verdict

    @property
    def ratio(self) -> float:
        """Now by then."""
        return self.now / self.then if self.then else math.inf


def runs_of(report: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The runs of a report, one for each number of streams; reports of before there were several hold one.

    Raises:
        KeyError, TypeError: it is no report.
    """
    runs = list(report["runs"]) if "runs" in report else [{"streams": 1, **report}]
    for run in runs:
        run["processing_ms"]["p50"], run["stages"].items()
    return runs


def compare(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[Change]:
    """Every figure that both reports have, for the numbers of streams that both have."""
    before = {run["streams"]: run for run in runs_of(then)}
    changes: list[Change] = []
    for run in runs_of(now):
        old = before.get(run["streams"])
        if old is not None:
            changes += _compared(old, run)
    return changes


def wavering(run: Mapping[str, Any]) -> float:
    """Relative standard error of a run's median latency, from the medians of its parts; 0 where it has none."""
    blocks = np.array(run.get("block_p50_ms") or [])
    if len(blocks) < 3 or not np.median(blocks):
        return 0.0
    deviation = 1.4826 * np.median(
        np.abs(blocks - np.median(blocks))
    )  # of a normal distribution, from its median
    return float(deviation / np.median(blocks))


def _compared(old: Mapping[str, Any], run: Mapping[str, Any]) -> Iterator[Change]:
    noise = math.hypot(wavering(old), wavering(run))
    streams = int(run["streams"])

    def change(
        name: str, then: float | None, now: float | None, *, scale: float = 1.0, floor: float = LEAST_MS
    ) -> Iterator[Change]:
        if then is None or now is None or not math.isfinite(then) or not math.isfinite(now):
            return
        limit = 1 + scale * max(LEAST_CHANGE, DEVIATIONS * noise)
        verdict: Verdict = "same"
        if abs(now - then) >= floor and now > then * limit:
            verdict = "worse"
        elif abs(now - then) >= floor and then > now * limit:
            verdict = "better"
        yield Change(streams=streams, name=name, then=then, now=now, limit=limit, verdict=verdict)

    for name in ("p50", "p95"):
        scale = TAIL if name == "p95" else 1.0
        yield from change(
            f"processing_ms {name}", old["processing_ms"][name], run["processing_ms"][name], scale=scale
        )
    yield from change("cpu_ms_per_tick", old.get("cpu_ms_per_tick"), run.get("cpu_ms_per_tick"))
    for stage, figures in run["stages"].items():
        if stage in old["stages"]:
            then = old["stages"][stage]["work_ms"]["p50"]
            yield from change(f"{stage} work p50", then, figures["work_ms"]["p50"])
    then, now = (one.get("fps_processed") for one in (old, run))
    if then and now:
        yield from change("ms between ticks", 1e3 / then, 1e3 / now)
    if "dropped" in old and "dropped" in run:
        then, now = (one["dropped"] / max(one["ticks"], 1) for one in (old, run))
        verdict: Verdict = (
            "worse" if now - then > DROPPED_SHARE else "better" if then - now > DROPPED_SHARE else "same"
        )
        yield Change(
            streams=streams,
            name="share of frames dropped",
            then=then,
            now=now,
            limit=1 + DROPPED_SHARE,
            verdict=verdict,
        )


def other_conditions(then: Mapping[str, Any], now: Mapping[str, Any]) -> Sequence[str]:
    """What was not the same in two reports, so that their ratios do not tell of the code alone; a line each."""
    return [
        f"{name}: {old} then, {new} now"
        for name, old, new in (
            ("processor", then["machine"].get("cpu"), now["machine"].get("cpu")),
            ("cores", then["machine"].get("cores"), now["machine"].get("cores")),
            ("device", then["machine"].get("device"), now["machine"].get("device")),
            ("runtime", then["machine"].get("runtime"), now["machine"].get("runtime")),
            ("precision", then["machine"].get("precision"), now["machine"].get("precision")),
            ("threads", then.get("threads"), now.get("threads")),
            ("gallery", then.get("gallery"), now.get("gallery")),
            ("source", then.get("source"), now.get("source")),
            ("pose", then.get("pose"), now.get("pose")),
            ("encoders", then.get("encoders"), now.get("encoders")),
        )
        if old is not None and old != new
    ]
