"""The terminal view of a run: a quiet screen that is kept up to date, or plain lines where there is no terminal."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from stream import wording
from stream.events import Detection, Hypothesis, Message, SourceState, Status

STATE_STYLES: dict[SourceState, str] = {
    "connecting": "yellow",
    "live": "green",
    "stalled": "red",
    "reconnecting": "yellow",
    "ended": "dim",
}
SHOWN_DETECTIONS = 8
SHOWN_UTTERANCES = 3
REFRESH_HZ = 4
"""Drawing takes about 3 ms, so this keeps the view below 2% of a core."""


class TerminalView:
    """Shows messages as they come. `take` may be called from several threads.

    Args:
        console: where to; standard output by default. On a terminal the view is a screen that is redrawn in place;
            otherwise a line is printed for each detection and for each change of state.
        streams: names of the streams, where there are several: each line then says whose it is.
    """

    def __init__(self, console: Console | None = None, *, streams: Sequence[str] = ()) -> None:
        self._console = console or Console(highlight=False)
        self._lock = threading.Lock()
        self._started_s = time.monotonic()
        self._streams = tuple(streams) if len(streams) > 1 else ()
        self._statuses: dict[str, Status] = {}
        self._detections: deque[Detection] = deque(maxlen=SHOWN_DETECTIONS)
        self._spotted = 0
        self._utterances: dict[tuple[str, int], Hypothesis] = {}
        self._notes: list[str] = []
        self._live: Live | None = None
        if self._console.is_terminal:
            self._live = Live(
                console=self._console, get_renderable=self._screen, refresh_per_second=REFRESH_HZ
            )

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def take(self, message: Message) -> None:
        """Take in one message; kinds that are not for reading are ignored."""
        with self._lock:
            match message:
                case Status():
                    if self._live is None:
                        self._print_changes(self._statuses.get(message.stream), message)
                    self._statuses[message.stream] = message
                case Detection():
                    self._detections.append(message)
                    self._spotted += 1
                    if self._live is None:
                        self._print(self._whose(message) + detection_line(message))
                case Hypothesis():
                    self._utterances[message.stream, message.utterance] = message
                    mine = sorted(key for key in self._utterances if key[0] == message.stream)
                    for old in mine[: -(1 if self._streams else SHOWN_UTTERANCES)]:
                        del self._utterances[old]

    def note(self, text: str) -> None:
        """Keep a one-line notice on the screen, or print it."""
        with self._lock:
            if self._live is None:
                self._print(text)
            else:
                self._notes.append(text)

    # -- plain lines -----------------------------------------------------------------------------------------

    def _print(self, line: str) -> None:
        self._console.print(Text(line), soft_wrap=True)

    def _whose(self, message: Message) -> str:
        return f"{message.stream}: " if self._streams else ""

    def _print_changes(self, old: Status | None, new: Status) -> None:
        whose = self._whose(new)
        if old is None or (old.state, old.state_reason) != (new.state, new.state_reason):
            self._print(f"{whose}{new.source}: {wording.state(new)}")
        if new.view_hint and (old is None or old.view != new.view):
            self._print(whose + new.view_hint)
        if new.degradation.level != (old.degradation.level if old else 0):
            self._print(f"{whose}quality: {wording.quality(new)}")

    # -- screen ----------------------------------------------------------------------------------------------

    def _screen(self) -> RenderableType:
        with self._lock:
            parts: list[RenderableType] = [Text(note, style="dim") for note in self._notes]
            if not self._statuses:
                parts.append(Text("starting", style="yellow"))
            elif self._streams:
                parts.append(self._overview())
            else:
                parts.append(self._figures(next(iter(self._statuses.values()))))
            if self._detections:
                parts.append(self._table())
            for _, utterance in sorted(self._utterances.items()):
                style = "dim" if utterance.state == "final" else "bold"
                parts.append(Text(f"» {self._whose(utterance)}{utterance.text}", style=style))
            return Group(*parts)

    def _overview(self) -> RenderableType:
        """A row a stream."""
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
        table.add_column("stream", style="bold")
        for header in ("state", "rate", "latency", ""):
            table.add_column(header, overflow="fold")
        for name in self._streams:
            status = self._statuses.get(name)
            if status is None:
                table.add_row(Text(name), Text("starting", style="yellow"))
                continue
            state = Text("● ", style=STATE_STYLES[status.state])
            state.append(wording.state(status))
            quality = wording.quality(status) if status.degradation.level else ""
            heed = "; ".join(filter(None, [quality, status.view_hint]))
            taken = status.processing_ms
            latency = f"p50 {taken.p50:.0f}, p99 {taken.p99:.0f} ms" if taken else ""
            table.add_row(Text(name), state, wording.rates(status), latency, Text(heed, style="yellow"))
        return table

    def _figures(self, status: Status) -> RenderableType:
        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="dim", no_wrap=True)
        grid.add_column(overflow="fold")
        state = Text("● ", style=STATE_STYLES[status.state])
        state.append(wording.state(status))
        running_s = int(time.monotonic() - self._started_s)
        grid.add_row("source", Text(f"{status.source}  {running_s // 60}:{running_s % 60:02d}"))
        grid.add_row("state", state)
        if status.view_hint:
            grid.add_row("view", Text(status.view_hint, style="yellow"))
        grid.add_row("rate", wording.rates(status))
        grid.add_row("latency", wording.latency(status))
        if status.degradation.level:
            grid.add_row("quality", Text(wording.quality(status), style="yellow"))
        if status.encoders_missing:
            missing = ", ".join(status.encoders_missing)
            grid.add_row("encoders", Text(f"{missing}: in the gallery or running, not both", style="yellow"))
        if status.gallery:
            known = f"{status.glosses} in {status.gallery}, {self._spotted} spotted"
            grid.add_row("signs", Text(known))
        return grid

    def _table(self) -> RenderableType:
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
        if self._streams:
            table.add_column("stream", style="dim")
        table.add_column("sign", style="bold")
        for header in ("score", "sure", "from", "to"):
            table.add_column(header, justify="right")
        table.add_column("rather than", style="dim")
        for detection in reversed(self._detections):
            runner_up = detection.runner_up
            table.add_row(
                *([Text(detection.stream)] if self._streams else []),
                Text(detection.gloss),
                f"{detection.score:.2f}",
                f"{detection.confidence:.0%}",
                f"{detection.start_s:.2f}",
                f"{detection.end_s:.2f} s",
                Text(f"{runner_up.gloss} {runner_up.score:.2f}" if runner_up else ""),
            )
        return table


def detection_line(detection: Detection) -> str:
    """A detection in one plain line: "12.40-13.02 s  HELLO  score 0.83, sure 94%"."""
    line = f"{detection.start_s:.2f}-{detection.end_s:.2f} s  {detection.gloss}"
    return f"{line}  score {detection.score:.2f}, sure {detection.confidence:.0%}"
