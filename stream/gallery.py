"""`Gallery`: the signs that can be spotted, as a folder that is replaced atomically, and `GalleryWatcher` over its edits.

    gallery.json            signs, thresholds, where each exemplar comes from; names the exemplars' SHA-256
    exemplars.safetensors   the embedded exemplars of every encoder
    landmarks/*.safetensors the landmarks that they were made from, one unchanging file a take, named by content
    pictures/*.safetensors  the signer's crops as JPEG, only where an encoder of pictures was taught: they show faces
    clips/                  clips recorded from the live camera

`gallery.json` is what makes an edition valid: new exemplars are written beside the old ones, then the JSON is replaced,
then the exemplars take their final name. Whichever step a crash comes after, one whole edition can be loaded.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import msgspec
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from engines.crop import KeptCrop
from engines.errors import GalleryError, GalleryNotFound
from engines.landmarks import PARTS, LandmarkTrack

FORMAT = 1
INDEX = "gallery.json"
EXEMPLARS = "exemplars.safetensors"
PENDING = "exemplars.safetensors.new"
LANDMARKS = "landmarks"
PICTURES = "pictures"
CLIPS = "clips"


class Transfer(msgspec.Struct, frozen=True, kw_only=True):
    """Where a take that nobody enrolled was found: a window of continuous signing that is like the enrolled ones."""

    video: str  # file name, for people; the video itself is not needed again
    video_sha256: str  # by which windows of one video are known to overlap
    first_tick: int  # within the video, 25 Hz
    last_tick: int  # the first tick after it
    score: float  # fused cosine to the exemplars that the gallery had then


class Take(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One performance of a sign, and where it comes from."""

    gloss: str
    clip: str  # file name, for people; the clip itself is not needed again
    first_tick: int  # the sign within `landmarks`, 25 Hz
    last_tick: int  # the first tick after it
    estimator: str  # that posed the clip
    enrolled_utc: str  # ISO 8601
    landmarks: str  # file of the whole clip's landmarks, within the gallery
    transferred: Transfer | None = None  # None: enrolled
    pictures: str = (
        ""  # file of the whole clip's crops, within the gallery; "" where no encoder looked at any
    )


class Impostors(msgspec.Struct, frozen=True, kw_only=True):
    """How similar an encoder finds what is not the sign: the cohort that its cosine is normalised by."""

    mean: float
    deviation: float


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """What thresholds were calibrated to; whether they still hold, each `Sign.calibrated` tells."""

    false_alarms_per_hour: float  # of all signs together
    hours: float  # of background in which somebody is seen, less what was left out as a gloss's own
    false_alarms: int  # left in them at these thresholds
    encoders: list[str]  # in use then
    background: list[str]  # file names, for people
    calibrated_utc: str  # ISO 8601


class Sign(msgspec.Struct, frozen=True, kw_only=True):
    """One gloss: how sure a spotting of it has to be."""

    gloss: str
    threshold: float  # evidence that a spotting needs (`stream.spotting.Rivals.evidence`)
    nudge: float = 0.0  # the user's own correction of the threshold, kept when the rest is computed again
    impostors: dict[str, Impostors] = {}  # by encoder
    kin: list[str] = []  # glosses too similar to be told apart from this one
    calibrated: str = ""  # names the exemplars that the threshold was calibrated for; "": it is an estimate


class _EncoderEntry(msgspec.Struct, frozen=True, kw_only=True):
    fingerprint: str


class _Index(msgspec.Struct, frozen=True, kw_only=True):
    """`gallery.json`."""

    format: int
    exemplars_sha256: str
    encoders: dict[str, _EncoderEntry]
    signs: list[Sign]
    takes: list[Take]
    calibration: Calibration | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Exemplars:
    """The embedded exemplars of one encoder."""

    fingerprint: str  # of the encoder that made them
    vectors: NDArray[np.float32]  # (N, D), unit length
    takes: NDArray[np.int32]  # (N,) index of the take that each was made from
    ticks: NDArray[np.int32]  # (N,) how long the span is that each was cut from

    def __post_init__(self) -> None:
        count = len(self.vectors)
        if self.vectors.ndim != 2 or self.takes.shape != (count,) or self.ticks.shape != (count,):
            raise ValueError(
                f"exemplars need (N, D), (N,) and (N,), not {self.vectors.shape}, {self.takes.shape}, {self.ticks.shape}"
            )

    def same_as(self, other: Exemplars) -> bool:
        """Whether others are these, made by the same encoder."""
        return self.fingerprint == other.fingerprint and all(
            np.array_equal(mine, theirs)
            for mine, theirs in (
                (self.vectors, other.vectors),
                (self.takes, other.takes),
                (self.ticks, other.ticks),
            )
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Gallery:
    """One edition of a gallery; never changed, only replaced by another edition."""

    path: Path
    signs: tuple[Sign, ...] = ()  # one a gloss, in alphabetic order
    takes: tuple[Take, ...] = ()
    exemplars: Mapping[str, Exemplars] = field(default_factory=dict)  # by encoder
    calibration: Calibration | None = None  # None: all thresholds are estimates

    def __repr__(self) -> str:
        return (
            f"Gallery({self.path}, {len(self.signs)} signs, {len(self.takes)} takes, {list(self.exemplars)})"
        )

    @property
    def glosses(self) -> tuple[str, ...]:
        """The glosses, in alphabetic order; the order of every score array's columns."""
        return tuple(sign.gloss for sign in self.signs)

    @property
    def encoders(self) -> tuple[str, ...]:
        """Names of the encoders that the exemplars were embedded by."""
        return tuple(self.exemplars)

    def same_as(self, other: Gallery) -> bool:
        """Whether another edition has the same signs, takes, exemplars and thresholds."""
        return (
            (self.signs, self.takes, self.calibration) == (other.signs, other.takes, other.calibration)
            and self.encoders == other.encoders
            and all(one.same_as(other.exemplars[name]) for name, one in self.exemplars.items())
        )

    def landmarks(self, take: Take) -> LandmarkTrack:
        """The landmarks of the whole clip that a take is from, and its crops where they were kept.

        Raises:
            GalleryError: the file is missing or damaged.
        """
        path = self.path / take.landmarks
        try:
            tensors = load_tensors(path.read_bytes())
            width, height = (int(value) for value in tensors["size"])
            parts: dict[str, Any] = {name: tensors[name] for name in PARTS}
            crops = _crops(self.path / take.pictures, len(tensors["pose"])) if take.pictures else ()
            return LandmarkTrack(**parts, width=width, height=height, estimator=take.estimator, crops=crops)
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            raise GalleryError(
                f"{path}: the landmarks or pictures of {take.gloss!r} cannot be read ({error}): "
                "enrol the sign again"
            ) from error

    def without(self, glosses: Sequence[str]) -> Gallery:
        """The same gallery without some glosses."""
        return self.without_takes([index for index, take in enumerate(self.takes) if take.gloss in glosses])

    def without_takes(self, dropped: Sequence[int]) -> Gallery:
        """The same gallery without some takes, and without the glosses that have no other."""
        kept = [index for index in range(len(self.takes)) if index not in dropped]
        place = np.full(len(self.takes), -1, np.int32)
        place[kept] = np.arange(len(kept))
        exemplars = {}
        for name, old in self.exemplars.items():
            rows = place[old.takes] >= 0
            exemplars[name] = Exemplars(
                old.fingerprint, old.vectors[rows], place[old.takes[rows]], old.ticks[rows]
            )
        takes = tuple(self.takes[index] for index in kept)
        glosses = {take.gloss for take in takes}
        return replace(
            self,
            signs=tuple(sign for sign in self.signs if sign.gloss in glosses),
            takes=takes,
            exemplars=exemplars,
        )

    @classmethod
    def load(cls, path: Path, *, emptied: bool = False) -> Self:
        """Load the newest whole edition.

        Args:
            path: its folder.
            emptied: a gallery all of whose signs were removed is one as well.

        Raises:
            GalleryNotFound: there is no gallery at `path`, or no sign in it.
            GalleryError: it is damaged, or of a format that this version does not know.
        """
        for _ in range(3):  # an edition may be replaced between reading the one file and the other
            index = _read_index(path, emptied=emptied)
            for name in (EXEMPLARS, PENDING):
                content = _read(path / name)
                if content is not None and _sha256(content) == index.exemplars_sha256:
                    return cls(
                        path=path,
                        signs=tuple(index.signs),
                        takes=tuple(index.takes),
                        exemplars=_exemplars(path / name, content, index),
                        calibration=index.calibration,
                    )
            time.sleep(0.01)
        raise GalleryError(
            f"{path / EXEMPLARS} is damaged, or not the file that {INDEX} belongs to: "
            f"restore both, or run `signspot gallery rebuild --gallery {path}`"
        )

    @classmethod
    def load_sources(cls, path: Path) -> Self:
        """Load signs and takes without their exemplars: enough to embed them anew.

        Raises:
            GalleryNotFound: there is no gallery at `path`, or no sign in it.
            GalleryError: its index is damaged.
        """
        index = _read_index(path)
        return cls(
            path=path, signs=tuple(index.signs), takes=tuple(index.takes), calibration=index.calibration
        )

    @classmethod
    def load_or_new(cls, path: Path) -> Self:
        """Load the gallery at `path`, or begin an empty one there.

        Raises:
            GalleryError: there is one, but it is damaged.
        """
        try:
            return cls.load(path)
        except GalleryNotFound:
            return cls(path=path)

    def save(self) -> None:
        """Replace the gallery at `path` by this edition, all of it or nothing.

        Raises:
            GalleryError: the folder cannot be written.
        """
        tensors: dict[str, NDArray[np.generic]] = {}
        for name, exemplars in self.exemplars.items():
            tensors[f"{name}/vectors"] = np.ascontiguousarray(exemplars.vectors)
            tensors[f"{name}/takes"] = np.ascontiguousarray(exemplars.takes)
            tensors[f"{name}/ticks"] = np.ascontiguousarray(exemplars.ticks)
        content = save_tensors(tensors)
        index = _Index(
            format=FORMAT,
            exemplars_sha256=_sha256(content),
            encoders={
                name: _EncoderEntry(fingerprint=one.fingerprint) for name, one in self.exemplars.items()
            },
            signs=list(self.signs),
            takes=list(self.takes),
            calibration=self.calibration,
        )
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            _promote_pending(self.path)
            _write_durably(self.path / PENDING, content)
            _replace_durably(self.path / INDEX, msgspec.json.format(msgspec.json.encode(index), indent=1))
            os.replace(self.path / PENDING, self.path / EXEMPLARS)
            _sync_folder(self.path)
            self._remove_unused()
        except OSError as error:
            raise GalleryError(f"the gallery {self.path} cannot be written: {error}") from error

    def keep_landmarks(self, track: LandmarkTrack) -> str:
        """Write a clip's landmarks into the gallery's folder; returns the name for `Take.landmarks`.

        Raises:
            GalleryError: the folder cannot be written.
        """
        tensors: dict[str, NDArray[np.generic]] = {
            name: np.ascontiguousarray(getattr(track, name)) for name in PARTS
        }
        tensors["size"] = np.array([track.width, track.height], np.int32)
        return self._keep(LANDMARKS, save_tensors(tensors))

    def keep_pictures(self, track: LandmarkTrack) -> str:
        """Write a clip's crops into the gallery's folder; returns the name for `Take.pictures`, "" without any.

        Raises:
            GalleryError: the folder cannot be written.
        """
        if not track.crops:
            return ""
        jpegs = [b"" if crop is None else crop.jpeg for crop in track.crops]
        tensors: dict[str, NDArray[np.generic]] = {
            "jpegs": np.frombuffer(b"".join(jpegs), np.uint8),
            "sizes": np.array([len(jpeg) for jpeg in jpegs], np.int32),
            "mirrored": np.array([crop is not None and crop.mirrored for crop in track.crops], np.uint8),
        }
        return self._keep(PICTURES, save_tensors(tensors))

    def _keep(self, folder: str, content: bytes) -> str:
        name = f"{folder}/{_sha256(content)[:24]}.safetensors"
        try:
            (self.path / folder).mkdir(parents=True, exist_ok=True)
            _replace_durably(self.path / name, content)
        except OSError as error:
            raise GalleryError(f"the gallery {self.path} cannot be written: {error}") from error
        return name

    def _remove_unused(self) -> None:
        used = {name for take in self.takes for name in (take.landmarks, take.pictures)}
        for folder in (LANDMARKS, PICTURES):
            for file in (self.path / folder).glob("*.safetensors"):
                if f"{folder}/{file.name}" not in used:
                    file.unlink(missing_ok=True)


class GalleryWatcher:
    """Looks for new editions of the gallery in use. Not for use from two threads at once."""

    def __init__(self, path: Path, *, every_s: float = 0.5) -> None:
        """Load the gallery.

        Args:
            path: its folder.
            every_s: how often the folder is looked at, however often `poll` is called.

        Raises:
            GalleryError: there is none, or it is damaged.
        """
        self.current: Gallery = Gallery.load(path)
        self._former = self.current  # what was in use before `poll` gave the current one
        self.trouble = ""  # why the newest edit is not taken up, "" when there is nothing to say
        self._path = path
        self._every_s = every_s
        self._stamp = self._look()
        self._next_s = time.monotonic() + every_s

    def poll(self) -> Gallery | None:
        """A new whole edition, or None; a broken one leaves the current edition and sets `trouble`.

        A look may come between the steps of an edit, when the last edition is still the newest one: that is no new one.
        """
        now_s = time.monotonic()
        if now_s < self._next_s:
            return None
        self._next_s = now_s + self._every_s
        stamp = self._look()
        if stamp == self._stamp:
            return None
        self._stamp = stamp
        try:
            edition = Gallery.load(self._path, emptied=True)  # what was removed is spotted no more
        except GalleryError as error:
            self._tell(error)
            return None
        self.trouble = ""
        if edition.same_as(self.current):
            return None
        self._former, self.current = self.current, edition
        return edition

    def refuse(self, error: GalleryError) -> None:
        """Go back to the edition before, and say why: the one that `poll` has just given does not fit."""
        self.current = self._former
        self._tell(error)

    def _tell(self, error: GalleryError) -> None:
        self.trouble = f"the edited gallery is not used: {error}"

    def _look(self) -> tuple[tuple[int, int, int], ...]:
        stamps = []
        for name in (INDEX, EXEMPLARS, PENDING):
            try:
                seen = (self._path / name).stat()
                stamps.append((seen.st_ino, seen.st_size, seen.st_mtime_ns))
            except OSError:
                stamps.append((0, 0, 0))
        return tuple(stamps)


def _crops(path: Path, ticks: int) -> tuple[KeptCrop | None, ...]:
    """The kept crops of a clip, one a tick."""
    tensors = load_tensors(path.read_bytes())
    raw, ends = tensors["jpegs"].tobytes(), np.cumsum(tensors["sizes"])
    if len(ends) != ticks or ends[-1] != len(raw):
        raise ValueError(f"{path} holds other pictures than the landmarks are of")
    return tuple(
        KeptCrop(raw[end - size : end], bool(mirrored)) if size else None
        for end, size, mirrored in zip(ends, tensors["sizes"], tensors["mirrored"], strict=True)
    )


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _read_index(path: Path, *, emptied: bool = False) -> _Index:
    if not path.exists():
        raise GalleryNotFound(
            f"there is no gallery at {path}: teach a sign with `signspot enrol --gallery {path} CLIP`"
        )
    content = _read(path / INDEX)
    if content is None:
        raise GalleryNotFound(
            f"{path} holds no {INDEX}: teach a sign with `signspot enrol --gallery {path} CLIP`"
        )
    try:
        index = msgspec.json.decode(content, type=_Index)
    except msgspec.MsgspecError as error:
        raise GalleryError(
            f"{path / INDEX} is damaged: {error}; restore it, or enrol the signs again"
        ) from error
    if index.format != FORMAT:
        raise GalleryError(f"{path / INDEX} has format {index.format}, this Signspot reads format {FORMAT}")
    if not index.signs and not emptied:
        raise GalleryNotFound(
            f"the gallery {path} is empty: teach a sign with `signspot enrol --gallery {path} CLIP`"
        )
    return index


def _exemplars(path: Path, content: bytes, index: _Index) -> dict[str, Exemplars]:
    try:
        tensors = load_tensors(content)
        found = {
            name: Exemplars(
                entry.fingerprint,
                tensors[f"{name}/vectors"],
                tensors[f"{name}/takes"],
                tensors[f"{name}/ticks"],
            )
            for name, entry in index.encoders.items()
        }
    except (SafetensorError, KeyError, ValueError) as error:
        raise GalleryError(f"{path} is damaged: {error}; restore it, or enrol the signs again") from error
    for one in found.values():
        if len(one.takes) and not 0 <= one.takes.min() <= one.takes.max() < len(index.takes):
            raise GalleryError(
                f"{path} has exemplars of takes that {INDEX} does not know: enrol the signs again"
            )
    return found


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _promote_pending(path: Path) -> None:
    """Finish what a crash interrupted: exemplars that the index already names get their final name."""
    pending, index = _read(path / PENDING), _read(path / INDEX)
    if pending is not None and index is not None and _sha256(pending).encode() in index:
        os.replace(path / PENDING, path / EXEMPLARS)


def _write_durably(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _replace_durably(path: Path, content: bytes) -> None:
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        _write_durably(beside, content)
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
