"""What the encoder is trained to do, against values worked out by hand and by numpy.

The plain cases of cross-entropy and triplets are in `test_training`.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs torch: pip install 'signspot[train]'")
import torch

from calibration.training.losses import (
    background_hinge,
    batch_hard_triplet,
    cosine_cross_entropy,
    teacher_distance,
)


def test_background_that_resembles_no_gloss_costs_nothing() -> None:
    assert float(background_hinge(torch.zeros(0, 5))) == 0.0
    assert float(background_hinge(torch.tensor([[0.3, -0.9], [0.1, 0.2]]))) == 0.0


def test_background_costs_what_its_nearest_gloss_is_above_the_threshold() -> None:
    # nearest 0.5, 0.2 and 0.9: 0.2, nothing and 0.6 above 0.3, over three windows
    cosines = torch.tensor([[0.5, 0.4, -1.0], [0.2, 0.1, 0.0], [0.35, 0.9, 0.0]], requires_grad=True)
    found = background_hinge(cosines)
    assert float(found.detach()) == pytest.approx((0.2 + 0.0 + 0.6) / 3, abs=1e-6)
    (slope,) = torch.autograd.grad(found, cosines)
    # on the nearest gloss alone, and not below the threshold
    np.testing.assert_allclose(3 * slope.numpy(), [[1, 0, 0], [0, 0, 0], [0, 1, 0]], atol=1e-6)


def test_an_empty_background_can_be_added_to_a_loss_on_its_way_back() -> None:
    weights = torch.ones(3, requires_grad=True)
    (slope,) = torch.autograd.grad(weights.sum() + background_hinge(weights[:0].reshape(0, 3)), weights)
    assert slope.tolist() == [1.0, 1.0, 1.0]


def test_a_student_that_reads_as_the_teacher_costs_nothing_whatever_its_scale() -> None:
    taught = torch.tensor([[0.6, 0.8, 0.0], [0.0, -1.0, 0.0]])
    for scale in (0.01, 1.0, 50.0):
        assert float(teacher_distance(scale * taught, taught)) == pytest.approx(0.0, abs=1e-6)
        assert float(teacher_distance(-scale * taught, taught)) == pytest.approx(2.0, abs=1e-6)


def test_the_distance_from_a_teacher_is_the_mean_over_a_batch() -> None:
    taught = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    read = torch.tensor([[3.0, 0.0], [0.0, 5.0], [0.0, -2.0], [0.3, 0.4]])
    # at 0, 90 and 180 degrees and at a cosine of 0.8
    assert float(teacher_distance(read, taught)) == pytest.approx((0 + 1 + 2 + 0.2) / 4, abs=1e-6)


def test_cross_entropy_over_a_batch_is_numpys() -> None:
    rng = np.random.default_rng(0)
    cosines = rng.uniform(-1, 1, (7, 5))
    labels = np.array([0, 4, 2, 2, 1, 3, 0])
    logits = cosines.copy()
    for row, label in enumerate(labels):
        logits[row, label] -= 0.15
    chances = np.exp(24 * logits)
    chances /= chances.sum(axis=1, keepdims=True)
    expected = -np.log(chances[np.arange(7), labels]).mean()
    found = cosine_cross_entropy(torch.from_numpy(cosines), torch.from_numpy(labels))
    assert float(found) == pytest.approx(expected, rel=1e-9)


def test_cross_entropy_leaves_the_cosines_as_they_are() -> None:
    cosines = torch.tensor([[0.5, 0.2]])
    cosine_cross_entropy(cosines, torch.tensor([1]))
    assert cosines.tolist() == [[0.5, pytest.approx(0.2)]]


def test_background_pushes_anchors_away_and_is_none_itself() -> None:
    # One gloss at 0 and 10 degrees, two background windows at 12 and 13, which are nobody's match, not each other's.
    angles = torch.tensor([0.0, 10.0, 12.0, 13.0], dtype=torch.float64).deg2rad()
    rows = torch.stack([angles.cos(), angles.sin()], 1).requires_grad_()
    found = batch_hard_triplet(rows, torch.tensor([0, 0, -1, -1]))

    def cosine(degrees: float) -> float:
        return math.cos(math.radians(degrees))

    first, second = cosine(12) - cosine(10) + 0.3, cosine(2) - cosine(10) + 0.3
    assert float(found.detach()) == pytest.approx((first + second) / 2, abs=1e-9)
    (slope,) = torch.autograd.grad(found, rows)
    assert slope[2].abs().sum() > 0  # the nearest negative of both
    assert slope[3].abs().sum() == 0  # as an anchor it would be pulled


def test_triplets_take_the_farthest_positive_and_the_nearest_negative() -> None:
    # Gloss 0 at 0, 20 and 50 degrees, gloss 1 at 60 and 200, by anchor: farthest positive, nearest negative.
    table = [(50, 60), (30, 40), (50, 10), (140, 10), (140, 150)]
    angles = torch.tensor([0.0, 20.0, 50.0, 60.0, 200.0], dtype=torch.float64).deg2rad()
    rows = torch.stack([angles.cos(), angles.sin()], 1)
    costs = [max(np.cos(np.radians(near)) - np.cos(np.radians(far)) + 0.3, 0) for far, near in table]
    found = batch_hard_triplet(rows, torch.tensor([0, 0, 0, 1, 1]))
    assert float(found) == pytest.approx(np.mean(costs), abs=1e-9)
