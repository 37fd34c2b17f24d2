"""Rows of one capture that are in memory, and which of them may go."""

from __future__ import annotations

import numpy as np
import torch

from .chunk import Chunk
from .plan import Plan


class Pending:
    """Chunks in the order they were computed.

    Which rows belong to a sample is known late: under async scheduling the engine feeds a token before it knows that the one before
    ended the text. So the last row of a generating sample waits for the next step, or for the end, which says how long the sample was.
    The last n rows of a sample are known at its end, too."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.nbytes = 0
        self._chunks: list[Chunk] = []
        self._certain = np.zeros(plan.samples, dtype=np.int64)
        self._length = np.full(plan.samples, -1, dtype=np.int64)  # -1: runs
        self._prompt = np.zeros(plan.samples, dtype=np.int64)
        self._sent = np.zeros(plan.samples, dtype=np.int64)
        self._ended: list[int] = []

    def add(self, chunk: Chunk) -> None:
        self._chunks.append(chunk)
        self.nbytes += chunk.nbytes
        for sample, certain in chunk.certain.items():
            self._certain[sample] = max(self._certain[sample], certain)

    def end(self, sample: int, tokens: int, prompt: int) -> None:
        """tokens: prompt and generated ones that went through the model."""
        self._length[sample] = tokens
        self._certain[sample] = tokens
        self._prompt[sample] = prompt
        self._ended.append(sample)

    @property
    def has_ended(self) -> bool:
        """Whether samples have ended since the last :meth:`take`."""
        return bool(self._ended)

    @property
    def complete(self) -> bool:
        return bool((self._length >= 0).all())

    def take(self) -> tuple[Chunk | None, list[dict[str, int]]]:
        """The rows that may go (None: none), as one chunk, and the samples that ended: {sample, rows, tokens}.

        Raises LookupError when an ended sample has fewer rows than its plan selects."""
        whole = merge(self._chunks)
        ended, self._ended = self._ended, []
        taken: Chunk | None = None
        if whole is not None:
            go, stay = self._sort_out(whole)
            taken = whole.select(go)
            rest = whole.select(stay)
            self._chunks = [rest] if rest is not None else []
            self.nbytes = rest.nbytes if rest is not None else 0
        if taken is not None:
            self._sent += np.bincount(taken.sample, minlength=len(self._sent))
        records = []
        for sample in ended:
            tokens, prompt = int(self._length[sample]), int(self._prompt[sample])
            expected = self.plan.select.count(tokens, prompt)
            if self._sent[sample] != expected:
                raise LookupError(f"sample {sample} has {self._sent[sample]} of {expected} rows")
            records.append({"sample": sample, "rows": expected, "tokens": tokens})
        return taken, records

    def _sort_out(self, whole: Chunk) -> tuple[np.ndarray, np.ndarray]:
        """Masks of the rows that go and of those that stay; the others are dropped."""
        sample, position = whole.sample, whole.position
        running = self._length[sample] < 0
        certain = position < self._certain[sample]
        last = self.plan.select.last
        if last is None:
            return certain, running & ~certain
        from_end = rank_from_end(sample, np.where(running | certain, position, -1))
        go = ~running & certain & (from_end < last)
        # One more row than asked for may be the one that turns out not to belong to the sample.
        return go, running & (from_end <= last)


def rank_from_end(sample: np.ndarray, position: np.ndarray) -> np.ndarray:
    """For each row, how many rows of its sample have a higher position."""
    order = np.lexsort((-position, sample))
    sorted_sample = sample[order]
    starts = np.flatnonzero(np.r_[True, sorted_sample[1:] != sorted_sample[:-1]])
    ranks = np.arange(len(order)) - np.repeat(starts, np.diff(np.r_[starts, len(order)]))
    out = np.empty_like(ranks)
    out[order] = ranks
    return out


def merge(chunks: list[Chunk]) -> Chunk | None:
    """One chunk of all rows, in order; waits until they have arrived."""
    for chunk in chunks:
        if chunk.arrived is not None:
            chunk.arrived.synchronize()
            chunk.arrived = None
    if len(chunks) <= 1:
        return chunks[0] if chunks else None
    first = chunks[0]
    return Chunk(
        capture=first.capture,
        sample=np.concatenate([chunk.sample for chunk in chunks]),
        position=np.concatenate([chunk.position for chunk in chunks]),
        prompt=np.concatenate([chunk.prompt for chunk in chunks]),
        token_id=torch.cat([chunk.token_id for chunk in chunks]),
        streams={
            name: [torch.cat([chunk.streams[name][layer] for chunk in chunks]) for layer in range(len(first.streams[name]))]
            for name in first.streams
        },
        certain={},
    )
