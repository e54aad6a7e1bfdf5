"""The offset commits of a chunk as vectors, with a number for each group and for each (group, topic, partition)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from offdecode.model import DecodedChunk, Mask, Vector
from offdecode.schemas import offset_commit

ABSENT = -(1 << 63)  # a null of the row, in a vector of numbers

_TABLE_ENTRIES = 1 << 22  # up to so many combinations are told apart by a table, beyond it by sorting

Group = tuple[int | None, str]  # log partition, group


class CommitKeys:
    """Numbers groups and keys as they appear; what a number stands for is in `groups` and `keys`."""

    def __init__(self) -> None:
        self.groups: list[Group] = []
        self.keys: list[tuple[int, str, int]] = []  # number of the group, topic, partition
        self._groups: dict[Group, int] = {}
        self._keys: dict[tuple[int, str, int], int] = {}

    def group(self, group: Group) -> int:
        number = self._groups.setdefault(group, len(self.groups))
        if number == len(self.groups):
            self.groups.append(group)
        return number

    def key(self, group: int, topic: str, partition: int) -> int:
        key = (group, topic, partition)
        number = self._keys.setdefault(key, len(self.keys))
        if number == len(self.keys):
            self.keys.append(key)
        return number


@dataclass(frozen=True, slots=True)
class CommitColumns:
    """Vectors of a chunk's offset commits, one entry a row, in log order.

    place: position among all rows of the chunk; row: position in the chunk's batch of commits; ABSENT stands
    for null. transaction: null, or the contract's word, as a number of TRANSACTIONS. topic_id: a number of its
    own for each id, -1 for none.
    """

    batch: pa.RecordBatch
    row: Vector
    place: Vector
    group: Vector
    key: Vector
    log_offset: Vector
    log_timestamp: Vector
    tombstone: Mask
    transaction: Vector

    def __len__(self) -> int:
        return len(self.row)

    def numbers(self, name: str) -> Vector:
        """A column of integers or times."""
        return _numbers(self.batch.column(name))[self.row]

    def is_text(self, name: str, text: str) -> Mask:
        """Where a column of text is this text; null is none."""
        column = self.batch.column(name)
        known = np.array([value == text for value in column.dictionary.to_pylist()] + [False], np.bool_)
        return np.asarray(known[_codes(column)[self.row]])

    def codes(self, name: str, numbers: dict[str, int]) -> Vector:
        """A number for each text of a column, by first use; -1 for null."""
        column = self.batch.column(name)
        values = [numbers.setdefault(value, len(numbers)) for value in column.dictionary.to_pylist()]
        return np.array([*values, -1], np.int64)[_codes(column)[self.row]]


PLAIN = 0
COMMITTED = 1
TRANSACTIONS = (None, "committed", "aborted", "open", "unknown")


def places(chunk: DecodedChunk) -> dict[str, Vector]:
    """For each row type where its rows stand among all rows of the chunk."""
    place = np.empty(len(chunk.order), np.int64)
    place[chunk.order] = np.arange(len(chunk.order))
    found: dict[str, Vector] = {}
    start = 0
    for name, batch in chunk:
        found[name] = place[start : start + len(batch)]
        start += len(batch)
    return found


def commit_columns(chunk: DecodedChunk, keys: CommitKeys) -> CommitColumns | None:
    """The chunk's offset commits; None where it has none."""
    batch = chunk.batches.get(offset_commit.ROW_TYPE)
    if batch is None or not len(batch):
        return None
    place = places(chunk)[offset_commit.ROW_TYPE]
    row = np.argsort(place, kind="stable")
    group, key = _numbered(batch, keys)
    names = batch.column("transaction").dictionary.to_pylist()
    states = np.array([*(TRANSACTIONS.index(name) for name in names), PLAIN], np.int64)
    return CommitColumns(
        batch=batch,
        row=row,
        place=place[row],
        group=group[row],
        key=key[row],
        log_offset=_numbers(batch.column("log_offset"))[row],
        log_timestamp=_numbers(batch.column("log_timestamp"))[row],
        tombstone=batch.column("tombstone").to_numpy(zero_copy_only=False)[row],
        transaction=states[_codes(batch.column("transaction"))[row]],
    )


def _numbers(column: pa.Array) -> Vector:
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.int64())
    if column.type != pa.int64():
        column = column.cast(pa.int64())
    return np.asarray(column.fill_null(ABSENT).to_numpy() if column.null_count else column.to_numpy())


def _codes(column: Any) -> npt.NDArray[np.int64]:
    """Indices into the dictionary; the last entry behind it (-1) for null."""
    indices = column.indices
    return np.asarray(pc.fill_null(indices, -1).to_numpy() if indices.null_count else indices.to_numpy())


def _numbered(batch: pa.RecordBatch, keys: CommitKeys) -> tuple[Vector, Vector]:
    """The number of each row's group and of its key."""
    partitions = batch.column("log_partition")
    log_partition = partitions[0].as_py()  # a chunk is of one partition
    groups = [keys.group((log_partition, text)) for text in batch.column("group").dictionary.to_pylist()]
    topics = batch.column("topic").dictionary.to_pylist()
    group = _codes(batch.column("group")).astype(np.int64)
    pair = group * len(topics) + _codes(batch.column("topic"))
    pair, pairs = _distinct(pair, len(groups) * len(topics))
    partition = batch.column("partition").to_numpy().astype(np.int64)
    lowest = int(partition.min())
    width = int(partition.max()) - lowest + 1
    code, codes = _distinct(pair * width + (partition - lowest), len(pairs) * width)
    numbers = [
        keys.key(groups[text // len(topics)], topics[text % len(topics)], number + lowest)
        for text, number in zip(pairs[codes // width].tolist(), (codes % width).tolist(), strict=True)
    ]
    return np.array(groups, np.int64)[group], np.array(numbers, np.int64)[code]


def _distinct(values: Vector, limit: int) -> tuple[Vector, Vector]:
    """For each of the values (0 to limit) a number from 0 on, and what each number stands for."""
    if limit > _TABLE_ENTRIES:
        found, inverse = np.unique(values, return_inverse=True)
        return inverse, found
    used = np.zeros(limit, np.bool_)
    used[values] = True
    found = np.flatnonzero(used)
    table = np.zeros(limit, np.int64)
    table[found] = np.arange(len(found))
    return table[values], found
