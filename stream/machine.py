"""What this machine can do: each part that Signspot uses or could use, whether it is there, and what to install."""

from __future__ import annotations

import ctypes.util
import importlib.metadata
import importlib.util
import itertools
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
import psutil
import zmq
from numpy.typing import NDArray

from engines.encoders import load_encoder
from engines.errors import SignspotError, SourceError
from engines.processor import processor_name
from engines.ticks import WINDOW_TICKS

Image = NDArray[np.uint8]
Verdict = Literal["ok", "absent", "failed"]
TRIAL_FRAMES = 40
WARM_UP_FRAMES = 10
PROBE_S = 20.0
RTX_CAPABILITIES = ("7.5", "8.6", "8.9", "12.0", "12.1")
"""CUDA compute capabilities that TensorRT for RTX 1.5 runs on, by NVIDIA's support matrix."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One part of the machine or of the installation."""

    area: str  # what it serves: "machine", "pose", "GPU" ...
    name: str
    verdict: Verdict
    found: str  # what is there, or what went wrong
    advice: str = ""  # what to do for more; "" when there is nothing to do
    needed: bool = False  # Signspot cannot run without it


def examine(report: Callable[[str], None] = lambda name: None) -> Iterator[Finding]:
    """Look at everything.

    Args:
        report: told the name of each part before it is looked at.
    """
    parts: list[tuple[str, Callable[[], Iterator[Finding]]]] = [
        ("machine", computer),
        ("packages", packages),
        ("cameras", cameras),
        ("GPU", gpu),
        ("runtimes", runtimes),
        ("models", models),
        ("trial run", trial),
        ("display and rendering", pictures),
        ("test servers", test_servers),
    ]
    for name, look in parts:
        report(name)
        yield from look()


def computer() -> Iterator[Finding]:
    """Processor, memory, system."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    yield Finding(
        area="machine",
        name="processor",
        verdict="ok",
        found=f"{processor_name()}, {cores} core{'s' if cores > 1 else ''} usable",
        advice="" if cores > 1 else "one core is little for 25 frames a second: expect lower quality",
    )
    memory = psutil.virtual_memory()
    yield Finding(
        area="machine",
        name="memory",
        verdict="ok",
        found=f"{memory.total / 2**30:.1f} GiB, {memory.available / 2**30:.1f} GiB free",
    )
    system = (
        f"{platform.system()} {platform.release()}, {platform.machine()}, Python {platform.python_version()}"
    )
    yield Finding(area="machine", name="system", verdict="ok", found=system)


def packages() -> Iterator[Finding]:
    """The Python packages that the live path uses."""
    names = (
        "signspot",
        "mediapipe",
        "onnxruntime",
        "av",
        "opencv-contrib-python",
        "numpy",
        "numba",
        "pyzmq",
        "msgspec",
    )
    for name in names:
        version = _version(name)
        found = version or "not installed"
        if name == "pyzmq" and version:
            found = f"{version}, libzmq {zmq.zmq_version()}, CURVE {'yes' if zmq.has('curve') else 'no'}"
        advice = "" if version else "pip install --editable . (or `make demo`, which does it)"
        yield Finding(
            area="packages",
            name=name,
            verdict="ok" if version else "failed",
            found=found,
            advice=advice,
            needed=name != "signspot",
        )


def cameras() -> Iterator[Finding]:
    """Webcams."""
    try:
        from stream.sources.v4l2 import list_cameras
    except ImportError as error:  # a broken installation is to be found out, not to break this command too
        yield Finding(area="cameras", name="cameras", verdict="failed", found=str(error))
        return
    listed = list_cameras()
    for camera in listed:
        sizes = {(mode.width, mode.height) for mode in camera.modes}
        modes = (
            f"{len(camera.modes)} modes up to {'x'.join(map(str, max(sizes)))}" if sizes else camera.trouble
        )
        yield Finding(
            area="cameras",
            name=camera.path,
            verdict="failed" if camera.trouble else "ok",
            found=f"{camera.name}, {modes}",
            advice="may you read it? (group video)" if camera.trouble else "",
        )
    if not listed:
        yield Finding(
            area="cameras",
            name="cameras",
            verdict="absent",
            found="none",
            advice="plug one in, or watch a stream or file: --source rtsp://... or a path",
        )


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """An NVIDIA GPU, in its driver's words."""

    name: str
    driver: str
    memory: str
    capability: str  # CUDA's, as "8.9"


def _cards() -> list[Card]:
    """The NVIDIA GPUs that answer."""
    query = ["--query-gpu=name,driver_version,memory.total,compute_cap", "--format=csv,noheader"]
    rows = [
        [part.strip() for part in line.split(",")]
        for line in (_output(["nvidia-smi", *query]) or "").splitlines()
    ]
    return [
        Card(name=row[0], driver=row[1], memory=row[2], capability=row[3]) for row in rows if len(row) == 4
    ]


def gpu() -> Iterator[Finding]:
    """NVIDIA GPUs, as the driver tells."""
    cards = _cards()
    for card in cards:
        found = f"driver {card.driver}, {card.memory}, compute capability {card.capability}"
        yield Finding(area="GPU", name=card.name, verdict="ok", found=found)
    if not cards:
        yield Finding(
            area="GPU",
            name="NVIDIA GPU",
            verdict="absent",
            found="nvidia-smi does not answer" if shutil.which("nvidia-smi") else "none (no nvidia-smi)",
            advice="none is needed: everything runs on the CPU",
        )


def runtimes() -> Iterator[Finding]:
    """What can execute networks."""
    cards = _cards()
    try:
        import onnxruntime

        providers = [name.removesuffix("ExecutionProvider") for name in onnxruntime.get_available_providers()]
        cuda = "CUDA" in providers
        yield Finding(
            area="runtimes",
            name="ONNX Runtime",
            verdict="ok",
            found=f"{onnxruntime.__version__}, providers {', '.join(providers)}; in use",
            advice="" if cuda or not cards else "for the GPU: pip install onnxruntime-gpu",
            needed=True,
        )
    except ImportError as error:
        advice = "pip install onnxruntime"
        yield Finding(
            area="runtimes",
            name="ONNX Runtime",
            verdict="failed",
            found=str(error),
            advice=advice,
            needed=True,
        )
    rtx = next(
        (name for name in ("tensorrt_rtx", "tensorrt_rtx_bindings") if importlib.util.find_spec(name)), None
    )
    yield Finding(
        area="runtimes",
        name="TensorRT for RTX",
        verdict="ok" if rtx else "absent",
        found=(f"{rtx} is installed; " if rtx else "not installed; ")
        + "for `--engine tensorrt-rtx`: compiled, never executed (networks were built where there was no RTX GPU)",
        advice="" if rtx or not cards else _rtx_advice(cards),
    )
    full = _version("tensorrt")
    yield Finding(
        area="runtimes",
        name="TensorRT",
        verdict="ok" if full else "absent",
        found=f"{full or 'not installed'}; for `--engine tensorrt`: never executed",
    )
    torch = _version("torch")
    yield Finding(
        area="runtimes",
        name="PyTorch",
        verdict="ok" if torch else "absent",
        found=f"{torch or 'not installed'}; for training, and in the live path for `--engine torch` alone",
        advice="" if torch else "to train: pip install '.[train]'",
    )


def _rtx_advice(cards: Sequence[Card]) -> str:
    able = [card for card in cards if card.capability in RTX_CAPABILITIES]
    needs = f"it runs on compute capability {', '.join(RTX_CAPABILITIES)}"
    if able:
        return (
            f"for the GPU: pip install tensorrt-rtx-cu13 ({needs}; {able[0].name} has {able[0].capability})"
        )
    others = ", ".join(f"{card.name} has {card.capability}" for card in cards)
    return f"not for this GPU: {needs}, and {others}; on another card: pip install tensorrt-rtx-cu13"


MODELS = {
    "body detector": "pose_detection/pose_detection.tflite",
    "body landmarks": "pose_landmark/pose_landmark_full.tflite",
    "hand finder": "holistic_landmark/hand_recrop.tflite",
    "hand landmarks": "hand_landmark/hand_landmark_full.tflite",
}
"""The networks that Holistic loads at complexity 1, in the mediapipe package's folder `modules`."""


def models() -> Iterator[Finding]:
    """The networks inside the mediapipe package: newer versions ship none."""
    spec = importlib.util.find_spec("mediapipe")
    if spec is None or spec.origin is None:
        return
    folder = Path(spec.origin).parent / "modules"
    missing = [name for name, file in MODELS.items() if not (folder / file).is_file()]
    yield Finding(
        area="models",
        name="MediaPipe's networks",
        verdict="failed" if missing else "ok",
        found=f"missing: {', '.join(missing)}" if missing else f"{', '.join(MODELS)} are inside the package",
        advice="pip install mediapipe==0.10.21, the last version with its models inside" if missing else "",
        needed=True,
    )


def trial() -> Iterator[Finding]:
    """Pose and encoder on a few frames: whether they run, and how long one takes."""
    try:
        from engines.pose.mediapipe import HolisticPose

        images, of_what = _images()
        with HolisticPose() as pose:
            landmarks, pose_ms = [], []
            for image in images:
                start_s = time.perf_counter()
                landmarks.append(pose.estimate(image))
                pose_ms.append((time.perf_counter() - start_s) * 1e3)
    except (SignspotError, ImportError) as error:
        yield _not_running("pose", error)
        return
    seen = sum(entry.has("pose") for entry in landmarks)
    height, width, _ = images[0].shape
    yield Finding(
        area="trial",
        name=f"pose ({pose.name})",
        verdict="ok",
        found=f"{statistics.median(pose_ms[WARM_UP_FRAMES:]):.1f} ms a picture of {width}x{height}, "
        f"a person seen in {seen} of {len(images)} {of_what}; a tick lasts 40 ms",
        needed=True,
    )
    try:
        encoder = load_encoder(estimator=pose.name)
        ticks = [encoder.prepare(entry) for entry in landmarks]
        windows_ms = []
        for start in range(len(ticks) - WINDOW_TICKS + 1):
            start_s = time.perf_counter()
            encoder.embed([np.stack(ticks[start : start + WINDOW_TICKS])])
            windows_ms.append((time.perf_counter() - start_s) * 1e3)
    except (SignspotError, ImportError) as error:
        yield _not_running("encoder", error)
        return
    place = encoder.where()
    yield Finding(
        area="trial",
        name=f"encoder ({encoder.name})",
        verdict="ok",
        found=f"{statistics.median(windows_ms):.1f} ms a window on {place.device}, {place.runtime}, "
        f"{place.precision}: {place.reason}",
        needed=True,
    )


def _images() -> tuple[list[Image], str]:
    """Pictures for the trial and what they are: of the demo, or noise where it cannot be read."""
    from stream.demo import stream_path
    from stream.sources import read_frames

    try:
        frames = itertools.islice(read_frames(stream_path()), TRIAL_FRAMES)
        return [frame.image for frame in frames], "pictures of the demo"
    except SourceError as error:
        noise = np.random.default_rng(0).integers(0, 256, (TRIAL_FRAMES, 480, 640, 3), np.uint8)
        return list(noise), f"pictures of noise (a person costs more; {error})"


def _not_running(name: str, error: Exception) -> Finding:
    words = str(error)
    shared = "apt install libgl1 libglib2.0-0" if "libGL" in words or "libgthread" in words else ""
    advice = shared or ("pip install --editable ." if isinstance(error, ImportError) else "")
    return Finding(area="trial", name=name, verdict="failed", found=words, advice=advice, needed=True)


def pictures() -> Iterator[Finding]:
    """What `--show` and the synthetic signer draw with."""
    display = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    yield Finding(
        area="display",
        name="display",
        verdict="ok" if display else "absent",
        found=display or "none",
        advice="" if display else "--show needs one; the terminal view does not",
    )
    egl = ctypes.util.find_library("EGL")
    if not egl or not importlib.util.find_spec("moderngl"):
        lacking = (
            "pip install '.[synth]'" if egl else "apt install libegl1 libgl1-mesa-dri, pip install '.[synth]'"
        )
        yield Finding(
            area="display",
            name="EGL",
            verdict="absent",
            found=egl or "no libEGL",
            advice=f"to render the synthetic signer: {lacking}",
        )
        return
    # In a process of its own: a broken driver may take its process down.
    program = (
        "import moderngl; context = moderngl.create_context(standalone=True, backend='egl'); "
        "print(context.info['GL_RENDERER'], context.info['GL_VERSION'])"
    )
    told = _output([sys.executable, "-c", program])
    yield Finding(
        area="display",
        name="EGL",
        verdict="ok" if told else "failed",
        found=told or "no context can be made",
        advice="" if told else "to render the synthetic signer: apt install libegl1 libgl1-mesa-dri",
    )


def test_servers() -> Iterator[Finding]:
    """What some tests need beyond Python."""
    python = shutil.which("python3", path="/usr/bin") or sys.executable
    gstreamer = (
        "import gi; gi.require_version('Gst', '1.0'); gi.require_version('GstRtspServer', '1.0'); "
        "from gi.repository import Gst, GstRtspServer; Gst.init(None); print(Gst.version_string())"
    )
    told = _output([python, "-c", gstreamer])
    yield Finding(
        area="tests",
        name="RTSP server",
        verdict="ok" if told else "absent",
        found=told or "no GStreamer RTSP server",
        advice=""
        if told
        else "only for tests: apt install python3-gi gir1.2-gst-rtsp-server-1.0 "
        "gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly",
    )
    for name, package in (("Xvfb", "xvfb"), ("node", "nodejs npm")):
        path = shutil.which(name)
        yield Finding(
            area="tests",
            name=name,
            verdict="ok" if path else "absent",
            found=path or "not installed",
            advice="" if path else f"only for tests: apt install {package}",
        )


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _output(command: list[str]) -> str | None:
    """What a program prints, in one line; None where it fails, hangs or does not exist."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PROBE_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None
