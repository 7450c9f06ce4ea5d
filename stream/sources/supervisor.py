"""Keeps one source alive: connects, watches, abandons what hangs, reopens with back-off, and announces each step."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from engines.errors import SourceError, SourceUnreadable, SourceUnsupported
from stream.events import SourceState
from stream.frame import Frame
from stream.sources.base import SourceChange
from stream.sources.redaction import redact
from stream.sources.timeline import Timeline

HANGING_MOST = 4
"""Reader threads that never return hold memory and a connection each: beyond these none is opened any more."""
STOP_S = 0.8


@dataclass(frozen=True, slots=True)
class Picture:
    """One decoded picture of a connection."""

    image: NDArray[np.uint8]  # (H, W, 3) RGB, C-contiguous, its own memory
    media_s: float | None  # seconds by the source's own clock; None where it gives none
    decode_ms: float = 0.0  # work of decoding it and making it RGB


class Connection(Protocol):
    """One open connection. Made, read and closed by one and the same thread."""

    @property
    def finite(self) -> bool:
        """Whether it has an end, as a file has, after which there is nothing to reconnect to."""
        ...

    def read(self) -> Picture | None:
        """Wait for the next picture; None at the end.

        Raises:
            SourceError: the connection is lost or gives nothing that can be decoded.
        """
        ...

    def close(self) -> None:
        """Release what it holds."""
        ...


@dataclass(frozen=True, slots=True)
class Link:
    """What a connection and its supervisor share."""

    cancelled: threading.Event  # set when nobody wants the connection any more
    discard: Callable[[str], None]  # count a picture that is thrown away, with the reason


Connect = Callable[[Link], Connection]


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a source is waited for."""

    connect_s: float = 10.0  # from opening to the first picture
    stall_s: float = 3.0  # between two pictures
    first_retry_s: float = 0.5  # before the first attempt to reopen; doubles with each
    longest_retry_s: float = 10.0
    settled_s: float = 5.0  # a connection that lived this long makes the next retry a first one


@dataclass(slots=True, eq=False)
class _Run:
    """One connection's reader thread, and how far it is."""

    link: Link
    thread: threading.Thread | None = None
    started_ns: int = field(default_factory=time.monotonic_ns)
    waiting_since_ns: int | None = field(default_factory=time.monotonic_ns)  # None while a frame is handed on
    pictures: int = 0
    finite: bool = False
    error: SourceError | None = None
    finished: threading.Event = field(default_factory=threading.Event)

    def overdue_s(self, patience: Patience) -> float | None:
        """Seconds without a picture where they are too many."""
        waiting_since_ns = self.waiting_since_ns
        if waiting_since_ns is None:
            return None
        waited_s = (time.monotonic_ns() - waiting_since_ns) / 1e9
        return waited_s if waited_s > (patience.stall_s if self.pictures else patience.connect_s) else None


class SupervisedSource:
    """A `Source` over connections of any kind.

    Every connection is read in a thread of its own. Where it gives nothing for too long it is abandoned: whatever
    its decoder call still returns, if it ever does, is discarded, since its run is no longer the current one.

    Args:
        name: the source as the user gave it; credentials are blanked out here.
        connect: opens a connection, in the reader thread.
        realtime: whether frames come at the pace of the world.
        retries: whether a connection that fails or ends is reopened, for ever; otherwise the source ends with it.
        patience: the time-outs; without retries none applies.
    """

    def __init__(
        self,
        name: str,
        connect: Connect,
        *,
        realtime: bool = True,
        retries: bool = True,
        patience: Patience | None = None,
    ) -> None:
        self._name = redact(name)
        self._connect = connect
        self._realtime = realtime
        self._retries = retries
        self._patience = patience or Patience()
        self._on_frame: Callable[[Frame], None] = lambda frame: None
        self._on_change: Callable[[SourceChange], None] = lambda change: None
        self._handing_on = threading.RLock()  # held while the callbacks run: one at a time, in order
        self._stopping = threading.Event()
        self._silent = False
        self._timeline = Timeline()
        self._current: _Run | None = None
        self._hanging: list[threading.Thread] = []
        self._discarded: Counter[str] = Counter()
        self._frames = 0
        self._thread: threading.Thread | None = None

    def __repr__(self) -> str:
        return f"SupervisedSource({self._name!r}, {self._frames} frames)"

    @property
    def name(self) -> str:
        """The source as the user gave it, credentials blanked out."""
        return self._name

    @property
    def realtime(self) -> bool:
        """Whether frames come at the pace of the world."""
        return self._realtime

    def discarded(self) -> dict[str, int]:
        """Pictures that were thrown away since the start: reason -> count."""
        return dict(self._discarded)

    def start(self, on_frame: Callable[[Frame], None], on_change: Callable[[SourceChange], None]) -> None:
        """Begin to connect and to deliver.

        Raises:
            RuntimeError: it was started before.
        """
        if self._thread is not None:
            raise RuntimeError(f"{self._name} was started before")
        self._on_frame, self._on_change = on_frame, on_change
        self._thread = threading.Thread(target=self._supervise, name="source", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop within a second. A reader that hangs is left behind, with nobody listening to it."""
        self._stopping.set()
        if self._current is not None:
            self._current.link.cancelled.set()
        free = self._handing_on.acquire(timeout=STOP_S)  # not free: a callback blocks; it was the last one
        try:
            if free:
                self._announce("ended", "stopped")
            self._silent = True
            self._current = None
        finally:
            if free:
                self._handing_on.release()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(STOP_S / 4)

    # -- the supervisor's thread -----------------------------------------------------------------------------

    def _supervise(self) -> None:
        retry_s = self._patience.first_retry_s
        opening: SourceState = "connecting"
        self._announce(opening, "")
        while not self._stopping.is_set():
            run = self._open()
            stalled_s = self._watch(run)
            if self._stopping.is_set():
                return
            hopeless = isinstance(run.error, SourceUnsupported)
            if stalled_s is None and (not self._retries or hopeless or (run.finite and run.error is None)):
                return self._announce("ended", str(run.error or ""), run.error)
            if run.pictures:
                opening = "reconnecting"
            if stalled_s is not None:
                what = "no picture" if run.pictures else "no first picture"
                reason = f"{what} for {stalled_s:.1f} s"
                self._announce("stalled", reason)
            else:
                reason = str(run.error or "the source closed the connection")
            if (time.monotonic_ns() - run.started_ns) / 1e9 > self._patience.settled_s and run.pictures:
                retry_s = self._patience.first_retry_s
            self._announce(opening, f"{reason}; trying again in {retry_s:.3g} s")
            self._stopping.wait(retry_s)
            retry_s = min(2 * retry_s, self._patience.longest_retry_s)
            self._wait_for_hanging()

    def _open(self) -> _Run:
        run = _Run(Link(threading.Event(), self._discard))
        with self._handing_on:
            self._current = run
            self._timeline.begin()
        run.thread = threading.Thread(target=self._read, args=(run,), name="reader", daemon=True)
        run.thread.start()
        if self._stopping.is_set():  # `stop` may have looked just before
            run.link.cancelled.set()
        return run

    def _watch(self, run: _Run) -> float | None:
        """Wait until the connection is over; seconds without a picture where it was abandoned for that."""
        look_s = min(0.1, self._patience.stall_s / 10)
        while not run.finished.wait(look_s) and not self._stopping.is_set():
            overdue_s = run.overdue_s(self._patience)
            if overdue_s is None or not self._retries:
                continue
            with self._handing_on:
                if run.overdue_s(self._patience) is None:  # a picture came while we waited for the lock
                    continue
                self._current = None
            run.link.cancelled.set()
            if run.thread is not None:
                self._hanging.append(run.thread)
            return overdue_s
        return None

    def _wait_for_hanging(self) -> None:
        told = False
        while not self._stopping.is_set():
            self._hanging = [thread for thread in self._hanging if thread.is_alive()]
            if len(self._hanging) < HANGING_MOST:
                return
            if not told:
                self._announce(
                    "stalled", f"{HANGING_MOST} connections hang in the decoder; waiting for one to return"
                )
                told = True
            self._stopping.wait(0.2)

    # -- the readers' threads --------------------------------------------------------------------------------

    def _read(self, run: _Run) -> None:
        try:
            connection = self._connect(run.link)
            try:
                run.finite = connection.finite
                while not run.link.cancelled.is_set():
                    run.waiting_since_ns = time.monotonic_ns()
                    picture = connection.read()
                    captured_ns = time.monotonic_ns()
                    if picture is None:
                        break
                    self._hand_on(run, picture, captured_ns)
            finally:
                connection.close()
        except SourceError as error:
            run.error = error
        except (
            Exception
        ) as error:  # a library's own: the source must not die of it, and it may hold the address
            run.error = SourceUnreadable(
                f"{self._name} cannot be read: {type(error).__name__}: {redact(str(error))}"
            )
        finally:
            run.finished.set()

    def _hand_on(self, run: _Run, picture: Picture, captured_ns: int) -> None:
        with self._handing_on:
            if run is not self._current or self._silent:
                return self._discard("late")
            run.waiting_since_ns = None
            place = self._timeline.place(picture.media_s, captured_ns, finite=run.finite)
            if place is None:
                return self._discard("out of order")
            run.pictures += 1
            if run.pictures == 1:
                self._announce("live", "")
            pts_s, connection = place
            frame = Frame(
                image=picture.image,
                index=self._frames,
                pts_s=pts_s,
                captured_ns=captured_ns,
                connection=connection,
                decode_ms=picture.decode_ms,
            )
            self._frames += 1
            self._on_frame(frame)

    def _discard(self, reason: str) -> None:
        self._discarded[reason] += 1

    def _announce(self, state: SourceState, reason: str, error: SourceError | None = None) -> None:
        with self._handing_on:
            if not self._silent:
                self._on_change(SourceChange(state, redact(reason), time.monotonic_ns(), error))
            if state == "ended":
                self._silent = True
