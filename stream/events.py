"""The wire's messages as typed structs. `docs/protocol.md` is the same contract in prose."""

from __future__ import annotations

from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream.visibility import View

SCHEMA_VERSION = 1


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """What every message carries."""

    stream: str  # the stream's name, as in the topic
    epoch: str  # random, one per start of the process
    segment: int  # counts stretches of unbroken time, from 0
    seq: int  # per topic, from 0, without gaps at the sender
    time_us: int  # UTC of sending, microseconds since 1970
    v: int = SCHEMA_VERSION


class RunnerUp(msgspec.Struct, frozen=True, kw_only=True):
    """The best gloss beside the detected one."""

    gloss: str
    score: float  # fused cosine


class Detection(Event, frozen=True, kw_only=True):
    """One sign was spotted; sent once, when it is sure."""

    id: str  # unique within the epoch, over all of its streams
    gloss: str
    score: float  # fused cosine at the peak, -1..1
    confidence: float  # 0..1, calibrated
    start_s: float  # stream seconds
    end_s: float  # stream seconds
    peak_s: float  # stream seconds, the middle of the best window
    runner_up: RunnerUp | None
    per_encoder: dict[str, float]  # cosine of each encoder at the peak
    processing_ms: float  # newest frame used decoded -> send
    lag_ms: float | None  # arrival of the frame at end_s -> send; None when played faster than real time


class HypothesisGloss(msgspec.Struct, frozen=True, kw_only=True):
    """One gloss of a transcript hypothesis."""

    gloss: str
    start_s: float
    end_s: float
    confidence: float  # 0..1


class Hypothesis(Event, frozen=True, kw_only=True):
    """The running transcript of one utterance."""

    utterance: int  # from 0
    revision: int  # of this utterance, from 0
    state: Literal["partial", "stable", "final"]
    glosses: list[HypothesisGloss]
    text: str
    source: Literal["ctc", "detections"]
    lag_ms: float | None


class Percentiles(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds."""

    p50: float
    p95: float
    p99: float
    max: float


class StageLatency(msgspec.Struct, frozen=True, kw_only=True):
    """How long items waited for a stage, and how long it worked on them."""

    wait_ms: Percentiles
    work_ms: Percentiles
    count: int  # items measured since the start


class Degradation(msgspec.Struct, frozen=True, kw_only=True):
    """How much quality is given up to keep up."""

    level: int  # 0: nothing is given up
    gives_up: str  # what this level gives up, in words
    reason: str  # why this level


class EngineStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Where one network runs, and why not somewhere better."""

    device: str
    runtime: str
    precision: str
    reason: str


SourceState = Literal["connecting", "live", "stalled", "reconnecting", "ended"]


class Status(Event, frozen=True, kw_only=True):
    """State of the whole stream; sent on every change and once a second."""

    source: str  # without credentials
    state: SourceState
    state_reason: str  # "" when there is nothing to say
    people: int | Literal["unknown"]
    view: View  # what a user gets wrong first
    view_hint: str  # what to do about it, "" when ok
    fps_in: float  # decoded frames a second, last 5 s
    fps_processed: float  # ticks a second, last 5 s
    frames_in: int
    frames_dropped: dict[str, int]  # reason -> count, since the start
    gaps: int  # stretches of more than 200 ms without a frame
    degradation: Degradation
    stages: dict[str, StageLatency]
    processing_ms: Percentiles | None  # newest frame decoded -> its tick done, last 30 s
    cpu_ms_per_tick: float | None  # CPU time of the whole process per tick, last 5 s
    encoders: list[str]
    encoders_missing: list[str]  # in the gallery, but not running (or the reverse)
    engines: dict[
        str, EngineStatus
    ]  # by encoder, "pose" where an engine runs its networks, and "transcript" where one runs
    glosses: int  # in the gallery
    gallery: str  # its path, "" when there is none
    utc_of_zero_us: int | None  # UTC of stream second 0; None before the first frame


class LandmarksEvent(Event, frozen=True, kw_only=True):
    """The landmarks of one tick; float16, little-endian, row-major bytes, NaN where absent."""

    pts_s: float
    width: int
    height: int
    pose: bytes  # (33, 4) x, y, z, visibility
    left_hand: bytes  # (21, 3)
    right_hand: bytes  # (21, 3)


class Preview(Event, frozen=True, kw_only=True):
    """A small picture of what the camera sees, at most 10 a second; none while the camera gives no new one."""

    pts_s: float
    jpeg: bytes  # at most 320 pixels wide


Message = Detection | Hypothesis | Status | LandmarksEvent | Preview

KINDS: dict[str, type[Message]] = {
    "detection": Detection,
    "hypothesis": Hypothesis,
    "status": Status,
    "landmarks": LandmarksEvent,
    "preview": Preview,
}


_NAMES: dict[type[Event], str] = {struct: kind for kind, struct in KINDS.items()}


def kind_named(struct: type[Event]) -> str:
    """The name of a kind of message, the first part of its topic.

    Raises:
        TypeError: it is none of the wire's.
    """
    kind = _NAMES.get(struct)
    if kind is None:
        raise TypeError(f"not a message of the wire: {struct.__name__}")
    return kind


def topic_of(message: Message) -> str:
    """`<kind>/<stream>/`; the closing slash keeps `cam1` from matching `cam10`."""
    return f"{kind_named(type(message))}/{message.stream}/"


def to_float16(part: NDArray[np.float32]) -> bytes:
    """Landmarks as the wire carries them: float16, little-endian, row by row.

    Over [0, 1] the step is at most 1/2048, a third of a pixel at 640; infinities stand for what float16 cannot hold.
    """
    return part.astype("<f2").tobytes()


def from_float16(data: bytes, columns: int) -> NDArray[np.float32]:
    """What `to_float16` packed.

    Args:
        data: rows of `columns` float16 values.
        columns: 4 for the pose (x, y, z, visibility), 3 for a hand (x, y, z).

    Returns:
        float32 (rows, columns), NaN where the part is absent.

    Raises:
        ValueError: the length is no whole number of rows.
    """
    return np.frombuffer(data, "<f2").reshape(-1, columns).astype(np.float32)
