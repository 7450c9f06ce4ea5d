"""How much arithmetic a network is, counted from its ONNX graph, and how fast a machine multiplies and copies at best."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray

FLOATS = (1, 10, 16)
"""ONNX's numbers of float32, float16 and bfloat16; weights count as float32, whatever they are kept as."""
COUNTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
FREE = """
Abs Add And AveragePool BatchNormalization Cast Clip Concat Constant ConstantOfShape DepthToSpace Div Equal Exp Expand Flatten
Gather GlobalAveragePool Greater Identity LeakyRelu Less Max MaxPool Min Mul Neg Not Pad Pow PRelu Range Reciprocal ReduceL2
ReduceMax ReduceMean ReduceSum Relu Reshape Resize Shape Sigmoid Slice Softmax Split Sqrt Squeeze Sub Tanh Transpose Unsqueeze
Where
"""
"""Operations of a few steps for each value they give: left out, as is usual, and little beside the products."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a run of a network is at least."""

    gmacs: float  # multiplications with an addition each, 1e9
    mbytes: float  # weights, inputs and outputs, each moved once, 1e6 bytes

    def floor_ms(self, ceilings: Ceilings) -> float:
        """The time under which no run can be: arithmetic or memory, whichever takes longer."""
        arithmetic = 2 * self.gmacs / ceilings.gflops
        return 1e3 * max(arithmetic, self.mbytes / 1e3 / ceilings.gbytes_a_second)


@dataclass(frozen=True, slots=True)
class Ceilings:
    """The best that a device was measured at."""

    gflops: float  # of a large product of matrices, 1e9 a second
    gbytes_a_second: float  # of a large copy, bytes read and written


def count(model: bytes, inputs: Mapping[str, NDArray[np.generic]]) -> Work:
    """Count a network's arithmetic: it is run once, for the sizes of all that it computes.

    Args:
        model: ONNX.
        inputs: name -> array.

    Raises:
        ValueError: an operation that is not known here.
    """
    proto = onnx.load_from_string(model)
    wanted = [entry.name for entry in proto.graph.output]
    del proto.graph.output[:]
    names = [name for node in proto.graph.node for name in node.output if name]
    proto.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    sizes = {name: value.shape for name, value in zip(names, session.run(names, dict(inputs)), strict=True)}
    sizes |= {one.name: tuple(one.dims) for one in proto.graph.initializer}
    sizes |= {name: array.shape for name, array in inputs.items()}
    macs = sum(_macs(node, sizes) for node in proto.graph.node)
    moved = sum(4 * math.prod(one.dims) for one in proto.graph.initializer if one.data_type in FLOATS)
    moved += sum(array.nbytes for array in inputs.values())
    moved += sum(4 * math.prod(sizes[name]) for name in wanted)
    return Work(gmacs=macs / 1e9, mbytes=moved / 1e6)


def _macs(node: Any, sizes: Mapping[str, tuple[int, ...]]) -> int:
    if node.op_type in FREE.split():
        return 0
    if node.op_type not in COUNTED:
        raise ValueError(f"the operation {node.op_type} is not known: say whether it multiplies")
    first, second = (sizes[name] for name in node.input[:2])
    if node.op_type == "ConvTranspose":
        return math.prod(first) * math.prod(second[1:])
    out = math.prod(sizes[node.output[0]])
    if node.op_type == "Conv":
        return out * math.prod(second[1:])  # weights are (out, in a group, kernel...)
    transposed = any(one.name == "transA" and one.i for one in node.attribute)
    return out * (first[0] if transposed else first[-1])


def ceilings(device: str, kind: str = "float32") -> Ceilings:
    """Measure a device: the best of several large products and copies, in random numbers.

    Args:
        device: "cpu" or "cuda".
        kind: of the numbers that are multiplied; the copy is of bytes.
    """
    side, length = (8192, 2**28) if device == "cuda" else (1536, 2**25)
    generator = torch.Generator(device).manual_seed(0)
    a, b = (
        torch.randn(side, side, generator=generator, device=device).to(getattr(torch, kind)) for _ in range(2)
    )
    source = torch.randn(length, generator=generator, device=device)
    target = torch.empty_like(source)
    product_s = _best_s(lambda: a @ b, device)
    copy_s = _best_s(lambda: target.copy_(source), device)
    return Ceilings(gflops=2 * side**3 / product_s / 1e9, gbytes_a_second=8 * length / copy_s / 1e9)


def _best_s(run: Callable[[], Any], device: str, repeats: int = 12) -> float:
    spent = []
    for _ in range(repeats):
        start_s = time.perf_counter()
        run()
        if device == "cuda":
            torch.cuda.synchronize()
        spent.append(time.perf_counter() - start_s)
    return float(np.min(spent[2:]))
