"""The terminal view: a screen on a terminal, plain lines in a pipe."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable

import pytest
from rich.console import Console

from stream.events import Degradation, Message, Preview
from stream.terminal import TerminalView
from tests.stream.samples import HEADER, detection, hypothesis, status


def piped(*messages: Message) -> list[str]:
    """Lines printed where standard output is no terminal."""
    out = io.StringIO()
    with TerminalView(Console(file=out, width=40)) as view:
        for message in messages:
            view.take(message)
    return out.getvalue().splitlines()


def screen(*messages: Message, width: int = 100, note: str = "") -> str:
    """What a terminal shows at the end."""
    console = Console(file=io.StringIO(), force_terminal=True, width=width, height=40, color_system=None)
    with TerminalView(console) as view:
        if note:
            view.note(note)
        for message in messages:
            view.take(message)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().split("\x1b[2K")[-1]  # the last time it was drawn


def test_in_a_pipe_a_detection_is_one_whole_line_however_narrow() -> None:
    assert piped(detection("THANK-YOU-VERY-MUCH")) == [
        "12.40-13.02 s  THANK-YOU-VERY-MUCH  score 0.83, sure 94%"
    ]


def test_in_a_pipe_only_changes_of_state_are_told() -> None:
    lines = piped(
        status(state="connecting", fps_in=0.0),
        status(),
        status(fps_in=25.0),  # no change worth a line
        status(state="stalled", state_reason="no picture for 3 s"),
        status(state="stalled", state_reason="no picture for 3 s"),
        status(view="no person", view_hint="step in front of the camera"),
        status(degradation=Degradation(level=1, gives_up="pose every 80 ms", reason="too slow")),
        status(),
    )
    assert lines == [
        "webcam 0: connecting",
        "webcam 0: live",
        "webcam 0: stalled (no picture for 3 s)",
        "webcam 0: live",
        "step in front of the camera",
        "quality: level 1: pose every 80 ms (too slow)",
        "quality: full (the machine keeps up)",
    ]


def test_what_is_not_for_reading_prints_nothing() -> None:
    assert piped(Preview(**HEADER, pts_s=0.0, jpeg=b""), hypothesis("HELLO")) == []


def test_brackets_in_names_are_no_markup() -> None:
    assert piped(detection("[bold]SMALL[/bold]"))[0].startswith("12.40-13.02 s  [bold]SMALL[/bold]")
    shown = screen(
        status(source="clip [1].mp4"), detection("[red]X"), hypothesis("[red]X"), note="at [::1]:5570"
    )
    for text in ("clip [1].mp4", "[red]X", "at [::1]:5570"):
        assert text in shown


def test_the_screen_tells_what_matters() -> None:
    shown = screen(
        status(frames_dropped={"overwritten": 3, "undecodable": 0}, gaps=2),
        detection("HELLO"),
        detection("FRIEND", 14.0, 14.5, runner_up=None),
        hypothesis("YOU WELL", utterance=0, state="final"),
        hypothesis("HELLO FRIEND", utterance=1),
        note="publishing on tcp://127.0.0.1:5570",
    )
    for text in (
        "publishing on tcp://127.0.0.1:5570",
        "webcam 0",
        "● live",
        "30.0 fps in, 25.0 ticks/s, dropped 3 (overwritten 3), 2 gaps",
        "p50 38, p95 61, p99 88 ms; 41 CPU-ms a tick",
        "12 in my-signs, 2 spotted",
        "GOODBYE 0.61",
        "» YOU WELL",
        "» HELLO FRIEND",
    ):
        assert text in shown
    assert shown.index("FRIEND") < shown.index("HELLO"), "the newest detection comes first"
    assert "quality" not in shown, "full quality is not worth a line"


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (
            {"state": "reconnecting", "state_reason": "connection refused"},
            "● reconnecting (connection refused)",
        ),
        ({"view": "cut off", "view_hint": "step back"}, "step back"),
        (
            {"degradation": Degradation(level=2, gives_up="pose every 80 ms", reason="3 frames dropped")},
            "level 2: pose every 80 ms (3 frames dropped)",
        ),
        ({"encoders_missing": ["i3d"]}, "i3d: in the gallery or running, not both"),
        ({"processing_ms": None, "cpu_ms_per_tick": None}, "not known yet"),
    ],
)
def test_trouble_is_on_the_screen(change: dict[str, object], text: str) -> None:
    assert text in screen(status(**change))


def test_before_the_first_status_it_says_starting() -> None:
    assert "starting" in screen()


def test_only_the_last_of_many_detections_and_utterances_stay() -> None:
    many = [detection(f"SIGN{number}", number, number + 0.5) for number in range(30)]
    said = [hypothesis(f"UTTERANCE{number}", utterance=number) for number in range(10)]
    shown = screen(status(), *many, *said)
    assert "SIGN29" in shown
    assert "SIGN21" not in shown
    assert "UTTERANCE9" in shown
    assert "UTTERANCE6" not in shown
    assert "30 spotted" in shown


def test_several_threads_may_speak_while_the_screen_is_drawn() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=80, height=40)
    failures: list[BaseException] = []

    def speak(make: Callable[[int], Message]) -> None:
        try:
            for number in range(300):
                view.take(make(number))
        except BaseException as error:
            failures.append(error)

    with TerminalView(console) as view:
        makers: list[Callable[[int], Message]] = [
            lambda number: status(frames_in=number),
            lambda number: detection(start_s=number),
            lambda number: hypothesis("HELLO", utterance=number),
        ]
        threads = [threading.Thread(target=speak, args=(make,)) for make in makers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        time.sleep(0.3)  # drawn at least once
    assert not failures


def test_of_several_streams_each_line_says_whose_it_is() -> None:
    out = io.StringIO()
    with TerminalView(Console(file=out, width=80), streams=["door", "yard"]) as view:
        view.take(status(stream="door"))
        view.take(status(stream="yard", state="stalled", state_reason="no picture for 3 s"))
        view.take(detection(stream="yard"))
    assert out.getvalue().splitlines() == [
        "door: webcam 0: live",
        "yard: webcam 0: stalled (no picture for 3 s)",
        "yard: 12.40-13.02 s  HELLO  score 0.83, sure 94%",
    ]


def test_the_screen_has_a_row_a_stream() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=120, height=40, color_system=None)
    with TerminalView(console, streams=["door", "yard"]) as view:
        view.take(status(stream="door", state="stalled", state_reason="no picture for 3 s"))
        view.take(detection(stream="door"))
        view.take(hypothesis("HELLO", stream="door"))
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue().split("\x1b[2K")[-1]
    door, yard = shown.splitlines()[1:3]
    assert door.startswith("door")
    assert "stalled (no picture for 3 s)" in door
    assert "p50 38, p99 88 ms" in door
    assert yard.startswith("yard")
    assert "starting" in yard
    assert "» door: HELLO" in shown
