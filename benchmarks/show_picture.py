"""Makes docs/images/show.png: what `--show` draws while the demo's stream is spotted in real time.

Usage: python benchmarks/show_picture.py docs/images/show.png   (enrols the demo's signs into a temporary gallery first)
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from calibration.enrol import enrol_clips
from engines.encoders import load_encoders
from engines.pose.mediapipe import HolisticPose
from stream.demo import gallery_clips, stream_path
from stream.drawing import draw
from stream.gallery import GalleryWatcher
from stream.pipeline import Pipeline
from stream.publisher import Stamper
from stream.sources import open_source
from stream.view import Observation

SHOWN_S = 1.5
"""So long after a sign its caption still stands in full."""
RAISED = 0.65
"""Share of the picture's height."""


def value(observation: Observation) -> int:
    """How much there is to see: a fresh caption, earlier detections, raised hands, a bar beyond its threshold.

    None while the machine is too slow, or before it is known how quick it is.
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


def main(target: Path) -> None:
    """Spot the demo's stream and keep the moment that shows most."""
    best: Observation | None = None

    def look(observation: Observation) -> None:
        nonlocal best
        if best is None or value(observation) >= value(best):  # the latest: its latency figures are steadiest
            frame = replace(observation.frame, image=observation.frame.image.copy())
            best = replace(observation, frame=frame)

    with tempfile.TemporaryDirectory() as folder, HolisticPose() as estimator:
        gallery = Path(folder) / "gallery"
        enrol_clips(gallery, list(gallery_clips().items()))
        pipeline = Pipeline(
            source=open_source(str(stream_path())),
            estimator=estimator,
            encoders=load_encoders(estimator=estimator.name),
            stamper=Stamper("cam"),
            galleries=GalleryWatcher(gallery),
            observer=look,
        )
        pipeline.start()
        while not pipeline.wait(0.2):
            pass
        pipeline.stop()
    if best is None:
        raise SystemExit("the demo's stream gave no tick")
    if not value(best):
        raise SystemExit("no moment is worth showing: is this machine busy with something else?")
    Image.fromarray(draw(best)).save(target, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
