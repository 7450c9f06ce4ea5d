"""Landmark data sets for training and measuring, brought to the skeleton of `engines.skeleton`.

WLASL's hands come in order of detection, without sides and without a body: hands are linked over time and given
a side, and nose and shoulders are put where the person's box says.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calibration.trim import trim_hands
from engines import joints
from engines.errors import SignspotError
from engines.features import KEYPOINTS, Features
from engines.skeleton import (
    HAND_LANDMARKS,
    JOINTS,
    LEFT_HAND,
    LEFT_SHOULDER,
    NOSE,
    RIGHT_HAND,
    RIGHT_SHOULDER,
)

Array = NDArray[np.float32]

DEV_GLOSSES = 200
ABSENT = -32768
BOX_CONFIDENCE = 0.5
"""Confidence of a nose and shoulders that were guessed from a box or a face rather than seen."""

PALM_TO_SHOULDERS = (
    1 / 0.125
)  # shoulder width over palm size (95th percentile of a clip), median of 101 Holistic tracks
NOSE_ABOVE_SHOULDERS = 0.59  # in shoulder widths, the same tracks
NOSE_BELOW_TOP = 0.45  # nose below the top of the person's box, in shoulder widths


class CorpusMissing(SignspotError):
    """A data set that training or measuring needs is not there."""


@dataclass(frozen=True, slots=True)
class Corpus:
    """Clips of single signs as tracks of features, all in one array."""

    points: Array  # (N, rows, 3) prepared ticks: keypoints (27 rows) or moments (48); NaN absent
    offsets: NDArray[np.int64]  # (clips + 1,) into points
    spans: NDArray[np.int64]  # (clips, 2) first and one past the last frame with the hands up
    gloss: NDArray[np.int64]  # (clips,) index into glosses; -1 for background
    signer: NDArray[np.int64]  # (clips,)
    form: NDArray[np.int64]  # (clips,) which form of its sign, where a gloss has several
    glosses: tuple[str, ...]
    features: str = KEYPOINTS.name  # which features the ticks hold

    def __len__(self) -> int:
        return len(self.gloss)

    @property
    def digest(self) -> str:
        """SHA-256 of everything that is trained on."""
        found = hashlib.sha256("\n".join((self.features, *self.glosses)).encode())
        for part in (self.points, self.offsets, self.spans, self.gloss, self.form):
            found.update(part.tobytes())
        return found.hexdigest()

    def clip(self, index: int) -> Array:
        """The whole track (T, rows, 3) of one clip."""
        return self.points[self.offsets[index] : self.offsets[index + 1]]

    def sign(self, index: int) -> Array:
        """The track of one clip from hands up to hands down."""
        first, last = self.spans[index]
        return self.clip(index)[first:last]

    def subset(self, keep: NDArray[np.bool_]) -> Corpus:
        """The clips where `keep` (clips,) is true; glosses keep their numbers."""
        which = np.flatnonzero(keep)
        points = [self.clip(i) for i in which]
        offsets = np.concatenate([[0], np.cumsum([len(p) for p in points])]).astype(np.int64)
        return Corpus(
            np.concatenate(points) if points else self.points[:0],
            offsets,
            self.spans[which],
            self.gloss[which],
            self.signer[which],
            self.form[which],
            self.glosses,
            self.features,
        )

    def joined(self, other: Corpus) -> Corpus:
        """These clips and then those of another corpus of the same features; its glosses and signers are others.

        Raises:
            ValueError: the other one has other features.
        """
        if other.features != self.features:
            raise ValueError(f"clips of {other.features} cannot join clips of {self.features}")
        return Corpus(
            np.concatenate([self.points, other.points]),
            np.concatenate([self.offsets, self.offsets[-1] + other.offsets[1:]]),
            np.concatenate([self.spans, other.spans]),
            np.concatenate([self.gloss, np.where(other.gloss < 0, -1, len(self.glosses) + other.gloss)]),
            np.concatenate([self.signer, self.signer.max(initial=-1) + 1 + other.signer]),
            np.concatenate([self.form, other.form]),
            self.glosses + other.glosses,
            self.features,
        )


def dev_glosses(names: Sequence[str], count: int = DEV_GLOSSES) -> set[str]:
    """The glosses that are never trained on: those whose SHA-1 (of the gloss, UTF-8) is lowest."""
    return set(sorted(names, key=lambda name: hashlib.sha1(name.encode()).hexdigest())[:count])  # noqa: S324


def read_wlasl(path: Path, features: Features = KEYPOINTS) -> Corpus:
    """`wlasl_hands.npz`, or any file in its form.

    Args:
        path: the file.
        features: what to make of the landmarks.

    Raises:
        CorpusMissing: there is no such file.
    """
    data = _load(path)
    raw, offsets = data["landmarks"], data["offsets"].astype(np.int64)
    size = data["frame_wh"].astype(np.float32)
    points = np.full((len(raw), features.rows, 3), np.nan, np.float32)
    spans = np.zeros((len(offsets) - 1, 2), np.int64)
    for i in range(len(spans)):
        hands = raw[offsets[i] : offsets[i + 1]].astype(np.float32)
        hands[hands[:, :, 0, 0] == ABSENT] = np.nan
        aspect = size[i, 0] / size[i, 1]
        hands = hands / np.float32(16384) * np.array([aspect, 1, aspect], np.float32)
        box = data["bbox"][i].astype(np.float32) / size[i, 1]
        track = np.full((len(hands), JOINTS, 3), np.nan, np.float32)
        sided = sided_hands(hands, float(box[0] + box[2]) / 2)
        put_hands(track, sided[..., :2])
        put_body(track, box)
        spans[i] = trim_hands(track)
        points[offsets[i] : offsets[i + 1]] = _as_features(track, sided, features)
    names = tuple(str(name) for name in data["gloss_names"])
    gloss, signer = data["gloss"].astype(np.int64), data["signer"].astype(np.int64)
    form = data["variation"].astype(np.int64) if "variation" in data else np.zeros_like(gloss)
    return Corpus(points, offsets, spans, gloss, signer, form, names, features.name)


def _as_features(track: Array, hands: Array, features: Features) -> Array:
    """Keypoints (T, 27, 3) and the hands (T, 2, 21, 3) that they are of, as what the features make of them."""
    if features is KEYPOINTS:
        return track
    moments = np.full((len(track), features.rows, 3), np.nan, np.float32)
    moments[:, joints.NOSE : joints.RIGHT_SHOULDER + 1] = track[:, NOSE : RIGHT_SHOULDER + 1]
    joints.fill_hands(hands.astype(np.float64), moments)
    return moments


def put_hands(track: Array, hands: Array) -> None:
    """Write hands (T, 2, 21, 2), left first, into a track (T, 27, 3)."""
    for side, first in ((0, LEFT_HAND), (1, RIGHT_HAND)):
        track[:, first : first + 10, :2] = hands[:, side][:, HAND_LANDMARKS]
        track[:, first : first + 10, 2] = np.where(np.isnan(hands[:, side, :1, 0]), np.nan, 1.0)


def put_body(track: Array, box: Array) -> None:
    """Guess nose and shoulders from the person's box (x0, y0, x1, y1 in frame heights) and the size of the hands."""
    shoulders = _shoulders(track)
    put_shoulders(track, float(box[0] + box[2]) / 2, float(box[1]) + NOSE_BELOW_TOP * shoulders, shoulders)


def put_shoulders(track: Array, x: float, nose: float, shoulders: float) -> None:
    """Write a nose at (x, nose) and shoulders of that width below it into a track; nothing if the width is 0."""
    if shoulders > 0:
        below = nose + NOSE_ABOVE_SHOULDERS * shoulders
        track[:, NOSE] = (x, nose, BOX_CONFIDENCE)
        track[:, LEFT_SHOULDER] = (x + shoulders / 2, below, BOX_CONFIDENCE)
        track[:, RIGHT_SHOULDER] = (x - shoulders / 2, below, BOX_CONFIDENCE)


def _shoulders(track: Array) -> float:
    """Shoulder width that the size of the hands suggests, 0 without hands."""
    palms = []
    for first in (LEFT_HAND, RIGHT_HAND):
        palm = track[:, [first, first + 2, first + 4, first + 6, first + 8], :2]
        palm = palm[~np.isnan(palm[:, 0, 0])]
        palms.append(np.sqrt(((palm - palm.mean(1, keepdims=True)) ** 2).sum(-1).mean(1)))
    sizes = np.concatenate(palms)
    return float(np.percentile(sizes, 95)) * PALM_TO_SHOULDERS if len(sizes) else 0.0


def is_dgs30(path: Path) -> bool:
    """Whether a file has the form of `dgs30_hands.npz` rather than that of `wlasl_hands.npz`.

    Raises:
        CorpusMissing: there is no such file.
    """
    if not path.exists():
        raise CorpusMissing(f"there is no data set {path}")
    with np.load(path) as data:
        return "label" in data.files


def read_dgs30(path: Path, features: Features = KEYPOINTS) -> Corpus:
    """`dgs30_hands.npz`: hands and the face's place; the size of the hands gives the shoulders."""
    data = _load(path)
    raw = data["frames"].astype(np.float32)
    raw[raw == ABSENT] = np.nan
    raw *= np.float32(data["scale"])
    hands = raw[:, 2:].reshape(len(raw), 2, 21, 3)
    glosses, label = np.unique(data["label"], return_inverse=True)
    face = raw[:, :2]
    return _from_hands(hands, data["offsets"], label, tuple(str(g) for g in glosses), face, features)


def read_dgs_unknown(path: Path) -> Corpus:
    """`dgs_unknown_hands2d.npz`: hands of signing without any of the 30 signs; all background."""
    data = _load(path)
    raw = data["frames"].astype(np.float32)
    raw[raw == ABSENT] = np.nan
    raw *= np.float32(data["scale"])
    hands = raw[:, 2:].reshape(len(raw), 2, 21, 2)
    label = np.full(len(data["offsets"]) - 1, -1)
    return _from_hands(hands, data["offsets"], label, (), raw[:, :2], KEYPOINTS)


def _load(path: Path) -> dict[str, NDArray[np.generic]]:
    if not path.exists():
        raise CorpusMissing(
            f"there is no data set {path}: training takes the folder that holds it with --data, evaluation the file itself"
        )
    with np.load(path) as data:
        return {name: data[name] for name in data.files}


def _from_hands(
    hands: Array,
    offsets: NDArray[np.generic],
    label: NDArray[np.generic],
    glosses: tuple[str, ...],
    face: Array,
    features: Features,
) -> Corpus:
    bounds = offsets.astype(np.int64)
    points = np.full((len(hands), features.rows, 3), np.nan, np.float32)
    spans = np.zeros((len(label), 2), np.int64)
    for i in range(len(label)):
        track = np.full((int(bounds[i + 1] - bounds[i]), JOINTS, 3), np.nan, np.float32)
        here = face[bounds[i] : bounds[i + 1]]
        here = here[~np.isnan(here[:, 0])]
        middle = np.median(here, 0).astype(np.float32) if len(here) else None
        found = sided_hands(hands[bounds[i] : bounds[i + 1]], None if middle is None else float(middle[0]))
        put_hands(track, found[..., :2])
        if middle is not None:
            put_shoulders(track, float(middle[0]), float(middle[1]), _shoulders(track))
        spans[i] = trim_hands(track)
        points[bounds[i] : bounds[i + 1]] = _as_features(track, found, features)
    gloss = label.astype(np.int64)
    return Corpus(
        points, bounds, spans, gloss, np.arange(len(gloss)), np.zeros_like(gloss), glosses, features.name
    )


def sided_hands(hands: Array, middle: float | None) -> Array:
    """Detections in any order as the signer's left and right hand.

    Two hands are told apart by their place. One alone is taken for the side that its shape and its place
    beside the middle of the body suggest (over WLASL's one-handed clips the two agree in 9 of 10).

    Args:
        hands: (T, 2, 21, 2 or 3) detections, NaN absent.
        middle: x of the body, None if unknown.

    Returns:
        The same shape, left first.
    """
    linked, both = _linked(hands)
    if both < 3:
        seen = (~np.isnan(linked[:, :, 0, 0])).sum(0)
        side = int(seen[1] >= seen[0])
        hand = linked[:, side]
        if seen[side]:
            score = np.tanh(3 * _chirality(hand))
            if middle is not None:
                score -= np.clip((np.nanmean(hand[:, 0, 0]) - middle) / 0.1, -1, 1)
            if (score >= 0) != (side == 1):
                linked = linked[:, ::-1].copy()
    return linked


def _linked(hands: Array) -> tuple[Array, int]:
    """Detections as two tracks, the signer's left first; and in how many frames both are seen.

    Where two hands are seen the one further left in the picture is the signer's right, unless continuity with
    the last frames says otherwise (crossed arms).
    """
    out = np.full_like(hands, np.nan)
    last: list[Array | None] = [None, None]
    both = 0
    seen = ~np.isnan(hands[:, :, 0, 0])
    centre = hands[..., :2].mean(2)
    pairs = np.flatnonzero(seen.all(1))
    if len(pairs):
        first = pairs[0]
        order = (0, 1) if centre[first, 0, 0] > centre[first, 1, 0] else (1, 0)
        last = [centre[first, order[0]], centre[first, order[1]]]
    for t in range(len(hands)):
        present = np.flatnonzero(seen[t])
        if len(present) == 2:
            both += 1
            a, b = last
            straight = _far(centre[t, 0], a) + _far(centre[t, 1], b)
            crossed = _far(centre[t, 1], a) + _far(centre[t, 0], b)
            tilt = 0.3 * float(centre[t, 0, 0] - centre[t, 1, 0])
            order = (0, 1) if straight - tilt <= crossed + tilt else (1, 0)
            for side in (0, 1):
                out[t, side] = hands[t, order[side]]
                last[side] = centre[t, order[side]]
        elif len(present) == 1:
            slot = int(present[0])
            side = (
                1 if not len(pairs) else int(_far(centre[t, slot], last[1]) <= _far(centre[t, slot], last[0]))
            )
            out[t, side] = hands[t, slot]
            last[side] = centre[t, slot]
    return out, both


def _far(a: Array, b: Array | None) -> float:
    return 0.0 if b is None else float(np.hypot(*(a - b)))


def _chirality(hand: Array) -> float:
    """Above 0 where a track (T, 21, 3) looks like a right hand: fingers and thumb bend towards the palm."""
    hand = hand[~np.isnan(hand[:, 0, 0])]
    if len(hand) < 3 or hand.shape[-1] < 3:
        return 0.0
    normal = np.cross(hand[:, 5] - hand[:, 0], hand[:, 17] - hand[:, 0])
    bend = hand[:, [8, 12, 16, 20]].mean(1) - hand[:, [5, 9, 13, 17]].mean(1)
    thumb = hand[:, 4] - hand[:, [1, 5]].mean(1)
    size = np.linalg.norm(hand[:, 9] - hand[:, 0], axis=1) ** 3 + 1e-9
    return float(np.median((normal * (bend + thumb)).sum(-1) / size))
