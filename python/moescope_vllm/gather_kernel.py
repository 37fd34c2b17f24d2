"""The kernel behind `gather.py`. Importing this needs Triton, which comes with vLLM on GPUs and is absent on CPUs."""

import triton
import triton.language as tl


@triton.jit(do_not_specialize=["start", "rows"])
def gather_rows(table, index, start, out, stride, rows, width, SIZE: tl.constexpr, BLOCK: tl.constexpr):
    """One program copies one row of one layer. table: address of each layer. start: first row, or -1: row i is index[i]."""
    row = tl.program_id(0).to(tl.int64)
    layer = tl.program_id(1).to(tl.int64)
    if SIZE == 1:
        source = tl.load(table + layer).to(tl.pointer_type(tl.int8))
    elif SIZE == 2:
        source = tl.load(table + layer).to(tl.pointer_type(tl.int16))
    elif SIZE == 4:
        source = tl.load(table + layer).to(tl.pointer_type(tl.int32))
    else:
        source = tl.load(table + layer).to(tl.pointer_type(tl.int64))
    token = start + row
    if start < 0:
        token = tl.load(index + row)
    for offset in range(0, width, BLOCK):
        column = offset + tl.arange(0, BLOCK)
        inside = column < width
        value = tl.load(source + token * stride + column, mask=inside)
        tl.store(out + (layer * rows + row) * width + column, value, mask=inside)
