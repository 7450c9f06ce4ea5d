"""Ticks in, revisions of the transcript out: the network's steps, the search over them, and when something is said.

Like the spotting stage it looks at no clock: the same ticks give the same revisions, so that replay is exact.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engines.choice import AUTO
from engines.encoders import Encoder
from engines.errors import BundleError
from engines.gloss_bundle import find_gloss_bundle
from engines.gloss_stream import GlossStream
from engines.pose.choice import FACE, pose_of
from engines.tick_features import STRIDE, EmbeddingRow, Image
from stream.clock import Tick
from stream.decoding import GlossDecoder
from stream.embedding import check_encoder
from stream.hypotheses import CtcTranscript, Patience
from stream.language import LanguageModel, read_arpa
from stream.transcript import Revision
from stream.visibility import raised

Embeddings = Mapping[tuple[str, int], NDArray[np.float32]]
"""(encoder, window's length in ticks) -> (D,) of the window that ends at a tick."""

HOLD_TICKS = 4
"""So long the last embedding stands where the spotting stage skips windows to keep up."""


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
        self._held: tuple[int, NDArray[np.float32]] | None = None  # index of a tick, and its embedding

    @property
    def encoders(self) -> tuple[str, ...]:
        """The encoder whose embeddings the network sees; () where it sees something else."""
        features = self._network.features
        return (features.encoder,) if isinstance(features, EmbeddingRow) else ()

    @property
    def network(self) -> GlossStream:
        """The network, for its placement and its vocabulary."""
        return self._network

    def push(self, tick: Tick, *, embeddings: Embeddings | None = None, picture: Image | None = None) -> Said:
        """Take in one tick.

        Args:
            tick: with its landmarks.
            embeddings: of the windows that end at it, as the spotting stage shares them.
            picture: the frame that was posed for it; used where the network sees pictures.
        """
        start_ns = time.monotonic_ns()
        ended = self._end(tick.pts_s) if tick.segment != self._segment else ()
        if tick.segment != self._segment:
            self._held = None
        self._segment = tick.segment
        self._resting.append(not raised(tick.landmarks))
        row = self._network.prepare(
            tick.landmarks,
            embedding=self._embedding(tick.index, embeddings or {}),
            picture=None if tick.lost else picture,
        )
        scores = self._network.accept(row[None])
        said = tuple(self._transcript.push(scores, resting=self._rests(scores)))
        return Said(ended=ended, revisions=said, work_ms=(time.monotonic_ns() - start_ns) / 1e6)

    def _embedding(self, index: int, embeddings: Embeddings) -> NDArray[np.float32] | None:
        features = self._network.features
        if not isinstance(features, EmbeddingRow):
            return None
        found = embeddings.get((features.encoder, features.length))
        if found is not None:
            self._held = (index, found)
        elif self._held is not None and index - self._held[0] < HOLD_TICKS:
            found = self._held[1]
        return found

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
    name_or_path: str,
    *,
    encoders: Sequence[Encoder] = (),
    language_model: Path | None = None,
    threads: int = 1,
    mirrored: bool = False,
    estimator: str = "",
    engine: str = AUTO,
) -> TranscriptStage:
    """A transcript network that ships with Signspot, or the one in a folder, ready for a stream.

    Args:
        name_or_path: name of a shipped network, or a bundle's folder.
        encoders: that run beside it; a network that sees embeddings needs its own among them.
        language_model: an ARPA file of its glosses; None to go by the network alone.
        threads: CPU threads of one run.
        mirrored: the camera shows a mirror image.
        estimator: name of the pose estimator that runs before it.
        engine: what executes the network, as `engines.gloss_step.open_step` takes it.

    Raises:
        BundleError: there is no such network, it is damaged, or the encoder or the face that it needs is not there.
        LanguageModelError: the language model cannot be read.
        ConfigError, MissingExtra: the engine that is asked for is not there.
        EngineError: the network cannot be executed.
    """
    bundle = find_gloss_bundle(name_or_path)
    network = GlossStream(bundle, threads=threads, mirrored=mirrored, engine=engine)
    if network.features.needs == "face" and pose_of(estimator) != FACE:
        raise BundleError(
            f"the transcript network in {bundle.folder} sees the face, which {estimator or 'nobody'} does not look for: "
            f"--pose {FACE}"
        )
    if isinstance(network.features, EmbeddingRow):
        wanted = network.features.encoder
        running = next((one for one in encoders if one.name == wanted), None)
        if running is None:
            raise BundleError(
                f"the transcript network in {bundle.folder} sees the embeddings of {wanted}, which does not run: "
                f"--encoder {wanted}"
            )
        check_encoder(running, network.features)
    return TranscriptStage(
        network,
        model=read_arpa(language_model) if language_model is not None else None,
        source=TranscriptSource(bundle=bundle.folder, language_model=language_model),
    )
