"""A camera must be found by number, path and name, and a missing one be told with what there is instead."""

from __future__ import annotations

import ctypes
import errno
import io
import json
import os
import struct
from pathlib import Path

import pytest
from rich.console import Console

from engines.errors import SourceUnreachable
from run_stream import main
from stream.commands.cameras import described, table_of
from stream.sources import open_source, v4l2
from stream.sources.v4l2 import CameraMode, best_mode, find_camera, list_cameras

YUYV, MJPG = int.from_bytes(b"YUYV", "little"), int.from_bytes(b"MJPG", "little")
SIZES = {YUYV: [(640, 480), (1280, 720)], MJPG: [(640, 480), (1280, 720)]}
INTERVALS = {
    (YUYV, 1280): [(1, 10)],
    (YUYV, 640): [(1, 30), (1, 15)],
    (MJPG, 640): [(1, 30)],
    (MJPG, 1280): [(1, 30)],
}


def webcam(file: int, request: int, structure: ctypes.Structure) -> object:
    """A usual USB camera's answers, laid out by hand from the kernel's linux/videodev2.h."""
    view = (ctypes.c_ubyte * ctypes.sizeof(structure)).from_buffer(structure)

    def put(offset: int, form: str, *values: object) -> None:
        struct.pack_into(form, view, offset, *values)

    def get(offset: int) -> int:
        return int(struct.unpack_from("<I", view, offset)[0])

    try:
        match request:
            case (
                0x80685600
            ):  # VIDIOC_QUERYCAP: driver 16, card 32, bus 32, version, capabilities, device_caps
                put(84, "<II", 0x84A00001, 0x04200001)
            case 0xC0405602:  # VIDIOC_ENUM_FMT: index, type, flags, description 32, pixelformat
                put(44, "<I", list(SIZES)[get(0)])
            case 0xC02C564A:  # VIDIOC_ENUM_FRAMESIZES: index, pixel_format, type, width, height
                put(8, "<III", 1, *SIZES[get(4)][get(0)])
            case 0xC034564B:  # VIDIOC_ENUM_FRAMEINTERVALS: index, format, width, height, type, fraction
                put(16, "<III", 1, *INTERVALS[get(4), get(8)][get(0)])
            case _:
                raise OSError(errno.ENOTTY, "not a request")
    except IndexError:
        raise OSError(errno.EINVAL, "past the end") from None
    return 0


def metadata_node(file: int, request: int, structure: ctypes.Structure) -> object:
    """The second node of a USB camera: it gives no pictures."""
    assert request == 0x80685600
    struct.pack_into(
        "<II", (ctypes.c_ubyte * ctypes.sizeof(structure)).from_buffer(structure), 84, 0x84A00001, 0x04A00000
    )
    return 0


@pytest.fixture
def machine(tmp_path: Path) -> tuple[Path, Path]:
    """A machine's /sys/class/video4linux and /dev with three cameras."""
    sysfs, devices = tmp_path / "sys", tmp_path / "dev"
    devices.mkdir()
    for index, name in [(0, "Integrated Camera"), (2, "HD Pro Webcam C920"), (10, "HD USB Camera")]:
        (sysfs / f"video{index}").mkdir(parents=True)
        (sysfs / f"video{index}" / "name").write_text(f"{name}\n")
        (devices / f"video{index}").touch()
    return sysfs, devices


def test_the_requests_are_the_kernels() -> None:
    assert [v4l2.QUERYCAP, v4l2.ENUM_FMT, v4l2.ENUM_FRAMESIZES, v4l2.ENUM_FRAMEINTERVALS] == [
        0x80685600,
        0xC0405602,
        0xC02C564A,
        0xC034564B,
    ]


def test_cameras_are_listed_with_their_modes(machine: tuple[Path, Path]) -> None:
    sysfs, devices = machine
    cameras = list_cameras(sysfs=sysfs, devices=devices, ioctl=webcam)
    assert [(camera.index, camera.name) for camera in cameras] == [
        (0, "Integrated Camera"),
        (2, "HD Pro Webcam C920"),
        (10, "HD USB Camera"),
    ]
    assert cameras[0].modes == (
        CameraMode("YUYV", 640, 480, (30.0, 15.0)),
        CameraMode("YUYV", 1280, 720, (10.0,)),
        CameraMode("MJPG", 640, 480, (30.0,)),
        CameraMode("MJPG", 1280, 720, (30.0,)),
    )


def test_devices_that_give_no_pictures_are_left_out(machine: tuple[Path, Path]) -> None:
    sysfs, devices = machine
    assert list_cameras(sysfs=sysfs, devices=devices, ioctl=metadata_node) == []


def test_a_device_that_cannot_be_asked_is_listed_with_the_reason(machine: tuple[Path, Path]) -> None:
    sysfs, devices = machine
    (devices / "video0").unlink()
    cameras = list_cameras(sysfs=sysfs, devices=devices)
    assert cameras[0].trouble == "No such file or directory"
    assert "does not answer as a camera" in cameras[1].trouble  # a plain file takes no ioctl


@pytest.mark.parametrize(
    ("number", "trouble"),
    [
        (errno.EACCES, "Permission denied; add yourself to the group `video`"),
        (errno.EPERM, "Operation not permitted; add yourself to the group `video`"),
        (errno.EBUSY, "Device or resource busy"),
    ],
)
def test_a_device_that_may_not_be_opened_is_listed_with_what_to_do(
    number: int, trouble: str, machine: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, flags: int) -> int:
        raise OSError(number, os.strerror(number), str(path))

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        cameras = list_cameras(sysfs=machine[0], devices=machine[1])
    assert [(camera.name, camera.modes, camera.trouble) for camera in cameras] == [
        (name, (), trouble) for name in ("Integrated Camera", "HD Pro Webcam C920", "HD USB Camera")
    ]


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        ("2", 2),
        ("Integrated Camera", 0),
        ("integrated camera", 0),  # whatever the case
        ("c920", 2),  # a part that only one has
    ],
)
def test_a_camera_is_found(wanted: str, index: int, machine: tuple[Path, Path]) -> None:
    camera = find_camera(wanted, sysfs=machine[0], devices=machine[1])
    assert camera is not None
    assert camera.index == index


def test_a_camera_is_found_by_its_device_or_a_link_to_it(machine: tuple[Path, Path]) -> None:
    sysfs, devices = machine
    (devices / "by-id").symlink_to(devices / "video10")
    for path in (devices / "video10", devices / "by-id"):
        camera = find_camera(str(path), sysfs=sysfs, devices=devices)
        assert camera is not None
        assert camera.index == 10


def test_a_camera_that_is_not_there_is_told_with_those_that_are(machine: tuple[Path, Path]) -> None:
    sysfs, devices = machine
    with pytest.raises(SourceUnreachable, match=r"no camera 1; found 0 \(Integrated Camera\), 2 \(HD Pro"):
        find_camera("1", sysfs=sysfs, devices=devices)
    with pytest.raises(
        SourceUnreachable, match=r"several cameras are called 'hd': found 2 .*, 10 .*by its number"
    ):
        find_camera("hd", sysfs=sysfs, devices=devices)
    assert find_camera("Logitech", sysfs=sysfs, devices=devices) is None
    with pytest.raises(SourceUnreachable, match="no camera 0; found none; `signspot cameras` lists them"):
        find_camera("0", sysfs=sysfs / "none", devices=devices)


def test_a_wrong_source_says_what_there_is() -> None:
    with pytest.raises(SourceUnreachable, match="there is no camera 987; found"):
        open_source("987")
    with pytest.raises(SourceUnreachable, match="there is no camera /dev/video987; found"):
        open_source("/dev/video987")
    with pytest.raises(SourceUnreachable, match="backyard is no file, no address and no camera"):
        open_source("backyard")


@pytest.mark.parametrize(
    ("width", "height", "fps", "format_and_size"),
    [
        (640, 480, 30, ("YUYV", 640, 480)),  # raw where it is fast enough
        (1280, 720, 30, ("MJPG", 1280, 720)),  # raw would give 10 fps
        (1280, 720, 10, ("YUYV", 1280, 720)),
        (1920, 1080, 30, ("MJPG", 1280, 720)),  # the nearest size
    ],
)
def test_the_mode_nearest_to_the_wish_is_taken(
    width: int, height: int, fps: float, format_and_size: tuple[str, int, int], machine: tuple[Path, Path]
) -> None:
    modes = list_cameras(sysfs=machine[0], devices=machine[1], ioctl=webcam)[0].modes
    mode = best_mode(modes, width=width, height=height, fps=fps)
    assert mode is not None
    assert (mode.pixel_format, mode.width, mode.height) == format_and_size


def test_the_command_prints_cameras_for_people_and_machines(
    machine: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cameras = list_cameras(sysfs=machine[0], devices=machine[1], ioctl=webcam)
    monkeypatch.setattr("stream.commands.cameras.list_cameras", lambda: cameras)
    assert main(["cameras", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown == [described(camera) for camera in cameras]
    assert shown[1]["modes"][0] == {"pixel_format": "YUYV", "width": 640, "height": 480, "fps": [30.0, 15.0]}
    assert main(["cameras"]) == 0
    assert "use one with: signspot --source 0" in capsys.readouterr().out
    page = Console(file=io.StringIO(), width=140)
    page.print(table_of(cameras))
    text = page.file.getvalue()  # type: ignore[attr-defined]
    assert "HD Pro Webcam C920" in text
    assert "640x480@30, 1280x720@10" in text


def test_no_camera_is_said_and_is_no_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("stream.commands.cameras.list_cameras", list)
    assert main(["cameras"]) == 0
    assert "No camera found" in capsys.readouterr().out
