"""An encoder of pictures with random weights: everything but right."""

from __future__ import annotations

from pathlib import Path

import pytest

from engines.bundle import Card, ModelBundle
from engines.features import SMALL_I3D


def picture_bundle(folder: Path, *, name: str = "i3d_mlp", lengths: tuple[int, ...] = (16,)) -> ModelBundle:
    """A bundle of the small I3D before training; skips where torch is not installed."""
    torch = pytest.importorskip("torch", reason="needs the extra 'train'")
    pytest.importorskip("onnx", reason="needs the extra 'train'")
    from calibration.onnx_export import windows_onnx
    from engines.networks.small_i3d import SmallI3d, SmallI3dShape

    torch.manual_seed(5)
    network = SmallI3d(SmallI3dShape(width=0.0625, dimension=16)).eval()
    example = torch.zeros(1, *SMALL_I3D.shape, dtype=torch.uint8)
    card = Card(
        name=name,
        dimension=16,
        features=SMALL_I3D.name,
        window_lengths=lengths,
        trained_on=("nothing",),
        metrics={},
        licence="Apache-2.0",
    )
    return ModelBundle.write(folder, model=windows_onnx(network, example), card=card)
