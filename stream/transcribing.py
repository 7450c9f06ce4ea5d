"""Ticks in, revisions of the transcript out: the network's steps, the search over them, and when something is said.

Like the spotting stage it looks at no clock: the same ticks give the same revisions, so that replay is exact.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engines.gloss_bundle import find_gloss_bundle
from engines.gloss_stream import GlossStream
from engines.tick_features import STRIDE
from stream.clock import Tick
from stream.decoding import GlossDecoder
from stream.hypotheses import CtcTranscript, Patience
from stream.language import LanguageModel, read_arpa
from stream.transcript import Revision
from stream.visibility import raised


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscriptSource:
    """Where a transcript's network and language model are from."""

    bundle: Path | None = None
    language_model: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What one tick gave."""

    ended: tuple[
        Revision, ...
    ] = ()  # said because this tick begins a new segment; they belong to the old one
    revisions: tuple[Revision, ...] = ()
    work_ms: float = 0.0


class TranscriptStage:
    """One stream's transcript by a network of whole sentences.

    Args:
        network: the stream through a transcript network, at its beginning.
        model: a language model of its glosses; None to go by the network alone.
        patience: how long to wait before something is said for good.
        source: files that network and model are from, for a run that is recorded.
    """

    def __init__(
        self,
        network: GlossStream,
        *,
        model: LanguageModel | None = None,
        patience: Patience | None = None,
        source: TranscriptSource | None = None,
    ) -> None:
        self._network = network
        self.source = source or TranscriptSource()
        self._transcript = CtcTranscript(GlossDecoder(network.glosses, model=model), patience=patience)
        self._resting: deque[bool] = deque()  # of the ticks that no step has told of yet
        self._segment: int | None = None

    @property
    def network(self) -> GlossStream:
        """The network, for its placement and its vocabulary."""
        return self._network

    def push(self, tick: Tick) -> Said:
        """Take in one tick."""
        start_ns = time.monotonic_ns()
        ended = self._end(tick.pts_s) if tick.segment != self._segment else ()
        self._segment = tick.segment
        self._resting.append(not raised(tick.landmarks))
        scores = self._network.accept(self._network.prepare(tick.landmarks)[None])
        said = tuple(self._transcript.push(scores, resting=self._rests(scores)))
        return Said(ended=ended, revisions=said, work_ms=(time.monotonic_ns() - start_ns) / 1e6)

    def flush(self) -> tuple[Revision, ...]:
        """The stream has ended: what is still to be said."""
        return self._end(None)

    def _end(self, next_s: float | None) -> tuple[Revision, ...]:
        """The segment has ended; the next one begins at `next_s` stream seconds."""
        said = []
        if self._segment is not None:
            scores = self._network.finish()
            said = self._transcript.push(scores, resting=self._rests(scores))
        last = self._transcript.finish(next_s)
        self._resting.clear()
        return (*said, last) if last is not None else tuple(said)

    def _rests(self, scores: NDArray[np.float32]) -> list[bool]:
        """Whether no hand was raised in any of each step's own four ticks."""
        rests = []
        for _ in scores:
            own = [self._resting.popleft() for _ in range(min(STRIDE, len(self._resting)))]
            rests.append(all(own))
        return rests


def open_transcript(
    name_or_path: str, *, language_model: Path | None = None, threads: int = 1, mirrored: bool = False
) -> TranscriptStage:
    """A transcript network that ships with Signspot, or the one in a folder, ready for a stream.

    Args:
        name_or_path: name of a shipped network, or a bundle's folder.
        language_model: an ARPA file of its glosses; None to go by the network alone.
        threads: CPU threads of one run.
        mirrored: the camera shows a mirror image.

    Raises:
        BundleError: there is no such network, or it is damaged.
        LanguageModelError: the language model cannot be read.
        EngineError: the network cannot be executed.
    """
    bundle = find_gloss_bundle(name_or_path)
    return TranscriptStage(
        GlossStream(bundle, threads=threads, mirrored=mirrored),
        model=read_arpa(language_model) if language_model is not None else None,
        source=TranscriptSource(bundle=bundle.folder, language_model=language_model),
    )
