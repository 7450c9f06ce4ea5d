"""What the wire says while a sentence is signed: partial, stable and final hypotheses from the beam search.

A *partial* revision is the whole line so far; what no stable one has said may change. A gloss becomes *stable* when the
best hypothesis has kept it, and all before it, for long enough: a stable revision lists all glosses of which that is
true, and the search itself holds them from then on (`GlossDecoder.commit`), so that they begin every later revision of
their utterance. An utterance is *final* once the hands rest, after a pause, or where the stream ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from stream.decoding import STEP_S, Decoded, GlossDecoder
from stream.events import HypothesisGloss
from stream.transcript import PAUSE_S, Revision

TINY_S = 1e-6
"""Sums of steps are not exact."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long to wait before something is said for good."""

    agree_s: float = 0.48  # a gloss is stable once the best hypothesis has kept it for so long
    sure: float = 0.5  # and its confidence is at least this
    rest_s: float = 0.48  # hands that have rested for so long end an utterance
    pause_s: float = PAUSE_S  # and so does that long without a gloss
    longest: int = 60  # stable glosses that end an utterance: no message grows for ever

    def __post_init__(self) -> None:
        if min(self.agree_s, self.rest_s, self.pause_s) < 0 or not 0 <= self.sure <= 1 or self.longest < 1:
            raise ValueError(f"times must not be negative, sure 0 to 1, longest at least 1: {self}")


class CtcTranscript:
    """Turns one stream's log-probabilities into revisions of its transcript.

    Args:
        decoder: fresh, or just reset.
        patience: how long to wait.
    """

    def __init__(self, decoder: GlossDecoder, *, patience: Patience | None = None) -> None:
        self._decoder = decoder
        self._patience = patience or Patience()
        self._utterance = 0
        self._agreed: list[
            tuple[str, float]
        ] = []  # the best hypothesis's glosses, and since when it has them
        self._rested_s = 0.0
        self._open()

    def _open(self) -> None:
        """Open an utterance."""
        self._revision = 0
        self._stable: list[HypothesisGloss] = []
        self._told: tuple[str, ...] = ()

    def push(
        self, log_probabilities: NDArray[np.float32], *, resting: Sequence[bool] | bool = False
    ) -> list[Revision]:
        """Take in K steps.

        Args:
            log_probabilities: float32 (K, M + 1), natural logarithms, blank first.
            resting: whether no hand is raised, for each step or for all of them; of the very ticks that the step is of,
                not of those that its look-ahead has seen.

        Returns:
            What there is to say, in order.

        Raises:
            ValueError: see `GlossDecoder.accept`; or `resting` is not K long.
        """
        rests = [resting] * len(log_probabilities) if isinstance(resting, bool) else list(resting)
        if len(rests) != len(log_probabilities):
            raise ValueError(f"resting must be told for {len(log_probabilities)} steps, not {len(rests)}")
        said: list[Revision] = []
        for number, rests_now in enumerate(rests):
            self._decoder.accept(log_probabilities[number : number + 1])
            said += self._step(rests_now)
        return said

    def finish(self, start_s: float | None = None) -> Revision | None:
        """The stream or the segment has ended: the final revision of the open utterance, if there is one.

        Args:
            start_s: stream seconds at which the next segment's first step begins; None: time goes on.
        """
        last = None
        (best,) = self._decoder.best()
        if best.glosses or self._stable:
            (best,) = self._decoder.best(ended=True)
        if best.glosses or self._stable or self._revision:  # where all was taken back, that is said, too
            last = self._final(self._line(best))
        self._decoder.reset(start_s)
        self._agreed, self._rested_s = [], 0.0
        return last

    def _step(self, resting: bool) -> list[Revision]:
        now_s = self._decoder.now_s
        self._rested_s = self._rested_s + STEP_S if resting else 0.0
        (best,) = self._decoder.best()
        line = self._line(best)
        rested = self._rested_s >= self._patience.rest_s - TINY_S
        if rested or (line and now_s - line[-1].end_s >= self._patience.pause_s - TINY_S):
            last = self.finish()
            return [] if last is None else [last]
        self._agree(best, now_s)
        said: list[Revision] = []
        count = self._lasting(best, now_s)
        if count:
            self._decoder.commit(count)
            self._stable = line[: len(self._stable) + count]
            self._agreed = self._agreed[count:]
            said.append(self._next("stable", self._stable))
            (best,) = self._decoder.best()  # of what is left, each one's share has grown
            line = self._line(best)
        if len(self._stable) >= self._patience.longest:
            said.append(self._final(self._stable))
            line = self._line(
                best
            )  # the search goes on: what is not stable yet belongs to the next utterance
        names = tuple(one.gloss for one in line)
        if names != self._told:
            self._told = names
            said.append(self._next("partial", line))
        return said

    def _line(self, best: Decoded) -> list[HypothesisGloss]:
        """What is stable, and the best hypothesis of the rest; no gloss begins before the one before it has ended."""
        line = list(self._stable)
        for one in best.glosses:
            start_s = max(one.start_s, line[-1].end_s) if line else one.start_s
            line.append(
                HypothesisGloss(
                    gloss=one.gloss, start_s=start_s, end_s=max(one.end_s, start_s), confidence=one.confidence
                )
            )
        return line

    def _agree(self, best: Decoded, now_s: float) -> None:
        """Note since when the best hypothesis has had each of its glosses, in this place."""
        kept = 0
        for (gloss, _), one in zip(self._agreed, best.glosses, strict=False):
            if gloss != one.gloss:
                break
            kept += 1
        self._agreed = self._agreed[:kept] + [(one.gloss, now_s) for one in best.glosses[kept:]]

    def _lasting(self, best: Decoded, now_s: float) -> int:
        """How many of the best hypothesis's glosses have been agreed on for long enough."""
        count = 0
        for (_, since_s), one in zip(self._agreed, best.glosses, strict=True):
            if now_s - since_s < self._patience.agree_s - TINY_S or one.confidence < self._patience.sure:
                break
            count += 1
        return count

    def _final(self, line: list[HypothesisGloss]) -> Revision:
        last = self._next("final", line)
        self._utterance += 1
        self._open()
        return last

    def _next(self, state: Literal["partial", "stable", "final"], line: list[HypothesisGloss]) -> Revision:
        revision = Revision(
            utterance=self._utterance, revision=self._revision, state=state, glosses=tuple(line)
        )
        self._revision += 1
        if state == "stable":
            self._told = tuple(one.gloss for one in line)
        return revision
