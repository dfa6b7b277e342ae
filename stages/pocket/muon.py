"""Muon in single precision: the steps of `torch.optim.Muon`, which makes them orthogonal in bfloat16.

Where a processor has no arithmetic for that, a step of the pocket model takes torch's 4.5 s and this one 0.1 s.
"""

from collections.abc import Iterable

import torch

MOMENTUM = 0.95
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Coefficients of an iteration that takes singular values between 0 and 1 to about 1 in five rounds."""
NUM_ROUNDS = 5


class Muon(torch.optim.Optimizer):
    """Descent along the momentum made orthogonal: every direction of a matrix is learnt at the same pace.

    After Jordan et al. (https://kellerjordan.github.io/posts/muon), with Nesterov's momentum, decoupled weight decay,
    and steps scaled to the size of AdamW's (Liu et al., arXiv 2502.16982).

    Args:
        params: matrices; embeddings, gains and biases are for another optimizer.
        lr: learning rate.
        weight_decay: part of a weight that is taken away a step, times the learning rate.
    """

    def __init__(self, params: Iterable[torch.nn.Parameter], lr: float, weight_decay: float = 0.0) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """Take a step along the gradients that there are."""
        del closure
        for group in self.param_groups:
            for matrix in group["params"]:
                if matrix.grad is None:
                    continue
                momentum = self.state[matrix].setdefault("momentum", torch.zeros_like(matrix))
                momentum.lerp_(matrix.grad, 1 - MOMENTUM)
                matrix.mul_(1 - group["lr"] * group["weight_decay"])
                rate = 0.2 * max(matrix.shape) ** 0.5 * group["lr"]
                matrix.sub_(orthogonal(matrix.grad.lerp(momentum, MOMENTUM)), alpha=rate)


def orthogonal(matrix: torch.Tensor) -> torch.Tensor:
    """Return about the nearest matrix whose singular values are all 1, of the same shape (rows, columns)."""
    first, third, fifth = NEWTON_SCHULZ
    wide = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    wide = wide / wide.norm().clamp(min=1e-7)
    for _ in range(NUM_ROUNDS):
        gram = wide @ wide.T
        wide = torch.addmm(wide, torch.addmm(gram, gram, gram, beta=third, alpha=fifth), wide, beta=first)
    return wide.T if matrix.shape[0] > matrix.shape[1] else wide
