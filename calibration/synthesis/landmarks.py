"""True joints to the landmarks that MediaPipe would find: a pinhole camera, and MediaPipe's own errors as measured."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calibration.synthesis.body import FINGERS, Body, body_of
from calibration.synthesis.performance import Array, Performance
from engines.errors import ConfigError
from engines.landmarks import LandmarkTrack

Wide = NDArray[np.float64]

ESTIMATOR = "synthetic"

FACE = (
    "nose", "left_eye_inner", "left_eye", "left_eye_outer", "right_eye_inner", "right_eye", "right_eye_outer",
    "left_ear", "right_ear", "left_mouth", "right_mouth",
)  # fmt: skip
"""MediaPipe's first eleven pose landmarks."""

JOINTS = (
    "upperarm01", "lowerarm01", "wrist", "finger5-1", "finger2-1", "finger1-2", "upperleg01", "lowerleg01", "foot",
    "foot", "toe1-1",
)  # fmt: skip
"""The bones whose joints are MediaPipe's pose landmarks 11 to 32, left before right each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Camera:
    """A pinhole camera in front of the signer, level."""

    distance_m: float = 1.9
    height_m: float = 0.38  # above the hips
    aside_m: float = 0.0
    field_rad: float = 0.75  # vertical field of view
    width: int = 640
    height: int = 480

    @classmethod
    def draw(cls, rng: np.random.Generator, body: Body) -> Camera:
        """A camera as people set one up: head to hip in view, with some air above the head."""
        top, hip = float(body.vertices[:, 2].max()), float(body.heads[body.index("upperleg01.L")][2])
        seen = (top - hip) * float(rng.uniform(1.12, 1.45))
        field = float(rng.uniform(0.55, 0.85))
        return cls(
            distance_m=seen / 2 / float(np.tan(field / 2)),
            height_m=top - seen * float(rng.uniform(0.40, 0.46)),
            aside_m=float(rng.normal(0, 0.05)),
            field_rad=field,
        )

    def project(self, points: Wide | Array) -> tuple[Wide, Wide]:
        """World points (..., 3) to image coordinates (..., 2) in [0, 1], and their depth (...) in metres."""
        depth = points[..., 1] + self.distance_m
        focal = 0.5 / np.tan(self.field_rad / 2)  # in picture heights
        x = 0.5 + focal * (points[..., 0] - self.aside_m) / depth * self.height / self.width
        y = 0.5 - focal * (points[..., 2] - self.height_m) / depth
        return np.stack([x, y], -1), depth


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """How MediaPipe errs, measured on renders (`mediapipe_noise.json` names the command and the date)."""

    body_offset: tuple[
        tuple[int, float, float], ...
    ]  # (landmark, to the picture's right, down), shoulder widths
    body_error: float  # standard deviation of a body joint, shoulder widths
    hand_shift: float  # the same of a hand as a whole, palm lengths
    hand_error: float  # of a hand joint, palm lengths (wrist to middle knuckle)
    persistence: float  # correlation of an error with that of the tick before
    missing: tuple[
        tuple[float, float], ...
    ]  # (hand speed in shoulder widths a second, share of ticks without hand)
    swapped: float  # share of ticks in which the two hands are exchanged

    @classmethod
    def measured(cls) -> Noise:
        """The measured values that are committed beside this file.

        Raises:
            ConfigError: the file is missing or damaged.
        """
        path = Path(__file__).with_name("mediapipe_noise.json")
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            return cls(
                body_offset=tuple((int(point), float(x), float(y)) for point, x, y in stored["body_offset"]),
                body_error=float(stored["body_error"]),
                hand_shift=float(stored["hand_shift"]),
                hand_error=float(stored["hand_error"]),
                persistence=float(stored["persistence"]),
                missing=tuple((float(speed), float(share)) for speed, share in stored["missing"]),
                swapped=float(stored["swapped"]),
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"{path} does not hold measured noise: {error}") from error


def hand_points(body: Body, side: str, rotations: Array, joints: Array) -> Array:
    """MediaPipe's 21 hand points (T, 21, 3) in the world: wrist, then four points of each finger, thumb first."""
    points = [joints[:, body.index(f"wrist.{side}")]]
    for finger in FINGERS:
        points += [joints[:, body.index(f"{finger}-{number}.{side}")] for number in (1, 2, 3)]
        last = f"{finger}-3.{side}"
        points.append(body.carried(last, body.tips[last], rotations, joints))
    return np.stack(points, 1)


def pose_points(body: Body, rotations: Array, joints: Array) -> Array:
    """MediaPipe's 33 pose points (T, 33, 3) in the world."""
    points = [body.carried("head", body.face_points[name], rotations, joints) for name in FACE]
    for bone in JOINTS:
        points += [joints[:, body.index(f"{bone}.{side}")] for side in "LR"]
    return np.stack(points, 1)


def landmarks_of(
    performance: Performance, camera: Camera, *, noise: Noise | None = None, seed: int = 0
) -> LandmarkTrack:
    """What a pose estimator sees of a performance at 25 fps.

    Args:
        performance: at 25 frames a second, so that its frames are ticks.
        camera: where it is seen from.
        noise: MediaPipe's errors; None for the truth.
        seed: of the noise.

    Raises:
        ValueError: the performance has another frame rate.
    """
    if performance.fps != 25:
        raise ValueError(f"ticks are 25 a second, the performance has {performance.fps}")
    body = body_of(performance.signer)
    world = pose_points(body, performance.rotations, performance.joints)
    hands = [hand_points(body, side, performance.rotations, performance.joints) for side in "LR"]
    pose_xy, _ = camera.project(world)
    hips = world[:, 23:25].mean(1, keepdims=True)
    width_a_metre = _width_a_metre(camera)
    scale = width_a_metre / camera.project(hips)[1]
    relative = world - hips
    pose = np.concatenate([pose_xy, (relative[..., 1] * scale)[..., None], _inside(pose_xy)[..., None]], -1)
    found = []
    for points in hands:
        xy, away = camera.project(points)
        z = (points[..., 1] - points[:, :1, 1]) * width_a_metre / away[:, :1]
        found.append(np.concatenate([xy, z[..., None]], -1))
    hands_world = [points - points.mean(1, keepdims=True) for points in hands]
    if noise is not None:
        _disturb(pose, found, hands_world, world, hands, camera, noise, np.random.default_rng([seed, 11]))
    axes = np.array([1, -1, 1])
    swap = [0, 2, 1]  # world axes to MediaPipe's: x right, y down, z away
    return LandmarkTrack(
        pose=pose.astype(np.float32),
        left_hand=found[0].astype(np.float32),
        right_hand=found[1].astype(np.float32),
        pose_world=(relative[..., swap] * axes).astype(np.float32),
        left_hand_world=(hands_world[0][..., swap] * axes).astype(np.float32),
        right_hand_world=(hands_world[1][..., swap] * axes).astype(np.float32),
        width=camera.width,
        height=camera.height,
        estimator=ESTIMATOR,
    )


def _width_a_metre(camera: Camera) -> float:
    """Picture widths that a metre takes at a depth of one metre."""
    return float(0.5 / np.tan(camera.field_rad / 2) * camera.height / camera.width)


def _inside(xy: Wide) -> Wide:
    """Visibility: MediaPipe gives nearly 1 to what is in the picture and little to what it has to guess."""
    return np.where(((xy > 0) & (xy < 1)).all(-1), 0.99, 0.1)


def _disturb(
    pose: Wide, found: list[Wide], hands_world: list[Wide], world: Array, hands: list[Array], camera: Camera,
    noise: Noise, rng: np.random.Generator,
) -> None:  # fmt: skip
    """Add MediaPipe's errors in place."""
    width_a_metre = _width_a_metre(camera) / camera.distance_m
    aspect = camera.width / camera.height
    shoulders = float(np.median(np.linalg.norm(world[:, 11] - world[:, 12], axis=1)))
    ticks = len(pose)
    scale = np.array([1.0, aspect, 1.0]) * width_a_metre
    pose[..., :3] += _wandering(rng, (ticks, 33, 3), noise.persistence) * noise.body_error * shoulders * scale
    for point, across, down in noise.body_offset:
        pose[:, point, :2] += np.array([across, down]) * shoulders * scale[:2]
    speeds, shares = np.array(noise.missing).T
    for number, points in enumerate(hands):
        palm = float(np.median(np.linalg.norm(points[:, 9] - points[:, 0], axis=1)))
        error = _wandering(rng, (ticks, 21, 3), noise.persistence) * noise.hand_error * palm
        shift = _wandering(rng, (ticks, 1, 3), noise.persistence) * noise.hand_shift * palm
        found[number] += (error + shift) * scale
        hands_world[number] += error
        moved = np.linalg.norm(np.gradient(points[:, 9], axis=0), axis=1) * 25 / shoulders
        chance = np.interp(moved, speeds, shares)
        outside = ~((found[number][:, 9, :2] > 0) & (found[number][:, 9, :2] < 1)).all(-1)
        gone = (_uniform(rng, ticks, noise.persistence) < chance) | outside
        found[number][gone] = np.nan
        hands_world[number][gone] = np.nan
    swapped = _uniform(rng, ticks, 0.8) < noise.swapped
    for pair in (found, hands_world):
        pair[0][swapped], pair[1][swapped] = pair[1][swapped].copy(), pair[0][swapped].copy()


def _wandering(rng: np.random.Generator, shape: tuple[int, ...], persistence: float) -> Wide:
    """Unit-variance noise whose neighbours in time correlate by `persistence`."""
    fresh = rng.standard_normal(shape)
    for tick in range(1, shape[0]):
        fresh[tick] = persistence * fresh[tick - 1] + np.sqrt(1 - persistence**2) * fresh[tick]
    return fresh


def _uniform(rng: np.random.Generator, ticks: int, persistence: float) -> Wide:
    """Numbers even in 0..1 whose neighbours in time are alike, so that drop-outs come in runs."""
    from scipy.special import ndtr

    return np.asarray(ndtr(_wandering(rng, (ticks,), persistence)))
