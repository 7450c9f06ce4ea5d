"""Landmark tracks in files, and the landmarks of a corpus's sentence from whatever it has: landmarks, video or frames."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from calibration.corpus.sentences import CorpusError, Sentence
from engines.errors import SignspotError
from engines.landmarks import PARTS, LandmarkTrack
from engines.pose.base import PoseEstimator
from stream.frame import Frame

Array = NDArray[np.float32]

SCALE = 16384
ABSENT = -32768
PACKED = ("pose", "left_hand", "right_hand", "pose_world")
"""Parts of a packed track. Hands in metres are left out: MediaPipe Holistic has none either."""


class NotLandmarks(SignspotError):
    """A file that holds no landmark track."""


def save_track(path: Path, seen: LandmarkTrack) -> None:
    """Write a landmark track as .npz: one float32 array a part, and the picture's size."""
    parts = {name: getattr(seen, name) for name in PARTS}
    np.savez_compressed(
        path, **parts, size=np.array([seen.width, seen.height]), estimator=np.array(seen.estimator)
    )


def save_packed(path: Path, seen: LandmarkTrack, spans_s: Array | None = None) -> None:
    """Write a landmark track in a fifth of the space: int16 = value x 16384, -32768 where absent.

    The step is 1/16384 of the picture's width (0.04 pixels at 640) or of a metre; what is beyond 2 is put at 2.

    Args:
        path: ends in .npz.
        seen: the track.
        spans_s: (glosses, 2) begin and end of each gloss of the sentence in seconds, where the truth is known.
    """
    parts = {name: packed(getattr(seen, name)) for name in PACKED}
    extra = {} if spans_s is None else {"spans_s": spans_s.astype(np.float32)}
    np.savez_compressed(
        path, **parts, **extra, size=np.array([seen.width, seen.height]), estimator=np.array(seen.estimator)
    )


def packed(values: Array) -> NDArray[np.int16]:
    """int16 = value x 16384, -32768 where absent; what is beyond 2 is put at 2."""
    scaled = np.clip(np.round(np.nan_to_num(values) * SCALE), -32767, 32767)
    return np.where(np.isnan(values), ABSENT, scaled).astype(np.int16)


def _unpacked(values: NDArray[np.generic]) -> Array:
    if values.dtype != np.int16:
        return values.astype(np.float32)
    return np.where(values == ABSENT, np.float32(np.nan), values.astype(np.float32) / SCALE).astype(
        np.float32
    )


def read_track(path: Path) -> LandmarkTrack:
    """A track as `save_track` or `save_packed` wrote it; a part that is not in the file is absent.

    Raises:
        NotLandmarks: the file is missing, damaged, or of another form.
    """
    try:
        with np.load(path) as data:
            pose = _unpacked(data["pose"])
            parts: dict[str, Any] = {name: _unpacked(data[name]) for name in PARTS if name in data.files}
            for name, shape in PARTS.items():
                parts.setdefault(name, np.full((len(pose), *shape), np.nan, np.float32))
            width, height = (int(value) for value in data["size"])
            return LandmarkTrack(
                **parts, width=width, height=height, estimator=str(data["estimator"]), start_s=0.0
            )
    except (OSError, ValueError, KeyError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise NotLandmarks(
            f"{path} holds no landmark track ({error}): make one with `signspot synth stream --idle SECONDS "
            "--no-video --out DIR`, and name its landmarks.npz"
        ) from error


def read_spans(path: Path) -> Array | None:
    """The true begin and end (glosses, 2) in seconds of each gloss, None where the file does not tell.

    Raises:
        NotLandmarks: the file is missing or damaged.
    """
    try:
        with np.load(path) as data:
            return data["spans_s"].astype(np.float32) if "spans_s" in data.files else None
    except (OSError, ValueError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise NotLandmarks(f"{path} holds no landmark track ({error})") from error


def spans_of_sentence(sentence: Sentence) -> Array | None:
    """The true begin and end (glosses, 2) in seconds of each gloss of a sentence, None where nothing tells.

    They are in its landmark file; beside a video, in `landmarks/ID.npz` of its corpus.

    Raises:
        NotLandmarks: the file is damaged.
    """
    media = sentence.media
    if media is None:
        return None
    if media.suffix != ".npz":
        media = media.parent.parent / "landmarks" / f"{sentence.id}.npz"
        if not media.is_file():
            return None
    return read_spans(media)


def landmarks_of_sentence(
    sentence: Sentence, *, fps: float = 25.0, estimator: PoseEstimator | None = None
) -> LandmarkTrack:
    """The landmarks of a sentence at 25 Hz, posed where they are not there yet.

    Args:
        sentence: of a corpus that was read with its media.
        fps: of a folder of frames.
        estimator: poses pictures; MediaPipe Holistic by default.

    Raises:
        CorpusError: the sentence has no media, or a frame that cannot be read.
        SignspotError: landmarks, video or pose estimator cannot be read or started.
    """
    if sentence.media is None:
        raise CorpusError(f"sentence {sentence.id} has neither landmarks nor video nor frames in its corpus")
    if sentence.media.suffix == ".npz":
        return read_track(sentence.media)
    from stream.tracks import track_of, track_of_frames  # PyAV, which a bare GPU machine need not have

    if sentence.media.is_dir():
        return track_of_frames(frames_of(sentence.media, fps), name=str(sentence.media), estimator=estimator)
    return track_of(sentence.media, estimator=estimator)


def frame_paths(folder: Path) -> list[Path]:
    """The pictures of a folder in order of their names."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in (".png", ".jpg", ".jpeg"))


def frames_of(folder: Path, fps: float = 25.0) -> Iterator[Frame]:
    """The pictures of a folder as frames, `fps` a second.

    Raises:
        CorpusError: a picture cannot be read.
    """
    for index, path in enumerate(frame_paths(folder)):
        picture = cv2.imread(str(path))
        if picture is None:
            raise CorpusError(f"{path} is no picture that can be read")
        image = np.ascontiguousarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)
        yield Frame(
            image=image, index=index, pts_s=index / fps, captured_ns=round(index / fps * 1e9), connection=0
        )
