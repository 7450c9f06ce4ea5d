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


def write_still(path: Path, image: NDArray[np.uint8], seconds: float, *, fps: int = 10) -> Path:
    """A clip that shows one picture (H, W, 3), of even width and height, all the time."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options={"qp": "18"})
        stream.height, stream.width = image.shape[:2]
        stream.pix_fmt = "yuv420p"
        for number in range(round(seconds * fps)):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_spoilt(path: Path, good: int, bad: int, *, size: tuple[int, int] = (320, 240)) -> Path:
    """A live stream in NUT whose first pictures are whole, and whose later packets hold noise instead of pictures."""
    noise = np.random.default_rng(1)
    with av.open(str(path), "w", format="nut") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height = size
        stream.pix_fmt = "yuvj420p"
        image = np.full((size[1], size[0], 3), 128, np.uint8)
        for number in range(good + bad):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            for packet in stream.encode(frame):
                if number >= good:
                    spoilt = av.Packet(noise.bytes(packet.size))
                    spoilt.pts, spoilt.dts, spoilt.time_base = packet.pts, packet.dts, packet.time_base
                    spoilt.stream = packet.stream
                    packet = spoilt
                container.mux(packet)
    return path


def turn_quarter(path: Path) -> None:
    """Mark an MP4 to be shown turned by a quarter clockwise, as phones do: the matrix in its `tkhd` box."""
    data = bytearray(path.read_bytes())
    start = data.index(b"tkhd") + 4
    version = data[start]
    matrix = start + 4 + (32 if version == 1 else 20) + 16
    data[matrix : matrix + 36] = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, SIZE[1] << 16, 0, 1 << 30)
    path.write_bytes(data)
