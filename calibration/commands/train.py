"""`signspot train`: train encoders on real landmarks and transcript networks on sentences, and export them as bundles."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray
from rich.box import SIMPLE
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from calibration.commands import train_rgb, train_transcript
from calibration.commands.training_device import add_device_option, check_device
from calibration.stopping import stop_between_steps
from engines.encoders import BundleEncoder, find_bundle
from engines.errors import ConfigError, MissingExtra
from engines.features import ANGLES, KEYPOINTS, Features
from engines.pose.choice import HOLISTIC
from engines.runtime.onnxruntime import OnnxRuntimeEngine

if TYPE_CHECKING:
    from calibration.training.corpora import Corpus
    from engines.networks.slgcn import Slgcn

SUMMARY = "Train an encoder or a transcript network, and export it for live use."

DATA = Path("../shared/data")
Array = NDArray[np.float32]
COLUMNS = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
MODALITIES = {"2d": KEYPOINTS, "3d": ANGLES}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-commands."""
    kinds = parser.add_subparsers(
        dest="kind",
        required=True,
        metavar="encoder|export|idle|fusion|rgb|rgb-bundle|sentences|transcript|transcript-bundle",
    )
    encoder = kinds.add_parser(
        "encoder",
        help="train one network",
        description="Train one SL-GCN. Stop it with Ctrl-C at any time: the same command goes on from there.",
    )
    _data_option(encoder)
    encoder.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the run")
    encoder.add_argument(
        "--modality",
        choices=tuple(MODALITIES),
        default="2d",
        help="2d: 27 keypoints; 3d: the angles of 39 joints (default: 2d)",
    )
    encoder.add_argument("--steps", type=int, default=6500, metavar="N", help="batches (default: 6500)")
    encoder.add_argument("--seed", type=int, default=0, metavar="N", help="same seed, same run (default: 0)")
    encoder.add_argument(
        "--widths", type=int, nargs="+", default=[16, 16], metavar="C", help="channels of the graph blocks"
    )
    encoder.add_argument(
        "--strides", type=int, nargs="+", metavar="N", help="ticks that each block steps (default: 2 1 1 ...)"
    )
    encoder.add_argument(
        "--trunk-blocks", type=int, default=3, metavar="N", help="temporal blocks of the trunk (default: 3)"
    )
    encoder.add_argument(
        "--teacher",
        metavar="BUNDLE",
        help="a trained encoder of the same modality to learn from (distillation)",
    )
    encoder.add_argument("--trunk", type=int, default=256, metavar="C", help="channels of the trunk")
    encoder.add_argument(
        "--dropout", type=float, default=0.2, metavar="P", help="of what the head reads (default: 0.2)"
    )
    encoder.add_argument(
        "--drop",
        type=float,
        default=0.08,
        metavar="P",
        help="DropGraph: of a joint and its neighbours (default: 0.08)",
    )
    encoder.add_argument(
        "--decay", type=float, default=0.05, metavar="W", help="weight decay (default: 0.05)"
    )
    encoder.add_argument(
        "--strength", type=float, default=1.0, metavar="F", help="of the deformations in space (default: 1)"
    )
    encoder.add_argument(
        "--made-up", type=int, default=0, metavar="N",
        help="also train on N made-up signs of the synthetic signer, alone and in sentences (default: 0)",
    )  # fmt: skip
    encoder.add_argument(
        "--also", type=Path, nargs="+", default=[], metavar="FILE",
        help="also train on all clips of these files, in the form of wlasl_hands.npz or dgs30_hands.npz; they are no test "
        "of the network then",
    )  # fmt: skip
    encoder.add_argument(
        "--idle",
        action="store_true",
        help="also train on idle movement of the synthetic signer as background, the only one that there is in 3D",
    )
    encoder.add_argument(
        "--precision",
        choices=("float32", "bfloat16"),
        default="float32",
        help="of the network's products; bfloat16 is mixed precision: weights and losses stay in float32 (default: float32, "
        "on a GPU by tensor cores in TF32)",
    )
    encoder.add_argument(
        "--every", type=int, default=250, metavar="N", help="steps between measurements and checkpoints"
    )
    encoder.add_argument("--threads", type=int, default=1, metavar="N", help="CPU threads (default: 1)")
    add_device_option(encoder)
    export = kinds.add_parser(
        "export",
        help="join one or more runs into a bundle",
        description="Export runs as one model bundle: their embeddings side by side.",
    )
    export.add_argument("runs", type=Path, nargs="*", metavar="RUN", help="folders of training runs")
    _data_option(export)
    export.add_argument("--out", type=Path, required=True, metavar="DIR", help="the bundle's folder")
    export.add_argument(
        "--name", metavar="NAME", help="what galleries and messages call it (default: slgcn2d or slgcn3d)"
    )
    export.add_argument("--notes", default="", metavar="TEXT", help="for the card: how it was trained")
    export.add_argument("--curves", type=Path, metavar="FILE", help="also draw the runs' learning curves")
    export.add_argument(
        "--untrained", action="store_true", help="a control instead of runs: the network before training"
    )

    idle = kinds.add_parser(
        "idle",
        help="teach a bundle what is no signing",
        description="Embed scratching, adjusting clothes, beating time and resting of the synthetic signer, and put that "
        "into the bundle: live, a sign has to be nearer than all of it. Network and galleries stay as they are.",
    )
    idle.add_argument("bundle", metavar="BUNDLE", help="a shipped encoder or a bundle's folder")
    idle.add_argument("--seed", type=int, default=0, metavar="N", help="of signers and windows (default: 0)")

    fusion = kinds.add_parser(
        "fusion",
        help="learn how much each encoder counts",
        description="Learn the weights of encoders in the fusion on WLASL's dev glosses, which none of them was trained on, "
        "measure them by cross-validation, and write them on the bundles' cards. Networks and galleries stay as they are.",
    )
    fusion.add_argument(
        "bundles",
        metavar="BUNDLE",
        nargs="+",
        help="two or more shipped encoders or bundles' folders, of landmarks",
    )
    _data_option(fusion)
    fusion.add_argument("--dry-run", action="store_true", help="say what was learnt, and write nothing")
    train_rgb.add_kinds(kinds)
    train_transcript.add_kinds(kinds)


def _data_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data",
        type=Path,
        default=DATA,
        metavar="DIR",
        help=f"folder with wlasl_hands.npz and dgs_unknown_hands2d.npz (default: {DATA})",
    )


def run(args: argparse.Namespace) -> int:
    """Train or export.

    Raises:
        MissingExtra: torch is not installed.
        ConfigError: an option or a run that cannot be used.
        CorpusMissing: the data are not there.
    """
    try:
        import torch
    except ImportError as error:
        raise MissingExtra(f"training needs PyTorch ({error}): pip install 'signspot[train]'") from error
    console = Console(stderr=True)
    if args.kind in train_rgb.KINDS:
        return train_rgb.run(args, console)
    if args.kind in train_transcript.KINDS:
        return train_transcript.run(args, console)
    if args.kind == "idle":
        return _idle(args, console)
    if args.kind == "fusion":
        return _fusion(args, console)
    if args.kind == "encoder":
        torch.set_num_threads(args.threads)
        return _train(args, console)
    return _export(args, console)


def _train(args: argparse.Namespace, console: Console) -> int:
    from calibration.evaluation.clips import read_clips
    from calibration.training.curves import save_curves
    from calibration.training.trainer import Recipe, Run
    from engines.networks.slgcn import SlgcnShape

    check_device(args.device)
    if args.made_up and args.made_up < 64:
        raise ConfigError(
            f"--made-up must be 0 or at least 64 signs, not {args.made_up}: a batch draws from them"
        )
    for name in ("steps", "every", "threads", "trunk"):
        if getattr(args, name) < 1:
            raise ConfigError(f"--{name} must be at least 1, not {getattr(args, name)}")
    if args.strides and len(args.strides) != len(args.widths):
        raise ConfigError(
            f"--strides has {len(args.strides)} numbers and --widths {len(args.widths)}: one a block"
        )
    features = MODALITIES[args.modality]
    with console.status("reading landmarks"):
        signs, others = _corpora(args.data, features)
        also = _joined([read_clips(path, features) for path in args.also])
    if args.idle:
        idle = _idling(features, console)
        others = idle if others is None else others.joined(idle)
    made_up = _made_up(args, features, console) if args.made_up else None
    recipe = Recipe(
        seed=args.seed,
        steps=args.steps,
        every=args.every,
        decay=args.decay,
        strength=args.strength,
        bfloat16=args.precision == "bfloat16",
    )
    shape = SlgcnShape(
        features=features.name,
        widths=tuple(args.widths),
        strides=tuple(args.strides or (2, *(1 for _ in args.widths[1:]))),
        trunk=args.trunk,
        trunk_blocks=args.trunk_blocks,
        dropout=args.dropout,
        drop=args.drop,
    )
    try:
        teacher = _teacher(args.teacher, features)
        training = Run(args.out, signs, others, recipe, shape, teacher, made_up, args.device, also=also)
    except ValueError as error:
        raise ConfigError(str(error)) from error
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
                save_curves(args.out / "curves.png", {args.out.name: training.history})
                console.print(
                    f"step {training.at}: loss {training.loss:.2f}, training accuracy {training.accuracy:.3f}, "
                    f"dev one-shot top 1 {found.top1:.3f}, top 5 {found.top5:.3f}"
                )
    return 0


def _made_up(args: argparse.Namespace, features: Features, console: Console) -> Corpus:
    from calibration.training.made_up import kept_signs, performances

    with Progress(*COLUMNS, console=console) as progress:
        bar = progress.add_task("making signs up", total=performances(args.made_up))
        return kept_signs(
            args.out / f"made-up-{features.name}.npz",
            features,
            args.made_up,
            progress=lambda: progress.advance(bar),
        )


def _joined(corpora: Sequence[Corpus]) -> Corpus | None:
    joined: Corpus | None = None
    for corpus in corpora:
        joined = corpus if joined is None else joined.joined(corpus)
    return joined


def _idling(features: Features, console: Console) -> Corpus:
    from calibration.training.idle import SIGNERS, idle_corpus

    with Progress(*COLUMNS, console=console, transient=True) as progress:
        bar = progress.add_task("idling", total=SIGNERS)
        return idle_corpus(features, progress=lambda: progress.advance(bar))


def _teacher(name: str | None, features: Features) -> Callable[[Array], Array] | None:
    """A bundle's network on batches of network input, to unit rows."""
    if name is None:
        return None
    bundle = find_bundle(name)
    if bundle.card.features != features.name:
        raise ConfigError(
            f"--teacher {name} sees {bundle.card.features}, the network to train {features.name}"
        )
    engine = OnnxRuntimeEngine(bundle.model, device="cpu")

    def rows(inputs: Array) -> Array:
        found = engine.run({engine.inputs[0].name: inputs})[engine.outputs[0].name]
        return np.asarray(found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12), np.float32)

    return rows


def _corpora(data: Path, features: Features) -> tuple[Corpus, Corpus | None]:
    """Clips of signs, and signing that is no gloss's: that set has 2D hands alone."""
    from calibration.training.corpora import read_dgs_unknown, read_wlasl

    others = read_dgs_unknown(data / "dgs_unknown_hands2d.npz") if features is KEYPOINTS else None
    return read_wlasl(data / "wlasl_hands.npz", features), others


def _idle(args: argparse.Namespace, console: Console) -> int:
    from calibration.training.idle import SIGNERS, with_idle

    bundle = find_bundle(args.bundle)
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("idling", total=SIGNERS)
        bundle = with_idle(bundle, seed=args.seed, progress=lambda: bar.advance(task))
    console.print(
        f"{bundle.folder}: {0 if bundle.idle is None else len(bundle.idle)} windows of idle movement"
    )
    return 0


def _fusion(args: argparse.Namespace, console: Console) -> int:
    from calibration.evaluation.oneshot import Modality, embed_signs, score_fused
    from calibration.training.corpora import read_wlasl
    from calibration.training.fusion import learn_fusion, weighted
    from calibration.training.trainer import split

    bundles = [find_bundle(name) for name in args.bundles]
    if len(bundles) < 2:
        raise ConfigError("there is nothing to weigh: give two bundles or more")
    modalities = []
    for bundle in bundles:
        encoder = BundleEncoder(bundle, estimator=HOLISTIC)
        if not isinstance(encoder.features, Features):
            raise ConfigError(
                f"{bundle.card.name} looks at pictures, and the clips that weights are learnt on are landmarks"
            )
        with console.status(f"embedding the dev glosses by {bundle.card.name}"):
            _, dev = split(read_wlasl(args.data / "wlasl_hands.npz", encoder.features))
            modalities.append(
                Modality(embed_signs(dev, encoder.embed), encoder.background, encoder.fusion_weight)
            )
    try:
        before, learnt = score_fused(dev, modalities), learn_fusion(dev, modalities)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    after = score_fused(dev, weighted(modalities, learnt.weights))
    table = Table("", *(bundle.card.name for bundle in bundles), "top-1", "top-5", box=SIMPLE)
    old = [one.weight for one in modalities]
    spans = [f"{min(some):.2f}-{max(some):.2f}" for some in zip(*learnt.by_fold, strict=True)]
    for what, weights, top1, top5 in (
        ("as the cards have it", [f"{one:.3f}" for one in old], before.top1, before.top5),
        ("learnt", [f"{one:.3f}" for one in learnt.weights], after.top1, after.top5),
        ("learnt on other glosses", spans, learnt.top1, learnt.top5),
    ):
        table.add_row(what, *weights, f"{top1:.3f}", f"{top5:.3f}")
    console.print(table)
    if args.dry_run:
        return 0
    for bundle, weight in zip(bundles, learnt.weights, strict=True):
        bundle.with_card(msgspec.structs.replace(bundle.card, fusion_weight=round(weight, 3)))
        console.print(f"{bundle.folder}: {weight:.3f}", highlight=False)
    return 0


def _export(args: argparse.Namespace, console: Console) -> int:
    from calibration.evaluation.oneshot import score
    from calibration.training.curves import save_curves
    from calibration.training.export import untrained, write_bundle
    from calibration.training.projection import fit, training_windows
    from calibration.training.trainer import embed_inputs, embedder, read_run, split

    if bool(args.runs) == args.untrained:
        raise ConfigError("give the folders of training runs, or --untrained, and not both")
    networks: list[Slgcn] = [untrained()] if args.untrained else []
    histories = {}
    for folder in args.runs:
        network, histories[folder.name] = read_run(folder)
        networks.append(network)
    if len({network.features.name for network in networks}) > 1:
        raise ConfigError("the runs are of different modalities: export each modality to a bundle of its own")
    with console.status("projecting, measuring, and embedding the background"):
        corpus, others = _corpora(args.data, networks[0].features)
        train, dev = split(corpus)
        projection = None
        if args.runs:
            inputs, gloss = training_windows(train)
            projection = fit(embed_inputs(networks, inputs), gloss)
        found = score(dev, embedder(networks, projection)).metrics()
        bundle = write_bundle(
            args.out,
            networks,
            projection,
            signs=train,
            others=others,
            metrics={f"wlasl_dev_oneshot_{name}": value for name, value in found.items()},
            notes=args.notes,
            name=args.name,
        )
    if args.curves and histories:
        save_curves(args.curves, histories)
    console.print(f"{bundle.folder}: D = {bundle.card.dimension}, {found}")
    return 0
