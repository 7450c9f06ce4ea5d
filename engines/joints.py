"""What the 3D encoder sees: the angles of 39 joints, where the palms look, and where the hands are.

The live path and training share this code. A window's input depends on that window alone, to the last bit.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

from engines import kinematics
from engines.kinematics import JOINTS, LEFT_FINGERS, LEFT_WRIST, RIGHT_FINGERS, RIGHT_WRIST
from engines.landmarks import MIN_VISIBILITY, Landmarks
from engines.resampling import TICKS, resampled, shoulder_frame

Array = NDArray[np.float32]
Wide = NDArray[np.float64]

FEATURES = "joints39-2"
"""Version of what `moment` and `window_input` compute; part of every encoder's fingerprint."""

ROWS = 48
"""Rows of a moment: angles of the nine body joints; nose and shoulders; then eighteen rows a hand."""
NOSE, LEFT_SHOULDER, RIGHT_SHOULDER = 9, 10, 11
LEFT_HAND, RIGHT_HAND = 12, 30
HAND_ROWS = 18
PLACE, ALONG, BACK, ANGLES = 0, 1, 2, 3
"""Of a hand's rows: the wrist's x, y and the hand's length; two axes of the palm; the first of fifteen angles."""

CHANNELS = 30
PRESENT = 26
"""The channel that tells which joints are there."""
HANDS_PER_SHOULDERS = (
    0.257  # wrist to middle knuckle in 3D; median over 99 Holistic tracks of frontal signers
)

_MIRROR = np.array([1, -1, -1], np.float32)
_FIRST = np.array([LEFT_HAND, RIGHT_HAND])
_WRISTS = np.array([LEFT_WRIST, RIGHT_WRIST])
_FINGERS = np.array([LEFT_FINGERS, RIGHT_FINGERS])


def moment(landmarks: Landmarks, *, mirrored: bool = False) -> Array:
    """One tick.

    Args:
        landmarks: of one person.
        mirrored: the picture comes from a mirrored camera: flip it back and swap the sides.

    Returns:
        float32 (48, 3): angles in radians, places in units of frame height (x right, y down), palms as unit vectors
        seen from the camera (`kinematics.hand_axes`); NaN where absent.
    """
    out = np.full((ROWS, 3), np.nan, np.float32)
    aspect = landmarks.width / landmarks.height
    out[:9] = kinematics.landmark_angles(landmarks)[:9]
    for row, point in ((NOSE, 0), (LEFT_SHOULDER, 11), (RIGHT_SHOULDER, 12)):
        if landmarks.pose[point, 3] >= MIN_VISIBILITY:
            out[row] = landmarks.pose[point, (0, 1, 3)] * np.array([aspect, 1, 1])
    fill_hands(np.stack(kinematics.hand_points(landmarks))[None], out[None])
    return mirror(out, aspect) if mirrored else out


@numba.njit(cache=True)
def fill_hands(hands: Wide, out: Array) -> None:
    """Write hands (T, 2, 21, 3), left first, in units of frame height, into moments (T, 48, 3); absent ones are left."""
    angles = np.empty((JOINTS, 3), np.float32)
    for t in range(len(hands)):
        for side in range(2):
            hand = hands[t, side]
            if math.isnan(hand[0, 0] + hand[0, 2]):  # without depth its angles are unknown
                continue
            sign = 1.0 if side == 0 else -1.0
            axes = kinematics.hand_axes(hand, sign)
            kinematics.fill_fingers(hand, axes, sign, 0, angles)
            rows = out[t, _FIRST[side] : _FIRST[side] + HAND_ROWS]
            rows[PLACE, 0], rows[PLACE, 1] = hand[0, 0], hand[0, 1]
            rows[PLACE, 2] = math.sqrt(((hand[9] - hand[0]) ** 2).sum())
            for d in range(3):
                rows[ALONG, d], rows[BACK, d] = axes[0][d], axes[1][d]
                rows[ANGLES:, d] = angles[:15, d]


def mirror(rows: Array, width: float = 0.0) -> Array:
    """Moments (..., 48, 3) as a mirror shows them: x becomes `width` - x, left and right change places.

    The palm's x axis is along the fingers of one hand and against those of the other, so under a mirror it is its
    other two components that change sign.
    """
    out = rows.copy()
    out[..., :9, :] = rows[..., kinematics.MIRRORED[:9], :] * _MIRROR
    out[..., NOSE : RIGHT_SHOULDER + 1, :] = rows[..., (NOSE, RIGHT_SHOULDER, LEFT_SHOULDER), :]
    out[..., NOSE : RIGHT_SHOULDER + 1, 0] = np.float32(width) - out[..., NOSE : RIGHT_SHOULDER + 1, 0]
    for here, there in ((LEFT_HAND, RIGHT_HAND), (RIGHT_HAND, LEFT_HAND)):
        hand = rows[..., there : there + HAND_ROWS, :].copy()
        hand[..., PLACE, 0] = np.float32(width) - hand[..., PLACE, 0]
        hand[..., ALONG, 1:] *= -1
        hand[..., BACK, 0] *= -1
        hand[..., ANGLES:, 1:] *= -1
        out[..., here : here + HAND_ROWS, :] = hand
    return out


def window_input(moments: Array) -> Array:
    """One window as network input.

    The window is resampled to 16 ticks; what is missing for up to 10 ticks is bridged linearly. What is unknown is
    0. The channels: 0-2 angle, 3-5 its motion to the next tick. At the wrists alone: 6-11 the palm's axes, 12-17
    their motion, 18-19 place relative to mid-shoulder in shoulder widths, 20-21 the track relative to its mean in
    hand lengths, 22-23 its motion, 24-25 place relative to the other wrist in hand lengths. 26 joint present; 27
    seen rather than bridged; 28 place known; 29 other hand known. The nine body joints' angles are left out: no real
    training data has them.

    Args:
        moments: (L, 48, 3) from `moment`, L >= 2 consecutive ticks.

    Returns:
        float32 (30, 16, 39).

    Raises:
        ValueError: the shape is another one.
    """
    if moments.ndim != 3 or moments.shape[0] < 2 or moments.shape[1:] != (ROWS, 3):
        raise ValueError(f"a window must be (L >= 2, {ROWS}, 3), not {moments.shape}")
    out = np.zeros((CHANNELS, TICKS, JOINTS), np.float32)
    fill_input(np.ascontiguousarray(moments, np.float32), out)
    return out


@numba.njit(cache=True)
def _hand_length(where: Wide) -> float:
    """Length of a hand, either's: the median over the window; 0 without hands."""
    lengths = np.empty(2 * TICKS)
    n = 0
    for t in range(TICKS):
        for first in _FIRST:
            if not math.isnan(where[t, first, 0]):
                lengths[n] = where[t, first + PLACE, 2]
                n += 1
    return float(np.median(lengths[:n])) if n > 0 else 0.0


@numba.njit(cache=True)
def fill_input(moments: Array, out: Array) -> None:
    """`window_input` without its checks: reads moments (L, 48, 3), writes into zeroed out (30, 16, 39)."""
    where = np.empty((TICKS, ROWS, 3))
    seen = np.empty((TICKS, ROWS))
    resampled(moments, where, seen)
    ox, oy, shoulders = shoulder_frame(where, LEFT_SHOULDER, RIGHT_SHOULDER)
    unit = _hand_length(where)
    if unit <= 1e-6:
        return
    placed = shoulders > 1e-6
    if not placed:
        shoulders = unit / HANDS_PER_SHOULDERS
    for side in range(2):
        first, wrist = _FIRST[side], _WRISTS[side]
        other = _FIRST[1 - side]
        mx = my = 0.0
        n = 0
        for t in range(TICKS):
            if not math.isnan(where[t, first, 0]):
                mx += where[t, first, 0]
                my += where[t, first, 1]
                n += 1
        if n == 0:
            continue
        mx /= n
        my /= n
        for t in range(TICKS):
            if math.isnan(where[t, first, 0]):
                continue
            after = t + 1 < TICKS and not math.isnan(where[t + 1, first, 0])
            x, y = where[t, first, 0], where[t, first, 1]
            for k in range(16):
                joint = wrist if k == 0 else _FINGERS[side] + k - 1
                out[26, t, joint] = 1.0
                out[27, t, joint] = seen[t, first]
                if placed:
                    out[28, t, joint] = 1.0
                if k > 0:
                    row = first + ANGLES + k - 1
                    for d in range(3):
                        out[d, t, joint] = where[t, row, d]
                        if after:
                            out[3 + d, t, joint] = where[t + 1, row, d] - where[t, row, d]
            for d in range(3):
                out[6 + d, t, wrist] = where[t, first + ALONG, d]
                out[9 + d, t, wrist] = where[t, first + BACK, d]
                if after:
                    out[12 + d, t, wrist] = where[t + 1, first + ALONG, d] - where[t, first + ALONG, d]
                    out[15 + d, t, wrist] = where[t + 1, first + BACK, d] - where[t, first + BACK, d]
            if placed:
                out[18, t, wrist] = (x - ox) / shoulders
                out[19, t, wrist] = (y - oy) / shoulders
            out[20, t, wrist] = (x - mx) / unit
            out[21, t, wrist] = (y - my) / unit
            if after:
                out[22, t, wrist] = (where[t + 1, first, 0] - x) / unit
                out[23, t, wrist] = (where[t + 1, first, 1] - y) / unit
            if not math.isnan(where[t, other, 0]):
                out[24, t, wrist] = (x - where[t, other, 0]) / unit
                out[25, t, wrist] = (y - where[t, other, 1]) / unit
                out[29, t, wrist] = 1.0
