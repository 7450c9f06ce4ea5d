"""What the transcript has said it must never take back, and an utterance must end."""

from __future__ import annotations

from stream.spotting import Spotted
from stream.transcript import PAUSE_S, DetectionTranscript


def spotted(gloss: str, start_s: float, end_s: float) -> Spotted:
    return Spotted(
        gloss=gloss, score=0.8, confidence=0.9, start_s=start_s, end_s=end_s, peak_s=(start_s + end_s) / 2,
        runner_up=None, per_encoder={}, newest_tick=int(end_s * 25),
    )  # fmt: skip


def test_glosses_are_added_and_never_taken_back() -> None:
    transcript = DetectionTranscript()
    revisions = [
        transcript.add(spotted(gloss, at, at + 0.4), at + 0.6) for gloss, at in (("YOU", 1.0), ("LEARN", 1.6))
    ]
    assert [revision.text for revision in revisions] == ["YOU", "YOU LEARN"]
    assert [(one.utterance, one.revision, one.state) for one in revisions] == [
        (0, 0, "stable"),
        (0, 1, "stable"),
    ]


def test_a_pause_ends_the_utterance_once() -> None:
    transcript = DetectionTranscript()
    transcript.add(spotted("HELLO", 1.0, 1.4), 1.6)
    assert transcript.pass_time(1.6 + PAUSE_S - 0.04) is None
    final = transcript.pass_time(1.6 + PAUSE_S)
    assert final is not None
    assert (final.state, final.text) == ("final", "HELLO")
    assert transcript.pass_time(10.0) is None
    following = transcript.add(spotted("BYE", 11.0, 11.4), 11.6)
    assert (following.utterance, following.revision, following.text) == (1, 0, "BYE")


def test_an_empty_transcript_has_no_end() -> None:
    assert DetectionTranscript().finish() is None
