"""The lag of a transcript is counted from the true end of a sign to the revision that its gloss stays in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from calibration.corpus.landmarks import save_packed
from calibration.corpus.sentences import read_sentences
from calibration.evaluation.transcripts import Transcribed, _Listener, lags_s
from engines.landmarks import PARTS, LandmarkTrack
from run_stream import main
from stream.events import HypothesisGloss
from stream.transcript import Revision


def revision(utterance: int, number: int, state: str, *glosses: str) -> Revision:
    return Revision(
        utterance=utterance,
        revision=number,
        state=state,  # type: ignore[arg-type]
        glosses=tuple(HypothesisGloss(gloss=one, start_s=0.0, end_s=0.1, confidence=1.0) for one in glosses),
    )


def test_a_gloss_counts_from_when_it_stays() -> None:
    listener = _Listener()
    for at_s, one in (
        (1.0, revision(0, 0, "partial", "A")),
        (1.4, revision(0, 1, "stable", "A")),
        (1.4, revision(0, 2, "partial", "A", "B")),
        (2.0, revision(0, 3, "final", "A", "B")),
        (3.0, revision(1, 0, "partial", "C")),
        (3.5, revision(1, 1, "final", "C")),
    ):
        listener.hear(one, at_s)
    assert listener.found.glosses == ["A", "B", "C"]
    assert listener.found.told_s == [1.4, 2.0, 3.5]
    assert listener.found.revisions == 6


def test_lags_are_of_the_signs_that_were_recognised() -> None:
    told = Transcribed(glosses=["A", "X", "C"], told_s=[1.4, 2.0, 3.5])
    assert lags_s(["A", "B", "C"], [1.0, 1.9, 3.6], told) == pytest.approx([0.4, -0.1])


def test_the_command_measures_the_live_transcript(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch = pytest.importorskip("torch", reason="a network to run is made by PyTorch")
    from calibration.training.gloss_export import gloss_onnx
    from engines.gloss_bundle import GlossBundle, GlossCard
    from engines.networks.gloss_ctc import GlossCtc, GlossCtcShape
    from engines.tick_features import POSE_VECTOR

    torch.manual_seed(3)
    shape = GlossCtcShape(inputs=POSE_VECTOR.width, glosses=2, look_ahead=4, width=16, hidden=16, layers=1)
    card = GlossCard(
        name="untrained", features=POSE_VECTOR.name, glosses=("REGEN", "WIND"), look_ahead=4, trained_on=(),
        metrics={}, licence="Apache-2.0",
    )  # fmt: skip
    GlossBundle.write(tmp_path / "network", model=gloss_onnx(GlossCtc(shape).eval()), card=card)
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    (corpus / "train.tsv").write_text("x\tREGEN\n", encoding="utf-8")
    (corpus / "test.tsv").write_text("a\tREGEN WIND\nb\tWIND\n", encoding="utf-8")
    rng = np.random.default_rng(2)
    for name, count in (("a", 2), ("b", 1)):
        parts: dict[str, Any] = {
            part: rng.random((50, *size)).astype(np.float32) for part, size in PARTS.items()
        }
        track = LandmarkTrack(**parts, width=640, height=480, estimator="synthetic", start_s=0.0)
        spans = np.linspace(0.2, 1.8, 2 * count, dtype=np.float32).reshape(count, 2)
        save_packed(corpus / f"{name}.npz", track, spans)
    words = ["evaluate", "transcript", str(corpus), "--transcript", str(tmp_path / "network")]
    assert main([*words, "--json", "--hypotheses", str(tmp_path / "hyp.tsv")]) == 0
    found = json.loads(capsys.readouterr().out)["transcript"]
    assert (found["sentences"], found["glosses"]) == (2, 3)
    assert found["timed"] == found["correct"]
    assert found["cpu_ms_mean"] > 0
    assert [one.id for one in read_sentences(tmp_path / "hyp.tsv", empty=True)] == ["a", "b"]
    # what it wrote scores the same
    assert main(["evaluate", "wer", str(corpus / "test.tsv"), str(tmp_path / "hyp.tsv"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["wer"]["wer"] == found["wer"]
    assert main(words) == 0
    assert "CPU time a tick" in capsys.readouterr().out
    assert main(["evaluate", "transcript", *words[3:], "--idle", str(corpus / "a.npz"), "--json"]) == 0
    idle = json.loads(capsys.readouterr().out)["idle"]
    assert idle["glosses_per_minute"] == pytest.approx(idle["glosses"] * 30)  # 50 ticks are 2 seconds
    assert main(["evaluate", "transcript", *words[3:]]) == 1
    assert "name a CORPUS, or --idle FILE" in capsys.readouterr().err
    assert main([*words, "--split", "train"]) == 1
    assert "without landmarks" in capsys.readouterr().err
