"""A performance as a small square video, drawn by compiled loops: what transcripts are learnt from pixels on."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from calibration.synthesis.appearance import Appearance
from calibration.synthesis.body import body_of
from calibration.synthesis.clips import exposed, framed_camera, grained
from calibration.synthesis.performance import Performance
from calibration.synthesis.raster import SmallRenderer

WIDTHS, BELOW = (3.0, 4.0), (0.3, 0.7)
"""The picture's side, and how far below the nose its middle is, in shoulder widths: as close as sign language is filmed."""
CRF = 16
"""Pictures so small are not compressed further: a camera's own pictures are larger, and shrunk after."""


def write_small_video(
    performance: Performance,
    path: Path,
    *,
    side: int,
    seed: int,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Write a performance as H.264 with motion blur and camera noise; the file is complete or not there.

    Args:
        performance: at the video's frame rate.
        path: of the .mp4 to write.
        side: height and width, pixels, even.
        seed: of appearance, camera and noise.
        progress: called with the number of frames written.

    Raises:
        MissingExtra: anny is missing.
    """
    body = body_of(performance.signer)
    look = Appearance.draw(seed, body)
    rng = np.random.default_rng([seed, 71])
    _, lens, shift = framed_camera(
        rng, body, widths=float(rng.uniform(*WIDTHS)), below=float(rng.uniform(*BELOW))
    )
    renderer = SmallRenderer(body, look, side, lens=lens, shift=shift)
    partial = path.with_name(f"part-{path.name}")
    with av.open(str(partial), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(performance.fps).limit_denominator(1001))
        stream.width, stream.height, stream.pix_fmt = side, side, "yuv420p"
        stream.options = {"crf": str(CRF), "preset": "veryfast"}
        stream.codec_context.thread_count = 1
        for tick in range(len(performance)):
            picture = grained(rng, exposed(renderer, performance, tick), look.noise)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            if progress is not None:
                progress(tick + 1)
        container.mux(stream.encode(None))
    partial.replace(path)
