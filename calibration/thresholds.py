"""Thresholds without annotations and without effort: what is not the sign says how similar is not similar enough.

The cohort that a gloss is measured against are the background windows that ship with the encoder, what the enrolled
clips show beside the signs (rest, hands going up and down), and the other signs of the gallery. The normalisation is
the Z-norm of speaker verification (Auckenthaler et al., "Score normalization for text-independent speaker
verification systems", 2000): a score counts in deviations of its gloss's impostors above their mean.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from engines.encoders import Encoder
from stream.gallery import Exemplars, Gallery, Impostors, Sign

Floats = NDArray[np.float32]

THRESHOLD = 2.5
"""Deviations above the impostors' mean that a window has to reach."""
KIN_COSINE = 0.8
"""Two glosses whose exemplars are more alike than this are not told apart."""
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
    impostors: dict[str, dict[str, Impostors]] = {gloss: {} for gloss in glosses}
    for name, exemplars in gallery.exemplars.items():
        cohort = _cohort(gallery, encoders[name]) if name in encoders else None
        for gloss in glosses:
            impostors[gloss][name] = _impostors(gallery, exemplars, cohort, gloss, kin[gloss])
    signs = tuple(
        Sign(
            gloss=gloss,
            threshold=THRESHOLD,
            nudge=nudges.get(gloss, 0.0),
            impostors=impostors[gloss],
            kin=sorted(kin[gloss]),
        )
        for gloss in glosses
    )
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
    """Embeddings (N, D) of what is no sign of any gallery: the encoder's own background, and the ends of the takes."""
    rows: list[Floats] = []
    background: Floats | None = getattr(encoder, "background", None)
    if background is not None:
        rows.append(background)
    idle = list(_idle_windows(gallery, encoder))
    if idle:
        rows.append(encoder.embed(idle))
    return np.concatenate(rows) if rows else np.zeros((0, encoder.dimension), np.float32)


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


def _impostors(
    gallery: Gallery, exemplars: Exemplars, cohort: Floats | None, gloss: str, kin: Sequence[str]
) -> Impostors:
    """Mean and deviation of the gloss's cosine to what it is not."""
    owner = np.array([gallery.takes[take].gloss for take in exemplars.takes])
    mine = exemplars.vectors[owner == gloss]
    others = exemplars.vectors[~np.isin(owner, [gloss, *kin])]
    pool = others if cohort is None else np.concatenate([others, cohort])
    if not len(mine) or len(pool) < 2:
        return Impostors(mean=0.0, deviation=1.0)
    best = (pool @ mine.T).max(1)
    return Impostors(mean=float(best.mean()), deviation=max(float(best.std()), MIN_DEVIATION))
