"""Joint angles from 3D landmarks: 39 joints as angle-axis vectors, each relative to its parent.

The joints are those of the 3D skeleton of the ECCV 2022 sign spotting entry: nine of the upper body in the manner of
SMPL, and fifteen a hand in the order of MANO (Romero et al., "Embodied Hands", 2017). Zero is the T-pose with the palms
down. Points show where a bone goes and not how it is turned about itself: that twist is taken from the elbow's plane
for the upper arm and from the palm's plane for the hand, and where neither shows it there is none.

Axes everywhere: x to the person's left, y up, z to the front, as seen by a camera that looks at the person.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

from engines.landmarks import MIN_VISIBILITY, Landmarks
from engines.vectors import TINY, Axes, Vector, cross, dot, plus, scaled, swing, turned_axes, unit

Array = NDArray[np.float32]
Wide = NDArray[np.float64]
NAMES = (
    *("neck", "left_collar", "right_collar", "left_shoulder", "right_shoulder"),
    *("left_elbow", "right_elbow", "left_wrist", "right_wrist"),
    *(
        f"{side}_{finger}{number}"
        for side in ("left", "right")
        for finger in ("index", "middle", "little", "ring", "thumb")
        for number in (1, 2, 3)
    ),
)
"""The joints in order."""

JOINTS = len(NAMES)
NECK, LEFT_COLLAR, RIGHT_COLLAR, LEFT_SHOULDER, RIGHT_SHOULDER, LEFT_ELBOW, RIGHT_ELBOW = range(7)
LEFT_WRIST, RIGHT_WRIST, LEFT_FINGERS, RIGHT_FINGERS = 7, 8, 9, 24

PARENTS = (
    *(0, 0, 0, 1, 2, 3, 4, 5, 6),
    *(
        wrist if number == 0 else first + 3 * finger + number - 1
        for wrist, first in ((LEFT_WRIST, LEFT_FINGERS), (RIGHT_WRIST, RIGHT_FINGERS))
        for finger in range(5)
        for number in range(3)
    ),
)
"""The joint that each joint's angle is relative to. Neck and collars turn relative to the trunk; in the graph the
collars hang on the neck, which is its own parent."""

EDGES = tuple((joint, parent) for joint, parent in enumerate(PARENTS) if joint != parent)
"""Bones (joint, parent)."""

MIRRORED = (
    *(0, 2, 1, 4, 3, 6, 5, 8, 7),
    *range(RIGHT_FINGERS, RIGHT_FINGERS + 15),
    *range(LEFT_FINGERS, LEFT_FINGERS + 15),
)
"""The joint that takes each joint's place in a mirror."""

FINGERS = ((5, 6, 7, 8), (9, 10, 11, 12), (17, 18, 19, 20), (13, 14, 15, 16), (1, 2, 3, 4))
"""Hand landmarks along each finger, in MANO's order: index, middle, little, ring, thumb."""

BENT, CLEARLY_BENT = math.radians(10.0), math.radians(25.0)
"""An elbow bent less than the first shows no plane; from the second on it is trusted fully."""

_FINGERS = np.array(FINGERS)
_MIRRORED = np.array(MIRRORED)


def joint_angles(pose: Wide, visibility: Wide, left: Wide, right: Wide) -> Array:
    """Angles of all joints of one moment.

    Args:
        pose: (33, 3) MediaPipe's body in any length unit, its axes x right, y down, z away; NaN absent.
        visibility: (33,) in [0, 1]; a joint that needs a point seen less than `landmarks.MIN_VISIBILITY` is absent,
            but for the hips, which the estimator guesses well enough from the trunk.
        left: (21, 3) left hand, same axes, unit and origin of its own; NaN absent.
        right: (21, 3) right hand.

    Returns:
        float32 (39, 3) angle-axis, radians; NaN where a joint cannot be told.

    Raises:
        ValueError: a part has another shape.
    """
    shapes = (pose.shape, visibility.shape, left.shape, right.shape)
    if shapes != ((33, 3), (33,), (21, 3), (21, 3)):
        raise ValueError(f"body, visibility and hands must be (33, 3), (33,), (21, 3) twice, not {shapes}")
    out = np.full((JOINTS, 3), np.nan, np.float32)
    seen = np.where(visibility >= MIN_VISIBILITY, 1.0, np.nan)
    seen[23:25] = 1.0
    body = np.asarray(pose, np.float64) * seen[:, None]
    _angles(body, np.asarray(left, np.float64), np.asarray(right, np.float64), out)
    return out


def hand_points(landmarks: Landmarks) -> tuple[Wide, Wide]:
    """Both hands (21, 3) x, y, z in one unit, that of the frame's height, from image coordinates.

    Image coordinates rather than world ones: the corpora that encoders are trained on have no others, and angles
    do not change with the scale.
    """
    aspect = landmarks.width / landmarks.height
    scale = np.array([aspect, 1.0, aspect])
    return landmarks.left_hand * scale, landmarks.right_hand * scale


def landmark_angles(landmarks: Landmarks) -> Array:
    """Angles (39, 3) of one tick's landmarks: `joint_angles` of the world pose and the hands' image coordinates."""
    left, right = hand_points(landmarks)
    return joint_angles(
        landmarks.pose_world.astype(np.float64), landmarks.pose[:, 3].astype(np.float64), left, right
    )


def mirror(angles: Array) -> Array:
    """Angles (..., 39, 3) as a mirror shows them: sides change places, turns about y and z go the other way."""
    return np.asarray(angles[..., _MIRRORED, :] * np.array([1, -1, -1], np.float32), np.float32)


@numba.njit(cache=True)
def _between(points: Wide, a: int, b: int) -> Vector:
    """From point `a` to point `b`, in our axes."""
    return (points[b, 0] - points[a, 0], points[a, 1] - points[b, 1], points[a, 2] - points[b, 2])


@numba.njit(cache=True)
def _middles(points: Wide, a: int, b: int, c: int, d: int) -> Vector:
    """From the middle of `a` and `b` to the middle of `c` and `d`."""
    return scaled(plus(_between(points, a, c), _between(points, b, d), 1.0), 0.5)


@numba.njit(cache=True)
def _axes(along: Vector, across: Vector) -> Axes:
    """The frame whose x axis is `along` and whose z axis lies as near to `across` as it can."""
    x = unit(along)
    z = unit(plus(across, x, -dot(across, x)))
    return x, cross(z, x), z


@numba.njit(cache=True)
def _inside(axes: Axes, v: Vector) -> Vector:
    """A vector in a frame's own coordinates."""
    return (dot(axes[0], v), dot(axes[1], v), dot(axes[2], v))


@numba.njit(cache=True)
def _relative(parent: Axes, child: Axes) -> Vector:
    """The turn from parent to child in the parent's coordinates, by way of the quaternion (stable at 180 degrees)."""
    x, y, z = _inside(parent, child[0]), _inside(parent, child[1]), _inside(parent, child[2])
    trace = x[0] + y[1] + z[2]
    if trace > 0:
        w = math.sqrt(1.0 + trace) * 2
        q = ((y[2] - z[1]) / w, (z[0] - x[2]) / w, (x[1] - y[0]) / w)
        w /= 4
    elif x[0] >= y[1] and x[0] >= z[2]:
        d = math.sqrt(max(1.0 + x[0] - y[1] - z[2], TINY)) * 2
        q, w = (d / 4, (x[1] + y[0]) / d, (x[2] + z[0]) / d), (y[2] - z[1]) / d
    elif y[1] >= z[2]:
        d = math.sqrt(max(1.0 - x[0] + y[1] - z[2], TINY)) * 2
        q, w = ((x[1] + y[0]) / d, d / 4, (y[2] + z[1]) / d), (z[0] - x[2]) / d
    else:
        d = math.sqrt(max(1.0 - x[0] - y[1] + z[2], TINY)) * 2
        q, w = ((x[2] + z[0]) / d, (y[2] + z[1]) / d, d / 4), (x[1] - y[0]) / d
    if w < 0:
        q, w = scaled(q, -1.0), -w
    length = math.sqrt(dot(q, q))
    if length < TINY:
        return scaled(q, 2.0)
    return scaled(q, 2.0 * math.atan2(length, w) / length)


@numba.njit(cache=True)
def hand_axes(hand: Wide, sign: float) -> Axes:
    """A hand's frame, seen from the camera.

    Args:
        hand: (21, 3) x, y, z in one unit, MediaPipe's axes.
        sign: 1 for a left hand, -1 for a right one.

    Returns:
        x along the fingers (against them for a right hand), y out of the back of the hand, z to the index's side.
    """
    return _axes(scaled(_between(hand, 0, 9), sign), _between(hand, 17, 5))


@numba.njit(cache=True)
def _put(out: Array, joint: int, turn: Vector) -> None:
    out[joint, 0], out[joint, 1], out[joint, 2] = turn[0], turn[1], turn[2]


@numba.njit(cache=True)
def fill_fingers(hand: Wide, axes: Axes, sign: float, first: int, out: Array) -> None:
    """Write a hand's fifteen angles to `out` from row `first` on.

    Every bone is turned the shortest way from where a straight finger would go on.
    """
    for finger in range(5):
        rest = scaled(axes[0], sign)
        if finger == 4:  # a thumb at rest stands off between the fingers' way and the palm's side
            rest = unit(plus(rest, axes[2], 1.0))
        frame = axes
        for number in range(3):
            bone = unit(_between(hand, _FINGERS[finger, number], _FINGERS[finger, number + 1]))
            turn = swing(rest, bone)
            _put(out, first + 3 * finger + number, _inside(frame, turn))
            frame, rest = turned_axes(frame, turn), bone


@numba.njit(cache=True)
def _arm(body: Wide, trunk: Axes, side: int, out: Array) -> Axes:
    """Collar, shoulder and elbow of one side; returns the forearm's frame, NaN where it is not seen."""
    sign = 1.0 if side == 0 else -1.0
    shoulder, elbow, wrist = 11 + side, 13 + side, 15 + side
    rest = scaled(trunk[0], sign)
    out_of = scaled(unit(_between(body, 12, 11)), sign)  # from the middle of the shoulders to this one
    turn = swing(rest, out_of)
    _put(out, LEFT_COLLAR + side, _inside(trunk, turn))
    collar = turned_axes(trunk, turn)
    upper = unit(_between(body, shoulder, elbow))
    lower = unit(_between(body, elbow, wrist))
    arm = turned_axes(collar, swing(out_of, upper))  # without twist
    hinge = scaled(cross(upper, lower), -sign)  # the y axis that the elbow turns about
    bend = math.atan2(math.sqrt(dot(hinge, hinge)), dot(upper, lower))
    trust = 0.0
    if not math.isnan(bend):  # where the wrist is not seen, neither is the twist
        trust = min(max((min(bend, math.pi - bend) - BENT) / (CLEARLY_BENT - BENT), 0.0), 1.0)
    if trust > 0:
        y = plus(scaled(unit(hinge), trust), arm[1], 1.0 - trust)
        y = unit(plus(y, arm[0], -dot(y, arm[0])))
        arm = (arm[0], y, cross(arm[0], y))
    _put(out, LEFT_SHOULDER + side, _relative(collar, arm))
    turn = swing(upper, lower)
    _put(out, LEFT_ELBOW + side, _inside(arm, turn))
    return turned_axes(arm, turn)


@numba.njit(cache=True)
def _angles(body: Wide, left: Wide, right: Wide, out: Array) -> None:
    trunk_up = _middles(body, 23, 24, 11, 12)
    across = _between(body, 12, 11)
    up = unit(trunk_up)
    side_x = unit(plus(across, up, -dot(across, up)))
    trunk = (side_x, up, cross(side_x, up))
    ears = _between(body, 8, 7)
    crown = _middles(body, 9, 10, 2, 5)  # from the mouth to the eyes
    head_x = unit(ears)
    head_y = unit(plus(crown, head_x, -dot(crown, head_x)))
    neck = _relative(trunk, (head_x, head_y, cross(head_x, head_y)))
    if not math.isnan(neck[0] + neck[1] + neck[2]):
        _put(out, NECK, neck)
    for side in range(2):
        sign = 1.0 if side == 0 else -1.0
        forearm = _arm(body, trunk, side, out)
        hand = left if side == 0 else right
        if math.isnan(hand[0, 0]):
            continue
        axes = hand_axes(hand, sign)
        _put(out, LEFT_WRIST + side, _relative(forearm, axes))
        fill_fingers(hand, axes, sign, LEFT_FINGERS if side == 0 else RIGHT_FINGERS, out)
    for joint in range(JOINTS):  # a turn that is known in part is not known
        if math.isnan(out[joint, 0] + out[joint, 1] + out[joint, 2]):
            out[joint] = np.nan
