"""A clip to landmarks at 25 Hz, through the very code that runs live: what is enrolled is what will be seen."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import av
import av.error

from engines.errors import SourceUnreadable
from engines.landmarks import Landmarks, LandmarkTrack
from engines.pose.base import PoseEstimator
from engines.pose.choice import open_pose
from engines.ticks import TICK_HZ
from stream.degradation import Level
from stream.frame import Frame
from stream.sources import read_frames
from stream.stages import PoseStage

FULL_QUALITY = Level(pose_stride=1)


def track_of(
    path: Path,
    *,
    estimator: PoseEstimator | None = None,
    pictures: bool = False,
    progress: Callable[[float], None] | None = None,
) -> LandmarkTrack:
    """Landmarks of every tick of a clip, as the live path makes them when no frame is dropped.

    Args:
        path: a video file.
        estimator: poses the frames, reset first; MediaPipe Holistic by default.
        pictures: keep the signer's crop of every tick, too.
        progress: told the share that is done, 0..1, after every posed frame (not where the clip's length is unknown).

    Returns:
        One `Landmarks` a tick without a gap: where the clip's own time stamps leap by more than a second, the ticks
        between are absent.

    Raises:
        SourceUnreachable: there is no such file.
        SourceUnreadable: it has no picture that can be decoded.
        PoseError: the estimator cannot start or cannot take a picture.
    """
    frames = read_frames(path)
    if progress is not None:
        frames = _watched(frames, _duration_s(path), progress)
    return track_of_frames(frames, name=str(path), estimator=estimator, pictures=pictures)


def track_of_frames(
    frames: Iterable[Frame], *, name: str, estimator: PoseEstimator | None = None, pictures: bool = False
) -> LandmarkTrack:
    """Landmarks of every tick of pictures, wherever they come from.

    Args:
        frames: in order of their times, of one connection.
        name: for the error message.
        estimator: poses the frames, reset first; MediaPipe Holistic by default.
        pictures: keep the signer's crop of every tick, too.

    Raises:
        SourceUnreadable: there is no picture.
        PoseError: the estimator cannot start or cannot take a picture.
    """
    with contextlib.ExitStack() as stack:
        if estimator is None:
            estimator = stack.enter_context(contextlib.closing(open_pose()))
        ticks, start_s = _ticks(frames, PoseStage(estimator, pictures=pictures))
    if not ticks:
        raise SourceUnreadable(f"{name} has no picture that can be decoded: check that it plays elsewhere")
    return LandmarkTrack.of(ticks, start_s)


def _ticks(frames: Iterable[Frame], stage: PoseStage) -> tuple[list[Landmarks], float]:
    ticks: list[Landmarks] = []
    first = 0
    for frame in frames:
        if not stage.wants(frame, FULL_QUALITY):
            continue
        for tick in stage.pose(frame):
            if not ticks:
                first = tick.index
            seen = tick.landmarks
            missing = tick.index - first - len(ticks)
            ticks += [Landmarks.absent(seen.width, seen.height, seen.estimator)] * missing
            ticks.append(seen.kept())
    return ticks, first / TICK_HZ


def _watched(
    frames: Iterable[Frame], duration_s: float, progress: Callable[[float], None]
) -> Iterator[Frame]:
    for frame in frames:
        yield frame
        if duration_s > 0:
            progress(min(frame.pts_s / duration_s, 1.0))
    progress(1.0)


def _duration_s(path: Path) -> float:
    """Length of the clip as its container tells it, 0 where it does not."""
    try:
        with av.open(str(path)) as container:
            return (container.duration or 0) / av.time_base
    except (av.error.FFmpegError, OSError):
        return 0.0  # reading the frames will say what is wrong
