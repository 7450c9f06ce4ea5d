"""Clips of small pictures as training windows: which pictures, and how light, camera and crop deform them.

What is drawn and how it is done are two things: here OpenCV does it for one clip after the other, and
`calibration.training.device_pictures` for a whole batch on a GPU.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from calibration.synthesis.clips import CROP, SIDE, Clips
from engines import skeleton
from engines.features import SMALL_I3D

Array = NDArray[np.float32]
Pixels = NDArray[np.uint8]
Wide = NDArray[np.float64]

WINDOW_VALUES = SMALL_I3D.count * SMALL_I3D.size**2 * 3
GRAIN = np.random.default_rng(8).normal(0, 32, 2**20).astype(np.float32)
"""Noise to cut pieces from: drawing it anew would take a third of the time of a training step."""
READ = tuple(range(skeleton.LEFT_WRIST, skeleton.JOINTS))
"""The joints that are read: both arms' wrists and both hands."""
HAND_SIZE = 0.25
"""Of an open hand, about, in widths of the shoulders."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Look:
    """How a clip is shown: pictures, crop, light, softness, noise."""

    nearest: NDArray[np.int64]  # (8,) number of each picture in its clip
    matrix: Wide  # (2, 3) from pixels of the window to pixels of the clip's picture
    colours: Wide  # (3, 4) what is made of red, green, blue, 1
    softness: float = 0.0  # deviation of a Gaussian, pixels
    grain: float = 0.0  # share of `GRAIN`
    start: int = 0  # where in `GRAIN`
    mirrored: bool = False


def straight_look(clips: Clips, clip: int) -> Look:
    """The stroke as it is."""
    edge = (SIDE - CROP) // 2
    matrix = np.array([[1.0, 0.0, edge], [0.0, 1.0, edge]])
    begin, end = clips.stroke[clip].astype(float)
    return Look(nearest=_nearest(clips, clip, begin, end), matrix=matrix, colours=np.eye(3, 4))


def draw_look(clips: Clips, clip: int, rng: np.random.Generator) -> Look:
    """Another window, another crop, another light, another camera."""
    begin, end = clips.stroke[clip].astype(float)
    length = end - begin
    begin += rng.uniform(-0.3, 0.15) * length + rng.uniform(-3, 1)
    end += rng.uniform(-0.15, 0.3) * length + rng.uniform(-1, 3)
    scale = float(np.exp(rng.uniform(-0.14, 0.14))) * CROP / SMALL_I3D.size
    side = CROP * scale
    spare = (SIDE - side) / 2
    x, y = spare + rng.uniform(-1, 1, 2) * max(spare, 0.0)
    turn = float(rng.normal(0, 0.03))
    flip = bool(rng.random() < 0.5)
    gain = np.exp(rng.normal(0, 0.15) + rng.normal(0, 0.06, 3))
    vivid = float(np.exp(rng.normal(0, 0.25)))
    mix = np.diag(gain) @ (vivid * np.eye(3) + (1 - vivid) / 3)
    shift = 118 + rng.normal(0, 12) - 118 * gain
    soft = rng.random() < 0.3
    return Look(
        nearest=_nearest(clips, clip, begin, end),
        matrix=_placed(x, y, side, turn, flip),
        colours=np.concatenate([mix, shift[:, None]], 1),
        softness=float(rng.uniform(0.4, 1.0)) if soft else 0.0,
        grain=float(rng.uniform(0, 5)) / 32,
        start=int(rng.integers(len(GRAIN) - WINDOW_VALUES)),
        mirrored=flip,
    )


def shown(clips: Clips, clip: int, look: Look) -> Pixels:
    """One clip as network input uint8 (8, 96, 96, 3)."""
    different, place = np.unique(look.nearest, return_inverse=True)
    pictures = clips.pictures(clip, [int(one) for one in different])
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    size = (SMALL_I3D.size, SMALL_I3D.size)
    warped = np.stack([
        cv2.warpAffine(one, look.matrix, size, flags=how, borderMode=cv2.BORDER_REPLICATE) for one in pictures
    ])  # fmt: skip
    flat = cv2.transform(warped.reshape(-1, SMALL_I3D.size, 3), look.colours)  # one below the other
    if look.softness:
        flat = cv2.GaussianBlur(flat, (0, 0), look.softness)
    if look.grain:
        grain = GRAIN[look.start : look.start + flat.size].reshape(flat.shape)
        flat = cv2.addWeighted(flat, 1.0, grain, look.grain, 0.0, dtype=cv2.CV_8U)
    return np.asarray(flat, np.uint8).reshape(warped.shape)[place]


def read_joints(clips: Clips, clip: int, look: Look) -> Array:
    """Where wrists and hands are (8, 22, 4): relative to the shoulders in their widths; and to the hand's wrist, in hands."""
    wide = clips.keypoints[clip][look.nearest].astype(np.float32)
    if look.mirrored:
        wide = skeleton.mirror(wide)
    shoulders = wide[:, [skeleton.LEFT_SHOULDER, skeleton.RIGHT_SHOULDER], :2]
    width = np.linalg.norm(shoulders[:, 0] - shoulders[:, 1], axis=-1).mean() + 1e-6
    places = (wide[..., :2] - shoulders.mean(1, keepdims=True)) / width
    own = places.copy()
    for first in (skeleton.LEFT_HAND, skeleton.RIGHT_HAND):
        own[:, first : first + 10] -= places[:, first : first + 1]
    own[:, : skeleton.LEFT_HAND] = np.nan
    return np.asarray(np.concatenate([places, own / HAND_SIZE], -1)[:, READ], np.float32)


def _nearest(clips: Clips, clip: int, begin: float, end: float) -> NDArray[np.int64]:
    wanted = np.linspace(begin, max(end - 1, begin + 4), SMALL_I3D.count)
    return np.asarray(np.abs(clips.ticks[clip][None] - wanted[:, None]).argmin(1), np.int64)


def _placed(x: float, y: float, side: float, turn: float, flip: bool) -> Wide:
    """From pixels of the crop to pixels of the clip's picture, (2, 3)."""
    scale = side / SMALL_I3D.size
    middle = (SMALL_I3D.size - 1) / 2
    across = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]]) * scale
    if flip:
        across[:, 0] = -across[:, 0]
    centre = np.array([x, y]) + (side - 1) / 2
    return np.concatenate([across, (centre - across @ [middle, middle])[:, None]], 1)
