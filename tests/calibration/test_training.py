"""Training: what may be trained on, that a run can be stopped and repeated, and that scores are right."""

from __future__ import annotations

import hashlib
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs torch: pip install 'signspot[train]'")
import torch

from calibration.evaluation.oneshot import score
from calibration.training.augment import Augmentation, windows
from calibration.training.corpora import (
    Corpus,
    CorpusMissing,
    dev_glosses,
    put_hands,
    read_wlasl,
    sided_hands,
)
from calibration.training.losses import batch_hard_triplet, cosine_cross_entropy
from calibration.training.trainer import CHECKPOINT, Recipe, Run, read_run, split
from calibration.trim import trim_hands
from engines.errors import ConfigError
from engines.networks.slgcn import SlgcnShape
from engines.skeleton import JOINTS, LEFT_HAND, LEFT_SHOULDER, NOSE, RIGHT_HAND, RIGHT_SHOULDER
from run_stream import main

torch.set_num_threads(1)
SMALL = SlgcnShape(widths=(8,), strides=(2,), trunk=16, trunk_blocks=1, dimension=16)


def corpus(glosses: int = 206, clips: int = 2) -> Corpus:
    """Made-up clips of many glosses, by a signer each."""
    rng = np.random.default_rng(0)
    count, length = glosses * clips, 30
    points = np.full((count * length, JOINTS, 3), np.nan, np.float32)
    points[:, NOSE] = (0.6, 0.2, 0.5)
    points[:, LEFT_SHOULDER] = (0.8, 0.45, 0.5)
    points[:, RIGHT_SHOULDER] = (0.4, 0.45, 0.5)
    for i in range(count):
        sign = np.random.default_rng(i // clips)
        way = np.cumsum(sign.normal(0, 0.02, (length, 1, 2)), 0) + np.array([0.45, 0.6])
        hand = way + sign.normal(0, 0.05, (1, 10, 2)) + rng.normal(0, 0.003, (length, 10, 2))
        points[i * length : (i + 1) * length, RIGHT_HAND:, :2] = hand
        points[i * length : (i + 1) * length, RIGHT_HAND:, 2] = 1
    gloss = np.repeat(np.arange(glosses), clips)
    return Corpus(
        points,
        np.arange(count + 1) * length,
        np.tile([2, length - 2], (count, 1)),
        gloss,
        np.tile(np.arange(clips), glosses),
        np.zeros(count, np.int64),
        tuple(f"sign {k}" for k in range(glosses)),
    )


def test_dev_glosses_are_those_of_lowest_sha1_and_are_never_trained_on() -> None:
    made = corpus()
    digests = sorted((hashlib.sha1(g.encode()).hexdigest(), g) for g in made.glosses)  # noqa: S324
    held = {gloss for _, gloss in digests[:200]}
    assert dev_glosses(made.glosses) == held
    train, dev = split(made)
    assert {made.glosses[k] for k in train.gloss} == set(made.glosses) - held
    assert {made.glosses[k] for k in dev.gloss} == held
    np.testing.assert_array_equal(dev.clip(0), made.clip(int(np.flatnonzero(made.gloss == dev.gloss[0])[0])))


def test_the_same_seed_gives_the_same_windows_and_another_seed_others() -> None:
    made, clips = corpus(), np.arange(20)
    first = windows(made, clips, 5, Augmentation())
    np.testing.assert_array_equal(windows(made, clips, 5, Augmentation()), first)
    assert not np.array_equal(windows(made, clips, 6, Augmentation()), first)
    assert np.isfinite(first).all()


def test_a_stopped_run_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    made = corpus()
    recipe = Recipe(steps=6, batch=4, background=2, warmup=2)
    whole = Run(tmp_path / "whole", made, made, recipe, SMALL)
    while not whole.done:
        whole.step()
    first = Run(tmp_path / "parts", made, made, recipe, SMALL)
    for _ in range(3):
        first.step()
    first.save()
    second = Run(tmp_path / "parts", made, made, recipe, SMALL)
    assert second.at == 3
    while not second.done:
        second.step()
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, second.network.state_dict()[name]), name
    second.save()
    network, _ = read_run(tmp_path / "parts")
    assert all(torch.equal(v, second.average[k]) for k, v in network.state_dict().items())


def test_a_run_is_not_resumed_with_another_recipe(tmp_path: Path) -> None:
    made = corpus()
    Run(tmp_path, made, made, Recipe(steps=6), SMALL).save()
    with pytest.raises(ValueError, match="another steps"):
        Run(tmp_path, made, made, Recipe(steps=7), SMALL)
    with pytest.raises(ValueError, match="another dropout; choose another folder"):
        Run(tmp_path, made, made, Recipe(steps=6), replace(SMALL, dropout=0.5))
    with pytest.raises(ValueError, match="another trunk"):
        Run(tmp_path, made, made, Recipe(steps=6), replace(SMALL, trunk=2 * SMALL.trunk))
    with pytest.raises(ValueError, match="another set of clips"):
        Run(tmp_path, made, made, Recipe(steps=6), SMALL, made_up=corpus(8))
    with pytest.raises(ValueError, match="another teacher"):
        Run(
            tmp_path,
            made,
            made,
            Recipe(steps=6),
            SMALL,
            teacher=lambda rows: np.zeros((len(rows), 5), np.float32),
        )
    assert Run(tmp_path, made, made, Recipe(steps=6), SMALL).at == 0


def test_ctrl_c_loses_no_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = corpus(270)
    step = Run.step

    def stepped(run: Run) -> None:
        step(run)
        if run.at == 2:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("calibration.commands.train._corpora", lambda data, features: (made, None))
    monkeypatch.setattr(Run, "step", stepped)
    small = ["--widths", "8", "--trunk", "16", "--trunk-blocks", "1"]
    words = ["train", "encoder", "--out", str(tmp_path / "run"), "--steps", "3", *small]
    for status, at in ((130, 2), (0, 3)):
        assert main(words) == status
        assert torch.load(tmp_path / "run" / CHECKPOINT, weights_only=True)["at"] == at
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_training_lowers_the_loss(tmp_path: Path) -> None:
    made = corpus()
    run = Run(tmp_path, made, made, Recipe(steps=25, batch=12, background=0, warmup=2), SMALL)
    run.step()
    before = run.loss
    while not run.done:
        run.step()
    assert run.loss < 0.9 * before


def test_mixed_precision_learns_as_well_and_keeps_its_weights_in_float32(tmp_path: Path) -> None:
    made = corpus()
    losses = {}
    for bfloat16 in (False, True):
        recipe = Recipe(steps=25, batch=12, background=4, warmup=2, bfloat16=bfloat16)
        run = Run(tmp_path / str(bfloat16), made, made, recipe, SMALL)
        kinds: set[torch.dtype] = set()
        run.network.trunk[0].register_forward_hook(
            lambda _, inputs, output, seen=kinds: seen.add(output.dtype)
        )
        run.step()
        before = run.loss
        while not run.done:
            run.step()
        assert run.loss < 0.9 * before
        assert kinds == {torch.bfloat16 if bfloat16 else torch.float32}
        assert {weights.dtype for weights in run.network.parameters()} == {torch.float32}
        losses[bfloat16] = run.loss
    assert losses[True] == pytest.approx(losses[False], rel=0.05)
    assert losses[True] != losses[False]


def test_a_run_of_before_there_was_a_choice_is_resumed(tmp_path: Path) -> None:
    made = corpus()
    Run(tmp_path, made, made, Recipe(steps=6), SMALL).save()
    state = torch.load(tmp_path / CHECKPOINT, weights_only=True)
    del state["recipe"]["bfloat16"]
    torch.save(state, tmp_path / CHECKPOINT)
    assert Run(tmp_path, made, made, Recipe(steps=6), SMALL).at == 0
    with pytest.raises(ValueError, match="another bfloat16"):
        Run(tmp_path, made, made, Recipe(steps=6, bfloat16=True), SMALL)


def test_more_real_clips_are_trained_on_whole_and_dev_glosses_stay_those_of_the_first(tmp_path: Path) -> None:
    made, more = corpus(), corpus(8)
    run = Run(tmp_path, made, None, Recipe(steps=2, batch=8, warmup=1), SMALL, also=more, made_up=corpus(5))
    train, dev = split(made)
    assert run.dev is not None
    assert {run.dev.glosses[k] for k in run.dev.gloss} == {dev.glosses[k] for k in dev.gloss}
    assert len(run.train) == len(train) + len(more) + len(corpus(5))
    assert run.real == len(np.unique(train.gloss)) + 8, "they are real signs, of glosses of their own"
    run.save()
    with pytest.raises(ValueError, match="another set of clips"):
        Run(tmp_path, made, None, Recipe(steps=2, batch=8, warmup=1), SMALL, made_up=corpus(5))


def test_background_that_joins_signs_stays_background() -> None:
    made, loose = corpus(3), replace(corpus(2), gloss=np.full(4, -1, np.int64), glosses=())
    assert made.joined(loose).gloss.tolist() == [0, 0, 1, 1, 2, 2, -1, -1, -1, -1]


def test_the_command_mixes_files_and_idle_movement_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = corpus(270)
    idling = replace(corpus(2), gloss=np.full(4, -1, np.int64), glosses=())
    monkeypatch.setattr("calibration.commands.train._corpora", lambda data, features: (made, None))
    monkeypatch.setattr("calibration.commands.train._idling", lambda features, console: idling)
    monkeypatch.setattr(
        "calibration.evaluation.clips.read_clips", lambda path, features: corpus(int(path.stem))
    )
    begun: list[Run] = []
    kept = Run.__init__

    def init(run: Run, *args: object, **kwargs: object) -> None:
        kept(run, *args, **kwargs)  # type: ignore[arg-type]
        begun.append(run)

    monkeypatch.setattr(Run, "__init__", init)
    small = ["--widths", "8", "--trunk", "16", "--trunk-blocks", "1", "--steps", "1"]
    mixed = ["--also", "3.npz", "5.npz", "--idle", "--precision", "bfloat16"]
    assert main(["train", "encoder", "--out", str(tmp_path / "run"), *small, *mixed]) == 0
    (run,) = begun
    assert len(run.train) == len(split(made)[0]) + 2 * (3 + 5)
    assert run.background is idling
    assert run.recipe.bfloat16


def test_a_batch_is_made_of_real_and_made_up_signs(tmp_path: Path) -> None:
    made = corpus()
    others = corpus(8)
    run = Run(tmp_path, made, None, Recipe(steps=2, batch=8, made_up=0.5, warmup=1), SMALL, made_up=others)
    drawn = run._draw(np.random.default_rng(0))
    fresh = drawn >= len(split(made)[0])
    assert fresh.tolist() == [False] * 4 + [True] * 4
    assert len({run.labels[clip] for clip in drawn}) == 4
    run.step()
    assert np.isfinite(run.loss)
    assert run.measure().ways == 200


def test_no_run_and_no_data_are_said_plainly(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no training run"):
        read_run(tmp_path)
    with pytest.raises(CorpusMissing, match="--data"):
        read_wlasl(tmp_path / "wlasl_hands.npz")


def test_the_triplet_loss_by_hand() -> None:
    # anchors a, a' of one gloss at 60 degrees, b of another at 30 from a and 90 from a'; c background at 180 from a
    angles = torch.tensor([0.0, 60.0, -30.0, 180.0]).deg2rad()
    rows = torch.stack([angles.cos(), angles.sin()], 1)
    found = batch_hard_triplet(rows, torch.tensor([0, 0, 1, -1]))
    # a: cos 30 - cos 60 + 0.3; a': cos 90 - cos 60 + 0.3 < 0; b, alone: cos 30 - 1 + 0.3; the background is no anchor
    assert float(found) == pytest.approx((np.cos(np.pi / 6) - 0.2 + np.cos(np.pi / 6) - 0.7) / 3, abs=1e-6)


def test_the_margin_makes_a_right_answer_earn_more() -> None:
    cosines = torch.tensor([[0.5, 0.2]])
    expected = np.log1p(np.exp(24 * (0.2 - (0.5 - 0.15))))
    assert float(cosine_cross_entropy(cosines, torch.tensor([0]))) == pytest.approx(expected, abs=1e-6)


def test_one_shot_figures_by_hand() -> None:
    made = corpus(glosses=3, clips=3)
    # exemplars (clip 0 of each gloss) along the axes; the two queries of each gloss
    rows = np.array(
        [
            [1, 0, 0],
            [0.9, 0.1, 0],
            [0.8, 0.3, 0],
            [0, 1, 0],
            [0.6, 0.5, 0],
            [0, 0.9, 0.2],
            [0, 0, 1],
            [0.5, 0.4, 0.3],
            [0, 0, 1],
        ],
        np.float32,
    )
    found = score(made, lambda tracks: rows[: len(tracks)])
    assert (found.ways, found.queries) == (3, 6)
    assert found.top1 == pytest.approx(4 / 6)  # the second and the sixth query go to the first gloss
    assert found.top5 == 1.0
    # column 0 ranks .9 .8 .6 .5: 1; column 1 ranks .9 .5 .4 .3: 1; column 2 ranks 1 .3 .2: 1
    assert found.map == pytest.approx(1.0)


def test_hands_are_told_apart_by_their_place_and_followed_when_they_cross() -> None:
    hands = np.full((20, 2, 21, 2), np.nan, np.float32)
    right = np.linspace(0.3, 0.7, 20)  # the signer's right hand begins at the left of the picture and crosses
    left = np.linspace(0.7, 0.3, 20)
    hands[:, 0] = np.stack([right, np.full(20, 0.4)], 1)[:, None] + np.linspace(0, 0.02, 21)[None, :, None]
    hands[:, 1] = np.stack([left, np.full(20, 0.8)], 1)[:, None] + np.linspace(0, 0.02, 21)[None, :, None]
    hands[7] = hands[7, ::-1]  # order of detection means nothing
    found = sided_hands(hands, 0.5)
    np.testing.assert_allclose(found[:, 1, 0, 0], right, atol=1e-6)
    np.testing.assert_allclose(found[:, 0, 0, 0], left, atol=1e-6)


def test_a_sign_is_cut_from_hands_up_to_hands_down() -> None:
    way = np.linspace(1, 0.5, 6)
    height = np.array([*[1.0] * 10, *way, *[0.5] * 20, *way[::-1], *[1.0] * 9])
    hands = np.full((len(height), 2, 21, 2), np.nan, np.float32)
    hands[:, 1, :, 0] = 0.4
    hands[:, 1, :, 1] = height[:, None]
    track = np.full((len(height), JOINTS, 3), np.nan, np.float32)
    put_hands(track, hands)
    assert np.isnan(track[:, LEFT_HAND]).all()
    first, last = trim_hands(track)
    assert 10 <= first <= 14
    assert 38 <= last <= 42
