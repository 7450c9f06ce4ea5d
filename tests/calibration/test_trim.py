"""If these fail, exemplars contain the way to the sign or lack a part of it, and nothing is recognised by them."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from calibration.trim import trim
from engines.errors import NoPersonError, NoRaisedHandError
from engines.landmarks import PARTS, LandmarkTrack

WIDTH = 0.2  # of the shoulders, in frame heights
REST = 1.6  # shoulder widths below the shoulders


def smooth_step(ticks: int) -> NDArray[np.float64]:
    """Minimum-jerk from 0 to 1 (Flash and Hogan 1985)."""
    t = np.linspace(0, 1, ticks)
    return np.asarray(10 * t**3 - 15 * t**4 + 6 * t**5)


def raised(sign: NDArray[np.float64], *, wait: int = 15, way: int = 10) -> NDArray[np.float64]:
    """Heights of a wrist that waits, comes up, signs, goes down and waits, in shoulder widths below the shoulders."""
    up = REST + (sign[0] - REST) * smooth_step(way)
    down = sign[-1] + (REST - sign[-1]) * smooth_step(way)
    return np.concatenate([np.full(wait, REST), up, sign, down, np.full(wait, REST)])


def track(right: NDArray[np.float64], left: NDArray[np.float64] | None = None) -> LandmarkTrack:
    ticks = len(right)
    left = np.full(ticks, REST) if left is None else left
    parts = {name: np.full((ticks, *shape), np.nan, np.float32) for name, shape in PARTS.items()}
    pose = parts["pose"]
    pose[:] = 0.5
    pose[:, 11, 0], pose[:, 12, 0] = 0.5 + WIDTH / 2, 0.5 - WIDTH / 2
    pose[:, [11, 12], 1] = 0.3
    pose[:, 15, 1] = 0.3 + WIDTH * left
    pose[:, 16, 1] = 0.3 + WIDTH * right
    return LandmarkTrack(**parts, width=480, height=480, estimator="test")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "sign",
    [
        np.full(20, 0.0),  # a hold in front of the face
        np.linspace(-0.4, 0.8, 20),  # from the head down to the belly: THANK-YOU
        0.2 + 0.2 * np.sin(np.linspace(0, 12, 30)),  # repeated movement
    ],
)
def test_the_ways_up_and_down_are_cut_off(sign: NDArray[np.float64]) -> None:
    kept = trim(track(raised(sign)))
    assert abs(kept.first_tick - 25) <= 4
    assert abs(kept.last_tick - (25 + len(sign))) <= 4


def test_the_first_hand_to_arrive_begins_the_sign() -> None:
    right = raised(np.full(30, 0.0))
    left = raised(np.full(15, 0.4), wait=15 + 15 // 2)
    left = np.pad(left, (0, len(right) - len(left)), constant_values=REST)
    assert abs(trim(track(right, left)).first_tick - 25) <= 4


def test_a_clip_that_is_cut_already_is_kept_whole() -> None:
    kept = trim(track(0.2 + 0.1 * np.sin(np.linspace(0, 6, 25))))
    assert (kept.first_tick, kept.last_tick) == (0, 25)


def test_a_hand_that_drops_for_an_instant_does_not_split_the_sign() -> None:
    sign = np.full(30, 0.1)
    sign[14:17] = 1.4
    kept = trim(track(raised(sign)))
    assert kept.last_tick - kept.first_tick >= 26


def test_what_was_cut_is_said_in_seconds() -> None:
    text = str(trim(track(raised(np.full(20, 0.0)))))
    assert "of 2.80 s" in text
    assert "hands up at" in text


def test_nobody_in_the_clip() -> None:
    empty = track(np.full(40, REST))
    empty.pose[:30] = np.nan
    with pytest.raises(NoPersonError, match="25% of it: film one person"):
        trim(empty)


def test_no_hand_is_raised() -> None:
    with pytest.raises(NoRaisedHandError, match="begin and end with the hands down"):
        trim(track(REST + 0.05 * np.sin(np.linspace(0, 9, 60))))
