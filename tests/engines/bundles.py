"""Small networks and bundles for tests, made with the onnx package."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper

from engines.bundle import Card
from engines.skeleton import FEATURES


def network(channels: int, dimension: int = 8, seed: int = 0) -> bytes:
    """A random embedding network: (N, channels, 16, 27) -> tanh of one dense layer -> (N, dimension)."""
    size = channels * 16 * 27
    weights = np.random.default_rng(seed).standard_normal((size, dimension)).astype(np.float32) / np.sqrt(
        size
    )
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["windows"], ["flat"]),
            helper.make_node("MatMul", ["flat", "weights"], ["mixed"]),
            helper.make_node("Tanh", ["mixed"], ["embeddings"]),
        ],
        "embedding",
        [helper.make_tensor_value_info("windows", TensorProto.FLOAT, ["n", channels, 16, 27])],
        [helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, ["n", dimension])],
        [onnx.numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    return bytes(model.SerializeToString())


def card(**changes: object) -> Card:
    """A card for `network()`."""
    fields: dict[str, object] = {
        "name": "slgcn2d",
        "dimension": 8,
        "features": FEATURES,
        "window_lengths": (12, 16),
        "trained_on": ("nothing: random weights",),
        "metrics": {"top1": 0.5},
        "licence": "Apache-2.0",
    }
    return Card(**{**fields, **changes})  # type: ignore[arg-type]
