"""Rows of one capture that are in memory, and which of them may go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from .chunk import Chunk
from .news import ABORTED, COMPLETE, FAILED
from .plan import Plan
from .sample_states import SampleStates


@dataclass(frozen=True)
class End:
    """tokens: prompt and generated ones that went through the model, as far as they are the sample's. how: see `news.py`. why: it failed.
    attempt: how many requests were the sample before."""

    sample: int
    tokens: int
    prompt: int
    how: str = COMPLETE
    why: str | None = None
    attempt: int = 0


@dataclass
class Replay:
    """A sample that another request has taken over computes rows again that were handed over; their tokens tell whether they are the
    same. rows, print: of what was handed over, of positions below `stop`; seen, seen_print: of what has come again, below `reached`."""

    rows: int
    print: int
    stop: int
    seen: int = 0
    seen_print: int = 0
    reached: int = 0

    def see(self, position: np.ndarray, prints: np.ndarray) -> None:
        """Each position once: who is preempted computes rows again, too."""
        fresh = (position >= self.reached) & (position < self.stop)
        if fresh.any():
            self.seen += int(fresh.sum())
            self.seen_print ^= int(np.bitwise_xor.reduce(prints[fresh]))
            self.reached = int(position[fresh].max()) + 1


class Pending:
    """Chunks in the order they were computed.

    Which rows belong to a sample is known late: under async scheduling the engine feeds a token before it knows that the one before
    ended the text, and under speculation drafts that are rejected afterwards. So rows wait until the scheduler says that they are certain
    (`news.py`), or for the end, which says how long the sample was. Of two rows of one position the later one counts: the earlier one was
    a draft's, or was computed before the request lost its place. The last n rows of a sample are known at its end, too."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.nbytes = 0
        self._chunks: list[Chunk] = []
        self._repeats = False
        self._states = SampleStates()
        self._ends: dict[int, End] = {}  # of samples that have ended, and are not taken over
        self._open = plan.samples  # samples that may still bring something
        self._replays: dict[int, Replay] = {}
        self._void: list[tuple[int, int]] = []
        self._ended: list[int] = []

    def add(self, chunk: Chunk) -> None:
        """Raises ValueError where labels and values are not as many."""
        chunk.assert_rows()
        self._chunks.append(chunk)
        self.nbytes += chunk.nbytes
        self._repeats |= chunk.repeats
        for sample, certain in chunk.certain.items():
            at = self._states.at(sample)
            self._states.certain[at] = max(self._states.certain[at], certain)

    def again(self, sample: int) -> None:
        """Another request takes the sample over, from its start. What was handed over stays, if the new one turns out to be the same."""
        self._void.append((sample, len(self._chunks)))
        self._repeats = True
        self._ends.pop(sample, None)
        at, states = self._states.at(sample), self._states
        states.certain[at], states.running[at] = 0, True
        self._replays[sample] = Replay(int(states.sent[at]), int(states.prints[at]), int(states.reached[at]))

    def end(self, end: End) -> None:
        at, states = self._states.at(end.sample), self._states
        self._ends[end.sample], states.running[at] = end, False
        states.whole[at] = end.how == COMPLETE
        states.certain[at] = end.tokens
        self._open -= end.how != ABORTED
        self._ended.append(end.sample)

    @property
    def complete(self) -> bool:
        """Whether all samples have ended, so that none can be taken over any more."""
        return self._open == 0

    def take(self) -> tuple[Chunk | None, list[dict[str, Any]]]:
        """The rows that may go (None: none), as one chunk, and the samples that ended: {sample, rows, tokens, how, why, attempt}.

        Raises LookupError when rows are not what the model computed, or a sample that is complete lacks some that its plan selects."""
        for chunk in self._chunks:
            chunk.settle()
        self._drop_void()
        whole = merge(self._chunks)
        ended, self._ended = self._ended, []
        taken: Chunk | None = None
        if whole is not None:
            if self._repeats:
                whole = whole.take(latest(whole.sample, whole.position))
            go, stay = self._sort_out(whole)
            taken, rest = self._count(whole.select(go)), whole.select(stay)
            self._chunks = [rest] if rest is not None else []
        self.nbytes = sum(chunk.nbytes for chunk in self._chunks)
        self._repeats = any(chunk.repeats for chunk in self._chunks)
        return taken, [self._record(self._ends[sample]) for sample in dict.fromkeys(ended) if sample in self._ends]

    def _drop_void(self) -> None:
        """Rows of requests that were taken over."""
        for sample, count in self._void:
            for index in range(count):
                chunk = self._chunks[index]
                self._chunks[index] = chunk and chunk.select(chunk.sample != sample)
        if self._void:
            self._chunks, self._void = [chunk for chunk in self._chunks if chunk is not None], []

    def _sort_out(self, rows: Chunk) -> tuple[np.ndarray, np.ndarray]:
        """Masks of the rows that go and of those that stay; the others are dropped."""
        sample, position = rows.sample, rows.position
        states, at = self._states, self._states.of(sample)
        running = states.running[at]
        certain = position < states.certain[at]
        select = self.plan.select
        # Where only the model knew the positions, rows came that nobody asked for.
        wanted = select.holds(position, rows.prompt) if self._repeats else np.ones(len(sample), dtype=bool)
        if select.last is None:
            return wanted & certain, wanted & running & ~certain
        among_last = rank_from_end(sample, np.where(wanted & certain, position, -1)) < select.last
        return wanted & states.whole[at] & certain & among_last, wanted & running & (~certain | among_last)

    def _count(self, go: Chunk | None) -> Chunk | None:
        """Without the rows that were handed over before."""
        if go is None:
            return None
        states, at = self._states, self._states.of(go.sample)
        known, prints = go.position < states.reached[at], row_prints(go.position, go.token_id.numpy())
        if known.any():
            for sample, replay in self._replays.items():
                rows = known & (go.sample == sample)
                replay.see(go.position[rows], prints[rows])
            go, prints, at = go.select(~known), prints[~known], at[~known]
            if go is None:
                return None
        np.add.at(states.sent, at, 1)
        np.bitwise_xor.at(states.prints, at, prints)
        np.maximum.at(states.reached, at, go.position + 1)
        return go

    def _record(self, end: End) -> dict[str, Any]:
        how, why, rows = end.how, end.why, int(self._states.sent[self._states.at(end.sample)])
        replay = self._replays.pop(end.sample, None)
        if replay is not None and how == COMPLETE and (replay.seen, replay.seen_print) != (replay.rows, replay.print):
            how = FAILED
            why = (
                "a second request took it over and drew other tokens than the first, whose rows were handed over already; "
                "give a seed, or temperature 0, where requests are sent again"
            )
        if how == COMPLETE:
            expected = self.plan.select.count(end.tokens, end.prompt)
            if rows != expected:
                raise LookupError(f"sample {end.sample} has {rows} of {expected} rows")
        return {"sample": end.sample, "rows": rows, "tokens": end.tokens, "how": how, "why": why, "attempt": end.attempt}


def row_prints(position: np.ndarray, token: np.ndarray) -> np.ndarray:
    """A number of 64 bits for each row, so that sets of rows can be compared by their exclusive or. Mixed as in SplitMix64 (Steele, Lea,
    Flood 2014, "Fast splittable pseudorandom number generators")."""
    with np.errstate(over="ignore"):
        mixed = position.astype(np.uint64) << np.uint64(32) | token.astype(np.uint64)
        mixed += np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ mixed >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ mixed >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
        return mixed ^ mixed >> np.uint64(31)


def latest(sample: np.ndarray, position: np.ndarray) -> np.ndarray:
    """Indices of the last row of each sample and position, in that order."""
    keys = sample.astype(np.int64) << 32 | position
    _, last = np.unique(keys[::-1], return_index=True)
    return len(keys) - 1 - last


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
    """One chunk of all rows, in order."""
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
        repeats=any(chunk.repeats for chunk in chunks),
    )
