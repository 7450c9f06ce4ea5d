"""Continuous signing as ticks, from videos and from landmark tracks: what transfer and calibration listen to."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import av
import av.error

from calibration.corpus.landmarks import read_track
from calibration.enrol import mirror_image
from engines.errors import SourceUnreachable, SourceUnreadable
from engines.landmarks import Landmarks, LandmarkTrack
from engines.pose.base import PoseEstimator
from engines.ticks import TICK_HZ
from stream.clock import Tick
from stream.sources import read_frames
from stream.stages import PoseStage
from stream.tracks import FULL_QUALITY


def is_track(path: Path) -> bool:
    """Whether a file holds landmarks, by its name; else it is a video."""
    return path.suffix == ".npz"


def ticks_of(
    path: Path,
    estimator: PoseEstimator | None,
    *,
    mirrored: bool = False,
    pictures: bool = False,
    progress: Callable[[float], None] | None = None,
) -> Iterator[Tick]:
    """The ticks of a file, as the live path makes them when no frame is dropped.

    Args:
        path: a video, or landmarks as `signspot synth stream` writes them (.npz).
        estimator: poses a video's frames; not needed for landmarks.
        mirrored: the file shows a mirror image; landmarks and pictures are turned back.
        pictures: a video's ticks are to have the signer's crop.
        progress: told the share that is done, 0..1.

    Raises:
        SourceError: the video cannot be read.
        NotLandmarks: the .npz holds no landmark track.
    """
    if is_track(path):
        ticks = _of_track(read_track(path), progress)
    else:
        ticks = _of_video(path, estimator, pictures, progress)
    for tick in ticks:
        yield replace(tick, landmarks=_turned(tick.landmarks)) if mirrored else tick
    if progress is not None:
        progress(1.0)


def _of_track(track: LandmarkTrack, progress: Callable[[float], None] | None) -> Iterator[Tick]:
    for index in range(len(track)):
        yield Tick(
            index=index,
            segment=0,
            landmarks=track.at(index),
            interpolated=False,
            lost=False,
            captured_ns=0,
        )
        if progress is not None:
            progress(index / len(track))


def _of_video(
    path: Path,
    estimator: PoseEstimator | None,
    pictures: bool,
    progress: Callable[[float], None] | None,
) -> Iterator[Tick]:
    if estimator is None:
        raise ValueError(f"{path} is a video: it needs a pose estimator")
    stage = PoseStage(estimator, pictures=pictures)
    length_s = seconds_of(path)
    some = False
    for frame in read_frames(path):
        for tick in stage.pose(frame) if stage.wants(frame, FULL_QUALITY) else ():
            some = True
            yield tick
        if progress is not None and length_s:
            progress(min(frame.pts_s / length_s, 1.0))
    if not some:
        raise SourceUnreadable(f"{path} has no picture that can be decoded: check that it plays elsewhere")


def _turned(landmarks: Landmarks) -> Landmarks:
    return mirror_image(LandmarkTrack.of([landmarks])).at(0)


def seconds_of(path: Path) -> float:
    """Length of a file, seconds; 0 for a video whose container does not tell.

    Raises:
        SourceUnreachable: there is no such file.
        SourceUnreadable: it is no video.
        NotLandmarks: the .npz holds no landmark track.
    """
    if is_track(path):
        return len(read_track(path)) / TICK_HZ
    if not path.is_file():
        raise SourceUnreachable(f"there is no file {path}")
    try:
        with av.open(str(path)) as container:
            return float((container.duration or 0) / av.time_base)
    except (av.error.FFmpegError, OSError) as error:
        raise SourceUnreadable(f"{path} cannot be read as a video: {error}") from error


def fingerprint_of(path: Path) -> str:
    """SHA-256 of a file's content, so that it is known again under another name.

    Raises:
        SourceUnreachable: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise SourceUnreachable(f"{path} cannot be read: {error.strerror}") from error
