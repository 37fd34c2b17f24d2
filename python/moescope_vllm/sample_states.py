"""How far each sample of a capture is. Only samples that have begun cost memory: a capture may announce a million."""

from __future__ import annotations

import numpy as np

_FIRST_ROOM = 16


class SampleStates:
    """One entry a sample that was named, in arrays so that the rows of a step are judged at once. `at` tells where a sample's is.

    certain: how many of its first rows are certainly its own. running: it has not ended. whole: it has ended, and is complete. sent: rows
    handed over. prints: of them, see `row_prints`. reached: one behind the highest position handed over."""

    def __init__(self) -> None:
        self._at: dict[int, int] = {}
        self.certain = np.zeros(_FIRST_ROOM, dtype=np.int64)
        self.running = np.ones(_FIRST_ROOM, dtype=bool)
        self.whole = np.zeros(_FIRST_ROOM, dtype=bool)
        self.sent = np.zeros(_FIRST_ROOM, dtype=np.int64)
        self.prints = np.zeros(_FIRST_ROOM, dtype=np.uint64)
        self.reached = np.zeros(_FIRST_ROOM, dtype=np.int64)

    def at(self, sample: int) -> int:
        """The index of a sample, which has one from now on."""
        found = self._at.get(sample)
        if found is None:
            found = self._at[sample] = len(self._at)
            if found == len(self.certain):
                self._grow()
        return found

    def of(self, samples: np.ndarray) -> np.ndarray:
        """The indices of samples: integer [n] -> int64 [n]."""
        named, which = np.unique(samples, return_inverse=True)
        return np.array([self.at(sample) for sample in named.tolist()], dtype=np.int64)[which.reshape(-1)]

    def _grow(self) -> None:
        for name, value in (("certain", 0), ("running", True), ("whole", False), ("sent", 0), ("prints", 0), ("reached", 0)):
            column = getattr(self, name)
            setattr(self, name, np.concatenate((column, np.full(len(column), value, dtype=column.dtype))))
