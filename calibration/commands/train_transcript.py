"""`signspot train sentences`, `transcript` and `transcript-bundle`: from a corpus of sentences to a network that ships."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from engines.encoders import DEFAULT_ENCODERS
from engines.errors import ConfigError
from engines.tick_features import (
    KEYPOINTS27,
    NOSE_AND_WRISTS,
    POSE_FACE_VECTOR,
    POSE_VECTOR,
    STRIDE,
    EmbeddingRow,
    PictureRow,
    tick_features_named,
)
from engines.ticks import TICK_S

if TYPE_CHECKING:
    from calibration.training.signed_sentences import SignedSentences
    from calibration.training.transcript import Iteration
    from engines.encoders import Encoder
    from engines.networks.picture_features import FrontName

KINDS = ("sentences", "transcript", "transcript-bundle")
LANDMARKS = {
    "pose": POSE_VECTOR.name,
    "pose-face": POSE_FACE_VECTOR.name,
    "keypoints": KEYPOINTS27.name,
    "hands": NOSE_AND_WRISTS.name,
}
FRONTS: tuple[FrontName, ...] = ("googlenet", "densenet", "r2plus1d")
STEP_MS = round(STRIDE * TICK_S * 1000)


def add_kinds(kinds: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the sub-commands."""
    sentences = kinds.add_parser(
        "sentences",
        help="make the corpus that the shipped transcript network is trained on",
        description="Let synthetic signers sign the built-in lexicon's signs in random order, with idle movement around.",
    )
    sentences.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the corpus")
    sentences.add_argument("--seed", type=int, default=0, metavar="N", help="of sentences and movements")
    sentences.add_argument(
        "--glosses", type=int, metavar="N", help="the first N of the lexicon's 60 signs alone (default: all)"
    )
    sentences.add_argument(
        "--share",
        type=float,
        default=1.0,
        metavar="X",
        help="so many times the usual 480, 48 and 72 sentences (default: 1)",
    )
    sentences.add_argument(
        "--videos",
        type=int,
        metavar="PX",
        help="make small square videos of the same movements too, for features of pictures: 112 is what "
        "`signspot train transcript --features googlenet` takes",
    )

    train = kinds.add_parser(
        "transcript",
        help="train a transcript network on a corpus of sentences, iteratively",
        description="End-to-end training with CTC, alignment, gloss recognition on the aligned stretches, and again. Stop "
        "it with Ctrl-C at any time: the same command goes on from there.",
    )
    train.add_argument(
        "--corpus", type=Path, required=True, metavar="DIR", help="folder with train, dev and test"
    )
    train.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the run")
    train.add_argument(
        "--glosses", type=int, metavar="N", help="sentences of the N most frequent glosses alone"
    )
    train.add_argument("--iterations", type=int, default=6, metavar="N", help="rounds (default: 6)")
    train.add_argument(
        "--features",
        choices=(*LANDMARKS, "embedding", *FRONTS),
        default="pose",
        help="what it sees of a tick: pose vectors, the same with the face (videos), the spotting encoder's 27 keypoints, that encoder's embedding, nose and wrists alone, or the "
        "picture through GoogLeNet, DenseNet-121 or the first stages of ResNet(2+1)D, trained from pixels (default: pose)",
    )
    train.add_argument(
        "--encoder",
        default=DEFAULT_ENCODERS[0],
        metavar="NAME",
        help=f"whose embeddings: a shipped encoder or a bundle's folder (default: {DEFAULT_ENCODERS[0]})",
    )
    train.add_argument(
        "--picture-size",
        type=int,
        default=112,
        metavar="PX",
        help="height and width of pictures (default: 112)",
    )
    train.add_argument(
        "--picture-width",
        type=float,
        default=1.0,
        metavar="SHARE",
        help="channels of the picture network as a share of the published ones (default: 1)",
    )
    train.add_argument(
        "--picture-weights",
        type=Path,
        metavar="FILE",
        help="start from weights with torchvision's names (googlenet, densenet121, r2plus1d_18; .pth or .safetensors)",
    )
    train.add_argument(
        "--batch-ticks",
        type=int,
        default=1600,
        metavar="N",
        help="ticks that are learnt from at once; pictures need memory: 400 take about 4 GB (default: 1600)",
    )
    train.add_argument(
        "--form",
        choices=("streaming", "offline"),
        default="streaming",
        help="streaming runs live; offline is the published bidirectional form, for comparison",
    )
    train.add_argument(
        "--look-ahead",
        type=int,
        default=2 * STEP_MS,
        metavar="MS",
        help=f"what the streaming form waits for, a multiple of {STEP_MS} (default: {2 * STEP_MS})",
    )
    train.add_argument(
        "--start",
        choices=("even", "truth"),
        default="even",
        help="what the first epochs are taught beside CTC: each sentence divided evenly among its glosses, or the true "
        "times that a synthetic corpus tells (default: even)",
    )
    train.add_argument("--width", type=int, default=128, metavar="C", help="channels of the temporal fusion")
    train.add_argument("--hidden", type=int, default=192, metavar="C", help="of the recurrent layers")
    train.add_argument("--layers", type=int, default=1, metavar="N", help="recurrent layers (default: 1)")
    train.add_argument(
        "--picture-epochs",
        type=int,
        default=0,
        metavar="N",
        help="before all else, N times 100 steps that teach the picture network alone what is signed in pictures of any "
        "sentence: with few sentences it learns little otherwise (default: 0)",
    )
    train.add_argument(
        "--still-epochs",
        type=int,
        default=0,
        metavar="N",
        help="the first of round 1's end-to-end epochs, through which the picture network stays as it is: they cost little "
        "(default: 0)",
    )
    train.add_argument(
        "--picture-rate",
        type=float,
        default=0.1,
        metavar="SHARE",
        help="of the learning rate, for the picture network once it has learnt from pictures alone (default: 0.1)",
    )
    train.add_argument(
        "--bf16",
        action="store_true",
        help="train the picture network in bfloat16: 1.7 times as fast where the CPU has AVX512-BF16",
    )
    train.add_argument(
        "--first-epochs",
        type=int,
        default=24,
        metavar="N",
        help="end to end in round 1, at most (default: 24)",
    )
    train.add_argument(
        "--flat-epochs",
        type=int,
        default=5,
        metavar="N",
        help="the first of these, which teach each step's gloss instead of CTC (default: 5)",
    )
    train.add_argument(
        "--epochs",
        type=int,
        default=10,
        metavar="N",
        help="end to end in later rounds, at most (default: 10)",
    )
    train.add_argument(
        "--gloss-epochs",
        type=int,
        default=3,
        metavar="N",
        help="of gloss recognition in each round; 0 leaves it out, as a control (default: 3)",
    )
    train.add_argument(
        "--patience",
        type=int,
        default=4,
        metavar="N",
        help="epochs without a better WER on dev that end a round",
    )
    train.add_argument("--seed", type=int, default=0, metavar="N", help="same seed, same run (default: 0)")
    train.add_argument("--threads", type=int, default=1, metavar="N", help="CPU threads (default: 1)")

    bundle = kinds.add_parser(
        "transcript-bundle",
        help="export a run as a bundle for live use",
        description="Export the network that was best on dev as ONNX with its state, measured again as it ships.",
    )
    bundle.add_argument("run", type=Path, metavar="RUN", help="folder of a training run")
    bundle.add_argument("--corpus", type=Path, required=True, metavar="DIR", help="that it was trained on")
    bundle.add_argument("--out", type=Path, required=True, metavar="DIR", help="the bundle's folder")
    bundle.add_argument(
        "--data", action="append", default=[], metavar="TEXT", help="for the card: data and licence"
    )
    bundle.add_argument(
        "--encoder",
        metavar="NAME",
        help="the encoder's folder, where it sees embeddings of one that does not ship",
    )
    bundle.add_argument("--notes", default="", metavar="TEXT", help="for the card: how it was trained")


def run(args: argparse.Namespace, console: Console) -> int:
    """Make sentences, train, or export.

    Raises:
        ConfigError: an option or a run that cannot be used.
        CorpusError: the corpus cannot be read.
    """
    if args.kind == "sentences":
        return _sentences(args, console)
    if args.kind == "transcript":
        return _train(args, console)
    return _bundle(args, console)


def _sentences(args: argparse.Namespace, console: Console) -> int:
    from calibration.synthesis.lexicon import read_lexicon
    from calibration.training.random_sentences import SENTENCES, make_random_corpus

    forms = list(read_lexicon().values())
    if args.glosses is not None and not 2 <= args.glosses <= len(forms):
        raise ConfigError(f"--glosses must be 2 to {len(forms)}, not {args.glosses}")
    if not 0 < args.share <= 100:
        raise ConfigError(f"--share must be above 0 and at most 100, not {args.share:g}")
    if args.videos is not None and (args.videos < 32 or args.videos % 2):
        raise ConfigError(f"--videos must be an even number of pixels, 32 at least, not {args.videos}")
    counts = {split: max(round(args.share * count), 1) for split, count in SENTENCES.items()}
    with Progress(console=console, transient=True) as progress:
        bar = progress.add_task("signing", total=sum(counts.values()))
        make_random_corpus(
            args.out,
            forms[: args.glosses],
            seed=args.seed,
            sentences=counts,
            side=args.videos,
            progress=lambda: progress.advance(bar),
        )
    console.print(f"{args.out}: {', '.join(f'{n} sentences of {split}' for split, n in counts.items())}")
    return 0


def _train(args: argparse.Namespace, console: Console) -> int:
    import torch

    from calibration.training.iteration_table import save_picture
    from calibration.training.transcript import SPLITS, TranscriptRecipe, TranscriptRun
    from engines.checkpoints import read_checkpoint
    from engines.networks.gloss_ctc import GlossCtcShape

    at_least_one = (
        "iterations",
        "first_epochs",
        "epochs",
        "patience",
        "threads",
        "width",
        "hidden",
        "layers",
    )
    for name in (*at_least_one, "batch_ticks"):
        if getattr(args, name) < 1:
            raise ConfigError(f"--{name.replace('_', '-')} must be at least 1, not {getattr(args, name)}")
    if args.look_ahead < 0 or args.look_ahead % STEP_MS:
        raise ConfigError(f"--look-ahead must be a multiple of {STEP_MS} ms, not {args.look_ahead}")
    for name in ("picture_epochs", "still_epochs", "flat_epochs", "gloss_epochs"):
        if getattr(args, name) < 0:
            raise ConfigError(f"--{name.replace('_', '-')} must be 0 or more, not {getattr(args, name)}")
    if not args.picture_rate > 0:
        raise ConfigError(f"--picture-rate must be above 0, not {args.picture_rate}")
    if args.picture_size < 32 or not 0 < args.picture_width <= 1:
        raise ConfigError(
            f"pictures must have 32 pixels and networks a share of 0 to 1 of their channels, not {args.picture_size} and "
            f"{args.picture_width}"
        )
    front: FrontName | None = args.features if args.features in FRONTS else None
    if args.picture_weights is not None and front is None:
        raise ConfigError(f"--picture-weights is for {', '.join(FRONTS)}, not for {args.features}")
    torch.set_num_threads(args.threads)
    encoder = _encoder(args.encoder) if args.features == "embedding" else None
    features = _features(args, encoder)
    sentences = _read(args.corpus, features, args.glosses, SPLITS, console, encoder)
    recipe = TranscriptRecipe(
        seed=args.seed,
        iterations=args.iterations,
        picture_epochs=args.picture_epochs,
        still_epochs=args.still_epochs,
        first_epochs=args.first_epochs,
        flat_epochs=args.flat_epochs,
        epochs=args.epochs,
        gloss_epochs=args.gloss_epochs,
        patience=args.patience,
        start=args.start,
        batch_ticks=args.batch_ticks,
        mixed=args.bf16,
        front_rate=args.picture_rate,
    )
    shape = GlossCtcShape(
        inputs=math.prod(sentences["train"].rows.shape[1:]),
        glosses=len(sentences["train"].glosses),
        streaming=args.form == "streaming",
        look_ahead=args.look_ahead // STEP_MS * STRIDE,
        width=args.width,
        hidden=args.hidden,
        layers=args.layers,
        front=front,
        front_width=args.picture_width,
        size=args.picture_size,
    )
    weights = read_checkpoint(args.picture_weights) if args.picture_weights is not None else None
    try:
        training = TranscriptRun(args.out, sentences, features, recipe, shape, weights)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    columns = (BarColumn(), TimeElapsedColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("", total=1.0)
        while not training.done:
            where = (
                f"round {training.iteration}, {training.phase}, epoch {training.at + 1} of {training.epochs}"
            )
            progress.reset(bar, total=1.0, description=where)
            point = training.epoch(lambda share: progress.update(bar, completed=share))
            told = "" if point.dev_wer is None else f", WER on dev {point.dev_wer:.1f}"
            progress.console.print(
                f"round {point.iteration}, {point.phase}, epoch {point.epoch}: loss {point.loss:.3f}{told}",
                highlight=False,
            )
            if training.table:
                save_picture(args.out / "iterations.png", training.table, training.history, args.corpus.name)
    console.print(printed(training.table))
    return 0


def _encoder(name: str) -> Encoder:
    from engines.encoders import load_encoder

    return load_encoder(name, estimator="synthetic")  # whose landmarks they are does not matter here


def _features(args: argparse.Namespace, encoder: Encoder | None) -> str:
    from stream.embedding import embeddings_of

    if encoder is not None:
        return embeddings_of(encoder).name
    return LANDMARKS.get(args.features) or PictureRow(args.picture_size).name


def _read(
    corpus: Path,
    features: str,
    glosses: int | None,
    splits: Sequence[str],
    console: Console,
    encoder: Encoder | None = None,
) -> dict[str, SignedSentences]:
    """Splits of a corpus as features, with the training split's vocabulary."""
    from calibration.corpus.landmarks import spans_of_sentence
    from calibration.corpus.reading import read_corpus
    from calibration.corpus.sentences import within
    from calibration.training.sentence_rows import rows_of
    from calibration.training.signed_sentences import signed_sentences

    seen = tick_features_named(features)
    read = read_corpus(corpus, prefer="videos" if seen.needs in ("picture", "face") else "landmarks")
    vocabulary = read.vocabulary("train")[:glosses]
    kept = {split: within(read.split(split), vocabulary) for split in splits}
    for split, chosen in kept.items():
        if not chosen:
            raise ConfigError(
                f"{corpus}: no sentence of {split} is made of the {len(vocabulary)} glosses alone"
            )
    found = {}
    with Progress(console=console, transient=True) as progress:
        bar = progress.add_task("reading", total=sum(len(chosen) for chosen in kept.values()))
        for split, chosen in kept.items():
            signed = (
                (rows_of(one, seen, fps=read.fps, encoder=encoder), one.glosses, spans_of_sentence(one))
                for one in chosen
            )
            found[split] = signed_sentences(signed, vocabulary, lambda: progress.advance(bar))
    return found


def printed(table: list[Iteration]) -> Table:
    """The paper's table for the terminal."""
    from calibration.training.iteration_table import COLUMNS, cells

    made = Table(title="iterations, in %")
    for name in COLUMNS:
        made.add_column(name, justify="right")
    for row in table:
        made.add_row(*cells(row))
    return made


def _bundle(args: argparse.Namespace, console: Console) -> int:
    from calibration.training.gloss_export import write_gloss_bundle
    from calibration.training.transcript import read_transcript_run

    network, stored = read_transcript_run(args.run)
    seen = tick_features_named(stored.features)
    encoder = _encoder(args.encoder or seen.encoder) if isinstance(seen, EmbeddingRow) else None
    sentences = _read(args.corpus, stored.features, len(stored.glosses), ("test",), console, encoder)
    if sentences["test"].glosses != stored.glosses:
        raise ConfigError(f"{args.corpus} has another vocabulary than the run in {args.run}")
    with console.status("exporting and measuring"):
        bundle = write_gloss_bundle(
            args.out,
            network,
            features=stored.features,
            glosses=stored.glosses,
            test=sentences["test"],
            trained_on=tuple(args.data),
            notes=args.notes,
        )
    console.print(f"{bundle.folder}: {len(bundle.model) / 1e6:.2f} MB, {bundle.card.metrics}")
    return 0
