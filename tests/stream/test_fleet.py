"""Several streams in one process: each says what it would say alone, and fails alone."""

from __future__ import annotations

import json
import signal
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from engines.encoders import load_encoders
from engines.errors import ConfigError, PoseError
from engines.landmarks import Landmarks
from engines.pose.choice import open_poses
from run_stream import main
from stream.demo import gallery_clips
from stream.events import Detection, Message, Status
from stream.fleet import Fleet
from stream.gallery import GalleryWatcher
from stream.naming import named_sources
from stream.pipeline import Pipeline
from stream.publisher import Stamper, new_epoch
from stream.recording import read_messages
from stream.replay import differences
from stream.sources import open_source
from stream.sources.base import Source
from tests.stream.running import SlowPose, make_gallery, replayed, run_pipeline, said
from tests.stream.stopping import END_S, stopped


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_gallery(tmp_path_factory.mktemp("galleries") / "three")


class CrashingPose(SlowPose):
    """The real estimator, until it meets what it cannot take."""

    def __init__(self, frames: int) -> None:
        super().__init__()
        self._left = frames

    def estimate(self, image: NDArray[np.uint8]) -> Landmarks:
        self._left -= 1
        if self._left < 0:
            raise PoseError("this picture is no picture")
        return super().estimate(image)


def run_fleet(
    sources: dict[str, Source], gallery: Path, poses: Sequence[SlowPose]
) -> tuple[list[Message], dict[str, Exception]]:
    """Run sources to their ends through shared encoders; every message, and what failed."""
    messages: list[Message] = []
    failures: dict[str, Exception] = {}
    encoders = load_encoders(estimator=poses[0].name)
    epoch = new_epoch()
    fleet = Fleet(
        {
            name: Pipeline(
                source=source,
                estimator=pose,
                encoders=encoders,
                stamper=Stamper(name, epoch),
                sinks=[messages.append],
                galleries=GalleryWatcher(gallery),
            )
            for (name, source), pose in zip(sources.items(), poses, strict=True)
        },
        failures.__setitem__,
    )
    try:
        fleet.start()
        assert fleet.wait(90.0), "a stream did not end"
    finally:
        fleet.stop()
        for pose in poses:
            pose.close()
    return messages, failures


def of(messages: Sequence[Message], stream: str) -> list[Message]:
    return [message for message in messages if message.stream == stream]


def same_but_for_the_name(ours: Sequence[Message], alone: Sequence[Message]) -> list[str]:
    return list(differences([renamed(one, "test") for one in ours], alone))


def renamed(message: Message, name: str) -> Message:
    """The message as a stream of another name says it."""
    other = msgspec.structs.replace(message, stream=name)
    if isinstance(other, Detection):
        other = msgspec.structs.replace(other, id=other.id.replace(message.stream, name, 1))
    return other


def test_two_streams_say_what_each_says_alone(gallery: Path) -> None:
    clips = gallery_clips()
    alone = {
        gloss: run_pipeline(open_source(str(clips[gloss]), speed="max"), gallery=gallery)
        for gloss in ("HELLO", "THANKS")
    }
    sources = {
        "door": open_source(str(clips["HELLO"]), speed="max"),
        "yard": open_source(str(clips["THANKS"]), speed="max"),
    }
    messages, failures = run_fleet(sources, gallery, [SlowPose(), SlowPose()])
    assert failures == {}
    for name, gloss in (("door", "HELLO"), ("yard", "THANKS")):
        mine = of(messages, name)
        assert [one.gloss for one in mine if isinstance(one, Detection)] == [gloss]
        assert same_but_for_the_name(said(mine), alone[gloss]) == [], (
            "to the bit, though the windows shared batches"
        )
        assert [one.seq for one in mine if isinstance(one, Status)] == list(
            range(sum(isinstance(one, Status) for one in mine))
        ), "each stream counts its own messages"
    assert len({message.epoch for message in messages}) == 1, "one start of one process"
    ids = [one.id for one in messages if isinstance(one, Detection)]
    assert len(set(ids)) == len(ids) == 2, "unique within the epoch, whichever stream it is"


def test_a_stream_that_crashes_leaves_the_other_as_it_was(gallery: Path) -> None:
    clips = gallery_clips()
    alone = run_pipeline(open_source(str(clips["THANKS"]), speed="max"), gallery=gallery)
    sources = {
        "door": open_source(str(clips["HELLO"]), speed="max"),
        "yard": open_source(str(clips["THANKS"]), speed="max"),
    }
    messages, failures = run_fleet(sources, gallery, [CrashingPose(10), SlowPose()])
    assert {name: str(error) for name, error in failures.items()} == {"door": "this picture is no picture"}
    last = [one for one in of(messages, "door") if isinstance(one, Status)][-1]
    assert (last.state, last.state_reason) == ("ended", "this picture is no picture"), "who listens is told"
    assert same_but_for_the_name(said(of(messages, "yard")), alone) == []


def test_blaze_sees_in_each_of_two_streams_what_it_sees_alone() -> None:
    import threading

    from stream.sources import read_frames

    clips = gallery_clips()
    pictures = {name: [frame.image for frame in read_frames(clips[name])][:30] for name in ("HELLO", "HOUSE")}
    lone = {}
    for name, images in pictures.items():
        (pose,) = open_poses("blaze", count=1)
        lone[name] = [pose.estimate(image) for image in images]
    found: dict[str, list[Landmarks]] = {}
    threads = [
        threading.Thread(
            target=lambda name=name, pose=pose: found.__setitem__(
                name, [pose.estimate(image) for image in pictures[name]]
            )
        )
        for name, pose in zip(pictures, open_poses("blaze", count=2), strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for name, seen in lone.items():
        for ours, theirs in zip(found[name], seen, strict=True):
            for part in ("pose", "left_hand", "right_hand", "pose_world"):
                assert np.array_equal(getattr(ours, part), getattr(theirs, part), equal_nan=True)


def test_the_command_runs_several_sources_records_and_replays_each(
    gallery: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clips = gallery_clips()
    config = tmp_path / "two.toml"
    config.write_text(
        f'[live]\nsource = ["door={clips["HELLO"]}", "yard={clips["HOUSE"]}", "gone=nowhere.mp4"]\n'
        f'gallery = "{gallery}"\nspeed = "max"\npublish = "tcp://127.0.0.1:*"\n'
    )
    record, run = tmp_path / "all.jsonl", tmp_path / "run"
    words = ["--config", str(config), "--record", str(record), "--record-run", str(run)]
    assert main(words) == 1, "one of them failed"
    told = capsys.readouterr()
    assert "signspot: gone: " in told.err
    assert "nowhere.mp4" in told.err
    assert "door: " in told.out
    messages = list(read_messages(record))
    glosses = {
        name: [one.gloss for one in of(messages, name) if isinstance(one, Detection)]
        for name in ("door", "yard", "gone")
    }
    assert glosses == {"door": ["HELLO"], "yard": ["HOUSE"], "gone": []}
    ends = {one.stream: one for one in messages if isinstance(one, Status)}
    assert {name: one.state for name, one in ends.items()} == dict.fromkeys(("door", "yard", "gone"), "ended")
    assert "nowhere.mp4" in ends["gone"].state_reason
    for name in ("door", "yard"):
        assert list(differences(replayed(run / name), of(messages, name))) == []
    topics = {json.loads(line)["topic"] for line in record.read_text().splitlines()}
    assert {"detection/door/", "detection/yard/", "status/gone/"} <= topics


def test_ctrl_c_stops_all_streams_within_a_second(tmp_path: Path) -> None:
    sources = ["--source", "a=demo", "--source", "b=demo", "--source", "c=rtsp://127.0.0.1:9/none"]
    run = stopped(sources, tmp_path, sent=signal.SIGINT, once=lambda recorded: recorded.count(b'"live"') >= 2)
    assert max(run.told_s.values()) < 1, "who listens is told within a second"
    assert run.took_s < END_S
    assert (run.status, run.errors, run.left) == (130, "", [])
    ends = {one.stream: one for one in run.messages if isinstance(one, Status)}
    assert {name: one.state for name, one in ends.items()} == dict.fromkeys("abc", "ended")


@pytest.mark.parametrize(
    ("texts", "stream", "found"),
    [
        (["0"], None, {"cam": "0"}),
        (["0"], "door", {"door": "0"}),  # --stream names a source without a name
        (["door=0"], None, {"door": "0"}),
        (["door=rtsp://u:p@h/x?a=b", "yard=1"], None, {"door": "rtsp://u:p@h/x?a=b", "yard": "1"}),
        (["rtsp://h/x?a=b"], None, {"cam": "rtsp://h/x?a=b"}),  # the "=" is the address's own
    ],
)
def test_names_of_sources(texts: list[str], stream: str | None, found: dict[str, str]) -> None:
    assert named_sources(texts, stream=stream) == found


def test_a_file_with_an_equals_sign_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("take=1.mp4").touch()
    assert named_sources(["take=1.mp4"]) == {"cam": "take=1.mp4"}


@pytest.mark.parametrize(
    ("texts", "stream", "says"),
    [
        (["a=0", "a=1"], None, "two sources are named a"),
        (["a=0", "1"], None, "each needs a name"),
        (["a=0", "rtsp://me:secret@host/x"], None, "each needs a name"),
        (["a/b=0"], None, "without '/', not 'a/b'"),
        (["=0"], None, "not ''"),
        (["..=0"], None, "not '..'"),  # it would be a folder of --record-run
        (["a\n=0"], None, "printable"),
        (["a="], None, "what to watch"),
        (["a=0"], "b", "has the name a already"),
    ],
)
def test_bad_names_are_refused(texts: list[str], stream: str | None, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        named_sources(texts, stream=stream)
    assert "secret" not in str(caught.value)
