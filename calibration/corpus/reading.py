"""A corpus is a folder of videos or landmark files plus a TSV of gloss sentences for each split.

corpus/
  train.tsv  dev.tsv  test.tsv     id, tab, glosses; optionally a first line that names the columns
  landmarks/ID.npz                 or videos/ID.mp4, or either one beside the TSV or in a folder of the split's name
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from calibration.corpus.phoenix import is_phoenix, read_phoenix
from calibration.corpus.sentences import SPLITS, CorpusError, SentenceCorpus, read_sentences

VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".avi")


def read_corpus(folder: Path, *, prefer: Literal["landmarks", "videos"] = "landmarks") -> SentenceCorpus:
    """Read a corpus: this project's form, or RWTH-PHOENIX-2014 or 2014T as distributed.

    Args:
        folder: of the corpus.
        prefer: which media to take where a sentence has both.

    Raises:
        CorpusError: there is no corpus in the folder, or a line of it cannot be read; the message names it.
    """
    if not folder.is_dir():
        raise CorpusError(f"{folder} is no corpus: it must be a folder with TSV files of gloss sentences")
    if is_phoenix(folder):
        return read_phoenix(folder)
    paths = sorted(folder.glob("*.tsv"), key=lambda path: (_rank(path.stem), path.stem))
    if not paths:
        raise CorpusError(
            f"{folder} is no corpus: it holds no TSV file of gloss sentences (train.tsv and so on)"
        )
    return SentenceCorpus(
        folder=folder,
        splits={path.stem: read_sentences(path, media=_media(folder, path.stem, prefer)) for path in paths},
    )


def _rank(split: str) -> int:
    return SPLITS.index(split) if split in SPLITS else len(SPLITS)


def _media(folder: Path, split: str, prefer: str) -> dict[str, Path]:
    """Landmark and video files of a split by sentence id; of the preferred kind where there are both."""
    files = [
        path
        for place in (folder, folder / "videos", folder / "landmarks", folder / split)
        if place.is_dir()
        for path in sorted(place.iterdir())
    ]
    videos = {path.stem: path for path in files if path.suffix.lower() in VIDEO_SUFFIXES}
    landmarks = {path.stem: path for path in files if path.suffix == ".npz"}
    return videos | landmarks if prefer == "landmarks" else landmarks | videos
