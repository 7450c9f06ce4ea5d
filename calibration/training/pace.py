"""How fast a run learns, and what it remembers of itself: the same for every encoder's training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Protocol

import torch
from torch import nn


class Paced(Protocol):
    """What of a recipe decides the pace."""

    @property
    def rate(self) -> float:
        """The highest rate of learning."""
        ...

    @property
    def warmup(self) -> int:
        """Steps until it is reached."""
        ...

    @property
    def steps(self) -> int:
        """Of the whole run."""
        ...


def rate(recipe: Paced, at: int) -> float:
    """The rate of step `at`: up in a straight line, then down a cosine to a fiftieth."""
    cosine = 0.5 * (1 + math.cos(math.pi * at / recipe.steps))
    return recipe.rate * min(1.0, (at + 1) / recipe.warmup) * (0.02 + 0.98 * cosine)


def running(before: float, now: float, at: int) -> float:
    """A mean that forgets: what is shown of losses and accuracies after step `at`."""
    share = 0.98 if at > 1 else 0.0
    return share * before + (1 - share) * now


@torch.no_grad()
def follow(average: Mapping[str, torch.Tensor], network: nn.Module, at: int, *, keep: float) -> None:
    """Move averaged weights towards the network's after step `at`, in place; early in a run they follow faster.

    Args:
        average: by the names of the network's state.
        network: in training.
        at: how many steps it has made.
        keep: share of the average that a step leaves at most.
    """
    keep = min(keep, (1 + at) / (10 + at))
    for name, value in network.state_dict().items():
        if value.is_floating_point():
            average[name].lerp_(value, 1 - keep)
        else:
            average[name].copy_(value)
