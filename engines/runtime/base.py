"""What every runtime offers: a network with named inputs and outputs, run on numpy arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """Name, shape (None where it varies) and numpy type of one input or output."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a network runs, and why not somewhere better."""

    device: str  # "cpu", or the GPU's name
    runtime: str  # "onnxruntime 1.20.1"
    precision: str  # "float32", "float16", "bfloat16"
    reason: str  # why this one, in a sentence fit to show to a user


class Engine(Protocol):
    """A network that is ready to run."""

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """Specs of the inputs."""
        ...

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """Specs of the outputs."""
        ...

    def run(self, inputs: Mapping[str, NDArray[np.generic]]) -> dict[str, NDArray[np.float32]]:
        """Run once.

        Raises:
            EngineError: an input is missing, or has the wrong shape or type.
        """
        ...

    def where(self) -> Placement:
        """Device, runtime, precision, and why."""
        ...
