"""If these fail, encoders that know nothing get a say, or weights are judged on the clips that they were learnt on."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("torch", reason="needs torch: pip install 'signspot[train]'")

from calibration.evaluation.oneshot import Labels, Modality, score_fused
from calibration.training.fusion import learn_fusion, weighted
from engines.bundle import README, ModelBundle
from engines.encoders import BundleEncoder
from engines.skeleton import CHANNELS
from run_stream import main
from tests.engines.bundles import card, network

GLOSSES, CLIPS, DIMENSION = 40, 4, 16


def rows(noise: float, seed: int) -> NDArray[np.float32]:
    """Clips about their gloss's direction; all noise where it is large."""
    rng = np.random.default_rng(seed)
    centres = np.repeat(rng.normal(0, 1, (GLOSSES, DIMENSION)), CLIPS, 0)
    made = centres + noise * rng.normal(0, 1, centres.shape)
    return np.asarray(made / np.linalg.norm(made, axis=1, keepdims=True), np.float32)


def labels() -> Labels:
    return Labels(np.repeat(np.arange(GLOSSES), CLIPS), np.tile(np.arange(CLIPS), GLOSSES))


def modality(noise: float, seed: int) -> Modality:
    background = np.random.default_rng(seed + 100).normal(0, 1, (200, DIMENSION)).astype(np.float32)
    return Modality(rows(noise, seed), background / np.linalg.norm(background, axis=1, keepdims=True), 1.0)


def test_the_better_encoder_counts_more_and_noise_next_to_nothing() -> None:
    learnt = learn_fusion(labels(), [modality(0.6, 0), modality(0.9, 1), modality(50.0, 2)])
    good, fair, none = learnt.weights
    assert good == 1.0
    assert 0.2 < fair < 0.9
    assert none < 0.1
    assert len(learnt.by_fold) == 5


def test_learnt_weights_beat_equal_ones() -> None:
    parts = [modality(0.8, 0), modality(50.0, 2)]
    learnt = learn_fusion(labels(), parts)
    equal, better = (score_fused(labels(), one) for one in (parts, weighted(parts, learnt.weights)))
    assert better.top1 > equal.top1
    assert learnt.top1 == pytest.approx(better.top1, abs=0.06), "on other glosses about as good"


def test_the_same_clips_give_the_same_weights() -> None:
    parts = [modality(0.6, 0), modality(0.9, 1)]
    assert learn_fusion(labels(), parts) == learn_fusion(labels(), parts)


def test_too_few_glosses_are_refused() -> None:
    few = Labels(np.repeat(np.arange(3), 2), np.tile(np.arange(2), 3))
    with pytest.raises(ValueError, match="3 glosses are too few"):
        learn_fusion(few, [Modality(rows(0.5, 0)[:6], None, 1.0)] * 2)


def test_a_card_is_replaced_and_all_else_stays(tmp_path: Path) -> None:
    background = np.eye(8, dtype=np.float32)
    before = ModelBundle.write(
        tmp_path / "b",
        model=network(CHANNELS),
        card=card(),
        background=background,
        idle=background[:2],
        readme="Prose.",
    )
    after = before.with_card(msgspec.structs.replace(before.card, fusion_weight=0.25))
    assert BundleEncoder(after, estimator="test").fusion_weight == 0.25
    assert BundleEncoder(before, estimator="test").fusion_weight == 1.0
    assert (tmp_path / "b" / README).read_text() == "Prose."
    assert after.model == before.model
    assert after.idle is not None
    np.testing.assert_array_equal(after.idle, background[:2])
    fingerprints = {BundleEncoder(one, estimator="test").fingerprint for one in (before, after)}
    assert len(fingerprints) == 1, "galleries stay good"


def test_a_card_without_a_weight_counts_as_one(tmp_path: Path) -> None:
    ModelBundle.write(tmp_path / "b", model=network(CHANNELS), card=card())
    path = tmp_path / "b" / "card.json"
    old = json.loads(path.read_text())
    del old["fusion_weight"]
    path.write_text(json.dumps(old))
    assert ModelBundle.load(tmp_path / "b").card.fusion_weight == 1.0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["slgcn2d"], "give two bundles or more"),
        (["slgcn2d", "i3d_mlp"], "i3d_mlp looks at pictures"),
        (["slgcn2d", "slgcn3d", "--data", "nowhere"], "no data set"),
        (["slgcn2d", "nobody"], "no encoder 'nobody'"),
    ],
)
def test_what_cannot_be_weighed_is_said(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if "--data" not in words and "i3d_mlp" in words:
        words = ["i3d_mlp", "slgcn2d"]  # said before any clip is read
    assert main(["train", "fusion", "--dry-run", *words]) != 0
    assert message in " ".join(capsys.readouterr().err.split())
