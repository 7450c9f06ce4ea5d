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


def overlap(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Intersection over union of two spans."""
    shared = min(one[1], other[1]) - max(one[0], other[0])
    return max(shared, 0.0) / (max(one[1], other[1]) - min(one[0], other[0]))


def test_real_signs_are_published_by_a_run_over_each_sentence(tmp_path: Path) -> None:
    gallery = tmp_path / "gallery"
    clips = sorted(str(clip) for clip in (STARTASL / "isolated").glob("*.mp4"))
    assert main(["enrol", "--gallery", str(gallery), *clips]) == 0
    truth = json.loads((STARTASL / "annotations.json").read_text(encoding="utf-8"))
    one_sign = {gloss: group[0] for group in truth["same"] for gloss in group}
    signed = hits = published = 0
    for name, signs in truth["videos"].items():
        record = tmp_path / f"{name}.jsonl"
        words = ["--source", str(STARTASL / "sentences" / name), "--speed", "max", "--gallery", str(gallery)]
        assert main([*words, "--record", str(record), "--publish", "tcp://127.0.0.1:*", "--quiet"]) == 0
        lines = [json.loads(line) for line in record.read_text(encoding="utf-8").splitlines()]
        spotted = [line["payload"] for line in lines if line["topic"].startswith("detection/")]
        left = [
            (one_sign.get(sign["gloss"], sign["gloss"]), sign["start_s"], sign["end_s"]) for sign in signs
        ]
        signed, published = signed + len(left), published + len(spotted)
        for one in spotted:
            gloss = one_sign.get(one["gloss"], one["gloss"])
            span = (one["start_s"], one["end_s"])
            right = [each for each in left if each[0] == gloss and overlap(each[1:], span) >= 0.2]
            if right:
                left.remove(right[0])
                hits += 1
    print(f"{hits} of {signed} signs, {published} published")
    assert signed == 11
    assert hits >= 8
    assert hits / published >= 0.5


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
