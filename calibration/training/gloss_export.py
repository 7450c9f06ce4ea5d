"""From a trained streaming transcript network to ONNX with explicit state, and to a bundle."""

from __future__ import annotations

import copy
from pathlib import Path

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from calibration.onnx_export import onnx_of
from calibration.training.export import stored_in_half
from calibration.training.signed_sentences import SignedSentences
from calibration.training.transcript import errors
from engines.gloss_bundle import FEATURES, SCORES, STATES, GlossBundle, GlossCard
from engines.gloss_stream import GlossStream
from engines.networks.gloss_ctc import GlossCtc, State
from engines.tick_features import STRIDE, Row

Array = NDArray[np.float32]


class _Step(nn.Module):
    """`GlossCtc.step` with the state as separate tensors."""

    def __init__(self, network: GlossCtc) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, features: Tensor, first: Tensor, second: Tensor, hidden: Tensor, *front: Tensor
    ) -> tuple[Tensor, ...]:
        scores, state = self.network.step(features, State(first, second, hidden, front))
        return scores, *state.tensors


def gloss_onnx(network: GlossCtc, *, half: bool = True) -> bytes:
    """ONNX of the streaming form: one stream, any number of steps a run, state in and out.

    Args:
        network: streaming form.
        half: store large weights as float16; it computes in float32 all the same.

    Returns:
        A network of `engines.gloss_bundle`'s tensors: features float32 (1, T, V) or pictures uint8 (1, T, H, W, 3), T a
        multiple of 4.

    Raises:
        ValueError: it is the offline form.
    """
    if not network.shape.streaming:
        raise ValueError("the offline form cannot run in chunks: export a streaming network")
    step = _Step(copy.deepcopy(network)).eval()
    state = network.start()
    pictures = network.shape.front is not None
    features = torch.zeros(
        1, 2 * STRIDE, *network.shape.tick, dtype=torch.uint8 if pictures else torch.float32
    )
    names = [*STATES, *(f"front_{number}" for number in range(len(state.front)))]
    model = onnx_of(
        step,
        (features, *state.tensors),
        inputs=[FEATURES, *names],
        outputs=[SCORES, *(f"new_{name}" for name in names)],
        free={FEATURES: {1: "T"}, SCORES: {1: "K"}},
    )
    return stored_in_half(model) if half else model


def write_gloss_bundle(
    folder: Path,
    network: GlossCtc,
    *,
    features: str,
    glosses: tuple[str, ...],
    test: SignedSentences,
    trained_on: tuple[str, ...],
    notes: str,
) -> GlossBundle:
    """Export a streaming network, measure it as it ships, and write the figures on its card.

    Args:
        folder: of the bundle; replaced as a whole.
        network: in evaluation mode.
        features: name of what its rows are.
        glosses: its vocabulary.
        test: sentences that nothing was chosen by.
        trained_on: for the card.
        notes: for the card.

    Raises:
        BundleError: the bundle cannot be written.
        ValueError: the network is of the offline form.
    """
    card = GlossCard(
        name=folder.name,
        features=features,
        glosses=glosses,
        look_ahead=network.shape.look_ahead,
        trained_on=trained_on,
        metrics={},
        licence="Apache-2.0",
        notes=notes,
    )
    model = gloss_onnx(network)
    bundle = GlossBundle.write(folder, model=model, card=card)
    found = errors([streamed(bundle, test.of(number)) for number in range(len(test))], test)
    metrics = {
        "test_wer": found.wer,
        "test_deletions": found.rate(found.deletions),
        "test_insertions": found.rate(found.insertions),
        "test_substitutions": found.rate(found.substitutions),
        "test_sentences": float(len(test)),
    }
    return GlossBundle.write(folder, model=model, card=msgspec.structs.replace(card, metrics=metrics))


def streamed(bundle: GlossBundle, rows: Row) -> Array:
    """Log-probabilities (K, M + 1) of a sentence's rows (T, ...), tick by tick as live."""
    stream = GlossStream(bundle)
    found = [stream.accept(rows[tick : tick + 1]) for tick in range(len(rows))]
    return np.concatenate([*found, stream.finish()])
