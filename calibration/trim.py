"""Cuts an isolated sign out of its clip: from hands up to hands down, without the way there and back.

By the body's wrists where a person is posed (`trim`), by the hands where they are all that is known (`trim_hands`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engines.errors import NoPersonError, NoRaisedHandError
from engines.landmarks import LEFT_SHOULDER, RESTING, RIGHT_SHOULDER, LandmarkTrack
from engines.skeleton import LEFT_HAND, RIGHT_HAND

LEFT_WRIST, RIGHT_WRIST = 15, 16
RAISED = 0.4
"""Shoulder widths above its rest that a wrist has to rise to count as raised."""
UP = 1 / 3
"""Share of a wrist's own rise above which it is up: signs that end low, such as THANK-YOU, are kept whole."""
SLOW = 0.5
"""The way to the sign is over when the wrist moves at less than this share of the way's peak speed."""
PERSON = 0.3
"""Share of the ticks in which a person has to be seen."""
MIN_TICKS = 6


@dataclass(frozen=True, slots=True)
class Trim:
    """What is kept of a clip, in ticks of 40 ms."""

    first_tick: int
    last_tick: int  # the first tick after it
    up_tick: int  # when the hands come up: where the way to the sign is still included
    down_tick: int  # the first tick after the hands are down again
    ticks: int  # of the whole clip

    def __str__(self) -> str:
        return (
            f"kept {self.first_tick * 0.04:.2f}-{self.last_tick * 0.04:.2f} s of {self.ticks * 0.04:.2f} s "
            f"(hands up at {self.up_tick * 0.04:.2f} s, down at {self.down_tick * 0.04:.2f} s)"
        )


def trim(track: LandmarkTrack) -> Trim:
    """Find the sign in a clip that shows one.

    The hands are up while a wrist that is raised at all is above a third of its own rise; from there the ways to the
    sign and back are cut off at the points where the wrists have slowed down.

    Args:
        track: the whole clip.

    Raises:
        NoPersonError: a person is seen in less than 30% of the clip.
        NoRaisedHandError: no hand is raised in it.
    """
    wrists = wrist_places(track)
    seen = ~np.isnan(wrists[:, 0, 0])
    if seen.mean() < PERSON:
        raise NoPersonError(
            f"a person is seen in {seen.mean():.0%} of it: film one person from the hips up, facing the camera"
        )
    wrists = _filled(wrists, seen)
    up = np.zeros(len(track), np.bool_)
    raised = np.zeros(2, np.bool_)
    for hand in range(2):
        height = wrists[:, hand, 1]
        rest = max(float(np.percentile(height, 95)), RESTING)
        rise = rest - float(np.percentile(height, 2))
        if rise >= RAISED:
            raised[hand] = True
            up |= height < rest - UP * rise
    up &= seen
    if up.sum() < MIN_TICKS:
        raise NoRaisedHandError(
            "no hand is raised in it: begin and end with the hands down, and sign between hips and head"
        )
    first, last = _longest(up)
    speed = np.abs(np.diff(wrists[:, raised, 1], axis=0, prepend=wrists[:1, raised, 1]))
    begin = _slows_down(speed, first, last)
    end = len(track) - _slows_down(speed[::-1], len(track) - last, len(track) - first)
    if end - begin < MIN_TICKS:  # one quick movement: the ways cannot be told from the sign
        begin, end = first, last
    return Trim(begin, end, first, last, len(track))


def trim_hands(points: NDArray[np.float32]) -> tuple[int, int]:
    """Find the sign in a clip of which the hands alone are known: no body's wrists, which `trim` goes by.

    A hand that is seen counts as up, except while it rises from or sinks back to the lowest fifth of its way at either end of
    the clip. On WLASL's clips, where a hand is found in two thirds of the frames, this brings more than `trim` given the hands'
    wrists (`benchmarks/oneshot_attempts.py`): what of a hand is seen is most of the sign already.

    Args:
        points: (T, 27, 3) keypoints, NaN where absent.

    Returns:
        First tick, and one past the last.
    """
    heights = np.stack([points[:, LEFT_HAND, 1], points[:, RIGHT_HAND, 1]], 1)
    seen = ~np.isnan(heights).all(1)
    if not seen.any():
        return 0, len(points)
    highest = np.full(len(points), np.inf)
    highest[seen] = np.nanmin(heights[seen], axis=1)
    top, bottom = highest[seen].min(), np.nanmax(heights)
    up = seen & (highest < bottom - 0.2 * (bottom - top) + 1e-6)
    if bottom - top < 0.15 or up.sum() < 8:
        up = seen
    which = np.flatnonzero(up)
    first, last = int(which[0]), int(which[-1]) + 1
    if last - first < 8:
        which = np.flatnonzero(seen)
        first, last = int(which[0]), int(which[-1]) + 1
    return (first, last) if last - first >= 4 else (0, len(points))


def wrist_places(track: LandmarkTrack) -> NDArray[np.float64]:
    """Both wrists (left, right) relative to mid-shoulder in shoulder widths, (T, 2, 2) x, y; NaN where unseen."""
    aspect = np.array([track.width / track.height, 1.0])
    pose = track.pose[..., :2].astype(np.float64) * aspect
    middle = (pose[:, LEFT_SHOULDER] + pose[:, RIGHT_SHOULDER]) / 2
    widths = np.linalg.norm(pose[:, LEFT_SHOULDER] - pose[:, RIGHT_SHOULDER], axis=1)
    width = np.nanmedian(widths) if np.isfinite(widths).any() else np.nan
    return np.asarray((pose[:, [LEFT_WRIST, RIGHT_WRIST]] - middle[:, None]) / width)


def _filled(values: NDArray[np.float64], seen: NDArray[np.bool_]) -> NDArray[np.float64]:
    at = np.arange(len(values))
    flat = values.reshape(len(values), -1)
    columns = [np.interp(at, at[seen], column[seen]) for column in flat.T]
    return np.stack(columns, 1).reshape(values.shape)


def _longest(up: NDArray[np.bool_]) -> tuple[int, int]:
    """The stretch with the hands up; dips of up to 0.2 s belong to it, and of several the longest counts."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], up, [False]]).astype(np.int8)))
    stretches: list[list[int]] = []
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        if stretches and start - stretches[-1][1] <= 5:
            stretches[-1][1] = int(stop)
        else:
            stretches.append([int(start), int(stop)])
    first, last = max(stretches, key=lambda stretch: stretch[1] - stretch[0])
    return first, last


def _slows_down(speed: NDArray[np.float64], first: int, last: int) -> int:
    """The tick at which the first wrist arrives after coming up at `first`; at most 40% into the stretch.

    Args:
        speed: (T, hands) vertical speed; the way up and the way down are vertical, most signs are not.
        first: where the hands come up.
        last: where the stretch ends.
    """
    if first == 0:
        return first  # the clip begins with the hands up: there is no way to cut off
    begin, reach = max(first - 4, 0), first + max(1, int(0.4 * (last - first)))
    arrivals = []
    for column in speed.T:
        smooth = np.convolve(column, np.ones(3) / 3, mode="same")[begin:reach]
        peak = int(np.argmax(smooth[: first - begin + 3]))
        slow = np.flatnonzero(smooth[peak:] < SLOW * smooth[peak])
        arrivals.append(begin + peak + int(slow[0]) if len(slow) else reach)
    return max(first, min(arrivals))
