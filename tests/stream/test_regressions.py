"""Two benchmarks side by side: a slower stage is told, a run's own wavering is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stream.bench import gpu_now
from stream.bench_report import in_order
from stream.regressions import compare, other_conditions, runs_of, wavering

ROOT = Path(__file__).parents[2]


def spread(p50: float) -> dict[str, float]:
    return {"p50": p50, "p95": 1.5 * p50, "p99": 2 * p50, "max": 3 * p50}


def report(
    *, latency: float = 50.0, pose: float = 25.0, cpu: float = 60.0, dropped: int = 0, waver: float = 0.0
) -> Any:
    """A report of one stream whose blocks differ by `waver` of the latency, up and down."""
    blocks = [latency * (1 + waver * sign) for sign in (-1, 1) * 5]
    stages = {
        "pose": {"work_ms": spread(pose), "wait_ms": spread(1.0)},
        "ticks": {"work_ms": spread(0.1), "wait_ms": spread(0.0)},
    }
    run = {
        "streams": 1, "processing_ms": spread(latency), "block_p50_ms": blocks, "cpu_ms_per_tick": cpu,
        "fps_processed": 25.0, "dropped": dropped, "ticks": 1000, "stages": stages,
    }  # fmt: skip
    return {"machine": {"cpu": "a"}, "source": "demo", "runs": [run]}


def verdicts(then: Any, now: Any) -> dict[str, str]:
    return {change.name: change.verdict for change in compare(then, now) if change.verdict != "same"}


def test_a_report_is_as_good_as_itself() -> None:
    assert verdicts(report(), report()) == {}


def test_a_slower_stage_is_named() -> None:
    assert verdicts(report(), report(pose=35.0)) == {"pose work p50": "worse"}
    assert verdicts(report(pose=35.0), report()) == {"pose work p50": "better"}


def test_less_than_a_tenth_is_no_change() -> None:
    assert verdicts(report(), report(latency=54.0, cpu=65.0)) == {}


def test_a_tail_may_move_twice_as_far_as_a_median() -> None:
    assert verdicts(report(), report(latency=57.0)) == {"processing_ms p50": "worse"}
    assert verdicts(report(), report(latency=70.0)) == {
        "processing_ms p50": "worse",
        "processing_ms p95": "worse",
    }


def test_what_a_run_wavers_by_itself_is_no_regression() -> None:
    """Medians of ten parts that lie 10% above and below: 1.4826 x 10% of deviation."""
    restless = report(waver=0.1)
    assert wavering(restless["runs"][0]) == pytest.approx(0.14826)
    assert verdicts(restless, report(latency=70.0, waver=0.1)) == {}
    assert verdicts(restless, report(latency=90.0, waver=0.1)) == {"processing_ms p50": "worse"}


def test_a_tenth_of_a_millisecond_is_no_regression() -> None:
    slower = report()
    slower["runs"][0]["stages"]["ticks"]["work_ms"] = spread(0.25)
    assert verdicts(report(), slower) == {}


def test_dropped_frames_are_a_regression() -> None:
    assert verdicts(report(), report(dropped=8)) == {}
    assert verdicts(report(), report(dropped=20)) == {"share of frames dropped": "worse"}


def test_only_the_numbers_of_streams_that_both_have_are_compared() -> None:
    two = report(latency=500.0)
    two["runs"][0]["streams"] = 2
    assert compare(report(), two) == []


def test_a_report_of_before_there_were_several_streams_can_be_compared() -> None:
    old = json.loads((ROOT / "tests/stream/report-of-one-run.json").read_text())
    assert [run["streams"] for run in runs_of(old)] == [1]
    assert {change.verdict for change in compare(old, old)} == {"same"}


def test_other_conditions_are_told() -> None:
    there = report()
    there["machine"]["cpu"] = "b"
    assert other_conditions(report(), there) == ["processor: a then, b now"]
    here = report() | {"threads": 1, "gallery": "g"}
    there = report() | {"threads": 2, "gallery": "h"}
    assert other_conditions(here, there) == ["threads: 1 then, 2 now", "gallery: g then, h now"]
    assert other_conditions(report(), report()) == []


def test_a_gpu_is_read_from_nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'NVIDIA H200, 37, 1234'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    found = gpu_now()
    assert found is not None
    assert (found.name, found.busy_percent, found.memory_mib) == ("NVIDIA H200", 37.0, 1234.0)
    program.write_text("#!/bin/sh\necho 'no devices were found'; exit 6\n")
    assert gpu_now() is None


def test_stages_stand_in_the_order_of_a_ticks_way() -> None:
    found = in_order(
        ["slgcn2d", "publish", "pose: hands", "windows", "pose", "similarity", "decode", "i3d", "ticks"]
    )
    assert found == [
        "decode", "pose", "pose: hands", "ticks", "windows", "i3d", "slgcn2d", "similarity", "publish",
    ]  # fmt: skip
