"""BlazePose and the two hands around it, tracked from frame to frame: what Holistic does, and nothing that nobody uses.

The body's region comes from its own landmarks in the frame before, and from the person detector only where they are
lost; each hand's region from the hand's landmarks in the frame before, unless the body says that it has moved too
far. There is no face mesh and no segmentation, and both hands go through their networks in one batch.

Sources: Bazarevsky et al., "BlazePose: On-device Real-time Body Pose Tracking" (2020); Zhang et al., "MediaPipe Hands"
(2020); Grishchenko and Bazarevsky, "MediaPipe Holistic" (2020); the graph in the wheel of mediapipe 0.10.21.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.closing import Closing
from engines.errors import PoseError
from engines.landmarks import PARTS, Landmarks
from engines.pose.base import check_picture
from engines.pose.blaze import networks, regions
from engines.pose.blaze.detector import best_person
from engines.pose.blaze.regions import Region
from engines.pose.blaze.smoothing import LowPass, OneEuro
from engines.runtime.base import Engine, Placement
from engines.runtime.batching import Batched

Array = NDArray[np.float32]

PRESENT = 0.5  # confidence from which a body or a hand is there
WRIST_VISIBLE = 0.1  # smoothed visibility of a wrist from which its hand is looked for
BODY, AUXILIARY = 33, 2  # landmarks that are given out, and those that only tell the next region
HEATMAP_REACH = 4  # cells around a landmark that its heatmap is read in
HEATMAP_SURE = 0.5  # confidence in the heatmap from which it moves the landmark
HAND_DEPTH = 0.4  # scale of a hand's z against its x
REGION_SCALE = 1.25  # of the circle around the body
NAME = "blaze-0.10.21-c1"

HANDS = (("left_hand", (15, 17, 19)), ("right_hand", (16, 18, 20)))
"""Each hand, and the body's landmarks of its wrist, little finger and index finger."""


@dataclass(slots=True)
class _Body:
    """What is known of the body from frame to frame."""

    region: Region | None = None
    places: OneEuro = field(default_factory=lambda: OneEuro(cutoff_hz=0.05, speed=80))
    visibility: LowPass = field(default_factory=LowPass)
    auxiliary: OneEuro = field(default_factory=lambda: OneEuro(cutoff_hz=0.01, speed=10))
    world: OneEuro = field(default_factory=lambda: OneEuro(cutoff_hz=0.1, speed=40))

    def lose(self) -> None:
        self.region = None
        for smoother in (self.places, self.visibility, self.auxiliary, self.world):
            smoother.reset()


@dataclass(frozen=True, slots=True)
class Networks:
    """What the estimators of all streams have in common."""

    person: Engine
    pose: Engine
    recrop: Engine
    hand: Engine
    threads: int = 1  # CPU threads that an estimator may use


def open_networks(
    *, threads: int | None = None, shared: bool = False, runtime: str | None = None
) -> Networks:
    """Load the networks (0.2 s; 4 s when they are converted, at the first start on a machine).

    Args:
        threads: CPU threads for a network; two by default, where there are two.
        shared: several estimators use them from threads of their own; what they run at a time is joined in one batch.
        runtime: what executes them, as `open_engine` takes it; ONNX Runtime on the CPU by default.

    Raises:
        MissingExtra: mediapipe, whose wheel the networks come from, or onnx is not installed.
        PoseError: the wheel lacks a network.
        EngineError: a network is damaged or cannot be executed.
    """
    threads = threads or min(2, os.cpu_count() or 1)
    opened = [
        networks.engine(source, threads, runtime)
        for source in (networks.PERSON, networks.POSE, networks.RECROP, networks.HAND)
    ]
    person, pose, recrop, hand = (Batched(engine) if shared else engine for engine in opened)
    return Networks(person, pose, recrop, hand, threads)


class BlazePose(Closing):
    """Body and both hands of one person. Not for use from two threads at once."""

    def __init__(self, shared: Networks | None = None, *, threads: int | None = None) -> None:
        """Start without a past.

        Args:
            shared: the networks, where several estimators share them; its own by default.
            threads: CPU threads for a network of its own; two by default, where there are two.

        Raises:
            MissingExtra, PoseError, EngineError: as `open_networks`.
        """
        self._networks = shared or open_networks(threads=threads)
        self._beside = ThreadPoolExecutor(1, "crop") if self._networks.threads > 1 else None
        self._parts_ms: dict[str, float] = {}
        self._closed = False
        self.reset()

    @property
    def name(self) -> str:
        """Whose networks: "blaze-0.10.21-c1", those of Holistic at complexity 1."""
        return NAME

    @property
    def parts_ms(self) -> Mapping[str, float]:
        """Work of the last `estimate`: "detector" where the body was lost, "body", "hands"; milliseconds."""
        return self._parts_ms

    def where(self) -> Placement:
        """Where the body's network runs (the others run beside it), and why not somewhere better."""
        return self._networks.pose.where()

    @contextmanager
    def _timed(self, part: str) -> Iterator[None]:
        start_ns = time.monotonic_ns()
        yield
        self._parts_ms[part] = (time.monotonic_ns() - start_ns) / 1e6

    def reset(self) -> None:
        """Forget the tracking state: what follows is the same as from a new estimator."""
        self._body = _Body()
        self._hands: list[Array | None] = [None, None]
        self._closed = False

    def close(self) -> None:
        """Stop; `reset` starts again."""
        self._closed = True

    def estimate(self, image: NDArray[np.uint8]) -> Landmarks:
        """Landmarks of one frame.

        Args:
            image: uint8 (H, W, 3), RGB.

        Raises:
            PoseError: the image has another shape or type, or the estimator is closed.
            EngineError: a network fails.
        """
        check_picture(image)
        if self._closed:
            raise PoseError("this pose estimator is closed: reset() opens it again")
        height, width, _ = image.shape
        found: dict[str, Any] = {name: np.full(shape, np.nan, np.float32) for name, shape in PARTS.items()}
        self._parts_ms = {}
        seen = self._estimate_body(image)
        if seen is None:
            self._hands = [None, None]
        else:
            places, visibility, world = seen
            unit = np.array([width, height, width], np.float32)
            found["pose"] = np.column_stack([places / unit, visibility]).astype(np.float32)
            found["pose_world"] = world
            with self._timed("hands"):
                self._estimate_hands(image, places, visibility, found)
        return Landmarks(**found, width=width, height=height, estimator=NAME)

    def _estimate_body(self, image: NDArray[np.uint8]) -> tuple[Array, Array, Array] | None:
        """Places (33, 3) in pixels, visibility (33,) and places in metres (33, 3), smoothed; None without a person."""
        body = self._body
        region = body.region
        if region is None:
            with self._timed("detector"):
                region = self._find_person(image)
        if region is None:
            body.lose()
            return None
        with self._timed("body"):
            return self._read_body(image, region)

    def _read_body(self, image: NDArray[np.uint8], region: Region) -> tuple[Array, Array, Array] | None:
        body = self._body
        crop = region.crop(image, networks.POSE.side)
        found = self._networks.pose.run({"image": crop[None]})
        if found["presence"][0, 0] <= PRESENT:
            body.lose()
            return None
        rows = found["landmarks"][0].reshape(-1, 5)
        local = rows[: BODY + AUXILIARY, :3] / np.float32(networks.POSE.side)
        _refine(local, found["heatmap"][0])
        places = region.put_back(local)
        scale = regions.of_points(places[BODY:, :2], math.pi / 2).width
        points = body.auxiliary(places[BODY:].astype(float), scale).astype(np.float32)
        body.region = regions.of_points(points[:, :2], math.pi / 2).moved(scale=REGION_SCALE)
        visibility = body.visibility(1 / (1 + np.exp(-rows[:BODY, 3].astype(float))))
        world = region.turn_back(found["world"][0].reshape(-1, 3)[:BODY])
        return (
            body.places(places[:BODY].astype(float), scale).astype(np.float32),
            visibility.astype(np.float32),
            body.world(world.astype(float)).astype(np.float32),
        )

    def _find_person(self, image: NDArray[np.uint8]) -> Region | None:
        height, width, _ = image.shape
        square = regions.whole(width, height)
        crop = square.crop(image, networks.PERSON.side, networks.PERSON.border)
        found = self._networks.person.run({"image": crop[None]})
        points = best_person(found["boxes"][0], found["scores"][0, :, 0])
        if points is None:
            return None
        return regions.of_points(square.put_back(points)[:2], math.pi / 2).moved(scale=REGION_SCALE)

    def _estimate_hands(
        self, image: NDArray[np.uint8], places: Array, visibility: Array, found: dict[str, Array]
    ) -> None:
        """Write the hands that are seen into `found`."""
        height, width, _ = image.shape
        looked = [
            (side, regions.of_hand_in_pose(*places[list(marks), :2]))
            for side, (_, marks) in enumerate(HANDS)
            if visibility[marks[0]] > WRIST_VISIBLE
        ]
        before, self._hands = self._hands, [None, None]
        if not looked:
            return
        crops = self._crops(image, [region for _, region in looked], networks.RECROP.side)
        points = self._networks.recrop.run({"image": crops})["points"].reshape(-1, 2, 2)
        chosen = []
        for (side, region), pair in zip(looked, points / np.float32(networks.RECROP.side), strict=True):
            now = regions.of_points(region.put_back(pair), -math.pi / 2).moved(down=-0.1)
            last = before[side]
            chosen.append(now if last is None else regions.tracked(regions.of_hand(last), last, now))
        crops = self._crops(image, chosen, networks.HAND.side)
        results = self._networks.hand.run({"image": crops})
        unit = np.array([width, height, width], np.float32)
        depth = np.array([1, 1, 1 / HAND_DEPTH], np.float32) / np.float32(networks.HAND.side)
        for row, ((side, _), region) in enumerate(zip(looked, chosen, strict=True)):
            if results["presence"][row, 0] <= PRESENT:
                continue
            name = HANDS[side][0]
            marks = region.put_back(results["landmarks"][row].reshape(21, 3) * depth)
            self._hands[side] = marks[:, :2]
            found[name] = marks / unit
            found[f"{name}_world"] = region.turn_back(results["world"][row].reshape(21, 3))

    def _crops(self, image: NDArray[np.uint8], hands: Sequence[Region], side: int) -> NDArray[np.uint8]:
        """What is inside one region or two, (N, side, side, 3); on a thread each where there are two."""
        if self._beside is None or len(hands) < 2:
            return np.stack([region.crop(image, side) for region in hands])
        one, other = hands
        waiting = self._beside.submit(other.crop, image, side)
        return np.stack([one.crop(image, side), waiting.result()])


def _refine(local: Array, heatmap: Array) -> None:
    """Move landmarks to the centre of their heatmaps' nearest mass, where that is sure.

    Args:
        local: (N, 3) in units of the region's sides; x and y are written.
        heatmap: (S, S, at least N) before the sigmoid.
    """
    size = heatmap.shape[0]
    cells = np.trunc(local[:, :2] * size).astype(int)
    which = np.flatnonzero(((cells >= 0) & (cells < size)).all(1))
    reach = np.arange(-HEATMAP_REACH, HEATMAP_REACH + 1)
    columns = cells[which, 0, None] + reach
    rows = cells[which, 1, None] + reach
    inside = ((rows >= 0) & (rows < size))[:, :, None] & ((columns >= 0) & (columns < size))[:, None, :]
    values = heatmap[
        np.clip(rows, 0, size - 1)[:, :, None],
        np.clip(columns, 0, size - 1)[:, None, :],
        which[:, None, None],
    ]
    sure = np.where(inside, 1 / (1 + np.exp(-values)), 0)
    total = sure.sum((1, 2))
    moved = (sure.max((1, 2)) >= HEATMAP_SURE) & (total > 0)
    which, sure, total = which[moved], sure[moved], total[moved]
    local[which, 0] = (sure.sum(1) * columns[moved]).sum(1) / total / size
    local[which, 1] = (sure.sum(2) * rows[moved]).sum(1) / total / size
