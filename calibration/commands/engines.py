"""`signspot engines`: published networks into the form that Signspot runs, and engines built from networks."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from calibration.commands import engine_cache
from calibration.importing import KINDS, import_checkpoint

SUMMARY = "Import published checkpoints as model bundles; build, list, check and remove engines."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-commands."""
    tasks = parser.add_subparsers(dest="task", required=True, metavar="import|build|list|check|clean")
    rows = "\n".join(f"  {name:<21} {kind.what}\n{'':<24}{kind.published}" for name, kind in KINDS.items())
    task = tasks.add_parser(
        "import",
        help="a checkpoint of SAM-SLR, I3D, bsldict or BSL-1K",
        description="Write a checkpoint that you have as a model bundle (ONNX and card). Only tensors are read from it: "
        "a file that would run code is refused. Needs PyTorch: pip install 'signspot[train]'.",
        epilog=f"""kinds:
{rows}

examples:
  signspot engines import joint_epoch_226_9468.pt --as sam-slr-joint --out sam-slr-joint
  signspot enrol --gallery my-signs --encoder sam-slr-joint clips/*.mp4
  signspot live --gallery my-signs --encoder sam-slr-joint""",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    task.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help=".safetensors, .pt, .pth or .tar")
    task.add_argument(
        "--as", dest="kind", required=True, choices=tuple(KINDS), metavar="KIND", help="what it is: see below"
    )
    task.add_argument("--out", type=Path, required=True, metavar="BUNDLE", help="the bundle's folder")
    engine_cache.add_arguments(tasks)


def run(args: argparse.Namespace) -> int:
    """Import, or see to built engines.

    Raises:
        SignspotError: the checkpoint cannot be read or is another network's, or the bundle cannot be written.
    """
    if args.task != "import":
        return engine_cache.run(args)
    console = Console()
    with Console(stderr=True).status("reading, checking, exporting"):
        bundle = import_checkpoint(args.checkpoint, args.kind, args.out)
    use = f"use it with --encoder {bundle.folder}"
    console.print(
        f"[green]✓[/green] {escape(str(bundle.folder))}: {escape(KINDS[args.kind].what)}, D = {bundle.card.dimension}; "
        f"{escape(use)}",
        highlight=False,
        soft_wrap=True,
    )
    return 0
