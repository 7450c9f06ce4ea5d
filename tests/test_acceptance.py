"""What Signspot is for, on real signing: 93 signs taught from a clip each, spotted in sentences by other signers.

The annotations are read only to count. Needs the StartASL clips, which are not part of the project.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from run_stream import main

STARTASL = Path(__file__).parents[2] / "shared" / "data" / "startasl"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(
        not STARTASL.exists(), reason="the StartASL clips (../shared/data/startasl) are not here"
    ),
]


def score(gallery: Path, encoder: str, capsys: pytest.CaptureFixture[str]) -> tuple[float, float]:
    """Recall and precision at IoU 0.2 over the annotated sentences."""
    words = ["evaluate", "spotting", "--gallery", str(gallery), "--encoder", encoder, "--json"]
    words += ["--annotations", str(STARTASL / "annotations.json"), "--videos", str(STARTASL / "sentences")]
    capsys.readouterr()
    assert main(words) == 0
    found = json.loads(capsys.readouterr().out)["spotting"]["open"]["iou0.2"]
    return found["recall"], found["precision"]


def test_real_signs_are_spotted_and_an_untrained_network_spots_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gallery = tmp_path / "gallery"
    clips = sorted(str(clip) for clip in (STARTASL / "isolated").glob("*.mp4"))
    assert main(["enrol", "--gallery", str(gallery), *clips]) == 0
    recall, precision = score(gallery, "slgcn2d", capsys)
    assert recall >= 8 / 11
    assert precision >= 0.5

    control = tmp_path / "untrained"
    assert (
        main(["train", "export", "--untrained", "--data", str(STARTASL.parent), "--out", str(control)]) == 0
    )
    shutil.copytree(gallery, tmp_path / "control")
    assert (
        main(["gallery", "rebuild", "--gallery", str(tmp_path / "control"), "--encoder", str(control)]) == 0
    )
    recall, precision = score(tmp_path / "control", str(control), capsys)
    assert recall < 8 / 11 or precision < 0.5
