"""The person detector's output decoded: anchors, scores, and a weighted mean of what overlaps.

Boxes and anchors as in MediaPipe's SsdAnchors, TensorsToDetections and NonMaxSuppression (WEIGHTED) calculators with
the Holistic graph's numbers (Bazarevsky et al., "BlazePose", 2020).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

SIDE = 224  # of the detector's input, pixels
STRIDES = ((8, 2), (16, 2), (32, 6))
"""Cell size in pixels, and anchors a cell."""

LOWEST_SCORE = 0.5
OVERLAP = 0.3  # intersection over union from which two boxes are the same person
BOX = 4  # numbers of a row that are the box; then come the points, two each


def anchors() -> Array:
    """(2254, 2) centres of the cells, in units of the input's side."""
    rows = []
    for stride, count in STRIDES:
        cells = (np.arange(SIDE // stride, dtype=np.float32) + 0.5) * stride / SIDE
        y, x = np.meshgrid(cells, cells, indexing="ij")
        rows.append(np.repeat(np.stack([x.ravel(), y.ravel()], 1), count, axis=0))
    return np.asarray(np.concatenate(rows), np.float32)


ANCHORS = anchors()


def best_person(boxes: Array, scores: Array) -> Array | None:
    """The points of the person that is surest.

    Args:
        boxes: (2254, 12) as the network gives them: centre, size, then four points.
        scores: (2254,) before the sigmoid.

    Returns:
        (4, 2) points in units of the input's side: mid-hip, the end of the circle around the person, mid-shoulder and
        the end of the circle around the upper body; None without a person.
    """
    sure = 1 / (1 + np.exp(-np.clip(scores.astype(float), -100, 100)))
    kept = np.flatnonzero(sure >= LOWEST_SCORE)
    if not len(kept):
        return None
    kept = kept[np.argsort(-sure[kept], kind="stable")]
    centres = boxes[kept, :2] / SIDE + ANCHORS[kept]
    half = boxes[kept, 2:BOX] / SIDE / 2
    low, high = centres - half, centres + half
    points = boxes[kept, BOX:].reshape(len(kept), -1, 2) / SIDE + ANCHORS[kept][:, None]
    shared = np.clip(np.minimum(high, high[0]) - np.maximum(low, low[0]), 0, None).prod(1)
    area = (high - low).prod(1)
    same = shared / np.maximum(area + area[0] - shared, 1e-9) > OVERLAP
    weights = sure[kept][same]
    return np.asarray((points[same] * weights[:, None, None]).sum(0) / weights.sum(), np.float32)
