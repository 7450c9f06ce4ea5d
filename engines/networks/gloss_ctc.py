"""Ticks to gloss probabilities: cascaded temporal fusion, a sequence model, and CTC's log-probabilities.

After Cui, Liu and Zhang, "A Deep Neural Framework for Continuous Sign Language Recognition by Iterative Training" (IEEE
Trans. Multimedia 2019): features of T frames pass two rounds of 1D convolution (kernel 5) and max pooling (2), which
makes K = T/4 steps that each see 16 frames, then a recurrent sequence model, then a softmax over M glosses and the blank.

One class has both forms. *Offline* as published: centred convolutions and a bidirectional GRU, for whole sentences.
*Streaming*: causal convolutions, a GRU that runs forwards, and a stated look-ahead; what it says of a step depends on the
ticks up to `look_ahead` after that step and on none later, so chunks give what the whole sequence gives.

A tick is a row of numbers, or a picture that one of `engines.networks.picture_features` makes a row of, trained with the
rest. Clips of ResNet(2+1)D come at K steps already: dilated convolutions without pooling fuse them.

Training only: the live path runs the exported ONNX (`engines.gloss_stream`) and imports no torch.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engines.networks.picture_features import Front, FrontName
from engines.tick_features import STRIDE

KERNEL = 5
CLIP_KERNEL, DILATION = 3, 2
"""Of the two convolutions on clips; the second one's taps lie two steps apart."""
BLANK = 0
"""CTC's blank; gloss m of the vocabulary is label m + 1."""


@dataclass(frozen=True, slots=True)
class GlossCtcShape:
    """What the network sees, and its size."""

    inputs: int  # V, values of a tick; of a picture H x W x 3
    glosses: int  # M
    streaming: bool = True
    look_ahead: int = 8  # ticks that a step may see beyond its own four, a multiple of 4; streaming form only
    width: int = 192  # channels of the temporal fusion
    hidden: int = 192  # of the GRU, each direction
    layers: int = 2  # of the GRU
    dropout: float = 0.2
    front: FrontName | None = None  # what makes rows of pictures; None where ticks are rows
    front_width: float = 1.0  # of its channels, as a share of the published ones
    size: int = 112  # pixels, height and width of a picture

    def __post_init__(self) -> None:
        if self.look_ahead < 0 or self.look_ahead % STRIDE:
            raise ValueError(f"look_ahead must be a multiple of {STRIDE} ticks, not {self.look_ahead}")
        if self.front is not None and self.inputs != self.size**2 * 3:
            raise ValueError(f"a picture of {self.size} x {self.size} has not {self.inputs} values")

    @property
    def tick(self) -> tuple[int, ...]:
        """Shape of one tick."""
        return (self.inputs,) if self.front is None else (self.size, self.size, 3)

    @property
    def delay(self) -> int:
        """Steps by which the streaming form's answers come later than what they tell of."""
        return self.look_ahead // STRIDE if self.streaming else 0


@dataclass(frozen=True, slots=True)
class State:
    """What the streaming form carries from chunk to chunk; all zero at the start."""

    first: Tensor  # (N, 4, W) the newest input of the first convolution; of clips (N, 2, W)
    second: Tensor  # (N, 4, W) of the second
    hidden: Tensor  # (layers, N, H) of the GRU
    front: tuple[Tensor, ...] = ()  # of the convolutions over time in front, clips only

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """All of them, in the order of the fields."""
        return (self.first, self.second, self.hidden, *self.front)


class Fusion(nn.Module):
    """A layer on each tick, then two rounds of convolution and pooling. (T, V) to (T/4, W)."""

    reaches = (KERNEL - 1, KERNEL - 1)
    """Inputs before its own that each convolution sees."""
    rates = (STRIDE, STRIDE // 2)
    """Inputs of each convolution in a step."""

    def __init__(self, shape: GlossCtcShape, inputs: int) -> None:
        super().__init__()
        width = shape.width
        self.tick = nn.Linear(inputs, width)
        self.tick_norm = nn.LayerNorm(width)
        self.first = nn.Conv1d(width, width, KERNEL)
        self.first_norm = nn.LayerNorm(width)
        self.second = nn.Conv1d(width, width, KERNEL)
        self.second_norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(shape.dropout)

    def ticks(self, features: Tensor) -> Tensor:
        """(N, T, V) to (N, T, W), each tick by itself."""
        x: Tensor = self.dropout(F.relu(self.tick_norm(self.tick(features))))
        return x

    def early(self, padded: Tensor) -> Tensor:
        """(N, T + 4, W) to (N, T/2, W)."""
        x = self.first(padded.transpose(1, 2)).transpose(1, 2)
        return _pooled(F.relu(self.first_norm(x)))

    def late(self, padded: Tensor) -> Tensor:
        """(N, T/2 + 4, W) to (N, T/4, W)."""
        x = self.second(padded.transpose(1, 2)).transpose(1, 2)
        fused: Tensor = self.dropout(_pooled(F.relu(self.second_norm(x))))
        return fused


class ClipFusion(Fusion):
    """The same for rows that come once a step: dilated convolutions, no pooling. (K, V) to (K, W)."""

    reaches = (CLIP_KERNEL - 1, DILATION * (CLIP_KERNEL - 1))
    rates = (1, 1)

    def __init__(self, shape: GlossCtcShape, inputs: int) -> None:
        super().__init__(shape, inputs)
        self.first = nn.Conv1d(shape.width, shape.width, CLIP_KERNEL)
        self.second = nn.Conv1d(shape.width, shape.width, CLIP_KERNEL, dilation=DILATION)

    def early(self, padded: Tensor) -> Tensor:
        """(N, K + 2, W) to (N, K, W)."""
        return F.relu(self.first_norm(self.first(padded.transpose(1, 2)).transpose(1, 2)))

    def late(self, padded: Tensor) -> Tensor:
        """(N, K + 4, W) to (N, K, W)."""
        x = self.second(padded.transpose(1, 2)).transpose(1, 2)
        fused: Tensor = self.dropout(F.relu(self.second_norm(x)))
        return fused


class GlossCtc(nn.Module):
    """Features of ticks (N, T, V) to log-probabilities (N, K, M + 1), label 0 the blank, K = T/4 rounded up.

    Of pictures (N, T, H, W, 3) where the shape names a front.
    """

    def __init__(self, shape: GlossCtcShape) -> None:
        super().__init__()
        self.shape = shape
        self.front = None if shape.front is None else Front(shape.front, shape.front_width, shape.size)
        if self.front is None:
            self.fusion = Fusion(shape, shape.inputs)
        else:
            fused = ClipFusion if self.front.clips else Fusion
            self.fusion = fused(shape, self.front.dimension)
        self.sequence = nn.GRU(
            shape.width,
            shape.hidden,
            shape.layers,
            batch_first=True,
            bidirectional=not shape.streaming,
            dropout=shape.dropout if shape.layers > 1 else 0.0,
        )
        self.head = nn.Linear(shape.hidden * (1 if shape.streaming else 2), shape.glosses + 1)
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, features: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Whole sequences.

        Args:
            features: (N, T, V), pictures, or (N, T, D) or of clips (N, K, D) what the front has seen in pictures; zero
                where a sequence has ended, as a tick without a person is.
            lengths: (N,) ticks of each sequence; all T if None.

        Returns:
            (N, K, M + 1) log-probabilities; rows of a sequence beyond its own `steps_of(length)` mean nothing.
        """
        steps = steps_of(torch.full((len(features),), features.shape[1]) if lengths is None else lengths)
        return self.scores(self.extract(features, steps), steps)

    def extract(self, features: Tensor, steps: Tensor) -> Tensor:
        """The feature extractor alone: (N, T, V) and steps (N,) to (N, K + delay, W), zero beyond a sequence's end.

        In the streaming form row k + delay is what step k is judged by.
        """
        ticks = features.shape[1]
        seen = self.front is not None and features.ndim == 3
        stride = 1 if seen and self.front is not None and self.front.clips else STRIDE
        whole = (-(-ticks // stride) + self.shape.delay) * stride
        ended = features.new_zeros((len(features), whole - ticks, *features.shape[2:]))
        x = torch.cat([features, ended], 1)
        if self.front is not None and not seen:
            x, _ = self.front(x, self.front.start(len(x)))
        x = self.fusion.ticks(x)
        first, second = self.fusion.reaches
        if self.shape.streaming:
            x = self.fusion.early(F.pad(x, (0, 0, first, 0)))
            return self.fusion.late(F.pad(x, (0, 0, second, 0)))
        x = x * _within(steps * self.fusion.rates[0], x)
        x = self.fusion.early(F.pad(x, (0, 0, first // 2, first // 2)))
        x = x * _within(steps * self.fusion.rates[1], x)
        x = self.fusion.late(F.pad(x, (0, 0, second // 2, second // 2)))
        return x * _within(steps, x)

    def scores(self, fused: Tensor, steps: Tensor) -> Tensor:
        """The sequence model and the softmax on what `extract` gave: (N, K + delay, W) to (N, K, M + 1)."""
        if self.shape.streaming:
            found, _ = self.sequence(fused)
            found = found[:, self.shape.delay :]
        else:
            packed = nn.utils.rnn.pack_padded_sequence(
                fused, steps.cpu(), batch_first=True, enforce_sorted=False
            )
            found, _ = nn.utils.rnn.pad_packed_sequence(
                self.sequence(packed)[0], batch_first=True, total_length=fused.shape[1]
            )
        return F.log_softmax(self.head(self.dropout(found)), dim=2)

    # -- chunks ----------------------------------------------------------------------------------------------

    def start(self, count: int = 1) -> State:
        """The state before the first chunk of `count` streams."""
        shape = self.shape
        first, second = self.fusion.reaches
        return State(
            first=torch.zeros(count, first, shape.width),
            second=torch.zeros(count, second, shape.width),
            hidden=torch.zeros(shape.layers, count, shape.hidden),
            front=() if self.front is None else self.front.start(count),
        )

    def step(self, features: Tensor, state: State) -> tuple[Tensor, State]:
        """One chunk of the streaming form.

        Args:
            features: (N, T, V) or pictures, T a multiple of 4: the ticks that follow the last chunk's.
            state: that the last chunk left, or `start`.

        Returns:
            (N, T/4, M + 1) log-probabilities, and the state for the next chunk. They tell of the steps `delay` before;
            the first `delay` steps of a stream tell of nothing, and as many chunks of zeros bring out the last ones.

        Raises:
            ValueError: this is the offline form, or T is no multiple of 4.
        """
        if not self.shape.streaming:
            raise ValueError("the offline form needs whole sentences: it cannot run in chunks")
        if not torch.onnx.is_in_onnx_export() and features.shape[1] % STRIDE:
            raise ValueError(f"a chunk must have a multiple of {STRIDE} ticks, not {features.shape[1]}")
        front: tuple[Tensor, ...] = ()
        if self.front is not None:
            features, front = self.front(features, state.front)
        first = torch.cat([state.first, self.fusion.ticks(features)], 1)
        second = torch.cat([state.second, self.fusion.early(first)], 1)
        found, hidden = self.sequence(self.fusion.late(second), state.hidden)
        scores = F.log_softmax(self.head(self.dropout(found)), dim=2)
        kept, later = self.fusion.reaches
        return scores, State(first[:, -kept:], second[:, -later:], hidden, front)


def steps_of(lengths: Tensor) -> Tensor:
    """Steps K of sequences of so many ticks: a quarter, rounded up."""
    return (lengths + STRIDE - 1) // STRIDE


def _pooled(x: Tensor) -> Tensor:
    """Maximum of each two neighbours in time: (N, T, W) to (N, T/2, W)."""
    return x.reshape(len(x), -1, 2, x.shape[2]).amax(2)


def _within(lengths: Tensor, x: Tensor) -> Tensor:
    """(N, T, 1): 1 up to each sequence's length."""
    return (torch.arange(x.shape[1])[None] < lengths[:, None]).to(x.dtype)[:, :, None]
