"""`signspot doctor`: what this machine can do, and what to install for more."""

from __future__ import annotations

import argparse
import itertools
import json

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from stream.machine import Finding, examine

SUMMARY = "Say what this machine can do for Signspot, and what to install for more."
MARKS = {"ok": "[green]ok[/green]", "absent": "[yellow]--[/yellow]", "failed": "[red]FAILED[/red]"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")


def run(args: argparse.Namespace) -> int:
    """Look at everything and tell; returns 1 where Signspot cannot run at all."""
    with Console(stderr=True).status("looking") as spinner:
        findings = list(examine(lambda name: spinner.update(f"looking at {name}")))
    lacking = [finding for finding in findings if finding.needed and finding.verdict != "ok"]
    if args.json:
        print(json.dumps({"runs": not lacking, "findings": msgspec.to_builtins(findings)}, indent=1))
    else:
        show(Console(), findings)
    return 1 if lacking else 0


def show(console: Console, findings: list[Finding]) -> None:
    """Print a table, and below it what to do."""
    table = Table("", "", "", "what is there", box=None, padding=(0, 1))
    for area, rows in itertools.groupby(findings, key=lambda finding: finding.area):
        for number, finding in enumerate(rows):
            name = "[bold]" + area + "[/bold]" if number == 0 else ""
            table.add_row(name, finding.name, MARKS[finding.verdict], Text(finding.found))
    console.print(table)
    advice = [finding for finding in findings if finding.advice]
    if advice:
        console.print("\n[bold]For more[/bold]")
    for finding in advice:
        console.print(f"  {finding.name}: {finding.advice}", markup=False, soft_wrap=True)
    lacking = [finding for finding in findings if finding.needed and finding.verdict != "ok"]
    if lacking:
        console.print(f"\n[red]Signspot cannot run:[/red] {', '.join(finding.name for finding in lacking)}")
    else:
        console.print("\nSignspot runs on this machine.")
