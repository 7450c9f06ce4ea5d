"""The latency that is shown must be the latency that was."""

from __future__ import annotations

import numpy as np
import pytest

from stream.events import Percentiles
from stream.latency import MEMORY, Meter, Rate, StageMeters, joint_report, percentiles


def test_percentiles_of_a_known_distribution() -> None:
    found = percentiles([float(x) for x in range(101)])
    assert found is not None
    assert (found.p50, found.p95, found.p99, found.max) == (50.0, 95.0, 99.0, 100.0)


def test_nothing_measured_is_none_and_not_zero() -> None:
    assert percentiles([]) is None


def test_a_meter_keeps_the_newest_in_fixed_memory() -> None:
    meter = Meter()
    for value in range(3 * MEMORY):
        meter.add(float(value))
    assert meter.count == 3 * MEMORY
    assert meter.recent().min() == 2 * MEMORY


def test_waits_and_works_are_kept_apart() -> None:
    meters = StageMeters()
    for _ in range(10):
        meters.note("pose", wait_ms=3.0, work_ms=30.0)
    report = meters.report()["pose"]
    assert (report.wait_ms.p50, report.work_ms.p50, report.count) == (3.0, 30.0, 10)


def test_percentiles_of_a_whole_run_are_right_to_a_hundredth_however_long_it_was() -> None:
    rng = np.random.default_rng(0)
    streams = [StageMeters(), StageMeters()]
    works = [rng.lognormal(2, 1, 20 * MEMORY), rng.lognormal(4, 0.3, 5 * MEMORY)]
    for meters, values in zip(streams, works, strict=True):
        for value in values:
            meters.note("pose", wait_ms=0.0, work_ms=float(value))
    report = joint_report(streams)["pose"]
    every = np.concatenate(works)
    assert report.count == len(every)
    assert report.wait_ms == Percentiles(p50=0.0, p95=0.0, p99=0.0, max=0.0)
    for name, share in (("p50", 50), ("p95", 95), ("p99", 99)):
        assert getattr(report.work_ms, name) == pytest.approx(np.percentile(every, share), rel=0.011)
    assert report.work_ms.max == every.max()
    assert joint_report([StageMeters()]) == {}


@pytest.mark.parametrize("fps", [12.0, 25.0, 60.0])
def test_a_rate_is_what_arrives_in_a_second(fps: float) -> None:
    rate = Rate()
    for index in range(int(fps * 8)):
        rate.add(int(index / fps * 1e9))
    assert rate.per_second(int(8e9)) == pytest.approx(fps, rel=0.05)


def test_a_rate_falls_to_zero_when_nothing_comes() -> None:
    rate = Rate()
    for index in range(100):
        rate.add(index * 40_000_000)
    assert rate.per_second(60_000_000_000) == 0.0
