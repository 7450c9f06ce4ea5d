"""Video files for tests, made by PyAV: every picture's number can be read off its pixels."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

SIZE = (64, 48)


def shade_of(image: NDArray[np.uint8]) -> int:
    """The number of a picture made by `write_clip`, modulo 16."""
    height, width = image.shape[:2]
    middle = image[height // 4 : 3 * height // 4, width // 4 : 3 * width // 4]
    return round((float(middle.mean()) - 8) / 15)


def write_clip(
    path: Path,
    count: int,
    *,
    fps: Fraction | int = 25,
    size: tuple[int, int] = SIZE,
    times_s: Sequence[float] | None = None,
    gop: int = 12,
) -> Path:
    """A clip of `count` evenly shaded pictures at a steady rate, or at the given times."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options={"g": str(gop), "bf": "0", "qp": "18"})
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        if times_s is not None:
            stream.time_base = stream.codec_context.time_base = Fraction(1, 90000)
        for number in range(count):
            image = np.full((size[1], size[0], 3), 8 + 15 * (number % 16), np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            if times_s is not None:
                frame.time_base = Fraction(1, 90000)
                frame.pts = round(times_s[number] * 90000)
            else:
                frame.time_base = 1 / Fraction(fps)
                frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def turn_quarter(path: Path) -> None:
    """Mark an MP4 to be shown turned by a quarter clockwise, as phones do: the matrix in its `tkhd` box."""
    data = bytearray(path.read_bytes())
    start = data.index(b"tkhd") + 4
    version = data[start]
    matrix = start + 4 + (32 if version == 1 else 20) + 16
    data[matrix : matrix + 36] = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, SIZE[1] << 16, 0, 1 << 30)
    path.write_bytes(data)
