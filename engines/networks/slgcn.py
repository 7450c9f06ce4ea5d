"""SL-GCN in our own code: decoupled spatial graph convolutions, attention, and temporal convolutions, masked.

After Jiang et al., "Skeleton Aware Multi-modal Sign Language Recognition" (CVPR 2021 ChaLearn workshop), which
joins the decoupled graph convolution and DropGraph of Cheng et al. (ECCV 2020) with the spatial, temporal and
channel attention of Shi et al. (2020). Two things differ, both measured to pay on a CPU: a graph convolution is
one matrix over joints and channels at once (the same maths, folded, without reshuffling groups), and after a few
narrow graph blocks the joints are read out by a temporal convolution that knows which joint is which.

Training only: the live path runs the exported ONNX and imports no torch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engines.features import KEYPOINTS, Features, features_named
from engines.resampling import TICKS

PARTS = 3
"""Halves of the window, overlapping, that are pooled apart: begin, middle and end of a sign differ."""


@dataclass(frozen=True, slots=True)
class SlgcnShape:
    """What the network sees, and its size."""

    features: str = KEYPOINTS.name
    widths: tuple[int, ...] = (16, 16)  # output channels of each graph block
    strides: tuple[int, ...] = (2, 1)  # temporal stride of each graph block
    groups: int = 8  # decoupled adjacencies
    kernel: int = 5  # ticks of a temporal convolution
    trunk: int = 256  # channels of the temporal trunk
    trunk_blocks: int = 3
    dimension: int = 256  # of the embedding
    dropout: float = 0.2  # of what the head reads
    drop: float = 0.08  # DropGraph: chance that a joint and its neighbours are dropped


def adjacency(features: Features) -> Tensor:
    """(3, V, V): each joint itself, towards the root, away from the root; columns sum to 1 or 0."""
    parts = torch.zeros(3, features.joints, features.joints)
    parts[0] = torch.eye(features.joints)
    for child, parent in features.edges:
        parts[1, child, parent] = 1
        parts[2, parent, child] = 1
    return parts / parts.sum(1, keepdim=True).clamp(min=1)


class MaskedNorm(nn.Module):
    """Batch normalisation per channel whose statistics leave absent joints out."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.mean: Tensor
        self.variance: Tensor
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("variance", torch.ones(channels))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(N, T, V, C), zero where the mask (N, T, V, 1) is, to the same, normalised, zero there again."""
        if self.training:
            count = mask.sum().clamp(min=1)
            rows = x.float().flatten(0, 2)
            mean = rows.sum(0) / count
            variance = ((rows * rows).sum(0) / count - mean * mean).clamp(min=0)
            with torch.no_grad():
                self.mean.lerp_(mean, 0.05)
                self.variance.lerp_(variance, 0.05)
        else:
            mean, variance = self.mean, self.variance
        scale = self.weight * torch.rsqrt(variance + 1e-5)
        return (x * scale.to(x.dtype) + (self.bias - mean * scale).to(x.dtype)) * mask


class GraphConvolution(nn.Module):
    """Decoupled graph convolution: groups of channels, each with adjacencies of its own that are learnt."""

    def __init__(self, inside: int, outside: int, groups: int, features: Features) -> None:
        super().__init__()
        self.adjacency = nn.Parameter(adjacency(features).unsqueeze(1).repeat(1, groups, 1, 1))
        self.mix = nn.Parameter(torch.randn(3, outside, inside) * (2 / (3 * inside)) ** 0.5)
        self.inside, self.outside, self.groups = inside, outside, groups
        self.joints = features.joints

    def matrix(self) -> Tensor:
        """(V C, V C'): adjacencies (columns of unit length) and channel mixing folded into one."""
        a = self.adjacency / (self.adjacency.norm(dim=2, keepdim=True) + 1e-4)
        a = a.repeat_interleave(self.outside // self.groups, 1)
        return torch.einsum("kovw,koi->viwo", a, self.mix).reshape(
            self.joints * self.inside, self.joints * self.outside
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, T, V, C), zero at absent joints (they tell their neighbours nothing), to (N, T, V, C')."""
        n, t = x.shape[:2]
        return (x.reshape(n, t, -1) @ self.matrix()).view(n, t, self.joints, self.outside)


class Attention(nn.Module):
    """Spatial, temporal and channel attention: features are scaled by 1 + each gate."""

    def __init__(self, channels: int, joints: int) -> None:
        super().__init__()
        self.spatial = nn.Conv1d(channels, 1, joints, padding=joints // 2)
        self.temporal = nn.Conv1d(channels, 1, 9, padding=4)
        self.squeeze = nn.Linear(channels, channels // 2)
        self.excite = nn.Linear(channels // 2, channels)
        for layer in (self.spatial, self.temporal, self.excite):
            for parameter in layer.parameters():
                nn.init.zeros_(parameter)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(N, T, V, C), zero where the mask (N, T, V, 1) is."""
        over_time = x.sum(1) / mask.sum(1).clamp(min=1)
        over_joints = x.sum(2) / mask.sum(2).clamp(min=1)
        over_both = x.sum((1, 2)) / mask.sum((1, 2)).clamp(min=1)
        joints = torch.sigmoid(_convolved(self.spatial, over_time))[:, None, :, None]
        ticks = torch.sigmoid(_convolved(self.temporal, over_joints))[:, :, None, None]
        channels = torch.sigmoid(self.excite(F.relu(self.squeeze(over_both))))[:, None, None]
        return x * ((1 + joints) * (1 + ticks)) * (1 + channels)


class GraphBlock(nn.Module):
    """Graph convolution, attention, temporal convolution and a shortcut, with DropGraph in training."""

    def __init__(self, inside: int, outside: int, stride: int, shape: SlgcnShape) -> None:
        super().__init__()
        features = features_named(shape.features)
        self.graph = GraphConvolution(inside, outside, shape.groups, features)
        self.graph_norm = MaskedNorm(outside)
        self.attention = Attention(outside, features.joints)
        self.temporal = nn.Conv2d(
            outside, outside, (shape.kernel, 1), (stride, 1), (shape.kernel // 2, 0), bias=False
        )
        self.norm = MaskedNorm(outside)
        self.shortcut = nn.Linear(inside, outside, bias=False)
        self.stride, self.drop = stride, shape.drop
        self.reach: Tensor
        self.register_buffer("reach", (adjacency(features).sum(0) > 0).float(), persistent=False)

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """(N, T, V, C) and mask (N, T, V, 1) to the same with T divided by the stride."""
        y = F.relu(self.graph_norm(self.graph(x) * mask, mask))
        y = self.attention(y, mask)
        y = self.temporal(y.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        mask = mask[:, :: self.stride]
        y = self.norm(y * mask, mask)
        if self.training and self.drop > 0:
            y = y * _kept(y, self.drop, self.reach)
        return F.relu(y + self.shortcut(x[:, :: self.stride])) * mask, mask


class Slgcn(nn.Module):
    """Windows (N, C, 16, V), made as `engines.features` says, to unit embeddings (N, D)."""

    def __init__(self, shape: SlgcnShape | None = None) -> None:
        super().__init__()
        self.shape = shape = shape or SlgcnShape()
        self.features = features = features_named(shape.features)
        insides = (features.channels, *shape.widths[:-1])
        self.blocks = nn.ModuleList(
            GraphBlock(inside, outside, stride, shape)
            for inside, outside, stride in zip(insides, shape.widths, shape.strides, strict=True)
        )
        self.joined = math.prod(shape.strides)  # ticks of the input in one of the trunk's
        self.read = nn.Conv1d(
            features.joints * (shape.widths[-1] + features.channels * self.joined), shape.trunk, 1
        )
        self.trunk = nn.ModuleList(
            nn.Sequential(
                nn.BatchNorm1d(shape.trunk),
                nn.ReLU(),
                nn.Conv1d(shape.trunk, shape.trunk, shape.kernel, padding=shape.kernel // 2),
            )
            for _ in range(shape.trunk_blocks)
        )
        self.head = nn.Linear((PARTS + 1) * shape.trunk, shape.dimension)
        self.norm = nn.BatchNorm1d(shape.dimension)
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, windows: Tensor) -> Tensor:
        """(N, C, 16, V) to rows of unit length (N, D)."""
        seen = windows.permute(0, 2, 3, 1)
        mask = seen[..., self.features.present : self.features.present + 1]
        x, known = seen * mask, mask
        for block in self.blocks:
            x, known = block(x, known)
        ticks = TICKS // self.joined
        direct = (seen * mask).reshape(-1, ticks, self.joined * seen.shape[2] * seen.shape[3]).to(x.dtype)
        x = torch.cat([x.flatten(2), direct], 2).transpose(1, 2)
        x = self.read(x)
        for layer in self.trunk:
            x = x + layer(x)
        there = known.amax(2).transpose(1, 2)  # (N, 1, T): ticks with nothing in them are left out
        parts = [
            (x * there)[:, :, first:last].sum(2) / there[:, :, first:last].sum(2).clamp(min=1)
            for first, last in ((part * ticks // 4, (part + 2) * ticks // 4) for part in range(PARTS))
        ]
        peak = (x * there + (there - 1) * 100).amax(2)
        return F.normalize(self.norm(self.head(self.dropout(torch.cat([*parts, peak], 1)))).float(), dim=1)


def along(layer: nn.Conv1d, length: int) -> Tensor:
    """A convolution with one output channel over (N, L, C) as one matrix (L C, L'), without its bias."""
    place = torch.arange(length, device=layer.weight.device)
    tap = place[:, None] - place[None, :] + layer.kernel_size[0] // 2  # of input place and output place
    padded = F.pad(layer.weight[0], (length, length))
    matrix = padded[:, tap.clamp(-length, layer.kernel_size[0] + length - 1) + length]  # (C, L, L')
    return matrix.transpose(0, 1).reshape(-1, length)


def _convolved(layer: nn.Conv1d, x: Tensor) -> Tensor:
    """That convolution of (N, L, C), to (N, L): far faster here as a matrix than as a convolution."""
    rows = x.flatten(1) @ along(layer, x.shape[1])
    return rows if layer.bias is None else rows + layer.bias


def _kept(y: Tensor, drop: float, reach: Tensor) -> Tensor:
    """DropGraph's mask (N, T, V, 1): joints drop together with their neighbours, ticks in stretches of three."""
    n, t, v, _ = y.shape
    chance = torch.rand(n, v, device=y.device) < drop / reach.sum(0).mean()
    joints = 1 - (chance.float() @ reach).clamp(max=1)
    chance = torch.rand(n, 1, t, device=y.device) < drop / 3
    lost = F.max_pool1d(chance.float(), 3, stride=1, padding=1)[:, 0]
    keep = (1 - lost)[:, :, None] * joints[:, None]
    return (keep * (keep.numel() / keep.sum().clamp(min=1))).unsqueeze(3).to(y.dtype)
