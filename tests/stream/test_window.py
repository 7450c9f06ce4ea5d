"""The window of `--show`, on a virtual screen; each in a process of its own, as Qt opens one display per process."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from stream.drawing import GOOD, PANEL_PX, SMALLEST_PX, WARNING
from tests.stream.xserver import VirtualScreen

PROGRAM = """
import numpy as np
from engines.landmarks import Landmarks
from stream.window import ShowWindow
from tests.stream.samples import observation, status

image = np.full((480, 640, 3), (10, 60, 200), np.uint8)
moment = observation(image, Landmarks.absent(640, 480, "test"), status=status(view_hint="step back"))
with ShowWindow("Signspot") as window:
    while window.show(moment):
        print("shown", flush=True)
print("closed", flush=True)
"""


def start(display: str | None) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if name != "DISPLAY"}
    if display is not None:
        environment["DISPLAY"] = display
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        cwd=Path(__file__).parents[2],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(what: Callable[[], bool]) -> bool:
    """Whether it comes true within a minute: a busy machine takes its time to start Python."""
    deadline_s = time.monotonic() + 60
    while time.monotonic() < deadline_s:
        if what():
            return True
        time.sleep(0.05)
    return False


def test_what_is_drawn_is_on_the_screen_and_q_closes_it(screen: VirtualScreen) -> None:
    program = start(screen.name)
    try:
        assert wait_for(lambda: bool((screen.picture() == (10, 60, 200)).all(2).sum() > 100_000))
        seen = screen.picture()[: SMALLEST_PX + 78, : 640 + PANEL_PX]
        panel, video = seen[:, 640:], seen[:SMALLEST_PX, :640]
        green = (panel == GOOD).all(2)
        assert 200 < green.any(0).sum() < 240, "the bar of a cosine of 0.83 in 268 pixels"
        assert (panel == WARNING).all(2).sum() == 3 * 3 * 16, "three thresholds are marked"
        assert np.abs(video[2, 300] - np.array(WARNING)).max() < 40, "the hint lies over the top of the video"
        screen.press("q")
        output, errors = program.communicate(timeout=60)
    finally:
        program.kill()
    assert output.endswith("closed\n")
    assert program.returncode == 0
    assert errors == "", "nothing of Qt's own on standard error"


def test_the_button_in_the_title_bar_closes_it(screen: VirtualScreen) -> None:
    program = start(screen.name)
    try:
        assert wait_for(lambda: bool(screen.picture().any()))
        screen.close_windows()
        output, _ = program.communicate(timeout=60)
    finally:
        program.kill()
    assert output.endswith("closed\n")
    assert program.returncode == 0


@pytest.mark.parametrize(
    ("display", "says"),
    [
        (None, "the variable DISPLAY is not set"),  # a server without a screen
        (":4711", "nothing answers at DISPLAY=:4711"),  # left over from a session that has ended
        ("nonsense", "DISPLAY=nonsense names none"),
    ],
)
@pytest.mark.skipif(sys.platform != "linux", reason="other systems always have a display")
def test_without_a_display_the_error_says_so(display: str | None, says: str) -> None:
    """Qt itself would end the process with a core dump."""
    program = start(display)
    _, errors = program.communicate(timeout=60)
    assert errors.splitlines()[-1].startswith("engines.errors.ConfigError: --show needs a display")
    assert says in errors
    assert program.returncode == 1
