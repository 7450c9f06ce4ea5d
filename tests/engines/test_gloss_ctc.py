"""The transcript network: chunks equal the whole, the future is not seen beyond the look-ahead, ONNX equals torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest

pytest.importorskip("torch", reason="needs torch: pip install 'signspot[train]'")
import torch

from calibration.training.gloss_export import gloss_onnx
from engines.errors import BundleError
from engines.gloss_bundle import GlossBundle, GlossCard
from engines.gloss_stream import GlossStream
from engines.networks.gloss_ctc import GlossCtc, GlossCtcShape
from engines.tick_features import KEYPOINTS27

torch.set_num_threads(1)
WIDTH = KEYPOINTS27.width
GLOSSES = tuple("ABCDEFG")


def network(*, streaming: bool = True, look_ahead: int = 8) -> GlossCtc:
    torch.manual_seed(3)
    shape = GlossCtcShape(
        WIDTH, len(GLOSSES), streaming=streaming, look_ahead=look_ahead, width=24, hidden=20, layers=2
    )
    return GlossCtc(shape).eval()


def rows(ticks: int, seed: int = 0) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.random.default_rng(seed).normal(size=(ticks, WIDTH)).astype(np.float32)


def whole(
    net: GlossCtc, x: np.ndarray[tuple[int, ...], np.dtype[np.float32]]
) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    with torch.inference_mode():
        found: np.ndarray[tuple[int, ...], np.dtype[np.float32]] = net(torch.from_numpy(x[None]))[0].numpy()
    return found


def bundle(net: GlossCtc, folder: Path) -> GlossBundle:
    card = GlossCard(
        name="tiny",
        features=KEYPOINTS27.name,
        glosses=GLOSSES,
        look_ahead=net.shape.look_ahead,
        trained_on=(),
        metrics={},
        licence="Apache-2.0",
    )
    return GlossBundle.write(folder, model=gloss_onnx(net, half=False), card=card)


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize(("ticks", "steps"), [(1, 1), (4, 1), (5, 2), (64, 16), (67, 17)])
def test_a_step_is_four_ticks_rounded_up_and_a_distribution(streaming: bool, ticks: int, steps: int) -> None:
    found = whole(network(streaming=streaming), rows(ticks))
    assert found.shape == (steps, len(GLOSSES) + 1)
    np.testing.assert_allclose(np.exp(found).sum(1), 1, atol=1e-5)


@pytest.mark.parametrize("look_ahead", [0, 4, 12])
def test_a_step_sees_its_look_ahead_and_no_tick_beyond(look_ahead: int) -> None:
    net, x = network(look_ahead=look_ahead), rows(80)
    before = whole(net, x)
    step = 9
    beyond = 4 * step + 4 + look_ahead
    changed = x.copy()
    changed[beyond:] += 5
    np.testing.assert_array_equal(whole(net, changed)[: step + 1], before[: step + 1])
    changed = x.copy()
    changed[beyond - 1] += 5  # the newest tick that the look-ahead promises
    assert not np.allclose(whole(net, changed)[step], before[step], atol=1e-4)


def test_the_offline_form_sees_the_whole_sentence() -> None:
    net, x = network(streaming=False), rows(80)
    changed = x.copy()
    changed[-1] += 5
    assert not np.allclose(whole(net, changed)[0], whole(net, x)[0], atol=1e-7)


@pytest.mark.parametrize("streaming", [True, False])
def test_a_sentence_means_the_same_alone_and_in_a_batch_of_longer_ones(streaming: bool) -> None:
    net = network(streaming=streaming)
    short, long = rows(37), rows(90, seed=1)
    both = np.zeros((2, 90, WIDTH), np.float32)
    both[0, :37], both[1] = short, long
    with torch.inference_mode():
        found = net(torch.from_numpy(both), torch.tensor([37, 90])).numpy()
    np.testing.assert_allclose(found[0, :10], whole(net, short), atol=1e-5)
    np.testing.assert_allclose(found[1], whole(net, long), atol=1e-5)


def test_torch_chunks_of_any_number_of_steps_equal_the_whole_sequence() -> None:
    net, x = network(), rows(64)
    expected = whole(net, x)
    state, found, at = net.start(), [], 0
    padded = torch.from_numpy(np.concatenate([x, np.zeros((8, WIDTH), np.float32)])[None])
    with torch.inference_mode():
        for steps in (1, 3, 2, 7, 5):
            scores, state = net.step(padded[:, 4 * at : 4 * (at + steps)], state)
            found.append(scores[0].numpy())
            at += steps
    np.testing.assert_allclose(np.concatenate(found)[2:], expected, atol=1e-5)


@pytest.mark.parametrize("sizes", [(61,), (1,) * 61, (3, 7, 0, 51), (20, 41), (2,) * 30 + (1,)])
def test_streamed_through_onnx_runtime_chunks_of_any_size_equal_torch(
    sizes: tuple[int, ...], tmp_path: Path
) -> None:
    net, x = network(), rows(61)
    stream = GlossStream(bundle(net, tmp_path / "tiny"))
    for _ in range(2):  # the second time after `finish`: nothing of the first may be left
        found, at = [], 0
        for size in sizes:
            found.append(stream.accept(x[at : at + size]))
            at += size
        found.append(stream.finish())
        np.testing.assert_allclose(np.concatenate(found), whole(net, x), atol=1e-4)


def test_a_step_comes_out_as_soon_as_its_look_ahead_is_there(tmp_path: Path) -> None:
    stream, x = GlossStream(bundle(network(look_ahead=8), tmp_path / "tiny")), rows(40)
    told = [len(stream.accept(x[tick : tick + 1])) for tick in range(40)]
    # step 0 has ticks 0 to 3, and sees to tick 11; then one step every four ticks
    assert [tick for tick, count in enumerate(told) if count] == list(range(11, 40, 4))
    assert stream.told == 8


def test_weights_stored_in_half_change_next_to_nothing(tmp_path: Path) -> None:
    net, x = network(), rows(61)
    card = bundle(net, tmp_path / "whole").card
    halved = GlossBundle.write(tmp_path / "half", model=gloss_onnx(net), card=card)
    stream = GlossStream(halved)
    found = np.concatenate([stream.accept(x), stream.finish()])
    np.testing.assert_allclose(found, whole(net, x), atol=5e-3)


def test_a_damaged_or_foreign_bundle_is_refused(tmp_path: Path) -> None:
    made = bundle(network(), tmp_path / "tiny")
    (tmp_path / "tiny" / "model.onnx").write_bytes(made.model[:-1] + b"x")
    with pytest.raises(BundleError, match="hash"):
        GlossBundle.load(tmp_path / "tiny")
    other = GlossBundle.write(
        tmp_path / "other", model=made.model, card=msgspec.structs.replace(made.card, glosses=("A", "B"))
    )
    with pytest.raises(BundleError, match="do not belong together"):
        GlossStream(other)
    with pytest.raises(BundleError, match="features 'faces-9'"):
        GlossBundle.write(
            tmp_path / "new", model=made.model, card=msgspec.structs.replace(made.card, features="faces-9")
        )


def test_the_offline_form_is_not_exported_or_run_in_chunks() -> None:
    net = network(streaming=False)
    with pytest.raises(ValueError, match="offline"):
        gloss_onnx(net)
    with pytest.raises(ValueError, match="offline"):
        net.step(torch.zeros(1, 4, WIDTH), net.start())


def test_the_live_path_imports_no_torch() -> None:
    code = "import sys, engines.gloss_stream; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
