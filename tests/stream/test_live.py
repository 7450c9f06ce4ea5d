"""The command itself, as a user runs it: messages in the file, Ctrl-C within a second, errors that say what to do."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from run_stream import COMMANDS, main
from stream.demo import gallery_clips
from stream.events import Status
from stream.ledger import read_frames
from stream.recording import read_messages
from stream.replay import end_of
from tests.stream.stopping import END_S, PROGRAM, stopped


def test_a_file_at_full_speed_ends_by_itself_and_records_every_message(tmp_path: Path) -> None:
    words = ["--source", str(gallery_clips()["HELLO"]), "--speed", "max", "--publish", "tcp://127.0.0.1:*"]
    assert main([*words, "--record", str(tmp_path / "events.jsonl"), "--stream", "door", "--quiet"]) == 0
    messages = list(read_messages(tmp_path / "events.jsonl"))
    assert {message.stream for message in messages} == {"door"}
    assert messages[-1].state == "ended"  # type: ignore[union-attr]


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])  # Ctrl-C; how services are stopped
def test_a_signal_stops_within_a_second_and_leaves_nothing_behind(
    sent: signal.Signals, tmp_path: Path
) -> None:
    run = stopped(["--source", "demo"], tmp_path, sent=sent, once=lambda recorded: b'"live"' in recorded)
    assert run.told_s["cam"] < 1, "who listens is told within a second"
    assert run.took_s < END_S
    assert (run.status, run.errors, run.left) == (130, "", [])
    last = run.messages[-1]
    assert isinstance(last, Status)
    assert (last.state, last.state_reason) == ("ended", "stopped")
    assert last.frames_in > 0


def test_ctrl_c_stops_a_recorded_run_within_a_second_and_leaves_it_whole(tmp_path: Path) -> None:
    recorded_run = tmp_path / "run"
    ledger = recorded_run / "ledger.jsonl"
    run = stopped(
        ["--source", "demo", "--record-run", str(recorded_run)],
        tmp_path,
        sent=signal.SIGINT,
        once=lambda _: ledger.exists() and ledger.read_bytes().count(b"\n") > 30,
    )
    assert run.told_s["cam"] < 1
    assert run.took_s < END_S
    assert (run.status, run.errors) == (130, "")
    assert [one for one in run.left if Path(one).parts[0] != "run"] == [], "nothing beside what was asked for"
    end = end_of(recorded_run)
    assert end is not None, "without it the run would count as crashed"
    assert not end.whole, "it was stopped"
    assert end.ticks > 0
    assert sum(frame is not None for _, frame in read_frames(recorded_run)) > 0, (
        "none of the pictures is missing"
    )
    told = list(read_messages(recorded_run / "events.jsonl"))
    assert told[-1] == run.messages[-1], "both recordings go on to the end"


@pytest.mark.parametrize("protocol", ["rtsp", "http"])
def test_ctrl_c_stops_within_a_second_while_a_camera_does_not_answer(protocol: str, tmp_path: Path) -> None:
    """The connection is taken and the request is read, then nothing: the decoder's call hangs until its time-out."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        mute.settimeout(60)
        asked: list[socket.socket] = []

        def hangs(recorded: bytes) -> bool:
            if not asked:
                asked.append(mute.accept()[0])
                assert asked[0].recv(4096), "the request"
            return b'"connecting"' in recorded

        source = f"{protocol}://127.0.0.1:{mute.getsockname()[1]}/cam"
        try:
            run = stopped(["--source", source], tmp_path, sent=signal.SIGINT, once=hangs)
        finally:
            for one in asked:
                one.close()
    assert run.told_s["cam"] < 1
    assert run.took_s < END_S
    assert (run.status, run.errors, run.left) == (130, "", [])
    states = [one.state for one in run.messages if isinstance(one, Status)]
    assert (set(states[:-1]), states[-1]) == ({"connecting"}, "ended")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--source", "nowhere.mp4"], "nowhere.mp4"),  # a file that does not exist
        (["--source", "demo", "--gallery", "no-gallery"], "signspot enrol"),  # a gallery that does not exist
        (["--source", "demo", "--publish", "tcp://*:5571"], "--insecure"),  # beyond this machine, unprotected
        (["--source", "demo", "--encoder", "no-encoder"], "no-encoder"),  # an encoder that does not exist
        (["--source", "rstp://127.0.0.1/cam"], "is it spelt right"),  # a protocol that nothing speaks
        (
            ["--source", "demo", "--config", "missing.toml"],
            "missing.toml",
        ),  # a configuration that does not exist
        (["replay", "nothing"], "no recorded run"),
        (["bench", "--seconds", "0"], "at least 2"),  # nothing would be left to measure
        (["bench", "--compare", "missing.json"], "missing.json"),
        (["bench", "--streams", "1,none"], "--streams 1,none"),
        (["bench", "--streams", "0"], "from 1 to 64"),
    ],
)
def test_bad_input_is_named(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 1
    assert said in capsys.readouterr().err


def test_bench_reports_both_latencies_and_what_a_tick_costs(tmp_path: Path) -> None:
    saved = tmp_path / "bench.json"
    clip = str(gallery_clips()["HELLO"])
    words = ["bench", "--source", clip, "--streams", "1,2", "--save", str(saved)]
    assert main([*words, "--picture", str(tmp_path / "b.png")]) == 0
    report = json.loads(saved.read_text())
    assert 0 < report["loopback_ms"]["p50"] < 1000
    assert [run["streams"] for run in report["runs"]] == [1, 2]
    for run in report["runs"]:
        assert 0 < run["processing_ms"]["p50"] <= run["processing_ms"]["p99"]
        assert "lag_ms" in run, "null: no made-up sign is ever spotted"
        assert 0 < run["cpu_ms_per_tick"] < 1000
        assert {"decode", "pose", "slgcn2d", "similarity", "publish"} <= set(run["stages"]), (
            "though no gallery was named"
        )
        assert run["stages"]["decode"]["work_ms"]["p50"] > 0
        assert run["dropped"] >= 0
    assert report["runs"][1]["ticks"] > 1.5 * report["runs"][0]["ticks"]
    assert (tmp_path / "b.png").read_bytes()[:4] == b"\x89PNG"


def test_an_unknown_command_lists_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["enroll"])
    assert exit_.value.code == 2
    assert "enrol " in capsys.readouterr().err


@pytest.mark.parametrize("command", list(COMMANDS))
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main([command, "--help"])
    assert exit_.value.code == 0
    assert len(capsys.readouterr().out) > 100


def test_help_without_a_command_lists_options_and_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    assert "--source" in text
    assert all(command in text for command in COMMANDS)


def test_the_live_path_imports_no_torch() -> None:
    code = "import sys, stream.pipeline, stream.commands.live; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=PROGRAM.parent).returncode == 0
