"""The same network with fewer nodes, as builders of engines like it: what is constant computed once, what does nothing left out.

ONNX Runtime does the work (its basic optimisations give plain ONNX again). Bytes that go in are made numbers of at once, since
TensorRT takes them nowhere else.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from engines.errors import EngineError, MissingExtra


def simplified(model: bytes) -> bytes:
    """The network with its constants folded and its empty nodes removed; outputs differ by rounding at most.

    Args:
        model: ONNX.

    Raises:
        MissingExtra: the package onnx or onnxruntime is not installed.
        EngineError: the network is damaged.
    """
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        raise MissingExtra(
            f"networks are simplified with the packages onnx and onnxruntime ({error}): pip install onnx onnxruntime"
        ) from error
    try:
        proto = onnx.load_from_string(model)
        _cast_bytes_first(proto, onnx)
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.log_severity_level = 4  # what fails is raised; standard error belongs to the user
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / "model.onnx"
            options.optimized_model_filepath = str(path)
            onnxruntime.InferenceSession(
                proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
            return path.read_bytes()
    except Exception as error:  # protobuf's and onnxruntime's exceptions have no common base
        raise EngineError(f"a network of {len(model)} bytes cannot be simplified: {error}") from error


def _cast_bytes_first(proto: Any, onnx: Any) -> None:
    """Put a cast behind every input of bytes that something else than a cast reads."""
    for entry in proto.graph.input:
        readers = [node for node in proto.graph.node if entry.name in node.input]
        is_bytes = entry.type.tensor_type.elem_type == onnx.TensorProto.UINT8
        if not is_bytes or all(node.op_type == "Cast" for node in readers):
            continue
        number = f"{entry.name}_number"
        for node in readers:
            node.input[:] = [number if name == entry.name else name for name in node.input]
        proto.graph.node.insert(
            0, onnx.helper.make_node("Cast", [entry.name], [number], to=onnx.TensorProto.FLOAT)
        )
        del proto.graph.value_info[:]  # of bytes that are moved about before they are cast
