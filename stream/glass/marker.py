"""A frame's number in its picture, so that whoever decodes it knows which one it was."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]

SIDE = 16
"""Pixels of a block's side: a macroblock of H.264, so that blocks do not blur into each other."""
NUMBER_BITS, CHECK_BITS = 18, 6
BITS = NUMBER_BITS + CHECK_BITS
WIDTH = BITS * SIDE
NUMBERS = 1 << NUMBER_BITS
"""Numbers that there are: almost three hours at 25 frames a second."""


def write_marker(image: Image, number: int) -> None:
    """Draw a row of black and white blocks into the upper left corner, in place.

    Args:
        image: (H, W, 3) of at least 16 x 384 pixels.
        number: of the frame, below `NUMBERS`.

    Raises:
        ValueError: the picture is too small, or the number too large.
    """
    if image.shape[0] < SIDE or image.shape[1] < WIDTH:
        raise ValueError(
            f"a marker needs {WIDTH}x{SIDE} pixels, the picture has {image.shape[1]}x{image.shape[0]}"
        )
    if not 0 <= number < NUMBERS:
        raise ValueError(f"a marker counts to {NUMBERS - 1}, not to {number}")
    code = number << CHECK_BITS | _check(number)
    bits = code >> np.arange(BITS) & 1
    image[:SIDE, :WIDTH] = np.repeat(255 * bits, SIDE).astype(np.uint8)[None, :, None]


def read_marker(image: Image) -> int | None:
    """The number in a picture (H, W, 3); None where there is none that can be read."""
    if image.shape[0] < SIDE or image.shape[1] < WIDTH:
        return None
    inner = slice(SIDE // 4, SIDE - SIDE // 4)
    blocks = image[inner, :WIDTH].reshape(SIDE // 2, BITS, SIDE, 3)[:, :, inner]
    bits = blocks.mean((0, 2, 3)) > 127
    code = int(bits @ (1 << np.arange(BITS)))
    number = code >> CHECK_BITS
    return number if code & ((1 << CHECK_BITS) - 1) == _check(number) else None


def _check(number: int) -> int:
    """No picture without a marker passes for one by being black or white throughout."""
    return (number * 37 + 21) % (1 << CHECK_BITS)
