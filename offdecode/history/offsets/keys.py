"""(group, topic, partition) to one number each, a column at a time."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from offdecode.model import Vector

_PARTITION_BITS = 32


class KeyCodes:
    """Numbers the keys of offset commits: a number for each (group, topic), the partition in the lower half."""

    def __init__(self) -> None:
        self._texts: dict[str, int] = {}
        self._pairs = np.empty(0, np.int64)  # sorted
        self._numbers = np.empty(0, np.int64)

    def encode(self, rows: pa.RecordBatch | pa.Table) -> Vector:
        """The number of each row's key."""
        if not len(rows):
            return np.empty(0, np.int64)
        pairs = self._codes(rows.column("group")) << 32 | self._codes(rows.column("topic"))
        distinct, inverse = np.unique(pairs, return_inverse=True)
        self._learn(distinct)
        numbers = self._numbers[np.searchsorted(self._pairs, distinct)]
        partition = rows.column("partition").to_numpy().astype(np.int64) & (1 << _PARTITION_BITS) - 1
        return np.asarray(numbers[inverse] << _PARTITION_BITS | partition)

    def _learn(self, pairs: Vector) -> None:
        new = np.setdiff1d(pairs, self._pairs, assume_unique=True)
        if len(new):
            count = len(self._pairs)
            place = np.searchsorted(self._pairs, new)
            self._pairs = np.insert(self._pairs, place, new)
            self._numbers = np.insert(self._numbers, place, np.arange(count, count + len(new)))

    def _codes(self, column: pa.Array | pa.ChunkedArray) -> Vector:
        """A number for each text; the same in every column, so that a table may be encoded in parts."""
        known = self._texts
        parts = []
        for array in column.chunks if isinstance(column, pa.ChunkedArray) else (column,):
            texts = array.dictionary.to_pylist()
            numbers = np.fromiter((known.setdefault(text, len(known)) for text in texts), np.int64, len(texts))
            parts.append(numbers[array.indices.to_numpy()])
        return np.concatenate(parts)
