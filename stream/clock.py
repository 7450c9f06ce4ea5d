"""The canonical clock: posed frames of any rate in, ticks at 25 Hz out."""

from __future__ import annotations

from dataclasses import dataclass

from engines.landmarks import Landmarks


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
        return self.index / 25
