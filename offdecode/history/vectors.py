"""Vectors of what is kept of each of many numbers: keys, groups or lines."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np

from offdecode.growing import make_room
from offdecode.model import Vector

_NOTHING = np.empty(0, np.int64)


class Vectors:
    """Vectors by name, one entry a number. One that nothing is entered in takes no memory.

    initial: what entries are until then; 0 where it names nothing.
    """

    def __init__(self, initial: Mapping[Any, int] | None = None) -> None:
        self._initial = initial or {}
        self._roomy: dict[Hashable, Vector] = {}
        self.count = 0  # numbers that there are

    def __getitem__(self, name: Hashable) -> Vector:
        """The vector itself, until there are more numbers."""
        if name not in self._roomy:
            self._lengthen(name, 0)
        return self._roomy[name][: self.count]

    def __contains__(self, name: Hashable) -> bool:
        return name in self._roomy

    def values(self) -> list[Vector]:
        """All in which something is entered."""
        return [self[name] for name in self._roomy]

    def grow(self, count: int) -> None:
        """Let there be so many numbers."""
        if count > self.count:
            known, self.count = self.count, count
            for name in self._roomy:
                self._lengthen(name, known)

    def _lengthen(self, name: Hashable, known: int) -> None:
        """Have an entry for each number. known: how many there are of it."""
        self._roomy[name] = vector = make_room(self._roomy.get(name, _NOTHING), self.count)
        if initial := self._initial.get(name, 0):
            vector[known : self.count] = initial

    def add(self, name: Hashable, number: Vector, amount: int | Vector) -> None:
        """Add to what is entered of these numbers, which may be there several times."""
        if len(number):
            np.add.at(self[name], number, amount)

    def of(self, name: Hashable, number: Vector) -> Vector:
        """What is entered of these numbers."""
        return self[name].take(number) if name in self else np.full(len(number), self._initial.get(name, 0))

    def put(self, name: Hashable, number: Vector, values: Vector | int) -> None:
        """Enter something else of these numbers."""
        if name in self or (np.asarray(values) != self._initial.get(name, 0)).any():
            self[name][number] = values

    def some(self, numbers: Vector) -> Vectors:
        """What is entered of some numbers only, each by its place among these."""
        found = Vectors(self._initial)
        found.count = len(numbers)
        found._roomy = {name: self[name].take(numbers) for name in self._roomy}
        return found
