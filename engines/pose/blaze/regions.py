"""Regions of interest: where in a picture a body or a hand is, cut out upright, and landmarks put back.

The rules and their numbers are those of MediaPipe's Holistic graph (mediapipe 0.10.21: AlignmentPointsRects,
RectTransformation, HandDetectionsFromPoseToRects, HandLandmarksToRect, RoiTracking), here in pixels throughout.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

PALM = [0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 17, 18]
"""A hand's landmarks that its region is put around: not the fingertips, which come and go."""

WRIST, INDEX, MIDDLE, RING = 0, 5, 9, 13
"""Landmarks that tell a hand's direction: the wrist, and where the fingers begin."""

TRACKED_TURN_RAD = math.radians(40)
TRACKED_SHIFT = 0.2  # of the new region's size
TRACKED_SCALE = 0.4  # of the new region's size
TRACKED_INSIDE = 0.9  # of the new region, in which all of the last landmarks must lie


@dataclass(frozen=True, slots=True)
class Region:
    """A turned rectangle."""

    x: float  # centre, pixels
    y: float
    width: float  # pixels, along its own axes
    height: float
    rotation: float  # radians, clockwise

    def moved(self, *, down: float = 0.0, scale: float = 1.0) -> Region:
        """The square around it, moved down its own axis by a share of its height, and scaled."""
        shift = self.height * down
        side = max(self.width, self.height) * scale
        return Region(
            self.x - shift * math.sin(self.rotation),
            self.y + shift * math.cos(self.rotation),
            side,
            side,
            self.rotation,
        )

    def crop(
        self, image: NDArray[np.uint8], side: int, border: int = cv2.BORDER_REPLICATE
    ) -> NDArray[np.uint8]:
        """What is inside it, upright, as uint8 (side, side, 3).

        Args:
            image: uint8 (H, W, 3).
            side: of the result, pixels.
            border: what is outside the picture, as OpenCV names it.
        """
        cosine, sine = math.cos(self.rotation), math.sin(self.rotation)
        a, b = self.width / side, self.height / side
        to_picture = np.array(
            [
                [a * cosine, -b * sine, self.x - (self.width * cosine - self.height * sine) / 2],
                [a * sine, b * cosine, self.y - (self.width * sine + self.height * cosine) / 2],
            ]
        )
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return np.asarray(
            cv2.warpAffine(image, to_picture, (side, side), flags=flags, borderMode=border), np.uint8
        )

    def put_back(self, landmarks: Array) -> Array:
        """Landmarks (N, 2 or 3) in units of its sides, to pixels of the picture; z scales with x."""
        cosine, sine = math.cos(self.rotation), math.sin(self.rotation)
        x = (landmarks[:, 0] - 0.5) * self.width
        y = (landmarks[:, 1] - 0.5) * self.height
        placed = np.empty_like(landmarks)
        placed[:, 0] = cosine * x - sine * y + self.x
        placed[:, 1] = sine * x + cosine * y + self.y
        if landmarks.shape[1] > 2:
            placed[:, 2] = landmarks[:, 2] * self.width
        return placed

    def turn_back(self, world: Array) -> Array:
        """Landmarks (N, 3) in metres, turned from upright to how they lie in the picture."""
        cosine, sine = math.cos(self.rotation), math.sin(self.rotation)
        turned = world.copy()
        turned[:, 0] = cosine * world[:, 0] - sine * world[:, 1]
        turned[:, 1] = sine * world[:, 0] + cosine * world[:, 1]
        return turned

    def aligned(self, points: Array) -> Array:
        """Points (N, 2) of the picture, or differences of two, along its own axes."""
        cosine, sine = math.cos(self.rotation), math.sin(self.rotation)
        return np.stack(
            [points[:, 0] * cosine + points[:, 1] * sine, points[:, 1] * cosine - points[:, 0] * sine], 1
        )


def whole(width: int, height: int) -> Region:
    """The square around a whole picture."""
    side = float(max(width, height))
    return Region(width / 2, height / 2, side, side, 0.0)


def of_points(points: Array, up_rad: float) -> Region:
    """A square around a centre whose half side reaches to a second point, turned until that one lies at `up_rad`.

    Args:
        points: (2, 2) centre and second point, pixels.
        up_rad: where the second point is to lie, radians against the clock from the right.
    """
    (x, y), (to_x, to_y) = points[0].tolist(), points[1].tolist()
    side = 2 * math.hypot(to_x - x, to_y - y)
    return Region(x, y, side, side, wrapped(up_rad - math.atan2(y - to_y, to_x - x)))


def of_hand_in_pose(wrist: Array, little: Array, index: Array) -> Region:
    """Where a hand must be, from the body's own landmarks of it: (2,) each, pixels."""
    middle = (2 * index + little) / 3
    x, y = middle.tolist()
    away_x, away_y = (middle - wrist).tolist()
    side = 2 * math.hypot(away_x, away_y)
    return Region(x, y, side, side, wrapped(math.pi / 2 - math.atan2(-away_y, away_x))).moved(
        down=-0.1, scale=2.7
    )


def of_hand(points: Array) -> Region:
    """Where a hand will be, from its landmarks (21, 2) in the frame before, pixels."""
    wrist = points[WRIST]
    fingers = ((points[INDEX] + points[RING]) / 2 + points[MIDDLE]) / 2
    away_x, away_y = (fingers - wrist).tolist()
    rotation = wrapped(math.pi / 2 - math.atan2(-away_y, away_x))
    palm = points[PALM]
    centre = (palm.max(0) + palm.min(0)) / 2
    upright = Region(0.0, 0.0, 1.0, 1.0, rotation).aligned(palm - centre)
    low, high = upright.min(0), upright.max(0)
    across, along = ((low + high) / 2).tolist()
    cosine, sine = math.cos(rotation), math.sin(rotation)
    width, height = (high - low).tolist()
    return Region(
        across * cosine - along * sine + float(centre[0]),
        across * sine + along * cosine + float(centre[1]),
        width,
        height,
        rotation,
    ).moved(down=-0.1, scale=2.0)


def tracked(before: Region, points: Array, now: Region) -> Region:
    """The region to look for a hand in: the tracked one, unless the body says that the hand has moved too far.

    Args:
        before: from the hand's landmarks in the frame before.
        points: (21, 2) those landmarks, pixels.
        now: from the body's landmarks in this frame.
    """
    turn = abs(wrapped(before.rotation - now.rotation))
    centre = np.array([now.x, now.y], np.float32)
    moved = np.array([[before.x, before.y]], np.float32) - centre
    shift_x, shift_y = np.abs(now.aligned(moved))[0].tolist()
    inside = np.abs(now.aligned(points - centre)) < TRACKED_INSIDE / 2 * np.array([now.width, now.height])
    kept = (
        turn <= TRACKED_TURN_RAD
        and shift_x <= TRACKED_SHIFT * now.width
        and shift_y <= TRACKED_SHIFT * now.height
        and abs(before.width - now.width) <= TRACKED_SCALE * now.width
        and abs(before.height - now.height) <= TRACKED_SCALE * now.height
        and bool(inside.all())
    )
    return before if kept else now


def wrapped(angle: float) -> float:
    """An angle in radians brought to [-pi, pi)."""
    return angle - 2 * math.pi * math.floor((angle + math.pi) / (2 * math.pi))
