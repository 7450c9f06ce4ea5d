"""Streams with exact ground truth: sentences of signs with rests and idle movement between, or idling alone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from calibration.synthesis.lexicon import SignForm
from calibration.synthesis.motion import Act, idle_act, perform
from calibration.synthesis.performance import Performance, Signer


def sentences(
    signer: Signer,
    forms: Sequence[SignForm],
    *,
    seed: int,
    count: int = 8,
    signs: tuple[int, int] = (2, 4),
    idle: float = 0.4,
    fps: float = 25.0,
) -> Performance:
    """Sentences of known signs.

    Args:
        signer: who signs.
        forms: what there is to sign; every sentence draws from them, all are used before one comes again.
        seed: same seed, same stream.
        count: of sentences.
        signs: fewest and most signs in a sentence.
        idle: chance of an idle movement after a sentence.
        fps: frames a second.
    """
    rng = np.random.default_rng([seed, 21])
    acts: list[Act] = []
    bag: list[SignForm] = []
    for _ in range(count):
        for _ in range(int(rng.integers(signs[0], signs[1] + 1))):
            if not bag:
                bag = [forms[int(number)] for number in rng.permutation(len(forms))]
            acts.append(Act("sign", bag.pop()))
        acts.append(Act("rest", seconds=float(rng.uniform(0.4, 1.0))))
        if rng.random() < idle:
            acts += [idle_act(rng), Act("rest", seconds=float(rng.uniform(0.3, 0.8)))]
    return perform(signer, acts, seed=seed, fps=fps)


def idling(signer: Signer, *, seconds: float, seed: int, fps: float = 25.0) -> Performance:
    """Movement without a sign: scratching, adjusting clothes, hands that beat time to talk, rests of all lengths."""
    rng = np.random.default_rng([seed, 22])
    acts: list[Act] = []
    for _ in range(max(int(seconds / 2.0), 1)):
        acts.append(idle_act(rng))
        if rng.random() < 0.6:
            acts.append(Act("rest", seconds=float(rng.uniform(0.3, 3.0))))
    performance = perform(signer, acts, seed=seed, fps=fps)
    frames = min(int(seconds * fps), len(performance))
    return Performance(
        signer=signer,
        fps=fps,
        rotations=performance.rotations[:frames],
        joints=performance.joints[:frames],
        face={name: track[:frames] for name, track in performance.face.items()},
    )


def truth(performances: Mapping[str, Performance]) -> dict[str, object]:
    """The truth in the form of `annotations.json`: file name -> signs with begin and end of the stroke, seconds."""
    fps = {performance.fps for performance in performances.values()}
    return {
        "note": "synthetic: exact. start_s..end_s is the stroke, preparation_s..retraction_s the whole movement",
        "fps": fps.pop() if len(fps) == 1 else sorted(fps),
        "videos": {
            name: [
                {
                    "gloss": sign.gloss,
                    "start_s": round(sign.start_s, 3),
                    "end_s": round(sign.end_s, 3),
                    "preparation_s": round(sign.preparation_s, 3),
                    "retraction_s": round(sign.retraction_s, 3),
                }
                for sign in performance.signs
            ]
            for name, performance in performances.items()
        },
        "same": [],
    }


def write_annotations(path: Path, performances: Mapping[str, Performance]) -> None:
    """Write the truth as JSON."""
    path.write_text(json.dumps(truth(performances), indent=1) + "\n", encoding="utf-8")
