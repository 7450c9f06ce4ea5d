"""A linear projection after the networks that keeps what differs between signs and less of what differs within.

Linear discriminant analysis with shrinkage, its directions weighted by how much glosses differ along them. It is
folded into the exported network. Fitted on deformed training windows, never on dev glosses.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibration.training.augment import Augmentation, windows
from calibration.training.corpora import Corpus

Array = NDArray[np.float32]

DIMENSION = 128
SHRINKAGE = 1.0
"""Isotropic share added to the covariance within glosses, in units of its mean variance: networks that know their
training glosses well underrate how much unseen ones vary."""
WEIGHT = 0.5
"""Power of the ratio of variance between to variance within glosses that scales each direction."""
ROUNDS = 2


@dataclass(frozen=True, slots=True)
class Projection:
    """Rows x become (x - mean) @ matrix, to be brought to unit length."""

    mean: Array  # (D,)
    matrix: Array  # (D, D')

    def __call__(self, rows: Array) -> Array:
        """Project rows (N, D) to rows (N, D') of unit length."""
        projected = (rows - self.mean) @ self.matrix
        return np.asarray(projected / np.linalg.norm(projected, axis=1, keepdims=True), np.float32)


def training_windows(corpus: Corpus, seed: int = 0) -> tuple[Array, NDArray[np.int64]]:
    """Network input (N, 18, 16, 27) and gloss (N,) to fit a projection on: each clip deformed twice."""
    clips = np.arange(len(corpus))
    made = [windows(corpus, clips, seed + turn, Augmentation()) for turn in range(ROUNDS)]
    return np.concatenate(made), np.tile(corpus.gloss, ROUNDS)


def fit(rows: Array, gloss: NDArray[np.int64]) -> Projection:
    """Fit the projection.

    Args:
        rows: (N, D) embeddings of training windows, unit length.
        gloss: (N,) what each shows.
    """
    known, inverse = np.unique(gloss, return_inverse=True)
    rows64 = rows.astype(np.float64)
    centres = np.zeros((len(known), rows.shape[1]))
    np.add.at(centres, inverse, rows64)
    centres /= np.bincount(inverse)[:, None]
    within = np.cov((rows64 - centres[inverse]).T)
    between = np.cov(centres.T)
    within += SHRINKAGE * np.trace(within) / len(within) * np.eye(len(within))
    scale, axes = np.linalg.eigh(within)
    whitened = axes / np.sqrt(scale)
    ratio, directions = np.linalg.eigh(whitened.T @ between @ whitened)
    kept = slice(-min(DIMENSION, len(ratio)), None)
    matrix = whitened @ directions[:, kept] * np.maximum(ratio[kept], 0) ** WEIGHT
    return Projection(rows64.mean(0).astype(np.float32), (matrix / np.linalg.norm(matrix)).astype(np.float32))
