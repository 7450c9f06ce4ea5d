"""Spotted signs against the truth: which detection is which annotated sign, and precision and recall of it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from calibration.evaluation.playing import play
from engines.encoders import Encoder
from engines.errors import SignspotError
from engines.pose.base import PoseEstimator
from stream.gallery import Gallery
from stream.spotting import Spotted

ROUNDING = 1e-9
"""An overlap that is a threshold to the last bit but one, such as 0.48 s of 0.64 s at 0.75, reaches it."""


class AnnotationsError(SignspotError):
    """An annotation file that is missing or not of the form that is expected."""


class Span(Protocol):
    """A gloss and when it was signed; detections and annotated signs alike."""

    @property
    def gloss(self) -> str:
        """What was signed."""
        ...

    @property
    def start_s(self) -> float:
        """Begin, seconds."""
        ...

    @property
    def end_s(self) -> float:
        """End, seconds."""
        ...


@dataclass(frozen=True, slots=True)
class Sign:
    """One annotated sign."""

    gloss: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Annotations:
    """What is signed in a set of videos."""

    videos: dict[str, tuple[Sign, ...]]  # by file name
    same: tuple[tuple[str, ...], ...]  # groups of glosses that are one sign


@dataclass(frozen=True, slots=True)
class Matching:
    """Which detection is which sign, as indices."""

    pairs: tuple[tuple[int, int], ...]  # detection, sign
    false_alarms: tuple[int, ...]  # detections that are no sign
    misses: tuple[int, ...]  # signs that were not detected


@dataclass(frozen=True, slots=True)
class Tally:
    """Hits summed over videos."""

    hits: int
    detections: int
    signs: int

    @property
    def precision(self) -> float:
        """Share of the detections that are right; 0 when there are none."""
        return self.hits / self.detections if self.detections else 0.0

    @property
    def recall(self) -> float:
        """Share of the signs that were found; 0 when there are none."""
        return self.hits / self.signs if self.signs else 0.0

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        return 2 * self.hits / (self.detections + self.signs) if self.detections + self.signs else 0.0


def read_annotations(path: Path) -> Annotations:
    """Read `{"videos": {file: [{"gloss", "start_s", "end_s"}, ...]}, "same": [[gloss, gloss], ...]}`.

    Raises:
        AnnotationsError: the file is missing or of another form.
    """
    try:
        content = json.loads(path.read_text())
        videos = {
            video: tuple(
                Sign(str(sign["gloss"]), float(sign["start_s"]), float(sign["end_s"])) for sign in signs
            )
            for video, signs in content["videos"].items()
        }
        same = tuple(tuple(str(gloss) for gloss in group) for group in content.get("same", []))
    except OSError as error:
        raise AnnotationsError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise AnnotationsError(
            f'{path} holds no annotations: expected {{"videos": {{"clip.mp4": [{{"gloss", "start_s", "end_s"}}]}}}}, '
            f"got {type(error).__name__}: {error}"
        ) from error
    for video, signs in videos.items():
        for sign in signs:
            if not 0 <= sign.start_s < sign.end_s < math.inf:
                raise AnnotationsError(
                    f"{path}: {sign.gloss!r} in {video} goes from {sign.start_s} to {sign.end_s} s: "
                    "a sign ends after it begins"
                )
    return Annotations(videos, same)


def one_name(same: Iterable[Sequence[str]]) -> dict[str, str]:
    """One name for all glosses that are one sign, by gloss; groups that share a gloss are one group."""
    names: dict[str, str] = {}
    for group in filter(None, same):
        merged = {names.get(gloss, gloss) for gloss in group}
        members = [*(gloss for gloss, name in names.items() if name in merged), *group]
        names.update(dict.fromkeys(members, members[0]))
    return names


def iou(one: Span, other: Span) -> float:
    """Intersection over union of two spans of time."""
    shared = min(one.end_s, other.end_s) - max(one.start_s, other.start_s)
    return max(shared, 0.0) / (max(one.end_s, other.end_s) - min(one.start_s, other.start_s))


def meets(overlap: float, threshold: float) -> bool:
    """Whether an intersection over union reaches a threshold."""
    return overlap >= threshold - ROUNDING


def match(
    detections: Sequence[Span],
    truths: Sequence[Span],
    *,
    iou: float = 0.2,
    same: Iterable[Sequence[str]] = (),
) -> Matching:
    """Give each detection at most one sign and each sign at most one detection, the best overlaps first.

    Args:
        detections: what was spotted in one video.
        truths: what is signed in it.
        iou: overlap in time from which on a detection of the right gloss counts.
        same: groups of glosses that count as one.
    """
    names = one_name(same)
    overlaps = sorted(
        (
            (-_iou(seen, true), number, index)
            for number, seen in enumerate(detections)
            for index, true in enumerate(truths)
            if names.get(seen.gloss, seen.gloss) == names.get(true.gloss, true.gloss)
        ),
    )
    pairs: dict[int, int] = {}
    for overlap, number, index in overlaps:
        if meets(-overlap, iou) and number not in pairs and index not in pairs.values():
            pairs[number] = index
    return Matching(
        tuple(sorted(pairs.items())),
        tuple(number for number in range(len(detections)) if number not in pairs),
        tuple(index for index in range(len(truths)) if index not in pairs.values()),
    )


_iou = iou  # `match` has an argument of that name


def tally(matchings: Iterable[Matching]) -> Tally:
    """Sum up the videos."""
    hits = detections = signs = 0
    for one in matchings:
        hits += len(one.pairs)
        detections += len(one.pairs) + len(one.false_alarms)
        signs += len(one.pairs) + len(one.misses)
    return Tally(hits, detections, signs)


def spot_video(
    path: Path, gallery: Gallery, encoders: Sequence[Encoder], estimator: PoseEstimator
) -> tuple[list[Spotted], float]:
    """Play a video through the live path's stages, no frame dropped.

    Returns:
        What was spotted, and the video's length in seconds.

    Raises:
        SourceError: the video cannot be read.
        GalleryMismatch: gallery and encoders do not fit.
    """
    played = play(path, gallery, encoders, estimator)
    return list(played.detections), played.length_s
