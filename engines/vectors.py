"""Vectors of three floats for compiled kernels: tuples, so that nothing is allocated a frame."""

from __future__ import annotations

import math

import numba

Vector = tuple[float, float, float]
Axes = tuple[Vector, Vector, Vector]
"""The x, y and z axis of a frame, unit vectors."""

TINY = 1e-9


@numba.njit(cache=True)
def dot(a: Vector, b: Vector) -> float:
    """Inner product."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@numba.njit(cache=True)
def cross(a: Vector, b: Vector) -> Vector:
    """Outer product, right-handed."""
    return (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])


@numba.njit(cache=True)
def plus(a: Vector, b: Vector, by: float) -> Vector:
    """`a` + `by` x `b`."""
    return (a[0] + by * b[0], a[1] + by * b[1], a[2] + by * b[2])


@numba.njit(cache=True)
def scaled(a: Vector, by: float) -> Vector:
    """`by` x `a`."""
    return (a[0] * by, a[1] * by, a[2] * by)


@numba.njit(cache=True)
def unit(a: Vector) -> Vector:
    """`a` at length 1; no length stays none."""
    return scaled(a, 1.0 / max(math.sqrt(dot(a, a)), TINY))


@numba.njit(cache=True)
def swing(a: Vector, b: Vector) -> Vector:
    """The shortest turn that takes unit vector `a` to `b`, as angle times axis."""
    axis = cross(a, b)
    sine = math.sqrt(dot(axis, axis))
    angle = math.atan2(sine, dot(a, b))
    if sine < 1e-7:
        if angle < 1.0:
            return axis
        other = (0.0, 1.0, 0.0) if abs(a[1]) < 0.9 else (1.0, 0.0, 0.0)
        return scaled(unit(plus(other, a, -dot(other, a))), math.pi)
    return scaled(axis, angle / sine)


@numba.njit(cache=True)
def turned(v: Vector, turn: Vector) -> Vector:
    """Rodrigues: `v` turned by angle-axis `turn`."""
    angle = math.sqrt(dot(turn, turn))
    if angle < TINY:
        return v
    axis = scaled(turn, 1.0 / angle)
    c, s = math.cos(angle), math.sin(angle)
    return plus(plus(scaled(v, c), cross(axis, v), s), axis, dot(axis, v) * (1.0 - c))


@numba.njit(cache=True)
def turned_axes(axes: Axes, turn: Vector) -> Axes:
    """All three axes, turned."""
    return turned(axes[0], turn), turned(axes[1], turn), turned(axes[2], turn)
