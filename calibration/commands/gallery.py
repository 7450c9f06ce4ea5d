"""`signspot gallery`: list, show, remove or rebuild enrolled signs."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from calibration.enrol import rebuild
from calibration.pictures import save_strip
from engines.encoders import DEFAULT_ENCODERS
from engines.errors import GalleryError
from stream.gallery import Gallery
from stream.options import add_encoder_option

SUMMARY = "Look into a gallery of signs, and edit it while it is in use."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "action",
        choices=("list", "show", "remove", "rebuild"),
        help="list the signs; show what was kept of their clips, as a picture; remove signs; "
        "or embed all signs again after the encoder has changed (no clips needed)",
    )
    parser.add_argument("gloss", nargs="*", help="show and remove: which signs (show: all without)")
    parser.add_argument("--gallery", type=Path, required=True, metavar="DIR", help="where the signs are kept")
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="show: the picture (default: in the gallery's folder)"
    )
    add_encoder_option(parser)


def run(args: argparse.Namespace) -> int:
    """Do it.

    Raises:
        GalleryError: there is no such gallery or gloss.
    """
    console = Console()
    match args.action:
        case "list":
            _list(console, Gallery.load(args.gallery))
        case "show":
            _show(console, args)
        case "remove":
            _remove(console, args)
        case _:
            _rebuild(console, args)
    return 0


def _list(console: Console, gallery: Gallery) -> None:
    table = Table("gloss", "takes", "clips", "length, s", "threshold", "too similar to")
    for sign in gallery.signs:
        takes = [take for take in gallery.takes if take.gloss == sign.gloss]
        lengths = ", ".join(f"{(take.last_tick - take.first_tick) * 0.04:.2f}" for take in takes)
        table.add_row(
            sign.gloss,
            str(len(takes)),
            ", ".join(take.clip for take in takes),
            lengths,
            f"{sign.threshold + sign.nudge:.2f}",
            ", ".join(sign.kin),
        )
    console.print(table)
    console.print(f"{len(gallery.signs)} signs, embedded by {', '.join(gallery.encoders) or 'no encoder'}")


def _known(gallery: Gallery, wanted: list[str]) -> None:
    missing = sorted(set(wanted) - set(gallery.glosses))
    if missing:
        raise GalleryError(
            f"the gallery {gallery.path} has no {', '.join(missing)}: `signspot gallery list` shows what it has"
        )


def _show(console: Console, args: argparse.Namespace) -> None:
    gallery = Gallery.load_sources(args.gallery)
    _known(gallery, args.gloss)
    takes = [take for take in gallery.takes if not args.gloss or take.gloss in args.gloss]
    output = args.output or args.gallery / "show.png"
    save_strip(
        output,
        [(take.gloss, gallery.landmarks(take), take.first_tick, take.last_tick) for take in takes],
    )
    for take in takes:
        console.print(
            f"{take.gloss}: {take.first_tick * 0.04:.2f}-{take.last_tick * 0.04:.2f} s of {take.clip}, "
            f"posed by {take.estimator}, enrolled {take.enrolled_utc}",
            highlight=False,
        )
    console.print(f"picture: {output}")


def _remove(console: Console, args: argparse.Namespace) -> None:
    if not args.gloss:
        raise GalleryError("say which signs to remove: `signspot gallery remove GLOSS... --gallery DIR`")
    gallery = Gallery.load(args.gallery)
    _known(gallery, args.gloss)
    gallery.without(args.gloss).save()
    console.print(
        f"removed {', '.join(args.gloss)}; {len(gallery.signs) - len(set(args.gloss))} signs are left"
    )


def _rebuild(console: Console, args: argparse.Namespace) -> None:
    takes = len(Gallery.load_sources(args.gallery).takes)
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("embedding", total=takes)
        gallery, alike = rebuild(
            args.gallery, encoders=args.encoder or DEFAULT_ENCODERS, progress=lambda _, __: bar.advance(task)
        )
    for pair in alike:
        console.print(
            f"[yellow]![/yellow] {pair.gloss} and {pair.other} differ too little ({pair.cosine:.2f})"
        )
    console.print(f"{len(gallery.signs)} signs embedded again by {', '.join(gallery.encoders)}")
