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
from engines import joints, skeleton
from engines.features import features_named

Array = NDArray[np.float32]
Wide = NDArray[np.float64]

MAX_TICKS = 36


class Rows(NamedTuple):
    """Where things stand in the rows of a tick; a named tuple because numba takes it as it is."""

    solid: bool  # 3D angles rather than 2D points
    columns: int  # of a row that count
    nose: int
    left_shoulder: int
    right_shoulder: int
    left_hand: int  # the first of a hand's rows is its wrist's place
    right_hand: int
    hand: int  # rows of a hand
    places: int  # of these, how many are places in the picture


POINTS = Rows(
    solid=False,
    columns=2,
    nose=skeleton.NOSE,
    left_shoulder=skeleton.LEFT_SHOULDER,
    right_shoulder=skeleton.RIGHT_SHOULDER,
    left_hand=skeleton.LEFT_HAND,
    right_hand=skeleton.RIGHT_HAND,
    hand=10,
    places=10,
)
MOMENTS = Rows(
    solid=True,
    columns=3,
    nose=joints.NOSE,
    left_shoulder=joints.LEFT_SHOULDER,
    right_shoulder=joints.RIGHT_SHOULDER,
    left_hand=joints.LEFT_HAND,
    right_hand=joints.RIGHT_HAND,
    hand=joints.HAND_ROWS,
    places=1,
)

SPATIAL = (
    *("rotate_rad", "stretch", "shear", "hand_rotate_rad", "hand_scale", "hand_shift"),
    *("joint_shift", "noise", "body_shift", "body_scale", "turn_rad", "angle_shift_rad", "angle_noise_rad"),
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
    turn_rad: float = (
        0.2  # of the camera about the signer, up and down and sideways; 3D alone, as what follows
    )
    angle_shift_rad: float = 0.12  # per joint, all through the window
    angle_noise_rad: float = 0.06  # per joint and tick
    angle_scale: float = 0.1  # log scale of all angles of a hand

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
        float32 (B, channels, 16, joints), network input of the corpus's features.
    """
    features = features_named(corpus.features)
    out = np.zeros((len(clips), *features.shape), np.float32)
    rows = MOMENTS if features.name == joints.FEATURES else POINTS
    _windows(corpus.points, corpus.offsets, corpus.spans, clips, seed, augmentation, rows, out)
    return out


@numba.njit(cache=True)
def _tick(points: Array, first: int, last: int, at: float, row: Wide) -> None:
    """Rows (V, D) at a fractional frame of a clip, NaN where absent or outside."""
    row[:] = np.nan
    if at < first - 0.5 or at > last - 0.5:
        return
    low = min(max(math.floor(at), first), last - 1)
    high = min(low + 1, last - 1)
    f = min(max(at - low, 0.0), 1.0)
    for j in range(len(row)):
        here, there = not math.isnan(points[low, j, 0]), not math.isnan(points[high, j, 0])
        for d in range(row.shape[1]):
            if here and there:
                row[j, d] = (1 - f) * points[low, j, d] + f * points[high, j, d]
            elif here and f <= 0.5:
                row[j, d] = points[low, j, d]
            elif there and f > 0.5:
                row[j, d] = points[high, j, d]


@numba.njit(cache=True)
def _unit(track: Wide, rows: Rows) -> tuple[float, float]:
    """Palm size and shoulder width of a track (L, V, D); 0 if unknown."""
    palm = 0.0
    for t in range(len(track)):
        for first in (rows.left_hand, rows.right_hand):
            if rows.solid:
                d = track[t, first, 2]
            else:
                dx = track[t, first + 4, 0] - track[t, first, 0]
                dy = track[t, first + 4, 1] - track[t, first, 1]
                d = math.sqrt(dx * dx + dy * dy)
            if d > palm:  # False for NaN
                palm = d
    shoulders = 0.0
    for t in range(len(track)):
        d = abs(track[t, rows.left_shoulder, 0] - track[t, rows.right_shoulder, 0])
        if d > shoulders:
            shoulders = d
    return palm / 1.7, shoulders


@numba.njit(cache=True)
def _deform_points(track: Wide, first: int, palm: float, how: Augmentation) -> None:
    """A hand's ten points: turned, scaled, shifted, each joint off a little, and noise."""
    turn = np.random.normal(0, how.hand_rotate_rad)
    scale = math.exp(np.random.normal(0, how.hand_scale))
    dx, dy = np.random.normal(0, how.hand_shift, 2) * palm
    c, s = math.cos(turn) * scale, math.sin(turn) * scale
    shift = np.random.normal(0, how.joint_shift * palm, (10, 2))
    for t in range(len(track)):
        x0, y0 = track[t, first, 0], track[t, first, 1]
        for k in range(10):
            x = track[t, first + k, 0] - x0 + shift[k, 0]
            y = track[t, first + k, 1] - y0 + shift[k, 1]
            track[t, first + k, 0] = x0 + dx + c * x - s * y + np.random.normal(0, how.noise * palm)
            track[t, first + k, 1] = y0 + dy + s * x + c * y + np.random.normal(0, how.noise * palm)


@numba.njit(cache=True)
def _rotation(x: float, y: float, z: float) -> Wide:
    """(3, 3) turn about z, then y, then x; small angles, so that the order hardly counts."""
    cx, sx, cy, sy, cz, sz = math.cos(x), math.sin(x), math.cos(y), math.sin(y), math.cos(z), math.sin(z)
    about_x = np.array([[1.0, 0.0, 0.0], [0.0, cx, -sx], [0.0, sx, cx]])
    about_y = np.array([[cy, 0.0, sy], [0.0, 1.0, 0.0], [-sy, 0.0, cy]])
    about_z = np.array([[cz, -sz, 0.0], [sz, cz, 0.0], [0.0, 0.0, 1.0]])
    turn: Wide = about_x @ about_y @ about_z
    return turn


@numba.njit(cache=True)
def _deform_angles(track: Wide, first: int, palm: float, camera: Wide, how: Augmentation) -> None:
    """A hand's place, palm and fifteen angles: shifted, turned with the camera and by itself, scaled, and noise."""
    dx, dy = np.random.normal(0, how.hand_shift, 2) * palm
    own = np.random.normal(0, how.hand_rotate_rad, 3)
    turn = _rotation(own[0], own[1], own[2]) @ camera
    scale = math.exp(np.random.normal(0, how.angle_scale))
    shift = np.random.normal(0, how.angle_shift_rad, (15, 3))
    for t in range(len(track)):
        if math.isnan(track[t, first, 0]):
            continue
        track[t, first, 0] += dx + np.random.normal(0, how.noise * palm)
        track[t, first, 1] += dy + np.random.normal(0, how.noise * palm)
        wobble = np.random.normal(0, how.angle_noise_rad, 3)
        shaken = _rotation(wobble[0], wobble[1], wobble[2]) @ turn
        for axis in (first + 1, first + 2):
            track[t, axis] = shaken @ track[t, axis]
        for k in range(15):
            for d in range(3):
                noise = np.random.normal(0, how.angle_noise_rad)
                track[t, first + 3 + k, d] = scale * track[t, first + 3 + k, d] + shift[k, d] + noise


@numba.njit(cache=True)
def _deform(track: Wide, rows: Rows, how: Augmentation) -> None:
    """Space: camera, hands, joints, noise, body."""
    length = len(track)
    palm, shoulders = _unit(track, rows)
    cx, cy, n = 0.0, 0.0, 0
    for t in range(length):
        for first in (rows.left_hand, rows.right_hand):
            if not math.isnan(track[t, first, 0]):
                cx += track[t, first, 0]
                cy += track[t, first, 1]
                n += 1
    if n == 0:
        return
    cx /= n
    cy /= n
    turn = np.random.normal(0, how.rotate_rad)
    if rows.solid:
        pitch, yaw = np.random.normal(0, how.turn_rad, 2)
        camera = _rotation(pitch, yaw, -turn)  # y is up there and down in the picture
    for first in (rows.left_hand, rows.right_hand):
        if rows.solid:
            _deform_angles(track, first, palm, camera, how)
        else:
            _deform_points(track, first, palm, how)
    if np.random.random() < how.drop_body:
        track[:, : rows.left_hand] = np.nan
    else:
        scale = math.exp(np.random.normal(0, how.body_scale))
        dx, dy = np.random.normal(0, how.body_shift, 2) * shoulders
        for t in range(length):
            mx = (track[t, rows.left_shoulder, 0] + track[t, rows.right_shoulder, 0]) / 2
            my = track[t, rows.nose, 1]
            if math.isnan(my):  # a nose out of the picture takes nothing else with it
                my = (track[t, rows.left_shoulder, 1] + track[t, rows.right_shoulder, 1]) / 2
            for j in range(rows.nose, rows.left_hand):
                track[t, j, 0] = mx + (track[t, j, 0] - mx) * scale + dx
                track[t, j, 1] = my + (track[t, j, 1] - my) * scale + dy
    wide = math.exp(np.random.normal(0, how.stretch))
    shear = np.random.normal(0, how.shear)
    c, s = math.cos(turn), math.sin(turn)
    for t in range(length):
        for j in range(rows.nose, len(track[t])):
            if j > rows.left_hand and (j - rows.left_hand) % rows.hand >= rows.places:
                continue
            x = (track[t, j, 0] - cx) * wide
            y = track[t, j, 1] - cy
            x += shear * y
            track[t, j, 0] = c * x - s * y
            track[t, j, 1] = s * x + c * y


@numba.njit(cache=True)
def _drop(track: Wide, rows: Rows, how: Augmentation) -> None:
    """Hands that are lost, for a stretch or altogether, as blur and tracking lose them."""
    length = len(track)
    for first in (rows.left_hand, rows.right_hand):
        if np.random.random() < how.drop_hand:
            track[:, first : first + rows.hand] = np.nan
        while np.random.random() < how.drop_ticks:
            n = 1 + int(np.random.random() * 0.25 * length)
            at = int(np.random.random() * length)
            track[at : at + n, first : first + rows.hand] = np.nan


@numba.njit(cache=True)
def _way(track: Wide, first: int) -> float:
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
def _weak_hand(track: Wide, rows: Rows, how: Augmentation) -> None:
    """Loses the hand that moves less: whether it is in the picture at rest differs from clip to clip."""
    if np.random.random() < how.drop_weak:
        left, right = _way(track, rows.left_hand), _way(track, rows.right_hand)
        if 0 < left < 0.7 * right:
            track[:, rows.left_hand : rows.left_hand + rows.hand] = np.nan
        elif 0 < right < 0.7 * left:
            track[:, rows.right_hand : rows.right_hand + rows.hand] = np.nan


@numba.njit(cache=True)
def _rest_hand(track: Wide, points: Array, offsets: NDArray[np.int64], rows: Rows, how: Augmentation) -> None:
    """Puts the resting hand of some other clip where a hand is not seen, in proportion to the shoulders."""
    if np.random.random() >= how.resting or math.isnan(track[0, rows.left_shoulder, 0]):
        return
    width = track[0, rows.left_shoulder, 0] - track[0, rows.right_shoulder, 0]
    x = (track[0, rows.left_shoulder, 0] + track[0, rows.right_shoulder, 0]) / 2
    y = (track[0, rows.left_shoulder, 1] + track[0, rows.right_shoulder, 1]) / 2
    for first in (rows.left_hand, rows.right_hand):
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
            ow = points[at, rows.left_shoulder, 0] - points[at, rows.right_shoulder, 0]
            oy = points[at, rows.left_shoulder, 1]
            low, high, n = 1e9, -1e9, 0
            for t in range(at, end):
                here = points[t, first, 1]
                if not math.isnan(here):
                    low, high, n = min(low, here), max(high, here), n + 1
            if n < 5 or math.isnan(ow) or low - oy < 0.9 * ow or high - low > 0.15 * ow:
                continue
            ox = (points[at, rows.left_shoulder, 0] + points[at, rows.right_shoulder, 0]) / 2
            for t in range(len(track)):
                source = points[at + t % (end - at)]
                for j in range(first, first + rows.hand):
                    for d in range(rows.columns):
                        track[t, j, d] = source[j, d]
                    if j < first + rows.places:
                        track[t, j, 0] = x + (source[j, 0] - ox) / ow * width
                        track[t, j, 1] = y + (source[j, 1] - oy) / ow * width
                        if rows.columns == 3:
                            track[t, j, 2] = source[j, 2] / ow * width
            break


@numba.njit(cache=True)
def _mirror(track: Wide, rows: Rows) -> None:
    """The track as a mirror shows it: x changes sign, sides change places; turns about y and z go the other way."""
    for t in range(len(track)):
        for d in range(rows.columns):
            for a in range(rows.left_shoulder, rows.left_hand, 2):
                track[t, a, d], track[t, a + 1, d] = track[t, a + 1, d], track[t, a, d]
            for k in range(rows.hand):
                a, b = rows.left_hand + k, rows.right_hand + k
                track[t, a, d], track[t, b, d] = track[t, b, d], track[t, a, d]
        track[t, rows.nose : rows.left_hand, 0] *= -1
        for first in (rows.left_hand, rows.right_hand):
            for k in range(rows.hand):
                if k < rows.places or k == 2:  # places, and the axis out of the back of a solid hand
                    track[t, first + k, 0] *= -1
                else:
                    track[t, first + k, 1:] *= -1


@numba.njit(cache=True, nogil=True)
def _windows(
    points: Array,
    offsets: NDArray[np.int64],
    spans: NDArray[np.int64],
    clips: NDArray[np.int64],
    seed: int,
    how: Augmentation,
    rows: Rows,
    out: Array,
) -> None:
    np.random.seed(seed)
    row = np.empty((points.shape[1], rows.columns))
    full = np.empty((MAX_TICKS, points.shape[1], 3), np.float32)
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
        track = np.empty((length, *row.shape))
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
        _weak_hand(track, rows, how)
        _rest_hand(track, points, offsets, rows, how)
        _deform(track, rows, how)
        _drop(track, rows, how)
        if np.random.random() < how.mirror:
            _mirror(track, rows)
        full[:length, :, : rows.columns] = track
        if rows.solid:
            joints.fill_input(full[:length], out[b])
        else:
            skeleton.fill_input(full[:length], out[b])
