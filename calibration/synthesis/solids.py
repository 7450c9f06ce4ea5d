"""What hands must not go through: distance fields around head and trunk, and the thickness of arms and fingers.

All of it is measured on a body's own skin at rest, once a body.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_fill_holes
from scipy.spatial import cKDTree

from calibration.synthesis.body import FINGERS, Body, body_of
from calibration.synthesis.performance import PHENOTYPE, Array, Signer
from engines.vectors import Vector

Wide = NDArray[np.float64]

HEAD_STEP_M, TRUNK_STEP_M = 0.01, 0.02
MARGIN_M = 0.08  # of a field around the skin
FAR_M = 1.0
"""What is outside a field is so far away from it."""
ALONG_FOREARM = (0.1, 0.3, 0.5, 0.7, 0.88)
ALONG_UPPER_ARM = (0.35, 0.6, 0.85)


@dataclass(frozen=True, slots=True, repr=False)
class Field:
    """Signed distance to the skin of a rigid part at rest, on a grid; negative inside."""

    grid: Array  # (X, Y, Z) metres
    origin: Wide  # (4,): place of the first cell, and the width of a cell, metres
    centre: Wide  # (3,) the joint that the part turns around, at rest


@dataclass(frozen=True, slots=True, repr=False)
class Solid:
    """A body's thickness."""

    head: Field
    trunk: Field
    fingers: Wide  # (2, 15) radius of each finger bone, left hand first, metres
    palm: Wide  # (2,) half its thickness
    forearm: Wide  # (2, 5) radius at `ALONG_FOREARM`
    upper_arm: Wide  # (2, 3) radius at `ALONG_UPPER_ARM`


def solid_of(signer: Signer) -> Solid:
    """Measure a signer's body.

    Raises:
        MissingExtra: `anny` is not installed.
    """
    return _solid(tuple(signer.phenotype[name] for name in PHENOTYPE))


@functools.lru_cache(maxsize=64)
def _solid(phenotype: tuple[float, ...]) -> Solid:
    body = body_of(Signer(seed=0, phenotype=dict(zip(PHENOTYPE, phenotype, strict=True))))
    owners = [body.bones[bone] for bone in body.weight_bones[:, 0]]
    head = np.array([name.startswith(("head", "neck")) for name in owners])
    legs = ("lowerleg", "foot", "toe")
    arms = ("upperarm", "lowerarm", "wrist", "finger", "metacarpal", "eye")
    trunk = np.array([not name.startswith((*legs, *arms)) for name in owners]) & ~head
    trunk |= np.array([name.startswith("neck") for name in owners])
    sides = [f".{side}" for side in "LR"]
    return Solid(
        head=_field(body, head, "head", HEAD_STEP_M),
        trunk=_field(body, trunk, "root", TRUNK_STEP_M),
        fingers=np.array(
            [
                [_thickness(body, f"{finger}-{n}{side}") for finger in FINGERS for n in (1, 2, 3)]
                for side in sides
            ]
        ),
        palm=np.array([_palm(body, side) for side in sides]),
        forearm=np.array([_along(body, ("lowerarm01", "wrist"), ALONG_FOREARM, side) for side in sides]),
        upper_arm=np.array(
            [_along(body, ("upperarm01", "lowerarm01"), ALONG_UPPER_ARM, side) for side in sides]
        ),
    )


def vertex_normals(vertices: Wide | Array, faces: NDArray[np.int32]) -> Wide:
    """Unit vectors out of the skin at every vertex: (V, 3)."""
    corners = vertices[faces].astype(float)
    flat = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = np.stack(
        [
            np.bincount(faces.ravel(), np.repeat(flat[:, axis], 3), minlength=len(vertices))
            for axis in range(3)
        ],
        1,
    )
    return np.asarray(normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12))


def _field(body: Body, kept: NDArray[np.bool_], centre: str, step: float) -> Field:
    """Distance to the plane of the nearest skin, averaged over three vertices; far away to the vertex itself."""
    skin, normals = body.vertices[kept].astype(float), vertex_normals(body.vertices, body.faces)[kept]
    low = skin.min(0) - MARGIN_M
    shape = tuple(np.ceil((skin.max(0) + MARGIN_M - low) / step).astype(int) + 1)
    cells = low + step * np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), -1).reshape(
        -1, 3
    )
    outer = _outermost(skin, low, step, shape)
    away, nearest = cKDTree(skin[outer]).query(cells, k=3)
    offset = cells[:, None] - skin[outer][nearest]
    weight = 1 / (away + 0.2 * step)
    plane = ((offset * normals[outer][nearest]).sum(-1) * weight).sum(1) / weight.sum(1)
    far = np.clip((away[:, 0] - 0.02) / 0.02, 0, 1)
    distance = (1 - far) * plane + far * np.sign(plane) * away[:, 0]
    return Field(
        distance.reshape(shape).astype(np.float32),
        np.array([*low, step]),
        body.heads[body.index(centre)].astype(float),
    )


def _outermost(skin: Wide, low: Wide, step: float, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Which vertices can be touched from outside: not those of mouth, eye sockets and nostrils."""
    cell = ((skin - low) / step + 0.5).astype(int)
    wall = np.zeros(shape, bool)
    for shift in np.ndindex(2, 2, 2):  # thick enough to be closed
        wall[tuple((((skin - low) / step).astype(int) + shift).T)] = True
    outside = ~binary_fill_holes(wall)
    for axis in range(3):
        outside = outside | np.roll(outside, 1, axis) | np.roll(outside, -1, axis)
    return np.asarray(outside[tuple(cell.T)])


def _thickness(body: Body, bone: str) -> float:
    """Median distance of a finger bone's skin from its axis, metres."""
    number = body.index(bone)
    start = body.heads[number]
    name, side = bone.rsplit(".", 1)
    finger, part = name.split("-")
    end = body.tips[bone] if part == "3" else body.heads[body.index(f"{finger}-{int(part) + 1}.{side}")]
    along = (end - start) / np.linalg.norm(end - start)
    offset = body.vertices[body.weight_bones[:, 0] == number] - start
    place = offset @ along
    beside = np.linalg.norm(offset - place[:, None] * along, axis=1)
    length = np.linalg.norm(end - start)
    return float(
        np.median(beside[(place > 0.35 * length) & (place < length)])
    )  # not the webs between fingers


def _palm(body: Body, side: str) -> float:
    """Half the thickness of the hand's middle, metres."""
    wrist, index, middle, little = (
        body.heads[body.index(f"{name}{side}")] for name in ("wrist", "finger2-1", "finger3-1", "finger5-1")
    )
    across = np.cross(middle - wrist, index - little)
    across /= np.linalg.norm(across)
    hand = [body.index(f"metacarpal{n}{side}") for n in (1, 2, 3, 4)]
    offset = (body.vertices[np.isin(body.weight_bones[:, 0], hand)] - wrist) @ across
    return float((np.quantile(offset, 0.9) - np.quantile(offset, 0.1)) / 2)


def _along(body: Body, bones: tuple[str, str], shares: tuple[float, ...], side: str) -> Wide:
    """Median distance of an arm's skin from its axis at some shares of its length, metres."""
    start, end = (body.heads[body.index(f"{bone}{side}")].astype(float) for bone in bones)
    names = {"lowerarm01": ("lowerarm01", "lowerarm02"), "upperarm01": ("upperarm01", "upperarm02")}[bones[0]]
    owned = np.isin(body.weight_bones[:, 0], [body.index(f"{name}{side}") for name in names])
    offset = body.vertices[owned] - start
    along = end - start
    share = offset @ along / (along @ along)
    beside = np.linalg.norm(offset - share[:, None] * along, axis=1)
    return np.array([np.median(beside[np.argsort(np.abs(share - at))[:24]]) for at in shares])


@numba.njit(cache=True)
def carried_back(point: Vector, turn: Wide, joint: Wide, centre: Wide) -> Vector:
    """Where a point of the world is on a rigid part at rest, the part being turned by `turn` and its joint at `joint`."""
    x, y, z = point[0] - joint[0], point[1] - joint[1], point[2] - joint[2]
    return (
        turn[0, 0] * x + turn[1, 0] * y + turn[2, 0] * z + centre[0],
        turn[0, 1] * x + turn[1, 1] * y + turn[2, 1] * z + centre[1],
        turn[0, 2] * x + turn[1, 2] * y + turn[2, 2] * z + centre[2],
    )


@numba.njit(cache=True)
def distance_to(grid: Array, origin: Wide, point: Vector) -> float:
    """Signed distance of a point from a field's skin, metres, between cells linear."""
    x, y, z = (
        (point[0] - origin[0]) / origin[3],
        (point[1] - origin[1]) / origin[3],
        (point[2] - origin[2]) / origin[3],
    )
    if x < 0 or y < 0 or z < 0 or x >= grid.shape[0] - 1 or y >= grid.shape[1] - 1 or z >= grid.shape[2] - 1:
        return FAR_M
    i, j, k = int(x), int(y), int(z)
    x, y, z = x - i, y - j, z - k
    near = (grid[i, j, k] * (1 - z) + grid[i, j, k + 1] * z) * (1 - y)
    near += (grid[i, j + 1, k] * (1 - z) + grid[i, j + 1, k + 1] * z) * y
    far = (grid[i + 1, j, k] * (1 - z) + grid[i + 1, j, k + 1] * z) * (1 - y)
    far += (grid[i + 1, j + 1, k] * (1 - z) + grid[i + 1, j + 1, k + 1] * z) * y
    return float(near * (1 - x) + far * x)


@numba.njit(cache=True)
def away_from(grid: Array, origin: Wide, point: Vector) -> Vector:
    """The direction in which the distance grows, not normalised."""
    step = 0.5 * origin[3]
    x, y, z = point
    return (
        distance_to(grid, origin, (x + step, y, z)) - distance_to(grid, origin, (x - step, y, z)),
        distance_to(grid, origin, (x, y + step, z)) - distance_to(grid, origin, (x, y - step, z)),
        distance_to(grid, origin, (x, y, z + step)) - distance_to(grid, origin, (x, y, z - step)),
    )
