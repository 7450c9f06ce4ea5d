"""A decoder call that never returns, and every other way of failing, must end in the next connection."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from engines.errors import SourceUnreachable, SourceUnreadable
from stream.frame import Frame
from stream.sources.supervisor import HANGING_MOST, Link, Patience, Picture, SupervisedSource
from tests.stream.watching import Watch, assert_time_never_goes_back, seconds_since

QUICK = Patience(connect_s=0.6, stall_s=0.5, first_retry_s=0.02, longest_retry_s=0.1)


def picture(shade: int, media_s: float | None = None) -> Picture:
    return Picture(np.full((4, 6, 3), shade, np.uint8), media_s)


class Script:
    """A connection that does what a test says, step by step."""

    def __init__(self, steps: Iterator[Picture | None], *, finite: bool = False) -> None:
        self._steps = steps
        self.finite = finite
        self.closed = threading.Event()

    def read(self) -> Picture | None:
        return next(self._steps, None)

    def close(self) -> None:
        self.closed.set()


def source_of(*connections: Callable[[Link], Script], retries: bool = True) -> SupervisedSource:
    """A source whose n-th connection is the n-th given; the last one serves for all that follow."""
    opened = iter(connections)

    def connect(link: Link) -> Script:
        return next(opened, connections[-1])(link)

    return SupervisedSource("test", connect, patience=QUICK, retries=retries)


def frames(shade: int, count: int, pause_s: float = 0.005) -> Iterator[Picture]:
    for number in range(count):
        time.sleep(pause_s)
        yield picture(shade, number * 0.04)


def test_a_decoder_call_that_never_returns_is_left_behind_and_its_late_frames_are_discarded() -> None:
    release = threading.Event()
    hung = threading.Event()

    def hangs(link: Link) -> Script:
        def steps() -> Iterator[Picture]:
            yield from frames(1, 5)
            hung.set()
            release.wait(20)
            yield picture(99, 1.0)

        return Script(steps())

    shades = []
    source = source_of(hangs, lambda link: Script(frames(2, 10_000)))
    with Watch(source, lambda frame: shades.append(int(frame.image[0, 0, 0]))) as watch:
        watch.wait_for_frames(5, connection=1)
        release.set()
        watch.wait(lambda: source.discarded().get("late") == 1)
        count = len(watch.frames)
        watch.wait(lambda: len(watch.frames) > count + 20)
        assert hung.is_set()
    assert 99 not in shades, "a frame of an abandoned connection was delivered"
    assert shades == sorted(shades), "frames of two connections are mixed"
    assert watch.states == ["connecting", "live", "stalled", "reconnecting", "live", "ended"]
    assert "no picture for 0." in watch.changes[2].reason
    assert_time_never_goes_back(watch)


def test_decoders_that_all_hang_do_not_pile_up() -> None:
    release = threading.Event()
    opened = []

    def hangs(link: Link) -> Script:
        opened.append(link)
        release.wait(20)
        return Script(frames(1, 100))

    with Watch(source_of(hangs)) as watch:
        watch.wait(lambda: any("hang in the decoder" in change.reason for change in watch.changes))
        time.sleep(0.5)
        assert len(opened) == HANGING_MOST
        assert all(link.cancelled.is_set() for link in opened)
        release.set()
        watch.wait_for_frames(3)


def test_a_connection_that_hangs_does_not_keep_stop_waiting() -> None:
    release = threading.Event()

    def hangs(link: Link) -> Script:
        release.wait(20)
        return Script(frames(1, 1))

    patient = SupervisedSource("test", hangs, patience=Patience(connect_s=60))
    with Watch(patient) as watch:
        watch.wait(lambda: len(watch.changes) == 1)
        stop_s = time.monotonic()
    assert seconds_since(stop_s) < 1.0
    release.set()
    time.sleep(0.1)
    assert [change.state for change in watch.changes] == ["connecting", "ended"]
    assert watch.frames == []


def test_nothing_is_delivered_after_stop() -> None:
    source = source_of(lambda link: Script(frames(1, 10_000, 0.0005)))
    with Watch(source) as watch:
        watch.wait_for_frames(20)
    counts = len(watch.frames), len(watch.changes)
    time.sleep(0.2)
    assert (len(watch.frames), len(watch.changes)) == counts
    assert watch.changes[-1].state == "ended"
    assert watch.changes[-1].error is None


def test_a_consumer_that_blocks_can_be_stopped() -> None:
    release = threading.Event()
    entered = threading.Event()

    def block(frame: Frame) -> None:
        entered.set()
        release.wait(20)

    source = source_of(lambda link: Script(frames(1, 100), finite=True), retries=False)
    source.start(block, lambda change: None)
    assert entered.wait(5)
    stop_s = time.monotonic()
    source.stop()
    assert seconds_since(stop_s) < 1.5
    release.set()


def test_a_slow_consumer_of_a_file_is_no_stall() -> None:
    source = source_of(lambda link: Script(frames(1, 3), finite=True))
    with Watch(source, lambda frame: time.sleep(0.7)) as watch:
        watch.wait_for_end()
    assert watch.states == ["connecting", "live", "ended"]
    assert len(watch.frames) == 3


def test_back_off_doubles_up_to_its_limit_and_starts_over_once_settled() -> None:
    def fails(link: Link) -> Script:
        raise SourceUnreachable("nobody there")

    with Watch(source_of(fails)) as watch:
        watch.wait(lambda: len(watch.changes) >= 6)
    waits_s = [change.reason.rsplit("again in ", 1)[1] for change in watch.changes[1:6]]
    assert waits_s == ["0.02 s", "0.04 s", "0.08 s", "0.1 s", "0.1 s"]
    assert watch.states == ["connecting", "ended"], "it was never live: it is still connecting"


def test_an_unexpected_error_of_a_library_is_survived_and_told() -> None:
    def breaks(link: Link) -> Script:
        raise RuntimeError("segment violated at rtsp://admin:hunter2@10.0.0.9/x")

    with Watch(source_of(breaks, lambda link: Script(frames(3, 100)))) as watch:
        watch.wait_for_frames(3)
    assert "RuntimeError: segment violated at rtsp://***@10.0.0.9/x" in watch.changes[1].reason


def test_a_source_that_cannot_be_reopened_ends_with_its_error() -> None:
    def damaged(link: Link) -> Script:
        raise SourceUnreadable("clip.mp4 is damaged")

    with Watch(source_of(damaged, retries=False)) as watch:
        end = watch.wait_for_end()
    assert isinstance(end.error, SourceUnreadable)
    assert end.reason == "clip.mp4 is damaged"


@pytest.mark.parametrize("pause_s", [0.0, 0.01])
def test_several_reconnects_count_up_and_time_goes_on(pause_s: float) -> None:
    source = source_of(*[lambda link: Script(frames(1, 6, pause_s))] * 3)
    with Watch(source) as watch:
        watch.wait_for_frames(6, connection=3)
    assert watch.connections[:4] == [0, 1, 2, 3]
    assert_time_never_goes_back(watch)


def test_a_source_starts_once() -> None:
    source = source_of(lambda link: Script(frames(1, 3)))
    with Watch(source), pytest.raises(RuntimeError, match="started before"):
        source.start(lambda frame: None, lambda change: None)
