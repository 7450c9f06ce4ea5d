"""The live transcript by a network: what it says comes out with its times, and a recorded run says it again."""

from __future__ import annotations

import argparse
import contextlib
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("torch", reason="needs torch: pip install 'signspot[train]'")
import torch

from calibration.corpus.sentences import CorpusError, Sentence
from calibration.training.gloss_export import gloss_onnx
from calibration.training.sentence_rows import rows_of
from engines.encoders import BundleEncoder, load_encoder
from engines.errors import BundleError, ConfigError
from engines.gloss_bundle import GlossBundle, GlossCard
from engines.gloss_stream import GlossStream
from engines.landmarks import Landmarks
from engines.networks.gloss_ctc import GlossCtc, GlossCtcShape
from engines.pose.choice import open_pose
from engines.tick_features import POSE_FACE_VECTOR, POSE_VECTOR, EmbeddingRow, PictureRow, Row, TickFeatures
from run_stream import main
from stream.clock import Tick
from stream.commands import live
from stream.demo import gallery_clips
from stream.embedding import embeddings_of
from stream.events import Hypothesis, Status
from stream.replay import differences
from stream.sources import open_source
from stream.transcribing import TranscriptStage, open_transcript
from stream.transcript import Revision
from tests.stream.running import replayed, run_pipeline

GLOSSES = ("HELLO", "HOUSE", "THANKS", "WIND")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> GlossBundle:
    """A network of pose vectors."""
    return chance(tmp_path_factory.mktemp("bundles") / "chance", POSE_VECTOR)


def chance(folder: Path, features: TickFeatures) -> GlossBundle:
    """A network that has learnt nothing and is sure of itself: it always says something, the same every time."""
    torch.manual_seed(1)
    pictures = isinstance(features, PictureRow)
    network = GlossCtc(
        GlossCtcShape(
            math.prod(features.shape),
            len(GLOSSES),
            width=32,
            hidden=32,
            layers=1,
            front="googlenet" if pictures else None,
            front_width=0.125,
            size=features.shape[0] if pictures else 112,
        )
    ).eval()
    network.head.weight.data.mul_(40)
    network.head.bias.data[0] = -50  # never the blank
    card = GlossCard(
        name="chance",
        features=features.name,
        glosses=GLOSSES,
        look_ahead=network.shape.look_ahead,
        trained_on=(),
        metrics={},
        licence="Apache-2.0",
    )
    return GlossBundle.write(folder, model=gloss_onnx(network), card=card)


def tick(index: int, landmarks: Landmarks, segment: int = 0) -> Tick:
    return Tick(
        index=index, segment=segment, landmarks=landmarks, interpolated=False, lost=False, captured_ns=0
    )


def nobody() -> Landmarks:
    return Landmarks.absent(640, 480, "made up")


class Script(GlossStream):
    """A network with its answers replaced: step k says `says[k]` (0 is the blank) with certainty."""

    def __init__(self, bundle: GlossBundle, says: list[int]) -> None:
        self._says = says
        self._at = 0
        super().__init__(bundle)
        self._at = 0  # what was run to warm up is not part of the script

    def _say(self, count: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        rows = np.full((count, len(self.glosses) + 1), -20.0, np.float32)
        for row in rows:
            row[self._says[self._at] if self._at < len(self._says) else 0] = 0.0
            self._at += 1
        return rows

    def accept(self, rows: Row) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        return self._say(len(super().accept(rows)))

    def finish(self) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        return self._say(len(super().finish()))


def test_what_the_network_says_comes_out_with_its_times_and_a_break_ends_the_utterance(
    bundle: GlossBundle,
) -> None:
    network = Script(bundle, [0, 0, 1, 1, 0, 2, 0, 0, 0, 0, 0, 0, 3])
    stage = TranscriptStage(network)
    said: list[Revision] = []
    ended: list[Revision] = []
    for index in range(40):
        said += stage.push(tick(index, signer(raised=True))).revisions
    one = stage.push(tick(100, signer(raised=True), segment=1))
    ended += one.ended
    assert [entry.gloss for entry in ended[-1].glosses] == list(network.glosses[:2])
    assert ended[-1].state == "final"
    first, second = ended[-1].glosses
    assert (first.start_s, first.end_s) == pytest.approx((0.32, 0.64))  # steps 2 and 3, of 160 ms each
    assert (second.start_s, second.end_s) == pytest.approx((0.80, 0.96))
    assert any(revision.state == "stable" for revision in said)
    for index in range(101, 120):
        said += stage.push(tick(index, signer(raised=True), segment=1)).revisions
    last = stage.flush()
    assert [entry.gloss for entry in last[-1].glosses] == [network.glosses[2]]
    assert last[-1].glosses[0].start_s >= 4.0, "the second segment begins at tick 100"


def test_resting_hands_end_an_utterance_at_once(bundle: GlossBundle) -> None:
    stage = TranscriptStage(Script(bundle, [0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]))
    states: list[str] = []
    for index in range(44):
        states += [one.state for one in stage.push(tick(index, signer(raised=index < 16))).revisions]
    assert states[-1] == "final"


def signer(*, raised: bool) -> Landmarks:
    """Shoulders in the middle of the picture, and a right hand that is up or down."""
    seen = nobody()
    pose, hand = seen.pose.copy(), seen.right_hand.copy()
    pose[:] = (0.5, 0.3, 0, 1)
    pose[11, :2], pose[12, :2] = (0.6, 0.4), (0.4, 0.4)
    pose[16, :2] = (0.4, 0.5 if raised else 0.95)
    hand[:] = (*pose[16, :2], 0)
    return Landmarks(
        pose=pose,
        left_hand=seen.left_hand,
        right_hand=hand,
        pose_world=seen.pose_world,
        left_hand_world=seen.left_hand_world,
        right_hand_world=seen.right_hand_world,
        width=640,
        height=480,
        estimator="made up",
    )


def test_a_run_with_a_transcript_publishes_it_and_replays_to_the_same(
    bundle: GlossBundle, tmp_path: Path
) -> None:
    clip = gallery_clips()["HELLO"]
    run = tmp_path / "run"
    messages = run_pipeline(
        open_source(str(clip), speed="max"),
        gallery=None,
        record=run,
        transcriber=open_transcript(str(bundle.folder)),
        timeout_s=170,
    )
    told = [one for one in messages if isinstance(one, Hypothesis)]
    assert told
    assert {one.source for one in told} == {"ctc"}
    assert told[-1].state == "final"
    status = [one for one in messages if isinstance(one, Status)][-1]
    assert "transcript" in status.stages
    assert status.engines["transcript"].runtime.startswith("onnxruntime")
    assert list(differences(replayed(run), messages)) == []


def test_embeddings_of_the_spotting_encoder_are_used_and_not_computed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = gallery_clips()["HELLO"]
    with contextlib.closing(open_pose()) as estimator:
        encoder = load_encoder(estimator=estimator.name)
    features = embeddings_of(encoder)
    bundle = chance(tmp_path / "chance", features)
    trained = rows_of(Sentence(id="clip", glosses=("HELLO",), media=clip), features, encoder=encoder)
    assert trained[features.length - 2].any() == np.False_  # the first window is not whole before
    assert trained[features.length :].any(1).all()

    embedded: list[int] = []
    embed = BundleEncoder.embed

    def counting(self: BundleEncoder, windows: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        embedded.append(len(windows))
        return embed(self, windows)

    seen: list[Row] = []
    accept = GlossStream.accept

    def watching(self: GlossStream, rows: Row) -> NDArray[np.float32]:
        seen.append(rows)
        return accept(self, rows)

    monkeypatch.setattr(BundleEncoder, "embed", counting)
    stage = open_transcript(str(bundle.folder), encoders=[encoder])
    monkeypatch.setattr(GlossStream, "accept", watching)
    messages = run_pipeline(
        open_source(str(clip), speed="max"),
        gallery=None,
        record=tmp_path / "run",
        transcriber=stage,
        timeout_s=170,
    )
    np.testing.assert_array_equal(np.concatenate(seen), trained)
    ticks = len(trained)
    windows = sum(max(0, ticks - length + 1) for length in encoder.window_lengths)
    assert sum(embedded) == windows, "each window is embedded once, for spotting and transcript together"
    assert any(isinstance(one, Hypothesis) for one in messages)
    assert list(differences(replayed(tmp_path / "run"), messages)) == []


def test_a_network_that_sees_pictures_gets_the_frame_of_each_tick(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = gallery_clips()["HELLO"]
    features = PictureRow(40)
    bundle = chance(tmp_path / "chance", features)
    trained = rows_of(Sentence(id="clip", glosses=("HELLO",), media=clip), features)
    seen: list[Row] = []
    accept = GlossStream.accept

    def watching(self: GlossStream, rows: Row) -> NDArray[np.float32]:
        seen.append(rows)
        return accept(self, rows)

    stage = open_transcript(str(bundle.folder))
    monkeypatch.setattr(GlossStream, "accept", watching)
    messages = run_pipeline(
        open_source(str(clip), speed="max"),
        gallery=None,
        record=tmp_path / "run",
        transcriber=stage,
        timeout_s=170,
    )
    np.testing.assert_array_equal(np.concatenate(seen), trained)
    assert any(isinstance(one, Hypothesis) for one in messages)
    assert list(differences(replayed(tmp_path / "run"), messages)) == []


def test_a_network_that_sees_the_face_gets_it_live_and_in_a_replay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = gallery_clips()["HELLO"]
    bundle = chance(tmp_path / "chance", POSE_FACE_VECTOR)
    trained = rows_of(Sentence(id="clip", glosses=("HELLO",), media=clip), POSE_FACE_VECTOR)
    assert (trained[:, 203::3] == 1).mean() > 0.9, "a face is seen nearly all the time"
    seen: list[Row] = []
    accept = GlossStream.accept

    def watching(self: GlossStream, rows: Row) -> NDArray[np.float32]:
        seen.append(rows)
        return accept(self, rows)

    monkeypatch.setattr(GlossStream, "accept", watching)
    words = ["live", "--source", str(clip), "--speed", "max", "--transcript", str(bundle.folder), "--quiet"]
    assert main([*words, "--publish", "tcp://127.0.0.1:*"]) == 1
    assert "sees the face, which holistic does not look for: --pose holistic+face" in capsys.readouterr().err
    run = ["--publish", "tcp://127.0.0.1:*", "--record-run", str(tmp_path / "run")]
    assert main([*words, "--pose", "holistic+face", *run]) == 0
    np.testing.assert_array_equal(np.concatenate(seen)[-len(trained) :], trained)  # after a warm-up of zeros
    seen.clear()
    assert main(["replay", str(tmp_path / "run")]) == 0
    np.testing.assert_array_equal(np.concatenate(seen)[-len(trained) :], trained)


def test_landmark_files_have_no_face(tmp_path: Path) -> None:
    sentence = Sentence(id="one", glosses=("A",), media=tmp_path / "one.npz")
    with pytest.raises(CorpusError, match="landmark files tell nothing of a face"):
        rows_of(sentence, POSE_FACE_VECTOR)


def test_a_skipped_window_leaves_the_last_embedding_standing_for_a_while(tmp_path: Path) -> None:
    features = EmbeddingRow("slgcn2d", 8, 14, "f00d")
    stage = TranscriptStage(GlossStream(chance(tmp_path / "chance", features)))
    seen: list[Row] = []
    stage.network.accept = lambda rows: seen.append(rows) or np.zeros((0, 5), np.float32)  # type: ignore[method-assign, func-returns-value]
    one, two = np.eye(8, dtype=np.float32)[:2]
    for index, given in enumerate([None, one, None, two, None, None, None, None, None]):
        shared = {} if given is None else {("slgcn2d", 14): given}
        stage.push(tick(index, nobody()), embeddings=shared)
    stage.push(tick(20, nobody(), segment=1))
    nothing = np.zeros(8, np.float32)
    expected = [nothing, one, one, two, two, two, two, nothing, nothing, nothing]
    np.testing.assert_array_equal(np.concatenate(seen), expected)


def test_embeddings_of_another_encoder_are_refused(tmp_path: Path) -> None:
    encoder = load_encoder(estimator="synthetic")
    bundle = chance(tmp_path / "other", replace(embeddings_of(encoder), weights="0123456789ab"))
    with pytest.raises(BundleError, match="slgcn2d, which does not run: --encoder slgcn2d"):
        open_transcript(str(bundle.folder))
    with pytest.raises(BundleError, match=r"embeddings of slgcn2d \(0123456789ab\), this encoder is"):
        open_transcript(str(bundle.folder), encoders=[encoder])


def test_the_engine_that_is_asked_for_executes_the_transcript_network(bundle: GlossBundle) -> None:
    parser = argparse.ArgumentParser()
    live.add_arguments(parser)
    args = parser.parse_args(["--transcript", str(bundle.folder), "--engine", "torch"])
    stage = live.transcriber_of(args, [])
    assert stage is not None
    assert stage.network.where().runtime.startswith("torch")


def test_wrong_names_and_options_are_said_plainly(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"no transcript network 'nothing'"):
        open_transcript("nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BundleError, match=r"card\.json"):
        open_transcript(str(tmp_path / "empty"))
    parser = argparse.ArgumentParser()
    live.add_arguments(parser)
    args = parser.parse_args(["--language-model", "x.arpa"])
    with pytest.raises(ConfigError, match="--transcript"):
        live.transcriber_of(args, [])
