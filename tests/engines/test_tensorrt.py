"""The TensorRT adapter around a TensorRT of the test's own, whose only network is x -> 2x + 1, computed in the adapter's buffers."""

from __future__ import annotations

import contextlib
import ctypes
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engines.errors import EngineError, MissingExtra
from engines.runtime import tensorrt
from engines.runtime.base import TensorSpec
from engines.runtime.tensorrt import Built, TensorrtEngine

torch = pytest.importorskip("torch")

WIDTH, MOST = 3, 16
BUILT = Built(
    b"a plan",
    (TensorSpec("x", (None, WIDTH), "float32"),),
    (TensorSpec("y", (None, WIDTH), "float32"),),
    MOST,
)


class Context:
    """What executes: reads and writes at the addresses that it is given."""

    def __init__(self, log: list[int]) -> None:
        self.rows, self.addresses, self.log = 0, dict[str, int](), log

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        assert name == "x"
        self.rows = shape[0]
        return True

    def get_tensor_shape(self, name: str) -> tuple[int, int]:
        return self.rows, WIDTH

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return True

    def execute_async_v3(self, stream: int) -> bool:
        self.log.append(self.rows)
        if self.rows > MOST:
            return False
        x, y = (
            np.ctypeslib.as_array((ctypes.c_float * (self.rows * WIDTH)).from_address(self.addresses[name]))
            for name in ("x", "y")
        )
        y[:] = 2 * x + 1
        return True


class Cache:
    """TensorRT for RTX's run-time cache."""

    def __init__(self, fake: Fake) -> None:
        self.fake = fake

    def serialize(self) -> bytes:
        return b"compiled for %d" % len(set(self.fake.runs))

    def deserialize(self, raw: bytes) -> None:
        if not raw.startswith(b"compiled"):
            raise RuntimeError("a damaged cache")
        self.fake.taken_up.append(raw)


class Fake(ModuleType):
    """As much of TensorRT as the adapter uses to execute."""

    __version__ = "11.1"

    class ILogger:
        """Its severities."""

        INTERNAL_ERROR, ERROR, WARNING = range(3)

    def __init__(self) -> None:
        super().__init__("tensorrt")
        self.runs: list[int] = []
        self.taken_up: list[bytes] = []
        self.full = False  # the GPU's memory

    def Runtime(self, logger: Any) -> Any:
        def load(plan: bytes) -> Any:
            if plan != BUILT.plan:
                logger.log(self.ILogger.ERROR, "the version does not match")
                return None
            return SimpleNamespace(
                create_execution_context=context,
                create_runtime_config=lambda: SimpleNamespace(
                    create_runtime_cache=lambda: Cache(self), set_runtime_cache=lambda cache: None
                ),
            )

        def context(config: Any = None) -> Context | None:
            if self.full:
                logger.log(self.ILogger.ERROR, "out of memory")
                return None
            return Context(self.runs)

        return SimpleNamespace(deserialize_cuda_engine=load)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    fake = Fake()
    monkeypatch.setitem(sys.modules, "tensorrt", fake)
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", fake)
    monkeypatch.setattr(tensorrt, "DEVICE", "cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA Test")
    monkeypatch.setattr(torch.cuda, "Stream", lambda: SimpleNamespace(cuda_stream=7))
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: contextlib.nullcontext())
    return fake


def rows(count: int) -> dict[str, NDArray[np.float32]]:
    return {"x": np.random.default_rng(count).random((count, WIDTH), dtype=np.float32)}


@pytest.mark.parametrize("flavour", ["tensorrt", "tensorrt-rtx"])
def test_it_runs_any_number_of_rows(fake: Fake, flavour: str) -> None:
    engine = TensorrtEngine(BUILT, flavour, precision="float16", reason="built: there was none")
    for count in (1, 4, 1, MOST, 40):
        inputs = rows(count)
        np.testing.assert_array_equal(engine.run(inputs)["y"], 2 * inputs["x"] + 1)
    assert fake.runs == [1, 4, 1, 16, 16, 16, 8], "more rows than it was built for are run in parts"
    place = engine.where()
    assert (place.device, place.precision) == ("NVIDIA Test", "float16")
    assert (place.runtime, place.reason) == (f"{flavour} 11.1", "built: there was none")


def test_results_stay_what_they_were(fake: Fake) -> None:
    engine = TensorrtEngine(BUILT, "tensorrt", precision="float32")
    first = engine.run({"x": np.zeros((2, WIDTH), np.float32)})["y"]
    engine.run({"x": np.ones((2, WIDTH), np.float32)})
    np.testing.assert_array_equal(first, 1, "the buffers are used again")


def test_what_is_compiled_for_the_card_is_kept(fake: Fake, tmp_path: Path) -> None:
    kept = tmp_path / "entry" / "compiled.cache"
    engine = TensorrtEngine(BUILT, "tensorrt-rtx", precision="float32", runtime_cache=kept)
    engine.run(rows(1))
    engine.run(rows(4))
    engine.run(rows(4))
    assert kept.read_bytes() == b"compiled for 2"
    TensorrtEngine(BUILT, "tensorrt-rtx", precision="float32", runtime_cache=kept)
    assert fake.taken_up == [b"compiled for 2"]
    kept.write_bytes(b"damaged")
    TensorrtEngine(BUILT, "tensorrt-rtx", precision="float32", runtime_cache=kept).run(rows(1))
    assert kept.read_bytes().startswith(b"compiled"), "a damaged one is made again"


def test_a_cache_that_cannot_be_written_is_done_without(fake: Fake, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    kept = tmp_path / "file" / "compiled.cache"
    engine = TensorrtEngine(BUILT, "tensorrt-rtx", precision="float32", runtime_cache=kept)
    assert engine.run(rows(1))["y"].shape == (1, WIDTH)


def test_an_engine_of_another_version_is_said(fake: Fake) -> None:
    foreign = Built(b"another plan", BUILT.inputs, BUILT.outputs, MOST)
    with pytest.raises(EngineError, match=r"another version .*the version does not match.*engines build"):
        TensorrtEngine(foreign, "tensorrt", precision="float32")


@pytest.mark.parametrize("flavour", ["tensorrt", "tensorrt-rtx"])
def test_a_gpu_whose_memory_is_full_is_said(fake: Fake, flavour: str) -> None:
    fake.full = True
    with pytest.raises(EngineError, match=r"memory full\?.*out of memory.*--engine onnxruntime"):
        TensorrtEngine(BUILT, flavour, precision="float32")


def test_a_run_that_is_refused_and_one_that_fails_are_said(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = TensorrtEngine(BUILT, "tensorrt", precision="float32")
    monkeypatch.setattr(Context, "execute_async_v3", lambda self, stream: False)
    with pytest.raises(EngineError, match="refuses to run"):
        engine.run(rows(1))

    def fails(self: Context, stream: int) -> bool:
        raise RuntimeError("an illegal memory access")

    monkeypatch.setattr(Context, "execute_async_v3", fails)
    with pytest.raises(EngineError, match="an illegal memory access"):
        engine.run(rows(1))


def test_without_a_gpu_it_says_so(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(EngineError, match="tensorrt needs an NVIDIA GPU, and PyTorch finds none"):
        TensorrtEngine(BUILT, "tensorrt", precision="float32")


def test_without_pytorch_it_says_what_to_install(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtra, match=r"signspot\[train\]"):
        TensorrtEngine(BUILT, "tensorrt", precision="float32")
