"""Built engines: made once, kept in the user's cache, made again when anything that they depend on has changed.

An entry is found by what it was made of: the network's hash, TensorRT's kind and version, the GPU and the arithmetic.
What does not load, fails its own hash, or was made for other batch sizes than are asked for, is built again; nothing is
trusted from elsewhere.
"""

from __future__ import annotations

import functools
import hashlib
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from engines.bundle import replace_folder, sha256_of
from engines.caches import user_cache
from engines.errors import EngineError, MissingExtra
from engines.precision import Precision, in_precision
from engines.runtime import tensorrt
from engines.runtime.base import TensorSpec
from engines.runtime.tensorrt import Batches, Built
from engines.simplify import simplified

PLAN, CARD = "engine.plan", "engine.json"


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What one cache entry is, and was made of."""

    network: str  # name, for people
    model_sha256: str
    flavour: str  # "tensorrt" or "tensorrt-rtx"
    version: str
    gpu: str  # "" where it was built without one
    precision: str
    batches: tuple[int, int, int]
    plan_sha256: str
    inputs: list[tuple[str, list[int | None], str]]
    outputs: list[tuple[str, list[int | None], str]]
    built_s: float  # how long it took
    built_utc: str


@dataclass(frozen=True, slots=True)
class Kept:
    """An entry and where it lies."""

    entry: Entry
    folder: Path

    @property
    def size(self) -> int:
        """Bytes on the disk."""
        return _size(self.folder)


def cache_folder() -> Path:
    """Where built engines are kept: $XDG_CACHE_HOME/signspot, by default ~/.cache/signspot."""
    return user_cache("engines")


@functools.cache
def gpu_name() -> str:
    """The first NVIDIA GPU's name and driver, as `nvidia-smi` tells; "" without one. It is asked once."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return ""
    command = [program, "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
    return told.splitlines()[0].strip() if told.strip() else ""


def key(model_sha256: str, flavour: str, version: str, gpu: str, precision: str) -> str:
    """The name of an entry's folder."""
    what = (model_sha256, flavour, version, gpu, precision)
    return hashlib.sha256(msgspec.json.encode(what)).hexdigest()[:24]


def built(
    name: str,
    model: bytes,
    flavour: str,
    *,
    precision: Precision = "float32",
    batches: Batches | None = None,
    now: bool = True,
) -> tuple[Built, Kept | None, str]:
    """A network's engine: from the cache, or built and kept.

    Args:
        name: of the network, for people.
        model: ONNX, float32.
        flavour: which TensorRT.
        precision: of its arithmetic.
        batches: sizes that it must be built for; any will do where none are said.
        now: build what is not in the cache; otherwise only what was there and is of no use any more.

    Returns:
        The engine; its cache entry, None where the cache cannot be written; and in a line what was done and why.

    Raises:
        MissingExtra: that TensorRT, or onnx, is not installed.
        EngineError: the network cannot be built, or is not and should not be now.
    """
    sizes = batches or Batches()
    digest = sha256_of(model)
    version, gpu = tensorrt.version(flavour), gpu_name()
    folder = cache_folder() / key(digest, flavour, version, gpu, precision)
    if folder.is_dir():
        try:
            kept = read(folder)
            if batches in (None, Batches(*kept.entry.batches)):
                return _loaded(kept), kept, "taken from the cache"
            why = f"the one in the cache takes batches of up to {kept.entry.batches[2]}"
        except EngineError as error:
            why = str(error)
    else:
        why = _outdated(digest, flavour, version, gpu, precision)
    if not why and not now:
        half = "" if precision == "float32" else f" --precision {precision}"
        raise EngineError(
            f"no engine of {name} in the cache: `signspot engines build --engine {flavour}{half}` makes one"
        )
    why = why or "there was none"
    start_s = time.perf_counter()
    made = tensorrt.build(in_precision(simplified(model), precision), flavour, batches=sizes)
    entry = Entry(
        network=name,
        model_sha256=digest,
        flavour=flavour,
        version=version,
        gpu=gpu,
        precision=precision,
        batches=(sizes.least, sizes.usual, sizes.most),
        plan_sha256=sha256_of(made.plan),
        inputs=[(spec.name, list(spec.shape), spec.dtype) for spec in made.inputs],
        outputs=[(spec.name, list(spec.shape), spec.dtype) for spec in made.outputs],
        built_s=round(time.perf_counter() - start_s, 2),
        built_utc=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    )
    try:
        card = msgspec.json.format(msgspec.json.encode(entry), indent=1)
        replace_folder(folder, {PLAN: made.plan, CARD: card})
        return made, Kept(entry, folder), f"built: {why}"
    except OSError as error:
        return (
            made,
            None,
            f"built: {why}; not kept, since {cache_folder()} cannot be written ({error.strerror})",
        )


def _outdated(digest: str, flavour: str, version: str, gpu: str, precision: Precision) -> str:
    """Why an engine of that network that was built before is of no use here; "" where there is none."""
    for folder in _folders():  # not `entries`, which reads every engine whole: this is a live start
        try:
            entry = read(folder).entry
        except EngineError:
            continue
        if (entry.model_sha256, entry.flavour, entry.precision) == (digest, flavour, precision):
            if entry.version != version:
                return f"the one in the cache was built by {flavour} {entry.version}, this is {version}"
            return f"the one in the cache was built for {entry.gpu or 'no GPU'}, this is {gpu or 'none'}"
    return ""


def read(folder: Path) -> Kept:
    """One cache entry.

    Raises:
        EngineError: it is damaged.
    """
    try:
        return Kept(msgspec.json.decode((folder / CARD).read_bytes(), type=Entry), folder)
    except (OSError, msgspec.DecodeError) as error:
        raise EngineError(f"the cache entry {folder} is damaged ({error})") from error


def entries() -> Iterator[Kept | EngineError]:
    """All cache entries; an error for each that is damaged."""
    for folder in _folders():
        try:
            kept = read(folder)
            _loaded(kept)
            yield kept
        except EngineError as error:
            yield error


def clean(*, everything: bool = False) -> tuple[int, int]:
    """Remove entries that nothing here can use: damaged, or of another version or GPU.

    Args:
        everything: remove the good ones too.

    Returns:
        How many, and how many bytes.

    Raises:
        EngineError: one cannot be removed.
    """
    count = freed = 0
    gpu = gpu_name()
    for folder in _folders():
        if not everything and _usable(folder, gpu):
            continue
        size = _size(folder)
        try:
            shutil.rmtree(folder)
        except OSError as error:
            raise EngineError(
                f"{folder} cannot be removed ({error.strerror}): check who may write there"
            ) from error
        freed += size
        count += 1
    return count, freed


def _folders() -> list[Path]:
    cache = cache_folder()
    return sorted(path for path in cache.iterdir() if path.is_dir()) if cache.is_dir() else []


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir() if file.is_file())


def _usable(folder: Path, gpu: str) -> bool:
    try:
        kept = read(folder)
        _loaded(kept)
        return kept.entry.gpu == gpu and kept.entry.version == tensorrt.version(kept.entry.flavour)
    except (EngineError, MissingExtra):
        return False


def _loaded(kept: Kept) -> Built:
    try:
        plan = (kept.folder / PLAN).read_bytes()
    except OSError as error:
        raise EngineError(f"the cache entry {kept.folder} lacks its engine ({error.strerror})") from error
    if sha256_of(plan) != kept.entry.plan_sha256:
        raise EngineError(f"the engine in {kept.folder} is damaged: it fails its hash")
    specs = [
        tuple(TensorSpec(name, tuple(shape), dtype) for name, shape, dtype in side)
        for side in (kept.entry.inputs, kept.entry.outputs)
    ]
    return Built(plan, specs[0], specs[1], kept.entry.batches[2])
