"""A recorded run must hold exactly what happened: the same pixels, the same decisions, whole after a crash."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from engines.errors import RecordingError
from stream.frame import Frame
from stream.ledger import FrameLine, GalleryLine, LedgerWriter, StartLine, read_frames, read_lines

START = StartLine(
    format=1, stream="cam", source="clip.mp4", realtime=True, encoders={"slgcn2d": "abc"}, estimator="holistic",
    mirrored=False, gallery="",
)  # fmt: skip


def noise(seed: int, height: int = 48, width: int = 64) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def line(index: int, *, posed: bool, dropped: int = 0, level: int = 0) -> FrameLine:
    return FrameLine(
        index=index, pts_s=index / 25, captured_ns=10**15 + index, connection=0, dropped=dropped, level=level, posed=posed
    )  # fmt: skip


def frame(index: int, image: NDArray[np.uint8]) -> Frame:
    return Frame(image=image, index=index, pts_s=index / 25, captured_ns=10**15 + index, connection=0)


def test_pixels_and_decisions_come_back_to_the_last_bit(tmp_path: Path) -> None:
    images = {
        0: noise(0),
        2: noise(2),
        5: noise(5, 31, 53),
        6: noise(6, 31, 53),
    }  # the picture size changes, to odd
    writer = LedgerWriter(tmp_path / "run")
    writer.start(START)
    lines = [line(0, posed=True), line(1, posed=False), line(2, posed=True, dropped=4, level=1)]
    lines += [line(5, posed=True), line(6, posed=True, level=2)]
    for entry in lines:
        writer.frame(entry, frame(entry.index, images[entry.index]) if entry.posed else None)
    writer.gallery(GalleryLine(tick=7, folder="gallery-001"))
    writer.close()
    assert next(read_lines(tmp_path / "run")) == START
    back = list(read_frames(tmp_path / "run"))
    assert [entry for entry, _ in back] == lines
    for entry, stored in back:
        if entry.posed:
            assert stored is not None
            np.testing.assert_array_equal(stored.image, images[entry.index])
            assert (stored.pts_s, stored.captured_ns) == (entry.pts_s, entry.captured_ns)
        else:
            assert stored is None


def test_a_line_cut_by_a_crash_is_left_out(tmp_path: Path) -> None:
    writer = LedgerWriter(tmp_path / "run")
    writer.start(START)
    writer.frame(line(0, posed=False), None)
    writer.close()
    ledger = tmp_path / "run" / "ledger.jsonl"
    ledger.write_text(ledger.read_text() + '{"line": "frame", "ind')
    assert len(list(read_lines(tmp_path / "run"))) == 2


def test_errors_name_the_folder(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="no recorded run"):
        list(read_lines(tmp_path / "nothing"))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("")
    with pytest.raises(RecordingError, match="full is not empty"):
        LedgerWriter(tmp_path / "full")
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "ledger.jsonl").write_text('{"line": "frame"}\n')
    with pytest.raises(RecordingError, match="line 1"):
        list(read_lines(tmp_path / "damaged"))


def test_missing_pictures_are_said(tmp_path: Path) -> None:
    writer = LedgerWriter(tmp_path / "run")
    writer.start(START)
    writer.frame(line(0, posed=True), frame(0, noise(0)))
    writer.frame(line(1, posed=True), None)
    writer.close()
    with pytest.raises(RecordingError, match="picture of frame 1 is missing"):
        list(read_frames(tmp_path / "run"))
