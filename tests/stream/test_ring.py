"""A reader that is late must be told what it missed, and must never hold a live camera back."""

from __future__ import annotations

import threading
import time
import weakref

import numpy as np
import pytest

from stream.frame import Frame
from stream.ring import FrameRing


def picture(index: int, *, height: int = 4, width: int = 6) -> Frame:
    image = np.full((height, width, 3), index % 256, np.uint8)
    return Frame(image=image, index=index, pts_s=index / 25, captured_ns=index, connection=0)


def test_a_reader_in_time_reads_everything_once() -> None:
    ring = FrameRing(4)
    reader = ring.reader()
    for index in range(20):
        ring.write(picture(index))
        item = reader.next(0)
        assert item is not None
        assert (item[0].index, item[1]) == (index, 0)
    assert reader.next(0) is None
    assert not reader.done


def test_a_late_reader_gets_the_oldest_held_frame_and_the_exact_number_it_missed() -> None:
    ring = FrameRing(4)
    reader = ring.reader()
    for index in range(10):
        ring.write(picture(index))
    read = [reader.next(0) for _ in range(4)]
    assert [(item[0].index, item[1]) for item in read if item] == [(6, 6), (7, 0), (8, 0), (9, 0)]


def test_readers_are_independent() -> None:
    ring = FrameRing(3)
    quick, slow = ring.reader(), ring.reader()
    for index in range(6):
        ring.write(picture(index))
        assert quick.next(0) is not None
    late = ring.reader()
    item = slow.next(0)
    assert item is not None
    assert (item[0].index, item[1]) == (3, 3)
    assert late.next(0) is None, "a reader begins with what is written after it was made"


def test_peeking_at_the_newest_frame_reads_nothing() -> None:
    ring = FrameRing(3)
    reader = ring.reader()
    assert reader.latest() is None
    for index in range(5):
        ring.write(picture(index))
    newest = reader.latest()
    assert newest is not None
    assert newest.index == 4
    item = reader.next(0)
    assert item is not None
    assert item[0].index == 2


def test_memory_is_fixed_and_overwritten_pictures_are_freed() -> None:
    ring = FrameRing(5)
    frames = [picture(index) for index in range(200)]
    images = [weakref.ref(frame.image) for frame in frames]
    size = frames[0].image.nbytes
    while frames:
        ring.write(frames.pop(0))
        assert ring.held_bytes <= 5 * size
    assert sum(image() is not None for image in images) == 5


def test_large_pictures_are_bounded_by_bytes() -> None:
    ring = FrameRing(100, limit_bytes=10 * 4 * 6 * 3)
    reader = ring.reader()
    for index in range(30):
        ring.write(picture(index))
    assert ring.held_bytes == 10 * 4 * 6 * 3
    ring.write(picture(30, height=400, width=600))
    item = reader.next(0)
    assert item is not None
    assert (item[0].index, item[1]) == (30, 30), "one picture beyond the limit is held alone"


def test_a_change_of_resolution_in_mid_stream_goes_through() -> None:
    ring = FrameRing(4)
    reader = ring.reader()
    ring.write(picture(0, height=4, width=6))
    ring.write(picture(1, height=8, width=10))
    items = [reader.next(0), reader.next(0)]
    assert [item[0].image.shape for item in items if item] == [(4, 6, 3), (8, 10, 3)]


def test_the_picture_is_shared_and_not_copied() -> None:
    ring = FrameRing(2)
    reader = ring.reader()
    frame = picture(0)
    ring.write(frame)
    item = reader.next(0)
    assert item is not None
    assert item[0] is frame


def test_a_slow_reader_never_slows_the_writer() -> None:
    ring = FrameRing(8)
    reader = ring.reader()
    seen, missed = [], 0

    def crawl() -> None:
        nonlocal missed
        while not reader.done:
            item = reader.next(0.1)
            if item is not None:
                seen.append(item[0].index)
                missed += item[1]
                time.sleep(0.02)

    thread = threading.Thread(target=crawl)
    thread.start()
    start_s = time.monotonic()
    for index in range(5000):
        ring.write(picture(index))
    took_s = time.monotonic() - start_s
    ring.close()
    thread.join(5)
    assert took_s < 5000 * 0.02 / 4, "the writer went at the reader's pace"
    assert len(seen) + missed == 5000, "read and missed must account for every frame"
    assert seen == sorted(set(seen))


def test_several_readers_under_load_account_for_every_frame() -> None:
    ring = FrameRing(16)
    totals: list[tuple[int, int]] = []

    def work(pause_s: float) -> None:
        reader, count, missed = readers.pop(), 0, 0
        while not reader.done:
            item = reader.next(0.5)
            if item is not None:
                count, missed = count + 1, missed + item[1]
                if pause_s:
                    time.sleep(pause_s)
        totals.append((count, missed))

    readers = [ring.reader() for _ in range(3)]
    threads = [threading.Thread(target=work, args=(pause_s,)) for pause_s in (0.0, 0.0005, 0.003)]
    for thread in threads:
        thread.start()
    for index in range(2000):
        ring.write(picture(index))
        if index % 50 == 0:
            time.sleep(0.001)
    ring.close()
    for thread in threads:
        thread.join(5)
    assert [count + missed for count, missed in totals] == [2000] * 3


def test_a_file_at_full_speed_loses_no_frame() -> None:
    ring = FrameRing(4)
    reader = ring.reader(blocking=True)
    watcher = ring.reader()  # a view beside it: may lose frames and holds nothing back

    def feed() -> None:
        for index in range(300):
            ring.write(picture(index))
        ring.close()

    thread = threading.Thread(target=feed)
    thread.start()
    seen = []
    while not reader.done:
        item = reader.next(1.0)
        if item is not None:
            assert item[1] == 0
            seen.append(item[0].index)
            if item[0].index % 60 == 0:
                time.sleep(0.01)
    thread.join(5)
    assert seen == list(range(300))
    item = watcher.next(0)
    assert item is not None
    assert item[1] == 296


@pytest.mark.parametrize("release", ["close the ring", "close the reader"])
def test_a_writer_that_waits_can_be_let_go(release: str) -> None:
    ring = FrameRing(2)
    reader = ring.reader(blocking=True)
    written = threading.Event()

    def feed() -> None:
        for index in range(3):
            ring.write(picture(index))
        written.set()

    thread = threading.Thread(target=feed)
    thread.start()
    assert not written.wait(0.1), "the third frame would overwrite one that was not read"
    if release == "close the ring":
        ring.close()
    else:
        reader.close()
    assert written.wait(2)
    thread.join(2)


def test_waiting_for_a_frame_ends_in_time_and_at_once_when_closed() -> None:
    ring = FrameRing(2)
    reader = ring.reader()
    start_s = time.monotonic()
    assert reader.next(0.1) is None
    assert 0.09 <= time.monotonic() - start_s < 2
    threading.Timer(0.05, ring.close).start()
    start_s = time.monotonic()
    assert reader.next(30) is None
    assert time.monotonic() - start_s < 5
    assert reader.done


def test_frames_left_in_a_closed_ring_are_still_read() -> None:
    ring = FrameRing(3)
    reader = ring.reader()
    ring.write(picture(0))
    ring.close()
    ring.write(picture(1))
    assert not reader.done
    item = reader.next(0)
    assert item is not None
    assert item[0].index == 0
    assert reader.next(0) is None
    assert reader.done


def test_a_ring_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one frame, not 0"):
        FrameRing(0)
