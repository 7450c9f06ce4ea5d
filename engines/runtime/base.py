"""What every runtime offers: a network with named inputs and outputs, run on numpy arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from engines.errors import EngineError


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


class Around:
    """What runs another engine in a way of its own: inputs, outputs and place are that one's."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """Specs of the inputs."""
        return self._engine.inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """Specs of the outputs."""
        return self._engine.outputs

    def where(self) -> Placement:
        """Device, runtime, precision, and why."""
        return self._engine.where()


def check_inputs(
    called: str, specs: tuple[TensorSpec, ...], inputs: Mapping[str, NDArray[np.generic]]
) -> None:
    """Refuse inputs that a network does not take.

    Args:
        called: what to call the network in the message.
        specs: of its inputs.
        inputs: name -> array.

    Raises:
        EngineError: one is missing or unknown, or has the wrong shape or type.
    """
    known = {spec.name for spec in specs}
    if inputs.keys() != known:
        raise EngineError(f"{called} takes the inputs {sorted(known)}, not {sorted(inputs)}")
    for spec in specs:
        array = inputs[spec.name]
        fits = len(array.shape) == len(spec.shape) and all(
            expected in (None, size) for expected, size in zip(spec.shape, array.shape, strict=True)
        )
        if not fits or array.dtype.name != spec.dtype:
            expected = ", ".join("any" if size is None else str(size) for size in spec.shape)
            raise EngineError(
                f"input {spec.name!r} of {called} must be {spec.dtype} ({expected}), "
                f"not {array.dtype.name} {array.shape}"
            )
