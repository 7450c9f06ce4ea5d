"""A performance as pictures and as a video: motion blur, camera noise and compression included."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from calibration.synthesis.appearance import Appearance
from calibration.synthesis.body import body_of
from calibration.synthesis.performance import Performance
from calibration.synthesis.render import Renderer

SHUTTER = 0.5  # share of a frame's time in which the shutter is open
EXPOSURES = 2


def pictures(
    performance: Performance, appearance: Appearance, width: int, height: int
) -> Iterator[NDArray[np.uint8]]:
    """Every frame, (H, W, 3) RGB, with motion blur and camera noise.

    Raises:
        MissingExtra: moderngl, EGL or anny is missing.
    """
    renderer = Renderer(body_of(performance.signer), appearance, width, height)
    rng = np.random.default_rng([appearance.seed, 51])
    grain = rng.standard_normal((8, height, width, 3), np.float32) * appearance.noise
    for frame in range(len(performance)):
        face = {name: float(track[frame]) for name, track in performance.face.items()}
        after = min(frame + 1, len(performance) - 1)
        total = np.zeros((height, width, 3), np.float32)
        for exposure in range(EXPOSURES):
            share = SHUTTER * exposure / EXPOSURES
            rotations = (1 - share) * performance.rotations[frame] + share * performance.rotations[after]
            joints = (1 - share) * performance.joints[frame] + share * performance.joints[after]
            total += renderer.frame(rotations.astype(np.float32), joints.astype(np.float32), face)
        total = total / EXPOSURES + grain[int(rng.integers(len(grain)))]
        yield total.clip(0, 255).astype(np.uint8)


def write_video(
    performance: Performance,
    path: Path,
    *,
    appearance: Appearance,
    width: int = 640,
    height: int = 480,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Write a performance as H.264; the same performance and appearance give the same bytes on one machine.

    Args:
        performance: at the video's frame rate.
        path: of the file to write.
        appearance: what it looks like; `crf` sets the compression.
        width: pixels, even.
        height: pixels, even.
        progress: called with the number of frames written.

    Raises:
        MissingExtra: moderngl, EGL or anny is missing.
    """
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(performance.fps).limit_denominator(1001))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"crf": str(appearance.crf), "preset": "medium"}
        stream.codec_context.thread_count = 1
        for number, picture in enumerate(pictures(performance, appearance, width, height), 1):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            if progress is not None:
                progress(number)
        container.mux(stream.encode(None))
