"""What SAM-SLR's networks see of a window: 27 keypoints in pixels around the nose, their bones, or either's motion.

As the public code prepares them (jackyjsy/CVPR21Chal-SLR: `data_gen/gen_bone_data.py`, `gen_motion_data.py` and
`feeders/feeder.py` with its normalisation). The joints and their order are `engines.skeleton`'s, and so is what is kept
of a tick. Windows here have 16 ticks, where SAM-SLR has 100 frames in training and 150 in its tests.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from engines.resampling import TICKS, resampled
from engines.skeleton import EDGES, JOINTS, NOSE

Array = NDArray[np.float32]
Stream = Literal["joint", "bone", "joint-motion", "bone-motion"]

STREAMS: tuple[Stream, ...] = ("joint", "bone", "joint-motion", "bone-motion")
CHANNELS = 3
CONFIDENCE = 2
"""The channel after x and y."""
PIXELS = 512.0
"""Height in pixels of the pictures that SAM-SLR's keypoints were found in; they are square, as wide as high."""

_CHILDREN, _PARENTS = (np.array(ends) for ends in zip(*EDGES, strict=True))


def features_version(stream: Stream) -> str:
    """Version of what `window_input` computes of a stream, as it stands on a card."""
    return f"sam-slr27-{stream}-1"


def window_input(points: Array, stream: Stream) -> Array:
    """One window as network input.

    The window is resampled to 16 ticks; a joint that is missing for up to 10 ticks is bridged linearly. A joint that
    stays unknown is 0 in all channels, and so are its bone and its motion: the public networks have no other way to
    say so. Where the nose is never seen, the mean of all joints takes its place.

    Args:
        points: (L, 27, 3) from `engines.skeleton.keypoints`, L >= 2 consecutive ticks.
        stream: joints relative to the nose's mean place; bones from the joint towards the nose; or the change of
            either to the next tick, 0 at the last.

    Returns:
        float32 (3, 16, 27): x and y in pixels of a picture that is 512 high, and confidence.

    Raises:
        ValueError: the shape is another one.
    """
    if points.ndim != 3 or points.shape[0] < 2 or points.shape[1:] != (JOINTS, CHANNELS):
        raise ValueError(f"a window must be (L >= 2, {JOINTS}, {CHANNELS}), not {points.shape}")
    where, seen = np.empty((TICKS, JOINTS, CHANNELS)), np.empty((TICKS, JOINTS))
    resampled(np.ascontiguousarray(points, np.float32), where, seen)
    where[..., :CONFIDENCE] *= PIXELS
    if stream.startswith("bone"):
        bones = where.copy()
        bones[:, _CHILDREN] = where[:, _CHILDREN] - where[:, _PARENTS]
        where = bones
    if stream.endswith("motion"):
        where = np.concatenate([np.diff(where, axis=0), np.zeros_like(where[:1])])
    known = ~np.isnan(where[..., 0])
    if not known.any():
        return np.zeros((CHANNELS, TICKS, JOINTS), np.float32)
    anchored = (
        slice(None) if stream == "joint" else slice(NOSE, NOSE + 1)
    )  # of vectors, the nose's alone is a place
    around = where[:, NOSE] if known[:, NOSE].any() else where[:, anchored].reshape(-1, CHANNELS)
    place = around[~np.isnan(around[:, 0]), :CONFIDENCE]
    if len(place):
        where[:, anchored, :CONFIDENCE] -= place.mean(axis=0)
    return np.ascontiguousarray(np.where(known[..., None], where, 0.0).transpose(2, 0, 1), np.float32)
