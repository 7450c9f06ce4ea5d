"""The rows of a batch at the same time, each part on a thread of its own.

Threads that share one run of a small network wait for each other after every layer; threads that have rows of their own
wait once.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from engines.runtime.base import Around, Engine


class SideBySide(Around):
    """A network whose rows are shared out among threads. Calls from several threads at once are safe."""

    def __init__(self, one: Engine, shared: Engine, *, threads: int) -> None:
        """Put two sessions of a network together.

        Args:
            one: runs a thread's rows, on that thread alone; calls from several threads at once must be safe.
            shared: the same network, whose threads share the work of a single row.
            threads: that rows are shared out among, at least 2.
        """
        super().__init__(shared)
        self._one, self._threads = one, threads
        self._others = ThreadPoolExecutor(threads - 1, thread_name_prefix="rows")

    def run(self, inputs: Mapping[str, NDArray[np.generic]]) -> dict[str, NDArray[np.float32]]:
        """Run once.

        Args:
            inputs: name -> array, all with as many rows along their first dimension.

        Raises:
            EngineError: an input is missing or unknown, has the wrong shape or type, or the run fails.
        """
        rows = min((len(array) for array in inputs.values()), default=0)
        if rows < 2:
            return self._engine.run(inputs)
        parts = min(rows, self._threads)
        bounds = [rows * part // parts for part in range(parts + 1)]
        shares = [
            {name: array[first:end] for name, array in inputs.items()}
            for first, end in itertools.pairwise(bounds)
        ]
        waiting = [self._others.submit(self._one.run, share) for share in shares[1:]]
        found = [self._one.run(shares[0]), *(share.result() for share in waiting)]
        return {name: np.concatenate([part[name] for part in found]) for name in found[0]}
