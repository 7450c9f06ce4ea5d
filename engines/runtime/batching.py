"""Runs of one network from several threads, joined into one batch: the windows or pictures of several streams at once.

A caller hands in its rows and waits. Whoever comes first leads: it waits for the others for `GATHER_S` at most, and only
for callers that were here a moment ago; then everything that is there is run as one batch. What arrives meanwhile forms
the next batch, so a slow stream holds nobody up.

A row must give the same result, to the last bit, whoever else is in its batch; otherwise a replay of one stream would
not be what it was live beside others. ONNX Runtime 1.20 on a CPU keeps that promise for our pose networks at any size,
and for the SL-GCNs from two rows on: a lone row sums along merged axes, in another order (measured with batches of 2 to 64,
any place, any neighbours, one and two threads). So a batch is never smaller than the smallest size that agrees with the
larger ones, which is found out when the network is loaded; a network that agrees with none is run for each caller apart.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from engines.errors import EngineError
from engines.runtime.base import Around, Engine, TensorSpec, check_inputs

GATHER_S = 0.002
"""How long a run may wait for the rows of other callers."""
RECENT_S = 0.1
"""A caller that was not here for so long (two and a half ticks) is not waited for."""
MOST_ROWS = 64
MOST_BYTES = 64 * 2**20
"""Of the inputs of one run; more is run in parts."""

Rows = dict[str, NDArray[np.generic]]
Results = dict[str, NDArray[np.float32]]


@dataclass(slots=True, eq=False)
class _Request:
    """The rows of one caller."""

    inputs: Rows
    rows: int
    came_ns: int = field(default_factory=time.monotonic_ns)
    waited_ms: float = 0.0
    results: Results | None = None
    error: Exception | None = None

    @property
    def done(self) -> bool:
        return self.results is not None or self.error is not None


class Batched(Around):
    """An engine that joins concurrent runs. Calls from several threads at once are safe, whatever the engine is.

    Args:
        engine: whose inputs and outputs have rows along their first dimension; one where that is fixed is run for each caller
            apart.
        usual: rows that a caller mostly has. A batch is not filled up to more than this many for the sake of agreement:
            that would cost a lone stream more than joining can save.
        gather_s: how long a run may wait for other callers.
    """

    def __init__(self, engine: Engine, *, usual: int = 1, gather_s: float = GATHER_S) -> None:
        super().__init__(engine)
        self._gather_s = gather_s
        self._least = least_rows(engine, usual=usual)
        row_bytes = sum(
            int(np.prod([size or 1 for size in spec.shape[1:]])) * np.dtype(spec.dtype).itemsize
            for spec in engine.inputs
        )
        self._most = max(min(MOST_ROWS, MOST_BYTES // max(row_bytes, 1)), self._least or 1)
        self._changed = threading.Condition()
        self._pending: list[_Request] = []
        self._running = False
        self._seen_ns: dict[int, int] = {}  # thread -> when it last came
        self._mine = threading.local()

    @property
    def joins(self) -> bool:
        """Whether rows give the same results in any batch, so that they are joined."""
        return self._least is not None

    @property
    def waited_ms(self) -> float:
        """How long this thread's last run waited for others, milliseconds."""
        return float(getattr(self._mine, "waited_ms", 0.0))

    def run(self, inputs: Mapping[str, NDArray[np.generic]]) -> Results:
        """Run, together with what other threads have.

        Args:
            inputs: name -> array, of the shapes and types that `inputs` tells; at least one row.

        Raises:
            EngineError: an input is missing or has the wrong shape or type, or the run fails. What other callers hand in has no
                part in that: a batch that fails is run again for each of them apart.
        """
        check_inputs("this network", self.inputs, inputs)
        request = _Request(dict(inputs), len(next(iter(inputs.values()))))
        with self._changed:
            self._pending.append(request)
            self._seen_ns[threading.get_ident()] = request.came_ns
            self._changed.notify_all()
            while self._running and not request.done:
                self._changed.wait()
            leads = not request.done
            if leads:  # whoever is done must not touch the run of who leads now
                self._running = True
        if leads:
            try:
                self._execute(self._gathered())
            finally:
                with self._changed:
                    self._running = False
                    self._changed.notify_all()
        self._mine.waited_ms = request.waited_ms
        if request.error is not None:
            raise request.error
        assert request.results is not None  # noqa: S101  (done without an error)
        return request.results

    def _gathered(self) -> list[_Request]:
        """What there is to run, after waiting for the callers that were here a moment ago."""
        with self._changed:
            now_ns = time.monotonic_ns()
            self._seen_ns = {who: at for who, at in self._seen_ns.items() if now_ns - at < RECENT_S * 1e9}
            until_ns = now_ns + int(self._gather_s * 1e9) if self.joins else now_ns
            while len(self._pending) < len(self._seen_ns):
                left_ns = until_ns - time.monotonic_ns()
                if left_ns <= 0:
                    break
                self._changed.wait(left_ns / 1e9)
            taken, self._pending = self._pending, []
            return taken

    def _execute(self, requests: Sequence[_Request]) -> None:
        groups = [requests] if self.joins else [[one] for one in requests]
        for group in groups:
            start_ns = time.monotonic_ns()
            for one in group:
                one.waited_ms = (start_ns - one.came_ns) / 1e6
            try:
                self._join(group)
            except Exception as error:  # of any runtime; it is raised by the caller whose rows they are
                for one in group:
                    self._alone(one, error if len(group) == 1 else None)

    def _alone(self, request: _Request, error: Exception | None) -> None:
        if error is None:
            try:
                return self._join([request])
            except Exception as its_own:
                error = its_own
        request.error = error

    def _join(self, requests: Sequence[_Request]) -> None:
        names = [spec.name for spec in self.inputs]
        if self._least is None:
            requests[0].results = self._engine.run(requests[0].inputs)
            return
        rows = {
            name: np.concatenate([one.inputs[name] for one in requests])
            if len(requests) > 1
            else requests[0].inputs[name]
            for name in names
        }
        results = self._in_parts(rows, sum(one.rows for one in requests))
        first = 0
        for one in requests:
            one.results = {name: rows[first : first + one.rows] for name, rows in results.items()}
            first += one.rows

    def _in_parts(self, rows: Rows, count: int) -> Results:
        parts = []
        for first in range(0, count, self._most):
            size = min(self._most, count - first)
            part = {name: array[first : first + size] for name, array in rows.items()}
            found = self._engine.run({name: self._filled(array) for name, array in part.items()})
            parts.append({name: array[:size] for name, array in found.items()})
        if len(parts) == 1:
            return parts[0]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _filled(self, rows: NDArray[np.generic]) -> NDArray[np.generic]:
        size = filled_size(len(rows), self._least or 1, self._engine.where().device)
        return rows if size == len(rows) else np.concatenate([rows, rows[:1].repeat(size - len(rows), 0)])


def filled_size(rows: int, least: int, device: str) -> int:
    """How many rows are run for so many: on a GPU the next power of two, since each size is a CUDA graph of its own."""
    rows = max(rows, least)
    return rows if device == "cpu" else 1 << (rows - 1).bit_length()


def least_rows(engine: Engine, *, usual: int) -> int | None:
    """The smallest batch from which on a row's results are the same whatever the batch; None where there is none.

    Found out with random rows: in batches of several sizes, at other places and beside other rows.

    Args:
        engine: the network.
        usual: rows that a caller mostly has; the smallest batch is not larger.

    Raises:
        EngineError: the network cannot be run.
    """
    if any(spec.shape[:1] != (None,) for spec in (*engine.inputs, *engine.outputs)):
        return None
    device = engine.where().device
    # One row is another matter than several to every runtime: where several are usual it is not even tried.
    for least in (1,) if usual == 1 else (2, 4):
        if least <= usual and _agree(
            engine, [filled_size(n, least, device) for n in (least, least + 1, 4 * least)]
        ):
            return least
    return None


def _agree(engine: Engine, sizes: Sequence[int]) -> bool:
    rng = np.random.default_rng(0)
    rows = {spec.name: _random(rng, spec, max(sizes)) for spec in engine.inputs}
    alone: dict[int, Results] = {}  # row -> its results in the first batch it was in
    for turn, size in enumerate(sizes):
        places = np.roll(np.arange(max(sizes)), turn)[:size]
        results = engine.run({name: array[places] for name, array in rows.items()})
        for place, row in enumerate(places.tolist()):
            mine = {name: array[place].copy() for name, array in results.items()}
            before = alone.setdefault(row, mine)
            if not all(np.array_equal(before[name], mine[name], equal_nan=True) for name in mine):
                return False
    return True


def _random(rng: np.random.Generator, spec: TensorSpec, count: int) -> NDArray[np.generic]:
    shape = (count, *(size or 1 for size in spec.shape[1:]))
    kind = np.dtype(spec.dtype)
    if kind.kind == "f":
        return rng.standard_normal(shape).astype(kind)
    if kind.kind in "iu":
        return rng.integers(0, min(int(np.iinfo(kind).max), 255), shape).astype(kind)
    raise EngineError(f"input {spec.name!r} of {spec.dtype} cannot be tried out")
