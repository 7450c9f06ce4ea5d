"""Hands and forearms that give way: to head and trunk, to the other hand and to the other arm.

A hand is 35 spheres, an arm 8, head and trunk are distance fields (`solids.py`). What overlaps says how far each wrist
has to move; the needs of neighbouring frames are joined and smoothed, so that a hand goes round what is in its way.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, maximum_filter1d

from calibration.synthesis.arms import Arm
from calibration.synthesis.performance import Array
from calibration.synthesis.solids import (
    ALONG_FOREARM,
    ALONG_UPPER_ARM,
    Solid,
    away_from,
    carried_back,
    distance_to,
)
from engines.vectors import Vector, cross, dot, plus, scaled, unit

Wide = NDArray[np.float64]

PASSES, AT_LEAST, LAST = 14, 3, 4
GAIN, KEEP = 0.5, 0.85
"""A pass adds `GAIN` of what is needed to `KEEP` of what was added before, so that a hand comes back to its place as far
as it may; the `LAST` passes add all that is needed to all that there is."""
HALF = 0.75  # of an overlap between the arms falls to each: half and more, as what is smoothed falls short
TOUCH_M = 0.001  # spheres may overlap by that much: what touches is not pushed
SHIRT_M = 0.004  # cloth on the trunk
WIDEN_S, SMOOTH_S = 0.12, 0.08
"""A need holds that long before and after, and is smoothed by a Gaussian of that width."""

HAND_SPHERES = 35
ARM_SPHERES = len(ALONG_FOREARM) + len(ALONG_UPPER_ARM)
_FOREARM, _UPPER_ARM = np.array(ALONG_FOREARM), np.array(ALONG_UPPER_ARM)


@dataclass(slots=True)
class Arms:
    """Both arms over T frames, left first: what is wanted, and what the trunk and head do."""

    place: Wide  # (2, T, 3) where the contact point of each hand is to be
    offset: Wide  # (2, T, 3) from the wrist to that point, in the hand's axes
    hands: Wide  # (2, T, 3, 3) the axes that are wanted
    shape: Wide  # (2, T, 15, 3)
    shoulder: Wide  # (2, T, 3)
    trunk: Wide  # (T, 3, 3)
    head: Wide  # (T, 3, 3)
    head_joint: Wide  # (T, 3)


@dataclass(slots=True)
class Posed:
    """Both arms as they come out, left first."""

    elbow: Wide  # (2, T, 3)
    wrist: Wide  # (2, T, 3)
    hands: Wide  # (2, T, 3, 3)


def give_way(arms: Arms, both: tuple[Arm, Arm], solid: Solid, fps: float) -> Posed:
    """Reach for what is wanted within the joints' limits, and keep clear of the body and of the other arm.

    Args:
        arms: what is wanted.
        both: left and right arm.
        solid: the body's.
        fps: frames a second.
    """
    frames = arms.place.shape[1]
    spheres = [_sphere_plan(arm, solid, number) for number, arm in enumerate(both)]
    correction = np.zeros_like(arms.place)
    hands = arms.hands
    for number in range(PASSES + 1):
        wrist = arms.place - np.einsum("stij,stj->sti", hands, arms.offset) + correction
        reached = [
            arm.reach(arms.shoulder[side], wrist[side], arms.hands[side], arms.trunk, solid.trunk, fps)
            for side, arm in enumerate(both)
        ]
        elbow, wrist = np.stack([one[0] for one in reached]), np.stack([one[1] for one in reached])
        hands = np.stack(
            [
                arm.hands(arms.shoulder[side], elbow[side], wrist[side], reached[side][2])
                for side, arm in enumerate(both)
            ]
        )
        if number == PASSES:
            break
        needs = np.zeros((frames, 2, 2, 3))
        _needs(
            arms.shoulder, elbow, wrist, hands, arms.shape, *spheres[0], *spheres[1],
            arms.trunk, arms.head, arms.head_joint,
            solid.trunk.grid, solid.trunk.origin, solid.trunk.centre,
            solid.head.grid, solid.head.origin, solid.head.centre, needs,
        )  # fmt: skip
        if number >= AT_LEAST and not needs.any():
            break
        wide = maximum_filter1d(needs, 2 * round(WIDEN_S * fps) + 1, axis=0, mode="nearest")
        smooth = gaussian_filter1d(wide, SMOOTH_S * fps, axis=0, mode="nearest")
        gain = GAIN if number < PASSES - LAST else 1.0
        keep = KEEP if number + 1 < PASSES - LAST else 1.0
        correction = keep * correction + gain * np.moveaxis(smooth[:, :, 0] - smooth[:, :, 1], 0, 1)
    return Posed(elbow, wrist, hands)


def _sphere_plan(arm: Arm, solid: Solid, side: int) -> tuple[Wide, Wide, Wide, Wide]:
    """Where a hand's fingers begin (5, 3), how long their bones are (15,), and all radii of hand and arm."""
    fingers = solid.fingers[side].reshape(5, 3)
    radii = []
    for finger in range(5):
        one, two, three = fingers[finger]
        radii += [one, one, (one + two) / 2, two, (two + three) / 2, three]
    radii += [solid.palm[side]] * 5
    return (
        arm.hand.bases,
        arm.hand.lengths,
        np.array(radii),
        np.concatenate([solid.forearm[side], solid.upper_arm[side]]),
    )


@numba.njit(cache=True)
def _at(array: Wide) -> Vector:
    return (array[0], array[1], array[2])


@numba.njit(cache=True)
def _put(out: Wide, point: Vector) -> None:
    out[0], out[1], out[2] = point


@numba.njit(cache=True)
def _out_of(axes: Wide, v: Vector) -> Vector:
    """A vector in a hand's axes as one in the world's."""
    return (
        axes[0, 0] * v[0] + axes[0, 1] * v[1] + axes[0, 2] * v[2],
        axes[1, 0] * v[0] + axes[1, 1] * v[1] + axes[1, 2] * v[2],
        axes[2, 0] * v[0] + axes[2, 1] * v[1] + axes[2, 2] * v[2],
    )


@numba.njit(cache=True)
def _lay_hand(
    wrist: Vector, axes: Wide, shape: Wide, bases: Wide, lengths: Wide, radii: Wide, out: Wide
) -> None:
    """Places of a hand's spheres: six a finger, the last one inside the fingertip; four in the palm; the wrist."""
    row = 0
    for finger in range(5):
        at = _at(bases[finger])
        for bone in range(3):
            number = 3 * finger + bone
            way = scaled(_at(shape[number]), lengths[number])
            _put(out[row], plus(wrist, _out_of(axes, at), 1.0))
            end = plus(at, way, 1.0)
            if bone == 2:  # a fingertip's sphere ends where the skin does
                end = plus(at, way, max(1.0 - radii[row + 1] / lengths[number], 0.0))
                _put(out[row + 1], plus(wrist, _out_of(axes, end), 1.0))
            else:
                _put(out[row + 1], plus(wrist, _out_of(axes, plus(at, way, 0.5)), 1.0))
            row += 2
            at = end
    for finger in range(1, 5):
        _put(out[row], plus(wrist, _out_of(axes, scaled(_at(bases[finger]), 0.55)), 1.0))
        row += 1
    _put(out[row], wrist)


@numba.njit(cache=True)
def _lay_arm(shoulder: Vector, elbow: Vector, wrist: Vector, out: Wide) -> None:
    for number in range(len(_FOREARM)):
        share = _FOREARM[number]
        _put(out[number], plus(scaled(elbow, 1 - share), wrist, share))
    for number in range(len(_UPPER_ARM)):
        share = _UPPER_ARM[number]
        _put(out[len(_FOREARM) + number], plus(scaled(shoulder, 1 - share), elbow, share))


@numba.njit(cache=True)
def _need(needs: Wide, way: Vector) -> None:
    """Note a way that a wrist has to go: the largest of all in each of six directions."""
    for axis in range(3):
        needs[0, axis] = max(needs[0, axis], way[axis])
        needs[1, axis] = max(needs[1, axis], -way[axis])


@numba.njit(cache=True)
def _out_of_field(
    needs: Wide, point: Vector, radius: float, share: float, turn: Wide, joint: Wide, grid: Array, origin: Wide,
    centre: Wide,
) -> None:  # fmt: skip
    """What a sphere in head or trunk needs: along the shortest way out, from deep inside rather to the front."""
    at_rest = carried_back(point, turn, joint, centre)
    depth = radius - TOUCH_M - distance_to(grid, origin, at_rest)
    if depth <= 0:
        return
    out = unit(away_from(grid, origin, at_rest))
    front = min(max((depth - radius) / 0.04, 0.0), 1.0) * 1.5
    out = unit((out[0], out[1] - front, out[2]))
    _need(needs, scaled(_out_of(turn, out), depth / share))


@numba.njit(cache=True)
def _apart(
    left: Wide, right: Wide, one: Vector, other: Vector, radii: float, middle: Vector, share_left: float,
    share_right: float,
) -> None:  # fmt: skip
    """What two spheres of different arms need, each half of it; `middle` is the way from the right part to the left."""
    way = plus(one, other, -1.0)
    square = dot(way, way)
    if square >= radii * radii:
        return
    distance = math.sqrt(square)
    depth = radii - TOUCH_M - distance
    if depth <= 0:
        return
    direction = unit(plus(scaled(way, 1.0 / max(distance, 1e-6)), middle, 1.0))
    _need(left, scaled(direction, HALF * depth / share_left))
    _need(right, scaled(direction, -HALF * depth / share_right))


@numba.njit(cache=True)
def _needs(
    shoulder: Wide, elbow: Wide, wrist: Wide, hands: Wide, shape: Wide,
    bases_l: Wide, lengths_l: Wide, radii_l: Wide, arm_radii_l: Wide,
    bases_r: Wide, lengths_r: Wide, radii_r: Wide, arm_radii_r: Wide,
    trunk: Wide, head: Wide, head_joint: Wide, trunk_grid: Array, trunk_origin: Wide, trunk_centre: Wide,
    head_grid: Array, head_origin: Wide, head_centre: Wide, needs: Wide,
) -> None:  # fmt: skip
    """How far each wrist has to go in each of six directions: (T, side, to or against, axis), metres."""
    fingers = np.empty((2, HAND_SPHERES, 3))
    limbs = np.empty((2, ARM_SPHERES, 3))
    for t in range(wrist.shape[1]):
        _lay_hand(_at(wrist[0, t]), hands[0, t], shape[0, t], bases_l, lengths_l, radii_l, fingers[0])
        _lay_hand(_at(wrist[1, t]), hands[1, t], shape[1, t], bases_r, lengths_r, radii_r, fingers[1])
        for side in range(2):
            _lay_arm(_at(shoulder[side, t]), _at(elbow[side, t]), _at(wrist[side, t]), limbs[side])
            radii = radii_l if side == 0 else radii_r
            arm_radii = arm_radii_l if side == 0 else arm_radii_r
            for number in range(HAND_SPHERES):
                point, radius = _at(fingers[side, number]), radii[number]
                _out_of_field(needs[t, side], point, radius + SHIRT_M, 1.0, trunk[t], trunk_centre, trunk_grid, trunk_origin, trunk_centre)  # fmt: skip
                _out_of_field(needs[t, side], point, radius, 1.0, head[t], head_joint[t], head_grid, head_origin, head_centre)  # fmt: skip
            for number in range(1, len(_FOREARM)):
                point, radius, share = _at(limbs[side, number]), arm_radii[number], _FOREARM[number]
                _out_of_field(needs[t, side], point, radius + SHIRT_M, share, trunk[t], trunk_centre, trunk_grid, trunk_origin, trunk_centre)  # fmt: skip
                _out_of_field(needs[t, side], point, radius, share, head[t], head_joint[t], head_grid, head_origin, head_centre)  # fmt: skip
        left, right = needs[t, 0], needs[t, 1]
        palms = plus(_at(fingers[0, 31]), _at(fingers[1, 31]), -1.0)
        near = dot(palms, palms) < 0.16
        if near:
            middle = unit(plus(palms, (0.02, 0.0, 0.0), 1.0))
            for one in range(HAND_SPHERES):
                for other in range(HAND_SPHERES):
                    _apart(left, right, _at(fingers[0, one]), _at(fingers[1, other]), radii_l[one] + radii_r[other], middle, 1.0, 1.0)  # fmt: skip
        for arm in range(len(arm_radii_l)):
            share = _FOREARM[arm] if arm < len(_FOREARM) else 9.0  # an upper arm hardly moves with its wrist
            share = max(share, 0.3)
            towards = plus(_at(fingers[0, 31]), _at(limbs[1, arm]), -1.0)
            if dot(towards, towards) < 0.04:
                middle = scaled(unit(towards), 0.5)
                for one in range(HAND_SPHERES):
                    _apart(left, right, _at(fingers[0, one]), _at(limbs[1, arm]), radii_l[one] + arm_radii_r[arm], middle, 1.0 if share < 1 else 0.5, share)  # fmt: skip
            towards = plus(_at(limbs[0, arm]), _at(fingers[1, 31]), -1.0)
            if dot(towards, towards) < 0.04:
                middle = scaled(unit(towards), 0.5)
                for other in range(HAND_SPHERES):
                    _apart(left, right, _at(limbs[0, arm]), _at(fingers[1, other]), arm_radii_l[arm] + radii_r[other], middle, share, 1.0 if share < 1 else 0.5)  # fmt: skip
        across = (
            cross(  # forearms that cross go apart the way they lie on each other, not back along themselves
                unit(plus(_at(wrist[0, t]), _at(elbow[0, t]), -1.0)),
                unit(plus(_at(wrist[1, t]), _at(elbow[1, t]), -1.0)),
            )
        )
        middles = scaled(plus(plus(_at(elbow[0, t]), _at(wrist[0, t]), 1.0), plus(_at(elbow[1, t]), _at(wrist[1, t]), 1.0), -1.0), 0.5)  # fmt: skip
        across = scaled(across, 1.5 if dot(across, middles) >= 0 else -1.5)
        for one in range(len(_FOREARM)):
            for other in range(len(_FOREARM)):
                _apart(left, right, _at(limbs[0, one]), _at(limbs[1, other]), arm_radii_l[one] + arm_radii_r[other], across, max(_FOREARM[one], 0.3), max(_FOREARM[other], 0.3))  # fmt: skip
