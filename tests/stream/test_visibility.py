"""A user who stands wrong must be told what is wrong, not be left with silence."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.data import astronaut

from engines.landmarks import Landmarks
from stream.demo import gallery_clips
from stream.events import Status
from stream.sources import open_source, read_frames
from stream.visibility import HINTS, View, ViewMonitor
from tests.stream.clips import write_still
from tests.stream.running import run_pipeline


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


def test_every_verdict_but_the_good_ones_says_what_to_do() -> None:
    assert set(HINTS) == set(get_args(View))
    assert {view for view, hint in HINTS.items() if not hint} == {"ok", "unknown"}
    assert len(set(HINTS.values())) == len(HINTS) - 1, "two troubles cannot be told apart"


def nobody() -> NDArray[np.uint8]:
    return np.zeros((240, 320, 3), np.uint8)


def portrait() -> NDArray[np.uint8]:
    """An astronaut from head to chest, her arms hanging."""
    image: NDArray[np.uint8] = astronaut()  # type: ignore[no-untyped-call]
    return image


def portrait_too_low() -> NDArray[np.uint8]:
    """Her head alone: the shoulders are below the picture."""
    return portrait()[:170]


def portrait_beside() -> NDArray[np.uint8]:
    """The camera looks past her: one shoulder is left of the picture."""
    return portrait()[:, 190:]


def waving_beside() -> NDArray[np.uint8]:
    """The demo's signer in the middle of HELLO, the signing hand left of the picture."""
    frame = next(itertools.islice(read_frames(gallery_clips()["HELLO"]), 36, None))
    return frame.image[:, 136:]


@pytest.mark.parametrize(
    ("picture", "seconds", "view", "hint"),
    [
        (nobody, 1.6, "no person", "nobody is seen: step in front of the camera"),
        (portrait, 5.6, "no raised hand", "no hand is raised: signs are seen between hip and head"),
        (portrait_too_low, 1.6, "cut off", "part of the head or of the shoulders is outside the picture: step back"),
        (portrait_beside, 1.6, "cut off", "part of the head or of the shoulders is outside the picture: step back"),
        (waving_beside, 1.6, "hand outside", "a raised hand leaves the picture: step back or move the camera"),
    ],
)  # fmt: skip
def test_a_run_tells_who_listens_what_is_wrong_with_the_view(
    picture: Callable[[], NDArray[np.uint8]], seconds: float, view: str, hint: str, tmp_path: Path
) -> None:
    clip = write_still(tmp_path / "still.mp4", picture(), seconds)
    source = open_source(str(clip), speed="max")
    messages = run_pipeline(source, gallery=None, encoders=("slgcn2d",))
    told = [message for message in messages if isinstance(message, Status)]
    assert (told[0].view, told[0].view_hint) == ("unknown", ""), "nothing is said before anything is seen"
    assert told[-1].view == view
    assert told[-1].view_hint.startswith(hint)
