"""MediaPipe's networks as ONNX: converted from the installed wheel when first used, then kept.

What is kept lies in the user's cache folder under a name made of the TFLite file's SHA-256, the converter's
version and what it is quantised by; a file that is damaged, or that cannot be written, is converted anew: nothing is
trusted from elsewhere.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2

from engines.build import gpu_name
from engines.caches import user_cache
from engines.choice import AUTO, open_engine, parse_engine
from engines.errors import EngineError, PoseError
from engines.pose.blaze.convert import to_onnx
from engines.pose.blaze.quantize import RANGES, is_fast_here, quantized, read_ranges
from engines.pose.blaze.tflite import mediapipe_folder, read_tflite
from engines.runtime.base import Engine
from engines.runtime.onnxruntime import OnnxRuntimeEngine
from engines.runtime.side_by_side import SideBySide

CONVERTER = 2
"""Raised whenever the same TFLite file is converted to another network."""
QUANTIZER = 1
"""Raised whenever the same network and ranges are quantised to another one."""


@dataclass(frozen=True, slots=True)
class Source:
    """One of MediaPipe's networks."""

    file: str  # in the mediapipe package
    side: int  # of the pictures it takes, pixels
    outputs: dict[int, str]  # which of its outputs are wanted -> name
    low: float = 0.0  # what black is to it
    border: int = cv2.BORDER_REPLICATE  # what is outside the picture


PERSON = Source(
    "modules/pose_detection/pose_detection.tflite",
    224,
    {0: "boxes", 1: "scores"},
    low=-1.0,
    border=cv2.BORDER_CONSTANT,
)
POSE = Source(
    "modules/pose_landmark/pose_landmark_full.tflite",
    256,
    {0: "landmarks", 1: "presence", 3: "heatmap", 4: "world"},
)
RECROP = Source("modules/holistic_landmark/hand_recrop.tflite", 256, {0: "points"})
HAND = Source(
    "modules/hand_landmark/hand_landmark_full.tflite", 224, {0: "landmarks", 1: "presence", 3: "world"}
)
PALM = Source("modules/palm_detection/palm_detection_full.tflite", 192, {0: "boxes", 1: "scores"})
"""Holistic finds hands by the body and needs no palm detector; it is here for whoever has hands without a body."""


def cache_folder() -> Path:
    """Where converted networks are kept: $XDG_CACHE_HOME/signspot, by default ~/.cache/signspot."""
    return user_cache("networks")


def network(source: Source, *, quantize: bool = False) -> bytes:
    """One network as an ONNX model, from the cache or converted.

    Args:
        source: which one.
        quantize: in 8-bit integers; for the hand network.

    Raises:
        MissingExtra: mediapipe or onnx is not installed.
        PoseError: the wheel lacks the file.
        EngineError: the file is damaged or cannot be converted.
    """
    path = mediapipe_folder() / source.file
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise PoseError(
            f"the mediapipe wheel does not ship {source.file} ({error.strerror}): pip install mediapipe==0.10.21"
        ) from error
    name = f"{path.stem}-{digest[:16]}-{CONVERTER}"
    if quantize:
        ranges = hashlib.sha256(RANGES.read_bytes()).hexdigest()
        return _kept(f"{name}-{QUANTIZER}-{ranges[:8]}", lambda: quantized(network(source), read_ranges()))
    return _kept(name, lambda: to_onnx(read_tflite(path), outputs=source.outputs, low=source.low, high=1.0))


def _kept(name: str, make: Callable[[], bytes]) -> bytes:
    """The model of that name in the cache, made where it is not there or damaged."""
    kept = cache_folder() / f"{name}.onnx"
    seal = kept.with_suffix(".sha256")
    try:
        model = kept.read_bytes()
        if hashlib.sha256(model).hexdigest().encode() == seal.read_bytes():
            return model
    except OSError:
        pass  # not there yet
    model = make()
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        _replace(kept, model)
        _replace(seal, hashlib.sha256(model).hexdigest().encode())
    except OSError:
        pass  # no cache: two seconds more at the next start
    return model


def engine(source: Source, threads: int, runtime: str | None = None) -> Engine:
    """One network, ready to run.

    Args:
        source: which one.
        threads: CPU threads for one run.
        runtime: what executes it, as `open_engine` takes it; ONNX Runtime on the CPU by default, and as "auto" without a
            GPU. Hands are then in 8-bit integers where the processor is made for that, and the two hands on a thread each.

    Raises:
        MissingExtra, PoseError, EngineError: as `network`, or the runtime is not there or cannot execute it.
    """
    try:
        if runtime is None or (runtime == AUTO and not gpu_name()):
            return _on_cpu(source, threads)
        opened = open_engine(network(source), name=Path(source.file).stem, engine=runtime, threads=threads)
        if parse_engine(runtime)[0] == AUTO and opened.where().device == "cpu":  # the GPU is of no use
            return _on_cpu(source, threads, opened.where().reason)
        return opened
    except EngineError as error:
        raise EngineError(f"{Path(source.file).name}: {error}") from error


def _on_cpu(source: Source, threads: int, passed_over: str = "") -> Engine:
    bytewise = source is HAND and is_fast_here()
    model, precision = network(source, quantize=bytewise), "int8" if bytewise else "float32"
    shared = OnnxRuntimeEngine(
        model, threads=threads, device="cpu", precision=precision, passed_over=passed_over
    )
    if threads == 1 or source not in (RECROP, HAND):
        return shared
    alone = OnnxRuntimeEngine(model, threads=1, device="cpu", precision=precision)
    return SideBySide(alone, shared, threads=threads)


def _replace(path: Path, content: bytes) -> None:
    """Write a file as a whole: other processes see the old one or the new one."""
    handle, fresh = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
    os.replace(fresh, path)
