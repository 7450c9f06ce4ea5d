"""Recording a run so that it can be repeated exactly: the pictures that were posed and every decision that hung on time.

A recorded run is a folder:

    ledger.jsonl      one JSON object a line: `start`, then `frame`, `gallery`, `end` in the order they took effect
    frames-000.mkv    the posed pictures, a file per picture size, in ledger order; lossless H.264 in RGB, which
                      costs 5 ms of CPU a 640x480 picture where FFV1 costs 13 at the same size on disk
    transcript/       the transcript network in use, if one was
    gallery-000/      the gallery in use from the start; gallery-001/ ... each one taken up later
    events.jsonl      every message that was published

Every frame that the pose stage read has a line with `pts_s`, `captured_ns`, `connection`, how many frames before
it were overwritten unread, the degradation level and whether it was posed; replay obeys these lines and nothing else.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import av
import numpy as np
from numpy.typing import NDArray

from engines.errors import RecordingError
from stream.frame import Frame
from stream.gallery import Gallery

FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameLine:
    """One frame that the pose stage read."""

    index: int
    pts_s: float
    captured_ns: int
    connection: int
    dropped: int  # frames overwritten unread just before this one
    level: int  # degradation level it was read at
    posed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class GalleryLine:
    """From this tick on another gallery was used."""

    tick: int  # the first tick it applies to, counted over all ticks of the run from 0
    folder: str  # within the recorded run; "" when there is none


@dataclass(frozen=True, slots=True, kw_only=True)
class StartLine:
    """How the run was set up."""

    format: int
    stream: str
    source: str  # without credentials
    realtime: bool
    encoders: dict[str, str]  # name -> fingerprint
    estimator: str
    mirrored: bool
    gallery: str  # folder within the recorded run; "" when there is none
    transcript: str = ""  # folder of the transcript network within the recorded run; "" when there is none
    language_model: str = ""  # file of its language model within the recorded run; "" when there is none


@dataclass(frozen=True, slots=True, kw_only=True)
class EndLine:
    """The run is over. A run without this line crashed."""

    ticks: int  # that were spotted; frames may have been posed beyond them
    whole: bool  # the source ended by itself and what was open was decided; otherwise the run was stopped


Line = StartLine | FrameLine | GalleryLine | EndLine
_NAMES: dict[str, type[StartLine] | type[FrameLine] | type[GalleryLine] | type[EndLine]] = {
    "start": StartLine,
    "frame": FrameLine,
    "gallery": GalleryLine,
    "end": EndLine,
}


class _Pictures:
    """Writes pictures losslessly; a change of size opens another file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._size: tuple[int, int] | None = None
        self._files = 0
        self._container: Any = None
        self._stream: Any = None
        self._count = 0

    def write(self, image: NDArray[np.uint8]) -> None:
        size = (image.shape[1], image.shape[0])
        if size != self._size:
            self.close()
            self._container = av.open(str(self._folder / f"frames-{self._files:03}.mkv"), "w")
            self._stream = self._container.add_stream("libx264rgb", rate=25)
            self._stream.width, self._stream.height = size
            self._stream.pix_fmt = "bgr24"
            self._stream.options = {"qp": "0", "preset": "ultrafast"}
            self._stream.thread_count = 1
            self._size, self._files, self._count = size, self._files + 1, 0
        frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="bgr24")
        frame.pts = self._count
        self._count += 1
        self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        if self._container is not None:
            self._container.mux(self._stream.encode(None))
            self._container.close()
            self._container = None


def _unwritable(folder: Path, error: OSError) -> RecordingError:
    return RecordingError(f"cannot record the run in {folder}: {error.strerror or error}")


class LedgerWriter:
    """Writes a recorded run as it happens. Called from the pose and the spotting thread; each has its own methods.

    Raises:
        RecordingError: the folder exists and is not empty, or cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if any(folder.iterdir()):
                raise RecordingError(f"{folder} is not empty: name a new folder for --record-run")
            self._file: IO[str] = (folder / "ledger.jsonl").open("w", encoding="utf-8")
        except OSError as error:
            raise _unwritable(folder, error) from error
        self._folder = folder
        self._pictures = _Pictures(folder)
        self._galleries = 0

    @property
    def events_file(self) -> Path:
        """Where the published messages belong."""
        return self._folder / "events.jsonl"

    def start(self, line: StartLine) -> None:
        """Note how the run is set up."""
        self._write("start", line)

    def frame(self, line: FrameLine, frame: Frame | None) -> None:
        """Note a frame that was read, and keep its picture where it was posed (pose thread)."""
        if frame is not None:
            self._pictures.write(frame.image)
        self._write("frame", line)

    def keep_gallery(self, edition: Gallery | None) -> str:
        """Write the gallery that is used into the run; returns its folder's name within it, "" for none.

        It is written from memory: its folder may hold the next edition already. The landmarks that it was made from are copied as
        far as they can be read; repeating the run needs none of them.

        Raises:
            GalleryError, RecordingError: the run's folder cannot be written.
        """
        if edition is None:
            return ""
        name = f"gallery-{self._galleries:03}"
        self._galleries += 1
        kept = replace(edition, path=self._folder / name)
        try:
            for file in {file for take in edition.takes for file in (take.landmarks, take.pictures) if file}:
                (kept.path / file).parent.mkdir(parents=True, exist_ok=True)
                try:
                    content = (edition.path / file).read_bytes()
                except OSError:
                    continue  # gone with a later edition, or it cannot be read
                (kept.path / file).write_bytes(content)
        except OSError as error:
            raise _unwritable(self._folder, error) from error
        kept.save()
        return name

    def keep_transcript(self, source: Path | None) -> str:
        """Copy a transcript network's bundle into the run; returns its folder's name within it, "" for none."""
        if source is None:
            return ""
        shutil.copytree(source, self._folder / "transcript")
        return "transcript"

    def keep_language_model(self, source: Path | None) -> str:
        """Copy a language model into the run; returns its name within it, "" for none."""
        if source is None:
            return ""
        shutil.copyfile(source, self._folder / source.name)
        return source.name

    def gallery(self, line: GalleryLine) -> None:
        """Note that another gallery is used (spotting thread)."""
        self._write("gallery", line)

    def end(self, line: EndLine) -> None:
        """Note how far the run came."""
        self._write("end", line)

    def close(self) -> None:
        """Finish the files. A run that crashed before this replays up to the last whole line."""
        self._pictures.close()
        self._file.close()

    def _write(self, name: str, line: Line) -> None:
        fields = {slot: getattr(line, slot) for slot in line.__slots__}
        self._file.write(json.dumps({"line": name, **fields}) + "\n")
        self._file.flush()


def read_lines(folder: Path) -> Iterator[Line]:
    """The lines of a recorded run, in order; a last line cut by a crash is left out.

    Raises:
        RecordingError: there is no recorded run in `folder`, or its ledger is damaged.
    """
    path = folder / "ledger.jsonl"
    try:
        rows = path.read_text(encoding="utf-8").split("\n")
    except OSError as error:
        raise RecordingError(f"{folder} holds no recorded run (no readable ledger.jsonl in it)") from error
    for number, row in enumerate(rows[:-1], 1):
        try:
            fields = json.loads(row)
            line = _NAMES[fields.pop("line")](**fields)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise RecordingError(f"{path}, line {number}: not a line of a ledger ({error})") from error
        if isinstance(line, StartLine) and line.format != FORMAT:
            raise RecordingError(f"{path} has format {line.format}, this Signspot reads {FORMAT}")
        yield line


def read_frames(folder: Path) -> Iterator[tuple[FrameLine, Frame | None]]:
    """Every frame line with its picture, None for the ones that were not posed.

    Raises:
        RecordingError: the pictures end before the ledger does, or are damaged.
    """
    with contextlib.closing(_stored_images(folder)) as images:
        for line in read_lines(folder):
            if not isinstance(line, FrameLine):
                continue
            if not line.posed:
                yield line, None
                continue
            image = next(images, None)
            if image is None:
                raise RecordingError(
                    f"{folder}: the picture of frame {line.index} is missing; was the run cut off?"
                )
            yield (
                line,
                Frame(
                    image=image,
                    index=line.index,
                    pts_s=line.pts_s,
                    captured_ns=line.captured_ns,
                    connection=line.connection,
                ),
            )


def _stored_images(folder: Path) -> Generator[NDArray[np.uint8], None, None]:
    for path in sorted(folder.glob("frames-*.mkv")):
        try:
            with av.open(str(path)) as container:
                for picture in container.decode(video=0):
                    yield np.asarray(picture.to_ndarray(format="rgb24"), np.uint8)
        except av.FFmpegError as error:
            raise RecordingError(f"{path} cannot be decoded: {os.strerror(error.errno or 0)}") from error
