"""Start-up is what a user waits for: from calling the program to the first tick, imports and all."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console

from stream.bench_report import show
from stream.demo import gallery_clips

ROOT = Path(__file__).parents[2]


def test_the_age_of_a_process_counts_what_came_before_its_first_line() -> None:
    program = (
        "import time; first_s = time.monotonic(); from stream.bench import process_age_s; "
        "age_s = process_age_s(); print(first_s, age_s, time.monotonic())"
    )
    called_s = time.monotonic()  # the same clock in all processes of a machine
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    first_s, age_s, now_s = map(float, done.stdout.split())
    tick_s = 0.011  # the system counts the start in hundredths of a second
    assert now_s - first_s < age_s + tick_s < now_s - called_s + 2 * tick_s


def test_bench_reports_start_up_from_the_start_of_the_process() -> None:
    slept_s = 1.5  # before anything of Signspot is imported
    program = (
        f"import sys, time; time.sleep({slept_s}); from run_stream import main; sys.exit(main(sys.argv[1:]))"
    )
    words = ["bench", "--source", str(gallery_clips()["HELLO"]), "--seconds", "2", "--json"]
    start_s = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", program, *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    took_s = time.monotonic() - start_s
    report = json.loads(done.stdout)
    (run,) = report["runs"]
    assert slept_s + run["first_tick_s"] < report["start_up_s"] < took_s - run["seconds"] + 0.1
    printed = io.StringIO()
    show(Console(file=printed, width=200), report)
    assert f"{report['start_up_s']:10.4g} s from the start of the process" in printed.getvalue()
    assert "start_up_s" not in run, "a later run of the same process has none"
