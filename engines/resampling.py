"""Windows of any length to 16 even instants, short drop-outs bridged: the same for every skeleton."""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Wide = NDArray[np.float64]

TICKS = 16
"""Instants of a window as a network sees it."""
LONGEST_BRIDGE = 10  # ticks: hands blur and drop out while they move


@numba.njit(cache=True)
def shoulder_frame(where: Wide, left: int, right: int) -> tuple[float, float, float]:
    """Medians over a resampled window of mid-shoulder x, y and shoulder width; the width is 0 without shoulders.

    Args:
        where: (16, V, D >= 2) from `resampled`.
        left: row of the left shoulder.
        right: row of the right one.
    """
    xs = np.empty((3, TICKS))
    n = 0
    for t in range(TICKS):
        if math.isnan(where[t, left, 0]) or math.isnan(where[t, right, 0]):
            continue
        dx = where[t, left, 0] - where[t, right, 0]
        dy = where[t, left, 1] - where[t, right, 1]
        xs[0, n] = (where[t, left, 0] + where[t, right, 0]) / 2
        xs[1, n] = (where[t, left, 1] + where[t, right, 1]) / 2
        xs[2, n] = math.sqrt(dx * dx + dy * dy)
        n += 1
    if n == 0:
        return 0.0, 0.0, 0.0
    return np.median(xs[0, :n]), np.median(xs[1, :n]), np.median(xs[2, :n])


@numba.njit(cache=True)
def resampled(points: Array, where: Wide, seen: Wide) -> None:
    """Resample a window linearly.

    Args:
        points: (L, V, 3) V rows at L consecutive ticks; a row whose first value is NaN is absent.
        where: (16, V, D) takes the first D values of each row, NaN where absent.
        seen: (16, V) takes 1 where they are measured, 0 where they are bridged.
    """
    length, rows = points.shape[:2]
    before = np.empty(length, np.int64)
    after = np.empty(length, np.int64)
    for j in range(rows):
        last = -1
        for t in range(length):
            if not math.isnan(points[t, j, 0]):
                last = t
            before[t] = last
        last = -1
        for t in range(length - 1, -1, -1):
            if not math.isnan(points[t, j, 0]):
                last = t
            after[t] = last
        for k in range(TICKS):
            at = k * (length - 1) / (TICKS - 1)
            low = min(int(at), length - 1)
            high = low if at == low else min(low + 1, length - 1)
            a, b = before[low], after[high]
            seen[k, j] = 1.0 if (a == low and b == high) else 0.0
            if a >= 0 and b >= 0 and b - a <= LONGEST_BRIDGE + 1:
                f = 0.0 if b == a else (at - a) / (b - a)
                for d in range(where.shape[2]):
                    where[k, j, d] = points[a, j, d] + f * (points[b, j, d] - points[a, j, d])
            elif a >= 0 and at - a <= 0.5:
                for d in range(where.shape[2]):
                    where[k, j, d] = points[a, j, d]
            elif b >= 0 and b - at < 0.5:
                for d in range(where.shape[2]):
                    where[k, j, d] = points[b, j, d]
            else:
                where[k, j] = np.nan
