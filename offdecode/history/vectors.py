"""Vectors of what is kept of each of many numbers: keys, groups or lines."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np

from offdecode.model import Vector

_SMALL = 1 << 20


class Vectors(dict[Hashable, Vector]):
    """Vectors by name, one entry a number. One that nothing is entered in takes no memory.

    initial: what entries are until then; 0 where it names nothing.
    """

    def __init__(self, initial: Mapping[Any, int] | None = None) -> None:
        super().__init__()
        self._initial = initial or {}
        self.room = 0  # numbers that there may be

    def __missing__(self, name: Hashable) -> Vector:
        initial = self._initial.get(name, 0)
        # Zeros take no memory before they are counted up.
        self[name] = found = np.full(self.room, initial) if initial else np.zeros(self.room, np.int64)
        return found

    def grow(self, count: int) -> None:
        """Make room for so many numbers."""
        if count > self.room:
            known, self.room = self.room, max(count, self.room + self.room // (2 if self.room < _SMALL else 4))
            for name, values in self.items():
                initial = self._initial.get(name, 0)
                self[name] = larger = np.zeros(self.room, np.int64)
                larger[:known] = values
                if initial:
                    larger[known:] = initial

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
        found.update({name: values.take(numbers) for name, values in self.items()})
        return found
