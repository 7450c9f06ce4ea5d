"""TFLite networks to ONNX: the sixteen operators of MediaPipe's body and hand networks, and no others.

Inside, tensors are NCHW, as ONNX Runtime and TensorRT want them; the input takes pictures as they come from the
camera (uint8, NHWC) and scales them itself. Padding that only a convolution reads becomes part of it; outputs that
nobody asked for, and all that leads to them, are left out. The batch is free, whatever the TFLite file fixed it to.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engines.errors import EngineError, MissingExtra
from engines.pose.blaze.tflite import Network, Operator

if TYPE_CHECKING:
    from onnx import NodeProto, TensorProto

OPSET = 17
IR_VERSION = 9  # what ONNX Runtime from 1.16 on reads
ACTIVATIONS = {0: None, 1: "Relu", 3: "Clip"}  # TFLite's fused activations: none, RELU, RELU6
SAME = 0

Axis4 = (0, 3, 1, 2)  # NHWC to NCHW


def to_onnx(network: Network, *, outputs: dict[int, str], low: float, high: float) -> bytes:
    """Convert a network.

    Args:
        network: with one input (1, H, W, 3) of pictures.
        outputs: which of the network's outputs to keep, counted as in the file -> name.
        low: the value that black has in the network's own input.
        high: the value of white.

    Returns:
        An ONNX model: "image" uint8 (N, H, W, 3) to the outputs, float32 (N, ...), laid out as in the TFLite file.

    Raises:
        MissingExtra: the package onnx is not installed.
        EngineError: the network has an operator, or an option of one, that is not supported.
    """
    try:
        import onnx
    except ImportError as error:
        raise MissingExtra(
            f"networks are converted with the package onnx ({error}): pip install onnx"
        ) from error
    writer = _Writer(network, [network.outputs[place] for place in outputs])
    writer.picture(low, high)
    for operator in writer.wanted:
        writer.write(operator)
    for place, name in outputs.items():
        writer.deliver(network.outputs[place], name)
    _, height, width, channels = network.shapes[network.inputs[0]]
    helper = onnx.helper
    image = helper.make_tensor_value_info("image", onnx.TensorProto.UINT8, ["n", height, width, channels])
    results = [
        helper.make_tensor_value_info(
            name, onnx.TensorProto.FLOAT, ["n", *network.shapes[network.outputs[place]][1:]]
        )
        for place, name in outputs.items()
    ]
    graph = helper.make_graph(writer.nodes, "blaze", [image], results, list(writer.tensors.values()))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


class _Writer:
    """ONNX nodes of one network, made operator by operator."""

    def __init__(self, network: Network, ends: Sequence[int]) -> None:
        self.network = network
        self.nodes: list[NodeProto] = []
        self.tensors: dict[str, TensorProto] = {}
        self.wanted = _needed(network, ends)
        self._readers = Counter(i for operator in self.wanted for i in operator.inputs)
        self._readers.update(ends)
        self._padding: dict[
            int, tuple[int, tuple[int, int, int, int]]
        ] = {}  # tensor -> source, top left bottom right
        self._convolved = (
            {i for operator in self.wanted if _valid_convolution(operator) for i in operator.inputs[:1]}
            - {i for operator in self.wanted if not _valid_convolution(operator) for i in operator.inputs}
            - {*ends}
        )
        self._handlers: dict[str, Callable[[Operator], None]] = {
            "CONV_2D": self._convolution,
            "DEPTHWISE_CONV_2D": self._convolution,
            "ADD": self._add,
            "PAD": self._pad,
            "RESIZE_BILINEAR": self._resize,
            "MAX_POOL_2D": self._max_pool,
            "PRELU": self._prelu,
            "DEPTH_TO_SPACE": self._depth_to_space,
            "RESHAPE": self._reshape,
            "CONCATENATION": self._concatenation,
            "MEAN": self._mean,
            "FULLY_CONNECTED": self._fully_connected,
            "LOGISTIC": self._logistic,
            "STRIDED_SLICE": self._strided_slice,
        }  # DEQUANTIZE and DENSIFY are of constants, and done when the file is read

    def write(self, operator: Operator) -> None:
        handler = self._handlers.get(operator.kind)
        if handler is None:
            raise EngineError(f"operator {operator.kind} is not supported")
        handler(operator)

    def picture(self, low: float, high: float) -> None:
        """From uint8 NHWC to the network's input, NCHW."""
        scale = self._constant("scale", np.array((high - low) / 255, np.float32))
        self._node("Cast", ["image"], "float", to=1)  # first: TensorRT takes bytes for nothing else
        self._node("Transpose", ["float"], "planes", perm=list(Axis4))
        start = _name(self.network.inputs[0])
        self._node("Mul", ["planes", scale], start if low == 0 else "scaled")
        if low != 0:
            self._node("Add", ["scaled", self._constant("low", np.array(low, np.float32))], start)

    def deliver(self, tensor: int, name: str) -> None:
        """An output under its name, in the TFLite file's layout."""
        if len(self.network.shapes[tensor]) == 4:
            self._node("Transpose", [_name(tensor)], name, perm=[0, 2, 3, 1])
        else:
            self._node("Identity", [_name(tensor)], name)

    def _node(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        import onnx

        self.nodes.append(onnx.helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def _constant(self, name: str, value: NDArray[Any]) -> str:
        import onnx

        if name not in self.tensors:
            self.tensors[name] = onnx.numpy_helper.from_array(np.ascontiguousarray(value), name)
        return name

    def _value(self, tensor: int) -> NDArray[Any]:
        try:
            return self.network.constants[tensor]
        except KeyError:
            raise EngineError(f"tensor {tensor} should be a constant and is computed") from None

    def _activated(self, operator: Operator, kind: str, inputs: Sequence[str], **attributes: Any) -> None:
        """A node, and the activation that TFLite fused with it."""
        code = operator.options.get("fusedActivationFunction", 0)
        if code not in ACTIVATIONS:
            raise EngineError(f"fused activation {code} of {operator.kind} is not supported")
        activation, output = ACTIVATIONS[code], _name(operator.outputs[0])
        if activation is None:
            self._node(kind, inputs, output, **attributes)
            return
        before = self._node(kind, inputs, f"{output}_linear", **attributes)
        limits = [
            self._constant("zero", np.array(0, np.float32)),
            self._constant("six", np.array(6, np.float32)),
        ]
        self._node(activation, [before, *limits] if activation == "Clip" else [before], output)

    def _convolution(self, operator: Operator) -> None:
        source, weights, bias = operator.inputs
        kernel = self._value(weights)
        depthwise = operator.kind == "DEPTHWISE_CONV_2D"
        # TFLite: (out, h, w, in), depthwise (1, h, w, out); ONNX: (out, in of a group, h, w).
        kernel = kernel.transpose(3, 0, 1, 2) if depthwise else kernel.transpose(0, 3, 1, 2)
        strides = (operator.options["strideH"], operator.options["strideW"])
        if operator.options.get("dilationHFactor", 1) != 1 or operator.options.get("dilationWFactor", 1) != 1:
            raise EngineError("dilated convolutions are not supported")
        pads = (0, 0, 0, 0)
        if source in self._padding:
            source, pads = self._padding[source]
        elif operator.options["padding"] == SAME:
            pads = _same(self.network.shapes[source][1:3], kernel.shape[2:], strides)
        name = _name(operator.outputs[0])
        inputs = [_name(source), self._constant(f"{name}_kernel", kernel)]
        inputs.append(self._constant(f"{name}_bias", self._value(bias)))
        self._activated(
            operator,
            "Conv",
            inputs,
            kernel_shape=list(kernel.shape[2:]),
            strides=list(strides),
            pads=list(pads),
            group=kernel.shape[0] if depthwise else 1,
        )

    def _add(self, operator: Operator) -> None:
        self._activated(operator, "Add", [_name(i) for i in operator.inputs])

    def _pad(self, operator: Operator) -> None:
        source, widths = operator.inputs[0], self._value(operator.inputs[1])
        output = operator.outputs[0]
        (top, bottom), (left, right) = widths[1].tolist(), widths[2].tolist()
        if not widths[[0, 3]].any() and output in self._convolved:
            self._padding[output] = source, (top, left, bottom, right)
            return
        order = list(Axis4)
        amounts = np.concatenate([widths[order, 0], widths[order, 1]]).astype(np.int64)
        pads = self._constant(f"{_name(output)}_pads", amounts)
        self._node("Pad", [_name(source), pads], _name(output))

    def _resize(self, operator: Operator) -> None:
        options = operator.options
        if options.get("alignCorners") or not options.get("halfPixelCenters"):
            raise EngineError("RESIZE_BILINEAR is only supported with half-pixel centres")
        output = operator.outputs[0]
        before, after = self.network.shapes[operator.inputs[0]], self.network.shapes[output]
        scales = np.array([1, 1, after[1] / before[1], after[2] / before[2]], np.float32)
        inputs = [_name(operator.inputs[0]), "", self._constant(f"{_name(output)}_scales", scales)]
        self._node(
            "Resize", inputs, _name(output), mode="linear", coordinate_transformation_mode="half_pixel"
        )

    def _max_pool(self, operator: Operator) -> None:
        options = operator.options
        kernel = (options["filterHeight"], options["filterWidth"])
        strides = (options["strideH"], options["strideW"])
        shape = self.network.shapes[operator.inputs[0]][1:3]
        pads = _same(shape, kernel, strides) if options["padding"] == SAME else (0, 0, 0, 0)
        self._activated(
            operator,
            "MaxPool",
            [_name(operator.inputs[0])],
            kernel_shape=list(kernel),
            strides=list(strides),
            pads=list(pads),
        )

    def _prelu(self, operator: Operator) -> None:
        slope = self._value(operator.inputs[1])
        if slope.shape[:-1].count(1) != slope.ndim - 1:
            raise EngineError("PRELU is only supported with one slope a channel")
        name, source = _name(operator.outputs[0]), _name(operator.inputs[0])
        slopes = slope.reshape(-1, 1, 1, 1)
        # relu(x) - slope relu(-x), the products convolutions: ONNX Runtime keeps those in its blocked layout and a
        # PRelu not.
        options = {"kernel_shape": [1, 1], "group": len(slopes)}
        minus = self._constant(f"{name}_minus", np.full_like(slopes, -1))
        self._node("Conv", [source, minus], f"{name}_negated", **options)
        below = self._node("Relu", [f"{name}_negated"], f"{name}_below")
        scaled = self._node(
            "Conv", [below, self._constant(f"{name}_slope", -slopes)], f"{name}_leak", **options
        )
        self._node("Add", [scaled, self._node("Relu", [source], f"{name}_above")], name)

    def _depth_to_space(self, operator: Operator) -> None:
        block = operator.options["blockSize"]
        self._node(
            "DepthToSpace",
            [_name(operator.inputs[0])],
            _name(operator.outputs[0]),
            blocksize=block,
            mode="DCR",
        )

    def _reshape(self, operator: Operator) -> None:
        source, output = operator.inputs[0], operator.outputs[0]
        name = _name(source)
        before, after = self.network.shapes[source], self.network.shapes[output]
        if len(after) == 4:
            raise EngineError("RESHAPE to four axes is not supported")
        if len(before) == 4 and before[1:3] != (1, 1):
            name = self._node("Transpose", [name], f"{_name(output)}_rows", perm=[0, 2, 3, 1])
        shape = self._constant(f"{_name(output)}_shape", np.array([0, *after[1:]], np.int64))
        if len(after) > 2 or len(before) != 4:
            shape = self._constant(f"{_name(output)}_free", np.array([0, -1, *after[2:]], np.int64))
        self._node("Reshape", [name, shape], _name(output))

    def _concatenation(self, operator: Operator) -> None:
        axis = operator.options["axis"]
        if len(self.network.shapes[operator.outputs[0]]) == 4:
            axis = Axis4.index(axis % 4)
        self._activated(operator, "Concat", [_name(i) for i in operator.inputs], axis=axis)

    def _mean(self, operator: Operator) -> None:
        axes = sorted(self._value(operator.inputs[1]).ravel().tolist())
        if axes != [1, 2] or operator.options.get("keepDims"):
            raise EngineError("MEAN is only supported over height and width")
        self._node(
            "ReduceMean", [_name(operator.inputs[0])], _name(operator.outputs[0]), axes=[2, 3], keepdims=0
        )

    def _fully_connected(self, operator: Operator) -> None:
        source, weights, bias = operator.inputs
        if len(self.network.shapes[source]) != 2:
            raise EngineError("FULLY_CONNECTED is only supported on rows")
        name = _name(operator.outputs[0])
        inputs = [_name(source), self._constant(f"{name}_weights", self._value(weights))]
        inputs.append(self._constant(f"{name}_bias", self._value(bias)))
        self._activated(operator, "Gemm", inputs, transB=1)

    def _logistic(self, operator: Operator) -> None:
        self._node("Sigmoid", [_name(operator.inputs[0])], _name(operator.outputs[0]))

    def _strided_slice(self, operator: Operator) -> None:
        source, *rest = operator.inputs
        begin, end, step = (self._value(i).astype(np.int64) for i in rest)
        options = operator.options
        masks = ("beginMask", "endMask", "ellipsisMask", "newAxisMask", "shrinkAxisMask")
        if any(options.get(mask) for mask in masks) or len(begin) != 4:
            raise EngineError("STRIDED_SLICE is only supported on four axes without masks")
        name = _name(operator.outputs[0])
        order = list(Axis4[1:])  # the batch is whole
        parts = {"begin": begin[order], "end": end[order], "axes": np.array([1, 2, 3]), "step": step[order]}
        inputs = [self._constant(f"{name}_{part}", value) for part, value in parts.items()]
        self._node("Slice", [_name(source), *inputs], name)


def _name(tensor: int) -> str:
    return f"t{tensor}"


def _valid_convolution(operator: Operator) -> bool:
    return operator.kind in ("CONV_2D", "DEPTHWISE_CONV_2D") and operator.options["padding"] != SAME


def _same(size: Sequence[int], kernel: Sequence[int], strides: Sequence[int]) -> tuple[int, int, int, int]:
    """TensorFlow's SAME padding as (top, left, bottom, right): the odd one goes to the end."""
    pads = []
    for length, width, stride in zip(size, kernel, strides, strict=True):
        total = max((-(-length // stride) - 1) * stride + width - length, 0)
        pads.append((total // 2, total - total // 2))
    return pads[0][0], pads[1][0], pads[0][1], pads[1][1]


def _needed(network: Network, ends: Sequence[int]) -> list[Operator]:
    """The operators that the tensors in `ends` depend on, in order."""
    wanted, kept = set(ends), []
    for operator in reversed(network.operators):
        if wanted & set(operator.outputs):
            wanted |= set(operator.inputs)
            kept.append(operator)
    return kept[::-1]
