"""What encoders see of a tick, by name and version: the table that joins a model's card to the code that feeds it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from engines import joints, kinematics, sam_slr, skeleton
from engines.errors import BundleError
from engines.landmarks import Landmarks
from engines.resampling import TICKS

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Features:
    """One kind of features."""

    name: str  # with its version, as it stands on a model's card
    prepare: Callable[..., Array]  # (landmarks, mirrored=...) to one tick (rows, 3)
    window_input: Callable[[Array], Array]  # (L, rows, 3) to network input (channels, 16, joints)
    rows: int
    channels: int
    joints: int
    present: int  # the channel that tells which joints are there
    edges: tuple[tuple[int, int], ...]  # bones (joint, parent)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of one window as network input."""
        return self.channels, TICKS, self.joints

    def tick(self, landmarks: Landmarks, *, mirrored: bool = False) -> Array:
        """One tick (rows, 3)."""
        return self.prepare(landmarks, mirrored=mirrored)


KEYPOINTS = Features(
    name=skeleton.FEATURES,
    prepare=skeleton.keypoints,
    window_input=skeleton.window_input,
    rows=skeleton.JOINTS,
    channels=skeleton.CHANNELS,
    joints=skeleton.JOINTS,
    present=skeleton.PRESENT,
    edges=skeleton.EDGES,
)
ANGLES = Features(
    name=joints.FEATURES,
    prepare=joints.moment,
    window_input=joints.window_input,
    rows=joints.ROWS,
    channels=joints.CHANNELS,
    joints=kinematics.JOINTS,
    present=joints.PRESENT,
    edges=kinematics.EDGES,
)
SAM_SLR = tuple(
    Features(
        name=sam_slr.features_version(stream),
        prepare=skeleton.keypoints,
        window_input=partial(sam_slr.window_input, stream=stream),
        rows=skeleton.JOINTS,
        channels=sam_slr.CHANNELS,
        joints=skeleton.JOINTS,
        present=sam_slr.CONFIDENCE,
        edges=skeleton.EDGES,
    )
    for stream in sam_slr.STREAMS
)
"""For imported checkpoints: in the order of `sam_slr.STREAMS`."""
KNOWN = {one.name: one for one in (KEYPOINTS, ANGLES, *SAM_SLR)}
PICTURES = "rgb16x224-1"
"""Windows of 16 pictures uint8 (224, 224, 3), RGB: what imported I3D networks take. No command feeds them yet."""


def features_named(name: str) -> Features:
    """Features by the name on a card.

    Raises:
        BundleError: this version of Signspot does not compute them.
    """
    if name == PICTURES:
        raise BundleError(
            "the network takes pictures, and encoders are fed landmarks alone so far: it can be run through "
            "engines.runtime, and not as an encoder"
        )
    if name not in KNOWN:
        raise BundleError(
            f"the network was trained on features {name!r}, this version of Signspot computes "
            f"{', '.join(KNOWN)}: use weights and program of the same version"
        )
    return KNOWN[name]
