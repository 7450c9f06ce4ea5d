"""Forced alignment against every path there is, and blanks given to the nearest gloss."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from calibration.training.alignment import Stretch, best_path, shortest, stretches


def spelt(path: tuple[int, ...]) -> list[int]:
    """CTC's rule as Graves et al. (2006) write it: merge repeats, then take the blanks out."""
    return [label for label, _ in itertools.groupby(path) if label != 0]


def brute_force(scores: np.ndarray[tuple[int, ...], np.dtype[np.float32]], labels: list[int]) -> float:
    """The best score over all paths that spell the sentence."""
    steps, classes = scores.shape
    return max(
        sum(float(scores[k, label]) for k, label in enumerate(path))
        for path in itertools.product(range(classes), repeat=steps)
        if spelt(path) == labels
    )


@pytest.mark.parametrize("labels", [[1], [2, 1], [1, 1], [1, 2, 1], [2, 2, 2], []])
@pytest.mark.parametrize("seed", range(4))
def test_the_path_is_the_best_of_all_that_spell_the_sentence(labels: list[int], seed: int) -> None:
    scores = np.log(np.random.default_rng(seed).dirichlet(np.ones(3), 6)).astype(np.float32)
    path = best_path(scores, np.array(labels, np.int64))
    as_labels = tuple(labels[number] if number >= 0 else 0 for number in path)
    assert spelt(as_labels) == labels
    found = sum(scores[k, label] for k, label in enumerate(as_labels))
    assert found == pytest.approx(brute_force(scores, labels), abs=1e-5)
    numbers = [number for number, _ in itertools.groupby(path) if number >= 0]
    assert numbers == list(range(len(labels)))  # each gloss once, in order


def test_a_sentence_that_does_not_fit_is_refused() -> None:
    labels = np.array([1, 1, 2])
    assert shortest(labels) == 4  # a blank between the equal ones
    with pytest.raises(ValueError, match="need 4 steps"):
        best_path(np.zeros((3, 3), np.float32), labels)
    with pytest.raises(ValueError, match="1 to 2"):
        best_path(np.zeros((9, 3), np.float32), np.array([3]))


def test_blanks_go_to_the_nearest_gloss_and_long_rests_to_none() -> None:
    #                0   1  2  3   4   5   6   7  8  9 ...
    path = np.array([-1, 0, 0, -1, -1, -1, 1, 1] + [-1] * 20 + [2] + [-1] * 3)
    found = stretches(path, np.array([5, 6, 7]), reach=4)
    # between 0 and 1 the middle blank is as near to both: the earlier one's; rests end after 4 steps
    assert found == [Stretch(5, 0, 5), Stretch(6, 5, 12), Stretch(7, 24, 32)]
