"""`WindowBuffer`: ticks in, the windows of every wanted length that end at the newest tick out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.clock import Tick


@dataclass(frozen=True, slots=True, repr=False)
class Window:
    """Consecutive ticks of one segment. Both ends belong to it."""

    start_tick: int  # index of the oldest tick
    end_tick: int  # index of the newest tick
    features: NDArray[Any]  # (L, ...) prepared ticks; a view that holds until the next push
    lost: bool  # it spans ticks whose landmarks were lost

    def __repr__(self) -> str:
        return f"Window({self.start_tick}..{self.end_tick}{', lost' if self.lost else ''})"


class WindowBuffer:
    """The newest prepared ticks of one encoder, in fixed memory.

    Every tick is written twice, half a buffer apart, so that any window is one contiguous view and nothing is copied.
    """

    def __init__(self, lengths: Iterable[int]) -> None:
        """Set the lengths.

        Args:
            lengths: in ticks, each at least 2.

        Raises:
            ValueError: there are none, or one is shorter than 2.
        """
        self.lengths = tuple(sorted(set(lengths)))
        if not self.lengths or self.lengths[0] < 2:
            raise ValueError(f"window lengths must be at least 2 ticks, not {self.lengths}")
        self._capacity = self.lengths[-1]
        self._features: NDArray[Any] | None = None
        self._lost = np.zeros(2 * self._capacity, np.bool_)
        self._count = 0  # ticks of this segment
        self._segment = -1
        self._newest = -1

    def push(self, tick: Tick, features: NDArray[Any]) -> list[Window]:
        """Take in the prepared features of one tick.

        Args:
            tick: the newest tick; one of another segment, or that does not follow the last one, clears the buffer.
            features: the encoder's features of it, of the same shape and kind for every tick.

        Returns:
            The windows that end at this tick, the shortest first; fewer than lengths while the segment is young.
        """
        if self._features is None or self._features.shape[1:] != features.shape:
            self._features = np.zeros((2 * self._capacity, *features.shape), features.dtype)
            self._count = 0
        if tick.segment != self._segment or tick.index != self._newest + 1:
            self._count = 0
        place = self._count % self._capacity
        for copy in (place, place + self._capacity):
            self._features[copy] = features
            self._lost[copy] = tick.lost
        self._count += 1
        self._segment, self._newest = tick.segment, tick.index
        end = place + self._capacity + 1
        return [
            Window(
                start_tick=tick.index - length + 1,
                end_tick=tick.index,
                features=self._features[end - length : end],
                lost=bool(self._lost[end - length : end].any()),
            )
            for length in self.lengths
            if length <= self._count
        ]
