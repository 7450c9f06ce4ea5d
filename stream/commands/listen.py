"""`signspot listen`: print events as they arrive, or run a command for each."""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.text import Text

from engines.errors import ConfigError
from stream import wording
from stream.address import DEFAULT_ADDRESS
from stream.curve import read_client_keys
from stream.events import (
    KINDS,
    Detection,
    Hypothesis,
    LandmarksEvent,
    Message,
    Preview,
    Status,
    from_float16,
)
from stream.hook import Hook
from stream.recording import line_of
from stream.subscriber import Lost, Subscriber, Unreadable

SUMMARY = "Print events as they arrive, or run a command for each."
PATIENCE_S = 2.0
"""So long without a connection is worth a word."""
LOOK_S = 0.25


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--connect",
        default=DEFAULT_ADDRESS,
        metavar="ADDR",
        help=f"where `signspot live` publishes (default: {DEFAULT_ADDRESS})",
    )
    parser.add_argument(
        "--kind",
        action="append",
        choices=tuple(KINDS),
        help="only this kind, may be repeated (default: detection, hypothesis and status; with --exec detection)",
    )
    parser.add_argument("--stream", metavar="NAME", help="only this stream")
    parser.add_argument("--keys", type=Path, metavar="DIR", help="a client's CURVE keys, see `signspot keys`")
    parser.add_argument("--json", action="store_true", help="print each message as a line of JSON")
    parser.add_argument(
        "--exec",
        metavar="CMD",
        help="run this for each message instead of printing it: the message as JSON on its standard input, its "
        "fields as $SIGNSPOT_GLOSS, $SIGNSPOT_CONFIDENCE, ... in its words and in its environment; no shell",
    )
    parser.add_argument("--shell", action="store_true", help="run the --exec command by `sh -c`")
    parser.add_argument(
        "--exec-limit",
        type=float,
        default=10.0,
        metavar="S",
        help="end a command that runs longer (default: 10)",
    )
    parser.add_argument("--count", type=int, metavar="N", help="stop after N messages")
    parser.add_argument("--timeout", type=float, metavar="S", help="stop when nothing has come for S seconds")


def run(args: argparse.Namespace) -> int:
    """Listen until told to stop; returns 1 where `--timeout` was given and nothing at all has come."""
    for name, value, least in (("count", args.count, 1), ("timeout", args.timeout, 0.001)):
        if value is not None and value < least:
            raise ConfigError(f"--{name} must be more than 0, not {value:g}")
    kinds = args.kind or (["detection"] if args.exec else ["detection", "hypothesis", "status"])
    curve = read_client_keys(args.keys) if args.keys else None
    with contextlib.ExitStack() as stack:
        takers: list[Callable[[Message], None]] = []
        if args.exec:
            hook = Hook(args.exec, by_shell=args.shell, limit_s=args.exec_limit, complain=complain)
            takers.append(stack.enter_context(hook).take)
        if args.json:
            takers.append(print_json)
        elif not args.exec:
            takers.append(Printer().take)
        events = stack.enter_context(
            Subscriber(args.connect, kinds=kinds, stream=args.stream, curve=curve, timeout_s=args.timeout)
        )
        heard = listen(events, takers, address=args.connect, count=args.count)
    return 0 if heard or args.timeout is None else 1


def listen(
    events: Subscriber, takers: list[Callable[[Message], None]], *, address: str, count: int | None
) -> int:
    """Hand on messages until `count` of them have come or the subscriber's time is out; returns how many came."""
    heard, watch, unreadable = 0, Watch(events, address), set[Unreadable]()
    newest_s = time.monotonic()
    while count is None or heard < count:
        match events.receive(LOOK_S):
            case None:
                watch.look()
                if events.timeout_s is not None and time.monotonic() - newest_s >= events.timeout_s:
                    break
                continue
            case Lost(topic, missing):
                complain(f"lost {missing} message{'s' if missing > 1 else ''} of {clean(topic)}")
            case Unreadable() as event:
                if event not in unreadable:  # a newer sender's every message says the same
                    unreadable.add(event)
                    complain(f"cannot read a message of {clean(event.topic)}: {clean(event.reason)}")
            case message:
                heard += 1
                for take in takers:
                    take(message)
        newest_s = time.monotonic()
    return heard


class Watch:
    """Says on standard error how the connection stands, when that is worth a word."""

    def __init__(self, events: Subscriber, address: str) -> None:
        self._events = events
        self._address = address
        self._told = "connected"
        self._since_s = time.monotonic()

    def look(self) -> None:
        """Look at the connection; call now and then while nothing comes."""
        state = self._events.connection
        if state == "connecting" and time.monotonic() - self._since_s < PATIENCE_S:
            return
        if state != self._told:
            self._told = state
            complain(
                {
                    "connecting": f"nobody answers at {self._address}; is `signspot live` running? Still trying ...",
                    "connected": f"connected to {self._address}",
                    "refused": f"{self._address} refuses these keys, or wants some: --keys DIR (`signspot keys make`)",
                }[state]
            )
        if state == "connected":
            self._since_s = time.monotonic()


class Printer:
    """Prints messages for people: a line each, a status only when it says something new."""

    def __init__(self) -> None:
        self._console = Console(soft_wrap=True, highlight=False)
        self._status: dict[str, str] = {}

    def take(self, message: Message) -> None:
        """Print the message."""
        text = self._words(message)
        if text is not None:
            clock = datetime.fromtimestamp(message.time_us / 1e6).strftime("%H:%M:%S.%f")[:-3]
            head = Text.assemble((clock, "dim"), "  ", (clean(message.stream), "cyan"), "  ")
            self._console.print(head + text)

    def _words(self, message: Message) -> Text | None:
        match message:
            case Detection():
                return _detection(message)
            case Hypothesis():
                glosses = (clean(message.text), "bold" if message.state == "final" else "")
                return Text.assemble((f"{message.state:<7} ", "dim"), glosses)
            case Status():
                return self._new_status(message)
            case LandmarksEvent():
                parts = [
                    name.replace("_", " ")
                    for name, columns in (("pose", 4), ("left_hand", 3), ("right_hand", 3))
                    if not np.isnan(from_float16(getattr(message, name), columns)).all()
                ]
                return Text(f"landmarks at {message.pts_s:.2f} s: {', '.join(parts) or 'nobody'}")
            case Preview():
                return Text(f"preview at {message.pts_s:.2f} s: JPEG, {len(message.jpeg) / 1000:.0f} kB")

    def _new_status(self, status: Status) -> Text | None:
        told = [wording.state(status)]
        if status.view_hint:
            told.append(status.view_hint)
        if status.degradation.level:
            told.append(f"quality: {wording.quality(status)}")
        words = clean("; ".join(told))
        if self._status.get(status.stream) == words:
            return None
        self._status[status.stream] = words
        return Text.assemble(("status  ", "dim"), clean(status.source), ": ", words)


def _detection(message: Detection) -> Text:
    rest = f"  {message.confidence:.0%} sure  {message.start_s:.2f} - {message.end_s:.2f} s"
    if message.lag_ms is not None:
        rest += f"  {message.lag_ms:.0f} ms after its end"
    if message.runner_up is not None:
        rest += f"  (cosine {message.score:.2f}, next {clean(message.runner_up.gloss)} {message.runner_up.score:.2f})"
    return Text.assemble((clean(message.gloss), "bold green"), rest)


def print_json(message: Message) -> None:
    """Print the message as a line of JSON, at once."""
    sys.stdout.write(line_of(message).decode() + "\n")
    sys.stdout.flush()


def complain(words: str) -> None:
    """Tell on standard error, so that standard output holds nothing but messages."""
    sys.stderr.write(f"signspot listen: {words}\n")
    sys.stderr.flush()


def clean(text: str) -> str:
    """Text from the network without what could steer a terminal."""
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text
    )
