"""Captions and ELAN documents: whole at any moment, in step with the video, and readable by others' programs."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from engines.errors import ConfigError, RecordingError
from run_stream import main
from stream.captions import CaptionWriter, clock
from stream.demo import gallery_clips
from stream.elan import Annotation, Document, ElanWriter, eaf, lanes
from stream.events import Detection, Hypothesis, HypothesisGloss, Message
from tests.stream.running import make_gallery


def hypothesis(state: str, *glosses: tuple[str, float, float], utterance: int = 0) -> Hypothesis:
    every = [HypothesisGloss(gloss=one, start_s=a, end_s=b, confidence=0.9) for one, a, b in glosses]
    return Hypothesis(
        stream="cam", epoch="e", segment=0, seq=0, time_us=0, utterance=utterance, revision=0,
        state=state,  # type: ignore[arg-type]
        glosses=every, text=" ".join(one.gloss for one in every), source="ctc", lag_ms=None,
    )  # fmt: skip


def detection(gloss: str, start_s: float, end_s: float) -> Detection:
    return Detection(
        stream="cam", epoch="e", segment=0, seq=0, time_us=0, id="0-0", gloss=gloss, score=0.9, confidence=0.9,
        start_s=start_s, end_s=end_s, peak_s=start_s, runner_up=None, per_encoder={}, processing_ms=1.0, lag_ms=None,
    )  # fmt: skip


HELLO, HOUSE, RAIN = ("HELLO", 0.5, 1.0), ("HOUSE", 1.2, 1.9), ("RAIN&<WIND>", 61.0, 61.25)
SAID: list[Message] = [
    hypothesis("partial", ("NOISE", 0.1, 0.2)),
    hypothesis("stable", HELLO),
    hypothesis("partial", HELLO, ("NOISE", 1.2, 1.3)),
    hypothesis("stable", HELLO, HOUSE),
    hypothesis("final", HELLO, HOUSE),
    hypothesis("stable", RAIN, utterance=1),
]


def test_captions_hold_what_is_stable_at_every_moment(tmp_path: Path) -> None:
    path = tmp_path / "talk.vtt"
    with CaptionWriter(path) as captions:
        assert path.read_text() == "WEBVTT\n\n"
        captions.take(SAID[0])
        captions.take(SAID[1])
        assert path.read_text() == "WEBVTT\n\n00:00:00.500 --> 00:00:01.500\nHELLO\n\n"
        for message in SAID[2:]:
            captions.take(message)
    assert path.read_text() == (
        "WEBVTT\n\n"
        "00:00:00.500 --> 00:00:01.900\nHELLO HOUSE\n\n"
        "00:01:01.000 --> 00:01:02.000\nRAIN&amp;&lt;WIND&gt;\n\n"
    )


def test_srt_has_numbers_and_commas(tmp_path: Path) -> None:
    path = tmp_path / "talk.SRT"
    with CaptionWriter(path) as captions:
        for message in SAID:
            captions.take(message)
    assert path.read_text() == (
        "1\n00:00:00,500 --> 00:00:01,900\nHELLO HOUSE\n\n2\n00:01:01,000 --> 00:01:02,000\nRAIN&<WIND>\n\n"
    )
    assert clock(3725.0405) == "01:02:05.040"  # milliseconds, rounded to even


def test_a_long_utterance_is_several_cues(tmp_path: Path) -> None:
    path = tmp_path / "talk.vtt"
    every = [(f"G{number}", number * 1.0, number + 0.8) for number in range(19)]
    with CaptionWriter(path) as captions:
        for count in (3, 8, 9, 19):
            captions.take(hypothesis("stable", *every[:count]))
        captions.take(hypothesis("final", *every))
    cues = re.findall(r"--> (\S+)\n(.*)\n", path.read_text())
    assert [len(text.split()) for _, text in cues] == [8, 8, 3]
    assert [end for end, _ in cues] == ["00:00:07.800", "00:00:15.800", "00:00:18.800"]


def elements(text: str) -> ET.Element:
    """The document, with what ELAN's schema asks of it checked by hand: order, references, ascending times, no overlaps."""
    root = ET.fromstring(text)  # noqa: S314
    assert root.tag == "ANNOTATION_DOCUMENT"
    assert {"AUTHOR", "DATE", "FORMAT", "VERSION"} <= set(root.attrib)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d", root.attrib["DATE"])
    order = ["HEADER", "TIME_ORDER", "TIER", "LINGUISTIC_TYPE"]
    places = [order.index(child.tag) for child in root]
    assert places == sorted(places)
    slots = {one.attrib["TIME_SLOT_ID"]: int(one.attrib["TIME_VALUE"]) for one in root.iter("TIME_SLOT")}
    assert list(slots.values()) == sorted(slots.values())
    ids = [one.attrib["ANNOTATION_ID"] for one in root.iter("ALIGNABLE_ANNOTATION")]
    assert len(set(ids)) == len(ids)
    kinds = {one.attrib["LINGUISTIC_TYPE_ID"] for one in root.iter("LINGUISTIC_TYPE")}
    for tier in root.iter("TIER"):
        assert tier.attrib["LINGUISTIC_TYPE_REF"] in kinds
        last = 0
        for one in tier.iter("ALIGNABLE_ANNOTATION"):
            begin, end = slots[one.attrib["TIME_SLOT_REF1"]], slots[one.attrib["TIME_SLOT_REF2"]]
            assert last <= begin < end
            last = end
    return root


def tiers(root: ET.Element) -> dict[str, list[str]]:
    return {
        tier.attrib["TIER_ID"]: [one.text or "" for one in tier.iter("ANNOTATION_VALUE")]
        for tier in root.iter("TIER")
    }


def test_an_elan_document_has_detections_and_transcript_as_tiers(tmp_path: Path) -> None:
    path = tmp_path / "talk.eaf"
    video = tmp_path / "a talk.mp4"
    with ElanWriter(path, media=video) as elan:
        assert tiers(elements(path.read_text())) == {"detections": [], "glosses": [], "utterances": []}
        for message in [*SAID, detection("HELLO", 0.52, 0.98), detection("CUP\x0b", 0.9, 1.1)]:
            elan.take(message)
    root = elements(path.read_text())
    assert tiers(root) == {
        "detections": ["HELLO"],
        "detections-2": ["CUP "],  # begins before the other has ended
        "glosses": ["HELLO", "HOUSE", "RAIN&<WIND>"],
        "utterances": ["HELLO HOUSE", "RAIN&<WIND>"],
    }
    media = root.find("HEADER/MEDIA_DESCRIPTOR")
    assert media is not None
    assert media.attrib == {"MEDIA_URL": video.as_uri(), "MIME_TYPE": "video/mp4"}
    assert [one.name for one in tmp_path.iterdir()] == ["talk.eaf"], "nothing is left beside it"


def test_annotations_that_overlap_go_to_lanes() -> None:
    every = [Annotation(0, 10, "a"), Annotation(5, 15, "b"), Annotation(10, 12, "c"), Annotation(12, 13, "d")]
    assert [[one.text for one in lane] for lane in lanes(every)] == [["a", "c", "d"], ["b"]]
    document = Document()
    document.take(detection("X", 1.0, 1.0))
    assert elements(eaf(document)).find(".//ALIGNABLE_ANNOTATION") is not None, (
        "an empty one has a millisecond"
    )


def test_both_are_whole_after_the_program_was_killed(tmp_path: Path) -> None:
    gallery = make_gallery(tmp_path / "gallery")
    captions, elan = tmp_path / "talk.vtt", tmp_path / "talk.eaf"
    command = [
        sys.executable, "-m", "run_stream", "live", "--source", str(gallery_clips()["HELLO"]), "--loop", "--gallery",
        str(gallery), "--publish", "tcp://127.0.0.1:*", "--captions", str(captions), "--elan", str(elan), "--quiet",
    ]  # fmt: skip
    with subprocess.Popen(command) as running:
        deadline = time.monotonic() + 120
        # Detections, glosses and captions are written one after the other.
        while time.monotonic() < deadline and not (
            elan.is_file()
            and elan.read_text().count(">HELLO<") >= 2
            and captions.is_file()
            and "HELLO" in captions.read_text()
        ):
            assert running.poll() is None
            time.sleep(0.1)
        running.send_signal(signal.SIGKILL)
    said = tiers(elements(elan.read_text()))
    assert "HELLO" in said["detections"]
    assert "HELLO" in said["glosses"]
    assert re.fullmatch(
        r"WEBVTT\n\n(\d\d:\d\d:\d\d\.\d{3} --> \d\d:\d\d:\d\d\.\d{3}\nHELLO( HELLO)*\n\n)+",
        captions.read_text(),
    )


def test_wrong_names_and_full_disks_are_said_plainly(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for option, name in (("--captions", "talk.txt"), ("--elan", "talk.xml")):
        clip = str(gallery_clips()["HELLO"])
        words = ["live", "--source", clip, "--publish", "tcp://127.0.0.1:*", option, str(tmp_path / name)]
        assert main(words) == 1
        assert f"{option} {tmp_path / name}: the name must end in" in capsys.readouterr().err
    with pytest.raises(ConfigError):
        CaptionWriter(tmp_path / "talk")
    with pytest.raises(RecordingError, match="No such file"):
        CaptionWriter(tmp_path / "nowhere" / "talk.vtt")
    with pytest.raises(RecordingError, match="No such file"):
        ElanWriter(tmp_path / "nowhere" / "talk.eaf")
    if os.path.exists("/dev/full"):
        full = tmp_path / "full.srt"
        full.symlink_to("/dev/full")
        captions = CaptionWriter(full)
        with pytest.raises(RecordingError):
            captions.take(SAID[1])
        captions.close()
