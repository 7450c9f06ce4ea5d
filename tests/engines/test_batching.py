"""Several streams in one batch: each gets what it would get alone, and fails alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from engines.encoders import find_bundle, load_encoder
from engines.errors import EngineError
from engines.pose.blaze import networks
from engines.runtime.base import Placement, TensorSpec
from engines.runtime.batching import RECENT_S, Batched, filled_size, least_rows
from engines.runtime.onnxruntime import OnnxRuntimeEngine

Results = dict[str, NDArray[np.float32]]


class Doubling:
    """A network that doubles its rows, notes its batches, and does what a test wants beside that."""

    def __init__(
        self,
        meanwhile: Callable[[NDArray[np.generic]], None] = lambda rows: None,
        *,
        rows: int | None = None,
        device: str = "cpu",
    ) -> None:
        self.meanwhile = meanwhile
        self.batches: list[int] = []
        self._rows, self._device = rows, device

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        return (TensorSpec("x", (self._rows, 2), "float32"),)

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        return (TensorSpec("y", (self._rows, 2), "float32"),)

    def where(self) -> Placement:
        return Placement(self._device, "doubling", "float32", "a test wants it")

    def run(self, inputs: Mapping[str, NDArray[np.generic]]) -> Results:
        rows = inputs["x"]
        self.batches.append(len(rows))
        self.meanwhile(rows)
        return {"y": np.asarray(rows, np.float32) * 2}


class Gate:
    """Holds the first run back until the test opens it: what comes meanwhile waits together."""

    def __init__(self) -> None:
        self.opened, self.entered = threading.Event(), threading.Event()

    def __call__(self, rows: NDArray[np.generic]) -> None:
        self.entered.set()
        self.opened.wait(20)


def together(
    engine: Batched, network: Doubling, parts: Sequence[NDArray[np.float32]]
) -> list[Results | Exception]:
    """What each of several threads gets whose rows wait for the same run."""
    found: list[Results | Exception] = [EngineError("nothing yet")] * len(parts)
    gate, behind = Gate(), network.meanwhile

    def call(place: int) -> None:
        try:
            found[place] = engine.run({"x": parts[place]})
        except EngineError as error:
            found[place] = error

    network.meanwhile = gate
    first = threading.Thread(target=engine.run, args=({"x": row(0)},))
    first.start()
    assert gate.entered.wait(20)
    network.meanwhile = behind
    network.batches.clear()
    threads = [threading.Thread(target=call, args=(place,)) for place in range(len(parts))]
    for thread in threads:
        thread.start()
    while len(engine._pending) < len(parts):
        time.sleep(0.005)
    gate.opened.set()
    for thread in [first, *threads]:
        thread.join(20)
    return found


def row(*values: float) -> NDArray[np.float32]:
    return np.array([[value, value + 1] for value in values], np.float32)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", ["slgcn2d", "slgcn2d10", "slgcn3d"])
def test_a_window_gives_the_same_bits_in_every_batch(name: str, threads: int) -> None:
    """What makes live beside other streams equal to replay alone."""
    engine = OnnxRuntimeEngine(find_bundle(name).model, threads=threads, device="cpu")
    spec, output = engine.inputs[0], engine.outputs[0].name
    rng = np.random.default_rng(1)
    rows = rng.standard_normal((12, *[size or 1 for size in spec.shape[1:]])).astype(np.float32)
    joined = Batched(engine, usual=4)
    assert joined.joins
    alone = [joined.run({spec.name: rows[place : place + 1]})[output][0] for place in range(12)]
    for size in (2, 3, 4, 7, 12):
        places = rng.permutation(12)[:size]
        found = joined.run({spec.name: rows[places]})[output]
        assert all(np.array_equal(found[at], alone[place]) for at, place in enumerate(places))


@pytest.mark.parametrize("source", [networks.PERSON, networks.POSE, networks.RECROP, networks.HAND])
def test_a_picture_gives_the_same_bits_alone_and_in_a_batch(source: networks.Source) -> None:
    assert least_rows(networks.engine(source, 2), usual=1) == 1


def test_windows_of_several_streams_are_embedded_as_those_of_one() -> None:
    encoder = load_encoder(estimator="holistic-0.10.21-c1")
    rng = np.random.default_rng(2)
    windows = [
        [rng.standard_normal((length, 27, 3)).astype(np.float32) for length in encoder.window_lengths]
        for _ in range(4)
    ]
    alone = [encoder.embed(mine) for mine in windows]
    found: list[NDArray[np.float32]] = [np.zeros(0, np.float32)] * 4
    threads = [
        threading.Thread(target=lambda place=place: found.__setitem__(place, encoder.embed(windows[place])))
        for place in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(mine, then) for mine, then in zip(found, alone, strict=True))
    assert all(
        np.array_equal(encoder.embed([window])[0], then)
        for window, then in zip(windows[0], alone[0], strict=True)
    )
    assert encoder.embed([]).shape == (0, encoder.dimension)


def test_what_several_callers_have_is_one_run() -> None:
    network = Doubling()
    found = together(Batched(network), network, [row(1), row(2, 3), row(4)])
    assert network.batches == [4], "all rows of the three"
    for result, mine in zip(found, [row(1), row(2, 3), row(4)], strict=True):
        assert isinstance(result, dict)
        assert np.array_equal(result["y"], mine * 2)


def test_nobody_waits_for_a_slow_stream_beyond_the_bound() -> None:
    network = Doubling()
    engine = Batched(network, gather_s=0.05)
    together(engine, network, [row(1), row(2)])  # these callers are known, and now fall silent
    start = time.monotonic()
    engine.run({"x": row(1)})
    assert 0.04 < time.monotonic() - start < 1.0
    assert 40 < engine.waited_ms < 1000
    time.sleep(RECENT_S + 0.05)
    engine.run({"x": row(1)})
    assert engine.waited_ms < 40, "who has not come for so long is not waited for at all"


def test_rows_that_fail_fail_alone() -> None:
    def refuse(rows: NDArray[np.generic]) -> None:
        if (rows == 13).any():
            raise EngineError("thirteen")

    network = Doubling(refuse)
    engine = Batched(network)
    good, bad, other = together(engine, network, [row(1), row(13), row(3)])
    assert isinstance(bad, EngineError)
    assert str(bad) == "thirteen"
    assert isinstance(good, dict)
    assert isinstance(other, dict)
    assert np.array_equal(other["y"], row(3) * 2)
    with pytest.raises(EngineError, match="must be float32"):
        engine.run({"x": np.zeros((1, 3), np.float32)})


def test_a_batch_that_does_not_fit_a_gpus_memory_is_run_in_its_parts() -> None:
    def little_memory(rows: NDArray[np.generic]) -> None:
        if len(rows) > 2 and not trying:
            raise EngineError("PyTorch fails on inputs of shape (4, 2): CUDA out of memory")

    trying = [True]
    network = Doubling(little_memory)
    engine = Batched(network)
    trying.clear()
    found = together(engine, network, [row(1, 2), row(3, 4)])
    assert all(isinstance(one, dict) for one in found)
    assert network.batches == [4, 2, 2]
    with pytest.raises(EngineError, match="out of memory"):
        engine.run({"x": row(1, 2, 3)})


def test_a_network_whose_batches_do_not_agree_is_run_for_each_caller_apart() -> None:
    class Sloppy(Doubling):
        def run(self, inputs: Mapping[str, NDArray[np.generic]]) -> Results:
            return {"y": super().run(inputs)["y"] + len(inputs["x"])}

    network = Sloppy()
    engine = Batched(network, usual=4)
    assert not engine.joins
    one, two = together(engine, network, [row(1), row(2, 3)])
    assert sorted(network.batches) == [1, 2]
    assert isinstance(one, dict)
    assert np.array_equal(one["y"], row(1) * 2 + 1)
    assert isinstance(two, dict)


def test_a_lone_row_is_filled_up_to_the_smallest_batch_that_agrees_with_others() -> None:
    class LoneRowsDiffer(Doubling):
        def run(self, inputs: Mapping[str, NDArray[np.generic]]) -> Results:
            return {"y": super().run(inputs)["y"] + (len(inputs["x"]) == 1)}

    network = LoneRowsDiffer()
    engine = Batched(network, usual=4)
    assert np.array_equal(engine.run({"x": row(5)})["y"], row(5) * 2)
    assert network.batches[-1] == 2
    assert not Batched(LoneRowsDiffer(), usual=1).joins, "a lone stream would pay twice for every row"


def test_a_network_with_a_fixed_batch_is_run_for_each_caller_apart() -> None:
    network = Doubling(rows=1)
    engine = Batched(network)
    assert not engine.joins
    one, two = together(engine, network, [row(1), row(2)])
    assert isinstance(one, dict)
    assert isinstance(two, dict)
    assert np.array_equal(two["y"], row(2) * 2)


@pytest.mark.parametrize(
    ("rows", "least", "device", "size"),
    [
        (3, 2, "cpu", 3),
        (1, 2, "cpu", 2),
        (3, 2, "NVIDIA H200", 4),
        (5, 1, "NVIDIA H200", 8),
        (1, 1, "gpu", 1),
    ],
)
def test_a_gpu_runs_powers_of_two(rows: int, least: int, device: str, size: int) -> None:
    assert filled_size(rows, least, device) == size


def test_many_rows_are_run_in_parts() -> None:
    network = Doubling()
    engine = Batched(network)
    network.batches.clear()
    many = np.arange(300, dtype=np.float32).reshape(150, 2)
    assert np.array_equal(engine.run({"x": many})["y"], many * 2)
    assert network.batches == [64, 64, 22]


def test_many_callers_for_a_while_each_get_their_own() -> None:
    """Leading passes from caller to caller; nobody's rows are lost on the way, and no two runs overlap."""
    running = threading.Lock()
    overlaps: list[int] = []

    def alone(rows: NDArray[np.generic]) -> None:
        if not running.acquire(blocking=False):
            overlaps.append(len(rows))
            return
        time.sleep(0.0005)
        running.release()

    engine = Batched(Doubling(alone), gather_s=0.0005)
    wrong: list[object] = []

    def call(number: int) -> None:
        rng = np.random.default_rng(number)
        for _ in range(150):
            mine = rng.standard_normal((1 + number % 3, 2)).astype(np.float32)
            try:
                if not np.array_equal(engine.run({"x": mine})["y"], mine * 2):
                    wrong.append(number)
            except Exception as error:
                wrong.append(error)
            if number % 2:
                time.sleep(float(rng.uniform(0, 0.001)))

    threads = [threading.Thread(target=call, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert wrong == []
    assert overlaps == []
