"""Processes of their own beside Signspot, as a camera and a subscriber are."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Sequence

from engines.closing import Closing


class Child(Closing):
    """A Python module that runs until it is closed; what it prints is taken line by line, from a thread."""

    def __init__(self, module: str, words: Sequence[str], take: Callable[[list[str]], None]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._trouble: list[str] = []
        self._threads = [
            threading.Thread(target=self._read, args=(take,), daemon=True),
            threading.Thread(target=self._listen, daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    @property
    def trouble(self) -> str | None:
        """Why it ended; None while it runs."""
        if self._process.poll() is None:
            return None
        self._threads[1].join(1.0)
        return self._trouble[-1] if self._trouble else f"exit status {self._process.returncode}"

    def _read(self, take: Callable[[list[str]], None]) -> None:
        assert self._process.stdout is not None  # noqa: S101  (it was asked for)
        for line in self._process.stdout:
            take(line.split())

    def _listen(self) -> None:
        assert self._process.stderr is not None  # noqa: S101  (it was asked for)
        self._trouble += [line.strip() for line in self._process.stderr if line.strip()][-1:]

    def close(self) -> None:
        """End it; what it has printed by then is taken."""
        self._process.terminate()
        try:
            self._process.wait(2.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for thread in self._threads:
            thread.join(1.0)
