"""Files of isolated signs' landmarks that `signspot evaluate oneshot` reads, recognised by what is in them."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from calibration.training.corpora import Corpus, CorpusMissing, read_dgs30, read_wlasl
from engines.errors import SignspotError
from engines.features import Features

Form = Literal["wlasl", "dgs30"]

PER_CLIP: Mapping[Form, tuple[str, ...]] = {
    "wlasl": ("gloss", "signer", "bbox", "frame_wh"),
    "dgs30": ("label",),
}
"""Arrays with an entry a clip."""
OTHERS: Mapping[Form, tuple[str, ...]] = {
    "wlasl": ("landmarks", "offsets", "gloss_names"),
    "dgs30": ("frames", "offsets", "scale"),
}
_DAMAGE = (zipfile.BadZipFile, zlib.error, ValueError, IndexError, KeyError, TypeError, EOFError, OSError)


class NotClips(SignspotError):
    """A file that holds no clips in a form that is known here."""


def form_of(path: Path) -> Form:
    """Whose form a file has.

    Raises:
        CorpusMissing: there is no such file.
        NotClips: it has neither's, or its arrays do not fit together.
    """
    if not path.is_file():
        raise CorpusMissing(f"there is no data set {path}: give a file in the form of wlasl_hands.npz")
    try:
        found = np.load(path)
    except _DAMAGE as error:
        raise NotClips(f"{path} is no .npz file: give one in the form of wlasl_hands.npz") from error
    if not isinstance(found, np.lib.npyio.NpzFile):
        raise NotClips(f"{path} holds a single array: give an .npz file in the form of wlasl_hands.npz")
    with found as data:
        form: Form = "dgs30" if "label" in data.files else "wlasl"
        missing = [name for name in (*PER_CLIP[form], *OTHERS[form]) if name not in data.files]
        if missing:
            raise NotClips(
                f"{path} is not in the form of {form}_hands.npz: it lacks {', '.join(missing)} "
                f"(it holds {', '.join(data.files) or 'nothing'})"
            )
        try:
            offsets = np.asarray(data["offsets"])
            lengths = {name: len(data[name]) for name in PER_CLIP[form]}
        except _DAMAGE as error:
            raise NotClips(f"{path} is damaged: {error}") from error
    _check_counts(path, offsets, lengths)
    return form


def _check_counts(path: Path, offsets: NDArray[np.generic], lengths: Mapping[str, int]) -> None:
    clips = len(offsets) - 1 if offsets.ndim == 1 else 0
    if clips < 1 or np.any(np.diff(offsets.astype(np.int64)) < 0):
        raise NotClips(f"{path}: offsets (clips + 1,) have to rise, and to bound at least one clip")
    wrong = [f"{name} has {length}" for name, length in lengths.items() if length != clips]
    if wrong:
        raise NotClips(f"{path}: offsets bound {clips} clips, but {', '.join(wrong)} entries")


def read_clips(path: Path, features: Features) -> Corpus:
    """The clips of a file in the form of `wlasl_hands.npz` or `dgs30_hands.npz`.

    Args:
        path: the file.
        features: what to make of the landmarks.

    Raises:
        CorpusMissing: there is no such file.
        NotClips: it is no such file, or damaged.
    """
    form = form_of(path)
    try:
        corpus = read_dgs30(path, features) if form == "dgs30" else read_wlasl(path, features)
    except _DAMAGE as error:
        raise NotClips(f"{path} is not in the form of {form}_hands.npz, or damaged: {error}") from error
    if corpus.offsets[-1] != len(corpus.points) or not 0 <= corpus.gloss.min() <= corpus.gloss.max() < len(
        corpus.glosses
    ):
        raise NotClips(f"{path}: offsets or gloss numbers do not fit the landmarks and the glosses' names")
    return corpus
