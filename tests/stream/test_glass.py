"""Glass to event: if these fail, the bench says of one frame what is true of another."""

from __future__ import annotations

import json
import time
from fractions import Fraction
from io import BytesIO
from pathlib import Path

import av
import numpy as np
import pytest

from engines.errors import SourceError
from engines.landmarks import Landmarks
from run_stream import main
from stream.clock import Tick
from stream.demo import gallery_clips
from stream.events import Detection, LandmarksEvent, Message
from stream.frame import Frame
from stream.glass.camera import KEY_FRAMES, GlassCamera
from stream.glass.log import GlassLog
from stream.glass.marker import NUMBERS, read_marker, write_marker
from stream.publisher import Stamper
from stream.sources import open_source
from stream.view import Observation
from tests.stream.running import make_gallery

MS = 1_000_000


def picture(seed: int = 0) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    coarse = np.random.default_rng(seed).integers(0, 256, (30, 40, 3), np.uint8)
    return np.ascontiguousarray(coarse.repeat(16, 0).repeat(16, 1))


@pytest.mark.parametrize("crf", ["20", "40"])
def test_numbers_come_through_h264(crf: str) -> None:
    numbers = [0, 1, 2, 1000, 65_535, 131_072, NUMBERS - 1]
    file = BytesIO()
    with av.open(file, "w", format="nut") as container:
        video = container.add_stream("libx264", rate=25, options={"preset": "ultrafast", "crf": crf})
        video.width, video.height, video.pix_fmt = 640, 480, "yuv420p"
        for place, number in enumerate(numbers):
            image = picture(place)
            write_marker(image, number)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = place, Fraction(1, 25)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
    file.seek(0)
    with av.open(file, "r") as container:
        assert [
            read_marker(np.asarray(one.to_ndarray(format="rgb24"), np.uint8))
            for one in container.decode(video=0)
        ] == numbers


def test_a_picture_without_a_number_has_none() -> None:
    for image in (np.zeros((480, 640, 3), np.uint8), np.full((480, 640, 3), 255, np.uint8)):
        assert read_marker(image) is None
    assert read_marker(np.zeros((480, 320, 3), np.uint8)) is None
    with pytest.raises(ValueError, match="384x16"):
        write_marker(np.zeros((480, 320, 3), np.uint8), 0)
    with pytest.raises(ValueError, match=str(NUMBERS)):
        write_marker(picture(), NUMBERS)


class FakeCamera:
    """Frames due every 40 ms from 1 s on, sent 5 ms later."""

    def __init__(self) -> None:
        self.sent_ns = {number: self.due_ns(number) + 5 * MS for number in range(100)}

    def due_ns(self, number: float) -> int:
        return 1000 * MS + round(40 * MS * number)


def test_the_way_is_measured_from_the_frame_that_decided(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decoded 12 ms after it is due, done 30 ms later, received 1 ms after that; stream seconds begin at frame 50."""
    log, stamper, received = GlassLog(), Stamper("s"), {}
    for tick in range(40):
        number = 50 + tick + (tick >= 20)  # one frame is lost before it is decoded
        due_ns = FakeCamera().due_ns(number)
        monkeypatch.setattr(time, "monotonic_ns", lambda due_ns=due_ns: due_ns + 42 * MS)
        image = picture()
        if tick != 30:
            write_marker(image, number)
        messages: list[Message] = [
            stamper.stamp(
                LandmarksEvent,
                segment=0,
                pts_s=0.04 * tick,
                width=640,
                height=480,
                pose=b"",
                left_hand=b"",
                right_hand=b"",
            )
        ]
        if tick == 35:  # its sign ended at frame 80: 1.2 s of the stream
            messages.append(
                stamper.stamp(
                    Detection, segment=0, id="d", gloss="HELLO", score=0.9, confidence=0.9, start_s=0.8, end_s=1.2,
                    peak_s=1.0, runner_up=None, per_encoder={}, processing_ms=30.0, lag_ms=None,
                )
            )  # fmt: skip
        for message in messages:
            log.send(message)
            if tick not in (
                0,
                10,
            ):  # the first was sent before the subscriber heard anything, the other is lost
                received[type(message).__name__, message.seq] = due_ns + 43 * MS
        log.note(
            Observation(
                frame=Frame(
                    image=image, index=tick, pts_s=0.04 * (number - 50), captured_ns=due_ns + 12 * MS, connection=0
                ),
                tick=Tick(
                    index=tick, segment=0, landmarks=Landmarks.absent(640, 480, "test"), interpolated=False, lost=False,
                    captured_ns=due_ns + 12 * MS,
                ),
                bars=(),
                detections=(),
                status=None,
                transcript=None,
            )
        )  # fmt: skip
    found = log.report(FakeCamera(), received, warm_up_s=0.0)
    for spread, expected in (
        (found.sent_ms, 5), (found.decoded_ms, 12), (found.through_ms, 31), (found.tick_ms, 43), (found.detection_ms, 43),
        (found.after_sign_ms, 6 * 40 + 43),
    ):  # fmt: skip
        assert spread is not None
        assert (spread.p50, spread.max) == pytest.approx((expected, expected), abs=0.01)
    assert (found.ticks, found.detections, found.frames) == (37, 1, 40)
    assert (found.lost, found.unread, found.unheard) == (1, 1, 1)
    late = log.report(FakeCamera(), received, warm_up_s=1.0)
    assert late.ticks < found.ticks
    assert late.detections == 1
    with pytest.raises(SourceError, match="longer"):
        log.report(FakeCamera(), received, warm_up_s=60.0)


def test_the_camera_sends_each_frame_when_it_is_due() -> None:
    seen: list[tuple[int | None, int]] = []
    with GlassCamera(gallery_clips()["HELLO"]) as camera:
        source = open_source(camera.url)
        try:
            source.start(
                lambda frame: seen.append((read_marker(frame.image), frame.captured_ns)), lambda change: None
            )
            deadline_s = time.monotonic() + 20
            while len(seen) < 30 and time.monotonic() < deadline_s:
                assert camera.trouble is None
                time.sleep(0.05)
        finally:
            source.stop()
        first, *_ = numbers = [number for number, _ in seen]
        assert first is not None
        assert first % KEY_FRAMES == 0
        assert numbers == list(range(first, first + len(numbers)))  # none twice, none missing
        for number, captured_ns in seen:
            assert number is not None
            assert camera.due_ns(number) <= camera.sent_ns.get(number, captured_ns)
            assert camera.due_ns(number) < captured_ns


def test_what_cannot_be_played_as_a_camera_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = str(gallery_clips()["HELLO"])
    for words, said in (
        (["--source", clip, "--streams", "1,2"], "one stream"),
        (["--source", clip, "--speed", "max"], "pace"),
        (["--source", "rtsp://127.0.0.1:1/x"], "is none"),
        (["--source", clip, "--seconds", "100000"], "frames for"),
    ):
        assert main(["bench", "--glass", *words]) == 1
        assert said in capsys.readouterr().err
    small = tmp_path / "small.mp4"
    with av.open(str(small), "w") as container:
        video = container.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 320, 240, "yuv420p"
        container.mux(
            video.encode(av.VideoFrame.from_ndarray(np.zeros((240, 320, 3), np.uint8), format="rgb24"))
        )
        container.mux(video.encode(None))
    with pytest.raises(SourceError, match="384x16"):
        GlassCamera(small)


def test_a_child_that_fails_says_why(tmp_path: Path) -> None:
    clip = tmp_path / "gone.mp4"
    clip.write_bytes(gallery_clips()["HELLO"].read_bytes())
    with GlassCamera(clip) as camera:
        camera.close()
        assert camera.trouble is not None
        with pytest.raises(SourceError, match="not begun"):
            camera.due_ns(0)


@pytest.mark.slow
def test_bench_measures_the_whole_way(tmp_path: Path) -> None:
    saved = tmp_path / "bench.json"
    words = ["bench", "--glass", "--source", str(gallery_clips()["HELLO"]), "--seconds", "12"]
    words += ["--gallery", str(make_gallery(tmp_path / "gallery")), "--save", str(saved)]
    assert main([*words, "--picture", str(tmp_path / "b.png")]) == 0
    [run] = json.loads(saved.read_text())["runs"]
    glass = run["glass"]
    assert glass["ticks"] > 100
    assert glass["detections"] >= 1
    assert 0 < glass["sent_ms"]["p50"] < glass["decoded_ms"]["p50"] < glass["tick_ms"]["p50"]
    assert glass["tick_ms"]["p50"] > run["processing_ms"]["p50"]
    assert glass["after_sign_ms"]["p50"] > glass["detection_ms"]["p50"]
