"""Lists of keys by number, all in one vector."""

from __future__ import annotations

import numpy as np

from offdecode.growing import make_room
from offdecode.model import Vector, bounds, within


class KeyLists:
    """Numbers lists of keys as they are added, from 0 on."""

    def __init__(self) -> None:
        self._first = self._count = self._keys = np.empty(0, np.int64)
        self._lists = 0
        self.size = 0  # keys of all lists

    def __len__(self) -> int:
        return self._lists

    def add(self, keys: Vector, count: Vector) -> None:
        """Add lists. keys: of all of them, one after the other; count: of each."""
        start, self._lists = self._lists, self._lists + len(count)
        self._first, self._count = make_room(self._first, self._lists), make_room(self._count, self._lists)
        self._first[start : self._lists] = self.size + bounds(count)[:-1]
        self._count[start : self._lists] = count
        begin, self.size = self.size, self.size + len(keys)
        self._keys = make_room(self._keys, self.size)
        self._keys[begin : self.size] = keys

    def of(self, numbers: Vector) -> tuple[Vector, Vector]:
        """The keys of some lists, one after the other, and how many each has."""
        count = self._count[numbers]
        return self._keys[np.repeat(self._first[numbers], count) + within(count)], count
