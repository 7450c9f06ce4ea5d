"""Model bundles: a folder with a network, a card that says what it is, and hashes that say it is whole."""

from __future__ import annotations

import ctypes
import errno
import hashlib
import importlib.resources
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import msgspec
import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from engines.errors import BundleError, EngineError
from engines.runtime.base import TensorSpec

if TYPE_CHECKING:
    from engines.runtime.onnxruntime import OnnxRuntimeEngine

MODEL = "model.onnx"
CARD = "card.json"
BACKGROUND = "background.safetensors"
README = "README.md"
EMBEDDINGS, IDLE = "embeddings", "idle"
"""Tensors of the background's file."""


class Card(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a network is. `ModelBundle.write` fills in the hashes and the tensor specs."""

    name: str  # "slgcn2d", the encoder's key on the wire
    dimension: int  # of an embedding
    features: str  # version of the features it was trained on, as `engines.skeleton.FEATURES` spells it
    window_lengths: tuple[int, ...]  # ticks, of the windows embedded live; each is resampled to 16
    trained_on: tuple[str, ...]  # data sets, with their licences
    metrics: dict[str, float]  # measured, name -> value
    licence: str  # of the weights
    notes: str = ""
    fusion_weight: float = 1.0  # of its similarities where several encoders are fused
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    model_sha256: str = ""
    background_sha256: str | None = None


@dataclass(frozen=True, slots=True, repr=False)
class ModelBundle:
    """A bundle whose files have been read and fit their hashes."""

    folder: Path
    card: Card
    model: bytes  # the ONNX file
    background: NDArray[np.float32] | None  # (N, D) embeddings of signs that are in no gallery, unit length
    idle: NDArray[np.float32] | None = None  # (M, D) the same of movement that is no signing at all

    def __repr__(self) -> str:
        return f"ModelBundle({self.card.name}, {self.card.model_sha256[:12]}, {self.folder})"

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a bundle and check every file against the card.

        Raises:
            BundleError: a file is missing, is not what it should be, or fails its hash.
        """
        try:
            card = msgspec.json.decode(read_part(folder, CARD), type=Card)
        except msgspec.DecodeError as error:
            raise BundleError(f"{folder / CARD} is no model card: {error}. {_REMEDY}") from error
        model = read_part(folder, MODEL)
        verify_part(folder / MODEL, model, card.model_sha256)
        background = idle = None
        if card.background_sha256 is not None:
            raw = read_part(folder, BACKGROUND)
            verify_part(folder / BACKGROUND, raw, card.background_sha256)
            tensors = _background(folder / BACKGROUND, raw, card.dimension)
            background, idle = tensors[EMBEDDINGS], tensors.get(IDLE)
        return cls(folder, card, model, background, idle)

    @classmethod
    def write(
        cls,
        folder: Path,
        *,
        model: bytes,
        card: Card,
        background: NDArray[np.float32] | None = None,
        idle: NDArray[np.float32] | None = None,
        readme: str | None = None,
    ) -> Self:
        """Write a bundle; whatever was at `folder` is replaced as a whole or, if anything fails, left alone.

        Args:
            folder: where to; its parent is made if need be.
            model: an ONNX network, "windows" float32 (N, C, 16, V) to "embeddings" float32 (N, D), N free.
            card: all but hashes and tensor specs, which are filled in here.
            background: float32 (N, D), unit length: embeddings that calibrate thresholds, or None.
            idle: float32 (M, D), unit length: embeddings that no sign may be farther from than an exemplar; only
                beside a background.
            readme: the model card in prose, or None.

        Raises:
            BundleError: the network does not load, or the folder cannot be written.
        """
        engine = loaded_part(folder, model)
        files = {MODEL: model}
        if background is not None:
            tensors = {EMBEDDINGS: background} | ({} if idle is None else {IDLE: idle})
            files[BACKGROUND] = safetensors.numpy.save(
                {name: np.ascontiguousarray(rows) for name, rows in tensors.items()}
            )
        card = msgspec.structs.replace(
            card,
            inputs=engine.inputs,
            outputs=engine.outputs,
            model_sha256=sha256_of(model),
            background_sha256=sha256_of(files[BACKGROUND]) if background is not None else None,
        )
        write_parts(folder, files, card, readme)
        return cls.load(folder)

    @property
    def readme(self) -> str | None:
        """The model card in prose, where the folder has one.

        Raises:
            BundleError: it cannot be read.
        """
        return read_part(self.folder, README).decode() if (self.folder / README).exists() else None

    def with_card(self, card: Card) -> Self:
        """Write this bundle again with another card; all else stays as it is.

        Raises:
            BundleError: the folder cannot be written.
        """
        return self.write(
            self.folder,
            model=self.model,
            card=card,
            background=self.background,
            idle=self.idle,
            readme=self.readme,
        )


_REMEDY = "Fetch the bundle again, or train it anew"


def sha256_of(raw: bytes) -> str:
    """The hash by which a card knows a file."""
    return hashlib.sha256(raw).hexdigest()


def read_part(folder: Path, name: str) -> bytes:
    """One file of a bundle.

    Raises:
        BundleError: it is missing or cannot be read.
    """
    try:
        return (folder / name).read_bytes()
    except OSError as error:
        reason = error.strerror or str(error)
        raise BundleError(
            f"the model bundle {folder} has no readable {name} ({reason}). {_REMEDY}"
        ) from error


def verify_part(path: Path, raw: bytes, expected: str) -> None:
    """Check a file against the hash on its card.

    Raises:
        BundleError: it is another file.
    """
    found = sha256_of(raw)
    if found != expected:
        raise BundleError(
            f"{path} fails its hash: SHA-256 {found[:12]}..., but its card says {expected[:12] or 'nothing'}.... "
            f"{_REMEDY}"
        )


def loaded_part(folder: Path, model: bytes) -> OnnxRuntimeEngine:
    """A network that is to be written into a bundle, loaded to see that it can be.

    Raises:
        BundleError: it does not load.
    """
    from engines.runtime.onnxruntime import OnnxRuntimeEngine

    try:
        return OnnxRuntimeEngine(model, device="cpu")
    except EngineError as error:
        raise BundleError(
            f"the network for {folder} does not load, so nothing is written: {error}"
        ) from error


def write_parts(folder: Path, files: dict[str, bytes], card: msgspec.Struct, readme: str | None) -> None:
    """Write a bundle's files, its card and perhaps its model card in prose; all of them or none.

    Raises:
        BundleError: the folder cannot be written.
    """
    whole = {**files, CARD: msgspec.json.format(msgspec.json.encode(card), indent=2) + b"\n"}
    if readme is not None:
        whole[README] = readme.encode()
    try:
        replace_folder(folder, whole)
    except OSError as error:
        raise BundleError(f"the bundle cannot be written to {folder}: {error.strerror or error}") from error


def shipped_folder(kind: str) -> Path:
    """Where the bundles that ship lie: of encoders ("weights") or of transcript networks ("transcripts")."""
    return Path(str(importlib.resources.files("engines"))) / kind


def bundle_folder(name_or_path: str, kind: str, what: str) -> Path:
    """The folder of a bundle that ships with Signspot, or the one that is given.

    Args:
        name_or_path: name of a shipped bundle, or a folder.
        kind: of the shipped ones, as `shipped_folder` takes it.
        what: to call it in the message.

    Raises:
        BundleError: there is no such folder.
    """
    shipped = shipped_folder(kind)
    for folder in (Path(name_or_path), shipped / name_or_path):
        if folder.is_dir():
            return folder
    names = sorted(path.name for path in shipped.iterdir() if path.is_dir()) if shipped.is_dir() else []
    raise BundleError(
        f"there is no {what} {name_or_path!r}: give a bundle's folder, or one of the shipped: "
        f"{', '.join(names) or 'none'}"
    )


def _background(path: Path, raw: bytes, dimension: int) -> dict[str, NDArray[np.float32]]:
    try:
        tensors = safetensors.numpy.load(raw)
    except safetensors.SafetensorError as error:
        raise BundleError(f"{path} holds no tensor {EMBEDDINGS!r}: {error}. {_REMEDY}") from error
    if EMBEDDINGS not in tensors:
        raise BundleError(f"{path} holds no tensor {EMBEDDINGS!r}. {_REMEDY}")
    for rows in tensors.values():
        if rows.dtype != np.float32 or rows.shape[1:] != (dimension,):
            shape = f"{rows.dtype} {rows.shape}"
            raise BundleError(f"{path} must hold float32 (N, {dimension}), not {shape}. {_REMEDY}")
    return tensors


def replace_folder(folder: Path, files: dict[str, bytes]) -> None:
    """Put a folder with just these files in the place of `folder`, in one step."""
    folder = folder.resolve()
    folder.parent.mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        new.chmod(0o755)
        for name, raw in files.items():
            with (new / name).open("wb") as file:
                file.write(raw)
                file.flush()
                os.fsync(file.fileno())
        if folder.exists():
            _exchange(new, folder)
        else:
            new.rename(folder)
        _sync(folder.parent)
    finally:
        shutil.rmtree(new, ignore_errors=True)  # the old one after an exchange, or what failed


def _exchange(one: Path, other: Path) -> None:
    """Let two folders swap names: atomic on Linux, else in two renames with the old one kept until both are done."""
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is not None:
        at_cwd, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
        if renameat2(at_cwd, os.fsencode(one), at_cwd, os.fsencode(other), exchange) == 0:
            return
        code = ctypes.get_errno()
        if code not in (errno.EINVAL, errno.ENOSYS):  # those: this file system cannot
            raise OSError(code, os.strerror(code))
    aside = one.with_name(one.name + "-old")
    other.rename(aside)
    try:
        one.rename(other)
    except OSError:
        aside.rename(other)
        raise
    aside.rename(one)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
