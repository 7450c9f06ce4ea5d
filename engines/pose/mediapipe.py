"""MediaPipe Holistic as a pose estimator: the CPU default.

It runs Holistic's own graph, but only the part of it that the landmarks of body and hands come from: without the face
mesh and the segmentation a 736x414 frame takes 16.7 instead of 19.0 ms of wall time and 22.7 instead of 25.7 ms of CPU
time (2 cores, 120 frames of signing), and the landmarks are the same to the last bit. Holistic computes the hands'
world landmarks and throws them away; here they are kept.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from engines.closing import Closing
from engines.errors import MissingExtra, PoseError
from engines.landmarks import PARTS, Landmarks
from engines.pose.base import check_picture
from engines.pose.native_log import chatter_muted

GRAPH = "mediapipe/modules/holistic_landmark/holistic_landmark_cpu.binarypb"
POSE_MODELS = {
    0: "mediapipe/modules/pose_landmark/pose_landmark_lite.tflite",
    1: "mediapipe/modules/pose_landmark/pose_landmark_full.tflite",
    2: "mediapipe/modules/pose_landmark/pose_landmark_heavy.tflite",
}
_HAND = "handlandmarksleftandrightcpu__handlandmarksfromposecpu_{}__handlandmarkcpu__hand_world_landmarks"
STREAMS = {
    "pose": "pose_landmarks",
    "left_hand": "left_hand_landmarks",
    "right_hand": "right_hand_landmarks",
    "pose_world": "pose_world_landmarks",
    "left_hand_world": _HAND.format(1),
    "right_hand_world": _HAND.format(2),
}
"""Part of `Landmarks` -> stream of the expanded graph that carries it."""
FACE_STREAM = "face_landmarks"
FACE_POINTS = (
    *(162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389),  # jaw, from the signer's right
    *(71, 63, 105, 66, 107, 336, 296, 334, 293, 301),  # brows
    *(168, 197, 5, 4, 75, 97, 2, 326, 305),  # nose: bridge, tip, nostrils
    *(33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380),  # eyes
    *(61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181),  # lips outside
    *(78, 82, 13, 312, 308, 317, 14, 87),  # and inside
    *(468, 473),  # pupils
)  # fmt: skip
"""Where the face mesh with irises (478 points) has each of OpenPose's 70."""

FRAME_US = 33_333
"""Time between frames as the graph's smoothing filters see it: constant, as in MediaPipe's own Python API, so that
the landmarks depend on the pictures alone."""


class HolisticPose(Closing):
    """Body and both hands of one person, tracked from frame to frame. Not for use from two threads at once."""

    def __init__(self, *, complexity: Literal[0, 1, 2] = 1, face: bool = False) -> None:
        """Open the graph and load its networks (about 0.1 s, after 0.7 s for the first import of mediapipe).

        Args:
            complexity: of the body network; the wheel ships the network of 1 alone.
            face: look for 70 points of the face, too.

        Raises:
            MissingExtra: mediapipe is not installed.
            PoseError: the body network is not there, or the graph does not open.
        """
        try:
            import mediapipe
        except ImportError as error:
            raise MissingExtra(
                f"pose estimation with MediaPipe cannot start ({error}): pip install mediapipe==0.10.21"
            ) from error
        root = Path(mediapipe.__file__).parent.parent
        network = root / POSE_MODELS[complexity]
        if not network.is_file():
            raise PoseError(
                f"complexity {complexity} needs {network.name}, which the mediapipe wheel does not ship: "
                f"use complexity 1, or put the file at {network}"
            )
        self._name = f"holistic{'+face' if face else ''}-{mediapipe.__version__}-c{complexity}"
        self._face = face
        self._seen: dict[str, Any] = {}  # stream -> packet of the frame in work
        self._mp = mediapipe
        try:
            streams = [*STREAMS.values(), *([FACE_STREAM] if face else [])]
            self._graph = mediapipe.CalculatorGraph(graph_config=_landmark_graph(root, streams))
            for stream in streams:
                self._graph.observe_output_stream(stream, self._seen.__setitem__, True)
        except (RuntimeError, ValueError) as error:
            raise PoseError(f"MediaPipe's Holistic graph cannot be set up: {error}") from error
        boolean = mediapipe.packet_creator.create_bool
        self._options = {
            "model_complexity": mediapipe.packet_creator.create_int(complexity),
            "smooth_landmarks": boolean(True),
            "enable_segmentation": boolean(False),
            "smooth_segmentation": boolean(False),
            "refine_face_landmarks": boolean(face),
            "use_prev_landmarks": boolean(True),
        }
        self._open = False
        self._time_us = 0
        self._muted = True
        self.reset()

    @property
    def name(self) -> str:
        """MediaPipe's version and the complexity: "holistic-0.10.21-c1", with the face "holistic+face-0.10.21-c1"."""
        return self._name

    def reset(self) -> None:
        """Forget the tracking state (40 to 70 ms: the networks are loaded anew).

        What follows is the same, to the last bit, as from a new estimator. Where there is nothing to forget, this
        costs nothing.

        Raises:
            PoseError: the graph does not open.
        """
        if self._open and self._time_us == 0:
            return
        self.close()
        self._time_us = 0
        self._muted = True
        with chatter_muted():
            try:
                self._graph.start_run(self._options)
                self._graph.wait_until_idle()  # loading happens in threads: have it here, not in the first frame
            except RuntimeError as error:
                raise PoseError(f"MediaPipe's Holistic graph does not open: {error}") from error
        self._open = True
        _return_memory()

    def estimate(self, image: NDArray[np.uint8]) -> Landmarks:
        """Landmarks of one frame.

        Args:
            image: uint8 (H, W, 3), RGB.

        Raises:
            PoseError: the image has another shape or type, or the graph fails on it.
        """
        check_picture(image)
        height, width, _ = image.shape
        if not self._open:
            raise PoseError("this pose estimator is closed: reset() opens it again")
        self._seen.clear()
        self._time_us += FRAME_US
        # One more warning comes with the first person seen.
        with chatter_muted() if self._muted else nullcontext():
            self._push(np.ascontiguousarray(image))
        parts: dict[str, Any] = {part: self._part(part) for part in PARTS}
        self._muted &= bool(np.isnan(parts["pose"][0, 0]))
        face = self._face_points() if self._face else None
        return Landmarks(**parts, width=width, height=height, estimator=self._name, face=face)

    def close(self) -> None:
        """Release the networks."""
        if self._open:
            self._open = False
            self._graph.close()

    def _push(self, image: NDArray[np.uint8]) -> None:
        packet = self._mp.packet_creator.create_image_frame(image, image_format=self._mp.ImageFormat.SRGB)
        try:
            self._graph.add_packet_to_input_stream(stream="image", packet=packet.at(self._time_us))
            self._graph.wait_until_idle()
        except (RuntimeError, ValueError) as error:
            raise PoseError(f"MediaPipe fails on a picture of shape {image.shape}: {error}") from error

    def _face_points(self) -> NDArray[np.float32] | None:
        packet = self._seen.get(FACE_STREAM)
        if packet is None or packet.is_empty():
            return None
        mesh = self._mp.packet_getter.get_proto(packet).landmark
        return np.array([(mesh[index].x, mesh[index].y) for index in FACE_POINTS], np.float32)

    def _part(self, part: str) -> NDArray[np.float32]:
        rows, columns = PARTS[part]
        packet = self._seen.get(STREAMS[part])
        if packet is None or packet.is_empty():
            return np.full((rows, columns), np.nan, np.float32)
        landmarks = self._mp.packet_getter.get_proto(packet).landmark
        # 12 us for 33 landmarks; decoding the serialised bytes with numpy saves 0.2% of a frame's time.
        if columns == 4:
            return np.array([(mark.x, mark.y, mark.z, mark.visibility) for mark in landmarks], np.float32)
        return np.array([(mark.x, mark.y, mark.z) for mark in landmarks], np.float32)


def _return_memory() -> None:
    """Give the memory of networks that were unloaded back to the system, where the C library can (2 ms).

    It would stay with the process otherwise: 160 resets made it grow by 60 to 100 MB, with this by 20.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None
    if trim is not None:
        trim(0)


def _landmark_graph(root: Path, streams: Iterable[str]) -> Any:
    """The nodes of Holistic's graph, sub-graphs expanded, that some streams depend on."""
    from mediapipe.framework import calculator_pb2
    from mediapipe.python import ValidatedGraphConfig, resource_util

    resource_util.set_resource_dir(str(root))
    whole = ValidatedGraphConfig()
    whole.initialize(binary_graph_path=str(root / GRAPH))
    graph = calculator_pb2.CalculatorGraphConfig()
    graph.ParseFromString(whole.binary_config)
    needed = set(streams)
    kept: set[int] = set()
    while True:
        before = len(kept)
        for index, node in enumerate(graph.node):
            if index not in kept and needed & _names(node.output_stream, node.output_side_packet):
                kept.add(index)
                needed |= _names(node.input_stream, node.input_side_packet)
        if len(kept) == before:
            break
    nodes = [node for index, node in enumerate(graph.node) if index in kept]
    outputs = [spec for spec in graph.output_stream if _names([spec]) & needed]
    del graph.node[:], graph.output_stream[:]
    graph.node.extend(nodes)
    graph.output_stream.extend(outputs)
    return graph


def _names(*specs: Iterable[str]) -> set[str]:
    """Names of streams given as "TAG:index:name"."""
    return {spec.rsplit(":", 1)[-1] for group in specs for spec in group}
