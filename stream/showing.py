"""`--show` beside a run: the newest moment of each stream, and the windows that draw it on the main thread."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from engines.landmarks import Landmarks
from stream.clock import Tick
from stream.events import Message, Status
from stream.fleet import Fleet
from stream.frame import Frame
from stream.view import Observation

LOOK_S = 0.05
"""The windows answer the user and the run at least so often."""


class Newest:
    """The newest moment of a stream, for a view that looks when it has time.

    The pipeline's observer is called at every tick, and while a source connects or stalls there is none: its statuses
    come in beside, so that the view says so over the last picture, or over a black one before the first.
    """

    def __init__(self) -> None:
        self._observation = _before_the_first()
        self._status: Status | None = None
        self._fresh = threading.Event()

    def observe(self, observation: Observation) -> None:
        """Take in what the pipeline has just seen."""
        self._observation = observation
        self._fresh.set()

    def send(self, message: Message) -> None:
        """Take in a message; of interest are statuses."""
        if isinstance(message, Status):
            self._status = message
            self._fresh.set()

    def take(self, timeout_s: float) -> Observation | None:
        """The newest moment if something changed since the last was taken, else None when the time is out."""
        if not self._fresh.wait(timeout_s):
            return None
        self._fresh.clear()
        return replace(self._observation, status=self._status)


def _before_the_first() -> Observation:
    width, height = 640, 480
    black = np.zeros((height, width, 3), np.uint8)
    nobody = Landmarks.absent(width, height, "none")
    return Observation(
        frame=Frame(image=black, index=0, pts_s=0.0, captured_ns=0, connection=0),
        tick=Tick(index=0, segment=0, landmarks=nobody, interpolated=False, lost=True, captured_ns=0),
        bars=(),
        detections=(),
        status=None,
        transcript=None,
    )


def show(fleet: Fleet, newest: Mapping[str, Newest]) -> None:
    """Start the streams, and draw in a window each on the main thread until all have ended or a window is closed.

    The windows are opened first. Beside threads that are busy already Qt may lose what the X server tells a new window,
    which then stays black for good: 16 of 42 tries, against none of 42 where the threads began after.

    Args:
        fleet: not started.
        newest: by the streams' names; takes what their pipelines observe and send.

    Raises:
        ConfigError: there is no display.
    """
    from stream.window import ShowWindow  # OpenCV: only where a window is asked for

    with contextlib.ExitStack() as stack:
        several = len(newest) > 1
        windows = {
            name: stack.enter_context(ShowWindow(f"Signspot: {name}" if several else "Signspot"))
            for name in newest
        }
        fleet.start()
        while not fleet.wait(0.0):
            for name, window in windows.items():
                moment = newest[name].take(LOOK_S / len(windows))
                if not (window.show(moment) if moment is not None else window.idle()):
                    return
