"""The challenge's one-shot track from its data to its score: trim, train if asked to, embed, fuse, Top-K transfer.

The method of the track's runner-up (see `Vázquez-Enríquez et al., "ECCV 2022 Sign Spotting Challenge: Dataset, Design and
Results"`): each sign's clip is trimmed to hands-up..hands-down; windows of the continuous videos are compared with it, for
each encoder alone and fused; of a sign that is known to occur in a video the best window is the answer; then the K = 5
best answers of each sign, over all videos, join its exemplars, once, and everything is answered again; what was taken from
a video has no say in that video, where it would only confirm itself. Windows, fusion and the refined begin and end are
the live path's.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from calibration.corpus.landmarks import NotLandmarks, read_track, save_track
from calibration.enrol import enrol_clips, loaded_encoders, with_exemplars
from calibration.evaluation.closed import Counts, answer_all, count
from calibration.evaluation.oslwl import Annotated, Challenge
from calibration.evaluation.playing import WindowScores
from calibration.evaluation.spotting import Sign
from calibration.signing import fingerprint_of
from calibration.transfer import K
from engines.encoders import DEFAULT_ENCODERS, Encoder
from engines.errors import ConfigError, MissingExtra
from engines.landmarks import LandmarkTrack
from engines.pose.base import PoseEstimator
from engines.pose.choice import HOLISTIC, open_pose
from engines.ticks import TICK_HZ
from stream.clock import Tick
from stream.gallery import Gallery, Take, Transfer
from stream.hands import Hands
from stream.stages import SpottingStage
from stream.tracks import FULL_QUALITY, track_of

Progress = Callable[[str, float], None]
"""Told what is worked on, and the share of it that is done, 0..1."""
Answers = Mapping[str, Mapping[str, Sign]]
"""Video -> sign -> where it is said to be."""


@dataclass(frozen=True, slots=True)
class Video:
    """One continuous video, posed, and what is signed in it."""

    name: str  # the ground truth's
    sha256: str
    track: LandmarkTrack
    signs: tuple[Sign, ...]


@dataclass(frozen=True, slots=True)
class Searched:
    """Scores of each step, and the answers of the last."""

    encoders: Mapping[str, Counts]  # each encoder alone
    fused: Counts
    transferred: Counts  # after Top-K transfer
    taken: Mapping[str, int]  # sign -> matches that became exemplars
    answers: Answers


@dataclass(frozen=True, slots=True)
class Training:
    """What encoders are trained on before they are used."""

    split: Annotated
    steps: int
    wlasl: Path | None = None  # `wlasl_hands.npz`, to train on as well

    def figures(self) -> dict[str, object]:
        """What it is, for JSON."""
        signs = sum(len(found) for found in self.split.truth.values())
        wlasl = str(self.wlasl) if self.wlasl else None
        return {"videos": len(self.split.videos), "signs": signs, "steps": self.steps, "wlasl": wlasl}


@dataclass(frozen=True, slots=True)
class Reproduced:
    """What came of the track."""

    searched: Searched
    failed: Mapping[str, str]  # sign -> why its clip could not be enrolled; it has no answer
    training: Training | None = None  # what the encoders were trained on first

    def figures(self) -> dict[str, object]:
        """The figures by name, for JSON."""
        found = self.searched
        steps = {"fused": found.fused, "top_k": found.transferred}
        return {
            "videos": len(found.answers),
            "encoders": {name: _figures(counts) for name, counts in found.encoders.items()},
            **{name: _figures(counts) for name, counts in steps.items()},
            "taken": dict(found.taken),
            "failed": dict(self.failed),
            "trained": self.training.figures() if self.training else None,
        }


def _figures(counts: Counts) -> dict[str, float]:
    found = {"f1": counts.f1, "precision": counts.precision, "recall": counts.recall}
    return {name: round(value, 4) for name, value in found.items()}


def trained(
    training: Training,
    challenge: Challenge,
    out: Path,
    *,
    pose: str = HOLISTIC,
    progress: Progress | None = None,
) -> list[str]:
    """Train the encoder of each modality on annotated videos; a command that was stopped goes on.

    Args:
        training: on what.
        challenge: what is searched afterwards, and must not be trained on.
        out: folder for landmarks, runs and bundles.
        pose: the pose estimator.
        progress: told how far the work is.

    Returns:
        The bundles' folders.

    Raises:
        ConfigError: there is too little to train on, a video is of what is searched, or `out` cannot be made or holds a run on
            something else.
        MissingExtra: PyTorch is not installed.
        SourceError: a video cannot be read.
    """
    try:  # here, since it imports torch
        from calibration.training.annotated import Signed, train_encoders
    except ImportError as error:
        raise MissingExtra(f"training needs PyTorch ({error}): pip install 'signspot[train]'") from error
    if training.steps < 1:
        raise ConfigError(f"--train-steps {training.steps}: a network is trained for at least one step")
    asked = {fingerprint_of(path) for path in challenge.videos.values()}
    videos = training.split.videos
    digests = {name: fingerprint_of(path) for name, path in videos.items()}
    for name, digest in digests.items():
        if digest in asked:
            raise ConfigError(
                f"{videos[name]} is to be searched: what is trained on it would know the answers"
            )
    told = progress or (lambda what, share: None)
    cache = _landmarks_folder(out)
    signed = []
    with contextlib.closing(open_pose(pose)) as estimator:
        for number, (name, path) in enumerate(videos.items()):
            told(f"posing {name}", number / len(videos))
            track = _posed(path, digests[name], estimator, cache, pictures=False)
            signed.append(Signed(track, training.split.truth[name]))
    folders = train_encoders(
        signed, out / "trained", steps=training.steps, wlasl=training.wlasl, progress=told
    )
    return [str(folder) for folder in folders]


def _landmarks_folder(out: Path) -> Path:
    cache = out / "landmarks"
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--out {out} cannot be made: {error.strerror or error}") from error
    return cache


def reproduce(
    challenge: Challenge,
    out: Path,
    *,
    encoders: Sequence[str] = DEFAULT_ENCODERS,
    pose: str = HOLISTIC,
    k: int = K,
    progress: Progress | None = None,
) -> Reproduced:
    """Answer and score the track.

    Args:
        challenge: the data.
        out: folder for landmarks, which are made once: the same command goes on where it was stopped.
        encoders: names of shipped encoders, or folders of bundles.
        pose: the pose estimator.
        k: matches of each sign that become exemplars, at most.
        progress: told how far the work is.

    Raises:
        ConfigError: k is out of range, `out` cannot be made, or no sign's clip shows a sign.
        BundleError: an encoder cannot be loaded.
        SourceError: a video cannot be read.
    """
    if not 1 <= k <= 100:
        raise ConfigError(f"--k {k}: take 1 to 100 matches of each sign; {K} is the challenge entry's")
    told = progress or (lambda what, share: None)
    cache = _landmarks_folder(out)
    with tempfile.TemporaryDirectory(prefix="gallery-", dir=out) as scratch:
        clips = list(challenge.queries.items())
        report = enrol_clips(
            Path(scratch) / "gallery",
            clips,
            encoders=encoders,
            pose=pose,
            progress=lambda sign, share: told(f"trimming and embedding {sign}", share),
        )
        failed = {one.gloss: one.error for one in report.failed}
        if not report.enrolled:
            raise ConfigError(f"none of the signs' clips could be enrolled: {next(iter(failed.values()))}")
        gallery = Gallery.load(Path(scratch) / "gallery")
        with contextlib.closing(open_pose(pose)) as estimator:
            ready = loaded_encoders(gallery, encoders, estimator.name)
            videos = []
            pictures = any(one.pictures for one in ready.values())
            for number, (name, path) in enumerate(challenge.videos.items()):
                told(f"posing {name}", number / len(challenge.videos))
                digest = fingerprint_of(path)
                track = _posed(path, digest, estimator, None if pictures else cache, pictures=pictures)
                videos.append(Video(name, digest, track, challenge.truth[name]))
        return Reproduced(search(gallery, ready, videos, k=k, progress=told), failed)


def search(
    gallery: Gallery,
    encoders: Mapping[str, Encoder],
    videos: Sequence[Video],
    *,
    k: int = K,
    progress: Progress | None = None,
) -> Searched:
    """Answer and score posed videos: by each encoder alone, by all fused, and after Top-K transfer.

    Args:
        gallery: the signs. It is not changed, but matches' landmarks are left in its folder.
        encoders: by name.
        videos: of each is known which signs occur in it.
        k: matches of each sign that become exemplars, at most.
        progress: told how far the work is.

    Raises:
        GalleryMismatch: gallery and encoders do not fit.
        GalleryError: the gallery's folder cannot be written.
    """
    told = progress or (lambda what, share: None)
    every = list(encoders.values())
    alone = {
        name: _score(_answered(gallery, [encoder], videos, told)[0], videos)
        for name, encoder in encoders.items()
    }
    fused, best = _answered(gallery, every, videos, told)
    richer, taken = _with_best(gallery, encoders, videos, fused, best, k)
    final, _ = _answered(richer, every, videos, told)
    return Searched(alone, _score(fused, videos), _score(final, videos), taken, final)


def _posed(
    path: Path, digest: str, estimator: PoseEstimator, cache: Path | None, *, pictures: bool
) -> LandmarkTrack:
    """Landmarks of a video, from an earlier run where there are any; the file's name keeps the first tick.

    Pictures are of no earlier run: the cache holds landmarks alone.
    """
    if cache is None:
        estimator.reset()
        return track_of(path, estimator=estimator, pictures=pictures)
    stem = f"{estimator.name}-{digest[:32]}-from-"
    for kept in sorted(cache.glob(f"{stem}*.npz")):
        with contextlib.suppress(NotLandmarks, ValueError):
            return replace(read_track(kept), start_s=int(kept.stem.removeprefix(stem)) / TICK_HZ)
    estimator.reset()
    track = track_of(path, estimator=estimator)
    handle, fresh = tempfile.mkstemp(suffix=".npz", dir=cache)
    os.close(handle)
    save_track(Path(fresh), track)
    Path(fresh).replace(cache / f"{stem}{_first_tick(track)}.npz")
    return track


def _first_tick(track: LandmarkTrack) -> int:
    return round(track.start_s * TICK_HZ)


def _score(answers: Answers, videos: Sequence[Video]) -> Counts:
    total = Counts()
    for video in videos:
        total += count(answers[video.name], video.signs)
    return total


def _answered(
    gallery: Gallery, encoders: Sequence[Encoder], videos: Sequence[Video], told: Progress
) -> tuple[Answers, dict[tuple[str, str], tuple[float, int, int]]]:
    """Answers, and of each video and sign the best window: its evidence, first tick and the first tick after it."""
    answers: dict[str, Mapping[str, Sign]] = {}
    best: dict[tuple[str, str], tuple[float, int, int]] = {}
    for number, video in enumerate(videos):
        told("searching with " + " + ".join(encoder.name for encoder in encoders), number / len(videos))
        own = [index for index, take in enumerate(gallery.takes) if _from(take, video)]
        windows = _windows(video.track, gallery.without_takes(own) if own else gallery, encoders)
        answers[video.name] = answer_all(windows, gallery.glosses, video.signs)
        for gloss in answers[video.name]:
            column = windows.excess[:, gallery.glosses.index(gloss)]
            row = int(column.argmax())
            first, last = (int(tick) for tick in windows.spans[row])
            best[video.name, gloss] = float(column[row]), first, last + 1
    return answers, best


def _from(take: Take, video: Video) -> bool:
    return take.transferred is not None and take.transferred.video_sha256 == video.sha256


def _windows(track: LandmarkTrack, gallery: Gallery, encoders: Sequence[Encoder]) -> WindowScores:
    """What the windows of a track have to say of the gallery's signs; ticks count from the video's begin."""
    stage = SpottingStage(encoders, gallery)
    offset = _first_tick(track)
    spans: list[tuple[int, int]] = []
    excess = [np.zeros((0, len(gallery.signs)), np.float32)]
    hands = Hands(kept=None)
    for index in range(len(track)):
        tick = Tick(
            index=offset + index,
            segment=0,
            landmarks=track.at(index),
            interpolated=False,
            lost=False,
            captured_ns=0,
        )
        hands.push(tick.index, tick.landmarks)
        scores = stage.push(tick, FULL_QUALITY).scores
        if scores is not None and stage.spotter is not None:
            spans += scores.spans
            excess.append(stage.spotter.excess(scores))
    return WindowScores(np.array(spans, np.int64).reshape(-1, 2), np.concatenate(excess), hands)


def _with_best(
    gallery: Gallery,
    encoders: Mapping[str, Encoder],
    videos: Sequence[Video],
    answers: Answers,
    best: Mapping[tuple[str, str], tuple[float, int, int]],
    k: int,
) -> tuple[Gallery, dict[str, int]]:
    """The gallery with the K best answers of each sign, one a video, beside the enrolled exemplar."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    by_name = {video.name: video for video in videos}
    takes, exemplars = list(gallery.takes), dict(gallery.exemplars)
    taken: dict[str, int] = {}
    for gloss in gallery.glosses:
        named = [name for name, found in answers.items() if gloss in found]
        chosen = sorted(named, key=lambda name: (-best[name, gloss][0], name))[:k]
        taken[gloss] = len(chosen)
        for name in chosen:
            video, (evidence, first, last) = by_name[name], best[name, gloss]
            offset = _first_tick(video.track)
            track = video.track.cut(first - offset, last - offset)
            take = Take(
                gloss=gloss,
                clip=name,
                first_tick=0,
                last_tick=len(track),
                estimator=track.estimator,
                enrolled_utc=now,
                landmarks=gallery.keep_landmarks(track),
                pictures=gallery.keep_pictures(track),
                transferred=Transfer(
                    video=name, video_sha256=video.sha256, first_tick=first, last_tick=last, score=evidence
                ),
            )
            for key, encoder in encoders.items():
                exemplars[key] = with_exemplars(exemplars[key], encoder, len(takes), take, track)
            takes.append(take)
    # What cosines are normalised by stays as it was enrolled: an answer hangs on the exemplars alone.
    return replace(gallery, takes=tuple(takes), exemplars=exemplars), taken
