"""What the 3D encoder sees: the same for a person near or far, and for a mirrored camera that is turned back."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from engines.encoders import load_encoder, load_encoders
from engines.errors import BundleError
from engines.joints import CHANNELS, LEFT_HAND, PRESENT, RIGHT_HAND, ROWS, mirror, moment, window_input
from engines.kinematics import JOINTS, LEFT_FINGERS, LEFT_WRIST, RIGHT_WRIST, landmark_angles
from engines.landmarks import Landmarks

Array = NDArray[np.float32]


def landmarks(seed: int = 0, *, scale: float = 1.0, left: bool = True) -> Landmarks:
    """Somebody in the middle of the picture, hands of random shape; everything in the picture times `scale`."""
    rng = np.random.default_rng(seed)
    seen = Landmarks.absent(640, 480, "test")
    centre = np.array([0.5, 0.5, 0.0])
    seen.pose[:, :3] = centre + scale * rng.normal(0, 0.1, (33, 3))
    seen.pose[11, :2], seen.pose[12, :2] = centre[:2] + scale * np.array([[0.1, 0.0], [-0.1, 0.0]])
    seen.pose[:, 3] = 0.9
    seen.pose_world[:] = rng.normal(0, 0.3, (33, 3))
    for hand, there in ((seen.left_hand, left), (seen.right_hand, True)):
        made = centre + scale * (rng.normal(0, 0.1, 3) * (1, 1, 0) + rng.normal(0, 0.03, (21, 3)))
        if there:
            hand[:] = made
    return seen


def track(*, scale: float = 1.0, left: bool = True) -> Array:
    return np.stack([moment(landmarks(seed, scale=scale, left=left)) for seed in range(20)])


def test_a_moment_holds_angles_and_places() -> None:
    seen = landmarks()
    rows = moment(seen)
    angles = landmark_angles(seen)
    assert rows.shape == (ROWS, 3)
    assert np.array_equal(rows[:9], angles[:9])
    assert rows[LEFT_HAND + 3 : LEFT_HAND + 18] == pytest.approx(
        angles[LEFT_FINGERS : LEFT_FINGERS + 15], abs=1e-6
    )
    wrist = seen.right_hand[0]
    assert rows[RIGHT_HAND, :2] == pytest.approx((wrist[0] * 640 / 480, wrist[1]), abs=1e-6)
    hand = seen.right_hand * np.array([640 / 480, 1, 640 / 480])
    assert rows[RIGHT_HAND, 2] == pytest.approx(np.linalg.norm(hand[9] - hand[0]), abs=1e-6)


def test_a_hand_that_is_not_seen_is_absent() -> None:
    rows = moment(landmarks(left=False))
    assert np.isnan(rows[LEFT_HAND : LEFT_HAND + 18]).all()
    assert not np.isnan(rows[RIGHT_HAND : RIGHT_HAND + 18]).any()
    given = window_input(track(left=False))
    assert not given[:, :, LEFT_WRIST].any()
    assert given[PRESENT, :, RIGHT_WRIST].all()


def test_a_window_does_not_change_with_the_persons_distance() -> None:
    assert window_input(track(scale=0.4)) == pytest.approx(window_input(track()), abs=2e-4)


def test_a_mirrored_camera_turned_back_sees_the_same() -> None:
    flipped = landmarks()
    for part in (flipped.pose, flipped.left_hand, flipped.right_hand):
        part[:, 0] = 1 - part[:, 0]
    flipped.pose_world[:, 0] *= -1
    # In the mirror the estimator calls the signer's left hand the right one.
    swapped = Landmarks.absent(640, 480, "test")
    sides = list(range(33))
    for a, b in ((1, 4), (2, 5), (3, 6), (7, 8), (9, 10), *((left, left + 1) for left in range(11, 33, 2))):
        sides[a], sides[b] = b, a
    swapped.pose[:], swapped.pose_world[:] = flipped.pose[sides], flipped.pose_world[sides]
    swapped.left_hand[:], swapped.right_hand[:] = flipped.right_hand, flipped.left_hand
    assert moment(swapped, mirrored=True) == pytest.approx(moment(landmarks()), abs=1e-5)
    assert mirror(mirror(moment(landmarks()))) == pytest.approx(moment(landmarks()), abs=1e-6)


def test_windows_of_any_length_fill_the_networks_input() -> None:
    for length in (2, 10, 28):
        given = window_input(np.resize(track(), (length, ROWS, 3)))
        assert given.shape == (CHANNELS, 16, JOINTS)
        assert np.isfinite(given).all()
    with pytest.raises(ValueError, match="48, 3"):
        window_input(np.zeros((16, 27, 3), np.float32))


def test_the_3d_encoder_that_ships_tells_hands_apart_and_repeats_to_the_bit() -> None:
    encoder = load_encoder("slgcn3d", estimator="test")
    windows = [track(), track()[::-1].copy(), track(left=False)]
    rows = encoder.embed(windows)
    assert np.linalg.norm(rows, axis=1) == pytest.approx(1.0, abs=1e-5)
    assert (rows @ rows.T)[np.triu_indices(3, 1)].max() < 0.99
    assert np.array_equal(encoder.embed(windows[1:2])[0], rows[1])


def test_encoders_of_one_name_cannot_be_used_together() -> None:
    both = load_encoders(["slgcn2d", "slgcn3d"], estimator="test")
    assert [one.name for one in both] == ["slgcn2d", "slgcn3d"]
    with pytest.raises(BundleError, match="one name: slgcn2d, slgcn2d"):
        load_encoders(["slgcn2d", "slgcn2d"], estimator="test")
