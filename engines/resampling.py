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
