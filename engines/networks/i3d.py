"""Inception-I3D in our own layout, built from the weights of a published checkpoint, for export to ONNX.

Carreira and Zisserman, "Quo Vadis, Action Recognition?" (CVPR 2017). Parameter names and maths are those of
piergiaj/pytorch-i3d (`pytorch_i3d.py`), which gulvarol/bsl1k and gulvarol/bsldict (`models/i3d.py`, `models/mlp.py`)
kept; the latter puts a small perceptron on top (Momeni et al., "Watch, read and lookup", ACCV 2020). Each batch
normalisation is folded into the convolution before it, and pictures are brought to the range that the weights expect
inside the network, so that it takes pictures as they are.

Importing only: the live path imports no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engines.networks.folding import folded, norm_layout

FRAMES, SIZE, COLOURS = 16, 224, 3
"""Pictures of a window, their height and width, and RGB."""
POOLED = 1024
"""Channels at the end of the trunk."""
HIDDEN, EMBEDDED = 512, 256
"""Widths of bsldict's perceptron."""
SLOPE = 0.2
"""Of its leaky rectifiers."""
EPS = 0.001
"""Of the trunk's batch normalisation."""

Size = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Convolution:
    """A convolution with its norm and rectifier."""

    name: str
    inside: int
    outside: int
    kernel: Size = (1, 1, 1)
    stride: Size = (1, 1, 1)


@dataclass(frozen=True, slots=True)
class Pool:
    """A maximum over a neighbourhood."""

    kernel: Size
    stride: Size


@dataclass(frozen=True, slots=True)
class Inception:
    """Four branches side by side: 1; 1, 3; 1, 3; pool, 1."""

    name: str
    inside: int
    widths: tuple[int, int, int, int, int, int]

    @property
    def branches(self) -> tuple[tuple[Convolution, ...], ...]:
        """The convolutions of each branch; the last branch pools before its own."""
        a, b, c, d, e, f = self.widths
        cube = (3, 3, 3)
        return (
            (Convolution(f"{self.name}.b0", self.inside, a),),
            (
                Convolution(f"{self.name}.b1a", self.inside, b),
                Convolution(f"{self.name}.b1b", b, c, cube),
            ),
            (
                Convolution(f"{self.name}.b2a", self.inside, d),
                Convolution(f"{self.name}.b2b", d, e, cube),
            ),
            (Convolution(f"{self.name}.b3b", self.inside, f),),
        )


TRUNK: tuple[Convolution | Pool | Inception, ...] = (
    Convolution("Conv3d_1a_7x7", COLOURS, 64, (7, 7, 7), (2, 2, 2)),
    Pool((1, 3, 3), (1, 2, 2)),
    Convolution("Conv3d_2b_1x1", 64, 64),
    Convolution("Conv3d_2c_3x3", 64, 192, (3, 3, 3)),
    Pool((1, 3, 3), (1, 2, 2)),
    Inception("Mixed_3b", 192, (64, 96, 128, 16, 32, 32)),
    Inception("Mixed_3c", 256, (128, 128, 192, 32, 96, 64)),
    Pool((3, 3, 3), (2, 2, 2)),
    Inception("Mixed_4b", 480, (192, 96, 208, 16, 48, 64)),
    Inception("Mixed_4c", 512, (160, 112, 224, 24, 64, 64)),
    Inception("Mixed_4d", 512, (128, 128, 256, 24, 64, 64)),
    Inception("Mixed_4e", 512, (112, 144, 288, 32, 64, 64)),
    Inception("Mixed_4f", 528, (256, 160, 320, 32, 128, 128)),
    Pool((2, 2, 2), (2, 2, 2)),
    Inception("Mixed_5b", 832, (256, 160, 320, 32, 128, 128)),
    Inception("Mixed_5c", 832, (384, 192, 384, 48, 128, 128)),
)


@dataclass(frozen=True, slots=True)
class I3dLayout:
    """Where a checkpoint has the trunk, what range of pictures it was trained on, and what follows."""

    scale: float  # of values in [0, 1], then
    shift: float  # added to them
    prefix: str = ""  # before the trunk's names
    perceptron: bool = False  # bsldict's, under "mlp."

    @property
    def dimension(self) -> int:
        """D of the embedding."""
        return EMBEDDED if self.perceptron else POOLED

    def tensors(self) -> dict[str, tuple[int | None, ...]]:
        """Names and shapes of a checkpoint's tensors; the number of classes is free."""
        shapes: dict[str, tuple[int | None, ...]] = {}
        for one in _convolutions():
            name = f"{self.prefix}{one.name}"
            shapes[f"{name}.conv3d.weight"] = (one.outside, one.inside, *one.kernel)
            shapes |= norm_layout(f"{name}.bn", one.outside)
        shapes |= {
            f"{self.prefix}logits.conv3d.weight": (None, POOLED, 1, 1, 1),
            f"{self.prefix}logits.conv3d.bias": (None,),
        }
        if self.perceptron:
            for name, inside, outside in (
                ("mlp.res.0", POOLED, POOLED),
                ("mlp.adaptor.0", POOLED, HIDDEN),
                ("mlp.adaptor.2", HIDDEN, EMBEDDED),
                ("mlp.logits", EMBEDDED, None),
            ):
                shapes |= {f"{name}.weight": (outside, inside), f"{name}.bias": (outside,)}
        return shapes


def _convolutions() -> list[Convolution]:
    found: list[Convolution] = []
    for layer in TRUNK:
        if isinstance(layer, Convolution):
            found.append(layer)
        elif isinstance(layer, Inception):
            found += [one for branch in layer.branches for one in branch]
    return found


class I3d(nn.Module):
    """Windows of pictures uint8 (N, 16, 224, 224, 3), RGB, to rows of unit length (N, D).

    Without the perceptron a row is what the classifier reads: the trunk's output, averaged over time and place.
    """

    def __init__(self, weights: Mapping[str, Tensor], layout: I3dLayout) -> None:
        """Fold the weights of a checkpoint; names and shapes have to be those of the layout."""
        super().__init__()
        self.scale, self.shift = layout.scale / 255, layout.shift
        self.trunk = nn.ModuleList(_layer(weights, layout.prefix, layer) for layer in TRUNK)
        self.residual = self.first = self.second = None
        if layout.perceptron:
            self.residual = _linear(weights, "mlp.res.0")
            self.first = _linear(weights, "mlp.adaptor.0")
            self.second = _linear(weights, "mlp.adaptor.2")

    def forward(self, windows: Tensor) -> Tensor:
        """Embed pictures uint8 (N, 16, 224, 224, 3) as rows of unit length (N, D)."""
        x = windows.permute(0, 4, 1, 2, 3).float() * self.scale + self.shift
        for layer in self.trunk:
            x = layer(x)
        x = x.mean((2, 3, 4))
        if self.residual is not None and self.first is not None and self.second is not None:
            x = x + F.leaky_relu(self.residual(x), SLOPE)
            x = F.leaky_relu(self.second(F.leaky_relu(self.first(x), SLOPE)), SLOPE)
        return F.normalize(x, dim=1)


class _Convolution(nn.Module):
    """A convolution padded so that stride 1 keeps the size, then a rectifier."""

    def __init__(self, weights: Mapping[str, Tensor], prefix: str, one: Convolution) -> None:
        super().__init__()
        name = f"{prefix}{one.name}"
        weight, bias = folded(weights, f"{name}.conv3d", f"{name}.bn", EPS)
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(bias)
        self.kernel, self.stride = one.kernel, one.stride

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W) to (N, C', T', H', W'), sizes divided by the stride and rounded up."""
        return F.relu(F.conv3d(_padded(x, self.kernel, self.stride), self.weight, self.bias, self.stride))


class _Pool(nn.Module):
    def __init__(self, pool: Pool) -> None:
        super().__init__()
        self.kernel, self.stride = pool.kernel, pool.stride

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W), none negative: zeros as padding never are the maximum of more."""
        return F.max_pool3d(_padded(x, self.kernel, self.stride), self.kernel, self.stride)


class _Inception(nn.Module):
    def __init__(self, weights: Mapping[str, Tensor], prefix: str, module: Inception) -> None:
        super().__init__()
        branches = [
            nn.Sequential(*(_Convolution(weights, prefix, one) for one in branch))
            for branch in module.branches
        ]
        branches[-1].insert(0, _Pool(Pool((3, 3, 3), (1, 1, 1))))
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W) to the branches' channels side by side."""
        return torch.cat([branch(x) for branch in self.branches], 1)


def _layer(weights: Mapping[str, Tensor], prefix: str, layer: Convolution | Pool | Inception) -> nn.Module:
    if isinstance(layer, Convolution):
        return _Convolution(weights, prefix, layer)
    return _Pool(layer) if isinstance(layer, Pool) else _Inception(weights, prefix, layer)


def _padded(x: Tensor, kernel: Size, stride: Size) -> Tensor:
    """Zeros around (N, C, T, H, W) so that the output's size is the input's divided by the stride, rounded up.

    As TensorFlow pads, where the weights come from: the odd zero goes behind.
    """
    pads: list[int] = []
    for size, wide, step in zip(x.shape[2:], kernel, stride, strict=True):
        missing = max(wide - (int(size) % step or step), 0)
        pads = [missing // 2, missing - missing // 2, *pads]
    return F.pad(x, pads) if any(pads) else x


def _linear(weights: Mapping[str, Tensor], name: str) -> nn.Linear:
    weight = weights[f"{name}.weight"]
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    layer.load_state_dict({"weight": weight, "bias": weights[f"{name}.bias"]})
    return layer
