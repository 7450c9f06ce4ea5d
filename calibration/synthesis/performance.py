"""What is signed: a signer, the pose of every frame, and which sign is where. Motion makes it; landmarks and video read it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

PHENOTYPE = ("gender", "age", "muscle", "weight", "height", "proportions")


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """One person: a body, and a way of moving. All of it follows from `seed`."""

    seed: int
    phenotype: dict[str, float]  # of `PHENOTYPE`, each 0..1, as the package `anny` takes them
    left_handed: bool = False
    speed: float = 1.0  # 1.2: strokes and transitions a fifth faster
    size: float = 1.0  # of movements
    rest: Literal["sides", "folded"] = "sides"  # where the hands are between sentences
    sloppiness: float = 0.5  # 0..1: scatter of places, directions and handshapes

    @classmethod
    def draw(cls, seed: int) -> Signer:
        """An adult from a seed."""
        rng = np.random.default_rng([seed, 1])
        phenotype = {
            "gender": float(rng.uniform(0, 1)),
            "age": float(rng.uniform(0.55, 0.85)),
            "muscle": float(rng.uniform(0.3, 0.7)),
            "weight": float(rng.uniform(0.25, 0.65)),
            "height": float(rng.uniform(0.3, 0.7)),
            "proportions": float(rng.uniform(0.4, 0.8)),
        }
        return cls(
            seed=seed,
            phenotype=phenotype,
            left_handed=bool(rng.random() < 0.1),
            speed=float(rng.uniform(0.85, 1.2)),
            size=float(rng.uniform(0.85, 1.15)),
            rest="sides" if rng.random() < 0.6 else "folded",
            sloppiness=float(rng.uniform(0.2, 0.8)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedSign:
    """Where one sign is in a performance, seconds."""

    gloss: str
    start_s: float  # the stroke begins
    end_s: float  # the stroke ends
    preparation_s: float  # the hands leave what was before
    retraction_s: float  # the hands have gone on to what comes next


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Performance:
    """T frames of one signer.

    `rotations` are each bone's rotation in world axes relative to the rest pose, so a bone's point at rest x goes to
    joint + rotation @ (x - joint at rest). Axes: x to the signer's left, y backwards, z up; metres.
    """

    signer: Signer
    fps: float
    rotations: Array  # (T, B, 3, 3), bones as in `Body.bones`
    joints: Array  # (T, B, 3) true joint places, metres
    face: dict[str, Array] = field(default_factory=dict)  # facial action -> (T,) strength 0..1
    signs: tuple[TimedSign, ...] = ()

    def __len__(self) -> int:
        return len(self.rotations)

    def __repr__(self) -> str:
        glosses = " ".join(sign.gloss for sign in self.signs)
        return f"Performance({len(self)} frames at {self.fps:g} fps: {glosses or 'no sign'})"
