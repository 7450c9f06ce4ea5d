"""`signspot engines build|list|check|clean`: built engines and how far they are from the reference."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table

from engines import build
from engines.accuracy import LIMITS, ROWS, difference, samples
from engines.choice import ONNXRUNTIME, TORCH, open_engine
from engines.encoders import find_bundle, shipped_bundles
from engines.errors import ConfigError, EngineError, MissingExtra
from engines.gloss_bundle import find_gloss_bundle, is_gloss_bundle, shipped_gloss_bundles
from engines.gloss_step import one_step
from engines.pose.blaze import networks as blaze
from engines.precision import PRECISIONS, Precision
from engines.runtime import tensorrt
from engines.runtime.tensorrt import FLAVOURS, NO_GPU, Batches

POSE = {
    "blaze/person": blaze.PERSON,
    "blaze/pose": blaze.POSE,
    "blaze/hand-recrop": blaze.RECROP,
    "blaze/hand": blaze.HAND,
}
RUNS = 10
MARKS = {True: "[green]✓[/green]", False: "[red]✗[/red]"}


@dataclass(frozen=True, slots=True)
class Checked:
    """One engine against the reference."""

    network: str
    engine: str
    precision: Precision
    difference: float  # largest, in units of the output's largest value
    milliseconds: float  # median of a run of `ROWS` rows
    why: str  # why it could not be checked; "" when it was
    absent: bool  # because the engine is not installed, or there is no GPU for it

    @property
    def good(self) -> bool:
        """Whether it is near enough."""
        return not self.why and self.difference <= LIMITS[self.precision]


def add_arguments(tasks: Any) -> None:
    """Declare `build`, `list`, `check` and `clean` among the sub-commands."""
    make = tasks.add_parser(
        "build",
        help="build TensorRT engines and keep them",
        description="Build TensorRT engines of networks. TensorRT for RTX builds without a GPU; it compiles the rest when "
        "an engine is first loaded on an RTX card. Nobody has executed one yet: compiled, never executed.",
    )
    make.add_argument("networks", nargs="*", metavar="NETWORK", help=_WHICH)
    make.add_argument(
        "--engine",
        choices=tuple(FLAVOURS),
        default="tensorrt-rtx",
        help="which TensorRT (default: tensorrt-rtx)",
    )
    make.add_argument(
        "--precision", choices=PRECISIONS, default="float32", help="arithmetic (default: float32)"
    )
    make.add_argument(
        "--most", type=int, default=16, metavar="N", help="largest batch to build for (default: 16)"
    )
    tasks.add_parser(
        "list", help="what is in the cache", description=f"List the engines in {build.cache_folder()}."
    )
    check = tasks.add_parser(
        "check",
        help="compare every engine that works here with the reference",
        description="Run networks on every engine that works here and compare their outputs with float32 on ONNX Runtime. "
        f"The exit status is 1 where a difference is over the limit ({', '.join(f'{k} {v:g}' for k, v in LIMITS.items())} "
        "of the output's largest value).",
    )
    check.add_argument("networks", nargs="*", metavar="NETWORK", help=_WHICH)
    clean = tasks.add_parser(
        "clean",
        help="remove engines that nothing here can use",
        description="Remove engines that are damaged, or were built by another version or for another GPU.",
    )
    clean.add_argument("--all", action="store_true", help="remove the good ones too")


_WHICH = f"a shipped encoder or transcript network, a bundle's folder, or one of {', '.join(POSE)} (default: all that ship)"


def run(args: argparse.Namespace) -> int:
    """Build, list, check or clean.

    Raises:
        MissingExtra: the TensorRT that is asked for is not installed.
        SignspotError: a network cannot be read or built.
    """
    handlers: dict[str, Callable[[argparse.Namespace, Console], int]] = {
        "build": _build,
        "list": _list,
        "check": _check,
        "clean": _clean,
    }
    return handlers[args.task](args, Console())


def networks(names: list[str]) -> Iterator[tuple[str, bytes]]:
    """Networks by name, as ONNX; all that ship where none are named.

    Raises:
        BundleError: there is no such bundle.
        MissingExtra: mediapipe, whose wheel the pose networks come from, is not installed.
    """
    for name in names or [*shipped_bundles(), *shipped_gloss_bundles(), *POSE]:
        yield name, _network(name)


def _network(name: str) -> bytes:
    if name in POSE:
        return blaze.network(POSE[name])
    if is_gloss_bundle(name):
        return one_step(find_gloss_bundle(name).model)  # as `open_step` asks for it
    return find_bundle(name).model


def checked(name: str, model: bytes) -> Iterator[Checked]:
    """A network on every engine and in every arithmetic that works here."""
    for engine in (ONNXRUNTIME, TORCH, *FLAVOURS):
        for precision in PRECISIONS:
            one, device = _checked(name, model, engine, precision)
            yield one
            if precision == "float32" and (one.why or device == "cpu"):
                break  # half precision would fail the same way; processors without it take seconds a run


def _checked(name: str, model: bytes, engine: str, precision: Precision) -> tuple[Checked, str]:
    """One comparison, and the device that it ran on."""
    try:
        opened = open_engine(model, name=name, engine=f"{engine}:{precision}", verify=False)
        apart = difference(model, opened)
        inputs = samples(opened, model)
        spent = []
        for _ in range(RUNS):
            start_s = time.perf_counter()
            opened.run(inputs)
            spent.append((time.perf_counter() - start_s) * 1e3)
    except (EngineError, MissingExtra, ConfigError) as error:
        absent = not isinstance(error, EngineError) or NO_GPU in str(error)
        return Checked(name, engine, precision, np.inf, np.inf, str(error).splitlines()[0], absent), ""
    return Checked(name, engine, precision, apart, float(np.median(spent)), "", False), opened.where().device


def _build(args: argparse.Namespace, console: Console) -> int:
    if args.most < 1:
        raise ConfigError(f"--most {args.most}: a batch has at least one row")
    version = tensorrt.version(args.engine)  # what is not installed is said before the networks are converted
    wanted = list(networks(args.networks))
    sizes = Batches(1, min(4, args.most), args.most)
    bad = 0
    for name, model in track(
        wanted, f"{args.engine} {version}", console=Console(stderr=True), transient=True
    ):
        made, kept, how = build.built(name, model, args.engine, precision=args.precision, batches=sizes)
        took = f", {kept.entry.built_s:.1f} s" if kept and how.startswith("built") else ""
        if kept is None:  # checking would build it once more
            one = Checked(name, args.engine, args.precision, np.inf, np.inf, "it could not be kept", True)
        else:
            one, _ = _checked(name, model, args.engine, args.precision)
        bad += not (one.absent or one.good)
        console.print(
            f"{MARKS[one.absent or one.good]} {escape(name)}: "
            f"{len(made.plan) / 2**20:.1f} MiB{took} ({escape(how)}); {escape(_outcome(one))}",
            highlight=False,
            soft_wrap=True,
        )
    return 1 if bad else 0


def _outcome(one: Checked) -> str:
    """What came of a check, in words."""
    if one.absent:
        return f"compiled, never executed: {one.why}"
    if one.why:
        return one.why
    verdict = "" if one.good else f", refused: over {LIMITS[one.precision]:g}"
    return f"{one.milliseconds:.2f} ms for {ROWS} rows, difference to float32 {one.difference:.1e}{verdict}"


def _list(args: argparse.Namespace, console: Console) -> int:
    table = Table("network", "engine", "precision", "batch", "GPU", "MiB", "built", box=None)
    count = 0
    for found in build.entries():
        count += 1
        if isinstance(found, EngineError):
            console.print(f"[red]✗[/red] {escape(str(found))}", soft_wrap=True)
            continue
        entry = found.entry
        table.add_row(
            entry.network,
            f"{entry.flavour} {entry.version}",
            entry.precision,
            f"1..{entry.batches[2]}" if any(None in shape for _, shape, _ in entry.inputs) else "1",
            entry.gpu or "built without one",
            f"{found.size / 2**20:.1f}",
            f"{entry.built_utc}, {entry.built_s:.1f} s",
        )
    if not count:
        console.print(
            f"no engines in {build.cache_folder()}: `signspot engines build` makes them", soft_wrap=True
        )
    elif table.row_count:
        console.print(table)
    return 0


def _check(args: argparse.Namespace, console: Console) -> int:
    bad = 0
    absent: dict[str, str] = {}
    wanted = list(networks(args.networks))
    for name, model in track(wanted, "checking", console=Console(stderr=True), transient=True):
        for one in checked(name, model):
            if one.absent:
                absent.setdefault(one.engine, one.why)
                continue
            bad += not one.good
            console.print(
                f"{MARKS[one.good]} {escape(one.network):18} {one.engine:13} {one.precision:9} {escape(_outcome(one))}",
                highlight=False,
                soft_wrap=True,
            )
    for engine, why in absent.items():
        console.print(f"[dim]- {engine}: {escape(why)}[/dim]", highlight=False, soft_wrap=True)
    return 1 if bad else 0


def _clean(args: argparse.Namespace, console: Console) -> int:
    count, freed = build.clean(everything=args.all)
    console.print(f"{count} engines removed, {freed / 2**20:.1f} MiB", highlight=False)
    return 0
