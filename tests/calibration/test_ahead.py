"""Batches made ahead: if these fail, a run on a GPU is not the run that its seed names."""

from __future__ import annotations

import threading

import pytest

from calibration.training.ahead import Ahead


@pytest.mark.parametrize("threads", [0, 1, 3])
def test_every_number_is_made_once_and_comes_in_its_turn(threads: int) -> None:
    made: list[int] = []

    def make(number: int) -> int:
        made.append(number)
        return 10 * number

    ahead = Ahead(make, threads=threads, end=20)
    assert [ahead(number) for number in range(4, 20)] == [10 * number for number in range(4, 20)]
    assert sorted(made) == list(range(4, 20))


def test_batches_are_made_before_they_are_asked_for() -> None:
    later = threading.Event()

    def make(number: int) -> int:
        if number == 1:
            later.set()
        return number

    ahead = Ahead(make, threads=1, end=10)
    assert ahead(0) == 0
    assert later.wait(10)


def test_what_fails_ahead_fails_in_its_turn() -> None:
    def make(number: int) -> int:
        if number == 2:
            raise ValueError("no batch 2")
        return number

    ahead = Ahead(make, threads=2, end=10)
    assert [ahead(0), ahead(1)] == [0, 1]
    with pytest.raises(ValueError, match="no batch 2"):
        ahead(2)
