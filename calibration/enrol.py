"""Teaches signs from clips: pose, trim, embed, calibrate, and put into the gallery, all signs or those that worked."""

from __future__ import annotations

import contextlib
import datetime
import multiprocessing
import queue
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from calibration.thresholds import Alike, with_thresholds
from calibration.trim import Trim, trim
from engines.encoders import DEFAULT_ENCODERS, Encoder, load_encoders
from engines.errors import ClipError, ConfigError, GalleryError, GalleryMismatch, SignspotError
from engines.landmarks import LandmarkTrack
from engines.pose.choice import HOLISTIC, open_pose
from stream.gallery import Exemplars, Gallery, Take
from stream.tracks import track_of

Progress = Callable[[str, float], None]
"""Told a gloss and the share of its clip that is done, 0..1."""


@dataclass(frozen=True, slots=True)
class Enrolled:
    """One clip that was taken in."""

    gloss: str
    clip: Path
    trim: Trim

    @property
    def first_s(self) -> float:
        """Where the sign begins in the clip, seconds."""
        return self.trim.first_tick * 0.04

    @property
    def last_s(self) -> float:
        """Where the sign ends in the clip, seconds."""
        return self.trim.last_tick * 0.04


@dataclass(frozen=True, slots=True)
class Failed:
    """One clip that no sign can be learnt from."""

    gloss: str
    clip: Path
    error: str  # names the file and says what to do


@dataclass(frozen=True, slots=True)
class EnrolReport:
    """What came of enrolling."""

    enrolled: tuple[Enrolled, ...]
    failed: tuple[Failed, ...]
    too_similar: tuple[Alike, ...]  # pairs with at least one of the newly enrolled glosses
    uncalibrated: tuple[
        str, ...
    ] = ()  # glosses whose threshold is an estimate, in a gallery that was calibrated


def named_clip(word: str) -> tuple[str, Path]:
    """`CLIP` or `GLOSS=CLIP` to gloss and path; the gloss of a bare clip is its file's stem.

    Raises:
        ConfigError: the gloss cannot be used.
    """
    gloss, equals, rest = word.partition("=")
    if equals and gloss and not Path(word).exists():
        return checked_gloss(gloss), Path(rest)
    return Path(word).stem, Path(word)


def checked_gloss(gloss: str) -> str:
    """The gloss itself.

    Raises:
        ConfigError: it cannot name a clip's file.
    """
    if "/" in gloss or not gloss.strip():
        raise ConfigError(f"a gloss cannot be empty, and cannot contain a slash: {gloss!r}")
    return gloss


def enrol_clips(
    gallery: Path,
    clips: Sequence[tuple[str, Path]],
    *,
    encoders: Sequence[str] = DEFAULT_ENCODERS,
    mirrored: bool = False,
    pose: str = HOLISTIC,
    processes: int = 2,
    progress: Progress | None = None,
) -> EnrolReport:
    """Teach signs from clips; a gloss that the gallery has gets one more exemplar.

    Args:
        gallery: its folder; made if need be. It is replaced once, when all clips are through.
        clips: gloss and clip.
        encoders: names of shipped encoders, or folders of bundles.
        mirrored: the clips were filmed by a camera that shows a mirror image.
        pose: the pose estimator.
        processes: how many clips are posed at the same time.
        progress: told how far each clip is.

    Raises:
        GalleryError: the gallery cannot be read or written.
        GalleryMismatch: it was made with other encoders.
        BundleError: an encoder cannot be loaded.
    """
    edition = Gallery.load_or_new(gallery)
    # Opened here to learn its name: what does not fit is said before the long work.
    with contextlib.closing(open_pose(pose)) as estimator:
        ready = loaded_encoders(edition, encoders, estimator.name)
    taught: list[tuple[Enrolled, LandmarkTrack]] = []
    failed: list[Failed] = []
    pictures = any(one.pictures for one in ready.values())
    for gloss, clip, result in _posed(clips, processes, pose, pictures, progress):
        if isinstance(result, str):
            failed.append(Failed(gloss, clip, result))
            continue
        track, kept = result
        taught.append((Enrolled(gloss, clip, kept), mirror_image(track) if mirrored else track))
    order = {key: index for index, key in enumerate(clips)}
    taught.sort(key=lambda one: order[one[0].gloss, one[0].clip])
    if not taught:
        return EnrolReport((), tuple(failed), ())
    edition = Gallery.load_or_new(gallery)  # posing took a while: somebody may have edited it since
    check_fit(edition, ready)
    was_calibrated = edition.calibration is not None
    edition = _with_takes(edition, taught, ready)
    edition, alike = with_thresholds(edition, ready)
    edition.save()
    fresh = {one.gloss for one, _ in taught}
    return EnrolReport(
        tuple(one for one, _ in taught),
        tuple(failed),
        tuple(pair for pair in alike if {pair.gloss, pair.other} & fresh),
        tuple(sign.gloss for sign in edition.signs if was_calibrated and not sign.calibrated),
    )


def rebuild(
    path: Path, *, encoders: Sequence[str] = DEFAULT_ENCODERS, progress: Progress | None = None
) -> tuple[Gallery, list[Alike]]:
    """Embed a gallery's landmarks and kept pictures anew, with the encoders as they are now; no clip is needed.

    Raises:
        GalleryError: the gallery or its landmarks cannot be read or written, or an encoder needs pictures that were
            not kept.
        GalleryMismatch: the landmarks were made by different pose estimators.
    """
    edition = Gallery.load_sources(path)
    estimators = sorted({take.estimator for take in edition.takes})
    if len(estimators) != 1:
        raise GalleryMismatch(
            f"the gallery {path} has landmarks of several pose estimators ({', '.join(estimators)}): "
            "enrol the signs of all but one again from their clips"
        )
    ready = loaded_encoders(edition, encoders, estimators[0])
    edition = replace(
        edition, exemplars={name: _embedded(edition, one, progress) for name, one in ready.items()}
    )
    edition, alike = with_thresholds(edition, ready)
    edition.save()
    return edition, alike


def exemplar_spans(first_tick: int, last_tick: int) -> list[tuple[int, int]]:
    """The spans of a take that become exemplars."""
    return [(first_tick, last_tick)]


def _embedded(gallery: Gallery, encoder: Encoder, progress: Progress | None) -> Exemplars:
    empty = Exemplars(
        encoder.fingerprint,
        np.zeros((0, encoder.dimension), np.float32),
        np.zeros(0, np.int32),
        np.zeros(0, np.int32),
    )
    blind = sorted({take.gloss for take in gallery.takes if encoder.pictures and not take.pictures})
    if blind:
        raise GalleryError(
            f"the gallery {gallery.path} keeps no pictures of {', '.join(blind[:5])}"
            f"{f' and {len(blind) - 5} others' if len(blind) > 5 else ''}, and {encoder.name} looks at pictures: enrol "
            f"these signs again from their clips, with --encoder {encoder.name} beside the others"
        )
    for index, take in enumerate(gallery.takes):
        empty = with_exemplars(empty, encoder, index, take, gallery.landmarks(take))
        if progress is not None:
            progress(take.gloss, 1.0)
    return empty


def with_exemplars(
    exemplars: Exemplars, encoder: Encoder, index: int, take: Take, track: LandmarkTrack
) -> Exemplars:
    """One encoder's exemplars and those of one more take.

    Args:
        exemplars: that the encoder has made so far.
        encoder: embeds the take.
        index: of the take among the gallery's.
        take: says where the sign is in `track`.
        track: the take's landmarks.
    """
    spans = exemplar_spans(take.first_tick, take.last_tick)
    begin = min(first for first, _ in spans)
    ticks = np.stack([encoder.prepare(track.at(tick)) for tick in range(begin, take.last_tick)])
    vectors = encoder.embed([ticks[first - begin : last - begin] for first, last in spans])
    return Exemplars(
        exemplars.fingerprint,
        np.concatenate([exemplars.vectors, vectors]),
        np.concatenate([exemplars.takes, np.full(len(spans), index, np.int32)]),
        np.concatenate([exemplars.ticks, np.array([last - first for first, last in spans], np.int32)]),
    )


def _with_takes(
    edition: Gallery, taught: Sequence[tuple[Enrolled, LandmarkTrack]], encoders: Mapping[str, Encoder]
) -> Gallery:
    """The gallery with more takes; a clip that is enrolled again takes the place of its old take."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    kept = [edition.keep_landmarks(track) for _, track in taught]  # named by their content
    again = {(one.gloss, name) for (one, _), name in zip(taught, kept, strict=True)}
    stale = [index for index, take in enumerate(edition.takes) if (take.gloss, take.landmarks) in again]
    edition = edition.without_takes(stale) if stale else edition
    exemplars = dict(edition.exemplars)
    for name, encoder in encoders.items():
        if name not in exemplars:  # an encoder that is new to the gallery has to learn the old signs too
            exemplars[name] = _embedded(edition, encoder, None)
    shown = [edition.keep_pictures(track) for _, track in taught]
    takes = list(edition.takes)
    for (one, track), landmarks, pictures in zip(taught, kept, shown, strict=True):
        take = Take(
            gloss=one.gloss,
            clip=one.clip.name,
            first_tick=one.trim.first_tick,
            last_tick=one.trim.last_tick,
            estimator=track.estimator,
            enrolled_utc=now,
            landmarks=landmarks,
            pictures=pictures,
        )
        for name, encoder in encoders.items():
            exemplars[name] = with_exemplars(exemplars[name], encoder, len(takes), take, track)
        takes.append(take)
    return replace(edition, takes=tuple(takes), exemplars=exemplars)


def loaded_encoders(edition: Gallery, names: Sequence[str], estimator: str) -> dict[str, Encoder]:
    """The encoders by name, fit for the gallery.

    Args:
        edition: the gallery.
        names: of shipped encoders, or folders of bundles.
        estimator: name of the pose estimator that makes the landmarks.

    Raises:
        BundleError: an encoder cannot be loaded.
        GalleryMismatch: the gallery's exemplars were made by others.
    """
    ready: dict[str, Encoder] = {one.name: one for one in load_encoders(names, estimator=estimator)}
    check_fit(edition, ready)
    return ready


def check_fit(edition: Gallery, encoders: Mapping[str, Encoder]) -> None:
    """Refuse encoders that did not make the gallery's exemplars.

    Raises:
        GalleryMismatch: one of them did not.
    """
    for name, encoder in encoders.items():
        known = edition.exemplars.get(name)
        if known is not None and known.fingerprint != encoder.fingerprint:
            raise GalleryMismatch(
                f"the gallery {edition.path} was made with another {name} encoder: "
                f"run `signspot gallery rebuild --gallery {edition.path}` first (it needs no clips)"
            )


# -- posing, several clips at a time ---------------------------------------------------------------------------


def _posed(
    clips: Sequence[tuple[str, Path]], processes: int, pose: str, pictures: bool, progress: Progress | None
) -> Iterator[tuple[str, Path, tuple[LandmarkTrack, Trim] | str]]:
    """Landmarks and trim of each clip, or why there are none, in the order in which they are done."""
    if processes <= 1 or len(clips) == 1:
        for gloss, clip in clips:
            _start_worker(pose, pictures, None)
            told = (lambda share, gloss=gloss: progress(gloss, share)) if progress is not None else None
            yield gloss, clip, _pose(clip, told)
        return
    context = multiprocessing.get_context(
        "spawn"
    )  # a fork would inherit the threads of mediapipe and ONNX Runtime
    told_queue = context.Queue() if progress is not None else None
    count = min(processes, len(clips))
    with ProcessPoolExecutor(count, context, _start_worker, (pose, pictures, told_queue)) as pool:
        waiting: dict[Future[Any], tuple[str, Path]] = {
            pool.submit(_pose_and_tell, number, clip): (gloss, clip)
            for number, (gloss, clip) in enumerate(clips)
        }
        while waiting:
            done, _ = wait(waiting, timeout=0.1, return_when="FIRST_COMPLETED")
            with contextlib.suppress(queue.Empty):
                while progress is not None and told_queue is not None:
                    number, share = told_queue.get_nowait()
                    progress(clips[number][0], share)
            for future in done:
                gloss, clip = waiting.pop(future)
                try:
                    yield gloss, clip, future.result()
                except BrokenProcessPool:
                    yield (
                        gloss,
                        clip,
                        f"{clip}: the process that posed it died (out of memory?): enrol it again",
                    )


_worker: dict[str, Any] = {}
"""What a worker process keeps from clip to clip: its pose estimator, and the queue to tell progress by."""


def _start_worker(pose: str, pictures: bool, told: Any) -> None:
    if multiprocessing.parent_process() is not None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    if _worker.get("pose") != pose:
        # One process a core works on clips already, so a network gets one thread.
        _worker.update(pose=pose, estimator=open_pose(pose, threads=1))
    _worker.update(told=told, pictures=pictures)
    if told is not None:
        told.cancel_join_thread()  # a worker that is done waits for nobody to read what it told


def _pose_and_tell(number: int, clip: Path) -> tuple[LandmarkTrack, Trim] | str:
    told = _worker["told"]
    return _pose(clip, None if told is None else lambda share: told.put((number, share)))


def _pose(clip: Path, progress: Callable[[float], None] | None) -> tuple[LandmarkTrack, Trim] | str:
    try:
        track = track_of(
            clip, estimator=_worker["estimator"], pictures=_worker["pictures"], progress=progress
        )
        return track, trim(track)
    except ClipError as error:
        return f"{clip}: {error}"
    except SignspotError as error:
        return str(error)
    finally:
        if progress is not None:
            progress(1.0)


_SIDES = ((1, 4), (2, 5), (3, 6), (7, 8), (9, 10), *((left, left + 1) for left in range(11, 33, 2)))
"""Left and right landmarks of MediaPipe's pose."""


def mirror_image(track: LandmarkTrack) -> LandmarkTrack:
    """The track as a camera that does not mirror would have seen it."""
    order = np.arange(33)
    for left, right in _SIDES:
        order[[left, right]] = right, left
    flipped: dict[str, Any] = {
        "pose": track.pose[:, order],
        "left_hand": track.right_hand,
        "right_hand": track.left_hand,
        "pose_world": track.pose_world[:, order],
        "left_hand_world": track.right_hand_world,
        "right_hand_world": track.left_hand_world,
    }
    for name, part in flipped.items():
        part = part.copy()
        part[..., 0] = -part[..., 0] if name.endswith("world") else 1 - part[..., 0]
        flipped[name] = part
    flipped["crops"] = tuple(None if crop is None else crop.turned() for crop in track.crops)
    return replace(track, **flipped)
