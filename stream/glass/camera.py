"""A camera of which it is known when each frame was due: a clip, numbered, encoded and sent in a process of its own.

H.264 in NUT over TCP to this machine. MPEG-TS would add a frame or two (89 and 48 ms instead of 9, measured on the
demo's size at 25 fps): its parser waits for the next frame to know where one ends.
"""

from __future__ import annotations

import itertools
import socket
import sys
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from engines.errors import SignspotError, SourceError
from stream.glass.children import Child
from stream.glass.marker import NUMBERS, SIDE, WIDTH, write_marker
from stream.sources import read_frames

FPS = 25
KEY_FRAMES = 25
"""Frames from one whole picture to the next: whoever connects waits a second at most."""


class GlassCamera(Child):
    """Plays a clip again and again at 25 frames a second, from when somebody connects.

    Args:
        clip: a video of at least 384x16 pixels; its own frame rate is not kept.

    Raises:
        SourceError: the clip cannot be read, or is too small for the marker.
    """

    def __init__(self, clip: Path) -> None:
        first = next(read_frames(clip), None)
        if first is None or first.image.shape[0] < SIDE or first.image.shape[1] < WIDTH:
            raise SourceError(
                f"{clip} is too small for the numbers of its frames: {WIDTH}x{SIDE} pixels are needed"
            )
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"tcp://127.0.0.1:{port}"
        """What Signspot opens."""
        self.sent_ns: dict[int, int] = {}
        """When each frame was encoded and handed to the socket, by its number; monotonic clock."""
        self._began_ns: int | None = None
        super().__init__("stream.glass.camera", [str(clip), str(port)], self._take)

    def due_ns(self, number: float) -> int:
        """When a frame was due, on the monotonic clock; a fraction lies between two frames.

        Raises:
            SourceError: nobody has connected yet.
        """
        if self._began_ns is None:
            raise SourceError("the camera of the bench has not begun")
        return self._began_ns + round(number * 1e9 / FPS)

    def _take(self, words: list[str]) -> None:
        match words:
            case ["began", at_ns]:
                self._began_ns = int(at_ns)
            case [number, at_ns]:
                self.sent_ns[int(number)] = int(at_ns)


def _pictures(clip: Path) -> Iterator[NDArray[np.uint8]]:
    for number, frame in enumerate(
        itertools.chain.from_iterable(read_frames(clip) for _ in itertools.count())
    ):
        image = frame.image.copy()
        write_marker(image, number % NUMBERS)
        yield image


def _play(clip: Path, port: int) -> None:
    """Wait for whoever connects, then send each frame when it is due."""
    pictures = _pictures(clip)
    picture = next(pictures)
    with av.open(f"tcp://127.0.0.1:{port}?listen=1", "w", format="nut") as container:
        options = {"preset": "ultrafast", "tune": "zerolatency", "crf": "20", "g": str(KEY_FRAMES)}
        video = container.add_stream("libx264", rate=FPS, options=options)
        video.height, video.width = picture.shape[:2]
        video.pix_fmt = "yuv420p"
        container.start_encoding()  # returns when somebody has connected
        began_ns = time.monotonic_ns()
        print("began", began_ns, flush=True)
        for number in itertools.count():
            time.sleep(max(began_ns + number * 1_000_000_000 // FPS - time.monotonic_ns(), 0) / 1e9)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            for packet in video.encode(frame):
                container.mux(packet)
            print(number, time.monotonic_ns(), flush=True)
            picture = next(pictures)


if __name__ == "__main__":
    try:
        _play(Path(sys.argv[1]), int(sys.argv[2]))
    except (SignspotError, av.FFmpegError, OSError, StopIteration) as error:
        sys.exit(f"{type(error).__name__}: {error}")
