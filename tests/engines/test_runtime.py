"""ONNX Runtime behind the `Engine` protocol."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from engines.errors import EngineError
from engines.runtime.base import TensorSpec
from engines.runtime.onnxruntime import OnnxRuntimeEngine
from engines.runtime.side_by_side import SideBySide


def affine(type_: int = TensorProto.FLOAT) -> bytes:
    """An ONNX network: y = x @ w + 1 for x (N, 3), w (3, 2)."""
    dtype = helper.tensor_dtype_to_np_dtype(type_)
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "w"], ["xw"]),
            helper.make_node("Add", ["xw", "one"], ["y"]),
        ],
        "affine",
        [helper.make_tensor_value_info("x", type_, ["n", 3])],
        [helper.make_tensor_value_info("y", type_, ["n", 2])],
        [
            onnx.numpy_helper.from_array(np.array([[1, 2], [3, 4], [5, 6]], dtype), "w"),
            onnx.numpy_helper.from_array(np.array(1, dtype), "one"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    return bytes(model.SerializeToString())


@pytest.fixture(scope="module")
def engine() -> OnnxRuntimeEngine:
    return OnnxRuntimeEngine(affine(), device="cpu")


def test_it_computes_what_the_network_says(engine: OnnxRuntimeEngine) -> None:
    outputs = engine.run({"x": np.array([[1, 0, 0], [1, 1, 1]], np.float32)})
    np.testing.assert_array_equal(outputs["y"], [[2, 3], [10, 13]])  # by hand
    assert outputs["y"].dtype == np.float32


def test_it_names_its_inputs_and_outputs(engine: OnnxRuntimeEngine) -> None:
    assert engine.inputs == (TensorSpec("x", (None, 3), "float32"),)
    assert engine.outputs == (TensorSpec("y", (None, 2), "float32"),)


def test_half_precision_comes_out_as_float32() -> None:
    engine = OnnxRuntimeEngine(affine(TensorProto.FLOAT16), device="cpu")
    assert engine.where().precision == "float16"
    outputs = engine.run({"x": np.ones((1, 3), np.float16)})
    assert outputs["y"].dtype == np.float32
    np.testing.assert_array_equal(outputs["y"], [[10, 13]])


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ({}, r"takes the inputs \['x'\], not \[\]"),  # nothing given
        ({"windows": np.ones((1, 3), np.float32)}, r"not \['windows'\]"),  # wrong name
        (
            {"x": np.ones((1, 4), np.float32)},
            r"must be float32 \(any, 3\), not float32 \(1, 4\)",
        ),  # wrong width
        ({"x": np.ones(3, np.float32)}, r"not float32 \(3,\)"),  # no batch axis
        ({"x": np.ones((1, 3))}, "not float64"),  # numpy's default type
    ],
)
def test_wrong_inputs_are_told_what_is_right(
    engine: OnnxRuntimeEngine, inputs: dict[str, NDArray[np.generic]], says: str
) -> None:
    with pytest.raises(EngineError, match=says):
        engine.run(inputs)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(affine()[:-40])
    with pytest.raises(EngineError, match=r"model\.onnx is no network .* restore the file"):
        OnnxRuntimeEngine(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"no network at .*model\.onnx"):
        OnnxRuntimeEngine(tmp_path / "model.onnx")


def test_threads_must_be_positive() -> None:
    with pytest.raises(EngineError, match="at least one thread, not 0"):
        OnnxRuntimeEngine(affine(), threads=0)


def test_a_missing_runtime_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(EngineError, match="pip install onnxruntime"):
        OnnxRuntimeEngine(affine())


def test_it_says_where_it_runs_and_why() -> None:
    import onnxruntime

    placement = OnnxRuntimeEngine(affine()).where()
    assert placement.runtime == f"onnxruntime {onnxruntime.__version__}"
    if placement.device == "cpu":
        assert "CUDA" in placement.reason
    forced = OnnxRuntimeEngine(affine(), device="cpu", threads=2).where()
    assert (forced.device, forced.reason) == ("cpu", "the CPU was asked for (2 threads)")


@pytest.mark.skipif(
    "CUDAExecutionProvider" in __import__("onnxruntime").get_available_providers(),
    reason="this onnxruntime has a CUDA provider",
)
def test_insisting_on_cuda_without_it_fails_with_the_remedy() -> None:
    with pytest.raises(EngineError, match="pip install onnxruntime-gpu"):
        OnnxRuntimeEngine(affine(), device="cuda")


def test_an_idle_engine_takes_no_cpu() -> None:
    """A spinning pool would take most of a core that pose estimation needs."""
    engine = OnnxRuntimeEngine(affine(), threads=2, device="cpu")
    window = {"x": np.ones((100_000, 3), np.float32)}
    engine.run(window)
    before_s = time.process_time()
    for _ in range(10):
        engine.run(window)
        time.sleep(0.04)
    assert time.process_time() - before_s < 0.15  # of 0.4 s; a spinning pool takes 0.3


class Counted(OnnxRuntimeEngine):
    """An engine that notes on which thread it ran how many rows."""

    def __init__(self, *, threads: int) -> None:
        super().__init__(affine(), threads=threads, device="cpu")
        self.runs: list[tuple[int, int]] = []

    def run(self, inputs: Mapping[str, NDArray[np.generic]]) -> dict[str, NDArray[np.float32]]:
        self.runs.append((threading.get_ident(), len(inputs.get("x", ()))))
        return super().run(inputs)


@pytest.mark.parametrize(
    ("rows", "alone", "shared"), [(1, [], [1]), (2, [1, 1], []), (3, [1, 2], []), (7, [3, 4], [])]
)
def test_rows_are_shared_out_among_threads(rows: int, alone: list[int], shared: list[int]) -> None:
    one, both = Counted(threads=1), Counted(threads=2)
    engine = SideBySide(one, both, threads=2)
    x = np.random.default_rng(rows).random((rows, 3), dtype=np.float32)
    np.testing.assert_allclose(engine.run({"x": x})["y"], x @ [[1, 2], [3, 4], [5, 6]] + 1, rtol=1e-6)
    assert sorted(count for _, count in one.runs) == alone
    assert [count for _, count in both.runs] == shared
    assert len({thread for thread, _ in one.runs}) == len(one.runs), "each part on a thread of its own"


def test_what_is_wrong_with_shared_rows_is_said() -> None:
    one, both = Counted(threads=1), Counted(threads=2)
    engine = SideBySide(one, both, threads=2)
    assert (engine.inputs, engine.outputs, engine.where()) == (both.inputs, both.outputs, both.where())
    for inputs in ({}, {"z": np.zeros((4, 3), np.float32)}, {"x": np.zeros((4, 2), np.float32)}):
        with pytest.raises(EngineError, match=r"takes the inputs|must be float32"):
            engine.run(inputs)


def test_memory_that_is_full_is_no_damaged_file(monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime

    def full(*_: object, **__: object) -> None:
        raise RuntimeError("Failed to allocate memory for requested buffer of size 4194304")

    monkeypatch.setattr(onnxruntime, "InferenceSession", full)
    with pytest.raises(EngineError, match=r"does not fit into memory: .*4194304"):
        OnnxRuntimeEngine(affine())


def test_bytes_that_go_in_are_no_arithmetic() -> None:
    """Networks of pictures take uint8 and compute in float32."""
    engine = OnnxRuntimeEngine(affine(), precision="int8")
    assert engine.where().precision == "int8", "as it is told"
    graph = helper.make_graph(
        [helper.make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT)],
        "cast",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, ["n"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n"])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    assert OnnxRuntimeEngine(bytes(model.SerializeToString())).where().precision == "float32"
