"""A clip to landmarks at 25 Hz: the same as the live path makes."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.data import astronaut

from engines.errors import PoseError, SourceUnreachable, SourceUnreadable
from engines.landmarks import PARTS, Landmarks, LandmarkTrack
from engines.pose.mediapipe import HolisticPose
from stream.degradation import Level
from stream.frame import Frame
from stream.sources import open_source
from stream.stages import PoseStage
from stream.tracks import track_of


class Brightness:
    """A pose estimator that tells the picture's brightness: which frame became which tick is then plain to see."""

    name = "brightness-1"

    def __init__(self) -> None:
        self.resets = 0

    def estimate(self, image: NDArray[np.uint8]) -> Landmarks:
        if image.shape[0] != 64:
            raise PoseError(f"cannot take {image.shape}")
        parts: dict[str, Any] = {
            name: np.full(shape, image.mean(), np.float32) for name, shape in PARTS.items()
        }
        return Landmarks(**parts, width=64, height=64, estimator=self.name)

    def reset(self) -> None:
        self.resets += 1

    def close(self) -> None:
        raise AssertionError("whoever made it closes it")


def write_clip(path: Path, images: Sequence[NDArray[np.uint8]], times_s: Sequence[float]) -> Path:
    """A lossless clip whose frames have just these time stamps (milliseconds)."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("ffv1", rate=25)
        video.height, video.width, _ = images[0].shape
        video.pix_fmt = "bgr0"
        video.codec_context.time_base = Fraction(1, 1000)
        for image, at_s in zip(images, times_s, strict=True):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="bgr0")
            frame.pts, frame.time_base = round(at_s * 1000), Fraction(1, 1000)
            container.mux(video.encode(frame))
        container.mux(video.encode())
    return path


def greys(count: int) -> list[NDArray[np.uint8]]:
    """Pictures of brightness 0, 1, 2, ..."""
    return [np.full((64, 64, 3), value, np.uint8) for value in range(count)]


def brightness(track: LandmarkTrack) -> NDArray[np.float32]:
    return track.pose[:, 0, 0]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One second of a drifting person at 30 frames a second."""
    person = astronaut()[::2, ::2]  # type: ignore[no-untyped-call]
    images = [np.ascontiguousarray(np.roll(person, 2 * step, axis=1)) for step in range(30)]
    return write_clip(tmp_path_factory.mktemp("clips") / "person.mkv", images, [n / 30 for n in range(30)])


def live(path: Path) -> Iterator[Landmarks]:
    """Ticks as the live path makes them, from the source that also plays files."""
    frames: list[Frame] = []
    ended = threading.Event()
    source = open_source(str(path), speed="max")
    source.start(frames.append, lambda change: ended.set() if change.state == "ended" else None)
    assert ended.wait(60)
    source.stop()
    with HolisticPose() as estimator:
        stage = PoseStage(estimator)
        for frame in frames:
            if stage.wants(frame, Level(1)):
                for tick in stage.pose(frame):
                    yield tick.landmarks


def test_a_track_is_to_the_last_bit_what_the_live_path_sees(clip: Path) -> None:
    track = track_of(clip)
    expected = LandmarkTrack.of(live(clip))
    assert len(track) == 25
    assert track.estimator == expected.estimator
    assert np.isfinite(track.pose).all()
    for part in PARTS:
        np.testing.assert_array_equal(getattr(track, part), getattr(expected, part), err_msg=part)


def test_an_estimator_at_hand_is_reset_and_used(clip: Path) -> None:
    with HolisticPose() as estimator:
        first = track_of(clip, estimator=estimator)
        second = track_of(clip, estimator=estimator)
    np.testing.assert_array_equal(first.pose, second.pose)


def test_25_frames_a_second_are_the_ticks(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "c.mkv", greys(10), [n / 25 for n in range(10)])
    estimator = Brightness()
    track = track_of(path, estimator=estimator)
    np.testing.assert_array_equal(brightness(track), np.arange(10))
    assert (track.start_s, track.estimator, estimator.resets) == (0.0, "brightness-1", 1)


def test_a_camera_that_is_slower_is_interpolated(tmp_path: Path) -> None:
    """12.5 frames a second: every other tick lies half-way between two frames."""
    path = write_clip(tmp_path / "c.mkv", greys(6), [n / 12.5 for n in range(6)])
    np.testing.assert_allclose(
        brightness(track_of(path, estimator=Brightness())), np.arange(11) / 2, atol=1e-5
    )


def test_a_leap_in_the_time_stamps_leaves_absent_ticks(tmp_path: Path) -> None:
    """Three seconds without a frame: a new segment, but one track in which time still passes evenly."""
    path = write_clip(tmp_path / "c.mkv", greys(4), [0.0, 0.04, 3.04, 3.08])
    estimator = Brightness()
    track = track_of(path, estimator=estimator)
    assert len(track) == 78
    np.testing.assert_array_equal(brightness(track)[[0, 1, 76, 77]], [0, 1, 2, 3])
    assert np.isnan(brightness(track)[2:76]).all()
    assert estimator.resets == 2


def test_progress_goes_from_nothing_to_all(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "c.mkv", greys(20), [n / 25 for n in range(20)])
    told: list[float] = []
    track_of(path, estimator=Brightness(), progress=told.append)
    assert told == sorted(told)
    assert told[0] < 0.1
    assert told[-1] == 1.0


def test_a_missing_clip_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceUnreachable, match=r"gone\.mp4"):
        track_of(tmp_path / "gone.mp4", estimator=Brightness(), progress=lambda _: None)


@pytest.mark.parametrize("content", [b"", b"no video at all" * 100])
def test_a_clip_that_cannot_be_decoded_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.mp4"
    path.write_bytes(content)
    with pytest.raises(SourceUnreadable, match=r"broken\.mp4"):
        track_of(path, estimator=Brightness())


def test_what_the_estimator_cannot_take_is_told(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "c.mkv", [np.zeros((32, 64, 3), np.uint8)], [0.0])
    with pytest.raises(PoseError, match="cannot take"):
        track_of(path, estimator=Brightness())
