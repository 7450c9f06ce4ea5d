"""One SL-GCN window: the public model in eager PyTorch against the same network folded and run by ONNX Runtime.

    python benchmarks/slgcn_speed.py [--runs 200] [--output benchmarks/results/slgcn-speed.json]

The public model is restated from its layer table (tests/engines/public_networks.py, its graph convolutions as few large
products, as they are published) with random weights; ours is what `signspot engines import` makes of that very
checkpoint, so both compute the same. Runs take turns; inference mode, warmed up; the public model's best of one and two
threads counts.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track

sys.path.insert(0, str(Path(__file__).parent.parent))

from calibration.importing import import_checkpoint
from engines.encoders import find_bundle
from engines.runtime.onnxruntime import OnnxRuntimeEngine
from tests.engines.public_networks import GraphUnit, Slgcn27, with_random_weights

WARM_UP = 20


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--runs", type=int, default=200, help="of each contestant (default: 200)")
    parser.add_argument("--output", type=Path, metavar="FILE", help="also write the result as JSON")
    args = parser.parse_args()
    public = with_random_weights(Slgcn27()).eval()
    GraphUnit.forward = as_published  # type: ignore[assignment,method-assign]
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "checkpoint.pt"
        torch.save(public.state_dict(), path)
        model = import_checkpoint(path, "sam-slr-joint", Path(scratch) / "bundle").model
    x = np.random.default_rng(0).normal(size=(1, 3, 16, 27)).astype(np.float32)
    engines = {threads: OnnxRuntimeEngine(model, threads=threads, device="cpu") for threads in (1, 2)}
    shipped = {
        name: OnnxRuntimeEngine(find_bundle(name).model, device="cpu") for name in ("slgcn2d", "slgcn3d")
    }
    contestants: dict[str, Callable[[], Any]] = {
        "public, 1 thread": lambda: _eager(public, x, 1),
        "public, 2 threads": lambda: _eager(public, x, 2),
        "ours, 1 thread": lambda: engines[1].run({"windows": x})["embeddings"],
        "ours, 2 threads": lambda: engines[2].run({"windows": x})["embeddings"],
    }
    for name, engine in shipped.items():
        (spec,) = engine.inputs
        shape = [size or 1 for size in spec.shape]
        window = np.random.default_rng(0).random(shape, dtype=np.float32)
        contestants[f"{name} as shipped, 1 thread"] = lambda e=engine, w=window: e.run({"windows": w})  # type: ignore[misc]
    spent: dict[str, list[float]] = {name: [] for name in contestants}
    for number in track(range(WARM_UP + args.runs), "running"):
        for name, run in contestants.items():
            start_s = time.perf_counter()
            run()
            if number >= WARM_UP:
                spent[name].append((time.perf_counter() - start_s) * 1e3)
    medians = {name: float(np.median(values)) for name, values in spent.items()}
    best = min(medians["public, 1 thread"], medians["public, 2 threads"])
    result = {
        "command": f"python benchmarks/slgcn_speed.py --runs {args.runs}",
        "runs": args.runs,
        "median_ms": {name: round(value, 2) for name, value in medians.items()},
        "p95_ms": {name: round(float(np.percentile(values, 95)), 2) for name, values in spent.items()},
        "times_faster_than_public": {
            "2 threads": round(best / medians["ours, 2 threads"], 2),
            "1 thread": round(best / medians["ours, 1 thread"], 2),
        },
        "largest_difference": _apart(public, engines[1], x),
    }
    print(json.dumps(result, indent=1))
    if args.output:
        args.output.write_text(json.dumps(result, indent=1) + "\n")


def as_published(unit: GraphUnit, x: torch.Tensor) -> torch.Tensor:
    """The graph convolution with all channels and parts at once; the test's restatement takes one after the other."""
    outside, joints = unit.eyes.shape[:2]
    learnt = unit.DecoupleA.repeat(1, outside // unit.DecoupleA.shape[1], 1, 1)
    parts = []
    for part in learnt:
        scale = (part.sum(1) + 0.001) ** -1
        parts.append(torch.bmm(part, unit.eyes * scale[:, None].expand(-1, joints, -1)))
    mixed = unit.bn0(torch.einsum("nctv,cd->ndtv", x, unit.Linear_weight) + unit.Linear_bias)
    split = mixed.view(x.shape[0], len(parts), outside, *mixed.shape[2:])
    y = torch.einsum("nkctv,kcvw->nctw", split, torch.stack(parts))
    shortcut = unit.down(x) if hasattr(unit, "down") else x
    return torch.nn.functional.relu(unit.bn(y) + shortcut)


def _eager(network: torch.nn.Module, x: NDArray[np.float32], threads: int) -> torch.Tensor:
    torch.set_num_threads(threads)
    with torch.inference_mode():
        return network(torch.from_numpy(x))  # type: ignore[no-any-return]


def _apart(public: torch.nn.Module, engine: OnnxRuntimeEngine, x: NDArray[np.float32]) -> float:
    """Of the unit embeddings."""
    theirs = _eager(public, x, 1)
    features = (theirs[-1] if isinstance(theirs, tuple) else theirs).numpy()
    ours = engine.run({"windows": x})["embeddings"]
    return float(np.abs(features / np.linalg.norm(features) - ours / np.linalg.norm(ours)).max())


if __name__ == "__main__":
    main()
