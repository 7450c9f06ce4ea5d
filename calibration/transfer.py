"""Top-K transfer: the best matches in unlabelled continuous signing become exemplars, beside the enrolled ones.

A sign in a sentence is shorter and runs into its neighbours; a clip of it alone, from rest to rest, is only half its
likeness. The runner-up of the one-shot track of the ECCV 2022 Sign Spotting Challenge therefore searches the continuous
videos with the isolated exemplars, and then searches with the K best finds of each sign too (K = 5, once). Here a sign
may not occur at all, so a find has to pass for a spotting, or a score of the user's choice; it has to beat the other
signs; and what was found can be told from what was enrolled, and taken away again.
"""

from __future__ import annotations

import contextlib
import datetime
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec
import numpy as np

from calibration.enrol import check_fit, loaded_encoders, with_exemplars
from calibration.signing import fingerprint_of, is_track, seconds_of, ticks_of
from calibration.thresholds import with_thresholds
from engines.encoders import DEFAULT_ENCODERS, Encoder
from engines.errors import ConfigError, GalleryError, GalleryMismatch
from engines.landmarks import LandmarkTrack
from engines.pose.choice import HOLISTIC, family, open_pose
from stream.clock import Tick
from stream.gallery import Gallery, Take, Transfer
from stream.spotting import LEAD, RULES, Similarity
from stream.stages import SpottingStage
from stream.tracks import FULL_QUALITY

K = 5
"""Matches of each gloss that are taken; the challenge entry's."""
MOST_ITERATIONS = 10

Progress = Callable[[str, float], None]
"""Told what is worked on, and the share of all the work that is done, 0..1."""


@dataclass(frozen=True, slots=True)
class Match:
    """A window of a video that is like a gloss."""

    gloss: str
    video: str  # file name
    video_sha256: str
    first_tick: int  # within the video, 25 Hz
    last_tick: int  # the first tick after it
    score: float  # fused cosine
    excess: float  # evidence above what was needed

    @property
    def start_s(self) -> float:
        """Where it begins, stream seconds of the video."""
        return self.first_tick * 0.04

    @property
    def end_s(self) -> float:
        """Where it ends, stream seconds of the video."""
        return self.last_tick * 0.04


@dataclass(frozen=True, slots=True)
class TransferReport:
    """What came of a transfer."""

    taken: Mapping[str, tuple[Match, ...]]  # gloss -> the best first
    untouched: Mapping[str, str]  # gloss -> why nothing was taken
    rounds: int  # that were made; one that takes nothing is the last


@dataclass(slots=True, eq=False)
class _Video:
    """One video, posed."""

    path: Path
    sha256: str
    ticks: list[Tick] = field(default_factory=list)

    def cut(self, match: Match) -> LandmarkTrack:
        """The landmarks of a match; a window lies within one segment, where ticks follow one another."""
        first = bisect_left(self.ticks, match.first_tick, key=lambda tick: tick.index)
        ticks = self.ticks[first : first + match.last_tick - match.first_tick]
        return LandmarkTrack.of([tick.landmarks for tick in ticks], match.start_s)


@dataclass(slots=True)
class _Nearest:
    """The best that a gloss reached, for saying why nothing was taken."""

    excess: float  # evidence above what was needed
    text: str


def transfer(
    gallery: Path,
    videos: Sequence[Path],
    *,
    encoders: Sequence[str] = DEFAULT_ENCODERS,
    k: int = K,
    iterations: int = 1,
    min_score: float | None = None,
    mirrored: bool = False,
    pose: str = HOLISTIC,
    progress: Progress | None = None,
) -> TransferReport:
    """Add the best matches of each gloss in unlabelled signing to its exemplars.

    Of windows of one video that overlap, one counts; a stretch of time belongs to the gloss that it speaks most for.
    What an earlier run took from the same video is not taken twice.

    Args:
        gallery: its folder. It is replaced once, at the end.
        videos: continuous signing; landmark tracks (.npz) of the gallery's own pose estimator are taken as well.
        encoders: names of shipped encoders, or folders of bundles.
        k: how many matches of a gloss to take in each round, at most.
        iterations: rounds; each searches with what the last one took.
        min_score: fused cosine that a match needs; by default the evidence that the live path asks of a spotting.
        mirrored: the videos show a mirror image.
        pose: the pose estimator for videos.
        progress: told how far the work is.

    Raises:
        ConfigError: a number is out of range.
        GalleryError: the gallery cannot be read or written.
        GalleryMismatch: it was made with other encoders or another pose estimator.
        SourceError: a video cannot be read.
        NotLandmarks: a .npz holds no landmark track.
    """
    _check(k, iterations, min_score)
    for path in videos:
        seconds_of(path)  # what cannot be read is said before the long work
    edition = Gallery.load(gallery)
    pace = _Pace(progress, len(videos) * (1 + iterations))
    with contextlib.ExitStack() as stack:
        estimator = None
        if not all(is_track(path) for path in videos):
            estimator = stack.enter_context(contextlib.closing(open_pose(pose)))
        ready = loaded_encoders(edition, encoders, estimator.name if estimator else _estimator(edition))
        Similarity(edition, list(ready.values()))  # what does not fit is said before the long work
        pictures = any(one.pictures for one in ready.values())
        posed = []
        for path in {path.resolve(): path for path in videos}.values():
            video = _Video(path, fingerprint_of(path))
            told = pace.next(f"posing {path.name}")
            ticks = ticks_of(path, estimator, mirrored=mirrored, pictures=pictures, progress=told)
            # Frames are not held, and matches are embedded from what the gallery will keep of them.
            video.ticks = [replace(tick, landmarks=tick.landmarks.kept()) for tick in ticks]
            _check_estimator(edition, video)
            posed.append(video)
    found: list[tuple[Match, LandmarkTrack]] = []
    nearest: dict[str, _Nearest] = {}
    searched, rounds = edition, 0
    while rounds < iterations:
        rounds += 1
        candidates: list[Match] = []
        for video in posed:
            told = pace.next(f"searching {video.path.name}")
            candidates += _candidates(searched, list(ready.values()), video, min_score, nearest, told)
        fresh = _best(candidates, k, _occupied(searched))
        if not fresh:
            break
        by_content = {video.sha256: video for video in posed}
        cuts = [(match, by_content[match.video_sha256].cut(match)) for match in fresh]
        found += cuts
        if rounds < iterations:
            searched, _ = with_thresholds(_with_matches(searched, cuts, ready, keep=False), ready)
    if found:
        _save(gallery, found, ready)
    if progress is not None:
        progress("done", 1.0)
    return _report(edition, [match for match, _ in found], nearest, rounds)


def remove_transferred(gallery: Path, *, encoders: Sequence[str] = DEFAULT_ENCODERS) -> tuple[Take, ...]:
    """Take away all exemplars that were transferred; those that were enrolled stay.

    Returns:
        What was taken away.

    Raises:
        GalleryError: the gallery cannot be read or written.
        GalleryMismatch: it was made with other encoders.
    """
    edition = Gallery.load(gallery)
    dropped = [index for index, take in enumerate(edition.takes) if take.transferred is not None]
    if dropped:
        ready = loaded_encoders(edition, encoders, _estimator(edition))
        kept, _ = with_thresholds(edition.without_takes(dropped), ready)
        kept.save()
    return tuple(edition.takes[index] for index in dropped)


def _check(k: int, iterations: int, min_score: float | None) -> None:
    if not 1 <= k <= 100:
        raise ConfigError(f"--k {k}: take 1 to 100 matches of each sign; {K} is usual")
    if not 1 <= iterations <= MOST_ITERATIONS:
        raise ConfigError(f"--iterations {iterations}: 1 to {MOST_ITERATIONS} rounds; 1 is usual")
    if min_score is not None and not -1 <= min_score <= 1:
        raise ConfigError(f"--min-score {min_score:g}: it is a cosine, -1 to 1; 0.5 is a fair beginning")


def _estimator(edition: Gallery) -> str:
    return edition.takes[0].estimator


def _check_estimator(edition: Gallery, video: _Video) -> None:
    for tick in video.ticks[:1]:
        if family(tick.landmarks.estimator) != family(_estimator(edition)):
            raise GalleryMismatch(
                f"{video.path} was posed by {tick.landmarks.estimator!r}, the gallery {edition.path} by "
                f"{_estimator(edition)!r}: exemplars of both cannot stand in one gallery; give the video itself"
            )


@dataclass(slots=True)
class _Pace:
    """Progress of several pieces of work of the same size."""

    told: Progress | None
    pieces: int
    _done: int = -1

    def next(self, what: str) -> Callable[[float], None]:
        self._done += 1
        done = self._done

        def share(part: float) -> None:
            if self.told is not None:
                self.told(what, min((done + part) / max(self.pieces, 1), 1.0))

        share(0.0)
        return share


def _candidates(
    edition: Gallery,
    encoders: Sequence[Encoder],
    video: _Video,
    min_score: float | None,
    nearest: dict[str, _Nearest],
    progress: Callable[[float], None],
) -> list[Match]:
    """The windows of a video that pass for their best gloss; what each gloss reached goes into `nearest`."""
    if min_score is not None:  # evidence has to be there, but no more than of any window like the sign
        edition = replace(
            edition,
            signs=tuple(msgspec.structs.replace(sign, threshold=0.0, nudge=0.0) for sign in edition.signs),
        )
    stage = SpottingStage(encoders, edition)
    found: list[Match] = []
    for number, tick in enumerate(video.ticks):
        scores = stage.push(tick, FULL_QUALITY).scores
        progress(number / len(video.ticks))
        if scores is None or stage.spotter is None or not scores.spans:
            continue
        excess = stage.spotter.excess(scores)
        best = scores.normal.argmax(axis=1)
        needed = scores.cosine - excess / (1 + LEAD) * scores.spread
        if min_score is not None:
            needed = np.maximum(needed, min_score)
        for row, (start, end) in enumerate(scores.spans):
            column = int(best[row])
            score = float(scores.cosine[row, column])
            if excess[row, column] > 0 and (min_score is None or score >= min_score):
                found.append(
                    Match(
                        gloss=edition.glosses[column],
                        video=video.path.name,
                        video_sha256=video.sha256,
                        first_tick=start,
                        last_tick=end + 1,
                        score=score,
                        excess=float(excess[row, column]),
                    )
                )
        for column, gloss in enumerate(edition.glosses):
            row = int(excess[:, column].argmax())
            value = float(excess[row, column])
            if gloss in nearest and value <= nearest[gloss].excess:
                continue
            where = f"at {scores.spans[row][0] * 0.04:.2f} s of {video.path.name}"
            passed = (
                best[row] == column and value > 0 and bool(scores.cosine[row, column] >= needed[row, column])
            )
            if passed:
                text = f"the nearest, {where}, was taken before, or by a sign with a stronger claim"
            elif best[row] != column:
                text = f"its best window, {where}, is more like {edition.glosses[best[row]]}"
            else:
                text = f"the nearest, {where}, scores {scores.cosine[row, column]:.2f}, needs {needed[row, column]:.2f}"
            nearest[gloss] = _Nearest(value, text)
    return found


def _occupied(edition: Gallery) -> list[Match]:
    """What earlier transfers took, in the form of matches."""
    return [
        Match(
            take.gloss,
            take.transferred.video,
            take.transferred.video_sha256,
            take.transferred.first_tick,
            take.transferred.last_tick,
            take.transferred.score,
            0.0,
        )
        for take in edition.takes
        if take.transferred is not None
    ]


def _best(candidates: Iterable[Match], k: int, occupied: Sequence[Match]) -> list[Match]:
    """The K best of each gloss, the strongest claim first; a stretch that is claimed serves no other match."""
    claimed = list(occupied)
    taken: dict[str, list[Match]] = {}
    for match in sorted(candidates, key=lambda one: (-one.excess, one.video, one.first_tick, one.gloss)):
        if any(_clash(match, other) for other in claimed):
            continue
        claimed.append(match)  # also where the gloss has its K: the stretch is its, not another's
        mine = taken.setdefault(match.gloss, [])
        if len(mine) < k:
            mine.append(match)
    return [match for mine in taken.values() for match in mine]


def _clash(one: Match, other: Match) -> bool:
    if one.video_sha256 != other.video_sha256:
        return False
    shared = min(one.last_tick, other.last_tick) - max(one.first_tick, other.first_tick)
    if one.gloss == other.gloss:
        return shared > 0
    shorter = min(one.last_tick - one.first_tick, other.last_tick - other.first_tick)
    return shared > RULES.overlap * shorter


def _with_matches(
    edition: Gallery,
    cuts: Sequence[tuple[Match, LandmarkTrack]],
    encoders: Mapping[str, Encoder],
    *,
    keep: bool,
) -> Gallery:
    """The gallery with matches as takes; their landmarks are written to its folder if `keep`."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    takes, exemplars = list(edition.takes), dict(edition.exemplars)
    for match, track in cuts:
        take = Take(
            gloss=match.gloss,
            clip=match.video,
            first_tick=0,
            last_tick=len(track),
            estimator=track.estimator,
            enrolled_utc=now,
            landmarks=edition.keep_landmarks(track) if keep else "",
            pictures=edition.keep_pictures(track) if keep else "",
            transferred=Transfer(
                video=match.video,
                video_sha256=match.video_sha256,
                first_tick=match.first_tick,
                last_tick=match.last_tick,
                score=match.score,
            ),
        )
        for name, encoder in encoders.items():
            if name in exemplars:
                exemplars[name] = with_exemplars(exemplars[name], encoder, len(takes), take, track)
        takes.append(take)
    return replace(edition, takes=tuple(takes), exemplars=exemplars)


def _save(gallery: Path, found: Sequence[tuple[Match, LandmarkTrack]], ready: Mapping[str, Encoder]) -> None:
    edition = Gallery.load(gallery)  # the search took a while: somebody may have edited it since
    check_fit(edition, ready)
    cuts = [(match, track) for match, track in found if match.gloss in edition.glosses]
    if not cuts:
        raise GalleryError(f"the signs of {gallery} were all removed while the videos were searched")
    edition, _ = with_thresholds(_with_matches(edition, cuts, ready, keep=True), ready)
    edition.save()


def _report(
    edition: Gallery, found: Sequence[Match], nearest: Mapping[str, _Nearest], rounds: int
) -> TransferReport:
    taken: dict[str, tuple[Match, ...]] = {}
    untouched: dict[str, str] = {}
    for gloss in edition.glosses:
        mine = sorted((match for match in found if match.gloss == gloss), key=lambda one: -one.score)
        if mine:
            taken[gloss] = tuple(mine)
        else:
            near = nearest.get(gloss)
            untouched[gloss] = near.text if near is not None else "no video is as long as a window"
    return TransferReport(taken, untouched, rounds)
