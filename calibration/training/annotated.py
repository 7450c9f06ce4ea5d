"""Encoders trained on the annotated signs of continuous videos, each modality by itself: keypoints, and joint angles.

The challenge entry that Signspot follows trained each of its models separately, with triplet loss and cross-entropy
(see `calibration.reproduce`). Here a clip is an annotated sign with what is around it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from calibration.stopping import stop_between_steps
from calibration.training.corpora import Corpus, read_wlasl
from calibration.training.export import TRAINED_ON, write_bundle
from calibration.training.projection import fit, training_windows
from calibration.training.trainer import Recipe, Run, embed_inputs
from engines.errors import ConfigError
from engines.features import ANGLES, KEYPOINTS, Features
from engines.landmarks import LandmarkTrack
from engines.networks.slgcn import SlgcnShape
from engines.ticks import TICK_HZ

if TYPE_CHECKING:  # reads videos, which a bare training machine cannot
    from calibration.evaluation.spotting import Sign

Array = NDArray[np.float32]

AROUND = 10
"""Ticks before and after a sign that a clip shows."""
LEAST = 4
"""Ticks of a sign that can be trained on."""
BATCH = Recipe().batch


@dataclass(frozen=True, slots=True)
class Signed:
    """A posed video and what is signed in it."""

    track: LandmarkTrack
    signs: tuple[Sign, ...]  # seconds since the video's begin


def annotated_signs(videos: Sequence[Signed], features: Features) -> Corpus:
    """A clip for each annotated sign; each video counts as a signer of its own.

    Args:
        videos: posed, with their annotations.
        features: what to make of the landmarks.

    Raises:
        ConfigError: fewer than two glosses have a sign of at least `LEAST` ticks.
    """
    clips: list[Array] = []
    spans: list[tuple[int, int]] = []
    gloss: list[str] = []
    signer: list[int] = []
    for number, video in enumerate(videos):
        ticks = np.stack([features.tick(video.track.at(tick)) for tick in range(len(video.track))])
        for sign in video.signs:
            first, last = (
                min(max(round((at_s - video.track.start_s) * TICK_HZ), 0), len(ticks))
                for at_s in (sign.start_s, sign.end_s)
            )
            if last - first < LEAST:
                continue
            begin = max(first - AROUND, 0)
            clips.append(ticks[begin : last + AROUND])
            spans.append((first - begin, last - begin))
            gloss.append(sign.gloss)
            signer.append(number)
    names = tuple(sorted(set(gloss)))
    if len(names) < 2:
        raise ConfigError(
            f"{len(clips)} annotated signs of {len(names)} glosses can be trained on: a network wants several glosses, "
            f"and signs of at least {LEAST / TICK_HZ:.2f} s"
        )
    return Corpus(
        points=np.concatenate(clips),
        offsets=np.concatenate([[0], np.cumsum([len(clip) for clip in clips])]).astype(np.int64),
        spans=np.array(spans, np.int64),
        gloss=np.array([names.index(one) for one in gloss], np.int64),
        signer=np.array(signer, np.int64),
        form=np.zeros(len(clips), np.int64),
        glosses=names,
        features=features.name,
    )


def train_encoders(
    videos: Sequence[Signed],
    out: Path,
    *,
    steps: int,
    wlasl: Path | None = None,
    progress: Callable[[str, float], None],
) -> list[Path]:
    """Train the 2D and the 3D encoder, one after the other; a run that was stopped goes on.

    Args:
        videos: posed, with their annotations.
        out: folder for runs and bundles.
        steps: batches of each.
        wlasl: `wlasl_hands.npz`, to train on its glosses as well.
        progress: told what is trained, and the share of it that is done.

    Returns:
        The bundles' folders.

    Raises:
        ConfigError: there is too little to train on, or `out` holds a run on something else.
        CorpusMissing: there is no such file of WLASL.
        BundleError: a bundle cannot be written.
    """
    bundles = []
    for features in (KEYPOINTS, ANGLES):
        signs = annotated_signs(videos, features)
        if wlasl is not None:
            signs = read_wlasl(wlasl, features).joined(signs)
        glosses = len(np.unique(signs.gloss))
        recipe = Recipe(steps=steps, batch=min(BATCH, 2 * glosses), background=0, warmup=min(200, steps))
        folder = out / features.name
        try:
            shape = SlgcnShape(features=features.name)
            run = Run(folder / "run", signs, None, recipe, shape, held_out=False)
        except ValueError as error:
            raise ConfigError(str(error)) from error
        with stop_between_steps() as stopped:
            while not run.done and not stopped():
                run.step()
                progress(f"training on {features.name}, loss {run.loss:.2f}", run.at / steps)
                if run.at % recipe.every == 0:
                    run.save()
            run.save()
            if stopped():
                raise KeyboardInterrupt
        network = run.averaged()
        inputs, gloss = training_windows(signs)
        bundle = write_bundle(
            folder / "bundle",
            [network],
            fit(embed_inputs([network], inputs), gloss),
            signs=signs,
            others=None,
            metrics={},
            notes=f"trained by `signspot reproduce oslwl --train`, {steps} steps; not measured on held-out glosses",
            trained_on=(
                f"{sum(len(video.signs) for video in videos)} annotated signs of {len(videos)} videos of the user's",
                *(TRAINED_ON[:1] if wlasl is not None else ()),
            ),
        )
        bundles.append(bundle.folder)
    return bundles
