"""ONNX Runtime behind the `Engine` protocol: the CPU default, and CUDA where its provider is installed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from engines.errors import EngineError
from engines.runtime.base import Placement, TensorSpec, check_inputs

Device = Literal["auto", "cpu", "cuda"]

CUDA = "CUDAExecutionProvider"
CPU = "CPUExecutionProvider"
TYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(uint8)": "uint8",
    "tensor(int8)": "int8",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
    "tensor(bool)": "bool",
}


class OnnxRuntimeEngine:
    """A network in an ONNX Runtime session. Calls from several threads at once are safe."""

    def __init__(
        self,
        model: Path | bytes,
        *,
        threads: int = 1,
        device: Device = "auto",
        precision: str = "",
        passed_over: str = "",
    ) -> None:
        """Load and optimise a network.

        Args:
            model: an ONNX file, or its bytes.
            threads: CPU threads that share the work of one run.
            device: "auto" takes CUDA if it can be had and says why it cannot; the others insist.
            precision: of the network's arithmetic, to be told; by default what its first input tells.
            passed_over: which better runtimes do not start here, and why; told by `where()`.

        Raises:
            EngineError: onnxruntime is not installed, the network is damaged or cannot be executed, or the device
                insisted on cannot be had.
        """
        try:
            import onnxruntime
        except ImportError as error:
            raise EngineError(f"ONNX Runtime cannot start ({error}): pip install onnxruntime") from error
        if threads < 1:
            raise EngineError(f"a network needs at least one thread, not {threads}")
        self._called = str(model) if isinstance(model, Path) else f"a network of {len(model)} bytes"
        present = onnxruntime.get_available_providers()
        if device == "cuda" and CUDA not in present:
            raise EngineError(
                f"{self._called} cannot run on CUDA: this onnxruntime {onnxruntime.__version__} has no CUDA "
                "provider: pip install onnxruntime-gpu, or let the device be chosen"
            )
        if isinstance(model, Path) and not model.is_file():
            raise EngineError(f"there is no network at {model}: check the path")
        # TF32 would be the default there: float32 means float32.
        on_gpu: list[Any] = [(CUDA, {"use_tf32": "0"}), CPU]
        wanted = on_gpu if CUDA in present and device != "cpu" else [CPU]
        try:
            self._session = onnxruntime.InferenceSession(
                model, _options(onnxruntime, threads), providers=wanted
            )
        except Exception as error:  # onnxruntime's exceptions have no common base
            if "memory" in str(error).lower():
                raise EngineError(
                    f"{self._called} does not fit into memory: {error}; free some, or another device's with --engine"
                ) from error
            raise EngineError(
                f"{self._called} is no network that onnxruntime {onnxruntime.__version__} can execute; "
                f"restore the file: {error}"
            ) from error
        on_cuda = self._session.get_providers()[0] == CUDA
        if device == "cuda" and not on_cuda:
            raise EngineError(
                f"{self._called} cannot run on CUDA: the provider is installed but does not start; "
                "its CUDA and cuDNN libraries must fit the driver"
            )
        self._inputs = tuple(_spec(entry) for entry in self._session.get_inputs())
        self._outputs = tuple(_spec(entry) for entry in self._session.get_outputs())
        self._placement = Placement(
            device="cuda" if on_cuda else "cpu",
            runtime=f"onnxruntime {onnxruntime.__version__}",
            precision=precision
            or (kind if (kind := self._inputs[0].dtype).startswith("float") else "float32"),
            reason="; ".join(filter(None, [_reason(device, on_cuda, CUDA in present, threads), passed_over])),
        )

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """Specs of the inputs."""
        return self._inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """Specs of the outputs."""
        return self._outputs

    @property
    def metadata(self) -> dict[str, str]:
        """What the network's file says of itself beyond its graph, by name."""
        return dict(self._session.get_modelmeta().custom_metadata_map)

    def where(self) -> Placement:
        """Device, runtime, precision, and why."""
        return self._placement

    def run(self, inputs: Mapping[str, NDArray[np.generic]]) -> dict[str, NDArray[np.float32]]:
        """Run once.

        Args:
            inputs: name -> array, of the shapes and types that `inputs` tells.

        Returns:
            Name -> float32 array, one for each of `outputs`.

        Raises:
            EngineError: an input is missing or unknown, has the wrong shape or type, or the run fails.
        """
        check_inputs(self._called, self._inputs, inputs)
        try:
            results = self._session.run(None, dict(inputs))
        except Exception as error:  # onnxruntime's exceptions have no common base
            shapes = {name: array.shape for name, array in inputs.items()}
            raise EngineError(f"{self._called} fails on inputs of shape {shapes}: {error}") from error
        pairs = zip(self._outputs, results, strict=True)
        return {spec.name: np.asarray(result, np.float32) for spec, result in pairs}


def _options(onnxruntime: Any, threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what fails is raised; standard error belongs to the user
    options.use_deterministic_compute = True
    # Waiting threads would otherwise spin: two threads and a window of 1 ms every 40 ms then take 0.77 of a core
    # instead of 0.04.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _spec(entry: Any) -> TensorSpec:
    shape = tuple(size if isinstance(size, int) else None for size in entry.shape)
    return TensorSpec(entry.name, shape, TYPES.get(entry.type, entry.type))


def _reason(device: Device, on_cuda: bool, has_cuda: bool, threads: int) -> str:
    if on_cuda:
        return "CUDA was asked for" if device == "cuda" else "onnxruntime has a CUDA provider and it starts"
    held = f"{threads} thread{'s' if threads > 1 else ''}"
    if device == "cpu":
        return f"the CPU was asked for ({held})"
    if has_cuda:
        return f"onnxruntime's CUDA provider is installed but does not start ({held} instead)"
    return f"this onnxruntime has no CUDA provider; pip install onnxruntime-gpu on an NVIDIA machine ({held})"
