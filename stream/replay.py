"""Repeat a recorded run: the ledger's frames and decisions through the same stages, so the same events come out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from engines.choice import AUTO
from engines.encoders import Encoder
from engines.errors import RecordingError
from engines.pose.base import PoseEstimator
from stream.degradation import ladder
from stream.events import Detection, Hypothesis, Message
from stream.gallery import Gallery
from stream.ledger import EndLine, FrameLine, GalleryLine, StartLine, read_frames, read_lines
from stream.publisher import Stamper
from stream.reporting import Reporter
from stream.stages import PoseStage, SpottingStage
from stream.transcribing import TranscriptStage, open_transcript

MEASURED = {"epoch", "time_us", "processing_ms", "lag_ms"}
"""Fields that tell of the run and not of the signing; they differ from run to run."""


def setup_of(folder: Path) -> StartLine:
    """How a recorded run was set up.

    Raises:
        RecordingError: there is no whole recorded run in `folder`.
    """
    for line in read_lines(folder):
        if isinstance(line, StartLine):
            return line
    raise RecordingError(f"{folder}/ledger.jsonl does not begin with how the run was set up")


def frames_in(folder: Path) -> int:
    """How many frames a replay will read, for a progress bar."""
    return sum(isinstance(line, FrameLine) for line in read_lines(folder))


def end_of(folder: Path) -> EndLine | None:
    """How far a recorded run came; None where it crashed before it could say."""
    return next((line for line in read_lines(folder) if isinstance(line, EndLine)), None)


def replay(
    folder: Path,
    *,
    estimator: PoseEstimator,
    encoders: Sequence[Encoder],
    send: Callable[[Message], None],
    landmarks: bool = False,
    progress: Callable[[int], None] | None = None,
    engine: str = AUTO,
) -> None:
    """Repeat the run and send its detections and hypotheses (and landmarks on demand).

    A run that was stopped is repeated as far as it came: what was open then stays open.

    Args:
        folder: made by `--record-run`.
        estimator: the one of the run, freshly reset.
        encoders: those of the run.
        send: takes every message.
        landmarks: whether to send the landmarks of every tick.
        progress: called with the number of frames read so far.
        engine: what executes the run's transcript network, as `open_transcript` takes it.

    Raises:
        RecordingError: the run used another estimator or encoder, or the recording is damaged.
        GalleryError: a gallery of the run cannot be loaded.
        BundleError: the transcript network of the run cannot be loaded.
    """
    setup = setup_of(folder)
    ours = {encoder.name: encoder.fingerprint for encoder in encoders}
    if (setup.encoders, setup.estimator) != (ours, estimator.name):
        raise RecordingError(
            f"{folder} was recorded with {setup.estimator} and {setup.encoders}, "
            f"this Signspot has {estimator.name} and {ours}: a replay would not be the same run"
        )
    swaps = {line.tick: line.folder for line in read_lines(folder) if isinstance(line, GalleryLine)}
    end = end_of(folder)
    pictures = [encoder.name for encoder in encoders if encoder.pictures]
    levels = ladder([encoder.name for encoder in encoders], pictures=pictures)
    pose = PoseStage(estimator, pictures=bool(pictures))
    transcriber = _transcriber(folder, setup, encoders, engine)
    shared = transcriber.encoders if transcriber is not None else ()
    spotting = SpottingStage(encoders, _gallery(folder, setup.gallery), shared=shared)
    reporter = Reporter(
        Stamper(setup.stream),
        send,
        realtime=False,
        landmarks=landmarks,
        transcribed=transcriber is not None,
    )
    count = 0
    for number, (line, frame) in enumerate(read_frames(folder), 1):
        level = levels[line.level]
        picture_due = frame is not None
        if picture_due != pose.wants_at(line.pts_s, line.connection, level):
            raise RecordingError(
                f"{folder}: frame {line.index} was {'' if picture_due else 'not '}posed, and would not be now"
            )
        if frame is not None:
            for tick in pose.pose(frame):
                if end is not None and count == end.ticks:
                    break
                if count in swaps:
                    spotting.take(_gallery(folder, swaps[count]))
                outcome = spotting.push(tick, level)
                said = None
                if transcriber is not None:
                    said = transcriber.push(tick, embeddings=outcome.embeddings, picture=frame.image)
                reporter.tick(tick, outcome, said)
                count += 1
        if progress is not None:
            progress(number)
    if end is None or end.whole:
        reporter.end(spotting.flush(), transcriber.flush() if transcriber is not None else ())


def _transcriber(
    folder: Path, setup: StartLine, encoders: Sequence[Encoder], engine: str
) -> TranscriptStage | None:
    if not setup.transcript:
        return None
    model = folder / setup.language_model if setup.language_model else None
    return open_transcript(
        str(folder / setup.transcript),
        encoders=encoders,
        language_model=model,
        mirrored=setup.mirrored,
        estimator=setup.estimator,
        engine=engine,
    )


def _gallery(folder: Path, name: str) -> Gallery | None:
    return Gallery.load(folder / name) if name else None


def differences(ours: Sequence[Message], recorded: Sequence[Message]) -> Iterator[str]:
    """What differs between two runs' detections and hypotheses, a line each, measurements left out."""
    mine, theirs = _comparable(ours), _comparable(recorded)
    if len(mine) != len(theirs):
        yield f"{len(mine)} detections and hypotheses now, {len(theirs)} in the recording"
    for number, (now, then) in enumerate(zip(mine, theirs, strict=False)):
        for name in sorted(set(now) | set(then)):
            if now.get(name) != then.get(name):
                yield f"message {number}, {name}: {now.get(name)!r} now, {then.get(name)!r} in the recording"


def _comparable(messages: Sequence[Message]) -> list[dict[str, object]]:
    return [
        {name: value for name, value in msgspec.to_builtins(message).items() if name not in MEASURED}
        for message in messages
        if isinstance(message, Detection | Hypothesis)
    ]
