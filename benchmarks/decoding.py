"""What the transcript's search costs a step (four ticks): beam widths with and without a language model.

    python benchmarks/decoding.py CORPUS [--output benchmarks/results/decoding.json]

The log-probabilities are made up around real sentences: each gloss a spike among blanks, and noise on all classes. The
language model is of the corpus's training split.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibration.corpus.reading import read_corpus
from calibration.language import estimate
from stream.decoding import GlossDecoder, SearchOptions
from stream.hypotheses import CtcTranscript

SENTENCES = 150
BEAMS = ((16, 20), (32, 40), (64, 80))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("corpus", type=Path, metavar="CORPUS", help="folder with train.tsv")
    parser.add_argument("--output", type=Path, metavar="FILE", help="also write the result as JSON")
    args = parser.parse_args()
    sentences = [one.glosses for one in read_corpus(args.corpus).split("train")]
    model = estimate(sentences, order=3)
    words = {word: number for number, word in enumerate(model.words, 1)}
    rng = np.random.default_rng(0)
    streams = [_spikes(rng, [words[gloss] for gloss in one], len(words)) for one in sentences[:SENTENCES]]
    rows: list[dict[str, Any]] = []
    for width, candidates in BEAMS:
        for used in (None, model):
            options = SearchOptions(width=width, candidates=candidates)
            transcript = CtcTranscript(GlossDecoder(model.words, model=used, options=options))
            cpu_ms = []
            for stream in streams:
                for row in stream:
                    start_s = time.process_time()
                    transcript.push(row[None])
                    cpu_ms.append((time.process_time() - start_s) * 1e3)
                transcript.finish()
            rows.append(
                {
                    "width": width,
                    "candidates": candidates,
                    "language_model": used is not None,
                    "steps": len(cpu_ms),
                    "cpu_ms_mean": round(float(np.mean(cpu_ms)), 3),
                    "cpu_ms_p50": round(float(np.percentile(cpu_ms, 50)), 3),
                    "cpu_ms_p99": round(float(np.percentile(cpu_ms, 99)), 3),
                }
            )
    print("| " + " | ".join(rows[0]) + " |\n|" + "---|" * len(rows[0]))
    for one in rows:
        print("| " + " | ".join(str(value) for value in one.values()) + " |")
    if args.output:
        result = {
            "date": time.strftime("%Y-%m-%d"),
            "processor": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "glosses": len(words),
            "rows": rows,
        }
        args.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def _spikes(rng: np.random.Generator, labels: list[int], glosses: int) -> NDArray[np.float32]:
    """Log-probabilities (K, glosses + 1) in which each label is a spike between blanks."""
    rows = []
    for label in labels:
        for place in range(int(rng.integers(2, 5))):
            row = rng.normal(size=glosses + 1) * 1.5
            row[0] += 7
            row[label] += 9 * (place == 1)
            rows.append(row - np.logaddexp.reduce(row))
    return np.asarray(rows, np.float32)


if __name__ == "__main__":
    main()
