"""Thresholds without annotations and without effort: what is not the sign says how similar is not similar enough.

These are estimates, made whenever a sign is taught. `calibration.calibrate` measures them on hours of signing instead;
what it has measured is kept here for as long as the gloss keeps its exemplars.

The cohort that a gloss is measured against are the background windows that ship with the encoder, what the enrolled
clips show beside the signs (rest, hands going up and down), and the other signs of the gallery. The normalisation is
the Z-norm of speaker verification (Auckenthaler et al., "Score normalization for text-independent speaker
verification systems", 2000): a score counts in deviations of its gloss's impostors above their mean.
"""

from __future__ import annotations

import hashlib
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
FLOOR = 5.5
"""Evidence that is needed in any case. In a gallery of few signs a window that is like none of them still leads over
the others. On the StartASL sentences it loses none of ten signs and one false alarm against 5.0, on the unlabelled ones 7
of 12 false alarms, on streams of the synthetic signer none of 36 signs and one of 4 false alarms. On rendered streams that had no
say in it, F1 is flat about it (docs/accuracy.md)."""
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


def digest(gallery: Gallery, gloss: str, encoders: Sequence[str]) -> str:
    """Names what a calibrated threshold of a gloss depends on: its takes, and the encoders that embedded them.

    Args:
        gallery: with the exemplars of all takes.
        gloss: one of its glosses.
        encoders: names of those in use.
    """
    made_by = sorted(
        (name, gallery.exemplars[name].fingerprint) for name in encoders if name in gallery.exemplars
    )
    takes = sorted(
        (take.landmarks, take.first_tick, take.last_tick) for take in gallery.takes if take.gloss == gloss
    )
    return hashlib.sha256(msgspec.json.encode((made_by, takes))).hexdigest()[:24]


def _calibrated(gallery: Gallery) -> dict[str, Sign]:
    """The signs whose calibrated threshold still holds."""
    if gallery.calibration is None:
        return {}
    encoders = gallery.calibration.encoders
    return {
        sign.gloss: sign
        for sign in gallery.signs
        if sign.calibrated and sign.calibrated == digest(gallery, sign.gloss, encoders)
    }


def with_thresholds(gallery: Gallery, encoders: Mapping[str, Encoder]) -> tuple[Gallery, list[Alike]]:
    """Set normalisation, threshold and kin of every gloss.

    A gloss that was calibrated and has the same exemplars still keeps its normalisation and threshold: another rival
    can only lessen its lead over the others, and so its false alarms. What is not calibrated among calibrated signs
    has to beat their median at least.

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
    calibrated = _calibrated(gallery)
    impostors: dict[str, dict[str, Impostors]] = {gloss: {} for gloss in glosses}
    for name, exemplars in gallery.exemplars.items():
        for gloss in glosses:
            known = calibrated[gloss].impostors.get(name) if gloss in calibrated else None
            impostors[gloss][name] = known or _impostors(
                gallery, exemplars, cohorts.get(name), gloss, kin[gloss]
            )
    signs = tuple(
        Sign(
            gloss=gloss,
            threshold=calibrated[gloss].threshold if gloss in calibrated else 0.0,
            nudge=nudges.get(gloss, 0.0),
            impostors=impostors[gloss],
            kin=sorted(kin[gloss]),
            calibrated=calibrated[gloss].calibrated if gloss in calibrated else "",
        )
        for gloss in glosses
    )
    gallery = replace(gallery, signs=signs, calibration=gallery.calibration if calibrated else None)
    thresholds = [
        _threshold(gallery, name, cohort)
        for name, cohort in cohorts.items()
        if len(cohort) >= 1 / FALSE_SHARE
    ]
    known_level = float(np.median([sign.threshold for sign in calibrated.values()])) if calibrated else FLOOR
    threshold = max(float(np.mean(thresholds)) if thresholds else 0.0, known_level)
    signs = tuple(
        sign if sign.calibrated else msgspec.structs.replace(sign, threshold=threshold) for sign in signs
    )
    return replace(gallery, signs=signs), alike


def _alike(gallery: Gallery, glosses: Sequence[str]) -> list[Alike]:
    """Pairs of glosses whose enrolled exemplars are nearly one, in every encoder that has both.

    What was transferred has no say: a wrong match would join two signs that people tell apart.
    """
    enrolled = np.array([take.transferred is None for take in gallery.takes], np.bool_)
    lowest = np.full((len(glosses), len(glosses)), np.inf)
    column = {gloss: index for index, gloss in enumerate(glosses)}
    for exemplars in gallery.exemplars.values():
        taken = enrolled[exemplars.takes]
        vectors = exemplars.vectors[taken]
        owner = np.array([column[gallery.takes[take].gloss] for take in exemplars.takes[taken]], np.int64)
        cosines = vectors @ vectors.T
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
        if take.transferred is not None:
            continue  # it was cut to the sign
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
    return hardest((pool @ mine.T).max(1))


def hardest(cosines: Floats) -> Impostors:
    """Mean and deviation of the windows most like a gloss, out of many that are not the gloss.

    Args:
        cosines: (N,) of each window to the gloss's best exemplar; N >= `MIN_IMPOSTORS`.
    """
    count = min(max(MIN_IMPOSTORS, round(HARDEST * len(cosines))), len(cosines))
    top = np.partition(cosines, len(cosines) - count)[-count:]
    return Impostors(mean=float(top.mean()), deviation=max(float(top.std()), MIN_DEVIATION))
