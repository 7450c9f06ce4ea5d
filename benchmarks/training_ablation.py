"""What each thing that training does is worth to an encoder: the same small network trained with and without it.

    python benchmarks/training_ablation.py --work DIR [--modality 3d] [--steps 1000] [--data ../shared/data]

All rows are trained alike but for what they are named after, and scored one-shot by cosines on the WLASL dev glosses,
which none was trained on. The first row is trained with two seeds: how far those differ is the scatter. The last rows
train nothing: they put the projection after the network, and the two seeds' networks side by side. A run that was cut off
goes on where it stopped.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.small_runs import save, show, train_all
from calibration.evaluation.oneshot import score
from calibration.training.corpora import read_dgs_unknown, read_wlasl
from calibration.training.idle import idle_corpus
from calibration.training.made_up import kept_signs
from calibration.training.projection import fit, training_windows
from calibration.training.trainer import Recipe, Run, embed_inputs, embedder, split
from engines.features import ANGLES, KEYPOINTS
from engines.networks.slgcn import SlgcnShape

MADE_UP = 600
"""Signs of the synthetic signer in the row that mixes them in: a quarter of a batch's glosses."""


@dataclass(frozen=True, slots=True)
class Variant:
    """How a row differs from the first."""

    recipe: dict[str, Any] = field(default_factory=dict)
    augmentation: dict[str, float] = field(default_factory=dict)
    made_up: bool = False
    idle: bool = False  # idle movement of the synthetic signer as background


FIRST, SECOND = "as it ships", "as it ships, another seed"
ROWS = {
    FIRST: Variant(),
    SECOND: Variant({"seed": 1}),
    "without the triplet loss": Variant({"triplet": 0.0}),
    "without background windows": Variant({"background": 0}),
    "with made-up signs": Variant(made_up=True),
    "without mirroring": Variant(augmentation={"mirror": 0.0}),
    "without lost hands": Variant(
        augmentation={"drop_ticks": 0.0, "drop_hand": 0.0, "drop_weak": 0.0, "resting": 0.0}
    ),
    "without deformation in space": Variant({"strength": 0.0}),
    "without deformation in time": Variant(augmentation={"whole": 1.0, "warp": 0.0}),
    "windows of 0.62 to 1.67 of a sign (speed 0.6 to 1.6)": Variant(
        augmentation={"shortest": 1 / 1.6, "longest": 1 / 0.6}
    ),
}
ROWS_3D = {
    FIRST: Variant(),
    SECOND: Variant({"seed": 1}),
    "with idle movement as background": Variant(idle=True),
}


def main() -> None:
    """Train, score and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--work", type=Path, required=True, metavar="DIR", help="folder of the runs")
    parser.add_argument("--modality", choices=("2d", "3d"), default="2d", help="which encoder (default: 2d)")
    parser.add_argument("--steps", type=int, default=1000, metavar="N", help="batches (default: 1000)")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), metavar="DIR")
    parser.add_argument("--save", type=Path, metavar="FILE", help="write the figures as JSON")
    args = parser.parse_args()
    torch.set_num_threads(1)
    flat = args.modality == "2d"
    features, rows = (KEYPOINTS, ROWS) if flat else (ANGLES, ROWS_3D)
    corpus = read_wlasl(args.data / "wlasl_hands.npz", features)
    background = read_dgs_unknown(args.data / "dgs_unknown_hands2d.npz") if flat else None
    made_up = kept_signs(args.work / "made-up.npz", features, MADE_UP) if flat else None
    idle = None if flat else idle_corpus(features)
    train, dev = split(corpus)

    def starting(name: str, variant: Variant) -> Callable[[], Run]:
        def start() -> Run:
            run = Run(
                args.work / name.replace(" ", "-"),
                corpus,
                idle if variant.idle else background,
                replace(Recipe(steps=args.steps), **variant.recipe),
                SlgcnShape(features=features.name),
                made_up=made_up if variant.made_up else None,
            )
            run.augmentation = run.augmentation._replace(**variant.augmentation)
            return run

        return start

    trained = train_all({name: starting(name, variant) for name, variant in rows.items()})
    found = {name: score(dev, embedder([network])).metrics() for name, network in trained.items()}
    inputs, gloss = training_windows(train)
    for name, networks in {
        "the first, projected": [trained[FIRST]],
        "both seeds' networks joined": [trained[FIRST], trained[SECOND]],
    }.items():
        projection = fit(embed_inputs(networks, inputs), gloss)
        if len(networks) > 1:
            found[name] = score(dev, embedder(networks)).metrics()
            name += ", projected"
        found[name] = score(dev, embedder(networks, projection)).metrics()
    show("trained", found, f"{args.steps} steps each")
    if args.save:
        save(
            args.save,
            f"python benchmarks/training_ablation.py --modality {args.modality} --steps {args.steps}",
            found,
        )


if __name__ == "__main__":
    main()
