"""`signspot gallery`: list, show, nudge, remove or rebuild enrolled signs."""

from __future__ import annotations

import argparse
import re
from dataclasses import replace
from pathlib import Path

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from calibration.enrol import rebuild
from calibration.pictures import save_strip
from engines.encoders import DEFAULT_ENCODERS
from engines.errors import ConfigError, GalleryError
from stream.gallery import Gallery, Sign
from stream.options import add_encoder_option

SUMMARY = "Look into a gallery of signs, and edit it while it is in use."
MOST_NUDGE = 20.0
"""Evidence; thresholds are seldom above 10."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.epilog = """examples:
  signspot gallery list --gallery my-signs
  signspot gallery nudge --gallery my-signs HELLO +0.3    HELLO needs 0.3 more evidence than was calibrated
  signspot gallery nudge --gallery my-signs HELLO 0       and no longer"""
    parser.add_argument(
        "action",
        choices=("list", "show", "nudge", "remove", "rebuild"),
        help="list the signs; show what was kept of their clips, as a picture; nudge one sign's threshold up (fewer "
        "detections) or down (more), whatever is calibrated later; remove signs; "
        "or embed all signs again after the encoder has changed (no clips needed)",
    )
    parser.add_argument(
        "gloss",
        nargs="*",
        help="show and remove: which signs (show: all without); nudge: GLOSS +0.3, -0.3 or 0",
    )
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
        case "nudge":
            _nudge(console, args)
        case "remove":
            _remove(console, args)
        case _:
            _rebuild(console, args)
    return 0


def _list(console: Console, gallery: Gallery) -> None:
    table = Table("gloss", "takes", "clips", "length, s", "threshold", "too similar to")
    for sign in gallery.signs:
        takes = [take for take in gallery.takes if take.gloss == sign.gloss]
        enrolled = [take for take in takes if take.transferred is None]
        lengths = ", ".join(f"{(take.last_tick - take.first_tick) * 0.04:.2f}" for take in enrolled)
        more = len(takes) - len(enrolled)
        table.add_row(
            escape(sign.gloss),
            f"{len(enrolled)} + {more} transferred" if more else str(len(enrolled)),
            escape(", ".join(take.clip for take in enrolled)),
            lengths,
            _level(sign),
            escape(", ".join(sign.kin)),
        )
    console.print(table)
    console.print(f"{len(gallery.signs)} signs, embedded by {', '.join(gallery.encoders) or 'no encoder'}")
    console.print(_calibration(gallery), highlight=False, soft_wrap=True)


def _level(sign: Sign) -> str:
    """A threshold in words: "5.31", "5.31 + 0.30 (nudged)"."""
    if not sign.nudge:
        return f"{sign.threshold:.2f}"
    return f"{sign.threshold:.2f} {'+' if sign.nudge > 0 else '-'} {abs(sign.nudge):.2f} (nudged)"


def _calibration(gallery: Gallery) -> str:
    known = gallery.calibration
    estimated = [sign.gloss for sign in gallery.signs if not sign.calibrated]
    if known is None:
        return "thresholds are estimates: `signspot calibrate` sets them from background signing"
    text = (
        f"thresholds calibrated to {known.false_alarms_per_hour:g} false alarms an hour over {known.hours:.2f} hours "
        f"of background, {known.calibrated_utc[:10]}, with {', '.join(known.encoders)}"
    )
    return text + (f"; not those of {escape(', '.join(estimated))}, which are estimates" if estimated else "")


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
        found = take.transferred
        first, last = (found.first_tick, found.last_tick) if found else (take.first_tick, take.last_tick)
        how = f"transferred, score {found.score:.2f}," if found else "enrolled"
        console.print(
            f"{take.gloss}: {first * 0.04:.2f}-{last * 0.04:.2f} s of {take.clip}, "
            f"posed by {take.estimator}, {how} {take.enrolled_utc}",
            highlight=False,
            markup=False,
        )
    console.print(f"picture: {output}")


def _remove(console: Console, args: argparse.Namespace) -> None:
    if not args.gloss:
        raise GalleryError("say which signs to remove: `signspot gallery remove GLOSS... --gallery DIR`")
    gallery = Gallery.load(args.gallery)
    _known(gallery, args.gloss)
    gallery.without(args.gloss).save()
    console.print(
        f"removed {', '.join(args.gloss)}; {len(gallery.signs) - len(set(args.gloss))} signs are left",
        markup=False,
    )
    if gallery.calibration is not None and len(gallery.signs) > len(set(args.gloss)):
        console.print(
            "the others were calibrated with it as a rival and keep their thresholds: "
            f"run `signspot calibrate --gallery {gallery.path}` again to be sure of their rate",
            markup=False,
            soft_wrap=True,
        )


def _nudge(console: Console, args: argparse.Namespace) -> None:
    usage = "`signspot gallery nudge --gallery DIR GLOSS +0.3` (or -0.3, or 0 to undo)"
    if len(args.gloss) != 2:
        raise ConfigError(f"nudge takes one sign and by how much: {usage}")
    gloss, word = args.gloss
    if not re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)", word) or abs(float(word)) > MOST_NUDGE:
        raise ConfigError(f"{word!r} is no number from -{MOST_NUDGE:g} to {MOST_NUDGE:g}: {usage}")
    gallery = Gallery.load(args.gallery)
    _known(gallery, [gloss])
    signs = [
        msgspec.structs.replace(sign, nudge=float(word)) if sign.gloss == gloss else sign
        for sign in gallery.signs
    ]
    replace(gallery, signs=tuple(signs)).save()
    nudged = next(sign for sign in signs if sign.gloss == gloss)
    effect = (
        "detected less easily"
        if nudged.nudge > 0
        else "detected more easily"
        if nudged.nudge < 0
        else "as it was"
    )
    console.print(f"{gloss}: threshold {_level(nudged)}, {effect}", markup=False, highlight=False)


def _rebuild(console: Console, args: argparse.Namespace) -> None:
    before = Gallery.load_sources(args.gallery)
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task(
            "embedding", total=len(before.takes) * max(len(args.encoder or DEFAULT_ENCODERS), 1)
        )
        gallery, alike = rebuild(
            args.gallery, encoders=args.encoder or DEFAULT_ENCODERS, progress=lambda _, __: bar.advance(task)
        )
    for pair in alike:
        console.print(
            f"[yellow]![/yellow] {escape(pair.gloss)} and {escape(pair.other)} differ too little ({pair.cosine:.2f})"
        )
    console.print(f"{len(gallery.signs)} signs embedded again by {', '.join(gallery.encoders)}")
    if before.calibration is not None:
        console.print(_calibration(gallery), highlight=False, soft_wrap=True)
