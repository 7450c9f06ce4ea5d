"""Training runs on a bare GPU machine: without MediaPipe, PyAV and ZeroMQ, which need not be installed there."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PROGRAM = """
import importlib, json, pkgutil, sys
for name in ("mediapipe", "av", "zmq"):
    sys.modules[name] = None  # importing it fails, as where it is not installed
import calibration.commands, calibration.training, engines
names = ["run_stream"]
for package in (engines, calibration.training):
    names += [found.name for found in pkgutil.walk_packages(package.__path__, package.__name__ + ".")]
commands = pkgutil.iter_modules(calibration.commands.__path__, "calibration.commands.")
names += [found.name for found in commands if found.name.startswith("calibration.commands.train")]
failed = {}
for name in names:
    try:
        importlib.import_module(name)
    except ImportError as error:
        failed[name] = str(error)
print(json.dumps([names, failed]))
"""


@pytest.mark.skipif(not importlib.util.find_spec("torch"), reason="needs the extra 'train'")
def test_networks_and_training_import_where_no_camera_and_no_socket_is() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120
    )
    names, failed = json.loads(done.stdout)
    assert failed == {}
    expected = {
        "engines.pose.mediapipe",
        "engines.runtime.torch_cuda",
        "calibration.training.random_sentences",
        "calibration.training.sentence_rows",
        "calibration.commands.train_transcript",
    }
    assert expected <= set(names), "every module is looked at"
