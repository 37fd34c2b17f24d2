"""How many rows a step has in this process, and which rows of a tensor are its own."""

from __future__ import annotations

import torch


def step_rows() -> int | None:
    """Tokens of the step this process is running, padding included; None outside of a step, and where vLLM does not say."""
    from vllm.forward_context import get_forward_context, is_forward_context_available

    if not is_forward_context_available():
        return None
    descriptor = get_forward_context().batch_descriptor
    return None if descriptor is None else descriptor.num_tokens


def own_rows(x: torch.Tensor, rank: int) -> torch.Tensor:
    """x: [rows, width] as a router saw it: this data-parallel rank's tokens, or those of all ranks one after the other, with or without
    the padding that makes ranks' parts divisible. Raises LookupError where this rank's part cannot be told."""
    from vllm.forward_context import get_forward_context

    metadata = get_forward_context().dp_metadata
    if metadata is None:
        return x
    counts = metadata.num_tokens_across_dp_cpu.tolist()
    return x[own_part(x.shape[0], counts, getattr(metadata, "local_sizes", None), rank)]


def own_part(rows: int, counts: list[int], shards: list[int] | None, rank: int) -> slice:
    """Where `rank` has its rows among `rows`. counts: tokens of each data-parallel rank. shards: rows of each rank of the
    expert-parallel group, data-parallel rank by data-parallel rank, as vLLM gathers them (`DPMetadata.local_sizes`)."""
    found = set()
    if rows == counts[rank]:
        found.add(0)
    if rows == sum(counts):
        found.add(sum(counts[:rank]))
    if shards is not None and len(shards) % len(counts) == 0 and rows == sum(shards):
        each = len(shards) // len(counts)
        found.add(sum(shards[: rank * each]))
    if len(found) != 1:
        layout = (
            "the tokens of one rank, of all ranks, and of all ranks with padding are as many" if found else "no layout has as many rows"
        )
        raise LookupError(f"{rows} rows passed a tap in a data-parallel step of {counts} tokens ({shards} gathered): {layout}")
    start = found.pop()
    return slice(start, start + counts[rank])
