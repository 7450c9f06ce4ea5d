"""Publishing as a user runs it: the command says where, and who connects there gets what the options promise."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import zmq
from PIL import Image

from run_stream import main
from stream.curve import read_client_keys
from stream.demo import gallery_clips
from stream.events import KINDS, Detection, LandmarksEvent, Preview, Status, from_float16
from stream.recording import read_messages
from stream.sources import read_frames
from stream.subscriber import Received, Subscriber
from tests.stream.listeners import Listener
from tests.stream.running import make_gallery

PROGRAM = Path(__file__).parents[2] / "run_stream.py"
PATIENCE_S = 60.0
NOSE = 0  # MediaPipe's number


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_gallery(tmp_path_factory.mktemp("galleries") / "three")


@contextlib.contextmanager
def running(command: Sequence[str], folder: Path) -> Iterator[Listener]:
    """The command, which is gone afterwards whatever happens."""
    live = Listener(command, folder)
    try:
        yield live
    finally:
        live.process.kill()
        live.process.communicate()


def signing(gallery: Path, *words: str) -> list[str]:
    """The command that watches HELLO again and again, as fast as it can be processed."""
    source = [
        "--source",
        str(gallery_clips()["HELLO"]),
        "--speed",
        "max",
        "--loop",
        "--gallery",
        str(gallery),
    ]
    return [sys.executable, str(PROGRAM), *source, *words]


def address_told(listener: Listener) -> re.Match[str]:
    """The line that says where messages are published and how to listen to them."""
    form = r"publishing on (\S+:\d+); listen with: signspot listen --connect (\S+:\d+)"
    while (told := re.match(form, listener.line())) is None:
        pass
    return told


def heard(subscriber: Subscriber, wanted: Sequence[Callable[[Received], bool]]) -> list[Received]:
    """What arrives, until one of each that is wanted has."""
    events: list[Received] = []
    end_s = time.monotonic() + PATIENCE_S
    while not all(any(map(one, events)) for one in wanted):
        assert time.monotonic() < end_s, {type(event).__name__ for event in events}
        event = subscriber.receive(1.0)
        if event is not None:
            events.append(event)
    return events


def test_with_keys_who_was_let_in_gets_detections_landmarks_and_pictures(
    gallery: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = tmp_path / "keys"
    assert main(["keys", "make", str(keys), "--client", "laptop"]) == 0
    laptop = read_client_keys(keys / "for-clients" / "laptop")
    words = ["--publish", "tcp://*:*", "--keys", str(keys), "--landmarks", "--preview"]
    with running(signing(gallery, *words), tmp_path) as live:
        told = address_told(live)
        assert told[1].startswith("tcp://0.0.0.0:")
        assert f"--keys {keys}" in told.string, "without keys nobody hears anything"
        with Subscriber(told[2], kinds=KINDS) as stranger:
            assert stranger.receive(0.5) is None
        wanted: list[Callable[[Received], bool]] = [
            lambda one: isinstance(one, Detection),
            lambda one: isinstance(one, Preview),
            lambda one: isinstance(one, LandmarksEvent) and not np.isnan(from_float16(one.pose, 4)).any(),
            lambda one: isinstance(one, Status) and one.state == "live",
        ]
        with Subscriber(told[2], kinds=KINDS, curve=laptop) as subscriber:
            events = heard(subscriber, wanted)
        code, err, _ = live.stop()
        assert (code, err) == (130, "")
    detection = next(one for one in events if isinstance(one, Detection))
    assert detection.gloss == "HELLO"
    assert detection.id.startswith("cam-")
    picture = Image.open(io.BytesIO(next(one.jpeg for one in events if isinstance(one, Preview))))
    assert picture.size == (320, 240)
    landmarks = next(one for one in events if wanted[2](one))
    assert isinstance(landmarks, LandmarksEvent)
    assert (landmarks.width, landmarks.height) == (480, 360)
    assert 0.3 < from_float16(landmarks.pose, 4)[NOSE, 0] < 0.7, "the demo's signers stand in the middle"


def test_json_reaches_any_program_and_even_a_quiet_run_says_its_port(gallery: Path, tmp_path: Path) -> None:
    words = ["--publish", "tcp://*:*", "--insecure", "--encoding", "json", "--landmarks", "--quiet"]
    swapped = ["sh", "-c", 'exec "$0" "$@" 3>&1 1>&2 2>&3']  # the lines that are read are standard error's
    with running([*swapped, *signing(gallery, *words, "--stream", "door")], tmp_path) as live:
        told = address_told(live)
        first: dict[str, dict[str, object]] = {}
        with zmq.Context() as context, context.socket(zmq.SUB) as socket:
            socket.linger = 0
            socket.subscribe("")
            socket.connect(told[2])
            end_s = time.monotonic() + PATIENCE_S
            while not {"detection", "hypothesis", "landmarks", "status"} <= set(first):
                assert time.monotonic() < end_s, set(first)
                if socket.poll(1000):
                    topic, payload = socket.recv_multipart()
                    kind, stream, rest = topic.decode().split("/")
                    assert (stream, rest) == ("door", "")
                    first.setdefault(kind, json.loads(payload))
        code, printed, _ = live.stop()
        assert (code, printed) == (130, ""), "standard output stays empty"
    assert (first["detection"]["gloss"], first["detection"]["v"]) == ("HELLO", 1)
    assert len(base64.b64decode(str(first["landmarks"]["pose"]), validate=True)) == 33 * 4 * 2
    assert len({message["epoch"] for message in first.values()}) == 1


def test_a_mirror_image_is_turned_back_where_it_is_said_to_be_one(gallery: Path, tmp_path: Path) -> None:
    clip = tmp_path / "mirrored.mp4"
    with av.open(str(clip), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(25))
        stream.width, stream.height, stream.pix_fmt = 480, 360, "yuv420p"
        for frame in read_frames(gallery_clips()["HELLO"]):
            turned = np.ascontiguousarray(frame.image[:, ::-1])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(turned, format="rgb24")))
        container.mux(stream.encode(None))
    scores = {}
    for option in ("--quiet", "--mirrored"):
        record = tmp_path / f"{option}.jsonl"
        words = ["--source", str(clip), "--speed", "max", "--gallery", str(gallery), "--record", str(record)]
        assert main([*words, "--publish", "tcp://127.0.0.1:*", option]) == 0
        (found,) = [one for one in read_messages(record) if isinstance(one, Detection)]
        scores[option] = found.score
    # Turned back it is the very clip that was enrolled, but for one more compression.
    assert scores["--mirrored"] > 0.98
    assert scores["--mirrored"] > scores["--quiet"] + 0.01
