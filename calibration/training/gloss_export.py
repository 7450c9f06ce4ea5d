"""From a trained streaming transcript network to ONNX with explicit state, and to a bundle."""

from __future__ import annotations

import copy
import io
import warnings

import torch
from torch import Tensor, nn

from calibration.training.export import stored_in_half
from engines.gloss_bundle import FEATURES, SCORES, STATES
from engines.networks.gloss_ctc import GlossCtc, State
from engines.tick_features import STRIDE


class _Step(nn.Module):
    """`GlossCtc.step` with the state as separate tensors."""

    def __init__(self, network: GlossCtc) -> None:
        super().__init__()
        self.network = network

    def forward(self, features: Tensor, first: Tensor, second: Tensor, hidden: Tensor) -> tuple[Tensor, ...]:
        scores, state = self.network.step(features, State(first, second, hidden))
        return scores, state.first, state.second, state.hidden


def gloss_onnx(network: GlossCtc, *, half: bool = True) -> bytes:
    """ONNX of the streaming form: one stream, any number of steps a run, state in and out.

    Args:
        network: streaming form.
        half: store large weights as float16; it computes in float32 all the same.

    Returns:
        A network of `engines.gloss_bundle`'s tensors: features (1, T, V), T a multiple of 4.

    Raises:
        ValueError: it is the offline form.
    """
    if not network.shape.streaming:
        raise ValueError("the offline form cannot run in chunks: export a streaming network")
    step = _Step(copy.deepcopy(network)).eval()
    state = network.start()
    features = torch.zeros(1, 2 * STRIDE, network.shape.inputs)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        torch.onnx.export(
            step,
            (features, state.first, state.second, state.hidden),
            buffer,  # type: ignore[arg-type]  # torch takes a file object too
            input_names=[FEATURES, *STATES],
            output_names=[SCORES, *(f"new_{name}" for name in STATES)],
            dynamic_axes={FEATURES: {1: "T"}, SCORES: {1: "K"}},
            opset_version=17,
            dynamo=False,
        )
    return stored_in_half(buffer.getvalue()) if half else buffer.getvalue()
