"""The same network with half-precision arithmetic: weights and everything computed are float16 or bfloat16.

Inputs and outputs keep their types: they are cast at the network's edges, so a caller sees no difference but the
rounding. Sums and lengths stay in float32, where float16 would overflow or vanish (`KEPT`).
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from engines.errors import EngineError, MissingExtra

Precision = Literal["float32", "float16", "bfloat16"]
PRECISIONS: tuple[Precision, ...] = ("float32", "float16", "bfloat16")

KEPT = ("ReduceL2", "ReduceSum")
"""Operators that go on in float32: lengths and sums, which float16 may be too small for."""


def in_precision(model: bytes, precision: Precision) -> bytes:
    """The network in that arithmetic.

    Args:
        model: ONNX in float32 (weights may be stored in float16 and cast).
        precision: wanted.

    Raises:
        MissingExtra: the package onnx is not installed.
        EngineError: the network is damaged.
    """
    if precision == "float32":
        return model
    try:
        import onnx
    except ImportError as error:
        raise MissingExtra(
            f"networks are converted with the package onnx ({error}): pip install onnx"
        ) from error
    try:
        proto = onnx.shape_inference.infer_shapes(onnx.load_from_string(model))
    except Exception as error:  # protobuf's exceptions have no common base
        raise EngineError(f"a network of {len(model)} bytes is no ONNX network: {error}") from error
    single = onnx.TensorProto.FLOAT
    wanted = onnx.TensorProto.FLOAT16 if precision == "float16" else onnx.TensorProto.BFLOAT16
    helper = onnx.helper
    scales = {name for node in proto.graph.node if node.op_type == "Resize" for name in node.input[1:]}
    for entry in proto.graph.initializer:
        if entry.name not in scales and entry.data_type in (single, onnx.TensorProto.FLOAT16):
            entry.CopyFrom(_converted(onnx.numpy_helper.to_array(entry), wanted, entry.name, onnx))
    nodes = []
    renamed = {}
    for entry in proto.graph.input:
        if entry.type.tensor_type.elem_type == single:
            renamed[entry.name] = f"{entry.name}_half"
            nodes.append(helper.make_node("Cast", [entry.name], [renamed[entry.name]], to=wanted))
    ends = {entry.name for entry in proto.graph.output if entry.type.tensor_type.elem_type == single}
    for node in proto.graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
        for attribute in node.attribute:
            if attribute.HasField("t") and attribute.t.data_type == single:
                attribute.t.CopyFrom(
                    _converted(onnx.numpy_helper.to_array(attribute.t), wanted, attribute.t.name, onnx)
                )
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == single:
                attribute.i = wanted
        outputs = list(node.output)
        node.output[:] = [f"{name}_half" if name in ends else name for name in outputs]
        if node.op_type in KEPT:
            before = f"{node.output[0]}_single"
            nodes.append(helper.make_node("Cast", [node.input[0]], [before], to=single))
            node.input[0] = before
            after = node.output[0]
            node.output[0] = f"{after}_long"
            nodes += [node, helper.make_node("Cast", [f"{after}_long"], [after], to=wanted)]
        else:
            nodes.append(node)
        nodes += [
            helper.make_node("Cast", [f"{name}_half"], [name], to=single) for name in outputs if name in ends
        ]
    del proto.graph.node[:], proto.graph.value_info[:]
    proto.graph.node.extend(nodes)
    return bytes(proto.SerializeToString())


def _converted(array: Any, wanted: int, name: str, onnx: Any) -> Any:
    """An array as a tensor of that type; what float16 cannot hold becomes its largest."""
    values = np.asarray(array, np.float32)
    if wanted == onnx.TensorProto.FLOAT16:
        limits = np.finfo(np.float16)
        return onnx.numpy_helper.from_array(np.clip(values, limits.min, limits.max).astype(np.float16), name)
    bits = values.view(np.uint32)
    rounded = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)  # to nearest, ties to even
    return onnx.helper.make_tensor(name, wanted, values.shape, rounded.tobytes(), raw=True)
