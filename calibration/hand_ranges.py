"""What the tensors of the hand network range over, on the demo's clips: `python -m calibration.hand_ranges`.

Writes `engines/pose/blaze/hand_ranges.json`, by which `engines.pose.blaze.quantize` turns them into bytes, and how far landmarks
then are from those in float32 on hands of another signer, the one of the demo's stream.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from onnxruntime.quantization.calibrate import CalibrationDataReader, CalibrationMethod, create_calibrator
from rich.console import Console
from rich.progress import track

from engines.pose.blaze import networks
from engines.pose.blaze.estimator import PRESENT, BlazePose, open_networks
from engines.pose.blaze.quantize import OPERATORS, RANGES, Ranges, quantized
from engines.runtime.onnxruntime import OnnxRuntimeEngine
from stream.demo import gallery_clips, stream_path
from stream.sources import read_frames

Picture = NDArray[np.uint8]

EVERY = 3
"""Of a video's frames one is looked at."""


class _Kept(OnnxRuntimeEngine):
    """The hand network, which keeps the pictures that it was given."""

    def __init__(self) -> None:
        super().__init__(networks.network(networks.HAND), threads=1)
        self.pictures: list[Picture] = []

    def run(self, inputs: Mapping[str, NDArray[np.generic]]) -> dict[str, NDArray[np.float32]]:
        self.pictures.extend(np.asarray(inputs["image"], np.uint8))
        return super().run(inputs)


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, pictures: Iterable[Picture]) -> None:
        self._left: Iterator[Picture] = iter(pictures)

    def get_next(self) -> dict[str, Picture] | None:
        picture = next(self._left, None)
        return None if picture is None else {"image": picture[None]}


def hands(videos: Iterable[Path]) -> list[Picture]:
    """What the hand network is given of some videos: (224, 224, 3) each.

    Raises:
        SourceUnreadable: a video is damaged.
        MissingExtra, PoseError, EngineError: the networks do not start.
    """
    kept = _Kept()
    estimator = BlazePose(replace(open_networks(threads=1), hand=kept))
    for video in videos:
        estimator.reset()
        for number, frame in enumerate(read_frames(video)):
            if number % EVERY == 0:
                estimator.estimate(frame.image)
    return kept.pictures


def ranges_of(model: bytes, pictures: Sequence[Picture]) -> dict[str, tuple[float, float]]:
    """The least and the greatest value of what `OPERATORS` read and write."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        path.write_bytes(model)
        calibrator = create_calibrator(
            path,
            list(OPERATORS),
            str(Path(folder) / "observed.onnx"),
            calibrate_method=CalibrationMethod.MinMax,
        )
        calibrator.collect_data(_Reader(pictures))
        found = calibrator.compute_data()
    ends = {name: [float(np.asarray(end).item()) for end in one.range_value] for name, one in found.items()}
    return {name: (low, high) for name, (low, high) in sorted(ends.items())}


def apart(model: bytes, ranges: Ranges, pictures: Sequence[Picture]) -> NDArray[np.float32]:
    """How far each landmark (N, 21) in bytes is from the same one in float32, in sides of the picture; of hands that are there."""
    engines = [OnnxRuntimeEngine(one, threads=1) for one in (model, quantized(model, ranges))]
    rows = []
    for picture in pictures:
        exact, bytewise = (engine.run({"image": picture[None]}) for engine in engines)
        if exact["presence"][0, 0] > PRESENT:
            difference = (exact["landmarks"] - bytewise["landmarks"]).reshape(21, 3)[:, :2]
            rows.append(np.linalg.norm(difference, axis=1) / networks.HAND.side)
    return np.array(rows, np.float32)


def main() -> None:
    """Measure and write."""
    console = Console(stderr=True)
    model = networks.network(networks.HAND)
    seen = hands(track([*gallery_clips().values()], "looking at hands", console=console))
    with console.status("measuring"):
        ranges = ranges_of(model, seen)
        distance = apart(model, ranges, hands([stream_path()]))
    result = {
        "made_by": "python -m calibration.hand_ranges",
        "date": time.strftime("%Y-%m-%d"),
        "hands": len(seen),
        "landmarks_apart": {  # sides of a hand's crop, on the demo's stream
            "median": round(float(np.median(distance)), 5),
            "p95": round(float(np.percentile(distance, 95)), 5),
        },
        "ranges": {name: [round(end, 4) for end in ends] for name, ends in ranges.items()},
    }
    RANGES.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(f"{RANGES}: {len(ranges)} ranges of {len(seen)} hands; landmarks {result['landmarks_apart']} apart")


if __name__ == "__main__":
    main()
