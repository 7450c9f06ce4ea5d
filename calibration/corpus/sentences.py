"""Sentences of glosses, by split, and the TSV that they are kept in."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from engines.errors import SignspotError

COLUMNS = ("id", "glosses", "signer", "frames")
"""What a TSV may hold; the first two always. `frames` counts at the corpus's frame rate."""
SPLITS = ("train", "dev", "test")


class CorpusError(SignspotError):
    """A corpus that is missing, incomplete or damaged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentence:
    """One signed sentence."""

    id: str
    glosses: tuple[str, ...]
    signer: str = ""  # "" where it is not known
    frames: int | None = None  # length, None where only the media know it
    media: Path | None = (
        None  # landmarks (.npz), a video, or a folder of frames; None where only the text is at hand
    )

    def __post_init__(self) -> None:
        if not self.id or "/" in self.id or self.id.startswith("."):
            raise ValueError(f"a sentence's id must name a file, not {self.id!r}")
        if self.frames is not None and self.frames < 1:
            raise ValueError(f"sentence {self.id} has {self.frames} frames")


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class SentenceCorpus:
    """Sentences by split."""

    folder: Path
    splits: Mapping[str, tuple[Sentence, ...]]
    fps: float = 25.0  # of `Sentence.frames` and of folders of frames

    def __repr__(self) -> str:
        sizes = ", ".join(f"{name} {len(sentences)}" for name, sentences in self.splits.items())
        return f"SentenceCorpus({self.folder}: {sizes})"

    def split(self, name: str) -> tuple[Sentence, ...]:
        """The sentences of one split.

        Raises:
            CorpusError: the corpus has no such split.
        """
        if name not in self.splits:
            raise CorpusError(f"{self.folder} has no split {name!r}; it has {', '.join(self.splits)}")
        return self.splits[name]

    def vocabulary(self, split: str = "train") -> tuple[str, ...]:
        """The glosses of a split, the most frequent first, equally frequent ones in order of their names."""
        return vocabulary(self.split(split))


def vocabulary(sentences: Sequence[Sentence]) -> tuple[str, ...]:
    """The glosses of sentences, the most frequent first, equally frequent ones in order of their names."""
    counts: dict[str, int] = {}
    for sentence in sentences:
        for gloss in sentence.glosses:
            counts[gloss] = counts.get(gloss, 0) + 1
    return tuple(sorted(counts, key=lambda gloss: (-counts[gloss], gloss)))


def within(sentences: Sequence[Sentence], glosses: Sequence[str]) -> tuple[Sentence, ...]:
    """The sentences that are made of `glosses` alone."""
    known = frozenset(glosses)
    return tuple(sentence for sentence in sentences if known.issuperset(sentence.glosses))


def read_sentences(
    path: Path, *, media: Mapping[str, Path] | None = None, empty: bool = False
) -> tuple[Sentence, ...]:
    """Read one TSV of gloss sentences.

    Args:
        path: each line an id, a tab, and glosses separated by spaces. A first line that begins with `id` names the
            columns, which may then also be `signer` and `frames`.
        media: the file or folder of each id.
        empty: sentences without a gloss are allowed: nothing was recognised.

    Raises:
        CorpusError: the file cannot be read, or a line in it is damaged; the message names it.
    """
    known = media or {}
    sentences: list[Sentence] = []
    seen: set[str] = set()
    for number, row in _rows(path):
        where = f"{path}, line {number}"
        name, glosses = row.get("id", ""), tuple(row.get("glosses", "").split())
        if not (glosses or empty):
            raise CorpusError(f"{where}: it must be an id, a tab and glosses")
        if name in seen:
            raise CorpusError(f"{where}: the id {name} has come before")
        seen.add(name)
        try:
            frames = int(row["frames"]) if row.get("frames") else None
            sentences.append(
                Sentence(
                    id=name,
                    glosses=glosses,
                    signer=row.get("signer", ""),
                    frames=frames,
                    media=known.get(name),
                )
            )
        except ValueError as error:
            raise CorpusError(f"{where}: {error}") from error
    if not sentences:
        raise CorpusError(f"{path} holds no sentence")
    return tuple(sentences)


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Line numbers and cells by column."""
    columns: Sequence[str] = COLUMNS[:2]
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            for number, cells in enumerate(csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE), 1):
                if number == 1 and cells[:1] == ["id"]:
                    columns = cells
                    if "glosses" not in columns or not set(columns) <= set(COLUMNS):
                        raise CorpusError(
                            f"{path}, line 1: the columns may be {', '.join(COLUMNS)}, not {cells}"
                        )
                    continue
                if not cells:
                    continue
                if len(cells) != len(columns):
                    raise CorpusError(
                        f"{path}, line {number}: it has {len(cells)} columns, not {len(columns)}"
                    )
                yield number, dict(zip(columns, cells, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CorpusError(f"{path} cannot be read as gloss sentences: {error}") from error


def write_sentences(path: Path, sentences: Sequence[Sentence]) -> None:
    """Write one TSV with all four columns."""
    with path.open("w", encoding="utf-8", newline="") as lines:
        lines.write("\t".join(COLUMNS) + "\n")
        for one in sentences:
            frames = "" if one.frames is None else str(one.frames)
            lines.write("\t".join((one.id, " ".join(one.glosses), one.signer, frames)) + "\n")
