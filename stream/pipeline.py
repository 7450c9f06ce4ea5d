"""The live pipeline: one source, a ring, a pose thread, a spotting thread, and the messages they send.

Capture never waits for the rest; the pose thread reads the ring, the spotting thread a short bounded queue behind it.
What depends on time (which frames were dropped, the degradation level, when a gallery was swapped) is decided here
and written to the ledger; what is computed from those decisions is `stream.stages`'.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from engines.encoders import Encoder
from engines.errors import GalleryError, SignspotError
from engines.pose.base import PlacedPose, PoseEstimator
from stream.clock import Tick
from stream.degradation import Governor, Level, ladder
from stream.events import (
    Degradation,
    Detection,
    EngineStatus,
    Hypothesis,
    Message,
    Preview,
    SourceState,
    Status,
)
from stream.frame import Frame
from stream.gallery import Gallery, GalleryWatcher
from stream.latency import Meter, ProcessCost, Rate, StageMeters, percentiles
from stream.ledger import EndLine, FrameLine, GalleryLine, LedgerWriter, StartLine
from stream.preview import preview_jpeg
from stream.publisher import Stamper
from stream.reporting import Reporter
from stream.ring import FrameRing, RingReader
from stream.sources.base import Source, SourceChange
from stream.sources.redaction import redact
from stream.stages import PoseStage, SpottingStage
from stream.transcribing import TranscriptSource, TranscriptStage
from stream.transcript import Revision
from stream.view import Observation
from stream.visibility import HINTS, ViewMonitor

RING_FRAMES = 16
"""Half a second at 30 fps: rides out a hiccup of the machine, and no frame older than that is ever posed."""
QUEUE_TICKS = 8
"""Ticks between the pose and the spotting thread; a full queue holds the pose thread back."""
PREVIEW_S = 0.1
STATUS_S = 1.0
BUSY_S = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a run may turn on."""

    landmarks: bool = False  # publish the landmarks of every tick
    preview: bool = False  # publish a small JPEG, at most 10 a second
    mirrored: bool = False  # the camera's picture is mirrored


@dataclass(slots=True)
class _Posed:
    """What the pose thread hands on."""

    ticks: list[Tick]
    frame: Frame
    level: Level
    at_ns: int


class _Busy:
    """Share of the last seconds in which one thread worked."""

    def __init__(self) -> None:
        self._spans: deque[tuple[int, int]] = deque()

    def add(self, start_ns: int, end_ns: int) -> None:
        self._spans.append((start_ns, end_ns))
        while self._spans and self._spans[0][1] < end_ns - BUSY_S * 1e9:
            self._spans.popleft()

    def share(self) -> float:
        spans = list(self._spans)
        if len(spans) < 2:
            return 0.0
        return sum(end - start for start, end in spans) / max(spans[-1][1] - spans[0][0], 1)


class _InUse(NamedTuple):
    """The gallery that is spotted by, and what a status says of it."""

    edition: Gallery | None
    trouble: str = ""


class Pipeline:
    """One stream from its source to its messages.

    Args:
        source: where frames come from.
        estimator: poses frames.
        encoders: embed windows; at least one. Several pipelines may share them: their windows are then joined in batches.
        stamper: numbers the messages.
        sinks: take every message, from several threads (publisher, recorder).
        galleries: gives the gallery and its later editions; None to run without.
        options: what to publish beyond the default.
        ledger: records the run.
        transcriber: writes the transcript by a network of sentences; None: it is made of the detections.
        observer: takes the newest observation after every tick (a view); must return soon.
        cost: measures the process, and is shared by all its pipelines; its own by default.
    """

    def __init__(
        self,
        *,
        source: Source,
        estimator: PoseEstimator,
        encoders: Sequence[Encoder],
        stamper: Stamper,
        sinks: Sequence[Callable[[Message], None]] = (),
        galleries: GalleryWatcher | None = None,
        options: Options | None = None,
        ledger: LedgerWriter | None = None,
        transcriber: TranscriptStage | None = None,
        observer: Callable[[Observation], None] | None = None,
        cost: ProcessCost | None = None,
    ) -> None:
        self._source = source
        self._estimator = estimator
        self._encoders = list(encoders)
        self._stamper = stamper
        self._sinks = list(sinks)
        self._galleries = galleries
        self._options = options or Options()
        self._ledger = ledger
        self._observer = observer
        self._gallery = _InUse(galleries.current if galleries else None)
        shared = transcriber.encoders if transcriber is not None else ()
        self._spotting = SpottingStage(encoders, self._gallery.edition, shared=shared)
        self._transcriber = transcriber
        self._reporter = Reporter(
            stamper,
            self._send,
            realtime=source.realtime,
            landmarks=self._options.landmarks,
            transcribed=transcriber is not None,
        )
        self._ring = FrameRing(RING_FRAMES)
        self._pictures = [encoder.name for encoder in encoders if encoder.pictures]
        self._governor = Governor(ladder([encoder.name for encoder in encoders], pictures=self._pictures))
        self._queue: queue.Queue[_Posed | None] = queue.Queue(QUEUE_TICKS)
        self._threads: list[threading.Thread] = []
        self._stopping = threading.Event()
        self._ended = threading.Event()
        self._woken = threading.Event()
        self._failure: BaseException | None = None
        self._change = SourceChange("connecting", "", time.monotonic_ns())
        self._told = self._change  # the newest that a status has told
        self._untold: deque[SourceChange] = deque()

        self._meters = StageMeters()
        self._processing = Meter()
        self._rate_in, self._rate_ticks = Rate(), Rate()
        self._busy_pose, self._busy_spotting = _Busy(), _Busy()
        self._visibility = ViewMonitor()
        self._frames_in = self._overwritten = self._gaps = self._ticks = 0
        self._segment = 0
        self._lost = False
        self._whole = False  # the source ended, and all of it was spotted
        self._zero_us: int | None = None
        self._cost = cost or ProcessCost()
        self._recent: deque[Detection] = deque(maxlen=8)
        self._transcript: Hypothesis | None = None
        self._status: Status | None = None

    # -- running ---------------------------------------------------------------------------------------------

    def add_sink(self, sink: Callable[[Message], None]) -> None:
        """Let one more taker have every message; before `start`."""
        self._sinks.append(sink)

    def start(self) -> None:
        """Start the threads and the source."""
        if self._ledger is not None:
            self._record_start(self._ledger)
        reader = self._ring.reader(blocking=not self._source.realtime)
        loops: list[tuple[str, Callable[[], None]]] = [
            ("pose", lambda: self._pose_loop(reader)),
            ("spotting", self._spotting_loop),
            ("status", self._status_loop),
        ]
        if self._options.preview:
            loops.append(("preview", self._preview_loop))
        self._threads = [
            threading.Thread(target=self._guarded, args=(loop,), name=name, daemon=True)
            for name, loop in loops
        ]
        for thread in self._threads:
            thread.start()
        self._source.start(self._on_frame, self._on_change)

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until the source has ended and all of it is spotted; False when the time is out before.

        Raises:
            SignspotError: what made the run fail.
        """
        ended = self._ended.wait(timeout_s)
        if self._failure is not None:
            raise self._failure
        return ended

    def halt(self) -> None:
        """Begin to stop, without waiting for it: what several pipelines do before each is stopped."""
        self._stopping.set()
        self._woken.set()
        self._ring.close()  # it releases the writer of a file that is held back

    def stop(self) -> None:
        """Stop now, within a second; what was being spotted is dropped."""
        deadline_s = time.monotonic() + 0.8
        self.halt()
        self._source.stop()
        for thread in self._threads:
            thread.join(timeout=max(deadline_s - time.monotonic(), 0.0))
        with contextlib.suppress(SignspotError):  # a full disk, say, which has failed the run already
            self._tell_changes(over=True)
        if self._ledger is not None:
            self._ledger.end(EndLine(ticks=self._ticks, whole=self._whole))
            self._ledger.close()
            self._ledger = None

    @property
    def status(self) -> Status | None:
        """The newest status message."""
        return self._status

    @property
    def meters(self) -> StageMeters:
        """Waits and works of this stream's stages."""
        return self._meters

    @property
    def ring(self) -> FrameRing:
        """The ring of decoded frames, for further readers."""
        return self._ring

    def _guarded(self, loop: Callable[[], None]) -> None:
        try:
            loop()
        except BaseException as error:  # whatever it is, this stream must end and say so
            if self._failure is None:
                self._failure = error
                why = str(error) if isinstance(error, SignspotError) else f"{type(error).__name__}: {error}"
                self._untold.append(SourceChange("ended", redact(why), time.monotonic_ns()))
            self.halt()
            self._ended.set()

    # -- capture (the source's threads) ----------------------------------------------------------------------

    def _on_frame(self, frame: Frame) -> None:
        if self._zero_us is None:
            age_us = (time.monotonic_ns() - frame.captured_ns) / 1e3
            self._zero_us = int(time.time_ns() / 1e3 - age_us - frame.pts_s * 1e6)
        self._frames_in += 1
        self._rate_in.add(frame.captured_ns)
        self._meters.note("decode", wait_ms=0.0, work_ms=frame.decode_ms)
        self._ring.write(frame)

    def _on_change(self, change: SourceChange) -> None:
        if self._failure is not None:
            return  # that the stream has ended, and why, is told already
        self._untold.append(change)
        self._change = change
        if change.error is not None:
            self._failure = self._failure or change.error
        self._woken.set()
        if change.state == "ended":
            self._ring.close()

    # -- pose ------------------------------------------------------------------------------------------------

    def _pose_loop(self, reader: RingReader) -> None:
        stage = PoseStage(self._estimator, pictures=bool(self._pictures))
        dropped = 0
        while not self._stopping.is_set():
            item = reader.next(timeout_s=0.2)
            if item is None:
                if reader.done:
                    break
                continue
            frame, missed = item
            self._overwritten += missed
            dropped += missed
            level = self._governor.current
            wanted = stage.wants(frame, level)
            if self._ledger is not None:
                self._record_frame(self._ledger, frame, missed, wanted)
            if not wanted:
                continue
            start_ns = time.monotonic_ns()
            waited_ms = (start_ns - frame.captured_ns) / 1e6
            ticks = stage.pose(frame)
            done_ns = time.monotonic_ns()
            self._busy_pose.add(start_ns, done_ns)
            self._meters.note("pose", wait_ms=waited_ms, work_ms=stage.pose_ms)
            for part, part_ms in stage.parts_ms.items():
                self._meters.note(f"pose: {part}", wait_ms=0.0, work_ms=part_ms)
            self._meters.note("ticks", wait_ms=0.0, work_ms=stage.ticks_ms)
            if self._source.realtime:
                busy = max(self._busy_pose.share(), self._busy_spotting.share())
                if self._governor.observe(done_ns, dropped=dropped, waited_ms=waited_ms, busy=busy):
                    self._woken.set()
            dropped = 0
            self._hand_on(_Posed(ticks, frame, level, done_ns))
        self._hand_on(None)

    def _hand_on(self, posed: _Posed | None) -> None:
        while not self._stopping.is_set():
            try:
                return self._queue.put(posed, timeout=0.2)
            except queue.Full:
                continue

    # -- spotting --------------------------------------------------------------------------------------------

    def _spotting_loop(self) -> None:
        while not self._stopping.is_set():
            try:
                posed = self._queue.get(timeout=0.2)
            except queue.Empty:
                continue
            if posed is None:
                for detection in self._reporter.end(self._spotting.flush(), self._last_said()):
                    self._recent.append(detection)
                self._whole = True
                self._woken.set()
                return
            start_ns = time.monotonic_ns()
            for tick in posed.ticks:
                self._tick(tick, posed, start_ns)
            self._busy_spotting.add(start_ns, time.monotonic_ns())

    def _tick(self, tick: Tick, posed: _Posed, start_ns: int) -> None:
        self._take_new_gallery()
        outcome = self._spotting.push(tick, posed.level)
        queued_ms = (start_ns - posed.at_ns) / 1e6
        for stage, work_ms in outcome.work_ms.items():
            waited_ms = queued_ms + outcome.wait_ms.get(stage, 0.0)
            self._meters.note(stage, wait_ms=waited_ms, work_ms=work_ms)
        said = None
        if self._transcriber is not None:
            said = self._transcriber.push(tick, embeddings=outcome.embeddings, picture=posed.frame.image)
            self._meters.note("transcript", wait_ms=queued_ms, work_ms=said.work_ms)
        publish_ns = time.monotonic_ns()
        detections = self._reporter.tick(tick, outcome, said)
        now_ns = time.monotonic_ns()
        self._meters.note("publish", wait_ms=0.0, work_ms=(now_ns - publish_ns) / 1e6)
        self._processing.add((now_ns - tick.captured_ns) / 1e6)
        self._rate_ticks.add(now_ns)
        self._ticks += 1
        self._cost.tick()
        if tick.lost and not self._lost:
            self._gaps += 1
        self._lost = tick.lost
        self._segment = tick.segment
        self._visibility.push(tick.landmarks)
        self._recent.extend(detections)
        if self._observer is not None:
            spotter = self._spotting.spotter
            self._observer(
                Observation(
                    frame=posed.frame,
                    tick=tick,
                    bars=spotter.bars() if spotter is not None else (),
                    detections=tuple(self._recent),
                    status=self._status,
                    transcript=self._transcript,
                )
            )

    def _last_said(self) -> tuple[Revision, ...]:
        return self._transcriber.flush() if self._transcriber is not None else ()

    def _take_new_gallery(self) -> None:
        if self._galleries is None:
            return
        edition = self._galleries.poll()
        if edition is not None:
            try:
                self._spotting.take(edition)
            except GalleryError as error:
                self._galleries.refuse(error)
                edition = None
        # At once, so that no status tells of one edition and counts the glosses of another.
        self._gallery = _InUse(self._galleries.current, self._galleries.trouble)
        if edition is None:
            return
        if self._ledger is not None:
            folder = self._ledger.keep_gallery(edition)
            self._ledger.gallery(GalleryLine(tick=self._ticks, folder=folder))
        self._woken.set()

    # -- messages --------------------------------------------------------------------------------------------

    def _send(self, message: Message) -> None:
        if isinstance(message, Hypothesis):
            self._transcript = message
        for sink in self._sinks:
            sink(message)

    def _status_loop(self) -> None:
        spotting = self._threads[1]
        while True:
            over = not spotting.is_alive() and self._change.state == "ended"
            if not self._tell_changes(over=over):
                self._tell_status(self._told)
            if over:
                self._ended.set()
                return
            if self._stopping.is_set():
                return
            self._woken.wait(STATUS_S if spotting.is_alive() else 0.05)
            self._woken.clear()

    def _tell_changes(self, *, over: bool) -> bool:
        """A status for each change of the source since the last one, however soon the next followed.

        That the source has ended is told when all of it is spotted: nothing comes after it.
        """
        told = False
        while self._untold and (over or self._untold[0].state != "ended"):
            self._told = self._untold.popleft()
            self._tell_status(self._told)
            told = True
        return told

    def _tell_status(self, change: SourceChange) -> None:
        self._status = self._make_status(change)
        self._send(self._status)

    def _make_status(self, change: SourceChange) -> Status:
        now_ns = time.monotonic_ns()
        view = self._visibility.view()
        names = [encoder.name for encoder in self._encoders]
        gallery, trouble = self._gallery
        in_gallery = list(gallery.encoders) if gallery else []
        reason = "; ".join(one for one in (change.reason, trouble) if one)
        state: SourceState = change.state
        return self._stamper.stamp(
            Status,
            segment=self._segment,
            source=self._source.name,
            state=state,
            state_reason=reason,
            people="unknown",
            view=view,
            view_hint=HINTS[view],
            fps_in=self._rate_in.per_second(now_ns),
            fps_processed=self._rate_ticks.per_second(now_ns),
            frames_in=self._frames_in,
            frames_dropped={"overwritten": self._overwritten} | self._source.discarded(),
            gaps=self._gaps,
            degradation=Degradation(
                level=self._governor.level,
                gives_up=self._governor.current.gives_up,
                reason=self._governor.reason,
            ),
            stages=self._meters.report(),
            processing_ms=percentiles(self._processing.recent()),
            cpu_ms_per_tick=self._cost.ms_per_tick(now_ns),
            encoders=names,
            encoders_missing=sorted(set(names) ^ set(in_gallery)) if in_gallery else [],
            engines=self._engines(),
            glosses=len(gallery.glosses) if gallery else 0,
            gallery=str(gallery.path) if gallery else "",
            utc_of_zero_us=self._zero_us,
        )

    def _engines(self) -> dict[str, EngineStatus]:
        """What executes each network, where that was chosen."""
        places = {encoder.name: encoder.where() for encoder in self._encoders}
        if isinstance(self._estimator, PlacedPose):
            places["pose"] = self._estimator.where()
        if self._transcriber is not None:
            places["transcript"] = self._transcriber.network.where()
        return {
            name: EngineStatus(
                device=place.device, runtime=place.runtime, precision=place.precision, reason=place.reason
            )
            for name, place in places.items()
        }

    def _preview_loop(self) -> None:
        reader = self._ring.reader(blocking=False)
        sent: Frame | None = None
        while not self._stopping.wait(PREVIEW_S) and not reader.done:
            frame = reader.latest()
            if frame is None or frame is sent:  # nothing new: the source stalls, or has ended
                continue
            sent = frame
            jpeg = preview_jpeg(frame.image)
            self._send(self._stamper.stamp(Preview, segment=self._segment, pts_s=frame.pts_s, jpeg=jpeg))

    # -- ledger ----------------------------------------------------------------------------------------------

    def _record_start(self, ledger: LedgerWriter) -> None:
        source = self._transcriber.source if self._transcriber is not None else TranscriptSource()
        ledger.start(
            StartLine(
                format=1,
                stream=self._stamper.stream,
                source=self._source.name,
                realtime=self._source.realtime,
                encoders={encoder.name: encoder.fingerprint for encoder in self._encoders},
                estimator=self._estimator.name,
                mirrored=self._options.mirrored,
                gallery=ledger.keep_gallery(self._gallery.edition),
                transcript=ledger.keep_transcript(source.bundle),
                language_model=ledger.keep_language_model(source.language_model),
            )
        )

    def _record_frame(self, ledger: LedgerWriter, frame: Frame, missed: int, posed: bool) -> None:
        ledger.frame(
            FrameLine(
                index=frame.index,
                pts_s=frame.pts_s,
                captured_ns=frame.captured_ns,
                connection=frame.connection,
                dropped=missed,
                level=self._governor.level,
                posed=posed,
            ),
            frame if posed else None,
        )
