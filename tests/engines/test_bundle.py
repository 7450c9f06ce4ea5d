"""Model bundles: whole or refused, and replaced in one step."""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest

from engines.bundle import ModelBundle
from engines.errors import BundleError
from tests.engines.bundles import card, network


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A bundle with a background and a model card in prose."""
    background = np.eye(8, dtype=np.float32)[:5]
    ModelBundle.write(
        tmp_path / "weights" / "slgcn2d",
        model=network(3),
        card=card(),
        background=background,
        readme="# A model\n",
    )
    return tmp_path / "weights" / "slgcn2d"


def test_what_is_written_is_what_is_read(folder: Path) -> None:
    bundle = ModelBundle.load(folder)
    assert bundle.model == network(3)
    assert bundle.card.name == "slgcn2d"
    assert bundle.card.window_lengths == (12, 16)
    assert bundle.card.metrics == {"top1": 0.5}
    assert bundle.background is not None
    np.testing.assert_array_equal(bundle.background, np.eye(8)[:5])
    assert (folder / "README.md").read_text() == "# A model\n"


def test_the_card_tells_hashes_and_tensor_specs_in_plain_json(folder: Path) -> None:
    written = json.loads((folder / "card.json").read_text())
    assert written["model_sha256"] == hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()
    assert written["inputs"] == [{"name": "windows", "shape": [None, 3, 16, 27], "dtype": "float32"}]
    assert written["outputs"] == [{"name": "embeddings", "shape": [None, 8], "dtype": "float32"}]


def test_a_bundle_without_background_is_legal(tmp_path: Path) -> None:
    assert ModelBundle.write(tmp_path / "b", model=network(3), card=card()).background is None


def test_idle_movement_is_kept_beside_the_background(tmp_path: Path) -> None:
    rows = np.eye(8, dtype=np.float32)
    written = ModelBundle.write(
        tmp_path / "b", model=network(3), card=card(), background=rows[:5], idle=rows[5:]
    )
    loaded = ModelBundle.load(tmp_path / "b")
    assert loaded.idle is not None
    assert written.idle is not None
    np.testing.assert_array_equal(loaded.idle, rows[5:])
    np.testing.assert_array_equal(written.idle, rows[5:])


@pytest.mark.parametrize("name", ["model.onnx", "card.json", "background.safetensors"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(BundleError, match=rf"slgcn2d has no readable {re.escape(name)} \(No such file"):
        ModelBundle.load(folder)


@pytest.mark.parametrize("name", ["model.onnx", "background.safetensors"])
def test_one_flipped_bit_is_noticed(folder: Path, name: str) -> None:
    raw = bytearray((folder / name).read_bytes())
    raw[len(raw) // 2] ^= 1
    (folder / name).write_bytes(raw)
    with pytest.raises(BundleError, match=rf"{re.escape(name)} fails its hash"):
        ModelBundle.load(folder)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is no model card"),  # cut off at once
        ('{"name": "slgcn2d",', "is no model card"),  # cut off in the middle
        ("[]", "Expected `object`"),  # another kind of file
        ('{"name": "slgcn2d"}', "missing required field"),  # incomplete
        (b"\xff\xfe", "is no model card"),  # not even text
    ],
)
def test_a_bad_card_says_what_is_wrong(folder: Path, text: str | bytes, says: str) -> None:
    (folder / "card.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(BundleError, match=says):
        ModelBundle.load(folder)


def test_a_background_of_another_encoder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"must hold float32 \(N, 8\), not float32 \(5, 16\)"):
        ModelBundle.write(
            tmp_path / "b", model=network(3), card=card(), background=np.ones((5, 16), np.float32)
        )


def test_a_network_that_does_not_load_is_not_written(folder: Path) -> None:
    with pytest.raises(BundleError, match="does not load, so nothing is written"):
        ModelBundle.write(folder, model=b"no network", card=card())
    assert ModelBundle.load(folder).model == network(3)


def test_a_crash_while_writing_leaves_the_old_one_whole(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(BundleError, match="No space left on device"):
            ModelBundle.write(folder, model=network(3, seed=1), card=card())
    assert ModelBundle.load(folder).model == network(3)
    assert [path.name for path in folder.parent.iterdir()] == ["slgcn2d"], "nothing is left lying about"


@pytest.mark.parametrize("atomic_exchange", [True, False])  # without: a file system or libc that cannot
def test_a_newer_bundle_replaces_the_old_one_as_a_whole(
    folder: Path, monkeypatch: pytest.MonkeyPatch, atomic_exchange: bool
) -> None:
    if not atomic_exchange:
        monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: object())
    ModelBundle.write(folder, model=network(3, seed=1), card=card(window_lengths=(16,)))
    bundle = ModelBundle.load(folder)
    assert bundle.model == network(3, seed=1)
    assert bundle.background is None, "the old one's background went with it"
    assert sorted(path.name for path in folder.iterdir()) == ["card.json", "model.onnx"]
    assert [path.name for path in folder.parent.iterdir()] == ["slgcn2d"]
