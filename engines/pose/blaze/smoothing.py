"""Smoothing over frames: the one-euro filter for places, a low pass for visibility, as MediaPipe applies them.

Casiez, Roussel and Vogel, "1 euro filter: a simple speed-based low-pass filter for noisy input in interactive systems"
(CHI 2012); the numbers are those of MediaPipe's Holistic graph.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Wide = NDArray[np.float64]

FRAME_S = 33_333e-6
"""Time between frames as the filters see it: constant, so that landmarks depend on the pictures alone."""

VISIBILITY_SHARE = 0.1  # of a new visibility in the smoothed one


class OneEuro:
    """Each number is filtered by itself: the faster it changes, the less it is smoothed."""

    def __init__(self, *, cutoff_hz: float, speed: float, speed_cutoff_hz: float = 1.0) -> None:
        """Start without a past.

        Args:
            cutoff_hz: of the low pass at rest.
            speed: how much a change of one a second adds to that.
            speed_cutoff_hz: of the low pass that the speed goes through.
        """
        self._cutoff, self._speed = cutoff_hz, speed
        self._speed_share = share(speed_cutoff_hz)
        self._raw: Wide | None = None
        self._smooth: Wide = np.zeros(0)
        self._change: Wide = np.zeros(0)

    def reset(self) -> None:
        """Forget the past."""
        self._raw = None

    def __call__(self, values: Wide, scale: float = 1.0) -> Wide:
        """The next frame's values, any shape but the same each time, smoothed.

        Args:
            values: this frame's.
            scale: of the object, in the values' unit; speed is measured in it.
        """
        if self._raw is None:
            self._raw = self._smooth = values.copy()
            self._change = np.zeros_like(values)
            return self._smooth
        change = (values - self._raw) / (scale * FRAME_S)
        self._change = self._speed_share * change + (1 - self._speed_share) * self._change
        shares = share(self._cutoff + self._speed * np.abs(self._change))
        self._smooth = shares * values + (1 - shares) * self._smooth
        self._raw = values.copy()
        return self._smooth


class LowPass:
    """A share of the new, the rest of the old."""

    def __init__(self, share: float = VISIBILITY_SHARE) -> None:
        self._share = share
        self._smooth: Wide | None = None

    def reset(self) -> None:
        """Forget the past."""
        self._smooth = None

    def __call__(self, values: Wide) -> Wide:
        """The next frame's values, smoothed."""
        if self._smooth is None:
            self._smooth = values.copy()
        else:
            self._smooth = self._share * values + (1 - self._share) * self._smooth
        return self._smooth


def share(cutoff_hz: float | Wide) -> Wide:
    """The share of the new value in a low pass of that cut-off."""
    return 1 / (1 + 1 / (2 * math.pi * np.asarray(cutoff_hz) * FRAME_S))
