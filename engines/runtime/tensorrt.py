"""NVIDIA TensorRT behind the `Engine` protocol: TensorRT 10 and 11, and TensorRT for RTX, through one adapter.

Engines are built from ONNX as strongly typed networks: each tensor has the type that the network gives it, so a
float16 engine is built from a float16 network (`engines.precision`); TensorRT 11 knows no other way. TensorRT for RTX
builds without a GPU and compiles for the card when the engine is first loaded there; what it compiles is kept in its
run-time cache.

Building was checked with TensorRT for RTX on a machine without a GPU. Executing was not: nobody has run it yet.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.errors import EngineError, MissingExtra
from engines.runtime.base import Placement, TensorSpec, check_inputs

FLAVOURS = {
    "tensorrt": ("tensorrt",),
    "tensorrt-rtx": ("tensorrt_rtx", "tensorrt_rtx_bindings"),
}
"""Which TensorRT -> import names, the first that is there counts."""

INSTALL = {
    "tensorrt": "pip install tensorrt (an NVIDIA GPU and its driver are needed)",
    "tensorrt-rtx": "pip install tensorrt-rtx-cu13 (builds without a GPU; runs on RTX cards)",
}
DEVICE = "cuda"
"""PyTorch's name of where the buffers are."""
NO_GPU = "needs an NVIDIA GPU"
"""How an engine begins to say that there is none."""
DTYPES = {
    "FLOAT": "float32",
    "HALF": "float16",
    "BF16": "bfloat16",
    "UINT8": "uint8",
    "INT32": "int32",
    "INT64": "int64",
}


@dataclass(frozen=True, slots=True)
class Batches:
    """The batch sizes that an engine is built for."""

    least: int = 1
    usual: int = 4
    most: int = 16

    def __post_init__(self) -> None:
        if not 1 <= self.least <= self.usual <= self.most:
            raise ValueError(f"batch sizes must rise from 1, not {self.least}, {self.usual}, {self.most}")


@dataclass(frozen=True, slots=True)
class Built:
    """An engine's bytes, and what goes in and out of it."""

    plan: bytes
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    most: int  # rows of a batch


def tensorrt_module(flavour: str) -> ModuleType:
    """TensorRT itself.

    Args:
        flavour: a key of `FLAVOURS`.

    Raises:
        MissingExtra: it is not installed.
    """
    errors = []
    for name in FLAVOURS[flavour]:
        try:
            return importlib.import_module(name)
        except (ImportError, OSError) as error:  # OSError: its libraries do not load
            errors.append(str(error))
    raise MissingExtra(f"{flavour} is not installed ({errors[0]}): {INSTALL[flavour]}")


def version(flavour: str) -> str:
    """Its version.

    Raises:
        MissingExtra: it is not installed.
    """
    return str(tensorrt_module(flavour).__version__)


def torch_on_gpu(flavour: str) -> ModuleType:
    """PyTorch, which holds TensorRT's buffers, where it can use a GPU.

    Raises:
        MissingExtra: it is not installed.
        EngineError: it finds no GPU.
    """
    try:
        import torch
    except ImportError as error:
        raise MissingExtra(
            f"TensorRT's buffers need PyTorch ({error}): pip install 'signspot[train]'"
        ) from error
    if not torch.cuda.is_available():
        raise EngineError(f"{flavour} {NO_GPU}, and PyTorch finds none")
    return torch


def check_usable(flavour: str) -> None:
    """Refuse a TensorRT whose engines cannot be executed here.

    Raises:
        MissingExtra: it or PyTorch is not installed.
        EngineError: there is no GPU.
    """
    tensorrt_module(flavour)
    torch_on_gpu(flavour)


def build(model: bytes, flavour: str, *, batches: Batches | None = None) -> Built:
    """Build an engine.

    Args:
        model: an ONNX network; its first axis is the batch where it is free.
        flavour: which TensorRT.
        batches: sizes to build for.

    Raises:
        MissingExtra: that TensorRT is not installed.
        EngineError: it cannot build this network, or there is no GPU and it needs one.
    """
    trt = tensorrt_module(flavour)
    sizes = batches or Batches()
    logger = _logger(trt)
    try:
        builder = trt.Builder(logger)
    except (RuntimeError, TypeError) as error:  # without a driver TensorRT gives null, which pybind11 refuses
        raise EngineError(f"{flavour} {trt.__version__} {NO_GPU} and its driver to start: {error}") from error
    flags = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = builder.create_network(flags)
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(model):
        reasons = "; ".join(str(parser.get_error(i)).splitlines()[0] for i in range(parser.num_errors))
        raise EngineError(f"{flavour} {trt.__version__} cannot read the network: {reasons}")
    config, profile = builder.create_builder_config(), builder.create_optimization_profile()
    inputs = [network.get_input(i) for i in range(network.num_inputs)]
    outputs = [network.get_output(i) for i in range(network.num_outputs)]
    for tensor in inputs:
        shape = list(tensor.shape)
        if -1 in shape:
            profile.set_shape(
                tensor.name,
                *(
                    [size if axis < 0 else axis for axis in shape]
                    for size in (sizes.least, sizes.usual, sizes.most)
                ),
            )
    config.add_optimization_profile(profile)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise EngineError(
            f"{flavour} {trt.__version__} cannot build the network: {logger.newest or 'it does not say why'}"
        )
    return Built(bytes(plan), tuple(map(_spec, inputs)), tuple(map(_spec, outputs)), sizes.most)


class TensorrtEngine:
    """A built engine on a GPU. Not for use from two threads at once.

    Buffers and the stream are PyTorch's, which must be a CUDA build.
    """

    def __init__(
        self,
        built: Built,
        flavour: str,
        *,
        precision: str,
        runtime_cache: Path | None = None,
        reason: str = "",
    ) -> None:
        """Load it onto the GPU.

        Args:
            built: the engine.
            flavour: which TensorRT built it.
            precision: of its network, to be told.
            runtime_cache: where TensorRT for RTX keeps what it compiles for this card.
            reason: how it was come by, to be told.

        Raises:
            MissingExtra: TensorRT or PyTorch is not installed.
            EngineError: there is no GPU, its memory is full, or the engine was built by another version or for another GPU.
        """
        trt, torch = tensorrt_module(flavour), torch_on_gpu(flavour)
        logger = _logger(trt)
        self._torch = torch
        self._runtime = trt.Runtime(logger)
        self._engine = self._runtime.deserialize_cuda_engine(built.plan)
        if self._engine is None:
            raise EngineError(
                f"{flavour} {trt.__version__} does not load this engine: it was built by another version or for another GPU "
                f"({logger.newest}); build it again with `signspot engines build`"
            )
        self._kept = runtime_cache
        self._cache: Any = None
        self._context = self._created(flavour)
        if self._context is None:
            raise EngineError(
                f"{flavour} {trt.__version__} cannot prepare this engine (GPU memory full?): "
                f"{logger.newest or 'it does not say why'}; free the device, or use --engine onnxruntime"
            )
        self._inputs, self._outputs, self._most = built.inputs, built.outputs, built.most
        self._buffers: dict[tuple[tuple[int, ...], ...], dict[str, Any]] = {}
        self._stream: Any = torch.cuda.Stream()
        self._placement = Placement(
            device=torch.cuda.get_device_name(),
            runtime=f"{flavour} {trt.__version__}",
            precision=precision,
            reason=reason or "it was built for this GPU",
        )

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """Specs of the inputs."""
        return self._inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """Specs of the outputs."""
        return self._outputs

    def where(self) -> Placement:
        """Device, runtime, precision, and why."""
        return self._placement

    def run(self, inputs: Mapping[str, NDArray[np.generic]]) -> dict[str, NDArray[np.float32]]:
        """Run once.

        Raises:
            EngineError: an input is missing or unknown, has the wrong shape or type, or the run fails.
        """
        check_inputs("this engine", self._inputs, inputs)
        rows = len(next(iter(inputs.values())))
        if self._inputs[0].shape[0] is None and rows > self._most:  # more than it was built for
            parts = [
                self.run({name: array[first : first + self._most] for name, array in inputs.items()})
                for first in range(0, rows, self._most)
            ]
            return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        torch = self._torch
        known = len(self._buffers)
        try:
            with torch.cuda.stream(self._stream):
                buffers = self._bound(inputs)
                for name, array in inputs.items():
                    buffers[name].copy_(torch.from_numpy(np.ascontiguousarray(array)), non_blocking=True)
                done = self._context.execute_async_v3(self._stream.cuda_stream)
                results = {
                    spec.name: buffers[spec.name].to("cpu", torch.float32, copy=True).numpy()
                    for spec in self._outputs
                }
        except RuntimeError as error:
            raise EngineError(f"TensorRT fails: {error}") from error
        if not done:
            raise EngineError("TensorRT refuses to run, and does not say why")
        if len(self._buffers) > known:
            self._keep()
        return results

    def _keep(self) -> None:
        """Keep what TensorRT for RTX has compiled, after the first run with inputs of new shapes."""
        if self._cache is not None and self._kept is not None:
            with contextlib.suppress(OSError):  # no cache: it compiles again at the next start
                self._kept.parent.mkdir(parents=True, exist_ok=True)
                self._kept.write_bytes(bytes(self._cache.serialize()))

    def _created(self, flavour: str) -> Any:
        if flavour != "tensorrt-rtx":
            return self._engine.create_execution_context()
        config = self._engine.create_runtime_config()
        self._cache = config.create_runtime_cache()
        if self._kept is not None:
            with contextlib.suppress(OSError, RuntimeError):  # none, or damaged: it compiles again
                self._cache.deserialize(self._kept.read_bytes())
        config.set_runtime_cache(self._cache)
        return self._engine.create_execution_context(config)

    def _bound(self, inputs: Mapping[str, NDArray[np.generic]]) -> dict[str, Any]:
        """Buffers of these shapes, bound to the context."""
        torch = self._torch
        key = tuple(array.shape for array in inputs.values())
        for name, array in inputs.items():
            self._context.set_input_shape(name, array.shape)
        buffers = self._buffers.get(key)
        if buffers is None:
            buffers = {
                spec.name: torch.empty(
                    tuple(self._context.get_tensor_shape(spec.name)),
                    dtype=getattr(torch, spec.dtype),
                    device=DEVICE,
                )
                for spec in (*self._inputs, *self._outputs)
            }
            self._buffers[key] = buffers
        for name, tensor in buffers.items():
            self._context.set_tensor_address(name, tensor.data_ptr())
        return buffers


def _spec(tensor: Any) -> TensorSpec:
    shape = tuple(None if size < 0 else int(size) for size in tensor.shape)
    return TensorSpec(tensor.name, shape, DTYPES.get(tensor.dtype.name, tensor.dtype.name.lower()))


def _logger(trt: ModuleType) -> Any:
    """A logger that keeps the newest error, and writes nothing: standard error belongs to the user."""

    class Logger(trt.ILogger):  # type: ignore[name-defined,misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.newest = ""

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
                self.newest = message

    return Logger()
