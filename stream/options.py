"""Options that several commands share."""

from __future__ import annotations

import argparse

from engines.encoders import DEFAULT_ENCODERS


def add_encoder_option(parser: argparse._ActionsContainer) -> None:
    """Declare `--encoder`, the same for every command that runs encoders; `load_encoders` takes what it gives."""
    parser.add_argument(
        "--encoder",
        action="append",
        metavar="NAME",
        help="a shipped encoder or a bundle's folder; give it again to use several together "
        f"(default: {', '.join(DEFAULT_ENCODERS)})",
    )
