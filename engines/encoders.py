"""Encoders: a window of ticks to a unit embedding. The protocol, and the encoder that runs a model bundle."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import msgspec
import numpy as np
from numpy.typing import NDArray

from engines.bundle import ModelBundle, bundle_folder, shipped_folder
from engines.choice import AUTO, open_engine
from engines.errors import BundleError
from engines.features import Features, Pictures, seen_by
from engines.landmarks import Landmarks
from engines.pose.choice import family
from engines.resampling import TICKS
from engines.runtime.base import Placement
from engines.runtime.batching import Batched

DEFAULT_ENCODERS = ("slgcn2d", "slgcn3d")
"""What is used where nothing else is asked for."""

_TINY = np.float32(1e-12)


class Encoder(Protocol):
    """Embeds windows of one modality. One encoder serves all streams: `embed` may be called from several threads at once."""

    @property
    def name(self) -> str:
        """Short name, the key of `per_encoder` on the wire: "slgcn2d"."""
        ...

    @property
    def dimension(self) -> int:
        """D of the embedding."""
        ...

    @property
    def window_lengths(self) -> tuple[int, ...]:
        """Lengths in ticks of the windows that are embedded live; each is resampled to 16 ticks."""
        ...

    @property
    def pictures(self) -> bool:
        """Whether it looks at the signer's crop: landmarks have to come with one."""
        ...

    @property
    def fusion_weight(self) -> float:
        """Weight of its similarities where several encoders are fused."""
        ...

    @property
    def fingerprint(self) -> str:
        """Hash over weights, pose estimator, features and window lengths; a gallery made by another is refused."""
        ...

    @property
    def model_sha256(self) -> str:
        """Hash of the network alone, whatever poses the landmarks."""
        ...

    def where(self) -> Placement:
        """Where the network runs, and why not somewhere better."""
        ...

    def prepare(self, landmarks: Landmarks) -> NDArray[Any]:
        """The features of one tick, computed once however many windows it is in. Shape and kind are its own."""
        ...

    def embed(self, windows: Sequence[NDArray[Any]]) -> NDArray[np.float32]:
        """Embed windows of prepared ticks.

        Args:
            windows: B arrays (L, ...) of prepared ticks, each of any length L >= 2.

        Returns:
            float32 (B, D), rows of unit length. Each row depends on its own window alone, to the last bit.
        """
        ...


@runtime_checkable
class SharedEncoder(Protocol):
    """An encoder whose runs are joined with those of other streams."""

    @property
    def waited_ms(self) -> float:
        """How long this thread's last `embed` waited for others, milliseconds."""
        ...


class BundleEncoder:
    """The encoder that a model bundle holds, run by an engine: an SL-GCN on keypoints or angles, an I3D on pictures."""

    def __init__(
        self,
        bundle: ModelBundle,
        *,
        estimator: str,
        threads: int = 1,
        mirrored: bool = False,
        engine: str = AUTO,
    ) -> None:
        """Make the bundle ready to run.

        Args:
            bundle: network, card and background.
            estimator: name of the pose estimator that makes the landmarks; part of the fingerprint.
            threads: CPU threads for one run.
            mirrored: the camera shows a mirror image; landmarks are turned back, so that a gallery fits both kinds.
            engine: what executes the network, as `open_engine` takes it.

        Raises:
            BundleError: the network does not fit the features of this version, or its card.
            EngineError: the network cannot be executed.
        """
        card = bundle.card
        try:
            self._features = seen_by(card.features)
        except BundleError as error:
            raise BundleError(f"{bundle.folder}: {error}") from error
        # Trying out which batches agree also compiles and allocates what is needed, so that no live tick waits for it.
        self._engine = Batched(
            open_engine(bundle.model, name=card.name, engine=engine, threads=threads),
            usual=len(card.window_lengths),
        )
        shapes = [spec.shape[1:] for spec in (*self._engine.inputs, *self._engine.outputs)]
        expected = [self._features.shape, (card.dimension,)]
        if shapes != expected:
            raise BundleError(
                f"the network in {bundle.folder} maps windows of shapes {shapes}, its card and features say "
                f"{expected}: network and card do not belong together"
            )
        self._input = self._engine.inputs[0].name
        self._output = self._engine.outputs[0].name
        self._bundle = bundle
        self._mirrored = mirrored
        what = (card.name, card.model_sha256, family(estimator), card.features, card.window_lengths)
        self._fingerprint = hashlib.sha256(msgspec.json.encode(what)).hexdigest()
        nobody = self._features.tick(Landmarks.absent(640, 480, estimator))
        self._engine.run({self._input: self._features.window_input(np.stack([nobody] * TICKS))[np.newaxis]})

    @property
    def name(self) -> str:
        """The encoder's key in galleries and on the wire."""
        return self._bundle.card.name

    @property
    def dimension(self) -> int:
        """D of the embedding."""
        return self._bundle.card.dimension

    @property
    def window_lengths(self) -> tuple[int, ...]:
        """Lengths in ticks of the windows that are embedded live."""
        return self._bundle.card.window_lengths

    @property
    def pictures(self) -> bool:
        """Whether it looks at the signer's crop."""
        return isinstance(self._features, Pictures)

    @property
    def features(self) -> Features | Pictures:
        """What it sees of a tick."""
        return self._features

    @property
    def fusion_weight(self) -> float:
        """Weight of its similarities where several encoders are fused, as its card has it."""
        return self._bundle.card.fusion_weight

    @property
    def fingerprint(self) -> str:
        """SHA-256 over weights, pose estimator, features and window lengths."""
        return self._fingerprint

    @property
    def model_sha256(self) -> str:
        """SHA-256 of the network alone."""
        return self._bundle.card.model_sha256

    @property
    def background(self) -> NDArray[np.float32] | None:
        """Embeddings (N, D) of signs that are in no gallery, unit length; None where the bundle has none."""
        return self._bundle.background

    @property
    def idle(self) -> NDArray[np.float32] | None:
        """Embeddings (M, D) of movement that is no signing, unit length; None where the bundle has none."""
        return self._bundle.idle

    @property
    def waited_ms(self) -> float:
        """How long this thread's last `embed` waited for other streams' windows, milliseconds."""
        return self._engine.waited_ms

    def where(self) -> Placement:
        """Device, runtime, precision, and why."""
        return self._engine.where()

    def prepare(self, landmarks: Landmarks) -> NDArray[Any]:
        """One tick: float32 (rows, 3) of landmarks, or the picture uint8 (size, size, 3), black without a signer."""
        return self._features.tick(landmarks, mirrored=self._mirrored)

    def embed(self, windows: Sequence[NDArray[Any]]) -> NDArray[np.float32]:
        """Embed windows of prepared ticks.

        Args:
            windows: B arrays (L, ...) of prepared ticks, each of any length L >= 2.

        Returns:
            float32 (B, D), rows of unit length, or zero where the network has nothing to say: similar to nothing.
        """
        if not windows:
            return np.empty((0, self.dimension), np.float32)
        rows = np.stack([self._features.window_input(window) for window in windows])
        # In one run where that changes no bit (four windows then take 0.6 to 0.7 of the time of four runs), else one each.
        parts = [rows] if self._engine.joins else np.split(rows, len(rows))
        embeddings = np.concatenate([self._engine.run({self._input: part})[self._output] for part in parts])
        for row in embeddings:
            row /= max(np.linalg.norm(row), _TINY)
        if self.pictures:  # a signer who is lost for most of a window has said nothing
            embeddings[2 * np.count_nonzero(rows.any((2, 3, 4)), axis=1) < rows.shape[1]] = 0
        return embeddings


def load_encoder(
    name_or_path: str = "slgcn2d",
    *,
    estimator: str,
    threads: int = 1,
    mirrored: bool = False,
    engine: str = AUTO,
) -> BundleEncoder:
    """Load an encoder that ships with Signspot, or one from a bundle's folder.

    Args:
        name_or_path: name of shipped weights ("slgcn2d"), or a folder.
        estimator: name of the pose estimator that makes the landmarks.
        threads: CPU threads for one run.
        mirrored: the camera shows a mirror image.
        engine: what executes the network, as `open_engine` takes it.

    Raises:
        BundleError: there is no such bundle, or it is damaged.
        EngineError: the network cannot be executed.
    """
    bundle = find_bundle(name_or_path)
    return BundleEncoder(bundle, estimator=estimator, threads=threads, mirrored=mirrored, engine=engine)


def load_encoders(
    names: Sequence[str] | None = None,
    *,
    estimator: str,
    threads: int = 1,
    mirrored: bool = False,
    engine: str = AUTO,
) -> list[BundleEncoder]:
    """Load several encoders, `DEFAULT_ENCODERS` where none are named; arguments and errors as for `load_encoder`.

    Raises:
        BundleError: also where two of them have the same name, by which galleries and messages know them.
    """
    encoders = [
        load_encoder(name, estimator=estimator, threads=threads, mirrored=mirrored, engine=engine)
        for name in names or DEFAULT_ENCODERS
    ]
    if len({encoder.name for encoder in encoders}) < len(encoders):
        raise BundleError(f"two of the encoders have one name: {', '.join(one.name for one in encoders)}")
    return encoders


def shipped_bundles() -> list[str]:
    """Names of the encoders that ship with Signspot."""
    return sorted(path.name for path in shipped_folder("weights").iterdir() if (path / "card.json").is_file())


def find_bundle(name_or_path: str) -> ModelBundle:
    """The bundle of an encoder that ships with Signspot, or the one in a folder.

    Raises:
        BundleError: there is no such bundle, or it is damaged.
    """
    return ModelBundle.load(bundle_folder(name_or_path, "weights", "encoder"))
