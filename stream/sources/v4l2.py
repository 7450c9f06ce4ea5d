"""Cameras of this machine and the modes they offer, asked from Linux's Video4Linux2 without any other program."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from engines.errors import SourceUnreachable

SYSFS = Path("/sys/class/video4linux")
DEVICES = Path("/dev")
RAW_FORMATS = ("YUYV", "UYVY", "NV12", "YU12", "RGB3", "GREY")
"""Preferred to MJPG and H264, which cost decoding, wherever they reach the frame rate."""


class Capability(ctypes.Structure):
    """`struct v4l2_capability` of linux/videodev2.h."""

    _fields_ = (
        ("driver", ctypes.c_char * 16),
        ("card", ctypes.c_char * 32),
        ("bus_info", ctypes.c_char * 32),
        ("version", ctypes.c_uint32),
        ("capabilities", ctypes.c_uint32),
        ("device_caps", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32 * 3),
    )


class FormatDescription(ctypes.Structure):
    """`struct v4l2_fmtdesc`."""

    _fields_ = (
        ("index", ctypes.c_uint32),
        ("type", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("description", ctypes.c_char * 32),
        ("pixelformat", ctypes.c_uint32),
        ("mbus_code", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32 * 3),
    )


class FrameSize(ctypes.Structure):
    """`struct v4l2_frmsizeenum`; `values` is width, height, or min, max, step of each."""

    _fields_ = (
        ("index", ctypes.c_uint32),
        ("pixel_format", ctypes.c_uint32),
        ("type", ctypes.c_uint32),
        ("values", ctypes.c_uint32 * 6),
        ("reserved", ctypes.c_uint32 * 2),
    )


class FrameInterval(ctypes.Structure):
    """`struct v4l2_frmivalenum`; `values` is numerator, denominator, or those of min, max, step."""

    _fields_ = (
        ("index", ctypes.c_uint32),
        ("pixel_format", ctypes.c_uint32),
        ("width", ctypes.c_uint32),
        ("height", ctypes.c_uint32),
        ("type", ctypes.c_uint32),
        ("values", ctypes.c_uint32 * 6),
        ("reserved", ctypes.c_uint32 * 2),
    )


def _request(direction: int, number: int, structure: type[ctypes.Structure]) -> int:
    """The ioctl number of a V4L2 request (the macros _IOR and _IOWR with type 'V')."""
    return direction << 30 | ctypes.sizeof(structure) << 16 | ord("V") << 8 | number


QUERYCAP = _request(2, 0, Capability)
ENUM_FMT = _request(3, 2, FormatDescription)
ENUM_FRAMESIZES = _request(3, 74, FrameSize)
ENUM_FRAMEINTERVALS = _request(3, 75, FrameInterval)

_VIDEO_CAPTURE = 1  # both the buffer type and the bit among the capabilities
_HAS_DEVICE_CAPS = 0x8000_0000
_DISCRETE = 1

Ioctl = Callable[[int, int, ctypes.Structure], object]


@dataclass(frozen=True, slots=True)
class CameraMode:
    """One picture size in one pixel format."""

    pixel_format: str  # four characters, as V4L2 names it: YUYV, MJPG
    width: int
    height: int
    fps: tuple[float, ...]  # highest first; empty where the camera does not tell


@dataclass(frozen=True, slots=True)
class Camera:
    """One camera of this machine."""

    index: int  # N of /dev/videoN
    path: str
    name: str
    modes: tuple[CameraMode, ...] = ()
    trouble: str = ""  # why the modes are not known; "" when they are


def _ioctl(file: int, request: int, structure: ctypes.Structure) -> object:
    return fcntl.ioctl(file, request, structure)


def list_cameras(*, sysfs: Path = SYSFS, devices: Path = DEVICES, ioctl: Ioctl = _ioctl) -> list[Camera]:
    """The cameras of this machine, by number. Devices that give no pictures (metadata, output) are left out."""
    cameras = []
    for entry in sorted(sysfs.glob("video*"), key=lambda entry: _number(entry.name)):
        try:
            name = (entry / "name").read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            name = entry.name
        camera = _inspect(_number(entry.name), devices / entry.name, name, ioctl)
        if camera is not None:
            cameras.append(camera)
    return cameras


def find_camera(wanted: str, *, sysfs: Path = SYSFS, devices: Path = DEVICES) -> Camera | None:
    """The camera of that number, device path or name (whole, or any part that only one camera has).

    Raises:
        SourceUnreachable: a number or device path that does not exist, or a name that fits several cameras.
    """
    cameras = list_cameras(sysfs=sysfs, devices=devices)
    if wanted.isdecimal() or wanted.startswith(f"{devices}/"):
        for camera in cameras:
            if wanted in (str(camera.index), camera.path):
                return camera
        target = Path(wanted).resolve()  # /dev/v4l/by-id/... are links
        for camera in cameras:
            if not wanted.isdecimal() and Path(camera.path) == target:
                return camera
        raise SourceUnreachable(
            f"there is no camera {wanted}; {found(cameras)}; `signspot cameras` lists them"
        )
    fits = [camera for camera in cameras if camera.name.casefold() == wanted.casefold()]
    fits = fits or [camera for camera in cameras if wanted.casefold() in camera.name.casefold()]
    if len(fits) > 1:
        raise SourceUnreachable(
            f"several cameras are called {wanted!r}: {found(fits)}; name one by its number"
        )
    return fits[0] if fits else None


def found(cameras: list[Camera]) -> str:
    """What is there instead, for an error."""
    if not cameras:
        return "found none"
    return "found " + ", ".join(f"{camera.index} ({camera.name})" for camera in cameras)


def best_mode(modes: tuple[CameraMode, ...], *, width: int, height: int, fps: float) -> CameraMode | None:
    """The mode that comes nearest to what is wanted: first the size, then the frame rate, then a cheap format."""

    def cost(mode: CameraMode) -> tuple[float, float, int]:
        lacking_fps = max(0.0, fps - mode.fps[0]) if mode.fps else 0.0
        return (
            abs(mode.width - width) + abs(mode.height - height),
            round(lacking_fps, 1),
            0 if mode.pixel_format in RAW_FORMATS else 1,
        )

    return min(modes, key=cost, default=None)


def _number(entry: str) -> int:
    digits = entry.removeprefix("video")
    return int(digits) if digits.isdecimal() else 1_000_000


def _inspect(index: int, path: Path, name: str, ioctl: Ioctl) -> Camera | None:
    try:
        file = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    except OSError as error:
        hint = "; add yourself to the group `video`" if error.errno in (errno.EACCES, errno.EPERM) else ""
        return Camera(index, str(path), name, trouble=f"{error.strerror}{hint}")
    try:
        capability = Capability()
        ioctl(file, QUERYCAP, capability)
        bits = (
            capability.device_caps if capability.capabilities & _HAS_DEVICE_CAPS else capability.capabilities
        )
        if not bits & _VIDEO_CAPTURE:
            return None
        return Camera(index, str(path), name, tuple(_modes(file, ioctl)))
    except OSError as error:
        return Camera(index, str(path), name, trouble=f"does not answer as a camera: {error.strerror}")
    finally:
        os.close(file)


def _modes(file: int, ioctl: Ioctl) -> Iterator[CameraMode]:
    for index in range(64):
        description = FormatDescription(index=index, type=_VIDEO_CAPTURE)
        if not _asked(file, ENUM_FMT, description, ioctl):
            return
        code = description.pixelformat
        name = (code & 0x7FFF_FFFF).to_bytes(4, "little").decode("ascii", "replace").strip("\0 ")
        for size_index in range(256):
            size = FrameSize(index=size_index, pixel_format=code)
            if not _asked(file, ENUM_FRAMESIZES, size, ioctl):
                break
            if size.type == _DISCRETE:
                width, height = size.values[0], size.values[1]
            else:  # any size within limits: the largest stands for all
                width, height = size.values[1], size.values[4]
            yield CameraMode(name, width, height, _rates(file, code, width, height, ioctl))
            if size.type != _DISCRETE:
                break


def _rates(file: int, code: int, width: int, height: int, ioctl: Ioctl) -> tuple[float, ...]:
    rates = set()
    for index in range(64):
        interval = FrameInterval(index=index, pixel_format=code, width=width, height=height)
        if not _asked(file, ENUM_FRAMEINTERVALS, interval, ioctl):
            break
        if interval.values[0]:  # numerator of the (shortest) interval in seconds
            rates.add(round(interval.values[1] / interval.values[0], 3))
        if interval.type != _DISCRETE:
            break
    return tuple(sorted(rates, reverse=True))


def _asked(file: int, request: int, structure: ctypes.Structure, ioctl: Ioctl) -> bool:
    """Ask once; False past the end of a list, or where the driver does not offer the request."""
    try:
        ioctl(file, request, structure)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENOTTY):
            return False
        raise
    return True
