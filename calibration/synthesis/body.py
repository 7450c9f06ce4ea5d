"""The signer's body: bones, mesh and fast forward kinematics in numpy, taken once from the parametric model `anny`.

`anny` (NAVER, Apache-2.0; MakeHuman data, CC0) is needed only here, to turn a signer's phenotype into a rest pose;
it brings torch along. What moves the body afterwards is linear-blend skinning, written out in numpy.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibration.synthesis.performance import PHENOTYPE, Array, Signer
from engines.errors import MissingExtra
from engines.pose.native_log import chatter_muted

FINGERS = ("finger1", "finger2", "finger3", "finger4", "finger5")
"""Thumb to little finger."""

FACE_ACTIONS = (
    "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight", "eyeBlinkLeft",
    "eyeBlinkRight", "jawOpen", "mouthFunnel", "mouthPucker", "mouthSmileLeft", "mouthSmileRight", "cheekPuff",
)  # fmt: skip
"""Facial actions that signs use; names of the model's blend shapes."""


@dataclass(frozen=True, slots=True, repr=False)
class Body:
    """A body at rest (arms half raised): bones, mesh, skin weights."""

    bones: tuple[str, ...]
    parents: NDArray[np.int64]  # (B,), -1 for the root; a parent comes before its children
    heads: Array  # (B, 3) joints at rest, metres
    tips: dict[str, Array]  # finger bone's last phalanx, e.g. "finger2-3.L" -> (3,) its tip at rest
    face_points: dict[str, Array]  # name -> (3,) at rest, moving with the bone `head`
    vertices: Array  # (V, 3) at rest
    faces: NDArray[np.int32]  # (F, 3) triangles, counter-clockwise seen from outside
    weight_bones: NDArray[np.int32]  # (V, 4) bone of each weight, strongest first
    weights: Array  # (V, 4), rows sum to 1
    actions: dict[str, Array]  # facial action -> (V, 3) offsets at full strength
    uv: Array  # (V, 2) texture coordinates, [0, 1]

    def index(self, bone: str) -> int:
        """The bone's number."""
        return self.bones.index(bone)

    def joints(self, rotations: Array) -> Array:
        """Forward kinematics.

        Args:
            rotations: (T, B, 3, 3) world-axes rotation of every bone relative to rest.

        Returns:
            float32 (T, B, 3) joint places, metres; the root stays where it is.
        """
        places = np.empty((len(rotations), len(self.bones), 3), np.float32)
        places[:, 0] = self.heads[0]
        for bone in range(1, len(self.bones)):
            parent = self.parents[bone]
            arm = self.heads[bone] - self.heads[parent]
            places[:, bone] = places[:, parent] + rotations[:, parent] @ arm
        return places

    def carried(self, bone: str, point: Array, rotations: Array, joints: Array) -> Array:
        """Where a point at rest goes with its bone: (T, 3)."""
        number = self.index(bone)
        return np.asarray(joints[:, number] + rotations[:, number] @ (point - self.heads[number]), np.float32)


@functools.cache
def _model() -> Any:
    """The parametric model; loading it takes seconds.

    Raises:
        MissingExtra: `anny` is not installed.
    """
    try:
        with (
            chatter_muted(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            import anny

            with contextlib.suppress(ImportError):  # what anny skins with: it tells of every kernel it loads
                warp = importlib.import_module("warp")
                warp.config.log_level = getattr(warp, "LOG_ERROR", 40)
                warp.init()
            return anny.Anny(facial_actions=list(FACE_ACTIONS))
    except ImportError as error:
        raise MissingExtra(
            "the synthetic signer needs the package `anny`: pip install 'signspot[synth]'"
        ) from error


def body_of(signer: Signer) -> Body:
    """Build a signer's body.

    Raises:
        MissingExtra: `anny` is not installed.
    """
    return _body(tuple(signer.phenotype[name] for name in PHENOTYPE))


@functools.lru_cache(maxsize=64)
def _body(phenotype: tuple[float, ...]) -> Body:
    import torch

    model = _model()
    values = {name: torch.tensor([value]) for name, value in zip(PHENOTYPE, phenotype, strict=True)}
    with torch.inference_mode():
        rest = model(phenotype_kwargs=values)
        actions = {}
        for name in FACE_ACTIONS:
            moved = model(phenotype_kwargs=values, facial_actions={name: torch.tensor([1.0])})
            actions[name] = _array(moved["rest_vertices"][0] - rest["rest_vertices"][0])
    vertices = _array(rest["rest_vertices"][0])
    heads = _array(rest["rest_bone_heads"][0])
    bones = tuple(model.bone_labels)
    strongest = np.argsort(-_array(model.vertex_bone_weights), axis=1)[:, :4]
    weights = np.take_along_axis(_array(model.vertex_bone_weights), strongest, 1)
    weight_bones = np.take_along_axis(model.vertex_bone_indices.numpy().astype(np.int32), strongest, 1)
    return Body(
        bones=bones,
        parents=np.array([int(parent) for parent in model.bone_parents]),
        heads=heads,
        tips=_tips(bones, heads, vertices, weight_bones[:, 0]),
        face_points=_face_points(bones, heads, vertices, weight_bones[:, 0]),
        vertices=vertices,
        faces=model.get_triangular_faces().numpy().astype(np.int32),
        weight_bones=weight_bones,
        weights=(weights / weights.sum(1, keepdims=True)).astype(np.float32),
        actions=actions,
        uv=_vertex_uv(model, len(vertices)),
    )


def _array(tensor: Any) -> Array:
    return tensor.detach().cpu().numpy().astype(np.float32)  # type: ignore[no-any-return]


def _tips(
    bones: tuple[str, ...], heads: Array, vertices: Array, owner: NDArray[np.int32]
) -> dict[str, Array]:
    """The farthest skin of each last phalanx, along the phalanx before it."""
    tips = {}
    for side in "LR":
        for finger in FINGERS:
            last, before = bones.index(f"{finger}-3.{side}"), bones.index(f"{finger}-2.{side}")
            along = heads[last] - heads[before]
            skin = vertices[owner == last]
            reach = (skin - heads[last]) @ (along / np.linalg.norm(along))
            tips[f"{finger}-3.{side}"] = skin[np.argsort(-reach)[:8]].mean(0).astype(np.float32)
    return tips


def _face_points(
    bones: tuple[str, ...], heads: Array, vertices: Array, owner: NDArray[np.int32]
) -> dict[str, Array]:
    """Nose, eyes, ears and mouth corners: MediaPipe's face points, from the head's skin and the eyes' joints."""
    skull = vertices[owner == bones.index("head")]
    left_eye, right_eye = heads[bones.index("eye.L")], heads[bones.index("eye.R")]
    between = (left_eye + right_eye) / 2
    apart = float(left_eye[0] - right_eye[0])
    middle = skull[np.abs(skull[:, 0]) < 0.15 * apart]
    below = middle[(middle[:, 2] < between[2]) & (middle[:, 2] > between[2] - apart)]
    nose = below[np.argmin(below[:, 1])]
    front = np.array([0.0, -0.2 * apart, 0.0], np.float32)
    level = skull[np.abs(skull[:, 2] - nose[2]) < 0.3 * apart]
    points = {"nose": nose}
    for side, eye, sign in (("left", left_eye, 1.0), ("right", right_eye, -1.0)):
        points[f"{side}_eye"] = eye + front
        points[f"{side}_eye_inner"] = eye + front - np.array([sign * 0.2 * apart, 0, 0], np.float32)
        points[f"{side}_eye_outer"] = eye + front + np.array([sign * 0.2 * apart, 0, 0], np.float32)
        points[f"{side}_ear"] = level[np.argmax(sign * level[:, 0])]
        mouth = nose + np.array([sign * 0.38 * apart, 0.3 * apart, -0.55 * apart], np.float32)
        points[f"{side}_mouth"] = mouth
    return {name: point.astype(np.float32) for name, point in points.items()}


def _vertex_uv(model: Any, count: int) -> Array:
    """One texture coordinate a vertex (a seam's vertex keeps one of its two)."""
    uv = np.zeros((count, 2), np.float32)
    coordinates = model.texture_coordinates.numpy()
    uv[model.faces.numpy().ravel()] = coordinates[model.face_texture_coordinate_indices.numpy().ravel()]
    return uv
