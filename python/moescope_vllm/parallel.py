"""Which rows of a tensor belong to this data-parallel rank."""

from __future__ import annotations

import torch


def own_rows(x: torch.Tensor, rank: int) -> torch.Tensor | None:
    """x: [tokens, width] as a router saw it: this rank's tokens, or those of all ranks one after the other. None: neither."""
    from vllm.forward_context import get_forward_context

    metadata = get_forward_context().dp_metadata
    if metadata is None:
        return x
    counts = metadata.num_tokens_across_dp_cpu.tolist()
    if x.shape[0] == counts[rank]:
        return x
    if x.shape[0] == sum(counts):
        start = sum(counts[:rank])
        return x[start : start + counts[rank]]
    return None
