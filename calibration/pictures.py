"""Pictures of what was enrolled, for people who would rather look than read: stick-figure strips, similarity curves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from engines.landmarks import LandmarkTrack

POSES = 12
"""Stick figures in a strip."""
BODY_BONES = (
    (0, 11),
    (0, 12),
    (11, 12),
    (11, 13),
    (13, 15),
    (12, 14),
    (14, 16),
    (11, 23),
    (12, 24),
    (23, 24),
)
HAND_BONES = tuple(
    (0 if joint % 4 == 1 else joint - 1, joint) for joint in range(1, 21)
)  # MediaPipe: wrist, then four joints a finger from base to tip
KEPT, CUT = "#e8f5e9", "#eeeeee"


def save_strip(path: Path, rows: Sequence[tuple[str, LandmarkTrack, int, int]]) -> None:
    """Draw one strip of stick figures a row: green what was kept, grey what was cut off.

    Args:
        path: the picture, PNG.
        rows: title, whole clip, first tick of the sign, first tick after it.
    """
    figure = Figure(figsize=(1.3 * POSES, 1.75 * len(rows)))
    FigureCanvasAgg(figure)
    axes = np.atleast_2d(figure.subplots(len(rows), POSES, squeeze=False))
    for line, (title, track, first, last) in zip(axes, rows, strict=True):
        for axis, tick in zip(line, np.linspace(0, len(track) - 1, POSES).round().astype(int), strict=True):
            kept = first <= tick < last
            _figure(axis, track, int(tick))
            axis.set_facecolor(KEPT if kept else CUT)
            axis.set_title(f"{tick * 0.04:.2f} s", fontsize=7, color="green" if kept else "grey", pad=2)
        line[0].set_ylabel(title, fontsize=9)
    figure.tight_layout(pad=0.4, w_pad=0.1)
    figure.savefig(path, dpi=100)


def _figure(axis: Axes, track: LandmarkTrack, tick: int) -> None:
    scale = np.array([track.width / track.height, 1.0])
    body = track.pose[tick, :, :2] * scale
    for points, bones, colour in (
        (body, BODY_BONES, "black"),
        (track.left_hand[tick, :, :2] * scale, HAND_BONES, "tab:blue"),
        (track.right_hand[tick, :, :2] * scale, HAND_BONES, "tab:red"),
    ):
        for start, end in bones:
            axis.plot(points[[start, end], 0], points[[start, end], 1], color=colour, linewidth=1)
    with np.errstate(invalid="ignore"):
        middle = np.nanmedian(track.pose[:, [11, 12], :2], axis=(0, 1)) * scale
        width = np.nanmedian(np.abs(track.pose[:, 11, 0] - track.pose[:, 12, 0])) * scale[0]
    if np.isfinite(width):
        axis.set_xlim(middle[0] - 1.6 * width, middle[0] + 1.6 * width)
        axis.set_ylim(middle[1] + 2.0 * width, middle[1] - 1.6 * width)
    axis.set_xticks([])
    axis.set_yticks([])
    axis.set_aspect("equal")


def save_curves(
    path: Path,
    title: str,
    curves: Sequence[tuple[str, NDArray[np.float64]]],
    spans: Sequence[tuple[str, float, float]],
) -> None:
    """Draw similarity over time.

    Args:
        path: the picture, PNG.
        title: above it.
        curves: gloss and one score a tick (25 Hz), as evidence above the threshold; NaN where there is none.
        spans: gloss, begin and end (seconds) of what was spotted.
    """
    figure = Figure(figsize=(11, 5))
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    for gloss, scores in curves:
        axis.plot(np.arange(len(scores)) / 25, scores, label=gloss, linewidth=1.5)
    axis.axhline(0.0, color="black", linestyle="--", linewidth=1, label="threshold")
    for gloss, start_s, end_s in spans:
        axis.axvspan(start_s, end_s, color="tab:green", alpha=0.15)
        axis.text((start_s + end_s) / 2, axis.get_ylim()[1], gloss, ha="center", va="bottom", fontsize=9)
    axis.set_xlabel("stream time of the window's middle, s")
    axis.set_ylabel("evidence above the threshold")
    axis.set_title(title, pad=18)
    axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
