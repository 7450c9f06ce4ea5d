"""What encoders see of a tick, by name and version: the table that joins a model's card to the code that feeds it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engines import joints, kinematics, skeleton
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
KNOWN = {one.name: one for one in (KEYPOINTS, ANGLES)}


def features_named(name: str) -> Features:
    """Features by the name on a card.

    Raises:
        BundleError: this version of Signspot does not compute them.
    """
    if name not in KNOWN:
        raise BundleError(
            f"the network was trained on features {name!r}, this version of Signspot computes "
            f"{', '.join(KNOWN)}: use weights and program of the same version"
        )
    return KNOWN[name]
