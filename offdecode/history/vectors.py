"""Vectors of what is kept of each of many numbers: keys, groups or lines."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np

from offdecode.growing import make_room
from offdecode.model import Vector


class Vectors(dict[Hashable, Vector]):
    """Vectors by name, one entry a number. One that nothing is entered in takes no memory.

    initial: what entries are until then; 0 where it names nothing.
    """

    def __init__(self, initial: Mapping[Any, int] | None = None) -> None:
        super().__init__()
        self._initial = initial or {}
        self._roomy: dict[Hashable, Vector] = {}  # each begins with the vector of that name
        self.count = 0  # numbers that there are

    def __missing__(self, name: Hashable) -> Vector:
        self._roomy[name] = np.empty(0, np.int64)
        self._lengthen(name, 0)
        return self[name]

    def grow(self, count: int) -> None:
        """Let there be so many numbers."""
        if count > self.count:
            known, self.count = self.count, count
            for name in self:
                self._lengthen(name, known)

    def _lengthen(self, name: Hashable, known: int) -> None:
        """Have an entry for each number. known: how many there are of it."""
        self._roomy[name] = make_room(self._roomy[name], self.count)
        self[name] = self._roomy[name][: self.count]
        if initial := self._initial.get(name, 0):
            self[name][known:] = initial

    def add(self, name: Hashable, number: Vector, amount: int | Vector) -> None:
        """Add to what is entered of these numbers, which may be there several times."""
        if len(number):
            np.add.at(self[name], number, amount)

    def of(self, name: Hashable, number: Vector) -> Vector:
        """What is entered of these numbers."""
        values = self.get(name)
        return np.full(len(number), self._initial.get(name, 0)) if values is None else values.take(number)

    def put(self, name: Hashable, number: Vector, values: Vector | int) -> None:
        """Enter something else of these numbers."""
        if name in self or (np.asarray(values) != self._initial.get(name, 0)).any():
            self[name][number] = values

    def some(self, numbers: Vector) -> Vectors:
        """What is entered of some numbers only, each by its place among these."""
        found = Vectors(self._initial)
        found.grow(len(numbers))
        for name, values in self.items():
            found[name] = found._roomy[name] = values.take(numbers)
        return found
