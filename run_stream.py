"""The live spotter and its tools: with no sub-command it runs live. Console script: `signspot`."""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import os
import sys
from collections.abc import Sequence
from typing import Protocol, cast

from engines.errors import SignspotError
from stream.config import parse_with_config


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
    "live": (
        "stream.commands.live",
        "watch a camera, stream or file and publish what is signed (the default)",
    ),
    "demo": (
        "calibration.commands.demo",
        "enrol signs and spot them live in a built-in clip; no camera needed",
    ),
    "enrol": ("calibration.commands.enrol", "teach signs, one short clip each, or from the live camera"),
    "adapt": (
        "calibration.commands.adapt",
        "take the best matches in unlabelled signing as further exemplars (Top-K transfer)",
    ),
    "calibrate": (
        "calibration.commands.calibrate",
        "set thresholds from background signing to a rate of false alarms",
    ),
    "gallery": ("calibration.commands.gallery", "list, show, nudge, remove or rebuild enrolled signs"),
    "listen": ("stream.commands.listen", "print events as they arrive, or run a command for each"),
    "explain": ("calibration.commands.explain", "why was a sign detected, or not?"),
    "evaluate": (
        "calibration.commands.evaluate",
        "score one-shot recognition and spotting against ground truth",
    ),
    "replay": ("stream.commands.replay", "repeat a recorded run exactly"),
    "bench": ("stream.commands.bench", "measure latency, throughput and memory"),
    "cameras": ("stream.commands.cameras", "list cameras and their modes"),
    "doctor": ("stream.commands.doctor", "say what this machine can do, and what to install for more"),
    "keys": ("stream.commands.keys", "make CURVE keys for publishing beyond this machine"),
    "synth": ("calibration.commands.synth", "the synthetic signer: made-up signs with exact ground truth"),
    "corpus": ("calibration.commands.corpus", "what a corpus of gloss sentences holds"),
    "lm": ("calibration.commands.lm", "build a language model of glosses for the transcript"),
    "train": ("calibration.commands.train", "train an encoder"),
    "engines": ("calibration.commands.engines", "import published checkpoints; build, list, check engines"),
    "reproduce": (
        "calibration.commands.reproduce",
        "repeat published evaluations, for whoever has their data",
    ),
}
"""Sub-command -> (module, one line). A module is imported only when called, so that start-up stays quick."""


def overview() -> str:
    """The list of sub-commands, for `--help`."""
    rows = "\n".join(f"  {name:<10} {line}" for name, (_, line) in COMMANDS.items())
    return f"sub-commands (signspot COMMAND --help tells more):\n{rows}"


def parse(words: Sequence[str]) -> tuple[Command, argparse.Namespace]:
    """Find the sub-command's module and parse its options (and its configuration file).

    Raises:
        ConfigError: an option in the configuration file cannot be used.
        SystemExit: `--help`, `--version`, or wrong usage.
    """
    words = list(words)
    if words and words[0] == "--version":
        print(f"signspot {importlib.metadata.version('signspot')}")
        raise SystemExit(0)
    named = bool(words) and not words[0].startswith("-")
    if named and words[0] not in COMMANDS:
        sys.stderr.write(f"signspot: there is no command {words[0]!r}\n{overview()}\n")
        raise SystemExit(2)
    name = words.pop(0) if named else "live"
    module = cast(Command, importlib.import_module(COMMANDS[name][0]))
    parser = argparse.ArgumentParser(
        prog=f"signspot {name}" if named else "signspot",
        description=module.SUMMARY,
        epilog=None if named else overview(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.add_arguments(parser)
    return module, parse_with_config(parser, words, name, COMMANDS)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status (0 done, 1 failed with a message, 2 wrong usage)."""
    try:
        module, args = parse(sys.argv[1:] if argv is None else argv)
        return module.run(args)
    except SignspotError as error:
        sys.stderr.write(f"signspot: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of our output has gone, as with `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


if __name__ == "__main__":
    sys.exit(main())
