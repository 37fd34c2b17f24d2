"""Rows of many layers to one place on the device, in one kernel."""

from __future__ import annotations

from typing import Any

import torch

#: A step's rows in the order of the batch: a range where they lie side by side, else their indices (int64, on the device).
Rows = slice | torch.Tensor


_INTEGER = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def count(rows: Rows) -> int:
    return rows.stop - rows.start if isinstance(rows, slice) else rows.shape[0]


def gather(layers: list[torch.Tensor], rows: Rows, tables: dict[Any, torch.Tensor]) -> torch.Tensor:
    """layers: [tokens, width] each, all of one width and type. tables: addresses already on the device, kept by the caller.

    Returns [layers, rows, width], a new tensor."""
    first = layers[0]
    if not first.is_cuda:
        return torch.stack([layer[rows] for layer in layers])
    addresses = tuple(layer.data_ptr() for layer in layers)
    table = tables.get(addresses)
    if table is None:
        if any((layer.stride(), layer.dtype) != (first.stride(), first.dtype) for layer in layers) or first.stride(1) != 1:
            return torch.stack([layer[rows] for layer in layers])
        table = tables[addresses] = torch.tensor(addresses, dtype=torch.int64, device=first.device)
    width, size = first.shape[1], first.element_size()
    out = torch.empty((len(layers), count(rows), width), dtype=first.dtype, device=first.device)
    block = min(1024, 1 << (width - 1).bit_length())
    start, index = (rows.start, table) if isinstance(rows, slice) else (-1, rows)
    from .gather_kernel import gather_rows

    gather_rows[(out.shape[1], len(layers))](
        table, index, start, out.view(_INTEGER[size]), first.stride(0), out.shape[1], width, SIZE=size, BLOCK=block
    )
    return out
