"""The rows of a corpus's sentence, whatever the transcript network sees: landmarks, embeddings or pictures."""

from __future__ import annotations

import contextlib
from typing import cast

import numpy as np

from calibration.corpus.landmarks import frames_of, landmarks_of_sentence
from calibration.corpus.sentences import CorpusError, Sentence
from engines.encoders import Encoder
from engines.landmarks import Landmarks, LandmarkTrack
from engines.pose.choice import FACE, open_pose
from engines.tick_features import EmbeddingRow, Image, Row, TickFeatures
from stream.clock import Tick, TickClock
from stream.embedding import EmbeddingTicks


def rows_of(
    sentence: Sentence, features: TickFeatures, *, fps: float = 25.0, encoder: Encoder | None = None
) -> Row:
    """Features of every tick of a sentence, as the live path computes them.

    Args:
        sentence: of a corpus that was read with its media.
        features: of a tick.
        fps: of a folder of frames.
        encoder: that embeds windows, where the features are its embeddings.

    Returns:
        float32 (T, V), or uint8 (T, H, W, 3).

    Raises:
        CorpusError: the sentence has no media, or only landmarks where pictures or a face are wanted.
        SignspotError: its media cannot be read or posed.
        ValueError: embeddings without their encoder.
    """
    if features.needs == "picture":
        return _pictures(sentence, features, fps)
    track = (
        _track_with_face(sentence, fps)
        if features.needs == "face"
        else landmarks_of_sentence(sentence, fps=fps)
    )
    if features.needs in ("landmarks", "face"):
        return cast(Row, np.stack([features.row(track.at(tick)) for tick in range(len(track))]))
    if encoder is None or not isinstance(features, EmbeddingRow):
        raise ValueError("embeddings need the encoder that makes them")
    windows = EmbeddingTicks(encoder, features)
    rows = []
    for index in range(len(track)):
        tick = Tick(
            index=index, segment=0, landmarks=track.at(index), interpolated=False, lost=False, captured_ns=0
        )
        rows.append(features.row(tick.landmarks, embedding=windows.push(tick)))
    return cast(Row, np.stack(rows))


def _track_with_face(sentence: Sentence, fps: float) -> LandmarkTrack:
    if sentence.media is None or sentence.media.suffix == ".npz":
        raise CorpusError(
            f"sentence {sentence.id} has no video and no frames in its corpus: landmark files tell nothing of a face"
        )
    with contextlib.closing(open_pose(FACE)) as estimator:
        return landmarks_of_sentence(sentence, fps=fps, estimator=estimator)


def _pictures(sentence: Sentence, features: TickFeatures, fps: float) -> Image:
    """The picture of every tick: the frame that the live path would have posed for it."""
    from stream.sources import read_frames  # PyAV, which a bare GPU machine need not have

    media = sentence.media
    if media is None or media.suffix == ".npz":
        raise CorpusError(
            f"sentence {sentence.id} has no video and no frames in its corpus: features of pictures need them"
        )
    clock = TickClock()
    rows: list[Row] = []
    first: int | None = None
    for frame in frames_of(media, fps) if media.is_dir() else read_frames(media):
        if not clock.wants(frame.pts_s, frame.connection):
            continue
        nobody = Landmarks.absent(frame.image.shape[1], frame.image.shape[0], "none")
        row = features.row(nobody, picture=frame.image)
        nothing = features.row(nobody)
        for tick in clock.push(nobody, frame.pts_s, frame.connection, frame.captured_ns):
            first = tick.index if first is None else first
            rows += [nothing] * (tick.index - first - len(rows))
            rows.append(nothing if tick.lost else row)
    if not rows:
        raise CorpusError(f"{media} has no picture that can be decoded: check that it plays elsewhere")
    return cast(Image, np.stack(rows))
