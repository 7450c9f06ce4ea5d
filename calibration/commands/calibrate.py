"""`signspot calibrate`: thresholds from background signing, to a rate of false alarms."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from calibration.calibrate import CalibrationReport, calibrate
from calibration.evaluation.rates import poisson_bounds
from engines.encoders import DEFAULT_ENCODERS
from engines.errors import ConfigError
from stream.options import add_encoder_option, add_pose_option

SUMMARY = (
    "Set each sign's threshold so that signing (or whatever the camera sees) that is not the sign gives no more than\n"
    "a rate of false alarms, all signs together. 3 / rate hours of background are needed: 1.5 for 2 an hour."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.epilog = """The background is to be like what the camera will see. Movement without signs alone brings thresholds down
to where other signs are taken for these.

examples:
  signspot calibrate --gallery my-signs --background talk-1.mp4 talk-2.mp4 --contains talk-2.mp4=HELLO,THANKS
  signspot synth stream --idle 7200 --no-video --out idle
  signspot calibrate --gallery my-signs --background talk-1.mp4 idle/landmarks.npz --false-alarms-per-hour 2"""
    parser.add_argument("--gallery", type=Path, required=True, metavar="DIR", help="the signs")
    parser.add_argument(
        "--background",
        type=Path,
        nargs="+",
        required=True,
        metavar="VIDEO",
        help="videos, or landmarks as `signspot synth stream` writes them (.npz)",
    )
    parser.add_argument(
        "--false-alarms-per-hour",
        type=float,
        default=2.0,
        metavar="N",
        help="of all signs together (default: 2)",
    )
    parser.add_argument(
        "--contains",
        action="append",
        default=[],
        metavar="FILE=GLOSS,...",
        help="signs that do occur in a file, which then is no background for them; none after FILE= says that there "
        "are none (default: signs that the file's name contains, as GOOD in goodmorning.mp4)",
    )
    parser.add_argument("--mirrored", action="store_true", help="the videos show a mirror image")
    add_encoder_option(parser)
    add_pose_option(parser)


def run(args: argparse.Namespace) -> int:
    """Calibrate.

    Raises:
        ConfigError: an option cannot be used.
        SignspotError: gallery, encoder or background cannot be used, or the background is too short.
    """
    console = Console()
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        tasks = {}

        def progress(what: str, share: float) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=1.0)
            bar.update(tasks[what], completed=share)

        report = calibrate(
            args.gallery,
            args.background,
            per_hour=args.false_alarms_per_hour,
            contains=contained(args.contains),
            encoders=args.encoder or DEFAULT_ENCODERS,
            mirrored=args.mirrored,
            pose=args.pose,
            progress=progress,
        )
    _print(console, report)
    return 0


def contained(words: Sequence[str]) -> dict[str, list[str]]:
    """`FILE=GLOSS,...` to glosses by file.

    Raises:
        ConfigError: a word has another form.
    """
    found: dict[str, list[str]] = {}
    for word in words:
        file, equals, glosses = word.rpartition("=")
        if not equals or not file:
            raise ConfigError(f"--contains {word}: write it as FILE=GLOSS,GLOSS (or FILE= for none)")
        found.setdefault(file, []).extend(gloss for gloss in glosses.split(",") if gloss)
    return found


def _print(console: Console, report: CalibrationReport) -> None:
    table = Table("gloss", "threshold before", "threshold now", "false alarms", "hours of background")
    for sign in report.signs:
        nudged = f" {sign.nudge:+.2f} (nudged)" if sign.nudge else ""
        table.add_row(
            escape(sign.gloss),
            f"{sign.before:.2f}",
            f"{sign.threshold:.2f}{nudged}",
            str(sign.false_alarms),
            f"{sign.hours:.2f}",
        )
    console.print(table)

    def say(text: str) -> None:
        console.print(text, highlight=False, soft_wrap=True)

    for path, glosses in report.left_out.items():
        say(f"{escape(path.name)} counts as no background for {escape(', '.join(glosses))}")
    for sign in report.signs:
        if sign.hours == 0:
            say(
                f"[yellow]![/yellow] every file contains {escape(sign.gloss)}: its threshold is what the others need"
            )
    lower = sum(sign.threshold < sign.before for sign in report.signs)
    if 2 * lower > len(report.signs):
        say(
            f"[yellow]![/yellow] {lower} of {len(report.signs)} thresholds are lower than before: nothing in this background comes "
            "near the signs. Where people sign in front of the camera, other signs will be taken for these: add signing to "
            "--background"
        )
    for pair in report.alike:
        say(
            f"[yellow]![/yellow] {escape(pair.gloss)} and {escape(pair.other)} differ too little "
            f"(cosine {pair.cosine:.2f}): treat as one?"
        )
    if report.changed:
        say(
            f"[yellow]![/yellow] {escape(', '.join(report.changed))} changed while the background was played and keep "
            "their thresholds: calibrate again"
        )
    known = report.calibration
    low, high = poisson_bounds(known.false_alarms)
    say(
        f"{len(report.signs)} signs calibrated to {known.false_alarms_per_hour:g} false alarms an hour: "
        f"{known.false_alarms} in {known.hours:.2f} hours of background "
        f"(95%: {low / known.hours:.2g} to {high / known.hours:.2g} an hour)"
    )
