"""Word error rate of gloss sentences as NIST's sclite counts it, and the clean-up rules of RWTH-PHOENIX-2014.

sclite (SCTK, Fiscus) aligns with the costs 3, 3 and 4 of a deletion, an insertion and a substitution, which can find
other errors than the fewest: the error rates in papers on PHOENIX are sclite's.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from calibration.corpus.sentences import CorpusError, Sentence

Kind = Literal["correct", "substitution", "deletion", "insertion"]

DELETION_COST, INSERTION_COST, SUBSTITUTION_COST = 3, 3, 4


@dataclass(frozen=True, slots=True)
class Pair:
    """One place of an alignment."""

    kind: Kind
    reference: str  # "" where inserted
    hypothesis: str  # "" where deleted


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorCounts:
    """Errors over one or more sentences."""

    sentences: int
    wrong_sentences: int  # with at least one error
    references: int  # glosses that were signed
    correct: int
    substitutions: int
    deletions: int
    insertions: int

    @property
    def errors(self) -> int:
        """All three kinds."""
        return self.substitutions + self.deletions + self.insertions

    def rate(self, errors: int) -> float:
        """So many errors as percent of the glosses that were signed; NaN where none was."""
        return 100 * errors / self.references if self.references else float("nan")

    @property
    def wer(self) -> float:
        """Word error rate, percent."""
        return self.rate(self.errors)

    @classmethod
    def of(cls, alignments: Sequence[Sequence[Pair]]) -> ErrorCounts:
        """Count."""
        kinds = Counter(pair.kind for alignment in alignments for pair in alignment)
        return cls(
            sentences=len(alignments),
            wrong_sentences=sum(any(pair.kind != "correct" for pair in one) for one in alignments),
            references=kinds["correct"] + kinds["substitution"] + kinds["deletion"],
            correct=kinds["correct"],
            substitutions=kinds["substitution"],
            deletions=kinds["deletion"],
            insertions=kinds["insertion"],
        )


def align(reference: Sequence[str], hypothesis: Sequence[str]) -> list[Pair]:
    """The cheapest alignment of a hypothesis with what was signed; of equally cheap ones that which sclite takes.

    Args:
        reference: the glosses that were signed.
        hypothesis: those that were recognised.
    """
    rows, columns = len(reference) + 1, len(hypothesis) + 1
    cost = [[0] * columns for _ in range(rows)]
    for row in range(rows):
        for column in range(columns):
            if row and column:
                same = reference[row - 1] == hypothesis[column - 1]
                cost[row][column] = min(
                    cost[row - 1][column - 1] + (0 if same else SUBSTITUTION_COST),
                    cost[row][column - 1] + INSERTION_COST,
                    cost[row - 1][column] + DELETION_COST,
                )
            else:
                cost[row][column] = row * DELETION_COST + column * INSERTION_COST
    pairs: list[Pair] = []
    row, column = rows - 1, columns - 1
    while row or column:
        here = cost[row][column]
        if row and column:
            same = reference[row - 1] == hypothesis[column - 1]
            if here == cost[row - 1][column - 1] + (0 if same else SUBSTITUTION_COST):
                row, column = row - 1, column - 1
                pairs.append(Pair("correct" if same else "substitution", reference[row], hypothesis[column]))
                continue
        if column and here == cost[row][column - 1] + INSERTION_COST:
            column -= 1
            pairs.append(Pair("insertion", "", hypothesis[column]))
        else:
            row -= 1
            pairs.append(Pair("deletion", reference[row], ""))
    return pairs[::-1]


def clean_phoenix(glosses: Sequence[str]) -> tuple[str, ...]:
    """The clean-up before PHOENIX-2014 is scored, as its `evaluation/preprocess.sh` defines it, gloss by gloss.

    Marks such as __LEFTHAND__ or __ON__ go; so do the prefixes loc- and cl-, the suffix -PLUSPLUS, and RAUM after a
    capital (NORDRAUM is NORD); of a gloss that then comes several times in a row one is left.
    """
    kept = []
    for gloss in glosses:
        if "__LEFTHAND__" in gloss or "__EPENTHESIS__" in gloss or "__EMOTION__" in gloss:
            continue
        if re.fullmatch(r"__[^_ ]*__", gloss):
            continue
        plain = gloss.removeprefix("loc-").removesuffix("-PLUSPLUS").removeprefix("cl-")
        plain = re.sub(r"\b([A-Z]+)RAUM$", r"\1", plain)
        if plain:
            kept.append(plain)
    return tuple(gloss for gloss, _ in groupby(kept))


@dataclass(frozen=True, slots=True, repr=False)
class WerReport:
    """All alignments of a test, by sentence."""

    alignments: Mapping[str, list[Pair]]

    @property
    def counts(self) -> ErrorCounts:
        """Over all sentences."""
        return ErrorCounts.of(list(self.alignments.values()))

    def most(self, kind: Kind, count: int) -> list[tuple[Pair, int]]:
        """The most frequent errors of a kind, and how often each was made."""
        found = Counter(pair for one in self.alignments.values() for pair in one if pair.kind == kind)
        return sorted(found.items(), key=lambda item: (-item[1], item[0].reference, item[0].hypothesis))[
            :count
        ]


def score(
    references: Sequence[Sentence], hypotheses: Sequence[Sentence], *, phoenix: bool = False
) -> WerReport:
    """Align what was recognised with what was signed.

    Args:
        references: what was signed.
        hypotheses: what was recognised, by the same ids in any order; may be empty.
        phoenix: clean both up as PHOENIX-2014 is.

    Raises:
        CorpusError: a sentence is in one of both alone.
    """
    found = {one.id: one.glosses for one in hypotheses}
    missing = [one.id for one in references if one.id not in found]
    if missing:
        raise CorpusError(f"{len(missing)} sentences have no hypothesis: {_some(missing)}")
    extra = sorted(found.keys() - {one.id for one in references})
    if extra:
        raise CorpusError(f"{len(extra)} hypotheses are of no sentence in the reference: {_some(extra)}")
    clean = clean_phoenix if phoenix else tuple
    return WerReport({one.id: align(clean(one.glosses), clean(found[one.id])) for one in references})


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (" and so on" if len(names) > 3 else "")
