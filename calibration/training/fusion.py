"""Weights of the encoders in the fusion, learnt on validation clips: signs and signers that no encoder was trained on.

Late fusion as in the challenge entry (weighted sums of the models' similarities), the weights by logistic regression over
the encoders' scores: a query's gloss is the class, and the fused, normalised score of each exemplar its logit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from calibration.evaluation.oneshot import Labelled, Modality, normalised, ranks, split

Array = NDArray[np.float32]

FOLDS = 5
ITERATIONS = 200


@dataclass(frozen=True, slots=True)
class Fusion:
    """What was learnt from the clips, and how it does on glosses that had no say in it."""

    weights: tuple[float, ...]  # one an encoder, the greatest is 1
    by_fold: tuple[tuple[float, ...], ...]  # the same without each fold's glosses
    top1: float  # of each fold's queries by the weights learnt without it
    top5: float


def learn_fusion(
    corpus: Labelled, modalities: Sequence[Modality], *, folds: int = FOLDS, seed: int = 0
) -> Fusion:
    """Learn the encoders' weights, and measure them by cross-validation over glosses.

    Args:
        corpus: labels of the clips: of each gloss the first is the exemplar, those by other signers are queries.
        modalities: one an encoder; their own weights are not looked at.
        folds: parts that the glosses are divided into.
        seed: of that division.

    Raises:
        ValueError: there are fewer glosses than folds, or no gloss has a clip by another signer than its exemplar's.
    """
    exemplars, queries = split(corpus)
    if len(exemplars) < folds:
        raise ValueError(f"{len(exemplars)} glosses are too few to learn weights on: {folds} at least")
    scores = np.stack(
        [normalised(one.rows[queries], one.rows[exemplars], one.background) for one in modalities], axis=-1
    )
    right = (corpus.gloss[queries][:, None] == corpus.gloss[exemplars][None]).argmax(1)
    order = np.random.default_rng(seed).permutation(len(exemplars))
    part = np.empty(len(exemplars), np.int64)
    part[order] = np.arange(len(exemplars)) % folds
    fold = part[right]
    found = np.zeros(len(queries), np.int64)
    by_fold = []
    for number in range(folds):
        here = fold == number
        weights = _fit(scores[~here], right[~here])
        by_fold.append(tuple(float(one) for one in weights))
        found[here] = ranks(corpus, exemplars, queries[here], scores[here] @ weights)
    weights = _fit(scores, right)
    return Fusion(
        weights=tuple(float(one) for one in weights),
        by_fold=tuple(by_fold),
        top1=float((found == 0).mean()),
        top5=float((found < 5).mean()),
    )


def weighted(modalities: Sequence[Modality], weights: Sequence[float]) -> list[Modality]:
    """The same encoders with these weights."""
    return [replace(one, weight=weight) for one, weight in zip(modalities, weights, strict=True)]


def _fit(scores: Array, right: NDArray[np.int64]) -> Array:
    """Weights (M,), none negative and the greatest 1, of scores (queries, glosses, M) whose true column is `right`.

    Cross-entropy is convex in the weights; as exponentials they stay positive, and one that is of no use goes to 0.
    """
    known, label = torch.from_numpy(scores).double(), torch.from_numpy(right)
    exponent = torch.zeros(scores.shape[-1], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([exponent], max_iter=ITERATIONS, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = F.cross_entropy(known @ exponent.exp(), label)
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    weights = exponent.detach().exp()
    return (weights / weights.max()).numpy().astype(np.float32)
