"""Inverse kinematics of the arms and hands: where a hand is to be -> every bone's rotation.

The elbow is found on its circle around the line from shoulder to wrist; of several swivels the natural ones weigh
most (elbow low, forearm and hand nearly in line, every joint within its limits), after Tolani, Goswami and Badler
(2000), "Real-time inverse kinematics techniques for anthropomorphic limbs".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, maximum_filter1d
from scipy.spatial.transform import Rotation

from calibration.synthesis.body import FINGERS, Body
from calibration.synthesis.joint_limits import (
    ELBOW_FLEXION_RAD,
    bends,
    hand_of,
    shoulder_excess,
    twist_excess,
    within,
)
from calibration.synthesis.performance import Array
from calibration.synthesis.solids import Field, carried_back, distance_to
from engines.vectors import Vector, cross, dot, plus, scaled, swing, turned, unit

Side = Literal["L", "R"]
Wide = NDArray[np.float64]

LONGEST_REACH = 0.985  # of the straight arm: elbows are never locked
EASY_BEND_RAD = math.radians(35)
SWIVELS_RAD = np.radians(np.arange(-45.0, 106.0, 25.0))
SOFTNESS = (
    0.12  # of the choice between swivels: their mean is smooth in time, as long as what it is made from is
)
ELBOW_M = 0.045
STEADY_S = 0.08
"""Over so long elbows, and joints that come to their limits, are smoothed."""
IN_TRUNK = 1000.0  # cost a square metre: 2 cm weigh like two thirds of a radian of bend


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


@dataclass(frozen=True, slots=True)
class Arm:
    """One arm of a body: its lengths, and how its hand lies at rest."""

    side: Side
    upper_arm: Wide  # (3,) shoulder to elbow at rest, metres
    forearm: Wide  # (3,) elbow to wrist at rest
    hand: HandFrame

    @classmethod
    def of(cls, body: Body, side: Side) -> Arm:
        """Measure one arm of a body at rest."""
        heads = body.heads.astype(float)
        shoulder, elbow, wrist = (
            heads[body.index(f"{name}.{side}")] for name in ("upperarm01", "lowerarm01", "wrist")
        )
        return cls(side, elbow - shoulder, wrist - elbow, hand_frame(body, side))

    def reach(
        self, shoulder: Wide, wrist: Wide, hand: Wide, trunk: Wide, skin: Field, fps: float
    ) -> tuple[Wide, Wide, Wide]:
        """Find the elbow, and what the forearm's and the wrist's joints have to do.

        Args:
            shoulder: (T, 3) where the shoulder joint is.
            wrist: (T, 3) where the wrist is to be; brought within reach.
            hand: (T, 3, 3) the hand's axes (columns, as in `HandFrame`) in the world.
            trunk: (T, 3, 3) how the trunk is turned.
            skin: the trunk's, which the elbow stays outside of.
            fps: frames a second; elbows, and joints at their limits, move no faster than arms do.

        Returns:
            Elbow (T, 3), wrist (T, 3), and (T, 3) of supination, radial deviation and flexion within their limits, rad.
        """
        elbow, reached, bent = np.empty_like(wrist), np.empty_like(wrist), np.empty_like(wrist)
        swivel, excess = np.empty(len(wrist)), np.empty(len(wrist))
        a, b = float(np.linalg.norm(self.upper_arm)), float(np.linalg.norm(self.forearm))
        _swivels(shoulder, wrist, hand, trunk, a, b, self.sign, skin.grid, skin.origin, skin.centre, swivel)
        swivel = gaussian_filter1d(swivel, STEADY_S * fps, mode="nearest")
        _reach(shoulder, wrist, hand, a, b, self.sign, swivel, elbow, reached, bent, excess)
        if excess.any():
            at_limit = maximum_filter1d(
                np.minimum(excess / 0.1, 1.0), 2 * round(STEADY_S * fps) + 1, mode="nearest"
            )
            at_limit = gaussian_filter1d(at_limit, STEADY_S * fps, mode="nearest")[:, None]
            steady = gaussian_filter1d(bent, STEADY_S * fps, axis=0, mode="nearest")
            bent = (1 - at_limit) * bent + at_limit * steady
        return elbow, reached, bent

    def hands(self, shoulder: Wide, elbow: Wide, wrist: Wide, bent: Wide) -> Wide:
        """The hand's axes (T, 3, 3), columns, that an arm's bends come to."""
        axes = np.empty((len(wrist), 3, 3))
        handed = float(np.sign(np.linalg.det(self.hand.axes)))
        _hands(shoulder, elbow, wrist, bent, self.sign, handed, axes)
        return axes

    @property
    def sign(self) -> float:
        """1 left, -1 right."""
        return 1.0 if self.side == "L" else -1.0

    def pose(
        self, body: Body, rotations: Array, shoulder: Wide, elbow: Wide, wrist: Wide, hand: Wide, shape: Wide
    ) -> None:
        """Turn the arm's bones; writes into `rotations`.

        Args:
            body: of the signer.
            rotations: (T, B, 3, 3), the arm's bones are filled in.
            shoulder: (T, 3).
            elbow: (T, 3).
            wrist: (T, 3).
            hand: (T, 3, 3) the hand's axes in the world.
            shape: (T, 15, 3) the handshape.
        """
        upper, lower = _unit(elbow - shoulder), _unit(wrist - elbow)
        normal = _unit(np.cross(upper, lower))
        rest_upper, rest_lower = _unit(self.upper_arm), _unit(self.forearm)
        rest_normal = _unit(np.cross(rest_upper, rest_lower))
        turn_upper = _frames(upper, normal) @ _frames(rest_upper, rest_normal).T
        turn_lower = _frames(lower, normal) @ _frames(rest_lower, rest_normal).T
        turn_hand = hand @ self.hand.axes.T

        relative = Rotation.from_matrix(np.swapaxes(turn_lower, 1, 2) @ turn_hand)
        half_twist = Rotation.from_rotvec(0.5 * _twist(relative, rest_lower)[:, None] * rest_lower)
        for name, turn in (
            ("upperarm01", turn_upper),
            ("upperarm02", turn_upper),
            ("lowerarm01", turn_lower),
            ("lowerarm02", turn_lower @ half_twist.as_matrix()),
            ("wrist", turn_hand),
        ):
            rotations[:, body.index(f"{name}.{self.side}")] = turn
        for finger in range(1, 5):
            rotations[:, body.index(f"metacarpal{finger}.{self.side}")] = turn_hand
        turns = np.empty((len(shape), len(self.hand.bones), 3, 3))
        _finger_turns(self.hand.directions, np.ascontiguousarray(shape @ self.hand.axes.T), turns)
        rotations[:, list(self.hand.bones)] = turn_hand[:, None] @ turns


@numba.njit(cache=True)
def _vector(array: Wide) -> Vector:
    return (array[0], array[1], array[2])


@numba.njit(cache=True)
def _column(matrix: Wide, number: int) -> Vector:
    return (matrix[0, number], matrix[1, number], matrix[2, number])


@numba.njit(cache=True)
def _circle(
    shoulder: Vector, wanted: Vector, a: float, b: float, side: float
) -> tuple[Vector, Vector, float, Vector, Vector]:
    """The wrist within reach, and the circle that the elbow is on: middle, radius, where it is lowest, and outwards."""
    nearest = math.sqrt(a * a + b * b + 2 * a * b * math.cos(ELBOW_FLEXION_RAD))
    line = plus(wanted, shoulder, -1.0)
    distance = math.sqrt(dot(line, line))
    along = unit(line)
    distance = min(max(distance, nearest), LONGEST_REACH * (a + b))
    cosine = min(max((a * a + distance * distance - b * b) / (2 * a * distance), -1.0), 1.0)
    pole = (0.45 * side, 0.25, -1.0)
    first = unit(plus(pole, along, -dot(along, pole)))
    second = scaled(cross(along, first), side)
    radius = a * math.sqrt(1.0 - cosine * cosine)
    return plus(shoulder, along, distance), plus(shoulder, along, a * cosine), radius, first, second


@numba.njit(cache=True)
def _swivels(
    shoulders: Wide, wrists: Wide, hands: Wide, trunks: Wide, a: float, b: float, side: float, grid: Array, origin: Wide,
    centre: Wide, swivels: Wide,
) -> None:  # fmt: skip
    costs = np.empty(len(SWIVELS_RAD))
    for t in range(len(wrists)):
        shoulder = _vector(shoulders[t])
        wrist, middle, radius, first, second = _circle(shoulder, _vector(wrists[t]), a, b, side)
        x, y, z = _column(hands[t], 0), _column(hands[t], 1), _column(hands[t], 2)
        total, swivel, least = 0.0, 0.0, 1e9
        for number in range(len(SWIVELS_RAD)):
            costs[number] = _cost(number, shoulder, wrist, middle, radius, first, second, side, x, y, z, trunks[t], grid, origin, centre)  # fmt: skip
            least = min(least, costs[number])
        for number in range(len(SWIVELS_RAD)):
            weight = math.exp((least - costs[number]) / SOFTNESS)
            total += weight
            swivel += weight * SWIVELS_RAD[number]
        swivels[t] = swivel / total


@numba.njit(cache=True)
def _reach(
    shoulders: Wide, wrists: Wide, hands: Wide, a: float, b: float, side: float, swivels: Wide, elbows: Wide,
    reached: Wide, bent: Wide, excess: Wide,
) -> None:  # fmt: skip
    for t in range(len(wrists)):
        shoulder = _vector(shoulders[t])
        wrist, middle, radius, first, second = _circle(shoulder, _vector(wrists[t]), a, b, side)
        x, y, z = _column(hands[t], 0), _column(hands[t], 1), _column(hands[t], 2)
        elbow = _elbow(swivels[t], middle, radius, first, second)
        upper, lower = unit(plus(elbow, shoulder, -1.0)), unit(plus(wrist, elbow, -1.0))
        elbows[t, 0], elbows[t, 1], elbows[t, 2] = elbow
        reached[t, 0], reached[t, 1], reached[t, 2] = wrist
        wanted = bends(upper, lower, side, x, y, z)
        possible = within(wanted)
        bent[t, 0], bent[t, 1], bent[t, 2] = possible
        excess[t] = abs(wanted[1] - possible[1]) + abs(wanted[2] - possible[2]) + twist_excess(wanted)


@numba.njit(cache=True)
def _elbow(swivel: float, middle: Vector, radius: float, first: Vector, second: Vector) -> Vector:
    return plus(plus(middle, first, radius * math.cos(swivel)), second, radius * math.sin(swivel))


@numba.njit(cache=True)
def _cost(
    number: int, shoulder: Vector, wrist: Vector, middle: Vector, radius: float, first: Vector, second: Vector,
    side: float, x: Vector, y: Vector, z: Vector, trunk: Wide, grid: Array, origin: Wide, centre: Wide,
) -> float:  # fmt: skip
    """What a swivel costs: a raised elbow, a bent wrist, what joints cannot do, an elbow or forearm in the trunk."""
    swivel = SWIVELS_RAD[number]
    elbow = _elbow(swivel, middle, radius, first, second)
    upper, lower = unit(plus(elbow, shoulder, -1.0)), unit(plus(wrist, elbow, -1.0))
    bent = bends(upper, lower, side, x, y, z)
    bend = math.sqrt(bent[1] * bent[1] + bent[2] * bent[2])
    cost = 0.35 * swivel * swivel + max(bend - EASY_BEND_RAD, 0.0) ** 2 + twist_excess(bent) ** 2
    cost += 3.0 * shoulder_excess(upper, lower, side) ** 2
    for share in (0.0, 0.2, 0.45):
        point = plus(scaled(elbow, 1 - share), wrist, share)
        depth = ELBOW_M - distance_to(grid, origin, carried_back(point, trunk, centre, centre))
        if depth > 0:
            cost += IN_TRUNK * depth * depth
    return float(cost)


@numba.njit(cache=True)
def _hands(
    shoulders: Wide, elbows: Wide, wrists: Wide, bent: Wide, side: float, handed: float, axes: Wide
) -> None:
    for t in range(len(wrists)):
        elbow = _vector(elbows[t])
        upper = unit(plus(elbow, _vector(shoulders[t]), -1.0))
        lower = unit(plus(_vector(wrists[t]), elbow, -1.0))
        hand = hand_of(upper, lower, side, handed, _vector(bent[t]))
        for number in range(3):
            for row in range(3):
                axes[t, row, number] = hand[number][row]


def _twist(rotation: Rotation, axis: Wide) -> Wide:
    """The angle (T,) by which a rotation turns around an axis: the twist of its swing-twist decomposition."""
    quaternion = rotation.as_quat()
    along = quaternion[:, :3] @ axis
    angle = 2 * np.arctan2(along, quaternion[:, 3])
    return np.asarray((angle + np.pi) % (2 * np.pi) - np.pi)


@numba.njit(cache=True)
def _finger_turns(rest: Wide, wanted: Wide, turns: Wide) -> None:
    """Shortest turns (T, 15, 3, 3) from the finger bones' directions at rest to the handshape's."""
    for t in range(len(wanted)):
        for bone in range(len(rest)):
            turn = swing(_vector(rest[bone]), _vector(wanted[t, bone]))
            for number in range(3):
                unit_vector = (
                    1.0 if number == 0 else 0.0,
                    1.0 if number == 1 else 0.0,
                    1.0 if number == 2 else 0.0,
                )
                column = turned(unit_vector, turn)
                for row in range(3):
                    turns[t, bone, row, number] = column[row]
