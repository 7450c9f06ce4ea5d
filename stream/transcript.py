"""A running gloss transcript built from detections in time order.

Used where only a gallery is known: no model of whole sentences is needed, and the message says `source: detections`.
A detection is sent once it is sure, so every gloss here is stable at once; an utterance is final after a pause.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from stream.events import HypothesisGloss
from stream.spotting import Spotted

PAUSE_S = 1.5
"""So long without a new sign ends an utterance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """The transcript after a change."""

    utterance: int
    revision: int
    state: Literal["partial", "stable", "final"]
    glosses: tuple[HypothesisGloss, ...]

    @property
    def text(self) -> str:
        """The glosses in a line."""
        return " ".join(entry.gloss for entry in self.glosses)


class DetectionTranscript:
    """Collects spottings into utterances; what it has said is never taken back."""

    def __init__(self) -> None:
        self._glosses: list[HypothesisGloss] = []
        self._utterance = 0
        self._revision = 0
        self._newest_s = 0.0

    def add(self, spotted: Spotted, at_s: float) -> Revision:
        """Append a spotting that was decided at stream second `at_s`."""
        entry = HypothesisGloss(
            gloss=spotted.gloss, start_s=spotted.start_s, end_s=spotted.end_s, confidence=spotted.confidence
        )
        self._glosses.append(entry)
        self._newest_s = at_s
        return self._next("stable")

    def pass_time(self, at_s: float) -> Revision | None:
        """Stream time has come to `at_s`: the final revision, where the pause was long enough."""
        if not self._glosses or at_s - self._newest_s < PAUSE_S:
            return None
        return self.finish()

    def finish(self) -> Revision | None:
        """The stream or the segment has ended: the final revision of the open utterance, if there is one."""
        if not self._glosses:
            return None
        last = self._next("final")
        self._glosses = []
        self._utterance += 1
        self._revision = 0
        return last

    def _next(self, state: Literal["stable", "final"]) -> Revision:
        revision = Revision(
            utterance=self._utterance, revision=self._revision, state=state, glosses=tuple(self._glosses)
        )
        self._revision += 1
        return revision
