"""Text on pictures: any script that DejaVu Sans covers, smooth, and cheap when the same words come again."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]
ELLIPSIS = "…"


@functools.lru_cache(maxsize=32)
def _font(size_px: int, bold: bool) -> ImageFont.FreeTypeFont:
    """DejaVu Sans as it ships with matplotlib (which is found, not imported: that takes half a second)."""
    package = importlib.util.find_spec("matplotlib")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("matplotlib is not installed; it brings the font")
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(package.origin).parent / "mpl-data" / "fonts" / "ttf" / name), size_px)


@functools.lru_cache(maxsize=1024)
def width_px(text: str, size_px: int, bold: bool = False) -> int:
    """Width of a line of text in pixels."""
    return round(_font(size_px, bold).getlength(text))


@functools.lru_cache(maxsize=512)
def letters(text: str, size_px: int, bold: bool = False) -> NDArray[np.uint8]:
    """Coverage (H, W), 0 to 255, of a line of text; H depends on the size alone."""
    font = _font(size_px, bold)
    ascent, descent = font.getmetrics()
    picture = Image.new("L", (max(width_px(text, size_px, bold) + 1, 1), ascent + descent))
    ImageDraw.Draw(picture).text((0, 0), text, fill=255, font=font)
    return np.asarray(picture)


def fitted(text: str, limit_px: int, size_px: int, bold: bool = False, *, keep_end: bool = False) -> str:
    """The text, shortened with an ellipsis until it is no wider than the limit."""
    if width_px(text, size_px, bold) <= limit_px:
        return text
    for kept in range(len(text) - 1, 0, -1):
        short = ELLIPSIS + text[-kept:].lstrip() if keep_end else text[:kept].rstrip() + ELLIPSIS
        if width_px(short, size_px, bold) <= limit_px:
            return short
    return ELLIPSIS


def wrapped(text: str, limit_px: int, size_px: int, bold: bool = False) -> list[str]:
    """The text in lines no wider than the limit, broken between words."""
    lines: list[str] = []
    for word in text.split():
        if lines and width_px(f"{lines[-1]} {word}", size_px, bold) <= limit_px:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return [fitted(line, limit_px, size_px, bold) for line in lines]


def write(
    canvas: NDArray[np.uint8],
    text: str,
    at: Sequence[int],
    size_px: int,
    colour: Colour,
    *,
    bold: bool = False,
    opacity: float = 1.0,
) -> None:
    """Write a line of text into an RGB picture; what lies outside of it is cut off.

    Args:
        canvas: uint8 (H, W, 3), changed in place.
        text: one line.
        at: x and y of the upper left corner, pixels.
        size_px: size of the font.
        colour: RGB.
        bold: whether in bold.
        opacity: 0 (invisible) to 1.
    """
    mask = letters(text, size_px, bold)
    x, y = at
    left, top = max(-x, 0), max(-y, 0)
    area = canvas[max(y, 0) : max(y + mask.shape[0], 0), max(x, 0) : max(x + mask.shape[1], 0)]
    mask = mask[top : top + area.shape[0], left : left + area.shape[1], np.newaxis]
    if area.size:
        blend(area, np.array(colour), mask * np.float32(opacity / 255))


def blend(area: NDArray[np.uint8], colour: NDArray[np.int64], share: NDArray[np.float32] | float) -> None:
    """Mix a colour into a part of a picture, in place; `share` 1 covers it."""
    area[:] = area + (colour.astype(np.float32) - area) * share + 0.5
