"""The table by which a corpus of continuous signing is described (as in Koller, Forster and Ney, CVIU 2015)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import av
import av.error
import numpy as np

from calibration.corpus.landmarks import frame_paths, read_track
from calibration.corpus.sentences import CorpusError, Sentence, SentenceCorpus
from engines.ticks import TICK_HZ


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitStatistics:
    """One column of the table."""

    signers: int | None  # None where the corpus does not name them
    hours: float | None  # None where no length is known
    frames: int | None  # the same
    sentences: int
    running_glosses: int
    vocabulary: int
    singletons: int  # glosses that occur once in the split
    unseen_glosses: int  # glosses that the training split does not have
    unseen_percent: float  # of the running glosses: out of vocabulary


def statistics(
    corpus: SentenceCorpus, *, progress: Callable[[], None] | None = None
) -> dict[str, SplitStatistics]:
    """Count a corpus, split by split.

    Args:
        corpus: its media are opened only where the TSV does not tell the length.
        progress: called after every sentence.

    Raises:
        CorpusError: a video cannot be read, or the corpus has no training split to compare with.
        NotLandmarks: a landmark file cannot be read.
    """
    known = frozenset(corpus.vocabulary("train"))
    table = {}
    for name, sentences in corpus.splits.items():
        counts = Counter(gloss for sentence in sentences for gloss in sentence.glosses)
        seconds, frames = 0.0, 0
        measured = all(sentence.frames is not None or sentence.media is not None for sentence in sentences)
        for sentence in sentences:
            if measured:
                length, rate = _length(sentence, corpus.fps)
                frames += length
                seconds += length / rate
            if progress is not None:
                progress()
        unseen = {gloss: count for gloss, count in counts.items() if gloss not in known}
        table[name] = SplitStatistics(
            signers=len({sentence.signer for sentence in sentences})
            if all(one.signer for one in sentences)
            else None,
            hours=seconds / 3600 if measured else None,
            frames=frames if measured else None,
            sentences=len(sentences),
            running_glosses=counts.total(),
            vocabulary=len(counts),
            singletons=sum(count == 1 for count in counts.values()),
            unseen_glosses=len(unseen),
            unseen_percent=100 * sum(unseen.values()) / counts.total(),
        )
    return table


def _length(sentence: Sentence, fps: float) -> tuple[int, float]:
    """Frames, and frames a second."""
    if sentence.frames is not None:
        return sentence.frames, fps
    if sentence.media is None:
        raise CorpusError(f"the length of sentence {sentence.id} is not known")
    if sentence.media.is_dir():
        return len(frame_paths(sentence.media)), fps
    if sentence.media.suffix == ".npz":
        return len(read_track(sentence.media)), TICK_HZ
    return _video_length(sentence.media)


def _video_length(path: Path) -> tuple[int, float]:
    """By its packets: containers often do not tell, or are wrong."""
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            step = stream.time_base or 0
            stamps = [
                float(packet.pts * step) for packet in container.demux(stream) if packet.pts is not None
            ]
    except (av.error.FFmpegError, OSError, IndexError) as error:
        raise CorpusError(f"{path} cannot be read as a video: {error}") from error
    if len(stamps) < 2 or np.ptp(stamps) <= 0:
        raise CorpusError(f"{path} has no two pictures")
    return len(stamps), (len(stamps) - 1) / float(np.ptp(stamps))
