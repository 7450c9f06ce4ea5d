"""Sentences as another signer might have signed them before another camera: what the transcript network is trained on."""

from __future__ import annotations

import math
from typing import NamedTuple, cast

import cv2
import numba
import numpy as np
from numpy.typing import NDArray

from engines.tick_features import Image, Row, TickFeatures
from engines.ticks import TICK_S

Array = NDArray[np.float32]


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
    embedding: float = (
        0.3  # of an embedding, all through the sentence and for each tick, as a share of its length
    )
    shift: float = 0.05  # of the picture's size
    light: float = 0.15  # log scale of all colours, and apart from it a third of that of each


def deformed(rows: Row, features: TickFeatures, seed: int, how: Deformation, shortest: int = 2) -> Row:
    """Another signer, another camera.

    Args:
        rows: (T, ...) as the features shape them.
        features: what they are made of.
        seed: the same seed gives the same deformation.
        how: how far.
        shortest: ticks that must be left, at least 2.

    Returns:
        (T', ...); T' differs from T by the pace.
    """
    rng = np.random.default_rng(seed)
    pace = math.exp(float(np.clip(rng.normal(0, how.speed), -0.3, 0.3)))
    length = max(round(len(rows) * pace), shortest) if how.speed > 0 else len(rows)
    if features.needs in ("landmarks", "face"):
        return _deformed_points(cast(Array, rows), features, length, rng, how)
    nearest = rows[np.round(np.linspace(0, len(rows) - 1, length)).astype(np.int64)]
    if features.needs == "embedding":
        return _deformed_embeddings(cast(Array, nearest), rng, how)
    return _deformed_pictures(cast(Image, nearest), rng, how)


def _deformed_embeddings(rows: Array, rng: np.random.Generator, how: Deformation) -> Array:
    spread = how.embedding / math.sqrt(2 * rows.shape[1])
    moved = rows + rng.normal(0, spread, rows.shape[1]) + rng.normal(0, spread, rows.shape)
    # A tick without an embedding stays without; the others are of unit length again, as an encoder gives them.
    length = np.linalg.norm(moved, axis=1, keepdims=True)
    return np.where(rows.any(1, keepdims=True), moved / np.maximum(length, 1e-6), 0).astype(np.float32)


def _deformed_pictures(rows: Image, rng: np.random.Generator, how: Deformation) -> Image:
    size = rows.shape[1]
    turn = rng.normal(0, how.rotate_rad)
    scale = np.exp(rng.normal(0, how.scale, 2))
    c, s = math.cos(turn), math.sin(turn)
    linear = np.array([[c, -s], [s, c]]) * scale + np.array([[0, rng.normal(0, how.shear)], [0, 0]])
    middle = np.full(2, (size - 1) / 2)
    offset = middle - linear @ middle + rng.normal(0, how.shift, 2) * size
    place = np.concatenate([linear, offset[:, None]], 1)
    light = np.exp(rng.normal(0, how.light) + rng.normal(0, how.light / 3, 3))
    out = np.empty_like(rows)
    for number, picture in enumerate(rows):
        if not picture.any():
            out[number] = 0  # no picture
            continue
        moved = cv2.warpAffine(picture, place, (size, size), borderMode=cv2.BORDER_REPLICATE)
        out[number] = np.clip(moved * light, 1, 255)
    return out


def _deformed_points(
    rows: Array, features: TickFeatures, length: int, rng: np.random.Generator, how: Deformation
) -> Array:
    points = rows.reshape(len(rows), -1, 3)
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
