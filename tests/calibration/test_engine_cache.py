"""`signspot engines build|list|check|clean` in words: what was made, how far off it is, what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from engines import build
from engines.accuracy import LIMITS
from engines.bundle import ModelBundle
from engines.choice import open_engine
from engines.errors import EngineError
from engines.gloss_bundle import find_gloss_bundle
from engines.gloss_step import one_step
from engines.gloss_stream import GlossStream
from engines.runtime import tensorrt
from engines.runtime.base import Engine, TensorSpec
from engines.runtime.onnxruntime import OnnxRuntimeEngine
from engines.runtime.tensorrt import Batches, Built
from engines.skeleton import CHANNELS
from run_stream import main
from tests.engines.bundles import card, network

pytest.importorskip("torch")


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small encoder, and a cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "300")
    ModelBundle.write(tmp_path / "encoder", model=network(CHANNELS), card=card())
    return tmp_path / "encoder"


@pytest.fixture
def builder(monkeypatch: pytest.MonkeyPatch) -> None:
    """A TensorRT that builds and cannot be executed, as on a machine without a GPU."""

    def fake(model: bytes, flavour: str, *, batches: Batches | None = None) -> Built:
        spec = TensorSpec("x", (None, 4), "float32")
        return Built(b"plan", (spec,), (spec,), (batches or Batches()).most)

    def cannot(*_: object, **__: object) -> Engine:
        raise EngineError(f"tensorrt-rtx {tensorrt.NO_GPU}, and PyTorch finds none")

    monkeypatch.setattr(tensorrt, "build", fake)
    monkeypatch.setattr(tensorrt, "version", lambda flavour: "1.2")
    monkeypatch.setattr(build, "gpu_name", lambda: "")
    monkeypatch.setattr("engines.choice.check_usable", cannot)


def words(capsys: pytest.CaptureFixture[str]) -> str:
    return " ".join(capsys.readouterr().out.split())


def test_engines_that_work_here_are_compared_with_the_reference(
    bundle: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "gpu_name", lambda: "")
    assert main(["engines", "check", str(bundle)]) == 0
    text = words(capsys)
    for engine in ("onnxruntime", "torch"):
        assert f"✓ {bundle} {engine} float32" in text
    assert "difference to float32" in text
    assert "- tensorrt: tensorrt is not installed" in text


def test_one_that_is_too_far_off_is_refused(
    bundle: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(LIMITS, "float32", -1.0)
    assert main(["engines", "check", str(bundle)]) == 1
    assert f"✗ {bundle} torch float32" in (text := words(capsys))
    assert "refused: over -1" in text


def test_a_network_that_an_engine_cannot_run_is_named(
    bundle: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:

    def some(model: bytes, *, engine: str, **rest: object) -> Engine:
        if engine.startswith("torch"):
            raise EngineError("operator Einsum is not known to the torch engine; use another engine")
        return open_engine(model, engine=engine, **rest)  # type: ignore[arg-type]

    monkeypatch.setattr("calibration.commands.engine_cache.open_engine", some)
    assert main(["engines", "check", str(bundle)]) == 1
    assert f"✗ {bundle} torch float32 operator Einsum is not known" in words(capsys)


@pytest.mark.usefixtures("builder")
def test_engines_are_built_listed_and_removed(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["engines", "list"]) == 0
    assert "`signspot engines build` makes them" in words(capsys)
    for how in ("built: there was none", "taken from the cache"):
        assert main(["engines", "build", str(bundle), "--most", "8"]) == 0
        text = words(capsys)
        assert how in text
        assert "compiled, never executed: tensorrt-rtx needs an NVIDIA GPU" in text
    assert main(["engines", "build", str(bundle), "--most", "8", "--precision", "float16"]) == 0
    assert "half precision is for NVIDIA GPUs" in words(capsys)
    assert main(["engines", "list"]) == 0
    text = words(capsys)
    assert f"{bundle} tensorrt-rtx 1.2 float32 1..8 built without one" in text
    assert f"{bundle} tensorrt-rtx 1.2 float16 1..8 built without one" in text
    assert main(["engines", "clean"]) == 0
    assert "0 engines removed" in words(capsys)
    assert main(["engines", "clean", "--all"]) == 0
    assert "2 engines removed" in words(capsys)


@pytest.mark.usefixtures("bundle")
def test_a_transcript_network_is_compared_a_step_at_a_time(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "gpu_name", lambda: "")
    assert main(["engines", "check", "lexicon60"]) == 0
    text = words(capsys)
    for engine in ("onnxruntime", "torch"):
        assert f"✓ lexicon60 {engine} float32" in text


@pytest.mark.usefixtures("bundle", "builder")
def test_what_is_built_of_a_transcript_network_is_what_a_start_asks_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    specs = OnnxRuntimeEngine(one_step(find_gloss_bundle("lexicon60").model))

    def fixed(model: bytes, flavour: str, *, batches: Batches | None = None) -> Built:
        return Built(b"plan", specs.inputs, specs.outputs, (batches or Batches()).most)

    monkeypatch.setattr(tensorrt, "build", fixed)
    assert main(["engines", "build", "lexicon60"]) == 0
    assert "✓ lexicon60: 0.0 MiB" in words(capsys)
    assert main(["engines", "list"]) == 0
    assert "lexicon60 tensorrt-rtx 1.2 float32 1 built without one" in words(capsys), "it takes one step"
    started: list[str] = []

    class Loaded(OnnxRuntimeEngine):
        def __init__(self, built: Built, flavour: str, *, reason: str, **_: object) -> None:
            super().__init__(one_step(find_gloss_bundle("lexicon60").model))
            started.append(reason)

    monkeypatch.setattr("engines.choice.check_usable", lambda flavour: None)
    monkeypatch.setattr("engines.choice.TensorrtEngine", Loaded)
    stream = GlossStream(find_gloss_bundle("lexicon60"), engine="tensorrt-rtx")
    assert started == ["taken from the cache"]
    assert len(stream.finish()) == 0


@pytest.mark.usefixtures("builder")
def test_a_batch_without_rows_is_refused(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["engines", "build", str(bundle), "--most", "0"]) == 1
    assert "--most 0: a batch has at least one row" in capsys.readouterr().err
