"""Small pictures of a signer without a graphics driver: skinned, lit and drawn by compiled loops on one core.

For clips of a hundred pixels by the hundred thousand. There Mesa's software rasteriser spends its time on vertices and
on four samples a pixel: 18 ms of CPU time a picture of 112x112, 4 ms with a coarse mesh and jagged edges; this takes
about 1 ms with the same coarse mesh and smooth edges. What so small a picture does not show is left out: the play of the
face, gloss, and edges of paint sharper than the mesh.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

from calibration.synthesis import render
from calibration.synthesis.appearance import Appearance
from calibration.synthesis.body import Body
from calibration.synthesis.performance import Array

GRAIN_M = 0.022
"""Skin within a cell of this size is one vertex: about two pixels of a crop of 112, hands one."""
FINER = 2
"""Samples of a pixel along each side."""
FAR = 1e6
"""Depth of nothing, metres."""
_TONES = (np.linspace(0, 1, 256) ** 0.85 * 255).astype(np.float32)


class SmallRenderer:
    """Draws one signer in one appearance as small square pictures.

    Args:
        body: the signer's.
        appearance: colours, light and background; its camera is not used.
        size: of the pictures, pixels.
        lens: to the signer's left, distance and height of the lens in metres, and its focal length in picture sides.
        shift: by which the picture is moved within the lens's view, to the right and down, picture sides.
        grain_m: skin within a cell of this size is one vertex.
    """

    def __init__(
        self,
        body: Body,
        appearance: Appearance,
        size: int,
        *,
        lens: tuple[float, float, float, float],
        shift: tuple[float, float],
        grain_m: float = GRAIN_M,
    ) -> None:
        self.size = size
        keep, faces = render.upper_half(body)
        keep, self._faces = render.merged(body, keep, faces, grain_m)
        rest = body.vertices[keep]
        parts = render.parts(body)[keep]
        normals = render.normals(body.vertices, body.faces)[keep]
        self._albedo = _painted(body, appearance, rest, parts)
        self._places = np.asarray(
            rest + render.thickness(body, appearance, rest, parts)[:, None] * normals, np.float32
        )
        self._normals = np.ascontiguousarray(normals, np.float32)
        self._owners = np.ascontiguousarray(body.weight_bones[keep], np.int64)
        self._shares = np.ascontiguousarray(body.weights[keep], np.float32)
        self._heads = body.heads
        self._lens = np.array([*lens, *shift], np.float64)
        warm = np.array([1 + 0.08 * appearance.warmth, 1.0, 1 - 0.10 * appearance.warmth])
        light = np.array(appearance.key_light) / np.linalg.norm(appearance.key_light)
        self._lights = np.stack(
            [light, appearance.key_strength * warm, appearance.fill_strength * warm]
        ).astype(np.float32)
        self._backdrop = np.ascontiguousarray(appearance.background(size, size))
        self._fine = size * FINER
        self._screen = np.empty((len(keep), 3), np.float32)
        self._shades = np.empty((len(keep), 3), np.float32)
        self._depth = np.empty((self._fine, self._fine), np.float32)
        self._colour = np.empty((self._fine, self._fine, 3), np.float32)

    def frame(self, rotations: Array, joints: Array) -> NDArray[np.uint8]:
        """Draw one pose.

        Args:
            rotations: (B, 3, 3) of a `Performance`.
            joints: (B, 3) of the same.

        Returns:
            uint8 (size, size, 3) RGB, without camera noise.
        """
        shift = joints - (rotations @ self._heads[:, :, None])[:, :, 0]
        bones = np.ascontiguousarray(np.concatenate([rotations, shift[:, :, None]], 2), np.float32)
        _skin(
            bones, self._places, self._normals, self._owners, self._shares, self._albedo, self._lens,
            self._lights, self._fine, self._screen, self._shades,
        )  # fmt: skip
        self._depth[:] = FAR
        _fill(self._faces, self._screen, self._shades, self._depth, self._colour)
        picture = np.empty_like(self._backdrop)
        _resolve(self._depth, self._colour, self._backdrop, _TONES, picture)
        return picture


def _painted(body: Body, look: Appearance, rest: Array, parts: Array) -> Array:
    """Colour (V, 3) of each vertex by its place at rest, as the fragment shader of `render` paints it, less its finest lines."""
    x, y, z = rest.T.astype(np.float64)
    side = np.abs(x)
    eye = body.heads[body.index("eye.L")].astype(np.float64)
    apart = 2 * float(eye[0])
    nose, neck = body.face_points["nose"], body.heads[body.index("neck01")]
    skin = np.array(look.skin)
    colour = np.tile(skin, (len(rest), 1))

    def put(where: NDArray[np.bool_], share: NDArray[np.float64] | float, value: object) -> None:
        part = np.broadcast_to(np.asarray(share, np.float64), len(rest))[where, None]
        colour[where] = (1 - part) * colour[where] + part * np.broadcast_to(
            np.asarray(value), (len(rest), 3)
        )[where]

    head = parts == render.HEAD
    back, up = (y - eye[1]) / apart, (z - eye[2]) / apart
    brow = ((side - 0.52 * apart) / (0.36 * apart)) ** 2 + ((up - 0.37 - 0.11 * side / apart) / 0.085) ** 2
    put(head & (back < 0.6) & (brow < 1), 0.85, np.array(look.hair) * 0.8)
    lip = (side / (0.42 * apart)) ** 2 + ((z - nose[2] + 0.60 * apart) / (0.16 * apart)) ** 2
    put(head & (y < nose[1] + 0.8 * apart) & (lip < 1), 0.8, look.lips)
    if look.hair_length > 0:
        line = up - 1.05 + 0.55 * np.maximum(back - 0.2, 0) + 0.10 * np.cos(side / apart * 2)
        hairy = (line > 0) | ((back > 1.9) & (up > -1.2 - 2.2 * look.hair_length))
        if look.hair_length > 0.8:
            hairy |= (side / apart > 1.12) & (back > 0.45)
        else:
            hairy &= ~((side > 1.15 * apart) & (back > 1.0) & (back < 2.1) & (up > -1.2) & (up < 0.35))
        put(head & hairy, 1.0, look.hair)
    put(parts == render.EYE, 1.0, 0.5 * np.array(look.iris) + 0.5 * np.array([0.93, 0.92, 0.90]))
    band = (np.sin(z * look.stripes_per_m * 2 * np.pi) > 0) & (look.stripes_per_m > 0)
    cloth = np.where(band[:, None], look.shirt_stripe, look.shirt)
    trunk = parts == render.TRUNK
    away = np.linalg.norm((rest - neck) * np.array([1.0, 1.0, 0.8]), axis=1)
    opening = look.neckline_m + 0.02 * (neck[2] - z > 0)
    put(trunk & (away > opening), 1.0, cloth)
    waist = float(body.heads[body.index("upperleg01.L")][2]) + 0.03
    put(trunk & (z < waist), 1.0, look.trousers)
    shoulder = body.heads[body.index("upperarm01.L")]
    along = np.linalg.norm(np.stack([side, y, z], 1) - shoulder, axis=1)
    put((parts == render.ARM) & (along < render.sleeve_end(body, look)), 1.0, cloth)
    put(parts == render.HAND, 0.5, skin * np.array([1.04, 0.90, 0.86]))
    return np.ascontiguousarray(colour, np.float32)


@numba.njit(cache=True, fastmath=True)
def _skin(
    bones: Array, places: Array, normals: Array, owners: NDArray[np.int64], shares: Array, albedo: Array,
    lens: NDArray[np.float64], lights: Array, fine: int, screen: Array, shades: Array,
) -> None:  # fmt: skip
    """Vertices to the screen (x, y in fine pixels, depth in metres), and their colours in this light."""
    m = np.empty(12, np.float32)
    for v in range(len(places)):
        m[:] = 0
        for k in range(4):
            share = shares[v, k]
            if share > 0.01:
                bone = bones[owners[v, k]]
                for i in range(3):
                    for j in range(4):
                        m[4 * i + j] += share * bone[i, j]
        x, y, z = places[v]
        wx = m[0] * x + m[1] * y + m[2] * z + m[3]
        wy = m[4] * x + m[5] * y + m[6] * z + m[7]
        wz = m[8] * x + m[9] * y + m[10] * z + m[11]
        a, b, c = normals[v]
        nx = m[0] * a + m[1] * b + m[2] * c
        ny = m[4] * a + m[5] * b + m[6] * c
        nz = m[8] * a + m[9] * b + m[10] * c
        size = math.sqrt(nx * nx + ny * ny + nz * nz) + 1e-9
        nx, ny, nz = nx / size, ny / size, nz / size
        depth = wy + lens[1]
        screen[v, 0] = fine * (0.5 + lens[3] * (wx - lens[0]) / depth - lens[4])
        screen[v, 1] = fine * (0.5 - lens[3] * (wz - lens[2]) / depth - lens[5])
        screen[v, 2] = depth
        vx, vy, vz = lens[0] - wx, -depth, lens[2] - wz
        towards = max((nx * vx + ny * vy + nz * vz) / math.sqrt(vx * vx + vy * vy + vz * vz), 0.0)
        lit = max((nx * lights[0, 0] + ny * lights[0, 1] + nz * lights[0, 2]) * 0.85 + 0.15, 0.0)
        t = min(towards / 0.65, 1.0)
        rim = 0.62 + 0.38 * t * t * (3 - 2 * t)
        for i in range(3):
            light = lights[1, i] * lit + lights[2, i] * (0.55 + 0.45 * (0.5 + 0.5 * nz)) + 0.10
            shades[v, i] = albedo[v, i] * light * rim


@numba.njit(cache=True, fastmath=True)
def _fill(faces: NDArray[np.int64], screen: Array, shades: Array, depth: Array, colour: Array) -> None:
    """Triangles that face the lens into the fine picture, the nearest wins."""
    side = depth.shape[0]
    for f in range(len(faces)):
        a, b, c = faces[f]
        ax, ay, bx, by, cx, cy = (
            screen[a, 0],
            screen[a, 1],
            screen[b, 0],
            screen[b, 1],
            screen[c, 0],
            screen[c, 1],
        )
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if area >= 0:
            continue
        left, right = math.ceil(min(ax, bx, cx) - 0.5), math.floor(max(ax, bx, cx) - 0.5)
        top, bottom = math.ceil(min(ay, by, cy) - 0.5), math.floor(max(ay, by, cy) - 0.5)
        left, right, top, bottom = max(left, 0), min(right, side - 1), max(top, 0), min(bottom, side - 1)
        if left > right or top > bottom:
            continue
        share = 1 / area
        u_across, u_down = (by - cy) * share, (cx - bx) * share  # a's weight from pixel to pixel
        v_across, v_down = (cy - ay) * share, (ax - cx) * share  # b's
        px, py = left + 0.5, top + 0.5
        u_first = ((bx - px) * (cy - py) - (by - py) * (cx - px)) * share
        v_first = ((cx - px) * (ay - py) - (cy - py) * (ax - px)) * share
        az, bz, cz = screen[a, 2], screen[b, 2], screen[c, 2]
        for row in range(top, bottom + 1):
            u, v = u_first, v_first
            for column in range(left, right + 1):
                w = 1 - u - v
                if u >= 0 and v >= 0 and w >= 0:
                    away = u * az + v * bz + w * cz
                    if away < depth[row, column]:
                        depth[row, column] = away
                        for i in range(3):
                            colour[row, column, i] = u * shades[a, i] + v * shades[b, i] + w * shades[c, i]
                u += u_across
                v += v_across
            u_first += u_down
            v_first += v_down


@numba.njit(cache=True, fastmath=True)
def _resolve(
    depth: Array, colour: Array, backdrop: NDArray[np.uint8], tones: Array, picture: NDArray[np.uint8]
) -> None:
    """Fine samples to pixels over the backdrop."""
    for row in range(len(picture)):
        for column in range(len(picture)):
            for i in range(3):
                total = 0.0
                for r in range(FINER * row, FINER * row + FINER):
                    for c in range(FINER * column, FINER * column + FINER):
                        if depth[r, c] < FAR:
                            total += tones[int(min(max(colour[r, c, i], 0.0), 1.0) * 255)]
                        else:
                            total += backdrop[row, column, i]
                picture[row, column, i] = int(total / (FINER * FINER))
