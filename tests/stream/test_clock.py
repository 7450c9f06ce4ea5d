"""The same signing must give the same ticks, whatever the camera's frame rate."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.landmarks import PARTS, Landmarks
from stream.clock import Tick, TickClock

SECONDS = 10.0
AMPLITUDE = 0.2
SWING_RAD_S = 2 * math.pi * 1.5  # a hand that waves 1.5 times a second


def position(at_s: float) -> float:
    return 0.5 + AMPLITUDE * math.sin(SWING_RAD_S * at_s)


def moving(at_s: float, *, absent: tuple[str, ...] = (), size: tuple[int, int] = (640, 480)) -> Landmarks:
    """Landmarks whose every coordinate is the waving hand's position."""
    parts: dict[str, Any] = {
        name: np.full(shape, np.nan if name in absent else position(at_s), np.float32)
        for name, shape in PARTS.items()
    }
    return Landmarks(**parts, width=size[0], height=size[1], estimator="test")


def run(
    times_s: Iterable[float],
    *,
    clock: TickClock | None = None,
    connection: int = 0,
    stride: int = 1,
    see: Callable[[float], Landmarks] = moving,
) -> tuple[list[float], list[Tick]]:
    """Play frames at these times; returns the times that were posed and the ticks."""
    clock = clock or TickClock()
    posed, ticks = [], []
    for at_s in times_s:
        if clock.wants(at_s, connection, stride=stride):
            posed.append(at_s)
            ticks += clock.push(see(at_s), at_s, connection, round(at_s * 1e9))
    return posed, ticks


def steady(fps: float, seconds: float = SECONDS) -> list[float]:
    return [number / fps for number in range(int(seconds * fps) + 1)]


@pytest.mark.parametrize(
    ("fps", "widest_gap_s"),
    [
        (12, 1 / 12),  # a slow IP camera: every frame is posed
        (25, 1 / 25),
        (30000 / 1001, 2 / 29.97),  # NTSC: every sixth frame is left out, its neighbours are 67 ms apart
        (30, 2 / 30),
        (50, 1 / 25),
        (60, 3 / 60),
    ],
)
def test_every_frame_rate_gives_the_same_ticks(fps: float, widest_gap_s: float) -> None:
    posed, ticks = run(steady(fps))
    assert [tick.index for tick in ticks] == list(range(len(ticks)))
    assert len(ticks) >= SECONDS * 25 - 2
    assert len(posed) <= SECONDS * 25 + 1, "more frames were posed than there are ticks"
    assert max(np.diff(posed)) <= widest_gap_s + 1e-9
    # Linear interpolation over h misses a curve by at most h^2/8 of its second derivative; a frame that counts as
    # being at an instant may be 3 ms off, at full speed.
    tolerance = AMPLITUDE * (SWING_RAD_S**2 * widest_gap_s**2 / 8 + SWING_RAD_S * 0.003) + 1e-6
    for tick in ticks:
        assert tick.landmarks.pose[0, 0] == pytest.approx(position(tick.index * 0.04), abs=tolerance)
        assert not tick.lost
        assert tick.segment == 0


@pytest.mark.parametrize("fps", [25, 50])
@pytest.mark.parametrize("start_s", [0.0, 3600.0, 86400.0])  # float seconds grow coarser during a long run
def test_25_and_50_fps_are_posed_once_a_tick_and_never_interpolated(fps: int, start_s: float) -> None:
    times_s = [start_s + number / fps for number in range(20 * fps)]
    posed, ticks = run(times_s)
    assert len(posed) == len(ticks) == 20 * 25
    assert [tick.landmarks.pose[0, 0] for tick in ticks] == [np.float32(position(at_s)) for at_s in posed]
    assert not any(tick.interpolated for tick in ticks)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-0.0025, 0.0025), min_size=50, max_size=50), st.sampled_from([25, 50]))
def test_a_jittering_camera_is_still_posed_once_a_tick(jitter_s: list[float], fps: int) -> None:
    times_s = [number / fps + shift for number, shift in enumerate(jitter_s)]
    posed, ticks = run(times_s)
    assert len(ticks) == len(posed) == math.ceil(len(times_s) * 25 / fps)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0.004, 1.5), min_size=2, max_size=60), st.sampled_from([1, 2, 4]))
def test_ticks_of_a_variable_rate_stream_keep_their_promises(steps_s: list[float], stride: int) -> None:
    times_s = np.cumsum(steps_s).tolist()
    posed, ticks = run(times_s, stride=stride)
    assert all(later.index > earlier.index for earlier, later in itertools.pairwise(ticks))
    for earlier, later in itertools.pairwise(ticks):
        if later.segment == earlier.segment:
            assert later.index == earlier.index + 1, "a segment has a hole"
    for tick in ticks:
        before = max((at_s for at_s in posed if at_s <= tick.pts_s), default=-math.inf)
        after = min((at_s for at_s in posed if at_s >= tick.pts_s), default=math.inf)
        at = [at_s for at_s in posed if abs(at_s - tick.pts_s) <= 0.003]
        gap_s = 0.0 if at else after - before
        assert gap_s <= 1.0 + 1e-5, "a tick inside a break"
        assert tick.lost == (gap_s > 0.2 + 1e-6)
        assert tick.interpolated == (0.06 + 1e-6 < gap_s <= 0.2 + 1e-6)
        assert bool(np.isnan(tick.landmarks.pose).all()) == tick.lost
        assert tick.captured_ns >= round(before * 1e9) if before > 0 else True


def test_a_tick_is_emitted_by_the_first_posed_frame_at_or_after_it() -> None:
    clock = TickClock()
    assert [tick.index for tick in clock.push(moving(0.0), 0.0, 0, 1)] == [0]
    assert not clock.wants(0.0333, 0)
    assert clock.wants(0.0667, 0)
    ticks = clock.push(moving(0.0667), 0.0667, 0, 2)
    assert [(tick.index, tick.captured_ns) for tick in ticks] == [(1, 2)]


def test_asking_changes_nothing() -> None:
    clock = TickClock()
    clock.push(moving(0.0), 0.0, 0, 0)
    assert [clock.wants(0.05, 0) for _ in range(3)] == [True] * 3
    assert not clock.wants(0.02, 0)


def test_what_is_between_two_frames_is_weighted_by_time() -> None:
    _, ticks = run([0.0, 0.05], see=lambda at_s: moving(at_s))
    start, end = position(0.0), position(0.05)
    assert ticks[1].landmarks.right_hand[4, 1] == pytest.approx(start + (end - start) * 0.8, abs=1e-6)
    assert not ticks[1].interpolated


def test_a_face_is_between_the_faces_of_two_frames_or_the_nearer_one() -> None:
    def see(at_s: float) -> Landmarks:
        return replace(moving(at_s), face=None if at_s > 0.1 else np.full((70, 2), at_s, np.float32))

    _, ticks = run([0.0, 0.05, 0.15], see=see)
    faces = [None if tick.landmarks.face is None else float(tick.landmarks.face[30, 1]) for tick in ticks]
    assert faces == pytest.approx([0.0, 0.04, 0.05, None], nan_ok=True)


def test_a_gap_up_to_200_ms_is_interpolated_and_flagged() -> None:
    _, ticks = run([0.0, 0.2])
    assert [(tick.index, tick.interpolated, tick.lost) for tick in ticks] == [
        (0, False, False),
        *[(index, True, False) for index in range(1, 5)],
        (5, False, False),
    ]


def test_a_gap_up_to_a_second_has_no_landmarks() -> None:
    _, ticks = run([0.0, 0.5])
    assert [tick.index for tick in ticks] == list(range(13))
    assert all(tick.lost and not tick.interpolated for tick in ticks[1:])
    assert np.isnan(ticks[6].landmarks.left_hand).all()
    assert {tick.segment for tick in ticks} == {0}


def test_a_longer_gap_begins_a_new_segment_without_ticks_in_between() -> None:
    clock = TickClock()
    run([0.0, 0.04], clock=clock)
    assert clock.breaks(1.2, 0)
    _, ticks = run([1.21, 1.25], clock=clock)
    assert [(tick.index, tick.segment) for tick in ticks] == [(31, 1)]
    assert ticks[0].landmarks.pose[0, 0] == pytest.approx((3 * position(1.25) + position(1.21)) / 4, abs=1e-6)


def test_a_reconnect_mixes_nothing_of_the_two_connections() -> None:
    clock = TickClock()
    run([0.0, 0.04, 0.07], clock=clock)
    _, ticks = run([0.09, 0.12], clock=clock, connection=1, see=lambda at_s: moving(at_s + 100))
    assert [(tick.index, tick.segment) for tick in ticks] == [(3, 1)]
    assert ticks[0].landmarks.pose[0, 0] == np.float32(position(100.12))


def test_a_reconnect_at_once_never_repeats_a_tick() -> None:
    clock = TickClock()
    run([0.0, 0.04, 0.08], clock=clock)
    _, ticks = run([0.081, 0.121], clock=clock, connection=1)
    assert [tick.index for tick in ticks] == [3]


@pytest.mark.parametrize("absent_first", [True, False])
def test_a_hand_that_drops_out_is_held_for_half_the_distance(absent_first: bool) -> None:
    def see(at_s: float) -> Landmarks:
        return moving(at_s, absent=("left_hand",) if (at_s == 0.0) == absent_first else ())

    _, ticks = run([0.0, 0.16], see=see)
    seen = [tick.landmarks.has("left_hand") for tick in ticks]
    assert seen == ([False, False, True, True, True] if absent_first else [True, True, True, False, False])
    assert all(tick.landmarks.has("right_hand") for tick in ticks)
    assert ticks[2].landmarks.left_hand[0, 0] == np.float32(position(0.16 if absent_first else 0.0))


def test_coordinates_of_two_picture_sizes_are_not_mixed() -> None:
    _, ticks = run([0.0, 0.12], see=lambda at_s: moving(at_s, size=(640, 480) if at_s == 0 else (480, 640)))
    assert [tick.landmarks.width for tick in ticks] == [640, 640, 480, 480]
    assert ticks[1].landmarks.pose[0, 0] == np.float32(position(0.0))


@pytest.mark.parametrize("stride", [2, 4])
def test_a_stride_poses_less_and_leaves_no_tick_out(stride: int) -> None:
    posed, ticks = run(steady(25), stride=stride)
    assert posed == [number / 25 for number in range(0, 251, stride)]
    assert [tick.index for tick in ticks] == list(range(251 - 250 % stride))
    assert not any(tick.lost for tick in ticks)


def test_a_frame_that_goes_back_in_time_is_refused() -> None:
    clock = TickClock()
    clock.push(moving(0.4), 0.4, 0, 0)
    assert not clock.wants(0.36, 0)
    with pytest.raises(ValueError, match=r"0\.36 s was pushed after one at 0\.4 s"):
        clock.push(moving(0.36), 0.36, 0, 0)


def test_the_same_frames_give_the_same_ticks_to_the_last_bit() -> None:
    times_s = np.cumsum(np.random.default_rng(7).uniform(0.01, 0.3, 200)).tolist()
    first, second = run(times_s)[1], run(times_s)[1]
    assert [tick.index for tick in first] == [tick.index for tick in second]
    for one, other in zip(first, second, strict=True):
        for name in PARTS:
            assert getattr(one.landmarks, name).tobytes() == getattr(other.landmarks, name).tobytes()
