#!/usr/bin/env python3
"""A boundary head against the hands' speed: which puts begin and end of a sign where annotators have them.

    python benchmarks/boundary_head.py --gallery G --annotations FILE --videos DIR [--save FILE]

The head is a small temporal network over the 27 keypoints of every tick, trained on sentences of the synthetic signer (600
made-up signs, 60 bodies, MediaPipe's measured errors) to tell begins and ends: those of the strokes, or half-way between
stroke and stroke. Both ways of settling an edge are the same but for what draws it: the head's probability there, or speed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor, nn
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks import ablation
from calibration.evaluation.closed import Counts, answer_all, count
from calibration.evaluation.playing import WindowScores
from calibration.evaluation.spotting import read_annotations
from calibration.synthesis.body import body_of
from calibration.synthesis.landmarks import Camera, Noise, landmarks_of
from calibration.synthesis.lexicon import LexiconSampler
from calibration.synthesis.performance import Signer
from calibration.synthesis.streams import sentences
from engines.encoders import DEFAULT_ENCODERS, load_encoders
from engines.features import KEYPOINTS
from engines.landmarks import Landmarks
from engines.pose.mediapipe import HolisticPose
from engines.skeleton import LEFT_HAND, LEFT_SHOULDER, LEFT_WRIST, RIGHT_HAND, RIGHT_SHOULDER, RIGHT_WRIST
from engines.ticks import TICK_HZ
from stream.gallery import Gallery
from stream.hands import Hands, around, settle

Array = NDArray[np.float32]
SIGNS, BODIES, TAKES = 600, 60, 3
FIRST_BODY = 100
STEPS, BATCH, TICKS, CHANNELS = 1500, 16, 200, 48
WIDE = 1.2  # ticks, one deviation of the bump that a true edge is
STROKES, HALFWAY = "strokes", "half-way"


@dataclass(frozen=True, slots=True)
class Taught:
    """One stream of sentences."""

    seen: Array  # (T, C)
    edges: dict[str, Array]  # what an edge is -> (2, T) bumps at begins and ends


def features(ticks: Array) -> Array:
    """What the head sees of keypoints (T, 27, 3): places and shapes of both hands, how they change, and whether they are seen."""
    points = ticks[..., :2].astype(np.float64)
    at, parts = np.arange(len(ticks)), []
    across = np.linalg.norm(points[:, LEFT_SHOULDER] - points[:, RIGHT_SHOULDER], axis=1)
    unit = float(np.nanmedian(across)) if np.isfinite(across).any() else 1.0
    middle = (points[:, LEFT_SHOULDER] + points[:, RIGHT_SHOULDER]) / 2
    centre = np.nanmedian(middle, axis=0) if np.isfinite(middle).any() else np.zeros(2)
    for first, wrist in ((LEFT_HAND, LEFT_WRIST), (RIGHT_HAND, RIGHT_WRIST)):
        hand = (points[:, first : first + 10] - centre) / unit
        seen = ~np.isnan(hand[:, 0, 0])
        place = np.where(seen[:, None], hand[:, 0], (points[:, wrist] - centre) / unit)
        shape = (hand[:, 1:] - hand[:, :1]).reshape(len(ticks), -1)
        place, shape = (_bridged(at, values) for values in (place, shape))
        way, change = (np.gradient(_smooth(values), axis=0) * 5 for values in (place, shape))
        speed = np.linalg.norm(way, axis=1, keepdims=True)
        parts += [place, way, speed, 2 * shape, np.linalg.norm(change, axis=1, keepdims=True), seen[:, None]]
    return np.asarray(np.concatenate(parts, 1), np.float32)


def _bridged(at: NDArray[np.int64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    known = ~np.isnan(values[:, 0])
    if not known.any():
        return np.zeros_like(values)
    return np.stack([np.interp(at, at[known], column[known]) for column in values.T], 1)


def _smooth(values: NDArray[np.float64]) -> NDArray[np.float64]:
    padded = np.pad(values, ((1, 1), (0, 0)), mode="edge")
    return np.asarray((padded[:-2] + padded[1:-1] + padded[2:]) / 3)


def taught(console: Console) -> list[Taught]:
    """Sentences with their edges."""
    forms, noise = LexiconSampler(0).draw(SIGNS), Noise.measured()
    made = []
    for number in track(range(BODIES), "sentences", console=console):
        signer = Signer.draw(FIRST_BODY + number)
        rng = np.random.default_rng([FIRST_BODY, number])
        for take in range(TAKES):
            seed = 70_000 + number * TAKES + take
            signed = sentences(signer, forms, seed=seed, count=4, signs=(2, 5))
            seen = landmarks_of(signed, Camera.draw(rng, body_of(signer)), noise=noise, seed=seed)
            ticks = np.stack([KEYPOINTS.tick(seen.at(tick)) for tick in range(len(seen))])
            edges = {}
            for what, share in ((STROKES, 0.0), (HALFWAY, 0.5)):
                begins = [one.start_s - share * (one.start_s - one.preparation_s) for one in signed.signs]
                ends = [one.end_s + share * (one.retraction_s - one.end_s) for one in signed.signs]
                edges[what] = np.stack([_bumps(one, len(ticks)) for one in (begins, ends)])
            made.append(Taught(features(ticks), edges))
    return made


def _bumps(times_s: Sequence[float], ticks: int) -> Array:
    far = np.arange(ticks)[:, None] - np.array(times_s) * TICK_HZ
    return np.asarray(np.exp(-((far / WIDE) ** 2) / 2).max(1, initial=0), np.float32)


class Head(nn.Module):
    """Features (N, C, T) to logits (N, 2, T) of begin and end."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv1d(channels, CHANNELS, 1)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.BatchNorm1d(CHANNELS),
                nn.ReLU(),
                nn.Dropout(0.2),
                nn.Conv1d(CHANNELS, CHANNELS, 5, padding=2 * dilation, dilation=dilation),
                nn.BatchNorm1d(CHANNELS),
                nn.ReLU(),
                nn.Conv1d(CHANNELS, CHANNELS, 1),
            )
            for dilation in (1, 2, 4)
        )
        self.last = nn.Conv1d(CHANNELS, 2, 1)

    def forward(self, seen: Tensor) -> Tensor:
        """Logits."""
        x: Tensor = self.first(seen)
        for block in self.blocks:
            x = x + block(x)
        logits: Tensor = self.last(x)
        return logits


def trained(streams: Sequence[Taught], what: str, seed: int, console: Console) -> Head:
    """A head that knows one kind of edge."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    head = Head(streams[0].seen.shape[1])
    optimizer = torch.optim.AdamW(head.parameters(), 2e-3, weight_decay=0.02)
    pace = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    long = [one for one in streams if len(one.seen) > TICKS]
    for _ in track(range(STEPS), f"head of {what}, seed {seed}", console=console):
        seen, edges = [], []
        for _ in range(BATCH):
            one = long[int(rng.integers(len(long)))]
            at = int(rng.integers(len(one.seen) - TICKS))
            noise = rng.normal(0, 0.02, (TICKS, one.seen.shape[1])).astype(np.float32)
            seen.append((one.seen[at : at + TICKS] + noise).T)
            edges.append(one.edges[what][:, at : at + TICKS])
        logits = head(torch.from_numpy(np.stack(seen)))
        loss = F.binary_cross_entropy_with_logits(
            logits, torch.from_numpy(np.stack(edges)), pos_weight=torch.tensor(3.0)
        )
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        pace.step()
    return head.eval()


class Asked(Hands):
    """Settles edges by a head's probabilities."""

    def __init__(self, head: Head, landmarks: Sequence[Landmarks], first: int) -> None:
        super().__init__(kept=None)
        ticks = np.stack([KEYPOINTS.tick(one) for one in landmarks])
        with torch.inference_mode():
            self._edges = (
                torch.sigmoid(head(torch.from_numpy(features(ticks).T[None])))[0].numpy().astype(np.float64)
            )
        self._first = first

    def settled(self, first: float, last: float) -> tuple[float, float]:
        """As `Hands.settled`."""
        return settle(first, last, *(self._part(row, first, last) for row in self._edges))

    def _part(self, row: NDArray[np.float64], first: float, last: float) -> NDArray[np.float64]:
        begin, end = around(first, last)
        at = np.arange(begin, end + 1) - self._first
        return np.interp(at, np.arange(len(row)), row, left=0.0, right=0.0)


def main() -> None:
    """Train, settle and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--gallery", type=Path, required=True, metavar="DIR")
    parser.add_argument("--annotations", type=Path, required=True, metavar="FILE")
    parser.add_argument("--videos", type=Path, required=True, metavar="DIR")
    parser.add_argument("--seeds", type=int, default=2, metavar="N", help="heads of each kind (default: 2)")
    parser.add_argument("--save", type=Path, metavar="FILE", help="write the figures as JSON")
    args = parser.parse_args()
    torch.set_num_threads(1)
    console = Console(stderr=True)
    gallery, truth = Gallery.load(args.gallery), read_annotations(args.annotations)
    with HolisticPose() as estimator:
        encoders = load_encoders(DEFAULT_ENCODERS, estimator=estimator.name)
    videos = {
        name: ablation.embedded(args.videos / name, encoders)
        for name in track(truth.videos, "posing", console=console)
    }
    played = {
        name: ablation.play(*videos[name], gallery, encoders, ablation.VARIANTS[0]).windows for name in videos
    }

    def closed(hands: dict[str, Hands]) -> float:
        total = Counts()
        for name, signs in truth.videos.items():
            windows = WindowScores(played[name].spans, played[name].excess, hands[name])
            total += count(
                answer_all(windows, gallery.glosses, signs, same=truth.same), signs, same=truth.same
            )
        return round(total.f1, 4)

    rows: dict[str, Any] = {
        "windows alone": closed({name: Hands() for name in videos}),
        "the hands' speed (ships)": closed({name: played[name].hands for name in videos}),
    }
    streams = taught(console)
    for what in (STROKES, HALFWAY):
        for seed in range(args.seeds):
            head = trained(streams, what, seed, console)
            rows[f"head, {what}, seed {seed}"] = closed(
                {
                    name: Asked(head, [step.tick.landmarks for step in steps], steps[0].tick.index)
                    for name, (steps, _) in videos.items()
                }
            )
    table = Table("begin and end by", "closed F1")
    for name, figure in rows.items():
        table.add_row(name, f"{figure:.3f}")
    Console().print(table)
    if args.save:
        args.save.write_text(json.dumps({"closed_f1": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
