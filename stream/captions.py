"""The transcript as WebVTT or SRT captions, written while it runs: what is there to stay is in the file at once.

WebVTT as the W3C's "WebVTT: The Web Video Text Tracks Format" has it; SRT as SubRip writes it.
"""

from __future__ import annotations

import html
import os
import threading
from collections.abc import Sequence
from pathlib import Path

from engines.closing import Closing
from engines.errors import ConfigError, RecordingError
from stream.events import Hypothesis, HypothesisGloss, Message

SUFFIXES = (".vtt", ".srt")
GLOSSES = 8
"""A cue holds so many; more are a further cue."""
SHORTEST_S = 1.0
"""A cue stands so long at least, or nobody could read it."""


class CaptionWriter(Closing):
    """Takes every message of one stream and keeps the stable and final glosses as cues of stream seconds.

    The newest cue grows in its place with each stable revision, by one write of its whole text, and never shrinks: what is
    stable is not taken back. So the file is whole after every message, however the program ends. An earlier file of that
    name is replaced.

    Raises:
        ConfigError: the file's name ends in neither .vtt nor .srt.
        RecordingError: the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        if path.suffix.lower() not in SUFFIXES:
            raise ConfigError(f"--captions {path}: the name must end in {' or '.join(SUFFIXES)}")
        self._path = path
        self._vtt = path.suffix.lower() == ".vtt"
        self._lock = threading.Lock()
        self._number = 1  # of the newest cue
        self._utterance: tuple[int, int] | None = None  # segment and number
        self._told = 0  # glosses of the utterance that are in cues before the newest
        head = b"WEBVTT\n\n" if self._vtt else b""
        try:
            self._file: int | None = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        except OSError as error:
            raise self._trouble(error) from error
        self._place = 0  # where the newest cue begins
        self._end = 0
        self._write(head)
        self._place = self._end

    def take(self, message: Message) -> None:
        """Take in a message, from any thread; does nothing after `close`.

        Raises:
            RecordingError: the disk is full, or the file cannot be written for another reason.
        """
        if not isinstance(message, Hypothesis) or message.state == "partial":
            return
        with self._lock:
            if self._file is None:
                return
            utterance = (message.segment, message.utterance)
            if utterance != self._utterance:
                self._next_cue()
                self._utterance, self._told = utterance, 0
            while self._told < len(message.glosses):
                shown = message.glosses[self._told : self._told + GLOSSES]
                self._write(self._cue(shown))
                if self._told + GLOSSES >= len(message.glosses):
                    break
                self._told += GLOSSES
                self._next_cue()

    def _next_cue(self) -> None:
        if self._end > self._place:
            self._number += 1
        self._place = self._end

    def _cue(self, glosses: Sequence[HypothesisGloss]) -> bytes:
        start_s = glosses[0].start_s
        end_s = max(glosses[-1].end_s, start_s + SHORTEST_S)
        mark = "." if self._vtt else ","
        text = " ".join(" ".join(entry.gloss.split()) for entry in glosses)
        if self._vtt:
            text = html.escape(text, quote=False)
        lines = f"{clock(start_s, mark)} --> {clock(end_s, mark)}\n{text}\n\n"
        return (lines if self._vtt else f"{self._number}\n{lines}").encode()

    def _write(self, data: bytes) -> None:
        if self._file is None:
            return
        left, place = memoryview(data), self._place
        try:
            while left:
                written = os.pwrite(self._file, left, place)
                left, place = left[written:], place + written
            if place < self._end:  # a gloss's name is shorter than what stood here: never of what is stable
                os.ftruncate(self._file, place)
        except OSError as error:
            raise self._trouble(error) from error
        self._end = place

    def _trouble(self, error: OSError) -> RecordingError:
        return RecordingError(f"cannot write captions to {self._path}: {error.strerror}")

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._file is not None:
                os.close(self._file)
                self._file = None


def clock(seconds: float, mark: str = ".") -> str:
    """Stream seconds as HH:MM:SS.mmm."""
    milliseconds = max(round(seconds * 1000), 0)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}{mark}{rest % 1000:03}"
