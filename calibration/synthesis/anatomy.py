"""What the joints do and what goes through what: `python -m calibration.synthesis.anatomy`.

Measured on the skinned mesh, not on the spheres and fields that motion keeps clear with: a vertex is inside another
part by its distance below the plane of that part's nearest vertex.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from scipy.spatial import cKDTree

from calibration.synthesis import joint_limits
from calibration.synthesis.arms import hand_frame
from calibration.synthesis.body import Body, body_of
from calibration.synthesis.lexicon import LexiconSampler, SignForm, read_lexicon
from calibration.synthesis.motion import Act, perform
from calibration.synthesis.performance import Array, Performance, Signer
from calibration.synthesis.solids import vertex_normals
from calibration.synthesis.streams import idling

Wide = NDArray[np.float64]

SEED = 31_000
OVERLAP_M = 0.005
NEAR_M = 0.05  # deeper than that below a nearest vertex is another part's surface
SLACK_RAD = np.radians(3)
PAIRS = {
    "hand in head": ("hand", "head"),
    "hand in trunk": ("hand", "trunk"),
    "hand in other hand": ("hand", "other hand"),
    "hand in other arm": ("hand", "other arm"),
    "forearm in head or trunk": ("forearm", "body"),
    "forearm in other forearm": ("forearm", "other forearm"),
}
LIMITS = ("shoulder", "elbow", "forearm twist", "wrist")


@dataclass(frozen=True, slots=True)
class Skin:
    """Which vertices belong to which part, by side."""

    body: Body
    parts: dict[str, NDArray[np.int64]]
    normals: Wide  # (V, 3) at rest

    @classmethod
    def of(cls, body: Body) -> Skin:
        """Sort a body's vertices by the bone that moves them most. Eyes and the mouth's inside are no skin."""
        owners = np.array([body.bones[bone] for bone in body.weight_bones[:, 0]])

        def owned(*names: str, side: str = "") -> NDArray[np.int64]:
            return np.flatnonzero([owner.startswith(names) and owner.endswith(side) for owner in owners])

        parts = {"head": _outside(body, owned("head", "neck"))}
        parts["trunk"] = owned("spine", "pelvis", "clavicle", "shoulder", "upperleg", "root", "breast")
        parts["body"] = np.concatenate([parts["head"], parts["trunk"]])
        for side in "LR":
            parts[f"hand {side}"] = owned("wrist", "metacarpal", "finger", side=f".{side}")
            parts[f"forearm {side}"] = owned("lowerarm", side=f".{side}")
            parts[f"arm {side}"] = owned("lowerarm", "upperarm", side=f".{side}")
        return cls(body, parts, vertex_normals(body.vertices, body.faces))

    def posed(self, rotations: Array, joints: Array) -> tuple[Wide, Wide]:
        """All vertices and normals (V, 3) of one moment, by linear-blend skinning."""
        body = self.body
        shift = joints - (rotations @ body.heads[:, :, None])[:, :, 0]
        weights = body.weights[:, :, None].astype(float)
        turn = (rotations[body.weight_bones] * weights[..., None]).sum(1)
        place = (turn @ body.vertices[:, :, None])[:, :, 0] + (shift[body.weight_bones] * weights).sum(1)
        normal = (turn @ self.normals[:, :, None])[:, :, 0]
        return place, normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)

    def overlaps(self, rotations: Array, joints: Array) -> dict[str, float]:
        """The deepest that each of `PAIRS` goes into each other at one moment, metres; 0 where nothing overlaps."""
        place, normal = self.posed(rotations, joints)
        trees: dict[str, tuple[cKDTree, NDArray[np.int64]]] = {}
        deepest = {}
        for name, (one, other) in PAIRS.items():
            depth = 0.0
            for side, across in (("L", "R"), ("R", "L")):
                target = other.replace("other ", "") + (f" {across}" if other.startswith("other") else "")
                if target not in trees:
                    rows = self.parts[target]
                    trees[target] = (cKDTree(place[rows]), rows)
                depth = max(depth, _depth(place[self.parts[f"{one} {side}"]], *trees[target], place, normal))
            deepest[name] = depth
        return deepest


def _outside(body: Body, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Those of the head's vertices that are its outermost in their direction from its middle."""
    points = body.vertices[rows].astype(float)
    offset = points - points.mean(0)
    radius = np.linalg.norm(offset, axis=1)
    _, nearest = cKDTree(offset / radius[:, None]).query(offset / radius[:, None], k=12)
    return np.asarray(rows[radius > radius[nearest].max(1) - 0.02])


def _depth(points: Wide, tree: cKDTree, rows: NDArray[np.int64], place: Wide, normal: Wide) -> float:
    away, nearest = tree.query(points, distance_upper_bound=NEAR_M)
    found = np.isfinite(away)
    if not found.any():
        return 0.0
    nearest = rows[nearest[found]]
    below = -((points[found] - place[nearest]) * normal[nearest]).sum(1)
    return float(max(below.max(), 0.0))


def excesses(performance: Performance) -> Wide:
    """How far shoulder, elbow, forearm twist and wrist are beyond their limits: (T, side, 4) rad."""
    body = body_of(performance.signer)
    out = np.zeros((len(performance), 2, len(LIMITS)))
    trunk = body.index("spine01")
    for number, side in enumerate("LR"):
        sign = 1.0 if side == "L" else -1.0
        frame = hand_frame(body, side)  # type: ignore[arg-type]
        shoulder, elbow, wrist = (
            performance.joints[:, body.index(f"{name}.{side}")].astype(float)
            for name in ("upperarm01", "lowerarm01", "wrist")
        )
        uppers, lowers = _unit(elbow - shoulder), _unit(wrist - elbow)
        hands = performance.rotations[:, body.index(f"wrist.{side}")].astype(float) @ frame.axes
        for tick, (upper, lower, hand, turn) in enumerate(
            zip(uppers, lowers, hands, performance.rotations[:, trunk].astype(float), strict=True)
        ):
            bent = joint_limits.bends(tuple(upper), tuple(lower), sign, *(tuple(axis) for axis in hand.T))
            bend = np.hypot(bent[1], bent[2])
            share = joint_limits.wrist_share(bent[1], bent[2])
            flexion = np.arccos(np.clip(upper @ lower, -1, 1))
            out[tick, number] = (
                joint_limits.shoulder_excess(tuple(turn.T @ upper), tuple(turn.T @ lower), sign),
                max(flexion - joint_limits.ELBOW_FLEXION_RAD, 0.0),
                joint_limits.twist_excess(bent),
                bend * max(1 - 1 / max(share, 1e-9), 0.0),
            )
    return np.asarray(out)


def _unit(vectors: Wide) -> Wide:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def accelerations(performance: Performance) -> Wide:
    """Of both wrists, m/s2: (2 (T - 2),)."""
    body = body_of(performance.signer)
    tracks = [performance.joints[:, body.index(f"wrist.{side}")].astype(float) for side in "LR"]
    jolts = np.concatenate([np.linalg.norm(np.diff(x, 2, axis=0), axis=1) for x in tracks])
    return np.asarray(jolts * performance.fps**2)


def measure(performances: list[Performance], step: int) -> dict[str, float]:
    """Shares of frames with an overlap of more than `OVERLAP_M`, and of hands with a joint beyond its limits."""
    rows, beyond, jolts = [], [], []
    for performance in track(performances, "anatomy", console=Console(stderr=True)):
        skin = Skin.of(body_of(performance.signer))
        rows += [
            skin.overlaps(performance.rotations[t], performance.joints[t])
            for t in range(0, len(performance), step)
        ]
        beyond.append(excesses(performance).reshape(-1, len(LIMITS)))
        jolts.append(accelerations(performance))
    deep = {name: np.array([row[name] for row in rows]) > OVERLAP_M for name in PAIRS}
    result = {"frames": float(len(rows)), "any overlap": float(np.mean(np.any(list(deep.values()), axis=0)))}
    result |= {name: float(found.mean()) for name, found in deep.items()}
    beyond_limit = np.concatenate(beyond) > SLACK_RAD
    result |= {f"{name} beyond": float(beyond_limit[:, k].mean()) for k, name in enumerate(LIMITS)}
    result["wrist acceleration, 99%, m/s2"] = float(np.quantile(np.concatenate(jolts), 0.99))
    return result


def signed(forms: list[SignForm], signers: int) -> list[Performance]:
    """Signs in a row, shared out among signers."""
    return [
        perform(Signer.draw(SEED + n), [Act("sign", form) for form in forms[n::signers]], seed=SEED + n)
        for n in range(signers)
    ]


def main() -> None:
    """Measure the built-in lexicon, drawn signs and idling, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--drawn", type=int, default=120, metavar="N", help="signs to draw (default: 120)")
    parser.add_argument("--signers", type=int, default=4, metavar="N", help="of each kind (default: 4)")
    parser.add_argument("--step", type=int, default=3, metavar="N", help="every N-th frame (default: 3)")
    parser.add_argument("--save", type=Path, metavar="FILE", help="write the figures as JSON")
    args = parser.parse_args()
    kinds = {
        "lexicon": signed(list(read_lexicon().values()), args.signers),
        "drawn signs": signed(LexiconSampler(SEED).draw(args.drawn), args.signers),
        "idling": [idling(Signer.draw(SEED + 50 + n), seconds=60, seed=n) for n in range(args.signers)],
    }
    results = {name: measure(performances, args.step) for name, performances in kinds.items()}
    print("| | " + " | ".join(results) + " |\n|---|" + "---|" * len(results))
    for key in next(iter(results.values())):
        cells = [result[key] for result in results.values()]
        texts = [
            f"{x:.0f}" if key == "frames" else f"{x:.1f}" if "m/s2" in key else f"{100 * x:.1f}%"
            for x in cells
        ]
        print(f"| {key} | " + " | ".join(texts) + " |")
    if args.save:
        results["made by"] = {"step": args.step, "signers": args.signers}
        args.save.write_text(
            json.dumps({"date": time.strftime("%Y-%m-%d"), **results}, indent=1) + "\n", encoding="utf-8"
        )


if __name__ == "__main__":
    main()
