"""Contact sheets: what a sign or a whole lexicon looks like, drawn as a stick figure with all fingers."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from calibration.synthesis.body import body_of
from calibration.synthesis.landmarks import Camera, hand_points, pose_points
from calibration.synthesis.lexicon import SignForm
from calibration.synthesis.motion import isolated
from calibration.synthesis.performance import Performance, Signer

Picture = NDArray[np.uint8]

CELL = 150
MOMENTS = 6
INK, LEFT, RIGHT = (70, 70, 70), (36, 110, 190), (200, 70, 40)  # RGB; left and right are the signer's
HAND_BONES = [(0, 1), *((n, n + 1) for first in (1, 5, 9, 13, 17) for n in range(first, first + 3)), (0, 5), (5, 9), (9, 13), (13, 17), (0, 17)]  # fmt: skip
CAMERA = Camera(distance_m=1.9, height_m=0.42, field_rad=0.62, width=CELL, height=CELL)


def figure(performance: Performance, frame: int) -> Picture:
    """One frame as a stick figure, (150, 150, 3) RGB."""
    body = body_of(performance.signer)
    part = slice(frame, frame + 1)
    rotations, joints = performance.rotations[part], performance.joints[part]
    picture = np.full((CELL, CELL, 3), 255, np.uint8)

    def pixels(points: NDArray[np.float32]) -> list[tuple[int, int]]:
        xy, _ = CAMERA.project(points)
        return [(int(x * CELL * 8), int(y * CELL * 8)) for x, y in xy]

    def line(start: tuple[int, int], end: tuple[int, int], ink: tuple[int, int, int], width: int) -> None:
        cv2.line(picture, start, end, ink, width, cv2.LINE_AA, shift=3)

    pose = pixels(pose_points(body, rotations, joints)[0])
    neck = ((pose[11][0] + pose[12][0]) // 2, (pose[11][1] + pose[12][1]) // 2)
    cv2.circle(picture, (pose[0][0], pose[0][1] - 20), 12 * 8, INK, 1, cv2.LINE_AA, shift=3)
    cv2.circle(picture, pose[0], 8, INK, -1, cv2.LINE_AA, shift=3)
    for start, end in (
        (pose[11], pose[12]),
        (pose[11], pose[23]),
        (pose[12], pose[24]),
        (pose[23], pose[24]),
    ):
        line(start, end, INK, 1)
    line(neck, (neck[0], neck[1] - 60), INK, 1)
    for side, ink, first in (("L", LEFT, 11), ("R", RIGHT, 12)):
        line(pose[first], pose[first + 2], ink, 2)
        line(pose[first + 2], pose[first + 4], ink, 2)
        hand = pixels(hand_points(body, side, rotations, joints)[0])
        for one, two in HAND_BONES:
            line(hand[one], hand[two], ink, 1)
    return picture


def strip(signer: Signer, form: SignForm, *, seed: int = 0) -> Picture:
    """One sign in six moments from preparation to the stroke's end, with its gloss."""
    performance = isolated(signer, form, seed=seed)
    sign = performance.signs[0]
    moments = np.linspace((sign.preparation_s + sign.start_s) / 2, sign.end_s, MOMENTS)
    picture = np.hstack([figure(performance, int(moment * performance.fps)) for moment in moments])
    cv2.putText(picture, form.gloss, (4, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
    return np.ascontiguousarray(picture)


def sheet(signer: Signer, forms: Sequence[SignForm], *, columns: int = 2, seed: int = 0) -> Picture:
    """Many signs, a strip each."""
    strips = [strip(signer, form, seed=seed) for form in forms]
    blank = np.full_like(strips[0], 255)
    strips += [blank] * (-len(strips) % columns)
    return np.vstack([np.hstack(strips[row : row + columns]) for row in range(0, len(strips), columns)])
