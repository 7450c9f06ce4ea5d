"""Picture features of the transcript network: GoogLeNet and DenseNet-121 on each tick, ResNet(2+1)D on clips.

The three that Koishybay, Mukushev and Sandygulova compare with pose vectors ("Continuous Sign Language Recognition with
Iterative Spatiotemporal Fine-tuning", ICPR 2020). Layouts and parameter names are torchvision's, so that its weights can be
read: Szegedy et al., "Going deeper with convolutions" (CVPR 2015; 3x3 instead of 5x5, with batch normalisation); Huang et
al., "Densely connected convolutional networks" (CVPR 2017); Tran et al., "A closer look at spatiotemporal convolutions for
action recognition" (CVPR 2018), the 18-layer network up to its fourth stage.

Each can be made narrower than published (`width`), for machines without a GPU.

Training only: the live path runs the exported ONNX and imports no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, cast, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engines.checkpoints import COUNTERS, Checkpoint
from engines.errors import CheckpointError
from engines.networks.i3d import TRUNK, Inception

FrontName = Literal["googlenet", "densenet", "r2plus1d"]
FRONTS: tuple[FrontName, ...] = get_args(FrontName)
DIMENSION = 1024
"""Values that each gives at full width."""
MEAN, SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's colours in [0, 1], which torchvision's weights for pictures expect."""
AT_ONCE = 128
"""Pictures that are judged at once where nothing is learnt; more need memory and save no time."""


def channels(full: int, width: float) -> int:
    """Channels of a layer that has `full` at full width: a multiple of 4, 4 at least."""
    return full if width == 1.0 else max(4, round(full * width / 4) * 4)


class Norm(nn.Module):
    """Pictures as they are to what the first layer expects."""

    mean: Tensor
    spread: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None], persistent=False)
        self.register_buffer("spread", torch.tensor(SPREAD)[:, None, None], persistent=False)

    def forward(self, pictures: Tensor) -> Tensor:
        """(N, H, W, 3) of 0..255 to (N, 3, H, W)."""
        scaled: Tensor = (pictures.permute(0, 3, 1, 2) / 255 - self.mean) / self.spread
        return scaled


# -- GoogLeNet ---------------------------------------------------------------------------------------------------


class BasicConv2d(nn.Module):
    """Convolution, norm, rectifier."""

    def __init__(self, inside: int, outside: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inside, outside, kernel, stride, kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(outside, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        """As the class says."""
        return F.relu(self.bn(self.conv(x)))


class InceptionBlock(nn.Module):
    """Four branches side by side: 1; 1, 3; 1, 3; pool, 1."""

    def __init__(self, inside: int, widths: Sequence[int]) -> None:
        super().__init__()
        a, b, c, d, e, f = widths
        self.branch1 = BasicConv2d(inside, a, 1)
        self.branch2 = nn.Sequential(BasicConv2d(inside, b, 1), BasicConv2d(b, c, 3))
        self.branch3 = nn.Sequential(BasicConv2d(inside, d, 1), BasicConv2d(d, e, 3))
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, 1, 1, ceil_mode=True), BasicConv2d(inside, f, 1))
        self.outside = a + c + e + f

    def forward(self, x: Tensor) -> Tensor:
        """As the class says."""
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)


_INCEPTIONS = tuple(block.widths for block in TRUNK if isinstance(block, Inception))
"""GoogLeNet's own, which I3D inflates: 3a, 3b, 4a to 4e, 5a, 5b."""


class GoogLeNet(nn.Module):
    """Pictures (N, 3, H, W), normalised, to (N, dimension)."""

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        first, second = channels(64, width), channels(192, width)
        self.conv1 = BasicConv2d(3, first, 7, 2)
        self.conv2 = BasicConv2d(first, first, 1)
        self.conv3 = BasicConv2d(first, second, 3)
        inside = second
        names = ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b")
        self._order = tuple(f"inception{name}" for name in names)
        for name, widths in zip(self._order, _INCEPTIONS, strict=True):
            block = InceptionBlock(inside, [channels(one, width) for one in widths])
            setattr(self, name, block)
            inside = block.outside
        self.dimension = inside

    def forward(self, x: Tensor) -> Tensor:
        """As the class says."""
        x = F.max_pool2d(self.conv1(x), 3, 2, ceil_mode=True)
        x = F.max_pool2d(self.conv3(self.conv2(x)), 3, 2, ceil_mode=True)
        for name in self._order:
            x = getattr(self, name)(x)
            if name == "inception3b":
                x = F.max_pool2d(x, 3, 2, ceil_mode=True)
            elif name == "inception4e":
                x = F.max_pool2d(x, 2, 2, ceil_mode=True)
        return x.mean((2, 3))


# -- DenseNet ----------------------------------------------------------------------------------------------------

_GROWTH, _BOTTLENECK, _STEM = 32, 4, 64
_LAYERS = (6, 12, 24, 16)


class DenseLayer(nn.Module):
    """What one layer adds to all that came before it."""

    def __init__(self, inside: int, growth: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(inside)
        self.conv1 = nn.Conv2d(inside, _BOTTLENECK * growth, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(_BOTTLENECK * growth)
        self.conv2 = nn.Conv2d(_BOTTLENECK * growth, growth, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """As the class says."""
        x = self.conv1(F.relu(self.norm1(x)))
        added: Tensor = self.conv2(F.relu(self.norm2(x)))
        return added


class DenseBlock(nn.ModuleDict):
    """Layers that each see what all before them gave."""

    def __init__(self, count: int, inside: int, growth: int) -> None:
        super().__init__()
        for number in range(count):
            self[f"denselayer{number + 1}"] = DenseLayer(inside + number * growth, growth)

    def forward(self, x: Tensor) -> Tensor:
        """As the class says."""
        for layer in self.values():
            x = torch.cat([x, layer(x)], 1)
        return x


class Transition(nn.Module):
    """Half the channels and half the picture."""

    def __init__(self, inside: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(inside)
        self.conv = nn.Conv2d(inside, inside // 2, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """As the class says."""
        return F.avg_pool2d(self.conv(F.relu(self.norm(x))), 2, 2)


class DenseNet(nn.Module):
    """DenseNet-121: pictures (N, 3, H, W), normalised, to (N, dimension)."""

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        growth, inside = channels(_GROWTH, width), channels(_STEM, width)
        self.features = nn.ModuleDict(
            {"conv0": nn.Conv2d(3, inside, 7, 2, 3, bias=False), "norm0": nn.BatchNorm2d(inside)}
        )
        for number, count in enumerate(_LAYERS, 1):
            self.features[f"denseblock{number}"] = DenseBlock(count, inside, growth)
            inside += count * growth
            if number < len(_LAYERS):
                self.features[f"transition{number}"] = Transition(inside)
                inside //= 2
        self.features["norm5"] = nn.BatchNorm2d(inside)
        self.dimension = inside

    def forward(self, x: Tensor) -> Tensor:
        """As the class says."""
        layers = self.features
        x = F.max_pool2d(F.relu(layers["norm0"](layers["conv0"](x))), 3, 2, 1)
        for number in range(1, len(_LAYERS) + 1):
            x = layers[f"denseblock{number}"](x)
            if number < len(_LAYERS):
                x = layers[f"transition{number}"](x)
        pooled: Tensor = F.relu(layers["norm5"](x)).mean((2, 3))
        return pooled


# -- ResNet(2+1)D ------------------------------------------------------------------------------------------------


# Clips pass through as (N, C, T, H * W) with the channels innermost in memory: PyTorch's 3D convolutions take two to four
# times as long on a CPU as the 2D ones that each of these is (56 x 56 and 28 x 28, 8 to 72 channels, forwards and back).


class SpaceConv(nn.Conv3d):
    """A convolution within each picture."""

    def forward(self, x: Tensor, size: int) -> tuple[Tensor, int]:  # type: ignore[override]
        """(N, C, T, H * W) to (N, O, T, H' * W'), of square pictures; and H'."""
        flat = x.transpose(1, 2).reshape(-1, self.in_channels, size, size)
        _, stride, _ = self.stride
        _, padding, _ = cast(tuple[int, int, int], self.padding)
        if self.kernel_size[1] == 1:  # PyTorch 2.13's own stride of 1 x 1 crashes here, backwards on a CPU
            flat, stride = flat[:, :, ::stride, ::stride], 1
        flat = flat.contiguous(memory_format=torch.channels_last)
        found = F.conv2d(flat, self.weight[:, :, 0], None, stride, padding)
        after = found.shape[-1]
        return found.reshape(len(x), -1, self.out_channels, after * after).transpose(1, 2), after


class TimeConv(nn.Conv3d):
    """A convolution over three instants that sees no later one: what it needs of the past is handed in and out."""

    def __init__(self, inside: int, outside: int, stride: int = 1) -> None:
        super().__init__(inside, outside, (3, 1, 1), (stride, 1, 1), bias=False)
        self.past = 3 - stride
        """Instants before the newest ones that it needs."""

    def step(self, x: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """(N, C, T, H * W) that follow `past` (N, C, past, H, W) to (N, O, T / stride, H * W), and the next past."""
        joined = torch.cat([past.flatten(3), x], 2).contiguous(memory_format=torch.channels_last)
        found = F.conv2d(joined, self.weight[..., 0], None, (self.stride[0], 1))
        return found, joined[:, :, -self.past :].reshape(past.shape)


class ClipNorm(nn.BatchNorm3d):
    """Batch normalisation of clips that pass through as above."""

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() != 4:
            raise ValueError(f"clips come as (N, C, T, H * W), not with {input.dim()} dimensions")


def _between(inside: int, outside: int) -> int:
    """Channels between space and time that make (2+1)D as large as a 3D convolution of 3 x 3 x 3."""
    return (inside * outside * 27) // (inside * 9 + 3 * outside)


def _space_time(inside: int, outside: int, between: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        SpaceConv(inside, between, (1, 3, 3), (1, stride, stride), (0, 1, 1), bias=False),
        ClipNorm(between),
        nn.ReLU(),
        TimeConv(between, outside, stride),
    )


class ClipBlock(nn.Module):
    """Two (2+1)D convolutions beside a short cut."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        between = _between(inside, outside)
        self.conv1 = nn.Sequential(_space_time(inside, outside, between, stride), ClipNorm(outside))
        self.conv2 = nn.Sequential(_space_time(outside, outside, between, 1), ClipNorm(outside))
        self.downsample: nn.Module | None = None
        if stride > 1:
            self.downsample = nn.Sequential(
                SpaceConv(inside, outside, 1, stride, bias=False), ClipNorm(outside)
            )

    def step(self, x: Tensor, size: int, pasts: Sequence[Tensor]) -> tuple[Tensor, int, list[Tensor]]:
        """As `TimeConv.step`, for both of its own; `size` is the pictures' height, before and after."""
        short = x
        if self.downsample is not None:
            space, norm = cast(nn.Sequential, self.downsample)
            short = norm(space(x[:, :, :: cast(SpaceConv, space).stride[0]], size)[0])
        x, size, first = _through(self.conv1, x, size, pasts[0])
        x, size, second = _through(self.conv2, F.relu(x), size, pasts[1])
        return F.relu(x + short), size, [first, second]


def _through(pair: nn.Sequential, x: Tensor, size: int, past: Tensor) -> tuple[Tensor, int, Tensor]:
    space, norm, rectifier, time = cast(nn.Sequential, pair[0])
    x, size = space(x, size)
    x, new = cast(TimeConv, time).step(rectifier(norm(x)), past)
    return pair[1](x), size, new


def _pooled(x: Tensor, size: int) -> tuple[Tensor, int]:
    """Pictures (N, C, T, H * W), H = W = `size`, at half their size."""
    flat = F.max_pool2d(x.transpose(1, 2).reshape(-1, x.shape[1], size, size), 3, 2, 1)
    after = flat.shape[-1]
    return flat.reshape(len(x), -1, x.shape[1], after * after).transpose(1, 2), after


QUARTERS = 4


def _quarters(x: Tensor, size: int) -> Tensor:
    """The most (N, 4 C, T) in each quarter of pictures (N, C, T, H * W), H = W = `size`; a middle row is in both halves."""
    half = (size + 1) // 2  # ONNX would round -size // 2 towards zero
    rows = x.reshape(len(x), x.shape[1], -1, size, size)  # ticks are free in what is exported
    parts = [
        rows[..., down, across].amax((3, 4))
        for down in (slice(half), slice(size - half, size))
        for across in (slice(half), slice(size - half, size))
    ]
    return torch.cat(parts, 1)


class ResNet2Plus1D(nn.Module):
    """The first four stages (stem, layers 1 to 3) of R(2+1)D-18, causal: clips to a row for every four ticks.

    Its third and fourth stage each halve the rate, so that T pictures become T/4 rows. A row has `DIMENSION` values, the
    most of its 256 channels in each quarter of the picture: in a mean over all of it a hand is lost, which is 1% of it.
    Convolutions over time see the past alone in both forms of the transcript network. With a share of its channels, for machines
    without a GPU, the stem's pictures are halved by max pooling as well, as in ResNet's own stem: a quarter of the work, and a
    hand is within the reach of more of the convolutions.
    """

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        sizes = [channels(one, width) for one in (64, 128, 256)]
        first = channels(45, width) if width < 1 else 45
        self.stem = nn.Sequential(
            SpaceConv(3, first, (1, 7, 7), (1, 2, 2), (0, 3, 3), bias=False),
            ClipNorm(first),
            nn.ReLU(),
            TimeConv(first, sizes[0]),
            ClipNorm(sizes[0]),
        )
        self.layer1 = nn.ModuleList([ClipBlock(sizes[0], sizes[0], 1), ClipBlock(sizes[0], sizes[0], 1)])
        self.layer2 = nn.ModuleList([ClipBlock(sizes[0], sizes[1], 2), ClipBlock(sizes[1], sizes[1], 1)])
        self.layer3 = nn.ModuleList([ClipBlock(sizes[1], sizes[2], 2), ClipBlock(sizes[2], sizes[2], 1)])
        self.dimension = QUARTERS * sizes[2]
        self.small = width < 1

    def start(self, count: int, size: int) -> tuple[Tensor, ...]:
        """What its convolutions over time know before the first picture of `size` x `size`: nothing."""
        convolutions = [layer for layer in self.modules() if isinstance(layer, TimeConv)]
        sizes, place = [], size
        for number, _ in enumerate(convolutions):
            # The stem halves the picture, and so does the first convolution of layers 2 and 3 before it looks at time.
            place = -(-place // 2) if number in (0, 5, 9) or (number == 1 and self.small) else place
            sizes.append(place)
        return tuple(
            torch.zeros(count, layer.in_channels, layer.past, side, side)
            for layer, side in zip(convolutions, sizes, strict=True)
        )

    def step(self, x: Tensor, pasts: Sequence[Tensor]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Pictures (N, 3, T, H, H), normalised, T a multiple of 4, to (N, T/4, dimension), and the next pasts."""
        size = x.shape[-1]
        space, norm, rectifier, time, last = self.stem
        x, size = space(x.flatten(3), size)
        x, past = cast(TimeConv, time).step(rectifier(norm(x)), pasts[0])
        x, new = F.relu(last(x)), [past]
        if self.small:
            x, size = _pooled(x, size)
        at = 1
        for block in (*self.layer1, *self.layer2, *self.layer3):
            x, size, some = cast(ClipBlock, block).step(x, size, pasts[at : at + 2])
            new += some
            at += 2
        return _quarters(x, size).transpose(1, 2), tuple(new)


# -- in front of the transcript network --------------------------------------------------------------------------


class Front(nn.Module):
    """One of the three, from pictures as they are."""

    def __init__(self, name: FrontName, width: float, size: int) -> None:
        super().__init__()
        if name not in FRONTS:
            raise ValueError(f"there is no picture feature {name!r}: {', '.join(FRONTS)}")
        self.size = size
        self.norm = Norm()
        made: dict[str, type[GoogLeNet] | type[DenseNet] | type[ResNet2Plus1D]]
        made = {"googlenet": GoogLeNet, "densenet": DenseNet, "r2plus1d": ResNet2Plus1D}
        trunk = made[name](width)
        self.trunk: nn.Module = trunk
        self._dimension: int = trunk.dimension
        self.clips = name == "r2plus1d"
        """It gives a row for every four ticks, not for each."""
        self.mixed = False
        """Whether its convolutions are in bfloat16 while it is trained; what it gives is float32 all the same."""

    @property
    def dimension(self) -> int:
        """Values of a row."""
        return self._dimension

    def take(self, checkpoint: Checkpoint) -> None:
        """Start from weights with torchvision's names; what it has beyond this network (classifiers) is left out.

        Raises:
            CheckpointError: a layer is missing, or has another shape.
        """
        own = self.trunk.state_dict()
        named = {name: one for name, one in own.items() if not name.endswith(COUNTERS)}
        wrong = [
            name
            for name, one in named.items()
            if name not in checkpoint.tensors or checkpoint.tensors[name].shape != one.shape
        ]
        if wrong:
            raise CheckpointError(
                f"{checkpoint.path} does not hold this network's weights: {len(wrong)} of {len(named)} layers are missing "
                f"or of another shape, {wrong[0]} for one; take torchvision's for the network, at its full width"
            )
        self.trunk.load_state_dict(own | {name: checkpoint.tensors[name] for name in named})

    def start(self, count: int) -> tuple[Tensor, ...]:
        """What it carries from chunk to chunk, before the first one."""
        return self.trunk.start(count, self.size) if isinstance(self.trunk, ResNet2Plus1D) else ()

    def forward(self, pictures: Tensor, state: Sequence[Tensor]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Rows of consecutive pictures.

        Args:
            pictures: uint8 or float (N, T, H, W, 3) of 0..255; black is no picture.
            state: from `start`, or that the last chunk left.

        Returns:
            (N, T, D), 0 where there is no picture; of clips (N, T/4, D); and the state for what follows.
        """
        if self.mixed and self.training:
            with torch.autocast(pictures.device.type, torch.bfloat16):
                found, state = self._seen(pictures, state)
            return found.float(), state
        return self._seen(pictures, state)

    def _seen(self, pictures: Tensor, state: Sequence[Tensor]) -> tuple[Tensor, tuple[Tensor, ...]]:
        shape = pictures.shape
        if isinstance(self.trunk, ResNet2Plus1D):
            x = self.norm(pictures.flatten(0, 1).float()).unflatten(0, (shape[0], shape[1])).transpose(1, 2)
            return self.trunk.step(x, state)
        flat = pictures.flatten(0, 1)
        if torch.onnx.is_in_onnx_export():
            flat = flat.float()
            there = (flat.amax((1, 2, 3)) > 0).float()[:, None]
            return (self.trunk(self.norm(flat)) * there).reshape(shape[0], shape[1], -1), ()
        there = flat.flatten(1).amax(1) > 0
        found = torch.zeros(len(flat), self.dimension)
        if there.any():
            some = flat[there]
            parts = torch.split(some, len(some) if self.training else AT_ONCE)
            found[there] = torch.cat([self.trunk(self.norm(part.float())) for part in parts]).float()
        return found.reshape(shape[0], shape[1], -1), ()
