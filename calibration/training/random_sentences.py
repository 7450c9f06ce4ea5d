"""A corpus of a lexicon's signs in random order, with rests and idle movement around them: no real corpus's text.

The transcript model that ships is trained on it: nothing trained on PHOENIX's sentences may ship.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from calibration.corpus.landmarks import read_track
from calibration.corpus.sentences import Sentence, write_sentences
from calibration.synthesis.body import body_of
from calibration.synthesis.corpus import keep_seen
from calibration.synthesis.landmarks import Camera, Noise
from calibration.synthesis.lexicon import SignForm
from calibration.synthesis.motion import Act, idle_act, perform
from calibration.synthesis.performance import Performance, Signer

FIRST_SIGNER = {"train": 400, "dev": 710_000, "test": 810_000}
SIGNERS = {"train": 40, "dev": 8, "test": 12}
SENTENCES = {"train": 480, "dev": 48, "test": 72}
IDLE = 0.3
"""Chance of an idle movement before a sentence, and of one after it."""


def random_texts(glosses: Sequence[str], count: int, rng: np.random.Generator) -> list[tuple[str, ...]]:
    """Sentences of 2 to 7 glosses; each gloss comes as often as the others."""
    bag: list[str] = []
    texts = []
    for _ in range(count):
        text: list[str] = []
        for _ in range(int(rng.integers(2, 8))):
            if not bag:
                bag = [glosses[int(number)] for number in rng.permutation(len(glosses))]
            text.append(bag.pop())
        texts.append(tuple(text))
    return texts


def make_random_corpus(
    out: Path,
    forms: Sequence[SignForm],
    *,
    seed: int = 0,
    sentences: dict[str, int] | None = None,
    signers: dict[str, int] | None = None,
    side: int | None = None,
    progress: Callable[[], None] | None = None,
) -> None:
    """Draw sentences and sign them; no signer and no sentence is in two splits. What is there already is kept.

    Args:
        out: folder of the corpus; made if need be.
        forms: the signs.
        seed: of sentences and movements.
        sentences: how many, by split; `SENTENCES` if None.
        signers: the same of people; `SIGNERS` if None.
        side: of small square videos that are made of the same movements, seen by another camera; None for landmarks alone.
        progress: called after each sentence.

    Raises:
        MissingExtra: `anny` is not installed.
    """
    (out / "landmarks").mkdir(parents=True, exist_ok=True)
    if side is not None:
        (out / "videos").mkdir(exist_ok=True)
    by_gloss = {form.gloss: form for form in forms}
    noise = Noise.measured()
    people = signers or SIGNERS
    taken: set[tuple[str, ...]] = set()
    for place, (split, count) in enumerate((sentences or SENTENCES).items()):
        rng = np.random.default_rng([seed, place, 51])
        texts = [text for text in random_texts(list(by_gloss), 2 * count, rng) if text not in taken][:count]
        taken.update(texts)
        made = []
        for number, text in enumerate(texts):
            signer = str(FIRST_SIGNER[split] + number * people[split] // count)
            path = out / "landmarks" / f"{split}-{number:04}.npz"
            video = None if side is None else out / "videos" / f"{path.stem}.mp4"
            if not path.exists() or (video is not None and not video.exists()):
                own = np.random.default_rng([seed, place, number, 52])
                performance = _performed(text, by_gloss, int(signer), own)
                camera = Camera.draw(own, body_of(performance.signer))
                keep_seen(path, performance, camera, noise=noise, seed=int(own.integers(2**31)))
                if video is not None and side is not None:
                    from calibration.synthesis.small_video import write_small_video  # PyAV, for videos alone

                    write_small_video(performance, video, side=side, seed=int(own.integers(2**31)))
            made.append(Sentence(id=path.stem, glosses=text, signer=signer, frames=len(read_track(path))))
            if progress is not None:
                progress()
        write_sentences(out / f"{split}.tsv", made)


def _performed(
    text: Sequence[str], forms: dict[str, SignForm], signer: int, rng: np.random.Generator
) -> Performance:
    """One sentence as somebody signs it."""
    return perform(
        Signer.draw(signer),
        _acts(text, forms, rng),
        seed=int(rng.integers(2**31)),
        lead_s=float(rng.uniform(0.2, 0.8)),
    )


def _acts(text: Sequence[str], forms: dict[str, SignForm], rng: np.random.Generator) -> list[Act]:
    acts: list[Act] = []
    if rng.random() < IDLE:
        acts += [idle_act(rng), Act("rest", seconds=float(rng.uniform(0.2, 0.8)))]
    acts += [Act("sign", forms[gloss]) for gloss in text]
    if rng.random() < IDLE:
        acts += [Act("rest", seconds=float(rng.uniform(0.2, 0.8))), idle_act(rng)]
    return acts
