"""The deterministic middle of the live path: frames to ticks, ticks to spottings.

Nothing here looks at a clock or a queue: given the same frames, levels and galleries, the results are the same to
the last bit. That is what makes replay exact. Threads, sockets and decisions about time are `stream.pipeline`'s.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from engines.crop import CropTracker
from engines.encoders import Encoder, SharedEncoder
from engines.pose.base import PartedPose, PoseEstimator
from stream.clock import Tick, TickClock
from stream.degradation import Level
from stream.frame import Frame
from stream.gallery import Gallery
from stream.spotting import Scores, Similarity, Spotted, Spotter
from stream.windows import Window, WindowBuffer


def milliseconds_since(start_ns: int) -> float:
    """Milliseconds of the monotonic clock since `start_ns`."""
    return (time.monotonic_ns() - start_ns) / 1e6


class PoseStage:
    """Frames in, ticks out: chooses the frames to pose, poses them, interpolates."""

    def __init__(self, estimator: PoseEstimator, *, pictures: bool = False) -> None:
        """Start with no frame seen.

        Args:
            estimator: poses the frames.
            pictures: ticks are to have the signer's crop, for encoders that look at pictures.
        """
        self._estimator = estimator
        self._crops = CropTracker() if pictures else None
        self._clock = TickClock()
        self.pose_ms = 0.0  # work of the last `estimate`
        self.parts_ms: Mapping[str, float] = {}  # of it, by part, where the estimator tells
        self.ticks_ms = 0.0  # work of the last interpolation

    def wants(self, frame: Frame, level: Level) -> bool:
        """Whether this frame is to be posed; by its time stamp and the level alone."""
        return self.wants_at(frame.pts_s, frame.connection, level)

    def wants_at(self, pts_s: float, connection: int, level: Level) -> bool:
        """The same for a frame of which only the time stamp and the connection are at hand."""
        return self._clock.wants(pts_s, connection, stride=level.pose_stride)

    def pose(self, frame: Frame) -> list[Tick]:
        """Pose a wanted frame and return the ticks that are complete with it.

        Raises:
            PoseError: the estimator cannot take the picture.
        """
        start_ns = time.monotonic_ns()
        if self._clock.breaks(frame.pts_s, frame.connection):
            self._estimator.reset()
            if self._crops is not None:
                self._crops.reset()
        landmarks = self._estimator.estimate(frame.image)
        if self._crops is not None:
            crop = self._crops.follow(frame.image, landmarks.pose, frame.pts_s)
            landmarks = replace(landmarks, crop=crop)
        self.pose_ms = milliseconds_since(start_ns)
        self.parts_ms = self._estimator.parts_ms if isinstance(self._estimator, PartedPose) else {}
        start_ns = time.monotonic_ns()
        ticks = self._clock.push(landmarks, frame.pts_s, frame.connection, frame.captured_ns)
        self.ticks_ms = milliseconds_since(start_ns)
        return ticks


@dataclass(slots=True)
class _Lane:
    """One encoder with its windows."""

    encoder: Encoder
    windows: WindowBuffer


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one tick gave."""

    ended: tuple[
        Spotted, ...
    ] = ()  # decided because this tick begins a new segment; they belong to the old one
    spotted: tuple[Spotted, ...] = ()
    scores: Scores | None = None  # of the windows that end at this tick; None without a gallery
    embeddings: Mapping[tuple[str, int], NDArray[np.float32]] = field(
        default_factory=dict
    )  # of shared encoders: (encoder, window's length) -> (D,) of the window that ends at this tick
    work_ms: Mapping[str, float] = field(default_factory=dict)  # stage -> work on this tick
    wait_ms: Mapping[str, float] = field(default_factory=dict)  # encoder -> wait for other streams' windows


class SpottingStage:
    """Ticks in, spottings out: features, windows, embeddings, similarity to the gallery, open-set decision."""

    def __init__(
        self, encoders: Sequence[Encoder], gallery: Gallery | None, *, shared: Collection[str] = ()
    ) -> None:
        """Begin a stream.

        Args:
            encoders: embed windows.
            gallery: what is spotted; None to spot nothing.
            shared: names of encoders whose embeddings someone else uses too, with a gallery or without.
        """
        self._shared = frozenset(shared)
        self._lanes = [_Lane(encoder, WindowBuffer(encoder.window_lengths)) for encoder in encoders]
        self._segment: int | None = None
        self._similarity: Similarity | None = None
        self._spotter: Spotter | None = None
        self.take(gallery)

    @property
    def spotter(self) -> Spotter | None:
        """The online decision, whose bars a view shows; None without a gallery."""
        return self._spotter

    def take(self, gallery: Gallery | None) -> None:
        """Use another gallery from the next tick on; signs in progress start over.

        Raises:
            GalleryMismatch: its exemplars were embedded by other encoders than these.
        """
        if gallery is None or not gallery.signs:
            self._similarity = self._spotter = None
            return
        encoders = [lane.encoder for lane in self._lanes]
        self._similarity = Similarity(gallery, encoders)
        self._spotter = Spotter(gallery)

    def push(self, tick: Tick, level: Level) -> Outcome:
        """Take in one tick."""
        work_ms: dict[str, float] = {}
        wait_ms: dict[str, float] = {}
        ended = tuple(self._new_segment(tick.segment)) if tick.segment != self._segment else ()
        embeddings: dict[str, NDArray[np.float32]] = {}
        windows: dict[str, list[Window]] = {}
        given: dict[tuple[str, int], NDArray[np.float32]] = {}
        compared = self._similarity.encoders if self._similarity is not None else ()
        for lane in self._lanes:
            name = lane.encoder.name
            start_ns = time.monotonic_ns()
            complete = lane.windows.push(tick, lane.encoder.prepare(tick.landmarks))
            work_ms["windows"] = work_ms.get("windows", 0.0) + milliseconds_since(start_ns)
            usable = [window for window in complete if not window.lost]
            asked = name in compared or name in self._shared
            if not usable or tick.index % level.stride(name) or not asked:
                continue
            start_ns = time.monotonic_ns()
            embeddings[name] = lane.encoder.embed([window.features for window in usable])
            windows[name] = usable
            wait_ms[name] = lane.encoder.waited_ms if isinstance(lane.encoder, SharedEncoder) else 0.0
            work_ms[name] = milliseconds_since(start_ns) - wait_ms[name]
            if name in self._shared:
                of_length = (len(window.features) for window in usable)
                given |= {
                    (name, length): row for length, row in zip(of_length, embeddings[name], strict=True)
                }
        if self._similarity is None or self._spotter is None:
            return Outcome(ended=ended, embeddings=given, work_ms=work_ms, wait_ms=wait_ms)
        start_ns = time.monotonic_ns()
        scores = self._similarity.score(windows, embeddings)
        work_ms["similarity"] = milliseconds_since(start_ns)
        start_ns = time.monotonic_ns()
        spotted = self._spotter.push(tick, scores)
        work_ms["spotting"] = milliseconds_since(start_ns)
        return Outcome(
            ended=ended,
            spotted=tuple(spotted),
            scores=scores,
            embeddings=given,
            work_ms=work_ms,
            wait_ms=wait_ms,
        )

    def flush(self) -> list[Spotted]:
        """The stream has ended: decide what is still open."""
        return self._spotter.flush() if self._spotter is not None else []

    def _new_segment(self, segment: int) -> list[Spotted]:
        """Time is broken: what was open is decided now, and nothing of it reaches the new segment."""
        decided = self.flush() if self._segment is not None else []
        self._segment = segment
        if self._spotter is not None:
            self._spotter.reset()
        return decided
