"""How much of each hand a camera sees: its silhouette, less what is behind the other hand or the rest of the body."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from calibration.synthesis import render
from calibration.synthesis.anatomy import Skin
from calibration.synthesis.body import body_of
from calibration.synthesis.landmarks import Camera
from calibration.synthesis.performance import Performance
from calibration.synthesis.raster import FAR, fill

Wide = NDArray[np.float64]

COARSER = 2
"""Pixels of the camera's picture along a side of one that is counted."""


def hands_seen(performance: Performance, camera: Camera) -> Wide:
    """Share (T, 2) of the left and the right hand's silhouette that nothing hides.

    A silhouette is counted as far as it lies within the picture; a hand wholly outside it is seen by 0.

    Args:
        performance: of a signer.
        camera: where it is seen from.

    Raises:
        MissingExtra: `anny` is not installed.
    """
    body = body_of(performance.signer)
    skin = Skin.of(body)
    kept, faces = render.upper_half(body)
    labels = np.zeros((len(body.vertices), 3), np.float32)
    for number, side in enumerate("LR"):
        labels[skin.parts[f"hand {side}"], number] = 1
    labels = labels[kept]
    own = [
        faces[(labels[faces, number] == 1).any(1)] for number in range(2)
    ]  # the same pixels, if nothing hides them
    size = np.array([camera.width, camera.height]) // COARSER
    depth = np.empty(size[::-1], np.float32)
    colour = np.empty((*size[::-1], 3), np.float32)
    seen = np.zeros((len(performance), 2))
    for tick in range(len(performance)):
        places, _ = skin.posed(performance.rotations[tick], performance.joints[tick])
        across_down, away = camera.project(places[kept])
        screen = np.concatenate([across_down * size, away[:, None]], 1).astype(np.float32)
        whole = _pixels(faces, screen, labels, depth, colour)
        for number in range(2):
            silhouette = _pixels(own[number], screen, labels, depth, colour)[number]
            seen[tick, number] = whole[number] / silhouette if silhouette else 0.0
    return seen


def _pixels(
    faces: NDArray[np.int64],
    screen: NDArray[np.float32],
    labels: NDArray[np.float32],
    depth: NDArray[np.float32],
    colour: NDArray[np.float32],
) -> tuple[int, int]:
    """Pixels in which the left and the right hand are nearest."""
    depth[:] = FAR
    fill(faces, screen, labels, depth, colour)
    drawn = depth < FAR
    return int((drawn & (colour[..., 0] > 0.5)).sum()), int((drawn & (colour[..., 1] > 0.5)).sum())
