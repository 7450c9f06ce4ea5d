"""Engines beside ONNX Runtime: the same numbers, stated reasons, and a cache that is never trusted blindly."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from engines import accuracy, build, choice
from engines.accuracy import Refused, verified
from engines.choice import open_engine
from engines.encoders import find_bundle
from engines.errors import ConfigError, EngineError, MissingExtra
from engines.gloss_bundle import find_gloss_bundle, shipped_gloss_bundles
from engines.gloss_step import one_step
from engines.pose.blaze import networks
from engines.precision import PRECISIONS, Precision, in_precision
from engines.runtime import tensorrt
from engines.runtime.base import Placement, TensorSpec
from engines.runtime.onnxruntime import OnnxRuntimeEngine
from engines.runtime.tensorrt import Batches, Built
from engines.runtime.torch_cuda import TorchEngine
from engines.simplify import simplified

torch = pytest.importorskip("torch")


def torch_engine(model: bytes) -> TorchEngine:
    return TorchEngine(model, device="cpu")


def drawn(model: bytes, rows: int = 3) -> dict[str, NDArray[np.generic]]:
    rng = np.random.default_rng(0)
    found: dict[str, NDArray[np.generic]] = {}
    for spec in OnnxRuntimeEngine(model).inputs:
        shape = [rows if size is None else size for size in spec.shape]
        if spec.dtype == "uint8":
            found[spec.name] = rng.integers(0, 256, shape, dtype=np.uint8)
        else:
            found[spec.name] = rng.random(shape, dtype=np.float32)
    return found


def step_of(name: str) -> bytes:
    return one_step(find_gloss_bundle(name).model)


def compiled_for_tensorrt_rtx(model: bytes, precision: Precision) -> None:
    """Compile a network and compare what goes in and out of the engine with the network.

    Without a GPU no engine can be loaded: its names stand in it, its shapes in the network that was built.
    """
    try:
        tensorrt.version("tensorrt-rtx")
    except MissingExtra as error:
        pytest.skip(str(error))
    made = tensorrt.build(in_precision(simplified(model), precision), "tensorrt-rtx")
    reference = OnnxRuntimeEngine(model)
    assert made.inputs == reference.inputs
    assert {spec.name: spec.shape[1:] for spec in made.outputs} == {
        spec.name: spec.shape[1:] for spec in reference.outputs
    }
    for spec in (*made.inputs, *made.outputs):
        assert spec.name.encode() in made.plan


SHIPPED: dict[str, Callable[[], bytes]] = {
    "slgcn2d": lambda: find_bundle("slgcn2d").model,
    "slgcn2d10": lambda: find_bundle("slgcn2d10").model,
    "slgcn3d": lambda: find_bundle("slgcn3d").model,
    "i3d_mlp": lambda: find_bundle("i3d_mlp").model,
    **{name: partial(step_of, name) for name in shipped_gloss_bundles()},
    "hand": lambda: networks.network(networks.HAND),
    "pose": lambda: networks.network(networks.POSE),
    "recrop": lambda: networks.network(networks.RECROP),
    "person": lambda: networks.network(networks.PERSON),
    "palm": lambda: networks.network(networks.PALM),
}


@pytest.mark.parametrize("name", SHIPPED)
def test_the_torch_engine_gives_what_onnx_runtime_gives(name: str) -> None:
    model = SHIPPED[name]()
    inputs = drawn(model)
    found, expected = torch_engine(model).run(inputs), OnnxRuntimeEngine(model).run(inputs)
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        np.testing.assert_allclose(found[key], value, atol=1e-3 * np.abs(value).max(), err_msg=key)


def small(kind: str, inputs: list[NDArray[Any]], shape: tuple[int, ...], **attributes: Any) -> bytes:
    """A network of one operator on "x" and constants."""
    constants = [numpy_helper.from_array(value, f"c{place}") for place, value in enumerate(inputs)]
    names = ["x", *(constant.name for constant in constants)]
    graph = helper.make_graph(
        [helper.make_node(kind, names, ["y"], **attributes)],
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(onnx.shape_inference.infer_shapes(model).SerializeToString())


RNG = np.random.default_rng(1)
OPERATORS = {
    "padded convolution": small(
        "Conv",
        [RNG.normal(size=(4, 3, 3, 3)).astype(np.float32)],
        (2, 3, 9, 7),
        pads=[0, 1, 2, 0],
        strides=[2, 1],
    ),
    "pooling with padding": small(
        "MaxPool", [], (2, 3, 9, 7), kernel_shape=[3, 2], pads=[1, 0, 0, 1], strides=[2, 2]
    ),
    "average pooling": small("AveragePool", [], (2, 3, 9, 7), kernel_shape=[3, 2], strides=[2, 2]),
    "normalisation of a row": small(
        "LayerNormalization",
        [RNG.normal(size=7).astype(np.float32), RNG.normal(size=7).astype(np.float32)],
        (2, 3, 7),
        axis=-1,
        epsilon=1e-2,
    ),
    "normalisation without a shift": small(
        "LayerNormalization", [RNG.normal(size=(3, 7)).astype(np.float32)], (2, 3, 7), axis=1
    ),
    "depth to space": small("DepthToSpace", [], (2, 8, 3, 5), blocksize=2, mode="DCR"),
    "depth to space by columns": small("DepthToSpace", [], (2, 8, 3, 5), blocksize=2, mode="CRD"),
    "sum over all": small("ReduceSum", [], (2, 3, 4), keepdims=0),
    "length": small("ReduceL2", [], (2, 3, 4), axes=[1], keepdims=1),
    "gemm": small(
        "Gemm",
        [RNG.normal(size=(5, 4)).astype(np.float32), RNG.normal(size=5).astype(np.float32)],
        (2, 4),
        transB=1,
        alpha=0.5,
        beta=2.0,
    ),
    "softmax": small("Softmax", [], (2, 3, 4), axis=1),
    "transpose": small("Transpose", [], (2, 3, 4), perm=[2, 0, 1]),
    "flatten": small("Flatten", [], (2, 3, 4), axis=2),
    "leaky rectifier": small("LeakyRelu", [], (2, 3, 4), alpha=0.2),
    "size": small("Abs", [], (2, 3, 4)),
    "expand": small("Expand", [np.array([2, 3, 4], np.int64)], (2, 1, 4)),
    "gather from behind": small("Gather", [np.array([[-1, 0]], np.int64)], (2, 3, 4), axis=1),
    "slice": small(
        "Slice",
        [np.array([-3, 0], np.int64), np.array([9, 3], np.int64), np.array([1, 2], np.int64)],
        (2, 5, 4),
    ),
    "slice backwards": small(
        "Slice",
        [np.array([n], np.int64) for n in (-1, -5, 2, -2)],
        (2, 3, 4),
    ),
}


@pytest.mark.parametrize("name", OPERATORS)
def test_an_operator_means_what_it_means_to_onnx_runtime(name: str) -> None:
    model = OPERATORS[name]
    x = {
        "x": RNG.normal(size=[size or 1 for size in OnnxRuntimeEngine(model).inputs[0].shape]).astype(
            np.float32
        )
    }
    np.testing.assert_allclose(
        torch_engine(model).run(x)["y"], OnnxRuntimeEngine(model).run(x)["y"], rtol=1e-5, atol=1e-6
    )


def test_an_unknown_operator_is_named() -> None:
    with pytest.raises(EngineError, match=r"operator Erf is not known to the torch engine"):
        torch_engine(small("Erf", [], (2, 3)))


@pytest.mark.parametrize("changes", [{"pads": [1, 0, 0, 1]}, {"ceil_mode": 1}, {"auto_pad": "SAME_UPPER"}])
def test_an_average_over_padding_is_refused_and_not_guessed(changes: dict[str, Any]) -> None:
    engine = torch_engine(small("AveragePool", [], (2, 3, 9, 7), kernel_shape=[2, 2], **changes))
    with pytest.raises(EngineError, match="averages over padding are not known"):
        engine.run({"x": np.zeros((2, 3, 9, 7), np.float32)})


def test_a_damaged_network_and_a_missing_gpu_are_said() -> None:
    with pytest.raises(EngineError, match="no ONNX network"):
        torch_engine(b"garbage")
    if not torch.cuda.is_available():
        with pytest.raises(EngineError, match="PyTorch finds no GPU"):
            TorchEngine(OPERATORS["gemm"], device="cuda")


def test_wrong_inputs_are_refused() -> None:
    engine = torch_engine(OPERATORS["gemm"])
    with pytest.raises(EngineError, match=r"takes the inputs \['x'\], not \['z'\]"):
        engine.run({"z": np.zeros((2, 4), np.float32)})
    with pytest.raises(EngineError, match=r"must be float32 \(2, 4\), not float32 \(2, 5\)"):
        engine.run({"x": np.zeros((2, 5), np.float32)})


# -- half precision --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["slgcn2d", "lexicon60", "hand"])
def test_float16_loses_little(name: str) -> None:
    model = SHIPPED[name]()
    inputs = drawn(model)
    half = OnnxRuntimeEngine(in_precision(model, "float16"))
    assert [spec.dtype for spec in half.inputs] == [spec.dtype for spec in OnnxRuntimeEngine(model).inputs]
    found, expected = half.run(inputs), OnnxRuntimeEngine(model).run(inputs)
    for key, value in expected.items():
        assert np.abs(found[key] - value).max() <= 0.02 * max(float(np.abs(value).max()), 1e-3), key


def test_weights_round_to_the_nearest_bfloat16() -> None:
    """1 + 1/256 lies between two numbers of 8 bits and goes to the even one, 1; 1 + 3/256 goes to 1 + 2/128."""
    model = small("Mul", [np.array([1 + 1 / 256, 1 + 3 / 256, -3.0], np.float32)], (3,))
    proto = onnx.load_from_string(in_precision(model, "bfloat16"))
    (weights,) = proto.graph.initializer
    assert weights.data_type == TensorProto.BFLOAT16
    np.testing.assert_array_equal(
        np.asarray(numpy_helper.to_array(weights), np.float32), [1.0, 1 + 2 / 128, -3.0]
    )
    assert proto.graph.output[0].type.tensor_type.elem_type == TensorProto.FLOAT, "callers see no difference"


# -- simplifying ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SHIPPED)
def test_a_simplified_network_has_fewer_nodes_and_gives_the_same(name: str) -> None:
    model = SHIPPED[name]()
    simple = simplified(model)
    before, after = (len(onnx.load_from_string(one).graph.node) for one in (model, simple))
    assert after <= before + 1
    assert after < 0.7 * before or not name.startswith("slgcn"), "those have hundreds of constants"
    inputs = drawn(model)
    found, expected = OnnxRuntimeEngine(simple).run(inputs), OnnxRuntimeEngine(model).run(inputs)
    for key, value in expected.items():
        np.testing.assert_allclose(found[key], value, atol=1e-5 * np.abs(value).max())


def test_bytes_are_cast_before_they_are_moved() -> None:
    """TensorRT's parser refuses to transpose bytes."""
    proto = onnx.load_from_string(simplified(SHIPPED["i3d_mlp"]()))
    (entry,) = proto.graph.input
    assert [node.op_type for node in proto.graph.node if entry.name in node.input] == ["Cast"]


def test_a_damaged_network_cannot_be_simplified() -> None:
    with pytest.raises(EngineError, match="a network of 9 bytes cannot be simplified"):
        simplified(b"no network"[:9])


# -- the choice ------------------------------------------------------------------------------------------------------


def test_without_a_gpu_onnx_runtime_is_chosen_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "gpu_name", lambda: "")
    engine = open_engine(OPERATORS["gemm"])
    assert engine.where().device == "cpu"
    assert "onnxruntime" in engine.where().runtime
    assert "CUDA" in engine.where().reason


def test_what_does_not_start_is_passed_over_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(wanted: object, kind: str, precision: str, passed_over: str, *, insist: bool) -> None:
        raise EngineError(f"out of memory on {kind}")

    monkeypatch.setattr(build, "gpu_name", lambda: "NVIDIA Test, 1.0")
    monkeypatch.setattr(choice, "_on_gpu", fails)
    engine = open_engine(OPERATORS["gemm"])
    assert "onnxruntime" in engine.where().runtime
    for name in ("tensorrt", "tensorrt-rtx", "torch"):
        assert f"out of memory on {name}" in engine.where().reason


def test_a_pytorch_that_cannot_use_the_gpu_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "gpu_name", lambda: "NVIDIA Test, 1.0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    engine = open_engine(OPERATORS["gemm"])
    assert engine.where().runtime.startswith("onnxruntime"), "which is faster on a CPU"
    assert "torch: PyTorch finds no GPU: install a build of torch for CUDA" in engine.where().reason


def overflowing() -> bytes:
    """Of 1e5 and 1e-5, whose product with x is nothing to float32; float16 has no 1e5, its largest is 65504."""
    model = small("Mul", [np.full(4, 1e5, np.float32)], (2, 4))
    proto = onnx.load_from_string(model)
    (first,) = proto.graph.node
    output = first.output[0]
    first.output[0] = "large"
    proto.graph.initializer.append(numpy_helper.from_array(np.full(4, 1e-5, np.float32), "tiny"))
    proto.graph.node.append(helper.make_node("Mul", ["large", "tiny"], [output]))
    return bytes(proto.SerializeToString())


class OnCard(OnnxRuntimeEngine):
    """ONNX Runtime on the CPU, which says that it is on a GPU."""

    off = 0.0  # what its outputs are off by

    def __init__(self, model: bytes, **options: Any) -> None:
        super().__init__(model, **options | {"device": "cpu"})
        self.on_card = options.get("device") != "cpu"

    def run(self, inputs: Any) -> dict[str, NDArray[np.float32]]:
        return {name: value + np.float32(self.off) for name, value in super().run(inputs).items()}

    def where(self) -> Placement:
        place = super().where()
        return replace(place, device="NVIDIA Test") if self.on_card else place


@pytest.fixture(params=["onnxruntime", "auto"])
def on_card(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An engine that is ONNX Runtime on a GPU, by its name and by choice, and a cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(build, "gpu_name", lambda: "NVIDIA Test, 1.0")
    monkeypatch.setattr(choice, "OnnxRuntimeEngine", OnCard)
    return str(request.param)


def test_half_precision_that_loses_too_much_is_refused_and_float32_taken(
    on_card: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = open_engine(OPERATORS["gemm"], engine=f"{on_card}:float16").where()
    assert good.precision == "float16"
    open_engine(overflowing(), engine=on_card)
    for _ in range(2):  # compared, then looked up
        place = open_engine(overflowing(), name="net", engine=f"{on_card}:float16").where()
        assert (place.precision, place.device) == ("float32", "NVIDIA Test")
        assert "in float16 on NVIDIA Test is refused for net: its outputs are" in place.reason
        monkeypatch.setattr(accuracy, "difference", None)


def test_a_gpu_that_is_off_in_float32_gives_way_to_the_cpu(
    on_card: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OnCard, "off", 0.1)
    place = open_engine(OPERATORS["gemm"], name="net", engine=on_card).where()
    assert place.device == "cpu"
    assert "in float32 on NVIDIA Test is refused for net" in place.reason


def test_half_precision_never_runs_on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is a card, but neither PyTorch nor ONNX Runtime was built for it."""
    monkeypatch.setattr(build, "gpu_name", lambda: "NVIDIA Test, 1.0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    place = open_engine(OPERATORS["gemm"], engine="auto:bfloat16").where()
    assert (place.precision, place.device) == ("float32", "cpu")
    assert "has no CUDA provider" in place.reason
    for engine in ("torch", "onnxruntime"):
        with pytest.raises(EngineError, match=r"PyTorch finds no GPU|no CUDA provider"):
            open_engine(OPERATORS["gemm"], engine=f"{engine}:float16")


def test_float32_that_is_off_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Off(OnnxRuntimeEngine):
        def run(self, inputs: Any) -> dict[str, NDArray[np.float32]]:
            return {name: value + np.float32(0.1) for name, value in super().run(inputs).items()}

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    model = OPERATORS["gemm"]
    with pytest.raises(Refused, match=r"in float32 on cpu is refused for net: .* the limit is 0\.001"):
        verified("net", model, Off(model), "float32")


def test_a_network_whose_numbers_are_none_differs_without_end() -> None:
    class Broken(OnnxRuntimeEngine):
        def run(self, inputs: Any) -> dict[str, NDArray[np.float32]]:
            found = super().run(inputs)
            return {name: np.full_like(value, np.nan) for name, value in found.items()}

    model = OPERATORS["gemm"]
    assert accuracy.difference(model, OnnxRuntimeEngine(model)) == 0
    assert accuracy.difference(model, Broken(model)) == np.inf


def test_half_precision_wants_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "gpu_name", lambda: "")
    for words in ("auto:float16", "torch:bfloat16"):
        with pytest.raises(ConfigError, match="half precision is for NVIDIA GPUs, and there is none here"):
            open_engine(OPERATORS["gemm"], engine=words)
    with pytest.raises(ConfigError, match="after the colon stands one of float32, float16, bfloat16"):
        open_engine(OPERATORS["gemm"], engine="torch:int4")


def test_a_gpu_without_memory_for_the_weights_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: TorchEngine, array: object, name: str) -> None:
        raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB")

    monkeypatch.setattr(TorchEngine, "_tensor", full)
    with pytest.raises(EngineError, match=r"out of memory.*--engine onnxruntime"):
        TorchEngine(OPERATORS["gemm"])


def test_an_engine_can_be_forced_and_an_unknown_one_is_refused() -> None:
    assert open_engine(OPERATORS["gemm"], engine="torch").where().runtime.startswith("torch")
    with pytest.raises(ConfigError, match=r"no engine 'openvino': choose one of auto, onnxruntime, torch"):
        open_engine(OPERATORS["gemm"], engine="openvino")


def test_a_pytorch_that_is_not_installed_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtra, match=r"needs PyTorch .*pip install 'signspot\[train\]'"):
        open_engine(OPERATORS["gemm"], engine="torch")


def test_a_tensorrt_that_is_not_installed_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorrt, "FLAVOURS", {"tensorrt-rtx": ("no_such_tensorrt",)})
    with pytest.raises(MissingExtra, match="pip install tensorrt-rtx-cu13"):
        tensorrt.version("tensorrt-rtx")


# -- the cache, with a builder that counts ---------------------------------------------------------------------------


@pytest.fixture
def counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """A cache of the test's own, and what was built for it."""
    made: list[bytes] = []

    def fake(model: bytes, flavour: str, *, batches: Batches | None = None) -> Built:
        made.append(model)
        spec = TensorSpec("x", (None, 4), "float32")
        return Built(b"plan of %d" % len(made), (spec,), (spec,), batches.most if batches else 16)

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(tensorrt, "build", fake)
    monkeypatch.setattr(tensorrt, "version", lambda flavour: "10.9")
    monkeypatch.setattr(build, "gpu_name", lambda: "NVIDIA Test, 1.0")
    return made


def test_an_engine_is_built_once(counted: list[bytes]) -> None:
    first, kept, how = build.built("net", OPERATORS["gemm"], "tensorrt")
    again, _, then = build.built("net", OPERATORS["gemm"], "tensorrt")
    assert first == again
    assert len(counted) == 1
    assert how == "built: there was none"
    assert then == "taken from the cache"
    assert kept is not None
    assert kept.entry.gpu == "NVIDIA Test, 1.0"


@pytest.mark.parametrize(
    "change",
    [
        lambda patch: patch.setattr(tensorrt, "version", lambda flavour: "11.0"),  # another version
        lambda patch: patch.setattr(build, "gpu_name", lambda: "another card, 1.0"),  # another GPU
        lambda patch: [
            (folder / build.PLAN).write_bytes(b"x") for folder in build.cache_folder().iterdir()
        ],  # damaged
        lambda patch: [(folder / build.CARD).write_bytes(b"{") for folder in build.cache_folder().iterdir()],
        lambda patch: [
            (folder / build.PLAN).rename(folder / "lost") for folder in build.cache_folder().iterdir()
        ],
    ],
    ids=["version", "GPU", "damaged engine", "damaged card", "no engine"],
)
def test_what_has_changed_is_built_again_and_said(
    counted: list[bytes], monkeypatch: pytest.MonkeyPatch, change: object
) -> None:
    build.built("net", OPERATORS["gemm"], "tensorrt")
    change(monkeypatch)  # type: ignore[operator]
    made, _, how = build.built("net", OPERATORS["gemm"], "tensorrt", now=False)
    assert len(counted) == 2, "at a live start too: it was wanted before"
    assert how.startswith("built: the ")
    assert made.plan == b"plan of 2"
    assert build.built("net", OPERATORS["gemm"], "tensorrt")[2] == "taken from the cache"


def test_a_start_takes_what_is_built_and_builds_nothing(counted: list[bytes]) -> None:
    with pytest.raises(
        EngineError, match=r"no engine of net in the cache: `signspot engines build --engine tensorrt`"
    ):
        build.built("net", OPERATORS["gemm"], "tensorrt", now=False)
    build.built("net", OPERATORS["gemm"], "tensorrt")
    assert build.built("net", OPERATORS["gemm"], "tensorrt", now=False)[2] == "taken from the cache"
    assert len(counted) == 1


def test_what_was_built_for_other_batches_is_taken_live_and_built_again_on_demand(
    counted: list[bytes],
) -> None:
    build.built("net", OPERATORS["gemm"], "tensorrt", batches=Batches(1, 4, 32))
    made, _, how = build.built("net", OPERATORS["gemm"], "tensorrt", now=False)
    assert (made.most, how) == (32, "taken from the cache")
    made, _, how = build.built("net", OPERATORS["gemm"], "tensorrt", batches=Batches(1, 4, 8))
    assert (made.most, how) == (8, "built: the one in the cache takes batches of up to 32")
    assert len(list(build.entries())) == 1


def test_an_entry_that_cannot_be_removed_is_said(
    counted: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    build.built("net", OPERATORS["gemm"], "tensorrt")

    def refused(path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("engines.build.shutil.rmtree", refused)
    with pytest.raises(EngineError, match=r"cannot be removed \(Permission denied\)"):
        build.clean(everything=True)


def test_clean_removes_what_nothing_here_can_use(
    counted: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    build.built("old", OPERATORS["gemm"], "tensorrt")
    monkeypatch.setattr(tensorrt, "version", lambda flavour: "11.0")
    build.built("new", OPERATORS["gemm"], "tensorrt")
    assert build.clean()[0] == 1
    assert [entry.entry.network for entry in build.entries() if not isinstance(entry, EngineError)] == ["new"]
    assert build.clean(everything=True)[0] == 1
    assert build.clean() == (0, 0)


def test_a_cache_that_cannot_be_written_is_done_without(
    counted: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    made, kept, how = build.built("net", OPERATORS["gemm"], "tensorrt")
    assert made.plan == b"plan of 1"
    assert kept is None
    assert "cannot be written" in how


@pytest.mark.slow
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", SHIPPED)
def test_every_network_compiles_for_tensorrt_rtx(name: str, precision: Precision) -> None:
    compiled_for_tensorrt_rtx(SHIPPED[name](), precision)
