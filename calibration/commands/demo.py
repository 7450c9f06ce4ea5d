"""`signspot demo`: the whole of Signspot in under a minute, without a camera.

Enrols the built-in clips of one synthetic signer, plays a stream of another at its own pace, spots the signs live,
receives the events over ZeroMQ as any subscriber would, and prints them beside the truth.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

import stream.demo
from calibration.enrol import enrol_clips
from calibration.evaluation.spotting import Matching, Sign, match, read_annotations
from engines.encoders import DEFAULT_ENCODERS, load_encoders
from engines.errors import SignspotError
from engines.pose.mediapipe import HolisticPose
from stream.events import Detection
from stream.gallery import GalleryWatcher
from stream.latency import percentiles
from stream.options import add_encoder_option
from stream.pipeline import Pipeline
from stream.publisher import Publisher, Stamper
from stream.sources import open_source
from stream.subscriber import Subscriber

SUMMARY = "Enrol made-up signs from one clip each and spot them live in a built-in stream; no camera needed."
IOU = 0.2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--publish",
        default="tcp://127.0.0.1:*",
        metavar="ADDR",
        help="ZeroMQ address (default: a free local port)",
    )
    add_encoder_option(parser)
    parser.add_argument(
        "--keep", type=Path, metavar="DIR", help="keep the gallery there (default: thrown away)"
    )


def run(args: argparse.Namespace) -> int:
    """Run the demo; the exit status is 0 when at least 80% of the signs were spotted with at most 1 false alarm."""
    console = Console()
    clips = stream.demo.gallery_clips()
    truth = read_annotations(stream.demo.annotations_path())
    signs = next(iter(truth.videos.values()))
    console.print(
        f"[bold]Signspot demo[/bold]: {len(clips)} made-up signs, each taught from one clip of one synthetic signer; "
        f"then another signer, who makes {len(signs)} of them in sentences."
    )
    with tempfile.TemporaryDirectory() as scratch:
        gallery = args.keep or Path(scratch) / "gallery"
        enrol(console, gallery, list(clips.items()), args.encoder or DEFAULT_ENCODERS)
        detections = watch(console, gallery, args.publish, args.encoder or DEFAULT_ENCODERS)
    found = match(detections, signs, iou=IOU, same=truth.same)
    return 0 if report(console, detections, signs, found) else 1


def enrol(
    console: Console, gallery: Path, clips: Sequence[tuple[str, Path]], encoders: Sequence[str]
) -> None:
    """Teach the clips.

    Raises:
        SignspotError: one of the built-in clips could not be enrolled.
    """
    started = time.monotonic()
    with Progress(console=console, transient=True) as progress:
        bars = {gloss: progress.add_task(f"enrol {gloss}", total=1.0) for gloss, _ in clips}
        result = enrol_clips(
            gallery,
            clips,
            encoders=encoders,
            progress=lambda gloss, part: progress.update(bars[gloss], completed=part),
        )
    if result.failed:
        raise SignspotError(
            f"{len(result.failed)} built-in clips could not be enrolled: {result.failed[0].error}"
        )
    console.print(f"enrolled {len(result.enrolled)} signs in {time.monotonic() - started:.0f} s")


def watch(console: Console, gallery: Path, address: str, names: Sequence[str]) -> list[Detection]:
    """Play the stream through the live pipeline; returns what a subscriber received."""
    received: list[Detection] = []
    source = open_source("demo", speed="realtime")
    with HolisticPose() as estimator, Publisher(address) as publisher:
        encoders = load_encoders(names, estimator=estimator.name)
        console.print(f"publishing on {publisher.endpoint}  (signspot listen --connect {publisher.endpoint})")
        over = threading.Event()
        listener = threading.Thread(
            target=listen, args=(console, publisher.endpoint, received, over), daemon=True
        )
        listener.start()
        pipeline = Pipeline(
            source=source,
            estimator=estimator,
            encoders=encoders,
            stamper=Stamper("demo"),
            sinks=[publisher.send],
            galleries=GalleryWatcher(gallery),
        )
        try:
            pipeline.start()
            while not pipeline.wait(0.2):
                pass
            over.wait(2.0)
        finally:
            pipeline.stop()
    return received


def listen(console: Console, endpoint: str, received: list[Detection], over: threading.Event) -> None:
    """Take in events as any subscriber would, and print each sign as it arrives, until the stream has ended."""
    with Subscriber(endpoint, kinds=("detection", "status"), stream="demo") as events:
        for event in events:
            if isinstance(event, Detection):
                received.append(event)
                console.print(
                    f"  {event.start_s:6.2f} - {event.end_s:6.2f} s  [bold green]{event.gloss}[/bold green]"
                    f"  confidence {event.confidence:.2f}, {event.lag_ms or 0.0:.0f} ms after the sign's end"
                )
            elif getattr(event, "state", "") == "ended" and getattr(event, "seq", 0):
                over.set()
                return


def report(console: Console, detections: Sequence[Detection], signs: Sequence[Sign], found: Matching) -> bool:
    """Print truth beside detection, the score and the latency; returns whether the demo's promise is kept."""
    table = Table("signed", "truth, s", "spotted", "detected, s", "lag, ms", title="truth beside detection")
    spotted = {true: seen for seen, true in found.pairs}
    for number, sign in enumerate(signs):
        seen = detections[spotted[number]] if number in spotted else None
        table.add_row(
            sign.gloss,
            f"{sign.start_s:.2f} - {sign.end_s:.2f}",
            f"[green]{seen.gloss}[/green]" if seen else "[red]missed[/red]",
            f"{seen.start_s:.2f} - {seen.end_s:.2f}" if seen else "",
            f"{seen.lag_ms:.0f}" if seen and seen.lag_ms is not None else "",
        )
    for number in found.false_alarms:
        false = detections[number]
        table.add_row(
            "", "", f"[red]{false.gloss}[/red] (false)", f"{false.start_s:.2f} - {false.end_s:.2f}", ""
        )
    console.print(table)
    hits, false_alarms = len(found.pairs), len(found.false_alarms)
    precision = hits / len(detections) if detections else 0.0
    recall = hits / len(signs)
    f1 = 2 * precision * recall / (precision + recall) if hits else 0.0
    console.print(
        f"{hits} of {len(signs)} signs spotted (IoU >= {IOU}), {false_alarms} false alarms: "
        f"precision {precision:.2f}, recall {recall:.2f}, [bold]F1 {f1:.2f}[/bold]"
    )
    lags = percentiles([one.lag_ms for one in detections if one.lag_ms is not None])
    costs = percentiles([one.processing_ms for one in detections])
    if lags and costs:
        console.print(
            f"latency: p50 {lags.p50:.0f} ms, max {lags.max:.0f} ms from the end of a sign to its event, "
            f"of which the machine cost p50 {costs.p50:.0f} ms, max {costs.max:.0f} ms"
        )
    kept = recall >= 0.8 and false_alarms <= 1
    if not kept:
        console.print(
            "[red]That is less than promised: at least 80% of the signs with at most 1 false alarm.[/red]"
        )
    return kept
