"""Giving up quality in a stated order when the machine is too slow, and taking it back when it is not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

ORDER = ("slgcn3d",)
"""Encoders whose stride goes up before the pose rate goes down, after those of pictures (DESIGN.md, section 3)."""

SETTLE_S = 2.0
"""A level is given this long to take effect before a higher one is tried."""
CALM_S = 6.0
"""So long must be without overload, and with head-room, before a lower level is tried."""
HURRY_S = 0.7
"""The same where frames are so late that nobody would call it live."""
LATE_MS = 120.0
"""A frame that waited longer than this for the pose estimator means overload: the budget of `processing_ms`."""
TOO_LATE_MS = 3 * LATE_MS
"""One that waited longer than this leaves no time for one level after the other at leisure."""


@dataclass(frozen=True, slots=True)
class Level:
    """One step of the ladder."""

    pose_stride: int  # pose at every n-th tick only; the ticks between are interpolated
    encoder_strides: dict[str, int] = field(
        default_factory=dict
    )  # embed at every n-th tick only; absent: every
    gives_up: str = "nothing"

    def stride(self, encoder: str) -> int:
        """Every how many ticks this encoder runs."""
        return self.encoder_strides.get(encoder, 1)


def ladder(encoders: Sequence[str], *, pictures: Sequence[str] = ()) -> tuple[Level, ...]:
    """The levels for the encoders in use, from full quality (0) down.

    Args:
        encoders: names of all.
        pictures: names of those that look at pictures: the costliest, and the first to be asked less often.
    """
    levels = [Level(1)]
    strides: dict[str, int] = {}
    for name in (*pictures, *(name for name in ORDER if name not in pictures)):
        if name not in encoders:
            continue
        for stride in (2, 4):
            strides = {**strides, name: stride}
            levels.append(Level(1, strides, f"{name} every {stride * 40} ms"))
    levels.append(Level(2, strides, "pose every 80 ms"))
    rest = {name: max(strides.get(name, 1), 2) for name in encoders}
    levels.append(Level(2, rest, "pose and all encoders every 80 ms"))
    slow = dict.fromkeys(encoders, 4)
    levels.append(Level(4, slow, "pose and all encoders every 160 ms"))
    return tuple(levels)


class Governor:
    """Chooses the level from what is measured: frames dropped, how long they wait, how busy the stages are."""

    def __init__(self, levels: Sequence[Level]) -> None:
        self._levels = tuple(levels)
        self._level = 0
        self._reason = "the machine keeps up"
        self._changed_ns = 0
        self._troubled_ns = 0
        self._patience_s = CALM_S
        self._recovered = False  # the last move was towards full quality

    @property
    def level(self) -> int:
        """The current level's number, 0 for full quality."""
        return self._level

    @property
    def current(self) -> Level:
        """The current level."""
        return self._levels[self._level]

    @property
    def reason(self) -> str:
        """Why this level, fit to show to a user."""
        return self._reason

    def observe(self, now_ns: int, *, dropped: int, waited_ms: float, busy: float) -> bool:
        """Take in what one frame met; returns whether the level changed.

        Args:
            now_ns: monotonic clock.
            dropped: frames that were overwritten unread since the last call.
            waited_ms: how long this frame waited for the pose estimator.
            busy: share of the last seconds in which the busiest stage worked, 0..1.
        """
        if not self._changed_ns:
            self._changed_ns = self._troubled_ns = now_ns
            return False  # the first frame waits for start-up, not for a slow machine
        since_change_s = (now_ns - self._changed_ns) / 1e9
        if dropped or waited_ms > LATE_MS:
            self._troubled_ns = now_ns
            settle_s = HURRY_S if waited_ms > TOO_LATE_MS else SETTLE_S
            if since_change_s < settle_s or self._level == len(self._levels) - 1:
                return False
            if self._recovered and since_change_s < 2 * CALM_S:
                self._patience_s = min(2 * self._patience_s, 60.0)  # the last recovery came too soon
            what = (
                f"{dropped} frame{'s' * (dropped > 1)} dropped"
                if dropped
                else f"a frame waited {waited_ms:.0f} ms"
            )
            return self._move(self._level + 1, now_ns, f"the machine is too slow: {what}")
        calm_s = (now_ns - self._troubled_ns) / 1e9
        if self._level and min(calm_s, since_change_s) > self._patience_s and busy < self._headroom():
            return self._move(self._level - 1, now_ns, f"{calm_s:.0f} s without overload")
        return False

    def _headroom(self) -> float:
        """How busy the stages may be for the next lower level to fit, guessing that work follows the pose rate."""
        here, below = self._levels[self._level], self._levels[self._level - 1]
        return 0.85 * below.pose_stride / here.pose_stride if here.pose_stride != below.pose_stride else 0.8

    def _move(self, level: int, now_ns: int, reason: str) -> bool:
        self._recovered = level < self._level
        self._level = level
        self._changed_ns = now_ns
        self._reason = reason if level else f"full quality again: {reason}"
        return True
