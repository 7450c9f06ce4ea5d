"""Crops: around the nose, smooth, padded, said to be missing where nobody is, and the same at any size."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from engines.crop import HOLD_S, SHOULDER_WIDTHS, CropTracker, FrameCrop, KeptCrop
from engines.features import I3D, SMALL_I3D
from engines.landmarks import Landmarks, LandmarkTrack

WIDTH, HEIGHT = 640, 480
NOBODY = Landmarks.absent(WIDTH, HEIGHT, "test")


def gradient(width: int = WIDTH, height: int = HEIGHT) -> NDArray[np.uint8]:
    """Red grows to the right, green downwards."""
    red = np.tile(np.linspace(0, 255, width), (height, 1))
    green = np.tile(np.linspace(0, 255, height), (width, 1)).T
    return np.stack([red, green, np.zeros_like(red)], -1).astype(np.uint8)


def pose(x: float = 0.5, y: float = 0.4, shoulders: float = 0.2) -> NDArray[np.float32]:
    """Nose at (x, y), shoulders so far apart, in units of the picture."""
    points = np.zeros((33, 4), np.float32)
    points[:, 3] = 1
    points[0, :2] = x, y
    points[11, :2] = x + shoulders / 2, y + 0.2
    points[12, :2] = x - shoulders / 2, y + 0.2
    return points


def followed(tracker: CropTracker, points: NDArray[np.float32], pts_s: float) -> FrameCrop:
    crop = tracker.follow(gradient(), points, pts_s)
    assert crop is not None
    return crop


def test_a_crop_is_around_the_nose_and_as_large_as_the_shoulders_say() -> None:
    crop = followed(CropTracker(), pose(0.5, 0.5, 0.2), 0.0)
    assert (crop.x, crop.y) == pytest.approx((320, 240), abs=1e-3)
    assert crop.side == pytest.approx(SHOULDER_WIDTHS * 0.2 * WIDTH, rel=1e-6)
    middle = crop.at(96)[47:49, 47:49].mean((0, 1))
    assert middle[:2] == pytest.approx([127.5, 127.5], abs=2)


@pytest.mark.parametrize("size", [96, 224, 512])
def test_every_size_shows_the_same(size: int) -> None:
    crop = FrameCrop(gradient(), 320, 240, 400)
    corners = crop.at(size)[[0, 0, -1, -1], [0, -1, 0, -1]].astype(float)
    left, right = 255 * np.array([120, 520]) / WIDTH
    top, bottom = 255 * np.array([40, 440]) / HEIGHT
    expected = [[left, top], [right, top], [left, bottom], [right, bottom]]
    np.testing.assert_allclose(corners[:, :2], expected, atol=3)


@pytest.mark.parametrize(
    ("x", "y"),
    [(0, 0), (WIDTH, HEIGHT), (WIDTH, 0), (-500, 100), (300, 5000)],
    ids=["top left", "bottom right", "top right", "outside, left", "far below"],
)
def test_what_is_outside_the_frame_is_its_edge(x: float, y: float) -> None:
    image = gradient()
    picture = FrameCrop(image, x, y, 300).at(96)
    assert picture.shape == (96, 96, 3)
    # Every row and column is where it belongs: as if the frame went on as it ends.
    columns = np.clip(x - 150 + (np.arange(96) + 0.5) / 96 * 300, 0, WIDTH - 1) / (WIDTH - 1) * 255
    rows = np.clip(y - 150 + (np.arange(96) + 0.5) / 96 * 300, 0, HEIGHT - 1) / (HEIGHT - 1) * 255
    np.testing.assert_allclose(picture[48, :, 0], columns, atol=4)
    np.testing.assert_allclose(picture[:, 48, 1], rows, atol=4)


def test_a_crop_moves_smoothly_and_arrives() -> None:
    tracker = CropTracker()
    followed(tracker, pose(0.4), 0.0)
    places = [followed(tracker, pose(0.5), 0.04 * tick).x for tick in range(1, 60)]
    steps = np.diff([0.4 * WIDTH, *places])
    assert (steps > 0).all()
    assert steps.max() < 10  # of 64 pixels
    assert places[-1] == pytest.approx(0.5 * WIDTH, abs=1)


def test_a_turn_of_the_shoulders_makes_nobody_smaller_at_once() -> None:
    tracker = CropTracker()
    whole = followed(tracker, pose(shoulders=0.2), 0.0).side
    turned = [followed(tracker, pose(shoulders=0.1), 0.04 * tick).side for tick in range(1, 8)]
    assert turned[-1] > 0.85 * whole


def test_the_rate_of_the_frames_does_not_matter() -> None:
    slow, fast = CropTracker(), CropTracker()
    for tracker, rate in ((slow, 10), (fast, 50)):
        followed(tracker, pose(0.4), 0.0)
        for number in range(1, rate + 1):
            crop = followed(tracker, pose(0.6), number / rate)
        assert crop.x == pytest.approx(0.4 * WIDTH + 0.2 * WIDTH * (1 - np.exp(-1 / 0.3)), abs=0.01)


def test_a_short_loss_is_held_and_a_long_one_is_said() -> None:
    tracker = CropTracker()
    crop = followed(tracker, pose(), 0.0)
    held = followed(tracker, NOBODY.pose, HOLD_S - 0.04)
    assert (held.x, held.y, held.side) == (crop.x, crop.y, crop.side)
    assert tracker.follow(gradient(), NOBODY.pose, HOLD_S + 0.04) is None
    again = followed(tracker, pose(0.8), HOLD_S + 0.08)
    assert again.x == pytest.approx(0.8 * WIDTH)  # a new beginning: it does not drift there
    assert CropTracker().follow(gradient(), NOBODY.pose, 0.0) is None


def test_a_picture_of_another_size_is_a_new_beginning() -> None:
    tracker = CropTracker()
    followed(tracker, pose(0.4), 0.0)
    crop = tracker.follow(gradient(1280, 720), pose(0.6), 0.04)
    assert crop is not None
    assert crop.x == pytest.approx(0.6 * 1280)


def test_kept_crops_show_the_same_and_can_be_turned() -> None:
    crop = FrameCrop(gradient(), 320, 240, 300)
    kept = crop.kept()
    assert len(kept.jpeg) < 10_000
    np.testing.assert_allclose(kept.at(96).astype(int), crop.at(96), atol=4)

    np.testing.assert_allclose(kept.turned().at(96)[:, ::-1].astype(int), kept.at(96), atol=1)
    assert kept.turned().turned() == kept
    with pytest.raises(ValueError, match="no JPEG"):
        KeptCrop(b"nothing").at(96)


def test_pictures_are_prepared_at_their_size_mirrored_and_black_without_a_signer() -> None:
    crop = FrameCrop(gradient(), 320, 240, 300)
    landmarks = Landmarks(
        **{name: getattr(NOBODY, name) for name in ("pose", "left_hand", "right_hand", "pose_world")},
        left_hand_world=NOBODY.left_hand_world,
        right_hand_world=NOBODY.right_hand_world,
        width=WIDTH,
        height=HEIGHT,
        estimator="test",
        crop=crop,
    )
    np.testing.assert_array_equal(SMALL_I3D.tick(landmarks), crop.at(96))
    np.testing.assert_array_equal(I3D.tick(landmarks, mirrored=True), crop.at(224)[:, ::-1])
    assert not SMALL_I3D.tick(NOBODY).any()
    assert landmarks.kept().crop == crop.kept()


def test_a_window_of_any_length_is_as_many_pictures_as_the_network_takes() -> None:
    ticks = np.arange(20, dtype=np.uint8)[:, None, None, None] * np.ones((1, 96, 96, 3), np.uint8)
    chosen = SMALL_I3D.window_input(ticks)[:, 0, 0, 0]
    assert list(chosen) == [0, 3, 5, 8, 11, 14, 16, 19]
    assert list(SMALL_I3D.window_input(ticks[:2])[:, 0, 0, 0]) == [0, 0, 0, 0, 1, 1, 1, 1]


def test_a_track_keeps_the_crops_of_its_ticks() -> None:
    crop = FrameCrop(gradient(), 320, 240, 300)
    seen = NOBODY.kept()
    with_crop = Landmarks(
        **{name: getattr(seen, name) for name in seen.__slots__ if name != "crop"}, crop=crop
    )
    track = LandmarkTrack.of([seen, with_crop, seen])
    assert track.crops == (None, crop.kept(), None)
    assert track.at(1).crop == crop.kept()
    assert track.cut(1, 3).crops == (crop.kept(), None)
    assert LandmarkTrack.of([seen]).crops == ()
    with pytest.raises(ValueError, match="1 crops do not go with 3 ticks"):
        LandmarkTrack(
            **{name: getattr(track, name) for name in track.__slots__ if name != "crops"}, crops=(None,)
        )
