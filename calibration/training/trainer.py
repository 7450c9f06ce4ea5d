"""The training loop of the keypoint encoder: deterministic with a seed, resumable, on the CPU or a GPU."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

from calibration.evaluation.oneshot import OneShot, score
from calibration.training.ahead import Ahead
from calibration.training.augment import Augmentation, windows
from calibration.training.corpora import Corpus, dev_glosses
from calibration.training.losses import (
    background_hinge,
    batch_hard_triplet,
    cosine_cross_entropy,
    teacher_distance,
)
from calibration.training.pace import follow, rate, running
from calibration.training.projection import Projection
from calibration.training.recorded import RecordedStep
from engines.errors import ConfigError
from engines.networks.slgcn import Slgcn, SlgcnShape

Array = NDArray[np.float32]

CHECKPOINT = "checkpoint.pt"
HISTORY = "history.json"
AHEAD = 4
"""Threads that make batches ahead where a GPU does the rest: one makes 60 to 130 a second, a GPU uses up more."""
AVERAGING = 0.998
"""Share that the running average of the weights keeps each step; the average is what is measured and exported."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Everything that decides the outcome of a training run, besides the data."""

    seed: int = 0
    steps: int = 6500
    batch: int = 128
    per_gloss: int = 2  # windows of one gloss in a batch, of different clips where there are
    background: int = 16  # background windows more in each batch
    rate: float = 2e-3
    warmup: int = 200
    decay: float = 0.05
    triplet: float = 0.3  # weight of the triplet loss
    teaching: float = 4.0  # weight of the likeness to a teacher, where there is one
    strength: float = 1.0  # of the deformations in space, against the defaults of `Augmentation`
    made_up: float = 0.25  # share of a batch's glosses that are made-up signs, where there are any
    bfloat16: bool = (
        False  # mixed precision: the network's products in bfloat16, weights and losses in float32
    )
    every: int = 250  # steps between measurements and checkpoints


@dataclass(frozen=True, slots=True)
class Point:
    """One measurement of a run; `top1`, `top5` on the dev glosses."""

    step: int
    loss: float
    accuracy: float  # of the training windows, on the training glosses
    top1: float
    top5: float


@dataclass(frozen=True, slots=True, repr=False)
class _Batch:
    """What a step is made from."""

    inputs: torch.Tensor  # (signs + background, channels, 16, joints)
    labels: torch.Tensor  # (signs,)
    seed: int  # of what the network drops


class Run:
    """A training run in a folder: `step()` until `done`, `save()` at any time, and it resumes there."""

    def __init__(
        self,
        folder: Path,
        corpus: Corpus,
        background: Corpus | None,
        recipe: Recipe,
        shape: SlgcnShape | None = None,
        teacher: Callable[[Array], Array] | None = None,
        made_up: Corpus | None = None,
        device: str = "cpu",
        *,
        also: Corpus | None = None,
        held_out: bool = True,
    ) -> None:
        """Start a run, or resume the one in the folder.

        Args:
            folder: for checkpoint and history; made if need be.
            corpus: clips of signs; the dev glosses are taken out for measuring.
            background: clips of signing that are no gloss's, of the same features; None to do without.
            recipe: how; a resumed run must have the same.
            shape: size of the network.
            teacher: a trained encoder that this one learns to resemble, network input (N, channels, 16, joints) to
                unit rows (N, D); a resumed run must have the same.
            made_up: clips of made-up signs of the same features, to train on as well; a resumed run must have the same.
            device: "cpu", or "cuda": batches are made ahead, products are rounded to TF32 and summed in float32, and a
                step is one CUDA graph. The same seed gives another outcome there than on a CPU.
            also: more clips of real signs of the same features, all of them to train on; a resumed run must have the same.
            held_out: take the dev glosses out; otherwise all clips are trained on, and nothing can be measured.

        Raises:
            ValueError: the folder holds a run of another recipe, shape, teacher or number of signs, or a teacher is to teach on
                a GPU.
        """
        if teacher is not None and device != "cpu":
            raise ValueError("a teacher teaches on the CPU only: leave out --device cuda, or --teacher")
        torch.manual_seed(recipe.seed)
        self.device = torch.device(device)
        self.folder, self.recipe, self.background, self.teacher = folder, recipe, background, teacher
        folder.mkdir(parents=True, exist_ok=True)
        self.train, self.dev = corpus, None
        if held_out:
            self.train, self.dev = split(corpus)
        if also is not None:
            self.train = self.train.joined(also)
        real = len(self.train)
        if made_up is not None:
            self.train = self.train.joined(made_up)
        self._data = self.train.digest
        forms = self.train.gloss * (self.train.form.max() + 1) + self.train.form
        known, self.labels = np.unique(forms, return_inverse=True)
        self.by_gloss = [np.flatnonzero(self.labels == k) for k in range(len(known))]
        self.real = int(self.labels[:real].max()) + 1  # forms of real signs; those of made-up ones follow
        self.network = Slgcn(shape).to(self.device)
        dimension = self.network.shape.dimension
        self.directions = nn.Parameter(F.normalize(torch.randn(len(known), dimension), dim=1).to(self.device))
        self.reading = nn.Linear(dimension, self._taught(), bias=False).to(self.device)
        self.average = {name: value.clone() for name, value in self.network.state_dict().items()}
        matrices = [p for p in (*self.network.parameters(), *self.reading.parameters()) if p.ndim > 1]
        vectors = [*(p for p in self.network.parameters() if p.ndim <= 1), self.directions]
        on_gpu = self.device.type == "cuda"
        self.optimizer = torch.optim.AdamW(
            [{"params": matrices, "weight_decay": recipe.decay}, {"params": vectors, "weight_decay": 0.0}],
            capturable=on_gpu,
        )
        self.augmentation = Augmentation().stronger(recipe.strength)
        self._ahead = Ahead(self._batch, threads=AHEAD if on_gpu else 0, end=recipe.steps)
        self._recorded: RecordedStep | None = None
        if on_gpu:
            torch.set_float32_matmul_precision("high")
            self._recorded = RecordedStep(self._train_on)
        self.at = 0
        self.loss = self.accuracy = 0.0
        self.history: list[Point] = []
        if (folder / CHECKPOINT).exists():
            self._load()

    @property
    def done(self) -> bool:
        """Whether all steps are made."""
        return self.at >= self.recipe.steps

    def step(self) -> None:
        """One batch."""
        batch = self._ahead(self.at)
        torch.manual_seed(batch.seed)  # DropGraph's: so that a resumed run goes the same way
        self._pace()
        if self._recorded is None:
            loss, right = (float(figure) for figure in self._train_on(batch.inputs, batch.labels))
        else:
            loss, right = self._recorded(batch.inputs, batch.labels)
        self.at += 1
        self.loss = running(self.loss, loss, self.at)
        self.accuracy = running(self.accuracy, right, self.at)
        follow(self.average, self.network, self.at, keep=AVERAGING)

    def _batch(self, at: int) -> _Batch:
        """The batch of a step, on the CPU."""
        recipe = self.recipe
        rng = np.random.default_rng((recipe.seed, at))
        seed = int(rng.integers(2**31))
        clips = self._draw(rng)
        inputs = [windows(self.train, clips, int(rng.integers(2**31)), self.augmentation)]
        if recipe.background and self.background is not None:
            others = rng.integers(len(self.background), size=recipe.background)
            loose = self.augmentation._replace(whole=0.0, shortest=0.3, longest=1.0, jitter=0.4)
            inputs.append(windows(self.background, others, int(rng.integers(2**31)), loose))
        made, labels = torch.from_numpy(np.concatenate(inputs)), torch.from_numpy(self.labels[clips])
        if self.device.type == "cuda":
            made, labels = made.pin_memory(), labels.pin_memory()
        return _Batch(made, labels, seed)

    def _train_on(self, inputs: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Loss and training accuracy of a batch, after which the weights are better ones."""
        recipe, count = self.recipe, len(labels)
        # Without autocast's cache of cast weights: a recorded step would cast them once and for all.
        with torch.autocast(
            self.device.type, torch.bfloat16, enabled=recipe.bfloat16, cache_enabled=self._recorded is None
        ):
            embeddings = self.network(inputs)
        embeddings = embeddings.float()
        cosines = embeddings @ F.normalize(self.directions, dim=1).T
        signs, rest = cosines[:count], cosines[count:]
        loss = cosine_cross_entropy(signs, labels) + background_hinge(rest)
        if recipe.triplet:
            every = torch.cat([labels, labels.new_full((len(rest),), -1)])
            loss = loss + recipe.triplet * batch_hard_triplet(embeddings, every)
        if self.teacher is not None:
            taught = torch.from_numpy(self.teacher(inputs.numpy()))
            loss = loss + recipe.teaching * teacher_distance(self.reading(embeddings), taught)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.optimizer.step()
        return loss.detach(), (signs.argmax(1) == labels).float().mean()

    def _pace(self) -> None:
        """Set this step's rate of learning: on a GPU in place, where the recorded step reads it."""
        now = rate(self.recipe, self.at)
        for group in self.optimizer.param_groups:
            if self._recorded is None:
                group["lr"] = now
            elif isinstance(group["lr"], torch.Tensor):
                group["lr"].fill_(now)
            else:
                group["lr"] = torch.tensor(now, device=self.device)

    def averaged(self) -> Slgcn:
        """The network with averaged weights, for measuring and export."""
        network = Slgcn(self.network.shape).to(self.device)
        network.load_state_dict(self.average)
        return network.eval()

    def measure(self) -> OneShot:
        """One-shot accuracy on the dev glosses, kept in the history.

        Raises:
            ValueError: no glosses are held out.
        """
        if self.dev is None:
            raise ValueError("no glosses are held out of this run: there is nothing to measure on")
        found = score(self.dev, embedder([self.averaged()]))
        self.history.append(Point(self.at, self.loss, self.accuracy, found.top1, found.top5))
        return found

    def save(self) -> None:
        """Write checkpoint and history, each as a whole."""
        state = {
            "recipe": asdict(self.recipe),
            "shape": asdict(self.network.shape),
            "data": self._data,
            "at": self.at,
            "loss": self.loss,
            "accuracy": self.accuracy,
            "network": self.network.state_dict(),
            "average": self.average,
            "directions": self.directions.detach(),
            "reading": self.reading.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "history": [asdict(point) for point in self.history],
        }
        fresh = self.folder / f"{CHECKPOINT}.new"
        torch.save(state, fresh)
        os.replace(fresh, self.folder / CHECKPOINT)
        (self.folder / HISTORY).write_text(json.dumps(state["history"], indent=1) + "\n")

    def _load(self) -> None:
        state = torch.load(self.folder / CHECKPOINT, weights_only=True, map_location=self.device)
        known = asdict(Recipe()) | state["recipe"]  # an older run's lacks what was the same for all then
        if changed := [f.name for f in fields(Recipe) if known[f.name] != getattr(self.recipe, f.name)]:
            raise self._other_run(changed)
        shape = asdict(self.network.shape)
        if changed := [name for name, value in shape.items() if state["shape"].get(name) != value]:
            raise self._other_run(changed)
        if state.get("data", self._data) != self._data:  # runs of before 27 November 2026 tell none
            raise self._other_run(["set of clips"])
        if len(state["directions"]) != len(self.directions):
            raise self._other_run(["number of signs to train on"])
        if state["reading"]["weight"].shape != self.reading.weight.shape:
            raise self._other_run(["teacher"])
        self.network.load_state_dict(state["network"])
        self.average = state["average"]
        self.directions.data.copy_(state["directions"])
        self.reading.load_state_dict(state["reading"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.at, self.loss, self.accuracy = state["at"], state["loss"], state["accuracy"]
        self.history = [Point(**point) for point in state["history"]]

    def _other_run(self, changed: Sequence[str]) -> ValueError:
        return ValueError(
            f"{self.folder} holds a run with another {', '.join(changed)}; choose another folder"
        )

    def _taught(self) -> int:
        """D of the teacher's rows; 1 without a teacher, when nothing reads them."""
        if self.teacher is None:
            return 1
        return self.teacher(np.zeros((1, *self.network.features.shape), np.float32)).shape[1]

    def _draw(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """Clips of a batch: a few of each of some glosses, different ones as far as there are."""
        count = self.recipe.batch // self.recipe.per_gloss
        made_up = round(count * self.recipe.made_up) if self.real < len(self.by_gloss) else 0
        glosses = np.concatenate(
            [
                rng.choice(self.real, count - made_up, replace=False),
                self.real + rng.choice(max(len(self.by_gloss) - self.real, 1), made_up, replace=False),
            ]
        )
        drawn = []
        for gloss in glosses:
            clips = self.by_gloss[gloss]
            drawn.append(rng.choice(clips, self.recipe.per_gloss, replace=len(clips) < self.recipe.per_gloss))
        return np.concatenate(drawn)


def read_run(folder: Path) -> tuple[Slgcn, list[Point]]:
    """A run's network with averaged weights, in evaluation mode, and its measurements.

    Raises:
        ConfigError: there is no checkpoint in the folder.
    """
    if not (folder / CHECKPOINT).is_file():
        raise ConfigError(
            f"{folder} holds no training run (no {CHECKPOINT}): train one with signspot train encoder"
        )
    state = torch.load(folder / CHECKPOINT, weights_only=True, map_location="cpu")
    network = Slgcn(SlgcnShape(**state["shape"]))
    network.load_state_dict(state["average"])
    return network.eval(), [Point(**point) for point in state["history"]]


def split(corpus: Corpus) -> tuple[Corpus, Corpus]:
    """Clips to train on, and clips of the dev glosses."""
    dev = dev_glosses(corpus.glosses)
    held = np.array([corpus.glosses[gloss] in dev for gloss in corpus.gloss])
    return corpus.subset(~held), corpus.subset(held)


def embed_inputs(networks: Sequence[Slgcn], inputs: Array, batch: int = 256) -> Array:
    """Unit rows (N, sum of D) of network input (N, channels, 16, joints), by networks in evaluation mode side by side."""
    rows = []
    device = next(networks[0].parameters()).device
    with torch.inference_mode():
        for at in range(0, len(inputs), batch):
            part = torch.from_numpy(inputs[at : at + batch]).to(device)
            found = F.normalize(torch.cat([network(part) for network in networks], 1), dim=1)
            rows.append(found.cpu().numpy())
    return np.concatenate(rows)


def embedder(
    networks: Sequence[Slgcn], projection: Projection | None = None
) -> Callable[[list[Array]], Array]:
    """Networks of one kind of features, and what follows them, as one function from windows (L, rows, 3) to unit rows."""
    features = networks[0].features

    def embed(tracks: list[Array]) -> Array:
        rows = embed_inputs(networks, np.stack([features.window_input(track) for track in tracks]))
        return rows if projection is None else projection(rows)

    return embed
