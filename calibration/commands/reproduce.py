"""`signspot reproduce`: published evaluations, for whoever has their data."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from calibration.evaluation.oslwl import ANSWERS, find_annotated, find_challenge, write_answers
from calibration.reproduce import Reproduced, Training, reproduce, trained
from calibration.transfer import K
from engines.encoders import DEFAULT_ENCODERS
from engines.errors import ConfigError
from stream.options import add_encoder_option, add_pose_option

SUMMARY = "Repeat published evaluations, for whoever has their data."
OUT = Path("oslwl")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-commands."""
    tasks = parser.add_subparsers(dest="task", required=True, metavar="oslwl")
    oslwl = tasks.add_parser(
        "oslwl",
        help="the one-shot track of the ECCV 2022 Sign Spotting Challenge (LSE_eSaude_UVIGO)",
        description="Trim each sign's clip, train an encoder of each modality if asked to, search the continuous videos with each encoder alone and with all fused, take "
        "the best matches as further exemplars (Top-K transfer), and score each step by the challenge's F1. The data is "
        "not part of Signspot: https://chalearnlap.cvc.uab.cat/dataset/42/description/. Without --encoder and --train "
        "the shipped ones are used as they are; none of them was trained on this data.",
        epilog="""layout of DIR, the folder of one split; its folders and files may have any names:
  <ground truth>.json or .pkl    {video: [[sign, begin_ms, end_ms], ...]}
  <folder>/<video>.mp4           the continuous videos that it names
  <folder>/<sign>.mp4            a clip of each sign alone, named by the sign (3.mp4, sign_03.mp4)

examples:
  signspot reproduce oslwl --data OSLWL/TEST --encoder slgcn2d --encoder slgcn3d
  signspot reproduce oslwl --data OSLWL/TEST --encoder ./sam-slr-joint --encoder ./sam-slr-bone
  signspot reproduce oslwl --data OSLWL/TEST --train MSSL/TRAIN --wlasl ../shared/data/wlasl_hands.npz""",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    oslwl.add_argument("--data", type=Path, required=True, metavar="DIR", help="one split of the data")
    oslwl.add_argument(
        "--queries", type=Path, metavar="DIR", help="the signs' clips, where they are elsewhere"
    )
    oslwl.add_argument("--videos", type=Path, metavar="DIR", help="the continuous videos, likewise")
    oslwl.add_argument("--truth", type=Path, metavar="FILE", help="the ground truth, likewise")
    oslwl.add_argument(
        "--k",
        type=int,
        default=K,
        metavar="N",
        help=f"matches of each sign that become exemplars (default: {K})",
    )
    oslwl.add_argument(
        "--out",
        type=Path,
        default=OUT,
        metavar="DIR",
        help=f"landmarks, which are made once, and answers.json and report.json (default: {OUT})",
    )
    oslwl.add_argument(
        "--train",
        type=Path,
        metavar="DIR",
        help="first train the 2D and the 3D encoder, each by itself, on the annotated signs of this split (a ground truth and its "
        "videos, such as MSSL's), and use them; needs the extra `train`",
    )
    oslwl.add_argument(
        "--train-steps", type=int, default=6500, metavar="N", help="batches of each (default: 6500)"
    )
    oslwl.add_argument(
        "--wlasl", type=Path, metavar="FILE", help="train on these clips too, in the form of wlasl_hands.npz"
    )
    oslwl.add_argument("--json", action="store_true", help="print one JSON object instead of a report")
    add_encoder_option(oslwl)
    add_pose_option(oslwl)


def run(args: argparse.Namespace) -> int:
    """Reproduce.

    Raises:
        ConfigError: options that do not go together.
        NotTheChallenge: the data's files are not there, or not in a form that is known.
        SignspotError: an encoder, a video or the output folder cannot be used.
    """
    challenge = find_challenge(args.data, queries=args.queries, videos=args.videos, truth=args.truth)
    if args.train is not None and args.encoder:
        raise ConfigError("--train makes the encoders that are used: leave out --encoder, or --train")
    if args.wlasl is not None and args.train is None:
        raise ConfigError("--wlasl is for training: add --train DIR")
    training = (
        Training(find_annotated(args.train), args.train_steps, args.wlasl) if args.train is not None else None
    )
    console = Console()
    columns = (TextColumn("{task.description}", markup=False), BarColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=1.0)

        def told(what: str, share: float) -> None:
            bar.update(task, description=what, completed=share)

        encoders = args.encoder or DEFAULT_ENCODERS
        if training is not None:
            encoders = trained(training, challenge, args.out, pose=args.pose, progress=told)
        found = reproduce(challenge, args.out, encoders=encoders, pose=args.pose, k=args.k, progress=told)
    found = replace(found, training=training)
    write_answers(args.out / ANSWERS, found.searched.answers)
    report = json.dumps({"oslwl": found.figures()}, indent=1, ensure_ascii=False)
    (args.out / "report.json").write_text(report + "\n")
    if args.json:
        print(json.dumps({"oslwl": found.figures()}))
        return 0
    _print(console, found)
    console.print(f"answers and figures: {escape(str(args.out))}", highlight=False, soft_wrap=True)
    return 0


def _print(console: Console, found: Reproduced) -> None:
    steps = found.searched
    table = Table("step", "F1", "precision", "recall")
    rows = [
        *((f"{name} alone", counts) for name, counts in steps.encoders.items()),
        ("fused", steps.fused),
        (f"fused, after Top-K transfer ({sum(steps.taken.values())} taken)", steps.transferred),
    ]
    for step, counts in rows:
        table.add_row(escape(step), f"{counts.f1:.3f}", f"{counts.precision:.3f}", f"{counts.recall:.3f}")
    console.print(table)
    for sign, error in found.failed.items():
        console.print(
            f"[yellow]![/yellow] {escape(sign)} has no answers: {escape(error)}",
            highlight=False,
            soft_wrap=True,
        )
