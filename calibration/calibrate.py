"""Thresholds measured on background signing: so many false alarms an hour, counted by the live path's own Spotter.

The background is played once. From it come, for each gloss, the impostors that its cosine is normalised by (the Z-norm
of `calibration.thresholds`, with the user's own signers and camera), and a threshold of its own: how often the gloss
is spotted in the background at a low threshold, drawn towards what all glosses do (a gloss that fired twice in an hour
is hardly twice as bad as one that fired once), tells how much higher than the others it has to be for an equal share
of the false alarms. That evidence above a threshold falls off exponentially is the usual model of such tails (J.
Pickands, "Statistical inference using extreme order statistics", Ann. Statist. 3, 1975). Last, all thresholds together
are moved to where the Spotter, run over the whole background again, reports just few enough.
"""

from __future__ import annotations

import contextlib
import datetime
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from calibration.enrol import loaded_encoders
from calibration.signing import is_track, seconds_of, ticks_of
from calibration.thresholds import MIN_IMPOSTORS, Alike, digest, hardest, with_thresholds
from engines.encoders import DEFAULT_ENCODERS, Encoder
from engines.errors import ConfigError, GalleryError, SignspotError
from engines.landmarks import Landmarks
from engines.pose.choice import HOLISTIC, open_pose
from engines.ticks import TICK_S
from stream.clock import Tick
from stream.gallery import Calibration, Gallery, Impostors
from stream.spotting import RULES, Scores, Similarity, Spotted, Spotter
from stream.windows import Window, WindowBuffer

Floats = NDArray[np.float32]
Progress = Callable[[str, float], None]
"""Told what is worked on, and the share of it that is done, 0..1."""

RESOLVED = 3.0
"""Events that a background has to be long enough for. Where none of 3 expected events comes, their rate is below what
was asked for with 95% confidence: the rule of three (Hanley and Lippman-Hand, JAMA 249, 1983)."""
TOLERANCE = 0.03
"""Share of the needed length that may be missing: somebody is out of the picture for a moment."""
LOWEST = 0.5
"""Evidence below which no threshold goes, however quiet the background is."""
LOUD = 0.1
"""Share of the ticks that may have evidence above the lowest threshold that is tried. Even a tenth of these would be
hundreds of false alarms an hour; to the others the Spotter is deaf, so they are not scored again and again."""
PRIOR_EVENTS = 1.0
"""How many events the average of all glosses counts for, in the rate of each."""
STEP = 0.01
"""Evidence to which the thresholds are moved exactly."""
_EMPTY = np.zeros((0, 0), np.float32)
NOTHING = Scores((), _EMPTY, _EMPTY, _EMPTY, {})


class BackgroundTooShort(SignspotError):
    """The background cannot tell the wanted rate from a higher one."""


@dataclass(frozen=True, slots=True)
class Calibrated:
    """One gloss, before and after."""

    gloss: str
    before: float  # threshold, evidence
    threshold: float
    nudge: float  # the user's own, on top of it
    false_alarms: int  # in the background, at the thresholds alone
    hours: float  # of background that count for it


@dataclass(frozen=True, slots=True)
class CalibrationReport:
    """What came of a calibration."""

    calibration: Calibration
    signs: tuple[Calibrated, ...]
    left_out: Mapping[Path, tuple[str, ...]]  # file -> glosses of which it is no background
    alike: tuple[Alike, ...]  # pairs that differ too little
    changed: tuple[str, ...]  # glosses that were edited meanwhile and are not calibrated


def calibrate(
    gallery: Path,
    background: Sequence[Path],
    *,
    per_hour: float = 2.0,
    contains: Mapping[str, Sequence[str]] | None = None,
    encoders: Sequence[str] = DEFAULT_ENCODERS,
    mirrored: bool = False,
    pose: str = HOLISTIC,
    progress: Progress | None = None,
) -> CalibrationReport:
    """Set the thresholds of a gallery so that background signing gives so many false alarms an hour.

    The rate is that of all signs together. With n events allowed (`per_hour` times the hours), thresholds come to
    stand just above the n-th strongest, so that the rate to be expected elsewhere is what was asked for.

    Args:
        gallery: its folder; only thresholds and normalisation are replaced.
        background: videos or landmark tracks (.npz) of signing, or of whatever the camera will see. About 0.25 GiB of
            memory an hour.
        per_hour: false alarms.
        contains: file (its path or its name) -> the glosses that occur in it; where a file is not named, those that
            its name contains.
        encoders: names of shipped encoders, or folders of bundles; those that will run live.
        pose: the pose estimator for videos.
        mirrored: the videos show a mirror image.
        progress: told how far the work is.

    Raises:
        BackgroundTooShort: the rate cannot be resolved.
        ConfigError: a rate out of range, or `contains` names what is not there.
        GalleryError: the gallery cannot be read or written.
        GalleryMismatch: it was made with other encoders.
        SourceError: a video cannot be read.
        NotLandmarks: a .npz holds no landmark track.
    """
    if not 0 < per_hour <= 1000:
        raise ConfigError(f"--false-alarms-per-hour {per_hour:g}: more than 0, 1000 at most")
    tell: Progress = progress or (lambda _, __: None)
    before = Gallery.load(gallery)
    files = list({path.resolve(): path for path in background}.values())
    own = own_glosses(files, before, contains or {})
    lengths = [seconds_of(path) for path in files]
    if all(lengths):  # else the containers do not tell, and playing will
        _check_length(sum(lengths) / 3600, per_hour, "are given")
    with contextlib.ExitStack() as stack:
        estimator = None
        if not all(is_track(path) for path in files):
            estimator = stack.enter_context(contextlib.closing(open_pose(pose)))
        name = estimator.name if estimator else before.takes[0].estimator
        ready = loaded_encoders(before, encoders, name)
        Similarity(before, list(ready.values()))  # what does not fit is said before the long work
        used = [one for key, one in ready.items() if key in before.exemplars]
        edition, alike = with_thresholds(_estimates(before), ready)
        own = {path: _with_kin(edition, glosses) for path, glosses in own.items()}
        played = []
        for path in files:
            ticks = ticks_of(
                path,
                estimator,
                mirrored=mirrored,
                pictures=any(one.pictures for one in used),
                progress=partial(tell, f"playing {path.name}"),
            )
            played.append(_play(ticks, used, own[path]))
    edition = _normalised(edition, used, played)
    hours = {gloss: sum(one.hours for one in played if gloss not in one.own) for gloss in edition.glosses}
    counted = sum(hours.values()) / len(hours)
    _check_length(counted, per_hour, "count (somebody is seen, and a sign's own occurrences are left out)")
    allowed = max(math.floor(per_hour * counted + 0.1) - 1, 0)
    edition, alarms = _placed(edition, used, played, hours, per_hour, allowed, tell)
    calibration = Calibration(
        false_alarms_per_hour=per_hour,
        hours=counted,
        false_alarms=alarms.total(),
        encoders=[one.name for one in used],
        background=[path.name for path in files],
        calibrated_utc=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )
    saved, changed = _save(gallery, edition, calibration)
    old = {sign.gloss: sign for sign in before.signs}
    return CalibrationReport(
        calibration=calibration,
        signs=tuple(
            Calibrated(
                sign.gloss,
                old[sign.gloss].threshold,
                sign.threshold,
                sign.nudge,
                alarms[sign.gloss],
                hours[sign.gloss],
            )
            for sign in saved.signs
            if sign.gloss in hours and sign.gloss not in changed
        ),
        left_out={path: tuple(sorted(glosses)) for path, glosses in own.items() if glosses},
        alike=tuple(alike),
        changed=changed,
    )


def needed_hours(per_hour: float) -> float:
    """Background that tells a rate of false alarms an hour from a higher one, hours."""
    return RESOLVED / per_hour


def _check_length(hours: float, per_hour: float, which: str) -> None:
    needed = needed_hours(per_hour)
    if hours < needed * (1 - TOLERANCE):
        least = f"ask for {math.ceil(RESOLVED / hours):d} or more an hour" if hours > 0 else "add some"
        raise BackgroundTooShort(
            f"{_duration(hours)} of background {which}; to tell {per_hour:g} false alarms an hour from more, "
            f"{_duration(needed)} are needed (3 / rate): give more background, or {least}"
        )


def _duration(hours: float) -> str:
    return f"{hours:.2f} hours" if hours >= 1 else f"{hours * 60:.1f} minutes"


# -- whose signs a file shows ----------------------------------------------------------------------------------


def own_glosses(
    files: Sequence[Path], gallery: Gallery, contains: Mapping[str, Sequence[str]]
) -> dict[Path, frozenset[str]]:
    """The glosses that each file is no background for.

    Args:
        files: the background.
        gallery: whose glosses are meant.
        contains: file (its path or its name) -> glosses; takes the place of what the file's name tells.

    Raises:
        ConfigError: a file or a gloss is named that is not there.
    """
    named: dict[Path, frozenset[str]] = {}
    for word, glosses in contains.items():
        matching = [path for path in files if word in (str(path), path.name)]
        if not matching:
            raise ConfigError(
                f"--contains {word}=...: there is no such file in the background: "
                f"{', '.join(path.name for path in files)}"
            )
        unknown = sorted(set(glosses) - set(gallery.glosses))
        if unknown:
            raise ConfigError(
                f"--contains {word}=...: the gallery {gallery.path} has no {', '.join(unknown)}: "
                "`signspot gallery list` shows what it has"
            )
        for path in matching:
            named[path] = frozenset(glosses)
    return {path: named.get(path, _told_by_name(path, gallery.glosses)) for path in files}


def _told_by_name(path: Path, glosses: Iterable[str]) -> frozenset[str]:
    """Glosses that a file's name contains, as GOOD in `goodmorning.mp4`; a single letter has to stand alone.

    The landmarks of a synthetic stream are named by their folder.
    """
    name = (path.resolve().parent.name if path.name == "landmarks.npz" else path.stem).casefold()
    words = [word for word in re.split(r"[\W_]+", name) if word]
    found = set()
    for gloss in glosses:
        plain = "".join(re.split(r"[\W_]+", gloss.casefold()))
        if plain in words or (len(plain) > 1 and plain in "".join(words)):
            found.add(gloss)
    return frozenset(found)


def _with_kin(gallery: Gallery, glosses: frozenset[str]) -> frozenset[str]:
    """The glosses and those that cannot be told apart from them."""
    return glosses | {other for sign in gallery.signs if sign.gloss in glosses for other in sign.kin}


def _estimates(gallery: Gallery) -> Gallery:
    """The gallery as if it had never been calibrated."""
    signs = tuple(msgspec.structs.replace(sign, calibrated="") for sign in gallery.signs)
    return replace(gallery, signs=signs, calibration=None)


# -- playing ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class _Moment:
    """One tick: what is needed to score it against another edition of the gallery."""

    tick: Tick  # without its landmarks
    windows: dict[str, list[Window]]  # by encoder, without their features
    embeddings: dict[str, Floats]  # by encoder, (B, D)


@dataclass(frozen=True, slots=True, eq=False)
class _Played:
    """One background file."""

    moments: list[_Moment]
    own: frozenset[str]  # glosses that it is no background for
    hours: float  # in which somebody is seen

    def cosines(self, encoder: str, exemplars: Floats) -> Floats:
        """Cosine (N,) of each window to the nearest of the exemplars (M, D)."""
        rows = [one.embeddings[encoder] for one in self.moments if encoder in one.embeddings]
        if not rows:
            return np.zeros(0, np.float32)
        return np.asarray((np.concatenate(rows) @ exemplars.T).max(axis=1), np.float32)


def _play(ticks: Iterable[Tick], encoders: Sequence[Encoder], own: frozenset[str]) -> _Played:
    buffers = {encoder.name: WindowBuffer(encoder.window_lengths) for encoder in encoders}
    moments = []
    seen = 0
    unseen: Landmarks | None = None
    empty = np.zeros(0, np.float32)
    for tick in ticks:
        windows: dict[str, list[Window]] = {}
        embeddings: dict[str, Floats] = {}
        for encoder in encoders:
            complete = buffers[encoder.name].push(tick, encoder.prepare(tick.landmarks))
            usable = [window for window in complete if not window.lost]
            if usable:
                embeddings[encoder.name] = encoder.embed([window.features for window in usable])
                windows[encoder.name] = [replace(window, features=empty) for window in usable]
        seen += any(tick.landmarks.has(part) for part in ("pose", "left_hand", "right_hand"))
        if unseen is None:
            unseen = Landmarks.absent(tick.landmarks.width, tick.landmarks.height, tick.landmarks.estimator)
        moments.append(_Moment(replace(tick, landmarks=unseen), windows, embeddings))
    return _Played(moments, own, seen * TICK_S / 3600)


# -- normalisation ---------------------------------------------------------------------------------------------


def _normalised(gallery: Gallery, encoders: Sequence[Encoder], played: Sequence[_Played]) -> Gallery:
    """The gallery with each gloss normalised by what it is most easily taken for.

    That is the background, or the cohort that ships with the encoder, whichever is more like the gloss: background
    that is mostly rest says little about signing.
    """
    signs = []
    for sign in gallery.signs:
        impostors = dict(sign.impostors)
        for encoder in encoders:
            exemplars = gallery.exemplars[encoder.name]
            mine = exemplars.vectors[[gallery.takes[take].gloss == sign.gloss for take in exemplars.takes]]
            cosines = [one.cosines(encoder.name, mine) for one in played if sign.gloss not in one.own]
            pool = np.concatenate(cosines) if cosines and len(mine) else np.zeros(0, np.float32)
            if len(pool) >= MIN_IMPOSTORS:
                known = impostors.get(encoder.name, Impostors(mean=-1.0, deviation=1.0))
                impostors[encoder.name] = max(known, hardest(pool), key=lambda one: one.mean)
        signs.append(msgspec.structs.replace(sign, impostors=impostors))
    return replace(gallery, signs=tuple(signs))


# -- thresholds ------------------------------------------------------------------------------------------------


def _with_levels(gallery: Gallery, levels: Floats | float) -> Gallery:
    """The gallery with these thresholds and no nudges: a user's nudge is on top of what was calibrated."""
    each = np.broadcast_to(np.asarray(levels, np.float32), len(gallery.signs))
    signs = tuple(
        msgspec.structs.replace(sign, threshold=float(level), nudge=0.0)
        for sign, level in zip(gallery.signs, each, strict=True)
    )
    return replace(gallery, signs=signs)


class _Listening:
    """The background, scored against the final normalisation, to be spotted at any thresholds from `lowest` on."""

    def __init__(
        self, gallery: Gallery, encoders: Sequence[Encoder], played: Sequence[_Played], tell: Progress
    ) -> None:
        self._gallery = gallery
        self._played = played
        similarity = Similarity(gallery, encoders)
        probe = Spotter(_with_levels(gallery, 0.0))
        total = sum(len(one.moments) for one in played)
        evidence: list[float] = []
        for one in played:
            for moment in one.moments:
                scores = similarity.score(moment.windows, moment.embeddings)
                evidence.append(float(probe.excess(scores).max()) if scores.spans else -np.inf)
                tell("scoring", len(evidence) / total)
        heard = [value for value in evidence if np.isfinite(value)]
        self.lowest = max(float(np.quantile(heard, 1 - LOUD)) if heard else 0.0, LOWEST)
        self.strongest = max(heard, default=self.lowest)
        rest = iter(evidence)
        self._scores = [
            [
                similarity.score(moment.windows, moment.embeddings) if value > self.lowest else NOTHING
                for moment, value in zip(one.moments, rest, strict=False)
            ]
            for one in played
        ]

    def false_alarms(self, levels: Floats | float) -> list[Spotted]:
        """What the Spotter reports of the background at these thresholds, each at least `lowest`."""
        gallery = _with_levels(self._gallery, levels)
        found: list[Spotted] = []
        for one, scored in zip(self._played, self._scores, strict=True):
            spotter = Spotter(gallery)
            spotted: list[Spotted] = []
            segment: int | None = None
            for moment, scores in zip(one.moments, scored, strict=True):
                if moment.tick.segment != segment:
                    spotted += spotter.flush()
                    spotter.reset()
                    segment = moment.tick.segment
                spotted += spotter.push(moment.tick, scores)
            spotted += spotter.flush()
            found += [sign for sign in spotted if sign.gloss not in one.own]
        return found


def _placed(
    gallery: Gallery,
    encoders: Sequence[Encoder],
    played: Sequence[_Played],
    hours: Mapping[str, float],
    per_hour: float,
    allowed: int,
    tell: Progress,
) -> tuple[Gallery, Counter[str]]:
    """The gallery with thresholds, and the false alarms that are left at them."""
    listening = _Listening(gallery, encoders, played, tell)
    events = listening.false_alarms(listening.lowest)
    levels = gloss_levels(
        gallery.glosses, [(one.gloss, _excess(one)) for one in events], hours, per_hour, listening.lowest
    )
    if len(events) <= allowed:
        levels = np.full_like(levels, listening.lowest)
        counted = events
    else:
        low = listening.lowest - float(levels.max())  # all stand at the lowest: too many
        high = max(listening.strongest - float(levels.min()), 0.0) + STEP  # all stand above everything: none
        first = high - low
        counted = []
        while high - low > STEP:
            middle = (low + high) / 2
            found = listening.false_alarms(np.maximum(levels + np.float32(middle), listening.lowest))
            if len(found) <= allowed:
                high, counted = middle, found
            else:
                low = middle
            tell("counting false alarms", 1 - math.log(max(high - low, STEP) / STEP) / math.log(first / STEP))
        levels = np.maximum(levels + np.float32(high), listening.lowest)
    nudges = {sign.gloss: sign.nudge for sign in gallery.signs}
    placed = _with_levels(gallery, levels)
    signs = tuple(msgspec.structs.replace(sign, nudge=nudges[sign.gloss]) for sign in placed.signs)
    return replace(gallery, signs=signs), Counter(one.gloss for one in counted)


def _excess(spotted: Spotted) -> float:
    """The evidence above the threshold that a spotting's confidence was computed from."""
    share = min(spotted.confidence, 1 - 1e-15)
    return math.log(share / (1 - share)) / RULES.steepness


def gloss_levels(
    glosses: Sequence[str],
    events: Sequence[tuple[str, float]],
    hours: Mapping[str, float],
    per_hour: float,
    lowest: float,
) -> Floats:
    """Thresholds that give each gloss the same share of the false alarms, as far as a model of their tails tells.

    A gloss's rate above `lowest` is that of its events, with `PRIOR_EVENTS` at the rate of the average gloss added
    (the mean of a Gamma posterior); above `lowest` it falls exponentially, at one pace for all.

    Args:
        glosses: in the gallery's order.
        events: gloss, and evidence above `lowest`, of what was spotted at `lowest`.
        hours: by gloss, of background that counts for it.
        per_hour: false alarms of all glosses together.
        lowest: threshold of these events.

    Returns:
        (G,) evidence, at least `lowest`.
    """
    exposure = sum(hours.values())
    if not events or exposure <= 0:
        return np.full(len(glosses), lowest, np.float32)
    pace = float(np.mean([excess for _, excess in events]))
    average = len(events) / exposure
    counts = Counter(gloss for gloss, _ in events)
    rates = np.array(
        [(counts[gloss] + PRIOR_EVENTS) / (hours[gloss] + PRIOR_EVENTS / average) for gloss in glosses]
    )
    return np.asarray(lowest + pace * np.maximum(np.log(rates * len(glosses) / per_hour), 0.0), np.float32)


# -- keeping ---------------------------------------------------------------------------------------------------


def _save(path: Path, edition: Gallery, calibration: Calibration) -> tuple[Gallery, tuple[str, ...]]:
    """Put the thresholds into the newest edition on disk; returns it, and the glosses that were edited meanwhile."""
    latest = Gallery.load(path)  # playing took a while: somebody may have edited it since
    fresh = {sign.gloss: sign for sign in edition.signs}
    signs, changed = [], []
    for sign in latest.signs:
        known = digest(latest, sign.gloss, calibration.encoders)
        if sign.gloss not in fresh or known != digest(edition, sign.gloss, calibration.encoders):
            changed.append(sign.gloss)
            signs.append(sign)
            continue
        signs.append(msgspec.structs.replace(fresh[sign.gloss], nudge=sign.nudge, calibrated=known))
    if len(changed) == len(signs):
        raise GalleryError(
            f"the gallery {path} was replaced while the background was played: calibrate again"
        )
    latest = replace(latest, signs=tuple(signs), calibration=calibration)
    latest.save()
    return latest, tuple(changed)
