"""Which runtime executes a network: the best that this machine has, or the one that is asked for, and why."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from engines import build
from engines.accuracy import Refused, verified
from engines.bundle import sha256_of
from engines.errors import ConfigError, EngineError, MissingExtra
from engines.precision import PRECISIONS, Precision, in_precision
from engines.runtime.base import Engine
from engines.runtime.onnxruntime import OnnxRuntimeEngine
from engines.runtime.tensorrt import FLAVOURS, TensorrtEngine, check_usable

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
        engine: one of `CHOICES`; half precision is for GPUs. "auto" without an NVIDIA GPU is ONNX Runtime; with one, TensorRT
            where an engine has been built (building takes too long for a start), else PyTorch, else ONNX Runtime: what does
            not start is passed over. Where half precision is too far from float32, float32 is taken. `where()` tells why.
        threads: CPU threads for one run.
        verify: compare an engine on a GPU, or in half precision, with the reference, and refuse one that is too far off.

    Raises:
        ConfigError: there is no engine of that name, or no GPU for half precision.
        MissingExtra: the one that is asked for is not installed.
        Refused: in float32 it is too far from the reference (ONNX Runtime then goes on on the CPU).
        EngineError: it does not start, or cannot execute the network.
    """
    kind, precision = parse_engine(engine)
    if precision != "float32" and not build.gpu_name():
        raise ConfigError(
            f"engine {engine!r}: half precision is for NVIDIA GPUs, and there is none here; leave out :{precision}"
        )
    wanted = _Wanted(model, name, threads, verify)
    trouble = ""
    if precision != "float32":
        try:
            return _opened(wanted, kind, precision, "")
        except EngineError as error:
            if kind != AUTO and not isinstance(error, Refused):
                raise
            trouble = str(error)  # opened below, when what holds the GPU's memory is gone
    return _opened(wanted, kind, "float32", trouble)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What is to be executed, whatever executes it."""

    model: bytes
    name: str
    threads: int
    verify: bool

    def verified(self, engine: Engine, precision: Precision, made: str = "") -> Engine:
        """That engine, where it is near enough to float32; `made` is the hash of what was built for it."""
        if self.verify and (precision != "float32" or engine.where().device != "cpu"):
            verified(self.name, self.model, engine, precision, made)
        return engine


def _opened(wanted: _Wanted, kind: str, precision: Precision, passed_over: str) -> Engine:
    if kind == AUTO and build.gpu_name():
        passed = [passed_over] if passed_over else []
        for candidate in (*FLAVOURS, TORCH):
            try:
                return _on_gpu(wanted, candidate, precision, "; ".join(passed), insist=False)
            except (MissingExtra, EngineError) as error:
                passed.append(f"{candidate}: {error}")
        passed_over = "; ".join(passed)
    if kind in (AUTO, ONNXRUNTIME):
        return _onnxruntime(wanted, precision, passed_over)
    return _on_gpu(wanted, kind, precision, passed_over, insist=True)


def _onnxruntime(wanted: _Wanted, precision: Precision, passed_over: str) -> Engine:
    """ONNX Runtime on CUDA, where that works and is near enough, else on the CPU; half precision on CUDA alone."""
    if precision != "float32":
        model = in_precision(wanted.model, precision)
        opened = OnnxRuntimeEngine(model, device="cuda", precision=precision, passed_over=passed_over)
        return wanted.verified(opened, precision)
    try:
        return wanted.verified(
            OnnxRuntimeEngine(wanted.model, threads=wanted.threads, passed_over=passed_over), precision
        )
    except EngineError as error:
        passed_over = "; ".join(filter(None, [passed_over, str(error)]))
    return OnnxRuntimeEngine(wanted.model, threads=wanted.threads, device="cpu", passed_over=passed_over)


def _on_gpu(wanted: _Wanted, kind: str, precision: Precision, passed_over: str, *, insist: bool) -> Engine:
    """PyTorch's or TensorRT's engine; on a CPU only where PyTorch is insisted on, in float32."""
    if kind == TORCH:
        from engines.runtime.torch_cuda import TorchEngine  # imports torch: only where it is used

        model = in_precision(wanted.model, precision)
        device: Literal["auto", "cuda"] = "auto" if insist and precision == "float32" else "cuda"
        return wanted.verified(TorchEngine(model, device=device, passed_over=passed_over), precision)
    check_usable(kind)  # before minutes are spent on building what could not be executed
    made, kept, how = build.built(wanted.name, wanted.model, kind, precision=precision, now=insist)
    compiled: Path | None = kept.folder / "compiled.cache" if kept else None
    reason = "; ".join(filter(None, [how, passed_over]))
    engine = TensorrtEngine(made, kind, precision=precision, runtime_cache=compiled, reason=reason)
    return wanted.verified(engine, precision, sha256_of(made.plan))
