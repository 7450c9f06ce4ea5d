"""Where time goes: how long items waited for each stage and how long it worked on them."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Iterable, Sequence

import numpy as np
import psutil
from numpy.typing import NDArray

from stream.events import Percentiles, StageLatency

MEMORY = 1024
"""Items that percentiles of what is now are taken over: about 40 s of ticks."""
LEAST_MS, GROWTH, STEPS = 1e-3, 1.02, 1024
"""Of the steps in which everything since the start is counted: a percentile of them is off by 1% at most, up to 11 minutes."""


def percentiles(values_ms: Iterable[float] | NDArray[np.float64]) -> Percentiles | None:
    """p50, p95, p99 and max in milliseconds, or None where there is nothing to measure."""
    values = np.fromiter(values_ms, float) if not isinstance(values_ms, np.ndarray) else values_ms
    if not len(values):
        return None
    p50, p95, p99 = np.percentile(values, [50, 95, 99])
    return Percentiles(p50=float(p50), p95=float(p95), p99=float(p99), max=float(values.max()))


class Meter:
    """Measurements of one quantity, in fixed memory. Written by one thread, read by any."""

    __slots__ = ("_count", "_counts", "_max", "_values")

    def __init__(self) -> None:
        self._values = np.zeros(MEMORY)
        self._counts = np.zeros(STEPS, np.int64)  # of all since the start, by their size
        self._max = 0.0
        self._count = 0

    @property
    def count(self) -> int:
        """Measurements since the start."""
        return self._count

    def add(self, value_ms: float) -> None:
        """Note one measurement, in milliseconds."""
        self._values[self._count % MEMORY] = value_ms
        self._count += 1
        step = math.ceil(math.log(value_ms / LEAST_MS, GROWTH)) if value_ms > LEAST_MS else 0
        self._counts[min(step, STEPS - 1)] += 1
        self._max = max(self._max, value_ms)

    def recent(self) -> NDArray[np.float64]:
        """The newest measurements (up to `MEMORY` of them), in no particular order, milliseconds."""
        return self._values[: min(self._count, MEMORY)].copy()


class StageMeters:
    """Waits and works of every stage, by name, in the order in which the stages were first seen."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._meters: dict[str, tuple[Meter, Meter]] = {}

    def note(self, stage: str, *, wait_ms: float, work_ms: float) -> None:
        """Note that one item waited and was worked on, in milliseconds."""
        pair = self._meters.get(stage)
        if pair is None:
            with self._lock:
                pair = self._meters.setdefault(stage, (Meter(), Meter()))
        pair[0].add(wait_ms)
        pair[1].add(work_ms)

    def clear(self) -> None:
        """Forget what was measured so far, a warm-up say."""
        with self._lock:
            self._meters = {}

    def report(self) -> dict[str, StageLatency]:
        """Percentiles of each stage's newest waits and works."""
        found = {}
        for name, (wait, work) in self._taken().items():
            wait_ms, work_ms = percentiles(wait.recent()), percentiles(work.recent())
            if wait_ms is not None and work_ms is not None:
                found[name] = StageLatency(wait_ms=wait_ms, work_ms=work_ms, count=work.count)
        return found

    def _taken(self) -> dict[str, tuple[Meter, Meter]]:
        with self._lock:
            return dict(self._meters)


def joint_report(meters: Iterable[StageMeters]) -> dict[str, StageLatency]:
    """Percentiles of each stage's wait and work over several streams, of all since the start; within 1%."""
    found: dict[str, list[tuple[Meter, Meter]]] = {}
    for one in meters:
        for name, pair in one._taken().items():
            found.setdefault(name, []).append(pair)
    report = {}
    for name, pairs in found.items():
        wait_ms = overall([wait for wait, _ in pairs])
        work_ms = overall([work for _, work in pairs])
        if wait_ms is not None and work_ms is not None:
            count = sum(work.count for _, work in pairs)
            report[name] = StageLatency(wait_ms=wait_ms, work_ms=work_ms, count=count)
    return report


def overall(meters: Sequence[Meter]) -> Percentiles | None:
    """p50, p95, p99 (within 1%) and max of everything that meters were told since the start, milliseconds."""
    counts = np.sum([meter._counts for meter in meters], axis=0)
    total = int(counts.sum())
    if not total:
        return None
    most = max(meter._max for meter in meters)
    steps = np.searchsorted(np.cumsum(counts), np.array([0.50, 0.95, 0.99]) * total)
    middles = np.where(steps > 0, LEAST_MS * GROWTH ** (steps - 0.5), 0.0)
    p50, p95, p99 = np.minimum(middles, most).tolist()
    return Percentiles(p50=p50, p95=p95, p99=p99, max=most)


class Rate:
    """Events a second over the last few seconds."""

    def __init__(self, window_s: float = 5.0) -> None:
        self._window_ns = int(window_s * 1e9)
        self._stamps_ns = np.zeros(2048, np.int64)
        self._count = 0

    def add(self, at_ns: int) -> None:
        """Note one event at a time of the monotonic clock."""
        self._stamps_ns[self._count % len(self._stamps_ns)] = at_ns
        self._count += 1

    def per_second(self, now_ns: int) -> float:
        """Events a second over the window that ends now; over a shorter one just after the first event."""
        stamps = self._stamps_ns[: min(self._count, len(self._stamps_ns))]
        recent = stamps[stamps > now_ns - self._window_ns]
        if len(recent) < 2:
            return 0.0
        span_ns = max(now_ns - int(recent.min()), 1)
        return float((len(recent) - 1) / span_ns * 1e9)


class ProcessCost:
    """CPU time of the whole process for each tick, over all of its streams. Safe from any thread.

    Args:
        window_s: how far back the mean reaches.
    """

    def __init__(self, window_s: float = 5.0) -> None:
        self._window_ns = int(window_s * 1e9)
        self._process = psutil.Process()
        self._lock = threading.Lock()
        self._ticks = 0
        self._known: deque[tuple[int, float, int]] = deque()  # when, CPU seconds, ticks

    def tick(self) -> None:
        """Note a tick of any stream."""
        with self._lock:
            self._ticks += 1

    def ms_per_tick(self, now_ns: int) -> float | None:
        """Milliseconds of CPU a tick since about `window_s` ago; None while there was no tick to share it."""
        used = self._process.cpu_times()
        with self._lock:
            self._known.append((now_ns, used.user + used.system, self._ticks))
            while len(self._known) > 2 and now_ns - self._known[1][0] >= self._window_ns:
                self._known.popleft()
            (_, cpu_then, ticks_then), (_, cpu_now, ticks_now) = self._known[0], self._known[-1]
        ticks = ticks_now - ticks_then
        return (cpu_now - cpu_then) * 1e3 / ticks if ticks > 0 else None
