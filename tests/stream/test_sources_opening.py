"""A webcam must be opened as the user asked for it, found again under another number, and its refusals be told."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import av
import pytest

from engines.errors import SourceUnreachable
from stream.sources import open_source
from stream.sources.ffmpeg import Address
from stream.sources.supervisor import Link, Patience, Picture
from stream.sources.v4l2 import Camera, CameraMode
from tests.stream.clips import write_clip
from tests.stream.watching import Watch

QUICK = Patience(connect_s=10.0, stall_s=5.0, first_retry_s=0.01, longest_retry_s=0.02)
MODES = (
    CameraMode("YUYV", 640, 480, (30.0, 15.0)),
    CameraMode("YUYV", 1280, 720, (10.0,)),
    CameraMode("MJPG", 1280, 720, (30.0,)),
)
BUILT_IN = Camera(0, "/dev/video0", "Integrated Camera")
WEBCAM = Camera(2, "/dev/video2", "HD Pro Webcam C920", MODES)


class HangsUp:
    """A connection that ends at once, so that its source opens the next."""

    finite = False

    def read(self) -> Picture | None:
        return None

    def close(self) -> None:
        pass


@pytest.fixture
def plugged(monkeypatch: pytest.MonkeyPatch) -> list[Camera]:
    """The cameras of this machine, to be changed by a test."""
    cameras = [BUILT_IN, WEBCAM]
    for module in ("v4l2", "opening"):
        monkeypatch.setattr(f"stream.sources.{module}.list_cameras", lambda **folders: list(cameras))
    return cameras


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Address]:
    """What FFmpeg was asked to open, in order; each connection ends at once."""
    addresses: list[Address] = []

    def connect(address: Address, link: Link) -> HangsUp:
        addresses.append(address)
        return HangsUp()

    monkeypatch.setattr("stream.sources.opening.FfmpegConnection", connect)
    return addresses


@pytest.mark.usefixtures("plugged")
@pytest.mark.parametrize("spec", ["2", "/dev/video2", "HD Pro Webcam C920", "c920"])
def test_a_camera_is_opened_by_number_path_and_name(spec: str, opened: list[Address]) -> None:
    with Watch(open_source(spec, patience=QUICK)) as watch:
        watch.wait(lambda: bool(opened))
    assert opened[0] == Address(
        url="/dev/video2",
        name=f"camera {spec}",
        format="v4l2",
        options={"video_size": "640x480", "framerate": "30", "input_format": "yuyv422"},
        timeouts_s=(5.0, 5.5),  # of opening in half the patience; of reading just past it
    )


@pytest.mark.parametrize(
    ("size", "fps", "modes", "options"),
    [
        # the lower of the rates it offers
        ((640, 480), 15, MODES, {"video_size": "640x480", "framerate": "15", "input_format": "yuyv422"}),
        # raw pictures of this size would come at 10 fps
        ((1280, 720), 30, MODES, {"video_size": "1280x720", "framerate": "30", "input_format": "mjpeg"}),
        # the nearest that it offers
        ((1920, 1080), 60, MODES, {"video_size": "1280x720", "framerate": "30", "input_format": "mjpeg"}),
        # modes are not known: asked for as wished
        ((800, 600), 24, (), {"video_size": "800x600", "framerate": "24"}),
        # a rate that the camera does not tell, and a format that FFmpeg is to name itself
        ((320, 240), 29.97, (CameraMode("Y12I", 320, 240, ()),), {"video_size": "320x240", "framerate": "29.97"}),
    ],
)  # fmt: skip
def test_size_and_rate_are_asked_of_the_camera_in_a_mode_that_it_has(
    size: tuple[int, int],
    fps: float,
    modes: tuple[CameraMode, ...],
    options: dict[str, str],
    plugged: list[Camera],
    opened: list[Address],
) -> None:
    plugged[1] = replace(WEBCAM, modes=modes)
    with Watch(open_source("2", size=size, fps=fps, patience=QUICK)) as watch:
        watch.wait(lambda: bool(opened))
    assert opened[0].options == options


def test_a_camera_that_comes_back_under_another_number_is_found_by_its_name(
    plugged: list[Camera], opened: list[Address]
) -> None:
    with Watch(open_source("c920", patience=QUICK)) as watch:
        watch.wait(lambda: bool(opened))
        plugged[1] = replace(WEBCAM, index=4, path="/dev/video4")
        watch.wait(lambda: opened[-1].url == "/dev/video4")
    assert opened[0].url == "/dev/video2"


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("c920", "there is no camera c920 any more; found 0 (Integrated Camera); trying again in "),
        (
            "2",
            "there is no camera 2; found 0 (Integrated Camera); `signspot cameras` lists them; trying again",
        ),
    ],
)
def test_a_camera_that_was_unplugged_is_told_and_waited_for(
    spec: str, said: str, plugged: list[Camera], opened: list[Address]
) -> None:
    with Watch(open_source(spec, patience=QUICK)) as watch:
        watch.wait(lambda: bool(opened))
        plugged.remove(WEBCAM)
        watch.wait(lambda: any(change.reason.startswith(said) for change in watch.changes))
        tried = len(opened)
        plugged.append(WEBCAM)
        watch.wait(lambda: len(opened) > tried)


def refusing(number: int) -> Callable[..., object]:
    """FFmpeg's `open` on a device that refuses, with the very error that PyAV makes of a number."""

    def refuse(url: str, **options: object) -> object:
        av.error.err_check(-number, url)
        raise AssertionError("no error")

    return refuse


@pytest.mark.usefixtures("plugged")
@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.EBUSY, "camera c920 is in use by another program; "),
        (errno.EACCES, "camera c920: permission denied; add yourself to the group `video`; "),
        (errno.EPERM, "camera c920: permission denied; add yourself to the group `video`; "),
        (errno.ENOENT, "camera c920 does not exist; "),
        (errno.ENODEV, "camera c920 cannot be reached: No such device; "),
    ],
)
def test_a_camera_that_refuses_is_told_with_what_to_do(
    number: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(av, "open", refusing(number))
    with Watch(open_source("c920", patience=QUICK)) as watch:
        watch.wait(lambda: len(watch.changes) > 1)
    assert watch.changes[1].reason == f"{said}trying again in 0.01 s"


def test_a_file_that_may_not_be_read_is_no_matter_of_the_group_video(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 3)
    monkeypatch.setattr(av, "open", refusing(errno.EACCES))
    with pytest.raises(SourceUnreachable, match=r"clip\.mp4: permission denied$"):
        open_source(str(clip))
