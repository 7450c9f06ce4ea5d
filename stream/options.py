"""Options that several commands share."""

from __future__ import annotations

import argparse

from engines.choice import AUTO, CHOICES, ENGINES
from engines.encoders import DEFAULT_ENCODERS
from engines.pose.choice import HOLISTIC, POSES


def add_encoder_option(parser: argparse._ActionsContainer) -> None:
    """Declare `--encoder`, the same for every command that runs encoders; `load_encoders` takes what it gives."""
    parser.add_argument(
        "--encoder",
        action="append",
        metavar="NAME",
        help="a shipped encoder or a bundle's folder; give it again to use several together "
        f"(default: {', '.join(DEFAULT_ENCODERS)})",
    )


def add_pose_option(parser: argparse._ActionsContainer) -> None:
    """Declare `--pose`, the same for every command that poses pictures; `open_pose` takes what it gives."""
    what = "; ".join(f"{name}: {text}" for name, text in POSES.items())
    parser.add_argument(
        "--pose", default=HOLISTIC, metavar="NAME", help=f"pose estimator ({what}; default: {HOLISTIC})"
    )


def add_engine_option(parser: argparse._ActionsContainer) -> None:
    """Declare `--engine`, which `load_encoders` takes."""
    what = "; ".join(f"{name}: {text}" for name, text in ENGINES.items())
    parser.add_argument(
        "--engine",
        default=AUTO,
        choices=CHOICES,
        metavar="NAME",
        help="what executes the encoders, and live the transcript network, blaze's networks and your own pose network "
        f"({what}); on a GPU :float16 or :bfloat16 after the name computes in half precision, but for networks that lose "
        "too much by it",
    )
