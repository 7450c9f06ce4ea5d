"""The embedding of the window that ends at each tick, for a transcript network where no spotting stage computes it anyway."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engines.encoders import Encoder
from engines.errors import BundleError
from engines.tick_features import EmbeddingRow, embedding_row
from stream.clock import Tick
from stream.windows import WindowBuffer


def embeddings_of(encoder: Encoder) -> EmbeddingRow:
    """An encoder's embeddings as features of a transcript network."""
    return embedding_row(encoder.name, encoder.dimension, encoder.window_lengths, encoder.model_sha256)


def check_encoder(encoder: Encoder, wanted: EmbeddingRow) -> None:
    """Refuse an encoder that is not the one a transcript network was trained with.

    Raises:
        BundleError: it has another name or other weights.
    """
    found = embedding_row(encoder.name, encoder.dimension, (wanted.length,), encoder.model_sha256)
    if found != wanted or wanted.length not in encoder.window_lengths:
        raise BundleError(
            f"the transcript network sees embeddings of {wanted.encoder} ({wanted.weights}), this encoder is "
            f"{encoder.name} ({found.weights}): choose the encoder that it was trained with, or train it again"
        )


class EmbeddingTicks:
    """One encoder, one length of windows; the same embeddings as the spotting stage's, to the last bit."""

    def __init__(self, encoder: Encoder, features: EmbeddingRow) -> None:
        """Set up.

        Args:
            encoder: that computes them.
            features: which of its embeddings are wanted.

        Raises:
            BundleError: it is another encoder.
        """
        check_encoder(encoder, features)
        self._encoder = encoder
        self._windows = WindowBuffer([features.length])
        self.key = (features.encoder, features.length)
        """As the spotting stage names what it shares."""

    def push(self, tick: Tick) -> NDArray[np.float32] | None:
        """Take in a tick; (D,), or None while the segment is young or where frames were lost."""
        complete = self._windows.push(tick, self._encoder.prepare(tick.landmarks))
        if not complete or complete[0].lost:
            return None
        row: NDArray[np.float32] = self._encoder.embed([complete[0].features])[0]
        return row
