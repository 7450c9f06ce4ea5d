"""A training step as one CUDA graph: hundreds of small operations and their launches become one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

WARM_UP = 5
"""Steps that are made one operation at a time before one is recorded: libraries choose their kernels in them."""


class RecordedStep:
    """Repeats a training step on new batches of the same shapes.

    After PyTorch's notes on whole-network capture: the first steps run on a side stream, then one is recorded, and from
    then on batches are copied to where the recorded one lay. All of them are real steps.

    Args:
        step: from a batch's tensors to figures of it (loss, accuracy); updates the weights. It must not wait for the
            device, and its shapes must not depend on values.
    """

    def __init__(self, step: Callable[..., tuple[Tensor, ...]]) -> None:
        self._step = step
        self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self._made = 0
        self._graph: Any = None
        self._batch: list[Tensor] = []
        self._figures: tuple[Tensor, ...] = ()

    def __call__(self, *batch: Tensor) -> tuple[float, ...]:
        """Make one step with a batch (on the CPU or the device); the figures."""
        if self._graph is None and self._made == WARM_UP:
            self._record(batch)
        if self._graph is None:
            self._made += 1
            self._stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self._stream):
                self._figures = self._step(*(part.cuda() for part in batch))
            torch.cuda.current_stream().wait_stream(self._stream)
        else:
            for kept, part in zip(self._batch, batch, strict=True):
                kept.copy_(part, non_blocking=True)
            self._graph.replay()
        return tuple(torch.stack(self._figures).tolist())

    def _record(self, batch: tuple[Tensor, ...]) -> None:
        self._batch = [part.cuda() for part in batch]
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        # Threads that make batches ahead pin memory meanwhile, which would break a recording that is everybody's.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            self._figures = self._step(*self._batch)
        self._graph = graph
