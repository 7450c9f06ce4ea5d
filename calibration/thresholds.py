"""Thresholds without annotations and without effort: what is not the sign says how similar is not similar enough.

The cohort that a gloss is measured against are the background windows that ship with the encoder, what the enrolled
clips show beside the signs (rest, hands going up and down), and the other signs of the gallery. The normalisation is
the Z-norm of speaker verification (Auckenthaler et al., "Score normalization for text-independent speaker
verification systems", 2000): a score counts in deviations of its gloss's impostors above their mean.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec
import numpy as np
from numpy.typing import NDArray

from engines.encoders import Encoder
from stream.gallery import Exemplars, Gallery, Impostors, Sign
from stream.spotting import Rivals

Floats = NDArray[np.float32]

FALSE_SHARE = 0.05
"""Share of the background windows that may beat the threshold; neighbouring windows beat it together, so spottings are
far fewer."""
FLOOR = 5.0
"""Evidence that is needed in any case. In a gallery of few signs a window that is like none of them still leads over
the others: the demo's 12 signs alone would get 3.1, and every false alarm of its stream lies between that and 5."""
KIN_COSINE = 0.8
"""Two glosses whose exemplars are more alike than this are not told apart."""
HARDEST = 0.1
"""Share of the cohort that is looked at: the windows most like the gloss. On streams made of WLASL's dev glosses this
gives an average precision of 0.21, against 0.17 with the whole cohort."""
MIN_IMPOSTORS = 4
MIN_DEVIATION = 0.02


@dataclass(frozen=True, slots=True)
class Alike:
    """Two glosses that differ too little."""

    gloss: str
    other: str
    cosine: float


def with_thresholds(gallery: Gallery, encoders: Mapping[str, Encoder]) -> tuple[Gallery, list[Alike]]:
    """Set normalisation, threshold and kin of every gloss.

    Args:
        gallery: with the exemplars of all takes.
        encoders: that made the exemplars, by name.

    Returns:
        The gallery, and the pairs of glosses that differ too little, the most alike first.
    """
    glosses = sorted({take.gloss for take in gallery.takes})
    nudges = {sign.gloss: sign.nudge for sign in gallery.signs}
    alike = _alike(gallery, glosses)
    kin: dict[str, list[str]] = {gloss: [] for gloss in glosses}
    for pair in alike:
        kin[pair.gloss].append(pair.other)
        kin[pair.other].append(pair.gloss)
    cohorts = {name: _cohort(gallery, encoders[name]) for name in gallery.exemplars if name in encoders}
    impostors: dict[str, dict[str, Impostors]] = {gloss: {} for gloss in glosses}
    for name, exemplars in gallery.exemplars.items():
        for gloss in glosses:
            impostors[gloss][name] = _impostors(gallery, exemplars, cohorts.get(name), gloss, kin[gloss])
    signs = tuple(
        Sign(
            gloss=gloss,
            threshold=0.0,
            nudge=nudges.get(gloss, 0.0),
            impostors=impostors[gloss],
            kin=sorted(kin[gloss]),
        )
        for gloss in glosses
    )
    gallery = replace(gallery, signs=signs)
    thresholds = [
        _threshold(gallery, name, cohort)
        for name, cohort in cohorts.items()
        if len(cohort) >= 1 / FALSE_SHARE
    ]
    threshold = max(float(np.mean(thresholds)) if thresholds else 0.0, FLOOR)
    signs = tuple(msgspec.structs.replace(sign, threshold=threshold) for sign in signs)
    return replace(gallery, signs=signs), alike


def _alike(gallery: Gallery, glosses: Sequence[str]) -> list[Alike]:
    """Pairs of glosses whose exemplars are nearly one, in every encoder that has both."""
    lowest = np.full((len(glosses), len(glosses)), np.inf)
    column = {gloss: index for index, gloss in enumerate(glosses)}
    for exemplars in gallery.exemplars.values():
        owner = np.array([column[gallery.takes[take].gloss] for take in exemplars.takes], np.int64)
        cosines = exemplars.vectors @ exemplars.vectors.T
        best = np.full(lowest.shape, -np.inf)
        np.maximum.at(best, (owner[:, None], owner[None, :]), cosines)
        lowest = np.where(np.isinf(best), lowest, np.minimum(lowest, best))
    pairs = [
        Alike(glosses[a], glosses[b], float(lowest[a, b]))
        for a in range(len(glosses))
        for b in range(a + 1, len(glosses))
        if KIN_COSINE < lowest[a, b] < np.inf
    ]
    return sorted(pairs, key=lambda pair: -pair.cosine)


def _cohort(gallery: Gallery, encoder: Encoder) -> Floats:
    """Embeddings (N, D) of what is no sign of the gallery.

    That is the encoder's background; for an encoder that has none, the ends of the takes: hands at rest, going up
    and going down.
    """
    background: Floats | None = getattr(encoder, "background", None)
    if background is not None and len(background):
        return background
    idle = list(_idle_windows(gallery, encoder))
    return encoder.embed(idle) if idle else np.zeros((0, encoder.dimension), np.float32)


def _idle_windows(gallery: Gallery, encoder: Encoder) -> Iterator[Floats]:
    """Windows that lie before or after the sign by at least half, every fourth tick."""
    for take in gallery.takes:
        track = gallery.landmarks(take)
        ticks = np.stack([encoder.prepare(track.at(tick)) for tick in range(len(track))])
        for length in encoder.window_lengths:
            for start in range(0, len(track) - length + 1, 4):
                inside = min(start + length, take.last_tick) - max(start, take.first_tick)
                if inside <= 0.25 * length:
                    yield ticks[start : start + length]


def _threshold(gallery: Gallery, name: str, cohort: Floats) -> float:
    """The evidence that only `FALSE_SHARE` of the cohort has for any sign of the gallery."""
    exemplars = gallery.exemplars[name]
    column = {gloss: index for index, gloss in enumerate(gallery.glosses)}
    owner = np.array([column[gallery.takes[take].gloss] for take in exemplars.takes], np.int64)
    cosine = np.full((len(cohort), len(column)), -1.0, np.float32)
    np.maximum.at(cosine.T, owner, (cohort @ exemplars.vectors.T).T)
    impostors = [sign.impostors[name] for sign in gallery.signs]
    mean = np.array([one.mean for one in impostors], np.float32)
    deviation = np.array([one.deviation for one in impostors], np.float32)
    evidence = Rivals(gallery.signs).evidence((cosine - mean) / deviation)
    return float(np.quantile(evidence.max(1), 1 - FALSE_SHARE))


def _impostors(
    gallery: Gallery, exemplars: Exemplars, cohort: Floats | None, gloss: str, kin: Sequence[str]
) -> Impostors:
    """Mean and deviation of the gloss's cosine to what it is most easily taken for."""
    owner = np.array([gallery.takes[take].gloss for take in exemplars.takes])
    mine = exemplars.vectors[owner == gloss]
    others = exemplars.vectors[~np.isin(owner, [gloss, *kin])]
    pool = others if cohort is None else np.concatenate([others, cohort])
    if not len(mine) or len(pool) < MIN_IMPOSTORS:
        return Impostors(mean=0.0, deviation=1.0)
    best = np.sort((pool @ mine.T).max(1))
    hardest = best[-max(MIN_IMPOSTORS, round(HARDEST * len(best))) :]
    return Impostors(mean=float(hardest.mean()), deviation=max(float(hardest.std()), MIN_DEVIATION))
