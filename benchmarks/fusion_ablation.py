#!/usr/bin/env python3
"""What each encoder adds: spotting scored for several sets of encoders and weights, each video posed and embedded once.

    python benchmarks/fusion_ablation.py --gallery G --annotations FILE --videos DIR \
        --encoder slgcn2d --encoder slgcn3d --encoder i3d_mlp [--fusion slgcn2d=1,i3d_mlp=0.2]... [--save FILE]

The gallery has to have exemplars of all the encoders. For each `--fusion` (default: each encoder alone, and all with the
weights that ship) the gallery is cut down to the encoders named there and its thresholds are estimated anew, as if it had
been taught with them alone; then the live path's similarity and spotter decide, and `signspot evaluate spotting`'s scorer
scores.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from calibration.evaluation.playing import Played, WindowScores
from calibration.evaluation.report import figures, result_of
from calibration.evaluation.spotting import read_annotations
from calibration.thresholds import with_thresholds
from engines.encoders import Encoder, load_encoders
from engines.pose.choice import HOLISTIC, open_pose
from engines.ticks import TICK_S
from stream.clock import Tick
from stream.gallery import Gallery
from stream.hands import Hands
from stream.sources import read_frames
from stream.spotting import Similarity, Spotted, Spotter
from stream.stages import PoseStage
from stream.tracks import FULL_QUALITY
from stream.windows import Window, WindowBuffer


@dataclass(frozen=True, slots=True)
class Moment:
    """One tick with what every encoder makes of it."""

    tick: Tick  # without its landmarks
    windows: Mapping[str, list[Window]]
    embeddings: Mapping[str, NDArray[np.float32]]


def embedded(path: Path, encoders: Sequence[Encoder], stage: PoseStage) -> list[Moment]:
    """Pose and embed a video once."""
    buffers = {encoder.name: WindowBuffer(encoder.window_lengths) for encoder in encoders}
    moments: list[Moment] = []
    for frame in read_frames(path):
        for tick in stage.pose(frame) if stage.wants(frame, FULL_QUALITY) else ():
            windows: dict[str, list[Window]] = {}
            rows: dict[str, NDArray[np.float32]] = {}
            for encoder in encoders:
                complete = buffers[encoder.name].push(tick, encoder.prepare(tick.landmarks))
                usable = [window for window in complete if not window.lost]
                if usable:
                    rows[encoder.name] = encoder.embed([window.features for window in usable])
                    windows[encoder.name] = [replace(one, features=np.zeros(0, np.float32)) for one in usable]
            moments.append(Moment(replace(tick, landmarks=tick.landmarks.kept()), windows, rows))
    return moments


def played(moments: Sequence[Moment], gallery: Gallery, similarity: Similarity) -> Played:
    """Spot one embedded video."""
    spotter = Spotter(gallery)
    spotted: list[Spotted] = []
    spans: list[tuple[int, int]] = []
    excess = [np.zeros((0, len(gallery.signs)), np.float32)]
    segment = moments[0].tick.segment if moments else 0
    hands = Hands(kept=None)
    for moment in moments:
        hands.push(moment.tick.index, moment.tick.landmarks)
        if moment.tick.segment != segment:
            spotted += spotter.flush()
            spotter.reset()
            segment = moment.tick.segment
        scores = similarity.score(moment.windows, moment.embeddings)
        spotted += spotter.push(moment.tick, scores)
        spans += scores.spans
        excess.append(spotter.excess(scores) if scores.spans else excess[0])
    return Played(
        spotted=tuple(spotted),
        cut_off=tuple(spotter.flush()),
        windows=WindowScores(np.array(spans, np.int64).reshape(-1, 2), np.concatenate(excess), hands),
        swept={},
        length_s=len(moments) * TICK_S,
    )


def fusions(words: Sequence[str], encoders: Sequence[Encoder]) -> list[dict[str, float]]:
    """The sets of encoders with their weights."""
    if not words:
        names = [encoder.name for encoder in encoders]
        return [{name: 1.0} for name in names] + [
            {encoder.name: encoder.fusion_weight for encoder in encoders}
        ]
    return [
        {name: float(weight) for name, _, weight in (part.partition("=") for part in word.split(","))}
        for word in words
    ]


def main() -> None:
    """Print a row for each fusion."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gallery", type=Path, required=True)
    parser.add_argument("--annotations", type=Path, required=True)
    parser.add_argument("--videos", type=Path, required=True)
    parser.add_argument("--encoder", action="append", required=True)
    parser.add_argument("--fusion", action="append", default=[], metavar="NAME=WEIGHT,...")
    parser.add_argument("--save", type=Path, metavar="FILE", help="write the figures as JSON")
    args = parser.parse_args()
    truth = read_annotations(args.annotations)
    gallery = Gallery.load(args.gallery)
    estimator = open_pose(HOLISTIC)
    encoders = load_encoders(args.encoder, estimator=estimator.name)
    console = Console(stderr=True)
    videos: dict[str, list[Moment]] = {}
    for name in track(truth.videos, "posing and embedding", console=console, transient=True):
        stage = PoseStage(estimator, pictures=any(encoder.pictures for encoder in encoders))
        videos[name] = embedded(args.videos / name, encoders, stage)
    estimator.close()
    rows = {}
    for weights in fusions(args.fusion, encoders):
        used = [encoder for encoder in encoders if encoder.name in weights]
        mine = replace(gallery, exemplars={one.name: gallery.exemplars[one.name] for one in used})
        mine, _ = with_thresholds(mine, {one.name: one for one in used})
        similarity = Similarity(mine, used, weights=weights)
        results = [
            result_of(name, signs, played(videos[name], mine, similarity), mine.glosses, truth.same)
            for name, signs in truth.videos.items()
        ]
        found = figures(results)
        label = " + ".join(f"{weight:g} {name}" for name, weight in weights.items())
        rows[label] = found
        opened = found["open"]
        print(
            f"| {label} | {found['closed']['f1']:.3f} | {opened['top1']:.3f} | {opened['top5']:.3f} | "
            f"{opened['recall']:.3f} | {opened['precision']:.3f} | {opened['f1']:.3f} |",
            flush=True,
        )
    if args.save:
        args.save.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
