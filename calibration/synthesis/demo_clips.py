"""Renders the embedded demo's clips into `stream/demo`: `python -m calibration.synthesis.demo_clips`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.progress import track

import stream.demo
from calibration.synthesis.appearance import Appearance
from calibration.synthesis.body import body_of
from calibration.synthesis.lexicon import SignForm, read_lexicon
from calibration.synthesis.motion import isolated
from calibration.synthesis.performance import Performance, Signer
from calibration.synthesis.streams import sentences, write_annotations
from calibration.synthesis.video import write_video

GLOSSES = (
    "BOOK",
    "CAT",
    "FIRE",
    "FORGET",
    "GOODBYE",
    "HELLO",
    "HOUSE",
    "LEARN",
    "PLAY",
    "SAD",
    "THANKS",
    "WIND",
)
TEACHER = replace(Signer.draw(106), rest="sides", left_handed=False)
TEACHER_LOOK, TEACHER_SIZE = 13, (480, 360)
SIGNER = replace(Signer.draw(207), rest="sides", left_handed=False)
SIGNER_LOOK, SIGNER_SIZE = 15, (640, 480)
SEED, SENTENCES = 5, 4


def forms() -> list[SignForm]:
    """The demo's signs."""
    lexicon = read_lexicon()
    return [lexicon[gloss] for gloss in GLOSSES]


def look(signer: Signer, seed: int) -> Appearance:
    """An appearance whose video is small enough to be committed."""
    return replace(Appearance.draw(seed, body_of(signer)), noise=1.0, crf=25)


def performances() -> Iterator[tuple[Path, Performance, Appearance, tuple[int, int]]]:
    """Every clip: where it goes, what is performed, how it looks, and its size."""
    for form in forms():
        path = stream.demo.FOLDER / "gallery" / f"{form.gloss}.mp4"
        yield path, isolated(TEACHER, form, seed=SEED), look(TEACHER, TEACHER_LOOK), TEACHER_SIZE
    performance = sentences(SIGNER, forms(), seed=SEED, count=SENTENCES, signs=(3, 4), idle=0.5)
    yield stream.demo.FOLDER / "stream.mp4", performance, look(SIGNER, SIGNER_LOOK), SIGNER_SIZE


def main() -> None:
    """Render all clips and write the truth."""
    (stream.demo.FOLDER / "gallery").mkdir(parents=True, exist_ok=True)
    for path, performance, appearance, (width, height) in track(
        list(performances()), "rendering", console=Console(stderr=True)
    ):
        write_video(performance, path, appearance=appearance, width=width, height=height)
    write_annotations(stream.demo.FOLDER / "annotations.json", {path.name: performance})


if __name__ == "__main__":
    main()
