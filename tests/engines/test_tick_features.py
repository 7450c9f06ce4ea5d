"""Rows of the transcript network: where the person stands and how near does not matter, what is unknown says so."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from engines.errors import BundleError
from engines.landmarks import Landmarks
from engines.tick_features import (
    KEYPOINTS27,
    POSE_FACE_VECTOR,
    POSE_VECTOR,
    TickFeatures,
    tick_features_named,
)

EVERY = pytest.mark.parametrize(
    "features", [POSE_VECTOR, POSE_FACE_VECTOR, KEYPOINTS27], ids=lambda one: one.name
)


def person(
    *,
    near: float = 1.0,
    at: tuple[float, float] = (0.5, 0.5),
    width: int = 640,
    left: bool = True,
    seed: int = 0,
) -> Landmarks:
    """Someone with shoulders 0.3 picture heights apart (times `near`), in a picture of 480 lines."""
    rng = np.random.default_rng(seed)
    places = rng.normal(0, 0.15, (33 + 42, 2))
    places[11], places[12] = (0.15, 0.0), (-0.15, 0.0)
    seen = Landmarks.absent(width, 480, "made up")
    xy = (places * near * np.array([480 / width, 1]) + np.array(at)).astype(np.float32)
    pose = np.concatenate([xy[:33], np.zeros((33, 1)), np.ones((33, 1))], 1).astype(np.float32)
    hands = np.concatenate([xy[33:], np.zeros((42, 1))], 1).astype(np.float32)
    return Landmarks(
        pose=pose,
        left_hand=hands[:21] if left else seen.left_hand,
        right_hand=hands[21:],
        pose_world=seen.pose_world,
        left_hand_world=seen.left_hand_world,
        right_hand_world=seen.right_hand_world,
        width=width,
        height=480,
        estimator="made up",
        face=(
            rng.normal(0, 0.05, (70, 2)) * near * np.array([480 / width, 1]) + np.array(at) - (0, 0.1 * near)
        ).astype(np.float32),
    )


@EVERY
def test_place_distance_and_the_pictures_shape_do_not_matter(features: TickFeatures) -> None:
    row = features.row(person())
    assert row.shape == features.shape
    assert row.dtype == np.float32
    for other in (person(near=0.6), person(at=(0.3, 0.6)), person(width=1280)):
        np.testing.assert_allclose(features.row(other), row, atol=2e-5)


def test_the_pose_vector_has_the_papers_points_with_and_without_the_face() -> None:
    # OpenPose's row has (25 + 70 + 2 x 21) x 3 = 411 values; without the 70 face points 201
    assert POSE_FACE_VECTOR.width == 411
    assert POSE_VECTOR.width == 411 - 70 * 3
    seen = person()
    np.testing.assert_array_equal(POSE_FACE_VECTOR.row(seen)[:201], POSE_VECTOR.row(seen))
    faceless = replace(seen, face=None)
    assert (POSE_FACE_VECTOR.row(faceless)[201:] == 0).all()
    assert (POSE_FACE_VECTOR.row(seen)[203::3] == 1).all()


def test_face_points_by_hand() -> None:
    seen = person()
    assert seen.face is not None
    points = POSE_FACE_VECTOR.row(seen)[201:].reshape(-1, 3)
    pixels = seen.face * np.array([640, 480])
    shoulders_px = 0.3 * 480
    np.testing.assert_allclose(points[30, :2], (pixels[30] - (320, 240)) / shoulders_px, atol=1e-4)
    np.testing.assert_allclose(points[8, :2], 4 * (pixels[8] - pixels[30]) / shoulders_px, atol=1e-4)


def test_places_by_hand() -> None:
    seen = person()
    points = POSE_VECTOR.row(seen).reshape(-1, 3)
    np.testing.assert_allclose(points[11], (0.5, 0, 1), atol=1e-5)  # half a shoulder width to its side
    np.testing.assert_allclose(points[12], (-0.5, 0, 1), atol=1e-5)
    shoulders_px = 0.3 * 480
    tip = (seen.right_hand[8, :2] - seen.right_hand[0, :2]) * np.array([640, 480])
    np.testing.assert_allclose(points[25 + 21 + 8, :2], 4 * tip / shoulders_px, atol=1e-4)


@EVERY
def test_a_hand_that_is_not_found_is_zero_and_says_so(features: TickFeatures) -> None:
    both, one = features.row(person()), features.row(person(left=False))
    left, right = features.hands
    assert (one[left] == 0).all()
    np.testing.assert_array_equal(one[right], both[right])
    assert (both[left][2::3] > 0).all()


@EVERY
def test_nobody_is_all_zero(features: TickFeatures) -> None:
    assert (features.row(Landmarks.absent(640, 480, "made up")) == 0).all()


def turned_face(face: NDArray[np.float32] | None) -> NDArray[np.float32]:
    """What a mirrored camera shows of a face: the point that was the right jaw is the left one, and so on."""
    pairs = [(k, 16 - k) for k in range(8)] + [(17 + k, 26 - k) for k in range(5)] + [(31, 35), (32, 34)]
    pairs += [(36, 45), (37, 44), (38, 43), (39, 42), (40, 47), (41, 46), (48, 54), (49, 53), (50, 52)]
    pairs += [(55, 59), (56, 58), (60, 64), (61, 63), (65, 67), (68, 69)]
    assert face is not None
    turned = face.copy()
    for one, other in pairs:
        turned[[one, other]] = face[[other, one]]
    return turned * np.array([-1, 1], np.float32) + np.array([1, 0], np.float32)


@EVERY
def test_a_mirrored_camera_gives_the_same_row(features: TickFeatures) -> None:
    seen = person()
    swap = np.array([0, 4, 5, 6, 1, 2, 3, 8, 7, 10, 9, *(k ^ 1 for k in range(10, 34))])[:33]
    swap[11:] = [k + 1 if k % 2 else k - 1 for k in range(11, 33)]  # MediaPipe: odd left, even right
    turn = np.array([-1, 1, 1], np.float32)
    pose = seen.pose[swap] * np.array([-1, 1, 1, 1], np.float32) + np.array([1, 0, 0, 0], np.float32)
    image = Landmarks(
        pose=pose,
        left_hand=seen.right_hand * turn + np.array([1, 0, 0], np.float32),
        right_hand=seen.left_hand * turn + np.array([1, 0, 0], np.float32),
        pose_world=seen.pose_world,
        left_hand_world=seen.left_hand_world,
        right_hand_world=seen.right_hand_world,
        width=640,
        height=480,
        estimator="made up",
        face=turned_face(seen.face),
    )
    np.testing.assert_allclose(features.row(image, mirrored=True), features.row(seen), atol=1e-5)


def test_features_are_known_by_name() -> None:
    assert tick_features_named("pose-vector-1") is POSE_VECTOR
    with pytest.raises(BundleError, match="pose-vector-9"):
        tick_features_named("pose-vector-9")
