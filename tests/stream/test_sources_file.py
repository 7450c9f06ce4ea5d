"""A file must be played whole and in time, or its error must name it."""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import subprocess
import sys
import threading
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from engines.errors import SourceError, SourceUnreachable, SourceUnreadable
from stream.ring import FrameRing
from stream.sources import open_source, read_frames
from stream.sources.supervisor import Patience
from tests.stream.clips import SIZE, shade_of, turn_quarter, write_clip
from tests.stream.watching import Watch, assert_time_never_goes_back, seconds_since


def test_a_file_at_full_speed_gives_every_frame_once(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 100)
    shades: list[int] = []
    ring = FrameRing(4)
    reader = ring.reader(blocking=True)
    source = open_source(str(clip), speed="max")
    assert not source.realtime
    with Watch(source, ring.write) as watch:
        while len(shades) < 100:
            item = reader.next(5)
            assert item is not None
            assert item[1] == 0
            shades.append(shade_of(item[0].image))
        end = watch.wait_for_end()
    assert shades == [number % 16 for number in range(100)]
    assert [frame[1] for frame in watch.frames] == pytest.approx([number / 25 for number in range(100)])
    assert watch.connections == [0]
    assert watch.states == ["connecting", "live", "ended"]
    assert end.error is None


def test_a_file_in_real_time_keeps_its_pace_and_its_time_stamps(tmp_path: Path) -> None:
    times_s = [0.0, 0.02, 0.05, 0.12, 0.3, 0.31, 0.5, 0.9, 1.0]
    clip = write_clip(tmp_path / "clip.mkv", len(times_s), times_s=times_s)
    source = open_source(str(clip))
    assert source.realtime
    with Watch(source) as watch:
        watch.wait_for_end()
    assert [frame[1] for frame in watch.frames] == pytest.approx(times_s, abs=0.001)
    arrived_s = [(frame[2] - watch.frames[0][2]) / 1e9 for frame in watch.frames]
    assert all(arrived >= at_s - 0.005 for arrived, at_s in zip(arrived_s, times_s, strict=True))
    assert arrived_s[-1] < 3


def test_real_time_and_full_speed_give_the_same_frames(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 20, fps=Fraction(30000, 1001))
    runs = []
    for speed in ("realtime", "max"):
        pictures: list[bytes] = []
        source = open_source(str(clip), speed=speed)
        with Watch(source, lambda frame, kept=pictures: kept.append(frame.image.tobytes())) as watch:  # type: ignore[misc]
            watch.wait_for_end()
        runs.append(([frame[1] for frame in watch.frames], pictures))
    assert runs[0] == runs[1]
    read = list(read_frames(clip))
    assert ([frame.pts_s for frame in read], [frame.image.tobytes() for frame in read]) == runs[0]


def test_a_loop_goes_on_without_a_gap_as_one_connection(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 10)
    shades: list[int] = []
    with Watch(
        open_source(str(clip), speed="max", loop=True), lambda frame: shades.append(shade_of(frame.image))
    ) as watch:
        watch.wait_for_frames(35)
    assert shades[:35] == [number % 10 for number in range(35)]
    assert [frame[1] for frame in watch.frames[:35]] == pytest.approx([number / 25 for number in range(35)])
    assert watch.connections == [0]
    assert_time_never_goes_back(watch)


def test_a_phone_video_is_turned_upright(tmp_path: Path) -> None:
    clip = tmp_path / "phone.mp4"
    with av.open(str(clip), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"qp": "10"})
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        image = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
        image[:16, :16] = 255  # top left as filmed, hence top right when turned clockwise
        container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    turn_quarter(clip)
    frame = next(read_frames(clip))
    assert frame.image.shape == (SIZE[0], SIZE[1], 3)
    assert frame.image.flags.c_contiguous
    assert frame.image[:14, -14:].mean() > 230
    assert frame.image[:14, :14].mean() < 25


def test_pictures_are_rgb(tmp_path: Path) -> None:
    clip = tmp_path / "red.mp4"
    with av.open(str(clip), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        red = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
        red[..., 0] = 220
        container.mux(stream.encode(av.VideoFrame.from_ndarray(red, format="rgb24")))
        container.mux(stream.encode(None))
    mean = next(read_frames(clip)).image.mean(axis=(0, 1))
    assert mean == pytest.approx([220, 0, 0], abs=12)


def test_damage_in_the_middle_costs_only_the_damaged_pictures(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.ts", 200, size=(320, 240))
    data = bytearray(clip.read_bytes())
    rng = np.random.default_rng(3)
    middle = slice(len(data) * 4 // 10, len(data) * 5 // 10)
    data[middle] = rng.integers(0, 256, middle.stop - middle.start, dtype=np.uint8).tobytes()
    clip.write_bytes(data)
    with Watch(open_source(str(clip), speed="max")) as watch:
        end = watch.wait_for_end()
    assert end.error is None
    assert 120 < len(watch.frames) < 200
    assert watch.frames[-1][1] == pytest.approx(199 / 25, abs=0.05), "what follows the damage is played"
    assert_time_never_goes_back(watch)


def no_video(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 16000, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def cut_off(path: Path) -> None:
    write_clip(path, 30)
    path.write_bytes(path.read_bytes()[:1500])


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda path: None, SourceUnreachable, "clip.mp4 does not exist"),
        (lambda path: path.mkdir(), SourceUnreadable, "clip.mp4 is a folder"),
        (lambda path: path.write_bytes(b""), SourceUnreadable, "clip.mp4 holds no video that can be read"),
        (lambda path: path.write_bytes(b"x" * 9999), SourceUnreadable, "clip.mp4 holds no video"),
        (cut_off, SourceUnreadable, "clip.mp4 has no video track: it holds something else, or is cut off"),
        (no_video, SourceUnreadable, "clip.mp4 has no video track"),
    ],
    ids=["missing", "folder", "empty", "garbage", "cut off", "sound only"],
)
def test_a_bad_file_is_named_at_once(
    make: object, error: type[SourceError], says: str, tmp_path: Path
) -> None:
    clip = tmp_path / "clip.mp4"
    make(clip)  # type: ignore[operator]
    for attempt in (lambda: open_source(str(clip)), lambda: next(read_frames(clip))):
        with pytest.raises(error, match=says):
            attempt()


def test_a_file_without_a_single_good_picture_ends_with_an_error(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 30, size=(320, 240))
    data = bytearray(clip.read_bytes())
    start = data.index(b"mdat") + 4
    end = data.index(b"moov") - 4
    data[start:end] = np.random.default_rng(5).integers(0, 256, end - start, dtype=np.uint8).tobytes()
    clip.write_bytes(data)
    with Watch(open_source(str(clip), speed="max")) as watch:
        last = watch.wait_for_end()
    assert isinstance(last.error, SourceUnreadable)
    assert "clip.mp4 holds no picture that can be decoded" in last.reason
    assert watch.source.discarded()["undecodable"] > 0


def test_standard_input_is_played_to_its_end(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.ts", 20)
    program = (
        "import threading; from stream.sources import open_source; done = threading.Event(); count = [0];"
        "source = open_source('-', speed='max');"
        "source.start(lambda frame: count.append(frame.index),"
        " lambda change: done.set() if change.state == 'ended' else None);"
        "assert done.wait(20); print(len(count) - 1)"
    )
    with clip.open("rb") as file:
        result = subprocess.run(
            [sys.executable, "-c", program],
            stdin=file,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert result.stdout.strip() == "20", result.stderr


def test_garbage_in_the_middle_of_a_live_stream_is_skipped(tmp_path: Path) -> None:
    data = write_clip(tmp_path / "clip.ts", 100, size=(320, 240)).read_bytes()
    server = socket.create_server(("127.0.0.1", 0))
    watched = threading.Event()

    def serve() -> None:
        peer, _ = server.accept()
        rng = np.random.default_rng(1)
        step = len(data) // 100
        with peer, contextlib.suppress(OSError):
            for number, start in enumerate(range(0, len(data), step)):
                peer.sendall(rng.bytes(3 * step) if 40 <= number < 45 else data[start : start + step])
                time.sleep(0.03)
            watched.wait(20)

    threading.Thread(target=serve, daemon=True).start()
    patience = Patience(connect_s=10, stall_s=5)
    with Watch(open_source(f"tcp://127.0.0.1:{server.getsockname()[1]}", patience=patience)) as watch:
        watch.wait(lambda: bool(watch.frames) and watch.frames[-1][1] > 2.5)
    watched.set()
    server.close()
    assert_time_never_goes_back(watch)
    assert watch.states == ["connecting", "live", "ended"]
    assert len(watch.frames) > 50, "pictures after the garbage are missing"


def test_stopping_a_file_in_real_time_takes_no_time(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mkv", 2, times_s=[0.0, 30.0])
    with Watch(open_source(str(clip))) as watch:
        watch.wait_for_frames(1)
        stop_s = time.monotonic()
    assert seconds_since(stop_s) < 1.0
    assert len(watch.frames) == 1


def test_memory_and_descriptors_stay_flat_over_many_rounds_of_a_loop(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 5)
    with Watch(open_source(str(clip), speed="max", loop=True)) as watch:
        watch.wait_for_frames(50)
        files = len(os.listdir("/proc/self/fd"))
        watch.wait_for_frames(500)
        assert len(os.listdir("/proc/self/fd")) <= files + 3
    steps_s = [later[1] - earlier[1] for earlier, later in itertools.pairwise(watch.frames)]
    assert steps_s == pytest.approx([0.04] * len(steps_s))


def test_the_built_in_demo_plays_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    source = open_source("demo", speed="max")
    assert source.name == "demo"
    with Watch(source) as watch:
        watch.wait_for_frames(5)
    assert watch.sizes[0] == (640, 480)
