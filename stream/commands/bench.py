"""`signspot bench`: what the live path costs on this machine, as a table, as JSON and as a picture."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import platform
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.progress import Progress

from engines.encoders import Encoder, load_encoders
from engines.errors import ConfigError, SourceError
from engines.pose.choice import open_pose, open_poses
from engines.processor import processor_name
from stream.bench import STAND_IN_SIGNS, WARM_UP_S, Measurement, TickLog, measure, stand_in_gallery
from stream.bench_report import draw, show, show_changes
from stream.events import Detection
from stream.gallery import GalleryWatcher
from stream.glass.camera import FPS, GlassCamera
from stream.glass.listener import GlassListener
from stream.glass.log import Glass, GlassLog
from stream.glass.marker import NUMBERS
from stream.latency import ProcessCost, percentiles
from stream.loopback import measure_loopback
from stream.options import add_encoder_option, add_engine_option, add_pose_option
from stream.pipeline import Options, Pipeline
from stream.publisher import Publisher, Stamper, new_epoch
from stream.regressions import compare, other_conditions, runs_of
from stream.sources import open_source
from stream.sources.redaction import redact
from stream.subscriber import Subscriber
from stream.view import Observation

GLASS_S = 30.0
"""A clip that is played as if by a camera has no end."""

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
    parser.add_argument(
        "--streams",
        default="1",
        metavar="N,N,...",
        help="how many at a time, one run after another, each stream playing the source (default: 1)",
    )
    parser.add_argument(
        "--glass",
        action="store_true",
        help="measure from the moment a frame is due at a camera to the event in a subscriber's hands: a process of its own "
        "numbers the pictures of --source (a file), encodes them as H.264 and sends them over TCP; another one listens",
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
        "--picture",
        type=Path,
        metavar="FILE",
        help="draw latency over time, its distribution, stages and memory as a PNG",
    )
    parser.add_argument(
        "--compare",
        type=Path,
        metavar="FILE",
        help="an earlier --save: tell what became slower beyond the runs' own wavering, and exit with 1 if anything did",
    )


def run(args: argparse.Namespace) -> int:
    """Measure and report; returns 1 where `--compare` finds a regression.

    Raises:
        ConfigError: an option or a file that cannot be used.
    """
    if args.seconds is not None and not args.seconds >= 2:
        raise ConfigError(
            f"--seconds {args.seconds:g}: the first second is left out, so at least 2 are needed"
        )
    counts = _counts(args.streams)
    if args.glass:
        _check_glass(args, counts)
    before = _earlier(args.compare) if args.compare else None
    report, results = _measured(args, counts)
    try:
        if args.save:
            args.save.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        if args.picture:
            draw([result for result, _ in results], args.picture, glass=results[0][1])
    except (OSError, ValueError) as error:  # ValueError: a picture of an unknown kind
        raise ConfigError(f"the result cannot be written: {error}") from error
    changes = compare(before, report) if before else []
    if args.json:
        print(json.dumps(report | ({"changes": msgspec.to_builtins(changes)} if before else {})))
    else:
        show(Console(), report)
        if before:
            show_changes(Console(), changes, other_conditions(before, report))
    return 1 if any(change.verdict == "worse" for change in changes) else 0


def _check_glass(args: argparse.Namespace, counts: Sequence[int]) -> None:
    if counts != [1]:
        raise ConfigError(f"--glass measures one stream, not --streams {args.streams}")
    if args.speed == "max":
        raise ConfigError("--glass is about a camera, which has its own pace: leave out --speed max")
    if args.seconds is None:
        args.seconds = GLASS_S
    if args.seconds > NUMBERS / FPS:
        raise ConfigError(f"--glass counts frames for {NUMBERS / FPS:.0f} s, not for {args.seconds:g} s")
    if args.source != "demo" and not Path(args.source).is_file():
        raise ConfigError(
            f"--glass plays a video file as if it were a camera, and {redact(args.source)} is none"
        )


def _counts(text: str) -> list[int]:
    try:
        counts = [int(word) for word in text.split(",")]
    except ValueError:
        counts = []
    if not counts or not all(1 <= count <= 64 for count in counts):
        raise ConfigError(f"--streams {text}: write numbers from 1 to 64, as in 1,2,4")
    return list(dict.fromkeys(counts))


def _measured(
    args: argparse.Namespace, counts: Sequence[int]
) -> tuple[dict[str, Any], list[tuple[Measurement, Glass | None]]]:
    with contextlib.ExitStack() as stack:
        with contextlib.closing(open_pose(args.pose)) as estimator:
            pose = estimator.name
        encoders = load_encoders(args.encoder, estimator=pose, threads=args.threads, engine=args.engine)
        gallery = args.gallery
        if gallery is None:
            gallery = stand_in_gallery(Path(stack.enter_context(tempfile.TemporaryDirectory())), encoders)
        done = [_run(args, count, encoders, gallery) for count in counts]
    report = {
        "format": 2,
        "date": time.strftime("%Y-%m-%d"),
        "machine": machine(encoders[0]),
        "source": redact(args.source),
        "pose": pose,
        "encoders": [encoder.name for encoder in encoders],
        "threads": args.threads,
        "gallery": str(args.gallery) if args.gallery else f"{STAND_IN_SIGNS} made-up signs",
        "start_up_s": done[0][1][0].start_up_s,
        "loopback_ms": percentiles(measure_loopback(2000)),
        "runs": [run for run, _ in done],
    }
    return dict(msgspec.to_builtins(report)), [result for _, result in done]


def _run(
    args: argparse.Namespace, count: int, encoders: Sequence[Encoder], gallery: Path
) -> tuple[dict[str, Any], tuple[Measurement, Glass | None]]:
    """So many streams at a time."""
    lags_ms: list[float] = []
    names = [f"bench{number}" for number in range(count)]
    logs = {name: TickLog() for name in names}
    cost, epoch = ProcessCost(), new_epoch()
    with contextlib.ExitStack() as stack:
        publisher = stack.enter_context(Publisher("tcp://127.0.0.1:*"))
        threading.Thread(target=_listen, args=(publisher.endpoint, lags_ms), daemon=True).start()
        camera = stack.enter_context(GlassCamera(_clip(args.source))) if args.glass else None
        listener = stack.enter_context(GlassListener(publisher.endpoint)) if args.glass else None
        glass_log = GlassLog()
        source = camera.url if camera else args.source

        def observed(log: TickLog) -> Callable[[Observation], None]:
            def note(observation: Observation) -> None:
                log.note(observation)
                glass_log.note(observation)

            return note if camera else log.note

        pipelines = {}
        for name, estimator in zip(
            names, open_poses(args.pose, count=count, engine=args.engine), strict=True
        ):
            stack.enter_context(contextlib.closing(estimator))
            pipelines[name] = Pipeline(
                source=open_source(source, speed=args.speed, loop=args.seconds is not None),
                estimator=estimator,
                encoders=encoders,
                stamper=Stamper(name, epoch),
                # What is noted before it is published is known when the subscriber has it.
                sinks=[glass_log.send, publisher.send] if camera else [publisher.send],
                galleries=GalleryWatcher(gallery),
                options=Options(landmarks=camera is not None),
                observer=observed(logs[name]),
                cost=cost,
            )
            stack.callback(pipelines[name].stop)
        for pipeline in pipelines.values():
            stack.callback(pipeline.halt)
        with _progress(args.seconds, count) as on_second:
            result = measure(pipelines, logs, seconds=args.seconds, on_second=on_second)
        glass = None
        if camera and listener:
            for child, name in ((camera, "camera"), (listener, "subscriber")):
                if child.trouble:
                    raise SourceError(f"the {name} of --glass has stopped: {child.trouble}")
            time.sleep(0.5)  # for what is still on its way
            listener.close()
            glass = glass_log.report(camera, listener.received_ns, warm_up_s=WARM_UP_S)
    apart = ("start_up_s", "tick_s", "tick_processing_ms")  # the first is told once, the others are long
    figures = {name: getattr(result, name) for name in Measurement.__slots__ if name not in apart}
    figures |= {"lag_ms": percentiles(lags_ms)}
    if glass:
        figures["glass"] = {name: getattr(glass, name) for name in Glass.__slots__ if name != "ticks_ms"}
    return figures, (result, glass)


def _clip(source: str) -> Path:
    return importlib.import_module("stream.demo").stream_path() if source == "demo" else Path(source)


def machine(encoder: Encoder) -> dict[str, object]:
    """What was measured on: CPU, cores, Python, and where the encoder ran."""
    place = encoder.where()
    return {
        "cpu": processor_name(),
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
def _progress(seconds: float | None, count: int) -> Iterator[Callable[[float], None]]:
    what = "measuring" if count == 1 else f"measuring {count} at a time"
    with Progress(console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task(what, total=seconds)
        yield lambda at_s: progress.update(bar, completed=at_s)


def _earlier(path: Path) -> dict[str, Any]:
    try:
        earlier = json.loads(path.read_text(encoding="utf-8"))
        runs_of(earlier), earlier["machine"].get
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"--compare {path}: not a file written by `signspot bench --save` ({error})"
        ) from error
    return dict(earlier)
