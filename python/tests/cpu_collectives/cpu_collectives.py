"""What vLLM 0.32's CPU backend lacks for data-parallel MoE layers: it starts them, and their first step ends in NotImplementedError.

`check_server.py` loads this as a plugin of vLLM, so that the rows of data-parallel ranks can be checked without GPUs.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist


def register() -> None:
    from vllm.distributed.device_communicators.cpu_communicator import CpuCommunicator

    for method in (all_gatherv, reduce_scatterv):
        assert method.__name__ not in CpuCommunicator.__dict__, f"this vLLM has {method.__name__} on CPUs: cpu_collectives can go"
        setattr(CpuCommunicator, method.__name__, method)


def all_gatherv(self: Any, input_: torch.Tensor | list[torch.Tensor], dim: int = 0, sizes: list[int] | None = None) -> Any:
    """Every rank's rows, one rank after the other. sizes: rows of each; None: as many as here."""
    assert dim == 0, dim
    if isinstance(input_, list):
        return [all_gatherv(self, part, dim, sizes) for part in input_]
    counts = sizes or [input_.shape[0]] * self.world_size
    # Gloo gathers equal shapes only.
    padded = input_.new_zeros((max(counts), *input_.shape[1:]))
    padded[: input_.shape[0]] = input_
    parts = [torch.empty_like(padded) for _ in counts]
    dist.all_gather(parts, padded, group=self.device_group)
    return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])


def reduce_scatterv(self: Any, input_: torch.Tensor, dim: int = -1, sizes: list[int] | None = None) -> torch.Tensor:
    """This rank's rows of the sum over ranks."""
    assert dim == 0, dim
    counts = sizes or [input_.shape[0] // self.world_size] * self.world_size
    total = input_.clone()
    dist.all_reduce(total, group=self.device_group)
    start = sum(counts[: self.rank_in_group])
    return total[start : start + counts[self.rank_in_group]]
