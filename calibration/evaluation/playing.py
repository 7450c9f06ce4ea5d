"""Plays a video through the live path's stages and keeps what they said: detections, and the scores of all windows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from engines.encoders import Encoder
from engines.pose.base import PoseEstimator
from engines.ticks import TICK_S
from stream.clock import Tick
from stream.gallery import Gallery
from stream.hands import Hands
from stream.sources import read_frames
from stream.spotting import Scores, Spotted, Spotter
from stream.stages import PoseStage, SpottingStage
from stream.tracks import FULL_QUALITY

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class WindowScores:
    """What the N windows of a video had to say about the G glosses of a gallery."""

    spans: NDArray[np.int64]  # (N, 2) first and last tick; both belong to the window
    excess: Floats  # (N, G) evidence above each gloss's threshold, by which the live path decides
    hands: Hands = field(default_factory=Hands)  # of all ticks: where begin and end of a sign settle

    def __repr__(self) -> str:
        return f"WindowScores({self.excess.shape[0]} windows, {self.excess.shape[1]} glosses)"

    @property
    def spans_s(self) -> NDArray[np.float64]:
        """Begin and end (N, 2) of each window, stream seconds."""
        return np.asarray(np.stack([self.spans[:, 0], self.spans[:, 1] + 1], 1) * TICK_S)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Played:
    """What one video gave."""

    spotted: tuple[Spotted, ...]  # decided by a tick, as they would be live
    cut_off: tuple[Spotted, ...]  # decided because the video, or unbroken time, ended
    windows: WindowScores
    swept: Mapping[float, tuple[Spotted, ...]]  # shift -> detections with every threshold that much higher
    length_s: float

    @property
    def detections(self) -> tuple[Spotted, ...]:
        """All of them: those decided by a tick come first."""
        return self.spotted + self.cut_off


class Sweep:
    """Spotters with shifted thresholds, which get the very scores that the real one gets."""

    def __init__(self, gallery: Gallery, shifts: Sequence[float]) -> None:
        """Start one for each shift (evidence that every threshold is raised by)."""
        self._spotters = {shift: Spotter(_shifted(gallery, shift)) for shift in shifts}
        self._found: dict[float, list[Spotted]] = {shift: [] for shift in shifts}
        self._segment: int | None = None

    def push(self, tick: Tick, scores: Scores) -> None:
        """Take in one tick and its scores."""
        for shift, spotter in self._spotters.items():
            if tick.segment != self._segment:
                self._found[shift] += spotter.flush()
                spotter.reset()
            self._found[shift] += spotter.push(tick, scores)
        self._segment = tick.segment

    def finish(self) -> dict[float, tuple[Spotted, ...]]:
        """All that each found, once nothing more comes."""
        return {shift: (*self._found[shift], *spotter.flush()) for shift, spotter in self._spotters.items()}


def _shifted(gallery: Gallery, shift: float) -> Gallery:
    signs = tuple(msgspec.structs.replace(sign, nudge=sign.nudge + shift) for sign in gallery.signs)
    return replace(gallery, signs=signs)


def play(
    path: Path,
    gallery: Gallery,
    encoders: Sequence[Encoder],
    estimator: PoseEstimator,
    *,
    shifts: Sequence[float] = (),
) -> Played:
    """Play a video through the live path's stages, no frame dropped, in one pass.

    Args:
        path: a video.
        gallery: the signs to spot.
        encoders: those in use.
        estimator: poses the frames.
        shifts: spot with every threshold raised by each of these, too (evidence; 0 is the gallery as it is).

    Raises:
        SourceError: the video cannot be read.
        GalleryMismatch: gallery and encoders do not fit.
    """
    pose = PoseStage(estimator, pictures=any(encoder.pictures for encoder in encoders))
    spotting, sweep = SpottingStage(encoders, gallery), Sweep(gallery, shifts)
    spotted: list[Spotted] = []
    cut_off: list[Spotted] = []
    spans: list[tuple[int, int]] = []
    excess: list[Floats] = [np.zeros((0, len(gallery.signs)), np.float32)]
    hands = Hands(kept=None)
    times_s: list[float] = []
    for frame in read_frames(path):
        times_s.append(frame.pts_s)
        for tick in pose.pose(frame) if pose.wants(frame, FULL_QUALITY) else ():
            outcome = spotting.push(tick, FULL_QUALITY)
            hands.push(tick.index, tick.landmarks)
            cut_off += outcome.ended
            spotted += outcome.spotted
            if outcome.scores is not None and spotting.spotter is not None:
                sweep.push(tick, outcome.scores)
                spans += outcome.scores.spans
                excess.append(spotting.spotter.excess(outcome.scores))
    cut_off += spotting.flush()
    return Played(
        spotted=tuple(spotted),
        cut_off=tuple(cut_off),
        windows=WindowScores(np.array(spans, np.int64).reshape(-1, 2), np.concatenate(excess), hands),
        swept=sweep.finish(),
        length_s=_length_s(times_s),
    )


def _length_s(times_s: Sequence[float]) -> float:
    """From the first picture to the end of the last, which lasts as long as the others do on average."""
    if len(times_s) < 2:
        return 0.0
    return (times_s[-1] - times_s[0]) * len(times_s) / (len(times_s) - 1)
