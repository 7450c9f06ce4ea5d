"""Reads a checkpoint that a user has: a file of named tensors, from which no code is ever run.

A `.safetensors` file can hold nothing else. A PyTorch file is a pickle, and a pickle can run code: it is read with
`weights_only`, which builds tensors and plain containers and refuses the rest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engines.errors import CheckpointError, MissingExtra

if TYPE_CHECKING:
    from torch import Tensor

PARALLEL = "module."
"""What `torch.nn.DataParallel` puts before every name."""
NESTED = ("state_dict", "model_state_dict", "model")
"""Where training scripts put the weights among the optimiser's state and the epoch."""
COUNTERS = "num_batches_tracked"
"""Batch normalisation's count of batches, which no forward pass reads."""
_NAMED = 4
"""Names that a message lists; a wrong file has hundreds."""


@dataclass(frozen=True, slots=True, repr=False)
class Checkpoint:
    """Named tensors of one file."""

    path: Path
    sha256: str  # of the file
    tensors: Mapping[str, Tensor]  # float32, without `DataParallel`'s prefix and without counters

    def __repr__(self) -> str:
        return f"Checkpoint({self.path.name}, {self.sha256[:12]}, {len(self.tensors)} tensors)"


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a `.safetensors` file, or a PyTorch file of tensors.

    Raises:
        MissingExtra: torch is not installed.
        CheckpointError: the file is missing, damaged, no checkpoint, or would need code to be run.
    """
    try:
        import torch
    except ImportError as error:
        raise MissingExtra(
            f"reading checkpoints needs PyTorch ({error}): pip install 'signspot[train]'"
        ) from error
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CheckpointError(f"the checkpoint {path} cannot be read: {error.strerror or error}") from error
    content = _safetensors(path) if path.suffix == ".safetensors" else _torch_file(path)
    tensors = {
        name.removeprefix(PARALLEL): tensor.detach().float()
        for name, tensor in _weights(path, content).items()
        if not name.endswith(COUNTERS)
    }
    bad = [name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()]
    if bad:
        raise CheckpointError(f"{path} holds values that are no numbers in {listed(bad)}: it is damaged")
    return Checkpoint(path, digest, tensors)


def check_layout(
    checkpoint: Checkpoint, expected: Mapping[str, tuple[int | None, ...]], what: str
) -> dict[str, tuple[int, ...]]:
    """See that a checkpoint holds exactly the tensors of a network.

    Args:
        checkpoint: read from the user's file.
        expected: name -> shape, None where a size is free (such as the number of classes).
        what: the network's name, for messages.

    Returns:
        The shapes that were found.

    Raises:
        CheckpointError: a tensor is missing, is one too many, or has another shape.
    """
    path, tensors = checkpoint.path, checkpoint.tensors
    missing = [name for name in expected if name not in tensors]
    extra = [name for name in tensors if name not in expected]
    remedy = "check that it is the right file for this --as"
    if len(missing) == len(expected):
        raise CheckpointError(f"{path} is no checkpoint of {what}: it holds {listed(extra)}; {remedy}")
    if missing:
        raise CheckpointError(f"{path} lacks {listed(missing)} of {what}; {remedy}")
    if extra:
        raise CheckpointError(f"{path} holds {listed(extra)}, which {what} does not have; {remedy}")
    for name, shape in expected.items():
        found = tuple(tensors[name].shape)
        if len(found) != len(shape) or any(
            size not in (None, got) for size, got in zip(shape, found, strict=True)
        ):
            wanted = ", ".join("any" if size is None else str(size) for size in shape)
            raise CheckpointError(f"{path}: {name} has shape {found}, in {what} it has ({wanted}); {remedy}")
    return {name: tuple(tensors[name].shape) for name in expected}


def listed(names: list[str]) -> str:
    """The first few of many names."""
    rest = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return (", ".join(names[:_NAMED]) or "nothing") + rest


def _safetensors(path: Path) -> Any:
    import safetensors
    import safetensors.torch

    try:
        return safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{path} is no safetensors file, or damaged: {error}") from error


def _torch_file(path: Path) -> Any:
    import pickle

    import torch

    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        refused = str(error)
        if "Unsupported" not in refused and "GLOBAL" not in refused:
            raise CheckpointError(f"{path} is no PyTorch checkpoint, or damaged: {refused[:200]}") from error
        raise CheckpointError(
            f"{path} holds more than tensors: reading it would run code that comes with it, so it is refused. Where "
            "you trust it, save its weights alone: torch.save(model.state_dict(), 'weights.pt'), or as .safetensors"
        ) from error
    except Exception as error:  # a damaged file fails in the zip reader, in tar, or in the middle of a tensor
        raise CheckpointError(f"{path} is no PyTorch checkpoint, or damaged: {error}") from error


def _weights(path: Path, content: Any) -> dict[str, Tensor]:
    import torch

    for name in NESTED:
        if isinstance(content, Mapping) and isinstance(content.get(name), Mapping):
            content = content[name]
    if not isinstance(content, Mapping):
        raise CheckpointError(
            f"{path} holds a {type(content).__name__}, not weights by name: save model.state_dict()"
        )
    wrong = [str(name) for name, value in content.items() if not isinstance(value, torch.Tensor)]
    if wrong or not content:
        raise CheckpointError(
            f"{path} holds no weights by name, but {listed(wrong)}: save model.state_dict()"
        )
    return {str(name): value for name, value in content.items()}
