"""What joints, bones and their motion are each worth to the 2D encoder: the same small network trained on one alone.

    python benchmarks/stream_ablation.py --work DIR [--steps 1500] [--data ../shared/data]

SAM-SLR trains a network for each of four streams and adds their scores; ours reads all as channels of one network. Every row
sees the masks of what is there and what was seen. All are trained alike (seed, steps, size of `signspot train encoder`)
and scored one-shot on the WLASL dev glosses, which none was trained on. "four networks" adds up the cosines of the four
rows of one stream each, as SAM-SLR does. A run that was cut off goes on where it stopped.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.small_runs import save, show, train_all
from calibration.evaluation.oneshot import embed_signs, score_rows
from calibration.training.corpora import Corpus, read_dgs_unknown, read_wlasl
from calibration.training.trainer import Recipe, Run, embedder, split
from engines.features import KEYPOINTS
from engines.networks.slgcn import Slgcn

STREAMS = {
    "joint": (0, 1, 2, 3, 4, 5, 12, 13),
    "bone": (6, 7),
    "joint motion": (8, 9),
    "bone motion": (10, 11),
}
"""Stream -> its channels of `engines.skeleton.window_input`."""
ROWS = {
    **{name: (name,) for name in STREAMS},
    "without motion": ("joint", "bone"),
    "without bones": ("joint", "joint motion"),
    "all in one network": tuple(STREAMS),
}


class _Narrowed(Run):
    """A run whose network sees some of the streams alone."""

    def __init__(
        self, folder: Path, corpus: Corpus, background: Corpus, recipe: Recipe, streams: tuple[str, ...]
    ) -> None:
        unseen = [channel for name, some in STREAMS.items() if name not in streams for channel in some]
        self._seen = torch.ones(1, KEYPOINTS.channels, 1, 1)
        self._seen[0, unseen] = 0
        super().__init__(folder, corpus, background, recipe)
        self.network.register_forward_pre_hook(self._narrow)

    def averaged(self) -> Slgcn:
        network = super().averaged()
        network.register_forward_pre_hook(self._narrow)
        return network

    def _narrow(self, _network: object, inputs: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
        return (inputs[0] * self._seen,)


def main() -> None:
    """Train, score and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--work", type=Path, required=True, metavar="DIR", help="folder of the runs")
    parser.add_argument("--steps", type=int, default=1500, metavar="N", help="batches (default: 1500)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of all runs (default: 0)")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), metavar="DIR")
    parser.add_argument("--save", type=Path, metavar="FILE", help="write the figures as JSON")
    args = parser.parse_args()
    torch.set_num_threads(1)
    corpus = read_wlasl(args.data / "wlasl_hands.npz", KEYPOINTS)
    background = read_dgs_unknown(args.data / "dgs_unknown_hands2d.npz")
    _, dev = split(corpus)
    recipe = Recipe(seed=args.seed, steps=args.steps)

    def starting(name: str, streams: tuple[str, ...]) -> Callable[[], Run]:
        return lambda: _Narrowed(args.work / name.replace(" ", "-"), corpus, background, recipe, streams)

    trained = train_all({name: starting(name, streams) for name, streams in ROWS.items()})
    rows = {name: embed_signs(dev, embedder([network])) for name, network in trained.items()}
    found = {name: score_rows(dev, row).metrics() for name, row in rows.items()}
    single = np.concatenate([rows[name] for name in STREAMS], 1) / np.float32(len(STREAMS) ** 0.5)
    found["four networks, cosines added"] = score_rows(dev, single).metrics()
    show("streams", found, f"{args.steps} steps each, seed {args.seed}")
    if args.save:
        command = f"python benchmarks/stream_ablation.py --steps {args.steps} --seed {args.seed}"
        save(args.save, command, found)


if __name__ == "__main__":
    main()
