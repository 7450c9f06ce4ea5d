"""What `signspot bench` measured, as tables and as a picture."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from stream.bench import Measurement
from stream.glass.log import Glass
from stream.regressions import Change

PARTS = "pose: "
"""Beginning of the names of stages that are parts of another one."""

BEFORE = ("decode", "pose", "ticks", "windows")
AFTER = ("similarity", "spotting", "transcript", "publish")
"""Stages before and after the encoders, in the order of a tick's way."""

GLASS = (
    ("sent_ms", "due -> encoded and sent (this bench's camera)"),
    ("decoded_ms", "due -> decoded"),
    ("through_ms", "decoded -> subscriber, every tick"),
    ("tick_ms", "due -> subscriber, every tick"),
    ("detection_ms", "due -> subscriber, detections (the frame that decided)"),
    ("after_sign_ms", "end of the sign due -> subscriber"),
)

FIGURES = (
    ("seconds", "s measured"),
    ("fps_processed", "ticks a second (the slowest stream)"),
    ("dropped_warm_up", "frames dropped in the first second"),
    ("dropped", "frames dropped after it"),
    ("cpu_ms_per_tick", "ms of CPU a tick, all threads"),
    ("first_tick_s", "s from the start of the streams to the first finished tick"),
    ("peak_rss_mib", "MiB at most"),
    ("rss_growth_mb", "MiB grown after the first minute"),
    ("latency_growth_ms", "ms by which the last minute's latency (p50) exceeds the second's"),
    ("degradation", "highest degradation level"),
    ("gpu_busy_percent", "% of the GPU busy"),
    ("gpu_memory_mib", "MiB of the GPU at most"),
)


def show(console: Console, report: Mapping[str, Any]) -> None:
    """Print a report: a table a run, and one over all runs where there are several."""
    machine = report["machine"]
    console.print(
        f"{report['source']} on {machine['cores']} cores of {machine['cpu']}; encoders on {machine['device']}, "
        f"{machine['runtime']}; pose: {report['pose']}"
    )
    started = "s from the start of the process to the first finished tick (start-up)"
    console.print(f"{report['start_up_s']:10.4g} {started}")
    runs = report["runs"]
    for run in runs:
        _show_run(console, report, run, alone=len(runs) == 1)
    if len(runs) > 1:
        table = Table(title="streams at a time", title_justify="left")
        for header in (
            "streams",
            "ticks/s",
            "p50",
            "p95",
            "p99",
            "max ms",
            "dropped",
            "CPU-ms/tick",
            "MiB",
            "level",
        ):
            table.add_column(header, justify="right")
        for run in runs:
            spread = [f"{run['processing_ms'][key]:.1f}" for key in ("p50", "p95", "p99", "max")]
            table.add_row(
                str(run["streams"]),
                f"{run['fps_processed']:.1f}",
                *spread,
                str(run["dropped"]),
                f"{run['cpu_ms_per_tick']:.1f}",
                f"{run['peak_rss_mib']:.0f}",
                str(run["degradation"]),
            )
        console.print(table)


def _show_run(console: Console, report: Mapping[str, Any], run: Mapping[str, Any], *, alone: bool) -> None:
    what = "milliseconds" if alone else f"milliseconds, {run['streams']} at a time"
    table = Table("", "p50", "p95", "p99", "max", title=what, title_justify="left")

    def row(name: str, spread: Mapping[str, float] | None) -> None:
        if spread is not None:
            table.add_row(name, *(f"{spread[key]:.1f}" for key in ("p50", "p95", "p99", "max")))

    row("processing (decoded -> tick done)", run["processing_ms"])
    row("the same in the first second", run["warm_up_ms"])
    row("lag of detections (end of sign -> sent)", run["lag_ms"])
    row("publish -> subscriber", report["loopback_ms"])
    for name in in_order(run["stages"]):
        stage = run["stages"][name]
        if not name.startswith(PARTS):
            row(f"{name}: wait", stage["wait_ms"])
        row(f"{name}: work", stage["work_ms"])
    console.print(table)
    if run.get("glass"):
        _show_glass(console, run["glass"])
    for name, unit in FIGURES:
        if run[name] is not None:
            console.print(f"{run[name]:10.4g} {unit}")


def _show_glass(console: Console, glass: Mapping[str, Any]) -> None:
    """The way from glass to event, and what was lost on it."""
    title = f"glass to event, milliseconds; {glass['ticks']} ticks, {glass['detections']} detections"
    table = Table("", "p50", "p95", "p99", "max", title=title, title_justify="left")
    for key, name in GLASS:
        if glass[key] is not None:
            table.add_row(name, *(f"{glass[key][one]:.1f}" for one in ("p50", "p95", "p99", "max")))
    console.print(table)
    console.print(
        f"{glass['frames']} frames sent; never decoded: {glass['lost']}; numbers that could not be read: {glass['unread']}; "
        f"messages that did not come: {glass['unheard']}"
    )


def show_changes(console: Console, changes: Sequence[Change], other: Sequence[str]) -> None:
    """Print what changed against an earlier report."""
    for line in other:
        console.print(f"not the same conditions: {line}", style="yellow", markup=False)
    table = Table(title="against the earlier report", title_justify="left")
    for header in ("streams", "", "then", "now", "ratio", "counts from", ""):
        table.add_column(header, justify="left" if header == "" else "right")
    colours = {"worse": "red", "better": "green", "same": "dim"}
    for one in changes:
        table.add_row(
            str(one.streams),
            one.name,
            f"{one.then:.3g}",
            f"{one.now:.3g}",
            f"{one.ratio:.2f}" if one.then else "",
            f"{one.limit:.2f}",
            f"[{colours[one.verdict]}]{one.verdict}[/]",
        )
    console.print(table)
    worse = sum(one.verdict == "worse" for one in changes)
    console.print(f"{worse} of {len(changes)} figures are worse, beyond what the runs waver by themselves")


def in_order(stages: Iterable[str]) -> list[str]:
    """Stages in the order of a tick's way, parts behind their whole, each once."""

    def place(name: str) -> tuple[int, int, str]:
        whole, colon, _ = name.partition(":")
        if whole in BEFORE:
            return BEFORE.index(whole), bool(colon), name
        return len(BEFORE) + (1 + AFTER.index(name) if name in AFTER else 0), 0, name

    return sorted(set(stages), key=place)


def draw(results: Sequence[Measurement], path: Path, *, glass: Glass | None = None) -> None:
    """Draw latency over time, its distribution, where a tick's time goes, and the memory.

    Args:
        results: a measurement for each number of streams.
        path: of the PNG.
        glass: of the one run; drawn beside the distribution.
    """
    from matplotlib.figure import Figure  # half a second to import: only where a picture is asked for

    figure = Figure(figsize=(12, 8), layout="constrained")
    over_time, spread, stages, memory = figure.subplots(2, 2).ravel()
    for result in results:
        label = f"{result.streams} at a time" if len(results) > 1 else None
        over_time.plot(result.tick_s, result.tick_processing_ms, ".", markersize=2, label=label)
        ordered = sorted(result.tick_processing_ms)
        spread.plot(ordered, [100 * (i + 1) / len(ordered) for i in range(len(ordered))], label=label)
        memory.plot([s.at_s for s in result.samples], [s.rss_mb for s in result.samples], label=label)
    over_time.set(xlabel="s", ylabel="ms", title="processing of each tick", ylim=(0, None))
    if glass is not None and glass.ticks_ms:
        whole = sorted(glass.ticks_ms)
        spread.plot(
            whole, [100 * (i + 1) / len(whole) for i in range(len(whole))], label="glass to subscriber"
        )
    spread.axvline(120, linestyle=":", color="gray", label="budget of p99")
    spread.set(xlabel="processing, ms", ylabel="% of ticks", title="distribution")
    spread.legend()
    _stack(stages, results)
    top = 1.1 * max(sample.rss_mb for result in results for sample in result.samples)
    memory.set(xlabel="s", ylabel="MiB", title="resident memory", ylim=(0, top))
    if len(results) > 1:
        over_time.legend()
        memory.legend()
    figure.savefig(path, dpi=110)


def _stack(axes: Any, results: Sequence[Measurement]) -> None:
    """A bar a run: the median wait for the pose and for the spotting thread, and the median work of every stage."""
    names = in_order(name for one in results for name in one.stages if not name.startswith(PARTS))
    places = range(len(results))
    left = [0.0] * len(results)
    pieces: list[tuple[str, list[float], str | None]] = []
    for name in names:
        if name in ("pose", "windows"):
            to = {"pose": "pose", "windows": "spotting"}[name]
            pieces.append((f"wait for {to}", [_median(one, name, "wait_ms") for one in results], "lightgray"))
        pieces.append((name, [_median(one, name, "work_ms") for one in results], None))
    for name, values, colour in pieces:
        if max(values) >= 0.05:
            axes.barh(places, values, left=left, label=name, color=colour)
            left = [before + value for before, value in zip(left, values, strict=True)]
    axes.set_yticks(list(places), [str(one.streams) for one in results])
    axes.set(xlabel="ms, medians", ylabel="streams", title="where a tick's time goes")
    axes.invert_yaxis()
    axes.legend(fontsize="small")


def _median(result: Measurement, stage: str, what: str) -> float:
    found = result.stages.get(stage)
    return float(getattr(found, what).p50) if found is not None else 0.0
