"""Records a clip from a live source for enrolment: a countdown, a few seconds of video, a file."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av

from engines.errors import SourceUnreachable, SourceUnreadable
from stream.frame import Frame
from stream.sources.base import Source, SourceChange

FIRST_FRAME_S = 15.0
"""A camera that has shown nothing by then is given up."""
TIME_BASE = Fraction(1, 90_000)


def record_clip(
    source: Source,
    path: Path,
    *,
    countdown_s: float,
    record_s: float,
    tell: Callable[[str], None],
) -> None:
    """Count down while the camera runs, then record.

    Args:
        source: not started yet; it is stopped before this returns.
        path: the clip to write, MP4.
        countdown_s: time to get ready, from the first frame on.
        record_s: how much stream time to record; less where the source ends before.
        tell: takes what the user is to know ("3", "sign now", "done").

    Raises:
        SourceUnreachable: no frame came within 15 s.
        SourceUnreadable: the source ended before anything was recorded.
    """
    camera = _Camera(record_s)
    source.start(camera.on_frame, camera.on_change)
    try:
        if not camera.seen.wait(FIRST_FRAME_S):
            raise SourceUnreachable(
                f"{source.name} shows nothing{camera.reason}: check it with `signspot cameras`, or plug it in again"
            )
        for second in range(round(countdown_s), 0, -1):
            tell(str(second))
            time.sleep(1.0)
        tell("sign now")
        camera.recording.set()
        camera.full.wait(record_s + FIRST_FRAME_S)
    finally:
        source.stop()
    if not camera.frames:
        raise SourceUnreadable(f"{source.name} ended before anything was recorded{camera.reason}")
    tell("done")
    _write(path, camera.frames)


class _Camera:
    """Collects the frames of one recording from the source's threads."""

    def __init__(self, record_s: float) -> None:
        self._record_s = record_s
        self.frames: list[Frame] = []
        self.reason = ""
        self.seen, self.recording, self.full = threading.Event(), threading.Event(), threading.Event()

    def on_frame(self, frame: Frame) -> None:
        self.seen.set()
        if not self.recording.is_set() or self.full.is_set():
            return
        if self.frames and frame.connection != self.frames[0].connection:
            self.full.set()  # the camera was lost in between: what is there has to do
            return
        self.frames.append(frame)
        if frame.pts_s - self.frames[0].pts_s >= self._record_s:
            self.full.set()

    def on_change(self, change: SourceChange) -> None:
        self.reason = f" ({change.reason})" if change.reason else ""
        if change.state == "ended":
            self.seen.set()
            self.full.set()


def _write(path: Path, frames: list[Frame]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = (side - side % 2 for side in frames[0].image.shape[:2])
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=30, options={"crf": "16", "preset": "fast"})
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        video.codec_context.time_base = TIME_BASE
        for frame in frames:
            picture = av.VideoFrame.from_ndarray(frame.image[:height, :width].copy(), format="rgb24")
            picture.pts = round((frame.pts_s - frames[0].pts_s) / TIME_BASE)
            picture.time_base = TIME_BASE
            container.mux(video.encode(picture))
        container.mux(video.encode())
