"""MediaPipe's networks on our engines: the conversion, the regions, the smoothing, and the estimator as a whole."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.data import astronaut

from engines.errors import ConfigError, EngineError, PoseError
from engines.landmarks import PARTS, Landmarks
from engines.pose.blaze import networks, quantize, regions
from engines.pose.blaze.convert import to_onnx
from engines.pose.blaze.detector import ANCHORS, best_person
from engines.pose.blaze.estimator import BlazePose, open_networks
from engines.pose.blaze.regions import Region
from engines.pose.blaze.smoothing import FRAME_S, LowPass, OneEuro
from engines.pose.blaze.tflite import dense, mediapipe_folder, read_tflite
from engines.pose.choice import family, open_pose, pose_of
from engines.pose.mediapipe import HolisticPose
from engines.runtime.onnxruntime import OnnxRuntimeEngine
from stream.demo import gallery_clips

Image = NDArray[np.uint8]

ALL = (networks.PERSON, networks.POSE, networks.RECROP, networks.HAND, networks.PALM)


@pytest.fixture(scope="module")
def person() -> Image:
    """A picture of a woman, facing the camera, hands down: 512x512, public domain (NASA)."""
    return np.ascontiguousarray(astronaut())  # type: ignore[no-untyped-call]


@pytest.fixture(scope="module")
def estimator() -> Iterator[BlazePose]:
    with BlazePose() as pose:
        yield pose


def signing(frames: int = 40) -> list[Image]:
    """The beginning of a clip of the demo's signer."""
    clip = next(iter(gallery_clips().values()))
    images = []
    with av.open(str(clip)) as container:
        for frame in container.decode(video=0):
            images.append(np.asarray(frame.to_ndarray(format="rgb24"), np.uint8))
            if len(images) == frames:
                break
    return images


# -- the networks ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ALL, ids=lambda source: Path(source.file).stem)
def test_a_converted_network_computes_what_tflite_computes(source: networks.Source, person: Image) -> None:
    tflite = pytest.importorskip("tflite_runtime.interpreter")
    reference = tflite.Interpreter(str(mediapipe_folder() / source.file))
    reference.allocate_tensors()
    entry = reference.get_input_details()[0]
    picture = Region(256.0, 256.0, 512.0, 512.0, 0.1).crop(person, source.side)
    scaled = picture[None] * np.float32((1 - source.low) / 255) + np.float32(source.low)
    reference.set_tensor(entry["index"], scaled.astype(np.float32))
    reference.invoke()
    by_name = {one["name"]: reference.get_tensor(one["index"]) for one in reference.get_output_details()}

    found = OnnxRuntimeEngine(networks.network(source)).run(
        {"image": np.stack([picture, picture[:, ::-1], picture])}
    )

    for place, name in source.outputs.items():
        key = f"Identity_{place}" if place else "Identity" if "Identity" in by_name else next(iter(by_name))
        expected = by_name[key][0]
        scale = max(np.abs(expected).max(), 0.1)
        np.testing.assert_allclose(found[name][0], expected, atol=2e-5 * scale, err_msg=name)
        np.testing.assert_array_equal(
            found[name][0], found[name][2], err_msg="a row depends on its own picture alone"
        )


def test_a_sparse_tensor_is_laid_out_as_tensorflow_says() -> None:
    """The example of TensorFlow's own sparsity schema: [[1, 0, 2], [0, 0, 3]] by rows, compressed columns."""
    levels = [
        SimpleNamespace(format=0, denseSize=2),
        SimpleNamespace(
            format=1,
            arraySegments=SimpleNamespace(values=[0, 2, 3]),
            arrayIndices=SimpleNamespace(values=[0, 2, 2]),
        ),
    ]
    sparsity = SimpleNamespace(traversalOrder=[0, 1], blockMap=None, dimMetadata=levels)
    found = dense(np.array([1, 2, 3], np.float32), (2, 3), SimpleNamespace(sparsity=sparsity))
    np.testing.assert_array_equal(found, [[1, 0, 2], [0, 0, 3]])


def test_blocks_of_a_sparse_tensor_lie_side_by_side() -> None:
    """A 2x4 tensor of 1x2 blocks, of which the first row's second and the second row's first are stored."""
    levels = [
        SimpleNamespace(format=0, denseSize=2),
        SimpleNamespace(
            format=1,
            arraySegments=SimpleNamespace(values=[0, 1, 2]),
            arrayIndices=SimpleNamespace(values=[1, 0]),
        ),
        SimpleNamespace(format=0, denseSize=2),
    ]
    sparsity = SimpleNamespace(traversalOrder=[0, 1, 2], blockMap=[1], dimMetadata=levels)
    found = dense(np.array([1, 2, 3, 4], np.float32), (2, 4), SimpleNamespace(sparsity=sparsity))
    np.testing.assert_array_equal(found, [[0, 0, 1, 2], [3, 4, 0, 0]])


def test_a_file_that_is_no_network_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "hand.tflite"
    path.write_bytes(b"not a network at all")
    with pytest.raises(EngineError, match=r"hand\.tflite is no TFLite network"):
        read_tflite(path)
    whole = (mediapipe_folder() / networks.RECROP.file).read_bytes()
    path.write_bytes(whole[: len(whole) // 3])
    with pytest.raises(EngineError, match=r"hand\.tflite is damaged"):
        read_tflite(path)
    with pytest.raises(EngineError, match="there is no network at"):
        read_tflite(tmp_path / "missing.tflite")


def test_an_operator_that_is_not_supported_is_named() -> None:
    network = read_tflite(mediapipe_folder() / "modules/selfie_segmentation/selfie_segmentation.tflite")
    with pytest.raises(EngineError, match=r"operator \w+ is not supported"):
        to_onnx(network, outputs={0: "mask"}, low=0.0, high=1.0)


def test_the_runtime_of_the_networks_can_be_chosen() -> None:
    opened = networks.engine(networks.RECROP, 1, "torch")
    assert opened.where().runtime.startswith("torch")
    picture = np.full((1, networks.RECROP.side, networks.RECROP.side, 3), 90, np.uint8)
    usual = networks.engine(networks.RECROP, 1).run({"image": picture})["points"]
    assert np.allclose(opened.run({"image": picture})["points"], usual, rtol=1e-4, atol=1e-3)
    with pytest.raises(ConfigError, match="no engine 'openvino'"):
        networks.engine(networks.RECROP, 1, "openvino")


def test_a_damaged_network_in_the_cache_is_converted_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    model = networks.network(networks.RECROP)
    (kept,) = networks.cache_folder().glob("*.onnx")
    assert kept.read_bytes() == model
    for damaged in (kept, kept.with_suffix(".sha256")):
        damaged.write_bytes(b"\xff\xfe" + damaged.read_bytes()[:1000])
        assert networks.network(networks.RECROP) == model
        assert kept.read_bytes() == model, "and mended"


def test_a_cache_that_cannot_be_written_is_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert OnnxRuntimeEngine(networks.network(networks.RECROP)).inputs[0].name == "image"


def test_a_wheel_without_the_networks_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "mediapipe_folder", lambda: tmp_path)
    with pytest.raises(
        PoseError, match=r"does not ship modules/hand_landmark/.*pip install mediapipe==0\.10\.21"
    ):
        networks.network(networks.HAND)


# -- hands in bytes --------------------------------------------------------------------------------------------


def test_hands_in_bytes_are_where_they_are_in_float32() -> None:
    if not quantize.is_fast_here():
        pytest.skip("without VNNI the products of bytes overflow")
    found = []
    for runtime in (None, "onnxruntime"):
        with BlazePose(open_networks(threads=1, runtime=runtime)) as pose:
            found.append([pose.estimate(image) for image in signing(60)])
    for side in ("left_hand", "right_hand"):
        quick, exact = (np.stack([getattr(one, side)[:, :2] for one in each]) for each in found)
        seen = ~np.isnan(exact[:, 0, 0])
        assert (seen & ~np.isnan(quick[:, 0, 0])).sum() >= 0.97 * seen.sum()
        shoulders = np.median([np.linalg.norm(one.pose[11, :2] - one.pose[12, :2]) for one in found[1]])
        apart = np.linalg.norm(quick - exact, axis=-1)[seen] / shoulders
        assert 0 < np.nanmedian(apart) < 0.015, side


def test_only_processors_that_are_made_for_bytes_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    exact, quick = networks.network(networks.HAND), networks.network(networks.HAND, quantize=True)
    assert len(quick) < 0.6 * len(exact)
    given: list[bytes] = []

    def opened(model: bytes, **_: object) -> OnnxRuntimeEngine:
        given.append(model)
        return OnnxRuntimeEngine(model)

    monkeypatch.setattr(networks, "OnnxRuntimeEngine", opened)
    monkeypatch.setattr(networks, "open_engine", opened)
    monkeypatch.setattr(networks, "gpu_name", lambda: "")
    for features, runtime, expected in (
        ({"avx2"}, None, exact),
        ({"avx2", "avx512_vnni"}, None, quick),
        ({"avx_vnni"}, "auto", quick),
        ({"avx512_vnni"}, "onnxruntime", exact),
    ):
        monkeypatch.setattr(quantize, "processor_features", lambda features=features: frozenset(features))
        networks.engine(networks.HAND, 1, runtime)
        assert given.pop() == expected, (features, runtime)
    networks.engine(networks.RECROP, 1)
    assert given.pop() == networks.network(networks.RECROP)


def test_a_tensor_whose_range_nobody_measured_is_named() -> None:
    ranges = quantize.read_ranges()
    del ranges["t104"]
    with pytest.raises(EngineError, match="no range for 1 of the network's tensors, t104"):
        quantize.quantized(networks.network(networks.HAND), ranges)


# -- regions, smoothing, detector ---------------------------------------------------------------------------------


def test_a_crop_shows_what_its_landmarks_are_put_back_to() -> None:
    picture = np.zeros((300, 400, 3), np.uint8)
    picture[120:123, 250:253] = 255  # a mark around (251, 121)
    region = Region(230.0, 140.0, 100.0, 100.0, 0.7)
    crop = region.crop(picture, 200)
    y, x = np.argwhere(crop[:, :, 0] > 128).mean(0)
    place = region.put_back(np.array([[x / 200, y / 200]], np.float32))[0]
    np.testing.assert_allclose(place, (251, 121), atol=0.6)


def test_a_region_is_upright_for_the_one_it_is_put_around() -> None:
    """A person lying on the side: the second point is to the right of the centre, and is to be above it."""
    region = regions.of_points(np.array([[100, 100], [150, 100]], np.float32), math.pi / 2)
    assert (region.width, region.height) == (100, 100)
    above = region.put_back(np.array([[0.5, 0.0]], np.float32))[0]
    np.testing.assert_allclose(above, (150, 100), atol=1e-4)


def test_a_hand_that_moves_far_is_looked_for_where_the_body_says() -> None:
    now = Region(200.0, 200.0, 100.0, 100.0, 0.0)
    hand = np.full((21, 2), 200, np.float32)
    near = Region(215.0, 200.0, 90.0, 90.0, math.radians(30))
    assert regions.tracked(near, hand, now) is near
    for lost in (
        Region(225.0, 200.0, 90.0, 90.0, 0.0),  # moved by a quarter
        Region(200.0, 200.0, 90.0, 90.0, math.radians(50)),  # turned
        Region(200.0, 200.0, 50.0, 50.0, 0.0),  # shrunk by half
    ):
        assert regions.tracked(lost, hand, now) is now
    outside = hand.copy()
    outside[8] = (200, 248)  # a fingertip in the margin
    assert regions.tracked(near, outside, now) is now


def test_the_one_euro_filter_is_the_papers() -> None:
    """Against the pseudo-code of Casiez et al. (2012), number by number."""

    def alpha(cutoff: float) -> float:
        tau = 1 / (2 * math.pi * cutoff)
        return 1 / (1 + tau * (1 / FRAME_S))

    values = np.random.default_rng(0).normal(size=30).cumsum()
    ours = OneEuro(cutoff_hz=0.5, speed=2.0, speed_cutoff_hz=1.5)
    previous, change, expected = values[0], 0.0, values[0]
    assert ours(values[:1])[0] == values[0]
    for value in values[1:]:
        speed = (value - previous) / FRAME_S / 10.0  # the object is 10 units large
        change = alpha(1.5) * speed + (1 - alpha(1.5)) * change
        share = alpha(0.5 + 2.0 * abs(change))
        expected = share * value + (1 - share) * expected
        previous = value
        assert ours(np.array([value]), 10.0)[0] == pytest.approx(expected, rel=1e-9)
    ours.reset()
    assert ours(np.array([7.0]))[0] == 7.0


def test_visibility_follows_slowly() -> None:
    smooth = LowPass(0.1)
    assert smooth(np.array([1.0]))[0] == 1.0
    assert smooth(np.array([0.0]))[0] == pytest.approx(0.9)
    assert smooth(np.array([0.0]))[0] == pytest.approx(0.81)


def test_overlapping_detections_are_averaged_and_the_surest_person_wins() -> None:
    boxes, scores = np.zeros((len(ANCHORS), 12), np.float32), np.full(len(ANCHORS), -50.0, np.float32)
    left, right = (int(np.argmin(np.abs(ANCHORS - place).sum(1))) for place in ((0.25, 0.5), (0.75, 0.5)))
    for anchor, logit in ((left, 2.0), (left + 2, 1.0), (right, 0.5)):
        boxes[anchor, :4] = (0, 0, 60, 60)
        boxes[anchor, 4:6] = (10, 0)  # mid-hip, 10 pixels to the right of the anchor
        scores[anchor] = logit
    points = best_person(boxes, scores)
    assert points is not None
    weights = 1 / (1 + np.exp([-2.0, -1.0]))
    expected = (ANCHORS[[left, left + 2], 0] * weights).sum() / weights.sum() + 10 / 224
    assert points[0, 0] == pytest.approx(expected, abs=1e-5)
    assert best_person(boxes, np.full(len(ANCHORS), -1000.0, np.float32)) is None


# -- the whole -----------------------------------------------------------------------------------------------------


def test_blaze_sees_what_holistic_sees() -> None:
    """Body and hands within 1.5% of the shoulders' width (median), and a hand wherever Holistic finds one."""
    frames = signing()
    apart: dict[str, list[NDArray[np.float64]]] = {"pose": [], "left_hand": [], "right_hand": []}
    seen = kept = 0
    with HolisticPose() as holistic, BlazePose() as blaze:
        for image in frames:
            theirs, ours = holistic.estimate(image), blaze.estimate(image)
            assert ours.has("pose") == theirs.has("pose")
            pixels = np.array([theirs.width, theirs.height])
            shoulders = np.linalg.norm((theirs.pose[11, :2] - theirs.pose[12, :2]) * pixels)
            np.testing.assert_allclose(ours.pose_world[:23], theirs.pose_world[:23], atol=0.05)
            for part, rows in apart.items():
                seen += part != "pose" and theirs.has(part)
                kept += part != "pose" and theirs.has(part) and ours.has(part)
                if theirs.has(part) and ours.has(part):
                    away = (getattr(ours, part)[:25, :2] - getattr(theirs, part)[:25, :2]) * pixels
                    rows.append(np.linalg.norm(away, axis=1) / shoulders)
    assert seen > 20, "the clip shows hands"
    assert kept >= 0.97 * seen
    for part, rows in apart.items():
        if rows:
            assert np.median(np.concatenate(rows)) <= 0.015, part


def assert_same(one: Landmarks, other: Landmarks) -> None:
    for part in PARTS:
        np.testing.assert_array_equal(getattr(one, part), getattr(other, part), err_msg=part)


def test_a_reset_estimator_is_as_good_as_new_and_a_rerun_is_the_same(estimator: BlazePose) -> None:
    frames = signing(12)
    with BlazePose() as new:
        expected = [new.estimate(image) for image in frames]
    estimator.reset()
    for image in frames[5:]:
        estimator.estimate(image)
    estimator.reset()
    for image, one in zip(frames, expected, strict=True):
        assert_same(estimator.estimate(image), one)


def test_nobody_is_nan_and_a_person_who_comes_is_found(estimator: BlazePose, person: Image) -> None:
    estimator.reset()
    empty = np.full((512, 512, 3), 128, np.uint8)
    for part in PARTS:
        assert np.isnan(getattr(estimator.estimate(empty), part)).all(), part
    found = estimator.estimate(person)
    np.testing.assert_allclose(found.pose[0, :2] * 512, (222, 125), atol=15)  # read off the picture by eye
    assert found.pose[11, 0] > found.pose[12, 0], (
        "the signer's own left is on the right of an unmirrored picture"
    )
    assert (found.width, found.height, found.estimator) == (512, 512, estimator.name)
    assert not estimator.estimate(empty).has("pose"), "and is gone again"


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((10, 10), np.uint8),  # grey
        np.zeros((10, 10, 4), np.uint8),  # with an alpha channel
        np.zeros((10, 10, 3), np.float32),  # not bytes
        np.zeros((0, 10, 3), np.uint8),  # empty
        "picture.jpg",
    ],
)
def test_what_is_no_picture_is_refused(estimator: BlazePose, image: Image) -> None:
    with pytest.raises(PoseError, match="picture"):
        estimator.estimate(image)


def test_a_closed_estimator_says_so(person: Image) -> None:
    with BlazePose() as pose:
        pass
    with pytest.raises(PoseError, match="closed"):
        pose.estimate(person)


def test_estimators_are_chosen_by_name_and_found_again_by_their_landmarks() -> None:
    for name in ("holistic", "blaze"):
        pose = open_pose(name)
        assert pose_of(pose.name) == name
        assert family(pose.name) == "holistic-0.10.21-c1", "their landmarks fit one gallery"
        pose.close()
    with pytest.raises(
        ConfigError, match=r"no pose estimator 'openpose': choose one of holistic, holistic\+face, blaze"
    ):
        open_pose("openpose")
