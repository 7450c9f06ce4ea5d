"""Pictures of an evaluation: similarity over time with the truth, misses against false alarms, ranks, confusion, maps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator, NullLocator
from numpy.typing import NDArray

from calibration.evaluation.oneshot import Alike, cumulative_match
from calibration.evaluation.playing import WindowScores
from calibration.evaluation.ranks import Ranked
from calibration.evaluation.report import LOOSE, VideoResult
from calibration.evaluation.spotting import Span, one_name
from engines.ticks import TICK_S
from stream.gallery import Gallery

MOST_CURVES = 10
MOST_CONFUSED = 40
"""Rows of the confusion matrix at most: the glosses that are missed most often."""
MOST_PAIRS = 30
BESIDE = (
    (5, 0, "left", "center"),
    (-5, 0, "right", "center"),
    (0, 4, "center", "bottom"),
    (0, -4, "center", "top"),
    (4, 3, "left", "bottom"),
    (4, -3, "left", "top"),
    (-4, 3, "right", "bottom"),
    (-4, -3, "right", "top"),
)
"""Where a name may stand beside its dot: right, up in points, and how it is aligned there; the first that is free."""
DOT_PX = 3.0
"""Half the width of what a dot keeps free of names."""
HALO = withStroke(linewidth=1.5, foreground="white")
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


def save_ranks(
    path: Path, fused: NDArray[np.int64], alone: Mapping[str, NDArray[np.int64]], ways: int
) -> None:
    """Draw the share of queries whose own gloss is among the first k, over k.

    Args:
        path: the picture, PNG.
        fused: (queries,) rank from 0 of each query's own gloss, by all encoders together.
        alone: the same by each encoder alone, under its name.
        ways: glosses to choose from.
    """
    several = {"fused": fused} | {f"{name} alone": rank for name, rank in alone.items()}
    curves = several if len(alone) > 1 else dict.fromkeys(alone, fused)
    first = np.arange(1, ways + 1)
    marked = [k for k in (1, 5) if k <= ways]
    figure = Figure(figsize=(8, 6))
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    for number, (name, rank) in enumerate(curves.items()):
        share = cumulative_match(rank, ways)
        told = ", ".join(f"top-{k} {share[k - 1]:.3f}" for k in marked)
        width = 1.0 if number else 2.5
        axis.plot(first, share, linewidth=width, zorder=3 - number / 100, label=f"{name}: {told}")
    together = cumulative_match(fused, ways)
    for k in marked:
        at = (k, float(together[k - 1]))
        axis.plot(*at, marker="o", markersize=8, color="C0", zorder=4, clip_on=False)
        # The curve rises to the right, and left of k = 1 there is no room.
        offset, side = ((6, 24), "left") if k == 1 else ((0, 10), "right")
        text = axis.annotate(
            f"top-{k}\n{at[1]:.3f}",
            at,
            offset,
            textcoords="offset points",
            ha=side,
            weight="bold",
            color="C0",
        )
        text.set_path_effects([HALO])
    axis.plot(first, first / ways, color="0.4", linestyle="--", linewidth=1, label="chance")
    axis.set_xscale("log")
    axis.set_xlim(1, max(ways, 2))
    round_ones = (digit * 10**power for power in range(5) for digit in (1, 2, 5))
    ticks = [*(k for k in round_ones if k < 0.7 * ways), ways]
    axis.set_xticks(ticks, [str(k) for k in ticks])
    axis.xaxis.set_minor_locator(NullLocator())
    axis.set_ylim(0, 1.15)  # room for the figures above a curve that begins near 1
    axis.set_yticks(np.linspace(0, 1, 6))
    axis.grid(alpha=0.3)
    axis.set_xlabel("k")
    axis.set_ylabel("share of queries whose own gloss is among the first k")
    axis.set_title(f"{len(fused)} queries, {ways} glosses to choose from")
    axis.legend(loc="best")
    figure.tight_layout()
    figure.savefig(path, dpi=100)


def save_pairs(path: Path, pairs: Sequence[Alike], glosses: Sequence[str], queries: int) -> None:
    """Draw which two glosses are most often taken for each other.

    Args:
        path: the picture, PNG.
        pairs: most often mistaken first.
        glosses: names of the pairs' glosses.
        queries: of all glosses.
    """
    shown = pairs[:MOST_PAIRS]
    there, back = np.array([pair.mistaken for pair in shown], np.int64).reshape(-1, 2).T
    rows = np.arange(len(shown))
    figure = Figure(figsize=(9, 1.8 + 0.28 * max(len(shown), 3)))
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    axis.barh(rows, there, height=0.7, color=WRONG, alpha=0.8, label="the first is taken for the second")
    axis.barh(rows, back, left=there, height=0.7, color=WRONG, alpha=0.35, label="the second for the first")
    labels = []
    for row, pair in enumerate(shown):
        times = [f"{some} of {of}" for some, of in zip(pair.mistaken, pair.queries, strict=True) if some]
        axis.text(sum(pair.mistaken), row, "  " + " + ".join(times), va="center", fontsize=8, color="0.3")
        arrow = "\N{LEFT RIGHT ARROW}" if len(times) > 1 else "\N{RIGHTWARDS ARROW}"
        labels.append(f" {arrow} ".join(glosses[gloss] for gloss in pair.glosses))
    axis.set_yticks(rows, labels, fontsize=9, parse_math=False)
    axis.set_ylim(max(len(shown), 3) - 0.4, -0.6)
    axis.set_xlim(0, 1.2 * max((there + back).max(initial=0), 2))
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set_xlabel("queries taken for the other gloss (of all queries of their own)")
    wrong = sum(sum(pair.mistaken) for pair in pairs)
    left_out = f"; the {len(shown)} most frequent of {len(pairs)} pairs" if len(shown) < len(pairs) else ""
    axis.set_title(f"Taken for another gloss: {wrong} of {queries} queries{left_out}")
    axis.legend(loc="lower right")
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
    glosses = [gallery.takes[take].gloss for take in exemplars.takes]
    figure, axis = _map_axes(share, (12, 9))
    title = f"{len(gallery.signs)} signs as {encoder} sees them"
    _save_map(path, figure, axis, places, glosses, title)


def save_queries_map(
    path: Path,
    encoder: str,
    bank: NDArray[np.float32],
    rows: NDArray[np.float32],
    own: NDArray[np.int64],
    right: NDArray[np.bool_],
    glosses: Sequence[str],
) -> None:
    """Draw exemplars and queries of one encoder on their two main axes, each query tied to its gloss's exemplar.

    Args:
        path: the picture, PNG.
        encoder: its name.
        bank: (exemplars, D).
        rows: (queries, D).
        own: (queries,) which exemplar is of the query's gloss.
        right: (queries,) whether the encoder alone answers it with that gloss.
        glosses: the exemplars'.
    """
    places, share = principal_axes(np.concatenate([bank, rows]))
    exemplars, queries = places[: len(bank)], places[len(bank) :]
    figure, axis = _map_axes(share, (14, 12))
    for which, colour, told in ((right, RIGHT, "right"), (~right, WRONG, "wrong")):
        ties = np.stack([queries[which], exemplars[own[which]]], 1)
        axis.add_collection(LineCollection(list(ties), colors=colour, alpha=0.15, linewidths=0.7))
        label = f"queries answered {told} ({int(which.sum())}), tied to their exemplar"
        axis.scatter(
            queries[which, 0], queries[which, 1], s=12, color=colour, alpha=0.6, linewidths=0, label=label
        )
    title = f"{len(bank)} exemplars and {len(rows)} queries as {encoder} alone sees them"
    _save_map(path, figure, axis, exemplars, glosses, title)


def _map_axes(share: tuple[float, float], size_in: tuple[float, float]) -> tuple[Figure, Axes]:
    figure = Figure(figsize=size_in)
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    axis.set_xlabel(f"first axis ({share[0]:.0%} of the variance)")
    axis.set_ylabel(f"second axis ({share[1]:.0%})")
    axis.set_aspect("equal", adjustable="datalim")
    return figure, axis


def _save_map(
    path: Path,
    figure: Figure,
    axis: Axes,
    places: NDArray[np.float64],
    names: Sequence[str],
    title: str,
) -> None:
    """Draw exemplars, and save the picture with as many names as there is room for."""
    axis.scatter(places[:, 0], places[:, 1], s=16, color="tab:blue", label="exemplars", zorder=3)
    if len(axis.get_legend_handles_labels()[1]) > 1:
        axis.legend(loc="best")
    axis.set_title(title)
    figure.tight_layout()
    figure.draw_without_rendering()  # only now is known where the places are in the picture
    nameless = _name(axis, places, names)
    left_out = f"; names left out for lack of room: {nameless}" if nameless else ""
    axis.set_title(f"{title} (principal axes{left_out})")
    figure.savefig(path, dpi=100)


def _name(axis: Axes, places: NDArray[np.float64], names: Sequence[str]) -> int:
    """Write names beside their places, clear of each other and of the places; returns how many found no room."""
    dots = axis.transData.transform(places)
    taken = np.concatenate([dots - DOT_PX, dots + DOT_PX], 1)
    nameless = 0
    for place, name in zip(places, names, strict=True):
        text = axis.annotate(
            name, place, (0, 0), textcoords="offset points", fontsize=7, zorder=4, parse_math=False
        )
        text.set_path_effects([HALO])
        for right, up, horizontal, vertical in BESIDE:
            text.set(position=(right, up), ha=horizontal, va=vertical)
            box = np.array(text.get_window_extent().extents)
            if not ((box[:2] < taken[:, 2:]) & (taken[:, :2] < box[2:])).all(1).any():
                taken = np.concatenate([taken, box[None]])
                break
        else:
            text.remove()
            nameless += 1
    return nameless


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
