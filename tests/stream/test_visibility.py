"""A user who stands wrong must be told what is wrong, not be left with silence."""

from __future__ import annotations

import numpy as np
import pytest

from engines.landmarks import Landmarks
from stream.visibility import ViewMonitor


def person(
    *,
    hand: bool = True,
    nose_y: float = 0.3,
    shoulder_x: float = 0.7,
    wrist_y: float = 0.5,
    wrist_x: float = 0.4,
) -> Landmarks:
    seen = Landmarks.absent(640, 480, "made by hand")
    pose = np.full((33, 4), 0.5, np.float32)
    pose[0, :2] = 0.5, nose_y
    pose[11, :2] = shoulder_x, 0.5
    pose[12, :2] = 0.3, 0.5
    pose[16, :2] = wrist_x, wrist_y
    parts = {
        name: getattr(seen, name)
        for name in ("left_hand", "pose_world", "left_hand_world", "right_hand_world")
    }
    right = np.full((21, 3), 0.5 if hand else np.nan, np.float32)
    return Landmarks(pose=pose, right_hand=right, width=640, height=480, estimator="made by hand", **parts)


def after(landmarks: Landmarks, seconds: float) -> str:
    monitor = ViewMonitor()
    for _ in range(int(seconds * 25)):
        monitor.push(landmarks)
    return monitor.view()


@pytest.mark.parametrize(
    ("landmarks", "seconds", "verdict"),
    [
        (person(), 6, "ok"),
        (person(), 0.5, "unknown"),  # too soon to tell
        (Landmarks.absent(640, 480, "made by hand"), 2, "no person"),
        (person(hand=False), 6, "no raised hand"),
        (person(wrist_y=1.3), 6, "no raised hand"),  # it hangs: 384 pixels below shoulders 256 pixels apart
        (person(wrist_y=1.15), 6, "ok"),  # 312 pixels below: at the hips
        (person(hand=False), 3, "ok"),  # hands may rest for a while
        (person(nose_y=-0.05), 6, "cut off"),  # head above the picture
        (person(shoulder_x=1.1), 6, "cut off"),  # shoulder beside it
        (person(wrist_x=-0.05), 6, "hand outside"),  # the hand is beside the picture
        (person(wrist_y=-0.05), 6, "hand outside"),  # above it
        (person(wrist_y=1.02), 6, "hand outside"),  # below it, in signing space
        (person(wrist_x=-0.05, wrist_y=1.3), 6, "no raised hand"),  # it rests beside the picture
    ],
)
def test_the_view_is_named(landmarks: Landmarks, seconds: float, verdict: str) -> None:
    assert after(landmarks, seconds) == verdict


def test_a_sign_that_leaves_the_picture_for_a_moment_is_no_trouble() -> None:
    monitor = ViewMonitor()
    for tick in range(150):
        monitor.push(person(wrist_x=-0.05 if tick % 75 < 10 else 0.4))
    assert monitor.view() == "ok"
