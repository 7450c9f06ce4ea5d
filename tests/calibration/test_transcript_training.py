"""Iterative training: it learns to read made-up sentences, tells the paper's table, and can be stopped and repeated."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs torch: pip install 'signspot[train]'")
import torch

from calibration.training import transcript
from calibration.training.deforming import Deformation, deformed
from calibration.training.gloss_export import streamed, write_gloss_bundle
from calibration.training.iteration_table import cells, save_picture
from calibration.training.signed_sentences import SignedSentences, batches
from calibration.training.transcript import (
    TranscriptRecipe,
    TranscriptRun,
    even_labels,
    read_transcript_run,
    scores_of,
    timed_labels,
)
from engines.checkpoints import read_checkpoint
from engines.errors import CheckpointError, ConfigError
from engines.networks.gloss_ctc import GlossCtc, GlossCtcShape
from engines.networks.picture_features import FrontName
from engines.tick_features import KEYPOINTS27, PictureRow, embedding_row

torch.set_num_threads(1)
GLOSSES = ("UP", "DOWN", "LEFT", "RIGHT")
SHAPE = GlossCtcShape(
    KEYPOINTS27.width, len(GLOSSES), look_ahead=4, width=24, hidden=24, layers=1, dropout=0.0
)
QUICK = TranscriptRecipe(
    iterations=2,
    first_epochs=10,
    flat_epochs=0,
    epochs=3,
    gloss_epochs=2,
    patience=10,
    rate=5e-3,
    batch_ticks=200,
)


def made(count: int, seed: int) -> SignedSentences:
    """Sentences of 1 to 3 glosses: a hand goes off in a direction for 10 ticks and comes back, 6 ticks between."""
    rng = np.random.default_rng(seed)
    rows, labels = [], []
    for _ in range(count):
        text = rng.integers(len(GLOSSES), size=rng.integers(1, 4))
        track = np.zeros((6 + 16 * len(text), 27, 3), np.float32)
        track[:, :, 2] = 1
        for place, gloss in enumerate(text):
            way = np.array([(0, -1), (0, 1), (-1, 0), (1, 0)])[gloss]
            track[6 + 16 * place : 16 + 16 * place, 17:, :2] = way
        track[:, :, :2] += rng.normal(0, 0.05, track[:, :, :2].shape)
        rows.append(track.reshape(len(track), -1))
        labels.append(text.astype(np.int64) + 1)
    offsets = np.concatenate([[0], np.cumsum([len(each) for each in rows])]).astype(np.int64)
    return SignedSentences(np.concatenate(rows), offsets, tuple(labels), GLOSSES)


SENTENCES = {"train": made(60, 0), "dev": made(15, 1), "test": made(15, 2)}


def finished(folder: Path, recipe: TranscriptRecipe = QUICK) -> TranscriptRun:
    run = TranscriptRun(folder, SENTENCES, KEYPOINTS27.name, recipe, SHAPE)
    while not run.done:
        run.epoch()
    return run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> TranscriptRun:
    return finished(tmp_path_factory.mktemp("run"))


def test_it_learns_to_read_sentences_it_never_saw(run: TranscriptRun) -> None:
    first = next(point for point in run.history if point.dev_wer is not None)
    assert first.dev_wer is not None
    assert first.dev_wer > 50
    assert run.table[-1].test.wer < 10


def test_the_table_has_what_the_papers_has(run: TranscriptRun) -> None:
    assert [row.number for row in run.table] == [1, 2]
    for row in run.table:
        assert row.test_top1 is not None
        assert row.test_top5 is not None
        assert row.train_top1 is not None
        assert 0.9 < row.test_top1 <= row.test_top5 <= 1
        assert row.stretches == sum(len(each) for each in SENTENCES["train"].labels)
        assert row.test.sentences == len(SENTENCES["test"])
        assert row.test.references == sum(len(each) for each in SENTENCES["test"].labels)
    stored = json.loads((run.folder / "iterations.json").read_text())
    assert len(stored["iterations"]) == 2
    assert len(stored["epochs"]) == len(run.history)


def test_the_aligned_stretches_are_where_the_signs_are(run: TranscriptRun) -> None:
    from calibration.training.transcript import align

    aligned = align(run.best_network(), SENTENCES["test"])
    middles = [(one.first + one.last) * 2 for each in aligned for one in each]  # ticks
    truth = [11 + 16 * place for each in SENTENCES["test"].labels for place in range(len(each))]
    assert np.median(np.abs(np.array(middles) - np.array(truth))) <= 6


def test_a_stopped_run_goes_on_to_the_same_weights(run: TranscriptRun, tmp_path: Path) -> None:
    while True:  # a new object for every few epochs: across rounds, phases and alignments
        again = TranscriptRun(tmp_path, SENTENCES, KEYPOINTS27.name, QUICK, SHAPE)
        if again.done:
            break
        for _ in range(5):
            if not again.done:
                again.epoch()
    assert again.history == run.history
    assert again.table == run.table
    for name, value in run.network.state_dict().items():
        assert torch.equal(value, again.network.state_dict()[name]), name


def test_a_run_is_not_resumed_with_another_recipe_shape_or_vocabulary(run: TranscriptRun) -> None:
    with pytest.raises(ValueError, match="another recipe \\(seed\\)"):
        TranscriptRun(run.folder, SENTENCES, KEYPOINTS27.name, replace(QUICK, seed=5), SHAPE)
    with pytest.raises(ValueError, match="another shape \\(width\\)"):
        TranscriptRun(run.folder, SENTENCES, KEYPOINTS27.name, QUICK, replace(SHAPE, width=32))
    with pytest.raises(ValueError, match="no sentences of dev"):
        TranscriptRun(run.folder, {"train": made(3, 0), "test": made(3, 0)}, KEYPOINTS27.name, QUICK, SHAPE)
    with pytest.raises(ConfigError, match="signspot train transcript"):
        read_transcript_run(run.folder / "nowhere")


def test_the_bundle_reads_as_the_network_does_and_says_how_well(run: TranscriptRun, tmp_path: Path) -> None:
    network, stored = read_transcript_run(run.folder)
    test = SENTENCES["test"]
    bundle = write_gloss_bundle(
        tmp_path / "moves",
        network,
        features=stored.features,
        glosses=stored.glosses,
        test=test,
        trained_on=("made up",),
        notes="",
    )
    for number, expected in enumerate(scores_of(network, test)):
        found = streamed(bundle, test.of(number))
        np.testing.assert_allclose(
            np.exp(found), np.exp(expected), atol=5e-3
        )  # weights are stored as float16
    best = min(run.table, key=lambda row: row.dev.wer)
    assert bundle.card.metrics["test_wer"] == pytest.approx(best.test.wer, abs=4)
    assert bundle.card.glosses == GLOSSES


def test_the_table_is_drawn(run: TranscriptRun, tmp_path: Path) -> None:
    save_picture(tmp_path / "table.png", run.table, run.history, "made up")
    assert (tmp_path / "table.png").read_bytes().startswith(b"\x89PNG")
    assert cells(run.table[0])[0] == "1"


def test_without_gloss_recognition_rounds_are_end_to_end_alone(tmp_path: Path) -> None:
    recipe = TranscriptRecipe(iterations=2, first_epochs=1, epochs=1, gloss_epochs=0)
    run = finished(tmp_path, recipe)
    assert [(point.iteration, point.phase) for point in run.history] == [(1, "sentences"), (2, "sentences")]
    assert run.table[0].test_top1 is None


def test_a_start_by_true_times_labels_the_steps_in_a_sign_and_none_between() -> None:
    # steps are 0.16 s; the first sign covers the middles of steps 2 and 3, the second is shorter than a step
    found = timed_labels(np.array([3, 1]), np.array([[0.30, 0.60], [0.97, 1.03]], np.float32), 9)
    assert found.tolist() == [0, 0, 3, 3, 0, 0, 1, 0, 0]
    assert even_labels(np.array([3, 1]), 5).tolist() == [3, 3, 3, 1, 1]


def test_a_start_by_true_times_needs_a_corpus_that_tells_them(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="does not tell when"):
        TranscriptRun(tmp_path, SENTENCES, KEYPOINTS27.name, replace(QUICK, start="truth"), SHAPE)


def drawn(count: int, seed: int, size: int = 32) -> SignedSentences:
    """The same sentences as pictures: a bright square that goes off in a direction, on grounds of several colours."""
    rng = np.random.default_rng(seed)
    signs = made(count, seed)
    points = signs.rows.reshape(len(signs.rows), 27, 3)[:, 20, :2]
    pictures = np.empty((len(points), size, size, 3), np.uint8)
    for number in range(count):
        first, last = signs.offsets[number], signs.offsets[number + 1]
        ground = rng.integers(20, 120, 3)
        for tick in range(first, last):
            x, y = (np.round(points[tick] * 10) + size // 2).astype(int)
            pictures[tick] = ground
            pictures[tick, y - 4 : y + 4, x - 4 : x + 4] = 230
    return replace(signs, rows=pictures)


@pytest.mark.parametrize("front", ["googlenet", "densenet", "r2plus1d"])
def test_it_trains_from_pixels_end_to_end(
    front: FrontName, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = {"train": drawn(5, 0), "dev": drawn(2, 1), "test": drawn(2, 2)}
    shape = GlossCtcShape(
        32 * 32 * 3, len(GLOSSES), look_ahead=4, width=16, hidden=16, layers=1,
        front=front, front_width=0.125, size=32,
    )  # fmt: skip
    monkeypatch.setattr(transcript, "PICTURE_STEPS", 2)
    monkeypatch.setattr(transcript, "PICTURES", 12)
    recipe = replace(
        QUICK, iterations=1, picture_epochs=1, still_epochs=2, first_epochs=4, gloss_epochs=1, batch_ticks=120
    )
    features = PictureRow(32).name

    def first_layer(run: TranscriptRun) -> torch.Tensor:
        return next(run.network.front.trunk.parameters()).detach().clone()  # type: ignore[union-attr]

    run = TranscriptRun(tmp_path / "run", seen, features, recipe, shape)
    begun = first_layer(run)
    assert [run.phase, run.epochs] == ["pictures", 1]
    untouched = run.network.head.weight.detach().clone()
    run.epoch()
    assert not torch.equal(begun, first_layer(run)), "pictures alone taught nothing"
    assert torch.equal(untouched, run.network.head.weight)
    run = TranscriptRun(tmp_path / "run", seen, features, recipe, shape)
    assert [run.phase, run.epochs] == ["sentences", 4]
    begun = first_layer(run)
    run.epoch()
    run.epoch()
    assert torch.equal(begun, first_layer(run)), "it was to stay as it is"
    assert not torch.equal(untouched, run.network.head.weight)
    run.epoch()
    run.epoch()
    after_ctc = first_layer(run)
    assert run.phase == "glosses"
    TranscriptRun(tmp_path / "run", seen, features, recipe, shape).epoch()  # as if it had been stopped here
    resumed = TranscriptRun(tmp_path / "run", seen, features, recipe, shape)
    assert resumed.done
    assert not torch.equal(begun, after_ctc), "CTC did not reach the pixels"
    assert not torch.equal(after_ctc, first_layer(resumed)), "gloss recognition did not reach the pixels"
    network, stored = read_transcript_run(tmp_path / "run")
    bundle = write_gloss_bundle(
        tmp_path / "bundle", network, features=stored.features, glosses=stored.glosses, test=seen["test"],
        trained_on=(), notes="",
    )  # fmt: skip
    assert bundle.card.metrics["test_sentences"] == 2
    np.testing.assert_allclose(
        streamed(bundle, seen["test"].of(0)), scores_of(network, seen["test"])[0], atol=2e-2
    )


def test_weights_with_torchvisions_names_are_taken_and_others_refused(tmp_path: Path) -> None:
    shape = GlossCtcShape(32 * 32 * 3, 2, width=8, hidden=8, front="googlenet", front_width=0.25, size=32)
    other = GlossCtc(shape)
    assert other.front is not None
    published = {name: one + 1 for name, one in other.front.trunk.state_dict().items() if "num_" not in name}
    published["fc.weight"] = torch.zeros(10, 256)  # a classifier, which has no place here
    file = tmp_path / "googlenet.pth"
    torch.save(published, file)
    front = GlossCtc(shape).front
    assert front is not None
    front.take(read_checkpoint(file))
    for name, one in front.trunk.state_dict().items():
        if "num_" not in name:
            assert torch.equal(one, published[name]), name
    del published["conv2.conv.weight"]
    torch.save(published, file)
    with pytest.raises(CheckpointError, match=r"1 of .* layers are missing .* conv2\.conv\.weight"):
        front.take(read_checkpoint(file))


def test_embeddings_are_deformed_and_stay_of_unit_length() -> None:
    features = embedding_row("slgcn2d", 16, (10, 14, 20), "0" * 64)
    assert features.length == 14
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(40, 16)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    rows[:14] = 0  # no window is whole yet
    found = deformed(rows, features, 1, Deformation(speed=0.0))
    assert found.shape == rows.shape
    assert not found[:14].any()
    np.testing.assert_allclose(np.linalg.norm(found[14:], axis=1), 1, atol=1e-5)
    cosines = (found[14:] * rows[14:]).sum(1)
    assert 0.8 < cosines.mean() < 0.999
    np.testing.assert_array_equal(found, deformed(rows, features, 1, Deformation(speed=0.0)))


def test_pictures_are_moved_and_relit_and_none_stays_none() -> None:
    rows = drawn(1, 3).rows.copy()
    rows[5] = 0
    found = deformed(rows, PictureRow(32), 1, Deformation())
    assert found.dtype == np.uint8
    assert found.shape[1:] == (32, 32, 3)
    assert len(found) != len(rows)
    gone = (found == 0).all((1, 2, 3))
    assert 1 <= gone.sum() <= 2
    still = deformed(rows, PictureRow(32), 1, Deformation(speed=0.0))
    assert np.abs(still[0].astype(int) - rows[0].astype(int)).mean() > 2


def test_deforming_keeps_what_is_absent_absent_and_is_the_same_for_a_seed() -> None:
    rows = SENTENCES["train"].of(0).copy()
    points = rows.reshape(len(rows), -1, 3)
    points[:, 3] = 0  # a point that was never seen
    first = deformed(rows, KEYPOINTS27, 7, Deformation())
    np.testing.assert_array_equal(deformed(rows, KEYPOINTS27, 7, Deformation()), first)
    assert not np.array_equal(deformed(rows, KEYPOINTS27, 8, Deformation())[:20], first[:20])
    assert (first.reshape(len(first), -1, 3)[:, 3] == 0).all()
    still = Deformation(*(0.0 for _ in Deformation._fields))
    np.testing.assert_allclose(deformed(rows, KEYPOINTS27, 7, still), rows, atol=1e-6)


def test_every_sentence_is_in_one_batch_of_few_padded_ticks() -> None:
    lengths = np.random.default_rng(0).integers(20, 300, 100)
    for rng in (None, np.random.default_rng(1)):
        groups = batches(lengths, 1000, rng)
        assert sorted(np.concatenate(groups)) == list(range(100))
        for group in groups:
            assert len(group) == 1 or lengths[group].max() * len(group) <= 1000
