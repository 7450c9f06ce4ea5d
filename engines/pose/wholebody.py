"""A user's own whole-body network (133 keypoints of COCO-WholeBody) as a pose estimator: HRNet's heatmaps or RTMPose's SimCC.

Top-down without a detector: the network sees the box around what it found in the frame before, and the whole frame when it
found nobody. Crop and decoding follow mmpose (TopdownAffine, `get_heatmap_maximum` with a quarter-pixel shift,
`get_simcc_maximum`); the seed of Signspot's method used HRNet this way. Points are in the picture alone: there is no
depth and there are no world coordinates, so what is computed from those (the encoder on 3D joint angles) sees nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from engines.choice import ONNXRUNTIME, open_engine
from engines.closing import Closing
from engines.errors import ConfigError, EngineError, PoseError
from engines.landmarks import PARTS, Landmarks
from engines.pose.base import check_picture
from engines.runtime.base import Placement
from engines.runtime.onnxruntime import OnnxRuntimeEngine

Array = NDArray[np.float32]
Image = NDArray[np.uint8]

KEYPOINTS = 133
MEAN = (123.675, 116.28, 103.53)
STD = (58.395, 57.12, 57.375)
"""Of ImageNet's pictures, RGB from 0 to 255: what HRNet and RTMPose are trained with unless told otherwise."""
SEEN = 0.3
"""Score from which on a keypoint counts as seen; mmpose draws from there on."""
MARGIN = 1.25
"""The box is this much larger than what was found in it; mmpose's usual padding."""
LEFT_HAND, RIGHT_HAND = slice(91, 112), slice(112, 133)
POSE = {
    **{0: 0, 1: 65, 2: 1, 3: 68, 4: 62, 5: 2, 6: 59, 7: 3, 8: 4, 9: 77, 10: 71},
    **{11: 5, 12: 6, 13: 7, 14: 8, 15: 9, 16: 10, 17: 108, 18: 129, 19: 96, 20: 117, 21: 93, 22: 114},
    **{23: 11, 24: 12, 25: 13, 26: 14, 27: 15, 28: 16, 29: 19, 30: 22, 31: 17, 32: 20},
}
"""MediaPipe's pose landmark -> COCO-WholeBody keypoint: body 0-16, feet 17-22, face 23-90 (of which the corners of eyes
and mouth), left hand 91-111, right hand 112-132 (of which the knuckles that MediaPipe's pose has too)."""

_POSE = np.array([POSE[landmark] for landmark in range(33)])
_SHOULDERS = (11, 12)


@dataclass(frozen=True, slots=True)
class Box:
    """What the network sees of a frame."""

    centre: tuple[float, float]  # pixels
    size: tuple[float, float]  # width and height, pixels; in the proportions of the network's input

    @classmethod
    def around(cls, low: Sequence[float], high: Sequence[float], ratio: float, margin: float = 1.0) -> Box:
        """The smallest box of a ratio (width / height) that holds a rectangle, enlarged by a margin."""
        width, height = max(high[0] - low[0], 1.0), max(high[1] - low[1], 1.0)
        width = max(width, height * ratio)
        return cls(((low[0] + high[0]) / 2, (low[1] + high[1]) / 2), (width * margin, width / ratio * margin))


class WholeBodyPose(Closing):
    """Body and both hands of one person from a user's ONNX file. Not for use from two threads at once."""

    def __init__(
        self,
        model: Path,
        *,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        threads: int = 1,
        engine: str = ONNXRUNTIME,
    ) -> None:
        """Load the network.

        Args:
            model: ONNX with one input float32 (N, 3, H, W), RGB, and either one output of heatmaps (N, 133, h, w) or two of
                SimCC, (N, 133, k W) and (N, 133, k H); N is 1 or free.
            mean: of R, G and B from 0 to 255, subtracted; by default the file's metadata `mean` (a JSON list), or
                ImageNet's.
            std: divided by; likewise.
            threads: CPU threads for one run.
            engine: what executes it, as `open_engine` takes it.

        Raises:
            PoseError: there is no such file, or it is no network of that interface.
            ConfigError: mean or std cannot be used.
        """
        try:
            raw = model.read_bytes()
        except OSError as error:
            raise PoseError(f"the pose network {model} cannot be read: {error.strerror or error}") from error
        try:
            stored = OnnxRuntimeEngine(raw, threads=threads, device="cpu")
        except EngineError as error:
            raise PoseError(f"the pose network {model} does not load: {error}") from error
        self._input = stored.inputs[0].name
        self._height, self._width = _input_size(model, stored)
        self._outputs = _outputs(model, stored, self._width, self._height)
        try:
            self._engine = open_engine(raw, name=model.stem, engine=engine, threads=threads)
        except EngineError as error:
            raise PoseError(f"the pose network {model} does not load: {error}") from error
        metadata = stored.metadata
        self._mean = _channels(model, "mean", mean, metadata.get("mean"), MEAN)
        self._std = _channels(model, "std", std, metadata.get("std"), STD)
        if not (self._std > 0).all():
            raise ConfigError(f"the pose network {model}: std must be above 0, not {self._std.tolist()}")
        what = hashlib.sha256(raw)
        what.update(np.concatenate([self._mean, self._std]).tobytes())
        self._name = f"wholebody-{what.hexdigest()[:12]}"
        self._box: Box | None = None
        self._open = True

    @property
    def name(self) -> str:
        """Hash of the network and its normalisation: "wholebody-0123456789ab"."""
        return self._name

    def where(self) -> Placement:
        """Device, runtime, precision, and why."""
        return self._engine.where()

    def reset(self) -> None:
        """Forget where the person was: the next frame is looked at as a whole."""
        self._box = None
        self._open = True

    def close(self) -> None:
        """Take no more frames until `reset`."""
        self._open = False

    def estimate(self, image: Image) -> Landmarks:
        """Landmarks of one frame; z and all world coordinates are NaN.

        Visibility is the keypoint's score, held within [0, 1]. The pose is absent where neither shoulder is seen, a
        hand where half of its keypoints are not.

        Args:
            image: uint8 (H, W, 3), RGB.

        Raises:
            PoseError: the image has another shape or type, the estimator is closed, or the network fails.
        """
        check_picture(image)
        if not self._open:
            raise PoseError("this pose estimator is closed: reset() opens it again")
        height, width, _ = image.shape
        ratio = self._width / self._height
        box = self._box or Box.around((0, 0), (width, height), ratio)
        crop = np.empty((1, 3, self._height, self._width), np.float32)
        _fill_crop(np.ascontiguousarray(image), *box.centre, *box.size, self._mean, self._std, crop[0])
        try:
            results = self._engine.run({self._input: crop})
        except EngineError as error:
            raise PoseError(f"the pose network fails: {error}") from error
        found, scores = self._decoded([results[name][0] for name in self._outputs])
        points = (found - 0.5) * box.size + box.centre
        self._box = self._next_box(points, scores, width, height)
        return _landmarks(points, scores, width, height, self._name)

    def _decoded(self, outputs: list[Array]) -> tuple[NDArray[np.float64], Array]:
        """Places (133, 2) as shares of the crop's width and height, and scores (133,) within [0, 1]."""
        return heatmap_peaks(outputs[0]) if len(outputs) == 1 else simcc_peaks(*outputs)

    def _next_box(self, points: NDArray[np.float64], scores: Array, width: int, height: int) -> Box | None:
        inside = (points >= 0).all(1) & (points <= (width, height)).all(1)
        seen = (scores >= SEEN) & inside
        if not seen[[5, 6]].any():  # nobody, or somebody of whom no shoulder is seen: look at it all
            return None
        low, high = points[seen].min(0), points[seen].max(0)
        return Box.around(low, high, self._width / self._height, MARGIN)


def heatmap_peaks(heatmaps: Array) -> tuple[NDArray[np.float64], Array]:
    """Peaks of heatmaps, moved by a quarter of a pixel towards the higher neighbour.

    Args:
        heatmaps: (K, h, w).

    Returns:
        Places (K, 2) x, y as shares of width and height; values there (K,), held within [0, 1].
    """
    count, height, width = heatmaps.shape
    best = heatmaps.reshape(count, -1).argmax(1)
    rows, columns = np.divmod(best, width)
    places = np.stack([columns, rows], 1).astype(np.float64)
    every = np.arange(count)
    for axis, (at, size) in enumerate(((columns, width), (rows, height))):
        within = (at > 0) & (at < size - 1)
        after, before = np.minimum(at + 1, size - 1), np.maximum(at - 1, 0)
        higher = heatmaps[every, rows, after] if axis == 0 else heatmaps[every, after, columns]
        lower = heatmaps[every, rows, before] if axis == 0 else heatmaps[every, before, columns]
        places[:, axis] += np.where(within, 0.25 * np.sign(higher - lower), 0.0)
    return places / (width, height), np.clip(heatmaps[every, rows, columns], 0, 1)


def simcc_peaks(along_x: Array, along_y: Array) -> tuple[NDArray[np.float64], Array]:
    """Peaks of SimCC's two rows of bins.

    Args:
        along_x: (K, k W).
        along_y: (K, k H).

    Returns:
        Places (K, 2) x, y as shares of width and height; the lesser of both values there (K,), within [0, 1].
    """
    places = np.stack([along_x.argmax(1) / along_x.shape[1], along_y.argmax(1) / along_y.shape[1]], 1)
    return places, np.clip(np.minimum(along_x.max(1), along_y.max(1)), 0, 1)


def _landmarks(points: NDArray[np.float64], scores: Array, width: int, height: int, name: str) -> Landmarks:
    parts: dict[str, Any] = {part: np.full(shape, np.nan, np.float32) for part, shape in PARTS.items()}
    shares = points / (width, height)
    if (scores[_POSE[list(_SHOULDERS)]] >= SEEN).any():
        parts["pose"][:, :2] = shares[_POSE]
        parts["pose"][:, 3] = scores[_POSE]
        for part, rows in (("left_hand", LEFT_HAND), ("right_hand", RIGHT_HAND)):
            if np.median(scores[rows]) >= SEEN:
                parts[part][:, :2] = shares[rows]
    return Landmarks(**parts, width=width, height=height, estimator=name)


@numba.njit(cache=True)
def _fill_crop(
    image: Image,
    centre_x: float,
    centre_y: float,
    box_width: float,
    box_height: float,
    mean: Array,
    std: Array,
    out: Array,
) -> None:
    """Write a box of image (H, W, 3) into out (3, h, w), bilinear, normalised; beyond the image it is black."""
    rows, columns = image.shape[:2]
    height, width = out.shape[1:]
    for i in range(height):
        y = (i / height - 0.5) * box_height + centre_y
        top = int(np.floor(y))
        fy = y - top
        for j in range(width):
            x = (j / width - 0.5) * box_width + centre_x
            left = int(np.floor(x))
            fx = x - left
            for c in range(3):
                value = 0.0
                for di in range(2):
                    for dj in range(2):
                        r, k = top + di, left + dj
                        if 0 <= r < rows and 0 <= k < columns:
                            share = (fy if di else 1 - fy) * (fx if dj else 1 - fx)
                            value += share * image[r, k, c]
                out[c, i, j] = (value - mean[c]) / std[c]


# -- what the file says ----------------------------------------------------------------------------------------


def _input_size(model: Path, engine: OnnxRuntimeEngine) -> tuple[int, int]:
    specs = engine.inputs
    shape = specs[0].shape
    fits = len(specs) == 1 and len(shape) == 4 and shape[0] in (None, 1) and shape[1] == 3
    if not fits or specs[0].dtype != "float32":
        what = ", ".join(f"{spec.name} {spec.dtype} {spec.shape}" for spec in specs)
        raise PoseError(f"the pose network {model} takes {what}: it must take one float32 (N, 3, H, W)")
    height, width = shape[2], shape[3]
    if height is None or width is None:
        raise PoseError(
            f"the pose network {model} leaves the size of its input free: export it with a fixed one"
        )
    return height, width


def _outputs(model: Path, engine: OnnxRuntimeEngine, width: int, height: int) -> tuple[str, ...]:
    """The name of the heatmaps, or of SimCC's rows along x and along y; a run tells sizes that the file leaves free."""
    name = engine.inputs[0].name
    try:
        found = engine.run({name: np.zeros((1, 3, height, width), np.float32)})
    except EngineError as error:
        raise PoseError(f"the pose network {model} fails on a black picture: {error}") from error
    shapes = {output: result.shape for output, result in found.items()}
    if all(len(shape) >= 3 and shape[:2] == (1, KEYPOINTS) for shape in shapes.values()):
        ranks = [len(shape) for shape in shapes.values()]
        if ranks == [4]:
            return tuple(shapes)
        if ranks == [3, 3]:
            (first, one), (second, other) = ((output, shape[2]) for output, shape in shapes.items())
            if one * height == other * width:
                return first, second
            if other * height == one * width:
                return second, first
    what = ", ".join(f"{output} {shape}" for output, shape in shapes.items())
    raise PoseError(
        f"the pose network {model} gives {what}: it must give the {KEYPOINTS} keypoints of COCO-WholeBody, as heatmaps "
        f"(N, {KEYPOINTS}, h, w), or as SimCC (N, {KEYPOINTS}, k {width}) and (N, {KEYPOINTS}, k {height})"
    )


def _channels(
    model: Path,
    what: str,
    given: Sequence[float] | None,
    stored: str | None,
    default: tuple[float, float, float],
) -> Array:
    values: object = given
    if values is None and stored is not None:
        try:
            values = json.loads(stored)
        except ValueError as error:
            raise ConfigError(
                f"the pose network {model}: its metadata {what!r} is no JSON: {stored!r}"
            ) from error
    if values is None:
        values = default
    try:
        array = np.asarray(values, np.float32)
    except (TypeError, ValueError):
        array = np.full(0, np.nan, np.float32)
    if array.shape != (3,) or not np.isfinite(array).all():
        raise ConfigError(
            f"the pose network {model}: {what} must be three numbers, for R, G and B, not {values!r}"
        )
    return array
