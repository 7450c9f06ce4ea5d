"""Runs the command as a process of its own, stops it by a signal, and looks at what it leaves behind."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from stream.events import Message
from stream.recording import read_messages

PROGRAM = Path(__file__).parents[2] / "run_stream.py"
START_S = 90.0
"""A busy machine takes its time to start Python and to load the models."""
END_S = 3.0
"""From the signal to the process's end: a second, and what the interpreter takes to end on a busy machine (with four
processes for two cores it was 0.6 s in all)."""


@dataclass(frozen=True, slots=True)
class Stopped:
    """A run that a signal has ended."""

    status: int
    errors: str  # what it said on standard error, but for the address it publishes on
    took_s: float  # from the signal to the process's end
    told_s: dict[
        str, float
    ]  # from the signal to the last message of each stream, by the messages' own stamps
    messages: list[Message]
    left: list[str]  # what is left of it: processes, an occupied port, files


def stopped(
    words: Sequence[str], folder: Path, *, sent: signal.Signals, once: Callable[[bytes], bool]
) -> Stopped:
    """Run `signspot WORDS` with a recording and a port of its own in an empty folder, and stop it.

    Args:
        words: what to watch, and how.
        folder: it runs here, and has its temporary files here.
        sent: how to stop it.
        once: told what is recorded so far; whether to stop it now.
    """
    events, temporary = folder / "events.jsonl", folder / "temporary"
    temporary.mkdir()
    command = [
        sys.executable,
        str(PROGRAM),
        *words,
        "--publish",
        "tcp://127.0.0.1:*",
        "--record",
        str(events),
    ]
    with subprocess.Popen(
        [*command, "--quiet"],
        stderr=subprocess.PIPE,
        cwd=folder,
        env={**os.environ, "TMPDIR": str(temporary)},
        start_new_session=True,  # its children are in its process group, and are found by it
    ) as process:
        try:
            assert process.stderr is not None
            where = re.search(rb"tcp://127\.0\.0\.1:(\d+)", process.stderr.readline())
            assert where is not None, "with a port of its own choice it says which"
            _wait(lambda: once(events.read_bytes()), process)
            sent_us = time.time_ns() / 1e3
            process.send_signal(sent)
            _, errors = process.communicate(timeout=60)
            took_s = time.time_ns() / 1e9 - sent_us / 1e6
        finally:
            process.kill()
    messages = list(read_messages(events))
    return Stopped(
        status=process.returncode,
        errors=errors.decode(),
        took_s=took_s,
        told_s={one.stream: (one.time_us - sent_us) / 1e6 for one in messages},
        messages=messages,
        left=[
            *(["child processes"] if _running(process.pid) else []),
            *([] if _free(int(where[1])) else [f"port {int(where[1])}"]),
            *sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path not in (events, temporary)),
        ],
    )  # fmt: skip


def _wait(happened: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    deadline_s = time.monotonic() + START_S
    while not happened():
        assert process.poll() is None, "it has ended by itself"
        assert time.monotonic() < deadline_s, "it did not get as far"
        time.sleep(0.05)


def _running(group: int) -> bool:
    """Whether any process of the group still runs."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def _free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
