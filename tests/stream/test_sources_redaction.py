"""A camera's password must not stand in any log, error, message or file."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest

from engines.errors import SourceError
from stream.sources import open_source
from stream.sources.redaction import redact
from stream.sources.supervisor import Patience
from tests.stream import rtsp_server
from tests.stream.test_sources_rtsp import listening
from tests.stream.watching import Watch

SECRET = "hunter2"  # noqa: S105
QUICK = Patience(connect_s=2.0, stall_s=1.0, first_retry_s=0.1, longest_retry_s=0.2)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("rtsp://10.0.0.9:554/cam", "rtsp://10.0.0.9:554/cam"),  # nothing to hide
        (f"rtsp://admin:{SECRET}@10.0.0.9/cam", "rtsp://***@10.0.0.9/cam"),
        (f"rtsp://{SECRET}@10.0.0.9/cam", "rtsp://***@10.0.0.9/cam"),  # a token as the user
        (
            f"rtsp://admin:p@{SECRET}/x@10.0.0.9/cam",
            "rtsp://***@10.0.0.9/cam",
        ),  # an @ and a / in the password
        (f"http://h/v.mjpg?user=me&pw={SECRET}", "http://h/v.mjpg?user=***&pw=***"),
        (f"http://h/v?{SECRET}=1", f"http://h/v?{SECRET}=***"),  # a name is no secret
        (f"rtsp://h/user=admin_password={SECRET}_channel=1", "rtsp://h/user=***_password=***_channel=1"),
        (f"cannot reach rtsp://a:{SECRET}@h/x: refused", "cannot reach rtsp://***@h/x: refused"),
        (f"['rtsp://a:{SECRET}@h/x', 'rtsp://b:{SECRET}@i/y']", "['rtsp://***@h/x', 'rtsp://***@i/y']"),
        ("clips/me@home.mp4", "clips/me@home.mp4"),
    ],
)
def test_credentials_are_blanked_out(text: str, shown: str) -> None:
    assert redact(text) == shown


ADDRESSES = [
    "rtsp://admin:{secret}@127.0.0.1:{refusing}/cam",
    "rtsp://admin:{secret}@127.0.0.1:{garbage}/cam",
    "rtsp://admin:{secret}@127.0.0.1:{silent}/cam",
    "http://admin:{secret}@127.0.0.1:{garbage}/cam?token={secret}",
    "rtmp://admin:{secret}@127.0.0.1:{refusing}/cam",
    "nonsense://admin:{secret}@127.0.0.1/cam",
    "rtsp://127.0.0.1:{refusing}/user=admin_password={secret}_channel=1",
    "rtsp://admin:{secret}@no-such-host.invalid/cam",
]


@pytest.mark.parametrize("address", ADDRESSES)
def test_nothing_that_a_failing_source_says_holds_the_password(
    address: str, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with listening(b"\x00\x91garbage\r\n" * 99) as garbage, listening(None) as silent:
        ports = {"garbage": garbage, "silent": silent, "refusing": rtsp_server.free_port()}
        source = open_source(address.format(secret=SECRET, **ports), patience=QUICK)
        with Watch(source) as watch:
            watch.wait(
                lambda: any("trying again" in one.reason or one.state == "ended" for one in watch.changes)
            )
    said = [source.name, repr(source), *[change.reason for change in watch.changes]]
    assert "127.0.0.1" in source.name or "no-such-host" in source.name
    assert_silent(said, capfd, caplog)


@pytest.mark.skipif(bool(rtsp_server.missing()), reason=rtsp_server.missing())
@pytest.mark.parametrize("password", [SECRET, f"{SECRET}-wrong"])
def test_a_protected_camera_never_shows_its_password(
    password: str, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    port = rtsp_server.free_port()
    with rtsp_server.running(port, user="viewer", password=SECRET):
        source = open_source(f"rtsp://viewer:{password}@127.0.0.1:{port}/cam", patience=QUICK)
        with Watch(source) as watch:
            if password == SECRET:
                watch.wait_for_frames(3)
            else:
                watch.wait(lambda: len(watch.changes) >= 2)
                assert "check the user name and the password" in watch.changes[1].reason
    assert_silent([source.name, repr(source), *[c.reason for c in watch.changes]], capfd, caplog)


@pytest.mark.parametrize("spec", [f"clip.mp4?password={SECRET}", f"none/password={SECRET}.mp4"])
def test_an_error_raised_at_once_holds_no_password_in_its_whole_chain(spec: str) -> None:
    with pytest.raises(SourceError) as caught:
        open_source(spec)
    assert SECRET not in str(caught.value)
    assert caught.value.__context__ is None


def test_a_crash_of_the_process_shows_no_password() -> None:
    port = rtsp_server.free_port()
    program = (
        "import logging, time; logging.basicConfig(level=logging.DEBUG)\n"
        "from stream.sources import open_source\n"
        "def crash(change):\n    raise RuntimeError(repr(change))\n"
        f"source = open_source('rtsp://admin:{SECRET}@127.0.0.1:{port}/cam')\n"
        "source.start(lambda frame: None, crash)\n"
        "time.sleep(1)\n"
        "raise RuntimeError(f'{source!r} {source.name}')\n"
    )
    words = [sys.executable, "-c", program]
    result = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert "RuntimeError" in result.stderr
    assert "rtsp://***@127.0.0.1" in result.stderr
    assert SECRET not in result.stdout
    assert SECRET not in result.stderr.replace(program, "")


def assert_silent(
    said: list[str], capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    for text in [*said, *capfd.readouterr(), caplog.text]:
        assert SECRET not in text
