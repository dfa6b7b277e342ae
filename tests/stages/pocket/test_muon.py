"""The optimizer of the pocket model's matrices."""

import pytest
import torch

from stages.pocket.muon import Muon, orthogonal


@pytest.mark.parametrize("shape", [(3, 24, 24), (2, 16, 40), (1, 40, 16)])
def test_all_singular_values_come_near_one_from_a_hundredth_of_the_largest(shape):
    left, _, right = torch.linalg.svd(torch.randn(shape, generator=generator(0)), full_matrices=False)
    values = torch.logspace(-6, -4, min(shape[1:]))
    after = torch.linalg.svdvals(orthogonal(left @ torch.diag(values) @ right))
    assert after.min() > 0.3
    assert after.max() < 1.3


def test_every_matrix_is_made_orthogonal_as_if_it_were_alone():
    matrices = torch.randn((4, 16, 40), generator=generator(2)) * torch.tensor([1e-4, 1, 10, 1e3])[:, None, None]
    torch.testing.assert_close(orthogonal(matrices), torch.cat([orthogonal(matrix[None]) for matrix in matrices]))


def test_no_gradient_makes_no_step_of_its_own():
    matrix = torch.nn.Parameter(torch.ones(4, 3))
    matrix.grad = torch.zeros(4, 3)
    Muon([matrix], lr=0.1).step()
    assert torch.equal(matrix, torch.ones(4, 3))


@pytest.mark.parametrize("shape", [(16, 40), (40, 16)])
def test_steps_are_those_of_torch_up_to_its_bfloat16(shape):
    random = generator(1)
    start = torch.randn(shape, generator=random)
    ours, theirs = (torch.nn.Parameter(start.clone()) for _ in range(2))
    optimizers = [
        Muon([ours], lr=0.01, weight_decay=0.1),
        torch.optim.Muon([theirs], lr=0.01, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"),
    ]
    for _ in range(5):
        gradient = torch.randn(shape, generator=random)
        for parameter, optimizer in zip((ours, theirs), optimizers, strict=True):
            parameter.grad = gradient.clone()
            optimizer.step()
    moved = (theirs - start).norm()
    assert (ours - theirs).norm() < 0.03 * moved


def generator(seed):
    return torch.Generator().manual_seed(seed)
