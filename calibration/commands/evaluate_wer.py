"""`signspot evaluate wer`: word error rate of recognised gloss sentences."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from calibration.corpus.sentences import read_sentences
from calibration.evaluation.wer import ErrorCounts, WerReport, score

MOST = 8
"""Errors of each kind that the report names."""


def add_parser(tasks: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the options."""
    wer = tasks.add_parser(
        "wer",
        help="word error rate of recognised gloss sentences",
        description="Deletions, insertions and substitutions as sclite counts them (costs 3, 3, 4), and which glosses "
        "they fall on.",
    )
    wer.add_argument("reference", type=Path, metavar="REF.tsv", help="what was signed: id, tab, glosses")
    wer.add_argument("hypothesis", type=Path, metavar="HYP.tsv", help="what was recognised, by the same ids")
    wer.add_argument(
        "--phoenix", action="store_true", help="clean both up by the rules of RWTH-PHOENIX-2014 first"
    )
    wer.add_argument("--json", action="store_true", help="print one JSON object instead of a report")


def run(args: argparse.Namespace) -> int:
    """Score and print.

    Raises:
        CorpusError: a file cannot be read, or both do not hold the same sentences.
    """
    report = score(
        read_sentences(args.reference, empty=args.phoenix),
        read_sentences(args.hypothesis, empty=True),
        phoenix=args.phoenix,
    )
    if args.json:
        print(json.dumps({"wer": figures(report.counts)}))
    else:
        print_report(Console(), report)
    return 0


def figures(counts: ErrorCounts) -> dict[str, float | int]:
    """For JSON: counts, and percent of the glosses that were signed."""
    return {
        "sentences": counts.sentences,
        "wrong_sentences": counts.wrong_sentences,
        "glosses": counts.references,
        "correct": counts.correct,
        "deletions": counts.deletions,
        "insertions": counts.insertions,
        "substitutions": counts.substitutions,
        "wer": round(counts.wer, 3),
        "deletion_percent": round(counts.rate(counts.deletions), 3),
        "insertion_percent": round(counts.rate(counts.insertions), 3),
        "substitution_percent": round(counts.rate(counts.substitutions), 3),
    }


def print_report(console: Console, report: WerReport) -> None:
    """Rates, and the glosses that errors fall on."""
    counts = report.counts
    console.print(
        f"[bold]WER {counts.wer:.1f}%[/bold]: del {counts.rate(counts.deletions):.1f}, "
        f"ins {counts.rate(counts.insertions):.1f}, sub {counts.rate(counts.substitutions):.1f} "
        f"({counts.errors:,} errors on {counts.references:,} glosses)",
        highlight=False,
    )
    console.print(
        f"{counts.wrong_sentences:,} of {counts.sentences:,} sentences have an error", highlight=False
    )
    if not counts.errors:
        return
    table = Table("taken for another", "missed", "invented", box=SIMPLE)
    columns = [
        [f"{escape(pair.reference)} -> {escape(pair.hypothesis)} {times}x" for pair, times in report.most("substitution", MOST)],
        [f"{escape(pair.reference)} {times}x" for pair, times in report.most("deletion", MOST)],
        [f"{escape(pair.hypothesis)} {times}x" for pair, times in report.most("insertion", MOST)],
    ]  # fmt: skip
    for row in range(max(len(column) for column in columns)):
        table.add_row(*(column[row] if row < len(column) else "" for column in columns))
    console.print(table)
