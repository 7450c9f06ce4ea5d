"""A virtual screen for tests: an Xvfb of its own, whose picture can be read and on which keys can be pressed."""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import shutil
import struct
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

SCREEN = ("-screen", "0", "1280x800x24", "-nolisten", "tcp", "-nocursor")
Window = ctypes.c_ulong


class _ClientMessage(ctypes.Structure):
    """XClientMessageEvent of Xlib.h, padded to the size of XEvent."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("serial", ctypes.c_ulong),
        ("send_event", ctypes.c_int),
        ("display", ctypes.c_void_p),
        ("window", Window),
        ("message_type", ctypes.c_ulong),
        ("format", ctypes.c_int),
        ("data", ctypes.c_long * 5),
        ("pad", ctypes.c_long * 24),
    )


def missing() -> str:
    """What this machine lacks for a virtual screen; "" when it has all."""
    if shutil.which("Xvfb") is None:
        return "Xvfb is not installed (Debian: xvfb)"
    if ctypes.util.find_library("X11") is None or ctypes.util.find_library("Xtst") is None:
        return "libX11 or libXtst is not installed (Debian: libx11-6 libxtst6)"
    return ""


class VirtualScreen:
    """An X server without a screen, on a display number that is free.

    Args:
        folder: where it keeps its picture.
    """

    def __init__(self, folder: Path) -> None:
        self._picture = folder / "Xvfb_screen0"
        read, write = os.pipe()
        self._server = subprocess.Popen(
            ["Xvfb", "-displayfd", str(write), "-fbdir", str(folder), *SCREEN],
            pass_fds=(write,),
            stderr=subprocess.DEVNULL,
        )
        os.close(write)
        with os.fdopen(read) as number:
            self.name = f":{number.readline().strip()}"
        self._x11 = ctypes.CDLL(ctypes.util.find_library("X11"))
        self._xtst = ctypes.CDLL(ctypes.util.find_library("Xtst"))
        self._x11.XOpenDisplay.restype = ctypes.c_void_p
        self._x11.XDefaultRootWindow.restype = Window
        self._x11.XInternAtom.restype = ctypes.c_ulong
        self._display = ctypes.c_void_p(self._x11.XOpenDisplay(self.name.encode()))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._x11.XCloseDisplay(self._display)
        self._server.terminate()
        self._server.wait(10)

    def picture(self) -> NDArray[np.uint8]:
        """RGB (H, W, 3) of what is on the screen: Xvfb keeps it in the format of xwd."""
        raw = self._picture.read_bytes()
        header = struct.unpack(">25I", raw[:100])
        size, width, height, line, colours = header[0], header[4], header[5], header[12], header[19]
        pixels = np.frombuffer(raw, np.uint8, offset=size + 12 * colours, count=line * height)
        return pixels.reshape(height, line)[:, : 4 * width].reshape(height, width, 4)[..., 2::-1].copy()

    def press(self, key: str) -> None:
        """Press and release a key, as a user would; without a window manager the window under the pointer has it."""
        code = self._x11.XKeysymToKeycode(self._display, self._x11.XStringToKeysym(key.encode()))
        for down in (1, 0):
            self._xtst.XTestFakeKeyEvent(self._display, code, down, 0)
        self._x11.XSync(self._display, 0)

    def close_windows(self) -> None:
        """Ask every window to close, as the button in its title bar does."""
        for window in self._windows():
            event = _ClientMessage(type=33, window=window, format=32, message_type=self._atom("WM_PROTOCOLS"))
            event.data[0] = self._atom("WM_DELETE_WINDOW")
            self._x11.XSendEvent(self._display, Window(window), 0, 0, ctypes.byref(event))
        self._x11.XSync(self._display, 0)

    def _atom(self, name: str) -> int:
        return int(self._x11.XInternAtom(self._display, name.encode(), 0))

    def _windows(self) -> list[int]:
        root = Window(self._x11.XDefaultRootWindow(self._display))
        unused, count = Window(), ctypes.c_uint()
        children = ctypes.POINTER(Window)()
        self._x11.XQueryTree(
            self._display,
            root,
            ctypes.byref(unused),
            ctypes.byref(unused),
            ctypes.byref(children),
            ctypes.byref(count),
        )
        return [int(children[index]) for index in range(count.value)]
