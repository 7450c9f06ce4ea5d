"""An IP camera that dies, hangs, sends garbage or is not there must never take the spotter with it."""

from __future__ import annotations

import contextlib
import itertools
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from stream.sources import open_source
from stream.sources.base import SourceChange
from stream.sources.supervisor import Patience
from tests.stream import rtsp_server
from tests.stream.clips import write_clip, write_spoilt
from tests.stream.watching import Watch, assert_time_never_goes_back, seconds_since

needs_gstreamer = pytest.mark.skipif(bool(rtsp_server.missing()), reason=rtsp_server.missing())
QUICK = Patience(connect_s=6.0, stall_s=2.0, first_retry_s=0.2, longest_retry_s=1.0)


@contextlib.contextmanager
def listening(reply: bytes | None) -> Iterator[int]:
    """A server that accepts and answers every connection with these bytes, over and over; None: with nothing."""
    server = socket.create_server(("127.0.0.1", 0))
    stopping = threading.Event()
    kept: list[socket.socket] = []

    def talk(peer: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while reply is not None and not stopping.is_set():
                peer.sendall(reply)
                time.sleep(0.01)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                peer, _ = server.accept()
                kept.append(peer)
                threading.Thread(target=talk, args=(peer,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield int(server.getsockname()[1])
    finally:
        stopping.set()
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)
        for each in [server, *kept]:
            each.close()


@contextlib.contextmanager
def streaming(data: bytes, *, hold: bool, greeting: bytes = b"") -> Iterator[int]:
    """A server that sends these bytes to whoever connects, one after the other, then hangs up, or holds and says no more."""
    server = socket.create_server(("127.0.0.1", 0))
    kept: list[socket.socket] = []

    def serve() -> None:
        while True:
            try:
                peer, _ = server.accept()
            except OSError:  # closed: the test is over
                return
            with contextlib.suppress(OSError):
                peer.sendall(greeting + data)
            if hold:
                kept.append(peer)
            else:
                peer.close()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield int(server.getsockname()[1])
    finally:
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)
        for each in [server, *kept]:
            each.close()


def first(watch: Watch, state: str) -> SourceChange:
    """The first change to a state."""
    return next(change for change in watch.changes if change.state == state)


@needs_gstreamer
def test_a_camera_that_is_killed_and_comes_back_goes_on_as_a_new_connection() -> None:
    port = rtsp_server.free_port()
    source = open_source(f"rtsp://127.0.0.1:{port}/cam", patience=QUICK)
    with Watch(source) as watch:
        with rtsp_server.running(port, width=320):
            watch.wait_for_frames(30)
        watch.wait(lambda: "reconnecting" in watch.states)
        with rtsp_server.running(port, width=160):
            watch.wait_for_frames(10, connection=1)
    assert watch.states[0] == "connecting"
    assert [state for state in watch.states if state in ("live", "reconnecting")][:3] == [
        "live",
        "reconnecting",
        "live",
    ]
    assert first(watch, "reconnecting").reason.startswith(
        "the source closed the connection; trying again in "
    )
    assert watch.changes[-1].state == "ended"
    assert_time_never_goes_back(watch)
    by_connection = {
        connection: {
            size for size, frame in zip(watch.sizes, watch.frames, strict=True) if frame[3] == connection
        }
        for connection in watch.connections
    }
    assert by_connection == {0: {(320, 240)}, 1: {(160, 240)}}, "frames of two connections are mixed"

    after, last = [next(f for f in watch.frames if f[3] == 1), [f for f in watch.frames if f[3] == 0][-1]]
    assert after[1] - last[1] == pytest.approx((after[2] - last[2]) / 1e9, abs=1.5), (
        "after a reconnect stream seconds continue by the capture clock"
    )


def assert_no_picture_since(watch: Watch, patience: Patience) -> None:
    """The stall is told with how long nothing has come, and again with what is done about it."""
    told = re.fullmatch(r"no picture for (\d+\.\d) s", first(watch, "stalled").reason)
    assert told is not None, first(watch, "stalled").reason
    assert patience.stall_s <= float(told[1]) < patience.stall_s + 3
    assert first(watch, "reconnecting").reason.startswith(f"{told[0]}; trying again in ")


@needs_gstreamer
def test_a_camera_that_freezes_is_declared_stalled_and_reopened() -> None:
    port = rtsp_server.free_port()
    with (
        rtsp_server.running(port) as process,
        Watch(open_source(f"rtsp://127.0.0.1:{port}/cam", patience=QUICK)) as watch,
    ):
        watch.wait_for_frames(10)
        process.send_signal(signal.SIGSTOP)  # the connection stays open, nothing comes
        frozen_s = time.monotonic()
        watch.wait(lambda: "reconnecting" in watch.states)
        assert seconds_since(frozen_s) < 6
        process.send_signal(signal.SIGCONT)
        watch.wait_for_frames(5, connection=1)
    assert watch.states[:4] == ["connecting", "live", "stalled", "reconnecting"]
    assert_no_picture_since(watch, QUICK)
    assert_time_never_goes_back(watch)


@needs_gstreamer
def test_a_camera_that_comes_later_is_waited_for() -> None:
    port = rtsp_server.free_port()
    with Watch(open_source(f"rtsp://127.0.0.1:{port}/cam", patience=QUICK)) as watch:
        watch.wait(lambda: len(watch.changes) >= 3)
        assert watch.states == ["connecting"]
        assert "Connection refused; trying again in 0.2 s" in watch.changes[1].reason
        assert "trying again in 0.4 s" in watch.changes[2].reason, "the back-off doubles"
        with rtsp_server.running(port):
            watch.wait_for_frames(3)
    assert watch.states[:2] == ["connecting", "live"]


@needs_gstreamer
@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_frames_come_soon_and_in_real_time(transport: str) -> None:
    port = rtsp_server.free_port()
    with rtsp_server.running(port):
        source = open_source(f"rtsp://127.0.0.1:{port}/cam", transport=transport, patience=QUICK)  # type: ignore[arg-type]
        with Watch(source) as watch:
            watch.wait_for_frames(50)
    seconds = [frame[1] for frame in watch.frames]
    steps_s = sorted(later - earlier for earlier, later in itertools.pairwise(seconds))
    assert steps_s[len(steps_s) // 2] == pytest.approx(0.04, abs=0.002)
    assert watch.newest is not None
    assert watch.newest.image.flags.c_contiguous
    assert watch.newest.image.shape == (240, 320, 3)


def test_a_server_that_accepts_and_never_answers_is_given_up_and_tried_again() -> None:
    patience = Patience(connect_s=1.0, stall_s=0.5, first_retry_s=0.1, longest_retry_s=0.3)
    with (
        listening(None) as port,
        Watch(open_source(f"rtsp://127.0.0.1:{port}/cam", patience=patience)) as watch,
    ):
        watch.wait(lambda: sum("trying again" in change.reason for change in watch.changes) >= 2)
        stop_s = time.monotonic()
    assert seconds_since(stop_s) < 1.0
    assert f"rtsp://127.0.0.1:{port}/cam does not answer; trying again in 0.1 s" in watch.changes[1].reason
    assert watch.frames == []


@pytest.mark.parametrize("scheme", ["rtsp", "http", "tcp"])
def test_garbage_instead_of_video_is_survived_and_named(scheme: str) -> None:
    patience = Patience(connect_s=10.0, stall_s=2.0, first_retry_s=0.1, longest_retry_s=0.3)
    garbage = bytes((7 * number * number + number // 3) % 256 for number in range(20_000))
    with (
        listening(garbage) as port,
        Watch(open_source(f"{scheme}://127.0.0.1:{port}/cam", patience=patience)) as watch,
    ):
        watch.wait(lambda: sum("trying again" in change.reason for change in watch.changes) >= 2)
        assert "live" not in watch.states
        stop_s = time.monotonic()
    assert seconds_since(stop_s) < 1.0
    said = f"{scheme}://127.0.0.1:{port}/cam holds no video that can be read: Invalid data"
    assert watch.changes[1].reason.startswith(said)
    assert watch.changes[1].reason.endswith("; trying again in 0.1 s")


PATIENT = Patience(connect_s=10.0, stall_s=5.0, first_retry_s=0.1, longest_retry_s=0.2)


@pytest.mark.parametrize(
    ("scheme", "greeting", "said"),
    [
        ("tcp", b"", "the source closed the connection"),
        # HTTP that does not tell a length never ends by itself: to FFmpeg the end is an error
        (
            "http",
            b"HTTP/1.0 200 OK\r\nContent-Type: video/mp2t\r\n\r\n",
            "the connection to http://127.0.0.1:",
        ),
    ],
)
def test_a_camera_that_hangs_up_is_told_and_called_again(
    scheme: str, greeting: bytes, said: str, tmp_path: Path
) -> None:
    clip = write_clip(tmp_path / "clip.ts", 50, size=(320, 240)).read_bytes()
    with (
        streaming(clip, hold=False, greeting=greeting) as port,
        Watch(open_source(f"{scheme}://127.0.0.1:{port}/cam", patience=PATIENT)) as watch,
    ):
        watch.wait_for_frames(1, connection=1)
    assert watch.states[:4] == ["connecting", "live", "reconnecting", "live"]
    reason = first(watch, "reconnecting").reason
    assert reason.startswith(said)
    assert "; trying again in " in reason
    assert "cannot be reached" not in reason, "it was reached"
    assert_time_never_goes_back(watch)


def test_a_stream_that_falls_silent_is_told_as_stalled_and_opened_again(tmp_path: Path) -> None:
    patience = replace(PATIENT, stall_s=1.0)
    clip = write_clip(tmp_path / "clip.ts", 50, size=(320, 240)).read_bytes()
    with (
        streaming(clip, hold=True) as port,
        Watch(open_source(f"tcp://127.0.0.1:{port}", patience=patience)) as watch,
    ):
        watch.wait_for_frames(1, connection=1)
    assert watch.states[:5] == ["connecting", "live", "stalled", "reconnecting", "live"]
    assert_no_picture_since(watch, patience)
    assert_time_never_goes_back(watch)


def test_a_stream_that_turns_to_garbage_is_told_and_opened_again(tmp_path: Path) -> None:
    """Two seconds of noise end a connection: a new one may begin with what the decoder lacks."""
    data = write_spoilt(tmp_path / "spoilt.nut", good=30, bad=100).read_bytes()
    with (
        streaming(data, hold=True) as port,
        Watch(open_source(f"tcp://127.0.0.1:{port}", patience=PATIENT)) as watch,
    ):
        watch.wait_for_frames(1, connection=1)
    assert watch.states[:4] == ["connecting", "live", "reconnecting", "live"]
    said = f"tcp://127.0.0.1:{port}: 50 pictures in a row cannot be decoded; trying again in "
    assert first(watch, "reconnecting").reason.startswith(said)
    assert watch.source.discarded()["undecodable"] >= 50
