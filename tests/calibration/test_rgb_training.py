"""Training the RGB encoder: the same with a seed, the same when it is resumed, and what comes out runs live."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra 'train'")
pytest.importorskip("onnx", reason="needs the extra 'train'")
pytest.importorskip("anny", reason="the synthetic signer needs the package anny")

from calibration.synthesis.clips import Clips, make_clips, read_clips  # noqa: E402
from calibration.training.device_pictures import DevicePictures  # noqa: E402
from calibration.training.looks import draw_look, shown, straight_look  # noqa: E402
from calibration.training.rgb import (  # noqa: E402
    RgbRecipe,
    RgbRun,
    read_rgb_run,
    seen,
    taught_rows,
    write_rgb_bundle,
)
from engines.encoders import load_encoder  # noqa: E402
from engines.errors import ConfigError  # noqa: E402
from engines.networks.small_i3d import SmallI3dShape  # noqa: E402

RECIPE = RgbRecipe(steps=4, signs=4, background=2, every=2)
TINY = SmallI3dShape(width=0.0625, dimension=16)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Clips:
    folder = tmp_path_factory.mktemp("clips")
    make_clips(folder, signs=24, scenes=2, bodies=2)
    return read_clips(folder)


def run(folder: Path, clips: Clips, steps: int, recipe: RgbRecipe = RECIPE) -> RgbRun:
    training = RgbRun(folder, clips, clips, recipe, TINY)
    for _ in range(steps):
        training.step()
    return training


def test_a_resumed_run_is_the_run_that_was_not_stopped(tmp_path: Path, clips: Clips) -> None:
    straight = run(tmp_path / "straight", clips, 4)
    run(tmp_path / "stopped", clips, 2).save()
    resumed = run(tmp_path / "stopped", clips, 2)
    assert (resumed.at, resumed.done) == (4, True)
    assert resumed.loss == straight.loss
    for name, value in straight.network.state_dict().items():
        torch.testing.assert_close(resumed.network.state_dict()[name], value, rtol=0, atol=0)
    other = run(tmp_path / "other", clips, 4, replace(RECIPE, seed=1))
    assert other.loss != straight.loss
    with pytest.raises(ConfigError, match="another recipe"):
        RgbRun(tmp_path / "stopped", clips, clips, replace(RECIPE, steps=5), TINY)


def test_it_learns(tmp_path: Path, clips: Clips) -> None:
    """The loss on eight signs falls a little with nearly every step."""
    few = replace(RECIPE, steps=14, signs=8, warmup=5, rate=8e-3)
    training = RgbRun(tmp_path / "run", clips, clips, few, TINY)
    losses = []
    while not training.done:
        training.step()
        losses.append(training.loss)
    assert losses[-1] < 0.97 * losses[0]
    assert np.mean(np.diff(losses) < 0) > 0.8


def test_a_window_is_deformed_and_stays_a_window(clips: Clips) -> None:
    straight = seen(clips, 0)
    assert straight.shape == (8, 96, 96, 3)
    assert straight.dtype == np.uint8
    rng = np.random.default_rng(3)
    drawn = [shown(clips, 0, draw_look(clips, 0, rng)) for _ in range(4)]
    assert all(one.shape == straight.shape and one.dtype == np.uint8 for one in drawn)
    assert all((one != straight).mean() > 0.2 for one in drawn)
    again = [shown(clips, 5, draw_look(clips, 5, np.random.default_rng(1))) for _ in range(2)]
    np.testing.assert_array_equal(again[0], again[1])


def test_a_device_shows_what_opencv_shows(clips: Clips) -> None:
    """Same looks, but for noise that falls elsewhere: a network trained on a GPU sees what it will see on a CPU."""
    rng = np.random.default_rng(5)
    which = np.arange(0, 40, 2)
    looks = [replace(draw_look(clips, int(clip), rng), grain=0.0) for clip in which]
    looks[0] = straight_look(clips, int(which[0]))
    assert any(look.mirrored for look in looks)
    assert any(look.softness for look in looks)
    device = DevicePictures(clips, torch.device("cpu"), threads=2).windows(which, looks).numpy()
    for number, look in enumerate(looks):
        expected = shown(clips, int(which[number]), look).astype(float)
        apart = np.abs(device[number] - expected)
        assert apart.mean() < 1.0
        assert (apart[:, 3:-3] > 8).mean() < 0.001  # at their edges OpenCV blurs pictures into each other
    np.testing.assert_array_equal(device[0], seen(clips, int(which[0])))
    grainy = [replace(look, grain=5 / 32) for look in looks]
    noise = DevicePictures(clips, torch.device("cpu")).windows(which, grainy).numpy().astype(float) - device
    assert 4 < noise[(device > 20) & (device < 235)].std() < 6


def test_a_run_on_device_pictures_learns_as_one_on_the_cpus(tmp_path: Path, clips: Clips) -> None:
    pictures = DevicePictures(clips, torch.device("cpu"))
    training = RgbRun(tmp_path, clips, clips, replace(RECIPE, steps=2), TINY, pictures=pictures)
    straight = run(tmp_path / "straight", clips, 2, replace(RECIPE, steps=2))
    while not training.done:
        training.step()
    assert training.loss == pytest.approx(straight.loss, rel=0.05)


def test_a_teacher_of_keypoints_says_the_same_of_one_sign_by_two_bodies(clips: Clips) -> None:
    told: list[int] = []
    rows = taught_rows(clips, load_encoder("slgcn2d", estimator="synthetic").embed, told.append)
    signs = np.flatnonzero(clips.sign >= 0)
    assert sum(told) == len(signs)
    assert not rows[clips.sign < 0].any()
    known = signs[rows[signs].any(1)]
    cosines = rows[known] @ rows[known].T
    same = clips.sign[known][:, None] == clips.sign[known][None]
    other = clips.body[known][:, None] != clips.body[known][None]
    assert cosines[same & other].mean() > cosines[~same & other].mean() + 0.2


def test_the_bundle_is_an_encoder_of_pictures(tmp_path: Path, clips: Clips) -> None:
    run(tmp_path / "run", clips, 2).save()
    network, _ = read_rgb_run(tmp_path / "run")
    bundle = write_rgb_bundle(tmp_path / "bundle", network, clips, clips, name="i3d_mlp", notes="a test")
    assert "48 clips of 24 made-up signs" in bundle.card.trained_on[0]
    encoder = load_encoder(str(bundle.folder), estimator="holistic")
    assert encoder.pictures
    assert encoder.background is not None
    assert encoder.idle is not None
    pictures = seen(clips, 3)
    expected = network(torch.from_numpy(pictures)[None]).detach().numpy()
    np.testing.assert_allclose(encoder.embed([pictures]), expected, atol=1e-4)
    assert not encoder.embed([np.zeros_like(pictures)]).any()
    with pytest.raises(ConfigError, match="signspot train rgb"):
        read_rgb_run(tmp_path / "nothing")
