"""Programs that listen, run as processes of their own, whose lines a test waits for."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

PATIENCE_S = 30.0


class Listener:
    """A program whose standard output goes to a file, so that waiting for a line can have an end."""

    def __init__(self, command: Sequence[str], folder: Path, **environment: str) -> None:
        self._out = folder / "listener.out"
        self._read = 0
        with open(self._out, "wb") as out:
            self.process = subprocess.Popen(
                command,
                stdout=out,
                stderr=subprocess.PIPE,
                text=True,
                cwd=folder,
                env=os.environ | environment,
            )

    def line(self, meanwhile: Callable[[], None] = lambda: None) -> str:
        """The next line; `meanwhile` is called again and again until it is there."""
        end_s = time.monotonic() + PATIENCE_S
        while True:
            lines = self._out.read_text(encoding="utf-8").splitlines(keepends=True)
            if len(lines) > self._read and lines[self._read].endswith("\n"):
                self._read += 1
                return lines[self._read - 1]
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < end_s, "no line came"
            meanwhile()
            time.sleep(0.03)

    def stop(self, number: int = signal.SIGINT) -> tuple[int, str, float]:
        """Ctrl-C: the exit status, what standard error says, and how many seconds it took."""
        start_s = time.monotonic()
        self.process.send_signal(number)
        _, err = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, err, time.monotonic() - start_s
