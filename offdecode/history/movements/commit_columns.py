"""The offset commits of a chunk as vectors, with a number for each group and for each (group, topic, partition)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, filterfalse
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from offdecode.history.numbers import Numbers
from offdecode.model import ABSENT, DecodedChunk, Mask, Vector
from offdecode.schemas import offset_commit
from offdecode.texts import Texts

_TABLE_ENTRIES = 1 << 22  # up to so many combinations are told apart by a table, beyond it by sorting

_PARTITION_MASK = (1 << 32) - 1


class CommitKeys:
    """Numbers groups of one log, pairs of a group and a topic, and keys, as they appear.

    groups, pairs: what the numbers stand for.
    """

    def __init__(self) -> None:
        self.groups = Texts()
        self.pairs = _Pairs()
        self._keys = Numbers()  # by pair and partition in one number

    def __len__(self) -> int:
        return len(self._keys)

    def all_pairs(self, group: Vector, topics: list[str], topic: Vector) -> Vector:
        """The numbers of pairs. topic: for each its place among the topics."""
        return self.pairs.find(group, topics, topic)

    def keys(self, pair: Vector, partition: Vector) -> Vector:
        """The numbers of keys."""
        return self._keys.find(pair << 32 | partition & _PARTITION_MASK)

    def of_lists(self, group: Vector, topics: Sequence[str], partitions: Sequence[Sequence[int]]) -> Vector:
        """The numbers of the keys of some partitions of a topic of a group each, one list after the other."""
        places = {topic: place for place, topic in enumerate(dict.fromkeys(topics))}
        topic = np.array([places[name] for name in topics], np.int64)
        pair = self.all_pairs(group, list(places), topic)
        sizes = np.array(list(map(len, partitions)), np.int64)
        return self.keys(np.repeat(pair, sizes), np.fromiter(chain.from_iterable(partitions), np.int64))

    def pairs_of(self, key: Vector) -> Vector:
        """The pairs of these keys."""
        return self._keys.codes.take(key) >> 32

    def partitions_of(self, key: Vector) -> Vector:
        """The partitions of these keys."""
        return (self._keys.codes[key] & _PARTITION_MASK).astype(np.uint32).astype(np.int32).astype(np.int64)


def _numbers_of(values: list[str], known: dict[str, int], count: int) -> tuple[list[int], Iterable[str]]:
    """The numbers of values, and the new ones; they get the next numbers, in their order. count: numbers so far."""
    new = dict.fromkeys(filterfalse(known.__contains__, values))
    if new:
        numbers = range(count, count + len(new))
        known.update(zip(new, numbers, strict=True))
        if len(new) == len(values):
            return list(numbers), new
    return list(map(known.__getitem__, values)), new


class _Pairs:
    """Pairs of the number of a group and a topic, by number. topics: what the numbers of topics stand for."""

    def __init__(self) -> None:
        self.topics: list[str] = []
        self._by_topic: dict[str, int] = {}
        self._numbers = Numbers()  # by group and number of the topic in one number

    def __len__(self) -> int:
        return len(self._numbers)

    def groups_of(self, index: Vector) -> Vector:
        """The numbers of the groups of some pairs."""
        return self._numbers.codes.take(index) >> 32

    def topics_of(self, index: Vector) -> Vector:
        """The numbers of the topics of some pairs."""
        return self._numbers.codes.take(index) & _PARTITION_MASK

    def find(self, group: Vector, topics: list[str], topic: Vector) -> Vector:
        """The numbers of pairs. topic: for each its place among the topics."""
        numbers, new = _numbers_of(topics, self._by_topic, len(self.topics))
        self.topics += new
        return self._numbers.find(group << 32 | np.array(numbers, np.int64)[topic])


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
        if self.batch.column(name).null_count == len(self.batch):
            return np.full(len(self), ABSENT)
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
    for name, batch in chunk.coded.items():
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
    groups = keys.groups.numbers(batch.column("group").dictionary)
    topics = batch.column("topic").dictionary.to_pylist()
    group = _codes(batch.column("group")).astype(np.int64)
    pair = group * len(topics) + _codes(batch.column("topic"))
    pair, pairs = _distinct(pair, len(groups) * len(topics))
    partition = batch.column("partition").to_numpy().astype(np.int64)
    lowest = int(partition.min())
    width = int(partition.max()) - lowest + 1
    code, codes = _distinct(pair * width + (partition - lowest), len(pairs) * width)
    of_group, of_topic = np.divmod(pairs, len(topics))
    pair_numbers = keys.all_pairs(groups[of_group], topics, of_topic)
    numbers = keys.keys(pair_numbers[codes // width], codes % width + lowest)
    return groups[group], numbers[code]


def _distinct(values: Vector, limit: int) -> tuple[Vector, Vector]:
    """For each of the values (0 to limit) a number from 0 on, and what each number stands for."""
    if limit > _TABLE_ENTRIES:
        found, inverse = np.unique(values, return_inverse=True)
        return inverse, found
    if (values[1:] > values[:-1]).all():  # as of groups of one commit each
        return np.arange(len(values)), values
    used = np.zeros(limit, np.bool_)
    used[values] = True
    found = np.flatnonzero(used)
    table = np.zeros(limit, np.int64)
    table[found] = np.arange(len(found))
    return table[values], found
