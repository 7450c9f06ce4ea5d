"""Spottings and ticks to messages: used alike by the live pipeline and by replay, so both say the same."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable

from stream.clock import Tick
from stream.events import Detection, Hypothesis, LandmarksEvent, Message, RunnerUp, to_float16
from stream.publisher import Stamper
from stream.spotting import Spotted
from stream.stages import Outcome
from stream.transcribing import Said
from stream.transcript import DetectionTranscript, Revision

ARRIVALS = 1500
"""Ticks whose arrival is remembered: one minute, far longer than any sign."""


class Reporter:
    """Stamps messages and hands them to `send`. Called by the spotting thread alone.

    Args:
        stamper: numbers the messages.
        send: takes every stamped message: to the wire, a recording, a view.
        realtime: whether the source keeps the pace of the world; without it there is no lag to tell.
        landmarks: whether to send the landmarks of every tick.
        transcribed: a network writes the transcript; otherwise it is made of the detections.
    """

    def __init__(
        self,
        stamper: Stamper,
        send: Callable[[Message], None],
        *,
        realtime: bool,
        landmarks: bool,
        transcribed: bool = False,
    ) -> None:
        self._stamper = stamper
        self._send = send
        self._realtime = realtime
        self._landmarks = landmarks
        self._transcript = None if transcribed else DetectionTranscript()
        self._arrivals: deque[tuple[float, int]] = deque(maxlen=ARRIVALS)
        self._segment = 0
        self._sent = 0

    def tick(self, tick: Tick, outcome: Outcome, said: Said | None = None) -> list[Detection]:
        """Send what one tick gave, `said` by the network that writes the transcript; returns the detections as sent."""
        said = said or Said()
        detections: list[Detection] = []
        if tick.segment != self._segment:
            detections += self._detections(outcome.ended, tick.captured_ns)
            self._hypotheses(self._finished() if self._transcript else said.ended)
            self._arrivals.clear()
            self._segment = tick.segment
        self._arrivals.append((tick.pts_s, tick.captured_ns))
        if self._landmarks:
            self._send_landmarks(tick)
        detections += self._detections(outcome.spotted, tick.captured_ns)
        if self._transcript is not None:
            self._hypotheses([self._transcript.pass_time(tick.pts_s)])
        self._hypotheses(said.revisions)
        return detections

    def end(self, spotted: Iterable[Spotted], said: Iterable[Revision] = ()) -> list[Detection]:
        """The stream has ended: send what was still open."""
        newest_ns = self._arrivals[-1][1] if self._arrivals else time.monotonic_ns()
        detections = self._detections(spotted, newest_ns)
        self._hypotheses(self._finished() if self._transcript else said)
        return detections

    def _finished(self) -> list[Revision | None]:
        return [self._transcript.finish()] if self._transcript is not None else []

    def _detections(self, spotted: Iterable[Spotted], newest_ns: int) -> list[Detection]:
        return [self._detection(one, newest_ns) for one in spotted]

    def _detection(self, spotted: Spotted, newest_ns: int) -> Detection:
        runner_up = spotted.runner_up
        now_ns = time.monotonic_ns()
        detection = self._stamper.stamp(
            Detection,
            segment=self._segment,
            id=f"{self._stamper.stream}-{self._segment}-{self._sent}",
            gloss=spotted.gloss,
            score=spotted.score,
            confidence=spotted.confidence,
            start_s=spotted.start_s,
            end_s=spotted.end_s,
            peak_s=spotted.peak_s,
            runner_up=RunnerUp(gloss=runner_up[0], score=runner_up[1]) if runner_up else None,
            per_encoder=dict(spotted.per_encoder),
            processing_ms=(now_ns - newest_ns) / 1e6,
            lag_ms=self._lag_ms(spotted.end_s, now_ns),
        )
        self._sent += 1
        self._send(detection)
        if self._transcript is not None:
            self._hypotheses([self._transcript.add(spotted, self._arrivals[-1][0])])
        return detection

    def _lag_ms(self, end_s: float, now_ns: int) -> float | None:
        if not self._realtime:
            return None
        arrived = next((at_ns for pts_s, at_ns in self._arrivals if pts_s >= end_s), None)
        return None if arrived is None else (now_ns - arrived) / 1e6

    def _hypotheses(self, revisions: Iterable[Revision | None]) -> None:
        for revision in revisions:
            if revision is not None:
                self._hypothesis(revision)

    def _hypothesis(self, revision: Revision) -> None:
        now_ns = time.monotonic_ns()
        self._send(
            self._stamper.stamp(
                Hypothesis,
                segment=self._segment,
                utterance=revision.utterance,
                revision=revision.revision,
                state=revision.state,
                glosses=list(revision.glosses),
                text=revision.text,
                source="detections" if self._transcript is not None else "ctc",
                lag_ms=self._lag_ms(revision.glosses[-1].end_s, now_ns) if revision.glosses else None,
            )
        )

    def _send_landmarks(self, tick: Tick) -> None:
        seen = tick.landmarks
        self._send(
            self._stamper.stamp(
                LandmarksEvent,
                segment=tick.segment,
                pts_s=tick.pts_s,
                width=seen.width,
                height=seen.height,
                pose=to_float16(seen.pose),
                left_hand=to_float16(seen.left_hand),
                right_hand=to_float16(seen.right_hand),
            )
        )
