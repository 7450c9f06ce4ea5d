"""The encoder that runs a model bundle."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engines import skeleton
from engines.bundle import ModelBundle
from engines.encoders import BundleEncoder, Encoder, load_encoder
from engines.errors import BundleError
from engines.landmarks import Landmarks
from tests.engines.bundles import card, network

ESTIMATOR = "holistic-0.10.21-c1"
SHIPPED = Path(skeleton.__file__).parent / "weights"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> ModelBundle:
    folder = tmp_path_factory.mktemp("bundles") / "slgcn2d"
    return ModelBundle.write(folder, model=network(skeleton.CHANNELS), card=card())


@pytest.fixture(scope="module")
def encoder(bundle: ModelBundle) -> BundleEncoder:
    return BundleEncoder(bundle, estimator=ESTIMATOR)


def signer(seed: int, width: int = 640, height: int = 480) -> Landmarks:
    """Somebody with both hands up, all visible."""
    random = np.random.default_rng(seed)
    uniform: Callable[..., NDArray[np.float64]] = random.uniform
    parts = {
        "pose": np.concatenate([uniform(0.2, 0.8, (33, 3)), np.ones((33, 1))], axis=1),
        "left_hand": uniform(0.2, 0.8, (21, 3)),
        "right_hand": uniform(0.2, 0.8, (21, 3)),
        "pose_world": uniform(-0.5, 0.5, (33, 3)),
        "left_hand_world": uniform(-0.1, 0.1, (21, 3)),
        "right_hand_world": uniform(-0.1, 0.1, (21, 3)),
    }
    arrays: dict[str, Any] = {name: value.astype(np.float32) for name, value in parts.items()}
    return Landmarks(**arrays, width=width, height=height, estimator=ESTIMATOR)


def window(encoder: Encoder, seed: int, ticks: int) -> NDArray[np.float32]:
    return np.stack([encoder.prepare(signer(1000 * seed + tick)) for tick in range(ticks)])


def test_it_offers_what_an_encoder_offers(encoder: BundleEncoder) -> None:
    checked: Encoder = encoder
    assert (checked.name, checked.dimension, checked.window_lengths) == ("slgcn2d", 8, (12, 16))
    assert checked.where().runtime.startswith("onnxruntime")


def test_embeddings_are_what_the_network_gives_at_unit_length(
    encoder: BundleEncoder, bundle: ModelBundle
) -> None:
    import onnx
    from onnx.reference import ReferenceEvaluator

    ticks = window(encoder, 1, 16)
    features = skeleton.window_input(ticks)[np.newaxis]
    reference = ReferenceEvaluator(onnx.load_from_string(bundle.model))
    [raws] = reference.run(None, {"windows": features})
    raw = np.asarray(raws)[0]
    embedding = encoder.embed([ticks])
    assert embedding.shape == (1, 8)
    assert embedding.dtype == np.float32
    np.testing.assert_allclose(embedding[0], raw / np.linalg.norm(raw), atol=1e-5)


def test_a_row_depends_on_its_own_window_alone(encoder: BundleEncoder) -> None:
    """Else a gallery would score differently with another sign beside it, and replay would not be exact."""
    windows = [window(encoder, seed, ticks) for seed, ticks in enumerate((12, 16, 16, 30, 2))]
    together = encoder.embed(windows)
    for row, alone in enumerate(windows):
        np.testing.assert_array_equal(together[row], encoder.embed([alone])[0])
    np.testing.assert_array_equal(encoder.embed(windows[::-1])[::-1], together)
    assert encoder.embed([]).shape == (0, 8)


def test_the_number_of_threads_changes_no_bit(bundle: ModelBundle, encoder: BundleEncoder) -> None:
    """A gallery enrolled with one thread is used live with two."""
    windows = [window(encoder, seed, 16) for seed in range(3)]
    two = BundleEncoder(bundle, estimator=ESTIMATOR, threads=2)
    np.testing.assert_array_equal(two.embed(windows), encoder.embed(windows))


def test_a_window_in_which_nobody_is_seen_has_an_embedding(encoder: BundleEncoder) -> None:
    absent = encoder.prepare(Landmarks.absent(640, 480, ESTIMATOR))
    embedding = encoder.embed([np.stack([absent] * 16)])
    np.testing.assert_array_equal(embedding, 0)  # this network has no bias: similar to nothing


def test_a_mirrored_camera_sees_the_same_sign(bundle: ModelBundle, encoder: BundleEncoder) -> None:
    """Flipping the picture swaps the sides; the mirrored encoder must undo both."""
    turned_back = BundleEncoder(bundle, estimator=ESTIMATOR, mirrored=True)
    assert turned_back.fingerprint == encoder.fingerprint, "one gallery serves both kinds of camera"
    person = signer(7)
    order = list(range(33))
    for left, right in [(11, 12), (13, 14), (15, 16)]:  # shoulders, elbows, wrists
        order[left], order[right] = right, left
    flip = np.array([-1, 1, 1], np.float32)
    shift = np.array([1, 0, 0], np.float32)
    pose = person.pose[order].copy()
    pose[:, 0] = 1 - pose[:, 0]
    seen = Landmarks(
        pose=pose,
        left_hand=person.right_hand * flip + shift,
        right_hand=person.left_hand * flip + shift,
        pose_world=person.pose_world[order] * flip,
        left_hand_world=person.right_hand_world * flip,
        right_hand_world=person.left_hand_world * flip,
        width=640,
        height=480,
        estimator=ESTIMATOR,
    )
    np.testing.assert_allclose(turned_back.prepare(seen), encoder.prepare(person), atol=1e-6)


@pytest.mark.parametrize(
    "change",
    [
        {"estimator": "blaze-1"},  # another pose estimator
        {"window_lengths": (16,)},  # other windows
        {"seed": 1},  # other weights
    ],
)
def test_the_fingerprint_tells_encoders_apart(
    tmp_path: Path, encoder: BundleEncoder, change: dict[str, object]
) -> None:
    change = dict(change)
    estimator = str(change.pop("estimator", ESTIMATOR))
    seed = int(str(change.pop("seed", 0)))
    model = network(skeleton.CHANNELS, seed=seed)
    other = ModelBundle.write(tmp_path / "other", model=model, card=card(**change))
    assert BundleEncoder(other, estimator=estimator).fingerprint != encoder.fingerprint


def test_the_fingerprint_does_not_depend_on_place_or_prose(tmp_path: Path, encoder: BundleEncoder) -> None:
    model = network(skeleton.CHANNELS)
    moved = ModelBundle.write(tmp_path / "moved", model=model, card=card(notes="measured again", metrics={}))
    assert BundleEncoder(moved, estimator=ESTIMATOR).fingerprint == encoder.fingerprint


def test_weights_for_other_features_are_refused(tmp_path: Path) -> None:
    old = ModelBundle.write(
        tmp_path / "old", model=network(skeleton.CHANNELS), card=card(features="skeleton27-0")
    )
    with pytest.raises(BundleError, match="was trained on features 'skeleton27-0'"):
        BundleEncoder(old, estimator=ESTIMATOR)


@pytest.mark.parametrize(
    ("channels", "dimension"),
    [
        (3, 8),  # a network for other windows
        (skeleton.CHANNELS, 16),  # a network of another dimension
    ],
)
def test_a_network_that_does_not_fit_its_card_is_refused(
    tmp_path: Path, channels: int, dimension: int
) -> None:
    wrong = ModelBundle.write(tmp_path / "wrong", model=network(channels, dimension), card=card())
    with pytest.raises(BundleError, match="network and card do not belong together"):
        BundleEncoder(wrong, estimator=ESTIMATOR)


def test_a_bundle_is_loaded_by_its_folder(bundle: ModelBundle, encoder: BundleEncoder) -> None:
    loaded = load_encoder(str(bundle.folder), estimator=ESTIMATOR)
    assert loaded.fingerprint == encoder.fingerprint
    assert loaded.background is None


def test_an_unknown_encoder_is_named() -> None:
    with pytest.raises(
        BundleError, match="there is no encoder 'nonsense': give a bundle's folder, or one of"
    ):
        load_encoder("nonsense", estimator=ESTIMATOR)


def test_the_shipped_encoder_is_whole_and_says_where_it_comes_from() -> None:
    encoder = load_encoder(estimator=ESTIMATOR)
    two = load_encoder(estimator=ESTIMATOR, threads=2)
    windows = [window(encoder, seed, ticks) for seed, ticks in enumerate(encoder.window_lengths)]
    embeddings = encoder.embed(windows)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(two.embed(windows), embeddings)
    np.testing.assert_array_equal(encoder.embed(windows[1:2])[0], embeddings[1])
    assert encoder.background is not None, "thresholds are calibrated from it"
    np.testing.assert_allclose(np.linalg.norm(encoder.background, axis=1), 1, atol=1e-3)
    card = ModelBundle.load(SHIPPED / "slgcn2d").card
    assert card.trained_on
    assert card.licence
    assert card.metrics


def test_holistic_and_blaze_share_a_gallery(encoder: BundleEncoder) -> None:
    """They are the same networks by the same rules: whoever enrolled with one need not enrol again for the other."""
    prints = {
        BundleEncoder(encoder._bundle, estimator=name).fingerprint
        for name in ("holistic-0.10.21-c1", "blaze-0.10.21-c1", "wholebody-0.10.21-c1")
    }
    assert len(prints) == 2
