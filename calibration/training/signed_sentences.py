"""Sentences as the transcript network is trained on them: rows of features and gloss labels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from engines.tick_features import Row

Array = NDArray[np.float32]
Labels = NDArray[np.int64]


@dataclass(frozen=True, slots=True, repr=False)
class SignedSentences:
    """S sentences of N ticks in all; sentence s has the rows from offsets[s] to offsets[s + 1], the last excluded."""

    rows: Row  # (N, V), or pictures (N, H, W, 3)
    offsets: Labels  # (S + 1,)
    labels: tuple[Labels, ...]  # per sentence, each 1 to M
    glosses: tuple[str, ...]  # M
    spans_s: tuple[Array, ...] | None = (
        None  # per sentence (glosses, 2) true begin and end, synthetic corpora only
    )

    def __repr__(self) -> str:
        return f"SignedSentences({len(self)} sentences, {len(self.rows)} ticks, {len(self.glosses)} glosses)"

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def lengths(self) -> Labels:
        """(S,) ticks."""
        return np.diff(self.offsets)

    def of(self, number: int) -> Row:
        """The rows (T, ...) of one sentence; a view."""
        return self.rows[self.offsets[number] : self.offsets[number + 1]]

    def text(self, number: int) -> tuple[str, ...]:
        """The glosses of one sentence."""
        return tuple(self.glosses[label - 1] for label in self.labels[number])


def signed_sentences(
    signed: Iterable[tuple[Row, Sequence[str], Array | None]],
    glosses: Sequence[str],
    progress: Callable[[], None] | None = None,
) -> SignedSentences:
    """Put sentences together.

    Args:
        signed: the rows of each sentence, what is signed, and when (glosses, 2) in seconds where that is known.
        glosses: the vocabulary; label m + 1 is glosses[m].
        progress: called after each sentence.

    Raises:
        ValueError: a sentence has a gloss that is not in the vocabulary, or there is no sentence.
    """
    label = {gloss: number for number, gloss in enumerate(glosses, 1)}
    rows: list[Row] = []
    labels: list[Labels] = []
    spans: list[Array | None] = []
    for seen, text, when in signed:
        unknown = sorted(set(text) - label.keys())
        if unknown:
            raise ValueError(f"not in the vocabulary: {', '.join(unknown)}")
        rows.append(seen)
        labels.append(np.array([label[gloss] for gloss in text], np.int64))
        spans.append(when)
        if progress is not None:
            progress()
    if not rows:
        raise ValueError("there is no sentence to train on or to measure")
    offsets = np.concatenate([[0], np.cumsum([len(each) for each in rows])])
    known = tuple(when for when in spans if when is not None)
    return SignedSentences(
        joined(rows),
        offsets.astype(np.int64),
        tuple(labels),
        tuple(glosses),
        known if len(known) == len(spans) else None,
    )


def joined(rows: Sequence[Row]) -> Row:
    """One after the other, of the same type."""
    return cast(Row, np.concatenate(rows))


def batches(lengths: Labels, ticks: int, rng: np.random.Generator | None = None) -> list[Labels]:
    """Sentences of like length together, so that little is padded.

    Args:
        lengths: (S,) ticks of each sentence.
        ticks: of a batch, padding included; a longer sentence makes a batch of its own.
        rng: shuffles; None for order of length.

    Returns:
        Batches as arrays of sentence numbers; each sentence is in one.
    """
    blur = lengths if rng is None else lengths * rng.uniform(0.9, 1.1, len(lengths))
    found: list[Labels] = []
    group: list[int] = []
    for number in np.argsort(blur, kind="stable"):
        longest = max([int(lengths[number]), *(int(lengths[each]) for each in group)])
        if group and longest * (len(group) + 1) > ticks:
            found.append(np.array(group))
            group = []
        group.append(int(number))
    found.append(np.array(group))
    if rng is not None:
        found = [found[each] for each in rng.permutation(len(found))]
    return found


def padded(sentences: Sequence[Row]) -> tuple[Row, Labels]:
    """Rows of several sentences as (N, T, ...), zero beyond each one's end, and their lengths (N,)."""
    lengths = np.array([len(each) for each in sentences], np.int64)
    out = np.zeros((len(sentences), int(lengths.max()), *sentences[0].shape[1:]), sentences[0].dtype)
    for number, each in enumerate(sentences):
        out[number, : len(each)] = each
    return cast(Row, out), lengths
