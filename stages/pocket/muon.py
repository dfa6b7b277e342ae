"""Muon in single precision, for several matrices at once.

`torch.optim.Muon` orthogonalises in bfloat16, one matrix after another. On a processor without bfloat16 arithmetic a
step of the pocket model takes 4.5 s with torch's version and 0.07 s with this one.
"""

from collections import defaultdict
from collections.abc import Iterable

import torch

MOMENTUM = 0.95
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Coefficients of an iteration that maps singular values between 0 and 1 to about 1 in five rounds."""
NUM_ROUNDS = 5


class Muon(torch.optim.Optimizer):
    """Descent along the orthogonalised momentum, so that every direction of a matrix is learnt at the same speed.

    After Jordan et al. (https://kellerjordan.github.io/posts/muon), with Nesterov's momentum, decoupled weight decay,
    and steps scaled to the size of AdamW's (Liu et al., arXiv 2502.16982).

    Args:
        params: matrices; use another optimizer for embeddings, gains and biases.
        lr: learning rate.
        weight_decay: decoupled weight decay; each step subtracts this share of a weight, times the learning rate.
    """

    def __init__(self, params: Iterable[torch.nn.Parameter], lr: float, weight_decay: float = 0.0) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """Take a step, for parameters with a gradient."""
        del closure
        for group in self.param_groups:
            alike = defaultdict(list)
            for matrix in group["params"]:
                if matrix.grad is not None:
                    alike[matrix.shape].append(matrix)
            for shape, matrices in alike.items():
                steps = orthogonal(torch.stack([self._direction(matrix) for matrix in matrices]))
                rate = 0.2 * max(shape) ** 0.5 * group["lr"]
                for matrix, step in zip(matrices, steps, strict=True):
                    matrix.mul_(1 - group["lr"] * group["weight_decay"]).sub_(step, alpha=rate)

    def _direction(self, matrix: torch.nn.Parameter) -> torch.Tensor:
        momentum = self.state[matrix].setdefault("momentum", torch.zeros_like(matrix))
        momentum.lerp_(matrix.grad, 1 - MOMENTUM)
        return matrix.grad.lerp(momentum, MOMENTUM)


def orthogonal(matrices: torch.Tensor) -> torch.Tensor:
    """Return approximately the nearest matrices with singular values of 1; shape (matrices, rows, columns).

    Each round multiplies a matrix M from the left by P = aI + bG + cGG, a polynomial of its Gram matrix G = MM'. The
    polynomials commute. So their product can be computed from the small Gram matrix alone, which a round maps to PGP.
    """
    first, third, fifth = NEWTON_SCHULZ
    wide = matrices.mT if matrices.shape[-2] > matrices.shape[-1] else matrices
    wide = wide / wide.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-7)
    gram = torch.bmm(wide, wide.mT)
    product: torch.Tensor | None = None
    for number in range(NUM_ROUNDS):
        factor = torch.baddbmm(gram, gram, gram, beta=third, alpha=fifth)
        factor.diagonal(dim1=-2, dim2=-1).add_(first)
        product = factor if product is None else torch.bmm(factor, product)
        if number < NUM_ROUNDS - 1:
            gram = torch.bmm(torch.bmm(factor, gram), factor)
    wide = torch.bmm(product, wide)
    return wide.mT if matrices.shape[-2] > matrices.shape[-1] else wide
