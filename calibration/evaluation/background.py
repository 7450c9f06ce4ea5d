"""False alarms over landmarks of signing-free movement, through the live path's own stages."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from engines.encoders import Encoder
from engines.errors import SignspotError
from engines.landmarks import PARTS, LandmarkTrack
from stream.clock import Tick
from stream.gallery import Gallery
from stream.spotting import Spotted
from stream.stages import SpottingStage
from stream.tracks import FULL_QUALITY


class NotLandmarks(SignspotError):
    """A file that holds no landmark track."""


def read_track(path: Path) -> LandmarkTrack:
    """A track as `signspot synth stream` writes it: one array a part, `size` and `estimator`.

    Raises:
        NotLandmarks: the file is missing, damaged, or of another form.
    """
    try:
        with np.load(path) as data:
            parts = {name: data[name].astype(np.float32) for name in PARTS}
            width, height = (int(value) for value in data["size"])
            return LandmarkTrack(**parts, width=width, height=height, estimator=str(data["estimator"]))
    except (OSError, ValueError, KeyError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise NotLandmarks(
            f"{path} holds no landmark track ({error}): make one with `signspot synth stream --idle SECONDS "
            "--no-video --out DIR`, and name its landmarks.npz"
        ) from error


def spot_track(
    track: LandmarkTrack,
    gallery: Gallery,
    encoders: Sequence[Encoder],
    *,
    progress: Callable[[], None] | None = None,
) -> list[Spotted]:
    """What the live path would report of a track.

    Args:
        track: one tick a row.
        gallery: the signs to spot.
        encoders: those in use.
        progress: called after every tick.

    Raises:
        GalleryMismatch: gallery and encoders do not fit.
    """
    stage = SpottingStage(encoders, gallery)
    spotted: list[Spotted] = []
    for index in range(len(track)):
        tick = Tick(
            index=index,
            segment=0,
            landmarks=track.at(index),
            interpolated=False,
            lost=False,
            captured_ns=0,
        )
        spotted += stage.push(tick, FULL_QUALITY).spotted
        if progress is not None:
            progress()
    return [*spotted, *stage.flush()]
