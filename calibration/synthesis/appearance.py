"""What a signer and the room look like: skin, hair, eyes, clothes, background, light and camera, all from a seed."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from calibration.synthesis.body import Body
from calibration.synthesis.landmarks import Camera

Colour = tuple[float, float, float]  # linear 0..1 RGB

SKINS: tuple[Colour, ...] = (
    (0.93, 0.76, 0.66), (0.87, 0.67, 0.54), (0.78, 0.57, 0.43), (0.66, 0.46, 0.33), (0.50, 0.34, 0.24), (0.36, 0.24, 0.17),
)  # fmt: skip
HAIRS: tuple[Colour, ...] = (
    (0.09, 0.07, 0.06), (0.20, 0.13, 0.08), (0.35, 0.22, 0.12), (0.58, 0.42, 0.22), (0.50, 0.49, 0.47), (0.40, 0.15, 0.07),
)  # fmt: skip
IRISES: tuple[Colour, ...] = ((0.25, 0.15, 0.08), (0.30, 0.22, 0.10), (0.25, 0.40, 0.55), (0.30, 0.42, 0.28))


@dataclass(frozen=True, slots=True, kw_only=True)
class Appearance:
    """Everything that is seen beside the movement."""

    seed: int
    skin: Colour
    expression: dict[str, float]  # facial actions of the face at rest
    hair: Colour
    hair_length: float  # 0 bald, 0.4 short, 1 to the shoulders
    iris: Colour
    lips: Colour
    shirt: Colour
    shirt_stripe: Colour
    trousers: Colour
    stripes_per_m: float  # 0 for a plain shirt
    sleeve: float  # 0.4 short .. 1.0 to the wrist
    neckline_m: float  # radius of the opening
    key_light: Colour  # direction towards the light: to the signer's left, backwards, up
    key_strength: float
    fill_strength: float
    warmth: float  # -1 bluish .. 1 yellowish light
    noise: float  # camera noise, standard deviation of 0..255
    crf: int  # H.264 quality of a video: 18 fine .. 30 coarse
    camera: Camera

    @classmethod
    def draw(cls, seed: int, body: Body) -> Appearance:
        """An appearance from a seed; the camera is set up for the body."""
        rng = np.random.default_rng([seed, 41])
        skin = SKINS[int(rng.integers(len(SKINS)))]
        shirt = _away_from(rng, skin)
        stripes = float(rng.uniform(8, 25)) if rng.random() < 0.25 else 0.0
        return cls(
            seed=seed,
            skin=_near(rng, skin, 0.03),
            expression=_expression(np.random.default_rng([seed, 43])),
            hair=_near(rng, HAIRS[int(rng.integers(len(HAIRS)))], 0.03),
            hair_length=float(rng.choice([0.0, 0.4, 0.5, 1.0], p=[0.06, 0.34, 0.3, 0.3])),
            iris=IRISES[int(rng.integers(len(IRISES)))],
            lips=_mixed(skin, (0.70, 0.25, 0.25), float(rng.uniform(0.25, 0.5))),
            shirt=shirt,
            shirt_stripe=_mixed(shirt, (1.0, 1.0, 1.0) if sum(shirt) < 1.5 else (0.1, 0.1, 0.15), 0.5),
            trousers=_near(rng, (0.13, 0.15, 0.22), 0.05),
            stripes_per_m=stripes,
            sleeve=float(rng.choice([0.42, 0.55, 1.0], p=[0.3, 0.2, 0.5])),
            neckline_m=float(rng.uniform(0.075, 0.10)),
            key_light=(float(rng.uniform(-0.7, 0.7)), -1.0, float(rng.uniform(0.3, 1.0))),
            key_strength=float(rng.uniform(0.65, 0.9)),
            fill_strength=float(rng.uniform(0.25, 0.4)),
            warmth=float(rng.uniform(-0.6, 0.8)),
            noise=float(rng.uniform(0.5, 3.0)),
            crf=int(rng.integers(20, 27)),
            camera=Camera.draw(rng, body),
        )

    def background(self, width: int, height: int) -> NDArray[np.uint8]:
        """A room, out of focus: a wall, its shading, and a few things in front of it. (H, W, 3) RGB."""
        rng = np.random.default_rng([self.seed, 42])
        wall = np.array(_away_from(rng, self.skin)) * 0.6 + 0.3
        down = np.linspace(1.05, 0.8, height)[:, None, None]
        across = (
            1
            + 0.12
            * np.sin(np.linspace(0, np.pi * rng.uniform(0.5, 1.5), width) + rng.uniform(0, 3))[None, :, None]
        )
        picture = np.ascontiguousarray(np.clip(wall * down * across, 0, 1) * 255).astype(np.uint8)
        for _ in range(int(rng.integers(0, 7))):
            size = np.array([rng.uniform(0.08, 0.3) * width, rng.uniform(0.1, 0.45) * height]).astype(int)
            corner = np.array([rng.uniform(-0.1, 1) * width, rng.uniform(0, 0.8) * height]).astype(int)
            colour = [
                int(255 * c) for c in np.clip(wall * rng.uniform(0.5, 1.25) + rng.normal(0, 0.12, 3), 0, 1)
            ]
            cv2.rectangle(picture, corner.tolist(), (corner + size).tolist(), colour, -1)
            if rng.random() < 0.5:
                inner = [int(255 * c) for c in rng.uniform(0.2, 0.95, 3)]
                cv2.rectangle(
                    picture, (corner + size // 8).tolist(), (corner + size - size // 8).tolist(), inner, -1
                )
        if rng.random() < 0.5:
            floor = int(height * rng.uniform(0.75, 0.95))
            picture[floor:] = (picture[floor:] * rng.uniform(0.5, 0.8)).astype(np.uint8)
        softness = int(max(width, height) * rng.uniform(0.004, 0.02)) * 2 + 1
        return np.asarray(cv2.GaussianBlur(picture, (softness, softness), 0), np.uint8)


def _expression(rng: np.random.Generator) -> dict[str, float]:
    """A face at rest: friendly or serious, never quite even."""
    smile, brows = float(rng.uniform(0.0, 0.45)), float(rng.uniform(0.25, 0.7))
    return {
        "mouthSmileLeft": smile,
        "mouthSmileRight": smile * float(rng.uniform(0.8, 1.1)),
        "browDownLeft": brows,
        "browDownRight": brows * float(rng.uniform(0.8, 1.1)),
        "mouthPucker": float(rng.uniform(0.0, 0.25)),
    }


def _near(rng: np.random.Generator, colour: Colour, spread: float) -> Colour:
    r, g, b = np.clip(np.array(colour) + rng.normal(0, spread, 3), 0.02, 1)
    return float(r), float(g), float(b)


def _mixed(one: Colour, two: Colour, share: float) -> Colour:
    r, g, b = (1 - share) * np.array(one) + share * np.array(two)
    return float(r), float(g), float(b)


def _away_from(rng: np.random.Generator, skin: Colour) -> Colour:
    """A colour that a hand stands out from."""
    while True:
        grey = rng.uniform(0.08, 0.9)
        r, g, b = np.clip(grey + rng.uniform(0.0, 0.35) * rng.uniform(-1, 1, 3), 0.03, 0.95)
        if np.linalg.norm(np.array([r, g, b]) - np.array(skin)) > 0.35:
            return float(r), float(g), float(b)
