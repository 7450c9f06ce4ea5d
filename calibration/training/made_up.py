"""Made-up signs as training clips: the synthetic signer's, alone and in sentences, as MediaPipe would see them.

Real clips of isolated signs show each sign from rest to rest. Live, the same sign comes out of another sign and goes
over into a third. The synthetic signer makes every sign both ways, so that training can bring the two together.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calibration.synthesis.body import body_of
from calibration.synthesis.landmarks import Camera, Noise, landmarks_of
from calibration.synthesis.lexicon import LexiconSampler, SignForm
from calibration.synthesis.motion import Act, isolated, perform
from calibration.synthesis.performance import Performance, Signer
from calibration.training.corpora import Corpus
from calibration.trim import trim_hands
from engines.features import KEYPOINTS, Features
from engines.ticks import TICK_HZ

Array = NDArray[np.float32]

LEXICON_SEED = 0
"""The training lexicon of `calibration.synthesis.evaluate`, with which what it measures has nothing in common."""
FIRST_SIGNER = 100
"""Bodies below are the idle movements' and other purposes'; training's end at 999."""
SIGNERS = 60
TAKES = 6  # of each sign, by as many signers; half of them alone, half in sentences
AROUND_S = 0.4  # of a sentence, that a clip shows before and after the sign
EDGE_S = (
    0.08  # before and after the stroke, that belong to the sign as hands up to hands down does to a clip's
)
IN_SENTENCE = 5  # signs

_ROOT = Path(__file__).parents[2]
SOURCES = (
    *sorted((_ROOT / "calibration" / "synthesis").glob("*.py")),
    _ROOT / "calibration" / "synthesis" / "mediapipe_noise.json",
    *(_ROOT / "calibration" / name for name in ("trim.py", "training/corpora.py", "training/made_up.py")),
    *(
        _ROOT / "engines" / f"{name}.py"
        for name in ("features", "joints", "kinematics", "landmarks", "skeleton", "ticks", "vectors")
    ),
)
"""Files that decide what the clips are: the signer, the camera, MediaPipe's measured errors, and the features."""
_ARRAYS = ("points", "offsets", "spans", "gloss", "signer", "form")


def made_up_signs(
    features: Features, glosses: int, *, seed: int = 0, progress: Callable[[], None] | None = None
) -> Corpus:
    """Clips of made-up signs, `TAKES` of each gloss by different signers.

    Args:
        features: what to make of the landmarks.
        glosses: how many signs of the training lexicon.
        seed: of who signs, scatter, cameras and MediaPipe's errors.
        progress: called after each performance; `performances(glosses)` times.

    Raises:
        MissingExtra: `anny` is not installed.
    """
    forms = LexiconSampler(LEXICON_SEED).draw(glosses)
    clips: list[Array] = []
    spans: list[tuple[int, int]] = []
    gloss: list[int] = []
    people: list[int] = []
    number = {form.gloss: index for index, form in enumerate(forms)}
    noise = Noise.measured()
    for performance, own in _performances(forms, seed):
        rng = np.random.default_rng([seed, own, 62])
        camera = Camera.draw(rng, body_of(performance.signer))
        seen = landmarks_of(performance, camera, noise=noise, seed=own)
        ticks = np.stack([features.tick(seen.at(tick)) for tick in range(len(seen))])
        for clip, span, name in _cut(performance, ticks, KEYPOINTS.name == features.name):
            clips.append(clip)
            spans.append(span)
            gloss.append(number[name])
            people.append(performance.signer.seed)
        if progress is not None:
            progress()
    return Corpus(
        points=np.concatenate(clips),
        offsets=np.concatenate([[0], np.cumsum([len(clip) for clip in clips])]).astype(np.int64),
        spans=np.array(spans, np.int64),
        gloss=np.array(gloss, np.int64),
        signer=np.array(people, np.int64),
        form=np.zeros(len(clips), np.int64),
        glosses=tuple(form.gloss for form in forms),
        features=features.name,
    )


def kept_signs(
    path: Path, features: Features, glosses: int, *, progress: Callable[[], None] | None = None
) -> Corpus:
    """`made_up_signs`, kept in a file for the next time; one of other signs, or by other code, is replaced.

    Args:
        path: the file, .npz.
        features: as for `made_up_signs`, as the others are.
        glosses: how many.
        progress: called after each performance.

    Raises:
        MissingExtra: `anny` is not installed.
    """
    origin = _origin(features, glosses)
    if path.is_file():
        with np.load(path) as stored:
            if "origin" in stored.files and str(stored["origin"]) == origin:
                names = tuple(str(name) for name in stored["glosses"])
                arrays = {name: stored[name] for name in _ARRAYS}
                return Corpus(**arrays, glosses=names, features=features.name)
    corpus = made_up_signs(features, glosses, progress=progress)
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {name: getattr(corpus, name) for name in _ARRAYS}
    fresh = path.with_name(f"{path.stem}.new.npz")
    np.savez(fresh, **arrays, glosses=np.array(corpus.glosses), origin=np.array(origin))
    os.replace(fresh, path)
    return corpus


def _origin(features: Features, glosses: int) -> str:
    """SHA-256 of what the clips depend on: which are asked for, and `SOURCES`."""
    found = hashlib.sha256(f"{features.name}, {glosses} glosses".encode())
    for path in SOURCES:
        found.update(path.name.encode())
        found.update(hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()


def performances(glosses: int) -> int:
    """How often `made_up_signs` calls back: signs alone, and sentences."""
    alone = TAKES // 2
    return alone * glosses + (TAKES - alone) * -(-glosses // IN_SENTENCE)


def _performances(forms: Sequence[SignForm], seed: int) -> Iterator[tuple[Performance, int]]:
    """Every sign `TAKES` times, each time by another signer, and a number of its own for each performance.

    One signer after the other, because a body takes as long to make as ten performances.
    """
    rng = np.random.default_rng([seed, 61])
    jobs: list[tuple[int, int, tuple[int, ...]]] = []  # signer, own number, places of the signs
    for take in range(TAKES):
        order = rng.permutation(len(forms))
        together = 1 if take < TAKES // 2 else IN_SENTENCE
        for at in range(0, len(forms), together):
            who = FIRST_SIGNER + int(rng.integers(SIGNERS // TAKES)) * TAKES + take
            jobs.append((who, len(jobs), tuple(order[at : at + together].tolist())))
    for who, own, places in sorted(jobs):
        signer = Signer.draw(who)
        if len(places) == 1:
            yield isolated(signer, forms[places[0]], seed=own), own
        else:
            yield perform(signer, [Act("sign", forms[place]) for place in places], seed=own), own


def _cut(performance: Performance, ticks: Array, plane: bool) -> Iterator[tuple[Array, tuple[int, int], str]]:
    """One clip a sign: its ticks, the span of the sign in them, its gloss."""
    if len(performance.signs) == 1 and plane:
        yield ticks, trim_hands(ticks), performance.signs[0].gloss
        return
    for sign in performance.signs:
        first = max(round((sign.start_s - AROUND_S) * TICK_HZ), 0)
        last = min(round((sign.end_s + AROUND_S) * TICK_HZ), len(ticks))
        begin = max(round((sign.start_s - EDGE_S) * TICK_HZ), 0)
        end = min(round((sign.end_s + EDGE_S) * TICK_HZ) + 1, last)
        yield ticks[first:last], (begin - first, end - first), sign.gloss
