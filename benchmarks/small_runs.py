"""Small training runs side by side, for ablations: each to its end or on from where it stopped, under one progress bar."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from calibration.training.trainer import Run
from engines.networks.slgcn import Slgcn
from engines.processor import processor_name

FIGURES = {"top1": "top-1", "top5": "top-5", "map": "mAP"}


def train_all(runs: Mapping[str, Callable[[], Run]]) -> dict[str, Slgcn]:
    """Train every run to its end.

    Args:
        runs: row of the table -> what starts or resumes its run.

    Returns:
        Row -> its network with averaged weights, in evaluation mode.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    trained: dict[str, Slgcn] = {}
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task("training", total=None)
        before = 0
        for name, start in runs.items():
            run = start()
            progress.update(bar, description=name, total=run.recipe.steps * len(runs))
            while not run.done:
                run.step()
                progress.update(bar, completed=before + run.at)
                if run.at % run.recipe.every == 0 or run.done:
                    run.save()
            before += run.recipe.steps
            progress.update(bar, completed=before)
            trained[name] = run.averaged()
    return trained


def show(heading: str, rows: Mapping[str, Mapping[str, float]], title: str) -> None:
    """Print one-shot figures, a row a variant."""
    table = Table(heading, *FIGURES.values(), title=title)
    for name, figures in rows.items():
        table.add_row(name, *(f"{figures[key]:.3f}" for key in FIGURES))
    Console().print(table)


def save(path: Path, command: str, rows: Mapping[str, Mapping[str, float]]) -> None:
    """Write one-shot figures as JSON, with the command that made them and the machine."""
    result = {"command": command, "machine": processor_name(), "rows": rows}
    path.write_text(json.dumps(result, indent=1) + "\n")
