"""An IP camera that dies, hangs, sends garbage or is not there must never take the spotter with it."""

from __future__ import annotations

import contextlib
import itertools
import signal
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from stream.sources import open_source
from stream.sources.supervisor import Patience
from tests.stream import rtsp_server
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
    assert watch.changes[-1].state == "ended"
    assert_time_never_goes_back(watch)
    by_connection = {
        connection: {
            size for size, frame in zip(watch.sizes, watch.frames, strict=True) if frame[3] == connection
        }
        for connection in watch.connections
    }
    assert by_connection == {0: {(320, 240)}, 1: {(160, 240)}}, "frames of two connections are mixed"

    first, last = [next(f for f in watch.frames if f[3] == 1), [f for f in watch.frames if f[3] == 0][-1]]
    assert first[1] - last[1] == pytest.approx((first[2] - last[2]) / 1e9, abs=1.5), (
        "after a reconnect stream seconds continue by the capture clock"
    )


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
        watch.wait(lambda: watch.states[-1] != "live")
        assert seconds_since(frozen_s) < 6
        process.send_signal(signal.SIGCONT)
        watch.wait_for_frames(5, connection=1)
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
def test_garbage_instead_of_video_is_survived(scheme: str) -> None:
    patience = Patience(connect_s=2.0, stall_s=0.5, first_retry_s=0.1, longest_retry_s=0.3)
    garbage = bytes((7 * number * number + number // 3) % 256 for number in range(20_000))
    with (
        listening(garbage) as port,
        Watch(open_source(f"{scheme}://127.0.0.1:{port}/cam", patience=patience)) as watch,
    ):
        watch.wait(lambda: sum("trying again" in change.reason for change in watch.changes) >= 2)
        assert "live" not in watch.states
        stop_s = time.monotonic()
    assert seconds_since(stop_s) < 1.0
