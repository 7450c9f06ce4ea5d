"""Joins what camera, pipeline and subscriber know of each frame and message to the way from glass to event."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from engines.errors import SourceError
from stream.events import Detection, LandmarksEvent, Message, Percentiles
from stream.glass.marker import read_marker
from stream.latency import percentiles
from stream.view import Observation


class Camera(Protocol):
    """What has to be known of a camera."""

    @property
    def sent_ns(self) -> Mapping[int, int]:
        """When each frame was sent, by its number."""
        ...

    def due_ns(self, number: float) -> int:
        """When a frame was due."""
        ...


@dataclass(frozen=True, slots=True)
class Seen:
    """A frame that completed a tick, and the messages of that tick."""

    number: int  # the camera's
    index: int  # the source's: counts decoded frames
    pts_s: float
    captured_ns: int
    done_ns: int
    messages: tuple[Detection | LandmarksEvent, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Glass:
    """The way from glass to event. Milliseconds; None where nothing of the kind happened."""

    sent_ms: Percentiles | None  # due -> encoded and sent, by the bench's own camera
    decoded_ms: Percentiles | None  # due -> decoded
    through_ms: Percentiles | None  # decoded -> received, ticks
    tick_ms: Percentiles | None  # due -> received, the whole way, ticks
    detection_ms: Percentiles | None  # due -> received, detections: the frame is the one that decided
    after_sign_ms: Percentiles | None  # the sign's end, as detected, was due -> received
    ticks: int
    detections: int
    frames: int  # the camera sent, from the first to the last that is counted here
    lost: int  # of them were never decoded
    unread: int  # frames whose number could not be read
    unheard: int  # messages that were sent and did not come
    ticks_ms: tuple[float, ...] = ()  # of `tick_ms`, in their order


@dataclass(slots=True)
class GlassLog:
    """Takes a pipeline's messages (as a sink) and its observer's calls."""

    seen: list[Seen] = field(default_factory=list)
    unread: int = 0
    _sent: list[Detection | LandmarksEvent] = field(default_factory=list)

    def send(self, message: Message) -> None:
        """Note a message of the tick at work."""
        if isinstance(message, Detection | LandmarksEvent):
            self._sent.append(message)

    def note(self, observation: Observation) -> None:
        """Note one finished tick."""
        done_ns = time.monotonic_ns()
        sent, self._sent = tuple(self._sent), []
        frame = observation.frame
        number = read_marker(frame.image)
        if number is None:
            self.unread += 1
            return
        self.seen.append(Seen(number, frame.index, frame.pts_s, frame.captured_ns, done_ns, sent))

    def report(
        self, camera: Camera, received_ns: Mapping[tuple[str, int], int], *, warm_up_s: float
    ) -> Glass:
        """Join what everybody knows.

        Args:
            camera: of the run.
            received_ns: when a subscriber had each message, by its kind and number; one that came before the first it
                heard does not count as lost.
            warm_up_s: left out, after the first tick.

        Raises:
            SourceError: no frame with a number came through, or none after the warm-up.
        """
        begin_ns = self.seen[0].done_ns + warm_up_s * 1e9 if self.seen else 0
        seen = [one for one in self.seen if one.done_ns >= begin_ns]
        if not seen:
            raise SourceError("no numbered frame came through after the warm-up: measure for longer")
        decoded = {one.number: (one.captured_ns - camera.due_ns(one.number)) / 1e6 for one in seen}
        zero_ns = float(np.median([camera.due_ns(one.number) - one.pts_s * 1e9 for one in seen]))
        through, ticks, detections, after_sign = [], [], [], []
        unheard = 0
        since = {kind: min(seq for one, seq in received_ns if one == kind) for kind, _ in received_ns}
        for one in seen:
            for message in one.messages:
                came_ns = received_ns.get((type(message).__name__, message.seq))
                if came_ns is None:
                    unheard += message.seq > since.get(type(message).__name__, -1)
                    continue
                whole_ms = (came_ns - camera.due_ns(one.number)) / 1e6
                if isinstance(message, Detection):
                    detections.append(whole_ms)
                    after_sign.append((came_ns - zero_ns - message.end_s * 1e9) / 1e6)
                else:
                    ticks.append(whole_ms)
                    through.append((came_ns - one.captured_ns) / 1e6)
        first, last = seen[0], seen[-1]
        frames = last.number - first.number
        sent = [
            (at_ns - camera.due_ns(number)) / 1e6
            for number, at_ns in dict(camera.sent_ns).items()
            if first.number <= number <= last.number
        ]
        return Glass(
            sent_ms=percentiles(sent),
            decoded_ms=percentiles(decoded.values()),
            through_ms=percentiles(through),
            tick_ms=percentiles(ticks),
            detection_ms=percentiles(detections),
            after_sign_ms=percentiles(after_sign),
            ticks=len(ticks),
            detections=len(detections),
            frames=frames,
            lost=frames - (last.index - first.index),
            unread=self.unread,
            unheard=unheard,
            ticks_ms=tuple(ticks),
        )
