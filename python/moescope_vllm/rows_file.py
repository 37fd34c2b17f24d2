"""Rows files: safetensors, as docs/vllm-protocol.md describes them."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch

FORMAT = "moescope.rows/2"

#: What is known of a row, in the order of the columns; a layer of a stream is `layer_tensor`. As in a capture folder.
LABELS = ("rows.sample", "rows.position", "rows.token_id", "rows.phase")
SAMPLE, POSITION, TOKEN_ID, PHASE = LABELS

_DTYPES = {
    torch.uint8: "U8",
    torch.uint16: "U16",
    torch.int32: "I32",
    torch.float32: "F32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
}


def layer_tensor(stream: str, layer: int) -> str:
    """The name of a layer's tensor."""
    return f"{stream}.{layer}"


def write_rows(path: Path, tensors: dict[str, torch.Tensor], metadata: dict[str, Any]) -> int:
    """Writes aside and renames, so that a reader meets whole files only. Wide elements come first, so that all are aligned. metadata:
    values become JSON.

    Returns the file's bytes; raises OSError."""
    header: dict[str, Any] = {"__metadata__": {"format": FORMAT, **{key: json.dumps(value) for key, value in metadata.items()}}}
    parts: list[torch.Tensor] = []
    offset = 0
    for name, tensor in sorted(tensors.items(), key=lambda item: -item[1].element_size()):
        header[name] = {"dtype": _DTYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [offset, offset + tensor.nbytes]}
        parts.append(tensor)
        offset += tensor.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for part in parts:
            # An empty tensor or one of one element may have any stride, and only 1 can be viewed as bytes.
            plain = part.contiguous() if part.numel() > 1 else torch.empty(part.shape, dtype=part.dtype).copy_(part)
            file.write(plain.view(torch.uint8).numpy())
    os.replace(temporary, path)
    return 8 + len(text) + offset


def read_header(file: BinaryIO) -> tuple[dict[str, Any], int]:
    """The header, and where what it describes begins. Raises ValueError for a file that is no rows file."""
    first = file.read(8)
    size = int.from_bytes(first, "little")
    if len(first) < 8 or size > os.fstat(file.fileno()).st_size:
        raise ValueError(f"{file.name} is no rows file")
    return json.loads(file.read(size)), 8 + size


def read_token_ids(path: Path) -> list[int]:
    """The column of token ids."""
    with path.open("rb") as file:
        header, begin = read_header(file)
        start, end = header[TOKEN_ID]["data_offsets"]
        file.seek(begin + start)
        return np.frombuffer(file.read(end - start), dtype="<i4").tolist()


def read_metadata(path: Path) -> tuple[dict[str, Any], int]:
    """The metadata, parsed, and the number of rows."""
    with path.open("rb") as file:
        header, _ = read_header(file)
    raw = header["__metadata__"]
    return {key: json.loads(value) for key, value in raw.items() if key != "format"}, header[SAMPLE]["shape"][0]
