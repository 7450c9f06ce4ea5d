"""Movement that is no signing, by the synthetic signer, as windows: what an encoder's bundle takes no sign to be."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from calibration.synthesis.body import body_of
from calibration.synthesis.landmarks import Camera, Noise, landmarks_of
from calibration.synthesis.performance import Signer
from calibration.synthesis.streams import idling
from calibration.training.corpora import Corpus
from engines.bundle import ModelBundle
from engines.encoders import BundleEncoder
from engines.features import Features, features_named

Array = NDArray[np.float32]

SIGNERS = 12
SECONDS = 120.0
"""Of idling by each signer: scratching, adjusting clothes, hands that beat time to talk, rests."""
COUNT = 504
"""Windows that a bundle keeps. 255 already take the false alarms over six minutes of idling by another signer from 42 to
0 (93 signs), as do 2,040, and neither costs a sign of StartASL's sentences."""

TRAINED_ON = 20
"""Seed of the first signer whose idling is trained on; a bundle keeps that of 0 to 11."""
CLIPS, CLIP = 1200, 50
"""Clips of idling that are trained on, and ticks of each, of which training cuts windows."""


def idle_windows(
    features: Features,
    lengths: Sequence[int],
    *,
    count: int = COUNT,
    seed: int = 0,
    progress: Callable[[], None] | None = None,
) -> list[Array]:
    """Draw windows of idling by signers of seeds `seed` to `seed` + 11, as MediaPipe would see them.

    Args:
        features: of the encoder.
        lengths: in ticks, of which one is drawn for each window.
        count: how many; the same number by each signer.
        seed: the same seed gives the same windows.
        progress: called after each signer.

    Returns:
        About `count` windows (L, rows, 3) of prepared ticks.
    """
    rng = np.random.default_rng([seed, 41])
    noise = Noise.measured()
    windows: list[Array] = []
    for number in range(seed, seed + SIGNERS):
        signer = Signer.draw(number)
        camera = Camera.draw(np.random.default_rng([number, 31]), body_of(signer))
        seen = landmarks_of(idling(signer, seconds=SECONDS, seed=number), camera, noise=noise, seed=number)
        ticks = np.stack([features.tick(seen.at(tick)) for tick in range(len(seen))])
        for _ in range(count // SIGNERS):
            length = int(rng.choice(lengths))
            start = int(rng.integers(len(ticks) - length))
            windows.append(ticks[start : start + length])
        if progress is not None:
            progress()
    return windows


def idle_corpus(
    features: Features, *, first: int = TRAINED_ON, progress: Callable[[], None] | None = None
) -> Corpus:
    """Idling as training clips without a gloss: by other bodies than those whose idling a bundle keeps.

    Args:
        features: what to make of the landmarks.
        first: seed of the first of `SIGNERS` signers.
        progress: called after each signer.

    Raises:
        MissingExtra: `anny` is not installed.
    """
    clips = idle_windows(features, (CLIP,), count=CLIPS, seed=first, progress=progress)
    ends = np.cumsum([len(clip) for clip in clips])
    none = np.full(len(clips), -1, np.int64)
    return Corpus(
        points=np.concatenate(clips),
        offsets=np.concatenate([[0], ends]).astype(np.int64),
        spans=np.tile(np.array([0, CLIP], np.int64), (len(clips), 1)),
        gloss=none,
        signer=np.repeat(np.arange(SIGNERS), len(clips) // SIGNERS),
        form=np.zeros(len(clips), np.int64),
        glosses=(),
        features=features.name,
    )


def with_idle(
    bundle: ModelBundle, *, count: int = COUNT, seed: int = 0, progress: Callable[[], None] | None = None
) -> ModelBundle:
    """Write a bundle again with idle windows embedded by its own network; network and background stay as they are.

    Raises:
        BundleError: it has no background, its features are not known, or it cannot be written.
    """
    encoder = BundleEncoder(bundle, estimator="synthetic")
    windows = idle_windows(
        features_named(bundle.card.features),
        bundle.card.window_lengths,
        count=count,
        seed=seed,
        progress=progress,
    )
    synthetic = "movement without signs by Signspot's own synthetic signer, beside the network (Apache-2.0)"
    trained_on = (*(one for one in bundle.card.trained_on if one != synthetic), synthetic)
    return ModelBundle.write(
        bundle.folder,
        model=bundle.model,
        card=msgspec.structs.replace(bundle.card, trained_on=trained_on),
        background=bundle.background,
        idle=encoder.embed(windows),
        readme=bundle.readme,
    )
