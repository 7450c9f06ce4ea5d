"""Pictures of a signer: a square around the nose that follows the body smoothly, brought to a network's size.

A crop is cut out of the frame at whatever size a network takes, without a larger picture in between: averaging the
frame's own pixels (area interpolation) is as sharp as a crop of 512x512 made smaller, and takes a fifth to two fifths of the
time (from 640x480 to 96x96: 0.5 instead of 2.5 ms on one core; from 1280x720: 0.9 instead of 2.4).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]

SHOULDER_WIDTHS = 3.2
"""Side of a crop, in widths of the shoulders: hands at the waist, above the head and at arm's length beside it are in."""
KEPT_SIDE = 224
"""Side in pixels of crops that are kept, as JPEG: what the largest known network takes."""
KEPT_QUALITY = 90
CENTRE_S, SCALE_S = 0.3, 1.5
"""Time constants with which place and size follow the body: a turn of the shoulders makes nobody smaller."""
HOLD_S = 0.4
"""So long a crop stays where it is when nobody is found."""
MIN_VISIBILITY = 0.3
MIN_SIDE_PX = 16.0


class Crop(Protocol):
    """A square picture of the signer."""

    def at(self, size: int) -> Picture:
        """The crop at a size: uint8 (size, size, 3) RGB."""
        ...

    def kept(self) -> KeptCrop:
        """The same in a few kilobytes, without the frame that it is cut from."""
        ...


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class FrameCrop:
    """A square within a frame, which is not copied; what lies outside is filled with the frame's edge."""

    image: Picture  # (H, W, 3) RGB, the frame
    x: float  # centre, pixels
    y: float
    side: float  # pixels

    def __repr__(self) -> str:
        return f"FrameCrop({self.side:.0f} px around {self.x:.0f}, {self.y:.0f})"

    def at(self, size: int) -> Picture:
        """The crop at a size: uint8 (size, size, 3) RGB."""
        height, width = self.image.shape[:2]
        side = max(round(self.side), 1)
        left, top = round(self.x - self.side / 2), round(self.y - self.side / 2)
        inside = self.image[
            min(max(top, 0), height - 1) : max(min(top + side, height), 1),
            min(max(left, 0), width - 1) : max(min(left + side, width), 1),
        ]
        if inside.shape[:2] == (side, side):
            return _resized(inside, size)
        # The part within the frame is made small first: padding a small picture costs little.
        scale = size / side
        x0, x1 = (round(max(edge - left, 0) * scale) for edge in (max(left, 0), min(left + side, width)))
        y0, y1 = (round(max(edge - top, 0) * scale) for edge in (max(top, 0), min(top + side, height)))
        x0, y0 = min(x0, size - 1), min(y0, size - 1)
        x1, y1 = max(x1, x0 + 1), max(y1, y0 + 1)
        small = _scaled(inside, x1 - x0, y1 - y0)
        border = (y0, size - y1, x0, size - x1)
        return np.asarray(cv2.copyMakeBorder(small, *border, cv2.BORDER_REPLICATE), np.uint8)

    def kept(self) -> KeptCrop:
        """The same in a few kilobytes."""
        return KeptCrop.of(self.at(KEPT_SIDE))


@dataclass(frozen=True, slots=True, repr=False)
class KeptCrop:
    """A crop as JPEG."""

    jpeg: bytes
    mirrored: bool = False  # to be shown mirrored

    @classmethod
    def of(cls, picture: Picture) -> KeptCrop:
        """Compress a picture (S, S, 3) RGB."""
        quality = [cv2.IMWRITE_JPEG_QUALITY, KEPT_QUALITY]
        _, raw = cv2.imencode(".jpg", np.ascontiguousarray(picture[..., ::-1]), quality)
        return cls(raw.tobytes())

    def __repr__(self) -> str:
        return f"KeptCrop({len(self.jpeg)} bytes{', mirrored' if self.mirrored else ''})"

    def at(self, size: int) -> Picture:
        """The crop at a size: uint8 (size, size, 3) RGB.

        Raises:
            ValueError: it is no JPEG.
        """
        decoded = cv2.imdecode(np.frombuffer(self.jpeg, np.uint8), cv2.IMREAD_COLOR)
        if decoded is None:
            raise ValueError("a kept crop is no JPEG")
        picture = decoded[:, ::-1, ::-1] if self.mirrored else decoded[..., ::-1]
        return _resized(np.ascontiguousarray(picture, np.uint8), size)

    def kept(self) -> KeptCrop:
        """Itself."""
        return self

    def turned(self) -> KeptCrop:
        """Its mirror image."""
        return replace(self, mirrored=not self.mirrored)


class CropTracker:
    """Follows a signer from frame to frame; causal, and the same for the same landmarks and times."""

    def __init__(self) -> None:
        self._box: tuple[float, float, float] | None = None  # centre and side, pixels
        self._at_s = 0.0
        self._seen_s = -math.inf
        self._size = (0, 0)

    def reset(self) -> None:
        """Forget the signer: what comes next has nothing to do with what was."""
        self._box = None

    def follow(self, image: Picture, pose: NDArray[np.float32], pts_s: float) -> FrameCrop | None:
        """The crop of the next frame.

        Args:
            image: (H, W, 3) RGB.
            pose: (33, 4) of `Landmarks`; NaN where nobody is found.
            pts_s: the frame's stream seconds.

        Returns:
            None where nobody was found for `HOLD_S` or longer.
        """
        size = (image.shape[1], image.shape[0])
        if size != self._size:  # pixels of another size mean another place
            self._box, self._size = None, size
        found = _around(pose, *size)
        if found is not None:
            passed_s = pts_s - self._at_s
            self._box = found if self._box is None else _nearer(self._box, found, passed_s)
            self._at_s = self._seen_s = pts_s
        elif self._box is None or pts_s - self._seen_s > HOLD_S:
            self._box = None
            return None
        return FrameCrop(image, *self._box) if self._box is not None else None


def _around(pose: NDArray[np.float32], width: int, height: int) -> tuple[float, float, float] | None:
    """Nose and side of the crop in pixels, None where nose or shoulders are not seen."""
    nose, left, right = (pose[joint].astype(float) for joint in (0, 11, 12))
    # `not >=` refuses NaN as well. Shoulders out of view are guessed well enough for a size.
    if not nose[3] >= MIN_VISIBILITY or math.isnan(float(left[0])):
        return None
    across = math.hypot((left[0] - right[0]) * width, (left[1] - right[1]) * height)
    return float(nose[0] * width), float(nose[1] * height), max(SHOULDER_WIDTHS * across, MIN_SIDE_PX)


def _nearer(
    box: tuple[float, float, float], found: tuple[float, float, float], passed_s: float
) -> tuple[float, float, float]:
    """The box moved towards what was found."""
    centre, scale = (1 - math.exp(-passed_s / tau) for tau in (CENTRE_S, SCALE_S))
    return (
        box[0] + centre * (found[0] - box[0]),
        box[1] + centre * (found[1] - box[1]),
        box[2] + scale * (found[2] - box[2]),
    )


def _resized(picture: Picture, size: int) -> Picture:
    return _scaled(picture, size, size)


def _scaled(picture: Picture, width: int, height: int) -> Picture:
    if picture.shape[:2] == (height, width):
        return picture
    smaller = picture.shape[0] > height or picture.shape[1] > width
    how = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture, (width, height), interpolation=how), np.uint8)
