"""What the live transcript makes of a corpus's sentences: its errors, and how long after a sign its gloss is there to stay.

The very stage that runs live takes the landmarks tick by tick, sentence after sentence, each as a segment of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from calibration.evaluation.wer import align
from engines.encoders import Encoder
from engines.landmarks import LandmarkTrack
from engines.tick_features import EmbeddingRow
from engines.ticks import TICK_S
from stream.clock import Tick
from stream.embedding import EmbeddingTicks
from stream.transcribing import TranscriptStage
from stream.transcript import Revision


@dataclass(slots=True)
class Transcribed:
    """One sentence as the live path has told it."""

    glosses: list[str] = field(default_factory=list)  # what was stable or final
    told_s: list[float] = field(default_factory=list)  # when each was, seconds from the sentence's first tick
    revisions: int = 0
    cpu_ms: list[float] = field(default_factory=list)  # of each tick


class _Listener:
    """Collects what is said of one sentence."""

    def __init__(self) -> None:
        self.found = Transcribed()
        self._utterance = -1
        self._held = 0

    def hear(self, revision: Revision, at_s: float) -> None:
        self.found.revisions += 1
        if revision.utterance != self._utterance:
            self._utterance, self._held = revision.utterance, 0
        if revision.state == "partial":
            return
        for entry in revision.glosses[self._held :]:
            self.found.glosses.append(entry.gloss)
            self.found.told_s.append(at_s)
        self._held = len(revision.glosses)


def transcribe(
    tracks: Iterable[LandmarkTrack],
    stage: TranscriptStage,
    *,
    encoder: Encoder | None = None,
    progress: Callable[[], None] | None = None,
) -> Iterator[Transcribed]:
    """Let the live stage write the transcript of sentences.

    Args:
        tracks: landmarks of each, one after the other.
        stage: fresh.
        encoder: whose embeddings the network sees, where it does; its time counts, as it would without a gallery.
        progress: called after every sentence.
    """
    features = stage.network.features
    embedded = None
    if encoder is not None and isinstance(features, EmbeddingRow):
        embedded = EmbeddingTicks(encoder, features)
    listener: _Listener | None = None
    first = index = 0
    for segment, track in enumerate(tracks):
        earlier, listener = listener, _Listener()
        earlier_s = (index - first) * TICK_S
        first = index
        for place in range(len(track)):
            tick = Tick(
                index=index, segment=segment, landmarks=track.at(place), interpolated=False, lost=False, captured_ns=0
            )  # fmt: skip
            start_s = time.process_time()
            found = embedded.push(tick) if embedded is not None else None
            given = {} if found is None or embedded is None else {embedded.key: found}
            said = stage.push(tick, embeddings=given)
            listener.found.cpu_ms.append((time.process_time() - start_s) * 1e3)
            if earlier is not None:
                for revision in said.ended:
                    earlier.hear(revision, earlier_s)
                yield earlier.found
                earlier = None
            index += 1
            for revision in said.revisions:
                listener.hear(revision, (index - first) * TICK_S)
        if progress is not None:
            progress()
    if listener is not None:
        for revision in stage.flush():
            listener.hear(revision, (index - first) * TICK_S)
        yield listener.found


def lags_s(glosses: Sequence[str], ends_s: Sequence[float], told: Transcribed) -> list[float]:
    """Seconds from the true end of each sign that was recognised to its gloss being there to stay.

    Negative where a gloss was known for good before its sign had ended.

    Args:
        glosses: what was signed.
        ends_s: when each sign ended, seconds from the sentence's first tick.
        told: what the transcript said.
    """
    lags = []
    at = heard = 0
    for pair in align(glosses, told.glosses):
        if pair.kind == "correct":
            lags.append(told.told_s[heard] - ends_s[at])
        at += pair.kind != "insertion"
        heard += pair.kind != "deletion"
    return lags
