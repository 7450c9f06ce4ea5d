"""Pictures of a signer: the body's mesh skinned, coloured and lit in shaders, through moderngl on EGL.

Without a GPU Mesa's software rasteriser does it. Hair, brows, lips, eyes and clothes are painted in the fragment
shader by place on the body at rest, so their edges are sharp at any size.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibration.synthesis.appearance import Appearance
from calibration.synthesis.body import Body
from calibration.synthesis.performance import Array
from engines.errors import MissingExtra

SAMPLES = 4
TRUNK, HEAD, EYE, ARM, HAND = 0.0, 1.0, 2.0, 3.0, 4.0

VERTEX = """
#version 330
uniform vec4 bones[312];
uniform vec4 camera;      // aside, distance, height of the lens; focal length in picture heights
uniform float aspect;     // height / width
in vec3 place; in vec3 rest; in vec3 normal; in vec4 owners; in vec4 shares; in float part;
out vec3 at_rest; out vec3 facing; out vec3 in_world; flat out float kind;
void main() {
    vec4 r0 = vec4(0), r1 = vec4(0), r2 = vec4(0);
    for (int k = 0; k < 4; k++) {
        int b = int(owners[k]) * 3;
        r0 += shares[k] * bones[b]; r1 += shares[k] * bones[b + 1]; r2 += shares[k] * bones[b + 2];
    }
    vec4 p = vec4(place, 1.0);
    in_world = vec3(dot(r0, p), dot(r1, p), dot(r2, p));
    facing = vec3(dot(r0.xyz, normal), dot(r1.xyz, normal), dot(r2.xyz, normal));
    at_rest = rest; kind = part;
    float depth = in_world.y + camera.y;
    gl_Position = vec4(2.0 * camera.w * aspect * (in_world.x - camera.x), 2.0 * camera.w * (in_world.z - camera.z),
                       depth - 0.2, depth);
}
"""

FRAGMENT = """
#version 330
uniform vec3 skin; uniform vec3 hair; uniform vec3 iris; uniform vec3 lips; uniform vec3 shirt; uniform vec3 stripe;
uniform vec3 light; uniform vec3 key; uniform vec3 fill; uniform vec4 camera;
uniform vec3 eye; uniform vec3 nose; uniform float apart;   // left eye's middle, tip of the nose, between the eyes
uniform vec3 neck; uniform vec3 arm; uniform float sleeve_end; uniform float opening;
uniform float hair_length; uniform float stripes; uniform vec3 trousers; uniform float waist;
in vec3 at_rest; in vec3 facing; in vec3 in_world; flat in float kind;
out vec4 colour;
float edge(float x, float w) { return smoothstep(-w, w, x); }
void main() {
    vec3 n = normalize(facing);
    vec3 view = normalize(vec3(camera.x, -camera.y, camera.z) - in_world);
    vec3 base = skin; float gloss = 0.12;
    vec3 p = at_rest; float side = abs(p.x);
    if (kind > 0.5 && kind < 1.5) {                       // head
        float back = (p.y - eye.y) / apart, up = (p.z - eye.z) / apart;
        vec2 brow = vec2((side - 0.52 * apart) / (0.36 * apart), (up - 0.37 - 0.11 * side / apart) / 0.085);
        if (back < 0.6) base = mix(base, hair * 0.8, 0.85 * edge(1.0 - dot(brow, brow), 0.35));
        float mouth_z = nose.z - 0.60 * apart;
        vec2 lip = vec2(side / (0.42 * apart), (p.z - mouth_z) / (0.16 * apart));
        if (p.y < nose.y + 0.8 * apart) {
            base = mix(base, lips, 0.8 * edge(1.0 - dot(lip, lip), 0.25));
            float gap = abs(p.z - mouth_z) / (0.02 * apart);
            if (side < 0.36 * apart && gap < 1.0) base *= 0.6;
        }
        base = mix(base, vec3(0.75, 0.42, 0.38), 0.10 * exp(-pow(length(vec2(side - 0.62 * apart, p.z - nose.z)) / (0.3 * apart), 2.0)));
        float line = up - 1.05 + 0.55 * max(back - 0.2, 0.0) + 0.10 * cos(side / apart * 2.0);
        float low = -1.2 - 2.2 * hair_length;
        bool ear = side > 1.15 * apart && back > 1.0 && back < 2.1 && up > -1.2 && up < 0.35 && hair_length < 0.8;
        float hairy = max(edge(line, 0.10), edge(back - 1.9 + 0.15 * sin(p.x * 90.0), 0.08) * edge(up - low, 0.1));
        if (hair_length > 0.8) hairy = max(hairy, edge(side / apart - 1.12, 0.06) * edge(back - 0.45, 0.1));
        if (hair_length > 0.0 && !ear) {
            float strand = 0.85 + 0.25 * sin(p.x * 700.0 + 40.0 * sin(p.z * 30.0)) * sin(p.y * 500.0);
            base = mix(base, hair * strand, hairy); gloss = mix(gloss, 0.25, hairy);
        }
    } else if (kind > 1.5 && kind < 2.5) {                // eye
        vec2 off = vec2(side - eye.x, p.z - eye.z) / apart;
        float r = length(off);
        base = vec3(0.93, 0.92, 0.90);
        base = mix(iris, base, edge(r - 0.105, 0.012));
        base = mix(vec3(0.03), base, edge(r - 0.05, 0.01));
        gloss = 0.5;
    } else if (kind < 0.5) {                              // trunk
        float d = length((p - neck) * vec3(1.0, 1.0, 0.8));
        float v = opening + 0.02 * edge(neck.y - p.y, 0.02);
        float cloth = edge(d - v, 0.002);
        float band = stripes > 0.0 ? edge(sin(p.z * stripes * 6.283), 0.15) : 0.0;
        base = mix(skin, mix(shirt, stripe, band), cloth);
        base *= mix(1.0, 0.72, cloth * exp(-pow((d - v) / 0.006, 2.0)));
        base *= 1.0 + cloth * 0.04 * sin(p.x * 60.0 + p.z * 35.0);
        base = mix(base, trousers, edge(waist - p.z + 0.01 * sin(p.x * 20.0), 0.002));
        gloss = mix(gloss, 0.02, cloth);
    } else if (kind > 2.5 && kind < 3.5) {                // arm
        float along = length(vec3(side, p.y, p.z) - arm);
        float cloth = edge(sleeve_end - along, 0.002);
        float band = stripes > 0.0 ? edge(sin(p.z * stripes * 6.283), 0.15) : 0.0;
        base = mix(skin, mix(shirt, stripe, band), cloth);
        base *= mix(1.0, 0.7, cloth * exp(-pow((sleeve_end - along) / 0.006, 2.0)));
        gloss = mix(gloss, 0.02, cloth);
    } else {                                              // hand
        base = mix(skin, skin * vec3(1.04, 0.90, 0.86), 0.5);
    }
    float towards = max(dot(n, view), 0.0);
    float lit = max(dot(n, light) * 0.85 + 0.15, 0.0);
    float sky = 0.5 + 0.5 * n.z;
    vec3 shade = base * (key * lit + fill * (0.55 + 0.45 * sky) + vec3(0.10));
    shade *= 0.62 + 0.38 * smoothstep(0.0, 0.65, towards);      // darker rims: fingers stand apart
    shade += gloss * key * pow(max(dot(reflect(-light, n), view), 0.0), 24.0);
    colour = vec4(pow(clamp(shade, 0.0, 1.0), vec3(0.85)), 1.0);
}
"""


@functools.cache
def _context() -> Any:
    """The one OpenGL context of this process.

    Raises:
        MissingExtra: moderngl or EGL is missing.
    """
    try:
        import moderngl

        settings: dict[str, Any] = {"backend": "egl"}
        return moderngl.create_standalone_context(**settings)
    except ImportError as error:
        raise MissingExtra("rendering needs the package moderngl: pip install 'signspot[synth]'") from error
    except Exception as error:  # moderngl raises bare Exceptions for a missing driver
        raise MissingExtra(
            f"rendering needs EGL, which did not start ({error}); on Debian: apt install libegl1 libgl1-mesa-dri"
        ) from error


class Renderer:
    """Draws one signer in one appearance.

    Args:
        body: the signer's.
        appearance: colours, light, camera and background.
        width: of the pictures, pixels.
        height: of the pictures, pixels.

    Raises:
        MissingExtra: moderngl or EGL is missing.
    """

    def __init__(self, body: Body, appearance: Appearance, width: int, height: int) -> None:
        self._body, self._look = body, appearance
        self._size = (width, height)
        self._backdrop = appearance.background(width, height).astype(np.float32)
        context = _context()
        self._keep, faces = upper_half(body)
        self._parts = parts(body)[self._keep]
        rest = body.vertices[self._keep]
        facing = normals(body.vertices, body.faces)[self._keep]
        self._thickness = thickness(body, appearance, rest, self._parts)[:, None] * facing
        self._actions = {name: offsets[self._keep] for name, offsets in body.actions.items()}
        self._rest = rest
        program = context.program(vertex_shader=VERTEX, fragment_shader=FRAGMENT)
        self._places = context.buffer(
            np.ascontiguousarray(rest + self._thickness).astype("f4").tobytes(), dynamic=True
        )
        fixed = np.concatenate(
            [rest, facing, body.weight_bones[self._keep], body.weights[self._keep], self._parts[:, None]], 1
        ).astype("f4")
        self._vertices = context.vertex_array(
            program,
            [
                (self._places, "3f", "place"),
                (
                    context.buffer(fixed.tobytes()),
                    "3f 3f 4f 4f 1f",
                    "rest",
                    "normal",
                    "owners",
                    "shares",
                    "part",
                ),
            ],
            index_buffer=context.buffer(faces.astype("i4").tobytes()),
        )
        self._program, self._context = program, context
        self._target = context.framebuffer(
            [context.renderbuffer(self._size, 4, samples=SAMPLES)],
            context.depth_renderbuffer(self._size, samples=SAMPLES),
        )
        self._resolved = context.framebuffer([context.renderbuffer(self._size, 4)])
        self._set_look()

    def _set_look(self) -> None:
        look, body = self._look, self._body
        camera = look.camera
        light = np.array(look.key_light) / np.linalg.norm(look.key_light)
        warm = np.array([1 + 0.08 * look.warmth, 1.0, 1 - 0.10 * look.warmth])
        eye = body.heads[body.index("eye.L")]
        values: dict[str, Any] = {
            "aspect": self._size[1] / self._size[0],
            "camera": (camera.aside_m, camera.distance_m, camera.height_m, 0.5 / np.tan(camera.field_rad / 2)),
            "skin": look.skin, "hair": look.hair, "iris": look.iris, "lips": look.lips, "shirt": look.shirt,
            "stripe": look.shirt_stripe, "light": tuple(light), "key": tuple(look.key_strength * warm),
            "fill": tuple(look.fill_strength * warm), "eye": tuple(eye), "apart": float(2 * eye[0]),
            "nose": tuple(body.face_points["nose"]), "neck": tuple(body.heads[body.index("neck01")]),
            "arm": tuple(body.heads[body.index("upperarm01.L")]), "sleeve_end": sleeve_end(body, look),
            "trousers": look.trousers, "waist": float(body.heads[body.index("upperleg01.L")][2]) + 0.03,
            "opening": look.neckline_m, "hair_length": look.hair_length, "stripes": look.stripes_per_m,
        }  # fmt: skip
        for name, value in values.items():
            self._program[name].value = value

    def frame(
        self, rotations: Array, joints: Array, face: Mapping[str, float] | None = None
    ) -> NDArray[np.uint8]:
        """Draw one pose.

        Args:
            rotations: (B, 3, 3) of a `Performance`.
            joints: (B, 3) of the same.
            face: facial action -> strength 0..1.

        Returns:
            uint8 (H, W, 3) RGB, without camera noise.
        """
        shift = joints - (rotations @ self._body.heads[:, :, None])[:, :, 0]
        bones = np.concatenate([rotations, shift[:, :, None]], 2).astype("f4")
        self._program["bones"].write(np.ascontiguousarray(bones).tobytes())
        places = self._rest + self._thickness
        for name in {*(face or {}), *self._look.expression}:
            strength = (face or {}).get(name, 0.0) + self._look.expression.get(name, 0.0)
            if strength > 0.01:
                places = places + min(strength, 1.0) * self._actions[name]
        self._places.write(np.ascontiguousarray(places).astype("f4").tobytes())
        self._target.use()
        self._context.enable(self._context.DEPTH_TEST | self._context.CULL_FACE)
        self._target.clear(0.0, 0.0, 0.0, 0.0)
        self._vertices.render()
        self._context.copy_framebuffer(self._resolved, self._target)
        width, height = self._size
        drawn = np.frombuffer(self._resolved.read(components=4), np.uint8).reshape(height, width, 4)[::-1]
        cover = drawn[:, :, 3:].astype(np.float32) / 255
        return (drawn[:, :, :3] + (1 - cover) * self._backdrop).clip(0, 255).astype(np.uint8)


def upper_half(body: Body) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Vertices above the knees, and the triangles between them: what is lower is never in view."""
    high = body.vertices[:, 2] > body.heads[body.index("lowerleg01.L")][2]
    arms = np.array([any(word in body.bones[b] for word in ("arm", "wrist", "finger", "metacarpal")) for b in body.weight_bones[:, 0]])  # fmt: skip
    kept = high | arms
    number = np.cumsum(kept) - 1
    faces = body.faces[kept[body.faces].all(1)]
    return np.flatnonzero(kept), number[faces]


def merged(
    body: Body, kept: NDArray[np.int64], faces: NDArray[np.int64], grain_m: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Fewer vertices, and the triangles that are left between them: one a cell, bone and side that its skin looks to.

    Vertex clustering (Rossignac and Borrel, "Multi-resolution 3D approximations", 1993).

    Args:
        body: the signer's.
        kept: (V,) vertices.
        faces: (F, 3) triangles, numbers among `kept`.
        grain_m: size of a cell, metres; that of hands is half of it.
    """
    part = parts(body)[kept]
    cell = np.where(part == HAND, grain_m / 2, grain_m)[:, None]
    bone = np.where(part == HAND, body.weight_bones[kept, 0], 0)
    front = normals(body.vertices, body.faces)[kept, 1] < 0
    keys = np.concatenate(
        [np.floor(body.vertices[kept] / cell), part[:, None], bone[:, None], front[:, None]], 1
    )
    _, first, owner = np.unique(keys.astype(np.int64), axis=0, return_index=True, return_inverse=True)
    joined = owner.reshape(-1)[faces]
    a, b, c = joined.T
    return kept[first], joined[(a != b) & (b != c) & (c != a)]


def parts(body: Body) -> NDArray[np.float32]:
    """Which part of the body each vertex belongs to."""
    of_bone = np.zeros(len(body.bones), np.float32)
    for number, name in enumerate(body.bones):
        if name.startswith("eye"):
            of_bone[number] = EYE
        elif name.startswith(("head", "neck02", "neck03")):
            of_bone[number] = HEAD
        elif name.startswith(("upperarm", "lowerarm")):
            of_bone[number] = ARM
        elif name.startswith(("wrist", "finger", "metacarpal")):
            of_bone[number] = HAND
    return np.asarray(of_bone[body.weight_bones[:, 0]])


def sleeve_end(body: Body, look: Appearance) -> float:
    """How far from the shoulder joint the sleeve reaches at rest, metres."""
    shoulder, wrist = body.heads[body.index("upperarm01.L")], body.heads[body.index("wrist.L")]
    return float(np.linalg.norm(wrist - shoulder) * look.sleeve * 0.97)


def thickness(body: Body, look: Appearance, rest: Array, parts: Array) -> Array:
    """How far cloth and hair stand off the skin, metres (V,)."""
    eye = body.heads[body.index("eye.L")]
    apart = 2 * float(eye[0])
    shoulder = body.heads[body.index("upperarm01.L")]
    beside = np.abs(rest[:, 0])
    along = np.linalg.norm(np.stack([beside, rest[:, 1], rest[:, 2]], 1) - shoulder, axis=1)
    away = np.linalg.norm(rest - body.heads[body.index("neck01")], axis=1)
    cloth = ((parts == TRUNK) & (away > look.neckline_m + 0.012)) | (
        (parts == ARM) & (along < sleeve_end(body, look))
    )
    up, back = (rest[:, 2] - eye[2]) / apart, (rest[:, 1] - eye[1]) / apart
    hairy = (parts == HEAD) & (
        (up - 1.05 + 0.55 * np.maximum(back - 0.2, 0) > 0.1) | ((back > 2.0) & (up > -1.2))
    )
    volume = 0.010 + 0.012 * look.hair_length if look.hair_length else 0.0
    return np.asarray(np.where(cloth, 0.006, np.where(hairy, volume, 0.0)), np.float32)


def normals(vertices: Array, faces: NDArray[np.int32]) -> Array:
    """Unit normals (V, 3) of a mesh's vertices."""
    corners = vertices[faces]
    flat = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    total = np.zeros_like(vertices)
    for corner in range(3):
        np.add.at(total, faces[:, corner], flat)
    return np.asarray(total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12), np.float32)
