"""Real gloss sentences signed by the synthetic signer: one made-up sign a gloss, landmarks with exact truth, no video.

Word order, sentence lengths and frequencies are a real corpus's; the signs, the signers and their movements are not.
The signers of train, dev and test are different people.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from calibration.corpus.landmarks import read_track, save_packed
from calibration.corpus.sentences import Sentence, SentenceCorpus, vocabulary, within, write_sentences
from calibration.synthesis.body import body_of
from calibration.synthesis.landmarks import Camera, Noise, landmarks_of
from calibration.synthesis.lexicon import LexiconSampler, SignForm, write_toml
from calibration.synthesis.motion import Act, perform
from calibration.synthesis.performance import Performance, Signer
from engines.errors import ConfigError

FIRST_SIGNER = {"train": 0, "dev": 700_000, "test": 800_000}
"""Seed of each split's first signer; whoever trains may use the seeds below 1000."""
LEAD_S = (0.3, 0.9)
"""Rest before and after a sentence, seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Who signs what."""

    splits: Mapping[str, tuple[Sentence, ...]]  # with the synthetic signer's seed as `signer`
    forms: Mapping[str, SignForm]  # by gloss
    seed: int

    def __len__(self) -> int:
        return sum(len(sentences) for sentences in self.splits.values())


def plan(
    source: SentenceCorpus,
    *,
    seed: int = 0,
    glosses: int | None = None,
    signers: int = 20,
    others: int = 5,
    limit: int | None = None,
) -> Plan:
    """Choose sentences, give each gloss a sign and each sentence a signer.

    Args:
        source: real sentences; its splits are kept.
        seed: of the signs and of who signs what. The same gloss has the same sign however many glosses are used.
        glosses: only sentences that are made of so many of the most frequent glosses of the training split; None for
            all sentences, with dev's and test's unseen glosses.
        signers: of the training split.
        others: of each other split; no signer is in two splits.
        limit: at most so many sentences of each split, the first ones.

    Raises:
        ConfigError: no sentence of a split is left.
    """
    training = source.vocabulary("train")
    seen = frozenset(training)
    unseen = [
        gloss
        for gloss in vocabulary([s for part in source.splits.values() for s in part])
        if gloss not in seen
    ]
    ordered = [*training, *sorted(unseen)] if glosses is None else list(training[:glosses])
    drawn = LexiconSampler(seed).draw(len(ordered))
    splits = {}
    for number, (name, sentences) in enumerate(source.splits.items()):
        kept = within(sentences, ordered)[:limit]
        if not kept:
            raise ConfigError(
                f"{source.folder}: no sentence of {name} is made of {len(ordered)} glosses alone"
            )
        first = FIRST_SIGNER.get(name, 900_000 + 1000 * number) + 1000 * seed
        people = signers if name == "train" else others
        splits[name] = tuple(
            replace(one, signer=str(first + _number(one.id) % people), frames=None, media=None)
            for one in kept
        )
    forms = {gloss: replace(form, gloss=gloss) for gloss, form in zip(ordered, drawn, strict=True)}
    return Plan(splits=splits, forms=forms, seed=seed)


def _number(name: str) -> int:
    """A number that follows from a sentence's id alone."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:6], "big")


def sign_sentence(sentence: Sentence, forms: Mapping[str, SignForm], path: Path, *, seed: int) -> int:
    """Perform one sentence, see it with MediaPipe's measured errors, and write its landmarks and the truth.

    Args:
        sentence: its `signer` is a seed.
        forms: the sign of every gloss in it.
        path: the .npz to write; it is complete or not there.
        seed: of the corpus.

    Returns:
        Its length in ticks of 40 ms.
    """
    signer = Signer.draw(int(sentence.signer))
    own = _number(sentence.id)
    rng = np.random.default_rng([seed, own, 41])
    performance = perform(
        signer,
        [Act("sign", forms[gloss]) for gloss in sentence.glosses],
        seed=own % 2**31,
        lead_s=float(rng.uniform(*LEAD_S)),
    )
    camera = Camera.draw(rng, body_of(signer))
    return keep_seen(path, performance, camera, noise=Noise.measured(), seed=own % 2**31)


def keep_seen(path: Path, performance: Performance, camera: Camera, *, noise: Noise, seed: int) -> int:
    """See a performance as MediaPipe would, and write its landmarks and the truth.

    Args:
        path: the .npz to write; it is complete or not there.
        performance: what is signed.
        camera: that sees it.
        noise: MediaPipe's.
        seed: of the noise.

    Returns:
        Its length in ticks of 40 ms.
    """
    seen = landmarks_of(performance, camera, noise=noise, seed=seed)
    spans = np.array([(sign.start_s, sign.end_s) for sign in performance.signs], np.float32)
    partial = path.with_name(path.name + ".part.npz")
    save_packed(partial, seen, spans)
    partial.replace(path)
    return len(seen)


def make_corpus(
    out: Path, chosen: Plan, *, processes: int = 1, progress: Callable[[], None] | None = None
) -> dict[str, int]:
    """Sign all sentences of a plan into a folder. Sentences that are there already are kept, so it can be stopped.

    Args:
        out: the folder; made if it is missing.
        chosen: who signs what.
        processes: that work side by side.
        progress: called after every sentence.

    Returns:
        Ticks by split.

    Raises:
        ConfigError: the folder holds a corpus of another plan.
        MissingExtra: `anny` is not installed.
    """
    (out / "landmarks").mkdir(parents=True, exist_ok=True)
    _claim(out, chosen)
    jobs = sorted(
        (_Job(sentence, {gloss: chosen.forms[gloss] for gloss in sentence.glosses}, out, chosen.seed)
         for sentences in chosen.splits.values() for sentence in sentences),
        key=lambda job: job.sentence.signer,
    )  # fmt: skip  # one signer after the other: a body takes half a second to build
    frames: dict[str, int] = {}
    for name, ticks in _done(jobs, processes):
        frames[name] = ticks
        if progress is not None:
            progress()
    for split, sentences in chosen.splits.items():
        write_sentences(out / f"{split}.tsv", [replace(one, frames=frames[one.id]) for one in sentences])
    return {split: sum(frames[one.id] for one in part) for split, part in chosen.splits.items()}


@dataclass(frozen=True, slots=True)
class _Job:
    sentence: Sentence
    forms: Mapping[str, SignForm]
    out: Path
    seed: int

    def do(self) -> tuple[str, int]:
        path = self.out / "landmarks" / f"{self.sentence.id}.npz"
        if path.exists():
            return self.sentence.id, len(read_track(path))
        return self.sentence.id, sign_sentence(self.sentence, self.forms, path, seed=self.seed)


def _done(jobs: Sequence[_Job], processes: int) -> Iterator[tuple[str, int]]:
    if processes == 1:
        yield from (job.do() for job in jobs)
        return
    with ProcessPoolExecutor(processes) as pool:
        yield from pool.map(_Job.do, jobs, chunksize=16)


def _claim(out: Path, chosen: Plan) -> None:
    """Write what the folder holds: the signs as a lexicon, and a card. Refuse the folder of another plan."""
    lexicon = "".join(
        f"{json.dumps(gloss)}{write_toml(replace(form, gloss='x'))[1:]}\n"
        for gloss, form in chosen.forms.items()
    )
    people = {split: sorted({int(one.signer) for one in part}) for split, part in chosen.splits.items()}
    card = {
        "made_by": "signspot synth corpus: real sentences, made-up signs, synthetic signers",
        "seed": chosen.seed,
        "glosses": len(chosen.forms),
        "sentences": {split: len(part) for split, part in chosen.splits.items()},
        "signer_seeds": people,
    }
    for path, text in (
        (out / "lexicon.toml", lexicon),
        (out / "corpus.json", json.dumps(card, indent=1) + "\n"),
    ):
        if path.exists() and path.read_text(encoding="utf-8") != text:
            raise ConfigError(
                f"--out {out} holds a corpus that was made otherwise ({path.name} differs): name a new folder"
            )
        partial = path.with_name(path.name + ".part")
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, path)
