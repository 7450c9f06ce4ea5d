"""`signspot evaluate transcript`: the live transcript on the sentences of a corpus."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from calibration.commands.evaluate_wer import figures, print_report
from calibration.corpus.landmarks import landmarks_of_sentence, read_track, spans_of_sentence
from calibration.corpus.reading import read_corpus
from calibration.corpus.sentences import CorpusError, Sentence, write_sentences
from calibration.evaluation.transcripts import Transcribed, lags_s, transcribe
from calibration.evaluation.wer import score
from engines.encoders import Encoder, load_encoder
from engines.errors import ConfigError
from engines.gloss_bundle import find_gloss_bundle
from engines.tick_features import EmbeddingRow, tick_features_named
from engines.ticks import TICK_HZ
from stream.transcribing import TranscriptStage, open_transcript


def add_parser(tasks: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the options."""
    transcript = tasks.add_parser(
        "transcript",
        help="the live transcript on a corpus: errors, and how soon a gloss is there to stay",
        description="Send the sentences of a corpus through the stage that writes the transcript live. Word error rate of "
        "what was stable or final; where the corpus knows when each sign ended, the seconds from there to its stable "
        "gloss; CPU time a tick.",
    )
    transcript.add_argument(
        "corpus", type=Path, nargs="?", metavar="CORPUS", help="sentences with landmarks or videos"
    )
    transcript.add_argument(
        "--idle",
        type=Path,
        metavar="FILE",
        help="instead of a corpus, landmarks of someone who signs nothing (`signspot synth stream --idle SECONDS --no-video`): "
        "glosses that are written all the same",
    )
    transcript.add_argument(
        "--transcript",
        required=True,
        metavar="NAME",
        help="a shipped transcript network or a bundle's folder",
    )
    transcript.add_argument(
        "--encoder",
        metavar="NAME",
        help="the encoder's folder, where it sees embeddings of one that does not ship",
    )
    transcript.add_argument("--language-model", type=Path, metavar="FILE", help="ARPA file of its glosses")
    transcript.add_argument("--split", default="test", metavar="NAME", help="which sentences (default: test)")
    transcript.add_argument("--limit", type=int, metavar="N", help="the first N sentences (default: all)")
    transcript.add_argument("--phoenix", action="store_true", help="clean up by PHOENIX-2014's rules first")
    transcript.add_argument(
        "--hypotheses", type=Path, metavar="FILE", help="write what was recognised as TSV"
    )
    transcript.add_argument("--json", action="store_true", help="print one JSON object instead of a report")


def run(args: argparse.Namespace) -> int:
    """Transcribe, score and print.

    Raises:
        ConfigError: an option that cannot be used.
        SignspotError: corpus, network or language model cannot be read.
    """
    if args.limit is not None and args.limit < 1:
        raise ConfigError(f"--limit must be at least 1, not {args.limit}")
    if (args.corpus is None) == (args.idle is None):
        raise ConfigError("name a CORPUS, or --idle FILE for someone who signs nothing")
    if args.idle is not None:
        return _idle(args)
    corpus = read_corpus(args.corpus)
    sentences = corpus.split(args.split)[: args.limit]
    if any(one.media is None for one in sentences):
        raise CorpusError(f"{args.corpus} has sentences of {args.split} without landmarks, video or frames")
    stage, encoder = _opened(args)
    columns = (TextColumn("transcribing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=len(sentences))
        tracks = (landmarks_of_sentence(one, fps=corpus.fps) for one in sentences)
        told = list(transcribe(tracks, stage, encoder=encoder, progress=lambda: bar.advance(task)))
    found = [replace(one, glosses=tuple(heard.glosses)) for one, heard in zip(sentences, told, strict=True)]
    if args.hypotheses is not None:
        try:
            write_sentences(args.hypotheses, found)
        except OSError as error:
            raise ConfigError(
                f"--hypotheses {args.hypotheses} cannot be written: {error.strerror}"
            ) from error
    report = score(sentences, found, phoenix=args.phoenix)
    live = _live(sentences, told)
    if args.json:
        print(json.dumps({"transcript": {**figures(report.counts), **live}}))
        return 0
    console = Console()
    print_report(console, report)
    if live["stable_ms_p50"] is not None:
        console.print(
            f"a gloss is there to stay {live['stable_ms_p50']:.0f} ms after its sign's end (median; 95% within "
            f"{live['stable_ms_p95']:.0f} ms), of {live['timed']:,} signs that were recognised",
            highlight=False,
        )
    console.print(
        f"CPU time a tick: p50 {live['cpu_ms_p50']:.2f} ms, p99 {live['cpu_ms_p99']:.2f} ms, mean {live['cpu_ms_mean']:.2f} ms",
        highlight=False,
    )
    return 0


def _opened(args: argparse.Namespace) -> tuple[TranscriptStage, Encoder | None]:
    """The live stage, and the encoder whose embeddings it sees."""
    encoder = None
    features = tick_features_named(find_gloss_bundle(args.transcript).card.features)
    if isinstance(features, EmbeddingRow):
        encoder = load_encoder(args.encoder or features.encoder, estimator="synthetic")
    if features.needs in ("picture", "face"):
        what = "pictures" if features.needs == "picture" else "faces, which landmark files have none of"
        raise ConfigError(
            f"--transcript {args.transcript} sees {what}: signspot train transcript-bundle has measured it on its corpus"
        )
    stage = open_transcript(
        args.transcript, encoders=[encoder] if encoder else [], language_model=args.language_model
    )
    return stage, encoder


def _idle(args: argparse.Namespace) -> int:
    """Glosses a minute that are written while nobody signs."""
    stage, encoder = _opened(args)
    track = read_track(args.idle)
    with Console(stderr=True).status("watching someone idle"):
        (told,) = transcribe([track], stage, encoder=encoder)
    minutes = len(track) / TICK_HZ / 60
    found = {
        "minutes": round(minutes, 2),
        "glosses": len(told.glosses),
        "glosses_per_minute": len(told.glosses) / minutes,
    }
    if args.json:
        print(json.dumps({"idle": found}))
    else:
        print(
            f"{len(told.glosses)} glosses in {minutes:.1f} minutes without a sign: {found['glosses_per_minute']:.1f} a minute"
        )
    return 0


def _live(sentences: Sequence[Sentence], told: Sequence[Transcribed]) -> dict[str, float | int | None]:
    """Lags and cost; a lag is None where the corpus does not know when signs ended."""
    lags: list[float] = []
    for one, heard in zip(sentences, told, strict=True):
        spans = spans_of_sentence(one)
        if spans is not None:
            lags += lags_s(one.glosses, [float(end) for end in spans[:, 1]], heard)
    cpu = np.concatenate([heard.cpu_ms for heard in told])
    return {
        "timed": len(lags),
        "stable_ms_p50": round(float(np.percentile(lags, 50)) * 1e3) if lags else None,
        "stable_ms_p95": round(float(np.percentile(lags, 95)) * 1e3) if lags else None,
        "cpu_ms_mean": round(float(cpu.mean()), 3),
        "cpu_ms_p50": round(float(np.percentile(cpu, 50)), 3),
        "cpu_ms_p99": round(float(np.percentile(cpu, 99)), 3),
    }
