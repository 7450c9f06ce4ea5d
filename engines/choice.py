"""Which runtime executes a network: the best that this machine has, or the one that is asked for, and why."""

from __future__ import annotations

from pathlib import Path

from engines import build
from engines.accuracy import verified
from engines.errors import ConfigError, EngineError, MissingExtra
from engines.precision import PRECISIONS, Precision, in_precision
from engines.runtime.base import Engine
from engines.runtime.onnxruntime import OnnxRuntimeEngine
from engines.runtime.tensorrt import FLAVOURS, TensorrtEngine

AUTO, ONNXRUNTIME, TORCH = "auto", "onnxruntime", "torch"
ENGINES = {
    AUTO: "the best that works here",
    ONNXRUNTIME: "CPU, or CUDA with onnxruntime-gpu",
    TORCH: "PyTorch with CUDA graphs",
    "tensorrt": "NVIDIA TensorRT: never executed",
    "tensorrt-rtx": "TensorRT for RTX: compiled, never executed",
}
"""Name -> what it is, for `--help`."""
CHOICES = (*ENGINES, *(f"{name}:{precision}" for name in ENGINES for precision in PRECISIONS[1:]))
"""What `open_engine` takes: a name, and after a colon its arithmetic where that is not float32."""


def parse_engine(words: str) -> tuple[str, Precision]:
    """`NAME` or `NAME:PRECISION` to an engine and the arithmetic that it is to have, float32 where none is said.

    Raises:
        ConfigError: there is no such engine or arithmetic.
    """
    name, colon, arithmetic = words.partition(":")
    if name not in ENGINES:
        raise ConfigError(f"there is no engine {name!r}: choose one of {', '.join(ENGINES)}")
    for precision in PRECISIONS:
        if not colon or arithmetic == precision:
            return name, precision
    raise ConfigError(f"engine {words!r}: after the colon stands one of {', '.join(PRECISIONS)}")


def open_engine(
    model: bytes, *, name: str = "a network", engine: str = AUTO, threads: int = 1, verify: bool = True
) -> Engine:
    """Make a network ready to run.

    Args:
        model: ONNX, float32.
        name: of the network, for people and the cache.
        engine: one of `CHOICES`; half precision is for GPUs. "auto" without an NVIDIA GPU is ONNX Runtime; with one, TensorRT where an engine has been built
            (building takes too long for a start), else PyTorch, else ONNX Runtime: what does not start, or is too far from
            float32, is passed over, and its reason kept in `where()`.
        threads: CPU threads for one run.
        verify: refuse an engine on a GPU, or in half precision, that is too far from float32.

    Raises:
        ConfigError: there is no engine of that name, or no GPU for half precision.
        MissingExtra: the one that is asked for is not installed.
        EngineError: it does not start, cannot execute the network, or is too far from float32.
    """
    kind, precision = parse_engine(engine)
    if precision != "float32" and not build.gpu_name():
        raise ConfigError(
            f"engine {engine!r}: half precision is for NVIDIA GPUs, and there is none here; leave out :{precision}"
        )
    if kind == AUTO and build.gpu_name():
        passed = []
        for candidate in (*FLAVOURS, TORCH):
            try:
                return _on_gpu(model, name, candidate, precision, insist=False, verify=verify)
            except (MissingExtra, EngineError) as error:
                passed.append(f"{candidate}: {error}")
        return _onnxruntime(model, name, precision, threads, verify=verify, passed_over="; ".join(passed))
    if kind in (AUTO, ONNXRUNTIME):
        return _onnxruntime(model, name, precision, threads, verify=verify)
    return _on_gpu(model, name, kind, precision, insist=True, verify=verify)


def _onnxruntime(
    model: bytes, name: str, precision: Precision, threads: int, *, verify: bool, passed_over: str = ""
) -> OnnxRuntimeEngine:
    opened = OnnxRuntimeEngine(
        in_precision(model, precision), threads=threads, precision=precision, passed_over=passed_over
    )
    if verify and (precision != "float32" or opened.where().device != "cpu"):
        verified(name, model, opened, precision)
    return opened


def _on_gpu(
    model: bytes, name: str, kind: str, precision: Precision, *, insist: bool, verify: bool
) -> Engine:
    """An engine of PyTorch's or TensorRT's, compared with the reference; on a CPU only where PyTorch is insisted on."""
    opened: Engine
    if kind == TORCH:
        from engines.runtime.torch_cuda import TorchEngine  # imports torch: only where it is used

        opened = TorchEngine(in_precision(model, precision), device="auto" if insist else "cuda")
    else:
        made, kept, how = build.built(name, model, kind, precision=precision, now=insist)
        compiled: Path | None = kept.folder / "compiled.cache" if kept else None
        opened = TensorrtEngine(made, kind, precision=precision, runtime_cache=compiled, reason=how)
    if verify and (precision != "float32" or opened.where().device != "cpu"):
        verified(name, model, opened, precision)
    return opened
