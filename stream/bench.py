"""Measures a run of one stream or several: latency of every tick, drops, CPU time, GPU and memory, from the first frame on."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil

from engines.encoders import Encoder
from engines.errors import SourceError
from stream.events import Percentiles, StageLatency
from stream.fleet import Fleet
from stream.gallery import Exemplars, Gallery, Impostors, Sign, Take
from stream.latency import joint_report, percentiles
from stream.pipeline import Pipeline
from stream.view import Observation

WARM_UP_S = 1.0
"""Left out of the steady state, as the budget in DESIGN.md section 7 has it."""
STAND_IN_SIGNS = 100
BLOCKS = 10
"""Parts of the steady state whose medians tell how much a run wavers by itself."""


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
class GpuSample:
    """One NVIDIA GPU, as nvidia-smi tells it."""

    name: str
    busy_percent: float
    memory_mib: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The process once a second."""

    at_s: float  # since the first tick
    rss_mb: float
    cpu_s: float  # CPU time of the process since its start
    ticks: int  # of all streams
    dropped: int
    gpu: GpuSample | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What a run showed, over all of its streams. Percentiles and stages are over what came after the warm-up."""

    streams: int
    seconds: float
    ticks: int
    fps_processed: float  # of the slowest stream
    dropped_warm_up: int  # in the first second
    dropped: int  # after it
    processing_ms: Percentiles
    warm_up_ms: Percentiles | None  # the same in the first second
    block_p50_ms: tuple[float, ...]  # medians of processing_ms in ten parts of the steady state
    first_tick_s: float  # from the start of the streams to the first finished tick
    start_up_s: float  # from the start of the process, imports and models included, to the same tick
    cpu_ms_per_tick: float
    peak_rss_mib: float  # highest sample
    rss_growth_mb: (
        float | None
    )  # newest ten samples against those after the first minute; None for shorter runs
    latency_growth_ms: (
        float | None
    )  # p50 of the last against that of the second minute; None for shorter runs
    degradation: int  # highest level seen
    gpu_busy_percent: float | None  # mean after the warm-up; None without an NVIDIA GPU
    gpu_memory_mib: float | None  # highest
    stages: dict[str, StageLatency]
    samples: tuple[Sample, ...] = ()
    tick_s: tuple[float, ...] = ()  # since the first tick
    tick_processing_ms: tuple[float, ...] = ()


@dataclass(slots=True)
class TickLog:
    """Takes the observer's calls of one stream: when each tick was done and how long it took."""

    done_ns: list[int] = field(default_factory=list)
    processing_ms: list[float] = field(default_factory=list)

    def note(self, observation: Observation) -> None:
        """Note one finished tick."""
        now_ns = time.monotonic_ns()
        self.done_ns.append(now_ns)
        self.processing_ms.append((now_ns - observation.tick.captured_ns) / 1e6)


def gpu_now() -> GpuSample | None:
    """The first NVIDIA GPU at this moment; None where there is none, or nvidia-smi does not tell."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    asked = ["--query-gpu=name,utilization.gpu,memory.used", "--format=csv,noheader,nounits"]
    try:
        told = subprocess.run([program, *asked], capture_output=True, text=True, timeout=5, check=True)
        name, busy, memory = told.stdout.splitlines()[0].rsplit(",", 2)
        return GpuSample(name=name.strip(), busy_percent=float(busy), memory_mib=float(memory))
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None


def measure(
    pipelines: Mapping[str, Pipeline],
    logs: Mapping[str, TickLog],
    *,
    seconds: float | None,
    on_second: Callable[[float], None] | None = None,
) -> Measurement:
    """Run pipelines at a time and measure them.

    Args:
        pipelines: by the streams' names; not yet started, each with its log's `note` as observer.
        logs: by the streams' names; collect the ticks.
        seconds: how long to run; None until the sources end.
        on_second: called about once a second with the seconds since the first tick, for a progress bar.

    Raises:
        SourceError: a stream gave no tick.
        SignspotError: what made a stream fail.
    """
    process = psutil.Process()
    failures: dict[str, Exception] = {}
    fleet = Fleet(pipelines, failures.__setitem__)
    samples: list[Sample] = []
    start_ns, start_cpu_s = time.monotonic_ns(), _cpu_s(process)
    levels = [0]
    warm = ended = False
    has_gpu = gpu_now() is not None
    fleet.start()
    while not ended and not failures:
        ended = fleet.wait(1.0 if warm else 0.1)
        if not all(log.done_ns for log in logs.values()):
            continue
        first_ns = max(log.done_ns[0] for log in logs.values())
        if not warm and _since_s(first_ns) >= WARM_UP_S:
            warm = True
            for pipeline in pipelines.values():
                pipeline.meters.clear()
        if samples and not ended and _since_s(first_ns) - samples[-1].at_s < 0.9:
            continue
        statuses = [pipeline.status for pipeline in pipelines.values()]
        samples.append(
            Sample(
                at_s=_since_s(first_ns),
                rss_mb=process.memory_info().rss / 2**20,
                cpu_s=_cpu_s(process) - start_cpu_s,
                ticks=sum(len(log.done_ns) for log in logs.values()),
                dropped=sum(sum(status.frames_dropped.values()) for status in statuses if status),
                gpu=gpu_now() if has_gpu else None,
            )
        )
        levels += [status.degradation.level for status in statuses if status]
        if on_second is not None:
            on_second(samples[-1].at_s)
        if seconds is not None and samples[-1].at_s >= seconds:
            break
    for error in failures.values():
        raise error
    silent = [name for name, log in logs.items() if not log.done_ns]
    if silent:
        raise SourceError(f"the source of {', '.join(silent)} gave no frame to measure: is it a video?")
    return _summary(list(logs.values()), samples, start_ns, levels, list(pipelines.values()))


def _summary(
    logs: Sequence[TickLog],
    samples: Sequence[Sample],
    start_ns: int,
    levels: Sequence[int],
    pipelines: Sequence[Pipeline],
) -> Measurement:
    first_ns = max(log.done_ns[0] for log in logs)
    earliest_ns = min(log.done_ns[0] for log in logs)
    done = np.concatenate([np.array(log.done_ns) for log in logs])
    processing = np.concatenate([np.array(log.processing_ms[: len(log.done_ns)]) for log in logs])
    order = np.argsort(done, kind="stable")
    at_s, processing = (done[order] - first_ns) / 1e9, processing[order]
    steady = at_s > WARM_UP_S
    if not steady.any():
        steady[:] = True
    spread = percentiles(processing[steady])
    assert spread is not None  # noqa: S101  (there is at least one tick)
    warm = next((s for s in samples if s.at_s >= WARM_UP_S), samples[0])
    last = samples[-1]
    minute = [s.rss_mb for s in samples if 60 <= s.at_s < 70]
    growth = (
        float(np.median([s.rss_mb for s in samples[-10:]]) - np.median(minute))
        if len(samples) > 120
        else None
    )
    second = processing[(at_s >= 60) & (at_s < 120)]
    latest = processing[at_s >= at_s[-1] - 60]
    ticks = last.ticks - warm.ticks
    gpus = [s.gpu for s in samples if s.gpu is not None]
    return Measurement(
        streams=len(logs),
        seconds=float(at_s[-1]),
        ticks=len(at_s),
        fps_processed=min(_rate(log, first_ns) for log in logs),
        dropped_warm_up=warm.dropped,
        dropped=last.dropped - warm.dropped,
        processing_ms=spread,
        warm_up_ms=percentiles(processing[~steady]),
        block_p50_ms=tuple(
            float(np.median(block)) for block in np.array_split(processing[steady], BLOCKS) if len(block)
        ),
        first_tick_s=(earliest_ns - start_ns) / 1e9,
        start_up_s=process_age_s() - _since_s(earliest_ns),
        cpu_ms_per_tick=(last.cpu_s - warm.cpu_s) * 1e3 / ticks if ticks > 0 else float("nan"),
        peak_rss_mib=max(s.rss_mb for s in samples),
        rss_growth_mb=growth,
        latency_growth_ms=float(np.median(latest) - np.median(second)) if growth is not None else None,
        degradation=max(levels),
        gpu_busy_percent=float(np.mean([gpu.busy_percent for gpu in gpus])) if gpus else None,
        gpu_memory_mib=max(gpu.memory_mib for gpu in gpus) if gpus else None,
        stages=joint_report(pipeline.meters for pipeline in pipelines),
        samples=tuple(samples),
        tick_s=tuple(float(x) for x in at_s),
        tick_processing_ms=tuple(float(x) for x in processing),
    )


def _rate(log: TickLog, first_ns: int) -> float:
    """Ticks a second of one stream after the warm-up."""
    done_s = (np.array(log.done_ns) - first_ns) / 1e9
    steady = done_s[done_s > WARM_UP_S]
    steady = steady if len(steady) > 1 else done_s
    return float((len(steady) - 1) / max(steady[-1] - steady[0], 1e-9))


def process_age_s() -> float:
    """Seconds since this process was started, before Python's first line ran."""
    if sys.platform == "linux":  # psutil reckons from the boot in whole seconds; this is right to 0.01
        started = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
        return time.clock_gettime(time.CLOCK_BOOTTIME) - int(started) / os.sysconf("SC_CLK_TCK")
    return time.time() - float(psutil.Process().create_time())


def _since_s(then_ns: int) -> float:
    return (time.monotonic_ns() - then_ns) / 1e9


def _cpu_s(process: psutil.Process) -> float:
    used = process.cpu_times()
    return float(used.user + used.system)
