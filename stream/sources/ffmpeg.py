"""Pictures from whatever FFmpeg opens: files, RTSP, HTTP, Video4Linux devices, pipes."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import av.logging
import numpy as np
from numpy.typing import NDArray

from engines.errors import SourceError, SourceUnreachable, SourceUnreadable, SourceUnsupported
from stream.frame import Frame
from stream.sources.redaction import redact
from stream.sources.supervisor import Link, Picture
from stream.sources.timeline import Timeline

UNDECODABLE_MOST = 50
"""Failures in a row, without a picture, after which a live connection is given up: two seconds at 25 fps."""
LATE_S = 1.0
"""A file played in real time that is behind by more (the machine slept) goes on from there, and does not rush."""

av.logging.set_level(None)  # FFmpeg's own log lines hold whole addresses, with their credentials


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """What to open, and how."""

    url: str  # for FFmpeg; may hold credentials
    name: str  # to show; holds none
    format: str | None = None  # FFmpeg's name of the input format; None to find out
    options: Mapping[str, str] = field(default_factory=dict)  # FFmpeg's
    timeouts_s: tuple[float, float] | None = None  # FFmpeg's own, of opening and of reading
    local: bool = False  # a file: nothing to wait for, and its errors are for good
    paced: bool = False  # hand out the pictures of a finite source at their own pace
    loop: bool = False  # a finite source starts again at its end, its time going on

    def explain(self, error: Exception, *, timed_out: bool = False, opened: bool = False) -> SourceError:
        """The error to show for one of PyAV's, whose own text holds the whole address."""
        why = getattr(error, "strerror", None) or type(error).__name__
        if timed_out or isinstance(error, av.error.ExitError | av.error.TimeoutError):
            return SourceUnreachable(f"{self.name} does not answer")
        match error:
            case av.error.FileNotFoundError():
                return SourceUnreachable(f"{self.name} does not exist")
            case av.error.PermissionError():
                hint = "; add yourself to the group `video`" if self.format == "v4l2" else ""
                return SourceUnreachable(f"{self.name}: permission denied{hint}")
            case av.error.HTTPUnauthorizedError() | av.error.HTTPForbiddenError():
                return SourceUnreachable(f"{self.name} refuses: check the user name and the password in it")
            case av.error.ProtocolNotFoundError():
                return SourceUnsupported(
                    f"{self.name} begins with a protocol that FFmpeg does not know: is it spelt right, as in rtsp://?"
                )
            case av.error.InvalidDataError():
                return SourceUnreadable(f"{self.name} holds no video that can be read: {redact(why)}")
            case _ if self.format == "v4l2" and getattr(error, "errno", None) == 16:  # EBUSY
                return SourceUnreachable(f"{self.name} is in use by another program")
            case _ if self.local:
                return SourceUnreadable(f"{self.name} cannot be read: {redact(why)}")
            case _ if opened:
                return SourceUnreachable(f"the connection to {self.name} is lost: {redact(why)}")
            case _:
                return SourceUnreachable(f"{self.name} cannot be reached: {redact(why)}")


class FfmpegConnection:
    """An open container and its first video track.

    Raises:
        SourceUnreachable: nothing answers there.
        SourceUnreadable: it holds no video track.
    """

    def __init__(self, address: Address, link: Link) -> None:
        self._address = address
        self._link = link
        self._pictures = 0
        self._failures = 0  # in a row
        self._first_s: float | None = None  # time stamp of the first picture, of this round of a loop
        self._last_s: float | None = None  # media seconds of the newest picture
        self._loop_s = 0.0  # media seconds at which this round of a loop began
        self._due_ns: int | None = None  # monotonic clock of media second 0
        self._decoding_ns = 0  # spent on the picture that comes next
        self._open()

    @property
    def finite(self) -> bool:
        """Whether it has an end: a file, or a stream that says how long it is."""
        return self._finite

    def read(self) -> Picture | None:
        """Wait for the next picture; None at the end.

        Raises:
            SourceUnreachable: the connection is lost.
            SourceUnreadable: nothing of it can be decoded.
        """
        while not self._link.cancelled.is_set():
            frame = self._next_frame()
            if frame is None:
                if self._link.cancelled.is_set():
                    break
                if not self._pictures:
                    raise SourceUnreadable(f"{self._address.name} holds no picture that can be decoded")
                if not (self._finite and self._address.loop):
                    break
                self._rewind()
                continue
            start_ns = time.monotonic_ns()
            image = _upright(frame)
            self._decoding_ns += time.monotonic_ns() - start_ns
            picture = Picture(image, self._media_s(frame), self._decoding_ns / 1e6)
            self._decoding_ns = 0
            self._pictures += 1
            self._failures = 0
            self._last_s = picture.media_s
            if self._address.paced and self._finite:
                self._wait_until_due(picture.media_s or 0.0)
            return picture
        return None

    def close(self) -> None:
        """Close the container."""
        self._container.close()

    def _open(self) -> None:
        address = self._address
        problem: SourceError | None = None
        start_s = time.monotonic()
        try:
            self._container = av.open(
                address.url,
                format=address.format,
                options=dict(address.options),
                timeout=address.timeouts_s,
            )
        except av.FFmpegError as error:
            # FFmpeg's RTSP client calls its own time-out "invalid data"
            waited_s = time.monotonic() - start_s
            timed_out = address.timeouts_s is not None and waited_s > 0.95 * address.timeouts_s[0]
            problem = address.explain(error, timed_out=timed_out)
        if (
            problem is not None
        ):  # raised out here, so that PyAV's error with the address does not hang on to it
            raise problem
        if not self._container.streams.video:
            self._container.close()
            raise SourceUnreadable(
                f"{address.name} has no video track: it holds something else, or is cut off or damaged"
            )
        self._stream = self._container.streams.video[0]
        self._finite = address.local or (self._container.duration or 0) > 0
        # Frame threads hold as many pictures back as there are threads; harmless only where there is no hurry.
        self._stream.thread_type = "AUTO" if address.local and not address.paced else "SLICE"
        rate = self._stream.average_rate or self._stream.guessed_rate
        self._period_s = float(1 / rate) if rate else 0.04
        self._packets = self._container.demux(self._stream)
        self._decoded: Iterator[Any] = iter(())

    def _rewind(self) -> None:
        self._loop_s = (self._last_s or 0.0) + self._period_s
        self._first_s = None
        self._container.close()
        self._open()

    def _next_frame(self) -> Any | None:
        """The next decoded picture; None at the end. Counts and skips what cannot be decoded."""
        while not self._link.cancelled.is_set():
            for frame in self._decoded:
                if not frame.is_corrupt:
                    return frame
                self._skip()
            packet = self._next_packet()
            if packet is None:
                return None
            start_ns = time.monotonic_ns()
            try:
                self._decoded = iter(packet.decode())
            except av.error.EOFError:  # after the last packet, which flushes the decoder
                return None
            except av.FFmpegError:
                self._skip()
            finally:
                self._decoding_ns += time.monotonic_ns() - start_ns
        return None

    def _next_packet(self) -> Any | None:
        """The next packet; None at the end."""
        for _ in range(UNDECODABLE_MOST):
            problem: SourceError | None = None
            try:
                return next(self._packets, None)
            except av.error.InvalidDataError:
                self._skip()
            except av.FFmpegError as error:
                problem = self._address.explain(error, opened=True)
            if problem is not None and not self._finite:
                raise problem
            self._packets = self._container.demux(self._stream)  # an error ends the old one
        return None

    def _skip(self) -> None:
        self._link.discard("undecodable")
        self._failures += 1
        if self._failures >= UNDECODABLE_MOST and not self._finite:
            raise SourceUnreadable(
                f"{self._address.name}: {self._failures} pictures in a row cannot be decoded"
            )

    def _media_s(self, frame: Any) -> float | None:
        if not self._finite:
            return None if frame.pts is None else float(frame.pts * frame.time_base)
        if frame.pts is None:  # raw video: nothing but the frame rate tells
            return 0.0 if self._last_s is None else self._last_s + self._period_s
        at_s = float(frame.pts * frame.time_base)
        if self._first_s is None:
            self._first_s = at_s
        return at_s - self._first_s + self._loop_s

    def _wait_until_due(self, media_s: float) -> None:
        now_ns = time.monotonic_ns()
        media_ns = round(media_s * 1e9)
        if self._due_ns is None or now_ns - self._due_ns - media_ns > LATE_S * 1e9:
            self._due_ns = now_ns - media_ns
        self._link.cancelled.wait(max(0.0, (self._due_ns + media_ns - now_ns) / 1e9))


def _upright(frame: Any) -> NDArray[np.uint8]:
    """The picture as RGB in its own memory, turned as the container says (phones film sideways)."""
    image: NDArray[np.uint8] = frame.to_ndarray(format="rgb24")
    turns = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(image, turns) if turns else image)


def read_frames(path: Path) -> Iterator[Frame]:
    """Every picture of a video file, decoded as the live source does it, as fast as it is asked for.

    Raises:
        SourceUnreachable: there is no such file.
        SourceUnreadable: the file is damaged, or holds no video track or no picture that can be decoded.
    """
    link = Link(threading.Event(), lambda reason: None)
    with contextlib.closing(FfmpegConnection(file_address(path), link)) as connection:
        timeline = Timeline()
        for index in itertools.count():
            picture = connection.read()
            if picture is None:
                return
            captured_ns = time.monotonic_ns()
            place = timeline.place(picture.media_s, captured_ns, finite=True)
            if place is not None:
                yield Frame(
                    image=picture.image, index=index, pts_s=place[0], captured_ns=captured_ns, connection=0
                )


def file_address(path: Path, *, paced: bool = False, loop: bool = False) -> Address:
    """A local video file, to be opened as it is: never taken for an address of another kind.

    Raises:
        SourceUnreachable: there is no such file.
        SourceUnreadable: it is a folder.
    """
    name = redact(str(path))
    if path.is_dir():
        raise SourceUnreadable(f"{name} is a folder: name a video file")
    if not path.exists():
        raise SourceUnreachable(f"{name} does not exist")
    return Address(url=f"file:{path}", name=name, local=True, paced=paced, loop=loop)
