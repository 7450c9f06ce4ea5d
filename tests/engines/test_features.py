"""What encoders see of a tick: the same of a hand that hangs, whether the picture ends above it or below it."""

from __future__ import annotations

import numpy as np
import pytest

from engines.features import ANGLES, KEYPOINTS, Features
from engines.landmarks import RESTING, Landmarks

SHOULDERS_AT, SHOULDERS = 0.3, 0.25  # in heights of the picture


def person(left_below: float, *, visibility: float = 1.0, seen: bool = True) -> Landmarks:
    """Upright, the right hand raised, the left wrist that many shoulder widths below the shoulders."""
    one = Landmarks.absent(640, 480, "test")
    one.pose[:] = (0.5, 0.5, 0, visibility)
    one.pose[[11, 12], 0] = 0.5 + np.array([0.5, -0.5]) * SHOULDERS * 480 / 640
    one.pose[[11, 12], 1] = SHOULDERS_AT
    fan = np.stack([np.linspace(0, 0.05, 21), np.linspace(0, 0.08, 21) ** 0.9, np.zeros(21)], 1)
    one.right_hand[:] = fan + np.array((0.35, 0.4, 0))
    if seen:
        one.left_hand[:] = fan + np.array((0.65, SHOULDERS_AT + left_below * SHOULDERS, 0))
    return one


@pytest.mark.parametrize("features", [KEYPOINTS, ANGLES], ids=lambda one: str(one.name))
@pytest.mark.parametrize("mirrored", [False, True])
def test_a_hand_that_hangs_is_as_one_outside_the_picture(features: Features, mirrored: bool) -> None:
    hanging = features.tick(person(RESTING + 0.1), mirrored=mirrored)
    np.testing.assert_array_equal(hanging, features.tick(person(0, seen=False), mirrored=mirrored))
    above = features.tick(person(RESTING - 0.1), mirrored=mirrored)
    assert np.isnan(above).sum() < np.isnan(hanging).sum()


def test_without_shoulders_no_hand_is_known_to_hang() -> None:
    guessed = person(RESTING + 0.1, visibility=0.2)
    assert guessed.without_resting() is guessed
    nobody = Landmarks.absent(640, 480, "test")
    assert nobody.without_resting() is nobody
