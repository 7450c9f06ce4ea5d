"""`signspot lm`: n-gram language models of glosses, in the ARPA format of KenLM and SRILM."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from calibration.corpus.reading import read_corpus
from calibration.corpus.sentences import read_sentences
from calibration.language import HIGHEST, estimate
from engines.errors import ConfigError
from stream.language import Perplexity, read_arpa, write_arpa

SUMMARY = "Build a language model of gloss sentences for the transcript, or measure one."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-commands."""
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="build|perplexity")
    build = kinds.add_parser(
        "build",
        help="estimate a model from gloss sentences",
        description="Estimate an n-gram model (interpolated Kneser-Ney) and write it in ARPA format.",
    )
    build.add_argument(
        "corpus",
        type=Path,
        metavar="CORPUS",
        help="a TSV of gloss sentences, or a corpus: its training split",
    )
    build.add_argument(
        "--order", type=int, default=3, metavar="N", help="of the longest n-grams (default: 3)"
    )
    build.add_argument("--out", type=Path, required=True, metavar="FILE", help="ends in .arpa")
    build.add_argument("--held-out", type=Path, metavar="FILE", help="a TSV to measure the model on")
    measure = kinds.add_parser("perplexity", help="how well a model foresees sentences")
    measure.add_argument("model", type=Path, metavar="FILE.arpa", help="made here, by KenLM or by SRILM")
    measure.add_argument("sentences", type=Path, metavar="SENTENCES.tsv", help="a TSV of gloss sentences")
    measure.add_argument("--json", action="store_true", help="print one JSON object instead of a line")


def run(args: argparse.Namespace) -> int:
    """Build or measure.

    Raises:
        ConfigError: an option that cannot be used.
        CorpusError: the sentences cannot be read.
        LanguageModelError: the model cannot be read or written.
    """
    if args.kind == "perplexity":
        found = read_arpa(args.model).perplexity(_glosses(args.sentences))
        print(json.dumps({"perplexity": asdict(found)}) if args.json else _line(args.sentences, found))
        return 0
    if not 1 <= args.order <= HIGHEST:
        raise ConfigError(f"--order must be 1 to {HIGHEST}, not {args.order}")
    if args.out.suffix != ".arpa":
        raise ConfigError(f"--out {args.out}: its name must end in .arpa")
    held_out = None if args.held_out is None else _glosses(args.held_out)
    model = estimate(_glosses(args.corpus), order=args.order)
    write_arpa(args.out, model)
    counts = ", ".join(f"{len(part):,} {order}-grams" for order, part in enumerate(model.grams, 1))
    print(f"{args.out}: {counts}")
    if held_out is not None:
        print(_line(args.held_out, model.perplexity(held_out)))
    return 0


def _glosses(path: Path) -> list[tuple[str, ...]]:
    sentences = read_corpus(path).split("train") if path.is_dir() else read_sentences(path)
    return [sentence.glosses for sentence in sentences]


def _line(path: Path, found: Perplexity) -> str:
    return (
        f"{path}: perplexity {found.with_unknown:.1f} over {found.events:,} glosses and sentence ends, of which "
        f"{found.unknown} are unknown ({found.without_unknown:.1f} without these)"
    )
