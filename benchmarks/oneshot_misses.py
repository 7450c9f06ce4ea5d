"""Which queries of the one-shot figure are missed: those that show another form of the sign, and those that both encoders miss.

    python benchmarks/oneshot_misses.py [--data ../shared/data/wlasl_hands.npz]

WLASL's glosses have several forms ("variation"); the first clip in file order is the exemplar, whichever form it shows.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from calibration.evaluation.oneshot import embed_signs, normalised, ranks, split
from calibration.training import trainer
from calibration.training.corpora import read_wlasl
from engines.encoders import DEFAULT_ENCODERS, load_encoder
from engines.features import Features
from engines.pose.choice import HOLISTIC

TOP = 5


def main() -> None:
    """Score and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data/wlasl_hands.npz"), metavar="FILE")
    args = parser.parse_args()
    total: NDArray[np.float32] | None = None
    alone: dict[str, NDArray[np.int64]] = {}
    for name in DEFAULT_ENCODERS:
        encoder = load_encoder(name, estimator=HOLISTIC)
        assert isinstance(encoder.features, Features)
        dev = trainer.split(read_wlasl(args.data, encoder.features))[1]
        exemplars, queries = split(dev)
        rows = embed_signs(dev, encoder.embed)
        scores = normalised(rows[queries], rows[exemplars], encoder.background)
        alone[name] = ranks(dev, exemplars, queries, scores)
        total = encoder.fusion_weight * scores + (0 if total is None else total)
    assert total is not None
    rank = ranks(dev, exemplars, queries, total)
    own = dict(zip(dev.gloss[exemplars].tolist(), exemplars.tolist(), strict=True))
    same = np.array([dev.form[i] == dev.form[own[int(dev.gloss[i])]] for i in queries])
    table = Table("queries", "of", "top-1", f"top-{TOP}")
    for what, which in (
        ("all", np.ones(len(rank), np.bool_)),
        ("of the exemplar's form", same),
        ("of another form", ~same),
    ):
        figures = [f"{(rank[which] < top).mean():.3f}" for top in (1, TOP)]
        table.add_row(what, str(int(which.sum())), *figures)
    Console().print(table)
    missed = np.stack([one >= TOP for one in alone.values()])
    print(
        f"not among the first {TOP}: {int((rank >= TOP).sum())} together, "
        + ", ".join(f"{int(one.sum())} by {name}" for name, one in zip(alone, missed, strict=True))
        + f", {int(missed.all(0).sum())} by each of them"
    )


if __name__ == "__main__":
    main()
