"""From a connection's own time stamps to stream seconds that never go back, over all connections of a source."""

from __future__ import annotations

JUMP_S = 1.0
"""A camera's clock that runs this far ahead of ours between two pictures was set; it did not tick."""
BACK_S = 1.0
"""Pictures may be swapped on the way by less than this; time stamps farther back mean that the clock was set."""
STEP_S = 0.001
"""Least distance between the last picture of one connection and the first of the next."""


class Timeline:
    """Places pictures on the stream's time line.

    Within a connection the source's own time stamps count: they are what the camera saw, whatever the network did.
    Between connections the capture clock does. A live source whose clock jumps (cameras do it when they learn the
    time) is treated as a new connection, since nothing tells how much time really went by.
    """

    def __init__(self) -> None:
        self.connection = -1  # of the newest picture
        self._zero_ns = 0  # capture clock of the first picture of all
        self._last_s: float | None = None  # stream seconds of the newest picture
        self._last_media_s: float | None = None  # None: the next picture begins a connection
        self._last_ns = 0
        self._offset_s = 0.0
        self._by_clock = False

    def begin(self) -> None:
        """The next picture comes from a new connection."""
        self._last_media_s = None

    def place(self, media_s: float | None, captured_ns: int, *, finite: bool) -> tuple[float, int] | None:
        """Stream seconds and connection of the next picture.

        Args:
            media_s: its time stamp in seconds by the source's clock; None where the source gives none.
            captured_ns: monotonic clock when it was decoded.
            finite: whether the source has an end, as files have: its time stamps are then never doubted.

        Returns:
            None for a picture that came out of order and is to be discarded.
        """
        if self._last_media_s is None:
            self._by_clock = media_s is None
        if media_s is None or self._by_clock:
            since_s = (captured_ns - self._last_ns) / 1e9
            media_s = captured_ns / 1e9 if self._last_media_s is None else self._last_media_s + since_s
        if self._last_media_s is None:
            self._anchor(media_s, captured_ns)
        else:
            ahead_s = media_s - self._last_media_s
            waited_s = (captured_ns - self._last_ns) / 1e9
            if not finite and (ahead_s < -BACK_S or ahead_s > waited_s + JUMP_S):
                self._anchor(media_s, captured_ns)
            elif ahead_s <= 0:
                return None
        self._last_media_s = media_s
        self._last_ns = captured_ns
        self._last_s = media_s + self._offset_s
        return self._last_s, self.connection

    def _anchor(self, media_s: float, captured_ns: int) -> None:
        if self._last_s is None:
            self._zero_ns, here_s = captured_ns, 0.0
        else:
            here_s = max((captured_ns - self._zero_ns) / 1e9, self._last_s + STEP_S)
        self._offset_s = here_s - media_s
        self.connection += 1
