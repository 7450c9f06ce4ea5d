"""Makes docs/images/show.png: the window of `--show`, on a virtual screen, while the demo is spotted in real time.

Usage: python benchmarks/show_picture.py docs/images/show.png   (enrols the demo's signs into a temporary gallery first;
needs Xvfb, and a machine that is not busy with something else)
"""

from __future__ import annotations

import math
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent.parent))

from calibration.enrol import enrol_clips
from engines.encoders import load_encoders
from engines.pose.mediapipe import HolisticPose
from stream.demo import gallery_clips, stream_path
from stream.fleet import Fleet
from stream.gallery import GalleryWatcher
from stream.pipeline import Pipeline
from stream.publisher import Stamper
from stream.showing import Newest, show
from stream.sources import open_source
from stream.view import Observation
from tests.stream.xserver import VirtualScreen

SHOWN_S = 1.5
"""So long after a sign its caption still stands in full."""
RAISED = 0.65
"""Share of the picture's height."""
PAINTED_S = 0.005
"""The X server has painted by then."""
REST_S = 1.0
"""Between two equally good pictures: taking one holds the run up for a few milliseconds."""


def value(observation: Observation) -> int:
    """How much there is to see: a fresh caption, earlier detections, raised hands, a bar beyond its threshold.

    0 while the machine is too slow, or before it is known how quick it is.
    """
    status = observation.status
    if (
        not observation.detections
        or status is None
        or status.processing_ms is None
        or status.degradation.level
    ):
        return 0
    age_s = observation.tick.pts_s - observation.detections[-1].end_s
    landmarks = observation.tick.landmarks
    return (
        2 * (age_s < SHOWN_S)
        + 2 * (len(observation.detections) >= 3)
        + raised(landmarks.left_hand)
        + raised(landmarks.right_hand)
        + any(bar.score >= bar.threshold for bar in observation.bars)
    )


def raised(hand: NDArray[np.float32]) -> bool:
    """Whether a hand (21, 3) is seen in the upper part of the picture, clear of the captions."""
    return bool(hand[:, 1].max() < RAISED)  # NaN where it is not seen


class Photographed(Newest):
    """The newest moment of the stream, and what the screen showed at the best one."""

    def __init__(self, screen: VirtualScreen) -> None:
        super().__init__()
        self.picture: NDArray[np.uint8] | None = None  # RGB (H, W, 3)
        self._screen = screen
        self._best = 0  # worth of the picture
        self._taken_s = -math.inf
        self._drawn: Observation | None = None

    def take(self, timeout_s: float) -> Observation | None:
        """The newest moment; by then the one before is on the screen."""
        worth = value(self._drawn) if self._drawn is not None else 0
        rested = time.monotonic() - self._taken_s > REST_S
        if worth > self._best or (
            worth == self._best > 0 and rested
        ):  # the latest: its figures are steadiest
            time.sleep(PAINTED_S)
            self._best, self.picture = worth, self._screen.picture()
            self._taken_s = time.monotonic()
        self._drawn = super().take(timeout_s)
        return self._drawn


def main(target: Path) -> None:
    """Spot the demo's stream in the window of `--show` on a virtual screen, and keep the moment that shows most."""
    with (
        tempfile.TemporaryDirectory() as folder,
        VirtualScreen(Path(folder)) as screen,
        HolisticPose() as estimator,
    ):
        os.environ["DISPLAY"] = screen.name
        gallery = Path(folder) / "gallery"
        enrol_clips(gallery, list(gallery_clips().items()))
        newest = Photographed(screen)
        pipeline = Pipeline(
            source=open_source(str(stream_path())),
            estimator=estimator,
            encoders=load_encoders(estimator=estimator.name),
            stamper=Stamper("cam"),
            sinks=[newest.send],
            galleries=GalleryWatcher(gallery),
            observer=newest.observe,
        )
        fleet = Fleet({"cam": pipeline}, lambda name, error: sys.exit(str(error)))
        show(fleet, {"cam": newest})
        fleet.stop()
    if newest.picture is None:
        raise SystemExit("no moment is worth showing: is this machine busy with something else?")
    height, width, _ = (int(side) + 1 for side in np.argwhere(newest.picture).max(0))  # the rest is black
    Image.fromarray(newest.picture[:height, :width]).save(target, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
