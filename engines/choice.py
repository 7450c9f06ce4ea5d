"""Which runtime executes a network: the best that this machine has, or the one that is asked for, and why."""

from __future__ import annotations

from pathlib import Path

from engines import build
from engines.errors import ConfigError, EngineError, MissingExtra
from engines.precision import Precision, in_precision
from engines.runtime.base import Engine
from engines.runtime.onnxruntime import OnnxRuntimeEngine
from engines.runtime.tensorrt import FLAVOURS, TensorrtEngine

AUTO, ONNXRUNTIME, TORCH = "auto", "onnxruntime", "torch"
ENGINES = {
    AUTO: "the best that works here",
    ONNXRUNTIME: "CPU, or CUDA with onnxruntime-gpu",
    TORCH: "PyTorch with CUDA graphs",
    "tensorrt": "NVIDIA TensorRT",
    "tensorrt-rtx": "TensorRT for RTX",
}
"""Name -> what it is, for `--help`."""


def open_engine(
    model: bytes,
    *,
    name: str = "a network",
    engine: str = AUTO,
    threads: int = 1,
    precision: Precision = "float32",
) -> Engine:
    """Make a network ready to run.

    Args:
        model: ONNX, float32.
        name: of the network, for people and the cache.
        engine: a key of `ENGINES`. "auto" without an NVIDIA GPU is ONNX Runtime; with one, TensorRT where an engine has
            been built (building takes too long for a start), else PyTorch, else ONNX Runtime: what does not start is
            passed over, and its reason kept in `where()`.
        threads: CPU threads for one run.
        precision: arithmetic; half precision is for GPUs, processors without it take seconds a run.

    Raises:
        ConfigError: there is no engine of that name.
        MissingExtra: the one that is asked for is not installed.
        EngineError: it does not start, or cannot execute the network.
    """
    if engine not in ENGINES:
        raise ConfigError(f"there is no engine {engine!r}: choose one of {', '.join(ENGINES)}")
    if engine == ONNXRUNTIME or (engine == AUTO and not build.gpu_name()):
        return OnnxRuntimeEngine(in_precision(model, precision), threads=threads)
    if engine != AUTO:
        return _opened(model, name, engine, precision)
    passed = []
    for candidate in (*FLAVOURS, TORCH):
        try:
            return _opened(model, name, candidate, precision, now=False)
        except (MissingExtra, EngineError) as error:
            passed.append(f"{candidate}: {error}")
    return OnnxRuntimeEngine(in_precision(model, precision), threads=threads, passed_over="; ".join(passed))


def _opened(model: bytes, name: str, engine: str, precision: Precision, *, now: bool = True) -> Engine:
    if engine == TORCH:
        from engines.runtime.torch_cuda import TorchEngine  # imports torch: only where it is used

        return TorchEngine(in_precision(model, precision), device="auto")
    made, kept, _ = build.built(name, model, engine, precision=precision, now=now)
    compiled: Path | None = kept.folder / "compiled.cache" if kept else None
    return TensorrtEngine(made, engine, precision=precision, runtime_cache=compiled)
