"""Encoders: a window of ticks to a unit embedding. The protocol, and the encoder that runs a model bundle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from engines.landmarks import Landmarks

TICK_HZ = 25
TICK_S = 1 / TICK_HZ
WINDOW_TICKS = 16


class Encoder(Protocol):
    """Embeds windows of one modality."""

    @property
    def name(self) -> str:
        """Short name, the key of `per_encoder` on the wire: "slgcn2d"."""
        ...

    @property
    def dimension(self) -> int:
        """D of the embedding."""
        ...

    @property
    def window_lengths(self) -> tuple[int, ...]:
        """Lengths in ticks of the windows that are embedded live; each is resampled to 16 ticks."""
        ...

    @property
    def fingerprint(self) -> str:
        """Hash over weights, pose estimator, features and window lengths; a gallery made by another is refused."""
        ...

    def prepare(self, landmarks: Landmarks) -> NDArray[np.float32]:
        """The features of one tick, computed once however many windows it is in. Shape is the encoder's own."""
        ...

    def embed(self, windows: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Embed windows of prepared ticks.

        Args:
            windows: B arrays (L, ...) of prepared ticks, each of any length L >= 2.

        Returns:
            float32 (B, D), rows of unit length. Each row depends on its own window alone, to the last bit.
        """
        ...
