"""Recordings: one message a line, readable by anything, whole after a crash."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from engines.errors import RecordingError
from stream.events import Message, Preview
from stream.recording import Recorder, read_messages
from tests.stream.samples import HEADER, detection, hypothesis, status


def test_a_line_is_a_json_object_of_topic_and_payload(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    with Recorder(path) as recorder:
        recorder.write(detection("HELLO"))
    (line,) = path.read_text().splitlines()
    entry = json.loads(line)
    assert set(entry) == {"topic", "payload"}
    assert entry["topic"] == "detection/cam/"
    assert entry["payload"]["gloss"] == "HELLO"
    assert entry["payload"]["runner_up"] == {"gloss": "GOODBYE", "score": 0.61}


def test_what_was_recorded_comes_back_bit_for_bit(tmp_path: Path) -> None:
    messages: list[Message] = [
        status(),
        detection("ÄPFEL", score=0.1 + 0.2),
        hypothesis("A B"),
        Preview(**HEADER, pts_s=1 / 3, jpeg=b"\xff\xd8\x00\n"),
    ]
    with Recorder(tmp_path / "events.jsonl") as recorder:
        for message in messages:
            recorder.write(message)
    assert list(read_messages(tmp_path / "events.jsonl")) == messages


def test_several_threads_never_mix_their_lines(tmp_path: Path) -> None:
    with Recorder(tmp_path / "events.jsonl") as recorder:

        def work(gloss: str) -> None:
            for seq in range(200):
                recorder.write(detection(gloss * 50, seq=seq))

        threads = [threading.Thread(target=work, args=(gloss,)) for gloss in "ABCD"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(list(read_messages(tmp_path / "events.jsonl"))) == 800


def test_a_killed_program_loses_no_line_that_it_wrote(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    program = (
        "import os, pathlib, signal; from stream.recording import Recorder; from tests.stream.samples import detection\n"
        f"recorder = Recorder(pathlib.Path({str(path)!r}))\n"
        "for seq in range(100): recorder.write(detection(seq=seq))\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", program], check=False, timeout=60)
    assert [message.seq for message in read_messages(path)] == list(range(100))


def test_a_last_line_that_a_power_cut_left_half_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    with Recorder(path) as recorder:
        recorder.write(detection(seq=0))
        recorder.write(detection(seq=1))
    path.write_bytes(path.read_bytes()[:-30])
    assert [message.seq for message in read_messages(path)] == [0]


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    with Recorder(path) as recorder:
        recorder.write(detection())
    path.write_bytes(path.read_bytes() + b"not a message\n")
    with pytest.raises(RecordingError, match="line 2"):
        list(read_messages(path))


def test_kinds_of_a_newer_version_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text('{"topic": "emotion/cam/", "payload": {"v": 1}}\n')
    assert list(read_messages(path)) == []


def test_a_file_that_cannot_be_written_or_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"no/events\.jsonl"):
        Recorder(tmp_path / "no" / "events.jsonl")
    with pytest.raises(RecordingError, match="cannot read the recording"):
        list(read_messages(tmp_path / "events.jsonl"))


def test_a_full_disk_is_an_error_and_not_silence() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with Recorder(Path("/dev/full")) as recorder, pytest.raises(RecordingError, match="No space left"):
        recorder.write(detection())
