"""What every source of frames offers, and the states it goes through."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from engines.errors import SourceError
from stream.events import SourceState
from stream.frame import Frame


@dataclass(frozen=True, slots=True)
class SourceChange:
    """One step of a source's state machine."""

    state: SourceState
    reason: str  # fit to show to a user, without credentials; "" when there is nothing to say
    at_ns: int  # monotonic clock
    error: SourceError | None = None  # with "ended": what ended it, None for its own end or `stop`


class Source(Protocol):
    """A camera, stream or file. Frames are pushed from the source's own threads.

    `start` returns at once; `on_frame` is called for every decoded frame, from one thread at a time and in order,
    and must return soon (for a live source it never waits; for a file at `--speed max` it may block, which holds
    the file back); `on_change` is called for each change of state, the last being "ended". After `stop` returns
    neither is called again.
    """

    @property
    def name(self) -> str:
        """The source as the user gave it, credentials blanked out."""
        ...

    @property
    def realtime(self) -> bool:
        """Whether frames come at the pace of the world (a camera, or a file played in real time)."""
        ...

    def start(self, on_frame: Callable[[Frame], None], on_change: Callable[[SourceChange], None]) -> None:
        """Begin to connect and to deliver."""
        ...

    def discarded(self) -> dict[str, int]:
        """Pictures that the source itself threw away since the start: reason ("undecodable") -> count."""
        ...

    def stop(self) -> None:
        """Stop within a second, even where a decoder call does not return."""
        ...
