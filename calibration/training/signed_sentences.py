"""Sentences as the transcript network is trained on them: rows of features, gloss labels, and their deformation."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from engines.landmarks import LandmarkTrack
from engines.tick_features import TickFeatures
from engines.ticks import TICK_S

Array = NDArray[np.float32]
Labels = NDArray[np.int64]


class Deformation(NamedTuple):
    """How far a sentence is deformed in training; a named tuple because numba takes it as it is."""

    speed: float = 0.12  # log scale of the whole sentence's pace
    rotate_rad: float = 0.06  # of everything
    scale: float = 0.08  # log scale of width, and apart from it of height
    shear: float = 0.06
    joint: float = 0.03  # per point, all through the sentence, in the row's units
    noise: float = 0.015  # per point and tick
    lose_s: float = 0.25  # mean length of a hand's drop-out
    losses_per_s: float = 0.08  # drop-outs of one hand


@dataclass(frozen=True, slots=True, repr=False)
class SignedSentences:
    """S sentences of N ticks in all; sentence s has the rows from offsets[s] to offsets[s + 1], the last excluded."""

    rows: Array  # (N, V)
    offsets: Labels  # (S + 1,)
    labels: tuple[Labels, ...]  # per sentence, each 1 to M
    glosses: tuple[str, ...]  # M
    spans_s: tuple[Array, ...] | None = (
        None  # per sentence (glosses, 2) true begin and end, synthetic corpora only
    )

    def __repr__(self) -> str:
        return f"SignedSentences({len(self)} sentences, {len(self.rows)} ticks, {len(self.glosses)} glosses)"

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def lengths(self) -> Labels:
        """(S,) ticks."""
        return np.diff(self.offsets)

    def of(self, number: int) -> Array:
        """The rows (T, V) of one sentence; a view."""
        return self.rows[self.offsets[number] : self.offsets[number + 1]]

    def text(self, number: int) -> tuple[str, ...]:
        """The glosses of one sentence."""
        return tuple(self.glosses[label - 1] for label in self.labels[number])


def signed_sentences(
    signed: Iterable[tuple[LandmarkTrack, Sequence[str], Array | None]],
    features: TickFeatures,
    glosses: Sequence[str],
    progress: Callable[[], None] | None = None,
) -> SignedSentences:
    """Compute the features of sentences.

    Args:
        signed: the landmarks of each sentence, what is signed, and when (glosses, 2) in seconds where that is known.
        features: of a tick.
        glosses: the vocabulary; label m + 1 is glosses[m].
        progress: called after each sentence.

    Raises:
        ValueError: a sentence has a gloss that is not in the vocabulary, or there is no sentence.
    """
    label = {gloss: number for number, gloss in enumerate(glosses, 1)}
    rows: list[Array] = []
    labels: list[Labels] = []
    spans: list[Array | None] = []
    for track, text, when in signed:
        unknown = sorted(set(text) - label.keys())
        if unknown:
            raise ValueError(f"not in the vocabulary: {', '.join(unknown)}")
        rows.append(np.stack([features.row(track.at(tick)) for tick in range(len(track))]))
        labels.append(np.array([label[gloss] for gloss in text], np.int64))
        spans.append(when)
        if progress is not None:
            progress()
    if not rows:
        raise ValueError("there is no sentence to train on or to measure")
    offsets = np.concatenate([[0], np.cumsum([len(each) for each in rows])])
    known = tuple(when for when in spans if when is not None)
    return SignedSentences(
        np.concatenate(rows),
        offsets.astype(np.int64),
        tuple(labels),
        tuple(glosses),
        known if len(known) == len(spans) else None,
    )


def batches(lengths: Labels, ticks: int, rng: np.random.Generator | None = None) -> list[Labels]:
    """Sentences of like length together, so that little is padded.

    Args:
        lengths: (S,) ticks of each sentence.
        ticks: of a batch, padding included; a longer sentence makes a batch of its own.
        rng: shuffles; None for order of length.

    Returns:
        Batches as arrays of sentence numbers; each sentence is in one.
    """
    blur = lengths if rng is None else lengths * rng.uniform(0.9, 1.1, len(lengths))
    found: list[Labels] = []
    group: list[int] = []
    for number in np.argsort(blur, kind="stable"):
        longest = max([int(lengths[number]), *(int(lengths[each]) for each in group)])
        if group and longest * (len(group) + 1) > ticks:
            found.append(np.array(group))
            group = []
        group.append(int(number))
    found.append(np.array(group))
    if rng is not None:
        found = [found[each] for each in rng.permutation(len(found))]
    return found


def padded(sentences: Sequence[Array]) -> tuple[Array, Labels]:
    """Rows of several sentences as float32 (N, T, V), zero beyond each one's end, and their lengths (N,)."""
    lengths = np.array([len(each) for each in sentences], np.int64)
    out = np.zeros((len(sentences), int(lengths.max()), sentences[0].shape[1]), np.float32)
    for number, each in enumerate(sentences):
        out[number, : len(each)] = each
    return out, lengths


def deformed(rows: Array, features: TickFeatures, seed: int, how: Deformation, shortest: int = 2) -> Array:
    """A sentence as another signer might have signed it before another camera.

    Args:
        rows: float32 (T, V).
        features: what they are made of.
        seed: the same seed gives the same deformation.
        how: how far.
        shortest: ticks that must be left, at least 2.

    Returns:
        float32 (T', V); T' differs from T by the pace.
    """
    rng = np.random.default_rng(seed)
    points = rows.reshape(len(rows), -1, 3)
    pace = math.exp(float(np.clip(rng.normal(0, how.speed), -0.3, 0.3)))
    length = max(round(len(rows) * pace), shortest) if how.speed > 0 else len(rows)
    out = np.zeros((length, points.shape[1], 3), np.float32)
    _deform(points, out, int(rng.integers(2**31)), how)
    flat = out.reshape(length, -1)
    for hand in features.hands:
        for _ in range(rng.poisson(how.losses_per_s * length * TICK_S)):
            start = int(rng.integers(length))
            flat[start : start + 1 + int(rng.exponential(how.lose_s) / TICK_S), hand] = 0
    return flat


@numba.njit(cache=True)
def _deform(points: Array, out: Array, seed: int, how: Deformation) -> None:
    np.random.seed(seed)
    count = points.shape[1]
    turn, shear = np.random.normal(0, how.rotate_rad), np.random.normal(0, how.shear)
    wide, high = math.exp(np.random.normal(0, how.scale)), math.exp(np.random.normal(0, how.scale))
    c, s = math.cos(turn), math.sin(turn)
    own = np.random.normal(0, 1, (count, 2)) * how.joint
    pace = (len(points) - 1) / (len(out) - 1)
    for t in range(len(out)):
        at = t * pace
        low = min(int(at), len(points) - 1)
        high_tick = min(low + 1, len(points) - 1)
        f = at - low
        for j in range(count):
            nearest = low if f < 0.5 else high_tick
            if points[nearest, j, 2] <= 0:
                continue
            x, y = points[nearest, j, 0], points[nearest, j, 1]
            if points[low, j, 2] > 0 and points[high_tick, j, 2] > 0:
                x = (1 - f) * points[low, j, 0] + f * points[high_tick, j, 0]
                y = (1 - f) * points[low, j, 1] + f * points[high_tick, j, 1]
            x = x * wide + shear * y
            y = y * high
            out[t, j, 0] = c * x - s * y + own[j, 0] + np.random.normal(0, how.noise)
            out[t, j, 1] = s * x + c * y + own[j, 1] + np.random.normal(0, how.noise)
            out[t, j, 2] = points[nearest, j, 2]
