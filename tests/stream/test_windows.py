"""If these fail, encoders see ticks of other times, of other segments, or of lost frames as if they were seen."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from engines.landmarks import Landmarks
from stream.clock import Tick
from stream.windows import WindowBuffer

NOBODY = Landmarks.absent(640, 480, "test")


def tick(index: int, *, segment: int = 0, lost: bool = False) -> Tick:
    return Tick(index=index, segment=segment, landmarks=NOBODY, interpolated=False, lost=lost, captured_ns=0)


def features(index: int) -> NDArray[np.float32]:
    return np.full((2, 3), index, np.float32)


def test_windows_hold_the_newest_ticks_in_order_for_ever() -> None:
    buffer = WindowBuffer((3, 5))
    for index in range(100):
        windows = buffer.push(tick(index), features(index))
        assert [len(window.features) for window in windows] == [n for n in (3, 5) if n <= index + 1]
        for window in windows:
            expected = list(range(window.start_tick, index + 1))
            assert window.end_tick == index
            assert window.features[:, 0, 0].tolist() == expected


@pytest.mark.parametrize(
    "following",
    [
        tick(11, segment=1),  # a reconnect: the clock may even go on without a gap
        tick(14),  # ticks are missing
    ],
)
def test_no_window_spans_a_break(following: Tick) -> None:
    buffer = WindowBuffer((4,))
    for index in range(11):
        buffer.push(tick(index), features(index))
    found = [buffer.push(following, features(following.index))]
    for step in range(1, 4):
        after = tick(following.index + step, segment=following.segment)
        found.append(buffer.push(after, features(after.index)))
    assert [len(windows) for windows in found] == [0, 0, 0, 1]
    assert found[3][0].start_tick == following.index


def test_a_window_says_that_it_spans_lost_ticks_until_they_have_left_it() -> None:
    buffer = WindowBuffer((4,))
    said = [
        [window.lost for window in buffer.push(tick(index, lost=index == 5), features(index))]
        for index in range(12)
    ]
    assert [index for index, lost in enumerate(said) if lost == [True]] == [5, 6, 7, 8]


def test_memory_does_not_grow() -> None:
    buffer = WindowBuffer((16, 30))
    buffer.push(tick(0), features(0))
    held = buffer._features
    for index in range(1, 1000):
        buffer.push(tick(index), features(index))
    assert buffer._features is held


@pytest.mark.parametrize("lengths", [(), (1,), (16, 0)])
def test_lengths_that_are_no_windows_are_refused(lengths: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="at least 2 ticks"):
        WindowBuffer(lengths)
