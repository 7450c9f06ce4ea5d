"""From signs to motion: a signer performs a sequence of signs, rests and idles; every frame's pose and the truth.

Strokes and transitions follow minimum-jerk profiles (Flash and Hogan 1985). A sign's duration is drawn from the
distribution of real ones: LSE-Health-UVigo's annotations have a median of 480 ms and 5%..95% of 200..1400 ms.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation

from calibration.synthesis.arms import Arm, HandFrame, Side, fingertip
from calibration.synthesis.body import Body, body_of
from calibration.synthesis.clearance import Arms, Posed, give_way
from calibration.synthesis.handshapes import SHAPES
from calibration.synthesis.lexicon import ARM, FACES, HEAD, TRUNK, SignForm, direction
from calibration.synthesis.performance import Array, Performance, Signer, TimedSign
from calibration.synthesis.solids import solid_of

Wide = NDArray[np.float64]
Vector = Wide | tuple[float, float, float]

MEDIAN_S = 0.48
LOG_SD_BELOW = math.log(0.48 / 0.20) / 1.645
LOG_SD_ABOVE = math.log(1.40 / 0.48) / 1.645
SAMPLES = 24
"""Points that a stroke's path is laid out on before it is timed."""


@dataclass(frozen=True, slots=True)
class Act:
    """One thing to do: a sign, an idle movement (a form without a gloss that counts), or a rest."""

    kind: Literal["sign", "idle", "rest"]
    form: SignForm | None = None
    seconds: float | None = None  # of the stroke or the rest; None: drawn


@dataclass(slots=True)
class _Hand:
    """One hand over n moments."""

    place: Wide  # (n, 3) of the part that is in contact, world
    axes: Wide  # (n, 3, 3)
    shape: Wide  # (n, 15, 3)
    offset: Wide  # (n, 3) from the wrist to that part, in the hand's axes

    def moment(self, number: int) -> _Hand:
        part = slice(number, None) if number == -1 else slice(number, number + 1)
        return _Hand(self.place[part], self.axes[part], self.shape[part], self.offset[part])


@dataclass(slots=True)
class _Span:
    """A stretch of the performance: both hands laid out on moments 0..1, and how long it takes."""

    hands: dict[Side, _Hand]
    seconds: float
    face: dict[str, float]
    sign: str = ""
    even: bool = False  # keep the laid-out timing; otherwise minimum jerk from end to end


def stroke_seconds(rng: np.random.Generator, form: SignForm) -> float:
    """Draw a stroke's duration; a repeated movement takes the longer of two draws, a single one the shorter."""
    draws = []
    for _ in range(2):
        normal = rng.standard_normal()
        draws.append(MEDIAN_S * math.exp(normal * (LOG_SD_BELOW if normal < 0 else LOG_SD_ABOVE)))
    return float(np.clip(max(draws) if form.repeats > 1 else min(draws), 0.16, 2.0))


def perform(
    signer: Signer, acts: Sequence[Act], *, seed: int, fps: float = 25.0, lead_s: float = 0.6
) -> Performance:
    """Let a signer act.

    Args:
        signer: who.
        acts: what, in order; the hands rest before the first and after the last.
        seed: of this performance's scatter.
        fps: frames a second.
        lead_s: rest at both ends.

    Raises:
        MissingExtra: `anny` is not installed.
    """
    return _Director(signer, seed).perform(acts, fps, lead_s)


def isolated(signer: Signer, form: SignForm, *, seed: int, fps: float = 25.0) -> Performance:
    """One sign from rest to rest, as a clip to enrol from shows it: made a little slower than in sentences."""
    rng = np.random.default_rng([seed, 7])
    seconds = float(np.clip(stroke_seconds(rng, form) * 1.3, 0.45, 1.2))
    return perform(signer, [Act("sign", form, seconds)], seed=seed, fps=fps, lead_s=0.25)


class _Director:
    def __init__(self, signer: Signer, seed: int) -> None:
        self.signer = signer
        self.body: Body = body_of(signer)
        self.rng = np.random.default_rng([signer.seed, seed, 3])
        heads = self.body.heads.astype(float)
        self.solid = solid_of(signer)
        self.arms: dict[Side, Arm] = {"L": Arm.of(self.body, "L"), "R": Arm.of(self.body, "R")}
        self.frames: dict[Side, HandFrame] = {side: arm.hand for side, arm in self.arms.items()}
        left, right = (heads[self.body.index(f"upperarm01.{side}")] for side in "LR")
        self.shoulders = (left + right) / 2
        self.width = float(np.linalg.norm(left - right))
        self.nose = self.body.face_points["nose"].astype(float)
        self.dominant: Side = "L" if signer.left_handed else "R"
        self.front = _Front(self.body)

    # -- laying out ------------------------------------------------------------------------------------------

    def world(self, side: Side, vector: Vector) -> Wide:
        """To a side's outside, forwards, up -> world axes."""
        out, forward, up = vector
        return np.array([out if side == "L" else -out, -forward, up])

    def place(self, side: Side, name: str) -> Wide:
        """A named place for one side's hand, world."""
        origin = self.nose if name in HEAD else self.shoulders
        return np.asarray(origin + self.world(side, {**HEAD, **TRUNK}[name]) * self.width)

    def hand_axes(self, side: Side, fingers: Vector, palm: Vector) -> Wide:
        """The hand's axes (3, 3) from where fingers and palm are to look (side-wise directions)."""
        x = self.world(side, fingers)
        z = self.world(side, palm)
        z = z - (z @ x) * x
        z /= max(float(np.linalg.norm(z)), 1e-6)
        x /= np.linalg.norm(x)
        handed = np.sign(np.linalg.det(self.frames[side].axes))
        return np.stack([x, np.cross(z, x) * handed, z], 1)

    def contact(self, side: Side, form: SignForm, shape: Wide) -> Wide:
        """From the wrist to the part of the hand that is at the sign's place, in the hand's axes: (..., 3)."""
        frame = self.frames[side]
        if form.contact == "tip":
            return fingertip(frame, 1 if "little" not in form.shape else 4, shape)
        if form.contact == "thumb":
            return fingertip(frame, 0, shape)
        fixed = {"palm": frame.palm, "knuckles": frame.knuckle, "edge": frame.edge}[form.contact]
        return np.broadcast_to(fixed, (*shape.shape[:-2], 3)).copy()

    def stroke(self, form: SignForm) -> dict[Side, _Hand]:
        """Both hands over the moments of a stroke."""
        wobble = 0.10 * self.signer.sloppiness
        shift = self.rng.normal(0, 0.06 * self.signer.sloppiness, 3) * self.width
        tilt = Rotation.from_rotvec(self.rng.normal(0, wobble * 1.5, 3)).as_matrix()
        main, other = self.dominant, _other(self.dominant)
        second = self.base(other, form) if form.hands == "base" else None
        arm = self.places_on(other, second) if second and {form.at, form.to} & set(ARM) else {}
        hands = {main: self.one_hand(main, form, 0.0, arm)}
        if form.hands in ("mirror", "parallel", "alternate"):
            hands[other] = self.one_hand(other, form, 0.5 if form.hands == "alternate" else 0.0, {})
            if form.hands == "parallel":
                path = hands[main].place - hands[main].place[0]
                hands[other].place = hands[other].place[:1] + path
        elif second:
            hands[other] = second
        for hand in hands.values():
            hand.place = hand.place + shift
            hand.axes = tilt @ hand.axes
        return hands

    def base(self, side: Side, form: SignForm) -> _Hand:
        shape = SHAPES[form.base_shape].directions.astype(float)
        axes = self.hand_axes(side, direction(form.base_fingers), direction(form.base_palm))
        place = self.place(side, "middle") + self.world(side, (0.05, 0.0, -0.08)) * self.width
        return _Hand(
            np.repeat(place[None], SAMPLES, 0),
            np.repeat(axes[None], SAMPLES, 0),
            np.repeat(shape[None], SAMPLES, 0),
            np.repeat(self.frames[side].palm[None], SAMPLES, 0),
        )

    def places_on(self, side: Side, hand: _Hand) -> dict[str, Wide]:
        """Where the places of `ARM` are on an arm whose hand is held so, world."""
        arm, frame = self.arms[side], self.frames[side]
        first = hand.moment(0)
        wanted = first.place - (first.axes @ first.offset[:, :, None])[:, :, 0]
        shoulder = self.body.heads[self.body.index(f"upperarm01.{side}")].astype(float)[None]
        upright = np.eye(3)[None]
        elbows, wrists, bent = arm.reach(shoulder, wanted, first.axes, upright, self.solid.trunk, 25.0)
        axes = arm.hands(shoulder, elbows, wrists, bent)[0]
        elbow, wrist = elbows[0], wrists[0]
        lower = (wrist - elbow) / np.linalg.norm(wrist - elbow)
        bone = axes @ np.array([0.0, 0.0, 1.0])
        palm = bone - (bone @ lower) * lower
        palm /= max(float(np.linalg.norm(palm)), 1e-6)
        upper = (elbow - shoulder[0]) / np.linalg.norm(elbow - shoulder[0])
        bow = (upper - lower) / max(float(np.linalg.norm(upper - lower)), 1e-6)
        number = 0 if side == "L" else 1
        thick = self.solid.forearm[number]
        half = self.solid.palm[number]
        middle = wrist + axes @ (frame.knuckle * 0.6)
        shape = first.shape[0]
        places = {
            "other-elbow": elbow + thick[0] * bow,
            "other-elbow-inside": elbow + 0.12 * (wrist - elbow) - thick[0] * bow,
            "other-forearm": (elbow + wrist) / 2 - thick[2] * palm,
            "other-forearm-inside": (elbow + wrist) / 2 + thick[2] * palm,
            "other-wrist": wrist - thick[4] * palm,
            "other-wrist-inside": wrist + thick[4] * palm,
            "other-hand-back": middle - half * axes[:, 2],
            "other-fingertips": wrist + axes @ fingertip(frame, 2, shape),
            "other-thumb": wrist + axes @ fingertip(frame, 0, shape),
        }
        return {name: place.astype(float) for name, place in places.items()}

    def one_hand(self, side: Side, form: SignForm, phase: float, arm: Mapping[str, Wide]) -> _Hand:
        u = np.linspace(0, 1, SAMPLES)
        size = self.signer.size * self.width * form.reach
        along = self.world(side, direction(form.along))
        start = arm[form.at] if form.at in arm else self.place(side, form.at)
        shape = _shapes(form, u)
        begin = self.hand_axes(side, direction(form.fingers), direction(form.palm))
        end = self.hand_axes(
            side, direction(form.fingers_end or form.fingers), direction(form.palm_end or form.palm)
        )
        axes = _turned(begin, end, _smooth(u))
        beats = np.sin(2 * np.pi * form.repeats * u + 2 * np.pi * phase)
        path = np.zeros((SAMPLES, 3))
        if form.to:
            end_place = arm[form.to] if form.to in arm else self.place(side, form.to)
            path = _smooth(u)[:, None] * (end_place - start)
        if form.move in ("straight", "arc"):
            swing = _smooth(u) if form.repeats == 1 else 0.5 - 0.5 * np.cos(2 * np.pi * form.repeats * u)
            if not form.to:
                path = path + swing[:, None] * along * size
            if form.move == "arc":
                bulge = self.world(side, (0.25, 0.55, 0.8))
                bulge -= (bulge @ along) * along
                path = path + (np.sin(np.pi * u) * 0.35)[:, None] * bulge * size
        elif form.move == "circle":
            aside = np.cross(along, self.world(side, (0.0, 1.0, 0.0)))
            if np.linalg.norm(aside) < 0.3:
                aside = np.cross(along, self.world(side, (1.0, 0.0, 0.0)))
            aside /= np.linalg.norm(aside)
            turn = 2 * np.pi * (max(form.repeats, 1) * u + phase)
            path = 0.5 * size * (np.sin(turn)[:, None] * along + (1 - np.cos(turn))[:, None] * aside)
        elif form.move == "zigzag":
            aside = self.world(side, (0.0, 0.2, 1.0))
            aside -= (aside @ along) * along
            path = (
                u[:, None] * along * size
                + 0.3 * size * np.sin(2 * np.pi * max(form.repeats, 2) * u)[:, None] * aside
            )
        elif form.move == "tap":
            lift = np.abs(np.cos(np.pi * form.repeats * u + np.pi * phase))
            path = -lift[:, None] * along * size
        elif form.move == "back-and-forth":
            path = 0.5 * size * beats[:, None] * along
        elif form.move == "twist":
            axes = axes @ Rotation.from_rotvec(np.outer(0.75 * beats, [1, 0, 0])).as_matrix()
        elif form.move == "nod":
            axes = axes @ Rotation.from_rotvec(np.outer(0.45 * beats, [0, 1, 0])).as_matrix()
        elif form.move == "wiggle":
            shape = _wiggled(shape, u, max(form.repeats, 2))
        return _Hand(start + path, axes, shape, self.contact(side, form, shape))

    def resting(self, side: Side, folded: bool) -> _Hand:
        shape = SHAPES["relaxed"].directions.astype(float)[None]
        if folded:
            front = 0.10 if side == self.dominant else -0.05  # one hand lies on the other
            place = self.shoulders + self.world(side, (0.16, 0.42 + front, -1.05 + 0.8 * front)) * self.width
            axes = self.hand_axes(side, np.array([-0.85, 0.4, -0.3]), np.array([0.1, -1.0, -0.2]))
        else:
            place = self.shoulders + self.world(side, (0.74, 0.16, -1.62)) * self.width
            axes = self.hand_axes(side, np.array([0.05, 0.15, -1.0]), np.array([-1.0, 0.0, 0.0]))
        return _Hand(place[None], axes[None], shape, self.frames[side].palm[None].copy())

    # -- timing ----------------------------------------------------------------------------------------------

    def perform(self, acts: Sequence[Act], fps: float, lead_s: float) -> Performance:
        folded = self.signer.rest == "folded"
        rest: dict[Side, _Hand] = {"L": self.resting("L", folded), "R": self.resting("R", folded)}
        now = dict(rest)
        spans = [_Span(dict(rest), lead_s, {}, even=True)]
        for act in acts:
            if act.form is None:
                target, seconds = rest, act.seconds or float(self.rng.uniform(0.5, 1.2))
                spans += [self.passage(now, rest), _Span(dict(rest), seconds, {}, even=True)]
                now = dict(target)
                continue
            stroke = self.stroke(act.form)
            for side in ("L", "R"):
                if side not in stroke:
                    stroke[side] = self.idle_hand(side, now[side], rest[side])
            spans.append(self.passage(now, {side: hand.moment(0) for side, hand in stroke.items()}))
            seconds = act.seconds or stroke_seconds(self.rng, act.form) / self.signer.speed
            name = act.form.gloss if act.kind == "sign" else ""
            spans.append(_Span(stroke, seconds, FACES[act.form.face], sign=name, even=True))
            now = {side: hand.moment(-1) for side, hand in stroke.items()}
        spans += [self.passage(now, rest), _Span(dict(rest), lead_s, {}, even=True)]
        return self.filmed(spans, fps)

    def idle_hand(self, side: Side, now: _Hand, rest: _Hand) -> _Hand:
        """The hand that takes no part: lowered, mostly, or left where it is between two-handed signs."""
        lowered = float(self.rng.uniform(0.75, 1.0))
        place = (1 - lowered) * now.place + lowered * rest.place
        return _Hand(place, rest.axes, rest.shape, rest.offset)

    def passage(self, start: dict[Side, _Hand], end: dict[Side, _Hand]) -> _Span:
        """The way between two poses: minimum jerk, a little bowed, the hand opening and closing on the way."""
        u = np.linspace(0, 1, SAMPLES)
        s = _smooth(u)
        hands: dict[Side, _Hand] = {}
        longest = 0.0
        for side in ("L", "R"):
            one, two = start[side].moment(-1), end[side].moment(0)
            way = two.place[0] - one.place[0]
            longest = max(longest, float(np.linalg.norm(way)) / self.width)
            bow = self.world(side, (0.12, 0.35, 0.05)) * min(float(np.linalg.norm(way)), 0.5)
            place = one.place + s[:, None] * way + (np.sin(np.pi * s) * 0.35)[:, None] * bow
            turn = _turned(one.axes[0], two.axes[0], s)
            early = _smooth(np.clip(u / 0.8, 0, 1))[:, None, None]
            shape = (1 - early) * one.shape + early * two.shape
            shape /= np.linalg.norm(shape, axis=-1, keepdims=True)
            offset = (1 - s[:, None]) * one.offset + s[:, None] * two.offset
            hands[side] = _Hand(place, turn, shape, offset)
        seconds = float(np.clip(0.14 + 0.20 * longest, 0.16, 0.6)) / self.signer.speed
        return _Span(hands, seconds * float(self.rng.uniform(0.9, 1.15)), {}, even=True)

    def filmed(self, spans: Sequence[_Span], fps: float) -> Performance:
        ends = np.cumsum([span.seconds for span in spans])
        frames = int(ends[-1] * fps)
        moments = np.arange(frames) / fps
        which = np.minimum(np.searchsorted(ends, moments, side="right"), len(spans) - 1)
        starts = ends - [span.seconds for span in spans]
        share = np.clip((moments - starts[which]) / np.array([span.seconds for span in spans])[which], 0, 1)
        rotations, shoulder_of, head_joint = self.trunk(frames, fps)
        tracks: dict[Side, list[Wide]] = {}
        for side in ("L", "R"):
            parts = [_at(span.hands[side], share[which == number]) for number, span in enumerate(spans)]
            tracks[side] = [np.concatenate([part[k] for part in parts]) for k in range(4)]
        posed = self.posed(tracks, rotations, shoulder_of, head_joint, fps)
        for number, side in enumerate(self.arms):
            self.arms[side].pose(
                self.body, rotations, shoulder_of[side], posed.elbow[number], posed.wrist[number], posed.hands[number],
                tracks[side][2],
            )  # fmt: skip
        signs = []
        for number, span in enumerate(spans):
            if span.sign:
                before, after = starts[number - 1], ends[number + 1]
                signs.append(
                    TimedSign(
                        gloss=span.sign,
                        start_s=float(starts[number]),
                        end_s=float(ends[number]),
                        preparation_s=float(before),
                        retraction_s=float(after),
                    )
                )
        return Performance(
            signer=self.signer,
            fps=fps,
            rotations=rotations,
            joints=self.body.joints(rotations),
            face=self.faces(spans, which, fps),
            signs=tuple(signs),
        )

    def posed(
        self,
        tracks: Mapping[Side, list[Wide]],
        rotations: Array,
        shoulders: Mapping[Side, Wide],
        head_joint: Wide,
        fps: float,
    ) -> Posed:
        """Both arms, clear of the body and of each other."""
        places = []
        for place, turn, _, offset in tracks.values():
            place = gaussian_filter1d(place, 0.02 * fps, axis=0, mode="nearest")
            wrist = place - (turn @ offset[:, :, None])[:, :, 0]
            places.append(place + self.front.push(wrist, turn, offset))
        head = self.body.index("head")
        wanted = Arms(
            place=np.stack(places),
            offset=np.stack([track[3] for track in tracks.values()]),
            hands=np.stack([track[1] for track in tracks.values()]),
            shape=np.stack([track[2] for track in tracks.values()]),
            shoulder=np.stack([shoulders[side] for side in tracks]),
            trunk=rotations[:, self.body.index("spine01")].astype(float),
            head=rotations[:, head].astype(float),
            head_joint=head_joint,
        )
        return give_way(wanted, (self.arms["L"], self.arms["R"]), self.solid, fps)

    def trunk(self, frames: int, fps: float) -> tuple[Array, dict[Side, Wide], Wide]:
        """Breathing, swaying, nodding; returns all rotations with the arms still to do, and the joints of shoulders and head."""
        moments = np.arange(frames) / fps
        rotations = np.tile(np.eye(3, dtype=np.float32), (frames, len(self.body.bones), 1, 1))

        def wander(amount: float, slowest_hz: float) -> Wide:
            total = np.zeros(frames)
            for factor in (1.0, 1.7, 2.9):
                phase = self.rng.uniform(0, 2 * np.pi)
                total += np.sin(2 * np.pi * slowest_hz * factor * moments + phase) / factor
            return amount * total

        lean = np.stack([wander(0.012, 0.23), wander(0.012, 0.17), wander(0.02, 0.13)], 1)
        nod = lean + np.stack([wander(0.04, 0.4), wander(0.015, 0.3), wander(0.05, 0.25)], 1)
        trunk, head = Rotation.from_rotvec(lean).as_matrix(), Rotation.from_rotvec(nod).as_matrix()
        half = Rotation.from_rotvec((lean + nod) / 2).as_matrix()
        for number, bone in enumerate(self.body.bones):
            if bone.startswith("neck"):
                rotations[:, number] = half
            elif bone == "head" or bone.startswith("eye"):
                rotations[:, number] = head
            elif not bone.startswith(("root", "pelvis", "upperleg", "lowerleg", "foot", "toe")):
                rotations[:, number] = trunk
        joints = self.body.joints(rotations)
        shoulders: dict[Side, Wide] = {
            side: joints[:, self.body.index(f"upperarm01.{side}")].astype(float) for side in ("L", "R")
        }
        return rotations, shoulders, joints[:, self.body.index("head")].astype(float)

    def faces(self, spans: Sequence[_Span], which: NDArray[np.int64], fps: float) -> dict[str, Array]:
        names = {name for span in spans for name in span.face}
        tracks = {}
        for name in sorted(names):
            strengths = np.array([span.face.get(name, 0.0) for span in spans])[which]
            tracks[name] = gaussian_filter1d(strengths, 0.08 * fps, mode="nearest").astype(np.float32)
        blink = np.zeros(len(which))
        at = 0.0
        while (at := at + float(self.rng.uniform(1.5, 5.0))) * fps < len(which):
            blink[int(at * fps) : int(at * fps) + max(int(0.12 * fps), 1)] = 1.0
        for name in ("eyeBlinkLeft", "eyeBlinkRight"):
            tracks[name] = gaussian_filter1d(blink, 0.03 * fps, mode="nearest").astype(np.float32)
        return tracks


class _Front:
    """How far the body's skin comes forward, so that hands stay outside it."""

    STEP_M = 0.02
    CLEAR_M = 0.035

    def __init__(self, body: Body) -> None:
        owners = np.array(body.bones)[body.weight_bones[:, 0]]
        arm = np.array(
            [any(word in bone for word in ("arm", "wrist", "finger", "metacarpal")) for bone in owners]
        )
        skin = body.vertices[~arm].astype(float)
        self._low = skin[:, [0, 2]].min(0) - self.STEP_M
        cells = ((skin[:, [0, 2]] - self._low) / self.STEP_M).astype(int)
        self._depth = np.full(cells.max(0) + 2, np.inf)
        np.minimum.at(self._depth, (cells[:, 0], cells[:, 1]), skin[:, 1])
        for _ in range(2):  # close the gaps between vertices
            padded = np.pad(self._depth, 1, constant_values=np.inf)
            around = [padded[1 + i : padded.shape[0] - 1 + i, 1 + j : padded.shape[1] - 1 + j] for i in (-1, 0, 1) for j in (-1, 0, 1)]  # fmt: skip
            filled = np.min(around, axis=0)
            self._depth = np.where(np.isinf(self._depth), filled, self._depth)

    def push(self, wrist: Wide, axes: Wide, contact: Wide) -> Wide:
        """How far (T, 3) to move a hand forward so that neither wrist nor contact point is inside the body."""
        need = np.zeros(len(wrist))
        for share in (0.0, 0.5, 1.0):
            point = wrist + share * (axes @ contact[:, :, None])[:, :, 0]
            cell = ((point[:, [0, 2]] - self._low) / self.STEP_M).astype(int)
            inside = ((cell >= 0) & (cell < self._depth.shape)).all(1)
            cell = np.where(inside[:, None], cell, 0)
            depth = np.where(inside, self._depth[cell[:, 0], cell[:, 1]], np.inf)
            behind = point[:, 1] - (depth - self.CLEAR_M)
            need = np.maximum(need, np.where(np.isfinite(depth) & (behind < 0.35), behind, 0))
        need = gaussian_filter1d(np.maximum(need, 0), 1.0, mode="nearest")
        return np.stack([np.zeros_like(need), -need, np.zeros_like(need)], 1)


def _other(side: Side) -> Side:
    return "L" if side == "R" else "R"


def _smooth(u: Wide) -> Wide:
    """Minimum jerk from 0 to 1."""
    return np.asarray(u**3 * (10 - 15 * u + 6 * u * u))


def _shapes(form: SignForm, u: Wide) -> Wide:
    """The handshape (n, 15, 3) over the stroke."""
    first = SHAPES[form.shape].directions.astype(float)
    if not form.shape_end:
        return np.repeat(first[None], len(u), 0)
    last = SHAPES[form.shape_end].directions.astype(float)
    if form.move == "open-close" and form.repeats > 1:
        share = 0.5 - 0.5 * np.cos(2 * np.pi * form.repeats * u)
    else:
        share = _smooth(u)
    mixed = (1 - share)[:, None, None] * first + share[:, None, None] * last
    return np.asarray(mixed / np.linalg.norm(mixed, axis=-1, keepdims=True))


def _wiggled(shape: Wide, u: Wide, times: int) -> Wide:
    """Fingers that bend one after the other."""
    moved = shape.copy()
    for finger in range(1, 5):
        bend = 0.5 + 0.5 * np.sin(2 * np.pi * times * u - finger * np.pi / 2)
        rows = slice(3 * finger, 3 * finger + 3)
        moved[:, rows, 2] += 0.7 * bend[:, None]
    return np.asarray(moved / np.linalg.norm(moved, axis=-1, keepdims=True))


def _at(hand: _Hand, share: Wide) -> tuple[Wide, Wide, Wide, Wide]:
    """A laid-out hand at any moments (0..1)."""
    count = len(hand.place)
    position = share * (count - 1)
    low = np.minimum(position.astype(int), max(count - 2, 0))
    high = np.minimum(low + 1, count - 1)
    part = (position - low)[:, None]
    axes = hand.axes[low] * (1 - part[:, :, None]) + hand.axes[high] * part[:, :, None]
    shape = hand.shape[low if len(hand.shape) > 1 else low * 0] * (1 - part[:, :, None])
    shape = shape + hand.shape[high if len(hand.shape) > 1 else high * 0] * part[:, :, None]
    return (
        hand.place[low] * (1 - part) + hand.place[high] * part,
        _orthonormal(axes),
        shape / np.linalg.norm(shape, axis=-1, keepdims=True),
        hand.offset[low] * (1 - part) + hand.offset[high] * part,
    )


def _turned(begin: Wide, end: Wide, share: Wide) -> Wide:
    """From one hand's axes to another's by the shortest turn: (n, 3, 3). A left and a right hand differ in y."""
    handed = np.diag([1.0, float(np.sign(np.linalg.det(begin))), 1.0])
    start = begin @ handed
    turn = Rotation.from_matrix(end @ handed @ start.T).as_rotvec()
    return np.asarray(Rotation.from_rotvec(share[:, None] * turn).as_matrix() @ begin)


def _orthonormal(axes: Wide) -> Wide:
    x = axes[..., 0] / np.linalg.norm(axes[..., 0], axis=-1, keepdims=True)
    z = axes[..., 2] - (axes[..., 2] * x).sum(-1, keepdims=True) * x
    z /= np.linalg.norm(z, axis=-1, keepdims=True)
    handed = np.sign(np.linalg.det(axes))[..., None]
    return np.stack([x, np.cross(z, x) * handed, z], -1)


IDLE_FORMS = (
    SignForm(gloss="scratch-head", shape="relaxed", at="head-top", contact="tip", fingers="up+in", palm="in", move="back-and-forth", along="back", reach=0.12, repeats=3),
    SignForm(gloss="touch-face", shape="relaxed", at="cheek", contact="tip", fingers="up+in", palm="in", move="tap", along="back", reach=0.1),
    SignForm(gloss="adjust-shirt", shape="pinch", at="chest", hands="mirror", contact="tip", fingers="in+up", palm="back", move="tap", along="forward", reach=0.15, repeats=2),
    SignForm(gloss="rub-hands", shape="flat", at="neutral-low", hands="mirror", fingers="forward+in", palm="in", move="back-and-forth", along="in", reach=0.15, repeats=2),
    SignForm(gloss="push-hair", shape="relaxed", at="temple", contact="tip", fingers="up+in", palm="back+in", move="arc", along="back+out", reach=0.25),
    SignForm(gloss="beat", shape="relaxed", at="neutral-low", fingers="forward", palm="in+up", move="tap", along="down", reach=0.2, repeats=2),
    SignForm(gloss="shrug", shape="relaxed", at="neutral-low", hands="mirror", fingers="forward+out", palm="up", move="arc", along="out", reach=0.2),
    SignForm(gloss="rub-nose", shape="fist-thumb-side", at="nose", contact="knuckles", fingers="up+in", palm="back", move="back-and-forth", along="in", reach=0.08, repeats=2),
)  # fmt: skip
"""Movements of the hands that are no signs."""


def idle_act(rng: np.random.Generator) -> Act:
    """A movement that is no sign, drawn and varied."""
    form = IDLE_FORMS[int(rng.integers(len(IDLE_FORMS)))]
    scaled = replace(form, reach=float(form.reach * rng.uniform(0.6, 1.6)), repeats=int(rng.integers(1, 4)))
    return Act("idle", scaled, float(rng.uniform(0.4, 1.6)))
