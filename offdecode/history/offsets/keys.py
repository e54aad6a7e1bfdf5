"""(group, topic, partition) to one number each, and texts to numbers, a column at a time."""

from __future__ import annotations

from itertools import filterfalse

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from offdecode.model import Vector, arrow, distinct

_PARTITION_BITS = 32


class Texts:
    """Numbers texts as they appear."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._all = pa.array([], pa.string())

    def __len__(self) -> int:
        return len(self._numbers)

    def number(self, text: str) -> int:
        known = self._numbers
        return known.setdefault(text, len(known))

    def encode(self, column: pa.Array | pa.ChunkedArray) -> pa.Array:
        """The number of each text of a dictionary-encoded column; null for null."""
        if isinstance(column, pa.ChunkedArray):
            column = column.combine_chunks()
        known = self._numbers
        texts = column.dictionary.to_pylist()
        new = dict.fromkeys(filterfalse(known.__contains__, texts))
        first = len(known)
        known.update(zip(new, range(first, first + len(new)), strict=True))
        if len(new) == len(texts):
            numbers = np.arange(first, first + len(new), dtype=np.int32)
        else:
            numbers = np.fromiter(map(known.__getitem__, texts), np.int32, len(texts))
        return arrow(numbers).take(column.indices)

    def all(self) -> pa.Array:
        """The texts, each in the place of its number."""
        if len(self._all) < len(self._numbers):
            self._all = pa.array(list(self._numbers), pa.string())
        return self._all

    def rank(self) -> Vector:
        """For each text its place among all in the order of texts."""
        found = np.empty(len(self), np.int64)
        found[pc.sort_indices(self.all()).to_numpy()] = np.arange(len(self))
        return found


class KeyCodes:
    """Numbers the keys of offset commits: a number for each (group, topic), the partition in the lower half.

    names: numbers of groups and topics; texts: of what else the rows say.
    """

    def __init__(self) -> None:
        self.names = Texts()
        self.texts = Texts()
        self._pairs = np.empty(0, np.int64)  # sorted
        self._numbers = np.empty(0, np.int64)

    @property
    def texts_held(self) -> int:
        return len(self.names) + len(self.texts)

    def keys(self, group: Vector, topic: Vector, partition: Vector) -> Vector:
        """The numbers of keys. group, topic: numbers of names."""
        if not len(group):
            return np.empty(0, np.int64)
        pairs = group.astype(np.int64) << 32 | topic
        self._learn(distinct(pairs))
        numbers = self._numbers[np.searchsorted(self._pairs, pairs)]
        return np.asarray(numbers << _PARTITION_BITS | partition.astype(np.int64) & (1 << _PARTITION_BITS) - 1)

    def order(self, key: Vector, rank: Vector) -> Vector:
        """What puts keys in the order of group, topic and partition; equal ones stay as they are.

        rank: that of the names.
        """
        by_pair = np.lexsort((rank[self._pairs & (1 << 32) - 1], rank[self._pairs >> 32]))
        places = np.empty(len(by_pair), np.int64)
        places[self._numbers[by_pair]] = np.arange(len(by_pair))
        partition = (key & (1 << _PARTITION_BITS) - 1) ^ 1 << 31  # signed
        return np.argsort(places[key >> _PARTITION_BITS] << _PARTITION_BITS | partition, kind="stable")

    def _learn(self, pairs: Vector) -> None:
        place = np.searchsorted(self._pairs, pairs)
        new = np.ones(len(pairs), np.bool_)
        inside = place < len(self._pairs)
        new[inside] = self._pairs[place[inside]] != pairs[inside]
        if new.any():
            count = len(self._pairs)
            self._pairs = np.insert(self._pairs, place[new], pairs[new])
            self._numbers = np.insert(self._numbers, place[new], np.arange(count, count + new.sum()))
