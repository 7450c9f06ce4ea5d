#!/usr/bin/env python3
"""What each part of spotting brings: with and without, on annotated sentences.

    signspot enrol --gallery G --encoder slgcn2d --encoder slgcn3d --encoder slgcn2d10 ISOLATED/*.mp4
    python benchmarks/ablation.py --gallery G --annotations FILE --videos DIR [--save FILE]

or, on rendered streams that no choice was made on,

    python -m calibration.synthesis.evaluate --signs 200 --work DIR
    python benchmarks/ablation.py --gallery DIR/gallery --annotations DIR/annotations.json --videos DIR

Rows of encoders that the gallery was not taught with are left out. Every video is posed once and every window embedded
once; each row scores them anew through the live path's similarity and spotter with one thing changed. Exemplars that
are cut in another way are embedded from the gallery's landmarks.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

import stream.hands
import stream.spotting
from calibration.evaluation.playing import Played, Sweep, WindowScores
from calibration.evaluation.report import figures, result_of
from calibration.evaluation.spotting import Annotations, read_annotations
from calibration.thresholds import with_thresholds
from engines.encoders import DEFAULT_ENCODERS, BundleEncoder, load_encoders
from engines.pose.mediapipe import HolisticPose
from stream.clock import Tick
from stream.gallery import Gallery, Impostors, Take
from stream.hands import Hands
from stream.sources import read_frames
from stream.spotting import Scores, Similarity, Spotted, Spotter
from stream.stages import PoseStage
from stream.tracks import FULL_QUALITY
from stream.windows import Window, WindowBuffer

Array = NDArray[np.float32]
Cut = Callable[[Take, int], tuple[int, int]]
ENCODERS = ("slgcn2d", "slgcn3d", "slgcn2d10")
LENGTHS = (10, 14, 16, 20, 28)
HARDEST = 500
"""Impostors of a window that count in AS-norm, of the 4,000 that a bundle has."""
SHIFTS = tuple(step / 4 for step in range(-8, 17))
"""Evidence by which thresholds are moved to find the recall at one false alarm."""


@dataclass(frozen=True, slots=True)
class Step:
    """One tick of a video, and what ends at it."""

    tick: Tick
    windows: Mapping[str, list[Window]]  # by encoder; their features are not kept
    embeddings: Mapping[str, Array]


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One way to spot."""

    name: str
    encoders: tuple[str, ...] = DEFAULT_ENCODERS
    weights: Mapping[str, float] | None = None  # None: the encoders' own
    lengths: tuple[int, ...] | None = None  # of the windows that are looked at; None: the encoder's own
    lead: float | None = None
    idle: bool = True
    normalised: bool = True
    by_query: bool = False  # whether queries are normalised as well (AS-norm)
    settled: bool = True  # whether edges go where the hands are fastest
    cut: Cut | None = None  # how exemplars are cut out of their clips


VARIANTS = (
    Variant(name="as it ships"),
    Variant(name="2D alone", encoders=("slgcn2d",)),
    Variant(name="3D alone", encoders=("slgcn3d",)),
    Variant(name="2D with ten blocks, alone", encoders=("slgcn2d10",)),
    Variant(name="2D with ten blocks, and 3D", encoders=("slgcn2d10", "slgcn3d")),
    Variant(name="2D and 3D with equal weights", weights={}),
    Variant(name="windows of 16 ticks alone", lengths=(16,)),
    Variant(name="windows of 10, 14, 20 and 28 ticks", lengths=(10, 14, 20, 28)),
    Variant(name="queries normalised as well (AS-norm)", by_query=True),
    Variant(name="begin and end by windows alone", settled=False),
    Variant(name="cosines without normalisation", normalised=False),
    Variant(name="no lead over the best other gloss", lead=0.0),
    Variant(name="no idle movement to be nearer than", idle=False),
    Variant(
        name="exemplars from hands up to hands down, ways included",
        cut=lambda take, ticks: _ways(take, ticks),
    ),
    Variant(name="exemplars of whole clips", cut=lambda take, ticks: (0, ticks)),
)


def _ways(take: Take, ticks: int) -> tuple[int, int]:
    """About the ways to the sign and back as well: 0.24 s on either side."""
    return max(take.first_tick - 6, 0), min(take.last_tick + 6, ticks)


def embedded(path: Path, encoders: Sequence[BundleEncoder]) -> tuple[list[Step], float]:
    """All ticks of a video with all windows embedded, and its length in seconds."""
    steps, times = [], []
    with HolisticPose() as estimator:
        pose = PoseStage(estimator)
        buffers = [WindowBuffer(LENGTHS) for _ in encoders]
        for frame in read_frames(path):
            times.append(frame.pts_s)
            for tick in pose.pose(frame) if pose.wants(frame, FULL_QUALITY) else ():
                windows, rows = {}, {}
                for encoder, buffer in zip(encoders, buffers, strict=True):
                    usable = [w for w in buffer.push(tick, encoder.prepare(tick.landmarks)) if not w.lost]
                    if usable:
                        rows[encoder.name] = encoder.embed([window.features for window in usable])
                        windows[encoder.name] = [replace(w, features=w.features[:0]) for w in usable]
                steps.append(Step(tick, windows, rows))
    return steps, (times[-1] - times[0]) * len(times) / max(len(times) - 1, 1)


def recut(gallery: Gallery, encoders: Mapping[str, BundleEncoder], cut: Cut) -> Gallery:
    """The gallery with exemplars cut in another way, and thresholds to match."""
    tracks = [gallery.landmarks(take) for take in gallery.takes]
    spans = [cut(take, len(one)) for take, one in zip(gallery.takes, tracks, strict=True)]
    exemplars = {}
    for name, known in gallery.exemplars.items():
        encoder = encoders[name]
        clips = [
            np.stack([encoder.prepare(one.at(tick)) for tick in range(first, last)])
            for one, (first, last) in zip(tracks, spans, strict=True)
        ]
        rows = encoder.embed(clips)
        exemplars[name] = replace(
            known,
            vectors=rows,
            takes=np.arange(len(rows), dtype=np.int32),
            ticks=np.array([len(clip) for clip in clips], np.int32),
        )
    return with_thresholds(replace(gallery, exemplars=exemplars), encoders)[0]


@contextmanager
def changed(variant: Variant) -> Iterator[None]:
    """The live path's constants as the variant has them."""
    lead, spread = stream.spotting.LEAD, stream.hands.SPREAD
    if variant.lead is not None:
        stream.spotting.LEAD = variant.lead
    if not variant.settled:
        stream.hands.SPREAD = 1e-6  # no speed is worth a way
    try:
        yield
    finally:
        stream.spotting.LEAD, stream.hands.SPREAD = lead, spread


class _NoIdle:
    """An encoder without idle movement."""

    idle = None

    def __init__(self, encoder: BundleEncoder) -> None:
        self._encoder = encoder

    def __getattr__(self, name: str) -> object:
        return getattr(self._encoder, name)


class _ByQuery(Similarity):
    """AS-norm: a cosine counts in deviations of the exemplar's impostors and, as much, of the window's own.

    Matejka et al., "Analysis of score normalization in multilingual speaker recognition" (Interspeech 2017).
    """

    def __init__(
        self,
        gallery: Gallery,
        encoders: Sequence[BundleEncoder],
        *,
        weights: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(gallery, encoders, weights=weights)
        self._impostors = {encoder.name: encoder.background for encoder in encoders}

    def score(self, windows: Mapping[str, Sequence[Window]], embeddings: Mapping[str, Array]) -> Scores:
        """As `Similarity.score`."""
        scores = super().score(windows, embeddings)
        total, share = np.zeros_like(scores.normal), 0.0
        for name, bank in self._banks.items():
            own, impostors = scores.per_encoder[name], self._impostors[name]
            if name not in embeddings or np.isnan(own).any() or impostors is None:
                return scores
            spans = [(window.start_tick, window.end_tick) for window in windows[name]]
            rows = embeddings[name][[spans.index(span) for span in scores.spans]]
            hardest = np.sort(rows @ impostors.T, axis=1)[:, -HARDEST:]
            by_query = (own - hardest.mean(1, keepdims=True)) / hardest.std(1, keepdims=True)
            total += bank.weight * (by_query + (own - bank.mean) / bank.deviation) / 2
            share += bank.weight
        return replace(scores, normal=np.asarray(total / share, np.float32))


def play(
    steps: Sequence[Step],
    length_s: float,
    gallery: Gallery,
    encoders: Sequence[BundleEncoder],
    variant: Variant,
) -> Played:
    """Spot in one video's embeddings."""
    chosen = [encoder if variant.idle else _NoIdle(encoder) for encoder in encoders]
    kind = _ByQuery if variant.by_query else Similarity
    similarity = kind(gallery, chosen, weights=variant.weights)  # type: ignore[arg-type]
    spotter = Spotter(gallery)
    sweep = Sweep(gallery, SHIFTS)
    spotted: list[Spotted] = []
    spans: list[tuple[int, int]] = []
    excess = [np.zeros((0, len(gallery.signs)), np.float32)]
    hands = Hands(kept=None)
    for step in steps:
        hands.push(step.tick.index, step.tick.landmarks)
        windows, rows = {}, {}
        for encoder in encoders:
            found = step.windows.get(encoder.name, [])
            kept = [
                index
                for index, window in enumerate(found)
                if window.end_tick - window.start_tick + 1 in (variant.lengths or encoder.window_lengths)
            ]
            if kept:
                windows[encoder.name] = [found[index] for index in kept]
                rows[encoder.name] = step.embeddings[encoder.name][kept]
        scores = similarity.score(windows, rows)
        spotted += spotter.push(step.tick, scores)
        sweep.push(step.tick, scores)
        if scores.spans:
            spans += scores.spans
            excess.append(spotter.excess(scores))
    return Played(
        spotted=tuple(spotted),
        cut_off=tuple(spotter.flush()),
        windows=WindowScores(np.array(spans, np.int64).reshape(-1, 2), np.concatenate(excess), hands),
        swept=sweep.finish(),
        length_s=length_s,
    )


def measure(
    variant: Variant,
    gallery: Gallery,
    truth: Annotations,
    videos: Mapping[str, tuple[list[Step], float]],
    encoders: Mapping[str, BundleEncoder],
) -> dict[str, Any]:
    """The figures of one row; `by_shift` has hits and false alarms with every threshold raised by so much."""
    used = [encoders[name] for name in variant.encoders]
    gallery = replace(gallery, exemplars={name: gallery.exemplars[name] for name in variant.encoders})
    with changed(variant):
        own = {name: encoders[name] for name in variant.encoders}
        if variant.cut is not None:
            gallery = recut(gallery, own, variant.cut)
        else:  # the thresholds of these encoders and constants
            gallery = with_thresholds(gallery, own)[0]
        if not variant.normalised:
            none = {name: Impostors(mean=0.0, deviation=0.2) for name in variant.encoders}
            signs = tuple(msgspec.structs.replace(sign, impostors=none) for sign in gallery.signs)
            gallery = replace(gallery, signs=signs)
        results = [
            result_of(name, signs, play(*videos[name], gallery, used, variant), gallery.glosses, truth.same)
            for name, signs in truth.videos.items()
        ]
    found = figures(results)
    swept = [[sum(one.swept[shift][part] for one in results) for part in (0, 1)] for shift in SHIFTS]
    count = sum(len(one.signs) for one in results)
    return {
        "closed_f1": found["closed"]["f1"],
        "top1": found["open"]["top1"],
        "top5": found["open"]["top5"],
        "recall": found["open"]["recall"],
        "precision": found["open"]["precision"],
        "false_alarms": found["open"]["false_alarms"],
        "recall_at_one": max((hits for hits, alarms in swept if alarms <= 1), default=0) / count,
        "signs": count,
        "by_shift": [[shift, *pair] for shift, pair in zip(SHIFTS, swept, strict=True)],
    }


def main() -> None:
    """Measure every variant and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--gallery", type=Path, required=True, metavar="DIR", help=f"with some of {', '.join(ENCODERS)}"
    )
    parser.add_argument("--annotations", type=Path, required=True, metavar="FILE")
    parser.add_argument("--videos", type=Path, required=True, metavar="DIR")
    parser.add_argument("--save", type=Path, metavar="FILE", help="write the figures as JSON")
    args = parser.parse_args()
    console = Console(stderr=True)
    gallery, truth = Gallery.load(args.gallery), read_annotations(args.annotations)
    with HolisticPose() as estimator:
        taught = [name for name in ENCODERS if name in gallery.exemplars]
        loaded = load_encoders(taught, estimator=estimator.name)
    encoders = {encoder.name: encoder for encoder in loaded}
    videos = {
        name: embedded(args.videos / name, loaded) for name in track(truth.videos, "posing", console=console)
    }
    fitting = [variant for variant in VARIANTS if set(variant.encoders) <= set(taught)]
    rows = {
        variant.name: measure(variant, gallery, truth, videos, encoders)
        for variant in track(fitting, "spotting", console=console)
    }
    table = Table("", "closed F1", "top-1", "top-5", "recall", "precision", "false alarms", "recall at <= 1")
    for name, row in rows.items():
        open_set = row if name != "cosines without normalisation" else dict.fromkeys(row, None)
        table.add_row(
            name,
            *(f"{row[key]:.3f}" for key in ("closed_f1", "top1", "top5")),
            *("-" if open_set[key] is None else f"{open_set[key]:.3f}" for key in ("recall", "precision")),
            "-" if open_set["false_alarms"] is None else f"{row['false_alarms']:.0f}",
            f"{row['recall_at_one']:.3f}",
        )
    Console().print(table)
    if args.save is not None:
        seconds = sum(length for _, length in videos.values())
        args.save.write_text(json.dumps({"seconds": round(seconds, 1), "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
