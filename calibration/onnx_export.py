"""PyTorch networks to ONNX, as all of Signspot's bundles hold them."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

OPSET = 17


def onnx_of(
    network: nn.Module,
    example: tuple[Tensor, ...],
    *,
    inputs: Sequence[str],
    outputs: Sequence[str],
    free: Mapping[str, Mapping[int, str]],
) -> bytes:
    """Trace a network.

    Args:
        network: in evaluation mode.
        example: one tensor for each input.
        inputs: their names.
        outputs: names of what it gives.
        free: tensor -> axis -> its name, for the axes whose length is not fixed.
    """
    buffer = io.BytesIO()
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # the exporter's own deprecations, and sizes that it traces as constants
        torch.onnx.export(
            network,
            example,
            buffer,  # type: ignore[arg-type]  # torch takes a file object too
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_axes={name: dict(axes) for name, axes in free.items()},
            opset_version=OPSET,
            dynamo=False,
        )
    return buffer.getvalue()


def windows_onnx(network: nn.Module, example: Tensor) -> bytes:
    """An encoder's network, "windows" (N, ...) to "embeddings" (N, D), N free."""
    return onnx_of(
        network,
        (example,),
        inputs=["windows"],
        outputs=["embeddings"],
        free={"windows": {0: "N"}, "embeddings": {0: "N"}},
    )
