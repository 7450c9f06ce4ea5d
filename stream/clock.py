"""The canonical clock: posed frames of any rate in, ticks at 25 Hz out."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from engines.landmarks import PARTS, Landmarks
from engines.ticks import TICK_HZ

SNAP_S = 0.003
"""A frame this near to an instant counts as being at it and is not interpolated. Containers that round to whole
milliseconds and cameras whose 25 fps jitter by a few would otherwise skip every second picture; less than the
3.3 ms by which the frames of a 60 fps camera miss an instant, so that those are still interpolated."""
FLAG_S = 0.060
"""Neighbours farther apart than this mark the ticks between them as interpolated."""
LOST_S = 0.200
"""Neighbours farther apart than this leave the ticks between them without landmarks."""
BREAK_S = 1.0
"""Neighbours farther apart than this have nothing to do with one another: a new segment begins."""
_ROUNDING_S = 1e-6  # sums of float seconds are off by less than this for streams of a century


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """What is known at one instant of the canonical clock; instants are 40 ms of stream time apart."""

    index: int  # pts_s = index / 25
    segment: int  # counts stretches of unbroken time from 0; windows never span two
    landmarks: Landmarks  # interpolated between the posed frames around it; all NaN where frames were lost
    interpolated: bool  # its neighbours are more than 60 ms apart (a gap up to 200 ms)
    lost: bool  # its neighbours are more than 200 ms apart (a gap up to 1 s): landmarks are NaN
    captured_ns: int  # monotonic clock of the newest frame used

    @property
    def pts_s(self) -> float:
        """Stream seconds of this tick."""
        return self.index / TICK_HZ


@dataclass(frozen=True, slots=True)
class _Posed:
    """The newest posed frame."""

    landmarks: Landmarks
    pts_s: float
    connection: int


class TickClock:
    """Chooses which frames to pose and turns posed frames into ticks; by time stamps alone, so replay is exact."""

    def __init__(self) -> None:
        self._last: _Posed | None = None
        self._segment = -1
        self._next = 0  # index of the first tick that was not emitted

    def breaks(self, pts_s: float, connection: int) -> bool:
        """Whether a frame would start a new segment: the first, one of another connection, or after > 1 s."""
        last = self._last
        return last is None or connection != last.connection or _beyond(pts_s - last.pts_s, BREAK_S)

    def wants(self, pts_s: float, connection: int, *, stride: int = 1) -> bool:
        """Whether a frame is to be posed: the first of a segment, or the first at or after an instant.

        Asking changes nothing: the answer depends on the frames that were pushed.

        Args:
            pts_s: the frame's stream seconds.
            connection: the frame's connection.
            stride: pose at every n-th instant only; the ticks between are interpolated.
        """
        if self._last is None or self.breaks(pts_s, connection):
            return True
        return _newest_instant(pts_s) // stride > _newest_instant(self._last.pts_s) // stride

    def push(self, landmarks: Landmarks, pts_s: float, connection: int, captured_ns: int) -> list[Tick]:
        """Take in a posed frame and return the ticks that are complete with it, oldest first.

        Between two frames each part is interpolated linearly. A part that only one of the two shows is taken from
        that one by the ticks that are at least as near to it as to the other, and absent in the rest: a hand that
        drops out is held for half the distance, never moved. A tick's picture is the nearer frame's. Where the picture's size changed, all parts are taken
        from the nearer frame, since coordinates of two sizes do not mix.

        Args:
            landmarks: of the frame.
            pts_s: the frame's stream seconds.
            connection: the frame's connection.
            captured_ns: monotonic clock when the frame was decoded.

        Raises:
            ValueError: the frame is not newer than the last one of its segment.
        """
        newest = _newest_instant(pts_s)
        last = None if self.breaks(pts_s, connection) else self._last
        if last is None:
            self._segment += 1
            self._next = max(self._next, newest if _is_at(pts_s, newest) else newest + 1)
        elif pts_s <= last.pts_s:
            raise ValueError(f"a frame at {pts_s} s was pushed after one at {last.pts_s} s")
        self._last = posed = _Posed(landmarks, pts_s, connection)
        due = range(self._next, newest + 1)
        self._next = max(self._next, newest + 1)
        return [self._tick(index, last, posed, captured_ns) for index in due]

    def _tick(self, index: int, left: _Posed | None, right: _Posed, captured_ns: int) -> Tick:
        gap_s = 0.0 if left is None or _is_at(right.pts_s, index) else right.pts_s - left.pts_s
        lost = _beyond(gap_s, LOST_S)
        if left is None or gap_s == 0.0:
            landmarks = right.landmarks
        elif lost:
            landmarks = Landmarks.absent(
                right.landmarks.width, right.landmarks.height, right.landmarks.estimator
            )
        else:
            share = (index / TICK_HZ - left.pts_s) / gap_s
            landmarks = _between(left.landmarks, right.landmarks, share)
        return Tick(
            index=index,
            segment=self._segment,
            landmarks=landmarks,
            interpolated=not lost and _beyond(gap_s, FLAG_S),
            lost=lost,
            captured_ns=captured_ns,
        )


def _newest_instant(pts_s: float) -> int:
    """Index of the newest instant that a frame is at or after."""
    return math.floor((pts_s + SNAP_S) * TICK_HZ)


def _is_at(pts_s: float, index: int) -> bool:
    return abs(pts_s - index / TICK_HZ) <= SNAP_S


def _beyond(gap_s: float, limit_s: float) -> bool:
    return gap_s > limit_s + _ROUNDING_S


def _between(left: Landmarks, right: Landmarks, share: float) -> Landmarks:
    """Landmarks at `share` (0..1) of the way from `left` to `right`."""
    if (left.width, left.height) != (right.width, right.height):
        return left if share < 0.5 else right
    crop = left.crop if share < 0.5 else right.crop
    weight = np.float32(share)
    parts = {}
    for name in PARTS:
        before, after = getattr(left, name), getattr(right, name)
        in_left, in_right = left.has(name), right.has(name)
        if in_left and in_right:
            parts[name] = before * (1 - weight) + after * weight
        elif in_left:
            parts[name] = before if share <= 0.5 + _ROUNDING_S else after
        else:
            parts[name] = after if share >= 0.5 - _ROUNDING_S else before
    face = left.face if share < 0.5 else right.face
    if left.face is not None and right.face is not None:
        face = left.face * (1 - weight) + right.face * weight
    return Landmarks(
        **parts, width=right.width, height=right.height, estimator=right.estimator, crop=crop, face=face
    )
