#!/usr/bin/env python3
"""Every network and the published ones it stands beside, in turns on one machine, against what the arithmetic allows.

    python benchmarks/side_by_side.py [--runs 200] [--save FILE.json] [--picture FILE.png]
    python benchmarks/side_by_side.py --device cuda

The published SL-GCN and I3D are restated from their papers' layer tables (tests/engines/public_networks.py) with random
weights; ours beside them are what `signspot engines import` makes of these very checkpoints. A run is from numpy to numpy.
Contestants take turns. The floor is the larger of two times: multiplications at the rate of this machine's best large
product, and weights, inputs and outputs at the rate of its best large copy. Pose estimators are MediaPipe Holistic and
blaze on frames of the demo.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.arithmetic import Ceilings, Work, ceilings, count
from benchmarks.slgcn_speed import as_published
from calibration.importing import import_checkpoint
from engines.choice import ONNXRUNTIME, open_engine
from engines.encoders import find_bundle
from engines.errors import SignspotError
from engines.pose.blaze import networks
from engines.pose.blaze.estimator import BlazePose, open_networks
from engines.precision import PRECISIONS, in_precision
from engines.processor import processor_name
from engines.runtime.base import Engine
from engines.runtime.onnxruntime import OnnxRuntimeEngine
from engines.runtime.tensorrt import FLAVOURS
from engines.runtime.torch_cuda import TorchEngine
from tests.engines.public_networks import GraphUnit, InceptionI3d, Slgcn27, with_random_weights

WARM_UP = 10
FRAMES = 100
PEOPLE = (
    ("person detector", networks.PERSON, 1),
    ("pose", networks.POSE, 1),
    ("hand re-crop, both hands", networks.RECROP, 2),
    ("hands, both", networks.HAND, 2),
)


@dataclass(slots=True)
class Subject:
    """One network or estimator, and who runs it."""

    name: str
    contestants: dict[str, Callable[[], Any]]
    work: Work | None = None
    runs: int | None = None  # fewer than the others
    spent_ms: dict[str, list[float]] = field(default_factory=dict)
    device_ms: dict[str, Callable[[], list[float]]] = field(default_factory=dict)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="default: cpu")
    parser.add_argument("--runs", type=int, default=200, help="of each contestant (default: 200)")
    parser.add_argument("--rgb", metavar="BUNDLE", help="also measure this encoder of pictures")
    parser.add_argument("--save", type=Path, metavar="FILE", help="write the result as JSON")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw it")
    args = parser.parse_args()
    if args.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: PyTorch finds no NVIDIA GPU")
    best = _ceilings(args.device)
    with tempfile.TemporaryDirectory() as scratch:
        subjects = [*_published(args.device, Path(scratch)), *_shipped(args.device, args.rgb)]
        subjects += _pose(args.device)
        for subject in track(subjects, "running", console=Console(stderr=True)):
            _take_turns(subject, min(args.runs, subject.runs or args.runs))
        result = _result(args, best, subjects)
    _show(result)
    if args.save:
        args.save.write_text(json.dumps(result, indent=1) + "\n")
    if args.picture:
        _draw(result, args.picture)


def _ceilings(device: str) -> dict[str, Ceilings]:
    if device == "cpu":
        torch.set_num_threads(os.cpu_count() or 1)
        return {"float32": ceilings("cpu")}
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    return {kind: ceilings("cuda", kind) for kind in ("float32", "float16")}


def _published(device: str, scratch: Path) -> Iterator[Subject]:
    GraphUnit.forward = as_published  # type: ignore[assignment,method-assign]
    windows = np.random.default_rng(0).normal(size=(1, 3, 16, 27)).astype(np.float32)
    pictures = np.random.default_rng(0).integers(0, 256, (1, 16, 224, 224, 3), np.uint8)
    as_public = ((pictures.astype(np.float32) / 127.5) - 1).transpose(0, 4, 1, 2, 3).copy()
    for name, network, kind, ours, theirs, runs in (
        ("SL-GCN of SAM-SLR", Slgcn27(), "sam-slr-joint", windows, windows, None),
        ("I3D, 16 pictures of 224x224", InceptionI3d(), "i3d", pictures, as_public, 20),
    ):
        public = with_random_weights(network).eval()
        path = scratch / f"{kind}.pt"
        torch.save(public.state_dict(), path)
        model = import_checkpoint(path, kind, scratch / kind).model
        subject = _subject(name, model, ours, device, runs=runs if device == "cpu" else None)
        eager = _eager(public, theirs, device)
        subject.contestants = {**eager, **subject.contestants}
        yield subject


def _eager(network: torch.nn.Module, x: NDArray[np.float32], device: str) -> dict[str, Callable[[], Any]]:
    network = network.to(device)

    def run(threads: int) -> Any:
        if device == "cpu":
            torch.set_num_threads(threads)
        with torch.inference_mode():
            found = network(torch.from_numpy(x).to(device))
        return found.cpu().numpy()

    if device == "cuda":
        return {"published, eager PyTorch": lambda: run(1)}
    return {f"published, eager PyTorch, {_threads(n)}": lambda n=n: run(n) for n in (1, 2)}  # type: ignore[misc]


def _shipped(device: str, rgb: str | None) -> Iterator[Subject]:
    for name in ("slgcn2d", "slgcn3d", *([rgb] if rgb else [])):
        bundle = find_bundle(name)
        engine = OnnxRuntimeEngine(bundle.model, device="cpu")
        (spec,) = engine.inputs
        yield _subject(
            f"{bundle.card.name}, a window", bundle.model, _random((1, *(size or 1 for size in spec.shape[1:])), spec.dtype), device
        )  # fmt: skip


def _pose(device: str) -> Iterator[Subject]:
    for name, source, batch in PEOPLE:
        pictures = _random((batch, source.side, source.side, 3), "uint8")
        subject = _subject(f"blaze: {name}", networks.network(source), pictures, device)
        if device == "cpu" and source in (networks.RECROP, networks.HAND):
            for threads in (1, 2):
                engine = networks.engine(source, threads)
                called = f"as blaze runs it, {_threads(threads)}, {engine.where().precision}"
                subject.contestants[called] = _run(engine, pictures)
        yield subject
    try:
        frames = list(_frames())
    except ImportError as error:
        Console(stderr=True).print(f"no frames of the demo here: {error}")
        return
    contestants: dict[str, Callable[[NDArray[np.uint8]], Any]] = {}
    try:
        import mediapipe

        from engines.pose.mediapipe import HolisticPose

        contestants["MediaPipe Holistic, as published"] = mediapipe.solutions.holistic.Holistic(
            model_complexity=1
        ).process
        contestants["Holistic without face mesh"] = HolisticPose().estimate
    except (ImportError, AttributeError, SignspotError):
        Console(stderr=True).print("MediaPipe is not here: its Holistic is left out")
    if device == "cuda":
        contestants["blaze, CUDA graphs"] = BlazePose(open_networks(runtime="torch")).estimate
    for threads in (1, 2):
        contestants[f"blaze, ONNX Runtime, {_threads(threads)}"] = BlazePose(threads=threads).estimate
    yield Subject(
        "pose of a frame, 640x480, both hands",
        {name: _film(run, frames) for name, run in contestants.items()},
        runs=len(frames),
    )


def _film(run: Callable[[NDArray[np.uint8]], Any], frames: Sequence[NDArray[np.uint8]]) -> Callable[[], Any]:
    """One frame after the other."""
    at = iter(range(10**9))
    return lambda: run(frames[next(at) % len(frames)])


def _frames() -> Iterator[NDArray[np.uint8]]:
    import av

    from stream.demo import stream_path

    with av.open(str(stream_path())) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number == FRAMES:
                return
            yield np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)


def _subject(
    name: str, model: bytes, x: NDArray[np.generic], device: str, *, runs: int | None = None
) -> Subject:
    """A network of ours, on what it can run."""
    subject = Subject(name, {}, runs=runs)
    if device == "cpu":
        for threads in (1, 2):
            engine = OnnxRuntimeEngine(model, threads=threads, device="cpu")
            subject.contestants[f"ONNX Runtime, {_threads(threads)}"] = _run(engine, x)
    else:
        subject.contestants["PyTorch, one operation at a time"] = _run(
            TorchEngine(model, device="cuda", graphs=False), x
        )
        for precision in ("float32", "float16"):
            graph = TorchEngine(in_precision(model, precision), device="cuda")
            called = f"CUDA graph, {precision}"
            subject.contestants[called] = _run(graph, x)
            given = {graph.inputs[0].name: x.astype(graph.inputs[0].dtype)}
            subject.device_ms[called] = lambda g=graph, i=given: g.device_ms(i, repeats=200)  # type: ignore[misc]
        for called, opened in _others_on_gpu(name, model):
            subject.contestants[called] = _run(opened, x)
    reader = OnnxRuntimeEngine(model, device="cpu")
    (spec,) = reader.inputs
    subject.work = count(model, {spec.name: np.ascontiguousarray(x.astype(spec.dtype))})
    return subject


def _others_on_gpu(name: str, model: bytes) -> Iterator[tuple[str, Engine]]:
    """TensorRT and ONNX Runtime's CUDA, where they are installed; otherwise it is said why not."""
    for engine in (*FLAVOURS, ONNXRUNTIME):
        for precision in PRECISIONS[:2]:
            try:
                opened = open_engine(model, name=name, engine=f"{engine}:{precision}", verify=False)
            except SignspotError as error:
                Console(stderr=True).print(f"{name}: no {engine} in {precision}: {error}", highlight=False)
                continue
            if opened.where().device != "cpu":
                yield f"{opened.where().runtime}, {precision}", opened


def _run(engine: Any, x: NDArray[np.generic]) -> Callable[[], Any]:
    (spec,) = engine.inputs
    given = {spec.name: np.ascontiguousarray(x.astype(spec.dtype))}
    return lambda: engine.run(given)


def _random(shape: tuple[int, ...], kind: str) -> NDArray[np.generic]:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, shape, np.uint8) if kind == "uint8" else rng.random(shape, dtype=np.float32)


def _threads(count: int) -> str:
    return f"{count} thread" + "s" * (count > 1)


def _take_turns(subject: Subject, runs: int) -> None:
    subject.spent_ms = {name: [] for name in subject.contestants}
    for number in range(WARM_UP + runs):
        for name, run in subject.contestants.items():
            start_s = time.perf_counter()
            run()
            if number >= WARM_UP:
                subject.spent_ms[name].append((time.perf_counter() - start_s) * 1e3)


def _result(
    args: argparse.Namespace, best: dict[str, Ceilings], subjects: Sequence[Subject]
) -> dict[str, Any]:
    rows = []
    for subject in subjects:
        for name, spent in subject.spent_ms.items():
            row: dict[str, Any] = {
                "what": subject.name,
                "by": name,
                "ms": round(float(np.median(spent)), 3),
                "p95_ms": round(float(np.percentile(spent, 95)), 3),
            }
            if name in subject.device_ms:
                row["on_device_ms"] = round(float(np.median(subject.device_ms[name]())), 4)
            if subject.work and not name.endswith(
                "int8"
            ):  # the ceilings are those of floating-point arithmetic
                ceiling = best["float16" if name.endswith("float16") else "float32"]
                row["floor_ms"] = round(subject.work.floor_ms(ceiling), 4)
                row["gmac"] = round(subject.work.gmacs, 4)
                row["mbytes"] = round(subject.work.mbytes, 2)
            rows.append(row)
    return {
        "command": "python benchmarks/side_by_side.py " + " ".join(sys.argv[1:]),
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{os.cpu_count()} cores of {processor_name()}",
        "device": torch.cuda.get_device_name() if args.device == "cuda" else "cpu",
        "torch": torch.__version__,
        "runs": args.runs,
        "ceilings": {
            kind: {
                "gflops": round(one.gflops, 1),
                "gbytes_a_second": round(one.gbytes_a_second, 1),
            }
            for kind, one in best.items()
        },
        "rows": rows,
    }


def _show(result: dict[str, Any]) -> None:
    on_gpu = any("on_device_ms" in row for row in result["rows"])
    limits = ", ".join(
        f"{kind} {one['gflops'] / 1e3:.2f} TFLOP/s, {one['gbytes_a_second']:.0f} GB/s"
        for kind, one in result["ceilings"].items()
    )
    table = Table(title=f"{result['device']}, {result['machine']}; at best {limits}", title_justify="left")
    for column in ("what", "by"):
        table.add_column(column)
    for column in ("ms", "p95", *(["on the device"] if on_gpu else []), "floor", "of the floor"):
        table.add_column(column, justify="right")
    before = None
    for row in result["rows"]:
        alone = row.get("on_device_ms", row["ms"])
        floor = row.get("floor_ms")
        cells = [
            row["what"] if row["what"] != before else "",
            row["by"],
            f"{row['ms']:.2f}",
            f"{row['p95_ms']:.2f}",
        ]
        cells += [f"{row['on_device_ms']:.3f}" if "on_device_ms" in row else ""] if on_gpu else []
        cells += [f"{floor:.3f}", f"{alone / floor:.1f}x"] if floor else ["", ""]
        table.add_row(*cells, end_section=False)
        before = row["what"]
    Console(width=150).print(table)


def _draw(result: dict[str, Any], path: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    rows = result["rows"]
    figure, axes = pyplot.subplots(figsize=(11, 0.32 * len(rows) + 1.6))
    names = list(dict.fromkeys(row["what"] for row in rows))
    colours = pyplot.get_cmap("tab10")
    place = np.arange(len(rows)) + np.cumsum([
        0.6 * (n > 0 and rows[n]["what"] != rows[n - 1]["what"]) for n in range(len(rows))
    ])  # fmt: skip
    axes.barh(
        place, [row["ms"] for row in rows], color=[colours(names.index(row["what"]) % 10) for row in rows]
    )
    for y, row in zip(place, rows, strict=True):
        axes.text(row["ms"], y, f" {row['ms']:.2f}", va="center", fontsize=8)
        if "floor_ms" in row:
            axes.plot([row["floor_ms"]] * 2, [y - 0.4, y + 0.4], color="black", lw=1.5)
    axes.set_yticks(place, [f"{row['what']}: {row['by']}" for row in rows], fontsize=8)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlabel("milliseconds, median (black: floor of this machine's arithmetic or memory)")
    axes.set_title(f"{result['device']}, {result['machine']}", fontsize=10)
    axes.margins(x=0.15)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
