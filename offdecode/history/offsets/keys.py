"""(group, topic, partition) to one number each, a column at a time."""

from __future__ import annotations

import numpy as np

from offdecode.model import Vector, distinct
from offdecode.texts import Texts

_PARTITION_BITS = 32


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
