"""`signspot evaluate`: precision and recall of spotted signs against annotated videos, through the live path."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from calibration.evaluation.oneshot import score
from calibration.evaluation.spotting import Matching, match, read_annotations, spot_video, tally
from calibration.training.corpora import dev_glosses, is_dgs30, read_dgs30, read_wlasl
from engines.encoders import load_encoder
from engines.errors import ConfigError
from engines.pose.mediapipe import HolisticPose
from stream.gallery import Gallery

SUMMARY = (
    "Score the encoder on isolated signs (oneshot), or the whole live path on annotated videos (spotting)."
)
OVERLAPS = (0.2, 0.5)
"""Intersection over union in time from which on a detection counts."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-commands."""
    tasks = parser.add_subparsers(dest="task", required=True, metavar="oneshot|spotting")
    oneshot = tasks.add_parser(
        "oneshot",
        help="isolated signs: one exemplar each, other signers' clips as queries",
        description="Of each gloss the first clip is the exemplar; all clips by other signers are queries.",
    )
    oneshot.add_argument(
        "data", type=Path, metavar="DATA.npz", help="clips in the form of wlasl_hands.npz or dgs30_hands.npz"
    )
    oneshot.add_argument(
        "--glosses", choices=("dev", "all"), default="dev",
        help="of wlasl_hands.npz: the 200 that are kept out of training (default), or all; other files: all",
    )  # fmt: skip
    spotting = tasks.add_parser(
        "spotting",
        help="signs in continuous signing, against annotations",
        description="Spot the signs of annotated videos; count what was found, missed, and reported wrongly.",
    )
    spotting.add_argument("--gallery", type=Path, required=True, metavar="DIR", help="the signs to spot")
    spotting.add_argument(
        "--annotations", type=Path, required=True, metavar="FILE", help="what is signed when"
    )
    spotting.add_argument("--videos", type=Path, required=True, metavar="DIR", help="the annotated videos")
    for task in (oneshot, spotting):
        task.add_argument(
            "--encoder", default="slgcn2d", metavar="NAME", help="a shipped encoder or a bundle's folder"
        )
        task.add_argument("--json", action="store_true", help="print one JSON object instead of a table")


def run(args: argparse.Namespace) -> int:
    """Evaluate.

    Raises:
        ConfigError: an annotated video is missing, or the clips leave nothing to score.
        SignspotError: annotations, clips, gallery or encoder cannot be read.
    """
    return _oneshot(args) if args.task == "oneshot" else _spotting(args)


def _oneshot(args: argparse.Namespace) -> int:
    other = is_dgs30(args.data)
    corpus = read_dgs30(args.data) if other else read_wlasl(args.data)
    if args.glosses == "dev" and not other:
        kept = dev_glosses(corpus.glosses)
        corpus = corpus.subset(np.array([corpus.glosses[gloss] in kept for gloss in corpus.gloss]))
    with HolisticPose() as estimator:
        encoder = load_encoder(args.encoder, estimator=estimator.name)
    console = Console(stderr=True)
    with console.status(f"embedding {len(corpus)} clips"):
        try:
            found = score(corpus, encoder.embed)
        except ValueError as error:
            raise ConfigError(f"{args.data}: {error}") from error
    if args.json:
        print(json.dumps({"oneshot": found.metrics()}))
    else:
        print(
            f"{found.queries} clips of {found.ways} signs, by other signers than the exemplar's: "
            f"top-1 {found.top1:.3f}, top-5 {found.top5:.3f}, mAP {found.map:.3f}"
        )
    return 0


def _spotting(args: argparse.Namespace) -> int:
    truth = read_annotations(args.annotations)
    missing = [name for name in truth.videos if not (args.videos / name).is_file()]
    if missing:
        raise ConfigError(f"{args.videos} lacks annotated videos: {', '.join(missing)}")
    gallery = Gallery.load(args.gallery)
    console = Console(stderr=args.json)
    matchings: dict[float, list[Matching]] = {overlap: [] for overlap in OVERLAPS}
    table = Table("video", "signed", "truth, s", "spotted", "detected, s", "confidence")
    length_s = 0.0
    with HolisticPose() as estimator:
        encoder = load_encoder(args.encoder, estimator=estimator.name)
        videos = track(truth.videos.items(), "spotting", console=console, transient=True)
        for name, signs in videos:
            spotted, video_s = spot_video(args.videos / name, gallery, [encoder], estimator)
            length_s += video_s
            for overlap in OVERLAPS:
                matchings[overlap].append(match(spotted, signs, iou=overlap, same=truth.same))
            found = matchings[OVERLAPS[0]][-1]
            by_sign = {index: spotted[number] for number, index in found.pairs}
            for index, sign in enumerate(signs):
                seen = by_sign.get(index)
                table.add_row(
                    name,
                    sign.gloss,
                    f"{sign.start_s:.2f} - {sign.end_s:.2f}",
                    f"[green]{seen.gloss}[/green]" if seen else "[red]missed[/red]",
                    f"{seen.start_s:.2f} - {seen.end_s:.2f}" if seen else "",
                    f"{seen.confidence:.2f}" if seen else "",
                )
            for number in found.false_alarms:
                false = spotted[number]
                table.add_row(
                    name,
                    "",
                    "",
                    f"[red]{false.gloss}[/red] (false)",
                    f"{false.start_s:.2f} - {false.end_s:.2f}",
                    f"{false.confidence:.2f}",
                )
    tallies = {overlap: tally(matchings[overlap]) for overlap in OVERLAPS}
    loosest = tallies[OVERLAPS[0]]
    false_alarms = loosest.detections - loosest.hits
    if args.json:
        figures = {
            "videos": len(truth.videos),
            "signs": loosest.signs,
            "open": {
                "detections": loosest.detections,
                "false_alarms": false_alarms,
                "seconds": round(length_s, 3),
                **{
                    f"iou{overlap}": {
                        "precision": round(one.precision, 4),
                        "recall": round(one.recall, 4),
                        "f1": round(one.f1, 4),
                    }
                    for overlap, one in tallies.items()
                },
            },
        }
        print(json.dumps({"spotting": figures}))
        return 0
    console.print(table)
    for overlap, one in tallies.items():
        console.print(
            f"IoU >= {overlap}: {one.hits} of {one.signs} signs found, {one.detections - one.hits} of "
            f"{one.detections} detections false: precision {one.precision:.2f}, recall {one.recall:.2f}, "
            f"[bold]F1 {one.f1:.2f}[/bold]"
        )
    console.print(f"{false_alarms} false alarms in {length_s:.0f} s of video")
    return 0
