"""Training of the RGB encoder on the synthetic signer's small pictures: deterministic with a seed, resumable.

Triplets (batch-hard) and cross-entropy as for the SL-GCN, clips that show no sign kept away from all signs, and, where
a teacher is given, likeness to what a trained SL-GCN makes of the same clip's true joints. A reader beside the embedding
says where the hands are: the synthetic signer's true joints teach the trunk far sooner what to look at than 3,000 signs,
each seen a few times, do.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

from calibration.evaluation.oneshot import Labels, OneShot, score_rows
from calibration.onnx_export import windows_onnx
from calibration.synthesis.clips import Clips
from calibration.training.ahead import Ahead
from calibration.training.device_pictures import DevicePictures
from calibration.training.looks import READ, Look, draw_look, read_joints, shown, straight_look
from calibration.training.losses import (
    background_hinge,
    batch_hard_triplet,
    cosine_cross_entropy,
    teacher_distance,
)
from calibration.training.pace import follow, rate, running
from calibration.training.trainer import CHECKPOINT, HISTORY, Point
from engines.bundle import Card, ModelBundle
from engines.errors import ConfigError
from engines.features import SMALL_I3D
from engines.networks.small_i3d import HIDDEN, SmallI3d, SmallI3dShape

Array = NDArray[np.float32]
Pixels = NDArray[np.uint8]

AVERAGING, MOST_AVERAGING = 0.98, 0.998
"""Share that the running average of the weights keeps each step, in short runs and in long ones: it spans a twentieth of a
run's steps. The average is what is measured and exported."""
AHEAD = 4
"""Threads that draw batches ahead where a GPU does the rest."""
BACKGROUND, IDLE = 1000, 504
"""Clips that a bundle's background and its idle windows are made of."""
WINDOW_LENGTHS = (14, 20)
"""Of the keypoint encoders' lengths the middle two: each costs a run of the network, and speaks for its neighbour too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RgbRecipe:
    """Everything that decides the outcome of a run, besides the clips."""

    seed: int = 0
    steps: int = 1000
    signs: int = 24  # different ones in a batch
    per_sign: int = 2  # clips of each
    background: int = 6  # clips without a sign more in each batch
    rate: float = 2e-3
    warmup: int = 30
    decay: float = 0.05
    triplet: float = 0.3  # weight of the triplet loss
    naming: float = 0.3  # weight of the cross-entropy
    teaching: float = 5.0  # weight of the likeness to a teacher, where there is one
    joints: float = 10.0  # weight of saying where the hands are
    every: int = 100  # steps between measurements and checkpoints


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class _Batch:
    """What a step is made from."""

    own: NDArray[np.int64]  # (B,) clips: of signs, then of none
    looks: list[Look]
    pictures: Pixels  # (B, 8, 96, 96, 3); (0, ...) where a device makes them
    joints: Array  # (B, 8, 22, 4), NaN where unknown
    seed: int  # of what the network drops


class RgbRun:
    """A training run in a folder: `step()` until `done`, `save()` at any time, and it resumes there."""

    def __init__(
        self,
        folder: Path,
        clips: Clips,
        dev: Clips,
        recipe: RgbRecipe,
        shape: SmallI3dShape | None = None,
        taught: Array | None = None,
        device: str = "cpu",
        pictures: DevicePictures | None = None,
    ) -> None:
        """Start a run, or resume the one in the folder.

        Args:
            folder: for checkpoint and history; made if need be.
            clips: to train on. A resumed run may have more of the same signs.
            dev: of other signs by other bodies, for measuring.
            recipe: how; a resumed run must have the same.
            shape: size of the network.
            taught: (clips, D) unit rows that a teacher makes of the clips; None to do without.
            device: "cpu", or "cuda", where the trunk computes in bfloat16. The same seed gives another outcome there.
            pictures: the clips' pictures on that device; None: they are decoded and deformed on the CPU.

        Raises:
            ConfigError: the folder holds a run of another recipe.
        """
        torch.manual_seed(recipe.seed)
        self.folder, self.clips, self.dev, self.recipe, self.taught = folder, clips, dev, recipe, taught
        self.device, self._pictures = torch.device(device), pictures
        self.keep = min(max(AVERAGING, 1 - 20 / recipe.steps), MOST_AVERAGING)
        self._ahead = Ahead(self._batch, threads=0 if device == "cpu" else AHEAD, end=recipe.steps)
        folder.mkdir(parents=True, exist_ok=True)
        self.by_sign = [np.flatnonzero(clips.sign == sign) for sign in range(int(clips.sign.max()) + 1)]
        self.usable = np.array([sign for sign, own in enumerate(self.by_sign) if len(own)])
        self.loose = np.flatnonzero(clips.sign < 0)
        self.network = SmallI3d(shape)
        self.network.to(self.device, memory_format=torch.channels_last_3d)  # type: ignore[call-overload]  # torch takes it
        dimension = self.network.shape.dimension
        directions = F.normalize(torch.randn(len(self.by_sign), dimension), dim=1)
        self.directions = nn.Parameter(directions.to(self.device))
        self.reading = nn.Linear(dimension, 1 if taught is None else taught.shape[1], bias=False)
        self.joints = nn.Linear(HIDDEN, SMALL_I3D.count * len(READ) * 4)
        self.reading.to(self.device)
        self.joints.to(self.device)
        self.average = {name: value.clone() for name, value in self.network.state_dict().items()}
        parts = [*self.network.parameters(), *self.reading.parameters(), *self.joints.parameters()]
        matrices = [p for p in parts if p.ndim > 1]
        vectors = [*(p for p in parts if p.ndim <= 1), self.directions]
        self.optimizer = torch.optim.AdamW(
            [{"params": matrices, "weight_decay": recipe.decay}, {"params": vectors, "weight_decay": 0.0}]
        )
        self.at = 0
        self.loss = self.accuracy = self.apart = self.away = 0.0
        self.history: list[Point] = []
        if (folder / CHECKPOINT).exists():
            self._load()

    @property
    def done(self) -> bool:
        """Whether all steps are made."""
        return self.at >= self.recipe.steps

    def step(self) -> None:
        """One batch."""
        recipe, batch = self.recipe, self._ahead(self.at)
        torch.manual_seed(batch.seed)
        for group in self.optimizer.param_groups:
            group["lr"] = rate(self.recipe, self.at)
        if self._pictures is None:
            inputs = torch.from_numpy(batch.pictures)
        else:
            inputs = self._pictures.windows(batch.own, batch.looks)
        labels = torch.from_numpy(self.clips.sign[batch.own].astype(np.int64)).to(self.device)
        count = recipe.signs * recipe.per_sign
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            hidden = self.network.hidden(inputs)
        hidden = hidden.float()
        rows = self.network.embed(hidden)
        cosines = rows @ F.normalize(self.directions, dim=1).T
        loss = recipe.naming * cosine_cross_entropy(cosines[:count], labels[:count])
        loss = loss + background_hinge(cosines[count:]) + recipe.triplet * batch_hard_triplet(rows, labels)
        places = torch.from_numpy(batch.joints).to(self.device)
        there = ~places.isnan()
        said = self.joints(hidden).reshape(places.shape)
        away = F.smooth_l1_loss(said[there], places[there], beta=0.2)
        loss = loss + recipe.joints * away
        self.away = float(away.detach())
        if self.taught is not None:
            rows_taught = torch.from_numpy(self.taught[batch.own[:count]]).to(self.device)
            known = rows_taught.any(1)  # a stroke of one picture has no row
            apart = teacher_distance(self.reading(rows[:count][known]), rows_taught[known])
            loss = loss + recipe.teaching * apart
            self.apart = float(apart.detach())
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.optimizer.step()
        self.at += 1
        right = (cosines[:count].argmax(1) == labels[:count]).float().mean()
        self.loss = running(self.loss, float(loss.detach()), self.at)
        self.accuracy = running(self.accuracy, float(right), self.at)
        follow(self.average, self.network, self.at, keep=self.keep)

    def _batch(self, at: int) -> _Batch:
        """The batch of a step; its pictures as well, where no device has them."""
        recipe = self.recipe
        rng = np.random.default_rng((recipe.seed, at))
        seed = int(rng.integers(2**31))
        signs = rng.choice(self.usable, recipe.signs, replace=False)
        chosen = [
            rng.choice(self.by_sign[sign], recipe.per_sign, replace=len(self.by_sign[sign]) < recipe.per_sign)
            for sign in signs
        ]
        own = np.concatenate([*chosen, rng.choice(self.loose, recipe.background)])
        looks = [draw_look(self.clips, int(clip), rng) for clip in own]
        both = [(int(clip), look) for clip, look in zip(own, looks, strict=True)]
        shape = (0 if self._pictures else len(own), *SMALL_I3D.shape)
        pictures = np.empty(shape, np.uint8)
        for number, (clip, look) in enumerate(both[: len(pictures)]):
            pictures[number] = shown(self.clips, clip, look)
        joints = np.stack([read_joints(self.clips, clip, look) for clip, look in both])
        return _Batch(own=own, looks=looks, pictures=pictures, joints=joints, seed=seed)

    def averaged(self) -> SmallI3d:
        """The network with averaged weights, for measuring and export."""
        network = SmallI3d(self.network.shape).to(self.device)
        network.load_state_dict(self.average)
        return network.eval()

    def measure(self) -> OneShot:
        """One-shot accuracy on the held-out signs and bodies, kept in the history."""
        found = one_shot(self.averaged(), self.dev)
        self.history.append(Point(self.at, self.loss, self.accuracy, found.top1, found.top5))
        return found

    def save(self) -> None:
        """Write checkpoint and history, each as a whole."""
        state = {
            "recipe": asdict(self.recipe),
            "shape": asdict(self.network.shape),
            "at": self.at,
            "loss": self.loss,
            "accuracy": self.accuracy,
            "network": self.network.state_dict(),
            "average": self.average,
            "directions": self.directions.detach(),
            "reading": self.reading.state_dict(),
            "joints": self.joints.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "history": [asdict(point) for point in self.history],
        }
        fresh = self.folder / f"{CHECKPOINT}.new"
        torch.save(state, fresh)
        os.replace(fresh, self.folder / CHECKPOINT)
        (self.folder / HISTORY).write_text(json.dumps(state["history"], indent=1) + "\n")

    def _load(self) -> None:
        state = torch.load(self.folder / CHECKPOINT, weights_only=True, map_location=self.device)
        if state["recipe"] != asdict(self.recipe) or state["shape"] != asdict(self.network.shape):
            raise ConfigError(f"{self.folder} holds a run of another recipe: choose another folder")
        self.network.load_state_dict(state["network"])
        self.average = state["average"]
        self.directions.data.copy_(state["directions"])
        self.reading.load_state_dict(state["reading"])
        self.joints.load_state_dict(state["joints"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.at, self.loss, self.accuracy = state["at"], state["loss"], state["accuracy"]
        self.history = [Point(**point) for point in state["history"]]


def read_rgb_run(folder: Path) -> tuple[SmallI3d, list[Point]]:
    """A run's network with averaged weights, in evaluation mode, and its measurements.

    Raises:
        ConfigError: there is no checkpoint in the folder.
    """
    if not (folder / CHECKPOINT).is_file():
        raise ConfigError(
            f"{folder} holds no training run (no {CHECKPOINT}): train with `signspot train rgb`"
        )
    state = torch.load(folder / CHECKPOINT, weights_only=True, map_location="cpu")
    network = SmallI3d(SmallI3dShape(**state["shape"]))
    network.load_state_dict(state["average"])
    return network.eval(), [Point(**point) for point in state["history"]]


def one_shot(network: SmallI3d, clips: Clips) -> OneShot:
    """One-shot accuracy: strokes of signs, queries by other bodies than the exemplar's."""
    signs = np.flatnonzero(clips.sign >= 0)
    return score_rows(labels(clips, signs), embed_strokes(network, clips, signs))


def labels(clips: Clips, which: NDArray[np.int64]) -> Labels:
    """What some clips show: signs are glosses, bodies signers."""
    return Labels(clips.sign[which].astype(np.int64), clips.body[which].astype(np.int64))


def embed_strokes(
    network: SmallI3d,
    clips: Clips,
    which: NDArray[np.int64],
    *,
    batch: int = 32,
    progress: Callable[[int], None] | None = None,
) -> Array:
    """Unit rows (len(which), D) of clips, each from begin to end of its stroke."""
    rows = []
    device = next(network.parameters()).device
    with torch.inference_mode():
        for at in range(0, len(which), batch):
            pictures = np.stack([seen(clips, int(clip)) for clip in which[at : at + batch]])
            rows.append(network(torch.from_numpy(pictures).to(device)).cpu().numpy())
            if progress is not None:
                progress(len(pictures))
    return np.concatenate(rows)


def taught_rows(
    clips: Clips, teacher: Callable[[list[Array]], Array], progress: Callable[[int], None]
) -> Array:
    """What a teacher of keypoints makes of each clip's stroke: unit rows (clips, D); zero where there is no sign.

    Args:
        clips: with the true joints.
        teacher: windows of prepared ticks to rows, as `Encoder.embed`.
        progress: told how many clips are done since the last call.
    """
    first = teacher([clips.keypoints[0].astype(np.float32)])
    rows = np.zeros((len(clips), first.shape[1]), np.float32)
    for clip in np.flatnonzero(clips.sign >= 0):
        begin, end = clips.stroke[clip]
        inside = (clips.ticks[clip] >= begin) & (clips.ticks[clip] < end)
        if inside.sum() >= 2:
            rows[clip] = teacher([clips.keypoints[clip][inside].astype(np.float32)])[0]
        progress(1)
    return rows


def seen(clips: Clips, clip: int) -> Pixels:
    """The stroke of one clip as network input uint8 (8, 96, 96, 3), as it is."""
    return shown(clips, clip, straight_look(clips, clip))


def write_rgb_bundle(
    folder: Path, network: SmallI3d, clips: Clips, dev: Clips, *, name: str, notes: str
) -> ModelBundle:
    """Export a network with what calibrates thresholds: training signs as background, clips without a sign as idle.

    Raises:
        BundleError: the bundle cannot be written.
    """
    rng = np.random.default_rng(0)
    signs, loose = np.flatnonzero(clips.sign >= 0), np.flatnonzero(clips.sign < 0)
    some = np.sort(rng.choice(signs, min(BACKGROUND, len(signs)), replace=False))
    idle = np.sort(rng.choice(loose, min(IDLE, len(loose)), replace=False))
    found = one_shot(network, dev).metrics()
    card = Card(
        name=name,
        dimension=network.shape.dimension,
        features=network.shape.features,
        window_lengths=WINDOW_LENGTHS,
        trained_on=(
            f"{len(signs)} clips of {len(set(clips.sign[signs].tolist()))} made-up signs by Signspot's own synthetic signer, "
            f"{len(set(clips.body.tolist()))} bodies (Apache-2.0; bodies: NAVER anny, Apache-2.0, MakeHuman data, CC0)",
        ),
        metrics={f"synthetic_oneshot_{key}": value for key, value in found.items()},
        licence="Apache-2.0",
        notes=notes,
    )
    example = torch.zeros(1, *SMALL_I3D.shape, dtype=torch.uint8)
    return ModelBundle.write(
        folder,
        model=windows_onnx(network, example),
        card=card,
        background=embed_strokes(network, clips, some),
        idle=embed_strokes(network, clips, idle),
    )
