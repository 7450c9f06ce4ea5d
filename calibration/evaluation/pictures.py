"""Pictures of an evaluation: similarity over time with the truth, misses against false alarms, confusion, a map."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from calibration.evaluation.playing import WindowScores
from calibration.evaluation.ranks import Ranked
from calibration.evaluation.report import LOOSE, VideoResult
from calibration.evaluation.spotting import Span, one_name
from engines.ticks import TICK_S
from stream.gallery import Gallery

MOST_CURVES = 10
MOST_CONFUSED = 40
"""Rows of the confusion matrix at most: the glosses that are missed most often."""
RIGHT, WRONG, OTHER = "tab:green", "tab:red", "0.6"


def save_similarity(
    path: Path,
    windows: WindowScores,
    glosses: Sequence[str],
    result: VideoResult,
    same: Iterable[Sequence[str]],
) -> None:
    """Draw one video: what is signed, what was spotted, and how near the glosses were at each instant.

    Args:
        path: the picture, PNG.
        windows: of the video.
        glosses: the gallery's.
        result: the video against its annotations.
        same: groups of glosses that count as one.
    """
    names = one_name(same)
    named = np.array([names.get(gloss, gloss) for gloss in glosses])
    told = [one.gloss for one in result.signs] + [one.gloss for one in result.detections]
    wanted = Counter(names.get(gloss, gloss) for gloss in told)
    shown = [gloss for gloss, _ in wanted.most_common(MOST_CURVES) if gloss in named]
    figure = Figure(figsize=(float(np.clip(2 * result.length_s, 11, 60)), 6.5))
    FigureCanvasAgg(figure)
    above, axis = figure.subplots(2, sharex=True, height_ratios=(1, 4))
    hits = {number for number, _ in result.matchings[LOOSE].pairs}
    colours = [RIGHT if number in hits else WRONG for number in range(len(result.detections))]
    _bars(above, 0, result.detections, colours)
    _bars(above, 1, result.signs, ["tab:blue"] * len(result.signs))
    above.set_yticks([0, 1], ["spotted", "signed"])
    above.set_ylim(-0.6, 1.6)
    above.set_title(f"{result.name}: similarity over time (red: false alarm at IoU {LOOSE})")
    middles = windows.spans.sum(1) // 2
    rest = ~np.isin(named, shown)
    if rest.any() and len(middles):
        at, best = _envelope(middles, windows.excess[:, rest].max(1))
        axis.plot(at, best, color=OTHER, linewidth=1, label="best of the others")
    for gloss in shown if len(middles) else ():
        at, best = _envelope(middles, windows.excess[:, named == gloss].max(1))
        axis.plot(at, best, linewidth=1.6, label=gloss)
    for sign in result.signs:
        axis.axvspan(sign.start_s, sign.end_s, color="tab:blue", alpha=0.08)
    axis.axhline(0.0, color="black", linestyle="--", linewidth=1, label="threshold")
    axis.set_xlabel("stream time of the window's middle, s")
    axis.set_ylabel("evidence above the threshold")
    axis.set_xlim(0, max(result.length_s, TICK_S))
    axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=100)


def _bars(axis: Axes, row: int, spans: Sequence[Span], colours: Sequence[str]) -> None:
    for span, colour in zip(spans, colours, strict=True):
        axis.barh(
            row,
            span.end_s - span.start_s,
            left=span.start_s,
            height=0.7,
            color=colour,
            alpha=0.5,
            edgecolor="white",
            linewidth=2,
        )
        axis.text((span.start_s + span.end_s) / 2, row, span.gloss, ha="center", va="center", fontsize=8)


def _envelope(
    middles: NDArray[np.int64], values: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Seconds and the best value at each tick; NaN, which breaks the line, where no window has its middle."""
    best = np.full(int(middles.max()) + 1, -np.inf)
    np.maximum.at(best, middles, values)
    return np.arange(len(best)) * TICK_S, np.where(np.isinf(best), np.nan, best)


def save_tradeoff(path: Path, results: Sequence[VideoResult]) -> None:
    """Draw the share of missed signs against false alarms per minute, as all thresholds move together.

    Args:
        path: the picture, PNG.
        results: of all videos, with the same shifts swept.
    """
    signs = sum(len(one.signs) for one in results)
    minutes = sum(one.length_s for one in results) / 60
    shifts = sorted(results[0].swept) if results else []
    found = np.array([[one.swept[shift] for one in results] for shift in shifts], np.float64).sum(1)
    figure = Figure(figsize=(7, 6))
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    if signs and minutes and shifts:
        missed, alarms = 1 - found[:, 0] / signs, found[:, 1] / minutes
        axis.plot(alarms, missed, marker="o", markersize=4, color="tab:blue")
        for shift, x, y in zip(shifts, alarms, missed, strict=True):
            if shift % 2 == 0:
                axis.annotate(
                    f"{shift:+g}", (x, y), (4, 4), textcoords="offset points", fontsize=7, color="0.4"
                )
        if 0.0 in shifts:
            at = shifts.index(0.0)
            axis.plot(
                alarms[at], missed[at], marker="o", markersize=10, color=WRONG, linestyle="", label="as it is"
            )
            axis.legend()
        axis.set_xscale("symlog", linthresh=1.0, linscale=0.5)
        axis.set_xlim(left=0)
    axis.set_ylim(-0.03, 1.03)
    axis.grid(alpha=0.3)
    axis.set_xlabel(f"false alarms per minute (linear up to 1; {minutes:.2f} minutes of video)")
    axis.set_ylabel(f"share of the {signs} signs that is missed (IoU {LOOSE})")
    axis.set_title("Detection error trade-off; numbers: shift of all thresholds")
    figure.tight_layout()
    figure.savefig(path, dpi=100)


def save_confusion(path: Path, ranked: Sequence[Ranked], same: Iterable[Sequence[str]]) -> None:
    """Draw which gloss ranks first at the annotated signs of each gloss.

    Args:
        path: the picture, PNG.
        ranked: all annotated signs.
        same: groups of glosses that count as one.
    """
    names = one_name(same)
    pairs = Counter((names.get(one.sign.gloss, one.sign.gloss), one.first or "(no window)") for one in ranked)
    wrong: Counter[str] = Counter()
    for (true, first), number in pairs.items():
        wrong[true] += number if first != true else 0
    rows = sorted(true for true, _ in wrong.most_common(MOST_CONFUSED))
    others = sorted({first for true, first in pairs if true in rows} - set(rows))
    columns = [*rows, *others]
    table = np.array([[pairs[true, first] for first in columns] for true in rows]).reshape(
        len(rows), len(columns)
    )
    figure = Figure(figsize=(3 + 0.36 * len(columns), 2.6 + 0.32 * len(rows)))
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    if table.size:
        axis.imshow(table, cmap="Blues", vmin=0, vmax=max(int(table.max()), 2))
        for row, column in np.argwhere(table):
            dark = table[row, column] > 0.6 * max(int(table.max()), 2)
            colour = WRONG if rows[row] != columns[column] else "white" if dark else "black"
            axis.text(
                column, row, str(table[row, column]), ha="center", va="center", fontsize=9, color=colour
            )
    axis.set_xticks(range(len(columns)), columns, rotation=90, fontsize=8)
    axis.set_yticks(range(len(rows)), rows, fontsize=8)
    axis.set_xlabel("ranks first")
    axis.set_ylabel("signed")
    left_out = len(wrong) - len(rows)
    axis.set_title("Confusion" + (f" ({left_out} glosses that do better left out)" if left_out else ""))
    figure.tight_layout()
    figure.savefig(path, dpi=100)


def save_map(path: Path, gallery: Gallery, encoder: str) -> None:
    """Draw the exemplars of one encoder on their two main axes: glosses that lie together are easily confused.

    Args:
        path: the picture, PNG.
        gallery: with exemplars of the encoder.
        encoder: its name.
    """
    exemplars = gallery.exemplars[encoder]
    places, share = principal_axes(exemplars.vectors)
    figure = Figure(figsize=(12, 9))
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    axis.scatter(places[:, 0], places[:, 1], s=14, color="tab:blue")
    for place, take in zip(places, exemplars.takes, strict=True):
        axis.annotate(gallery.takes[take].gloss, tuple(place), (3, 3), textcoords="offset points", fontsize=7)
    axis.set_xlabel(f"first axis ({share[0]:.0%} of the variance)")
    axis.set_ylabel(f"second axis ({share[1]:.0%})")
    axis.set_title(f"{len(gallery.signs)} signs as {encoder} sees them (principal axes)")
    axis.set_aspect("equal", adjustable="datalim")
    figure.tight_layout()
    figure.savefig(path, dpi=100)


def principal_axes(
    vectors: NDArray[np.float32],
) -> tuple[NDArray[np.float64], tuple[float, float]]:
    """Places (N, 2) of vectors (N, D) on their two main axes, and each axis's share of the variance."""
    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    left, lengths, _ = np.linalg.svd(centred, full_matrices=False)
    places = np.zeros((len(vectors), 2))
    shares = np.zeros(2)
    known = min(2, len(lengths))
    places[:, :known] = left[:, :known] * lengths[:known]
    total = float((lengths**2).sum())
    if total > 0:
        shares[:known] = lengths[:known] ** 2 / total
    return places, (float(shares[0]), float(shares[1]))
