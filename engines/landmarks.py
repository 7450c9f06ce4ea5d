"""`Landmarks`: what a pose estimator sees in one frame, and `LandmarkTrack`: the same for every tick of a clip."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.crop import Crop, KeptCrop

Array = NDArray[np.float32]

PARTS: dict[str, tuple[int, int]] = {
    "pose": (33, 4),
    "left_hand": (21, 3),
    "right_hand": (21, 3),
    "pose_world": (33, 3),
    "left_hand_world": (21, 3),
    "right_hand_world": (21, 3),
}
"""Each part's shape; the field order of `Landmarks`."""

FACE = 70
"""Points of a face: 68 as iBUG 300-W orders them (jaw, brows, nose, eyes, mouth), right and left pupil; OpenPose's 70."""

LEFT_SHOULDER, RIGHT_SHOULDER = 11, 12
MIN_VISIBILITY = 0.3
"""A landmark of the body that is seen less than that is taken for a guess."""
RESTING = 1.35
"""Shoulder widths below the shoulders from which a hand counts as resting."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Landmarks:
    """Landmarks of one person in one frame. An absent part is NaN throughout, never zero.

    Image coordinates are in [0, 1] of the frame's width (x) and height (y), z as MediaPipe gives it, in the
    scale of x. Left and right are the signer's own. Source: MediaPipe Holistic's topology (33 + 21 + 21).
    """

    pose: Array  # (33, 4) x, y, z, visibility
    left_hand: Array  # (21, 3) x, y, z
    right_hand: Array  # (21, 3) x, y, z
    pose_world: Array  # (33, 3) metres, origin mid-hip
    left_hand_world: Array  # (21, 3) metres, NaN where the estimator has none (Holistic)
    right_hand_world: Array  # (21, 3) metres, NaN where the estimator has none
    width: int  # of the frame, pixels
    height: int  # of the frame, pixels
    estimator: str  # name and version of what made them
    crop: Crop | None = (
        None  # the signer's picture; None where nobody is found, or no encoder looks at pictures
    )
    face: Array | None = None  # (70, 2) x, y; None where none is found, or the estimator looks for none

    def __post_init__(self) -> None:
        for name, shape in PARTS.items():
            value = getattr(self, name)
            if value.shape != shape or value.dtype != np.float32:
                raise ValueError(f"{name} must be float32 {shape}, not {value.dtype} {value.shape}")
        if self.face is not None and (self.face.shape != (FACE, 2) or self.face.dtype != np.float32):
            raise ValueError(f"face must be float32 {(FACE, 2)}, not {self.face.dtype} {self.face.shape}")
        if self.width <= 0 or self.height <= 0:
            raise ValueError(f"frame size must be positive, not {self.width}x{self.height}")

    def __repr__(self) -> str:
        seen = [name for name in ("pose", "left_hand", "right_hand") if self.has(name)]
        return f"Landmarks({'+'.join(seen) or 'nothing'}, {self.width}x{self.height}, {self.estimator})"

    def kept(self) -> Landmarks:
        """The same without a hold on the frame: its crop is compressed."""
        return self if self.crop is None else replace(self, crop=self.crop.kept())

    def has(self, part: str) -> bool:
        """Whether the part (a key of `PARTS`) was found."""
        return not bool(np.isnan(getattr(self, part)[0, 0]))

    def without_resting(self) -> Landmarks:
        """The same without hands that hang: whether such a hand is in the picture depends on the camera, not on the sign.

        A hand rests from `RESTING` shoulder widths below the shoulders, by its wrist; where no shoulders are seen, none does.
        """
        left, right = self.pose[LEFT_SHOULDER], self.pose[RIGHT_SHOULDER]
        if not min(left[3], right[3]) >= MIN_VISIBILITY:
            return self
        aspect = self.width / self.height
        width = math.hypot((left[0] - right[0]) * aspect, left[1] - right[1])
        lowest = (left[1] + right[1]) / 2 + RESTING * width
        parts: dict[str, Any] = {}
        for hand in ("left_hand", "right_hand"):
            if getattr(self, hand)[0, 1] > lowest:
                for name in (hand, f"{hand}_world"):
                    parts[name] = np.full(PARTS[name], np.nan, np.float32)
        return replace(self, **parts) if parts else self

    @classmethod
    def absent(cls, width: int, height: int, estimator: str) -> Landmarks:
        """Landmarks of a frame in which nobody is seen: every part NaN."""
        parts: dict[str, Any] = {name: np.full(shape, np.nan, np.float32) for name, shape in PARTS.items()}
        return cls(**parts, width=width, height=height, estimator=estimator)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class LandmarkTrack:
    """Landmarks of T consecutive ticks at 25 Hz (40 ms each)."""

    pose: Array  # (T, 33, 4)
    left_hand: Array  # (T, 21, 3)
    right_hand: Array  # (T, 21, 3)
    pose_world: Array  # (T, 33, 3)
    left_hand_world: Array  # (T, 21, 3)
    right_hand_world: Array  # (T, 21, 3)
    width: int
    height: int
    estimator: str
    start_s: float = 0.0  # stream seconds of the first tick
    crops: tuple[KeptCrop | None, ...] = ()  # one a tick, None where nobody is found; () without pictures
    faces: tuple[
        Array | None, ...
    ] = ()  # (70, 2) a tick, None where none is found; () where none was looked for

    def __post_init__(self) -> None:
        ticks = len(self.pose)
        for name, shape in PARTS.items():
            value = getattr(self, name)
            if value.shape != (ticks, *shape) or value.dtype != np.float32:
                raise ValueError(f"{name} must be float32 {(ticks, *shape)}, not {value.dtype} {value.shape}")
        if self.crops and len(self.crops) != ticks:
            raise ValueError(f"{len(self.crops)} crops do not go with {ticks} ticks")
        if self.faces and len(self.faces) != ticks:
            raise ValueError(f"{len(self.faces)} faces do not go with {ticks} ticks")

    def __len__(self) -> int:
        return len(self.pose)

    def __repr__(self) -> str:
        return f"LandmarkTrack({len(self)} ticks from {self.start_s:.2f} s, {self.width}x{self.height}, {self.estimator})"

    def at(self, tick: int) -> Landmarks:
        """The landmarks of one tick (views, not copies)."""
        parts = {name: getattr(self, name)[tick] for name in PARTS}
        crop = self.crops[tick] if self.crops else None
        face = self.faces[tick] if self.faces else None
        return Landmarks(
            **parts, width=self.width, height=self.height, estimator=self.estimator, crop=crop, face=face
        )

    def cut(self, first: int, last: int) -> LandmarkTrack:
        """Ticks `first` to `last`, the last one excluded."""
        parts = {name: getattr(self, name)[first:last] for name in PARTS}
        return LandmarkTrack(
            **parts,
            width=self.width,
            height=self.height,
            estimator=self.estimator,
            start_s=self.start_s + first * 0.04,
            crops=self.crops[first:last],
            faces=self.faces[first:last],
        )

    @classmethod
    def of(cls, ticks: Iterable[Landmarks], start_s: float = 0.0) -> LandmarkTrack:
        """Stack the landmarks of consecutive ticks, and their crops and faces where any has one.

        Raises:
            ValueError: there are none.
        """
        rows = list(ticks)
        if not rows:
            raise ValueError("a landmark track needs at least one tick")
        parts = {name: np.stack([getattr(row, name) for row in rows]) for name in PARTS}
        first = rows[0]
        crops = tuple(None if row.crop is None else row.crop.kept() for row in rows)
        return cls(
            **parts,
            width=first.width,
            height=first.height,
            estimator=first.estimator,
            start_s=start_s,
            crops=crops if any(crop is not None for crop in crops) else (),
            faces=tuple(row.face for row in rows) if any(row.face is not None for row in rows) else (),
        )
