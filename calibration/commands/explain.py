"""`signspot explain`: why was a sign detected in a clip, or not? As text and as a picture."""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from calibration.explain import Explanation, explain
from calibration.pictures import save_curves
from engines.encoders import load_encoders
from engines.errors import GalleryError
from engines.pose.choice import open_pose
from stream.gallery import Gallery
from stream.options import add_encoder_option, add_pose_option

SUMMARY = (
    "Say why signs were spotted in a clip, or what blocked them: scores, thresholds, rivals, and a picture."
)
FEW_HANDS = 0.2
"""Below this share of ticks with a hand in view the picture is the likely cause."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("clip", type=Path, metavar="CLIP", help="the video in question")
    parser.add_argument("--gallery", type=Path, required=True, metavar="DIR", help="the signs to spot")
    parser.add_argument("--mirrored", action="store_true", help="the clip shows a mirror image")
    parser.add_argument("--gloss", help="explain this sign too, however far it is from being spotted")
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="the picture of similarity over time (default: CLIP's name with -explained.png, in this folder)",
    )
    add_encoder_option(parser)
    add_pose_option(parser)


def run(args: argparse.Namespace) -> int:
    """Explain.

    Raises:
        GalleryError: there is no such gallery, or the gloss is not in it.
    """
    console = Console()
    gallery = Gallery.load(args.gallery)
    if args.gloss is not None and args.gloss not in gallery.glosses:
        raise GalleryError(
            f"the gallery {args.gallery} has no {args.gloss!r}: `signspot gallery list` shows what it has"
        )
    with (
        console.status(f"playing {escape(str(args.clip))}"),
        contextlib.closing(open_pose(args.pose)) as estimator,
    ):
        encoders = load_encoders(args.encoder, estimator=estimator.name, mirrored=args.mirrored)
        found = explain(args.clip, gallery, encoders, estimator, gloss=args.gloss)
    _print(console, args.clip, found)
    output = args.output or Path(f"{args.clip.stem}-explained.png")
    save_curves(
        output,
        f"{args.clip.name}: similarity to the nearest signs",
        found.curves,
        [(one.gloss, one.start_s, one.end_s) for one in found.spotted],
    )
    console.print(f"picture: {escape(str(output))}", highlight=False)
    return 0


def _print(console: Console, clip: Path, found: Explanation) -> None:
    if found.spotted:
        for one in found.spotted:
            rival = f", next {escape(one.runner_up[0])} {one.runner_up[1]:.2f}" if one.runner_up else ""
            console.print(
                f"[green]spotted[/green] [bold]{escape(one.gloss)}[/bold] {one.start_s:.2f}-{one.end_s:.2f} s, "
                f"score {one.score:.2f}{rival}",
                highlight=False,
            )
    else:
        console.print(f"nothing was spotted in {escape(str(clip))}", highlight=False)
    if found.person_seen < 0.5:
        console.print(f"[yellow]a person is seen in only {found.person_seen:.0%} of it[/yellow]")
    elif found.hands_seen < FEW_HANDS:
        console.print(f"[yellow]a hand is seen in only {found.hands_seen:.0%} of it[/yellow]")
    table = Table("nearest signs", "best window, s", "score", "threshold", "what came of it")
    for verdict in found.verdicts:
        table.add_row(
            escape(verdict.gloss),
            f"{verdict.start_s:.2f} - {verdict.end_s:.2f}",
            f"{verdict.cosine:.3f}",
            f"{verdict.needed:.3f}",
            escape(verdict.outcome),
        )
    console.print(table)
