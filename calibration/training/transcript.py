"""Iterative training of the transcript network: deterministic with a seed, resumable after every epoch.

After Cui, Liu and Zhang, "A Deep Neural Framework for Continuous Sign Language Recognition by Iterative Training" (IEEE
Trans. Multimedia 2019). An iteration trains end to end with CTC, aligns the sentences with what was learnt, and trains the
feature extractor by itself to recognise the glosses of the aligned stretches; the next one goes on from there.
"""

from __future__ import annotations

import copy
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from calibration.evaluation.wer import ErrorCounts
from calibration.evaluation.wer import align as alignment_of
from calibration.training.alignment import Stretch, best_path, shortest, stretches
from calibration.training.deforming import Deformation, deformed
from calibration.training.signed_sentences import SignedSentences, batches, padded
from engines.checkpoints import Checkpoint
from engines.errors import ConfigError
from engines.networks.gloss_ctc import BLANK, GlossCtc, GlossCtcShape, steps_of
from engines.networks.picture_features import AT_ONCE
from engines.tick_features import STRIDE, Row, TickFeatures, tick_features_named
from engines.ticks import TICK_S

Array = NDArray[np.float32]
Labels = NDArray[np.int64]
Phase = Literal["pictures", "sentences", "glosses"]

CHECKPOINT = "checkpoint.pt"
TABLE = "iterations.json"
SPLITS = ("train", "dev", "test")
PICTURE_STEPS = 100
"""Steps in an epoch of pictures alone."""
PICTURES = 96
"""In such a step, each of another place: with 16 scenes a step networks learnt nothing in 600 steps."""
CLIP_TICKS = (4, 16)
"""Of a network that sees clips, ticks of its clips in the first half of these epochs (as many clips as `PICTURES`), and in the
second (as many ticks in all)."""
STILL_TICKS = 800
"""Of a batch while the front stays as it is: its features are small."""
SIGNED_SHARE = 0.75
"""Of these pictures that are chosen among those of a sign; the others are any."""
MEASURED_STRETCHES = 400
"""Training sentences whose stretches the top-1 and top-5 of training are measured on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscriptRecipe:
    """Everything that decides the outcome of a run, besides data and shape."""

    seed: int = 0
    iterations: int = 6
    picture_epochs: int = 0  # of pictures alone, before all else; where the network begins with pictures
    still_epochs: int = (
        0  # of the following, the first ones, through which the picture network stays as it is
    )
    first_epochs: int = 24  # end to end at most, in the first iteration
    flat_epochs: int = 5  # of these, the first ones, which teach each step's gloss instead
    start: Literal["even", "truth"] = "even"  # by an even division of the sentence, or by the true times
    epochs: int = 10  # in each later one
    gloss_epochs: int = 3  # of gloss recognition
    patience: int = 4  # epochs without a better WER on dev that end a phase
    rate: float = 1.5e-3
    front_rate: float = 0.1  # of the rate, for a picture network that has learnt from pictures alone
    later: float = 0.5  # of the rate, in later iterations
    decay: float = 0.02
    smoothing: float = 0.1  # of the labels in gloss recognition
    batch_ticks: int = 1600
    deform: bool = True  # the training sentences
    mixed: bool = False  # the picture network in bfloat16


@dataclass(slots=True, kw_only=True)
class Iteration:
    """One row of the paper's table. Gloss recognition comes last and is None before it was done."""

    number: int  # from 1
    epochs: int  # end to end
    loss: float  # CTC, per gloss, last epoch
    dev: ErrorCounts
    test: ErrorCounts
    stretches: int | None = None  # of the training sentences
    train_top1: float | None = None
    train_top5: float | None = None
    test_top1: float | None = None
    test_top5: float | None = None


@dataclass(frozen=True, slots=True)
class EpochPoint:
    """One epoch, for the curve."""

    iteration: int
    phase: Phase
    epoch: int
    loss: float
    dev_wer: float | None  # percent, end to end only


class TranscriptRun:
    """A run in a folder: `epoch()` until `done`; it saves after each, and resumes there."""

    def __init__(
        self,
        folder: Path,
        sentences: Mapping[str, SignedSentences],
        features: str,
        recipe: TranscriptRecipe,
        shape: GlossCtcShape,
        weights: Checkpoint | None = None,
    ) -> None:
        """Start a run, or resume the one in the folder.

        Args:
            folder: for checkpoint and table; made if need be.
            sentences: "train", "dev" and "test", of the same vocabulary. Dev chooses, test is only told.
            features: name of what the rows are.
            recipe: how; a resumed run must have the same.
            shape: of the network; the same.
            weights: of the picture network, to start from; a resumed run has its own.

        Raises:
            CheckpointError: the weights are another network's.
            ValueError: the folder holds a run of another recipe or shape, or a split is missing.
            BundleError: the features are unknown.
        """
        if missing := [name for name in SPLITS if name not in sentences]:
            raise ValueError(f"there are no sentences of {', '.join(missing)}")
        if recipe.start == "truth" and sentences["train"].spans_s is None:
            raise ValueError("the corpus does not tell when each sign is made: start with an even division")
        torch.manual_seed(recipe.seed)
        self.folder, self.sentences, self.recipe, self.shape = folder, sentences, recipe, shape
        self.features: TickFeatures = tick_features_named(features)
        folder.mkdir(parents=True, exist_ok=True)
        self.network = GlossCtc(shape)
        if weights is not None and self.network.front is not None:
            self.network.front.take(weights)
        self.recogniser = nn.Linear(shape.width, shape.glosses)
        front = self.network.front
        if front is not None:
            front.mixed = recipe.mixed
        self.namer = None if front is None else nn.Linear(front.dimension, shape.glosses + 1)
        self._seen: dict[str, list[Array]] = {}  # of a split's sentences by a front that stays as it is
        self.best = copy.deepcopy(self.network.state_dict())  # by dev WER, of the whole run
        self.best_wer = math.inf
        self.here = self.best  # of this iteration
        self.here_wer = self.here_loss = math.inf
        self.iteration, self.at, self.stale = 1, 0, 0  # `at` counts epochs of the phase
        alone = self.namer is not None and recipe.picture_epochs > 0
        self.phase: Phase = "pictures" if alone else "sentences"
        self.table: list[Iteration] = []
        self.history: list[EpochPoint] = []
        self.aligned: list[list[Stretch]] = []
        self.optimizer = self._optimizer()
        if (folder / CHECKPOINT).exists():
            self._load()

    @property
    def done(self) -> bool:
        """Whether all iterations are made."""
        return self.iteration > self.recipe.iterations

    @property
    def epochs(self) -> int:
        """Epochs of the present phase at most."""
        if self.phase == "pictures":
            return self.recipe.picture_epochs
        if self.phase == "glosses":
            return self.recipe.gloss_epochs
        return self.recipe.first_epochs if self.iteration == 1 else self.recipe.epochs

    def epoch(self, progress: Callable[[float], None] | None = None) -> EpochPoint:
        """One epoch of the present phase; what follows it (alignment, measuring) is done too, and saved.

        Args:
            progress: told the share of the epoch that is done, 0..1.
        """
        number = {"sentences": 0, "glosses": 1, "pictures": 3}[self.phase]
        rng = np.random.default_rng((self.recipe.seed, self.iteration, number, self.at))
        torch.manual_seed(int(rng.integers(2**31)))  # dropout's: so that a resumed run goes the same way
        loss_of = {"pictures": self._name, "sentences": self._ctc, "glosses": self._gloss}[self.phase]
        groups = self._groups(rng)
        losses = []
        self._train()
        for count, group in enumerate(groups):
            self._set_rate(self.at + count / len(groups))
            loss = loss_of(group, rng)
            self.optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            trained = [p for part in self.optimizer.param_groups for p in part["params"]]
            nn.utils.clip_grad_norm_(trained, 1.0)  # what the other phase trained keeps its last gradients
            self.optimizer.step()
            losses.append(float(loss.detach()))
            if progress is not None:
                progress((count + 1) / len(groups))
        wer = self.measured("dev").wer if self.phase == "sentences" else None
        point = EpochPoint(self.iteration, self.phase, self.at + 1, float(np.mean(losses)), wer)
        self.history.append(point)
        self.at += 1
        if wer is not None:
            self._end_sentences_epoch(wer, point.loss)
        elif self.at >= self.epochs and self.phase == "pictures":
            self.phase, self.at = "sentences", 0
            self.optimizer = self._optimizer()
        elif self.at >= self.epochs:
            self._end_glosses()
        self.save()
        return point

    def best_network(self) -> GlossCtc:
        """The network that was best on dev, in evaluation mode."""
        network = GlossCtc(self.shape)
        network.load_state_dict(self.best)
        return network.eval()

    def measured(self, split: str) -> ErrorCounts:
        """Errors of the network as it is now on one split."""
        seen = self._looks(split) if self._still else None
        return errors(scores_of(self.network, self.sentences[split], seen), self.sentences[split])

    def _groups(self, rng: np.random.Generator) -> list[Labels]:
        """The training sentences of each step of an epoch; of pictures alone, those that its pictures are cut from."""
        lengths = self.sentences["train"].lengths
        if self.phase != "pictures":
            return batches(lengths, STILL_TICKS if self._still else self.recipe.batch_ticks, rng)
        count = PICTURES * CLIP_TICKS[0] // max(self._clip_ticks, CLIP_TICKS[0])
        return [rng.choice(len(lengths), count, p=lengths / lengths.sum()) for _ in range(PICTURE_STEPS)]

    def _train(self) -> None:
        """Set what is trained to training.

        The statistics of a picture network that has learnt from pictures of anywhere stay as they are: of a batch of a few
        sentences, whose pictures are alike, they would be others than those it is judged with.
        """
        self.network.train()
        if self.phase != "pictures" and self.recipe.picture_epochs and self.network.front is not None:
            for part in self.network.front.modules():
                if isinstance(part, nn.BatchNorm2d | nn.BatchNorm3d):
                    part.eval()

    # -- pictures alone --------------------------------------------------------------------------------------

    def _name(self, group: Labels, rng: np.random.Generator) -> Tensor:
        """What the front sees in a picture or clip of each sentence, against the glosses that are signed there.

        A sentence's pictures are alike: a batch of a few sentences teaches little of what so many pictures cost.
        """
        front, namer = self.network.front, self.namer
        if front is None or namer is None:
            raise ValueError("a network without pictures has nothing to learn of them")
        train = self.sentences["train"]
        ticks, unit = self._clip_ticks, STRIDE if front.clips else 1
        rows, labels = [], []
        for number in group:
            length = int(train.lengths[number])
            steps = self._step_labels(number, length)
            signed = np.flatnonzero(steps)
            step = int(rng.choice(signed) if rng.random() < SIGNED_SHARE else rng.integers(len(steps)))
            # A clip ends with the step; a picture is any of its four.
            first = (step + 1) * STRIDE - ticks if front.clips else step * STRIDE + int(rng.integers(STRIDE))
            first = min(max(first, 0), max(length - ticks, 0)) // unit * unit
            chunk = train.of(number)[first : first + ticks]
            chunk = np.concatenate([chunk, np.repeat(chunk[-1:], ticks - len(chunk), 0)])
            if self.recipe.deform:
                chunk = deformed(chunk, self.features, int(rng.integers(2**31)), Deformation(speed=0.0), 1)
            rows.append(chunk)
            seen = first // STRIDE + np.arange(max(ticks // STRIDE, 1))
            labels.append(steps[np.minimum(seen, len(steps) - 1)])
        found, _ = front(torch.from_numpy(np.stack(rows)), front.start(len(group)))
        scores = namer(found).flatten(0, 1)
        named = torch.from_numpy(np.concatenate(labels))
        return F.cross_entropy(scores, named, label_smoothing=self.recipe.smoothing)

    @property
    def _clip_ticks(self) -> int:
        """Ticks of what is named at a time: 1 for a network that sees pictures."""
        if self.network.front is None or not self.network.front.clips:
            return 1
        return CLIP_TICKS[2 * self.at >= self.recipe.picture_epochs]

    def _step_labels(self, number: int, length: int) -> Labels:
        """The gloss of each step of a training sentence that was stretched to so many ticks."""
        train = self.sentences["train"]
        steps = -(-length // STRIDE)
        if self.recipe.start == "truth" and train.spans_s is not None:
            pace = length / train.lengths[number]
            return timed_labels(train.labels[number], train.spans_s[number] * pace, steps)
        return even_labels(train.labels[number], steps)

    # -- end to end ------------------------------------------------------------------------------------------

    def _ctc(self, group: Labels, rng: np.random.Generator) -> Tensor:
        train = self.sentences["train"]
        seeds = rng.integers(2**31, size=len(group))
        if self._still:
            seen = self._looks("train")
            made, lengths = padded([seen[number] for number in group])[0], train.lengths[group]
        else:
            made, lengths = padded(
                [self._deformed(number, int(seed)) for number, seed in zip(group, seeds, strict=True)]
            )
        steps = steps_of(torch.from_numpy(lengths))
        scores = self.network(torch.from_numpy(made), torch.from_numpy(lengths))
        labels = [train.labels[number] for number in group]
        if self.iteration == 1 and self.at < self.recipe.flat_epochs:
            starting = self._starting(group, lengths, scores.shape[1])
            return F.nll_loss(scores.flatten(0, 1), starting, ignore_index=-100)
        return F.ctc_loss(
            scores.transpose(0, 1),
            torch.from_numpy(np.concatenate(labels)),
            steps,
            torch.tensor([len(each) for each in labels]),
            blank=BLANK,
            zero_infinity=True,
        )

    @property
    def _still(self) -> bool:
        """Whether the picture network stays as it is for now."""
        return self._stirs and self.at < self.recipe.still_epochs

    @property
    def _stirs(self) -> bool:
        """Whether this is the phase in which the picture network is still at first."""
        return self.iteration == 1 and self.phase == "sentences" and self.network.front is not None

    def _looks(self, split: str) -> list[Array]:
        """What the front sees in each sentence of a split: (T, D), of clips (K, D)."""
        front = self.network.front
        if front is not None and split not in self._seen:
            found = []
            front.eval()
            with torch.inference_mode():
                for number in range(len(self.sentences[split])):
                    rows = self.sentences[split].of(number)
                    ended = np.zeros((-len(rows) % STRIDE, *rows.shape[1:]), rows.dtype)
                    pictures = torch.from_numpy(np.concatenate([rows, ended]))
                    seen = front(pictures[None], front.start(1))[0][0].numpy()
                    found.append(seen if front.clips else seen[: len(rows)])
            self._seen[split] = found
        return self._seen[split]

    def _starting(self, group: Labels, lengths: Labels, most: int) -> Tensor:
        """Labels (N most,) of the steps of a batch for the flat start, -100 beyond a sentence's end."""
        targets = np.full((len(group), most), -100)
        for row, number, length in zip(targets, group, lengths, strict=True):
            labels = self._step_labels(number, int(length))
            row[: len(labels)] = labels
        return torch.from_numpy(targets.reshape(-1))

    def _deformed(self, number: int, seed: int) -> Row:
        train = self.sentences["train"]
        if not self.recipe.deform:
            return train.of(number)
        least = max(2, (shortest(train.labels[number]) + 1) * STRIDE)
        return deformed(train.of(number), self.features, seed, Deformation(), least)

    def _end_sentences_epoch(self, wer: float, loss: float) -> None:
        # At first it writes nothing at all, and only the loss falls.
        if (wer, loss) < (self.here_wer, self.here_loss):
            self.here, self.here_wer, self.here_loss = copy.deepcopy(self.network.state_dict()), wer, loss
            self.stale = 0
            if wer <= self.best_wer:
                self.best, self.best_wer = self.here, wer
        else:
            self.stale += 1
        if not self._still:
            self._seen = {}
        if self.at < self.epochs and (self._still or self.stale < self.recipe.patience):
            return
        self.network.load_state_dict(self.here)
        self.table.append(
            Iteration(
                number=self.iteration,
                epochs=self.at,
                loss=loss,
                dev=self.measured("dev"),
                test=self.measured("test"),
            )
        )
        self.aligned = align(self.network, self.sentences["train"])
        self.phase, self.at = "glosses", 0
        self.optimizer = self._optimizer()
        if self.recipe.gloss_epochs == 0:
            self._end_glosses()

    # -- gloss recognition -----------------------------------------------------------------------------------

    def _gloss(self, group: Labels, rng: np.random.Generator) -> Tensor:
        how = Deformation(speed=0.0)  # the stretches stay where they are
        train = self.sentences["train"]
        seeds = rng.integers(2**31, size=len(group))
        rows = [
            deformed(train.of(number), self.features, int(seed), how)
            if self.recipe.deform
            else train.of(number)
            for number, seed in zip(group, seeds, strict=True)
        ]
        pooled, labels = pool(self.network, rows, [self.aligned[number] for number in group])
        scores = self.recogniser(self.network.dropout(pooled))
        return F.cross_entropy(scores, labels, label_smoothing=self.recipe.smoothing)

    def _end_glosses(self) -> None:
        if self.recipe.gloss_epochs:
            row = self.table[-1]
            train, test = self.sentences["train"], self.sentences["test"]
            rng = np.random.default_rng((self.recipe.seed, self.iteration, 2))
            some = rng.choice(len(train), min(MEASURED_STRETCHES, len(train)), replace=False)
            aligner = GlossCtc(self.shape)
            aligner.load_state_dict(self.here)
            row.stretches = sum(len(each) for each in self.aligned)
            row.train_top1, row.train_top5 = self._recognised(train, self.aligned, np.sort(some))
            row.test_top1, row.test_top5 = self._recognised(test, align(aligner, test), np.arange(len(test)))
        self.iteration += 1
        self.phase, self.at, self.stale = "sentences", 0, 0
        self.here_wer = self.here_loss = math.inf
        self.aligned = []
        self.optimizer = self._optimizer()

    def _recognised(
        self, sentences: SignedSentences, aligned: list[list[Stretch]], numbers: Labels
    ) -> tuple[float, float]:
        """Top-1 and top-5 of gloss recognition on stretches of some sentences."""
        ranks = []
        self.network.eval()
        with torch.inference_mode():
            for group in batches(sentences.lengths[numbers], self.recipe.batch_ticks):
                chosen = numbers[group]
                rows = [sentences.of(number) for number in chosen]
                pooled, labels = pool(self.network, rows, [aligned[number] for number in chosen])
                scores = self.recogniser(pooled)
                ranks.append((scores > scores.gather(1, labels[:, None])).sum(1).numpy())
        every = np.concatenate(ranks)
        return float((every < 1).mean()), float((every < 5).mean())

    # -- keeping ---------------------------------------------------------------------------------------------

    def save(self) -> None:
        """Write checkpoint and table, each as a whole."""
        state = {
            "recipe": asdict(self.recipe),
            "shape": asdict(self.shape),
            "features": self.features.name,
            "glosses": list(self.sentences["train"].glosses),
            "network": self.network.state_dict(),
            "recogniser": self.recogniser.state_dict(),
            "namer": None if self.namer is None else self.namer.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "best": self.best,
            "here": self.here,
            "bests": [self.best_wer, self.here_wer, self.here_loss],
            "place": [self.iteration, self.at, self.stale],
            "phase": self.phase,
            "aligned": [[asdict(one) for one in each] for each in self.aligned],
            "table": [asdict(row) for row in self.table],
            "history": [asdict(point) for point in self.history],
        }
        fresh = self.folder / f"{CHECKPOINT}.new"
        torch.save(state, fresh)
        os.replace(fresh, self.folder / CHECKPOINT)
        table = json.dumps({"iterations": state["table"], "epochs": state["history"]}, indent=1)
        (self.folder / TABLE).write_text(table + "\n", encoding="utf-8")

    def _load(self) -> None:
        state = torch.load(self.folder / CHECKPOINT, weights_only=True)
        for kind, found, wanted in (
            ("recipe", state["recipe"], asdict(self.recipe)),
            ("shape", state["shape"], asdict(self.shape)),
            ("features", {"features": state["features"]}, {"features": self.features.name}),
            ("vocabulary", {"glosses": state["glosses"]}, {"glosses": list(self.sentences["train"].glosses)}),
        ):
            if found != wanted:
                changed = [name for name in wanted if found.get(name) != wanted[name]]
                raise ValueError(
                    f"{self.folder} holds a run of another {kind} ({', '.join(changed)}); choose another folder"
                )
        self.network.load_state_dict(state["network"])
        self.recogniser.load_state_dict(state["recogniser"])
        if self.namer is not None:
            self.namer.load_state_dict(state["namer"])
        self.best, self.here = state["best"], state["here"]
        self.best_wer, self.here_wer, self.here_loss = state["bests"]
        self.iteration, self.at, self.stale = state["place"]
        self.phase = state["phase"]
        self.aligned = [[Stretch(**one) for one in each] for each in state["aligned"]]
        self.table = [_row(each) for each in state["table"]]
        self.history = [EpochPoint(**each) for each in state["history"]]
        self.optimizer = self._optimizer()
        self.optimizer.load_state_dict(state["optimizer"])

    # -- optimising ------------------------------------------------------------------------------------------

    def _optimizer(self) -> torch.optim.AdamW:
        """A fresh optimiser of what the present phase trains."""
        parts: list[nn.Module] = [self.network]
        if self.phase == "pictures" and self.network.front is not None and self.namer is not None:
            parts = [self.network.front, self.namer]
        if self.phase == "glosses":
            parts = [self.network.fusion, self.recogniser]
            if self.network.front is not None:
                parts.append(self.network.front)
        learnt: set[Tensor] = set()
        if self.phase != "pictures" and self.recipe.picture_epochs and self.network.front is not None:
            learnt = set(self.network.front.parameters())
        groups: list[dict[str, Any]] = []
        for pace, chosen in ((1.0, False), (self.recipe.front_rate, True)):
            every = [one for part in parts for one in part.parameters() if (one in learnt) is chosen]
            for decay, weights in (
                (self.recipe.decay, [p for p in every if p.ndim > 1]),
                (0.0, [p for p in every if p.ndim <= 1]),
            ):
                if weights:
                    groups.append({"params": weights, "weight_decay": decay, "pace": pace})
        return torch.optim.AdamW(groups)

    def _set_rate(self, epochs: float) -> None:
        recipe, most = self.recipe, self.epochs
        rate = recipe.rate * (1.0 if self.iteration == 1 else recipe.later)
        if self._still:
            most = min(recipe.still_epochs, most)
        elif self._stirs and 0 < recipe.still_epochs < most:
            rate *= recipe.later
            epochs, most = epochs - recipe.still_epochs, most - recipe.still_epochs
        warm = min(1.0, 0.05 + epochs)  # over the first epoch
        done = epochs / most
        for group in self.optimizer.param_groups:
            group["lr"] = group["pace"] * rate * warm * (0.03 + 0.97 * 0.5 * (1 + math.cos(math.pi * done)))


@dataclass(frozen=True, slots=True)
class StoredRun:
    """What a run's folder tells beside its network."""

    features: str
    glosses: tuple[str, ...]
    table: tuple[Iteration, ...]
    history: tuple[EpochPoint, ...]


def read_transcript_run(folder: Path) -> tuple[GlossCtc, StoredRun]:
    """A run's network that was best on dev, in evaluation mode, and what else it tells.

    Raises:
        ConfigError: there is no checkpoint in the folder.
    """
    if not (folder / CHECKPOINT).is_file():
        raise ConfigError(
            f"{folder} holds no training run (no {CHECKPOINT}): train one with signspot train transcript"
        )
    state = torch.load(folder / CHECKPOINT, weights_only=True)
    network = GlossCtc(GlossCtcShape(**state["shape"]))
    network.load_state_dict(state["best"])
    return network.eval(), StoredRun(
        features=state["features"],
        glosses=tuple(state["glosses"]),
        table=tuple(_row(each) for each in state["table"]),
        history=tuple(EpochPoint(**each) for each in state["history"]),
    )


def scores_of(
    network: GlossCtc, sentences: SignedSentences, seen: Sequence[Array] | None = None
) -> list[Array]:
    """Log-probabilities (K, M + 1) of every sentence, whole and undeformed.

    Args:
        network: as it is.
        sentences: to be judged.
        seen: what the front has seen in each, where that is known.
    """
    found: dict[int, Array] = {}
    rows: Sequence[Row] = seen or [sentences.of(number) for number in range(len(sentences))]
    ticks = 16000 if network.front is None or seen else AT_ONCE
    network.eval()
    with torch.inference_mode():
        for group in batches(sentences.lengths, ticks):
            made, lengths = padded([rows[number] for number in group])[0], sentences.lengths[group]
            scores = network(torch.from_numpy(made), torch.from_numpy(lengths)).numpy()
            steps = -(-lengths // STRIDE)
            for number, each, count in zip(group, scores, steps, strict=True):
                found[int(number)] = each[:count].copy()
    return [found[number] for number in range(len(sentences))]


def align(network: GlossCtc, sentences: SignedSentences) -> list[list[Stretch]]:
    """The stretches of every sentence; none for a sentence with fewer steps than its glosses need."""
    aligned = []
    for number, scores in enumerate(scores_of(network, sentences)):
        labels = sentences.labels[number]
        fits = len(scores) >= shortest(labels)
        aligned.append(stretches(best_path(scores, labels), labels) if fits else [])
    return aligned


def even_labels(labels: Labels, steps: int) -> Labels:
    """A sentence divided evenly among its glosses: (steps,) labels.

    CTC by itself first learns to write nothing and stays there for long: on 480 sentences of 60 signs, eight epochs
    took its loss from 4.60 to 4.54.
    """
    return np.asarray(labels[np.arange(steps) * len(labels) // steps], np.int64)


def timed_labels(labels: Labels, spans_s: Array, steps: int) -> Labels:
    """Labels (steps,) by true times: a gloss where a step's middle is within its sign, at the nearest step at least."""
    middles_s = (np.arange(steps) + 0.5) * STRIDE * TICK_S
    found = np.full(steps, BLANK, np.int64)
    for label, (begin_s, end_s) in zip(labels, spans_s, strict=True):
        found[(middles_s >= begin_s) & (middles_s < end_s)] = label
        found[int(np.abs(middles_s - (begin_s + end_s) / 2).argmin())] = label
    return found


def pool(network: GlossCtc, rows: list[Row], aligned: list[list[Stretch]]) -> tuple[Tensor, Tensor]:
    """The feature extractor's mean over each stretch: (stretches, W), and their glosses (stretches,) from 0."""
    made, lengths = padded(rows)
    steps = steps_of(torch.from_numpy(lengths))
    fused = network.extract(torch.from_numpy(made), steps)
    delay = network.shape.delay
    pooled = [
        fused[number, one.first + delay : one.last + delay].mean(0)
        for number, each in enumerate(aligned)
        for one in each
    ]
    return torch.stack(pooled), torch.tensor([one.label - 1 for each in aligned for one in each])


def errors(every: Sequence[Array], sentences: SignedSentences) -> ErrorCounts:
    """Errors of the most probable label at each step, repeats and blanks taken out; no language model.

    Args:
        every: log-probabilities (K, M + 1) of each sentence.
        sentences: what was signed.
    """
    alignments = []
    for number, scores in enumerate(every):
        found = [sentences.glosses[label - 1] for label in best_labels(scores)]
        alignments.append(alignment_of(sentences.text(number), found))
    return ErrorCounts.of(alignments)


def best_labels(scores: Array) -> Labels:
    """The most probable label of each step of (K, M + 1), repeats and blanks taken out."""
    best = scores.argmax(1)
    changes = np.concatenate([[True], best[1:] != best[:-1]])
    return np.asarray(best[changes & (best != BLANK)], np.int64)


def _row(stored: dict[str, Any]) -> Iteration:
    return Iteration(**{**stored, "dev": ErrorCounts(**stored["dev"]), "test": ErrorCounts(**stored["test"])})
