"""Handshapes: each finger's bend and spread, after the inventories of HamNoSys and of ASL's fingerspelling.

A handshape is 15 unit vectors in the hand's own frame: the directions of three bones of each finger, thumb first.
The frame: x from the wrist to the middle knuckle, y towards the thumb's side, z out of the palm.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from calibration.synthesis.performance import Array

Bend = tuple[float, float, float]  # degrees at knuckle, middle and end joint
STRAIGHT: Bend = (0, 5, 3)
RELAXED: Bend = (18, 22, 12)
CLAWED: Bend = (5, 60, 45)
HOOKED: Bend = (10, 85, 60)
ROUND: Bend = (45, 45, 30)
BENT: Bend = (80, 8, 5)
CLOSED: Bend = (82, 95, 60)
PINCHED: Bend = (58, 42, 25)

SPREAD = (14.0, 3.0, -9.0, -22.0)  # degrees towards the thumb, index to little finger
TOGETHER = (3.0, 0.0, -3.0, -6.0)

Thumb = tuple[tuple[float, float, float], tuple[float, float, float], tuple[float, float, float]]
THUMBS: dict[str, Thumb] = {
    "out": ((0.55, 0.78, 0.25), (0.50, 0.85, 0.10), (0.45, 0.89, 0.0)),
    "up": ((0.35, 0.85, 0.30), (0.15, 0.97, 0.10), (0.05, 1.0, 0.0)),
    "along": ((0.80, 0.50, 0.30), (0.97, 0.15, 0.15), (0.98, 0.05, 0.10)),
    "across": ((0.65, 0.40, 0.65), (0.60, -0.45, 0.65), (0.35, -0.85, 0.35)),
    "over": ((0.60, 0.45, 0.70), (0.55, -0.20, 0.80), (0.15, -0.90, 0.40)),
    "opposed": ((0.55, 0.40, 0.75), (0.75, 0.00, 0.66), (0.90, -0.15, 0.35)),
    "front": ((0.45, 0.50, 0.75), (0.45, 0.25, 0.86), (0.55, 0.10, 0.83)),
}


@dataclass(frozen=True, slots=True)
class Handshape:
    """One configuration of the fingers."""

    name: str
    directions: Array  # (15, 3) unit vectors, thumb to little finger, three bones each

    def blend(self, other: Handshape, share: float) -> Handshape:
        """Between this (0) and another (1)."""
        mixed = (1 - share) * self.directions + share * other.directions
        mixed /= np.linalg.norm(mixed, axis=1, keepdims=True)
        return Handshape(f"{self.name}>{other.name}", mixed.astype(np.float32))


def _shape(
    name: str, thumb: str, index: Bend, middle: Bend, ring: Bend, little: Bend,
    spread: tuple[float, float, float, float] = TOGETHER,
) -> Handshape:  # fmt: skip
    rows = [np.array(part) / np.linalg.norm(part) for part in THUMBS[thumb]]
    for bend, aside in zip((index, middle, ring, little), spread, strict=True):
        angle = math.radians(aside)
        base = np.array([math.cos(angle), math.sin(angle), 0.0])
        total = 0.0
        for joint in bend:
            total += math.radians(joint)
            rows.append(math.cos(total) * base + np.array([0.0, 0.0, math.sin(total)]))
    return Handshape(name, np.array(rows, np.float32))


_ = CLOSED
SHAPES: dict[str, Handshape] = {
    shape.name: shape
    for shape in (
        _shape("flat", "along", STRAIGHT, STRAIGHT, STRAIGHT, STRAIGHT),
        _shape("flat-thumb-out", "out", STRAIGHT, STRAIGHT, STRAIGHT, STRAIGHT),
        _shape("flat-thumb-in", "across", STRAIGHT, STRAIGHT, STRAIGHT, STRAIGHT),
        _shape("five", "out", STRAIGHT, STRAIGHT, STRAIGHT, STRAIGHT, SPREAD),
        _shape("four", "across", STRAIGHT, STRAIGHT, STRAIGHT, STRAIGHT, SPREAD),
        _shape("claw", "out", CLAWED, CLAWED, CLAWED, CLAWED, SPREAD),
        _shape("bent-flat", "along", BENT, BENT, BENT, BENT),
        _shape("fist", "over", _, _, _, _),
        _shape("fist-thumb-side", "along", _, _, _, _),
        _shape("thumb", "up", _, _, _, _),
        _shape("index", "over", STRAIGHT, _, _, _),
        _shape("index-thumb", "up", STRAIGHT, _, _, _),
        _shape("hook", "over", HOOKED, _, _, _),
        _shape("two", "over", STRAIGHT, STRAIGHT, _, _, (10, -8, 0, 0)),
        _shape("two-together", "over", STRAIGHT, STRAIGHT, _, _),
        _shape("two-crossed", "over", STRAIGHT, (12, 5, 3), _, _, (-6, 8, 0, 0)),
        _shape("two-bent", "over", HOOKED, HOOKED, _, _, (10, -8, 0, 0)),
        _shape("two-thumb", "up", STRAIGHT, STRAIGHT, _, _, (10, -8, 0, 0)),
        _shape("three", "over", STRAIGHT, STRAIGHT, STRAIGHT, _, (12, 0, -12, 0)),
        _shape("little", "over", _, _, _, STRAIGHT, (0, 0, 0, -12)),
        _shape("little-thumb", "up", _, _, _, STRAIGHT, (0, 0, 0, -18)),
        _shape("little-index", "over", STRAIGHT, _, _, STRAIGHT, (8, 0, 0, -14)),
        _shape("little-index-thumb", "up", STRAIGHT, _, _, STRAIGHT, (8, 0, 0, -14)),
        _shape("ring-out", "opposed", STRAIGHT, STRAIGHT, PINCHED, STRAIGHT, SPREAD),
        _shape("middle-in", "out", STRAIGHT, (55, 15, 10), STRAIGHT, STRAIGHT, SPREAD),
        _shape("pinch", "opposed", PINCHED, STRAIGHT, STRAIGHT, STRAIGHT, SPREAD),
        _shape("pinch-closed", "opposed", PINCHED, _, _, _),
        _shape("round", "opposed", ROUND, ROUND, ROUND, ROUND),
        _shape("cup", "front", (28, 38, 25), (28, 38, 25), (28, 38, 25), (28, 38, 25)),
        _shape("beak", "opposed", (62, 22, 12), (62, 22, 12), (62, 22, 12), (62, 22, 12)),
        _shape("gap", "front", (62, 10, 5), _, _, _),
        _shape("bent-index", "along", BENT, _, _, _),
        _shape("three-claw", "out", CLAWED, CLAWED, _, _, (12, -8, 0, 0)),
        _shape("relaxed", "opposed", RELAXED, (22, 25, 14), (26, 28, 16), (30, 30, 18)),
    )
}
"""All handshapes by name."""
