"""From training runs to a model bundle: networks joined, projected, constants folded, ONNX, background and card."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from calibration.evaluation.oneshot import Embed
from calibration.onnx_export import windows_onnx
from calibration.training.augment import Augmentation, windows
from calibration.training.corpora import Corpus
from calibration.training.projection import Projection
from engines.bundle import Card, ModelBundle
from engines.features import ANGLES, KEYPOINTS, Features
from engines.networks.slgcn import GraphBlock, MaskedNorm, Slgcn, SlgcnShape, along
from engines.resampling import TICKS
from engines.runtime.onnxruntime import OnnxRuntimeEngine

Array = NDArray[np.float32]

NAMES = {KEYPOINTS.name: "slgcn2d", ANGLES.name: "slgcn3d"}
"""What the bundle of an encoder with these features is called, on the wire too."""
WINDOW_LENGTHS = (14, 20, 28)
"""Ticks of the windows that are embedded live. Windows of 10 ticks besides cost a third more and bring false alarms: 4
instead of none over the StartASL sentences, and 9 of 11 signs instead of 10 (`benchmarks/ablation.py`)."""
BACKGROUND = 4000
LARGE_WEIGHT = 1000
"""Values from which on a weight is stored as float16."""
TRAINED_ON = (
    "WLASL v0.3, 1,600 of its glosses, as MediaPipe Hands landmarks of ethanfarah/live-fingering"
    " (C-UDA: results of computation are free)",
    "DGS signing without the 30 signs of Tachionstrahl/SignLanguageRecognition (Apache-2.0), as background",
)


class Joined(nn.Module):
    """Several networks as one encoder: their embeddings side by side, then projected."""

    def __init__(self, networks: Sequence[Slgcn], projection: Projection | None) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.project: nn.Module = nn.Identity()
        if projection is not None:
            matrix, mean = torch.from_numpy(projection.matrix), torch.from_numpy(projection.mean)
            self.project = nn.Linear(*matrix.shape)
            self.project.weight.data.copy_(matrix.T)
            self.project.bias.data.copy_(-mean @ matrix)

    def forward(self, windows: Tensor) -> Tensor:
        """(N, C, 16, V) to rows of unit length (N, D)."""
        rows = F.normalize(torch.cat([network(windows) for network in self.networks], 1), dim=1)
        return F.normalize(self.project(rows), dim=1)


class FoldedBlock(nn.Module):
    """A graph block with all that is constant once trained folded, for ONNX: the same maths in few large products.

    Adjacencies, channel mixing and the normalisation after them are one matrix; so are each attention over joints and
    over ticks, and the temporal convolution with the normalisation after it.
    """

    mix: Tensor
    mix_shift: Tensor
    over_joints: Tensor
    over_ticks: Tensor
    joints_shift: Tensor
    ticks_shift: Tensor
    step: Tensor
    step_shift: Tensor

    def __init__(self, block: GraphBlock, ticks: int) -> None:
        super().__init__()
        graph, attention = block.graph, block.attention
        self.joints, self.stride, self.kernel = graph.joints, block.stride, block.temporal.kernel_size[0]
        scale, shift = _normalisation(block.graph_norm)
        constants = {
            "mix": graph.matrix() * scale.repeat(self.joints),
            "mix_shift": shift.repeat(self.joints),
            "over_joints": along(attention.spatial, self.joints),
            "over_ticks": along(attention.temporal, ticks),
            "joints_shift": _bias(attention.spatial),
            "ticks_shift": _bias(attention.temporal),
        }
        scale, shift = _normalisation(block.norm)
        constants["step"] = (
            (block.temporal.weight[..., 0] * scale[:, None, None]).permute(2, 1, 0).flatten(0, 1)
        )
        constants["step_shift"] = shift
        for name, value in constants.items():
            self.register_buffer(name, value.detach().clone())
        self.squeeze, self.excite, self.shortcut = attention.squeeze, attention.excite, block.shortcut

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """As `GraphBlock` in evaluation mode."""
        ticks, width = x.shape[1], self.step.shape[1]
        y = F.relu((x.flatten(2) @ self.mix + self.mix_shift).reshape(-1, ticks, self.joints, width) * mask)
        at_joints, at_ticks = mask.sum(1), mask.sum(2)
        over_time = y.sum(1) / at_joints.clamp(min=1)
        over_joints = y.sum(2) / at_ticks.clamp(min=1)
        over_both = y.sum((1, 2)) / at_ticks.sum(1).clamp(min=1)
        joints = torch.sigmoid(over_time.flatten(1) @ self.over_joints + self.joints_shift)
        moments = torch.sigmoid(over_joints.flatten(1) @ self.over_ticks + self.ticks_shift)
        channels = torch.sigmoid(self.excite(F.relu(self.squeeze(over_both))))
        y = (
            y
            * ((1 + joints)[:, None, :, None] * (1 + moments)[:, :, None, None])
            * (1 + channels)[:, None, None]
        )
        half = self.kernel // 2
        padded = F.pad(y, (0, 0, 0, 0, half, half))
        taps = [padded[:, first : first + ticks : self.stride] for first in range(self.kernel)]
        known = mask[:, :: self.stride]
        y = torch.cat(taps, 3) @ self.step + self.step_shift
        return F.relu(y * known + self.shortcut(x[:, :: self.stride])) * known, known


def _bias(layer: nn.Conv1d) -> Tensor:
    return torch.zeros(layer.out_channels) if layer.bias is None else layer.bias


def _normalisation(norm: MaskedNorm) -> tuple[Tensor, Tensor]:
    """Scale and shift of a normalisation in evaluation mode."""
    scale = norm.weight * torch.rsqrt(norm.variance + 1e-5)
    return scale, norm.bias - norm.mean * scale


def untrained(seed: int = 0, shape: SlgcnShape | None = None) -> Slgcn:
    """The network as it is before training: the control that no figure of the trained one may be reached by."""
    torch.manual_seed(seed)
    return Slgcn(shape).eval()


def onnx_bytes(networks: Sequence[Slgcn], projection: Projection | None = None) -> bytes:
    """ONNX of one or more networks, "windows" (N, C, 16, V) to "embeddings" (N, D), N free."""
    copies = [copy.deepcopy(network) for network in networks]
    joined = Joined(copies, projection).eval()
    for network in copies:
        ticks = TICKS
        for number, block in enumerate(network.blocks):
            if isinstance(block, GraphBlock):
                network.blocks[number] = FoldedBlock(block, ticks)
                ticks //= block.stride
    return stored_in_half(windows_onnx(joined, torch.zeros(2, *networks[0].features.shape)))


def stored_in_half(model: bytes) -> bytes:
    """The same network with its large weights kept as float16 and cast when it is loaded: half the file.

    It computes in float32 as before; ONNX Runtime folds the casts when the session starts.
    """
    proto = onnx.load_from_string(model)
    casts = []
    for weight in proto.graph.initializer:
        values = onnx.numpy_helper.to_array(weight)
        if values.dtype != np.float32 or values.size < LARGE_WEIGHT:
            continue
        name = weight.name
        stored = onnx.numpy_helper.from_array(values.astype(np.float16), f"{name}.half")
        weight.CopyFrom(stored)
        casts.append(onnx.helper.make_node("Cast", [f"{name}.half"], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *proto.graph.node]
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    onnx.checker.check_model(proto)
    return bytes(proto.SerializeToString())


def runtime_embedder(model: bytes, features: Features) -> Embed:
    """The exported network as a function from windows (L, rows, 3) to unit rows, each computed alone."""
    engine = OnnxRuntimeEngine(model, device="cpu")

    def embed(tracks: list[Array]) -> Array:
        rows = [
            engine.run({"windows": features.window_input(track)[None]})["embeddings"][0] for track in tracks
        ]
        return np.stack(rows)

    return embed


def background_inputs(signs: Corpus, others: Corpus | None, count: int, seed: int = 0) -> Array:
    """Network input of windows that are no gallery's sign: half other signing, half pieces of many glosses' clips.

    All are pieces of clips where no other signing with these features is at hand.
    """
    rng = np.random.default_rng(seed)
    loose = Augmentation(
        whole=0.0, shortest=0.3, longest=1.3, jitter=0.7, context=0.7, drop_body=0.1, mirror=0.1, stretch=0.05
    )
    half = count // 2 if others is not None else 0
    pieces = windows(signs, rng.integers(len(signs), size=count - half), seed + 1, loose)
    if others is None:
        return pieces
    return np.concatenate([windows(others, rng.integers(len(others), size=half), seed, loose), pieces])


def write_bundle(
    folder: Path,
    networks: Sequence[Slgcn],
    projection: Projection | None = None,
    *,
    signs: Corpus,
    others: Corpus | None,
    metrics: dict[str, float],
    notes: str,
    trained_on: tuple[str, ...] | None = None,
    name: str | None = None,
    readme: str | None = None,
) -> ModelBundle:
    """Export networks of one kind of features as the bundle `slgcn2d` or `slgcn3d`.

    Args:
        folder: where to; replaced as a whole.
        networks: of one or more runs, with averaged weights.
        projection: what follows them, if anything.
        signs: the training clips, for the background.
        others: signing that is no gloss's, of the same features, if there is any.
        metrics: measured figures, for the card.
        notes: how it was trained, for the card.
        trained_on: data and their terms, for the card; by default those of WLASL, and of the background where there is one.
        name: of the encoder, on the wire too; by default its modality's.
        readme: the model card in prose.

    Raises:
        BundleError: the bundle cannot be written.
    """
    model = onnx_bytes(networks, projection)
    engine = OnnxRuntimeEngine(model, device="cpu")
    inputs = background_inputs(signs, others, BACKGROUND)
    rows = [engine.run({"windows": inputs[at : at + 100]})["embeddings"] for at in range(0, len(inputs), 100)]
    features = networks[0].features
    card = Card(
        name=name or NAMES[features.name],
        dimension=rows[0].shape[1],
        features=features.name,
        window_lengths=WINDOW_LENGTHS,
        trained_on=trained_on or (TRAINED_ON if others is not None else TRAINED_ON[:1]),
        metrics=metrics,
        licence="Apache-2.0",
        notes=notes,
    )
    return ModelBundle.write(folder, model=model, card=card, background=np.concatenate(rows), readme=readme)
