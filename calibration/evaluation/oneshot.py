"""One-shot recognition of isolated signs: an exemplar each, other signers' clips as queries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from calibration.training.corpora import Corpus

Array = NDArray[np.float32]
Embed = Callable[[list[Array]], Array]
"""Windows of prepared ticks (L, rows, 3) to unit rows (N, D), as `Encoder.embed`."""


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


def score_rows(corpus: Corpus, rows: Array) -> OneShot:
    """Score embeddings: of each gloss the first clip in file order is the exemplar.

    Args:
        corpus: the clips.
        rows: (clips, D) of unit length.

    Raises:
        ValueError: no gloss has a clip by another signer than its exemplar's.
    """
    _, exemplars = np.unique(corpus.gloss, return_index=True)
    own = dict(zip(corpus.gloss[exemplars].tolist(), exemplars.tolist(), strict=True))
    queries = np.array(
        [i for i in range(len(corpus)) if corpus.signer[i] != corpus.signer[own[int(corpus.gloss[i])]]],
        np.int64,
    )
    if not len(queries):
        raise ValueError("no gloss has a clip by another signer than its exemplar's: nothing to score")
    cosines = rows[queries] @ rows[exemplars].T
    right = corpus.gloss[queries][:, None] == corpus.gloss[exemplars][None]
    rank = (cosines >= cosines[right][:, None]).sum(1) - 1  # a tie is no answer: it counts as wrong
    return OneShot(
        ways=len(exemplars),
        queries=len(queries),
        top1=float((rank == 0).mean()),
        top5=float((rank < 5).mean()),
        map=_mean_average_precision(cosines, right),
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
