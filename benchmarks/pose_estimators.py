"""Holistic against blaze on the same frames: how alike their landmarks are, and what a frame costs.

    python benchmarks/pose_estimators.py VIDEO... [--output benchmarks/results/pose-estimators.json]

Estimators take turns frame by frame, so that a noisy machine is noisy for all. "holistic (official)" is
`mp.solutions.holistic` as published, face mesh included; "holistic" is the same graph without what we do not use.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import av
import mediapipe
import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from engines.landmarks import Landmarks
from engines.pose.blaze.estimator import BlazePose
from engines.pose.mediapipe import HolisticPose
from engines.processor import processor_name

WARM_UP = 10  # frames of a clip that are not timed
UPPER_BODY = 25  # landmarks of the body above the knees
HANDS = ("left_hand", "right_hand")
BLAZE = ("blaze, 1 thread", "blaze, 2 threads")


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("videos", nargs="+", type=Path, metavar="VIDEO")
    parser.add_argument("--output", type=Path, metavar="FILE", help="also write the result as JSON")
    args = parser.parse_args()
    holistic, blaze, blaze1 = HolisticPose(), BlazePose(threads=2), BlazePose(threads=1)
    official = mediapipe.solutions.holistic.Holistic(model_complexity=1)
    runs: dict[str, Callable[[NDArray[np.uint8]], Any]] = {
        "holistic (official)": official.process,
        "holistic": holistic.estimate,
        "blaze, 1 thread": blaze1.estimate,
        "blaze, 2 threads": blaze.estimate,
    }
    wall_ms: dict[str, list[float]] = {name: [] for name in runs}
    cpu_ms: dict[str, list[float]] = {name: [] for name in runs}
    both: list[bool] = []  # hands, of each frame that is timed
    apart: dict[str, list[NDArray[np.float64]]] = {"pose": [], **{hand: [] for hand in HANDS}}
    seen = dict.fromkeys(HANDS, 0)
    kept = dict.fromkeys(HANDS, 0)
    frames = 0
    for video in track(args.videos, "posing"):
        for estimator in (holistic, blaze, blaze1):
            estimator.reset()
        official.reset()
        with av.open(str(video)) as container:
            for number, frame in enumerate(container.decode(video=0)):
                image = np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
                found = {}
                for name, run in runs.items():
                    wall, cpu = time.perf_counter(), time.process_time()
                    found[name] = run(image)
                    if number >= WARM_UP:
                        wall_ms[name].append((time.perf_counter() - wall) * 1e3)
                        cpu_ms[name].append((time.process_time() - cpu) * 1e3)
                frames += 1
                if number >= WARM_UP:
                    both.append(
                        all(found[name].has(hand) for name in ("holistic", BLAZE[1]) for hand in HANDS)
                    )
                _compare(found["holistic"], found["blaze, 2 threads"], apart, seen, kept)
    result = {
        "command": f"python benchmarks/pose_estimators.py {' '.join(video.name for video in args.videos)}",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {processor_name()}",
        "frames": frames,
        "shoulder_widths_apart": {
            part: {
                "median": round(float(np.median(values)), 5),
                "p95": round(float(np.percentile(values, 95)), 5),
            }
            for part, rows in apart.items()
            if len(values := np.concatenate(rows or [np.zeros(0)]))
        },
        "hand_found_where_holistic_finds_it": round(sum(kept.values()) / max(1, sum(seen.values())), 4),
        "all_frames": _times(wall_ms, cpu_ms, np.ones(len(both), np.bool_)),
        "both_hands_tracked": _times(wall_ms, cpu_ms, np.array(both)),
    }
    print(json.dumps(result, indent=1))
    if args.output:
        args.output.write_text(json.dumps(result, indent=1) + "\n")


def _compare(
    theirs: Landmarks,
    ours: Landmarks,
    apart: dict[str, list[NDArray[np.float64]]],
    seen: dict[str, int],
    kept: dict[str, int],
) -> None:
    """Note how far landmarks are apart, in units of the shoulders' width in the picture."""
    if not theirs.has("pose"):
        return
    pixels = np.array([theirs.width, theirs.height])
    shoulders = float(np.linalg.norm((theirs.pose[11, :2] - theirs.pose[12, :2]) * pixels))
    for part in apart:
        if part in HANDS and theirs.has(part):
            seen[part] += 1
            kept[part] += ours.has(part)
        if theirs.has(part) and ours.has(part):
            rows = slice(0, UPPER_BODY)
            away = (getattr(theirs, part)[rows, :2] - getattr(ours, part)[rows, :2]) * pixels
            apart[part].append(np.linalg.norm(away, axis=1) / shoulders)


def _times(
    wall_ms: Mapping[str, list[float]], cpu_ms: Mapping[str, list[float]], chosen: NDArray[np.bool_]
) -> dict[str, Any]:
    """Of some of the frames: how many, what each estimator takes, and how many times Holistic's time blaze takes."""
    wall, cpu = (
        {name: np.array(rows)[chosen] for name, rows in times.items()} for times in (wall_ms, cpu_ms)
    )
    return {
        "frames": int(chosen.sum()),
        "wall_ms": {name: _spread(values) for name, values in wall.items()},
        "cpu_ms": {name: _spread(values) for name, values in cpu.items()},
        "ratios": {
            f"{ours} / {theirs}": {
                kind: round(float(np.median(times[ours]) / np.median(times[theirs])), 3)
                for kind, times in (("wall", wall), ("cpu", cpu))
            }
            for ours in BLAZE
            for theirs in ("holistic (official)", "holistic")
        },
    }


def _spread(values: NDArray[np.float64]) -> dict[str, float]:
    return {
        "median": round(float(np.median(values)), 2),
        "p95": round(float(np.percentile(values, 95)), 2),
    }


if __name__ == "__main__":
    main()
