"""A transcript network run while ticks come in: rows of features in, gloss log-probabilities of finished steps out."""

from __future__ import annotations

from typing import cast

import numpy as np
from numpy.typing import NDArray

from engines.choice import AUTO
from engines.errors import BundleError
from engines.gloss_bundle import FEATURES, SCORES, STATES, GlossBundle
from engines.gloss_step import open_step
from engines.landmarks import Landmarks
from engines.runtime.base import Placement
from engines.tick_features import STRIDE, Image, Row, TickFeatures, tick_features_named

Array = NDArray[np.float32]


class GlossStream:
    """One stream through a transcript network. Chunks of any size give what the whole gives.

    Step k tells of the ticks 4k to 4k + 3 (160 ms) since the last `reset`; it comes out `look_ahead` ticks after them.
    """

    def __init__(
        self, bundle: GlossBundle, *, threads: int = 1, mirrored: bool = False, engine: str = AUTO
    ) -> None:
        """Make the bundle ready to run.

        Args:
            bundle: network and card.
            threads: CPU threads for one run.
            mirrored: the camera shows a mirror image; landmarks are turned back.
            engine: what executes the network, as `open_step` takes it.

        Raises:
            BundleError: network and card do not belong together.
            ConfigError, MissingExtra: the engine that is asked for is not there.
            EngineError: the network cannot be executed.
        """
        self.glosses = bundle.card.glosses
        self.look_ahead = bundle.card.look_ahead
        self._features = tick_features_named(bundle.card.features)
        self._dtype = np.uint8 if self._features.needs == "picture" else np.float32
        self._mirrored = mirrored
        self._engine = open_step(bundle, engine=engine, threads=threads)
        inputs = {spec.name: spec for spec in self._engine.inputs}
        outputs = {spec.name: spec for spec in self._engine.outputs}
        states = inputs.keys() - {FEATURES}
        fits = (
            states >= set(STATES)
            and outputs.keys() == {SCORES, *(f"new_{name}" for name in states)}
            and inputs[FEATURES].shape[2:] == self._features.shape
            and inputs[FEATURES].dtype == np.dtype(self._dtype).name
            and outputs[SCORES].shape[2] == len(self.glosses) + 1
        )
        if not fits:
            shapes = {name: spec.shape for name, spec in (inputs | outputs).items()}
            raise BundleError(
                f"the network in {bundle.folder} has tensors {shapes}, its card asks for ticks of "
                f"{self._features.shape} and {len(self.glosses)} glosses: network and card do not belong together"
            )
        self._zero = {
            name: np.zeros([1 if size is None else size for size in inputs[name].shape], np.float32)
            for name in sorted(states)
        }
        self.reset()
        self.accept(self._nothing(STRIDE))  # allocated now, so that no live tick waits for it
        self.reset()

    @property
    def features(self) -> TickFeatures:
        """What it sees of a tick."""
        return self._features

    def where(self) -> Placement:
        """Device, runtime, precision, and why."""
        return self._engine.where()

    def prepare(
        self, landmarks: Landmarks, *, embedding: Array | None = None, picture: Image | None = None
    ) -> Row:
        """The features of one tick: float32 (V,), or uint8 (H, W, 3).

        Args:
            landmarks: of the tick.
            embedding: (D,) of the window that ends at it, where the network sees embeddings.
            picture: that was posed for it, where it sees pictures.
        """
        return self._features.row(landmarks, mirrored=self._mirrored, embedding=embedding, picture=picture)

    def reset(self) -> None:
        """Forget everything: time is broken, or another stream begins."""
        self._state = dict(self._zero)
        self._waiting = self._nothing(0)
        self._to_skip = self.look_ahead // STRIDE
        self._ticks = 0
        self._told = 0

    @property
    def told(self) -> int:
        """Steps that have come out since the last `reset`: the next one's number."""
        return self._told

    def accept(self, rows: Row) -> Array:
        """Take in the next ticks.

        Args:
            rows: (n, V) or (n, H, W, 3) from `prepare`, n any number.

        Returns:
            float32 (k, M + 1): log-probabilities of the steps that are finished with them, label 0 the blank; k may be 0.

        Raises:
            ValueError: the shape is another one.
        """
        if rows.shape[1:] != self._features.shape:
            raise ValueError(
                f"rows must be (n, {', '.join(map(str, self._features.shape))}), not {rows.shape}"
            )
        self._ticks += len(rows)
        return self._run(rows)

    def finish(self) -> Array:
        """The stream has ended: the steps (k, M + 1) that are still to come, as if nobody were seen from now on.

        As many come out in all as ticks divided by 4, rounded up. What follows is another stream.
        """
        missing = -self._ticks % STRIDE + self.look_ahead
        found = self._run(self._nothing(missing))
        self.reset()
        return found

    def _nothing(self, ticks: int) -> Row:
        return cast(Row, np.zeros((ticks, *self._features.shape), self._dtype))

    def _run(self, rows: Row) -> Array:
        waiting = np.concatenate([self._waiting, rows.astype(self._dtype)])
        whole = len(waiting) // STRIDE * STRIDE
        self._waiting = waiting[whole:]
        steps = [np.zeros((0, len(self.glosses) + 1), np.float32)]
        for first in range(0, whole, STRIDE):
            found = self._engine.run({FEATURES: waiting[None, first : first + STRIDE], **self._state})
            self._state = {name: found[f"new_{name}"] for name in self._zero}
            steps.append(found[SCORES][0])
        scores = np.concatenate(steps)
        skipped = min(self._to_skip, len(scores))
        self._to_skip -= skipped
        self._told += len(scores) - skipped
        return scores[skipped:]
