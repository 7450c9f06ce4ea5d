"""`signspot enrol`: teach signs from clips, or from the live camera."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from calibration.enrol import EnrolReport, checked_gloss, enrol_clips, named_clip
from calibration.pictures import save_strip
from calibration.recording import record_clip
from engines.encoders import DEFAULT_ENCODERS
from engines.errors import ConfigError
from stream.gallery import CLIPS, Gallery
from stream.options import add_encoder_option, add_pose_option
from stream.sources import open_source

SUMMARY = (
    "Teach signs: one short clip each is enough, more make it surer. Clips begin and end with the hands down."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "clips",
        nargs="*",
        metavar="CLIP",
        help="video of one sign; its gloss is the file's stem, or GLOSS=CLIP",
    )
    parser.add_argument("--gallery", type=Path, required=True, metavar="DIR", help="where the signs are kept")
    parser.add_argument("--mirrored", action="store_true", help="the clips or the camera show a mirror image")
    add_encoder_option(parser)
    add_pose_option(parser)
    parser.add_argument(
        "--processes", type=int, default=2, metavar="N", help="clips worked on at the same time (default: 2)"
    )
    live = parser.add_argument_group("from the camera instead of clips")
    live.add_argument("--source", metavar="S", help="camera number, /dev/videoN, rtsp://..., or a file")
    live.add_argument("--gloss", help="the sign that is shown")
    live.add_argument(
        "--seconds", type=float, default=4.0, metavar="S", help="how long to record (default: 4)"
    )
    live.add_argument(
        "--countdown", type=float, default=3.0, metavar="S", help="time to get ready (default: 3)"
    )


def run(args: argparse.Namespace) -> int:
    """Teach the signs; 1 when a clip failed.

    Raises:
        ConfigError: neither clips nor a camera, or both.
    """
    console = Console()
    if bool(args.clips) == bool(args.source or args.gloss):
        raise ConfigError("give either clips, or --source and --gloss to record one from the camera")
    if args.source or args.gloss:
        return _from_camera(args, console)
    clips = [named_clip(word) for word in args.clips]
    report = _enrol(args, console, clips)
    return 1 if report.failed else 0


def _from_camera(args: argparse.Namespace, console: Console) -> int:
    if not (args.source and args.gloss):
        raise ConfigError("recording from the camera needs both --source and --gloss")
    for name, value in (("seconds", args.seconds), ("countdown", args.countdown)):
        if not (0.5 if name == "seconds" else 0.0) <= value <= 60:
            raise ConfigError(f"--{name} {value:g}: a sign takes 1 to 4 seconds, and 60 are the most")
    checked_gloss(args.gloss)
    clip = _new_clip(args.gallery, args.gloss)
    console.print(f"Show [bold]{escape(args.gloss)}[/bold] once: hands down, sign, hands down.")
    record_clip(
        open_source(args.source, speed="realtime"),
        clip,
        countdown_s=args.countdown,
        record_s=args.seconds,
        tell=lambda text: console.print(f"  {escape(text)}"),
    )
    report = _enrol(args, console, [(args.gloss, clip)])
    console.print(f"the clip is kept: {escape(str(clip))}", highlight=False, soft_wrap=True)
    if report.failed:
        return 1
    edition = Gallery.load(args.gallery)
    take = next(take for take in edition.takes if take.clip == clip.name)
    picture = clip.with_suffix(".png")
    save_strip(picture, [(take.gloss, edition.landmarks(take), take.first_tick, take.last_tick)])
    console.print(f"what was cut, as a picture: {escape(str(picture))}", highlight=False, soft_wrap=True)
    return 0


def _new_clip(gallery: Path, gloss: str) -> Path:
    """Where a recording belongs: under the first number that neither a clip nor a take has."""
    taken = {take.clip for take in Gallery.load_or_new(gallery).takes}
    paths = (gallery / CLIPS / f"{gloss}-{number}.mp4" for number in itertools.count(1))
    return next(path for path in paths if path.name not in taken and not path.exists())


def _enrol(args: argparse.Namespace, console: Console, clips: Sequence[tuple[str, Path]]) -> EnrolReport:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("enrolling", total=len(clips))
        shares: dict[str, float] = {}

        def progress(gloss: str, share: float) -> None:
            shares[gloss] = share
            bar.update(task, completed=sum(shares.values()), description=f"enrolling {escape(gloss)}")

        report = enrol_clips(
            args.gallery,
            clips,
            encoders=args.encoder or DEFAULT_ENCODERS,
            mirrored=args.mirrored,
            pose=args.pose,
            processes=args.processes,
            progress=progress,
        )
    for one in report.enrolled:
        console.print(
            f"[green]✓[/green] [bold]{escape(one.gloss)}[/bold]: {one.trim}", highlight=False, soft_wrap=True
        )
    for pair in report.too_similar:
        console.print(
            f"[yellow]![/yellow] {escape(pair.gloss)} and {escape(pair.other)} differ too little "
            f"(cosine {pair.cosine:.2f}): either may be reported for the other",
            highlight=False,
            soft_wrap=True,
        )
    if report.uncalibrated:
        console.print(
            f"[yellow]![/yellow] {escape(', '.join(report.uncalibrated))}: no calibrated threshold, unlike other signs; "
            f"run `signspot calibrate --gallery {escape(str(args.gallery))}` again to hold the rate of false alarms",
            highlight=False,
            soft_wrap=True,
        )
    for failure in report.failed:
        console.print(
            f"[red]✗[/red] {escape(failure.gloss)}: {escape(failure.error)}", highlight=False, soft_wrap=True
        )
    if report.enrolled:
        console.print(
            f"{len(report.enrolled)} of {len(clips)} clips enrolled in {escape(str(args.gallery))}",
            highlight=False,
        )
    return report
