"""`Observation`: what the pipeline hands to a user interface after every tick. Only the newest one counts."""

from __future__ import annotations

from dataclasses import dataclass

from stream.clock import Tick
from stream.events import Detection, Hypothesis, Status
from stream.frame import Frame
from stream.spotting import Bar


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One moment of a stream, as a view shows it. The frame's image is shared: draw on a copy."""

    frame: Frame  # the newest frame that was posed
    tick: Tick  # the newest tick, with its landmarks
    bars: tuple[Bar, ...]  # best similarities at this tick, best first; empty without a gallery
    detections: tuple[Detection, ...]  # the last few, oldest first
    status: Status | None  # the newest one; None before the first
    transcript: Hypothesis | None  # the newest revision of the running transcript
