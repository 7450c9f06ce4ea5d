"""`Frame`: one decoded picture on its way through the house."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Frame:
    """One decoded picture. The image is shared, not copied: treat it as read-only."""

    image: NDArray[np.uint8]  # (H, W, 3) RGB, C-contiguous
    index: int  # counts every decoded frame of the source from 0, over all connections
    pts_s: float  # stream seconds; never goes back, continues by the capture clock after a reconnect
    captured_ns: int  # time.monotonic_ns() when the decoded frame became available
    connection: int  # counts the source's connections from 0; frames of two are never mixed
    decode_ms: float = 0.0  # work of decoding it and making it RGB

    def __post_init__(self) -> None:
        if self.image.dtype != np.uint8 or self.image.ndim != 3 or self.image.shape[2] != 3:
            raise ValueError(f"image must be uint8 (H, W, 3), not {self.image.dtype} {self.image.shape}")

    def __repr__(self) -> str:
        height, width, _ = self.image.shape
        return f"Frame({self.index}, {width}x{height}, {self.pts_s:.3f} s, connection {self.connection})"
