"""Networks that begin with pictures: the published layouts, causal in time, and live as they were trained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs torch: pip install 'signspot[train]'")
import torch

from calibration.training.gloss_export import gloss_onnx
from engines.gloss_bundle import GlossBundle, GlossCard
from engines.gloss_step import one_step
from engines.gloss_stream import GlossStream
from engines.landmarks import Landmarks
from engines.networks.gloss_ctc import GlossCtc, GlossCtcShape
from engines.networks.picture_features import FRONTS, Front, FrontName, ResNet2Plus1D, TimeConv
from engines.precision import PRECISIONS, Precision
from engines.tick_features import PictureRow
from tests.engines.test_engines import compiled_for_tensorrt_rtx

torch.set_num_threads(1)
GLOSSES = tuple("ABCDE")
SIZE = 36
"""Halves to 18, 9 and 5: odd sides too."""
FRONT = pytest.mark.parametrize("front", FRONTS)


def network(front: FrontName, *, streaming: bool = True) -> GlossCtc:
    """A narrow network whose norms have seen pictures, so that nothing in it is as it was made."""
    torch.manual_seed(5)
    net = GlossCtc(
        GlossCtcShape(
            SIZE * SIZE * 3,
            len(GLOSSES),
            streaming=streaming,
            width=16,
            hidden=12,
            layers=1,
            front=front,
            front_width=0.125,
            size=SIZE,
        )
    )
    for seed in range(20):
        net(torch.from_numpy(pictures(16, seed)[None]))
    return net.eval()


def pictures(ticks: int, seed: int = 0) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Smooth patches that change from tick to tick."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(1, 255, (ticks, 4, 4, 3)).astype(np.uint8)
    return coarse.repeat(SIZE // 4, 1).repeat(SIZE // 4, 2)


@pytest.mark.parametrize(
    ("front", "parameters"),
    [
        # As torchvision counts them (models.googlenet, models.densenet121), less the classifier's 1024 x 1000 + 1000,
        # and for GoogLeNet less the auxiliary classifiers, which training alone uses.
        ("googlenet", 6_624_904 - 1_025_000),
        ("densenet", 7_978_856 - 1_025_000),
        # models.video.r2plus1d_18 less its classifier of 400 and its fifth stage. The fifth stage by hand: blocks of 921 and
        # 1152 channels between space and time, with norms and one short cut.
        ("r2plus1d", 31_505_325 - 205_200 - (9_333_092 + 14_162_432)),
    ],
)
def test_at_full_width_they_are_the_published_networks(front: FrontName, parameters: int) -> None:
    made = Front(front, 1.0, 112)
    assert sum(one.numel() for one in made.trunk.parameters()) == parameters
    assert made.dimension == 1024


@FRONT
def test_ticks_one_by_one_give_what_the_whole_gives(front: FrontName) -> None:
    net, seen = network(front), torch.from_numpy(pictures(24)[None])
    with torch.inference_mode():
        whole = net(seen)
        state, found = net.start(), []
        ended = torch.zeros(1, net.shape.look_ahead, *seen.shape[2:], dtype=torch.uint8)
        for chunk in torch.split(torch.cat([seen, ended], 1), 4, 1):
            scores, state = net.step(chunk, state)
            found.append(scores)
    streamed = torch.cat(found, 1)[:, net.shape.delay :]
    torch.testing.assert_close(streamed, whole, atol=1e-5, rtol=0)
    assert float(whole.std(1).mean()) > 1e-3, (
        "it says the same of every step: the comparison would mean nothing"
    )


@FRONT
@pytest.mark.parametrize("engine", ["onnxruntime", "torch"])
def test_live_a_frame_at_a_time_it_says_what_it_said_in_training(
    front: FrontName, engine: str, tmp_path: Path
) -> None:
    net = network(front)
    card = GlossCard(
        name="pixels",
        features=PictureRow(SIZE).name,
        glosses=GLOSSES,
        look_ahead=net.shape.look_ahead,
        trained_on=(),
        metrics={},
        licence="Apache-2.0",
    )
    bundle = GlossBundle.write(tmp_path / "pixels", model=gloss_onnx(net, half=False), card=card)
    stream, found = GlossStream(bundle, engine=engine), []
    assert stream.where().runtime.startswith(engine)
    nobody = Landmarks.absent(2 * SIZE, 2 * SIZE, "made up")
    small = pictures(23)
    for picture in small:  # as a camera of twice the size gives them
        frame = picture.repeat(2, 0).repeat(2, 1)
        found.append(stream.accept(stream.prepare(nobody, picture=frame)[None]))
    with torch.inference_mode():
        whole = net(torch.from_numpy(small[None]))[0].numpy()
    np.testing.assert_allclose(np.concatenate([*found, stream.finish()]), whole, atol=1e-4)


@pytest.mark.slow
@FRONT
@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_step_compiles_for_tensorrt_rtx(front: FrontName, precision: Precision) -> None:
    compiled_for_tensorrt_rtx(one_step(gloss_onnx(network(front))), precision)


@FRONT
@pytest.mark.parametrize("streaming", [True, False], ids=["streaming", "offline"])
def test_a_sentence_means_the_same_alone_and_beside_a_longer_one(front: FrontName, streaming: bool) -> None:
    net = network(front, streaming=streaming)
    both = torch.zeros(2, 32, SIZE, SIZE, 3, dtype=torch.uint8)
    both[0], both[1, :20] = torch.from_numpy(pictures(32, 1)), torch.from_numpy(pictures(20, 2))
    with torch.inference_mode():
        together = net(both, torch.tensor([32, 20]))[1, :5]
        alone = net(both[1:, :20])[0]
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


def test_a_convolution_over_time_sees_no_later_instant() -> None:
    for stride in (1, 2):
        layer = TimeConv(2, 3, stride)
        seen = torch.randn(1, 2, 8, 1)
        later = seen.clone()
        later[:, :, 4:] += 1
        past = torch.zeros(1, 2, layer.past, 1, 1)
        one, two = layer.step(seen, past)[0], layer.step(later, past)[0]
        assert one.shape[2] == 8 // stride
        torch.testing.assert_close(one[:, :, : 4 // stride], two[:, :, : 4 // stride])


def test_clips_come_once_for_four_pictures() -> None:
    trunk = ResNet2Plus1D(0.125).eval()
    with torch.inference_mode():
        rows, state = trunk.step(torch.randn(1, 3, 8, 24, 24), trunk.start(1, 24))
    assert rows.shape == (1, 2, trunk.dimension)
    assert [one.shape for one in state] == [one.shape for one in trunk.start(1, 24)]


def test_no_picture_is_told_from_a_dark_one() -> None:
    front = Front("googlenet", 0.125, SIZE).eval()
    seen = torch.zeros(1, 4, SIZE, SIZE, 3, dtype=torch.uint8)
    seen[0, 1] = 1  # as dark as a camera's picture gets
    with torch.inference_mode():
        rows, _ = front(seen, ())
    assert [bool(row.any()) for row in rows[0]] == [False, True, False, False]
