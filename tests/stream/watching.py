"""Watches a source in tests: keeps what it delivers and announces, and waits for things to happen."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType

from stream.frame import Frame
from stream.sources.base import Source, SourceChange


class Watch:
    """A started source with all its frames (without their pictures, but for the newest) and changes."""

    def __init__(self, source: Source, on_frame: Callable[[Frame], None] | None = None) -> None:
        self.source = source
        self.frames: list[tuple[int, float, int, int]] = []  # index, pts_s, captured_ns, connection
        self.sizes: list[tuple[int, int]] = []  # width, height
        self.changes: list[SourceChange] = []
        self.newest: Frame | None = None
        self._on_frame = on_frame
        self._news = threading.Condition()

    def __enter__(self) -> Watch:
        self.source.start(self._frame, self._change)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.source.stop()

    @property
    def states(self) -> list[str]:
        """The states gone through; repeated announcements of one count once."""
        states = [change.state for change in self.changes]
        return [state for number, state in enumerate(states) if number == 0 or state != states[number - 1]]

    @property
    def connections(self) -> list[int]:
        """The connections that frames came from, in order."""
        return sorted({frame[3] for frame in self.frames})

    def wait(self, happened: Callable[[], bool], timeout_s: float = 20.0) -> None:
        """Wait until something is so; fails with all that was announced otherwise."""
        with self._news:
            if not self._news.wait_for(happened, timeout_s):
                told = "\n".join(f"{change.state}: {change.reason}" for change in self.changes)
                last = self.frames[-1] if self.frames else None
                raise AssertionError(
                    f"not within {timeout_s} s, after {len(self.frames)} frames, {last}:\n{told}"
                )

    def wait_for_frames(self, count: int, *, connection: int = 0, timeout_s: float = 20.0) -> None:
        """Wait for that many frames of one connection."""
        self.wait(lambda: sum(frame[3] == connection for frame in self.frames) >= count, timeout_s)

    def wait_for_end(self, timeout_s: float = 20.0) -> SourceChange:
        """Wait for the source's own end."""
        self.wait(lambda: bool(self.changes) and self.changes[-1].state == "ended", timeout_s)
        return self.changes[-1]

    def _frame(self, frame: Frame) -> None:
        if self._on_frame is not None:
            self._on_frame(frame)
        with self._news:
            self.frames.append((frame.index, frame.pts_s, frame.captured_ns, frame.connection))
            self.sizes.append((frame.image.shape[1], frame.image.shape[0]))
            self.newest = frame
            self._news.notify_all()

    def _change(self, change: SourceChange) -> None:
        with self._news:
            self.changes.append(change)
            self._news.notify_all()


def assert_time_never_goes_back(watch: Watch) -> None:
    """Frames are numbered without a hole, and neither clock goes back."""
    assert [frame[0] for frame in watch.frames] == list(range(len(watch.frames)))
    for clock in (1, 2, 3):
        values = [frame[clock] for frame in watch.frames]
        assert values == sorted(values)
    seconds = [frame[1] for frame in watch.frames]
    assert len(set(seconds)) == len(seconds), "two frames at one instant"


def seconds_since(start_s: float) -> float:
    """Seconds of the monotonic clock."""
    return time.monotonic() - start_s
