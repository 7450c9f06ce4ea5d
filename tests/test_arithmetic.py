"""Counting a network's arithmetic: if it is wrong, so is every distance from a floor that the benchmark tells."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
torch = pytest.importorskip("torch", reason="needs the extra 'train'")

from onnx import TensorProto, helper  # noqa: E402

from benchmarks.arithmetic import Ceilings, Work, count  # noqa: E402


def network(op: str, x: list[int], weight: list[int] | None, **attributes: Any) -> bytes:
    """One operation on x, with random weights."""
    weights = []
    if weight:
        values = np.ones(weight, np.float32)
        weights = [onnx.numpy_helper.from_array(values, "w")]
    node = helper.make_node(op, ["x", *(["w"] if weight else [])], ["y"], **attributes)
    graph = helper.make_graph(
        [node],
        "one",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


@pytest.mark.parametrize(
    ("op", "x", "weight", "attributes", "macs"),
    [
        # 3x3 over 8 channels to 16, on 10x12 places, padded: 10 * 12 * 16 * 8 * 9
        ("Conv", [1, 8, 10, 12], [16, 8, 3, 3], {"pads": [1, 1, 1, 1]}, 138_240),
        # depthwise: each channel has its own 5x5; stride 2 leaves 3x4 places: 3 * 4 * 8 * 25
        ("Conv", [1, 8, 6, 8], [8, 1, 5, 5], {"pads": [2, 2, 2, 2], "group": 8, "strides": [2, 2]}, 2_400),
        # every one of 4x4 places of 8 channels adds to 2x2 of 6 channels: 16 * 8 * 6 * 4
        ("ConvTranspose", [1, 8, 4, 4], [8, 6, 2, 2], {"strides": [2, 2]}, 3_072),
        ("MatMul", [2, 7, 5], [5, 3], {}, 2 * 7 * 5 * 3),
        ("Gemm", [4, 6], [9, 6], {"transB": 1}, 4 * 6 * 9),
        ("Gemm", [6, 4], [6, 9], {"transA": 1}, 4 * 6 * 9),
        ("Relu", [4, 6], None, {}, 0),
    ],
)
def test_products_are_counted_as_by_hand(
    op: str, x: list[int], weight: list[int] | None, attributes: dict[str, Any], macs: int
) -> None:
    work = count(network(op, x, weight, **attributes), {"x": np.zeros(x, np.float32)})
    assert work.gmacs * 1e9 == pytest.approx(macs)


def test_bytes_are_weights_inputs_and_outputs_once() -> None:
    work = count(network("MatMul", [7, 5], [5, 3]), {"x": np.zeros((7, 5), np.float32)})
    assert work.mbytes * 1e6 == pytest.approx(4 * (5 * 3 + 7 * 5 + 7 * 3))


def test_what_is_not_known_is_refused() -> None:
    with pytest.raises(ValueError, match="Softplus"):
        count(network("Softplus", [3], None), {"x": np.zeros(3, np.float32)})


def test_the_floor_is_what_takes_longer() -> None:
    ceilings = Ceilings(gflops=100.0, gbytes_a_second=10.0)
    assert Work(gmacs=1.0, mbytes=1.0).floor_ms(ceilings) == pytest.approx(20.0)  # 2e9 / 1e11 s
    assert Work(gmacs=0.001, mbytes=50.0).floor_ms(ceilings) == pytest.approx(5.0)  # 5e7 / 1e10 s
