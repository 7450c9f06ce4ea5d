"""The network: its folded maths against the plain formula, masks, independence of rows, and its export."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs torch: pip install 'signspot[train]'")
import torch

from calibration.training.export import onnx_bytes, untrained
from engines.features import KEYPOINTS
from engines.networks.slgcn import GraphConvolution, MaskedNorm, Slgcn, adjacency
from engines.resampling import TICKS
from engines.runtime.onnxruntime import OnnxRuntimeEngine
from engines.skeleton import CHANNELS, JOINTS, LEFT_HAND, LEFT_WRIST


def inputs(n: int, seed: int = 0) -> torch.Tensor:
    """Windows (N, C, 16, 27) with joints missing here and there, zero where they miss."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, CHANNELS, TICKS, JOINTS)).astype(np.float32)
    present = (rng.random((n, 1, TICKS, JOINTS)) < 0.7).astype(np.float32)
    x *= present
    x[:, 14:15] = present
    return torch.from_numpy(x)


def test_the_graph_joins_each_finger_to_its_hand_and_each_hand_to_its_arm() -> None:
    towards = adjacency(KEYPOINTS)[1]
    assert towards[LEFT_HAND, LEFT_WRIST] > 0  # hand to arm
    assert towards[LEFT_HAND + 3, LEFT_HAND + 2] > 0  # index tip to its base
    assert towards[LEFT_HAND + 2, LEFT_HAND] > 0  # base to the hand's wrist
    assert (towards > 0).sum() == 26  # a tree over 27 joints: every joint but the nose has one parent


def test_a_graph_convolution_is_the_published_one_folded() -> None:
    torch.manual_seed(0)
    layer = GraphConvolution(6, 16, 8, KEYPOINTS)
    with torch.no_grad():
        layer.adjacency.add_(0.1 * torch.randn_like(layer.adjacency))
    x = torch.randn(2, 3, JOINTS, 6)
    found = layer(x).detach().numpy()
    # the decoupled graph convolution as the paper writes it: per subset k and channel, mix channels, then joints
    a = layer.adjacency.detach().numpy()
    mix = layer.mix.detach().numpy()
    expected = np.zeros((2, 3, JOINTS, 16))
    for k in range(3):
        for channel in range(16):
            own = a[k, channel // 2]
            own = own / (np.linalg.norm(own, axis=0, keepdims=True) + 1e-4)
            mixed = x.numpy() @ mix[k, channel]
            expected[..., channel] += mixed @ own
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_absent_joints_stay_out_of_the_normalisation() -> None:
    torch.manual_seed(0)
    mask = (torch.rand(4, 16, JOINTS, 1) < 0.6).float()
    x = (5 + 2 * torch.randn(4, 16, JOINTS, 8)) * mask
    y = MaskedNorm(8).train()(x, mask)
    seen = y[mask[..., 0] > 0]
    np.testing.assert_allclose(seen.mean(0).detach(), np.zeros(8), atol=1e-3)
    np.testing.assert_allclose(seen.std(0).detach(), np.ones(8), atol=1e-2)
    assert (y[mask[..., 0] == 0] == 0).all()


def test_what_is_written_at_an_absent_joint_does_not_matter() -> None:
    network = untrained()
    x = inputs(3)
    spoilt = x + 7 * (1 - x[:, 14:15])
    spoilt[:, 14] = x[:, 14]
    with torch.inference_mode():
        np.testing.assert_array_equal(network(spoilt).numpy(), network(x).numpy())


def test_the_exported_network_is_the_trained_one_with_rows_independent() -> None:
    network = Slgcn()
    network.train()
    for seed in range(3):  # statistics and gates away from their start
        network(inputs(16, seed))
    for parameter in network.parameters():
        parameter.data.add_(0.02 * torch.randn_like(parameter))
    network.eval()
    x = inputs(5, seed=9)
    with torch.inference_mode():
        expected = network(x).numpy()
    engine = OnnxRuntimeEngine(onnx_bytes([network]), device="cpu")
    together = engine.run({"windows": x.numpy()})["embeddings"]
    np.testing.assert_allclose(together, expected, atol=2e-3)  # large weights are stored as float16
    assert (together * expected).sum(1).min() > 0.9999
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    alone = [engine.run({"windows": x[i : i + 1].numpy()})["embeddings"][0] for i in range(5)]
    np.testing.assert_allclose(alone, together, atol=2e-6)
    again = engine.run({"windows": x[2:3].numpy()})["embeddings"][0]
    np.testing.assert_array_equal(again, alone[2])  # batch 1, as the live path runs it: to the last bit


def test_the_live_path_imports_no_torch() -> None:
    code = "import sys, engines.encoders, engines.skeleton; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
