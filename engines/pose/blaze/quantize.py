"""The hand network in 8-bit integers, for processors that multiply those faster than float32.

Post-training quantisation with calibrated ranges (Jacob et al., "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference", CVPR 2018): weights by channel, activations by tensor. The first and the last three
convolutions stay float32: quantised as well, they double the error. The body's network is not for it: its landmarks would
wander by 1.2% of the shoulders' width.

`hand_ranges.json` holds what each tensor ranges over, measured by `python -m calibration.hand_ranges`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from engines.errors import EngineError, MissingExtra
from engines.processor import processor_features

RANGES = Path(__file__).with_name("hand_ranges.json")
OPERATORS = ("Conv", "Add", "Clip")
KEPT = 3  # convolutions at either end
FAST = frozenset({"avx512_vnni", "avx_vnni"})
"""Features of a processor that multiply and add four pairs of bytes at a time. Without them ONNX Runtime's products of bytes
may overflow 16 bits, and are no faster."""

Ranges = Mapping[str, tuple[float, float]]


def is_fast_here() -> bool:
    """Whether this processor gains by it (known on Linux alone)."""
    return bool(FAST & processor_features())


def read_ranges() -> dict[str, tuple[float, float]]:
    """Tensor of the converted hand network -> its least and its greatest value."""
    stored = json.loads(RANGES.read_text(encoding="utf-8"))
    return {name: (float(low), float(high)) for name, (low, high) in stored["ranges"].items()}


def quantized(model: bytes, ranges: Ranges) -> bytes:
    """A network whose inner convolutions are of bytes.

    Args:
        model: ONNX, float32, as `to_onnx` makes it.
        ranges: of what `OPERATORS` read and write.

    Raises:
        MissingExtra: the package onnx is not installed.
        EngineError: the network has a tensor without a range.
    """
    try:
        import onnx
        from onnxruntime.quantization.calibrate import CalibrationMethod, TensorsData
        from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
        from onnxruntime.quantization.quant_utils import QuantType
    except ImportError as error:
        raise MissingExtra(
            f"networks are quantised with the package onnx ({error}): pip install onnx"
        ) from error
    network = onnx.load_from_string(model)
    for number, node in enumerate(network.graph.node):
        node.name = f"{node.op_type}{number}"
    convolutions = [node.name for node in network.graph.node if node.op_type == "Conv"]
    written = {node.output[0] for node in network.graph.node if node.op_type in OPERATORS}
    if unknown := sorted(written - ranges.keys()):
        raise EngineError(
            f"there is no range for {len(unknown)} of the network's tensors, {unknown[0]} for one"
        )
    limits = {name: (np.float32(low), np.float32(high)) for name, (low, high) in ranges.items()}
    quantizer = QDQQuantizer(
        network,
        per_channel=True,
        reduce_range=False,
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QUInt8,
        tensors_range=TensorsData(CalibrationMethod.MinMax, limits),
        nodes_to_quantize=[],
        nodes_to_exclude=[*convolutions[:KEPT], *convolutions[-KEPT:]],
        op_types_to_quantize=list(OPERATORS),
        extra_options={"ActivationSymmetric": False},
    )
    quantizer.quantize_model()
    return bytes(quantizer.model.model.SerializeToString())
