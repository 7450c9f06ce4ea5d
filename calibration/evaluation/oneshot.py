"""One-shot recognition of isolated signs: an exemplar each, other signers' clips as queries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from calibration.thresholds import MIN_IMPOSTORS, hardest
from calibration.training.corpora import Corpus
from stream.gallery import Impostors

Array = NDArray[np.float32]
Embed = Callable[[list[Array]], Array]
"""Windows of prepared ticks (L, rows, 3) to unit rows (N, D), as `Encoder.embed`."""


class Labelled(Protocol):
    """Clips of which is known what they show: a `Corpus`, or `Labels`."""

    @property
    def gloss(self) -> NDArray[np.int64]:
        """(clips,) which gloss."""
        ...

    @property
    def signer(self) -> NDArray[np.int64]:
        """(clips,) by whom."""
        ...


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Labels:
    """The labels of clips alone."""

    gloss: NDArray[np.int64]
    signer: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class OneShot:
    """How well signs are recognised from one exemplar each."""

    ways: int  # glosses to choose from
    queries: int  # clips of other signers than the exemplar's
    top1: float
    top5: float
    map: float  # mean over glosses of the average precision with which an exemplar finds its clips

    def metrics(self) -> dict[str, float]:
        """The figures by name, rounded for a card or for JSON."""
        return {name: round(value, 4) for name, value in asdict(self).items()}


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Modality:
    """What one encoder makes of the clips of a corpus."""

    rows: Array  # (clips, D) of unit length
    background: Array | None  # (N, D) of unit length, signing that is no gloss of the corpus
    weight: float  # in the fusion


def embed_signs(corpus: Corpus, embed: Embed) -> Array:
    """Rows (clips, D) of the signs of all clips, from hands up to hands down."""
    return np.concatenate(
        [
            embed([corpus.sign(i) for i in range(at, min(at + 256, len(corpus)))])
            for at in range(0, len(corpus), 256)
        ]
    )


def score(corpus: Corpus, embed: Embed) -> OneShot:
    """Score an encoder: of each gloss the first clip in file order is the exemplar.

    Args:
        corpus: clips of signs that the encoder was not trained on.
        embed: the encoder.

    Raises:
        ValueError: no gloss has a clip by another signer than its exemplar's.
    """
    return score_rows(corpus, embed_signs(corpus, embed))


def score_rows(corpus: Labelled, rows: Array) -> OneShot:
    """Score embeddings by their cosines: of each gloss the first clip in file order is the exemplar.

    Args:
        corpus: the clips.
        rows: (clips, D) of unit length.

    Raises:
        ValueError: no gloss has a clip by another signer than its exemplar's.
    """
    exemplars, queries = split(corpus)
    return scored(corpus, exemplars, queries, rows[queries] @ rows[exemplars].T)


def score_fused(corpus: Labelled, modalities: Sequence[Modality]) -> OneShot:
    """Score encoders together as the live path ranks glosses.

    Each cosine counts in deviations of its exemplar's impostors above their mean; encoders have their weights.

    Args:
        corpus: the clips.
        modalities: one an encoder.

    Raises:
        ValueError: no gloss has a clip by another signer than its exemplar's.
    """
    exemplars, queries = split(corpus)
    return scored(corpus, exemplars, queries, fused_scores(modalities, exemplars, queries))


def fused_scores(
    modalities: Sequence[Modality], exemplars: NDArray[np.int64], queries: NDArray[np.int64]
) -> Array:
    """Likeness (queries, exemplars) by which `score_fused` ranks; exemplars and queries as `split` has them."""
    total = np.zeros((len(queries), len(exemplars)), np.float32)
    for one in modalities:
        total += one.weight * normalised(one.rows[queries], one.rows[exemplars], one.background)
    return total


def normalised(rows: Array, bank: Array, background: Array | None) -> Array:
    """Cosines (N, exemplars), each in deviations of its exemplar's impostors above their mean.

    Args:
        rows: (N, D) of unit length.
        bank: (exemplars, D) of unit length.
        background: (M, D) of unit length, signing that is none of the exemplars'; None where there is none.
    """
    impostors = [_impostors(bank, index, background) for index in range(len(bank))]
    mean = np.array([known.mean for known in impostors], np.float32)
    deviation = np.array([known.deviation for known in impostors], np.float32)
    return np.asarray((rows @ bank.T - mean) / deviation, np.float32)


def split(corpus: Labelled) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Clips that are exemplars, in the order of their glosses' numbers, and the clips by other signers than those.

    Raises:
        ValueError: no gloss has a clip by another signer than its exemplar's.
    """
    _, exemplars = np.unique(corpus.gloss, return_index=True)
    own = dict(zip(corpus.gloss[exemplars].tolist(), exemplars.tolist(), strict=True))
    queries = np.array(
        [i for i in range(len(corpus.gloss)) if corpus.signer[i] != corpus.signer[own[int(corpus.gloss[i])]]],
        np.int64,
    )
    if not len(queries):
        raise ValueError("no gloss has a clip by another signer than its exemplar's: nothing to score")
    return exemplars, queries


def _impostors(bank: Array, index: int, background: Array | None) -> Impostors:
    """Of one exemplar: the other exemplars and the background, as `calibration.thresholds` has them for a gallery."""
    others = np.delete(bank, index, axis=0)
    pool = others if background is None else np.concatenate([others, background])
    return hardest(pool @ bank[index]) if len(pool) >= MIN_IMPOSTORS else Impostors(mean=0.0, deviation=1.0)


def ranks(
    corpus: Labelled, exemplars: NDArray[np.int64], queries: NDArray[np.int64], scores: Array
) -> NDArray[np.int64]:
    """Rank from 0 of each query's own gloss; a tie is no answer, and counts as wrong.

    Args:
        corpus: the clips.
        exemplars: which of them, one a gloss.
        queries: which of them.
        scores: (queries, exemplars), the higher the more alike.
    """
    right = corpus.gloss[queries][:, None] == corpus.gloss[exemplars][None]
    return np.asarray((scores >= scores[right][:, None]).sum(1) - 1, np.int64)


def cumulative_match(rank: NDArray[np.int64], ways: int) -> NDArray[np.float64]:
    """Share (ways,) of queries whose own gloss is among the first 1, 2 .. `ways`: the CMC curve.

    Args:
        rank: (queries,) of each query's own gloss, from 0.
        ways: glosses to choose from.
    """
    return np.asarray(np.cumsum(np.bincount(rank, minlength=ways)) / len(rank), np.float64)


@dataclass(frozen=True, slots=True)
class Alike:
    """Two glosses that are taken for each other, the one that is mistaken more often first."""

    glosses: tuple[int, int]  # columns of the scores
    mistaken: tuple[int, int]  # queries of each that are answered with the other one first
    queries: tuple[int, int]  # of each


def mistaken_pairs(own: NDArray[np.int64], scores: Array) -> list[Alike]:
    """Pairs of glosses that are taken for each other: most queries first, then the largest share of their queries.

    As in `ranks`, a tie is no answer: the other gloss of the tie is what the query is taken for.

    Args:
        own: (queries,) column of each query's own gloss.
        scores: (queries, exemplars), the higher the more alike.
    """
    at = np.arange(len(own))
    others = scores.copy()
    others[at, own] = -np.inf
    first = others.argmax(1)
    wrong = others[at, first] >= scores[at, own]
    taken = Counter(zip(own[wrong].tolist(), first[wrong].tolist(), strict=True))
    of = Counter(own.tolist())
    found = []
    for pair in {(min(one), max(one)) for one in taken}:
        a, b = sorted(pair, key=lambda gloss: (-taken[gloss, sum(pair) - gloss], gloss))
        found.append(Alike((a, b), (taken[a, b], taken[b, a]), (of[a], of[b])))
    return sorted(found, key=lambda one: (-sum(one.mistaken), sum(one.queries), one.glosses))


def scored(
    corpus: Labelled, exemplars: NDArray[np.int64], queries: NDArray[np.int64], scores: Array
) -> OneShot:
    """The figures of scores (queries, exemplars), the higher the more alike; exemplars and queries as `split` has them."""
    right = corpus.gloss[queries][:, None] == corpus.gloss[exemplars][None]
    rank = ranks(corpus, exemplars, queries, scores)
    return OneShot(
        ways=len(exemplars),
        queries=len(queries),
        top1=float((rank == 0).mean()),
        top5=float((rank < 5).mean()),
        map=_mean_average_precision(scores, right),
    )


def _mean_average_precision(cosines: Array, right: NDArray[np.bool_]) -> float:
    """Mean over columns (exemplars) of the average precision of their ranking of the rows."""
    precisions = []
    for column, relevant in zip(cosines.T, right.T, strict=True):
        if relevant.any():
            hits = relevant[np.argsort(-column, kind="stable")]
            at = np.flatnonzero(hits)
            precisions.append(np.mean(np.arange(1, len(at) + 1) / (at + 1)))
    return float(np.mean(precisions))
