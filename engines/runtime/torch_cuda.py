"""PyTorch behind the `Engine` protocol: any of our ONNX networks, on a GPU as one CUDA graph a batch size.

A network of a few hundred small operations is bound by their launches; a CUDA graph replays them all with one. Inputs
and outputs have fixed buffers on the device. On a CPU the same operations run one by one, which is slower than ONNX
Runtime and here to be tested and compared.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from engines.errors import EngineError, MissingExtra
from engines.runtime.base import Placement, TensorSpec, check_inputs

Device = Literal["auto", "cpu", "cuda"]
READ_HERE = ("Pad", "Resize")
"""Operators whose parameters become arguments of a launch; read back from a GPU they would break the recording."""
RECORDING = threading.Lock()
WARM_UP = 3
"""Runs before a graph is recorded: libraries choose their kernels and allocate their workspaces in them."""


@dataclass(slots=True)
class _Recorded:
    """One batch size's graph and its buffers."""

    graph: Any
    inputs: dict[str, Any]
    outputs: list[Any]


@dataclass(frozen=True, slots=True)
class _Step:
    """One node, ready to be executed."""

    run: Callable[..., Any]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any] = field(default_factory=dict)


class TorchEngine:
    """A network executed by PyTorch. Not for use from two threads at once."""

    def __init__(
        self,
        model: Path | bytes,
        *,
        device: Device = "auto",
        graphs: bool = True,
        passed_over: str = "",
    ) -> None:
        """Read the network and compute what does not depend on its inputs.

        Args:
            model: an ONNX file, or its bytes.
            device: "auto" takes a GPU where there is one and says why not where there is none; "cuda" insists.
            graphs: record CUDA graphs; without them a GPU is told each operation by itself, which is there to be compared.
            passed_over: what better there was and why it is not used; told by `where()`.

        Raises:
            MissingExtra: torch or onnx is not installed.
            EngineError: the network is damaged or has an operator that is not known here, there is no GPU, or its memory
                is full.
        """
        try:
            import onnx
            import torch
        except ImportError as error:
            raise MissingExtra(
                f"the torch engine needs PyTorch ({error}): pip install 'signspot[train]'"
            ) from error
        has_gpu = torch.cuda.is_available()
        if device == "cuda" and not has_gpu:
            raise EngineError(
                "PyTorch finds no GPU: install a build of torch for CUDA and an NVIDIA driver, or let the device be chosen"
            )
        self._torch = torch
        self._device = torch.device("cuda" if has_gpu and device != "cpu" else "cpu")
        self._graphs = graphs and self._device.type == "cuda"
        torch.backends.cudnn.allow_tf32 = (
            False  # float32 means float32; who wants less asks for half precision
        )
        called = str(model) if isinstance(model, Path) else f"a network of {len(model)} bytes"
        try:
            proto = onnx.load(str(model)) if isinstance(model, Path) else onnx.load_from_string(model)
            onnx.checker.check_model(proto)
        except Exception as error:  # protobuf's and the checker's exceptions have no common base
            raise EngineError(f"{called} is no ONNX network; restore the file: {error}") from error
        self._inputs = tuple(_spec(entry) for entry in proto.graph.input)
        self._outputs = tuple(_spec(entry) for entry in proto.graph.output)
        self._values: dict[str, Any] = {"": None}
        self._read_here = {
            name for node in proto.graph.node if node.op_type in READ_HERE for name in node.input[1:]
        }
        try:
            for entry in proto.graph.initializer:
                self._values[entry.name] = self._tensor(onnx.numpy_helper.to_array(entry), entry.name)
            steps = [self._step(node, onnx) for node in proto.graph.node]
            self._steps = self._folded(steps)
            self._outputs = self._sized(self._outputs)
        except KeyError as error:
            raise EngineError(
                f"{called}: operator {error.args[0]} is not known to the torch engine; use another engine"
            ) from error
        except RuntimeError as error:  # torch.OutOfMemoryError, and a driver that fails, are kinds of it
            raise EngineError(
                f"{called} cannot be loaded onto {self._device}: {error}; free the device, or use --engine onnxruntime"
            ) from error
        self._recorded: dict[tuple[tuple[int, ...], ...], _Recorded] = {}
        name = torch.cuda.get_device_name(self._device) if self._device.type == "cuda" else "cpu"
        floats = {str(v.dtype)[6:] for v in self._values.values() if v is not None and v.is_floating_point()}
        self._placement = Placement(
            device=name,
            runtime=f"torch {torch.__version__}" + (" with CUDA graphs" if self._graphs else ""),
            precision=next((one for one in ("bfloat16", "float16") if one in floats), "float32"),
            reason="; ".join(filter(None, [_reason(device, has_gpu), passed_over])),
        )

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """Specs of the inputs."""
        return self._inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """Specs of the outputs."""
        return self._outputs

    def where(self) -> Placement:
        """Device, runtime, precision, and why."""
        return self._placement

    def run(self, inputs: Mapping[str, NDArray[np.generic]]) -> dict[str, NDArray[np.float32]]:
        """Run once; the first run of a batch size records its graph.

        Args:
            inputs: name -> array, of the shapes and types that `inputs` tells.

        Raises:
            EngineError: an input is missing or unknown, has the wrong shape or type, or the run fails (a GPU whose
                memory is full, say).
        """
        check_inputs("this network", self._inputs, inputs)
        torch = self._torch
        tensors = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in inputs.items()}
        try:
            with torch.inference_mode():
                if self._graphs:
                    results = self._replay(tensors)
                else:
                    results = self._execute({name: one.to(self._device) for name, one in tensors.items()})
                arrays = [result.float().cpu().numpy() for result in results]
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            shapes = {name: tuple(array.shape) for name, array in inputs.items()}
            raise EngineError(f"PyTorch fails on inputs of shape {shapes}: {error}") from error
        return {spec.name: array for spec, array in zip(self._outputs, arrays, strict=True)}

    def device_ms(self, inputs: Mapping[str, NDArray[np.generic]], *, repeats: int) -> list[float]:
        """Times of one run after another on the GPU alone, milliseconds: without launches, copies and Python.

        Args:
            inputs: as for `run`.
            repeats: how many.

        Raises:
            EngineError: as `run`, or nothing is recorded here: no GPU, or an engine without graphs.
        """
        if not self._graphs:
            raise EngineError("without CUDA graphs a network has no time of its own on the device")
        self.run(inputs)
        torch = self._torch
        graph = self._recorded[tuple(tuple(array.shape) for array in inputs.values())].graph
        spent = []
        for _ in range(repeats):
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            graph.replay()
            end.record()
            end.synchronize()
            spent.append(float(start.elapsed_time(end)))
        return spent

    def _tensor(self, array: NDArray[Any], name: str) -> Any:
        """A constant; whole numbers stay on the CPU: they are shapes and places, which launches are made from."""
        torch = self._torch
        if array.dtype.name == "bfloat16":  # a type of ml_dtypes', which torch does not take
            return torch.from_numpy(array.astype(np.float32)).to(self._device, torch.bfloat16)
        tensor = torch.from_numpy(np.array(array))
        stays = not tensor.is_floating_point() or name in self._read_here
        return tensor if stays else tensor.to(self._device)

    def _step(self, node: Any, onnx: Any) -> _Step:
        attributes = {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}
        attributes = {
            name: value.decode() if isinstance(value, bytes) else value for name, value in attributes.items()
        }
        if node.op_type == "Constant":
            attributes["value"] = self._tensor(
                onnx.numpy_helper.to_array(attributes.pop("value")), node.output[0]
            )
        if node.op_type == "ConstantOfShape" and "value" in attributes:
            attributes["value"] = onnx.numpy_helper.to_array(attributes["value"]).item()
        return _Step(OPERATORS[node.op_type], tuple(node.input), tuple(node.output), attributes)

    def _folded(self, steps: Sequence[_Step]) -> list[_Step]:
        """Execute what depends on constants alone; returns the rest."""
        rest = []
        with self._torch.inference_mode():
            for step in steps:
                if all(name in self._values for name in step.inputs):
                    self._keep(step, self._values)
                else:
                    rest.append(step)
        return rest

    def _sized(self, outputs: tuple[TensorSpec, ...]) -> tuple[TensorSpec, ...]:
        """Outputs whose sizes the file leaves open though they do not vary: found by running it on one row and on two."""
        if not any(None in spec.shape[1:] for spec in outputs):
            return outputs
        shapes = []
        for rows in (1, 2):
            zeros = {
                spec.name: self._torch.zeros(
                    [size or rows for size in spec.shape],
                    dtype=getattr(self._torch, spec.dtype),
                    device=self._device,
                )
                for spec in self._inputs
            }
            with self._torch.inference_mode():
                shapes.append([tuple(found.shape) for found in self._execute(zeros)])
        return tuple(
            replace(spec, shape=tuple(a if a == b else None for a, b in zip(one, two, strict=True)))
            for spec, one, two in zip(outputs, *shapes, strict=True)
        )

    def _keep(self, step: _Step, values: dict[str, Any]) -> None:
        result = step.run(*(values[name] for name in step.inputs), **step.attributes)
        results = result if isinstance(result, tuple) else (result,)
        values.update(zip(step.outputs, results, strict=False))

    def _execute(self, inputs: Mapping[str, Any]) -> list[Any]:
        values = {**self._values, **inputs}
        for step in self._steps:
            self._keep(step, values)
        return [values[spec.name] for spec in self._outputs]

    def _replay(self, inputs: Mapping[str, Any]) -> list[Any]:
        key = tuple(tuple(tensor.shape) for tensor in inputs.values())
        recorded = self._recorded.get(key)
        if recorded is None:
            recorded = self._recorded[key] = self._record(inputs)
        for name, tensor in inputs.items():
            recorded.inputs[name].copy_(tensor, non_blocking=True)
        recorded.graph.replay()
        return recorded.outputs

    def _record(self, inputs: Mapping[str, Any]) -> _Recorded:
        torch = self._torch
        fixed = {name: tensor.to(self._device) for name, tensor in inputs.items()}
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                self._execute(fixed)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        # Other networks run on other threads meanwhile; only one may record at a time.
        with RECORDING, torch.cuda.graph(graph, capture_error_mode="thread_local"):
            outputs = self._execute(fixed)
        return _Recorded(graph, fixed, outputs)


def _spec(entry: Any) -> TensorSpec:
    import onnx

    kind = entry.type.tensor_type
    shape = tuple(dim.dim_value if dim.HasField("dim_value") else None for dim in kind.shape.dim)
    return TensorSpec(entry.name, shape, np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)).name)


def _reason(device: Device, has_gpu: bool) -> str:
    if device == "cpu":
        return "the CPU was asked for"
    if has_gpu:
        return "a GPU was asked for" if device == "cuda" else "PyTorch finds a GPU"
    return "PyTorch finds no GPU: install a build of torch for CUDA on an NVIDIA machine"


# -- ONNX's operators in PyTorch's terms (opset 17, as far as our networks use them) ---------------------------------


def _cast(x: Any, *, to: int) -> Any:
    import torch

    kinds = {
        1: torch.float32,
        6: torch.int32,
        7: torch.int64,
        9: torch.bool,
        10: torch.float16,
        11: torch.float64,
    }
    kinds[16] = torch.bfloat16
    return x.to(kinds[to])


def _ints(x: Any) -> list[int]:
    return [int(value) for value in x.flatten().tolist()]


def _reshape(x: Any, shape: Any, *, allowzero: int = 0) -> Any:
    wanted = _ints(shape)
    return x.reshape([x.shape[i] if size == 0 and not allowzero else size for i, size in enumerate(wanted)])


def _slice(x: Any, begin: Any, end: Any, axes: Any = None, step: Any = None) -> Any:
    import torch

    begins, ends = _ints(begin), _ints(end)
    along = _ints(axes) if axes is not None else list(range(len(begins)))
    steps = _ints(step) if step is not None else [1] * len(begins)
    for axis, first, last, by in zip(along, begins, ends, steps, strict=True):
        if by > 0:
            x = torch.ops.aten.slice(x, axis, first, last, by)
        else:  # PyTorch's own slices only run forwards
            end_place = None if last < -x.shape[axis] else last
            x = _gather(x, _whole(range(x.shape[axis])[first:end_place:by]), axis=axis % x.ndim)
    return x


def _whole(numbers: Sequence[int]) -> Any:
    import torch

    return torch.tensor(list(numbers), dtype=torch.int64)


def _expand(x: Any, shape: Any) -> Any:
    import torch

    return x.expand(torch.broadcast_shapes(x.shape, _ints(shape)))  # type: ignore[no-untyped-call]


def _gather(x: Any, indices: Any, *, axis: int = 0) -> Any:
    import torch

    size = x.shape[axis]
    axis %= x.ndim
    if x.device != indices.device:  # pieces instead of a copy to the GPU, which cannot be recorded
        chosen = [x.narrow(axis, place % size, 1) for place in _ints(indices)]
        shape = [*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]]
        return torch.cat(chosen, axis).reshape(shape)
    places = indices.long()
    places = torch.where(places < 0, places + size, places)
    found = x.index_select(axis, places.flatten())
    return found.reshape([*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]])


def _unsqueeze(x: Any, axes: Any) -> Any:
    rank = x.ndim + axes.numel()
    for axis in sorted(axis % rank for axis in _ints(axes)):
        x = x.unsqueeze(axis)
    return x


def _squeeze(x: Any, axes: Any = None) -> Any:
    if axes is None:
        return x.squeeze()
    for axis in sorted((axis % x.ndim for axis in _ints(axes)), reverse=True):
        x = x.squeeze(axis)
    return x


def _reduced(name: str) -> Callable[..., Any]:
    """ReduceSum takes its axes as an input in opset 17, the others as an attribute."""

    def reduce(
        x: Any, given: Any = None, *, axes: Any = None, keepdims: int = 1, noop_with_empty_axes: int = 0
    ) -> Any:
        import torch

        where = _ints(given) if given is not None else list(axes) if axes is not None else []
        if not where:
            if noop_with_empty_axes:
                return x
            where = list(range(x.ndim))
        keep = bool(keepdims)
        if name == "sum":
            return x.sum(where, keepdim=keep)
        if name == "mean":
            return x.mean(where, keepdim=keep)
        if name == "max":
            return x.amax(where, keepdim=keep)
        return torch.linalg.vector_norm(x, dim=where, keepdim=keep)

    return reduce


def _clip(x: Any, low: Any = None, high: Any = None) -> Any:
    return x if low is None and high is None else x.clamp(min=low, max=high)


def _gemm(
    a: Any, b: Any, c: Any = None, *, alpha: float = 1.0, beta: float = 1.0, transA: int = 0, transB: int = 0
) -> Any:
    product = (a.T if transA else a) @ (b.T if transB else b)
    product = product if alpha == 1 else alpha * product
    return product if c is None else product + (c if beta == 1 else beta * c)


def _conv(
    x: Any,
    weight: Any,
    bias: Any = None,
    *,
    kernel_shape: Any = None,
    strides: Any = None,
    pads: Any = None,
    dilations: Any = None,
    group: int = 1,
    auto_pad: str = "NOTSET",
) -> Any:
    import torch

    rank = weight.ndim - 2
    if auto_pad not in ("NOTSET", "VALID"):
        raise EngineError(f"convolutions padded by {auto_pad} are not known to the torch engine")
    before, after = _sides(pads, rank)
    if before != after:
        x, before = _padded(x, before, after, 0.0), [0] * rank
    run = {1: torch.conv1d, 2: torch.conv2d, 3: torch.conv3d}[rank]
    return run(x, weight, bias, list(strides or [1] * rank), before, list(dilations or [1] * rank), group)


def _sides(pads: Any, rank: int) -> tuple[list[int], list[int]]:
    every = list(pads) if pads else [0] * (2 * rank)
    return every[:rank], every[rank:]


def _padded(x: Any, before: Sequence[int], after: Sequence[int], value: float, mode: str = "constant") -> Any:
    import torch

    amounts = [size for pair in zip(reversed(before), reversed(after), strict=True) for size in pair]
    if mode == "constant":
        return torch.nn.functional.pad(x, amounts, value=value)
    return torch.nn.functional.pad(x, amounts, mode={"edge": "replicate"}.get(mode, mode))


def _pad(x: Any, pads: Any, value: Any = None, axes: Any = None, *, mode: str = "constant") -> Any:
    if axes is not None:
        raise EngineError("padding along chosen axes is not known to the torch engine")
    before, after = _sides(_ints(pads), x.ndim)
    return _padded(x, before, after, 0.0 if value is None else float(value), mode)


def _max_pool(
    x: Any,
    *,
    kernel_shape: Any,
    strides: Any = None,
    pads: Any = None,
    ceil_mode: int = 0,
    dilations: Any = None,
) -> Any:
    import torch

    rank = len(kernel_shape)
    before, after = _sides(pads, rank)
    if any(before) or any(after):
        x = _padded(x, before, after, -math.inf)
    run = {1: torch.max_pool1d, 2: torch.max_pool2d, 3: torch.max_pool3d}[rank]
    wide = list(dilations or [1] * rank)
    return run(x, list(kernel_shape), list(strides or [1] * rank), [0] * rank, wide, bool(ceil_mode))


def _average_pool(
    x: Any,
    *,
    kernel_shape: Any,
    strides: Any = None,
    pads: Any = None,
    ceil_mode: int = 0,
    count_include_pad: int = 0,
    auto_pad: str = "NOTSET",
) -> Any:
    import torch

    rank = len(kernel_shape)
    before, after = _sides(pads, rank)
    if any(before) or any(after) or ceil_mode or auto_pad not in ("NOTSET", "VALID"):
        raise EngineError("averages over padding are not known to the torch engine")
    run = {
        1: torch.nn.functional.avg_pool1d,
        2: torch.nn.functional.avg_pool2d,
        3: torch.nn.functional.avg_pool3d,
    }[rank]
    return run(x, list(kernel_shape), list(strides or [1] * rank))


def _resize(
    x: Any,
    region: Any = None,
    scales: Any = None,
    sizes: Any = None,
    *,
    mode: str = "nearest",
    coordinate_transformation_mode: str = "half_pixel",
    **rest: Any,
) -> Any:
    import torch

    if mode != "linear" or coordinate_transformation_mode != "half_pixel" or x.ndim != 4:
        raise EngineError("the torch engine knows linear resizing of pictures with half-pixel centres alone")
    factors = scales.tolist() if scales is not None and scales.numel() else None
    size = (
        _ints(sizes)[2:]
        if factors is None
        else [round(n * f) for n, f in zip(x.shape[2:], factors[2:], strict=True)]
    )
    return torch.nn.functional.interpolate(x, size=size, mode="bilinear", align_corners=False)


def _depth_to_space(x: Any, *, blocksize: int, mode: str = "DCR") -> Any:
    n, c, h, w = x.shape
    b = blocksize
    if mode == "CRD":
        return (
            x.reshape(n, c // b**2, b, b, h, w).permute(0, 1, 4, 2, 5, 3).reshape(n, c // b**2, h * b, w * b)
        )
    return x.reshape(n, b, b, c // b**2, h, w).permute(0, 3, 4, 1, 5, 2).reshape(n, c // b**2, h * b, w * b)


def _batch_norm(
    x: Any, scale: Any, bias: Any, mean: Any, variance: Any, *, epsilon: float = 1e-5, **rest: Any
) -> Any:
    import torch

    return torch.nn.functional.batch_norm(x, mean, variance, scale, bias, eps=epsilon)


def _layer_norm(
    x: Any, scale: Any, bias: Any = None, *, axis: int = -1, epsilon: float = 1e-5, stash_type: int = 1
) -> Any:
    import torch

    return torch.nn.functional.layer_norm(x, x.shape[axis:], scale, bias, epsilon)


def _concat(*parts: Any, axis: int) -> Any:
    import torch

    return torch.cat(parts, axis)


def _shape(x: Any, **rest: Any) -> Any:
    import torch

    return torch.tensor(x.shape)


def _split(x: Any, sizes: Any = None, *, axis: int = 0, num_outputs: int | None = None) -> Any:
    if sizes is None:
        return x.chunk(num_outputs or 2, axis)
    return x.split(_ints(sizes), axis)


def _filled(shape: Any, *, value: float = 0.0) -> Any:
    import torch

    return torch.full(_ints(shape), value)


OPERATORS: dict[str, Callable[..., Any]] = {
    "Abs": lambda x: x.abs(),
    "Add": lambda a, b: a + b,
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_norm,
    "Cast": _cast,
    "Clip": _clip,
    "Concat": _concat,
    "Constant": lambda *, value: value,
    "ConstantOfShape": _filled,
    "Conv": _conv,
    "DepthToSpace": _depth_to_space,
    "Div": lambda a, b: a / b if a.is_floating_point() else a // b,
    "Equal": lambda a, b: a == b,
    "Expand": _expand,
    "Flatten": lambda x, *, axis=1: x.reshape(math.prod(x.shape[:axis]), -1),
    "Gather": _gather,
    "Gemm": _gemm,
    "GlobalAveragePool": lambda x: x.mean(list(range(2, x.ndim)), keepdim=True),
    "Greater": lambda a, b: a > b,
    "Identity": lambda x: x,
    "LayerNormalization": _layer_norm,
    "LeakyRelu": lambda x, *, alpha=0.01: x.where(x >= 0, alpha * x),
    "LogSoftmax": lambda x, *, axis=-1: x.log_softmax(axis),
    "MatMul": lambda a, b: a @ b,
    "MaxPool": _max_pool,
    "Mod": lambda a, b: a.remainder(b),
    "Mul": lambda a, b: a * b,
    "Neg": lambda x: -x,
    "Pad": _pad,
    "Pow": lambda a, b: a**b,
    "ReduceL2": _reduced("l2"),
    "ReduceMax": _reduced("max"),
    "ReduceMean": _reduced("mean"),
    "ReduceSum": _reduced("sum"),
    "Relu": lambda x: x.relu(),
    "Reshape": _reshape,
    "Resize": _resize,
    "Shape": _shape,
    "Sigmoid": lambda x: x.sigmoid(),
    "Slice": _slice,
    "Softmax": lambda x, *, axis=-1: x.softmax(axis),
    "Split": _split,
    "Sqrt": lambda x: x.sqrt(),
    "Squeeze": _squeeze,
    "Sub": lambda a, b: a - b,
    "Tanh": lambda x: x.tanh(),
    "Transpose": lambda x, *, perm: x.permute(tuple(perm)),
    "Unsqueeze": _unsqueeze,
    "Where": lambda condition, a, b: a.where(condition, b),
}
