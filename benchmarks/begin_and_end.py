#!/usr/bin/env python3
"""How far a sign's begin and end are put right by the hands' speed: on real sentences, annotated tick by tick.

    python benchmarks/begin_and_end.py [--data ../shared/data/boston104] [--save FILE.json]

Every annotated begin and end of RWTH-BOSTON-104 (three signers, both hands' places in every frame) is put off by so many
ticks at random, as a spotter is off, and then settled as the live path settles it (`stream.hands`). The figure is the share
of the challenge's 13 thresholds of overlap that are met, which is its F1 where every query has one answer.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent.parent))

import stream.hands
from calibration.corpus.boston104 import convert
from calibration.corpus.landmarks import read_spans, read_track
from calibration.evaluation.closed import THRESHOLDS
from calibration.evaluation.spotting import Sign, iou, meets
from engines.ticks import TICK_HZ
from stream.hands import Hands

OFF = (2.0, 3.0, 4.0, 5.0, 6.0)
"""Deviations, in ticks, by which begins and ends are put off."""
SPREADS = (1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0)
LEAST = 4.0  # ticks of a sign, annotated or put off
ROUNDS = 5  # times that every sign is put off


def share(first: float, last: float, sign: Sign) -> float:
    """Of the thresholds that a span (ticks) meets."""
    overlap = iou(Sign("", first / TICK_HZ, last / TICK_HZ), sign)
    return sum(meets(overlap, threshold) for threshold in THRESHOLDS) / len(THRESHOLDS)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data/boston104"), metavar="DIR")
    parser.add_argument("--save", type=Path, metavar="FILE", help="write the figures as JSON")
    args = parser.parse_args()
    sentences: list[tuple[Hands, list[Sign]]] = []
    with tempfile.TemporaryDirectory() as scratch:
        convert(args.data, Path(scratch))
        for path in sorted((Path(scratch) / "landmarks").glob("*.npz")):
            landmarks, spans = read_track(path), read_spans(path)
            assert spans is not None
            hands = Hands(kept=None)
            for tick in range(len(landmarks)):
                hands.push(tick, landmarks.at(tick))
            signs = [Sign("", float(start), float(end)) for start, end in spans]
            sentences.append(
                (hands, [sign for sign in signs if (sign.end_s - sign.start_s) * TICK_HZ >= LEAST])
            )
    rows: dict[str, dict[str, float]] = {}
    console = Console(stderr=True)
    for off in track(OFF, "settling", console=console):
        rng = np.random.default_rng(0)
        met: dict[str, list[float]] = {name: [] for name in ("left there", *map(str, SPREADS))}
        for hands, signs in sentences:
            for sign in signs * ROUNDS:
                first, last = np.array([sign.start_s, sign.end_s]) * TICK_HZ + rng.normal(0, off, 2)
                if last - first < LEAST:
                    continue
                met["left there"].append(share(first, last, sign))
                for spread in SPREADS:
                    stream.hands.SPREAD = spread
                    met[str(spread)].append(share(*hands.settled(first, last), sign))
        rows[str(off)] = {name: round(float(np.mean(values)), 4) for name, values in met.items()}
    count = sum(len(signs) for _, signs in sentences)
    table = Table(
        "put off by, ticks", "left there", *(f"spread {one:g}" for one in SPREADS), title=f"{count} signs"
    )
    for name, row in rows.items():
        table.add_row(name, *(f"{value:.3f}" for value in row.values()))
    Console().print(table)
    if args.save:
        command = "python benchmarks/begin_and_end.py"
        args.save.write_text(json.dumps({"command": command, "signs": count, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
