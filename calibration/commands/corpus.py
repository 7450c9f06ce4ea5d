"""`signspot corpus`: what a corpus of continuous signing holds."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from rich.box import SIMPLE
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from calibration.corpus.boston104 import convert
from calibration.corpus.reading import read_corpus
from calibration.corpus.statistics import SplitStatistics, statistics

SUMMARY = "What a corpus of continuous signing holds."

ROWS: dict[str, tuple[str, str]] = {
    "signers": ("signers", "{:,}"),
    "hours": ("hours", "{:.2f}"),
    "frames": ("frames", "{:,}"),
    "sentences": ("sentences", "{:,}"),
    "running_glosses": ("running glosses", "{:,}"),
    "vocabulary": ("vocabulary", "{:,}"),
    "singletons": ("singletons", "{:,}"),
    "unseen_glosses": ("glosses not in train", "{:,}"),
    "unseen_percent": ("out of vocabulary, % of running", "{:.2f}"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-commands."""
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="stats|boston104")
    stats = kinds.add_parser(
        "stats",
        help="signers, hours, frames, sentences, running glosses, vocabulary, out-of-vocabulary rate",
        description="Print the table of a corpus: a folder with train.tsv, dev.tsv and test.tsv, or RWTH-PHOENIX-2014 "
        "or 2014T as unpacked. What the corpus does not tell is a dash.",
    )
    stats.add_argument("folder", type=Path, metavar="DIR", help="the corpus")
    stats.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    boston = kinds.add_parser(
        "boston104",
        help="RWTH-BOSTON-104 (hands and nose of 201 real sentences) as a corpus",
        description="Convert the CSV files of RWTH-BOSTON-104 to a folder that `signspot train transcript --features hands` "
        "takes. A tenth of the training sentences becomes dev.",
    )
    boston.add_argument(
        "folder", type=Path, metavar="DIR", help="with hands_condensed.csv and the word lists"
    )
    boston.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the corpus")


def run(args: argparse.Namespace) -> int:
    """Count and print, or convert.

    Raises:
        CorpusError: there is no corpus in the folder, or a file of it is damaged.
    """
    if args.kind == "boston104":
        made = convert(args.folder, args.out)
        print(f"{args.out}: {', '.join(f'{count} sentences of {split}' for split, count in made.items())}")
        return 0
    corpus = read_corpus(args.folder)
    columns = (TextColumn("counting"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=sum(len(part) for part in corpus.splits.values()))
        found = statistics(corpus, progress=lambda: bar.advance(task))
    if args.json:
        print(json.dumps({"corpus": {name: asdict(one) for name, one in found.items()}}))
    else:
        Console().print(_table(found))
    return 0


def _table(found: dict[str, SplitStatistics]) -> Table:
    table = Table("", box=SIMPLE)
    for name in found:
        table.add_column(name, justify="right")
    for field, (words, form) in ROWS.items():
        cells = []
        for name, one in found.items():
            value = getattr(one, field)
            against_itself = name == "train" and field.startswith("unseen")
            cells.append("-" if value is None or against_itself else form.format(value))
        table.add_row(words, *cells)
    return table
