"""A signer of a few lines: wrists that move along known paths, an encoder that sees movement only, galleries of both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from calibration.corpus.landmarks import save_track
from calibration.enrol import loaded_encoders, with_exemplars
from calibration.thresholds import with_thresholds
from engines.bundle import ModelBundle
from engines.encoders import BundleEncoder
from engines.landmarks import PARTS, LandmarkTrack
from engines.skeleton import CHANNELS
from stream.gallery import Exemplars, Gallery, Take
from tests.engines.bundles import card

Floats = NDArray[np.float64]
SIGN_TICKS = 16
ESTIMATOR = "by hand"


def encoder(folder: Path, *, name: str = "slgcn2d", dimension: int = 64, seed: int = 0) -> Path:
    """A bundle whose network is a random projection of movement: a posture that is held contributes nothing."""
    rng = np.random.default_rng(seed)
    weights = rng.standard_normal((CHANNELS, 16, 27, dimension))
    weights -= weights.mean(axis=1, keepdims=True)
    flat = (weights.reshape(-1, dimension) / 100).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["windows"], ["flat"]),
            helper.make_node("MatMul", ["flat", "weights"], ["embeddings"]),
        ],
        "movement",
        [helper.make_tensor_value_info("windows", TensorProto.FLOAT, ["n", CHANNELS, 16, 27])],
        [helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, ["n", dimension])],
        [onnx.numpy_helper.from_array(flat, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    bundle = ModelBundle.write(
        folder, model=model.SerializeToString(), card=card(name=name, dimension=dimension)
    )
    ModelBundle.write(folder, model=bundle.model, card=bundle.card, background=others(bundle))
    return folder


def others(bundle: ModelBundle) -> NDArray[np.float32]:
    """Embeddings (N, D) of ways that no gloss goes, at their beginning, middle and end."""
    embeds = BundleEncoder(bundle, estimator=ESTIMATOR)
    windows = []
    for number in range(60):
        clip = track([rest(10), movement(f"other {number}"), rest(10)], seed=number)
        ticks = np.stack([embeds.prepare(clip.at(tick)) for tick in range(len(clip))])
        windows += [ticks[start : start + SIGN_TICKS] for start in (2, 10, 18)]
    return embeds.embed(windows)


def movement(gloss: str, *, angle: float = 0.0) -> Floats:
    """Both wrists' way (16, 4) from where they rest, in frame units: a path of the gloss's own, turned by an angle.

    Two glosses' paths are uncorrelated, and so are a path and its turn by 90 degrees.
    """
    at = np.arange(SIGN_TICKS)[:, None] / SIGN_TICKS * 2 * np.pi
    paths = []
    for part in (gloss, f"{gloss}, turned"):
        rng = np.random.default_rng(list(part.encode()))
        waves = sum(
            rng.standard_normal(4) * np.sin(n * at) + rng.standard_normal(4) * np.cos(n * at) for n in (1, 2)
        )
        waves -= waves.mean(axis=0)
        paths.append(0.05 * waves / np.sqrt((waves**2).mean()))
    turn = np.radians(angle)
    return np.asarray(np.cos(turn) * paths[0] + np.sin(turn) * paths[1])


def rest(ticks: int) -> Floats:
    """Wrists (ticks, 4) that stay where they are."""
    return np.zeros((ticks, 4))


def track(ways: Sequence[Floats], *, noise: float = 0.002, seed: int = 0) -> LandmarkTrack:
    """Landmarks of a signer whose wrists go these ways one after the other, with noise in every landmark."""
    way = np.concatenate(ways)
    rng = np.random.default_rng(seed)
    ticks = len(way)
    parts = {name: np.full((ticks, *shape), np.nan) for name, shape in PARTS.items()}
    pose = np.full((33, 4), 0.5)
    pose[:, 3] = 1.0
    pose[[0, 11, 12], :2] = (0.5, 0.25), (0.62, 0.4), (0.38, 0.4)
    pose[[13, 14, 15, 16], :2] = (0.66, 0.6), (0.34, 0.6), (0.58, 0.6), (0.42, 0.6)
    parts["pose"] = np.repeat(pose[None], ticks, axis=0)
    wrists = way.reshape(ticks, 2, 2)
    parts["pose"][:, [15, 16], :2] += wrists
    fan = np.stack([np.linspace(-0.03, 0.03, 21), -np.linspace(0.0, 0.06, 21), np.zeros(21)], 1)
    for side, (name, joint) in enumerate((("left_hand", 15), ("right_hand", 16))):
        parts[name] = np.repeat(fan[None], ticks, axis=0)
        parts[name][..., :2] += (pose[joint, :2] + wrists[:, side])[:, None]
    for name in ("pose", "left_hand", "right_hand"):
        parts[name][..., :2] += noise * rng.standard_normal((*parts[name].shape[:2], 2))
    packed = {name: value.astype(np.float32) for name, value in parts.items()}
    return LandmarkTrack(**packed, width=640, height=480, estimator=ESTIMATOR)  # type: ignore[arg-type]


def saved(path: Path, ways: Sequence[Floats], *, seed: int = 0) -> Path:
    """The same as a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_track(path, track(ways, seed=seed))
    return path


def taught(path: Path, signs: Mapping[str, Floats], encoders: Sequence[Path]) -> Gallery:
    """A gallery of signs, each from one hand-made clip: rest, the way, rest. Adds to one that is there."""
    gallery = Gallery.load_or_new(path)
    ready = loaded_encoders(gallery, [str(one) for one in encoders], ESTIMATOR)
    exemplars = {
        name: gallery.exemplars.get(name)
        or Exemplars(
            one.fingerprint,
            np.zeros((0, one.dimension), np.float32),
            np.zeros(0, np.int32),
            np.zeros(0, np.int32),
        )
        for name, one in ready.items()
    }
    takes = list(gallery.takes)
    for number, (gloss, way) in enumerate(signs.items()):
        clip = track([rest(40), way, rest(40)], seed=100 + number)
        take = Take(
            gloss=gloss,
            clip=f"{gloss}.mp4",
            first_tick=40,
            last_tick=40 + len(way),
            estimator=ESTIMATOR,
            enrolled_utc="2026-11-24T12:00:00+00:00",
            landmarks=gallery.keep_landmarks(clip),
        )
        for name, one in ready.items():
            exemplars[name] = with_exemplars(exemplars[name], one, len(takes), take, clip)
        takes.append(take)
    edition = Gallery(
        path=path,
        signs=gallery.signs,
        takes=tuple(takes),
        exemplars=exemplars,
        calibration=gallery.calibration,
    )
    edition, _ = with_thresholds(edition, ready)
    edition.save()
    return edition
