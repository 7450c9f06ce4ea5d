"""Whether an engine computes what a network says: its outputs beside those of float32 on ONNX Runtime, and a limit.

An engine on a GPU, or in half precision, is compared once and the outcome kept in the user's cache; one that is further off
than its limit is refused.
"""

from __future__ import annotations

import contextlib
import hashlib
import math

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from engines.build import gpu_name
from engines.bundle import sha256_of
from engines.caches import user_cache
from engines.errors import EngineError
from engines.precision import Precision
from engines.runtime.base import Engine
from engines.runtime.onnxruntime import OnnxRuntimeEngine

LIMITS: dict[Precision, float] = {"float32": 1e-3, "float16": 2e-2, "bfloat16": 6e-2}
"""Largest difference to the reference that an engine may show, in units of the output's largest value."""
COMPARISON = 1
"""Raised whenever what is compared, or what engines are made of a network, changes: earlier outcomes then count no more."""
ROWS = 4
"""Of the inputs that engines are compared on."""
BLOTS = 12
"""Along the side of a picture among them."""
LEAST = 0.01
"""Outputs that are smaller throughout say nothing (that nobody is there), and differ in units of this."""


class Refused(EngineError):
    """An engine is too far from float32."""


Rows = dict[str, NDArray[np.generic]]


def samples(engine: Engine, model: bytes) -> Rows:
    """Inputs (`ROWS`, ...) drawn from the network's own hash, so that a comparison is repeated exactly."""
    rng = np.random.default_rng(int(hashlib.sha256(model).hexdigest()[:8], 16))
    drawn: Rows = {}
    for spec in engine.inputs:
        shape = [ROWS if size is None else size for size in spec.shape]
        if spec.dtype == "uint8" and len(shape) > 3 and shape[-1] == 3:
            drawn[spec.name] = _pictures(rng, shape)
        elif spec.dtype == "uint8":
            drawn[spec.name] = rng.integers(0, 256, shape, dtype=np.uint8)
        elif len(shape) == 4 and shape[1] == 3:  # pictures, channels first
            count, channels, height, width = shape
            pictures = np.moveaxis(_pictures(rng, [count, height, width, channels]), -1, 1)
            drawn[spec.name] = ((pictures.astype(np.float32) - 127) / 58).astype(spec.dtype)
        else:
            drawn[spec.name] = rng.random(shape).astype(spec.dtype)
    return drawn


def _pictures(rng: np.random.Generator, shape: list[int]) -> NDArray[np.uint8]:
    """Pictures (..., H, W, 3) of soft blots: nearer to what cameras see than noise, on which pose networks lose their hold."""
    *counts, height, width, _ = shape
    blots = rng.integers(0, 256, (math.prod(counts), BLOTS, BLOTS, 3), dtype=np.uint8)
    large = [cv2.resize(one, (width, height), interpolation=cv2.INTER_CUBIC) for one in blots]
    return np.asarray(large, np.uint8).reshape(shape)


def difference(model: bytes, engine: Engine) -> float:
    """How far an engine's outputs are from the reference's, in units of each output's largest value.

    Args:
        model: ONNX, float32.
        engine: that executes it.

    Returns:
        The largest over all outputs; infinite where a number is none, or of another shape.

    Raises:
        EngineError: the network cannot be executed.
    """
    reference = OnnxRuntimeEngine(model, device="cpu")
    inputs = samples(reference, model)
    expected, found = reference.run(inputs), engine.run(inputs)
    return max(_apart(value, found[name]) for name, value in expected.items())


def _apart(expected: NDArray[np.float32], found: NDArray[np.float32]) -> float:
    if expected.shape != found.shape:
        return math.inf
    apart = float(
        np.abs(found - expected).max(initial=0.0) / max(float(np.abs(expected).max(initial=0.0)), LEAST)
    )
    return apart if math.isfinite(apart) else math.inf


def verified(name: str, model: bytes, engine: Engine, precision: Precision, made: str = "") -> float:
    """`difference`, which is looked up where this engine was compared before on this machine.

    Args:
        name: of the network, for people.
        model: ONNX, float32.
        engine: that executes it.
        precision: of its arithmetic.
        made: hash of what was built for it, where something was.

    Raises:
        Refused: the difference is over the limit.
        EngineError: the network cannot be executed.
    """
    place = engine.where()
    what = (COMPARISON, sha256_of(model), place.runtime, place.device, gpu_name(), precision, made)
    kept = user_cache("verdicts") / f"{hashlib.sha256(msgspec.json.encode(what)).hexdigest()[:24]}.json"
    try:
        apart = msgspec.json.decode(kept.read_bytes(), type=float)
    except (OSError, msgspec.DecodeError):
        apart = difference(model, engine)
        with contextlib.suppress(OSError):  # no cache: compared again at the next start
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_bytes(msgspec.json.encode(apart if math.isfinite(apart) else 1e9))
    if apart > LIMITS[precision]:
        raise Refused(
            f"{place.runtime} in {precision} on {place.device} is refused for {name}: its outputs are {apart:.1e} of their "
            f"largest value away from float32, the limit is {LIMITS[precision]:g}"
        )
    return apart
