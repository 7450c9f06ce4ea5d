"""Training windows from landmark tracks: a stretch of a sign, deformed as signers, cameras and trackers do.

Everything runs in numba on raw joint tracks and ends in the live path's own `fill_input`, so that training sees
just what the encoder sees live: resampling, bridged drop-outs and per-window normalisation included.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from calibration.training.corpora import Corpus
from engines.skeleton import (
    CHANNELS,
    JOINTS,
    LEFT_HAND,
    LEFT_SHOULDER,
    MIRRORED,
    NOSE,
    RIGHT_HAND,
    RIGHT_SHOULDER,
    TICKS,
    fill_input,
)

Array = NDArray[np.float32]
Float64 = NDArray[np.float64]

MAX_TICKS = 36
_MIRRORED = np.array(MIRRORED)


SPATIAL = (
    *("rotate_rad", "stretch", "shear", "hand_rotate_rad", "hand_scale", "hand_shift"),
    *("joint_shift", "noise", "body_shift", "body_scale"),
)
"""The fields of `Augmentation` that are lengths, angles and scales."""


class Augmentation(NamedTuple):
    """How far windows are deformed; a named tuple because numba takes it as it is."""

    whole: float = 0.35  # share of windows that show the trimmed sign, as an exemplar does
    shortest: float = 0.5  # of the sign, that a live window may show
    longest: float = 1.15
    jitter: float = 0.2  # of the sign, that a live window's centre may be off
    warp: float = 0.12  # of the window, that the middle may come early or late
    context: float = 0.5  # chance that what surrounds the sign is another sign
    rotate_rad: float = 0.22
    stretch: float = 0.15  # log scale of width against height
    shear: float = 0.12
    hand_rotate_rad: float = 0.15
    hand_scale: float = 0.1
    hand_shift: float = 0.5  # palm sizes
    joint_shift: float = 0.08  # palm sizes, per joint, all through the window
    noise: float = 0.04  # palm sizes, per tick
    drop_ticks: float = 0.5  # chance that a hand loses a stretch of ticks
    drop_hand: float = 0.04  # chance that a hand is lost
    drop_weak: float = 0.15  # chance that the hand that moves less is lost
    resting: float = 0.35  # chance that a hand that is not seen is seen at rest
    drop_body: float = 0.3
    body_shift: float = 0.15  # shoulder widths
    body_scale: float = 0.12  # log scale
    mirror: float = 0.35

    def stronger(self, factor: float) -> Augmentation:
        """The same with every deformation in space that many times as far."""
        return self._replace(**{name: factor * getattr(self, name) for name in SPATIAL})


def windows(corpus: Corpus, clips: NDArray[np.int64], seed: int, augmentation: Augmentation) -> Array:
    """One deformed window of each of these clips.

    Args:
        corpus: where they are from.
        clips: (B,) indices.
        seed: the same seed gives the same windows.
        augmentation: how far they are deformed.

    Returns:
        float32 (B, 18, 16, 27), network input.
    """
    out = np.zeros((len(clips), CHANNELS, TICKS, JOINTS), np.float32)
    _windows(corpus.points, corpus.offsets, corpus.spans, clips, seed, augmentation, out)
    return out


@numba.njit(cache=True)
def _tick(points: Array, first: int, last: int, at: float, row: Float64) -> None:
    """Joints (27, 2) at a fractional frame of a clip, NaN where absent or outside."""
    row[:] = np.nan
    if at < first - 0.5 or at > last - 0.5:
        return
    low = min(max(math.floor(at), first), last - 1)
    high = min(low + 1, last - 1)
    f = min(max(at - low, 0.0), 1.0)
    for j in range(JOINTS):
        a, b = points[low, j, 0], points[high, j, 0]
        if not math.isnan(a) and not math.isnan(b):
            row[j, 0] = (1 - f) * a + f * b
            row[j, 1] = (1 - f) * points[low, j, 1] + f * points[high, j, 1]
        elif not math.isnan(a) and f <= 0.5:
            row[j, 0], row[j, 1] = a, points[low, j, 1]
        elif not math.isnan(b) and f > 0.5:
            row[j, 0], row[j, 1] = b, points[high, j, 1]


@numba.njit(cache=True)
def _unit(track: Float64) -> tuple[float, float]:
    """Palm size and shoulder width of a track (L, 27, 2); 0 if unknown."""
    palm = 0.0
    for t in range(len(track)):
        for first in (LEFT_HAND, RIGHT_HAND):
            dx = track[t, first + 4, 0] - track[t, first, 0]
            dy = track[t, first + 4, 1] - track[t, first, 1]
            d = math.sqrt(dx * dx + dy * dy)
            if d > palm:  # False for NaN
                palm = d
    shoulders = 0.0
    for t in range(len(track)):
        d = abs(track[t, LEFT_SHOULDER, 0] - track[t, RIGHT_SHOULDER, 0])
        if d > shoulders:
            shoulders = d
    return palm / 1.7, shoulders


@numba.njit(cache=True)
def _deform(track: Float64, how: Augmentation) -> None:
    """Space: camera, hands, joints, noise, body."""
    length = len(track)
    palm, shoulders = _unit(track)
    cx, n = np.zeros(2), 0
    for t in range(length):
        for first in (LEFT_HAND, RIGHT_HAND):
            if not math.isnan(track[t, first, 0]):
                cx += track[t, first]
                n += 1
    if n == 0:
        return
    cx /= n
    for first in (LEFT_HAND, RIGHT_HAND):
        turn = np.random.normal(0, how.hand_rotate_rad)
        scale = math.exp(np.random.normal(0, how.hand_scale))
        dx, dy = np.random.normal(0, how.hand_shift, 2) * palm
        c, s = math.cos(turn) * scale, math.sin(turn) * scale
        shift = np.random.normal(0, how.joint_shift * palm, (10, 2))
        for t in range(length):
            x0, y0 = track[t, first, 0], track[t, first, 1]
            for k in range(10):
                x = track[t, first + k, 0] - x0 + shift[k, 0]
                y = track[t, first + k, 1] - y0 + shift[k, 1]
                track[t, first + k, 0] = x0 + dx + c * x - s * y + np.random.normal(0, how.noise * palm)
                track[t, first + k, 1] = y0 + dy + s * x + c * y + np.random.normal(0, how.noise * palm)
    if np.random.random() < how.drop_body:
        track[:, :LEFT_HAND] = np.nan
    else:
        scale = math.exp(np.random.normal(0, how.body_scale))
        dx, dy = np.random.normal(0, how.body_shift, 2) * shoulders
        for t in range(length):
            mx = (track[t, LEFT_SHOULDER, 0] + track[t, RIGHT_SHOULDER, 0]) / 2
            my = track[t, NOSE, 1]
            for j in range(LEFT_HAND):
                track[t, j, 0] = mx + (track[t, j, 0] - mx) * scale + dx
                track[t, j, 1] = my + (track[t, j, 1] - my) * scale + dy
    turn = np.random.normal(0, how.rotate_rad)
    wide = math.exp(np.random.normal(0, how.stretch))
    shear = np.random.normal(0, how.shear)
    c, s = math.cos(turn), math.sin(turn)
    for t in range(length):
        for j in range(JOINTS):
            x = (track[t, j, 0] - cx[0]) * wide
            y = track[t, j, 1] - cx[1]
            x += shear * y
            track[t, j, 0] = c * x - s * y
            track[t, j, 1] = s * x + c * y


@numba.njit(cache=True)
def _drop(track: Float64, how: Augmentation) -> None:
    """Hands that are lost, for a stretch or altogether, as blur and tracking lose them."""
    length = len(track)
    for first in (LEFT_HAND, RIGHT_HAND):
        if np.random.random() < how.drop_hand:
            track[:, first : first + 10] = np.nan
        while np.random.random() < how.drop_ticks:
            n = 1 + int(np.random.random() * 0.25 * length)
            at = int(np.random.random() * length)
            track[at : at + n, first : first + 10] = np.nan


@numba.njit(cache=True)
def _way(track: Float64, first: int) -> float:
    """How far a hand's wrist moves; 0 if it is never seen."""
    way = 0.0
    for t in range(1, len(track)):
        d = abs(track[t, first, 0] - track[t - 1, first, 0]) + abs(
            track[t, first, 1] - track[t - 1, first, 1]
        )
        if not math.isnan(d):
            way += d
    return way


@numba.njit(cache=True)
def _weak_hand(track: Float64, how: Augmentation) -> None:
    """Loses the hand that moves less: whether it is in the picture at rest differs from clip to clip."""
    if np.random.random() < how.drop_weak:
        left, right = _way(track, LEFT_HAND), _way(track, RIGHT_HAND)
        if 0 < left < 0.7 * right:
            track[:, LEFT_HAND : LEFT_HAND + 10] = np.nan
        elif 0 < right < 0.7 * left:
            track[:, RIGHT_HAND : RIGHT_HAND + 10] = np.nan


@numba.njit(cache=True)
def _rest_hand(track: Float64, points: Array, offsets: NDArray[np.int64], how: Augmentation) -> None:
    """Puts the resting hand of some other clip where a hand is not seen, in proportion to the shoulders."""
    if np.random.random() >= how.resting or math.isnan(track[0, LEFT_SHOULDER, 0]):
        return
    width = track[0, LEFT_SHOULDER, 0] - track[0, RIGHT_SHOULDER, 0]
    x = (track[0, LEFT_SHOULDER, 0] + track[0, RIGHT_SHOULDER, 0]) / 2
    y = (track[0, LEFT_SHOULDER, 1] + track[0, RIGHT_SHOULDER, 1]) / 2
    for first in (LEFT_HAND, RIGHT_HAND):
        seen = False
        for t in range(len(track)):
            seen = seen or not math.isnan(track[t, first, 0])
        if seen:
            continue
        for _ in range(8):
            other = np.random.randint(0, len(offsets) - 1)
            a, z = offsets[other], offsets[other + 1]
            at = a + np.random.randint(0, z - a)
            end = min(at + len(track), z)
            ow = points[at, LEFT_SHOULDER, 0] - points[at, RIGHT_SHOULDER, 0]
            oy = points[at, LEFT_SHOULDER, 1]
            low, high, n = 1e9, -1e9, 0
            for t in range(at, end):
                here = points[t, first, 1]
                if not math.isnan(here):
                    low, high, n = min(low, here), max(high, here), n + 1
            if n < 5 or math.isnan(ow) or low - oy < 0.9 * ow or high - low > 0.15 * ow:
                continue
            ox = (points[at, LEFT_SHOULDER, 0] + points[at, RIGHT_SHOULDER, 0]) / 2
            for t in range(len(track)):
                source = points[at + t % (end - at)]
                for j in range(first, first + 10):
                    track[t, j, 0] = x + (source[j, 0] - ox) / ow * width
                    track[t, j, 1] = y + (source[j, 1] - oy) / ow * width
            break


@numba.njit(cache=True)
def _windows(
    points: Array,
    offsets: NDArray[np.int64],
    spans: NDArray[np.int64],
    clips: NDArray[np.int64],
    seed: int,
    how: Augmentation,
    out: Array,
) -> None:
    np.random.seed(seed)
    row = np.empty((JOINTS, 2))
    full = np.empty((MAX_TICKS, JOINTS, 3), np.float32)
    for b in range(len(clips)):
        clip = clips[b]
        start, end = offsets[clip], offsets[clip + 1]
        first, last = start + spans[clip, 0], start + spans[clip, 1]
        n = last - first
        if np.random.random() < how.whole:
            a = first + np.random.random() * 0.15 * n
            z = last - 1 - np.random.random() * 0.15 * n
        else:
            part = how.shortest + np.random.random() * (how.longest - how.shortest)
            room = max(how.jitter, (1 - part) / 2)
            middle = (first + last - 1) / 2 + np.random.uniform(-room, room) * n
            a, z = middle - part * n / 2, middle + part * n / 2
        length = np.random.randint(10, MAX_TICKS)
        early = np.random.uniform(-how.warp, how.warp)
        other = np.random.randint(0, len(offsets) - 1) if np.random.random() < how.context else -1
        track = np.empty((length, JOINTS, 2))
        for k in range(length):
            u = k / (length - 1)
            at = a + (z - a) * (u + early * math.sin(math.pi * u))
            if other >= 0 and at < first - 2:
                o = offsets[other]
                _tick(points, o, offsets[other + 1], o + spans[other, 1] - 1 - (first - 2 - at), row)
            elif other >= 0 and at > last + 1:
                o = offsets[other]
                _tick(points, o, offsets[other + 1], o + spans[other, 0] + (at - last - 1), row)
            else:
                _tick(points, start, end, at, row)
            track[k] = row
        _weak_hand(track, how)
        _rest_hand(track, points, offsets, how)
        _deform(track, how)
        _drop(track, how)
        flip = np.random.random() < how.mirror
        for k in range(length):
            for j in range(JOINTS):
                source = _MIRRORED[j] if flip else j
                full[k, j, 0] = -track[k, source, 0] if flip else track[k, source, 0]
                full[k, j, 1] = track[k, source, 1]
        fill_input(full[:length], out[b])
