"""SAM-SLR's SL-GCN in our own layout, built from the weights of a published checkpoint, for export to ONNX.

Jiang et al., "Skeleton Aware Multi-modal Sign Language Recognition" (CVPR 2021 ChaLearn workshop); parameter names and
maths are those of `SL-GCN/model/decouple_gcn_attn.py` in jackyjsy/CVPR21Chal-SLR (10 blocks, 27 joints, adjacencies
decoupled by groups, spatial, temporal and channel attention). What is constant once trained is folded: each batch
normalisation into the layer before it, and the normalisation of the learnt adjacencies.

Importing only: the live path runs the exported ONNX and imports no torch.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engines.networks.folding import folded, norm_layout, scale_and_shift
from engines.resampling import TICKS
from engines.skeleton import JOINTS

CHANNELS = 3
"""x, y and confidence of a joint."""
WIDTHS = (64, 64, 64, 64, 128, 128, 128, 256, 256, 256)
STRIDES = (1, 1, 1, 1, 2, 1, 1, 2, 1, 1)
DIMENSION = WIDTHS[-1]
PARTS = 3
"""Adjacencies of a graph convolution: each joint itself, inwards, outwards."""
KERNEL = 9
"""Ticks of a temporal convolution."""
_COLUMN = 0.001
"""What the public code adds to an adjacency's column sums before it divides by them."""


def layout() -> dict[str, tuple[int | None, ...]]:
    """Names and shapes of a checkpoint's tensors; the number of groups and of classes is free."""
    shapes = norm_layout("data_bn", CHANNELS * JOINTS)
    for number, (inside, outside, stride) in enumerate(_blocks(), 1):
        block, graph = f"l{number}", f"l{number}.gcn1"
        shapes |= {
            f"{graph}.DecoupleA": (PARTS, None, JOINTS, JOINTS),
            f"{graph}.Linear_weight": (inside, PARTS * outside),
            f"{graph}.Linear_bias": (1, PARTS * outside, 1, 1),
            f"{graph}.eyes": (outside, JOINTS, JOINTS),
            f"{block}.tcn1.conv.weight": (outside, outside, KERNEL, 1),
            f"{block}.tcn1.conv.bias": (outside,),
            f"{block}.A": (JOINTS, JOINTS),
            f"{block}.conv_ta.weight": (1, outside, 9),
            f"{block}.conv_ta.bias": (1,),
            f"{block}.conv_sa.weight": (1, outside, JOINTS),
            f"{block}.conv_sa.bias": (1,),
            f"{block}.fc1c.weight": (outside // 2, outside),
            f"{block}.fc1c.bias": (outside // 2,),
            f"{block}.fc2c.weight": (outside, outside // 2),
            f"{block}.fc2c.bias": (outside,),
        }
        shapes |= norm_layout(f"{graph}.bn0", PARTS * outside)
        shapes |= norm_layout(f"{graph}.bn", outside) | norm_layout(f"{block}.tcn1.bn", outside)
        if inside != outside:
            shapes |= {f"{graph}.down.0.weight": (outside, inside, 1, 1), f"{graph}.down.0.bias": (outside,)}
            shapes |= norm_layout(f"{graph}.down.1", outside)
        if _has_skip(number, inside, outside, stride):
            shapes |= {
                f"{block}.residual.conv.weight": (outside, inside, 1, 1),
                f"{block}.residual.conv.bias": (outside,),
            }
            shapes |= norm_layout(f"{block}.residual.bn", outside)
    return shapes | {"fc.weight": (None, DIMENSION), "fc.bias": (None,)}


def wrong_groups(weights: Mapping[str, Tensor]) -> str | None:
    """Name of the first adjacency whose number of groups does not divide its block's channels, if there is one."""
    for number, (_, outside, _) in enumerate(_blocks(), 1):
        groups = weights[f"l{number}.gcn1.DecoupleA"].shape[1]
        if not groups or outside % groups:
            return f"l{number}.gcn1.DecoupleA"
    return None


def _blocks() -> list[tuple[int, int, int]]:
    """Channels in, channels out and temporal stride of each block."""
    return list(zip((CHANNELS, *WIDTHS[:-1]), WIDTHS, STRIDES, strict=True))


def _has_skip(number: int, inside: int, outside: int, stride: int) -> bool:
    """Whether a block's shortcut has weights; the first block has no shortcut at all."""
    return number > 1 and (inside != outside or stride != 1)


class _Folded(nn.Conv2d):
    """A convolution whose weights are given; they are not learnt here."""

    def __init__(self, weight: Tensor, bias: Tensor, stride: int = 1) -> None:
        outside, inside, height, width = weight.shape
        super().__init__(inside, outside, (height, width), (stride, 1), (height // 2, 0))
        self.weight = nn.Parameter(weight.clone(), requires_grad=False)
        self.bias = nn.Parameter(bias.clone(), requires_grad=False)


class _Block(nn.Module):
    """Decoupled graph convolution, attention, temporal convolution, shortcut."""

    def __init__(
        self, weights: Mapping[str, Tensor], number: int, inside: int, outside: int, stride: int, ticks: int
    ) -> None:
        super().__init__()
        self.first = number == 1
        self.outside = outside
        name, graph = f"l{number}", f"l{number}.gcn1"
        # Channels of each part one after the other become the parts of each channel: one matrix product a channel.
        scale, shift = scale_and_shift(weights, f"{graph}.bn0")
        mix = weights[f"{graph}.Linear_weight"] * scale
        bias = weights[f"{graph}.Linear_bias"].flatten() * scale + shift
        order = torch.arange(PARTS * outside).view(PARTS, outside).T.flatten()
        self.mix = _Folded(mix.T[order, :, None, None], bias[order])
        scale, shift = scale_and_shift(weights, f"{graph}.bn")
        adjacency = _normalised(weights[f"{graph}.DecoupleA"], weights[f"{graph}.eyes"])
        self.adjacency: Tensor
        self.register_buffer(
            "adjacency",
            (adjacency * scale[None, :, None, None]).transpose(0, 1).reshape(outside, PARTS * JOINTS, JOINTS),
        )
        self.shift: Tensor
        self.register_buffer("shift", shift[None, :, None, None])
        self.down = (
            _Folded(*folded(weights, f"{graph}.down.0", f"{graph}.down.1")) if inside != outside else None
        )
        self.spatial = _along(weights, f"{name}.conv_sa", JOINTS)
        self.over_time = _along(weights, f"{name}.conv_ta", ticks)
        self.squeeze = _linear(weights, f"{name}.fc1c")
        self.excite = _linear(weights, f"{name}.fc2c")
        self.temporal = _Folded(*folded(weights, f"{name}.tcn1.conv", f"{name}.tcn1.bn"), stride)
        self.skip = (
            _Folded(*folded(weights, f"{name}.residual.conv", f"{name}.residual.bn"), stride)
            if _has_skip(number, inside, outside, stride)
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, V) to (N, C', T / stride, V)."""
        n, _, t, v = x.shape
        y = (
            self.mix(x)
            .view(n, self.outside, PARTS, t, v)
            .transpose(2, 3)
            .reshape(n, self.outside, t, PARTS * v)
        )
        y = y @ self.adjacency + self.shift
        y = F.relu(y + (x if self.down is None else self.down(x)))
        y = y * (1 + torch.sigmoid(self.spatial(y.mean(2).flatten(1)))[:, None, None])
        y = y * (1 + torch.sigmoid(self.over_time(y.mean(3).flatten(1)))[:, None, :, None])
        channels = torch.sigmoid(self.excite(F.relu(self.squeeze(y.mean((2, 3))))))
        y = self.temporal(y * (1 + channels[:, :, None, None]))
        if self.first:
            return F.relu(y)
        return F.relu(y + (x if self.skip is None else self.skip(x)))


class SamSlr(nn.Module):
    """Windows (N, 3, 16, 27) as SAM-SLR's feeder gives them, to embeddings (N, 256): what its classifier reads.

    Rows have unit length, or are zero where a window is: the network has nothing to say of one in which nobody is.
    """

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        """Fold the weights of a checkpoint; names and shapes have to be those of `layout`."""
        super().__init__()
        scale, shift = scale_and_shift(weights, "data_bn")
        self.scale: Tensor
        self.shift: Tensor
        for name, value in (("scale", scale), ("shift", shift)):  # by joint and channel in the file
            self.register_buffer(name, value.view(JOINTS, CHANNELS).T[None, :, None])
        self.blocks = nn.ModuleList()
        ticks = TICKS
        for number, (inside, outside, stride) in enumerate(_blocks(), 1):
            self.blocks.append(_Block(weights, number, inside, outside, stride, ticks))
            ticks //= stride

    def pooled(self, windows: Tensor) -> Tensor:
        """(N, 3, 16, 27) to (N, 256) before they are brought to unit length."""
        x = windows * self.scale + self.shift
        for block in self.blocks:
            x = block(x)
        return x.mean((2, 3))

    def forward(self, windows: Tensor) -> Tensor:
        """(N, 3, 16, 27) to rows of unit length or zero (N, 256)."""
        there = (windows.abs().amax((1, 2, 3)) > 0).float().unsqueeze(1)
        return F.normalize(self.pooled(windows), dim=1) * there


def _normalised(adjacency: Tensor, diagonal: Tensor) -> Tensor:
    """(3, groups, V, V) to (3, C, V, V): columns divided by their sums; channel c has group c modulo groups."""
    channels = len(diagonal)
    whole = adjacency.repeat(1, channels // adjacency.shape[1], 1, 1)
    return whole @ (diagonal / (whole.sum(2, keepdim=True) + _COLUMN))


def _along(weights: Mapping[str, Tensor], name: str, length: int) -> nn.Linear:
    """A convolution with one output channel over the last axis of (N, C, L), as a matrix (C L, L): faster on a CPU."""
    weight = weights[f"{name}.weight"][0]  # (C, kernel)
    reach = weight.shape[1] // 2
    matrix = weight.new_zeros(length, len(weight), length)
    for out in range(length):
        for place in range(max(out - reach, 0), min(out + reach + 1, length)):
            matrix[out, :, place] = weight[:, place - out + reach]
    layer = nn.Linear(len(weight) * length, length)
    bias = weights[f"{name}.bias"].expand(length)
    layer.load_state_dict({"weight": matrix.flatten(1), "bias": bias})
    return layer


def _linear(weights: Mapping[str, Tensor], name: str) -> nn.Linear:
    weight = weights[f"{name}.weight"]
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    layer.load_state_dict({"weight": weight, "bias": weights[f"{name}.bias"]})
    return layer
