"""What the encoder is trained to do: cross-entropy over cosines, batch-hard triplets, and background kept away."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

SCALE = 24.0
MARGIN = 0.15
TRIPLET_MARGIN = 0.3
BACKGROUND_COSINE = 0.3
"""Cosine to any gloss's direction above which a background window is pushed away."""


def cosine_cross_entropy(cosines: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of scaled cosines with an additive margin (CosFace, Wang et al., CVPR 2018).

    Args:
        cosines: (N, glosses), of embeddings and gloss directions.
        labels: (N,) which is right.
    """
    margin = torch.zeros_like(cosines).scatter_(1, labels[:, None], MARGIN)
    return F.cross_entropy(SCALE * (cosines - margin), labels)


def batch_hard_triplet(embeddings: Tensor, labels: Tensor) -> Tensor:
    """Each anchor against its farthest positive and its nearest negative (Hermans et al., 2017).

    Args:
        embeddings: (N, D), unit length.
        labels: (N,); a negative label matches nothing: such a row is a negative for others, never an anchor.
    """
    cosines = embeddings @ embeddings.T
    same = (labels[:, None] == labels[None]) & (labels >= 0)[:, None]
    positive = cosines.masked_fill(~same, 2).amin(1)
    negative = cosines.masked_fill(same, -2).amax(1)
    anchors = labels >= 0
    return (F.relu(negative - positive + TRIPLET_MARGIN) * anchors).sum() / anchors.sum()


def background_hinge(cosines: Tensor) -> Tensor:
    """Background windows (N, glosses) may resemble no gloss closely; 0 for an empty batch."""
    if not len(cosines):
        return cosines.new_zeros(())
    return F.relu(cosines.amax(1) - BACKGROUND_COSINE).mean()


def teacher_distance(read: Tensor, taught: Tensor) -> Tensor:
    """How far embeddings are from a teacher's: 1 - cosine, the mean of a batch.

    Distillation on embeddings in the manner of Romero et al., "FitNets" (ICLR 2015): the student's are read by a
    linear layer of their own, so that they may keep another dimension.

    Args:
        read: (N, D) the student's, read.
        taught: (N, D) the teacher's, unit length.
    """
    return (1 - (F.normalize(read, dim=1) * taught).sum(1)).mean()
