"""Runs a user's command for each message, one after another, beside the listening and never in its way."""

from __future__ import annotations

import contextlib
import os
import queue
import re
import shlex
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from engines.errors import ConfigError
from stream.events import Message, kind_named, topic_of
from stream.recording import line_of

WAITING_MESSAGES = 64
"""While a command runs; of more the oldest is left out."""
GRACE_S = 0.5
"""Between asking a command to end and killing it."""


def environment_of(message: Message) -> dict[str, str]:
    """What a command is told: SIGNSPOT_TOPIC, SIGNSPOT_KIND, and every field that is a number or a text.

    A detection's gloss is SIGNSPOT_GLOSS, its confidence SIGNSPOT_CONFIDENCE, and so on; null is the empty string.
    """
    told = {"SIGNSPOT_TOPIC": topic_of(message), "SIGNSPOT_KIND": kind_named(type(message))}
    for name in message.__struct_fields__:
        value = getattr(message, name)
        if value is None or isinstance(value, str | int | float):
            text = "" if value is None else str(value)
            told[f"SIGNSPOT_{name.upper()}"] = text.replace("\0", "")
    return told


def fill_in(words: list[str], told: dict[str, str]) -> list[str]:
    """Replace `$SIGNSPOT_...` in each word. What comes in is never split into words nor read by a shell."""
    return [re.sub(r"\$(SIGNSPOT_[A-Z_]+)|\$\{(SIGNSPOT_[A-Z_]+)\}", _lookup(told), word) for word in words]


def _lookup(told: dict[str, str]) -> Callable[[re.Match[str]], str]:
    return lambda match: told.get(match[1] or match[2], "")


class Hook:
    """Runs a command for each message it is given, in their order, on its own thread.

    The command gets the message as a line of JSON (`{"topic", "payload"}`) on standard input, and its plain fields
    in the environment.

    Args:
        command: split into words as a shell would, `$SIGNSPOT_...` filled in afterwards.
        by_shell: hand the command to `sh -c` instead, untouched.
        limit_s: a command that runs longer is ended.
        complain: told in a sentence what went wrong.

    Raises:
        ConfigError: there is no such program, or the quotes do not match.
    """

    def __init__(
        self, command: str, *, by_shell: bool, limit_s: float, complain: Callable[[str], None]
    ) -> None:
        self._words = ["sh", "-c", command] if by_shell else _split(command)
        self._by_shell = by_shell
        self._limit_s = limit_s
        self._complain = complain
        self._queue: queue.Queue[Message | None] = queue.Queue(WAITING_MESSAGES)
        self._abandoned = threading.Event()
        self._running: subprocess.Popen[bytes] | None = None
        self._left_out = 0
        self._thread = threading.Thread(target=self._loop, name="hook", daemon=True)
        self._thread.start()

    def take(self, message: Message) -> None:
        """Run the command for this message when its turn comes; returns at once."""
        while True:
            try:
                return self._queue.put_nowait(message)
            except queue.Full:
                with contextlib.suppress(queue.Empty):
                    self._queue.get_nowait()
                    self._left_out += 1

    def finish(self) -> None:
        """Run what is still waiting, each within its limit, then end."""
        try:
            self._queue.put(None)
            self._thread.join()
        except KeyboardInterrupt:
            self.abandon()
            raise

    def abandon(self) -> None:
        """End the command that runs now, and run no more."""
        self._abandoned.set()
        running = self._running
        if running is not None:
            _end(running)
        with contextlib.suppress(queue.Full):
            self._queue.put_nowait(None)
        self._thread.join(2 * GRACE_S)

    def _loop(self) -> None:
        while not self._abandoned.is_set():
            message = self._queue.get()
            if message is None:
                break
            if self._left_out:
                self._complain(f"the command is slow: it was not run for {self._left_out} messages")
                self._left_out = 0
            self._run(message)

    def _run(self, message: Message) -> None:
        told = environment_of(message)
        words = self._words if self._by_shell else fill_in(self._words, told)
        try:
            # A session of its own, so that ending it ends what it started too.
            process = subprocess.Popen(
                words, stdin=subprocess.PIPE, env={**os.environ, **told}, start_new_session=True
            )
        except OSError as error:
            self._complain(f"cannot run {words[0]}: {error.strerror}")
            return
        self._running = process
        if self._abandoned.is_set():  # between the loop's look and here
            _end(process)
        try:
            process.communicate(line_of(message) + b"\n", timeout=self._limit_s)
        except subprocess.TimeoutExpired:
            self._complain(f"{words[0]} still ran after {self._limit_s:g} s and was ended")
            _end(process)
        else:
            if process.returncode and not self._abandoned.is_set():
                self._complain(f"{words[0]} ended with status {process.returncode}")
        finally:
            self._running = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.finish()
        else:
            self.abandon()


def _split(command: str) -> list[str]:
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise ConfigError(f"--exec {command!r}: {error}") from error
    if not words:
        raise ConfigError("--exec needs a command to run")
    if shutil.which(words[0]) is None:
        raise ConfigError(
            f"--exec: there is no program {words[0]!r} (for pipes and the like add --shell, which runs it by sh -c)"
        )
    return words


def _end(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_S)
            return
