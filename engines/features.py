"""What encoders see of a tick, by name and version: the table that joins a model's card to the code that feeds it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from engines import joints, kinematics, sam_slr, skeleton
from engines.crop import Picture
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


def _signing(prepare: Callable[..., Array]) -> Callable[..., Array]:
    """The same of a tick's landmarks without hands that rest: no sign is made there, and one camera shows them, one does not."""

    def prepared(landmarks: Landmarks, *, mirrored: bool = False) -> Array:
        return prepare(landmarks.without_resting(), mirrored=mirrored)

    return prepared


KEYPOINTS = Features(
    name=skeleton.FEATURES,
    prepare=_signing(skeleton.keypoints),
    window_input=skeleton.window_input,
    rows=skeleton.JOINTS,
    channels=skeleton.CHANNELS,
    joints=skeleton.JOINTS,
    present=skeleton.PRESENT,
    edges=skeleton.EDGES,
)
ANGLES = Features(
    name=joints.FEATURES,
    prepare=_signing(joints.moment),
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


@dataclass(frozen=True, slots=True)
class Pictures:
    """What an encoder of pictures sees: crops of the signer, as many as its network takes, evenly over the window."""

    name: str  # with its version, as it stands on a model's card
    count: int  # pictures of a window
    size: int  # their side, pixels

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape of one window as network input, uint8."""
        return self.count, self.size, self.size, 3

    def tick(self, landmarks: Landmarks, *, mirrored: bool = False) -> Picture:
        """One tick uint8 (size, size, 3), RGB; black throughout where nobody is found."""
        if landmarks.crop is None:
            return np.zeros((self.size, self.size, 3), np.uint8)
        picture = landmarks.crop.at(self.size)
        return np.ascontiguousarray(picture[:, ::-1]) if mirrored else picture

    def window_input(self, window: Picture) -> Picture:
        """(L, size, size, 3) to network input (count, size, size, 3): the nearest tick to each even instant."""
        return np.asarray(
            window[np.round(np.linspace(0, len(window) - 1, self.count)).astype(np.intp)], np.uint8
        )


I3D = Pictures("rgb16x224-1", 16, 224)
"""What imported I3D networks take."""
SMALL_I3D = Pictures("rgb8x96-1", 8, 96)
"""What our own small one takes."""
PICTURES = {one.name: one for one in (I3D, SMALL_I3D)}


def seen_by(name: str) -> Features | Pictures:
    """What the network of a card sees, landmarks or pictures.

    Raises:
        BundleError: this version of Signspot does not compute it.
    """
    return PICTURES.get(name) or features_named(name)


def features_named(name: str) -> Features:
    """Features of landmarks by the name on a card.

    Raises:
        BundleError: this version of Signspot does not compute them, or they are pictures.
    """
    if name in PICTURES:
        raise BundleError(
            f"the network takes pictures ({name}), and this is for networks that take landmarks"
        )
    if name not in KNOWN:
        raise BundleError(
            f"the network was trained on features {name!r}, this version of Signspot computes "
            f"{', '.join((*KNOWN, *PICTURES))}: use weights and program of the same version"
        )
    return KNOWN[name]
