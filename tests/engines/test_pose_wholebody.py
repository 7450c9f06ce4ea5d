"""A user's own whole-body network as a pose estimator, on small networks of that interface with known answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from engines.encoders import load_encoder
from engines.errors import ConfigError, PoseError
from engines.landmarks import Landmarks
from engines.pose.choice import open_pose
from engines.pose.wholebody import POSE, WholeBodyPose, heatmap_peaks, simcc_peaks

HEIGHT, WIDTH = 64, 48
Image = NDArray[np.uint8]
Nodes = list[Any]

# Keypoints of COCO-WholeBody by what is painted where; every other keypoint looks for a colour that is nowhere.
RED = (5, 6)  # the shoulders look for red, ...
GREEN = (9, *range(91, 112))  # ... the left wrist and the left hand for green
BLUE = (0,)  # ... and the nose for blue


def write(
    path: Path, nodes: Nodes, weights: dict[str, NDArray[Any]], outputs: list[str], metadata: dict[str, str]
) -> Path:
    size = [HEIGHT, WIDTH]
    graph = helper.make_graph(
        nodes,
        "pose",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", 3, *size])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    helper.set_model_props(model, metadata)
    path.write_bytes(model.SerializeToString())
    return path


def colours(keypoints: int = 133) -> NDArray[np.float32]:
    """(K, 3, 1, 1): a keypoint's map is one colour's channel less the others'."""
    weights = np.full((keypoints, 3, 1, 1), -1.0, np.float32)
    for channel, wanted in enumerate((RED, GREEN, BLUE)):
        for keypoint in wanted:
            if keypoint < keypoints:
                weights[keypoint, channel] = 1.0
    return weights


def heatmap_network(path: Path, metadata: dict[str, str], keypoints: int = 133) -> Path:
    """Looks for colours: the mean over 4x4 pixels of one channel less the others. Peaks lie where the colour is."""
    nodes = [
        helper.make_node("Conv", ["input", "colours"], ["all"]),
        helper.make_node("AveragePool", ["all"], ["heatmaps"], kernel_shape=[4, 4], strides=[4, 4]),
    ]
    return write(path, nodes, {"colours": colours(keypoints)}, ["heatmaps"], metadata)


def simcc_network(path: Path, metadata: dict[str, str], *, swapped: bool = False) -> Path:
    """The same, with the greatest value of each column and of each row, at two bins a pixel."""
    doubled = {"none": np.zeros(0, np.float32), "double": np.array([1, 1, 2], np.float32)}
    names = ["simcc_x", "simcc_y"]
    nodes = [helper.make_node("Conv", ["input", "colours"], ["all"])]
    for axis, name in ((2, "simcc_x"), (3, "simcc_y")):
        nodes += [
            helper.make_node("ReduceMax", ["all"], [f"{name}.most"], axes=[axis], keepdims=0),
            helper.make_node(
                "Resize",
                [f"{name}.most", "none", "double"],
                [name],
                mode="nearest",
                coordinate_transformation_mode="asymmetric",
                nearest_mode="floor",
            ),
        ]
    weights = {"colours": colours(), **doubled}
    return write(path, nodes, weights, names[::-1] if swapped else names, metadata)


PLAIN = {"mean": "[0, 0, 0]", "std": "[255, 255, 255]"}


def painted(size: tuple[int, int], *spots: tuple[tuple[int, int], int], side: int = 8) -> Image:
    """Black (H, W, 3) with squares of one primary colour each, given by their middle (x, y)."""
    image = np.zeros((*size, 3), np.uint8)
    for (x, y), channel in spots:
        image[y - side // 2 : y + side // 2, x - side // 2 : x + side // 2, channel] = 255
    return image


def scene(shift: int = 0) -> tuple[Image, dict[str, tuple[int, int]]]:
    """A 'person' of three spots in a frame of the network's own proportions, four times its size."""
    places = {"shoulder": (100, 100), "hand": (140 + shift, 180), "nose": (100, 40)}
    image = painted(
        (4 * HEIGHT, 4 * WIDTH), (places["shoulder"], 0), (places["hand"], 1), (places["nose"], 2), side=24
    )
    return image, places


@pytest.mark.parametrize("make", [heatmap_network, simcc_network])
def test_keypoints_are_found_where_they_are(tmp_path: Path, make: Any) -> None:
    with WholeBodyPose(make(tmp_path / "net.onnx", PLAIN)) as pose:
        image, places = scene()
        for _ in range(3):  # the whole frame at first, then the box around what was found
            found = pose.estimate(image)
            height, width = image.shape[:2]
            for point, place in ((11, "shoulder"), (12, "shoulder"), (15, "hand"), (0, "nose")):
                x, y = found.pose[point, :2] * (width, height)
                assert np.hypot(x - places[place][0], y - places[place][1]) < 20, (point, x, y)
            assert found.has("left_hand")
            assert not found.has("right_hand")


def test_a_smaller_box_places_points_finer_than_the_whole_frame(tmp_path: Path) -> None:
    """A signer who fills a tenth of a wide picture would else be seen by a tenth of the network."""
    spots = ((304, 140), 0), ((334, 180), 1), ((304, 93), 2)
    image = painted((256, 480), *spots, side=24)
    with WholeBodyPose(simcc_network(tmp_path / "net.onnx", PLAIN)) as pose:
        errors = []
        for _ in range(4):
            x, y = pose.estimate(image).pose[0, :2] * (480, 256)
            errors.append(
                float(np.hypot(x - (304 - 12), y - (93 - 12)))
            )  # the first of equal peaks: a corner
    assert errors[-1] < 5 < errors[0]


def test_the_box_follows_and_is_given_up_when_nobody_is_seen(tmp_path: Path) -> None:
    with WholeBodyPose(simcc_network(tmp_path / "net.onnx", PLAIN)) as pose:
        image, _ = scene()
        assert pose.estimate(image).has("pose")
        nobody = pose.estimate(np.zeros_like(image))
        assert not any(nobody.has(part) for part in ("pose", "left_hand", "right_hand"))
        assert np.isnan(nobody.pose).all()
        far = painted((4 * HEIGHT, 4 * WIDTH), ((20, 230), 0), ((40, 240), 1), ((20, 210), 2))
        x, y = pose.estimate(far).pose[11, :2] * (image.shape[1], image.shape[0])
        assert np.hypot(x - 20, y - 230) < 12, "the whole frame was looked at again"


def test_after_a_reset_a_frame_gives_what_it_gives_at_first(tmp_path: Path) -> None:
    """Replay and enrolment start from here."""
    with WholeBodyPose(heatmap_network(tmp_path / "net.onnx", PLAIN)) as pose:
        image, _ = scene()
        first = pose.estimate(image)
        assert not np.array_equal(pose.estimate(image).pose, first.pose, equal_nan=True)
        pose.reset()
        np.testing.assert_array_equal(pose.estimate(image).pose, first.pose)


# -- decoding, against values worked by hand -------------------------------------------------------------------


def test_heatmaps_are_read_with_a_quarter_pixel_towards_the_higher_neighbour() -> None:
    maps = np.zeros((2, 8, 10), np.float32)
    maps[0, 3, 4], maps[0, 3, 5], maps[0, 2, 4] = 0.9, 0.5, 0.4  # higher to the right, and above
    maps[1, 0, 9] = 2.0  # in the corner, and beyond 1
    places, scores = heatmap_peaks(maps)
    np.testing.assert_allclose(places, [(4.25 / 10, 2.75 / 8), (0.9, 0.0)])
    np.testing.assert_allclose(scores, [0.9, 1.0])


def test_simcc_is_read_by_its_two_peaks_and_trusts_the_lesser() -> None:
    along_x, along_y = np.zeros((1, 20), np.float32), np.zeros((1, 16), np.float32)
    along_x[0, 7], along_y[0, 12] = 0.8, 0.6
    places, scores = simcc_peaks(along_x, along_y)
    np.testing.assert_allclose(places, [(7 / 20, 12 / 16)])
    np.testing.assert_allclose(scores, [0.6])


def test_outputs_are_told_apart_by_their_size(tmp_path: Path) -> None:
    image, places = scene()
    with WholeBodyPose(simcc_network(tmp_path / "swapped.onnx", PLAIN, swapped=True)) as pose:
        x, y = pose.estimate(image).pose[0, :2] * (image.shape[1], image.shape[0])
    assert np.hypot(x - places["nose"][0], y - places["nose"][1]) < 20


# -- what is taken from which keypoint -------------------------------------------------------------------------


def test_keypoints_go_to_the_landmarks_of_the_same_name() -> None:
    """MediaPipe's landmarks and COCO-WholeBody's keypoints by their documents' names, side by side."""
    mediapipe = {0: "nose", 2: "left eye", 5: "right eye", 7: "left ear", 8: "right ear", 11: "left shoulder"}
    mediapipe |= {
        12: "right shoulder",
        13: "left elbow",
        14: "right elbow",
        15: "left wrist",
        16: "right wrist",
    }
    mediapipe |= {23: "left hip", 24: "right hip", 25: "left knee", 26: "right knee", 27: "left ankle"}
    mediapipe |= {
        28: "right ankle",
        29: "left heel",
        30: "right heel",
        31: "left big toe",
        32: "right big toe",
    }
    coco = ["nose", "left eye", "right eye", "left ear", "right ear", "left shoulder", "right shoulder"]
    coco += ["left elbow", "right elbow", "left wrist", "right wrist", "left hip", "right hip", "left knee"]
    coco += ["right knee", "left ankle", "right ankle", "left big toe", "left small toe", "left heel"]
    coco += ["right big toe", "right small toe", "right heel"]
    assert {landmark: coco[POSE[landmark]] for landmark in mediapipe} == mediapipe
    # The face's 68 points begin at 23; there the signer's right mouth corner is 48, the left one 54.
    assert (POSE[10], POSE[9]) == (23 + 48, 23 + 54)


def test_depth_and_world_are_unknown_and_harm_no_encoder(tmp_path: Path) -> None:
    with WholeBodyPose(heatmap_network(tmp_path / "net.onnx", PLAIN)) as pose:
        found = pose.estimate(scene()[0])
    assert np.isnan(found.pose[:, 2]).all()
    assert np.isnan(found.left_hand[:, 2]).all()
    assert np.isnan(found.pose_world).all()
    assert np.isfinite(found.pose[:, (0, 1, 3)]).all()
    for name in ("slgcn2d", "slgcn3d"):
        encoder = load_encoder(name, estimator=pose.name)
        rows = encoder.embed([np.stack([encoder.prepare(found)] * 16)])
        assert np.isfinite(rows).all(), name


def test_the_networks_own_normalisation_is_used(tmp_path: Path) -> None:
    """RTMPose exports differ; with the wrong mean a network finds next to nothing."""
    image, _ = scene()
    plain = WholeBodyPose(heatmap_network(tmp_path / "plain.onnx", PLAIN)).estimate(image)
    default = heatmap_network(tmp_path / "default.onnx", {})
    given = WholeBodyPose(default, mean=(0, 0, 0), std=(255, 255, 255)).estimate(image)
    np.testing.assert_array_equal(given.pose, plain.pose)
    chosen = open_pose(f"wholebody:{default},mean=0/0/0,std=255/255/255")
    np.testing.assert_array_equal(chosen.estimate(image).pose, plain.pose)
    assert chosen.name != WholeBodyPose(default).name, "else galleries of both would pass for one"
    assert not np.array_equal(WholeBodyPose(default).estimate(image).pose, plain.pose, equal_nan=True)


# -- what cannot be used ---------------------------------------------------------------------------------------


def test_a_missing_file_and_a_damaged_one_are_named(tmp_path: Path) -> None:
    with pytest.raises(PoseError, match=r"nowhere\.onnx cannot be read"):
        open_pose(f"wholebody:{tmp_path / 'nowhere.onnx'}")
    (tmp_path / "text.onnx").write_text("no network")
    with pytest.raises(PoseError, match=r"text\.onnx does not load"):
        open_pose(f"wholebody:{tmp_path / 'text.onnx'}")


def test_another_number_of_keypoints_is_refused(tmp_path: Path) -> None:
    """17 keypoints, or OpenPose's, would be read as other joints."""
    with pytest.raises(PoseError, match=r"gives heatmaps \(1, 17, 16, 12\).*133 keypoints"):
        WholeBodyPose(heatmap_network(tmp_path / "coco17.onnx", {}, keypoints=17))


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        (["n", 1, HEIGHT, WIDTH], r"must take one float32 \(N, 3, H, W\)"),  # grey
        ([8, 3, HEIGHT, WIDTH], r"must take one float32"),  # a fixed batch
        (["n", 3, "h", "w"], "leaves the size of its input free"),
    ],
)
def test_another_input_is_refused(tmp_path: Path, shape: list[int | str], said: str) -> None:
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Identity", ["input"], ["output"])],
        "pose",
        [value("input", TensorProto.FLOAT, shape)],
        [value("output", TensorProto.FLOAT, shape)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.save(model, tmp_path / "net.onnx")
    with pytest.raises(PoseError, match=said):
        WholeBodyPose(tmp_path / "net.onnx")


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ({"mean": "grey"}, "'mean' is no JSON"),
        ({"mean": "[1, 2]"}, "three numbers"),
        ({"std": "[1, 0, 1]"}, "std must be above 0"),
    ],
)
def test_a_normalisation_that_is_none_is_refused(tmp_path: Path, metadata: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        WholeBodyPose(heatmap_network(tmp_path / "net.onnx", metadata))


@pytest.mark.parametrize("words", ["", "net.onnx,mean=1/2", "net.onnx,size=3/4/5", "net.onnx,std=a/b/c"])
def test_options_that_are_none_are_refused(words: str) -> None:
    with pytest.raises(ConfigError, match="wholebody"):
        open_pose(f"wholebody:{words}")


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
def test_what_is_no_picture_is_refused(tmp_path: Path, image: Any) -> None:
    pose = WholeBodyPose(heatmap_network(tmp_path / "net.onnx", PLAIN))
    with pytest.raises(PoseError, match="RGB pictures"):
        pose.estimate(image)


def test_a_closed_estimator_says_so(tmp_path: Path) -> None:
    with WholeBodyPose(heatmap_network(tmp_path / "net.onnx", PLAIN)) as pose:
        pass
    with pytest.raises(PoseError, match="closed"):
        pose.estimate(scene()[0])
    pose.reset()
    found: Landmarks = pose.estimate(scene()[0])
    assert found.has("pose")
