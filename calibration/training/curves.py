"""The learning curves of training runs as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from calibration.training.trainer import Point


def save_curves(
    path: Path, runs: Mapping[str, Sequence[Point]], measured: str = "one-shot, dev glosses, other signers"
) -> None:
    """Draw loss and one-shot accuracy over the steps.

    Args:
        path: where to; the ending decides the format.
        runs: name -> its measurements in order.
        measured: what the accuracy is of.
    """
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for number, (name, points) in enumerate(runs.items()):
        steps = [point.step for point in points]
        colour = f"C{number}"
        left.plot(steps, [point.loss for point in points], color=colour, label=name)
        right.plot(steps, [point.top1 for point in points], color=colour, label=f"{name}, top 1")
        right.plot(steps, [point.top5 for point in points], color=colour, ls="--", label=f"{name}, top 5")
    left.set(title="loss on training windows", xlabel="step", ylim=(0, None))
    right.set(title=measured, xlabel="step", ylim=(0, 1))
    for axis in (left, right):
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    figure.savefig(path, dpi=110)
