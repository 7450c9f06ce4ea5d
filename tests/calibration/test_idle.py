"""A bundle learns what is no signing from the synthetic signer, and galleries made before stay good."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("anny", reason="the synthetic signer needs the package anny")

from calibration.synthesis import streams
from calibration.synthesis.performance import Performance, Signer
from calibration.training import idle
from engines.bundle import ModelBundle
from engines.encoders import BundleEncoder
from engines.features import ANGLES, KEYPOINTS, Features
from engines.skeleton import CHANNELS
from tests.engines.bundles import card, network


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idle, "SIGNERS", 2)
    monkeypatch.setattr(idle, "SECONDS", 6.0)


@pytest.mark.parametrize("features", [KEYPOINTS, ANGLES])
def test_windows_repeat_with_their_seed(features: Features) -> None:
    made = idle.idle_windows(features, (10, 20), count=6)
    assert len(made) == 6
    assert {len(window) for window in made} <= {10, 20}
    for one, other in zip(made, idle.idle_windows(features, (10, 20), count=6), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_bundle_keeps_its_network_and_its_fingerprint(tmp_path: Path) -> None:
    background = np.eye(8, dtype=np.float32)
    before = ModelBundle.write(tmp_path / "b", model=network(CHANNELS), card=card(), background=background)
    after = idle.with_idle(before, count=6)
    assert after.idle is not None
    assert after.idle.shape == (6, 8)
    assert np.linalg.norm(after.idle, axis=1) == pytest.approx(1.0, abs=1e-5)
    assert after.model == before.model
    assert "synthetic signer" in after.card.trained_on[-1]
    assert idle.with_idle(after, count=6).card.trained_on == after.card.trained_on  # told once
    fingerprints = {BundleEncoder(one, estimator="test").fingerprint for one in (before, after)}
    assert len(fingerprints) == 1


@pytest.mark.parametrize("features", [KEYPOINTS, ANGLES])
def test_idling_to_train_on_is_by_others_and_of_no_gloss(
    features: Features, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idle, "CLIPS", 6)
    monkeypatch.setattr(idle, "CLIP", 30)
    drawn: list[int] = []

    def idling(signer: Signer, *, seconds: float, seed: int) -> Performance:
        drawn.append(signer.seed)
        return streams.idling(signer, seconds=seconds, seed=seed)

    monkeypatch.setattr(idle, "idling", idling)
    made = idle.idle_corpus(features)
    assert not set(drawn) & set(range(12)), "a bundle keeps the idling of 0 to 11"
    assert made.gloss.tolist() == [-1] * 6
    assert made.signer.tolist() == [0, 0, 0, 1, 1, 1]
    assert [made.clip(k).shape for k in range(6)] == [(30, features.rows, 3)] * 6
    assert np.isfinite(made.points).any()
