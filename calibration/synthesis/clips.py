"""Sampled signs as small pictures, rendered at their own size: what the RGB encoder is trained and measured on.

A scene is one body in one appearance before one camera that signs a few sentences. Of each sign a clip of twelve
pictures is kept, from a little before its stroke to a little after it, as JPEG; of what lies between signs (ways,
rests, idling) a few clips as well. One file a scene, so that making them can be stopped and gone on with.
"""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from calibration.synthesis.appearance import Appearance
from calibration.synthesis.body import Body, body_of
from calibration.synthesis.landmarks import Camera, landmarks_of
from calibration.synthesis.lexicon import LexiconSampler, SignForm
from calibration.synthesis.performance import Array, Performance, Signer
from calibration.synthesis.raster import SmallRenderer
from calibration.synthesis.streams import sentences
from engines import skeleton
from engines.crop import SHOULDER_WIDTHS
from engines.errors import ConfigError

PICTURES = 12
"""Of a clip, evenly over its span."""
SIDE = 112
"""Of a picture, pixels; the middle 96 are what a crop shows, the rest is for the crop to be moved and scaled."""
CROP = 96
MARGIN_TICKS = 5
"""Before and after the stroke, and a seventh of the stroke more."""
SIGNS_A_SCENE = 24
BETWEEN = 3
"""Clips a scene that show no sign."""
BODIES = 120
"""Different bodies; building one takes half a second."""
EXPOSURES = 2
SHUTTER = 0.5
"""Share of a tick in which the shutter is open."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Clips:
    """N clips of F = 12 pictures."""

    jpegs: tuple[NDArray[np.uint8], ...]  # N x F, one after the other
    sign: NDArray[np.int32]  # (N,) number of the sign, -1 for none
    body: NDArray[np.int32]  # (N,) seed of the body
    ticks: NDArray[np.int32]  # (N, F) tick of each picture, from the first tick of the clip
    stroke: NDArray[
        np.int32
    ]  # (N, 2) first tick of the stroke, and the first after it; of no sign the whole clip
    keypoints: NDArray[
        np.float16
    ]  # (N, F, 27, 3) where the joints truly are, as `engines.skeleton` orders them

    def __len__(self) -> int:
        return len(self.sign)

    def __repr__(self) -> str:
        return f"Clips({len(self)} of {len(set(self.sign.tolist()))} signs by {len(set(self.body.tolist()))} bodies)"

    def pictures(self, clip: int, which: Sequence[int]) -> NDArray[np.uint8]:
        """Pictures (len(which), 112, 112, 3) RGB of one clip."""
        return np.stack([
            cv2.imdecode(self.jpegs[clip * PICTURES + one], cv2.IMREAD_COLOR)[..., ::-1] for one in which
        ])  # fmt: skip


def make_clips(
    out: Path,
    *,
    signs: int = 3000,
    scenes: int = 900,
    seed: int = 0,
    bodies: int = BODIES,
    processes: int = 1,
    progress: Callable[[], None] | None = None,
) -> None:
    """Render scenes into a folder; those that are there already are kept.

    Args:
        out: the folder; made if need be.
        signs: how many to sample.
        scenes: how many; each gives about 24 clips of signs.
        seed: of signs, bodies and appearances; other seeds share none of them.
        bodies: different ones.
        processes: that render side by side; the clips are the same.
        progress: called after each scene.

    Raises:
        MissingExtra: `anny` is not installed.
        ConfigError: the folder cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--out {out} cannot be made: {error.strerror or error}") from error
    job = _Job(out, sampled_signs(signs, seed), scenes, seed, bodies)
    with contextlib.ExitStack() as stack:
        done: Iterable[None] = map(job.render, range(scenes))
        if processes > 1:
            pool = stack.enter_context(ProcessPoolExecutor(processes))
            # Neighbouring scenes share a body: whoever has built it draws them all.
            done = pool.map(job.render, range(scenes), chunksize=max(scenes // bodies, 1))
        for _ in done:
            if progress is not None:
                progress()


@dataclass(frozen=True, slots=True)
class _Job:
    """Scenes of a folder."""

    out: Path
    forms: list[SignForm]
    scenes: int
    seed: int
    bodies: int

    def render(self, scene: int) -> None:
        """One scene, unless it is there."""
        path = self.out / f"scene-{scene:05}.npz"
        if path.exists():
            return
        # Neighbouring scenes share a body, and every sign is as often signed as any other.
        signs = len(self.forms)
        body = self.seed * 100_000 + scene * self.bodies // self.scenes
        rng = np.random.default_rng([self.seed, scene, 61])
        turn = np.random.default_rng([self.seed, scene * SIGNS_A_SCENE // signs, 62]).permutation(signs)
        first = scene * SIGNS_A_SCENE % signs
        chosen = np.take(turn, range(first, first + SIGNS_A_SCENE), mode="wrap")
        _keep(path, _scene(rng, body, [(int(n), self.forms[n]) for n in chosen]))


def sampled_signs(count: int, seed: int) -> list[SignForm]:
    """The signs of a seed."""
    return LexiconSampler(7_000_000 + seed).draw(count)


def read_clips(folder: Path) -> Clips:
    """All scenes of a folder.

    Raises:
        ConfigError: there is none, or one is damaged.
    """
    paths = sorted(folder.glob("scene-*.npz"))
    if not paths:
        raise ConfigError(f"{folder} holds no clips: make them with `signspot synth clips --out {folder}`")
    jpegs: list[NDArray[np.uint8]] = []
    parts: dict[str, list[NDArray[np.generic]]] = {
        name: [] for name in ("sign", "body", "ticks", "stroke", "keypoints")
    }
    for path in paths:
        try:
            with np.load(path) as data:
                raw, ends = data["jpegs"], np.cumsum(data["sizes"])
                for name, rows in parts.items():
                    rows.append(data[name])
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise ConfigError(f"{path} is damaged ({error}): delete it and make it again") from error
        jpegs += np.split(raw, ends[:-1])
    whole = {name: np.concatenate(rows) for name, rows in parts.items()}
    return Clips(jpegs=tuple(jpegs), **whole)  # type: ignore[arg-type]


def _keep(path: Path, clips: Clips) -> None:
    partial = path.with_name(f"part-{path.name}")  # no reader takes it for a scene
    np.savez(
        partial,
        jpegs=np.concatenate(clips.jpegs),
        sizes=np.array([len(one) for one in clips.jpegs], np.int32),
        sign=clips.sign,
        body=clips.body,
        ticks=clips.ticks,
        stroke=clips.stroke,
        keypoints=clips.keypoints,
    )
    partial.replace(path)


def _scene(rng: np.random.Generator, body_seed: int, signs: Sequence[tuple[int, SignForm]]) -> Clips:
    """One scene's clips."""
    own = int(rng.integers(2**31))
    signer = replace(Signer.draw(own), phenotype=Signer.draw(body_seed).phenotype)
    body = body_of(signer)
    look = Appearance.draw(own, body)
    numbers = {form.gloss: number for number, form in signs}
    performance = sentences(
        signer, [form for _, form in signs], seed=own, count=len(signs) // 3, signs=(3, 3)
    )
    spans = [
        (numbers[sign.gloss], round(sign.start_s * performance.fps), round(sign.end_s * performance.fps))
        for sign in performance.signs
    ]
    strokes = [(first, last) for _, first, last in spans]
    spans += [(-1, *span) for span in _between(rng, strokes, len(performance))]
    camera, lens, shift = framed_camera(rng, body)
    renderer = SmallRenderer(body, look, SIDE, lens=lens, shift=shift)
    truth = landmarks_of(performance, camera)
    jpegs: list[NDArray[np.uint8]] = []
    ticks, inside, points = [], [], []
    for number, first, last in spans:
        margin = MARGIN_TICKS + (last - first) // 7 if number >= 0 else 0
        begin, end = max(first - margin, 0), min(last + margin, len(performance)) - 1
        which = np.round(np.linspace(begin, end, PICTURES)).astype(int)
        for tick in which:
            jpegs.append(_compressed(rng, exposed(renderer, performance, int(tick)), look.noise))
        ticks.append(which - begin)
        inside.append((first - begin, last - begin))
        points.append(np.stack([skeleton.keypoints(truth.at(int(tick))) for tick in which]))
    return Clips(
        jpegs=tuple(jpegs),
        sign=np.array([number for number, _, _ in spans], np.int32),
        body=np.full(len(spans), body_seed, np.int32),
        ticks=np.array(ticks, np.int32),
        stroke=np.array(inside, np.int32),
        keypoints=np.array(points, np.float16),
    )


def _between(
    rng: np.random.Generator, strokes: Sequence[tuple[int, int]], length: int
) -> list[tuple[int, int]]:
    """Spans of which strokes take a third at most."""
    busy = np.zeros(length, np.bool_)
    for first, last in strokes:
        busy[first:last] = True
    found: list[tuple[int, int]] = []
    for _ in range(200):
        ticks = int(rng.integers(12, 25))
        first = int(rng.integers(length - ticks))
        if busy[first : first + ticks].mean() < 1 / 3:
            found.append((first, first + ticks))
        if len(found) == BETWEEN:
            break
    return found


def framed_camera(
    rng: np.random.Generator, body: Body, *, widths: float = SHOULDER_WIDTHS * SIDE / CROP, below: float = 0.0
) -> tuple[Camera, tuple[float, float, float, float], tuple[float, float]]:
    """A level camera as people have one, and the part of its view that shows a signer.

    Args:
        rng: draws where the camera stands.
        body: the signer's.
        widths: of the shoulders, that the view's side measures.
        below: where the view's middle is, shoulder widths below the nose.

    Returns:
        The camera; its place and focal length, and the shift of its view, as `SmallRenderer` takes them.
    """
    left, right = body.heads[body.index("upperarm01.L")], body.heads[body.index("upperarm01.R")]
    nose = body.face_points["nose"]
    distance, aside = float(rng.uniform(1.2, 3.0)), float(rng.normal(0, 0.12))
    height = float(nose[2]) + float(rng.uniform(-0.3, 0.12))
    shoulders = float(np.linalg.norm(left - right))
    seen = widths * shoulders
    focal = (distance + float(left[1])) / seen
    camera = Camera(
        distance_m=distance,
        height_m=height,
        aside_m=aside,
        field_rad=2 * float(np.arctan(0.5 / focal)),
        width=SIDE,
        height=SIDE,
    )
    across, down = camera.project(nose - [0, 0, below * shoulders])[0] - 0.5
    return camera, (aside, distance, height, focal), (float(across), float(down))


def exposed(renderer: SmallRenderer, performance: Performance, tick: int) -> NDArray[np.float32]:
    """A picture with motion blur."""
    after = min(tick + 1, len(performance) - 1)
    total = np.zeros((renderer.size, renderer.size, 3), np.float32)
    for exposure in range(EXPOSURES):
        share = SHUTTER * exposure / EXPOSURES
        pose: list[Array] = [
            np.asarray((1 - share) * track[tick] + share * track[after], np.float32)
            for track in (performance.rotations, performance.joints)
        ]
        total += renderer.frame(pose[0], pose[1])
    return total / EXPOSURES


_GRAIN = np.random.default_rng(6).standard_normal(2**19, np.float32)
"""Camera noise to cut pieces from."""


def grained(rng: np.random.Generator, picture: NDArray[np.float32], noise: float) -> NDArray[np.uint8]:
    """A picture with camera noise."""
    start = int(rng.integers(len(_GRAIN) - picture.size))
    noisy = picture + _GRAIN[start : start + picture.size].reshape(picture.shape) * np.float32(noise)
    return np.asarray(noisy.clip(0, 255), np.uint8)


def _compressed(rng: np.random.Generator, picture: NDArray[np.float32], noise: float) -> NDArray[np.uint8]:
    """JPEG bytes, camera noise included."""
    noisy = grained(rng, picture, noise)
    quality = int(rng.integers(75, 96))
    _, raw = cv2.imencode(".jpg", noisy[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(raw, np.uint8).reshape(-1)
