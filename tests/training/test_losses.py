"""Equation 6 and its relatives against values worked by hand."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from stgal_stream.commands.options import LOSS_NAMES
from stgal_stream.training.losses import (
    LOSSES,
    batch_hard,
    contrastive,
    scaled_batch_hard,
    soft_margin_triplets,
)

# Three crops on a line: 0 and 1 are one person, 2 is another.
LINE = torch.tensor([[0.0, 0.0], [3.0, 0.0], [5.0, 0.0]])
SAME = torch.tensor([[0, 1, 0], [1, 0, 0], [0, 0, 0]], dtype=torch.bool)
OTHER = torch.tensor([[0, 0, 1], [0, 0, 1], [1, 1, 0]], dtype=torch.bool)


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


def test_batch_hard_is_equation_6_with_the_hardest_of_the_batch() -> None:
    wanted = (softplus(3 - 5) + softplus(3 - 2)) / 2
    assert float(batch_hard(LINE, SAME, OTHER)) == pytest.approx(wanted, abs=1e-6)


def test_triplets_are_scaled_to_a_median_distance_of_ten() -> None:
    k = 10 / 3  # distances 3, 5, 2
    wanted = (softplus(k * (3 - 5)) + softplus(k * (3 - 2))) / 2
    assert float(soft_margin_triplets(LINE, SAME, OTHER)) == pytest.approx(wanted, abs=1e-5)
    assert float(soft_margin_triplets(7 * LINE, SAME, OTHER)) == pytest.approx(wanted, abs=1e-5)


def test_the_scaled_hardest_are_those_of_the_batch_whatever_the_scale() -> None:
    """The farthest positive and the closest negative alone, at a median distance of ten."""
    points = torch.cat([LINE, torch.tensor([[20.0, 0.0]])])
    same, other = torch.zeros(4, 4, dtype=torch.bool), torch.ones(4, 4, dtype=torch.bool)
    same[0, 1] = same[1, 0] = True
    other &= ~same & ~torch.eye(4, dtype=torch.bool)
    k = 10 / 5  # distances 2, 3, 5, 15, 17, 20: torch's median is the lower of the middle two
    wanted = (softplus(k * (3 - 5)) + softplus(k * (3 - 2))) / 2
    for scale in (1.0, 7.0):
        assert float(scaled_batch_hard(scale * points, same, other)) == pytest.approx(
            wanted, abs=1e-5
        )


def test_contrastive_by_hand() -> None:
    points = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    wanted = -math.log(math.exp(10) / (math.exp(10) + math.exp(0)))
    assert float(contrastive(points, SAME, OTHER)) == pytest.approx(wanted, abs=1e-6)


def test_the_commands_know_every_loss() -> None:
    assert tuple(LOSSES) == LOSS_NAMES


@pytest.mark.parametrize("loss", [batch_hard, scaled_batch_hard, soft_margin_triplets, contrastive])
def test_without_a_positive_nothing_is_learned(
    loss: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor],
) -> None:
    features = LINE.clone().requires_grad_()
    value = loss(features, torch.zeros_like(SAME), OTHER)
    torch.autograd.backward(value)
    assert float(value.detach()) == 0.0
    assert features.grad is not None
    assert float(features.grad.abs().sum()) == 0.0
