"""Bundles of transcript networks: the streaming network as ONNX with its state, and a card that says what it writes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import msgspec

from engines.bundle import (
    CARD,
    MODEL,
    bundle_folder,
    loaded_part,
    read_part,
    sha256_of,
    shipped_folder,
    verify_part,
    write_parts,
)
from engines.errors import BundleError
from engines.runtime.base import TensorSpec
from engines.tick_features import STRIDE, tick_features_named

KIND = "transcripts"
"""Where those that ship lie, as `shipped_folder` takes it."""
FEATURES = "features"
SCORES = "log_probabilities"
STATES = ("first", "second", "hidden")
"""Names of the network's tensors; a state goes in under its name and comes out as `new_` and its name. Networks that look at
clips of pictures have further states, named `front_0` and so on."""


class GlossCard(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a transcript network is. `GlossBundle.write` fills in the hash and the tensor specs."""

    name: str
    features: str  # as `engines.tick_features` spells it
    glosses: tuple[str, ...]  # label m + 1 is glosses[m], label 0 CTC's blank
    look_ahead: int  # ticks beyond a step's own four that it may see, a multiple of 4
    trained_on: tuple[str, ...]  # data, with their licences
    metrics: dict[str, float]  # measured, name -> value
    licence: str  # of the weights
    notes: str = ""
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    model_sha256: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class GlossBundle:
    """A bundle whose files have been read and fit their hashes."""

    folder: Path
    card: GlossCard
    model: bytes  # the ONNX file

    def __repr__(self) -> str:
        return f"GlossBundle({self.card.name}, {len(self.card.glosses)} glosses, {self.folder})"

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a bundle and check it against its card.

        Raises:
            BundleError: a file is missing, is not what it should be, or fails its hash; or this version of Signspot
                does not compute the features.
        """
        try:
            card = msgspec.json.decode(read_part(folder, CARD), type=GlossCard)
        except msgspec.DecodeError as error:
            raise BundleError(f"{folder / CARD} is no card of a transcript network: {error}") from error
        model = read_part(folder, MODEL)
        verify_part(folder / MODEL, model, card.model_sha256)
        tick_features_named(card.features)
        if card.look_ahead < 0 or card.look_ahead % STRIDE or not card.glosses:
            raise BundleError(
                f"{folder / CARD}: the look-ahead must be a multiple of {STRIDE} ticks and there must be glosses, "
                f"not {card.look_ahead} and {len(card.glosses)}"
            )
        return cls(folder, card, model)

    @classmethod
    def write(cls, folder: Path, *, model: bytes, card: GlossCard, readme: str | None = None) -> Self:
        """Write a bundle; whatever was at `folder` is replaced as a whole or, if anything fails, left alone.

        Args:
            folder: where to; its parent is made if need be.
            model: ONNX: `FEATURES` (1, T, V) or (1, T, H, W, 3) and `STATES` to `SCORES` (1, T/4, M + 1) and the new states.
            card: all but hash and tensor specs.
            readme: the model card in prose, or None.

        Raises:
            BundleError: the network does not load, or the folder cannot be written.
        """
        engine = loaded_part(folder, model)
        card = msgspec.structs.replace(
            card, inputs=engine.inputs, outputs=engine.outputs, model_sha256=sha256_of(model)
        )
        write_parts(folder, {MODEL: model}, card, readme)
        return cls.load(folder)


def shipped_gloss_bundles() -> list[str]:
    """Names of the transcript networks that ship with Signspot."""
    return sorted(path.parent.name for path in shipped_folder(KIND).glob(f"*/{CARD}"))


def is_gloss_bundle(name_or_path: str) -> bool:
    """Whether that is a transcript network, by its card; an encoder, say, is none."""
    for folder in (Path(name_or_path), shipped_folder(KIND) / name_or_path):
        if folder.is_dir():
            try:
                card = msgspec.json.decode((folder / CARD).read_bytes())
            except (OSError, msgspec.DecodeError):
                return False
            return isinstance(card, dict) and "glosses" in card
    return False


def find_gloss_bundle(name_or_path: str) -> GlossBundle:
    """A transcript network that ships with Signspot, or the one in a folder.

    Raises:
        BundleError: there is no such bundle, or it is damaged.
    """
    return GlossBundle.load(bundle_folder(name_or_path, KIND, "transcript network"))
