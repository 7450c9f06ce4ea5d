"""Inverse kinematics of the arms and hands: where a hand is to be -> every bone's rotation. All frames at once.

The elbow is found on its circle around the line from shoulder to wrist; of several swivels the natural ones weigh
most (elbow low, forearm and hand nearly in line), after Tolani, Goswami and Badler (2000), "Real-time inverse
kinematics techniques for anthropomorphic limbs".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from calibration.synthesis.body import FINGERS, Body
from calibration.synthesis.performance import Array

Side = Literal["L", "R"]
Wide = NDArray[np.float64]

LONGEST_REACH = 0.985  # of the straight arm: elbows are never locked
WRIST_BEND_RAD = np.radians(75)
SWIVELS_RAD = np.radians([-45.0, -20.0, 0.0, 20.0, 45.0, 70.0])


@dataclass(frozen=True, slots=True)
class HandFrame:
    """A hand at rest: x to the middle knuckle, y to the thumb's side, z out of the palm (columns)."""

    axes: Wide  # (3, 3)
    wrist: Wide  # (3,)
    palm: Wide  # (3,) middle of the palm, from the wrist, in the hand's own axes
    knuckle: Wide  # (3,) the same for the middle knuckle
    edge: Wide  # (3,) the same for the little finger's side
    bones: tuple[int, ...]  # 15 finger bones, thumb first
    lengths: Wide  # (15,) metres
    directions: Wide  # (15, 3) unit vectors at rest, in world axes
    bases: Wide  # (5, 3) first joints of the fingers from the wrist, in the hand's own axes


def hand_frame(body: Body, side: Side) -> HandFrame:
    """Measure one hand of a body at rest."""
    heads = body.heads.astype(float)
    wrist = heads[body.index(f"wrist.{side}")]
    index, middle, little = (heads[body.index(f"finger{n}-1.{side}")] for n in (2, 3, 5))
    x = _unit(middle - wrist)
    y = index - little
    y = _unit(y - (y @ x) * x)
    z = np.cross(x, y)
    curl = body.tips[f"finger3-3.{side}"] - middle
    if curl @ z < 0:
        z = -z
    axes = np.stack([x, y, z], 1)
    bones, lengths, directions = [], [], []
    for finger in FINGERS:
        joints = [heads[body.index(f"{finger}-{n}.{side}")] for n in (1, 2, 3)]
        ends = [*joints[1:], body.tips[f"{finger}-3.{side}"].astype(float)]
        for number, (start, end) in enumerate(zip(joints, ends, strict=True), 1):
            bones.append(body.index(f"{finger}-{number}.{side}"))
            lengths.append(np.linalg.norm(end - start))
            directions.append(_unit(end - start))
    bases = np.array([(heads[body.index(f"{finger}-1.{side}")] - wrist) @ axes for finger in FINGERS])
    knuckle = (middle - wrist) @ axes
    return HandFrame(
        axes=axes,
        wrist=wrist,
        palm=knuckle * 0.6 + np.array([0, 0, 0.02]),
        knuckle=knuckle,
        edge=(little - wrist) @ axes,
        bones=tuple(bones),
        lengths=np.array(lengths),
        directions=np.array(directions),
        bases=bases,
    )


def fingertip(frame: HandFrame, finger: int, shape: Wide | Array) -> Wide:
    """A fingertip from the wrist, in the hand's own axes.

    Args:
        frame: of the hand.
        finger: 0 thumb .. 4 little finger.
        shape: (..., 15, 3) directions of the finger bones.

    Returns:
        (..., 3) metres.
    """
    rows = slice(3 * finger, 3 * finger + 3)
    reach = (shape[..., rows, :] * frame.lengths[rows, None]).sum(-2)
    return np.asarray(frame.bases[finger] + reach, float)


def _unit(vectors: Wide) -> Wide:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9))


def _frames(first: Wide, normal: Wide) -> Wide:
    """(..., 3, 3) with columns first, normal, first x normal."""
    return np.stack([first, normal, np.cross(first, normal)], -1)


def solve_arm(
    body: Body, side: Side, rotations: Array, shoulder: Wide, wrist: Wide, hand: Wide, shape: Wide
) -> None:
    """Pose one arm; writes into `rotations`.

    Args:
        body: of the signer.
        side: which arm.
        rotations: (T, B, 3, 3), the arm's bones are filled in.
        shoulder: (T, 3) where the shoulder joint is.
        wrist: (T, 3) where the wrist is to be; brought within reach.
        hand: (T, 3, 3) the hand's axes (as in `HandFrame`) in the world.
        shape: (T, 15, 3) the handshape.
    """
    heads = body.heads.astype(float)
    at_rest = {name: heads[body.index(f"{name}.{side}")] for name in ("upperarm01", "lowerarm01", "wrist")}
    upper_arm = at_rest["lowerarm01"] - at_rest["upperarm01"]
    forearm = at_rest["wrist"] - at_rest["lowerarm01"]
    a, b = float(np.linalg.norm(upper_arm)), float(np.linalg.norm(forearm))

    line = wrist - shoulder
    distance = np.linalg.norm(line, axis=1, keepdims=True)
    along = line / np.maximum(distance, 1e-6)
    distance = np.clip(distance, abs(a - b) + 0.03, LONGEST_REACH * (a + b))
    reached = shoulder + along * distance
    cosine = np.clip((a * a + distance**2 - b * b) / (2 * a * distance), -1, 1)
    centre = shoulder + along * (a * cosine)
    radius = a * np.sqrt(1 - cosine**2)

    out = 1.0 if side == "L" else -1.0
    pole = np.array([0.45 * out, 0.25, -1.0])
    first = _unit(pole - (along @ pole)[:, None] * along)
    second = np.cross(along, first) * out
    frame = hand_frame(body, side)
    swivel = _swivel(centre, radius, first, second, reached, hand[:, :, 0])
    elbow = centre + radius * (np.cos(swivel) * first + np.sin(swivel) * second)

    upper, lower = _unit(elbow - shoulder), _unit(reached - elbow)
    normal = _unit(np.cross(upper, lower))
    rest_upper, rest_lower = _unit(upper_arm), _unit(forearm)
    rest_normal = _unit(np.cross(rest_upper, rest_lower))
    turn_upper = _frames(upper, normal) @ _frames(rest_upper, rest_normal).T
    turn_lower = _frames(lower, normal) @ _frames(rest_lower, rest_normal).T
    turn_hand = _within_wrist(turn_lower, hand @ frame.axes.T, rest_lower)

    relative = Rotation.from_matrix(np.swapaxes(turn_lower, 1, 2) @ turn_hand)
    half_twist = Rotation.from_rotvec(0.5 * _twist(relative, rest_lower)[:, None] * rest_lower)
    for name, turn in (
        ("upperarm01", turn_upper),
        ("upperarm02", turn_upper),
        ("lowerarm01", turn_lower),
        ("lowerarm02", turn_lower @ half_twist.as_matrix()),
        ("wrist", turn_hand),
    ):
        rotations[:, body.index(f"{name}.{side}")] = turn
    for finger in range(1, 5):
        rotations[:, body.index(f"metacarpal{finger}.{side}")] = turn_hand
    rotations[:, list(frame.bones)] = turn_hand[:, None] @ _finger_turns(frame, shape)


def _swivel(centre: Wide, radius: Wide, first: Wide, second: Wide, wrist: Wide, fingers: Wide) -> Wide:
    """Weighted mean of a few swivels: smooth in time, as long as what it is made from is. (T, 1) radians."""
    costs = []
    for angle in SWIVELS_RAD:
        elbow = centre + radius * (np.cos(angle) * first + np.sin(angle) * second)
        bend = np.arccos(np.clip((_unit(wrist - elbow) * fingers).sum(1), -1, 1))
        costs.append(np.maximum(bend - np.radians(35), 0) ** 2 + 0.35 * angle**2)
    weight = np.exp(-np.array(costs) / 0.12)
    return np.asarray((weight * SWIVELS_RAD[:, None]).sum(0) / weight.sum(0))[:, None]


def _twist(rotation: Rotation, axis: Wide) -> Wide:
    """The angle (T,) by which a rotation turns around an axis: the twist of its swing-twist decomposition."""
    quaternion = rotation.as_quat()
    along = quaternion[:, :3] @ axis
    angle = 2 * np.arctan2(along, quaternion[:, 3])
    return np.asarray((angle + np.pi) % (2 * np.pi) - np.pi)


def _within_wrist(lower: Wide, hand: Wide, axis: Wide) -> Wide:
    """Bend the hand back towards the forearm where the wrist's joint would not go so far."""
    relative = Rotation.from_matrix(np.swapaxes(lower, 1, 2) @ hand)
    twist = Rotation.from_rotvec(_twist(relative, axis)[:, None] * axis)
    swing = (relative * twist.inv()).as_rotvec()
    angle = np.linalg.norm(swing, axis=1, keepdims=True)
    swing *= np.minimum(1.0, WRIST_BEND_RAD / np.maximum(angle, 1e-6))
    return np.asarray(lower @ (Rotation.from_rotvec(swing) * twist).as_matrix())


def _finger_turns(frame: HandFrame, shape: Wide) -> Wide:
    """Shortest turns (T, 15, 3, 3) from the finger bones' directions at rest to the handshape's."""
    wanted = shape @ frame.axes.T
    rest = np.broadcast_to(frame.directions, wanted.shape)
    axis = np.cross(rest, wanted)
    sine = np.linalg.norm(axis, axis=-1, keepdims=True)
    angle = np.arctan2(sine, (rest * wanted).sum(-1, keepdims=True))
    turn = Rotation.from_rotvec((axis / np.maximum(sine, 1e-9) * angle).reshape(-1, 3))
    return np.asarray(turn.as_matrix().reshape(*wanted.shape, 3))
