"""The small pictures that `--preview` publishes, so that someone elsewhere sees what the camera sees."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

WIDEST_PX = 320
"""Enough to see who stands where; a 640x480 frame of the demo then takes 15 kB instead of 40."""


def preview_jpeg(image: NDArray[np.uint8]) -> bytes:
    """A frame as a small JPEG.

    Args:
        image: uint8 (H, W, 3) RGB; shrunk to `WIDEST_PX` at the same proportions where it is wider.
    """
    height, width, _ = image.shape
    if width > WIDEST_PX:
        size = (WIDEST_PX, max(1, round(height * WIDEST_PX / width)))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    _, jpeg = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    return jpeg.tobytes()
