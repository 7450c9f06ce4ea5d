"""CTC log-probabilities to glosses while they arrive: prefix beam search with a language model of glosses.

Method: prefix beam search (Graves and Jaitly, ICML 2014; Hannun et al., arXiv:1408.2873) with shallow fusion: a
hypothesis scores log P(CTC) + weight x log P(language model) + bonus x glosses. The loops are in `stream.beam`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream.beam import (
    BLANK,
    GLOSS,
    NEVER,
    Beam,
    Records,
    Tree,
    advance,
    depth_of,
    masses,
    read,
    rooted,
    step_in,
)
from stream.language import Automaton, LanguageModel

STEP_S = 0.16
"""Stream seconds of one step: four ticks."""
SAME_TIME_STEPS = 1
"""Two hypotheses mean the same sign where their spans lie no further apart: CTC's spikes waver by a step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchOptions:
    """How to search."""

    width: int = 32  # hypotheses that are kept
    candidates: int = 40  # glosses that are considered at each step, the most probable ones
    weight: float = 0.5  # of the language model, where there is one
    bonus: float = 0.5  # log-probability that every gloss is given
    model_bonus: float = 1.5
    """The same, with a language model: it outweighs that every gloss more makes a sentence less probable. With bonuses of 0.5 in
    all a trigram took PHOENIX's 100 glosses from 8.2 to 9.8 WER on dev, by leaving out; with 2.0 to 6.4."""

    def __post_init__(self) -> None:
        if self.width < 1 or self.candidates < 1:
            raise ValueError(
                f"width and candidates must be at least 1, not {self.width} and {self.candidates}"
            )
        if self.weight < 0:
            raise ValueError(f"weight must be at least 0, not {self.weight}")


@dataclass(frozen=True, slots=True)
class DecodedGloss:
    """One gloss of a hypothesis."""

    gloss: str
    start_s: float  # stream seconds: the first step that names it in the best alignment
    end_s: float  # stream seconds: the end of the last such step
    confidence: float  # 0..1, posterior mass of all hypotheses with this gloss at this time


@dataclass(frozen=True, slots=True)
class Decoded:
    """One hypothesis: what is signed after what has been committed."""

    glosses: tuple[DecodedGloss, ...]
    log_ctc: float  # natural logarithm of the probability of all its alignments (the beam's), committed glosses included
    log_fused: float  # weighted language model and bonuses
    posterior: float  # 0..1, of the hypotheses in the beam

    @property
    def score(self) -> float:
        """What hypotheses are ranked by."""
        return self.log_ctc + self.log_fused

    @property
    def text(self) -> str:
        """The glosses in a line."""
        return " ".join(one.gloss for one in self.glosses)


class GlossDecoder:
    """Searches one stream of log-probabilities.

    Args:
        glosses: of the network's classes 1 to M; class 0 is the blank.
        model: a language model; None to go by the network alone.
        options: how to search.
        start_s: stream seconds of the first step's begin.
    """

    def __init__(
        self,
        glosses: Sequence[str],
        *,
        model: LanguageModel | None = None,
        options: SearchOptions | None = None,
        start_s: float = 0.0,
    ) -> None:
        self._glosses = tuple(glosses)
        self._options = options or SearchOptions()
        self._start_s, self._step = start_s, 0
        self._automaton = Automaton.none() if model is None else model.automaton(self._glosses)
        self._weight = self._options.weight if model is not None else 0.0
        self._bonus = self._options.bonus + (self._options.model_bonus if model is not None else 0.0)
        width = self._options.width
        self._taken = np.full((width, len(self._glosses) + 1), -1, np.int64)
        self._beam, self._next = _beam(width), _beam(width)
        self._tree, self._records = _tree(64 * width), _records(64 * width)
        self._sizes = np.zeros(2, np.int64)
        self.reset(start_s)
        self.accept(
            np.zeros((1, len(self._glosses) + 1), np.float32)
        )  # compiled or loaded now: no step waits for it
        self.commit(len(self.best(1, ended=True)[0].glosses), ended=True)
        self.reset(start_s)

    @property
    def glosses(self) -> tuple[str, ...]:
        """Of the network's classes 1 to M."""
        return self._glosses

    @property
    def now_s(self) -> float:
        """Stream seconds up to which steps have been taken."""
        return self._start_s + self._step * STEP_S

    def reset(self, start_s: float | None = None) -> None:
        """Forget everything and begin a sentence.

        Args:
            start_s: stream seconds of the next step's begin; None: time goes on.
        """
        self._start_s = self.now_s if start_s is None else start_s
        self._step = 0
        self._count = 1
        self._sizes[:] = 1, 0
        tree, beam = self._tree, self._beam
        tree.parent[0] = tree.child[0] = tree.sibling[0] = -1
        tree.label[0] = tree.slot[0] = 0
        tree.state[0], tree.fused[0] = self._automaton.begin, 0.0
        beam.node[0], beam.record[0] = 0, -1
        beam.total[0] = beam.best[0] = 0.0, NEVER
        beam.span[0] = 0

    def accept(self, log_probabilities: NDArray[np.float32]) -> None:
        """Take in K steps, in chunks of any length.

        Args:
            log_probabilities: float32 (K, M + 1), natural logarithms, blank first.

        Raises:
            ValueError: another shape, or a step with NaN or without anything possible.
        """
        rows = np.ascontiguousarray(log_probabilities, np.float32)
        if rows.ndim != 2 or rows.shape[1] != len(self._glosses) + 1:
            raise ValueError(f"log-probabilities must be (K, {len(self._glosses) + 1}), not {rows.shape}")
        if np.isnan(rows).any() or not np.isfinite(rows.max(1, initial=-np.inf)).all():
            raise ValueError("log-probabilities must not be NaN, and something must be possible at each step")
        for row in rows:
            self._make_room()
            self._count = advance(
                row, self._step, self._candidates(row), self._tree, self._beam, self._count, self._next,
                self._records, self._sizes, self._automaton.arcs, self._weight, self._bonus, self._taken,
            )  # fmt: skip
            self._beam, self._next = self._next, self._beam
            self._step += 1

    def best(self, count: int = 1, *, ended: bool = False) -> tuple[Decoded, ...]:
        """The best hypotheses, the best first.

        Args:
            count: at most so many.
            ended: the sentence is over: the language model has its say about that, too.
        """
        score = self._scores(ended)
        order = np.argsort(-score, kind="stable")
        share = np.exp(score - score.max())
        share /= share.sum()
        return tuple(self._decoded(int(entry), score, share) for entry in order[:count])

    def commit(self, count: int, *, ended: bool = False) -> None:
        """Hold the first `count` glosses of the best hypothesis: what begins otherwise is given up.

        Committed glosses are in no later hypothesis: those go on after them.

        Args:
            count: of the best hypothesis's glosses.
            ended: as in `best`.

        Raises:
            ValueError: the best hypothesis has not so many.
        """
        best = int(np.argmax(self._scores(ended)))
        node = int(self._beam.node[best])
        depth = depth_of(self._tree, node)
        if not 0 <= count <= depth:
            raise ValueError(f"the best hypothesis has {depth} glosses, {count} cannot be committed")
        for _ in range(depth - count):
            node = int(self._tree.parent[node])
        self._root(node)

    # -- inside ----------------------------------------------------------------------------------------------

    def _candidates(self, row: NDArray[np.float32]) -> NDArray[np.int64]:
        if self._options.candidates >= len(self._glosses):
            return np.arange(1, len(self._glosses) + 1)
        return np.sort(np.argpartition(-row[1:], self._options.candidates)[: self._options.candidates]) + 1

    def _scores(self, ended: bool) -> NDArray[np.float64]:
        nodes, total = self._beam.node[: self._count], self._beam.total[: self._count]
        score = np.logaddexp(total[:, BLANK], total[:, GLOSS]) + self._tree.fused[nodes]
        if ended and self._weight:
            states = self._tree.state[nodes]
            arcs, end = self._automaton.arcs, self._automaton.end
            score += self._weight * np.array([step_in(arcs, int(state), end)[0] for state in states])
        return np.asarray(score)

    def _decoded(self, entry: int, score: NDArray[np.float64], share: NDArray[np.float64]) -> Decoded:
        node = int(self._beam.node[entry])
        length = depth_of(self._tree, node)
        labels, spans = np.empty(length, np.int64), np.empty((length, 2), np.int64)
        read(self._tree, self._beam, self._records, entry, labels, spans)
        mass = masses(
            self._tree, self._beam, self._count, self._records, share, labels, spans, SAME_TIME_STEPS
        )
        log_ctc = float(np.logaddexp(*self._beam.total[entry]))
        return Decoded(
            glosses=tuple(
                DecodedGloss(
                    gloss=self._glosses[label - 1],
                    start_s=self._start_s + int(first) * STEP_S,
                    end_s=self._start_s + (int(last) + 1) * STEP_S,
                    confidence=min(float(sure), 1.0),
                )
                for label, (first, last), sure in zip(labels, spans, mass, strict=True)
            ),
            log_ctc=log_ctc,
            log_fused=float(score[entry]) - log_ctc,
            posterior=float(share[entry]),
        )

    def _root(self, node: int) -> None:
        self._count = rooted(self._tree, self._beam, self._count, self._records, node, self._sizes)

    def _make_room(self) -> None:
        """Room for what one step may add: first by dropping what nobody needs, then by growing."""
        need = 2 * self._options.width
        if self._sizes[0] + need <= len(self._tree.parent) and self._sizes[1] + need <= len(
            self._records.before
        ):
            return
        self._root(0)
        if self._sizes[0] + need > len(self._tree.parent) // 2:
            self._tree = Tree(*(np.concatenate([part, np.empty_like(part)]) for part in self._tree))
        if self._sizes[1] + need > len(self._records.before) // 2:
            self._records = Records(*(np.concatenate([part, np.empty_like(part)]) for part in self._records))


def _beam(width: int) -> Beam:
    return Beam(
        node=np.zeros(width, np.int64), total=np.zeros((width, 2)), best=np.zeros((width, 2)),
        span=np.zeros((width, 2, 2), np.int64), record=np.zeros((width, 2), np.int64),
    )  # fmt: skip


def _tree(size: int) -> Tree:
    parent, label, child, sibling, state, slot = (np.zeros(size, np.int64) for _ in range(6))
    return Tree(
        parent=parent, label=label, child=child, sibling=sibling, state=state, fused=np.zeros(size), slot=slot
    )


def _records(size: int) -> Records:
    return Records(before=np.zeros(size, np.int64), span=np.zeros((size, 2), np.int64))
