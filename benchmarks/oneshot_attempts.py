#!/usr/bin/env python3
"""What was tried to raise the one-shot figure: other scores, one encoder more, other cuts. None of it is what ships.

    python benchmarks/oneshot_attempts.py [--data ../shared/data/wlasl_hands.npz] [--save FILE.json]

On WLASL's dev glosses, by the bundles that ship. "Queries normalised as well" is AS-norm of speaker recognition (Matejka et
al., Interspeech 2017): a score counts in deviations of the exemplar's impostors and of the query's. "Likenesses to training
glosses" compares clips by which of the 1,600 training glosses they are like. The cuts are `signspot enrol`'s, given the hands'
wrists for the body's, which these clips do not show.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.small_runs import save, show
from calibration.evaluation.oneshot import (
    Modality,
    OneShot,
    embed_signs,
    fused_scores,
    score_fused,
    scored,
    split,
)
from calibration.training import trainer
from calibration.training.corpora import Corpus, read_wlasl
from calibration.training.fusion import learn_fusion, weighted
from calibration.trim import trim
from engines import skeleton
from engines.encoders import BundleEncoder, load_encoders
from engines.errors import SignspotError
from engines.features import KEYPOINTS, Features
from engines.landmarks import LEFT_SHOULDER, PARTS, RIGHT_SHOULDER, LandmarkTrack
from engines.pose.choice import HOLISTIC

Array = NDArray[np.float32]
ENCODERS = ("slgcn2d", "slgcn3d", "slgcn2d10")
SHARPNESS = 24.0
"""Of the softmax over training glosses."""


def as_normalised(one: Modality, exemplars: NDArray[np.int64], queries: NDArray[np.int64]) -> Array:
    """What comes on top of the exemplars' own normalisation: deviations of the query's impostors, the background."""
    assert one.background is not None
    cosines = one.rows[queries] @ one.rows[exemplars].T
    impostors = one.rows[queries] @ one.background.T
    hardest = np.sort(impostors, axis=1)[:, -500:]
    return np.asarray((cosines - hardest.mean(1, keepdims=True)) / hardest.std(1, keepdims=True), np.float32)


def likenesses(rows: Array, centres: Array) -> Array:
    """Rows (N, D) as unit rows (N, glosses): square roots of the probabilities that a softmax over training glosses gives."""
    logits = SHARPNESS * rows @ centres.T
    shares = np.exp(logits - logits.max(1, keepdims=True))
    return np.asarray(np.sqrt(shares / shares.sum(1, keepdims=True)), np.float32)


def centres_of(corpus: Corpus, rows: Array) -> Array:
    """Unit means (glosses, D) of the embeddings of each gloss."""
    known, inverse = np.unique(corpus.gloss, return_inverse=True)
    sums = np.zeros((len(known), rows.shape[1]), np.float32)
    np.add.at(sums, inverse, rows)
    return np.asarray(sums / np.linalg.norm(sums, axis=1, keepdims=True), np.float32)


def cut(corpus: Corpus, points: Corpus, *, ways: bool) -> Corpus:
    """Clips cut as `signspot enrol` cuts them, with or without the ways to the sign and back.

    Args:
        corpus: the clips.
        points: the same clips as keypoints.
        ways: from hands up to hands down.
    """
    spans = corpus.spans.copy()
    for clip in range(len(corpus)):
        track = points.clip(clip)
        parts: dict[str, Any] = {
            name: np.full((len(track), *shape), np.nan, np.float32) for name, shape in PARTS.items()
        }
        for landmark, row in (
            (LEFT_SHOULDER, skeleton.LEFT_SHOULDER),
            (RIGHT_SHOULDER, skeleton.RIGHT_SHOULDER),
            (15, skeleton.LEFT_HAND),
            (16, skeleton.RIGHT_HAND),
        ):
            parts["pose"][:, landmark, :2] = track[:, row, :2]
        low = np.nanmax(track[..., 1], initial=0.0)
        for wrist in (15, 16):  # a hand that is not seen is down
            unseen = np.isnan(parts["pose"][:, wrist, 0])
            parts["pose"][unseen, wrist, :2] = (0.5, low)
        try:
            found = trim(LandmarkTrack(**parts, width=1, height=1, estimator="hands"))
        except SignspotError:
            continue  # it stays as it was
        spans[clip] = (found.up_tick, found.down_tick) if ways else (found.first_tick, found.last_tick)
    return replace(corpus, spans=spans)


def embedded(
    encoders: Sequence[BundleEncoder], clips: dict[Features, Corpus]
) -> tuple[Corpus, list[Modality]]:
    """Clips by every encoder."""
    made = []
    for encoder in encoders:
        assert isinstance(encoder.features, Features)
        corpus = clips[encoder.features]
        made.append(Modality(embed_signs(corpus, encoder.embed), encoder.background, encoder.fusion_weight))
    return corpus, made


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data/wlasl_hands.npz"), metavar="FILE")
    parser.add_argument("--save", type=Path, metavar="FILE", help="write the figures as JSON")
    args = parser.parse_args()
    torch.set_num_threads(1)
    encoders = load_encoders(ENCODERS, estimator=HOLISTIC)
    found: dict[str, OneShot] = {}
    with Console(stderr=True).status("reading, cutting and embedding clips") as status:
        read: dict[Features, tuple[Corpus, Corpus]] = {}
        for encoder in encoders:
            assert isinstance(encoder.features, Features)
            if encoder.features not in read:
                read[encoder.features] = trainer.split(read_wlasl(args.data, encoder.features))
        clips = {features: dev for features, (_, dev) in read.items()}
        dev, three = embedded(encoders, clips)
        two = three[:2]
        exemplars, queries = split(dev)
        three = weighted(three, learn_fusion(dev, three).weights)
        for name, parts in (("what ships", two), ("with the ten-block network, weights learnt", three)):
            found[name] = score_fused(dev, parts)
            scores = sum(one.weight * as_normalised(one, exemplars, queries) for one in parts)
            found[f"{name}; queries normalised as well"] = scored(
                dev, exemplars, queries, fused_scores(parts, exemplars, queries) + scores
            )
        status.update("embedding training clips")
        total = fused_scores(two, exemplars, queries)
        for encoder, one in zip(encoders[:2], two, strict=True):
            assert isinstance(encoder.features, Features)
            assert one.background is not None
            train = read[encoder.features][0]
            centres = centres_of(train, embed_signs(train, encoder.embed))
            like = Modality(
                likenesses(one.rows, centres), likenesses(one.background, centres), 0.1 * one.weight
            )
            total = total + fused_scores([like], exemplars, queries)
        found["likenesses to training glosses beside the cosines"] = scored(dev, exemplars, queries, total)
        status.update("other cuts")
        rows = [one.rows for one in two]
        for name, ways in (
            ("hands up to hands down, enrol's way", True),
            ("the same without the ways", False),
        ):
            other = {features: cut(one, clips[KEYPOINTS], ways=ways) for features, one in clips.items()}
            _, parts = embedded(encoders[:2], other)
            found[f"cut from {name}"] = score_fused(dev, parts)
            rows = [mine + one.rows for mine, one in zip(rows, parts, strict=True)]
        means = [mine / np.linalg.norm(mine, axis=1, keepdims=True) for mine in rows]
        found["averages of these cuts"] = score_fused(
            dev, [replace(one, rows=mine) for one, mine in zip(two, means, strict=True)]
        )
    figures = {name: one.metrics() for name, one in found.items()}
    show("attempt", figures, "one-shot, WLASL dev glosses")
    if args.save:
        save(args.save, "python benchmarks/oneshot_attempts.py", figures)


if __name__ == "__main__":
    main()
