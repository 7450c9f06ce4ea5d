"""n-gram language models of glosses: the ARPA format with back-off, as KenLM and SRILM write it, scored in numba.

Format: Jurafsky and Martin, Speech and Language Processing, and `ngram-format(5)` of SRILM. Probabilities in a file are
log10; here they are natural logarithms.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engines.errors import SignspotError
from stream.beam import Arcs, step_in

BEGIN, END, UNKNOWN = "<s>", "</s>", "<unk>"
NO_UNKNOWN = -100.0
"""log10 probability of an unknown gloss where the file has no <unk>: KenLM's."""
LN10 = math.log(10.0)

Gram = tuple[str, ...]


class LanguageModelError(SignspotError):
    """A language model that cannot be read, written or built."""


@dataclass(frozen=True, slots=True, repr=False)
class LanguageModel:
    """An n-gram model with back-off. `grams[n - 1]` holds the n-grams: (log10 probability, log10 back-off)."""

    grams: tuple[Mapping[Gram, tuple[float, float]], ...]

    def __post_init__(self) -> None:
        if not self.grams or not self.grams[0]:
            raise ValueError("a language model needs unigrams")

    def __repr__(self) -> str:
        return f"LanguageModel({', '.join(f'{len(part)} {n}-grams' for n, part in enumerate(self.grams, 1))})"

    @property
    def order(self) -> int:
        """Length of the longest n-grams."""
        return len(self.grams)

    @property
    def words(self) -> tuple[str, ...]:
        """All it knows by name, in order of their names; without <s>, </s> and <unk>."""
        return tuple(sorted(word for (word,) in self.grams[0] if word not in (BEGIN, END, UNKNOWN)))

    def automaton(self, glosses: Sequence[str]) -> Automaton:
        """Lay the model out for labels.

        Args:
            glosses: of the labels 1, 2, ...; what the model does not know scores as <unk>.
        """
        label = {gloss: number for number, gloss in enumerate(glosses, 1)}
        label[END] = len(glosses) + 1
        states: dict[Gram, int] = {(): 0}
        for part in self.grams[:-1]:
            for gram in part:
                states.setdefault(gram, len(states))
        rows: list[list[tuple[int, float, int]]] = [[] for _ in states]
        for part in self.grams:
            for gram, (score, _) in part.items():
                if gram[-1] in label:
                    follow = next(gram[cut:] for cut in range(len(gram) + 1) if gram[cut:] in states)
                    rows[states[gram[:-1]]].append((label[gram[-1]], score * LN10, states[follow]))
        for row in rows:
            row.sort()
        flat = [arc for row in rows for arc in row]
        backoff = [0.0] + [self.grams[len(gram) - 1][gram][1] * LN10 for gram in list(states)[1:]]
        lower = [-1] + [
            states[next(gram[cut:] for cut in range(1, len(gram) + 1) if gram[cut:] in states)]
            for gram in list(states)[1:]
        ]
        arcs = Arcs(
            start=np.cumsum([0] + [len(row) for row in rows]).astype(np.int64),
            label=np.array([arc[0] for arc in flat], np.int64),
            score=np.array([arc[1] for arc in flat], np.float64),
            to=np.array([arc[2] for arc in flat], np.int64),
            backoff=np.array(backoff, np.float64),
            lower=np.array(lower, np.int64),
            unknown=self.grams[0].get((UNKNOWN,), (NO_UNKNOWN, 0.0))[0] * LN10,
        )
        return Automaton(arcs=arcs, begin=states.get((BEGIN,), 0), end=label[END], labels=label)

    def log10(self, sentence: Sequence[str]) -> list[float]:
        """log10 probabilities of a sentence's glosses, one after the other, and of its end."""
        return self.automaton(self.words).log10(sentence)

    def perplexity(self, sentences: Iterable[Sequence[str]]) -> Perplexity:
        """How well the model foresees sentences."""
        automaton = self.automaton(self.words)
        total, known_total, events, unknown = 0.0, 0.0, 0, 0
        for sentence in sentences:
            for word, score in zip((*sentence, END), automaton.log10(sentence), strict=True):
                missing = (word,) not in self.grams[0]
                total += score
                known_total += 0.0 if missing else score
                events += 1
                unknown += missing
        if not events:
            raise ValueError("there is no sentence to foresee")
        seen = events - unknown
        return Perplexity(
            events=events,
            unknown=unknown,
            with_unknown=10 ** (-total / events),
            without_unknown=10 ** (-known_total / seen) if seen else math.inf,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Perplexity:
    """Over all glosses and sentence ends."""

    events: int  # glosses and sentence ends
    unknown: int  # glosses that the model does not know
    with_unknown: float
    without_unknown: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Automaton:
    """A model laid out for labels."""

    arcs: Arcs
    begin: int  # the state before the first gloss
    end: int  # the label of a sentence's end
    labels: Mapping[str, int]

    @classmethod
    def none(cls) -> Automaton:
        """That of no model: everything scores 0."""
        nothing = np.zeros(0, np.int64)
        arcs = Arcs(
            start=np.zeros(2, np.int64), label=nothing, score=np.zeros(0), to=nothing, backoff=np.zeros(1),
            lower=np.full(1, -1, np.int64), unknown=0.0,
        )  # fmt: skip
        return cls(arcs=arcs, begin=0, end=0, labels={})

    def log10(self, sentence: Sequence[str]) -> list[float]:
        """log10 probabilities of a sentence's glosses, one after the other, and of its end."""
        state, scores = self.begin, []
        for word in (*sentence, END):
            score, state = step_in(self.arcs, state, self.labels.get(word, -1))
            scores.append(score / LN10)
        return scores


# -- the file ------------------------------------------------------------------------------------------------------


def read_arpa(path: Path) -> LanguageModel:
    """Read a model.

    Raises:
        LanguageModelError: the file cannot be read, or is damaged; the message names the line.
    """
    try:
        with path.open(encoding="utf-8") as lines:
            return _parse(_Lines(path, enumerate((line.strip() for line in lines), 1)))
    except (OSError, UnicodeDecodeError) as error:
        raise LanguageModelError(
            f"{path} cannot be read as a language model in ARPA format: {error}"
        ) from error


class _Lines:
    """The lines of a file that are not empty, with an eye on where one is."""

    def __init__(self, path: Path, lines: Iterator[tuple[int, str]]) -> None:
        self._path, self._lines, self._number = path, lines, 0

    def next(self, expected: str) -> str:
        for number, line in self._lines:
            self._number = number
            if line:
                return line
        raise LanguageModelError(
            f"{self._path} ends after line {self._number}: {expected} is missing, it was cut off"
        )

    def wrong(self, what: str) -> LanguageModelError:
        return LanguageModelError(f"{self._path}, line {self._number}: {what}")


def _parse(lines: _Lines) -> LanguageModel:
    line = lines.next("\\data\\")
    while line != "\\data\\":
        line = lines.next("\\data\\")
    counts: list[int] = []
    line = lines.next("\\1-grams:")
    while line.startswith("ngram "):
        length, _, told = line[len("ngram ") :].partition("=")
        if length.strip() != str(len(counts) + 1) or not told.strip().isdigit():
            raise lines.wrong(f"it must be `ngram {len(counts) + 1}=COUNT`, not {line!r}")
        counts.append(int(told))
        line = lines.next(f"\\{len(counts) + 1}-grams: or \\1-grams:")
    if not counts or not counts[0]:
        raise lines.wrong(f"the number of 1-grams must stand here, not {line!r}")
    grams: list[dict[Gram, tuple[float, float]]] = []
    for order, count in enumerate(counts, 1):
        if line != f"\\{order}-grams:":
            raise lines.wrong(
                f"\\{order}-grams: must stand here, not {line!r} (are there {count} {order}-grams?)"
            )
        part: dict[Gram, tuple[float, float]] = {}
        for _ in range(count):
            line = lines.next(f"a {order}-gram")
            gram, values = _entry(lines, line, order, last=order == len(counts))
            if gram in part:
                raise lines.wrong(f"the {order}-gram {' '.join(gram)!r} has come before")
            if order > 1 and gram[-1:] not in grams[0]:
                raise lines.wrong(f"{gram[-1]!r} is no 1-gram: a gloss is missing, or there is one too many")
            if order > 1 and gram[:-1] not in grams[-1]:
                raise lines.wrong(
                    f"the {order}-gram {' '.join(gram)!r} lacks its {order - 1}-gram {' '.join(gram[:-1])!r}"
                )
            part[gram] = values
        grams.append(part)
        line = lines.next("\\end\\")
    if line != "\\end\\":
        raise lines.wrong(
            f"\\end\\ must stand here, not {line!r}: there are more {len(counts)}-grams than were told"
        )
    return LanguageModel(tuple(grams))


def _entry(lines: _Lines, line: str, order: int, *, last: bool) -> tuple[Gram, tuple[float, float]]:
    fields = line.split()
    if line.startswith("\\") or not order + 1 <= len(fields) <= order + 1 + (not last):
        raise lines.wrong(
            f"it must be a log10 probability, {order} glosses and perhaps a back-off, not {line!r}"
        )
    try:
        score = float(fields[0])
        backoff = float(fields[order + 1]) if len(fields) == order + 2 else 0.0
    except ValueError:
        raise lines.wrong(
            f"log10 probability and back-off must be numbers, as in {line!r} they are not"
        ) from None
    if not (-math.inf <= score <= 0) or not math.isfinite(backoff):
        raise lines.wrong(
            f"a log10 probability is at most 0 and a back-off finite, not {fields[0]} and {backoff}"
        )
    return tuple(fields[1 : order + 1]), (score, backoff)


def write_arpa(path: Path, model: LanguageModel) -> None:
    """Write a model; the file is whole or not there.

    Raises:
        LanguageModelError: it cannot be written.
    """
    partial = path.with_name(path.name + ".part")
    try:
        with partial.open("w", encoding="utf-8") as out:
            out.write("\\data\\\n")
            for order, part in enumerate(model.grams, 1):
                out.write(f"ngram {order}={len(part)}\n")
            for order, part in enumerate(model.grams, 1):
                out.write(f"\n\\{order}-grams:\n")
                for gram, (score, backoff) in part.items():
                    tail = f"\t{backoff:.7f}" if order < model.order and backoff else ""
                    out.write(f"{score:.7f}\t{' '.join(gram)}{tail}\n")
            out.write("\n\\end\\\n")
            out.flush()
            os.fsync(out.fileno())
        partial.replace(path)
    except OSError as error:
        raise LanguageModelError(f"{path} cannot be written: {error.strerror or error}") from error
