"""(group, topic, partition) to one number each, a column at a time."""

from __future__ import annotations

import numpy as np

from offdecode.history.numbers import Numbers
from offdecode.model import Vector, stable_order
from offdecode.texts import Texts

_PARTITION_BITS = 32


class KeyCodes:
    """Numbers the keys of offset commits: a number for each (group, topic), the partition in the lower half.

    names: numbers of groups and topics; texts: of what else the rows say.
    """

    def __init__(self) -> None:
        self.names = Texts()
        self.texts = Texts()
        self._pairs = Numbers()  # by group and topic in one number

    @property
    def texts_held(self) -> int:
        return len(self.names) + len(self.texts)

    def keys(self, group: Vector, topic: Vector, partition: Vector) -> Vector:
        """The numbers of keys. group, topic: numbers of names."""
        pair = self._pairs.find(group.astype(np.int64) << 32 | topic)
        return np.asarray(pair << _PARTITION_BITS | partition.astype(np.int64) & (1 << _PARTITION_BITS) - 1)

    def order(self, key: Vector, rank: Vector) -> Vector:
        """What puts keys in the order of group, topic and partition; equal ones stay as they are.

        rank: that of the names.
        """
        pairs = self._pairs.codes
        places = np.empty(len(pairs), np.int64)
        places[stable_order(rank[pairs & (1 << 32) - 1], rank[pairs >> 32])] = np.arange(len(pairs))
        partition = (key & (1 << _PARTITION_BITS) - 1) ^ 1 << 31  # signed
        return stable_order(partition, places[key >> _PARTITION_BITS])
