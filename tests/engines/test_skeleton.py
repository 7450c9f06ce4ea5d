"""The skeleton that live path and training share: a slip here and the encoder sees what it was never taught."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from engines.landmarks import Landmarks
from engines.resampling import TICKS
from engines.skeleton import (
    CHANNELS,
    JOINTS,
    LEFT_HAND,
    LEFT_SHOULDER,
    NOSE,
    RIGHT_HAND,
    RIGHT_SHOULDER,
    keypoints,
    mirror,
    window_input,
)

Array = NDArray[np.float32]


def landmarks(width: int = 640, height: int = 480) -> Landmarks:
    """Every landmark at a place of its own: pose i at (i / 100, i / 50), hands shifted by 0.4 and 0.7."""
    seen = Landmarks.absent(width, height, "test")
    row = np.arange(33, dtype=np.float32)
    seen.pose[:] = np.stack([row / 100, row / 50, row * 0, np.full(33, 0.9, np.float32)], 1)
    for hand, shift in ((seen.left_hand, 0.4), (seen.right_hand, 0.7)):
        hand[:] = np.stack([row[:21] / 100 + shift, row[:21] / 50, row[:21] * 0], 1)
    return seen


def signing(length: int = 22, seed: int = 0) -> Array:
    """A track (L, 27, 3) of a still body and two hands on smooth ways."""
    rng = np.random.default_rng(seed)
    track = np.full((length, JOINTS, 3), np.nan, np.float32)
    track[:, NOSE] = (0.6, 0.2, 0.9)
    track[:, LEFT_SHOULDER] = (0.8, 0.45, 0.9)
    track[:, RIGHT_SHOULDER] = (0.4, 0.45, 0.9)
    t = np.linspace(0, 3, length)
    for first, x in ((LEFT_HAND, 0.75), (RIGHT_HAND, 0.45)):
        shape = rng.normal(0, 0.05, (10, 2))
        way = np.stack([x + 0.1 * np.sin(t + x), 0.6 + 0.1 * np.cos(1.3 * t + x)], 1)
        track[:, first : first + 10, :2] = way[:, None] + shape
        track[:, first : first + 10, 2] = 1
    return track


def test_joints_are_those_of_coco_wholebody_in_sam_slr_order() -> None:
    points = keypoints(landmarks(480, 480))
    # MediaPipe numbers: nose, shoulders, elbows, wrists; a hand's wrist, thumb tip, then base and tip of each finger
    body, hand = [0, 11, 12, 13, 14, 15, 16], [0, 4, 5, 8, 9, 12, 13, 16, 17, 20]
    expected = [i / 100 for i in body] + [0.4 + i / 100 for i in hand] + [0.7 + i / 100 for i in hand]
    np.testing.assert_allclose(points[:, 0], expected, atol=1e-6)
    np.testing.assert_allclose(points[:, 1], [i / 50 for i in body + hand + hand], atol=1e-6)


def test_the_aspect_is_undone() -> None:
    wide, square = keypoints(landmarks(1280, 720)), keypoints(landmarks(720, 720))
    np.testing.assert_allclose(wide[:, 0], square[:, 0] * 16 / 9, rtol=1e-6)
    np.testing.assert_array_equal(wide[:, 1], square[:, 1])


def test_absent_and_hardly_visible_joints_are_nan() -> None:
    seen = landmarks()
    seen.left_hand[:] = np.nan
    seen.pose[11, 3] = 0.05
    points = keypoints(seen)
    assert np.isnan(points[LEFT_HAND : LEFT_HAND + 10]).all()
    assert np.isnan(points[LEFT_SHOULDER]).all()
    assert not np.isnan(np.delete(points, [LEFT_SHOULDER, *range(LEFT_HAND, LEFT_HAND + 10)], 0)).any()


def test_a_mirrored_camera_gives_the_same_joints_as_a_plain_one() -> None:
    plain = landmarks()
    mirrored = landmarks()
    mirrored.pose[:, 0] = 1 - plain.pose[:, 0]
    swapped = [0, 4, 5, 6, 1, 2, 3, 8, 7, 10, 9, *(i + (1 if i % 2 else -1) for i in range(11, 33))]
    mirrored.pose[:] = mirrored.pose[swapped]
    for to, of in ((mirrored.left_hand, plain.right_hand), (mirrored.right_hand, plain.left_hand)):
        to[:] = of
        to[:, 0] = 1 - of[:, 0]
    np.testing.assert_allclose(keypoints(mirrored, mirrored=True), keypoints(plain), atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(st.floats(0.3, 3), st.floats(-1, 1), st.floats(-1, 1), st.integers(8, 34))
def test_it_does_not_matter_how_near_the_person_is_or_where(
    scale: float, dx: float, dy: float, length: int
) -> None:
    track = signing(length)
    moved = track.copy()
    moved[..., :2] = track[..., :2] * np.float32(scale) + np.array([dx, dy], np.float32)
    np.testing.assert_allclose(window_input(moved), window_input(track), atol=2e-4)


def test_a_window_is_resampled_at_sixteen_even_instants() -> None:
    length = 31
    track = signing(length)
    first = window_input(track)
    at = np.linspace(0, length - 1, TICKS)
    wrist = np.interp(at, np.arange(length), track[:, RIGHT_HAND, 0].astype(np.float64))
    place = (wrist - 0.6) / 0.4  # shoulders: middle at x = 0.6, 0.4 wide
    np.testing.assert_allclose(first[2, :, RIGHT_HAND], place, atol=1e-5)


def test_a_short_drop_out_is_bridged_and_told_apart() -> None:
    track = signing(16)
    track[:, RIGHT_HAND : RIGHT_HAND + 10, 0] = (
        np.arange(16, dtype=np.float32)[:, None] / 100 + track[:1, RIGHT_HAND : RIGHT_HAND + 10, 0]
    )
    track[:, RIGHT_HAND : RIGHT_HAND + 10, 1] = track[:1, RIGHT_HAND : RIGHT_HAND + 10, 1]
    gap = track.copy()
    gap[5:9, RIGHT_HAND : RIGHT_HAND + 10] = np.nan
    whole, bridged = window_input(track), window_input(gap)
    np.testing.assert_allclose(bridged[2, :, RIGHT_HAND], whole[2, :, RIGHT_HAND], atol=1e-5)
    np.testing.assert_array_equal(bridged[15, :, RIGHT_HAND], [1] * 5 + [0] * 4 + [1] * 7)
    assert bridged[14, :, RIGHT_HAND].all()


def test_a_long_gap_stays_a_gap_and_is_zero_in_every_channel() -> None:
    track = signing(30)
    track[6:24, LEFT_HAND : LEFT_HAND + 10] = np.nan
    found = window_input(track)
    hole = found[14, :, LEFT_HAND] == 0
    assert hole.sum() >= 8
    assert (found[:, hole, LEFT_HAND] == 0).all()


def test_an_absent_body_or_hand_leaves_what_is_left_as_it_was() -> None:
    track = signing()
    whole = window_input(track)
    track[:, :LEFT_HAND] = np.nan
    hands = window_input(track)
    own = [0, 1, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 17]
    np.testing.assert_allclose(hands[own, :, LEFT_HAND:], whole[own, :, LEFT_HAND:], atol=1e-6)
    assert (hands[[2, 3, 16]] == 0).all()
    assert (hands[:, :, :LEFT_HAND] == 0).all()


def test_the_same_window_gives_the_same_bits_whatever_came_before() -> None:
    track = signing(40)
    first = window_input(track[10:26])
    for at in range(20):
        window_input(track[at : at + 12])
    np.testing.assert_array_equal(window_input(track[10:26].copy()), first)


def test_an_empty_window_is_all_zero() -> None:
    empty = np.full((16, JOINTS, 3), np.nan, np.float32)
    assert (window_input(empty) == 0).all()
    assert window_input(empty).shape == (CHANNELS, TICKS, JOINTS)


def test_mirroring_twice_changes_nothing() -> None:
    track = signing()
    np.testing.assert_allclose(mirror(mirror(track, 1.3), 1.3), track, atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 27, 3), (16, 26, 3), (16, 27, 2), (16, 27)])
def test_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="window must be"):
        window_input(np.zeros(shape, np.float32))
