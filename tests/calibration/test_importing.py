"""Published checkpoints: same answers as the public code, and clear errors for what is no such checkpoint."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch", reason="needs the extra 'train'")
pytest.importorskip("onnx", reason="needs the extra 'train'")

from safetensors.torch import save_file  # noqa: E402

from calibration.importing import KINDS, import_checkpoint  # noqa: E402
from engines.bundle import ModelBundle  # noqa: E402
from engines.crop import FrameCrop  # noqa: E402
from engines.encoders import BundleEncoder, load_encoder  # noqa: E402
from engines.errors import CheckpointError  # noqa: E402
from engines.runtime.onnxruntime import OnnxRuntimeEngine  # noqa: E402
from run_stream import main  # noqa: E402
from tests.engines.public_networks import (  # noqa: E402
    I3dMlp,
    InceptionI3d,
    Slgcn27,
    with_random_weights,
)
from tests.engines.test_encoders import ESTIMATOR, signer  # noqa: E402

Array = NDArray[np.float32]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def public() -> Any:
    return with_random_weights(Slgcn27())


@pytest.fixture(scope="module")
def checkpoint(public: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As SAM-SLR's `main.py` saves it: a state dict, from `DataParallel`."""
    path: Path = tmp_path_factory.mktemp("checkpoints") / "joint_epoch_226.pt"
    torch.save(torch.nn.DataParallel(public).state_dict(), path)
    return path


@pytest.fixture(scope="module")
def bundle(checkpoint: Path) -> ModelBundle:
    return import_checkpoint(checkpoint, "sam-slr-joint", checkpoint.parent / "sam-slr-joint")


def unit(rows: Array) -> Array:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def run(bundle: ModelBundle, windows: NDArray[Any]) -> Array:
    return OnnxRuntimeEngine(bundle.model, device="cpu").run({"windows": windows})["embeddings"]


def plainly(network: Any, windows: NDArray[Any]) -> Array:
    with torch.inference_mode():
        found: Array = network(torch.from_numpy(windows)).numpy()
    return found


# -- the same answers as the public code -----------------------------------------------------------------------


@pytest.mark.parametrize("batch", [1, 3])
def test_an_imported_sl_gcn_answers_as_the_public_one(public: Any, bundle: ModelBundle, batch: int) -> None:
    windows = (30 * np.random.default_rng(batch).standard_normal((batch, 3, 16, 27))).astype(np.float32)
    expected = plainly(public, windows)
    assert np.ptp(expected, axis=0).max() > 0.1 or batch == 1  # answers that differ from window to window
    np.testing.assert_allclose(run(bundle, windows), unit(expected), atol=1e-5)


def test_an_adjacency_of_another_number_of_groups_is_imported_too(tmp_path: Path) -> None:
    """SAM-SLR's configurations say 16, the code's default is 8."""
    public = with_random_weights(Slgcn27(classes=10, groups=8), seed=3)
    torch.save(public.state_dict(), tmp_path / "bone.pt")
    bundle = import_checkpoint(tmp_path / "bone.pt", "sam-slr-bone", tmp_path / "bone")
    windows = np.random.default_rng(0).standard_normal((2, 3, 16, 27)).astype(np.float32)
    np.testing.assert_allclose(run(bundle, windows), unit(plainly(public, windows)), atol=1e-5)


def pictures(seed: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (1, 16, 224, 224, 3), np.uint8)


def channels_first(windows: NDArray[np.uint8], scale: float, shift: float) -> Array:
    values = windows.astype(np.float64).transpose(0, 4, 1, 2, 3) / 255 * scale + shift
    return values.astype(np.float32)


def save_bare(network: Any, path: Path) -> None:
    torch.save(network.state_dict(), path)


def save_with_training_state(network: Any, path: Path) -> None:
    """As BSL-1K's `main.py` saves it."""
    parallel = torch.nn.DataParallel(network)
    optimizer = torch.optim.SGD(parallel.parameters(), lr=0.01, momentum=0.9)
    content = {"epoch": 8, "arch": "InceptionI3d", "state_dict": parallel.state_dict()}
    torch.save(content | {"optimizer": optimizer.state_dict()}, path)


def save_safetensors(network: Any, path: Path) -> None:
    save_file(network.state_dict(), path)


@pytest.mark.parametrize(
    ("kind", "make", "name", "save", "scale", "shift"),
    [
        pytest.param(  # charades_dataset.py: x / 255 * 2 - 1
            *("i3d", InceptionI3d, "rgb_imagenet.pt", save_bare, 2, -1),
            marks=pytest.mark.slow,
        ),
        pytest.param(  # demo.py: less 0.5
            *("bsl1k-i3d", InceptionI3d, "model.pth.tar", save_with_training_state, 1, -0.5),
            marks=pytest.mark.slow,
        ),
        ("bsldict-i3d-mlp", I3dMlp, "i3d_mlp.safetensors", save_safetensors, 1, -0.5),
    ],
)
def test_an_imported_i3d_answers_as_the_public_one(
    tmp_path: Path,
    kind: str,
    make: Callable[[], Any],
    name: str,
    save: Callable[[Any, Path], None],
    scale: float,
    shift: float,
) -> None:
    public = with_random_weights(make(), seed=1)
    save(public, tmp_path / name)
    bundle = import_checkpoint(tmp_path / name, kind, tmp_path / "bundle")
    windows = pictures(0)
    expected = unit(plainly(public, channels_first(windows, scale, shift)))
    np.testing.assert_allclose(run(bundle, windows), expected, atol=1e-5)
    encoder = load_encoder(str(bundle.folder), estimator=ESTIMATOR)
    assert encoder.pictures
    seen = [replace(signer(0), crop=FrameCrop(picture, 112, 112, 224)) for picture in windows[0]]
    ticks = np.stack([encoder.prepare(landmarks) for landmarks in seen])
    np.testing.assert_array_equal(ticks, windows[0])
    np.testing.assert_allclose(encoder.embed([ticks]), expected, atol=1e-5)


# -- a bundle as any other -------------------------------------------------------------------------------------


def test_an_imported_sl_gcn_is_an_encoder_for_live_use(public: Any, bundle: ModelBundle) -> None:
    encoder = load_encoder(str(bundle.folder), estimator=ESTIMATOR)
    assert (encoder.name, encoder.dimension, encoder.window_lengths) == ("sam-slr-joint", 256, (16,))
    ticks = np.stack([encoder.prepare(signer(tick)) for tick in range(16)])
    [row] = encoder.embed([ticks])
    # The public feeder: pixels of a picture that is 512 high, less the nose's mean place.
    data = ticks.astype(np.float64) * (512, 512, 1)
    data[..., :2] -= data[:, 0, :2].mean(0)
    expected = plainly(public, data.transpose(2, 0, 1)[None].astype(np.float32))
    np.testing.assert_allclose(row, unit(expected)[0], atol=1e-4)


def test_a_window_in_which_nobody_is_resembles_nothing(bundle: ModelBundle) -> None:
    """Else all that is embedded from empty pictures would be alike, and spotted."""
    encoder = BundleEncoder(bundle, estimator=ESTIMATOR)
    nobody = np.full((16, 27, 3), np.nan, np.float32)
    assert not encoder.embed([nobody]).any()


def test_the_card_says_what_was_imported_and_claims_nothing(bundle: ModelBundle, checkpoint: Path) -> None:
    import hashlib

    digest = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    assert digest in bundle.card.trained_on[0]
    assert bundle.card.metrics == {}
    assert "publisher" in bundle.card.licence


# -- what is no such checkpoint --------------------------------------------------------------------------------


class _Code:
    """Runs a command when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.trace}",)


def refused(path: Path, kind: str = "sam-slr-joint") -> str:
    out = path.parent / "bundle"
    with pytest.raises(CheckpointError) as caught:
        import_checkpoint(path, kind, out)
    assert not out.exists()
    assert str(path) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("plain", [True, False])
def test_code_in_a_checkpoint_is_not_run(tmp_path: Path, plain: bool) -> None:
    path, trace = tmp_path / "weights.pt", tmp_path / "was-run"
    content = {"state_dict": _Code(trace)}
    if plain:
        path.write_bytes(pickle.dumps(content, protocol=2))
    else:
        torch.save(content, path)
    refused(path)
    assert not trace.exists()


def test_a_whole_module_is_refused_with_the_way_out(tmp_path: Path) -> None:
    """`torch.save(model)` instead of its state dict is the usual slip."""
    torch.save(torch.nn.Linear(2, 2), tmp_path / "model.pt")
    assert "torch.save(model.state_dict()" in refused(tmp_path / "model.pt")


@pytest.mark.parametrize(
    ("name", "raw", "said"),
    [
        ("weights.pt", b"", "no PyTorch checkpoint, or damaged"),
        ("weights.pt", b"these are no weights", "no PyTorch checkpoint, or damaged"),
        ("weights.safetensors", b"these are no weights", "no safetensors file, or damaged"),
    ],
)
def test_a_file_of_another_kind_is_named(tmp_path: Path, name: str, raw: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(raw)
    assert said in refused(tmp_path / name)


def test_a_damaged_file_is_named(tmp_path: Path, checkpoint: Path) -> None:
    raw = checkpoint.read_bytes()
    (tmp_path / "half.pt").write_bytes(raw[: len(raw) // 2])
    assert "damaged" in refused(tmp_path / "half.pt")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert "cannot be read" in refused(tmp_path / "nowhere.pt")


def changed(checkpoint: Path, change: Callable[[dict[str, Any]], object], path: Path) -> Path:
    weights = torch.load(checkpoint, weights_only=True)
    change(weights)
    torch.save(weights, path)
    return path


@pytest.mark.parametrize(
    ("change", "said"),
    [
        # one tensor missing
        (lambda w: w.pop("module.l4.gcn1.bn.bias"), "lacks l4.gcn1.bn.bias"),
        # a network with a layer more
        (lambda w: w.update({"module.l11.A": torch.zeros(27, 27)}), "holds l11.A, which"),
        # trained on other joints
        (lambda w: w.update({"module.l2.A": torch.zeros(29, 29)}), "l2.A has shape (29, 29)"),
        # 48 groups cannot share 64 channels
        (
            lambda w: w.update({"module.l1.gcn1.DecoupleA": torch.zeros(3, 48, 27, 27)}),
            "48 groups of l1.gcn1.DecoupleA",
        ),
        # broken by a training that diverged
        (lambda w: w["module.fc.bias"].fill_(float("nan")), "no numbers in fc.bias"),
    ],
)
def test_weights_that_do_not_fit_are_refused_by_name(
    tmp_path: Path, checkpoint: Path, change: Callable[[dict[str, Any]], object], said: str
) -> None:
    assert said in refused(changed(checkpoint, change, tmp_path / "weights.pt"))


def test_another_networks_checkpoint_is_told_apart(tmp_path: Path, checkpoint: Path) -> None:
    assert "no checkpoint of Inception-I3D (RGB)" in refused(
        changed(checkpoint, lambda w: None, tmp_path / "w.pt"), "i3d"
    )


@pytest.mark.parametrize("content", [[1, 2], {"epoch": 3}, {}])
def test_a_file_without_weights_is_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "log.pt")
    assert "save model.state_dict()" in refused(tmp_path / "log.pt")


def test_a_bundle_that_is_there_survives_a_failed_import(tmp_path: Path, bundle: ModelBundle) -> None:
    (tmp_path / "bad.pt").write_bytes(b"")
    with pytest.raises(CheckpointError):
        import_checkpoint(tmp_path / "bad.pt", "sam-slr-joint", bundle.folder)
    assert ModelBundle.load(bundle.folder).card == bundle.card


# -- the command -----------------------------------------------------------------------------------------------


def test_the_command_imports_and_says_how_to_go_on(
    tmp_path: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "imported"
    words = ["engines", "import", str(checkpoint), "--as", "sam-slr-joint-motion", "--out", str(out)]
    assert main(words) == 0
    assert "--encoder" in capsys.readouterr().out
    assert ModelBundle.load(out).card.features == "sam-slr27-joint-motion-1"


def test_the_command_says_what_is_wrong_without_a_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["engines", "import", str(tmp_path / "no.pt"), "--as", "i3d", "--out", str(tmp_path / "out")]
    assert main(words) == 1
    assert capsys.readouterr().err.startswith("signspot: ")


def test_the_help_names_every_kind(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["engines", "import", "--help"])
    told = capsys.readouterr().out
    assert all(kind in told for kind in KINDS)
