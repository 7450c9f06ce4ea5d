#!/usr/bin/env python3
"""How well enrolment cuts a sign out of its clip: against the strokes of the synthetic signer, which are known to the frame.

    python -m calibration.synthesis.evaluate --signs 200 --work DIR
    python benchmarks/trimming.py DIR [--save FILE]

The clips are rendered and posed by MediaPipe as people's are. Rows: from hands up to hands down; what is kept of that, which is what
a gallery is taught; the whole clip.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from calibration.synthesis.evaluate import LEXICON_SEED, lesson, teaching_signer
from calibration.synthesis.lexicon import LexiconSampler
from calibration.trim import trim
from engines.ticks import TICK_S
from stream.gallery import Gallery

Spans = NDArray[np.float64]
ROWS = ("hands up to hands down", "what is kept", "the whole clip")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("work", type=Path, metavar="DIR", help="folder that evaluate has left")
    parser.add_argument("--save", type=Path, metavar="FILE", help="write the figures as JSON")
    args = parser.parse_args()
    gallery = Gallery.load(args.work / "gallery")
    clips = len(list(args.work.glob("*.mp4")))  # as many signs at most
    forms = LexiconSampler(LEXICON_SEED).draw(clips)
    number = {form.gloss: index for index, form in enumerate(forms)}
    teacher = teaching_signer()
    strokes, found = [], []
    for take in track(gallery.takes, "signing", console=Console(stderr=True)):
        (sign,) = lesson(teacher, forms, number[take.gloss]).signs
        strokes.append((sign.start_s, sign.end_s))
        cut = trim(gallery.landmarks(take))
        ticks = [(cut.up_tick, cut.down_tick), (cut.first_tick, cut.last_tick), (0, cut.ticks)]
        found.append(np.array(ticks) * TICK_S)
    result = {
        "clips": len(strokes),
        "rows": {name: figures(np.array(found)[:, row], np.array(strokes)) for row, name in enumerate(ROWS)},
    }
    table = Table("", "begins before the stroke, s", "ends after it, s", "stroke inside, %", "IoU")
    for name, row in result["rows"].items():  # type: ignore[attr-defined]
        table.add_row(
            name,
            *("{} ({} to {})".format(*row[key]) for key in ("lead_s", "trail_s")),
            str(row["inside"]),
            str(row["iou"]),
        )
    Console().print(table)
    if args.save is not None:
        args.save.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def figures(cuts: Spans, strokes: Spans) -> dict[str, object]:
    """How cuts (N, 2) lie about strokes (N, 2), seconds: medians, and the middle nine tenths."""
    shared = np.minimum(cuts[:, 1], strokes[:, 1]) - np.maximum(cuts[:, 0], strokes[:, 0])
    union = np.maximum(cuts[:, 1], strokes[:, 1]) - np.minimum(cuts[:, 0], strokes[:, 0])
    shares = np.maximum(shared, 0) / (strokes[:, 1] - strokes[:, 0])
    return {
        "lead_s": np.quantile(strokes[:, 0] - cuts[:, 0], (0.5, 0.05, 0.95)).round(2).tolist(),
        "trail_s": np.quantile(cuts[:, 1] - strokes[:, 1], (0.5, 0.05, 0.95)).round(2).tolist(),
        "inside": round(100 * float(shares.mean()), 1),
        "iou": round(float((np.maximum(shared, 0) / union).mean()), 3),
    }


if __name__ == "__main__":
    main()
