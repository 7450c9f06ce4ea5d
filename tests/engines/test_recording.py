"""Without a GPU: nothing that the torch engine does to a network breaks a CUDA graph while it is recorded.

PyTorch's fake tensors carry a device without having one; what would go between CPU and GPU in the middle of a network, or
wait for the GPU, shows. On an H100 exactly that was refused: a resize read its scales back from the device.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra 'train'")

from torch._subclasses.fake_tensor import FakeTensorMode  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

from engines.encoders import find_bundle  # noqa: E402
from engines.gloss_bundle import find_gloss_bundle  # noqa: E402
from engines.gloss_step import one_step  # noqa: E402
from engines.pose.blaze import networks  # noqa: E402
from engines.precision import in_precision  # noqa: E402
from engines.runtime.torch_cuda import READ_HERE, TorchEngine  # noqa: E402


class Recording(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Refuses what a recording refuses."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = func.overloadpacket.__name__
        devices = {one.device.type for one in args if isinstance(one, torch.Tensor)}
        if "cuda" in devices and name in ("_local_scalar_dense", "nonzero", "item"):
            raise AssertionError(f"{name} waits for the GPU")
        found = func(*args, **(kwargs or {}))
        if name in ("_to_copy", "copy_") and isinstance(found, torch.Tensor):
            devices |= {found.device.type}
            assert len(devices) == 1, f"{name} goes between {sorted(devices)}"
        return found


def recorded(model: bytes, rows: int) -> list[tuple[int, ...]]:
    """Shapes of a network's outputs, computed as a recording would."""
    engine = TorchEngine(model, device="cpu")
    values = dict(engine._values)
    with FakeTensorMode(allow_non_fake_inputs=True):
        for name, value in values.items():
            if value is not None and value.is_floating_point() and name not in engine._read_here:
                engine._values[name] = torch.empty(value.shape, dtype=value.dtype, device="cuda")
        inputs = {
            spec.name: torch.empty(
                [size or rows for size in spec.shape], dtype=getattr(torch, spec.dtype), device="cuda"
            )
            for spec in engine.inputs
        }
    # Outside the mode: what is computed from shapes alone stays real, as it does beside a GPU.
    with Recording(), torch.no_grad():  # type: ignore[no-untyped-call]
        return [tuple(found.shape) for found in engine._execute(inputs)]


def _flat_convolution(
    x: Any, weight: Any, bias: Any, stride: list[int], padding: list[int], dilation: list[int], groups: int
) -> Any:
    """`conv1d` as `conv2d`: of the two only this one has a fake on builds of PyTorch without CUDA."""
    sizes = ([1, *stride], [0, *padding], [1, *dilation])
    return torch.conv2d(x.unsqueeze(2), weight.unsqueeze(2), bias, *sizes, groups).squeeze(2)


def _flat_norm(x: Any, mean: Any, variance: Any, scale: Any, bias: Any, *, eps: float) -> Any:
    """`batch_norm` by its formula, for the same reason."""
    shape = [1, -1, *(1 for _ in x.shape[2:])]
    factor = (scale * (variance + eps).rsqrt()).reshape(shape)
    return (x - mean.reshape(shape)) * factor + bias.reshape(shape)


NETWORKS: dict[str, Callable[[], bytes]] = {
    "slgcn2d": lambda: find_bundle("slgcn2d").model,
    "slgcn3d": lambda: find_bundle("slgcn3d").model,
    "i3d_mlp": lambda: find_bundle("i3d_mlp").model,
    "person": lambda: networks.network(networks.PERSON),
    "pose": lambda: networks.network(networks.POSE),
    "recrop": lambda: networks.network(networks.RECROP),
    "hand": lambda: networks.network(networks.HAND),
}


def _flat_layer_norm(x: Any, shape: list[int], scale: Any, bias: Any, epsilon: float) -> Any:
    """`layer_norm` by its formula, over the last axis."""
    apart = x - x.mean(-1, keepdim=True)
    return apart * (apart.square().mean(-1, keepdim=True) + epsilon).rsqrt() * scale + bias


@pytest.mark.parametrize("precision", ["float32", "float16"])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_can_be_recorded(name: str, precision: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "conv1d", _flat_convolution)
    monkeypatch.setattr(torch.nn.functional, "batch_norm", _flat_norm)
    model = in_precision(NETWORKS[name](), precision)
    assert all(shape[0] == 3 for shape in recorded(model, 3))


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_a_step_of_a_transcript_network_can_be_recorded(
    precision: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "conv1d", _flat_convolution)
    monkeypatch.setattr(torch.nn.functional, "layer_norm", _flat_layer_norm)
    bundle = find_gloss_bundle("lexicon60")
    scores, *states = recorded(in_precision(one_step(bundle.model), precision), 1)
    assert scores == (1, 1, len(bundle.card.glosses) + 1)
    assert states == [spec.shape for spec in bundle.card.inputs[1:]]


def test_the_check_sees_what_an_h100_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "Resize" in READ_HERE
    monkeypatch.setattr("engines.runtime.torch_cuda.READ_HERE", ())
    with pytest.raises(Exception, match=r"GPU|cuda|CUDA|data"):
        recorded(networks.network(networks.PERSON), 1)


def test_what_the_file_leaves_open_is_told_as_it_is() -> None:
    """An exporter left the embedding's size open: bundles could not be run by this engine."""
    engine = TorchEngine(find_bundle("slgcn2d").model, device="cpu")
    assert [spec.shape for spec in engine.outputs] == [(None, 128)]
    window = np.random.default_rng(0).random((2, 18, 16, 27), np.float32)
    assert engine.run({"windows": window})["embeddings"].shape == (2, 128)
