"""A transcript network a step at a time: what executes it, and the form that runtimes beside ONNX Runtime want it in.

TensorRT compiles and PyTorch records networks of fixed sizes, so they get one whose sizes are all a single step's. Its GRU is
written out: TensorRT refuses that operator in bfloat16, and the torch engine does not have it.
"""

from __future__ import annotations

from typing import Any

from engines import build
from engines.choice import AUTO, ONNXRUNTIME, open_engine, parse_engine
from engines.errors import EngineError, MissingExtra
from engines.gloss_bundle import FEATURES, SCORES, GlossBundle
from engines.runtime.base import Engine
from engines.runtime.onnxruntime import OnnxRuntimeEngine
from engines.tick_features import STRIDE, tick_features_named

SMALL = "it sees rows of numbers: a step is a fraction of a millisecond every 160 ms, too little for a GPU to gain on"
"""0.17 ms with `lexicon60` on one core; eight tensors, 11 kB, would go to a GPU and back at each step. Nobody has timed it on one:
`--engine NAME` puts it there."""

GRU = (
    "x_row = Squeeze (x, first)",
    "h_row = Squeeze (h, first)",
    "w = Squeeze (W, first)",
    "r = Squeeze (R, first)",
    "b = Squeeze (B, first)",
    "b_seen, b_kept = Split <axis = 0> (b, halves)",
    "seen = Gemm <transB = 1> (x_row, w, b_seen)",
    "kept = Gemm <transB = 1> (h_row, r, b_kept)",
    "seen_update, seen_reset, seen_new = Split <axis = 1> (seen, thirds)",
    "kept_update, kept_reset, kept_new = Split <axis = 1> (kept, thirds)",
    "sum_update = Add (seen_update, kept_update)",
    "update = Sigmoid (sum_update)",
    "sum_reset = Add (seen_reset, kept_reset)",
    "reset = Sigmoid (sum_reset)",
    "let_through = Mul (reset, kept_new)",
    "sum_new = Add (seen_new, let_through)",
    "new = Tanh (sum_new)",
    "change = Sub (h_row, new)",
    "held = Mul (update, change)",
    "after = Add (new, held)",
    "Y = Unsqueeze (after, first_two)",
    "Y_h = Unsqueeze (after, first)",
)
"""One step of ONNX's GRU with `linear_before_reset` (as PyTorch's is), for one stream, in ONNX's own notation. x (1, 1, I), W
(1, 3H, I), R (1, 3H, H), B (1, 6H), h (1, 1, H); gates lie in the order update, reset, new."""


def open_step(bundle: GlossBundle, *, engine: str = AUTO, threads: int = 1) -> Engine:
    """Make a transcript network ready to run a step at a time.

    Args:
        bundle: network and card.
        engine: as `open_engine` takes it, but that "auto" leaves a network without pictures on the CPU (`SMALL`).
        threads: CPU threads for one run.

    Raises:
        ConfigError, MissingExtra, EngineError: as `open_engine`.
    """
    kind, precision = parse_engine(engine)
    on_gpu = bool(build.gpu_name())
    if kind == AUTO and on_gpu and tick_features_named(bundle.card.features).needs != "picture":
        return OnnxRuntimeEngine(bundle.model, threads=threads, device="cpu", passed_over=SMALL)
    as_it_is = precision == "float32" and (kind == ONNXRUNTIME or (kind == AUTO and not on_gpu))
    model = bundle.model if as_it_is else one_step(bundle.model)
    return open_engine(model, name=bundle.card.name, engine=engine, threads=threads)


def one_step(model: bytes) -> bytes:
    """The network for one step of one stream: every size fixed, its GRU in plain operators.

    Args:
        model: ONNX of a bundle's transcript network.

    Raises:
        MissingExtra: the package onnx is not installed.
        EngineError: the network is damaged, or has a GRU of another kind than PyTorch's that runs forwards.
    """
    try:
        import onnx
    except ImportError as error:
        raise MissingExtra(
            f"networks are converted with the package onnx ({error}): pip install onnx"
        ) from error
    try:
        proto = onnx.load_from_string(model)
    except Exception as error:  # protobuf's exceptions have no common base
        raise EngineError(f"a network of {len(model)} bytes is no ONNX network: {error}") from error
    _fix_sizes(proto.graph)
    nodes = []
    for node in proto.graph.node:
        nodes += _written_out(node, proto.graph, onnx) if node.op_type == "GRU" else [node]
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    return bytes(proto.SerializeToString(deterministic=True))


def _fix_sizes(graph: Any) -> None:
    """Make a step's ticks go in, its scores come out, and states of the sizes that they went in with."""
    sizes = {}
    for entry in graph.input:
        dimensions = entry.type.tensor_type.shape.dim
        if entry.name == FEATURES:
            dimensions[1].dim_value = STRIDE
        sizes[f"new_{entry.name}"] = [dimension.dim_value for dimension in dimensions]
    for entry in graph.output:
        dimensions = entry.type.tensor_type.shape.dim
        fixed = [1, 1] if entry.name == SCORES else sizes.get(entry.name, [])
        for dimension, size in zip(dimensions, fixed, strict=False):
            dimension.dim_value = size
    del graph.value_info[:]  # told of sizes that varied


def _written_out(node: Any, graph: Any, onnx: Any) -> list[Any]:
    """A GRU as the nodes of `GRU`; their constants are added to the graph."""
    known = {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}
    width = known.pop("hidden_size", 0)
    ours = {"direction": b"forward", "layout": 0, "linear_before_reset": 1}
    if {"direction": b"forward", "layout": 0, **known} != ours or len(node.input) != 6 or node.input[4]:
        raise EngineError(f"the recurrence {node.name!r} is no GRU of PyTorch's that runs forwards")
    names = dict(zip(("x", "W", "R", "B", "", "h"), node.input, strict=True))
    names |= {ours: theirs for ours, theirs in zip(("Y", "Y_h"), node.output, strict=False) if theirs}
    prefix = f"{node.output[0] or node.output[1]}_step_"
    for name, values in (
        ("first", [0]),
        ("first_two", [0, 1]),
        ("halves", [3 * width] * 2),
        ("thirds", [width] * 3),
    ):
        constant = onnx.helper.make_tensor(prefix + name, onnx.TensorProto.INT64, [len(values)], values)
        graph.initializer.append(constant)
    made = [onnx.parser.parse_node(line) for line in GRU]
    for one in made:
        one.input[:] = [names.get(name, prefix + name) for name in one.input]
        one.output[:] = [names.get(name, prefix + name) for name in one.output]
    return made
