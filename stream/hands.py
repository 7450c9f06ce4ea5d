"""Where the hands hurry: between signs. Begin and end of a sign are settled there.

Windows say roughly when a sign was made: one that lacks a bit of it, or holds a bit of the next, is as like the exemplar.
Annotators of sentences let one sign end about where the next begins, half-way through the hands' move from one to the
other, where they are fastest (a hand's aimed movement has its peak of speed in the middle; Flash and Hogan, "The
coordination of arm movements", 1985). Half of RWTH-BOSTON-104's signs follow upon one another within 0.07 s. So an edge
goes to the fastest moment near by: the farther off, the faster it has to be.
"""

from __future__ import annotations

import math
from collections import deque

import numpy as np
from numpy.typing import NDArray

from engines.landmarks import MIN_VISIBILITY, Landmarks

Floats = NDArray[np.float64]

SPREAD = 4.0
"""Ticks by which an edge is off, one deviation. The one free choice, made on RWTH-BOSTON-104's 870 signs with their begins and
ends put off at random: 3 to 5 put right as much as any (`benchmarks/begin_and_end.py`)."""
REACH = 8
"""Ticks that an edge may move."""
SHORTEST = 4.0
"""Ticks of a sign below which its edges stay where they were."""
KEPT = 256
"""Ticks that are remembered: a sign is decided long before."""
_ROOM = REACH + 3  # ticks about a sign whose places count, smoothing included
_WRISTS = (15, 16)  # MediaPipe's pose


class Hands:
    """Both wrists' places, tick by tick."""

    def __init__(self, kept: int | None = KEPT) -> None:
        """Start without a tick.

        Args:
            kept: how many ticks back; None for all.
        """
        self._ticks: deque[tuple[int, tuple[float, float, float, float]]] = deque(maxlen=kept)

    def push(self, index: int, landmarks: Landmarks) -> None:
        """Take in one tick, the next one's index being greater."""
        self._ticks.append((index, (*_wrist(landmarks, 0), *_wrist(landmarks, 1))))

    def reset(self) -> None:
        """Forget everything."""
        self._ticks.clear()

    def settled(self, first: float, last: float) -> tuple[float, float]:
        """Begin and end of a sign, moved to where the hands are fastest near by.

        Args:
            first: its begin, ticks.
            last: its end, ticks; the instant, not the last tick of it.
        """
        speed = self.speed(*around(first, last))
        return settle(first, last, speed, speed)

    def speed(self, first: int, last: int) -> Floats:
        """Speed of the faster hand at ticks `first` to `last`, in picture heights a tick; 0 where nothing is known."""
        out = np.zeros(max(last - first + 1, 0))
        known = [one for one in self._ticks if first - _ROOM <= one[0] <= last + _ROOM]
        if len(known) < 3:
            return out
        begin, end = known[0][0], known[-1][0]
        at = np.arange(begin, end + 1)
        seen_at = np.array([index for index, _ in known])
        places = np.array([place for _, place in known])
        for x, y in ((0, 1), (2, 3)):
            seen = ~np.isnan(places[:, x])
            if seen.sum() < 3:
                continue
            path = [_smooth(np.interp(at, seen_at[seen], places[seen, axis])) for axis in (x, y)]
            speed = np.hypot(*(np.gradient(one) for one in path))
            low, high = max(begin, first), min(end, last)
            if low <= high:
                here = slice(low - first, high - first + 1)
                out[here] = np.maximum(out[here], speed[low - begin : high - begin + 1])
        return _smooth(out)


def around(first: float, last: float) -> tuple[int, int]:
    """First and last tick that may have a say in where the edges of a sign settle; both belong to it."""
    return math.floor(first) - REACH, math.ceil(last) + REACH


def settle(first: float, last: float, begins: Floats, ends: Floats) -> tuple[float, float]:
    """Begin and end of a sign, each moved to where most draws it.

    Args:
        first: its begin, ticks.
        last: its end, ticks.
        begins: what draws a begin, for each tick of `around(first, last)`; only how values compare with the greatest counts.
        ends: the same for an end.
    """
    start, _ = around(first, last)
    moved = []
    for edge, draw in ((first, begins), (last, ends)):
        most = draw.max(initial=0.0)
        moved.append(edge + _step(edge - start, draw / most) if most > 0 else edge)
    begin, end = moved
    return (begin, end) if end - begin >= SHORTEST else (first, last)


def _wrist(landmarks: Landmarks, side: int) -> tuple[float, float]:
    """Place of a wrist, x and y in picture heights: the hand's own where it is seen, else the body's; NaN for none."""
    aspect = landmarks.width / landmarks.height
    hand = landmarks.right_hand if side else landmarks.left_hand
    body = landmarks.pose[_WRISTS[side]]
    if not math.isnan(hand[0, 0]):
        return float(hand[0, 0]) * aspect, float(hand[0, 1])
    if body[3] >= MIN_VISIBILITY:
        return float(body[0]) * aspect, float(body[1])
    return math.nan, math.nan


def _smooth(values: Floats) -> Floats:
    """The mean of three neighbours, at the ends with the end twice."""
    return np.convolve(np.pad(values, 1, mode="edge"), np.ones(3) / 3, mode="valid")


def _step(at: float, draw: Floats) -> float:
    """How far an edge at `at` goes: to where the draw, less the square of the way, is greatest. Ticks."""
    steps = np.arange(-REACH, REACH + 1, dtype=np.float64)
    gain = np.interp(at + steps, np.arange(len(draw)), draw, left=0.0, right=0.0) - (steps / SPREAD) ** 2 / 2
    return float(steps[gain.argmax()])
