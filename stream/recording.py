"""A recording of messages: one JSON object `{"topic", "payload"}` a line, whole up to the last line after a crash."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec

from engines.closing import Closing
from engines.errors import RecordingError
from stream.events import KINDS, Message, topic_of


class Line(msgspec.Struct, frozen=True):
    """One line of a recording, the payload still encoded."""

    topic: str
    payload: msgspec.Raw


def line_of(message: Message) -> bytes:
    """The message as a line of a recording, without the line's end. Bytes (JPEG, landmarks) become base64."""
    return msgspec.json.encode({"topic": topic_of(message), "payload": message})


class Recorder(Closing):
    """Writes every message as a line, from any thread. An earlier file of that name is replaced.

    Each line goes to the operating system at once, so a crash of the program loses none.

    Raises:
        RecordingError: the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        try:
            self._file: int | None = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        except OSError as error:
            raise RecordingError(f"cannot record to {path}: {error.strerror}") from error

    def write(self, message: Message) -> None:
        """Append a message; does nothing after `close`.

        Raises:
            RecordingError: the disk is full, or the file cannot be written for another reason.
        """
        left = memoryview(line_of(message) + b"\n")
        with self._lock:
            if self._file is None:
                return
            try:
                while left:
                    left = left[os.write(self._file, left) :]
            except OSError as error:
                raise RecordingError(f"cannot record to {self._path}: {error.strerror}") from error

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._file is not None:
                os.close(self._file)
                self._file = None


def read_messages(path: Path) -> Iterator[Message]:
    """Read a recording. A last line that a crash cut off is left out, and so are kinds this version does not know.

    Raises:
        RecordingError: the file cannot be read, or a line in it is damaged.
    """
    try:
        with open(path, "rb") as lines:
            for number, line in enumerate(lines, 1):
                if not line.endswith(b"\n"):
                    return
                message = _read_line(line, f"{path}, line {number}")
                if message is not None:
                    yield message
    except OSError as error:
        raise RecordingError(f"cannot read the recording {path}: {error.strerror}") from error


def _read_line(line: bytes, where: str) -> Message | None:
    try:
        entry = msgspec.json.decode(line, type=Line)
        struct = KINDS.get(entry.topic.partition("/")[0])
        return None if struct is None else msgspec.json.decode(entry.payload, type=struct)
    except msgspec.MsgspecError as error:
        raise RecordingError(f"{where} is not a recorded message: {error}") from error
