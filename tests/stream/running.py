"""Real parts for tests of whole runs: the demo's clips, an enrolled gallery, an estimator that can be slowed down."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calibration.enrol import enrol_clips
from engines.encoders import DEFAULT_ENCODERS, BundleEncoder, load_encoder, load_encoders
from engines.landmarks import Landmarks
from engines.pose.base import PoseEstimator
from engines.pose.mediapipe import HolisticPose
from stream.demo import gallery_clips
from stream.events import Detection, Hypothesis, Message, SourceState
from stream.frame import Frame
from stream.gallery import GalleryWatcher
from stream.ledger import LedgerWriter
from stream.pipeline import Options, Pipeline
from stream.publisher import Stamper
from stream.replay import replay
from stream.sources import read_frames
from stream.sources.base import Source, SourceChange
from stream.transcribing import TranscriptStage

GLOSSES = ("HELLO", "HOUSE", "THANKS")


class SlowPose:
    """The real estimator, made as slow as a test wants it: a machine that is too weak."""

    def __init__(self, extra_s: float = 0.0) -> None:
        self.extra_s = extra_s
        self._pose = HolisticPose()

    @property
    def name(self) -> str:
        return self._pose.name

    def estimate(self, image: NDArray[np.uint8]) -> Landmarks:
        time.sleep(self.extra_s)
        return self._pose.estimate(image)

    def reset(self) -> None:
        self._pose.reset()

    def close(self) -> None:
        self._pose.close()


class Playlist:
    """A source that plays clips one after the other, each as a new connection, as a camera that was reconnected."""

    def __init__(self, clips: Iterable[Path], *, realtime: bool) -> None:
        self._clips, self._realtime = clips, realtime
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def name(self) -> str:
        return "playlist"

    @property
    def realtime(self) -> bool:
        return self._realtime

    def discarded(self) -> dict[str, int]:
        return {}

    def start(self, on_frame: Callable[[Frame], None], on_change: Callable[[SourceChange], None]) -> None:
        self._thread = threading.Thread(target=self._play, args=(on_frame, on_change), daemon=True)
        self._thread.start()

    def _play(self, on_frame: Callable[[Frame], None], on_change: Callable[[SourceChange], None]) -> None:
        began, offset_s, index = time.monotonic(), 0.0, 0
        for connection, clip in enumerate(self._clips):
            on_change(SourceChange("live" if connection == 0 else "reconnecting", "", time.monotonic_ns()))
            last_s = offset_s
            for frame in read_frames(clip):
                last_s = offset_s + frame.pts_s
                if self._realtime and self._stop.wait(max(0.0, began + last_s - time.monotonic())):
                    return
                stamped = replace(
                    frame, index=index, pts_s=last_s, captured_ns=time.monotonic_ns(), connection=connection
                )
                on_frame(stamped)
                index += 1
            offset_s = last_s + 0.2
        on_change(SourceChange("ended", "", time.monotonic_ns()))

    def stop(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(1.0)


class Flickering:
    """A source that gives no frame and goes through states, each numbered, as fast as it can."""

    name = "flickering"
    realtime = True

    def __init__(self, states: Sequence[SourceState]) -> None:
        self._states = states

    def discarded(self) -> dict[str, int]:
        return {}

    def start(self, on_frame: Callable[[Frame], None], on_change: Callable[[SourceChange], None]) -> None:
        for number, state in enumerate(self._states):
            on_change(SourceChange(state, str(number), time.monotonic_ns()))

    def stop(self) -> None:
        pass


def make_gallery(
    folder: Path, glosses: Sequence[str] = GLOSSES, *, encoders: Sequence[str] = DEFAULT_ENCODERS
) -> Path:
    """A gallery of some of the demo's signs; taught once, copied for whoever asks again."""
    shutil.copytree(_taught(tuple(glosses), tuple(encoders)), folder)
    return folder


@functools.cache
def _taught(glosses: tuple[str, ...], encoders: tuple[str, ...]) -> Path:
    kept = tempfile.mkdtemp(prefix="signspot-gallery-")
    atexit.register(shutil.rmtree, kept, ignore_errors=True)
    clips, gallery = gallery_clips(), Path(kept) / "gallery"
    report = enrol_clips(gallery, [(gloss, clips[gloss]) for gloss in glosses], encoders=encoders)
    assert not report.failed, report.failed
    return gallery


def encoder_for(estimator: SlowPose | HolisticPose) -> BundleEncoder:
    """The shipped encoder."""
    return load_encoder(estimator=estimator.name)


def run_pipeline(
    source: Source,
    *,
    gallery: Path | None,
    encoders: Sequence[str] = DEFAULT_ENCODERS,
    estimator: PoseEstimator | None = None,
    record: Path | None = None,
    options: Options | None = None,
    meanwhile: Callable[[Pipeline], None] | None = None,
    messages: list[Message] | None = None,
    timeout_s: float = 60.0,
    transcriber: TranscriptStage | None = None,
) -> list[Message]:
    """Run a source to its end (or until `meanwhile` returns) and return every message (appended to `messages`)."""
    messages = [] if messages is None else messages
    pose = estimator or SlowPose()
    pipeline = Pipeline(
        source=source,
        estimator=pose,
        encoders=load_encoders(encoders, estimator=pose.name),
        stamper=Stamper("test"),
        sinks=[messages.append],
        galleries=GalleryWatcher(gallery) if gallery else None,
        options=options,
        ledger=LedgerWriter(record) if record else None,
        transcriber=transcriber,
    )
    try:
        pipeline.start()
        if meanwhile is not None:
            meanwhile(pipeline)
        else:
            assert pipeline.wait(timeout_s), "the source did not end"
    finally:
        pipeline.stop()
        pose.close()
    return messages


def replayed(folder: Path, encoders: Sequence[str] = DEFAULT_ENCODERS) -> list[Message]:
    """What a recorded run gives when it is repeated."""
    messages: list[Message] = []
    pose = SlowPose()
    try:
        ready = load_encoders(encoders, estimator=pose.name)
        replay(folder, estimator=pose, encoders=ready, send=messages.append)
    finally:
        pose.close()
    return messages


def said(messages: Sequence[Message]) -> list[Detection | Hypothesis]:
    """The detections and hypotheses among messages."""
    return [message for message in messages if isinstance(message, Detection | Hypothesis)]
