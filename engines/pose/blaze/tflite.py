"""Reads a TFLite network: operators and tensors, constants as float32, sparse ones made dense.

The layout of the file is TFLite's own FlatBuffers schema, read with the accessors that the mediapipe wheel brings;
sparse tensors are laid out as in Google's `FormatConverter` (traversal order, block map, CSR levels).
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.errors import EngineError, MissingExtra

SCHEMA = "tasks/metadata/schema_py_generated.py"
TYPES: dict[int, str] = {0: "<f4", 1: "<f2", 2: "<i4"}
"""TFLite's tensor types that these networks use, as numpy's."""


@dataclass(frozen=True, slots=True)
class Operator:
    """One step of a network."""

    kind: str  # TFLite's name: "CONV_2D"
    inputs: tuple[int, ...]  # tensor numbers; -1 where an optional input is left out
    outputs: tuple[int, ...]
    options: dict[str, Any]  # of the operator, under the schema's names


@dataclass(frozen=True, slots=True, repr=False)
class Network:
    """A network of one graph; tensors are numbered, layout is NHWC."""

    operators: tuple[Operator, ...]
    shapes: tuple[tuple[int, ...], ...]  # of every tensor
    constants: dict[int, NDArray[Any]]  # float32 or int32
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    def __repr__(self) -> str:
        return f"Network({len(self.operators)} operators, {[self.shapes[i] for i in self.inputs]} in)"


def mediapipe_folder() -> Path:
    """Where the mediapipe package lies; it is not imported.

    Raises:
        MissingExtra: it is not installed.
    """
    found = importlib.util.find_spec("mediapipe")
    if found is None or found.origin is None:
        raise MissingExtra(
            "pose networks are taken from the mediapipe wheel, which is not installed: pip install mediapipe==0.10.21"
        )
    return Path(found.origin).parent


@cache
def _schema() -> ModuleType:
    """The generated accessors, without mediapipe itself (whose import takes 0.7 s)."""
    path = mediapipe_folder() / SCHEMA
    spec = importlib.util.spec_from_file_location("_tflite_schema", path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise MissingExtra(f"the mediapipe wheel lacks {SCHEMA}: pip install mediapipe==0.10.21")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def read_tflite(path: Path) -> Network:
    """Read a network.

    Args:
        path: a TFLite file with one graph.

    Raises:
        MissingExtra: mediapipe, whose accessors read the file, is not installed.
        EngineError: there is no such file, it is damaged, or it has something that is not supported.
    """
    schema = _schema()
    try:
        data = path.read_bytes()
    except OSError as error:
        raise EngineError(f"there is no network at {path}: {error.strerror}") from error
    if data[4:8] != b"TFL3":
        raise EngineError(f"{path} is no TFLite network: restore the file (reinstall mediapipe==0.10.21)")
    try:
        model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(data, 0))
        return _network(model, schema)
    except EngineError as error:
        raise EngineError(f"{path.name}: {error}") from error
    except Exception as error:  # FlatBuffers checks nothing: damage shows as any error at all
        raise EngineError(
            f"{path} is damaged ({type(error).__name__}: {error}): reinstall mediapipe==0.10.21"
        ) from error


def _network(model: Any, schema: ModuleType) -> Network:
    kinds = {number: name for name, number in vars(schema.BuiltinOperator).items() if isinstance(number, int)}
    graph = model.subgraphs[0]
    constants = {}
    for number, tensor in enumerate(graph.tensors):
        values = model.buffers[tensor.buffer].data
        if values is None or len(values) == 0:
            continue
        if tensor.type not in TYPES:
            raise EngineError(f"tensors of TFLite type {tensor.type} are not supported")
        flat = np.frombuffer(np.asarray(values, np.uint8).tobytes(), TYPES[tensor.type])
        if flat.dtype == np.float16:
            flat = flat.astype(np.float32)
        shape = tuple(int(size) for size in tensor.shape)
        constants[number] = flat.reshape(shape) if tensor.sparsity is None else dense(flat, shape, tensor)
    operators = []
    for entry in graph.operators:
        code = model.operatorCodes[entry.opcodeIndex]
        kind = kinds[max(code.builtinCode, code.deprecatedBuiltinCode)]
        inputs = tuple(int(i) for i in entry.inputs)
        outputs = tuple(int(i) for i in entry.outputs)
        if kind in ("DEQUANTIZE", "DENSIFY") and inputs[0] in constants:
            constants[outputs[0]] = constants[inputs[0]]  # done already: half to single, sparse to dense
            continue
        options = {} if entry.builtinOptions is None else dict(vars(entry.builtinOptions))
        operators.append(Operator(kind, inputs, outputs, options))
    return Network(
        operators=tuple(operators),
        shapes=tuple(tuple(int(size) for size in tensor.shape) for tensor in graph.tensors),
        constants=constants,
        inputs=tuple(int(i) for i in graph.inputs),
        outputs=tuple(int(i) for i in graph.outputs),
    )


def dense(values: NDArray[np.float32], shape: Sequence[int], tensor: Any) -> NDArray[np.float32]:
    """A sparse tensor's values put in their places.

    Args:
        values: (N,) what is stored.
        shape: of the dense tensor.
        tensor: with TFLite's `sparsity` (traversalOrder, blockMap, dimMetadata).

    Returns:
        Array of that shape, zero where nothing is stored.
    """
    sparsity = tensor.sparsity
    order = [int(axis) for axis in sparsity.traversalOrder]
    blocks = [] if sparsity.blockMap is None else [int(axis) for axis in sparsity.blockMap]
    row = np.zeros(1, np.int64)  # place in the level above
    coordinates: list[NDArray[np.int64]] = []
    for level in sparsity.dimMetadata:
        if level.format == 0:  # dense
            size = int(level.denseSize)
            coordinates = [np.repeat(axis, size) for axis in coordinates]
            coordinates.append(np.tile(np.arange(size), len(row)))
            row = np.asarray(row[:, None] * size + np.arange(size), np.int64).ravel()
        else:
            segments = np.asarray(level.arraySegments.values, np.int64)
            indices = np.asarray(level.arrayIndices.values, np.int64)
            first, count = segments[row], segments[row + 1] - segments[row]
            coordinates = [np.repeat(axis, count) for axis in coordinates]
            starts = np.repeat(first - np.concatenate([[0], np.cumsum(count)[:-1]]), count)
            row = np.asarray(starts + np.arange(count.sum()), np.int64)
            coordinates.append(indices[row])
    places = [np.zeros(len(row), np.int64) for _ in shape]
    for axis, where in zip(order, coordinates, strict=True):
        if axis < len(shape):
            places[axis] = places[axis] + where
        else:  # inside a block of one of the tensor's own axes
            of = blocks[axis - len(shape)]
            size = int(sparsity.dimMetadata[order.index(axis)].denseSize)
            places[of] = places[of] * size + where
    whole = np.zeros(shape, np.float32)
    whole[tuple(places)] = values[row]
    return whole
