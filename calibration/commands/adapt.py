"""`signspot adapt`: Top-K transfer, from isolated exemplars to how the signs look in sentences."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from calibration.transfer import K, remove_transferred, transfer
from engines.encoders import DEFAULT_ENCODERS
from engines.errors import ConfigError
from stream.gallery import Gallery
from stream.options import add_encoder_option, add_pose_option

SUMMARY = (
    "Search unlabelled signing for the signs of a gallery, and take the best matches as further exemplars.\n"
    "What was enrolled stays as it is; what was taken is marked, and --remove takes it away again."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.epilog = """examples:
  signspot adapt --gallery my-signs --from sentences/*.mp4
  signspot adapt --gallery my-signs --remove"""
    parser.add_argument("--gallery", type=Path, required=True, metavar="DIR", help="the signs to look for")
    parser.add_argument(
        "--from",
        dest="videos",
        type=Path,
        nargs="+",
        metavar="VIDEO",
        help="continuous signing, by the people who will sign; or its landmarks (.npz)",
    )
    parser.add_argument(
        "--k", type=int, default=K, metavar="N", help=f"matches taken of each sign, at most (default: {K})"
    )
    parser.add_argument(
        "--iterations",
        type=int,
        default=1,
        metavar="N",
        help="rounds, each searching with what the last one took (default: 1)",
    )
    parser.add_argument(
        "--min-score",
        type=float,
        metavar="X",
        help="cosine that a match needs (default: what the live path asks of a detection of that sign)",
    )
    parser.add_argument("--mirrored", action="store_true", help="the videos show a mirror image")
    parser.add_argument("--remove", action="store_true", help="take away all that was ever taken this way")
    add_encoder_option(parser)
    add_pose_option(parser)


def run(args: argparse.Namespace) -> int:
    """Transfer, or take back; 1 when no sign had a match.

    Raises:
        ConfigError: neither videos nor --remove, or both.
        SignspotError: gallery, encoder or a video cannot be used.
    """
    console = Console()
    if bool(args.videos) == args.remove:
        raise ConfigError("give either --from VIDEO..., or --remove")
    names = args.encoder or DEFAULT_ENCODERS
    calibrated = Gallery.load(args.gallery).calibration is not None
    status = _remove(console, args.gallery, names) if args.remove else _transfer(console, args, names)
    edition = Gallery.load(args.gallery)
    stale = [sign.gloss for sign in edition.signs if not sign.calibrated]
    if calibrated and stale:
        console.print(
            f"[yellow]![/yellow] with other exemplars the calibrated thresholds of {escape(', '.join(stale))} no longer "
            f"hold; estimates take their place: run `signspot calibrate --gallery {escape(str(args.gallery))}` again",
            highlight=False,
            soft_wrap=True,
        )
    return status


def _transfer(console: Console, args: argparse.Namespace, names: list[str] | tuple[str, ...]) -> int:
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("adapting", total=1.0)
        report = transfer(
            args.gallery,
            args.videos,
            encoders=names,
            k=args.k,
            iterations=args.iterations,
            min_score=args.min_score,
            mirrored=args.mirrored,
            pose=args.pose,
            progress=lambda what, share: bar.update(task, description=what, completed=share),
        )
    for gloss, matches in report.taken.items():
        where = ", ".join(
            f"{one.start_s:.2f}-{one.end_s:.2f} s of {one.video} ({one.score:.2f})" for one in matches
        )
        console.print(
            f"[green]✓[/green] [bold]{escape(gloss)}[/bold]: {len(matches)} taken: {escape(where)}",
            highlight=False,
            soft_wrap=True,
        )
    for gloss, reason in report.untouched.items():
        console.print(f"  {escape(gloss)}: none; {escape(reason)}", highlight=False, soft_wrap=True)
    total = sum(len(matches) for matches in report.taken.values())
    if not total:
        console.print("nothing was taken: the gallery is as it was")
        return 1
    console.print(
        f"{total} exemplars of {len(report.taken)} signs added to {escape(str(args.gallery))}; "
        "`signspot adapt --remove` takes them away again",
        highlight=False,
        soft_wrap=True,
    )
    return 0


def _remove(console: Console, gallery: Path, names: list[str] | tuple[str, ...]) -> int:
    gone = remove_transferred(gallery, encoders=names)
    if not gone:
        console.print(f"nothing in {escape(str(gallery))} was transferred", highlight=False)
        return 0
    counts = {gloss: sum(take.gloss == gloss for take in gone) for gloss in sorted({t.gloss for t in gone})}
    listed = ", ".join(f"{gloss} {count}" for gloss, count in counts.items())
    console.print(
        f"{len(gone)} transferred exemplars taken away: {escape(listed)}", highlight=False, soft_wrap=True
    )
    return 0
