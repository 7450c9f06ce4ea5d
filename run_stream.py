"""The live spotter and its tools: with no sub-command it runs live. Console script: `signspot`."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from typing import Protocol, cast

from engines.errors import SignspotError


class Command(Protocol):
    """A sub-command's module."""

    SUMMARY: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options."""
        ...

    def run(self, args: argparse.Namespace) -> int:
        """Do it; the result is the exit status."""
        ...


COMMANDS = {
    "live": "stream.commands.live",
}
"""Sub-command -> module. Imported only when called, so that `--help` and start-up stay quick."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status (0 done, 1 failed with a message, 2 wrong usage)."""
    words = list(sys.argv[1:] if argv is None else argv)
    raise NotImplementedError(words, cast, importlib, SignspotError, Command)


if __name__ == "__main__":
    sys.exit(main())
