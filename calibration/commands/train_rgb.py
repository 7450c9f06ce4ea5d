"""`signspot train rgb` and `rgb-bundle`: the RGB encoder, from the synthetic signer's small pictures to a model bundle."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from calibration.commands.training_device import add_device_option, check_device
from calibration.stopping import stop_between_steps
from engines.encoders import load_encoder
from engines.errors import ConfigError
from engines.features import KEYPOINTS

if TYPE_CHECKING:
    from calibration.synthesis.clips import Clips
    from calibration.training.device_pictures import DevicePictures

KINDS = ("rgb", "rgb-bundle")
COLUMNS = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
SYNTHETIC = "synthetic"
"""The pose estimator's name for true joints; it only goes into a fingerprint that nothing is compared with."""


def add_kinds(kinds: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the sub-commands."""
    rgb = kinds.add_parser(
        "rgb",
        help="train the RGB encoder on the synthetic signer's pictures",
        description="Train a small I3D on clips made by `signspot synth clips`. Stop it with Ctrl-C at any time: the same "
        "command goes on from there, also after more clips of the same signs were made.",
    )
    rgb.add_argument("--clips", type=Path, required=True, metavar="DIR", help="to train on")
    rgb.add_argument(
        "--dev",
        type=Path,
        required=True,
        metavar="DIR",
        help="of another seed, to measure one-shot accuracy on",
    )
    rgb.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the run")
    rgb.add_argument("--steps", type=int, default=1000, metavar="N", help="batches (default: 1000)")
    rgb.add_argument("--seed", type=int, default=0, metavar="N", help="same seed, same run (default: 0)")
    rgb.add_argument(
        "--every", type=int, default=60, metavar="N", help="steps between measurements (default: 60)"
    )
    rgb.add_argument(
        "--teacher",
        metavar="ENCODER",
        help="an encoder of 2D keypoints; learn to resemble what it makes of the clips' true joints",
    )
    rgb.add_argument(
        "--signs", type=int, default=24, metavar="N",
        help="different signs in a batch, with two clips of each and a quarter as many of none (default: 24)",
    )  # fmt: skip
    rgb.add_argument("--threads", type=int, default=1, metavar="N", help="CPU threads (default: 1)")
    add_device_option(rgb)
    bundle = kinds.add_parser(
        "rgb-bundle",
        help="export a run of the RGB encoder",
        description="Export a run as a model bundle, with training signs as background and rests, ways and idling between "
        "signs as what no sign may be farther from than its exemplar.",
    )
    bundle.add_argument("run", type=Path, metavar="RUN", help="folder of the run")
    bundle.add_argument("--clips", type=Path, required=True, metavar="DIR", help="that it was trained on")
    bundle.add_argument("--dev", type=Path, required=True, metavar="DIR", help="to measure on")
    bundle.add_argument("--out", type=Path, required=True, metavar="DIR", help="the bundle's folder")
    bundle.add_argument("--name", default="i3d_mlp", metavar="NAME", help="on the wire (default: i3d_mlp)")
    bundle.add_argument("--notes", default="", metavar="TEXT", help="for the card: how it was trained")
    bundle.add_argument("--curves", type=Path, metavar="FILE", help="also draw the run's learning curves")


def run(args: argparse.Namespace, console: Console) -> int:
    """Train or export.

    Raises:
        ConfigError: an option, a run or clips that cannot be used.
        BundleError: the teacher cannot be loaded, or the bundle cannot be written.
    """
    return _train(args, console) if args.kind == "rgb" else _export(args, console)


def _clips(folder: Path, console: Console) -> Clips:
    from calibration.synthesis.clips import read_clips

    with console.status(f"reading {folder}"):
        return read_clips(folder)


def _train(args: argparse.Namespace, console: Console) -> int:
    import cv2
    import torch

    from calibration.training.curves import save_curves
    from calibration.training.rgb import RgbRecipe, RgbRun

    check_device(args.device)
    for name in ("steps", "every", "threads", "signs"):
        if getattr(args, name) < 1:
            raise ConfigError(f"--{name} must be at least 1, not {getattr(args, name)}")
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(args.threads)
    clips, dev = _clips(args.clips, console), _clips(args.dev, console)
    taught = None
    if args.teacher is not None:
        args.out.mkdir(parents=True, exist_ok=True)
        taught = _taught(args.teacher, clips, args.out / f"taught-{args.teacher}.npy", console)
    recipe = RgbRecipe(
        seed=args.seed, steps=args.steps, every=args.every, signs=args.signs, background=args.signs // 4
    )
    pictures = _sent(clips, args, console) if args.device != "cpu" else None
    training = RgbRun(args.out, clips, dev, recipe, taught=taught, device=args.device, pictures=pictures)
    with Progress(*COLUMNS, console=console) as progress, stop_between_steps() as stopped:
        bar = progress.add_task("", total=recipe.steps, completed=training.at)
        while not training.done:
            if stopped():
                training.save()
                raise KeyboardInterrupt
            training.step()
            progress.update(bar, completed=training.at, description=f"loss {training.loss:.2f}")
            if training.at % recipe.every == 0 or training.done:
                found = training.measure()
                training.save()
                save_curves(args.out / "curves.png", {args.out.name: training.history}, DEV)
                console.print(
                    f"step {training.at}: loss {training.loss:.2f}, training accuracy {training.accuracy:.3f}, "
                    f"dev one-shot top 1 {found.top1:.3f}, top 5 {found.top5:.3f}"
                )
    return 0


def _sent(clips: Clips, args: argparse.Namespace, console: Console) -> DevicePictures:
    import torch

    from calibration.training.device_pictures import DevicePictures

    with Progress(*COLUMNS, console=console, transient=True) as progress:
        bar = progress.add_task(f"decoding, to {args.device}", total=len(clips))
        return DevicePictures(
            clips,
            torch.device(args.device),
            threads=args.threads,
            progress=lambda count: progress.advance(bar, count),
        )


DEV = "one-shot, unseen synthetic signs, other bodies"
"""What the accuracy in the picture of the learning curves is of."""


def _taught(name: str, clips: Clips, kept: Path, console: Console) -> NDArray[np.float32]:
    """The teacher's rows of all clips; those that an earlier call made are kept, since clips are only ever added."""
    from dataclasses import replace

    from calibration.training.rgb import taught_rows

    teacher = load_encoder(name, estimator=SYNTHETIC)
    if teacher.features is not KEYPOINTS:
        raise ConfigError(f"--teacher {name} does not see 2D keypoints: slgcn2d does")
    rows = np.load(kept) if kept.exists() else np.zeros((0, teacher.dimension), np.float32)
    first = len(rows)
    if first < len(clips):
        rest = replace(
            clips,
            jpegs=(),
            sign=clips.sign[first:],
            body=clips.body[first:],
            ticks=clips.ticks[first:],
            stroke=clips.stroke[first:],
            keypoints=clips.keypoints[first:],
        )
        with Progress(*COLUMNS, console=console, transient=True) as progress:
            bar = progress.add_task("asking the teacher", total=int((rest.sign >= 0).sum()))
            told: Callable[[int], None] = lambda count: progress.advance(bar, count)  # noqa: E731
            rows = np.concatenate([rows, taught_rows(rest, teacher.embed, told)])
        np.save(kept, rows)
    return np.asarray(rows[: len(clips)], np.float32)


def _export(args: argparse.Namespace, console: Console) -> int:
    from calibration.training.curves import save_curves
    from calibration.training.rgb import read_rgb_run, write_rgb_bundle

    network, history = read_rgb_run(args.run)
    clips, dev = _clips(args.clips, console), _clips(args.dev, console)
    with console.status("exporting, measuring, and embedding the background"):
        bundle = write_rgb_bundle(args.out, network, clips, dev, name=args.name, notes=args.notes)
    if args.curves:
        save_curves(args.curves, {args.name: history}, DEV)
    console.print(f"{bundle.folder}: D = {bundle.card.dimension}, {bundle.card.metrics}", highlight=False)
    return 0
