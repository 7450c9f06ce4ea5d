"""The ring of decoded frames: one writer, several readers, fixed memory, and every reader knows what it missed."""

from __future__ import annotations

import threading
import time
from collections import deque

from stream.frame import Frame

LIMIT_BYTES = 256 * 2**20
"""Pictures held at most; a ring of 16 frames meets it beyond 5 megapixels."""


class FrameRing:
    """Holds the newest frames and overwrites the oldest.

    Frames are held by reference. Decoders give every picture its own memory, so N references are as fixed as N
    preallocated buffers; with those a reader would have to copy a frame out, lest it change under its hands, and a
    change of resolution would need new ones. Copying is not the matter: 0.02 ms for a 640x480 picture, measured.

    Args:
        capacity: frames held at most.
        limit_bytes: bytes of pictures held at most; the newest frame is held whatever its size.
    """

    def __init__(self, capacity: int, *, limit_bytes: int = LIMIT_BYTES) -> None:
        if capacity < 1:
            raise ValueError(f"a ring holds at least one frame, not {capacity}")
        self._capacity = capacity
        self._limit_bytes = limit_bytes
        self._frames: deque[Frame] = deque()
        self._bytes = 0
        self._written = 0
        self._closed = False
        self._blocking: set[RingReader] = set()
        self._changed = threading.Condition()

    def __repr__(self) -> str:
        return f"FrameRing({len(self._frames)} of {self._capacity} frames, {self._written} written)"

    @property
    def written(self) -> int:
        """Frames written so far."""
        return self._written

    @property
    def held_bytes(self) -> int:
        """Bytes of the pictures that are held now."""
        return self._bytes

    def reader(self, *, blocking: bool = False) -> RingReader:
        """A reader of all frames written from now on.

        Args:
            blocking: whether the writer waits for this reader rather than overwrite a frame it has not read. For
                files that are played as fast as they can be processed; a live source must never wait.
        """
        with self._changed:
            reader = RingReader(self, self._written)
            if blocking:
                self._blocking.add(reader)
            return reader

    def write(self, frame: Frame) -> None:
        """Take in the newest frame; waits only where a blocking reader is behind. Ignored once closed."""
        with self._changed:
            while not self._closed and self._holds_back(frame):
                self._changed.wait()
            if self._closed:
                return
            self._frames.append(frame)
            self._bytes += frame.image.nbytes
            self._written += 1
            while self._too_full(len(self._frames), self._bytes):
                self._bytes -= self._frames.popleft().image.nbytes
            self._changed.notify_all()

    def close(self) -> None:
        """No more frames will come: readers read what is left and are done; a waiting writer is let go."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _too_full(self, frames: int, size: int) -> bool:
        return frames > self._capacity or (size > self._limit_bytes and frames > 1)

    def _holds_back(self, frame: Frame) -> bool:
        """Whether writing would overwrite the oldest frame before a blocking reader has read it."""
        full = self._too_full(len(self._frames) + 1, self._bytes + frame.image.nbytes)
        oldest = self._written - len(self._frames)
        return full and any(reader._position <= oldest for reader in self._blocking)


class RingReader:
    """One reader's place in a ring; made by `FrameRing.reader`. Used by one thread at a time."""

    def __init__(self, ring: FrameRing, position: int) -> None:
        self._ring = ring
        self._position = position  # number of the next frame to read, counted over all that were written

    def next(self, timeout_s: float) -> tuple[Frame, int] | None:
        """The next frame, and how many were overwritten unread just before it.

        Args:
            timeout_s: how long to wait for one; 0 to only look.

        Returns:
            None when the time is out, or when the ring is closed and all of it is read (`done` tells).
        """
        ring = self._ring
        deadline_s = time.monotonic() + timeout_s
        with ring._changed:
            while self._position >= ring._written:
                left_s = deadline_s - time.monotonic()
                if ring._closed or left_s <= 0:
                    return None
                ring._changed.wait(left_s)
            oldest = ring._written - len(ring._frames)
            missed = max(0, oldest - self._position)
            self._position += missed
            frame = ring._frames[self._position - oldest]
            self._position += 1
            if ring._blocking:
                ring._changed.notify_all()
            return frame, missed

    def latest(self) -> Frame | None:
        """The newest frame, read or not; this reader's place stays as it is. None before the first."""
        with self._ring._changed:
            return self._ring._frames[-1] if self._ring._frames else None

    @property
    def done(self) -> bool:
        """Whether the ring is closed and this reader has read all that was left."""
        with self._ring._changed:
            return self._ring._closed and self._position >= self._ring._written

    def close(self) -> None:
        """Stop reading: the writer waits for this reader no longer."""
        with self._ring._changed:
            self._ring._blocking.discard(self)
            self._ring._changed.notify_all()
