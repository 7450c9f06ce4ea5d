"""The 2D skeleton that the keypoint encoder sees: 27 joints of one tick, and a window of ticks as network input.

The joints and their order are those of SAM-SLR's SL-GCN (Jiang et al., "Skeleton Aware Multi-modal Sign Language
Recognition", CVPR 2021 ChaLearn workshop). The live path and training share this code, so that what was
trained is what runs. A window's input depends on that window alone, to the last bit.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

from engines.landmarks import MIN_VISIBILITY, Landmarks
from engines.resampling import TICKS, resampled, shoulder_frame

Array = NDArray[np.float32]
Float64 = NDArray[np.float64]

FEATURES = "skeleton27-2"
"""Version of what `keypoints` and `window_input` compute; part of every encoder's fingerprint."""

JOINTS = 27
CHANNELS = 18

NOSE, LEFT_SHOULDER, RIGHT_SHOULDER, LEFT_ELBOW, RIGHT_ELBOW, LEFT_WRIST, RIGHT_WRIST = range(7)
LEFT_HAND, RIGHT_HAND = 7, 17  # first of ten joints each: wrist, thumb tip, then base and tip of four fingers

BODY_LANDMARKS = (0, 11, 12, 13, 14, 15, 16)
HAND_LANDMARKS = (0, 4, 5, 8, 9, 12, 13, 16, 17, 20)

PARENTS = (
    *(0, 0, 0, 1, 2, 3, 4),
    *(hand + finger for hand in (LEFT_HAND, RIGHT_HAND) for finger in (0, 0, 0, 2, 0, 4, 0, 6, 0, 8)),
)
"""The joint towards the root that a joint's bone starts at; a root is its own parent."""

EDGES = (
    *((joint, parent) for joint, parent in enumerate(PARENTS) if joint != parent),
    (LEFT_HAND, LEFT_WRIST),
    (RIGHT_HAND, RIGHT_WRIST),
)
"""Bones (joint, parent), and each hand to its arm."""

MIRRORED = (0, 2, 1, 4, 3, 6, 5, *range(RIGHT_HAND, RIGHT_HAND + 10), *range(LEFT_HAND, LEFT_HAND + 10))
"""The joint that takes each joint's place in a mirror."""

PALM_PER_SHOULDERS = 0.12  # median over Holistic tracks of frontal signers: 0.120 (80th percentile of a clip)
MIN_PALM_PER_SHOULDERS = 0.09  # a hand seen edge-on all through a window is no smaller hand
UNIT_PER_PALM = 2.2  # so that an open hand spans about 1.5 units
PRESENT = 14
"""The channel that tells which joints are there."""

_BODY = np.array(BODY_LANDMARKS)
_HAND = np.array(HAND_LANDMARKS)
_PARENTS = np.array(PARENTS)
_MIRRORED = np.array(MIRRORED)


def keypoints(landmarks: Landmarks, *, mirrored: bool = False) -> Array:
    """The 27 joints of one tick.

    Args:
        landmarks: of one person.
        mirrored: the picture comes from a mirrored camera: flip it back and swap the sides.

    Returns:
        float32 (27, 3): x and y in units of frame height (the aspect undone), confidence in [0, 1] (visibility
        for the body, 1 for a hand that was found). All three are NaN where the joint is absent or hardly
        visible.
    """
    points = np.empty((JOINTS, 3), np.float32)
    points[:7] = landmarks.pose[_BODY][:, (0, 1, 3)]
    points[:7][~(points[:7, 2] >= MIN_VISIBILITY)] = np.nan
    for first, hand in ((LEFT_HAND, landmarks.left_hand), (RIGHT_HAND, landmarks.right_hand)):
        points[first : first + 10, :2] = hand[_HAND, :2]
        points[first : first + 10, 2] = np.where(np.isnan(hand[_HAND, 0]), np.nan, np.float32(1))
    points[:, 0] *= np.float32(landmarks.width / landmarks.height)
    return mirror(points, landmarks.width / landmarks.height) if mirrored else points


def mirror(points: Array, width: float = 0.0) -> Array:
    """The joints (..., 27, 3) as a mirror shows them: x becomes `width` - x, left and right change places."""
    swapped = points[..., _MIRRORED, :].copy()
    swapped[..., 0] = np.float32(width) - swapped[..., 0]
    return swapped


def window_input(points: Array) -> Array:
    """One window as network input.

    The window is resampled to 16 ticks; a joint that is missing for up to 10 ticks is bridged linearly.
    Lengths are in units of this window's own shoulder width and hand size, so it does not matter how near the
    person is or where in the picture. What is unknown is 0. The channels:

    0-1 hand joints relative to their wrist in hand units, body joints relative to the body; 2-3 place relative
    to mid-shoulder in shoulder widths; 4-5 the joint's track relative to its hand's mean wrist, in hand units;
    6-7 bone; 8-9 motion of the joint, 10-11 of the bone, to the next tick; 12-13 place relative to the other
    hand's wrist; 14 joint present; 15 joint seen rather than bridged; 16 place known; 17 other hand known.
    Elbows are left absent: no real training data has them.

    Args:
        points: (L, 27, 3) from `keypoints`, L >= 2 consecutive ticks.

    Returns:
        float32 (18, 16, 27).

    Raises:
        ValueError: the shape is another one.
    """
    if points.ndim != 3 or points.shape[0] < 2 or points.shape[1:] != (JOINTS, 3):
        raise ValueError(f"a window must be (L >= 2, {JOINTS}, 3), not {points.shape}")
    out = np.zeros((CHANNELS, TICKS, JOINTS), np.float32)
    fill_input(np.ascontiguousarray(points, np.float32), out)
    return out


@numba.njit(cache=True)
def _palm(where: Float64) -> float:
    """Size of the palm, either hand's: an upper quantile over the window, since turning only makes it smaller."""
    sizes = np.empty(2 * TICKS)
    n = 0
    for t in range(TICKS):
        for first in (LEFT_HAND, RIGHT_HAND):
            if math.isnan(where[t, first, 0]):
                continue
            x = y = xx = 0.0
            for k in (0, 2, 4, 6, 8):
                x += where[t, first + k, 0]
                y += where[t, first + k, 1]
            x /= 5
            y /= 5
            for k in (0, 2, 4, 6, 8):
                xx += (where[t, first + k, 0] - x) ** 2 + (where[t, first + k, 1] - y) ** 2
            sizes[n] = math.sqrt(xx / 5)
            n += 1
    if n == 0:
        return 0.0
    return float(np.sort(sizes[:n])[int(0.8 * (n - 1))])


@numba.njit(cache=True)
def fill_input(points: Array, out: Array) -> None:
    """`window_input` without its checks: reads points (L, 27, 3), writes into zeroed out (18, 16, 27)."""
    where = np.empty((TICKS, JOINTS, 2))
    seen = np.empty((TICKS, JOINTS))
    resampled(points, where, seen)
    ox, oy, shoulders = shoulder_frame(where, LEFT_SHOULDER, RIGHT_SHOULDER)
    palm = _palm(where)
    if palm == 0.0:
        palm = PALM_PER_SHOULDERS * shoulders
    placed = shoulders > 1e-6
    if placed:
        palm = max(palm, MIN_PALM_PER_SHOULDERS * shoulders)
    if palm <= 1e-6:
        return
    unit = UNIT_PER_PALM * palm
    if not placed:
        shoulders = palm / PALM_PER_SHOULDERS
    for j in range(JOINTS):
        if j in (LEFT_ELBOW, RIGHT_ELBOW):
            continue
        hand = -1
        root = j
        if j >= RIGHT_HAND:
            hand, root = 1, RIGHT_HAND
        elif j >= LEFT_HAND:
            hand, root = 0, LEFT_HAND
        other = LEFT_HAND if hand == 1 else RIGHT_HAND
        mx = my = 0.0
        n = 0
        for t in range(TICKS):
            if not math.isnan(where[t, root, 0]):
                mx += where[t, root, 0]
                my += where[t, root, 1]
                n += 1
        if n == 0:
            continue
        mx /= n
        my /= n
        parent = _PARENTS[j]
        for t in range(TICKS):
            x, y = where[t, j, 0], where[t, j, 1]
            if math.isnan(x):
                continue
            out[14, t, j] = 1.0
            out[15, t, j] = seen[t, j]
            if placed:
                out[2, t, j] = (x - ox) / shoulders
                out[3, t, j] = (y - oy) / shoulders
                out[16, t, j] = 1.0
            out[4, t, j] = (x - mx) / unit
            out[5, t, j] = (y - my) / unit
            if hand >= 0:
                out[0, t, j] = (x - where[t, root, 0]) / unit
                out[1, t, j] = (y - where[t, root, 1]) / unit
                if not math.isnan(where[t, other, 0]):
                    out[12, t, j] = (x - where[t, other, 0]) / unit
                    out[13, t, j] = (y - where[t, other, 1]) / unit
                    out[17, t, j] = 1.0
            elif placed:
                out[0, t, j] = (x - ox) / shoulders
                out[1, t, j] = (y - oy) / shoulders
            if not math.isnan(where[t, parent, 0]):
                scale = unit if hand >= 0 else shoulders
                out[6, t, j] = (x - where[t, parent, 0]) / scale
                out[7, t, j] = (y - where[t, parent, 1]) / scale
        for t in range(TICKS - 1):
            if out[14, t, j] > 0 and out[14, t + 1, j] > 0:
                out[8, t, j] = out[4, t + 1, j] - out[4, t, j]
                out[9, t, j] = out[5, t + 1, j] - out[5, t, j]
                out[10, t, j] = out[6, t + 1, j] - out[6, t, j]
                out[11, t, j] = out[7, t + 1, j] - out[7, t, j]
