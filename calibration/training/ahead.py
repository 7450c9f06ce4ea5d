"""Batches that are made ahead of their time, by threads: a GPU waits for nobody."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

Batch = TypeVar("Batch")


class Ahead(Generic[Batch]):
    """`make(number)` for one number after the other, made by threads before it is asked for.

    Args:
        make: a batch of its number alone, whatever was made before it.
        threads: how many make batches; 0 makes each when it is asked for.
        end: no number from here on is made ahead.
    """

    def __init__(self, make: Callable[[int], Batch], *, threads: int, end: int) -> None:
        self._make, self._end = make, end
        self._pool = ThreadPoolExecutor(threads) if threads else None
        self._depth = 2 * threads
        self._made: dict[int, Future[Batch]] = {}

    def __call__(self, number: int) -> Batch:
        """The batch of a number."""
        if self._pool is None:
            return self._make(number)
        for later in range(number, min(number + self._depth, self._end)):
            if later not in self._made:
                self._made[later] = self._pool.submit(self._make, later)
        own = self._made.pop(number, None)
        return self._make(number) if own is None else own.result()
