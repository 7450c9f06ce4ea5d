"""The window of `--show`. OpenCV's windows belong to one thread: use it from the main thread alone."""

from __future__ import annotations

import os
import re
import socket
import sys

import cv2

from engines.closing import Closing
from engines.errors import ConfigError
from stream.drawing import draw
from stream.view import Observation

CLOSING_KEYS = (ord("q"), ord("Q"), 27)  # 27: Escape


class ShowWindow(Closing):
    """A window that shows observations until it is closed (q, Escape, or by the window's own button)."""

    def __init__(self, title: str) -> None:
        """Open the window.

        Raises:
            ConfigError: there is no display, or this OpenCV cannot open windows.
        """
        check_display()
        # Qt would complain on standard error about fonts that it never uses here.
        os.environ.setdefault("QT_LOGGING_RULES", "*.warning=false")
        self._title = title
        self._size: tuple[int, int] | None = None
        self._closed = False
        cv2.namedWindow(title, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)

    def show(self, observation: Observation) -> bool:
        """Draw and show an observation; False once the window is closed."""
        if self._closed:
            return False
        picture = draw(observation)
        size = picture.shape[1], picture.shape[0]
        if size != self._size:
            cv2.resizeWindow(self._title, *size)
            self._size = size
        cv2.imshow(self._title, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        return self.idle()

    def idle(self) -> bool:
        """Let the window answer the user while there is nothing new; False once it is closed."""
        if self._closed:
            return False
        key = cv2.waitKey(1)
        if key & 0xFF in CLOSING_KEYS or cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) < 1:
            self.close()
        return not self._closed

    def close(self) -> None:
        """Close the window."""
        if self._closed:
            return
        self._closed = True
        try:
            cv2.destroyWindow(self._title)
            cv2.waitKey(1)  # without it the window stays on the screen
        except cv2.error:
            return  # the user has closed it already


def check_display() -> None:
    """Find out whether a window can be opened; quick, so that it can be asked before anything else is loaded.

    Without an X display that answers Qt would end the whole process.

    Raises:
        ConfigError: there is no display, or this OpenCV cannot open windows.
    """
    if not cv2.currentUIFramework():
        raise ConfigError(
            "this OpenCV cannot open windows (opencv-python-headless has taken the place of opencv-contrib-python?): "
            "install opencv-contrib-python anew, or leave out --show"
        )
    if sys.platform != "linux":
        return
    remedy = "run it where there is a screen, or leave out --show"
    display = os.environ.get("DISPLAY", "")
    if not display:
        raise ConfigError(f"--show needs a display, and the variable DISPLAY is not set: {remedy}")
    match = re.fullmatch(r"(?:unix)?(?P<host>[^:]*):(?P<number>\d+)(?:\.\d+)?", display)
    if match is None:
        raise ConfigError(f"--show needs a display, and DISPLAY={display} names none: {remedy}")
    number = int(match["number"])
    if not any(_answers(*address) for address in _addresses(match["host"], number)):
        raise ConfigError(f"--show needs a display, and nothing answers at DISPLAY={display}: {remedy}")


def _addresses(host: str, number: int) -> list[tuple[socket.AddressFamily, str | tuple[str, int]]]:
    """Where an X server may listen."""
    if host:
        return [(socket.AF_INET, (host, 6000 + number))]
    path = f"/tmp/.X11-unix/X{number}"  # noqa: S108 where X servers listen
    return [(socket.AF_UNIX, path), (socket.AF_UNIX, f"\0{path}")]


def _answers(family: socket.AddressFamily, address: str | tuple[str, int]) -> bool:
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.settimeout(2.0)
        try:
            probe.connect(address)
        except OSError:
            return False
        return True
