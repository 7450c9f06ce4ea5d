"""The published networks restated plainly, layer by layer, under their own parameter names: what imports must equal.

Nothing here is folded or clever, and nothing is shared with `engines.networks`. Facts from `SL-GCN/model/
decouple_gcn_attn.py` of jackyjsy/CVPR21Chal-SLR, `pytorch_i3d.py` of piergiaj/pytorch-i3d and `models/*.py` of
gulvarol/bsldict; what only training needs (dropout, initial values) is left out.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

JOINTS = 27


def with_random_weights(network: nn.Module, seed: int = 0) -> nn.Module:
    """Every parameter and statistic random, at sizes that keep activations near 1 through many layers."""
    generator = torch.Generator().manual_seed(seed)

    def normal(shape: torch.Size, spread: float) -> Tensor:
        return spread * torch.randn(shape, generator=generator)

    with torch.no_grad():
        for name, value in (*network.named_parameters(), *network.named_buffers()):
            if name.endswith("num_batches_tracked"):
                continue
            last = name.rsplit(".", 1)[-1]
            if last == "running_var":
                value.copy_(0.5 + torch.rand(value.shape, generator=generator))
            elif last in ("DecoupleA", "A"):
                value.copy_(torch.rand(value.shape, generator=generator))
            elif last == "eyes":
                value.copy_(torch.eye(JOINTS).expand_as(value))
            elif value.ndim > 1:
                fan = value[0].numel() if last != "Linear_weight" else value.shape[0]
                value.copy_(normal(value.shape, (2 / fan) ** 0.5))
            elif last == "weight":
                value.copy_(1 + normal(value.shape, 0.2))
            else:
                value.copy_(normal(value.shape, 0.2))
    return network.eval()


# -- SAM-SLR's SL-GCN ------------------------------------------------------------------------------------------


class GraphUnit(nn.Module):
    def __init__(self, inside: int, outside: int, groups: int) -> None:
        super().__init__()
        self.DecoupleA = nn.Parameter(torch.zeros(3, groups, JOINTS, JOINTS))
        self.Linear_weight = nn.Parameter(torch.zeros(inside, 3 * outside))
        self.Linear_bias = nn.Parameter(torch.zeros(1, 3 * outside, 1, 1))
        self.eyes = nn.Parameter(torch.zeros(outside, JOINTS, JOINTS), requires_grad=False)
        self.bn0 = nn.BatchNorm2d(3 * outside)
        self.bn = nn.BatchNorm2d(outside)
        if inside != outside:
            self.down = nn.Sequential(nn.Conv2d(inside, outside, 1), nn.BatchNorm2d(outside))

    def forward(self, x: Tensor) -> Tensor:
        groups, outside = self.DecoupleA.shape[1], self.eyes.shape[0]
        parts = []
        for part in range(3):  # one adjacency after the other, one channel after the other
            channels = []
            for channel in range(outside):
                a = self.DecoupleA[part, channel % groups]
                channels.append(a @ (self.eyes[channel] * (1 / (a.sum(0) + 0.001))))
            parts.append(torch.stack(channels))
        mixed = self.bn0(torch.einsum("nctv,cd->ndtv", x, self.Linear_weight) + self.Linear_bias)
        y = torch.zeros_like(mixed[:, :outside])
        for part, adjacency in enumerate(parts):
            y = y + torch.einsum("nctv,cvw->nctw", mixed[:, part * outside : (part + 1) * outside], adjacency)
        shortcut = self.down(x) if hasattr(self, "down") else x
        return F.relu(self.bn(y) + shortcut)


class TemporalUnit(nn.Module):
    def __init__(self, inside: int, outside: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inside, outside, (kernel, 1), (stride, 1), ((kernel - 1) // 2, 0))
        self.bn = nn.BatchNorm2d(outside)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.bn(self.conv(x))
        return y


class GraphTemporalUnit(nn.Module):
    def __init__(self, inside: int, outside: int, groups: int, stride: int, *, shortcut: bool) -> None:
        super().__init__()
        self.gcn1 = GraphUnit(inside, outside, groups)
        self.tcn1 = TemporalUnit(outside, outside, 9, stride)
        self.A = nn.Parameter(torch.zeros(JOINTS, JOINTS), requires_grad=False)
        self.shortcut = shortcut
        if shortcut and (inside != outside or stride != 1):
            self.residual = TemporalUnit(inside, outside, 1, stride)
        self.conv_ta = nn.Conv1d(outside, 1, 9, padding=4)
        self.conv_sa = nn.Conv1d(outside, 1, JOINTS, padding=13)
        self.fc1c = nn.Linear(outside, outside // 2)
        self.fc2c = nn.Linear(outside // 2, outside)

    def forward(self, x: Tensor) -> Tensor:
        y = self.gcn1(x)
        y = y + y * torch.sigmoid(self.conv_sa(y.mean(-2))).unsqueeze(-2)
        y = y + y * torch.sigmoid(self.conv_ta(y.mean(-1))).unsqueeze(-1)
        squeezed = F.relu(self.fc1c(y.mean(-1).mean(-1)))
        y = y + y * torch.sigmoid(self.fc2c(squeezed))[..., None, None]
        y = self.tcn1(y)
        if not self.shortcut:
            return F.relu(y)
        return F.relu(y + (self.residual(x) if hasattr(self, "residual") else x))


class Slgcn27(nn.Module):
    """(N, 3, T, 27) to what `fc` reads (N, 256)."""

    def __init__(self, classes: int = 226, groups: int = 16) -> None:
        super().__init__()
        self.data_bn = nn.BatchNorm1d(3 * JOINTS)
        self.l1 = GraphTemporalUnit(3, 64, groups, 1, shortcut=False)
        for number, inside, outside, stride in (
            *((number, 64, 64, 1) for number in (2, 3, 4)),
            (5, 64, 128, 2),
            (6, 128, 128, 1),
            (7, 128, 128, 1),
            (8, 128, 256, 2),
            (9, 256, 256, 1),
            (10, 256, 256, 1),
        ):
            self.add_module(f"l{number}", GraphTemporalUnit(inside, outside, groups, stride, shortcut=True))
        self.fc = nn.Linear(256, classes)

    def forward(self, x: Tensor) -> Tensor:
        n, c, t, v = x.shape
        x = self.data_bn(x.permute(0, 3, 1, 2).reshape(n, v * c, t))
        x = x.view(n, v, c, t).permute(0, 2, 3, 1)
        for number in range(1, 11):
            x = getattr(self, f"l{number}")(x)
        return x.reshape(n, 256, -1).mean(2)


# -- Inception-I3D ---------------------------------------------------------------------------------------------


def same(x: Tensor, kernel: tuple[int, ...], stride: tuple[int, ...]) -> Tensor:
    """Zeros before and behind each axis, one more behind where their number is odd."""
    for axis in (0, 1, 2):
        length = x.shape[2 + axis]
        out = -(-length // stride[axis])
        total = max((out - 1) * stride[axis] + kernel[axis] - length, 0)
        shape = list(x.shape)
        for at_end, count in ((False, total // 2), (True, total - total // 2)):
            shape[2 + axis] = count
            x = torch.cat([x, x.new_zeros(shape)] if at_end else [x.new_zeros(shape), x], 2 + axis)
    return x


class Unit(nn.Module):
    def __init__(
        self, inside: int, outside: int, size: int = 1, stride: int = 1, *, plain: bool = False
    ) -> None:
        super().__init__()
        self.conv3d = nn.Conv3d(inside, outside, size, stride, bias=plain)
        if not plain:
            self.bn = nn.BatchNorm3d(outside, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv3d(same(x, self.conv3d.kernel_size, self.conv3d.stride))
        return F.relu(self.bn(y)) if hasattr(self, "bn") else y


class Mixed(nn.Module):
    def __init__(self, inside: int, *widths: int) -> None:
        super().__init__()
        self.b0 = Unit(inside, widths[0])
        self.b1a, self.b1b = Unit(inside, widths[1]), Unit(widths[1], widths[2], 3)
        self.b2a, self.b2b = Unit(inside, widths[3]), Unit(widths[3], widths[4], 3)
        self.b3b = Unit(inside, widths[5])

    def forward(self, x: Tensor) -> Tensor:
        pooled = F.max_pool3d(same(x, (3, 3, 3), (1, 1, 1)), 3, 1)
        return torch.cat([self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3b(pooled)], 1)


class InceptionI3d(nn.Module):
    """(N, 3, 16, 224, 224) to what `logits` reads (N, 1024)."""

    def __init__(self, classes: int = 400) -> None:
        super().__init__()
        self.Conv3d_1a_7x7 = Unit(3, 64, 7, 2)
        self.Conv3d_2b_1x1 = Unit(64, 64)
        self.Conv3d_2c_3x3 = Unit(64, 192, 3)
        self.Mixed_3b = Mixed(192, 64, 96, 128, 16, 32, 32)
        self.Mixed_3c = Mixed(256, 128, 128, 192, 32, 96, 64)
        self.Mixed_4b = Mixed(480, 192, 96, 208, 16, 48, 64)
        self.Mixed_4c = Mixed(512, 160, 112, 224, 24, 64, 64)
        self.Mixed_4d = Mixed(512, 128, 128, 256, 24, 64, 64)
        self.Mixed_4e = Mixed(512, 112, 144, 288, 32, 64, 64)
        self.Mixed_4f = Mixed(528, 256, 160, 320, 32, 128, 128)
        self.Mixed_5b = Mixed(832, 256, 160, 320, 32, 128, 128)
        self.Mixed_5c = Mixed(832, 384, 192, 384, 48, 128, 128)
        self.logits = Unit(1024, classes, plain=True)

    def forward(self, x: Tensor) -> Tensor:
        def pool(x: Tensor, kernel: tuple[int, int, int], stride: tuple[int, int, int]) -> Tensor:
            return F.max_pool3d(same(x, kernel, stride), kernel, stride)

        x = pool(self.Conv3d_1a_7x7(x), (1, 3, 3), (1, 2, 2))
        x = pool(self.Conv3d_2c_3x3(self.Conv3d_2b_1x1(x)), (1, 3, 3), (1, 2, 2))
        x = pool(self.Mixed_3c(self.Mixed_3b(x)), (3, 3, 3), (2, 2, 2))
        for letter in "bcdef":
            x = getattr(self, f"Mixed_4{letter}")(x)
        x = self.Mixed_5c(self.Mixed_5b(pool(x, (2, 2, 2), (2, 2, 2))))
        return F.avg_pool3d(x, (2, 7, 7), 1).flatten(1)


class Mlp(nn.Module):
    def __init__(self, classes: int = 1064) -> None:
        super().__init__()
        self.res = nn.Sequential(nn.Linear(1024, 1024), nn.LeakyReLU(0.2))
        self.adaptor = nn.Sequential(
            nn.Linear(1024, 512), nn.LeakyReLU(0.2), nn.Linear(512, 256), nn.LeakyReLU(0.2)
        )
        self.logits = nn.Linear(256, classes)

    def forward(self, x: Tensor) -> Tensor:
        return F.normalize(self.adaptor(x + self.res(x)), dim=1)


class I3dMlp(nn.Module):
    """(N, 3, 16, 224, 224) to embeddings (N, 256)."""

    def __init__(self) -> None:
        super().__init__()
        self.i3d = InceptionI3d(1064)
        self.mlp = Mlp()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.mlp(self.i3d(x))
        return y
