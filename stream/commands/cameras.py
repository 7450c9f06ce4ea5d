"""`signspot cameras`: which cameras there are, and which picture sizes and rates they offer."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable

from rich.console import Console
from rich.table import Table

from stream.sources.v4l2 import Camera, CameraMode, list_cameras

SUMMARY = "List the cameras of this machine and their modes; `signspot --source N` uses one."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--json", action="store_true", help="print JSON, with every mode")


def run(args: argparse.Namespace) -> int:
    """Print them; 0 even where there is none, since that is an answer."""
    cameras = list_cameras()
    if args.json:
        print(json.dumps([described(camera) for camera in cameras], indent=2))
        return 0
    if not cameras:
        print("No camera found. A file, `demo` or an address (rtsp://...) works as --source as well.")
        return 0
    console = Console()
    console.print(table_of(cameras))
    console.print(f"use one with: signspot --source {cameras[0].index}", highlight=False)
    return 0


def described(camera: Camera) -> dict[str, object]:
    """A camera as JSON."""
    return {
        "index": camera.index,
        "path": camera.path,
        "name": camera.name,
        "trouble": camera.trouble,
        "modes": [
            {
                "pixel_format": mode.pixel_format,
                "width": mode.width,
                "height": mode.height,
                "fps": list(mode.fps),
            }
            for mode in camera.modes
        ],
    }


def table_of(cameras: Iterable[Camera]) -> Table:
    """A table with one row a camera and pixel format."""
    table = Table("--source", "device", "name", "format", "sizes at their highest rate")
    for camera in cameras:
        formats = list(dict.fromkeys(mode.pixel_format for mode in camera.modes)) or [""]
        for number, pixel_format in enumerate(formats):
            first = (str(camera.index), camera.path, camera.name) if number == 0 else ("", "", "")
            modes = [mode for mode in camera.modes if mode.pixel_format == pixel_format]
            table.add_row(*first, pixel_format, ", ".join(map(_sized, modes)) or camera.trouble or "unknown")
    return table


def _sized(mode: CameraMode) -> str:
    rate = f"@{mode.fps[0]:g}" if mode.fps else ""
    return f"{mode.width}x{mode.height}{rate}"
