"""Folds batch normalisation into the convolution before it: the same maths, without a layer of its own."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


def norm_layout(name: str, channels: int) -> dict[str, tuple[int | None, ...]]:
    """Names and shapes of a `torch.nn.BatchNorm` layer's tensors."""
    return {f"{name}.{part}": (channels,) for part in ("weight", "bias", "running_mean", "running_var")}


def scale_and_shift(weights: Mapping[str, Tensor], name: str, eps: float = 1e-5) -> tuple[Tensor, Tensor]:
    """What batch normalisation does once trained, per channel: y = scale x + shift.

    Args:
        weights: holds the layer's tensors under `norm_layout`'s names.
        name: of the layer.
        eps: of the layer.
    """
    scale = weights[f"{name}.weight"] * torch.rsqrt(weights[f"{name}.running_var"] + eps)
    return scale, weights[f"{name}.bias"] - weights[f"{name}.running_mean"] * scale


def folded(
    weights: Mapping[str, Tensor], convolution: str, norm: str, eps: float = 1e-5
) -> tuple[Tensor, Tensor]:
    """Weight (O, ...) and bias (O,) of a convolution, with or without a bias of its own, and the norm after it."""
    scale, shift = scale_and_shift(weights, norm, eps)
    weight = weights[f"{convolution}.weight"]
    bias = weights.get(f"{convolution}.bias")
    if bias is not None:
        shift = shift + scale * bias
    return weight * scale.reshape(-1, *(1 for _ in weight.shape[1:])), shift
