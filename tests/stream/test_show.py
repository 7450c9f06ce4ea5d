"""`--show` as a user runs it, on a virtual screen: what is spotted stands on it, and so does that nothing comes."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from run_stream import main
from stream.drawing import (
    BACKGROUND,
    DIM,
    FOOTER_PX,
    GOOD,
    LEFT,
    MARGIN_PX,
    PANEL_PX,
    RIGHT,
    STATE_COLOURS,
    TEXT,
)
from stream.events import Detection, SourceState, Status
from stream.lettering import Colour, letters
from stream.recording import read_messages
from tests.stream.clips import write_spoilt
from tests.stream.running import make_gallery
from tests.stream.xserver import VirtualScreen

PROGRAM = Path(__file__).parents[2] / "run_stream.py"
WIDTH, HEIGHT = 640, 480  # of the video in the window
PATIENCE_S = 120.0
"""A busy machine takes its time to start Python and to load the models."""

Picture = NDArray[np.uint8]


@contextlib.contextmanager
def shown(words: Sequence[str], screen: VirtualScreen, events: Path) -> Iterator[subprocess.Popen[str]]:
    """The command with `--show` on the screen."""
    publish = ["--publish", "tcp://127.0.0.1:*", "--record", str(events)]
    with subprocess.Popen(
        [sys.executable, str(PROGRAM), *words, *publish, "--show"],
        env={**os.environ, "DISPLAY": screen.name},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as program:
        try:
            yield program
        finally:
            program.kill()


def wait_for(what: Callable[[], bool], program: subprocess.Popen[str]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not what():
        assert program.poll() is None, program.communicate()
        assert time.monotonic() < deadline_s, "it did not come onto the screen"
        time.sleep(0.02)


def stands(picture: Picture, text: str, at: tuple[int, int], size_px: int, ink: Colour) -> bool:
    """Whether a line of text stands on the bare background at x, y."""
    mask = letters(text, size_px)[:, :-1, np.newaxis] / 255  # in the last column the next letter may begin
    x, y = at
    part = picture[y : y + mask.shape[0], x : x + mask.shape[1]]
    expected = BACKGROUND + (np.array(ink) - BACKGROUND) * mask
    return part.shape == expected.shape and bool(np.abs(part - expected).max() <= 2)


def says_state(picture: Picture, state: SourceState) -> bool:
    """Whether the footer says how the source is, with its colour before it."""
    dot = tuple(picture[HEIGHT + 57, MARGIN_PX + 5])
    return dot == STATE_COLOURS[state] and stands(
        picture, f"{state}   ", (MARGIN_PX + 18, HEIGHT + 49), 13, DIM
    )


def strip(picture: Picture) -> Colour:
    """The colour of the notice over the top of the video, where no text stands."""
    red, green, blue = (int(channel) for channel in picture[2, WIDTH // 2])
    return red, green, blue


def test_a_sign_is_on_the_screen_when_it_is_spotted(screen: VirtualScreen, tmp_path: Path) -> None:
    gallery, events = make_gallery(tmp_path / "gallery"), tmp_path / "events.jsonl"

    def newest_sign() -> str | None:
        return next(
            (one.gloss for one in reversed(list(read_messages(events))) if isinstance(one, Detection)), None
        )

    def is_listed(picture: Picture, gloss: str) -> bool:
        return any(
            stands(picture, gloss, (WIDTH + MARGIN_PX, y), 15, TEXT) for y in range(40, HEIGHT - 24)
        )  # as spotted; beside a bar that does not reach its threshold it would be dim

    def is_captioned(picture: Picture, gloss: str) -> bool:
        edge = picture[HEIGHT - MARGIN_PX - 66 : HEIGHT - MARGIN_PX, MARGIN_PX : MARGIN_PX + 4]
        covered = letters(gloss, 30, bold=True) == 255
        x, y = 2 * MARGIN_PX, HEIGHT - MARGIN_PX - 60
        words = picture[y : y + covered.shape[0], x : x + covered.shape[1]]
        return bool((edge == GOOD).all() and (words[covered] == TEXT).all())

    def is_shown() -> bool:
        gloss = newest_sign()
        if gloss is None:
            return False
        picture = screen.picture()
        if not (is_listed(picture, gloss) and is_captioned(picture, gloss) and says_state(picture, "live")):
            return False
        video = picture[:HEIGHT, :WIDTH]
        hands = sum(int((video == ink).all(2).sum()) for ink in (LEFT, RIGHT))
        footer = picture[HEIGHT : HEIGHT + FOOTER_PX, : WIDTH + PANEL_PX]
        return hands > 100 and (footer[44:] != BACKGROUND).any(2).sum() > 500  # rates and latency

    with shown(["--source", "demo", "--loop", "--gallery", str(gallery)], screen, events) as program:
        wait_for(lambda: says_state(screen.picture(), "live"), program)
        wait_for(is_shown, program)
        screen.press("q")
        _, errors = program.communicate(timeout=PATIENCE_S)
    assert (program.returncode, errors) == (0, "")
    last = list(read_messages(events))[-1]
    assert isinstance(last, Status)
    assert (last.state, last.state_reason) == ("ended", "stopped")
    assert not screen.picture()[:, : WIDTH // 2].any(), "the window is gone"


def test_the_window_says_that_the_camera_connects_and_that_it_hangs(
    screen: VirtualScreen, tmp_path: Path
) -> None:
    """Without a tick there is nothing new to draw but that: a frozen picture must not pass for a live one."""
    pictures = write_spoilt(tmp_path / "pictures.nut", good=25, bad=0).read_bytes()
    answers, hangs = threading.Event(), threading.Event()

    def answer(peer: socket.socket) -> None:
        answers.wait(PATIENCE_S)
        with contextlib.suppress(OSError):  # it was given up meanwhile, and another has taken its place
            if not hangs.is_set():
                peer.sendall(pictures)

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                peers.append(camera.accept()[0])
                threading.Thread(target=answer, args=(peers[-1],), daemon=True).start()

    events = tmp_path / "events.jsonl"
    peers: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as camera:
        threading.Thread(target=serve, daemon=True).start()
        with shown(["--source", f"tcp://127.0.0.1:{camera.getsockname()[1]}"], screen, events) as program:
            wait_for(lambda: says_state(screen.picture(), "connecting"), program)
            assert near(strip(screen.picture()), STATE_COLOURS["connecting"])
            answers.set()
            wait_for(lambda: says_state(screen.picture(), "live"), program)
            hangs.set()
            wait_for(lambda: says_state(screen.picture(), "reconnecting"), program)
            frozen = screen.picture()
            assert near(strip(frozen), STATE_COLOURS["reconnecting"])
            assert (np.abs(frozen[HEIGHT - 100, :WIDTH].astype(int) - 128) < 4).all(), (
                "the last picture is still there"
            )
            program.send_signal(signal.SIGINT)
            sent_s = time.time()
            _, errors = program.communicate(timeout=PATIENCE_S)
        for peer in peers:
            peer.close()
    assert (program.returncode, errors) == (130, "")
    last = list(read_messages(events))[-1]
    assert isinstance(last, Status)
    assert last.state == "ended"
    assert last.time_us / 1e6 - sent_s < 1


def near(colour: Colour, other: Colour) -> bool:
    """Strips let a little of the video through."""
    return bool(np.abs(np.array(colour) - other).max() < 40)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems always have a display")
def test_a_missing_display_is_told_before_anything_is_loaded(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    assert main(["--source", "demo", "--encoder", "no-encoder", "--show"]) == 1
    errors = capsys.readouterr().err
    assert "--show needs a display, and the variable DISPLAY is not set" in errors
    assert "no-encoder" not in errors, "which comes next"


def test_an_opencv_without_windows_is_told_before_anything_is_loaded(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cv2, "currentUIFramework", lambda: "")  # what opencv-python-headless says
    assert main(["--source", "demo", "--encoder", "no-encoder", "--show"]) == 1
    assert capsys.readouterr().err.startswith("signspot: this OpenCV cannot open windows")
