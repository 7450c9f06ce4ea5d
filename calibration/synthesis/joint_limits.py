"""How far shoulder, elbow, forearm and wrist go: ranges of motion, and a hand brought back into them.

The ranges are means of active motion after Boone and Azen (1979), "Normal range of motion of joints in male subjects",
J. Bone Joint Surg. 61-A: 756-759. Zero of the forearm's twist: elbow bent, the thumb in the elbow's plane, on the side
of the upper arm. Zero of the upper arm's twist is measured there with the arm abducted and the forearm forward; it is
carried to other directions of the upper arm by the shortest turn from the hanging arm, less the plane of elevation.
"""

from __future__ import annotations

import math

import numba

from engines.vectors import Vector, cross, dot, plus, scaled, swing, turned, unit

ELBOW_FLEXION_RAD = math.radians(142.9)
PRONATION_RAD, SUPINATION_RAD = math.radians(75.8), math.radians(82.1)
WRIST_FLEXION_RAD, WRIST_EXTENSION_RAD = math.radians(76.4), math.radians(74.9)
RADIAL_RAD, ULNAR_RAD = math.radians(21.5), math.radians(36.0)
INWARD_RAD, OUTWARD_RAD = math.radians(68.8), math.radians(103.7)
HORIZONTAL_FLEXION_RAD, HORIZONTAL_EXTENSION_RAD = math.radians(140.7), math.radians(45.4)
BACKWARD_RAD = math.radians(62.3)

MIDDLE_RAD = (SUPINATION_RAD - PRONATION_RAD) / 2
HALF_RAD = (SUPINATION_RAD + PRONATION_RAD) / 2
GIVE_UP_RAD = math.radians(130)
"""A turn that far out of reach is asked for half the time by the one end and half by the other: what a hand takes up
instead moves steadily from limit to limit between here and 180 degrees, so that it never jumps."""


@numba.njit(cache=True)
def neutral_thumb(upper: Vector, lower: Vector) -> Vector:
    """Where the thumb points with the forearm halfway between pronation and supination, across the forearm."""
    return unit(plus(scaled(upper, -1.0), lower, dot(upper, lower)))


@numba.njit(cache=True)
def bends(upper: Vector, lower: Vector, side: float, x: Vector, y: Vector, z: Vector) -> Vector:
    """What the forearm and the wrist do for a hand.

    Args:
        upper: unit vector from shoulder to elbow.
        lower: unit vector from elbow to wrist.
        side: 1 left, -1 right.
        x: the hand's axis along the fingers.
        y: its axis to the thumb.
        z: its axis out of the palm.

    Returns:
        Supination (pronation is negative), radial deviation (ulnar is negative), flexion (extension is negative), rad.
    """
    thumb = neutral_thumb(upper, lower)
    supine = scaled(cross(lower, thumb), -side)
    turn = swing(x, lower)
    y0, z0 = turned(y, turn), turned(z, turn)
    twist = math.atan2(dot(y0, supine), dot(y0, thumb))
    cosine = dot(x, lower)
    across = plus(x, lower, -cosine)
    sine = math.sqrt(dot(across, across))
    if sine < 1e-9:
        return (twist, 0.0, 0.0)
    angle = math.atan2(sine, cosine) / sine
    return (twist, angle * dot(across, y0), angle * dot(across, z0))


@numba.njit(cache=True)
def hand_of(
    upper: Vector, lower: Vector, side: float, handed: float, bent: Vector
) -> tuple[Vector, Vector, Vector]:
    """The hand's axes that `bends` come from: its inverse. `handed` is the sign of the axes' determinant."""
    twist, radial, flexion = bent
    thumb = neutral_thumb(upper, lower)
    supine = scaled(cross(lower, thumb), -side)
    y = plus(scaled(thumb, math.cos(twist)), supine, math.sin(twist))
    z = scaled(cross(lower, y), handed)
    angle = math.sqrt(radial * radial + flexion * flexion)
    if angle < 1e-9:
        return lower, y, z
    across = plus(scaled(y, radial / angle), z, flexion / angle)
    turn = scaled(cross(lower, across), angle)
    return turned(lower, turn), turned(y, turn), turned(z, turn)


@numba.njit(cache=True)
def within(bent: Vector) -> Vector:
    """The nearest that forearm and wrist can do; steady in what is asked for."""
    twist = bent[0] - MIDDLE_RAD
    twist -= 2 * math.pi * math.floor((twist + math.pi) / (2 * math.pi))
    size = abs(twist)
    reach = min(size, HALF_RAD)
    if size > GIVE_UP_RAD:
        reach = HALF_RAD * (math.pi - size) / (math.pi - GIVE_UP_RAD)
    twist = MIDDLE_RAD + math.copysign(reach, twist)
    radial, flexion = bent[1], bent[2]
    share = wrist_share(radial, flexion)
    size = math.sqrt(radial * radial + flexion * flexion)
    less = 1.0 / max(share, 1.0)
    if size > GIVE_UP_RAD:
        less *= max((math.pi - size) / (math.pi - GIVE_UP_RAD), 0.0)
    return (twist, radial * less, flexion * less)


@numba.njit(cache=True)
def wrist_share(radial: float, flexion: float) -> float:
    """How much of the wrist's range is used, 1 at its edge: a quarter of an ellipse in each direction."""
    across = radial / (RADIAL_RAD if radial > 0 else ULNAR_RAD)
    along = flexion / (WRIST_FLEXION_RAD if flexion > 0 else WRIST_EXTENSION_RAD)
    return math.sqrt(across * across + along * along)


@numba.njit(cache=True)
def twist_excess(bent: Vector) -> float:
    """How far the forearm's twist is beyond its range, rad."""
    twist = bent[0] - MIDDLE_RAD
    twist -= 2 * math.pi * math.floor((twist + math.pi) / (2 * math.pi))
    return max(abs(twist) - HALF_RAD, 0.0)


@numba.njit(cache=True)
def shoulder_excess(upper: Vector, lower: Vector, side: float) -> float:
    """How far a shoulder is beyond its range, rad: the sum over its three motions.

    Args:
        upper: unit vector from shoulder to elbow, in the trunk's axes (x to the left, y backwards, z up).
        lower: unit vector from elbow to wrist.
        side: 1 left, -1 right.
    """
    out, forward, up = upper[0] * side, -upper[1], upper[2]
    plane = math.atan2(forward, out)
    raised = math.sqrt(max(1.0 - up * up, 0.0))
    excess = max(math.asin(min(max(-forward, -1.0), 1.0)) - BACKWARD_RAD, 0.0)
    beyond = plane - HORIZONTAL_FLEXION_RAD if plane > 0 else -plane - HORIZONTAL_EXTENSION_RAD
    if forward < 0 and out < 0:  # behind the back: beyond either end
        beyond = min(plane + 2 * math.pi - HORIZONTAL_FLEXION_RAD, -plane - HORIZONTAL_EXTENSION_RAD)
    excess += max(beyond, 0.0) * raised
    bend = plus(lower, upper, -dot(upper, lower))
    bent = math.sqrt(dot(bend, bend))
    if bent < 0.2:  # a straight arm does not show its twist
        return excess
    turn = swing((0.0, 0.0, -1.0), upper)
    ahead, inward = turned((0.0, -1.0, 0.0), turn), turned((-side, 0.0, 0.0), turn)
    twist = math.atan2(dot(bend, inward), dot(bend, ahead)) - plane * raised
    twist -= 2 * math.pi * math.floor((twist + math.pi) / (2 * math.pi))
    return excess + max(twist - INWARD_RAD, -OUTWARD_RAD - twist, 0.0) * min(bent / 0.5, 1.0)
