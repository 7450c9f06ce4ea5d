"""Detections and transcript as tiers of an ELAN document (.eaf, format 3.0), kept whole while the stream runs.

ELAN (Max Planck Institute for Psycholinguistics) is what sign linguists annotate with. "EAF Annotation Format 3.0 and ELAN"
has the elements; annotations of one tier may not overlap there, so those that do go to a further tier.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from engines.closing import Closing
from engines.errors import ConfigError, RecordingError
from stream.events import Detection, Hypothesis, HypothesisGloss, Message

DETECTIONS, GLOSSES, UTTERANCES = "detections", "glosses", "utterances"
"""Names of the tiers; further ones of a kind are numbered from 2."""
WRITE_S = 1.0
"""The file is written again at most so often, and for long documents less: writing takes at most a fiftieth of the time."""
SCHEMA = "http://www.mpi.nl/tools/elan/EAFv3.0.xsd"
MIME_TYPES = {".mp4": "video/mp4", ".mov": "video/quicktime", ".mpg": "video/mpeg", ".mpeg": "video/mpeg"}


@dataclass(frozen=True, slots=True)
class Annotation:
    """A stretch of stream time with a text."""

    start_ms: int
    end_ms: int
    text: str


@dataclass(slots=True)
class _Utterance:
    """The transcript's newest utterance: what of it is there to stay."""

    key: tuple[int, int]  # segment and number
    glosses: Sequence[HypothesisGloss] = ()


@dataclass(slots=True)
class Document:
    """What the tiers hold so far."""

    detections: list[Annotation] = field(default_factory=list)
    glosses: list[Annotation] = field(default_factory=list)
    utterances: list[Annotation] = field(default_factory=list)
    _open: _Utterance | None = None

    def take(self, message: Message) -> bool:
        """Take in a message; whether it changed anything."""
        if isinstance(message, Detection):
            self.detections.append(annotation(message.start_s, message.end_s, message.gloss))
            return True
        if not isinstance(message, Hypothesis) or message.state == "partial":
            return False
        key = (message.segment, message.utterance)
        if self._open is None or self._open.key != key:
            self._close()
            self._open = _Utterance(key)
        self._open.glosses = message.glosses
        if message.state == "final":
            self._close()
        return True

    def copy(self) -> Document:
        """As it is now, whatever comes."""
        still = None if self._open is None else _Utterance(self._open.key, tuple(self._open.glosses))
        return Document([*self.detections], [*self.glosses], [*self.utterances], still)

    def tiers(self) -> dict[str, list[Annotation]]:
        """Name of each tier and its annotations, which do not overlap."""
        glosses, utterances = self._of_open()
        found: dict[str, list[Annotation]] = {}
        for name, every in (
            (DETECTIONS, self.detections),
            (GLOSSES, [*self.glosses, *glosses]),
            (UTTERANCES, [*self.utterances, *utterances]),
        ):
            for number, lane in enumerate(lanes(every), 1):
                found[name if number == 1 else f"{name}-{number}"] = lane
        return found

    def _of_open(self) -> tuple[list[Annotation], list[Annotation]]:
        if self._open is None or not self._open.glosses:
            return [], []
        every = [annotation(one.start_s, one.end_s, one.gloss) for one in self._open.glosses]
        text = " ".join(one.text for one in every)
        return every, [Annotation(every[0].start_ms, max(one.end_ms for one in every), text)]

    def _close(self) -> None:
        glosses, utterances = self._of_open()
        self.glosses += glosses
        self.utterances += utterances
        self._open = None


def annotation(start_s: float, end_s: float, text: str) -> Annotation:
    """Of a millisecond at least: ELAN takes no empty ones."""
    start_ms = max(round(start_s * 1000), 0)
    kept = "".join(letter if letter.isprintable() else " " for letter in text)
    return Annotation(start_ms, max(round(end_s * 1000), start_ms + 1), kept)


def lanes(annotations: Sequence[Annotation]) -> list[list[Annotation]]:
    """Divide annotations so that none overlap in a lane; one empty lane where there are none."""
    found: list[list[Annotation]] = [[]]
    for one in sorted(annotations, key=lambda each: (each.start_ms, each.end_ms)):
        for lane in found:
            if not lane or lane[-1].end_ms <= one.start_ms:
                lane.append(one)
                break
        else:
            found.append([one])
    return found


def eaf(document: Document, *, media: Path | None = None) -> str:
    """The document as ELAN reads it.

    Args:
        document: what was seen.
        media: the video that stream second 0 is the beginning of; None for a live source.
    """
    tiers = document.tiers()
    instants = sorted({at for lane in tiers.values() for one in lane for at in (one.start_ms, one.end_ms)})
    slot = {at: f"ts{number}" for number, at in enumerate(instants, 1)}
    date = datetime.now(UTC).astimezone().isoformat(timespec="seconds")
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<ANNOTATION_DOCUMENT AUTHOR="Signspot" DATE="{date}" FORMAT="3.0" VERSION="3.0"'
        ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
        f' xsi:noNamespaceSchemaLocation="{SCHEMA}">',
        '<HEADER MEDIA_FILE="" TIME_UNITS="milliseconds">',
    ]
    if media is not None:
        kind = MIME_TYPES.get(media.suffix.lower(), "video/*")
        lines.append(
            f"<MEDIA_DESCRIPTOR MEDIA_URL={quoteattr(media.absolute().as_uri())} MIME_TYPE={quoteattr(kind)}/>"
        )
    count = sum(len(lane) for lane in tiers.values())
    lines += [f'<PROPERTY NAME="lastUsedAnnotationId">{count}</PROPERTY>', "</HEADER>", "<TIME_ORDER>"]
    lines += [f'<TIME_SLOT TIME_SLOT_ID="{slot[at]}" TIME_VALUE="{at}"/>' for at in instants]
    lines.append("</TIME_ORDER>")
    number = 0
    for name, lane in tiers.items():
        lines.append(f'<TIER LINGUISTIC_TYPE_REF="default-lt" TIER_ID="{name}">')
        for one in lane:
            number += 1
            lines.append(
                f'<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a{number}" TIME_SLOT_REF1="{slot[one.start_ms]}"'
                f' TIME_SLOT_REF2="{slot[one.end_ms]}"><ANNOTATION_VALUE>{escape(one.text)}</ANNOTATION_VALUE>'
                "</ALIGNABLE_ANNOTATION></ANNOTATION>"
            )
        lines.append("</TIER>")
    lines.append(
        '<LINGUISTIC_TYPE GRAPHIC_REFERENCES="false" LINGUISTIC_TYPE_ID="default-lt" TIME_ALIGNABLE="true"/>'
    )
    lines.append("</ANNOTATION_DOCUMENT>\n")
    return "\n".join(lines)


class ElanWriter(Closing):
    """Takes every message of one stream and keeps an .eaf file of it, on a thread of its own.

    The file is replaced as a whole (written beside, then renamed), so it opens in ELAN at any time, also after a crash; what
    was said in the last second before that may be missing. An earlier file of that name is replaced.

    Raises:
        ConfigError: the file's name does not end in .eaf.
        RecordingError: the file cannot be written.
    """

    def __init__(self, path: Path, *, media: Path | None = None) -> None:
        if path.suffix.lower() != ".eaf":
            raise ConfigError(f"--elan {path}: the name must end in .eaf")
        self._path, self._media = path, media
        self._document = Document()
        self._lock = threading.Lock()
        self._changed, self._closing = threading.Event(), threading.Event()
        self._failure: RecordingError | None = None
        self._write()
        self._thread = threading.Thread(target=self._loop, name="elan", daemon=True)
        self._thread.start()

    def take(self, message: Message) -> None:
        """Take in a message, from any thread; does nothing after `close`.

        Raises:
            RecordingError: the disk is full, or the file cannot be written for another reason.
        """
        if self._failure is not None:
            raise self._failure
        with self._lock:
            changed = not self._closing.is_set() and self._document.take(message)
        if changed:
            self._changed.set()

    def close(self) -> None:
        """Write what is left.

        Raises:
            RecordingError: the file cannot be written.
        """
        with self._lock:
            self._closing.set()
        self._changed.set()
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def _loop(self) -> None:
        try:
            while not self._closing.is_set():
                self._changed.wait()
                self._changed.clear()
                start_s = time.monotonic()
                self._write()
                self._closing.wait(max(WRITE_S, 50 * (time.monotonic() - start_s)))
            if self._changed.is_set():
                self._write()
        except RecordingError as error:
            self._failure = error

    def _write(self) -> None:
        with self._lock:
            document = self._document.copy()
        text = eaf(document, media=self._media)
        partial = self._path.with_name(f".{self._path.name}.part")
        try:
            partial.write_text(text, encoding="utf-8")
            os.replace(partial, self._path)
        except OSError as error:
            with contextlib.suppress(OSError):
                partial.unlink()
            raise RecordingError(f"cannot write {self._path}: {error.strerror}") from error
