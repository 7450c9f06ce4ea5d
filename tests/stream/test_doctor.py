"""`signspot doctor`: what is there, what is not, and what to do; it fails only where Signspot cannot run."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import sys
from pathlib import Path
from types import ModuleType

import psutil
import pytest

from run_stream import main
from stream import machine
from stream.machine import MODELS, Finding, examine
from stream.sources.v4l2 import Camera, CameraMode


@pytest.fixture(scope="module")
def findings() -> dict[str, Finding]:
    """What the doctor finds on this machine, by name."""
    return {finding.name: finding for finding in examine()}


def test_it_tells_the_facts_of_this_machine(findings: dict[str, Finding]) -> None:
    assert platform.python_version() in findings["system"].found
    assert f"{psutil.virtual_memory().total / 2**30:.1f} GiB" in findings["memory"].found
    assert importlib.metadata.version("onnxruntime") in findings["ONNX Runtime"].found
    assert "CPU" in findings["ONNX Runtime"].found
    assert findings["mediapipe"].found == "0.10.21"


def test_it_runs_the_pose_and_says_how_long_a_frame_takes(findings: dict[str, Finding]) -> None:
    pose = next(finding for name, finding in findings.items() if name.startswith("pose"))
    assert pose.verdict == "ok"
    assert 0.1 < float(pose.found.split()[0]) < 10_000, "milliseconds"


def test_the_models_it_looks_for_are_those_that_the_wheel_ships(findings: dict[str, Finding]) -> None:
    assert findings["MediaPipe's networks"].verdict == "ok"
    files = {str(entry) for entry in importlib.metadata.files("mediapipe") or []}
    for file in MODELS.values():
        assert f"mediapipe/modules/{file}" in files


def test_tensorrt_for_rtx_is_not_praised_for_what_was_never_run(findings: dict[str, Finding]) -> None:
    assert "compiled, never executed" in findings["TensorRT for RTX"].found


def test_what_is_not_there_comes_with_advice(findings: dict[str, Finding]) -> None:
    for finding in findings.values():
        if finding.verdict == "failed" or (
            finding.verdict == "absent" and finding.area in ("cameras", "GPU")
        ):
            assert finding.advice or finding.area == "trial", finding.name


def test_json_is_one_object_for_programs(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream.commands.doctor.examine", lambda report: iter([_finding("ok", needed=True)]))
    assert main(["doctor", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["runs"] is True
    assert report["findings"][0] == {
        "area": "machine",
        "name": "part",
        "verdict": "ok",
        "found": "[1] of it",
        "advice": "",
        "needed": True,
    }


@pytest.mark.parametrize(
    ("verdict", "needed", "status"),
    [("ok", True, 0), ("absent", False, 0), ("failed", False, 0), ("failed", True, 1), ("absent", True, 1)],
)
def test_the_exit_status_is_0_unless_signspot_cannot_run(
    verdict: str,
    needed: bool,
    status: int,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "stream.commands.doctor.examine", lambda report: iter([_finding(verdict, needed=needed)])
    )
    assert main(["doctor"]) == status
    printed = capsys.readouterr().out
    assert "[1] of it" in printed
    assert ("cannot run: part" in printed) == bool(status)


def _finding(verdict: str, *, needed: bool) -> Finding:
    return Finding(area="machine", name="part", verdict=verdict, found="[1] of it", needed=needed)  # type: ignore[arg-type]


def test_a_broken_installation_is_a_finding_and_no_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(ModuleType):
        def __getattr__(self, name: str) -> object:
            raise ImportError("libGL.so.1: cannot open shared object file")

    monkeypatch.setitem(sys.modules, "stream.sources", Broken("stream.sources"))
    (finding,) = machine.trial()
    assert (finding.verdict, finding.needed) == ("failed", True)
    assert "apt install libgl1" in finding.advice


def test_without_the_demo_clip_the_trial_still_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("stream.demo.FOLDER", tmp_path)
    monkeypatch.setattr(machine, "TRIAL_FRAMES", 20)
    pose = next(machine.trial())
    assert pose.verdict == "ok"
    assert "noise" in pose.found


def test_cameras_are_listed_with_their_modes(monkeypatch: pytest.MonkeyPatch) -> None:
    modes = (CameraMode("YUYV", 640, 480, (30.0,)), CameraMode("MJPG", 1920, 1080, (30.0,)))
    monkeypatch.setattr(
        "stream.sources.v4l2.list_cameras", lambda: [Camera(0, "/dev/video0", "HD Webcam", modes)]
    )
    (camera,) = machine.cameras()
    assert (camera.name, camera.found) == ("/dev/video0", "HD Webcam, 2 modes up to 1920x1080")


def test_a_gpu_is_told_as_the_driver_tells_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _driver_that_says(monkeypatch, tmp_path, "NVIDIA GeForce RTX 4070, 570.86.10, 12282 MiB, 8.9")
    (gpu,) = machine.gpu()
    assert gpu.name == "NVIDIA GeForce RTX 4070"
    assert "12282 MiB" in gpu.found


@pytest.mark.parametrize(
    ("card", "begins"),
    [
        # The capabilities are those of NVIDIA's support matrix for TensorRT for RTX 1.5.
        ("NVIDIA GeForce RTX 4070, 570.86.10, 12282 MiB, 8.9", "for the GPU: pip install tensorrt-rtx-cu13"),
        ("NVIDIA GeForce RTX 5090, 580.1, 32607 MiB, 12.0", "for the GPU: pip install tensorrt-rtx-cu13"),
        ("NVIDIA H200, 580.1, 143771 MiB, 9.0", "not for this GPU"),  # Hopper is no RTX
    ],
)
def test_tensorrt_for_rtx_is_advised_for_the_cards_that_it_runs_on(
    card: str, begins: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _driver_that_says(monkeypatch, tmp_path, card)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)  # whatever is installed here
    advice = {finding.name: finding.advice for finding in machine.runtimes()}["TensorRT for RTX"]
    assert advice.startswith(begins)
    assert "compute capability 7.5, 8.6, 8.9, 12.0" in advice
    name, _, _, capability = card.split(", ")
    assert f"{name} has {capability}" in advice


@pytest.mark.parametrize("text", ["", "No devices were found"])  # a driver without a card says so in words
def test_without_a_gpu_nothing_is_advised_for_one(
    text: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _driver_that_says(monkeypatch, tmp_path, text)
    (gpu,) = machine.gpu()
    assert (gpu.verdict, gpu.found) == ("absent", "nvidia-smi does not answer")
    assert not any("GPU" in finding.advice for finding in machine.runtimes())


def _driver_that_says(monkeypatch: pytest.MonkeyPatch, folder: Path, text: str) -> None:
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\necho '{text}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
