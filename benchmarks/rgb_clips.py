#!/usr/bin/env python3
"""What pictures add to keypoints on made-up signs: one-shot on rendered clips of signs and bodies that nothing trained on.

    signspot synth clips --seed 1 --signs 100 --scenes 42 --bodies 12 --out dev
    python benchmarks/rgb_clips.py dev --rgb i3d_mlp --keypoints slgcn2d

Of each sign the first clip is the exemplar, clips by other bodies are queries; both are cut to the stroke. The keypoint
encoder is given the true joints: kinder than any pose estimator. The weight of pictures in the fusion is chosen on the
signs of even numbers and scored on those of odd ones.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from calibration.evaluation.oneshot import Modality, OneShot, score_fused
from calibration.synthesis.clips import Clips, read_clips
from calibration.training.rgb import labels, seen, taught_rows
from engines.encoders import BundleEncoder, load_encoder

WEIGHTS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.8, 1.2, 2.0)

Rows = NDArray[np.float32]


def scored(clips: Clips, which: NDArray[np.int64], parts: list[tuple[BundleEncoder, Rows, float]]) -> OneShot:
    """Score some clips by encoders with weights."""
    modalities = [Modality(rows[which], one.background, weight) for one, rows, weight in parts if weight > 0]
    return score_fused(labels(clips, which), modalities)


def main() -> None:
    """Print a row for each encoder and for the fusion."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("clips", type=Path)
    parser.add_argument("--rgb", default="i3d_mlp")
    parser.add_argument("--keypoints", default="slgcn2d")
    parser.add_argument("--save", type=Path, metavar="FILE", help="write the figures as JSON")
    args = parser.parse_args()
    clips = read_clips(args.clips)
    rgb, points = (load_encoder(name, estimator="synthetic") for name in (args.rgb, args.keypoints))
    point_rows = taught_rows(clips, points.embed, lambda count: None)
    usable = np.flatnonzero((clips.sign >= 0) & point_rows.any(1))
    rgb_rows = np.zeros((len(clips), rgb.dimension), np.float32)
    for clip in track(usable, "embedding pictures", console=Console(stderr=True), transient=True):
        rgb_rows[clip] = rgb.embed([seen(clips, int(clip))])[0]
    chosen, held = (usable[clips.sign[usable] % 2 == part] for part in (0, 1))

    def fused(which: NDArray[np.int64], weight: float) -> OneShot:
        return scored(clips, which, [(points, point_rows, 1.0), (rgb, rgb_rows, weight)])

    curve = {weight: fused(chosen, weight) for weight in WEIGHTS}
    best = max(WEIGHTS, key=lambda weight: (curve[weight].top1, -weight))
    rows = {
        f"{rgb.name} alone": scored(clips, held, [(rgb, rgb_rows, 1.0)]),
        f"{points.name} alone, true joints": fused(held, 0.0),
        f"{points.name} + {best:g} {rgb.name}": fused(held, best),
    }
    print(
        "weight on the signs it is chosen on: top-1 "
        + ", ".join(f"{w:g}: {curve[w].top1:.3f}" for w in WEIGHTS)
    )
    for name, found in rows.items():
        print(
            f"| {name} | {found.ways} | {found.queries} | {found.top1:.3f} | {found.top5:.3f} | {found.map:.3f} |"
        )
    if args.save:
        figures = {name: found.metrics() for name, found in rows.items()}
        chosen_by = {f"{weight:g}": found.metrics() for weight, found in curve.items()}
        args.save.write_text(
            json.dumps({"held": figures, "weights": chosen_by}, indent=1) + "\n", encoding="utf-8"
        )


if __name__ == "__main__":
    main()
