"""`signspot listen`: what arrives is printed at once or handed to a command, and nothing can hold it up."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from engines.errors import ConfigError
from run_stream import main
from stream.curve import make_client_keys, make_server_keys, read_server_keys
from stream.events import Message
from stream.hook import Hook, environment_of, fill_in
from stream.publisher import Publisher
from stream.recording import line_of
from tests.stream.listeners import Listener
from tests.stream.samples import detection, hypothesis, status

ROOT = Path(__file__).parents[2]


class Listening(Listener):
    """`signspot listen` as a user runs it, on a narrow terminal."""

    def __init__(self, publisher: Publisher, folder: Path, *words: str) -> None:
        self.publisher = publisher
        command = [sys.executable, str(ROOT / "run_stream.py"), "listen", "--connect", publisher.endpoint]
        super().__init__([*command, *words], folder, COLUMNS="40", TZ="UTC")

    def hear(self, knock: Message) -> str:
        """Send a message until its line comes; returns the line. Its number is the same: only one is printed."""
        return self.line(meanwhile=lambda: self.publisher.send(knock))


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    with Publisher("tcp://127.0.0.1:*") as publisher:
        yield publisher


def test_lines_for_people_come_at_once_whole_and_without_repetition(
    publisher: Publisher, tmp_path: Path
) -> None:
    listening = Listening(publisher, tmp_path)
    first = listening.hear(status(seq=0))
    assert "webcam 0" in first
    assert "live" in first
    publisher.send(status(seq=1))  # says nothing new: no line
    publisher.send(detection("HELLO", 12.4, 13.02, seq=0, time_us=3_723_004_000))
    line = listening.line()
    for part in ("01:02:03.004", "cam", "HELLO", "94%", "12.40 - 13.02 s", "230 ms", "GOODBYE"):
        assert part in line, "a line is whole however narrow the terminal is"
    publisher.send(hypothesis("HELLO FRIEND", state="final"))
    assert "HELLO FRIEND" in listening.line()
    publisher.send(status(seq=2, state="stalled", state_reason="no picture for 3 s"))
    assert "no picture for 3 s" in listening.line()
    code, err, took_s = listening.stop()
    assert (code, err) == (130, ""), "Ctrl-C ends it without a traceback"
    assert took_s < 2


def test_text_from_the_network_cannot_steer_the_terminal(publisher: Publisher, tmp_path: Path) -> None:
    listening = Listening(publisher, tmp_path, "--kind", "detection")
    line = listening.hear(detection("\x1b[2J[red]EVIL[/red]\n"))
    assert "\x1b" not in line
    assert "[red]EVIL[/red]" in line
    listening.stop()


def test_json_lines_are_the_recordings_lines(publisher: Publisher, tmp_path: Path) -> None:
    listening = Listening(publisher, tmp_path, "--json", "--kind", "detection")
    line = listening.hear(detection("HELLO"))
    assert line == line_of(detection("HELLO")).decode() + "\n"
    assert json.loads(line)["payload"]["gloss"] == "HELLO"
    listening.stop()


def test_losses_are_told_on_standard_error(publisher: Publisher, tmp_path: Path) -> None:
    listening = Listening(publisher, tmp_path, "--json", "--kind", "detection")
    listening.hear(detection(seq=0))
    publisher.send(detection(seq=4))
    listening.line()
    _, err, _ = listening.stop()
    assert "lost 3 messages of detection/cam/" in err


def test_a_command_is_run_for_each_detection_with_its_fields(publisher: Publisher, tmp_path: Path) -> None:
    script = tmp_path / "hook.py"
    script.write_text(
        "import json, os, sys\n"
        "payload = json.load(sys.stdin)['payload']\n"
        "print(sys.argv[1:], os.environ['SIGNSPOT_GLOSS'], payload['end_s'], flush=True)\n"
    )
    listening = Listening(publisher, tmp_path, "--exec", f"{sys.executable} {script} '$SIGNSPOT_GLOSS' now")
    assert listening.hear(detection("HELLO; rm -rf $HOME")) == (
        "['HELLO; rm -rf $HOME', 'now'] HELLO; rm -rf $HOME 13.02\n"
    ), "a gloss is one word to the command, whatever it contains"
    publisher.send(status())
    publisher.send(detection("B", seq=1))
    assert listening.line() == "['B', 'now'] B 13.02\n"
    listening.stop()


def test_a_shell_runs_the_command_only_when_asked_to(publisher: Publisher, tmp_path: Path) -> None:
    listening = Listening(publisher, tmp_path, "--shell", "--exec", 'echo "$SIGNSPOT_GLOSS" | tr A-Z a-z')
    assert listening.hear(detection("HELLO")) == "hello\n"
    listening.stop()


def test_ctrl_c_ends_a_hanging_command_too(publisher: Publisher, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    listening = Listening(
        publisher, tmp_path, "--shell", "--exec", f"echo $$ > {pid}; echo on; sleep 1000 & wait"
    )
    listening.hear(detection())
    _, err, took_s = listening.stop()
    assert took_s < 3
    assert "Traceback" not in err
    group = int(pid.read_text())
    left = [
        process
        for process in psutil.process_iter(["cmdline"])
        if process.info["cmdline"] == ["sleep", "1000"]
    ]
    assert not [process for process in left if _group(process) == group], "what it started ends with it"


def _group(process: psutil.Process) -> int:
    try:
        return os.getpgid(process.pid)
    except ProcessLookupError:
        return -1


def test_a_hanging_command_is_ended_and_the_next_one_runs(tmp_path: Path) -> None:
    said: list[str] = []
    out = tmp_path / "out"
    command = f'if [ "$SIGNSPOT_GLOSS" = HANG ]; then sleep 100; fi; echo "$SIGNSPOT_GLOSS" >> {out}'
    with Hook(command, by_shell=True, limit_s=0.3, complain=said.append) as hook:
        start_s = time.monotonic()
        for gloss in ("A", "HANG", "B"):
            hook.take(detection(gloss))
        assert time.monotonic() - start_s < 0.1, "listening goes on meanwhile"
    assert out.read_text().split() == ["A", "B"]
    assert said == ["sh still ran after 0.3 s and was ended"]


def test_messages_that_pile_up_behind_a_slow_command_are_left_out_the_oldest_first(tmp_path: Path) -> None:
    said: list[str] = []
    out = tmp_path / "out"
    with Hook(
        f"sleep 0.5; echo $SIGNSPOT_SEQ >> {out}", by_shell=True, limit_s=5, complain=said.append
    ) as hook:
        hook.take(detection(seq=0))
        time.sleep(0.2)
        hook._words = ["sh", "-c", f"echo $SIGNSPOT_SEQ >> {out}"]
        for seq in range(1, 101):
            hook.take(detection(seq=seq))
    ran = [int(word) for word in out.read_text().split()]
    assert ran[0] == 0
    assert ran[1:] == list(range(37, 101)), "64 wait"
    assert said == ["the command is slow: it was not run for 36 messages"]


def test_a_command_that_fails_is_told() -> None:
    said: list[str] = []
    with Hook("false", by_shell=False, limit_s=5, complain=said.append) as hook:
        hook.take(detection())
    assert said == ["false ended with status 1"]


@pytest.mark.parametrize(
    ("command", "says"),
    [("no-such-program", "--shell"), ("echo 'open", "No closing quotation"), ("", "needs a command")],
)
def test_a_command_that_cannot_run_is_refused_at_once(command: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        Hook(command, by_shell=False, limit_s=5, complain=print)


def test_fields_without_a_value_are_empty_and_unknown_ones_too() -> None:
    told = environment_of(detection(lag_ms=None))
    assert told["SIGNSPOT_KIND"] == "detection"
    assert told["SIGNSPOT_LAG_MS"] == ""
    assert float(told["SIGNSPOT_CONFIDENCE"]) == 0.94
    assert fill_in(["${SIGNSPOT_STREAM}-$SIGNSPOT_NONE$HOME"], told) == ["cam-$HOME"]


def test_nobody_there_is_said_and_the_time_out_tells_by_its_status(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with Publisher("tcp://127.0.0.1:*") as publisher:
        address = publisher.endpoint
    assert main(["listen", "--connect", address, "--timeout", "2.6"]) == 1
    err = capfd.readouterr().err
    assert address in err
    assert "is `signspot live` running?" in err


def test_a_refused_key_is_told_apart_from_nobody_there(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    make_server_keys(tmp_path / "keys")
    bundle = make_client_keys(tmp_path / "keys", "laptop")
    (tmp_path / "keys" / "clients" / "laptop.key").unlink()
    with Publisher("tcp://127.0.0.1:*", curve=read_server_keys(tmp_path / "keys")) as publisher:
        words = ["listen", "--connect", publisher.endpoint, "--keys", str(bundle), "--timeout", "1"]
        assert main(words) == 1
    assert "refuses these keys" in capfd.readouterr().err


def test_count_stops_after_so_many(publisher: Publisher, capfd: pytest.CaptureFixture[str]) -> None:
    publisher.send(status())
    assert main(["listen", "--connect", publisher.endpoint, "--json", "--count", "1"]) == 0
    assert json.loads(capfd.readouterr().out)["topic"] == "status/cam/"


@pytest.mark.parametrize("words", [["--count", "0"], ["--timeout", "-1"]])
def test_limits_that_make_no_sense_are_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["listen", *words]) == 1
    assert f"{words[0]} must be more than 0" in capsys.readouterr().err
