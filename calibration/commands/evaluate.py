"""`signspot evaluate`: encoders on isolated signs, the whole live path on annotated videos, transcripts."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np
from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn, track
from rich.table import Table

from calibration.commands import evaluate_transcript, evaluate_wer
from calibration.corpus.landmarks import read_track
from calibration.evaluation.background import spot_track
from calibration.evaluation.clips import NotClips, form_of, read_clips
from calibration.evaluation.oneshot import (
    Modality,
    embed_signs,
    fused_scores,
    mistaken_pairs,
    normalised,
    ranks,
    score_fused,
    split,
)
from calibration.evaluation.pictures import (
    save_confusion,
    save_map,
    save_pairs,
    save_queries_map,
    save_ranks,
    save_similarity,
    save_tradeoff,
)
from calibration.evaluation.playing import play
from calibration.evaluation.rates import poisson_bounds
from calibration.evaluation.report import OVERLAPS, VideoResult, figures, result_of, tallies
from calibration.evaluation.spotting import Annotations, one_name, read_annotations
from calibration.training.corpora import Corpus, dev_glosses
from engines.encoders import BundleEncoder, Encoder, load_encoders
from engines.errors import ConfigError
from engines.features import KNOWN, Features
from engines.landmarks import Landmarks
from engines.pose.choice import HOLISTIC, open_pose
from engines.ticks import TICK_S
from stream.gallery import Gallery
from stream.options import add_encoder_option, add_pose_option
from stream.spotting import Spotted

SUMMARY = (
    "Score the encoders on isolated signs (oneshot), the whole live path on annotated videos (spotting), or transcripts "
    "(transcript, wer)."
)
SHIFTS = tuple(step / 2 for step in range(-10, 17))
"""Evidence by which the thresholds are moved for the picture of misses against false alarms."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-commands."""
    tasks = parser.add_subparsers(
        dest="task", required=True, metavar="oneshot|spotting|background|transcript|wer"
    )
    oneshot = tasks.add_parser(
        "oneshot",
        help="isolated signs: one exemplar each, other signers' clips as queries",
        description="Of each gloss the first clip is the exemplar; all clips by other signers are queries.",
    )
    oneshot.add_argument(
        "data", type=Path, metavar="DATA.npz", help="clips in the form of wlasl_hands.npz or dgs30_hands.npz"
    )
    oneshot.add_argument(
        "--glosses", choices=("all", "dev"), default="all",
        help="all that have clips in the file (default), or the 200 of lowest SHA-1: those of wlasl_hands.npz "
        "that are kept out of training",
    )  # fmt: skip
    oneshot.add_argument(
        "--pictures",
        type=Path,
        metavar="DIR",
        help="draw how often the right gloss is among the first k, which glosses are taken for each other, and maps",
    )
    spotting = tasks.add_parser(
        "spotting",
        help="signs in continuous signing, against annotations",
        description="Play annotated videos through the live path. Closed: where is a sign that is known to be "
        "there (F1 over 13 IoU thresholds). Open: what was found, missed, and reported wrongly. Latencies are stream "
        "time: from the end of a detection to the tick that decided it.",
    )
    spotting.add_argument("--gallery", type=Path, required=True, metavar="DIR", help="the signs to spot")
    spotting.add_argument(
        "--annotations", type=Path, required=True, metavar="FILE", help="what is signed when"
    )
    spotting.add_argument("--videos", type=Path, required=True, metavar="DIR", help="the annotated videos")
    add_pose_option(spotting)
    spotting.add_argument(
        "--pictures",
        type=Path,
        metavar="DIR",
        help="draw similarity over time, misses against false alarms, confusion and a map of the gallery",
    )
    background = tasks.add_parser(
        "background",
        help="false alarms while nothing is signed, over landmark streams",
        description="Play landmarks of movement without signs (`signspot synth stream --idle 7200 --no-video`) through "
        "the live path; everything that is reported is a false alarm.",
    )
    background.add_argument("--gallery", type=Path, required=True, metavar="DIR", help="the signs to spot")
    background.add_argument(
        "tracks", type=Path, nargs="+", metavar="LANDMARKS.npz", help="made by `signspot synth`"
    )
    evaluate_transcript.add_parser(tasks)
    evaluate_wer.add_parser(tasks)
    for task in (oneshot, spotting, background):
        add_encoder_option(task)
        task.add_argument("--json", action="store_true", help="print one JSON object instead of a report")


def run(args: argparse.Namespace) -> int:
    """Evaluate.

    Raises:
        ConfigError: an annotated video is missing, the clips leave nothing to score, or one-shot pictures cannot be
            written.
        SignspotError: annotations, clips, gallery or encoder cannot be read.
    """
    commands = {
        "oneshot": _oneshot,
        "spotting": _spotting,
        "background": _background,
        "transcript": evaluate_transcript.run,
        "wer": evaluate_wer.run,
    }
    return commands[args.task](args)


# -- nothing but background --------------------------------------------------------------------------------------


def _background(args: argparse.Namespace) -> int:
    gallery = Gallery.load(args.gallery)
    tracks = [read_track(path) for path in args.tracks]
    encoders = load_encoders(args.encoder, estimator=gallery.takes[0].estimator)
    alarms: Counter[str] = Counter()
    total = sum(len(one) for one in tracks)
    columns = (TextColumn("spotting"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("spotting", total=total)
        for one in tracks:
            spotted = spot_track(one, gallery, encoders, progress=lambda: bar.advance(task))
            alarms.update(sign.gloss for sign in spotted)
    hours, count = total * TICK_S / 3600, alarms.total()
    low, high = poisson_bounds(count)
    figures = {
        "glosses": len(gallery.glosses),
        "hours": round(hours, 4),
        "false_alarms": count,
        "false_alarms_per_hour": round(count / hours, 3),
        "false_alarms_per_hour_95": [round(low / hours, 3), round(high / hours, 3)],
        "by_gloss": dict(alarms.most_common()),
    }
    if args.json:
        print(json.dumps({"background": figures}))
        return 0
    print(
        f"{count} false alarms in {hours:.2f} hours, {len(gallery.glosses)} signs: {count / hours:.1f} an hour "
        f"(95%: {low / hours:.1f} to {high / hours:.1f})"
    )
    for gloss, times in alarms.most_common(10):
        print(f"  {gloss}: {times}")
    return 0


# -- isolated signs --------------------------------------------------------------------------------------------


def _oneshot(args: argparse.Namespace) -> int:
    form = form_of(args.data)
    if args.glosses == "dev" and form != "wlasl":
        raise ConfigError(f"{args.data}: --glosses dev is for files in the form of wlasl_hands.npz")
    if args.pictures is not None:
        _prepare(args.pictures)
    # Its clips are landmarks: the pose estimator's name only goes into a fingerprint that nothing is compared with.
    encoders = load_encoders(args.encoder, estimator=HOLISTIC)
    progress = Console(stderr=True)
    with progress.status("reading and embedding clips"):
        corpus, modalities = _embedded(args.data, encoders, dev=args.glosses == "dev")
        try:
            found = score_fused(corpus, list(modalities.values()))
        except ValueError as error:
            raise NotClips(f"{args.data}: {error}") from error
    if args.json:
        print(json.dumps({"oneshot": found.metrics()}))
    else:
        by = "by other signers than the exemplar's" if form == "wlasl" else "whose signers are not told"
        print(
            f"{found.queries} clips of {found.ways} signs, {by}: "
            f"top-1 {found.top1:.3f}, top-5 {found.top5:.3f}, mAP {found.map:.3f}"
        )
    if args.pictures is not None:
        with progress.status("drawing"), _writing(args.pictures):
            _draw(args.pictures, corpus, modalities)
        print(f"pictures: {args.pictures}", file=sys.stderr if args.json else sys.stdout)
    return 0


def _embedded(
    data: Path, encoders: Sequence[BundleEncoder], *, dev: bool
) -> tuple[Corpus, dict[str, Modality]]:
    """The clips, and what each encoder makes of them, by its name."""
    modalities = {}
    for encoder in encoders:
        corpus = read_clips(data, _features(encoder))
        if dev:
            kept = dev_glosses(corpus.glosses)
            corpus = corpus.subset(np.array([corpus.glosses[gloss] in kept for gloss in corpus.gloss]))
        rows = embed_signs(corpus, encoder.embed)
        modalities[encoder.name] = Modality(rows, encoder.background, encoder.fusion_weight)
    return corpus, modalities


@contextlib.contextmanager
def _writing(pictures: Path) -> Iterator[None]:
    """What the system refuses within becomes a ConfigError that names the folder."""
    try:
        yield
    except OSError as error:
        raise ConfigError(f"--pictures {pictures} cannot be written: {error.strerror or error}") from error


def _prepare(pictures: Path) -> None:
    """Make the folder and see that it can be written, before the minutes that embedding may take."""
    with _writing(pictures):
        pictures.mkdir(parents=True, exist_ok=True)
        TemporaryFile(dir=pictures).close()


def _draw(folder: Path, corpus: Corpus, modalities: Mapping[str, Modality]) -> None:
    exemplars, queries = split(corpus)
    glosses = [corpus.glosses[number] for number in corpus.gloss[exemplars]]
    # Exemplars lie in the order of their glosses' numbers.
    own = np.searchsorted(corpus.gloss[exemplars], corpus.gloss[queries])
    fused = fused_scores(list(modalities.values()), exemplars, queries)
    alone = {}
    for name, one in modalities.items():
        scores = normalised(one.rows[queries], one.rows[exemplars], one.background)
        alone[name] = ranks(corpus, exemplars, queries, scores)
    save_ranks(folder / "ranks.png", ranks(corpus, exemplars, queries, fused), alone, len(exemplars))
    save_pairs(folder / "confusion.png", mistaken_pairs(own, fused), glosses, len(queries))
    for name, one in modalities.items():
        path = folder / f"map-{name}.png"
        save_queries_map(path, name, one.rows[exemplars], one.rows[queries], own, alone[name] == 0, glosses)


def _features(encoder: Encoder) -> Features:
    """Which features an encoder takes; the shape of a tick that it has prepared tells."""
    rows = encoder.prepare(Landmarks.absent(640, 480, "holistic")).shape[0]
    for one in KNOWN.values():
        if one.rows == rows:
            return one
    raise ConfigError(f"the encoder {encoder.name} does not work on hand landmarks: oneshot cannot score it")


# -- continuous signing ----------------------------------------------------------------------------------------


def _spotting(args: argparse.Namespace) -> int:
    truth = read_annotations(args.annotations)
    if args.pictures is not None:
        _prepare(args.pictures)
    missing = [name for name in truth.videos if not (args.videos / name).is_file()]
    if missing:
        raise ConfigError(f"{args.videos} lacks annotated videos: {', '.join(missing)}")
    gallery = Gallery.load(args.gallery)
    console = Console(stderr=args.json)
    _warn_of_unknown(console, truth, gallery)
    results: list[VideoResult] = []
    with contextlib.closing(open_pose(args.pose)) as estimator:
        encoders = load_encoders(args.encoder, estimator=estimator.name)
        for name, signs in track(truth.videos.items(), "spotting", console=console, transient=True):
            shifts = SHIFTS if args.pictures is not None else ()
            played = play(args.videos / name, gallery, encoders, estimator, shifts=shifts)
            results.append(result_of(name, signs, played, gallery.glosses, truth.same))
            if args.pictures is not None:
                picture = args.pictures / f"similarity-{name.replace('/', '-')}.png"
                save_similarity(picture, played.windows, gallery.glosses, results[-1], truth.same)
    if args.pictures is not None:
        save_tradeoff(args.pictures / "det.png", results)
        ranked = [one for result in results for one in result.ranked]
        save_confusion(args.pictures / "confusion.png", ranked, truth.same)
        for encoder in encoders:
            if encoder.name in gallery.exemplars:
                save_map(args.pictures / f"map-{encoder.name}.png", gallery, encoder.name)
    found = figures(results)
    if args.json:
        print(json.dumps({"spotting": found}))
    else:
        _print(console, results, found)
    if args.pictures is not None:
        console.print(f"pictures: {args.pictures}", highlight=False, markup=False)
    return 0


def _warn_of_unknown(console: Console, truth: Annotations, gallery: Gallery) -> None:
    names = one_name(truth.same)
    known = {names.get(gloss, gloss) for gloss in gallery.glosses}
    signed = {sign.gloss for signs in truth.videos.values() for sign in signs}
    unknown = sorted(gloss for gloss in signed if names.get(gloss, gloss) not in known)
    if unknown:
        console.print(
            f"[yellow]the gallery lacks {len(unknown)} annotated signs, which count as missed:[/yellow] "
            f"{escape(', '.join(unknown))}",
            highlight=False,
        )


def _print(console: Console, results: Sequence[VideoResult], found: dict[str, Any]) -> None:
    for result in results:
        console.print(_table(result))
    closed, opened = found["closed"], found["open"]
    console.print(
        f"closed, one answer to each of {closed['queries']} queries (video and gloss), IoU 0.20 to 0.80: "
        f"[bold]F1 {closed['f1']:.3f}[/bold], precision {closed['precision']:.3f}, recall {closed['recall']:.3f}",
        highlight=False,
    )
    for overlap, one in tallies(results).items():
        console.print(
            f"open, IoU >= {overlap}: {one.hits} of {one.signs} signs found, {one.detections - one.hits} of "
            f"{one.detections} detections false: precision {one.precision:.3f}, recall {one.recall:.3f}, "
            f"[bold]F1 {one.f1:.3f}[/bold]",
            highlight=False,
        )
    console.print(
        f"open, rank of the true gloss among all: top-1 {opened['top1']:.3f}, top-5 {opened['top5']:.3f}",
        highlight=False,
    )
    if opened["false_alarms_per_minute"] is not None:
        low, high = opened["false_alarms_per_minute_95"]
        console.print(
            f"{opened['false_alarms']} false alarms in {opened['exposure_minutes']:.2f} minutes of video: "
            f"{opened['false_alarms_per_minute']:.2f} a minute (95%: {low:.2f} to {high:.2f})",
            highlight=False,
        )
    if opened["latency_ms_p50"] is not None:
        true = opened["latency_from_truth_ms_p50"]
        console.print(
            f"decided {opened['latency_ms_p50']:.0f} ms of stream time after a detection's end (median"
            + (f"; {true:.0f} ms after the true end of the signs found" if true is not None else "")
            + ")",
            highlight=False,
        )


def _table(result: VideoResult) -> Table:
    table = Table(
        "signed", "truth, s", "spotted", "detected, s", "sure", "rank",
        title=f"[bold]{escape(result.name)}[/bold]", title_justify="left", box=SIMPLE,
    )  # fmt: skip
    matching = result.matchings[OVERLAPS[0]]
    by_sign = {index: result.detections[number] for number, index in matching.pairs}
    rows = []
    for index, (sign, ranked) in enumerate(zip(result.signs, result.ranked, strict=True)):
        seen = by_sign.get(index)
        rank = "-" if ranked.rank is None else str(ranked.rank + 1)
        rows.append((
            sign.start_s,
            escape(sign.gloss),
            f"{sign.start_s:.2f} - {sign.end_s:.2f}",
            *(_detected(seen, "green") if seen else ("[red]missed[/red]", "", "")),
            rank if ranked.rank == 0 or not ranked.first else f"{rank}, after {escape(ranked.first)}",
        ))  # fmt: skip
    for number in matching.false_alarms:
        false = result.detections[number]
        rows.append((false.start_s, "", "", *_detected(false, "red"), "false alarm"))
    for _, *cells in sorted(rows):
        table.add_row(*cells)
    return table


def _detected(one: Spotted, colour: str) -> tuple[str, str, str]:
    times = f"{one.start_s:.2f} - {one.end_s:.2f}"
    return f"[{colour}]{escape(one.gloss)}[/{colour}]", times, f"{one.confidence:.2f}"
