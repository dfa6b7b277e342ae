"""The optimizer of the pocket model's matrices."""

import pytest
import torch

from stages.pocket.muon import Muon, orthogonal


@pytest.mark.parametrize("shape", [(24, 24), (16, 40), (40, 16)])
def test_all_singular_values_come_near_one_whatever_they_were(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 1e-4
    values = torch.linalg.svdvals(orthogonal(matrix))
    assert values.min() > 0.3
    assert values.max() < 1.3


def test_no_gradient_makes_no_step_of_its_own():
    matrix = torch.nn.Parameter(torch.ones(4, 3))
    matrix.grad = torch.zeros(4, 3)
    Muon([matrix], lr=0.1).step()
    assert torch.equal(matrix, torch.ones(4, 3))


@pytest.mark.parametrize("shape", [(16, 40), (40, 16)])
def test_steps_are_those_of_torch_up_to_its_bfloat16(shape):
    generator = torch.Generator().manual_seed(1)
    start = torch.randn(shape, generator=generator)
    ours, theirs = (torch.nn.Parameter(start.clone()) for _ in range(2))
    optimizers = [
        Muon([ours], lr=0.01, weight_decay=0.1),
        torch.optim.Muon([theirs], lr=0.01, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"),
    ]
    for _ in range(5):
        gradient = torch.randn(shape, generator=generator)
        for parameter, optimizer in zip((ours, theirs), optimizers, strict=True):
            parameter.grad = gradient.clone()
            optimizer.step()
    moved = (theirs - start).norm()
    assert (ours - theirs).norm() < 0.03 * moved
