"""What half precision costs each network that ships: how far outputs are from float32, and one-shot accuracy of the encoders.

    python benchmarks/half_precision.py [--data ../shared/data/wlasl_hands.npz] [--save FILE]

Networks are converted as `--engine NAME:float16` converts them and executed by PyTorch on this CPU, whose sums may be longer
than a GPU's. The difference is what live start-up compares with the limit (`engines.accuracy`).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from calibration.commands.engine_cache import POSE, networks
from calibration.evaluation.oneshot import score
from calibration.training.corpora import Corpus, read_wlasl
from calibration.training.trainer import split
from engines.accuracy import LIMITS, difference
from engines.encoders import find_bundle
from engines.features import PICTURES, features_named
from engines.precision import PRECISIONS, Precision, in_precision
from engines.runtime.torch_cuda import TorchEngine

Array = NDArray[np.float32]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "--data",
        type=Path,
        default=Path("../shared/data/wlasl_hands.npz"),
        metavar="FILE",
        help="WLASL's hands",
    )
    parser.add_argument("--save", type=Path, metavar="FILE", help="write the figures as JSON")
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = []
    corpora: dict[str, Corpus] = {}
    for name, model in track(list(networks([])), "comparing", console=Console(stderr=True)):
        kind = "" if name in POSE else find_bundle(name).card.features
        for precision in PRECISIONS:
            engine = TorchEngine(in_precision(model, precision), device="cpu")
            apart = difference(model, engine)
            row = {"network": name, "precision": precision, "difference": float(f"{apart:.2e}")}
            row["refused"] = apart > LIMITS[precision]
            if kind and kind not in PICTURES and args.data.is_file():
                if kind not in corpora:
                    corpora[kind] = split(read_wlasl(args.data, features_named(kind)))[1]
                row |= _oneshot(corpora[kind], kind, engine)
            rows.append(row)
    _show(rows)
    if args.save:
        result = {
            "command": "python benchmarks/half_precision.py",
            "torch": torch.__version__,
            "limits": LIMITS,
        }
        args.save.write_text(json.dumps(result | {"rows": rows}, indent=1) + "\n")


def _oneshot(dev: Corpus, kind: str, engine: TorchEngine) -> dict[str, float]:
    features = features_named(kind)

    def embed(tracks: list[Array]) -> Array:
        windows = np.stack([features.window_input(one) for one in tracks])
        found = engine.run({engine.inputs[0].name: windows})[engine.outputs[0].name]
        return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True), np.float32)

    found = score(dev, embed)
    return {"top1": round(found.top1, 4), "top5": round(found.top5, 4)}


def _show(rows: list[dict[str, Any]]) -> None:
    table = Table("network", "arithmetic", "difference", "limit", "", "top-1", "top-5")
    for row in rows:
        precision: Precision = row["precision"]
        figures = [f"{row[name]:.3f}" if name in row else "" for name in ("top1", "top5")]
        verdict = "refused" if row["refused"] else ""
        table.add_row(
            row["network"], precision, f"{row['difference']:.1e}", f"{LIMITS[precision]:g}", verdict, *figures
        )
    Console().print(table)


if __name__ == "__main__":
    main()
