"""Codes to numbers from 0 on, a vector at a time."""

from __future__ import annotations

import numpy as np

from offdecode.growing import make_room
from offdecode.model import LARGEST_INT64, Vector

_RECENT_CODES = 4096
_NOTHING = np.empty(0, np.int64)


class Numbers:
    """Numbers codes as they appear.

    The first ones, as long as they rise, are where they are searched for too. Of the others most are in one sorted
    vector, the latest in a small one beside it.
    """

    def __init__(self) -> None:
        self._codes = np.empty(1024, np.int64)
        self._count = 0
        self._rising = 0  # so many of the first codes rise
        self._sorted = [_NOTHING, _NOTHING]
        self._number = [_NOTHING, _NOTHING]

    def __len__(self) -> int:
        return self._count

    @property
    def codes(self) -> Vector:
        """The code of each number."""
        return self._codes[: self._count]

    def find(self, codes: Vector) -> Vector:
        """The number of each code; new ones get the next numbers, in their order."""
        if self._are_beyond(codes):
            return self._append(codes, np.arange(self._count, self._count + len(codes)))
        found = np.full(len(codes), -1)
        rising = self._codes[: self._rising]
        for known, numbers in ((rising, None), *zip(self._sorted, self._number, strict=True)):
            if len(known):
                at = np.minimum(np.searchsorted(known, codes), len(known) - 1)
                same = known[at] == codes
                found[same] = at[same] if numbers is None else numbers[at[same]]
        new = found < 0
        if new.any():
            found[new] = self._add(codes[new])
        return found

    def _are_beyond(self, codes: Vector) -> bool:
        """Whether they rise, from above all known ones on, as those of names that are new do: then all are new."""
        ordered = (self._codes[: self._rising], *self._sorted)
        highest = max((int(known[-1]) for known in ordered if len(known)), default=-LARGEST_INT64)
        return len(codes) > 0 and int(codes[0]) > highest and bool((codes[1:] > codes[:-1]).all())

    def _add(self, codes: Vector) -> Vector:
        added, first, index = np.unique(codes, return_index=True, return_inverse=True)
        order = np.argsort(first)
        numbers = np.empty(len(added), np.int64)
        numbers[order] = np.arange(self._count, self._count + len(added))
        return self._append(added, numbers)[index]

    def _append(self, codes: Vector, numbers: Vector) -> Vector:
        """Take new codes, sorted, with their numbers, which are the next in any order."""
        start, end = self._count, self._count + len(codes)
        self._codes = make_room(self._codes, end)
        self._codes[numbers] = codes
        self._count = end
        if self._rising == start and self._rises(start):
            self._rising = end
            return numbers
        self._insert(1, codes, numbers)
        if len(self._sorted[1]) > _RECENT_CODES + (self._rising + len(self._sorted[0])) // 8:
            self._insert(0, self._sorted[1], self._number[1])
            self._sorted[1] = self._number[1] = _NOTHING
        return numbers

    def _rises(self, start: int) -> bool:
        """Whether the codes of the numbers from `start` on rise, from above those before them on."""
        codes = self._codes[max(start - 1, 0) : self._count]
        return bool((codes[1:] > codes[:-1]).all())

    def _insert(self, part: int, codes: Vector, numbers: Vector) -> None:
        known = self._sorted[part]
        if not len(known) or codes[0] > known[-1]:
            self._sorted[part] = np.concatenate((known, codes))
            self._number[part] = np.concatenate((self._number[part], numbers))
            return
        place = np.searchsorted(known, codes)
        self._sorted[part] = np.insert(known, place, codes)
        self._number[part] = np.insert(self._number[part], place, numbers)
