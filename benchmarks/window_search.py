#!/usr/bin/env python3
"""The encoder alone on real sentences: nearest window by cosine, scored as `nearest_window.py` scores distances.

    python benchmarks/window_search.py ISOLATED_DIR SENTENCE_DIR ANNOTATIONS.json [--encoder NAME] [--cache DIR]

One exemplar a gloss, trimmed as `signspot enrol` trims it; windows of the encoder's lengths, stride one tick.
`oslwl_f1`: the gloss is known to be in the clip, the best window is the answer, hits averaged over the IoU thresholds
0.20 to 0.80. `top1`, `top5`: rank of the true gloss among all, over the windows that overlap the sign with IoU > 0.5.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from calibration.enrol import exemplar_spans
from calibration.evaluation.spotting import read_annotations
from calibration.trim import trim
from engines.encoders import Encoder, load_encoder
from engines.landmarks import PARTS, LandmarkTrack
from engines.pose.mediapipe import HolisticPose
from engines.ticks import TICK_S
from stream.tracks import track_of

Array = NDArray[np.float32]
THRESHOLDS = np.arange(0.2, 0.8001, 0.05)


def landmarks(clip: Path, cache: Path | None) -> LandmarkTrack:
    """The clip's landmarks as the live path makes them, kept in the cache if there is one."""
    stored = cache / f"{clip.stem}.npz" if cache else None
    if stored is not None and stored.exists():
        with np.load(stored) as data:
            parts = {name: data[name] for name in PARTS}
            return LandmarkTrack(
                **parts, width=int(data["width"]), height=int(data["height"]), estimator="cache"
            )
    with HolisticPose() as estimator:
        found = track_of(clip, estimator=estimator)
    if stored is not None:
        stored.parent.mkdir(parents=True, exist_ok=True)
        parts = {name: getattr(found, name) for name in PARTS}
        np.savez_compressed(stored, **parts, width=found.width, height=found.height)
    return found


def prepared(encoder: Encoder, ticks: LandmarkTrack) -> Array:
    """What the encoder takes of each tick."""
    return np.stack([encoder.prepare(ticks.at(tick)) for tick in range(len(ticks))])


def exemplar(encoder: Encoder, ticks: LandmarkTrack) -> Array:
    """Rows (views, D) of the trimmed sign, as enrolment makes them."""
    cut, features = trim(ticks), prepared(encoder, ticks)
    return encoder.embed([features[a:b] for a, b in exemplar_spans(cut.first_tick, cut.last_tick)])


def overlap(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Intersection over union of two stretches of time."""
    shared = max(0.0, min(a[1], b[1]) - max(a[0], b[0]))
    return shared / (max(a[1], b[1]) - min(a[0], b[0]))


def main() -> None:
    """Score, and print one JSON object."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("isolated", type=Path)
    parser.add_argument("sentences", type=Path)
    parser.add_argument("annotations", type=Path)
    parser.add_argument("--encoder", default="slgcn2d", help="a shipped encoder or a bundle's folder")
    parser.add_argument("--cache", type=Path, help="keep landmarks here")
    args = parser.parse_args()
    encoder = load_encoder(args.encoder, estimator="holistic")
    clips = sorted(args.isolated.glob("*.mp4"))
    bank = {
        clip.stem: exemplar(encoder, landmarks(clip, args.cache and args.cache / "isolated"))
        for clip in track(clips, "exemplars")
    }
    glosses = list(bank)
    overlaps, ranks = [], []
    truth = read_annotations(args.annotations)
    for name, signs in truth.videos.items():
        features = prepared(
            encoder, landmarks(args.sentences / name, args.cache and args.cache / "sentences")
        )
        spans, windows = [], []
        for length in encoder.window_lengths:
            for start in range(len(features) - length + 1):
                spans.append((start * TICK_S, (start + length) * TICK_S))
                windows.append(features[start : start + length])
        rows = encoder.embed(windows)
        scores = np.stack([(rows @ bank[gloss].T).max(1) for gloss in glosses], 1)
        for sign in signs:
            true, gloss = (sign.start_s, sign.end_s), glosses.index(sign.gloss)
            overlaps.append(overlap(spans[int(scores[:, gloss].argmax())], true))
            ious = np.array([overlap(span, true) for span in spans])
            inside = ious > 0.5 if (ious > 0.5).any() else ious == ious.max()
            best = scores[inside].max(0)
            ranks.append(int((best > best[gloss]).sum()))
    found, rank = np.array(overlaps), np.array(ranks)
    figures = {
        "intervals": len(found),
        "gallery": len(glosses),
        "oslwl_f1": np.mean([(found >= threshold).mean() for threshold in THRESHOLDS]),
        "hit@0.5": (found >= 0.5).mean(),
        "top1": (rank == 0).mean(),
        "top5": (rank < 5).mean(),
    }
    print(json.dumps({name: round(float(value), 3) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
