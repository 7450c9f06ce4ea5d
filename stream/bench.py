"""Measures a run of the pipeline: latency of every tick, drops, CPU time and memory, from the first frame on."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil

from engines.encoders import Encoder
from stream.events import Percentiles, StageLatency, Status
from stream.gallery import Exemplars, Gallery, Impostors, Sign, Take
from stream.latency import percentiles
from stream.pipeline import Pipeline
from stream.view import Observation

WARM_UP_S = 1.0
"""Left out of the steady state, as the budget in DESIGN.md section 7 has it."""
STAND_IN_SIGNS = 100


def stand_in_gallery(folder: Path, encoders: Sequence[Encoder]) -> Path:
    """Save a gallery of made-up exemplars that no sign comes near: without a gallery, encoders have nothing to do."""
    rng = np.random.default_rng(0)
    chance = {one.name: Impostors(mean=0.0, deviation=float(one.dimension) ** -0.5) for one in encoders}
    exemplars = {}
    for encoder in encoders:
        vectors = rng.standard_normal((STAND_IN_SIGNS, encoder.dimension)).astype(np.float32)
        exemplars[encoder.name] = Exemplars(
            encoder.fingerprint,
            vectors / np.linalg.norm(vectors, axis=1, keepdims=True),
            np.arange(STAND_IN_SIGNS, dtype=np.int32),
            np.full(STAND_IN_SIGNS, 16, np.int32),
        )
    glosses = [f"STAND-IN-{number:03}" for number in range(STAND_IN_SIGNS)]
    Gallery(
        path=folder,
        signs=tuple(Sign(gloss=gloss, threshold=1e6, impostors=chance) for gloss in glosses),
        takes=tuple(
            Take(
                gloss=gloss,
                clip="",
                first_tick=0,
                last_tick=16,
                estimator="none",
                enrolled_utc="1970-01-01T00:00:00+00:00",
                landmarks="",
            )
            for gloss in glosses
        ),
        exemplars=exemplars,
    ).save()
    return folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The process once a second."""

    at_s: float  # since the first tick
    rss_mb: float
    cpu_s: float  # CPU time of the process since its start
    ticks: int
    dropped: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What a run showed. Percentiles are over all ticks after the warm-up."""

    seconds: float
    ticks: int
    fps_processed: float
    dropped_warm_up: int  # in the first second
    dropped: int  # after it
    processing_ms: Percentiles
    first_tick_s: float  # from the pipeline's start to its first finished tick
    cpu_ms_per_tick: float
    rss_growth_mb: (
        float | None
    )  # newest ten samples against those after the first minute; None for shorter runs
    latency_growth_ms: (
        float | None
    )  # p50 of the last against that of the second minute; None for shorter runs
    degradation: int  # highest level seen
    stages: dict[str, StageLatency]
    samples: tuple[Sample, ...] = ()
    tick_s: tuple[float, ...] = ()  # since the first tick
    tick_processing_ms: tuple[float, ...] = ()


@dataclass(slots=True)
class TickLog:
    """Takes the observer's calls: when each tick was done and how long it took."""

    done_ns: list[int] = field(default_factory=list)
    processing_ms: list[float] = field(default_factory=list)

    def note(self, observation: Observation) -> None:
        """Note one finished tick."""
        now_ns = time.monotonic_ns()
        self.done_ns.append(now_ns)
        self.processing_ms.append((now_ns - observation.tick.captured_ns) / 1e6)


def measure(
    pipeline: Pipeline,
    log: TickLog,
    *,
    seconds: float | None,
    on_second: Callable[[float], None] | None = None,
) -> Measurement:
    """Run a pipeline and measure it.

    Args:
        pipeline: not yet started, with `log.note` as its observer.
        log: collects the ticks.
        seconds: how long to run; None until the source ends.
        on_second: called about once a second with the seconds since the first tick, for a progress bar.

    Raises:
        SignspotError: what made the run fail.
        ValueError: no tick was finished.
    """
    process = psutil.Process()
    samples: list[Sample] = []
    start_ns, start_cpu_s = time.monotonic_ns(), _cpu_s(process)
    levels = [0]
    pipeline.start()
    ended = False
    while not ended and (seconds is None or not log.done_ns or _since_s(log.done_ns[0]) < seconds):
        ended = pipeline.wait(1.0)
        if not log.done_ns:
            continue
        status = pipeline.status
        samples.append(
            Sample(
                at_s=_since_s(log.done_ns[0]),
                rss_mb=process.memory_info().rss / 2**20,
                cpu_s=_cpu_s(process) - start_cpu_s,
                ticks=len(log.done_ns),
                dropped=sum(status.frames_dropped.values()) if status else 0,
            )
        )
        levels.append(status.degradation.level if status else 0)
        if on_second is not None:
            on_second(samples[-1].at_s)
    if not log.done_ns:
        raise ValueError("the source gave no frame to measure")
    return _summary(log, samples, start_ns, levels, pipeline.status)


def _summary(
    log: TickLog, samples: Sequence[Sample], start_ns: int, levels: Sequence[int], status: Status | None
) -> Measurement:
    at_s = (np.array(log.done_ns) - log.done_ns[0]) / 1e9
    processing = np.array(log.processing_ms)
    steady = at_s > WARM_UP_S
    if not steady.any():
        steady[:] = True
    spread = percentiles(processing[steady])
    assert spread is not None  # noqa: S101  (there is at least one tick)
    warm = next((s for s in samples if s.at_s >= WARM_UP_S), samples[0])
    last = samples[-1]
    dropped_at = warm.dropped
    minute = [s.rss_mb for s in samples if 60 <= s.at_s < 70]
    growth = (
        float(np.median([s.rss_mb for s in samples[-10:]]) - np.median(minute))
        if len(samples) > 120
        else None
    )
    second = processing[(at_s >= 60) & (at_s < 120)]
    latest = processing[at_s >= at_s[-1] - 60]
    ticks = last.ticks - warm.ticks
    return Measurement(
        seconds=float(at_s[-1]),
        ticks=len(at_s),
        fps_processed=float((steady.sum() - 1) / max(at_s[-1] - at_s[steady][0], 1e-9)),
        dropped_warm_up=dropped_at,
        dropped=last.dropped - dropped_at,
        processing_ms=spread,
        first_tick_s=(log.done_ns[0] - start_ns) / 1e9,
        cpu_ms_per_tick=(last.cpu_s - warm.cpu_s) * 1e3 / ticks if ticks > 0 else float("nan"),
        rss_growth_mb=growth,
        latency_growth_ms=float(np.median(latest) - np.median(second)) if growth is not None else None,
        degradation=max(levels),
        stages=dict(status.stages) if status else {},
        samples=tuple(samples),
        tick_s=tuple(float(x) for x in at_s),
        tick_processing_ms=tuple(float(x) for x in processing),
    )


def _since_s(then_ns: int) -> float:
    return (time.monotonic_ns() - then_ns) / 1e9


def _cpu_s(process: psutil.Process) -> float:
    used = process.cpu_times()
    return float(used.user + used.system)


def peak_rss_mb() -> float:
    """Highest resident memory of this process so far, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
