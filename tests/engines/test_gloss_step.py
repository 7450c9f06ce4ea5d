"""A transcript network on other runtimes: one step a run says what the whole network says, and where it runs is said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

pytest.importorskip("torch", reason="needs torch: pip install 'signspot[train]'")

from engines import build, gloss_step
from engines.accuracy import LIMITS
from engines.bundle import sha256_of
from engines.errors import BundleError, ConfigError, EngineError
from engines.gloss_bundle import (
    FEATURES,
    SCORES,
    GlossBundle,
    find_gloss_bundle,
    is_gloss_bundle,
    shipped_gloss_bundles,
)
from engines.gloss_step import one_step, open_step
from engines.gloss_stream import GlossStream
from engines.precision import Precision, in_precision
from engines.runtime.base import Engine
from engines.runtime.onnxruntime import OnnxRuntimeEngine
from engines.tick_features import PictureRow
from tests.engines.test_gloss_ctc import bundle, network, rows, whole

SHIPPED = pytest.mark.parametrize("name", shipped_gloss_bundles())


def sentence(made: GlossBundle, ticks: int = 96) -> NDArray[np.float32]:
    """Rows of a network's size that move as a body does: slowly, within its box."""
    (width,) = [spec.shape[2] for spec in made.card.inputs if spec.name == FEATURES]
    rng = np.random.default_rng(2)
    keys = rng.normal(size=(ticks // 8 + 2, width or 1)).astype(np.float32)
    at = np.arange(ticks) / 8
    low, part = at.astype(int), (at % 1)[:, None].astype(np.float32)
    return np.asarray(keys[low] * (1 - part) + keys[low + 1] * part, np.float32)


def stepped(engine: Engine, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Log-probabilities (K, M + 1) of rows (T, V), the state handed on from step to step."""
    state = {
        spec.name: np.zeros([size or 1 for size in spec.shape], np.float32)
        for spec in engine.inputs
        if spec.name != FEATURES
    }
    found = []
    for first in range(0, len(x), 4):
        told = engine.run({FEATURES: x[None, first : first + 4], **state})
        state = {name: told[f"new_{name}"] for name in state}
        found.append(told[SCORES][0])
    return np.concatenate(found)


@pytest.mark.parametrize("engine", ["onnxruntime", "torch"])
def test_a_transcript_is_the_same_on_every_engine(engine: str, tmp_path: Path) -> None:
    """Two layers of GRU; the expected values are of PyTorch's own, over the whole sequence at once."""
    net, x = network(), rows(61)
    stream = GlossStream(bundle(net, tmp_path / "tiny"), engine=engine)
    assert stream.where().runtime.startswith(engine)
    for _ in range(2):  # the second time after `finish`: nothing of the first may be left
        found = [stream.accept(x[:3]), stream.accept(x[3:50]), stream.accept(x[50:]), stream.finish()]
        np.testing.assert_allclose(np.concatenate(found), whole(net, x), atol=1e-4)


@SHIPPED
def test_one_step_a_run_says_what_all_steps_in_a_run_say(name: str) -> None:
    made = find_gloss_bundle(name)
    x = sentence(made)
    given = OnnxRuntimeEngine(made.model)
    zero = {
        spec.name: np.zeros([size or 1 for size in spec.shape], np.float32)
        for spec in given.inputs
        if spec.name != FEATURES
    }
    at_once = given.run({FEATURES: x[None], **zero})[SCORES][0]
    assert at_once.std(0).max() > 0.1, "it says the same of every step: the comparison would mean nothing"
    np.testing.assert_allclose(stepped(OnnxRuntimeEngine(one_step(made.model)), x), at_once, atol=1e-4)


@SHIPPED
@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_half_precision_does_not_drift_over_a_sentence(name: str, precision: Precision) -> None:
    """An engine is compared with float32 over one step; its rounded state goes into all the later ones."""
    from engines.runtime.torch_cuda import TorchEngine

    made = find_gloss_bundle(name)
    x, model = sentence(made, ticks=400), one_step(made.model)
    expected = stepped(OnnxRuntimeEngine(model), x)
    apart = np.abs(stepped(TorchEngine(in_precision(model, precision), device="cpu"), x) - expected).max(1)
    assert apart.max() <= LIMITS[precision] * np.abs(expected).max()
    assert apart[50:].mean() <= 2 * apart[:50].mean() + 1e-3, "it grows"


@SHIPPED
def test_a_step_has_no_size_that_varies_and_no_recurrence(name: str) -> None:
    model = one_step(find_gloss_bundle(name).model)
    engine = OnnxRuntimeEngine(model)
    assert not any(None in spec.shape for spec in (*engine.inputs, *engine.outputs))
    shapes = {spec.name: spec.shape for spec in (*engine.inputs, *engine.outputs)}
    assert shapes[FEATURES][1] == 4
    assert shapes[SCORES][:2] == (1, 1)
    assert "GRU" not in {node.op_type for node in onnx.load_from_string(model).graph.node}
    assert sha256_of(model) == sha256_of(one_step(find_gloss_bundle(name).model)), "engines are kept by it"


def test_what_is_no_network_or_has_another_recurrence_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="a network of 7 bytes is no ONNX network"):
        one_step(b"garbage")
    proto = onnx.load_from_string(bundle(network(), tmp_path / "tiny").model)
    (first, *_) = [node for node in proto.graph.node if node.op_type == "GRU"]
    next(one for one in first.attribute if one.name == "linear_before_reset").i = 0
    with pytest.raises(EngineError, match=r"/sequence/GRU' is no GRU of PyTorch's that runs forwards"):
        one_step(proto.SerializeToString())


# -- the choice ------------------------------------------------------------------------------------------------------


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bytes, str]]:
    """What was given to `open_engine`: the network and the engine's name; ONNX Runtime executes it all the same."""
    given: list[tuple[bytes, str]] = []

    def some(model: bytes, *, name: str, engine: str, threads: int) -> Engine:
        given.append((model, engine))
        return OnnxRuntimeEngine(model)

    monkeypatch.setattr(gloss_step, "open_engine", some)
    monkeypatch.setattr(build, "gpu_name", lambda: "NVIDIA Test, 1.0")
    return given


def test_beside_a_gpu_a_small_network_stays_on_the_cpu_and_says_why(opened: list[tuple[bytes, str]]) -> None:
    place = open_step(find_gloss_bundle("lexicon60")).where()
    assert (place.device, place.precision) == ("cpu", "float32")
    assert "too little for a GPU to gain on" in place.reason
    assert not opened


def test_beside_a_gpu_a_network_that_sees_pictures_goes_there(
    opened: list[tuple[bytes, str]], tmp_path: Path
) -> None:
    made = bundle(network(), tmp_path / "tiny")
    made = replace(made, card=msgspec.structs.replace(made.card, features=PictureRow(36).name))
    open_step(made)
    assert opened == [(one_step(made.model), "auto")]


@pytest.mark.parametrize("engine", ["torch", "tensorrt-rtx:float16", "onnxruntime:bfloat16", "onnxruntime"])
def test_an_engine_that_is_asked_for_gets_the_network(opened: list[tuple[bytes, str]], engine: str) -> None:
    made = find_gloss_bundle("lexicon60")
    open_step(made, engine=engine)
    expected = made.model if engine == "onnxruntime" else one_step(made.model)
    assert opened == [(expected, engine)]


def test_without_a_gpu_onnx_runtime_gets_the_network_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "gpu_name", lambda: "")
    made = find_gloss_bundle("lexicon60")
    engine = open_step(made)
    assert engine.inputs == made.card.inputs
    assert "no CUDA provider" in engine.where().reason
    with pytest.raises(ConfigError, match="half precision is for NVIDIA GPUs"):
        open_step(made, engine="auto:float16")
    with pytest.raises(ConfigError, match="there is no engine 'openvino'"):
        open_step(made, engine="openvino")


def test_a_network_that_does_not_fit_its_card_is_refused_on_every_engine(tmp_path: Path) -> None:
    made = bundle(network(), tmp_path / "tiny")
    other = GlossBundle.write(
        tmp_path / "other", model=made.model, card=msgspec.structs.replace(made.card, glosses=("A", "B"))
    )
    with pytest.raises(BundleError, match="do not belong together"):
        GlossStream(other, engine="torch")


def test_transcript_networks_are_told_from_encoders(tmp_path: Path) -> None:
    assert "lexicon60" in shipped_gloss_bundles()
    made = bundle(network(), tmp_path / "tiny")
    assert is_gloss_bundle("lexicon60")
    assert is_gloss_bundle(str(made.folder))
    assert not is_gloss_bundle("slgcn2d")
    assert not is_gloss_bundle("nothing")
    (tmp_path / "tiny" / "card.json").write_text("{")
    assert not is_gloss_bundle(str(made.folder))
