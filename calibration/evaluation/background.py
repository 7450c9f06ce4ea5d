"""False alarms over landmarks of signing-free movement, through the live path's own stages."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from engines.encoders import Encoder
from engines.landmarks import LandmarkTrack
from stream.clock import Tick
from stream.gallery import Gallery
from stream.spotting import Spotted
from stream.stages import SpottingStage
from stream.tracks import FULL_QUALITY


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
