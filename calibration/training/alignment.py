"""Forced alignment: which steps of a sentence show which gloss, by Viterbi over CTC's paths.

After Cui, Liu and Zhang (IEEE Trans. Multimedia 2019): the most probable of all paths that spell the sentence gives each
gloss its steps, and blanks go to the nearest gloss; the stretches then train the feature extractor by themselves.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Labels = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Stretch:
    """The steps that show one gloss of a sentence."""

    label: int  # 1 to M
    first: int  # step
    last: int  # step after the last one


def shortest(labels: Labels) -> int:
    """Steps that a sentence needs at least: one a gloss, and a blank between equal neighbours."""
    return len(labels) + int((labels[1:] == labels[:-1]).sum())


def best_path(log_probabilities: Array, labels: Labels) -> Labels:
    """The most probable CTC path that spells a sentence.

    Args:
        log_probabilities: float32 (K, M + 1), label 0 the blank.
        labels: int64 (S,), each 1 to M.

    Returns:
        int64 (K,): the number of the gloss in the sentence (0 to S - 1) at each step, -1 for blanks.

    Raises:
        ValueError: the sentence cannot be spelt in so few steps, or a label is out of range.
    """
    steps, classes = log_probabilities.shape
    if len(labels) and (labels.min() < 1 or labels.max() >= classes):
        raise ValueError(f"labels must be 1 to {classes - 1}, not {labels.min()} to {labels.max()}")
    if steps < shortest(labels):
        raise ValueError(f"{len(labels)} glosses need {shortest(labels)} steps at least, there are {steps}")
    return np.asarray(_best_path(log_probabilities.astype(np.float64), labels.astype(np.int64)))


@numba.njit(cache=True)
def _best_path(scores: NDArray[np.float64], labels: Labels) -> Labels:
    steps = len(scores)
    states = 2 * len(labels) + 1  # blank, gloss, blank, gloss, ..., blank
    best = np.full(states, -np.inf)
    came = np.zeros((steps, states), np.int8)  # states that the best way here rose by
    best[0] = scores[0, 0]
    if states > 1:
        best[1] = scores[0, labels[0]]
    for k in range(1, steps):
        for s in range(states - 1, -1, -1):
            rise, found = 0, best[s]
            if s >= 1 and best[s - 1] > found:
                rise, found = 1, best[s - 1]
            if s >= 3 and s % 2 == 1 and labels[s // 2] != labels[s // 2 - 1] and best[s - 2] > found:
                rise, found = 2, best[s - 2]
            came[k, s] = rise
            best[s] = found + scores[k, labels[s // 2] if s % 2 == 1 else 0]
    path = np.full(steps, -1, np.int64)
    s = states - 1
    if states > 1 and best[states - 2] > best[states - 1]:
        s = states - 2
    for k in range(steps - 1, -1, -1):
        if s % 2 == 1:
            path[k] = s // 2
        s -= came[k, s]
    return path


def stretches(path: Labels, labels: Labels, reach: int = 4) -> list[Stretch]:
    """Each gloss's steps, blanks given to the nearest gloss (the earlier one where two are as near).

    Args:
        path: from `best_path`.
        labels: int64 (S,) of the sentence.
        reach: a blank farther than this from any gloss stays out: the paper's data have no rests, a camera's have.
    """
    found = []
    for number, label in enumerate(labels):
        steps = np.flatnonzero(path == number)
        found.append([int(label), int(steps[0]), int(steps[-1]) + 1])
    for number, (one, two) in enumerate(itertools.pairwise(found)):
        gap = two[1] - one[2]
        before = -(-gap // 2)
        found[number][2] += min(before, reach)
        found[number + 1][1] -= min(gap - before, reach)
    if found:
        found[0][1] = max(0, found[0][1] - reach)
        found[-1][2] = min(len(path), found[-1][2] + reach)
    return [Stretch(*each) for each in found]
