"""`signspot bench`: what the live path costs on this machine, as a table, as JSON and as a picture."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from engines.encoders import Encoder, load_encoders
from engines.errors import ConfigError
from engines.pose.choice import open_pose
from stream.bench import STAND_IN_SIGNS, Measurement, TickLog, measure, peak_rss_mb, stand_in_gallery
from stream.events import Detection
from stream.gallery import GalleryWatcher
from stream.latency import percentiles
from stream.loopback import measure_loopback
from stream.options import add_encoder_option, add_engine_option, add_pose_option
from stream.pipeline import Pipeline
from stream.publisher import Publisher, Stamper
from stream.sources import open_source
from stream.subscriber import Subscriber

SUMMARY = "Measure latency, throughput, CPU time and memory of the live path on this machine."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--source",
        default="demo",
        metavar="S",
        help="what to play: a file, a camera, rtsp://... (default: demo)",
    )
    parser.add_argument(
        "--gallery",
        type=Path,
        metavar="DIR",
        help=f"signs to compare with (default: {STAND_IN_SIGNS} made-up ones that nothing resembles, so no lag)",
    )
    parser.add_argument(
        "--seconds",
        type=float,
        metavar="S",
        help="how long, files being looped (default: to the end of the file)",
    )
    parser.add_argument(
        "--speed",
        choices=("realtime", "max"),
        default="realtime",
        help="as for `signspot live` (default: realtime)",
    )
    add_encoder_option(parser)
    add_pose_option(parser)
    add_engine_option(parser)
    parser.add_argument(
        "--threads", type=int, default=1, metavar="N", help="CPU threads of each encoder (default: 1)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    parser.add_argument("--save", type=Path, metavar="FILE", help="write the JSON object to a file as well")
    parser.add_argument(
        "--picture", type=Path, metavar="FILE", help="draw latency, stages and memory as a PNG"
    )
    parser.add_argument(
        "--compare", type=Path, metavar="FILE", help="an earlier --save: show the ratios to it"
    )


def run(args: argparse.Namespace) -> int:
    """Measure and report.

    Raises:
        ConfigError: an option or a file that cannot be used.
    """
    if args.seconds is not None and not args.seconds >= 2:
        raise ConfigError(
            f"--seconds {args.seconds:g}: the first second is left out, so at least 2 are needed"
        )
    before = _earlier(args.compare) if args.compare else None
    report, result = _measured(args)
    try:
        if args.save:
            args.save.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        if args.picture:
            draw(result, args.picture)
    except (OSError, ValueError) as error:  # ValueError: a picture of an unknown kind
        raise ConfigError(f"the result cannot be written: {error}") from error
    if args.json:
        print(json.dumps(report))
    else:
        show(Console(), report, before)
    return 0


def _measured(args: argparse.Namespace) -> tuple[dict[str, Any], Measurement]:
    started = time.monotonic()
    source = open_source(args.source, speed=args.speed, loop=args.seconds is not None)
    lags_ms: list[float] = []
    log = TickLog()
    with contextlib.ExitStack() as stack:
        estimator = stack.enter_context(contextlib.closing(open_pose(args.pose)))
        encoders = load_encoders(
            args.encoder, estimator=estimator.name, threads=args.threads, engine=args.engine
        )
        gallery = args.gallery
        if gallery is None:
            gallery = stand_in_gallery(Path(stack.enter_context(tempfile.TemporaryDirectory())), encoders)
        publisher = stack.enter_context(Publisher("tcp://127.0.0.1:*"))
        threading.Thread(target=_listen, args=(publisher.endpoint, lags_ms), daemon=True).start()
        pipeline = Pipeline(
            source=source,
            estimator=estimator,
            encoders=encoders,
            stamper=Stamper("bench"),
            sinks=[publisher.send],
            galleries=GalleryWatcher(gallery),
            observer=log.note,
        )
        stack.callback(pipeline.stop)
        ready_s = time.monotonic() - started
        with _progress(args.seconds) as on_second:
            result = measure(pipeline, log, seconds=args.seconds, on_second=on_second)
    series = ("tick_s", "tick_processing_ms")
    figures = {name: getattr(result, name) for name in Measurement.__slots__ if name not in series}
    report = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": machine(encoders[0]),
        "source": source.name,
        "gallery": str(args.gallery) if args.gallery else f"{STAND_IN_SIGNS} made-up signs",
        "start_up_s": ready_s + result.first_tick_s,
        "loopback_ms": percentiles(measure_loopback(2000)),
        "lag_ms": percentiles(lags_ms),
        "peak_rss_mib": peak_rss_mb(),
        **figures,
    }
    return msgspec.to_builtins(report), result


def machine(encoder: Encoder) -> dict[str, object]:
    """What was measured on: CPU, cores, Python, and where the encoder ran."""
    cpu = platform.processor() or platform.machine()
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as lines:
        cpu = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), cpu)
    place = encoder.where()
    return {
        "cpu": cpu,
        "cores": len(os.sched_getaffinity(0)),
        "load_before": os.getloadavg()[0],
        "python": platform.python_version(),
        "device": place.device,
        "runtime": place.runtime,
        "precision": place.precision,
    }


def _listen(endpoint: str, lags_ms: list[float]) -> None:
    with Subscriber(endpoint, kinds=("detection",)) as events:
        for event in events:
            if isinstance(event, Detection) and event.lag_ms is not None:
                lags_ms.append(event.lag_ms)


@contextlib.contextmanager
def _progress(seconds: float | None) -> Iterator[Callable[[float], None]]:
    with Progress(console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("measuring", total=seconds)
        yield lambda at_s: progress.update(bar, completed=at_s)


def _earlier(path: Path) -> dict[str, Any]:
    try:
        earlier = json.loads(path.read_text(encoding="utf-8"))
        earlier["processing_ms"]["p50"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"--compare {path}: not a file written by `signspot bench --save` ({error})"
        ) from error
    return dict(earlier)


def show(console: Console, report: dict[str, Any], before: dict[str, Any] | None) -> None:
    """Print the report; beside an earlier one, each figure with its ratio to it."""
    console.print(f"{report['source']} on {report['machine']['cores']} cores of {report['machine']['cpu']}")
    table = Table("", "p50", "p95", "p99", "max", title="milliseconds", title_justify="left")

    def row(name: str, spread: dict[str, float] | None, old: dict[str, float] | None) -> None:
        if spread is None:
            return
        cells = [f"{spread[key]:.1f}" + _ratio(spread[key], old[key] if old else None) for key in spread]
        table.add_row(name, *cells)

    row("processing (decoded -> tick done)", report["processing_ms"], before and before["processing_ms"])
    row("lag of detections (end of sign -> sent)", report["lag_ms"], before and before.get("lag_ms"))
    row("publish -> subscriber", report["loopback_ms"], before and before.get("loopback_ms"))
    for name, stage in report["stages"].items():
        old = before["stages"].get(name) if before else None
        row(f"{name}: wait", stage["wait_ms"], old and old["wait_ms"])
        row(f"{name}: work", stage["work_ms"], old and old["work_ms"])
    console.print(table)
    for name, unit in (
        ("seconds", "s measured"),
        ("fps_processed", "ticks a second"),
        ("dropped_warm_up", "frames dropped in the first second"),
        ("dropped", "frames dropped after it"),
        ("cpu_ms_per_tick", "ms of CPU a tick, all threads"),
        ("start_up_s", "s from the start to the first finished tick"),
        ("peak_rss_mib", "MiB at most"),
        ("rss_growth_mb", "MiB grown after the first minute"),
        ("latency_growth_ms", "ms by which the last minute's latency (p50) exceeds the second's"),
        ("degradation", "highest degradation level"),
    ):
        if report[name] is not None:
            console.print(
                f"{report[name]:10.4g} {unit}" + _ratio(report[name], before.get(name) if before else None)
            )


def _ratio(now: float, then: float | None) -> str:
    return f" (x{now / then:.2f})" if then else ""


def draw(result: Measurement, path: Path) -> None:
    """Draw latency over time, its distribution, the stages' work and the memory.

    Args:
        result: the measurement.
        path: of the PNG.
    """
    from matplotlib.figure import Figure  # half a second to import: only where a picture is asked for

    figure = Figure(figsize=(11, 7), layout="constrained")
    over_time, spread, stages, memory = figure.subplots(2, 2).ravel()
    over_time.plot(result.tick_s, result.tick_processing_ms, ".", markersize=2)
    over_time.set(xlabel="s", ylabel="ms", title="processing of each tick", ylim=(0, None))
    ordered = sorted(result.tick_processing_ms)
    spread.plot(ordered, [100 * (i + 1) / len(ordered) for i in range(len(ordered))])
    spread.axvline(120, linestyle=":", color="gray", label="budget of p99")
    spread.set(xlabel="processing, ms", ylabel="% of ticks", title="distribution")
    spread.legend()
    names = list(result.stages)
    p50 = [result.stages[name].work_ms.p50 for name in names]
    p99 = [result.stages[name].work_ms.p99 for name in names]
    stages.barh(names, p99, color="lightgray", label="p99")
    stages.barh(names, p50, label="p50")
    stages.invert_yaxis()
    stages.set(xlabel="work, ms", title="stages")
    stages.legend()
    memory.plot([sample.at_s for sample in result.samples], [sample.rss_mb for sample in result.samples])
    top = 1.1 * max(sample.rss_mb for sample in result.samples)
    memory.set(xlabel="s", ylabel="MiB", title="resident memory", ylim=(0, top))
    figure.savefig(path, dpi=110)
