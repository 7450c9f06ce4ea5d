"""MediaPipe on renders against the true joints: `python -m calibration.synthesis.measure`.

Writes `mediapipe_noise.json` (what the landmark simulator disturbs true landmarks by), a plot of the error of every
joint, and a sheet of random frames.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from calibration.synthesis.appearance import Appearance
from calibration.synthesis.body import body_of
from calibration.synthesis.landmarks import hand_points, landmarks_of
from calibration.synthesis.lexicon import LexiconSampler
from calibration.synthesis.performance import Signer
from calibration.synthesis.streams import sentences
from calibration.synthesis.video import pictures
from engines.landmarks import LandmarkTrack
from engines.pose.mediapipe import HolisticPose

Wide = NDArray[np.float64]

WIDTH, HEIGHT = 640, 480
SEED = 9000
SPEEDS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)  # shoulder widths a second
SLOW = 1.0
BODY = {
    0: "nose",
    11: "shoulder L",
    12: "shoulder R",
    13: "elbow L",
    14: "elbow R",
    15: "wrist L",
    16: "wrist R",
}
HAND = (
    "wrist",
    *(f"{finger} {n}" for finger in ("thumb", "index", "middle", "ring", "little") for n in (1, 2, 3, 4)),
)


@dataclass(frozen=True, slots=True)
class Sample:
    """One stream: what is true, what MediaPipe saw, how fast the hands moved."""

    truth: LandmarkTrack
    seen: LandmarkTrack
    speed: Wide  # (T, 2) of the left and right middle knuckle, shoulder widths a second
    frames: list[NDArray[np.uint8]]  # two of them, at random


def sample(number: int, estimator: HolisticPose) -> Sample:
    """Render and pose two sentences of drawn signs by a drawn signer."""
    signer = Signer.draw(SEED + number)
    body = body_of(signer)
    performance = sentences(
        signer, LexiconSampler(SEED + number).draw(12), seed=SEED + number, count=2, signs=(3, 3)
    )
    look = Appearance.draw(SEED + number, body)
    estimator.reset()
    rows, kept = [], []
    chosen = np.random.default_rng(SEED + number).choice(len(performance), 2, replace=False)
    for frame, picture in enumerate(pictures(performance, look, WIDTH, HEIGHT)):
        rows.append(estimator.estimate(picture))
        if frame in chosen:
            kept.append(picture)
    shoulders = np.linalg.norm(
        body.heads[body.index("upperarm01.L")] - body.heads[body.index("upperarm01.R")]
    )
    knuckles = [hand_points(body, side, performance.rotations, performance.joints)[:, 9] for side in "LR"]
    speed = [np.linalg.norm(np.gradient(points, axis=0), axis=1) * 25 / shoulders for points in knuckles]
    camera = type(look.camera)(
        distance_m=look.camera.distance_m, height_m=look.camera.height_m, aside_m=look.camera.aside_m,
        field_rad=look.camera.field_rad, width=WIDTH, height=HEIGHT,
    )  # fmt: skip
    return Sample(landmarks_of(performance, camera), LandmarkTrack.of(rows), np.stack(speed, 1), kept)


def _picture_units(points: NDArray[np.float32]) -> Wide:
    """Places across and down in picture heights."""
    return points[..., :2].astype(float) * (WIDTH / HEIGHT, 1.0)


def summary(samples: list[Sample]) -> dict[str, object]:
    """Detection rates, errors by joint and the simulator's parameters."""
    body_errors: list[Wide] = []
    hand_errors: list[Wide] = []
    residual_body, residual_hand = [], []
    found, speeds, raised, swapped, shifts, offsets = [], [], [], [], [], []
    for one in samples:
        truth, seen = _picture_units(one.truth.pose), _picture_units(one.seen.pose)
        shoulders = np.median(np.linalg.norm(truth[:, 11] - truth[:, 12], axis=1))
        error = (seen - truth)[:, list(BODY)] / shoulders
        body_errors.append(np.linalg.norm(error, axis=-1))
        residual_body.append(error - np.nanmedian(error, axis=0))
        offsets.append(np.nanmedian(error, axis=0))
        wrists = [_picture_units(hand)[:, 0] for hand in (one.truth.left_hand, one.truth.right_hand)]
        for side, (true_hand, seen_hand) in enumerate(
            ((one.truth.left_hand, one.seen.left_hand), (one.truth.right_hand, one.seen.right_hand))
        ):
            true_xy, seen_xy = _picture_units(true_hand), _picture_units(seen_hand)
            own = np.linalg.norm(seen_xy[:, 0] - wrists[side], axis=1) / shoulders
            others = np.linalg.norm(seen_xy[:, 0] - wrists[1 - side], axis=1) / shoulders
            wrong = (own > 0.4) & (others < 0.2)
            present = ~np.isnan(seen_xy[:, 0, 0])
            swapped.append(wrong[present])
            palm = np.median(np.linalg.norm(true_xy[:, 9] - true_xy[:, 0], axis=1))
            difference = (seen_xy - true_xy) / palm
            difference[wrong] = np.nan
            hand_errors.append(np.linalg.norm(difference, axis=-1))
            slow = one.speed[:, side] < SLOW
            shift = np.nanmedian(difference, axis=1, keepdims=True)
            if (present & slow & ~wrong).sum() > 10:
                relative = difference - shift
                residual_hand.append(relative - np.nanmedian(relative, axis=0))
                shifts.append(shift - np.nanmedian(shift, axis=0))
            in_view = ((true_hand[..., :2] > 0.02) & (true_hand[..., :2] < 0.98)).all((1, 2))
            found.append(present[in_view])
            speeds.append(one.speed[in_view, side])
            raised.append((truth[:, 15 + side, 1] < truth[:, 13 + side, 1])[in_view])
    all_found, all_speeds, up = np.concatenate(found), np.concatenate(speeds), np.concatenate(raised)
    slow_and_up = (all_speeds < SLOW) & up
    missing = []
    for low, high in zip(SPEEDS, (*SPEEDS[1:], np.inf), strict=True):
        part = (all_speeds >= low) & (all_speeds < high)
        if part.sum() >= 20:
            missing.append([(low + min(high, 2 * max(low, 0.5))) / 2, float(1 - all_found[part].mean())])
    body, hand = np.concatenate(residual_body), np.concatenate(residual_hand)
    return {
        "made_by": f"python -m calibration.synthesis.measure --streams {len(samples)}",
        "date": time.strftime("%Y-%m-%d"),
        "streams": len(samples),
        "frames": sum(len(one.seen) for one in samples),
        "pose_found": float(np.mean([np.mean(~np.isnan(one.seen.pose[:, 0, 0])) for one in samples])),
        "slow_raised_hand_found": float(all_found[slow_and_up].mean()),
        "slow_raised_hands": int(slow_and_up.sum()),
        "slow_hand_found": float(all_found[all_speeds < SLOW].mean()),
        "hand_found": float(all_found.mean()),
        "body_error_median": dict(
            zip(BODY.values(), np.nanmedian(np.concatenate(body_errors), 0).tolist(), strict=True)
        ),
        "hand_error_median": dict(
            zip(HAND, np.nanmedian(np.concatenate(hand_errors), 0).tolist(), strict=True)
        ),
        "body_offset": [
            [point, *map(float, row)] for point, row in zip(BODY, np.mean(offsets, 0), strict=True)
        ],
        "body_error": _spread(body),
        "hand_shift": _spread(np.concatenate(shifts)),
        "hand_error": _spread(hand),
        "persistence": float(
            np.clip(np.nanmean([_persistence(x) for x in (*residual_body, *residual_hand)]), 0, 0.95)
        ),
        "missing": missing,
        "swapped": float(np.concatenate(swapped).mean()),
    }


def _spread(residual: Wide) -> float:
    """Standard deviation from the median absolute deviation, so that a few wild misses do not count as noise."""
    return float(1.4826 * np.nanmedian(np.abs(residual)))


def _persistence(residual: Wide) -> float:
    flat = residual.reshape(len(residual), -1)
    before, after = flat[:-1], flat[1:]
    return float(np.nansum(before * after) / max(float(np.nansum(before**2)), 1e-12))


def draw(result: dict[str, object], path: Path) -> None:
    """Plot the error by joint and the drop-outs by speed."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.5), layout="constrained")
    axes = figure.subplots(1, 3, width_ratios=(1, 2, 1))
    for axis, key, unit in (
        (axes[0], "body_error_median", "shoulder widths"),
        (axes[1], "hand_error_median", "palm lengths"),
    ):
        errors = result[key]
        assert isinstance(errors, dict)  # noqa: S101
        axis.bar(list(errors), list(errors.values()))
        axis.tick_params(axis="x", rotation=90)
        axis.set(ylabel=f"median error, {unit}")
    missing = result["missing"]
    assert isinstance(missing, list)  # noqa: S101
    axes[2].plot([speed for speed, _ in missing], [100 * share for _, share in missing], "o-")
    axes[2].set(xlabel="hand speed, shoulder widths/s", ylabel="hand not found, %", ylim=(0, None))
    figure.savefig(path, dpi=100)


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--streams", type=int, default=12, metavar="N", help="signers to render (default: 12)"
    )
    parser.add_argument(
        "--docs", type=Path, default=Path("docs/images"), metavar="DIR", help="for the pictures"
    )
    args = parser.parse_args()
    with HolisticPose() as estimator:
        samples = [
            sample(number, estimator) for number in track(range(args.streams), console=Console(stderr=True))
        ]
    result = summary(samples)
    Path(__file__).with_name("mediapipe_noise.json").write_text(
        json.dumps(result, indent=1) + "\n", encoding="utf-8"
    )
    draw(result, args.docs / "synthetic-landmark-error.png")
    frames = [frame for one in samples for frame in one.frames][:20]
    frames += [np.zeros_like(frames[0])] * (-len(frames) % 5)
    sheet = np.vstack([np.hstack(frames[row : row + 5]) for row in range(0, len(frames), 5)])
    cv2.imwrite(str(args.docs / "synthetic-sheet.jpg"), cv2.cvtColor(sheet[::2, ::2], cv2.COLOR_RGB2BGR))
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
