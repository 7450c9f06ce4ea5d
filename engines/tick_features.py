"""What the transcript network sees of a tick, by name and version.

Four kinds stand behind one protocol. `POSE_VECTOR` is the pose row of the paper (Koishybay et al., ICPR 2020, compare the
features: OpenPose's 25 body, 70 face and 2 x 21 hand points, 411 values) as far as our estimators go: 25 body and 2 x 21
hand points, 201 values; `POSE_FACE_VECTOR` has the 70 face points beside it, the paper's 411, where the pose estimator looks
for them. `KEYPOINTS27` is made of what the spotting encoder computes of a tick anyway. `EmbeddingRow` is the embedding
that the spotting encoder gives anyway, and `PictureRow` the picture itself, for networks that begin with pixels.

A row depends on its tick alone (an embedding's on the ticks of its window), so that a stream may begin anywhere.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from engines import skeleton
from engines.errors import BundleError
from engines.landmarks import FACE, MIN_VISIBILITY, Landmarks

Array = NDArray[np.float32]
Image = NDArray[np.uint8]
Row = NDArray[np.float32] | NDArray[np.uint8]

STRIDE = 4
"""Ticks in one step of the transcript: 160 ms."""

BODY = 25
"""MediaPipe's pose landmarks 0 to 24: face, shoulders, arms, hands' corners, hips. Legs sign nothing."""
HAND = 21
NOSE_TIP = 30
"""Of the face's 70 points."""
HAND_UNITS = 4.0
"""Hand points are in quarters of a shoulder width, so that an open hand spans about as much as the body's points."""


class TickFeatures(Protocol):
    """One kind of features."""

    @property
    def name(self) -> str:
        """With its version, as it stands on a model's card."""
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a tick's row: (V,), or (H, W, 3) of a picture, which is uint8."""
        ...

    @property
    def needs(self) -> Literal["landmarks", "face", "embedding", "picture"]:
        """What a row is made of. Of landmarks, and of those with a face, it is x, y and confidence of V / 3 points."""
        ...

    @property
    def hands(self) -> tuple[slice, ...]:
        """The values of the left and of the right hand; () where there are no such."""
        ...

    def row(
        self,
        landmarks: Landmarks,
        *,
        mirrored: bool = False,
        embedding: Array | None = None,
        picture: Image | None = None,
    ) -> Row:
        """The features of one tick.

        Args:
            landmarks: of one person.
            mirrored: the picture comes from a mirrored camera: flip it back and swap the sides.
            embedding: (D,) of the encoder's window that ends at this tick (an encoder turns mirrored ones back itself);
                None where there is none.
            picture: the frame that was posed for this tick, (H, W, 3) RGB of any size; None where there is none.

        Returns:
            float32 (V,), finite, or uint8 (H, W, 3); what is unknown is 0, and a value beside it says so where there may
            be zeros of another meaning.
        """
        ...


@dataclass(frozen=True, slots=True)
class _Shoulders:
    """What points are placed by."""

    scale: Array  # (2,) of image coordinates, so that across and down measure alike
    middle: Array  # (2,) between the shoulders, so scaled
    unit: float  # the shoulders' width

    @classmethod
    def of(cls, landmarks: Landmarks) -> _Shoulders | None:
        """Those of a tick; None where they are not seen."""
        if not (landmarks.pose[[11, 12], 3] >= MIN_VISIBILITY).all():  # NaN too
            return None
        scale = np.array([landmarks.width / landmarks.height, 1], np.float32)
        left, right = landmarks.pose[[11, 12], :2] * scale
        unit = float(np.hypot(*(left - right)))
        return cls(scale, (left + right) / 2, unit) if unit >= 1e-6 else None


class PoseVector:
    """Body and hand points as x, y and confidence: (25 + 2 x 21) x 3 = 201 values.

    Body points are relative to mid-shoulder in shoulder widths, and so is each hand's wrist; a hand's other points are
    relative to its wrist, in quarters of a shoulder width. Without shoulders nothing is known and all is 0.
    """

    name = "pose-vector-1"
    width = (BODY + 2 * HAND) * 3
    shape = (width,)
    needs: Literal["landmarks"] = "landmarks"
    hands = (slice(3 * BODY, 3 * (BODY + HAND)), slice(3 * (BODY + HAND), width))

    def row(
        self,
        landmarks: Landmarks,
        *,
        mirrored: bool = False,
        embedding: Array | None = None,
        picture: Image | None = None,
    ) -> Array:
        """float32 (201,)."""
        out = np.zeros((BODY + 2 * HAND, 3), np.float32)
        placed = _Shoulders.of(landmarks)
        if placed is None:
            return out.reshape(-1)
        seen = landmarks.pose[:BODY, 3] >= MIN_VISIBILITY  # False where NaN
        body = landmarks.pose[:BODY, :2] * placed.scale
        out[:BODY, :2] = np.where(seen[:, None], (body - placed.middle) / placed.unit, 0)
        out[:BODY, 2] = seen
        for first, points in ((BODY, landmarks.left_hand), (BODY + HAND, landmarks.right_hand)):
            if np.isnan(points[0, 0]):
                continue
            hand = points[:, :2] * placed.scale
            out[first, :2] = (hand[0] - placed.middle) / placed.unit
            out[first + 1 : first + HAND, :2] = (hand[1:] - hand[0]) / placed.unit * HAND_UNITS
            out[first : first + HAND, 2] = 1
        if mirrored:
            out = out[_MIRRORED]
            out[:, 0] = -out[:, 0]
        return out.reshape(-1)


class PoseFaceVector:
    """`PoseVector` and 70 points of the face as x, y and confidence: (25 + 2 x 21 + 70) x 3 = 411 values.

    The nose's tip is relative to mid-shoulder in shoulder widths, the face's other points are relative to it, in quarters.
    """

    name = "pose-face-vector-1"
    width = PoseVector.width + FACE * 3
    shape = (width,)
    needs: Literal["face"] = "face"
    hands = PoseVector.hands

    def row(
        self,
        landmarks: Landmarks,
        *,
        mirrored: bool = False,
        embedding: Array | None = None,
        picture: Image | None = None,
    ) -> Array:
        """float32 (411,)."""
        out = np.zeros((FACE, 3), np.float32)
        placed = _Shoulders.of(landmarks)
        if landmarks.face is not None and placed is not None:
            face = landmarks.face * placed.scale
            tip = face[NOSE_TIP].copy()
            out[:, :2] = (face - tip) / placed.unit * HAND_UNITS
            out[NOSE_TIP, :2] = (tip - placed.middle) / placed.unit
            out[:, 2] = 1
            if mirrored:
                out = out[_MIRRORED_FACE]
                out[:, 0] = -out[:, 0]
        body = POSE_VECTOR.row(landmarks, mirrored=mirrored)
        return np.concatenate([body, out.reshape(-1)])


class Keypoints27:
    """The 27 keypoints of the spotting encoder (`engines.skeleton`) as x, y and confidence: 81 values, placed as above."""

    name = "keypoints27-row-1"
    width = skeleton.JOINTS * 3
    shape = (width,)
    needs: Literal["landmarks"] = "landmarks"
    hands = (slice(3 * skeleton.LEFT_HAND, 3 * skeleton.RIGHT_HAND), slice(3 * skeleton.RIGHT_HAND, width))

    def row(
        self,
        landmarks: Landmarks,
        *,
        mirrored: bool = False,
        embedding: Array | None = None,
        picture: Image | None = None,
    ) -> Array:
        """float32 (81,)."""
        points = skeleton.keypoints(landmarks, mirrored=mirrored)
        out = np.zeros((skeleton.JOINTS, 3), np.float32)
        left, right = points[skeleton.LEFT_SHOULDER, :2], points[skeleton.RIGHT_SHOULDER, :2]
        unit = float(np.hypot(*(left - right)))
        if not unit >= 1e-6:  # NaN too
            return out.reshape(-1)
        known = ~np.isnan(points[:, 0])
        out[known, :2] = (points[known, :2] - (left + right) / 2) / unit
        out[known, 2] = points[known, 2]
        for first in (skeleton.LEFT_HAND, skeleton.RIGHT_HAND):
            fingers = slice(first + 1, first + 10)
            if known[first]:
                out[fingers, :2] = (out[fingers, :2] - out[first, :2]) * HAND_UNITS
        return out.reshape(-1)


class NoseAndWrists:
    """Nose and wrists as x, y and confidence: 9 values, for corpora that have no more of a signer.

    Without shoulders there is no scale: wrists are relative to the nose and the nose to the picture's middle, all in quarters
    of the picture's height, so it fits cameras at the same distance alone.
    """

    name = "nose-wrists-1"
    width = 9
    shape = (width,)
    needs: Literal["landmarks"] = "landmarks"
    hands = (slice(3, 6), slice(6, 9))

    def row(
        self,
        landmarks: Landmarks,
        *,
        mirrored: bool = False,
        embedding: Array | None = None,
        picture: Image | None = None,
    ) -> Array:
        """float32 (9,)."""
        places = landmarks.pose[[0, 15, 16]]
        aspect = landmarks.width / landmarks.height
        seen = places[:, 3] >= MIN_VISIBILITY
        xy = (places[:, :2] - (0.5, 0.5)) * np.array([aspect, 1], np.float32) * 4
        out = np.zeros((3, 3), np.float32)
        if not seen[0]:
            return out.reshape(-1)
        xy[1:] -= xy[0]
        out[:, :2] = np.where(seen[:, None], xy, 0)
        out[:, 2] = seen
        if mirrored:
            out = out[[0, 2, 1]]
            out[:, 0] = -out[:, 0]
        return out.reshape(-1)


def _mirrored_rows() -> NDArray[np.int64]:
    """The row that takes each row's place in a mirror."""
    body = [0, 4, 5, 6, 1, 2, 3, 8, 7, 10, 9, *(k + 1 if k % 2 else k - 1 for k in range(11, BODY))]
    left, right = range(BODY, BODY + HAND), range(BODY + HAND, BODY + 2 * HAND)
    return np.array([*body, *right, *left])


_MIRRORED = _mirrored_rows()


def _mirrored_face() -> NDArray[np.int64]:
    """The point that takes each point's place in a mirror."""
    other = np.arange(FACE)
    for first, last in ((0, 16), (17, 26), (31, 35), (48, 54), (60, 64)):  # jaw, brows, nostrils, upper lips
        other[first : last + 1] = np.arange(last, first - 1, -1)
    other[[36, 37, 38, 39, 40, 41]] = 45, 44, 43, 42, 47, 46  # eyes
    other[[45, 44, 43, 42, 47, 46]] = 36, 37, 38, 39, 40, 41
    other[55:60] = np.arange(59, 54, -1)  # lower lips
    other[65:68] = np.arange(67, 64, -1)
    other[[68, 69]] = 69, 68  # pupils
    return other


_MIRRORED_FACE = _mirrored_face()

POSE_VECTOR = PoseVector()
POSE_FACE_VECTOR = PoseFaceVector()
KEYPOINTS27 = Keypoints27()
NOSE_AND_WRISTS = NoseAndWrists()
KNOWN: dict[str, TickFeatures] = {
    one.name: one for one in (POSE_VECTOR, POSE_FACE_VECTOR, KEYPOINTS27, NOSE_AND_WRISTS)
}
"""Those that are made of landmarks; the others' names have parameters in them."""

EMBEDDING_TICKS = 16
"""Of the lengths of windows that an encoder embeds, the one nearest to this is taken."""
_SHA_DIGITS = 12


@dataclass(frozen=True, slots=True)
class EmbeddingRow:
    """The unit embedding of the spotting encoder's window that ends at the tick, 0 where there is no such window."""

    encoder: str  # its name
    dimension: int  # D
    length: int  # ticks of the window
    weights: str  # first digits of its network's SHA-256: of other weights an embedding means something else

    @property
    def name(self) -> str:
        """embedding-1:ENCODER:D:TICKS:HASH."""
        return f"embedding-1:{self.encoder}:{self.dimension}:{self.length}:{self.weights}"

    @property
    def shape(self) -> tuple[int]:
        """(D,)."""
        return (self.dimension,)

    @property
    def needs(self) -> Literal["embedding"]:
        """Embeddings."""
        return "embedding"

    @property
    def hands(self) -> tuple[slice, ...]:
        """None of its values is a hand's alone."""
        return ()

    def row(
        self,
        landmarks: Landmarks,
        *,
        mirrored: bool = False,
        embedding: Array | None = None,
        picture: Image | None = None,
    ) -> Array:
        """float32 (D,)."""
        return np.zeros(self.dimension, np.float32) if embedding is None else embedding


@dataclass(frozen=True, slots=True)
class PictureRow:
    """The whole picture, brought to a square as the paper does, black where there is none."""

    size: int  # pixels, height and width

    @property
    def name(self) -> str:
        """picture-1:SIZE."""
        return f"picture-1:{self.size}"

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, 3)."""
        return (self.size, self.size, 3)

    @property
    def needs(self) -> Literal["picture"]:
        """Pictures."""
        return "picture"

    @property
    def hands(self) -> tuple[slice, ...]:
        """None of its values is a hand's alone."""
        return ()

    def row(
        self,
        landmarks: Landmarks,
        *,
        mirrored: bool = False,
        embedding: Array | None = None,
        picture: Image | None = None,
    ) -> Image:
        """uint8 (H, W, 3)."""
        if picture is None:
            return np.zeros(self.shape, np.uint8)
        small = np.asarray(
            cv2.resize(picture, (self.size, self.size), interpolation=cv2.INTER_AREA), np.uint8
        )
        return np.ascontiguousarray(small[:, ::-1]) if mirrored else small


def embedding_row(name: str, dimension: int, lengths: tuple[int, ...], model_sha256: str) -> EmbeddingRow:
    """The embeddings of an encoder as features.

    Args:
        name: of the encoder.
        dimension: D of its embeddings.
        lengths: of the windows that it embeds live, ticks.
        model_sha256: of its network.
    """
    length = min(lengths, key=lambda one: (abs(one - EMBEDDING_TICKS), one))
    return EmbeddingRow(name, dimension, length, model_sha256[:_SHA_DIGITS])


def tick_features_named(name: str) -> TickFeatures:
    """Features by the name on a card.

    Raises:
        BundleError: this version of Signspot does not compute them.
    """
    if name in KNOWN:
        return KNOWN[name]
    if found := re.fullmatch(r"embedding-1:([^:]+):(\d+):(\d+):([0-9a-f]+)", name):
        return EmbeddingRow(found[1], int(found[2]), int(found[3]), found[4])
    if found := re.fullmatch(r"picture-1:(\d+)", name):
        return PictureRow(int(found[1]))
    raise BundleError(
        f"the transcript network was trained on features {name!r}, this version of Signspot computes "
        f"{', '.join(KNOWN)}, embedding-1 and picture-1: use weights and program of the same version"
    )
