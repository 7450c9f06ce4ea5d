"""RWTH-PHOENIX-Weather 2014 and 2014T as distributed: annotations with `|` between columns, frames as PNG in folders.

2014: Koller, Forster and Ney, CVIU 2015. `annotations/manual/train.corpus.csv` with id|folder|signer|annotation.
2014T: Camgoz et al., CVPR 2018. `annotations/manual/PHOENIX-2014-T.train.corpus.csv` with
name|video|start|end|speaker|orth|translation. The frames of both are in `features/fullFrame-210x260px/SPLIT/`.
"""

from __future__ import annotations

import csv
from pathlib import Path

from calibration.corpus.sentences import SPLITS, CorpusError, Sentence, SentenceCorpus

ANNOTATIONS = Path("annotations") / "manual"
FRAMES = "features/fullFrame-210x260px"
FPS = 25.0


def _root(folder: Path) -> Path | None:
    """The folder that holds `annotations`: this one, or one that the archive has put one or two levels below."""
    for pattern in (".", "*", "*/*"):
        for place in [folder] if pattern == "." else sorted(folder.glob(pattern)):
            if any((place / ANNOTATIONS).glob("*.corpus.csv")):
                return place
    return None


def is_phoenix(folder: Path) -> bool:
    """Whether a folder holds PHOENIX-2014 or 2014T as unpacked from its archive."""
    return _root(folder) is not None


def read_phoenix(folder: Path) -> SentenceCorpus:
    """Read all splits that are there. Where the archive has several corpora, the first one by name is read.

    Raises:
        CorpusError: there is no annotation in the folder, or one that is not as distributed; the message names it.
    """
    root = _root(folder)
    if root is None:
        raise CorpusError(f"{folder} holds no {ANNOTATIONS}/*.corpus.csv as RWTH-PHOENIX has them")
    splits = {}
    for path in sorted((root / ANNOTATIONS).glob("*.corpus.csv"), key=lambda one: _rank(one.name)):
        split = next((name for name in SPLITS if name in path.name.split(".")), None)
        if split is not None and split not in splits:
            splits[split] = _read(path, root / FRAMES / split)
    if not splits:
        raise CorpusError(f"{root / ANNOTATIONS} holds no train, dev or test split")
    return SentenceCorpus(folder=root, splits=splits, fps=FPS)


def _rank(name: str) -> int:
    parts = name.split(".")
    return next((number for number, split in enumerate(SPLITS) if split in parts), len(SPLITS))


def _read(path: Path, frames: Path) -> tuple[Sentence, ...]:
    sentences = []
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            rows = csv.DictReader(lines, delimiter="|", quoting=csv.QUOTE_NONE)
            names = rows.fieldnames or []
            form = _form(names)
            if form is None:
                raise CorpusError(
                    f"{path} is not as RWTH-PHOENIX is distributed: its columns are {', '.join(names) or 'none'}"
                )
            name, folder, signer, glosses = form
            for number, row in enumerate(rows, 2):
                if None in row.values() or not (row[glosses] or "").split():
                    raise CorpusError(f"{path}, line {number}: a column is missing, or there is no gloss")
                place = _folder(frames, row[folder])
                sentences.append(
                    Sentence(
                        id=row[name], glosses=tuple(row[glosses].split()), signer=row[signer],
                        media=place if place.is_dir() else None,
                    )
                )  # fmt: skip
    except (OSError, ValueError, csv.Error) as error:
        raise CorpusError(f"{path} cannot be read: {error}") from error
    if not sentences:
        raise CorpusError(f"{path} holds no sentence")
    return tuple(sentences)


def _form(names: object) -> tuple[str, str, str, str] | None:
    """The columns of id, folder, signer and glosses."""
    known = set(names) if isinstance(names, list) else set()
    for form in (("id", "folder", "signer", "annotation"), ("name", "video", "speaker", "orth")):
        if known.issuperset(form):
            return form
    return None


def _folder(frames: Path, pattern: str) -> Path:
    """The folder of a sentence's frames. The annotations name `ID/1/*.png`; 2014T's frames are in `ID/` itself."""
    named = frames / pattern.rpartition("/")[0] if "*" in pattern else frames / pattern
    return named if named.is_dir() else frames / pattern.partition("/")[0]
