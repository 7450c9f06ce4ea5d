"""The paper's table of iterations, as cells and as a picture with the learning curve."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from calibration.evaluation.wer import ErrorCounts
from calibration.training.transcript import EpochPoint, Iteration

COLUMNS = (
    *("round", "epochs", "top-1/5 train", "top-1/5 test"),
    *("dev del/ins", "dev WER", "test del/ins", "test WER"),
)


def cells(row: Iteration) -> tuple[str, ...]:
    """One row as text, in per cent."""

    def tops(one: float | None, two: float | None) -> str:
        return "-" if one is None or two is None else f"{100 * one:.1f}/{100 * two:.1f}"

    def split(counts: ErrorCounts) -> str:
        return f"{counts.rate(counts.deletions):.1f}/{counts.rate(counts.insertions):.1f}"

    return (
        str(row.number),
        str(row.epochs),
        tops(row.train_top1, row.train_top5),
        tops(row.test_top1, row.test_top5),
        split(row.dev),
        f"{row.dev.wer:.1f}",
        split(row.test),
        f"{row.test.wer:.1f}",
    )


def save_picture(path: Path, table: Sequence[Iteration], history: Sequence[EpochPoint], title: str) -> None:
    """Draw loss and WER over all epochs, and the table under them.

    Args:
        path: where to; the ending decides the format.
        table: rows so far, at least one.
        history: every epoch so far.
        title: what it was trained on.
    """
    figure = Figure(figsize=(10, 4.2 + 0.3 * len(table)), layout="constrained")
    halves = figure.subfigures(2, 1, height_ratios=(3.4, 0.9 + 0.3 * len(table)))
    above, below = np.asarray(halves).ravel()
    above.suptitle(title)
    left, right = above.subplots(1, 2)
    for phase, colour, name in (
        ("pictures", "C2", "pictures alone: cross-entropy"),
        ("sentences", "C0", "end to end: CTC, per gloss"),
        ("glosses", "C1", "gloss recognition: cross-entropy"),
    ):
        places = [place for place, point in enumerate(history, 1) if point.phase == phase]
        if not places:
            continue
        left.plot(places, [history[place - 1].loss for place in places], ".", color=colour, label=name)
    places = [place for place, point in enumerate(history, 1) if point.dev_wer is not None]
    right.plot(places, [history[place - 1].dev_wer or 0.0 for place in places], ".-", label="dev")
    ends = [
        max(
            place
            for place, point in enumerate(history, 1)
            if (point.iteration, point.phase) == (row.number, "sentences")
        )
        for row in table
    ]
    right.plot(ends, [row.test.wer for row in table], "s--", color="C3", label="test, best of each round")
    left.set(xlabel="epoch", ylabel="loss in training", ylim=(0, None))
    right.set(xlabel="epoch", ylabel="word error rate, %", ylim=(0, None))
    for axis in (left, right):
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    axis = below.subplots()
    axis.axis("off")
    drawn = axis.table(
        cellText=[cells(row) for row in table], colLabels=COLUMNS, loc="center", cellLoc="center"
    )
    drawn.auto_set_font_size(False)
    drawn.set_fontsize(9)
    drawn.scale(1, 1.3)
    figure.savefig(path, dpi=100)
