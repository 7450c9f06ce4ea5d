"""From the text after `--source` to the source it means."""

from __future__ import annotations

import contextlib
import importlib
import re
import threading
from dataclasses import replace
from pathlib import Path
from typing import Literal

from engines.errors import SourceUnreachable
from stream.sources.base import Source
from stream.sources.ffmpeg import Address, FfmpegConnection, file_address
from stream.sources.redaction import redact
from stream.sources.supervisor import Connect, Link, Patience, SupervisedSource
from stream.sources.v4l2 import best_mode, find_camera, found, list_cameras

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:")
_ONCE = ("pipe:", "fd:", "fifo:")
_FFMPEG_FORMATS = {
    "YUYV": "yuyv422",
    "UYVY": "uyvy422",
    "NV12": "nv12",
    "YU12": "yuv420p",
    "RGB3": "rgb24",
    "GREY": "gray",
    "MJPG": "mjpeg",
    "H264": "h264",
}
_LOW_DELAY = {"fflags": "nobuffer", "flags": "low_delay", "analyzeduration": "1000000"}


def open_source(
    spec: str,
    *,
    speed: Literal["realtime", "max"] = "realtime",
    loop: bool = False,
    transport: Literal["tcp", "udp"] = "tcp",
    size: tuple[int, int] = (640, 480),
    fps: float = 30.0,
    patience: Patience | None = None,
) -> Source:
    """The source that a text means: a camera, an address, a file, or the built-in demo.

    Args:
        spec: camera number, `/dev/videoN` or camera name; `rtsp://...` or whatever else FFmpeg opens; `-` for
            standard input; a path; `demo`.
        speed: of what has an end: at its own pace, or as fast as it is taken, with no frame dropped.
        loop: what has an end starts again there, for ever, its stream seconds going on.
        transport: of RTSP.
        size: width and height asked of a webcam, pixels; the nearest it offers is taken.
        fps: asked of a webcam.
        patience: time-outs and back-off; None for the default.

    Raises:
        SourceUnreachable: there is no such camera or file. (An address that does not answer is tried for ever.)
        SourceUnreadable: the file holds no video.
    """
    patience = patience or Patience()
    paced = speed == "realtime"
    if spec == "demo":
        return _file(_demo_path(), "demo", paced=paced, loop=loop)
    if spec == "-":
        spec = "pipe:0"
    if spec.isdecimal() or spec.startswith("/dev/video") or spec.startswith("/dev/v4l/"):
        return _camera(spec, size, fps, patience)
    if spec.startswith("file:"):
        spec = spec.removeprefix("file://").removeprefix("file:")
    elif _URL.match(spec) and not Path(spec).exists():
        return _address(spec, transport, patience, paced=paced, loop=loop)
    path = Path(spec)
    if path.exists() or path.suffix or "/" in spec:
        return _file(path, spec, paced=paced, loop=loop)
    if find_camera(spec) is not None:
        return _camera(spec, size, fps, patience)
    raise SourceUnreachable(
        f"{redact(spec)} is no file, no address and no camera ({found(list_cameras())}); "
        "`signspot cameras` lists cameras"
    )


def _file(path: Path, name: str, *, paced: bool, loop: bool) -> Source:
    address = file_address(path, paced=paced, loop=loop)
    FfmpegConnection(address, Link(threading.Event(), lambda reason: None)).close()  # its errors come at once
    return SupervisedSource(name, _connecting(address), realtime=paced, retries=False)


def _address(spec: str, transport: str, patience: Patience, *, paced: bool, loop: bool) -> Source:
    once = spec.startswith(_ONCE)
    live = spec.startswith(("rtsp:", "rtsps:", "rtmp:", "udp:", "rtp:", "srt:"))
    options: dict[str, str] = {} if once else dict(_LOW_DELAY)
    if spec.startswith(("rtsp:", "rtsps:")):
        options |= {"rtsp_transport": transport}
    address = Address(
        url=spec,
        name=redact(spec),
        options=options,
        timeouts_s=None if once else _timeouts_s(patience),
        paced=paced,
        loop=loop and not once,
    )
    return SupervisedSource(
        spec, _connecting(address), realtime=paced or live, retries=not once, patience=patience
    )


def _camera(spec: str, size: tuple[int, int], fps: float, patience: Patience) -> Source:
    find_camera(spec)  # a number that does not exist is told at once, not tried for ever
    template = Address(
        url="",
        name=f"camera {spec}",
        format="v4l2",
        timeouts_s=_timeouts_s(patience),
    )

    def connect(link: Link) -> FfmpegConnection:
        camera = find_camera(spec)  # again each time: a camera plugged in again may have another number
        if camera is None:
            raise SourceUnreachable(f"there is no camera {spec} any more; {found(list_cameras())}")
        width, height = size
        options = {"video_size": f"{width}x{height}", "framerate": f"{fps:g}"}
        mode = best_mode(camera.modes, width=width, height=height, fps=fps)
        if mode is not None:
            options["video_size"] = f"{mode.width}x{mode.height}"
            if mode.fps:
                options["framerate"] = f"{min(mode.fps, key=lambda rate: abs(rate - fps)):g}"
            if mode.pixel_format in _FFMPEG_FORMATS:
                options["input_format"] = _FFMPEG_FORMATS[mode.pixel_format]
        return FfmpegConnection(replace(template, url=camera.path, options=options), link)

    return SupervisedSource(spec, connect, patience=patience)


def _timeouts_s(patience: Patience) -> tuple[float, float]:
    """FFmpeg's own time-outs of opening and of reading.

    It gives up opening by itself, before it has to be abandoned. Reading it gives up just after that: at its time-out
    it first hands out the picture that its parser held back, which would start the wait anew (a frozen RTSP camera was
    noticed after 3.6 s instead of 2).
    """
    return patience.connect_s / 2, patience.stall_s * 1.1


def _connecting(address: Address) -> Connect:
    return lambda link: FfmpegConnection(address, link)


def _demo_path() -> Path:
    with contextlib.suppress(ImportError):
        path: Path = importlib.import_module("stream.demo").stream_path()
        if path.exists():
            return path
    raise SourceUnreachable(
        "the built-in demo's video is not part of this installation: install Signspot anew"
    )
