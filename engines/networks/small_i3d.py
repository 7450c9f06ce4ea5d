"""A small Inception-I3D with a perceptron on top, to be trained here and to run on a CPU.

After Carreira and Zisserman, "Quo Vadis, Action Recognition?" (CVPR 2017), at a quarter of its width and on 8 pictures of
96x96. The first layers look at single pictures, and only the Inception modules convolve over time: "top-heavy" in the
words of Xie et al., "Rethinking Spatiotemporal Feature Learning" (ECCV 2018), where it is faster and as accurate.
The perceptron on top is a residual layer and a projection, as bsldict's (Momeni et al., ACCV 2020); but it reads every
place of the trunk's last 2x3x3 apart instead of their mean, since where a sign is made tells signs apart, and what
comes out is centred: averaged and uncentred, all windows looked alike (cosine 0.996) after 200 steps of training.

Importing only: the live path imports no torch.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engines.features import SMALL_I3D

MEAN, DEVIATION = 118.0, 60.0
"""Of picture values 0..255, about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SmallI3dShape:
    """Size of the network."""

    width: float = 0.25  # of the original's channels
    dimension: int = 128  # D of the embedding
    dropout: float = 0.2  # of what the perceptron reads
    features: str = SMALL_I3D.name


STEM = (64, 64, 192)
MODULES: tuple[tuple[int, ...], ...] = (
    (64, 96, 128, 16, 32, 32),
    (128, 128, 192, 32, 96, 64),
    (),
    (192, 96, 208, 16, 48, 64),
    (128, 128, 256, 24, 64, 64),
    (256, 160, 320, 32, 128, 128),
    (),
    (256, 160, 320, 32, 128, 128),
    (384, 192, 384, 48, 128, 128),
)
"""Channels of the Inception modules at full width, as the original's; () makes smaller. Of the five modules in the middle
three are left."""
HIDDEN = 256
"""Width of the perceptron."""


class SmallI3d(nn.Module):
    """Windows of pictures uint8 (N, 8, 96, 96, 3), RGB, to rows of unit length (N, D)."""

    def __init__(self, shape: SmallI3dShape | None = None) -> None:
        super().__init__()
        self.shape = shape = shape or SmallI3dShape()

        def scaled(channels: int) -> int:
            return max(round(channels * shape.width / 4) * 4, 4)

        first, second, third = (scaled(channels) for channels in STEM)
        layers: list[nn.Module] = [
            _Unit(3, first, (1, 7, 7), (1, 2, 2)),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)),
            _Unit(first, second, (1, 1, 1)),
            _Unit(second, third, (1, 3, 3)),
            nn.MaxPool3d((3, 3, 3), (2, 2, 2), (1, 1, 1)),
        ]
        inside = third
        halvings = [nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)), nn.MaxPool3d(2, 2)]
        for module in MODULES:
            if not module:
                layers.append(halvings.pop(0))
                continue
            widths = [scaled(channels) for channels in module]
            layers.append(_Inception(inside, widths))
            inside = widths[0] + widths[2] + widths[4] + widths[5]
        self.trunk = nn.Sequential(*layers)
        self.places = nn.Sequential(
            nn.Flatten(),
            nn.Dropout(shape.dropout),
            nn.Linear(18 * inside, HIDDEN, bias=False),
            nn.BatchNorm1d(HIDDEN),
        )
        self.residual = nn.Linear(HIDDEN, HIDDEN)
        self.project = nn.Linear(HIDDEN, shape.dimension)
        self.centre = nn.BatchNorm1d(shape.dimension, affine=False)

    def forward(self, windows: Tensor) -> Tensor:
        """Embed pictures uint8 (N, 8, 96, 96, 3) as rows of unit length (N, D)."""
        return self.embed(self.hidden(windows))

    def hidden(self, windows: Tensor) -> Tensor:
        """What the perceptron makes of the trunk (N, 256), before its residual layer."""
        x = (windows.permute(0, 4, 1, 2, 3).float() - MEAN) / DEVIATION
        hidden: Tensor = self.places(self.trunk(x))
        return hidden

    def embed(self, hidden: Tensor) -> Tensor:
        """Rows of unit length (N, D)."""
        x = hidden + F.leaky_relu(self.residual(hidden), 0.2)
        return F.normalize(self.centre(self.project(x)), dim=1)


class _Unit(nn.Sequential):
    """Convolution, norm, rectifier."""

    def __init__(
        self,
        inside: int,
        outside: int,
        kernel: tuple[int, int, int],
        stride: tuple[int, int, int] = (1, 1, 1),
    ) -> None:
        half = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
        super().__init__(
            nn.Conv3d(inside, outside, kernel, stride, half, bias=False),
            nn.BatchNorm3d(outside, eps=1e-3),
            nn.ReLU(inplace=True),
        )


class _Inception(nn.Module):
    """Four branches side by side: 1; 1, 3; 1, 3; pool, 1."""

    def __init__(self, inside: int, widths: list[int]) -> None:
        super().__init__()
        a, b, c, d, e, f = widths
        one, cube = (1, 1, 1), (3, 3, 3)
        self.branches = nn.ModuleList([
            _Unit(inside, a, one),
            nn.Sequential(_Unit(inside, b, one), _Unit(b, c, cube)),
            nn.Sequential(_Unit(inside, d, one), _Unit(d, e, cube)),
            nn.Sequential(nn.MaxPool3d(3, 1, 1), _Unit(inside, f, one)),
        ])  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W) to the branches' channels side by side."""
        return torch.cat([branch(x) for branch in self.branches], 1)
