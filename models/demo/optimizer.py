"""Muon for the weight matrices, AdamW for the rest.

Muon (Jordan et al. 2024, "Muon: an optimizer for hidden layers") replaces a matrix's momentum by the nearest
orthogonal one, so every direction of a matrix learns at the same pace. At this size it needs roughly half of the
tokens that AdamW needs for the same loss. Every expert is a matrix of its own; matrices of one size are
orthogonalised together in one batched product.
"""
from collections import defaultdict

import torch
from torch import Tensor, nn

from model import DemoModel

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # the quintic whose five-fold iteration maps (0, 1] to about [0.7, 1.2]
STEPS = 5


def orthogonalise(matrices: Tensor) -> Tensor:
    """The orthogonal factor of each matrix [n, rows, columns], rows <= columns, approximately."""
    a, b, c = NEWTON_SCHULZ
    x = matrices.bfloat16() if matrices.is_cuda else matrices
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(STEPS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.to(matrices.dtype)


class Muon(torch.optim.Optimizer):
    """Matrices [rows, columns] or stacks of them [n, rows, columns]."""

    def __init__(self, parameters: list[nn.Parameter], lr: float, momentum: float, weight_decay: float):
        super().__init__(parameters, dict(lr=lr, momentum=momentum, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            by_size = defaultdict(list)
            for parameter in group["params"]:
                buffer = self.state[parameter].setdefault("momentum", torch.zeros_like(parameter))
                buffer.lerp_(parameter.grad, 1 - group["momentum"])
                update = parameter.grad.lerp(buffer, group["momentum"])
                rows, columns = parameter.shape[-2:]
                wide = update.view(-1, rows, columns)
                by_size[min(rows, columns), max(rows, columns)].append((parameter, wide if rows <= columns else wide.mT))
            for entries in by_size.values():
                updates = orthogonalise(torch.cat([update for _, update in entries]))
                for (parameter, update), result in zip(entries, updates.split([len(update) for _, update in entries])):
                    rows, columns = parameter.shape[-2:]
                    result = result if rows <= columns else result.mT
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    parameter.add_(result.reshape(parameter.shape), alpha=-group["lr"] * max(1.0, rows / columns) ** 0.5)


def optimizers(model: DemoModel, settings: dict) -> list[torch.optim.Optimizer]:
    """Routers and embeddings are looked up or compared row by row, so they and the norms stay with AdamW."""
    matrices, rest = [], []
    for name, parameter in model.named_parameters():
        (rest if parameter.dim() < 2 or "embedding" in name or "router" in name else matrices).append(parameter)
    return [Muon(matrices, settings["muon_rate"], settings["muon_momentum"], settings["muon_weight_decay"]),
            torch.optim.AdamW(rest, settings["adam_rate"], betas=(0.9, 0.95), eps=1e-10, weight_decay=0.0,
                              fused=rest[0].is_cuda)]


def rate_factor(step: int, steps: int, warm_up: int, decay: float) -> float:
    """Warm-up, stable, decay: linear up over `warm_up` steps, flat, linear to zero over the last `decay` share."""
    return min(1.0, (step + 1) / warm_up, (steps - step) / (decay * steps))
