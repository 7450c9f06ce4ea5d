"""MediaPipe Holistic behind the `PoseEstimator` protocol."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.data import astronaut

from engines.errors import PoseError
from engines.landmarks import PARTS, Landmarks
from engines.pose.choice import FACE, family, open_pose, pose_of
from engines.pose.mediapipe import HolisticPose
from stream.demo import gallery_clips

Image = NDArray[np.uint8]


@pytest.fixture(scope="module")
def person() -> Image:
    """A picture of a woman, facing the camera, hands down: 512x512, public domain (NASA)."""
    return np.ascontiguousarray(astronaut())  # type: ignore[no-untyped-call]


@pytest.fixture(scope="module")
def estimator() -> Iterator[HolisticPose]:
    with HolisticPose() as pose:
        yield pose


def moving(person: Image, frames: int = 6) -> list[Image]:
    """A video of the person drifting to the left."""
    return [np.ascontiguousarray(np.roll(person, -4 * step, axis=1)) for step in range(frames)]


def assert_same(one: Landmarks, other: Landmarks) -> None:
    for part in PARTS:
        np.testing.assert_array_equal(getattr(one, part), getattr(other, part), err_msg=part)


def test_a_person_is_found_where_she_is(estimator: HolisticPose, person: Image) -> None:
    estimator.reset()
    landmarks = estimator.estimate(person)
    assert landmarks.has("pose")
    assert landmarks.has("pose_world")
    nose_px = landmarks.pose[0, :2] * 512
    np.testing.assert_allclose(nose_px, (222, 125), atol=15)  # read off the picture by eye
    left_shoulder, right_shoulder = landmarks.pose[11], landmarks.pose[12]
    assert left_shoulder[0] > right_shoulder[0], (
        "the signer's own left is on the right of an unmirrored picture"
    )
    assert landmarks.width == landmarks.height == 512
    assert landmarks.estimator == estimator.name
    shoulders_m = np.linalg.norm(landmarks.pose_world[11] - landmarks.pose_world[12])
    assert 0.25 < shoulders_m < 0.5


def test_nobody_is_nan_in_every_part(estimator: HolisticPose) -> None:
    estimator.reset()
    landmarks = estimator.estimate(np.full((480, 640, 3), 128, np.uint8))
    for part in PARTS:
        assert np.isnan(getattr(landmarks, part)).all(), part
    assert (landmarks.width, landmarks.height) == (640, 480)


def test_a_reset_estimator_is_as_good_as_new(estimator: HolisticPose, person: Image) -> None:
    video = moving(person)
    with HolisticPose() as new:
        expected = [new.estimate(frame) for frame in video]
    estimator.reset()
    estimator.estimate(np.ascontiguousarray(person[:, ::-1]))  # something else to forget
    estimator.reset()
    for frame, landmarks in zip(video, expected, strict=True):
        assert_same(estimator.estimate(frame), landmarks)


def test_landmarks_are_those_of_mediapipes_own_holistic(estimator: HolisticPose, person: Image) -> None:
    """What is taken out of the graph (face, segmentation) must change nothing."""
    from mediapipe.python.solutions.holistic import Holistic

    video = moving(person)
    estimator.reset()
    with Holistic(model_complexity=1) as theirs:
        for frame in video:
            mine = estimator.estimate(frame)
            result = theirs.process(frame)
            pose = [(mark.x, mark.y, mark.z, mark.visibility) for mark in result.pose_landmarks.landmark]
            world = [(mark.x, mark.y, mark.z) for mark in result.pose_world_landmarks.landmark]
            np.testing.assert_array_equal(mine.pose, np.array(pose, np.float32))
            np.testing.assert_array_equal(mine.pose_world, np.array(world, np.float32))
            assert mine.has("left_hand") == bool(result.left_hand_landmarks)
            assert mine.has("right_hand") == bool(result.right_hand_landmarks)


def test_the_face_is_looked_for_where_it_is_asked_for(estimator: HolisticPose, person: Image) -> None:
    with contextlib.closing(open_pose(FACE)) as looking:
        assert looking.estimate(np.zeros((480, 640, 3), np.uint8)).face is None
        looking.reset()
        estimator.reset()
        seen, plain = looking.estimate(person), estimator.estimate(person)
    assert plain.face is None
    for part in PARTS:  # the rest is the same
        np.testing.assert_array_equal(getattr(seen, part), getattr(plain, part))
    assert family(seen.estimator) == family(plain.estimator)
    assert pose_of(seen.estimator) == FACE
    face = seen.face
    assert face is not None
    eyes, mouth = seen.pose[[5, 2], :2], seen.pose[[10, 9], :2]  # the body's own points: left eye first there
    near = 0.03  # of the picture; the face is 0.15 high, and the body network sees few pixels of it
    np.testing.assert_allclose(face[[69, 68]], seen.pose[[2, 5], :2], atol=near)  # pupils
    np.testing.assert_allclose(face[36:42].mean(0), eyes[0], atol=near)
    np.testing.assert_allclose(face[42:48].mean(0), eyes[1], atol=near)
    np.testing.assert_allclose(face[[48, 54]], mouth, atol=near)
    np.testing.assert_allclose(face[30], seen.pose[0, :2], atol=near)
    assert face[8, 1] == face[:17, 1].max()  # the chin is the jaw's lowest point
    assert (np.diff(face[:17, 0]) > -0.02).all()  # from the signer's right, the picture's left
    assert (face[17:27, 1] < face[36:48, 1].min()).all()  # brows above eyes


@pytest.fixture(scope="module")
def signing() -> list[Image]:
    """Twenty frames of the demo's synthetic signer with a hand up."""
    with av.open(str(sorted(gallery_clips().values())[0])) as container:
        frames = [
            np.asarray(frame.to_ndarray(format="rgb24"), np.uint8) for frame in container.decode(video=0)
        ]
    middle = len(frames) // 2
    return frames[middle - 10 : middle + 10]


def test_hands_are_those_of_mediapipes_own_holistic(estimator: HolisticPose, signing: list[Image]) -> None:
    from mediapipe.python.solutions.holistic import Holistic

    estimator.reset()
    found = 0
    with Holistic(model_complexity=1) as theirs:
        for frame in signing:
            mine = estimator.estimate(frame)
            result = theirs.process(frame)
            for part in ("left_hand", "right_hand"):
                marks = getattr(result, f"{part}_landmarks")
                assert mine.has(part) == bool(marks)
                if marks:
                    found += 1
                    expected = np.array([(mark.x, mark.y, mark.z) for mark in marks.landmark], np.float32)
                    np.testing.assert_array_equal(getattr(mine, part), expected)
    assert found >= 10


def test_hands_in_metres_come_with_every_hand(estimator: HolisticPose, signing: list[Image]) -> None:
    """They are read from inside of the graph: the wrong stream would give another hand, or another size."""
    estimator.reset()
    palms_m, agreement = [], []
    for frame in signing:
        seen = estimator.estimate(frame)
        for hand in ("left_hand", "right_hand"):
            assert seen.has(f"{hand}_world") == seen.has(hand)
            if seen.has(hand):
                world = getattr(seen, f"{hand}_world")
                palms_m.append(np.linalg.norm(world[9] - world[0]))
                drawn = getattr(seen, hand)[:, :2] * (seen.width, seen.height)
                outlines = [(points - points.mean(axis=0)).ravel() for points in (drawn, world[:, :2])]
                agreement.append(np.corrcoef(*outlines)[0, 1])
    assert 0.06 < np.median(palms_m) < 0.12, "wrist to middle knuckle of an adult"
    assert min(agreement) > 0.95, (
        "from the front, the hand in metres has the outline of the hand in the picture"
    )


def test_tracking_state_matters(estimator: HolisticPose, person: Image) -> None:
    """Why replay needs a ledger: the same picture gives other landmarks after another past."""
    video = moving(person)
    estimator.reset()
    alone = estimator.estimate(video[-1])
    estimator.reset()
    for frame in video:
        last = estimator.estimate(frame)
    assert not np.array_equal(alone.pose, last.pose)


@pytest.mark.parametrize(
    ("image", "says"),
    [
        (np.zeros((480, 640), np.uint8), r"\(480, 640\)"),  # grey
        (np.zeros((480, 640, 4), np.uint8), r"\(480, 640, 4\)"),  # with alpha
        (np.zeros((480, 640, 3), np.float32), "float32"),  # scaled to 0..1
        (np.zeros((0, 640, 3), np.uint8), "640x0"),  # empty
        (None, "NoneType"),  # what OpenCV gives when a read fails
    ],
)
def test_a_picture_it_cannot_take_is_refused(estimator: HolisticPose, image: Image, says: str) -> None:
    with pytest.raises(PoseError, match=says):
        estimator.estimate(image)


def test_a_crop_of_a_picture_is_as_good_as_a_copy(estimator: HolisticPose, person: Image) -> None:
    crop = person[:, 40:440]
    estimator.reset()
    expected = estimator.estimate(np.ascontiguousarray(crop))
    estimator.reset()
    assert_same(estimator.estimate(crop), expected)


def test_a_network_that_does_not_ship_is_named() -> None:
    with pytest.raises(PoseError, match=r"pose_landmark_heavy\.tflite.*complexity 1"):
        HolisticPose(complexity=2)


def test_a_closed_estimator_says_so(person: Image) -> None:
    pose = HolisticPose()
    pose.close()
    pose.close()
    with pytest.raises(PoseError, match="closed"):
        pose.estimate(person)
    pose.reset()
    assert pose.estimate(person).has("pose")
    pose.close()


TALK = """
import os, sys
import numpy as np
from skimage.data import astronaut
from engines.pose.choice import FACE, family, open_pose, pose_of
from engines.pose.mediapipe import HolisticPose
with HolisticPose() as pose:
    pose.estimate(np.zeros((480, 640, 3), np.uint8))
    pose.estimate(np.ascontiguousarray(astronaut()))
    pose.reset()
    pose.estimate(np.ascontiguousarray(astronaut()))
from engines.pose.native_log import chatter_muted
with chatter_muted():
    os.write(2, b"W0000 00:00:1 feedback_manager.cc:114] chatter\\n")
    os.write(2, b"E0000 00:00:1 calculator_graph.cc:9] NOT_FOUND\\n")
    sys.stderr.write("Traceback of another thread\\n")
    sys.stderr.flush()
sys.stderr.write("after\\n")
"""


def test_native_chatter_stays_off_the_terminal_and_errors_do_not() -> None:
    done = subprocess.run(
        [sys.executable, "-c", TALK], capture_output=True, text=True, env=os.environ, check=True
    )
    assert done.stderr.splitlines() == [
        "E0000 00:00:1 calculator_graph.cc:9] NOT_FOUND",
        "Traceback of another thread",
        "after",
    ]
    assert done.stdout == ""
