"""RWTH-BOSTON-104 as a corpus of landmarks: real sentences of which only both hands and the nose are known.

Dreuw et al., "Speech recognition techniques for a sign language recognition system" (Interspeech 2007), as the CSV files of
udacity/AIND-Recognizer have it: `hands_condensed.csv` with pixel places of every frame, `speaker.csv`, and `train_words.csv`
and `test_words.csv` with each word's frames. The hands become wrists, the nose the nose; all else is absent.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibration.corpus.landmarks import save_packed
from calibration.corpus.sentences import CorpusError, Sentence, write_sentences
from engines.landmarks import PARTS, LandmarkTrack
from engines.ticks import TICK_HZ

Array = NDArray[np.float32]

FPS = 30.0
WIDTH, HEIGHT = 312, 242
"""Of the pictures that the places are in, pixels."""
NOSE, LEFT_WRIST, RIGHT_WRIST = 0, 15, 16
COLUMNS = ("left-x", "left-y", "right-x", "right-y", "nose-x", "nose-y")
DEV_EVERY = 10
"""Every so-manieth training sentence is dev where all its words stay in training: the corpus has no dev split."""


def convert(source: Path, out: Path, progress: Callable[[], None] | None = None) -> dict[str, int]:
    """Write the corpus in this project's form.

    Args:
        source: folder with the CSV files.
        out: folder to make.
        progress: called after each sentence.

    Returns:
        Sentences of each split.

    Raises:
        CorpusError: a file is missing or damaged.
    """
    places = _places(source / "hands_condensed.csv")
    signers = {row["video"]: row["speaker"] for row in _rows(source / "speaker.csv", ("video", "speaker"))}
    texts = {split: _texts(source / f"{split}_words.csv") for split in ("train", "test")}
    dev = _dev(texts["train"])
    splits = {
        "train": [video for video in texts["train"] if video not in dev],
        "dev": dev,
        "test": list(texts["test"]),
    }
    words = texts["train"] | texts["test"]
    (out / "landmarks").mkdir(parents=True, exist_ok=True)
    for split, videos in splits.items():
        made = []
        for video in videos:
            if video not in places:
                raise CorpusError(f"{source / 'hands_condensed.csv'} has no frames of video {video}")
            glosses = tuple(word for word, _, _ in words[video])
            track = _track(places[video])
            spans = np.array([(first / FPS, (last + 1) / FPS) for _, first, last in words[video]], np.float32)
            save_packed(out / "landmarks" / f"{video}.npz", track, spans)
            made.append(Sentence(id=video, glosses=glosses, signer=signers.get(video, ""), frames=len(track)))
            if progress is not None:
                progress()
        write_sentences(out / f"{split}.tsv", made)
    return {split: len(videos) for split, videos in splits.items()}


def _track(frames: Array) -> LandmarkTrack:
    """Places (F, 6) of frames at 30 Hz as landmarks at 25 Hz, between two frames on the straight line."""
    ticks = int((len(frames) - 1) / FPS * TICK_HZ) + 1
    at = np.arange(ticks) / TICK_HZ * FPS
    values = np.stack([np.interp(at, np.arange(len(frames)), column) for column in frames.T], 1)
    parts: dict[str, Any] = {
        name: np.full((ticks, *shape), np.nan, np.float32) for name, shape in PARTS.items()
    }
    for landmark, column in ((LEFT_WRIST, 0), (RIGHT_WRIST, 2), (NOSE, 4)):
        parts["pose"][:, landmark] = 0
        parts["pose"][:, landmark, :2] = values[:, column : column + 2] / (WIDTH, HEIGHT)
        parts["pose"][:, landmark, 3] = 1
    return LandmarkTrack(**parts, width=WIDTH, height=HEIGHT, estimator="rwth-boston-104")


def _dev(train: dict[str, list[tuple[str, int, int]]]) -> list[str]:
    counts: dict[str, int] = {}
    for text in train.values():
        for word in {word for word, _, _ in text}:
            counts[word] = counts.get(word, 0) + 1
    chosen: list[str] = []
    for video, text in train.items():
        words = {word for word, _, _ in text}
        if len(chosen) < len(train) // DEV_EVERY and all(counts[word] > 2 for word in words):
            chosen.append(video)
            for word in words:
                counts[word] -= 1
    return chosen


def _places(path: Path) -> dict[str, Array]:
    found: dict[str, list[list[float]]] = {}
    for row in _rows(path, ("video", "frame", *COLUMNS)):
        found.setdefault(row["video"], []).append([_number(path, row[name]) for name in COLUMNS])
    return {video: np.array(frames, np.float32) for video, frames in found.items()}


def _texts(path: Path) -> dict[str, list[tuple[str, int, int]]]:
    found: dict[str, list[tuple[str, int, int]]] = {}
    for row in _rows(path, ("video", "word", "startframe", "endframe")):
        frames = int(_number(path, row["startframe"])), int(_number(path, row["endframe"]))
        found.setdefault(row["video"], []).append((row["word"], *frames))
    return found


def _rows(path: Path, columns: tuple[str, ...]) -> Iterator[dict[str, str]]:
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            for row in csv.DictReader(lines):
                if any(row.get(name) is None for name in columns):
                    raise CorpusError(
                        f"{path} must have the columns {', '.join(columns)}, and a value in each"
                    )
                yield row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CorpusError(f"{path} cannot be read as a part of RWTH-BOSTON-104: {error}") from error


def _number(path: Path, text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise CorpusError(f"{path} has {text!r} where a number belongs") from error
