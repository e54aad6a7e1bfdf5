"""Members as the records of classic generations list them to Members, a column at a time.

Most generations repeat most of the one before. Equal members become one object, and so do equal assignments: what
compares them sees at once that they are the same, and nothing is made twice.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from offdecode.history.groups.images import Assigned, Assignment, Member, Roster
from offdecode.model import Mask, Vector, bounds, is_coded, within

_MOST_KEPT = 1 << 16  # of each kind; then it begins anew, for members come and go for ever
_NULL = 1 << 40  # in the place of a number
_KEY = struct.Struct("=8q")  # what a member is made of

T = TypeVar("T")
Codes = npt.NDArray[np.int32]


class _Kept(Generic[T]):
    """Values with a number each, by what they are made of."""

    def __init__(self) -> None:
        self.values: list[T] = []
        self._numbers: dict[Any, int] = {}

    def __len__(self) -> int:
        return len(self.values)

    def numbers(self, keys: pa.Array, made: Callable[[Any], T]) -> Vector:
        """The number of the value that is made of each key, -1 for null; it is made once."""
        encoded = keys.dictionary_encode()
        distinct = encoded.dictionary.to_pylist()
        found: list[Any] = list(map(self._numbers.get, distinct))
        # Most are known, and found without a call for each.
        at = -1
        for _ in range(found.count(None)):
            at = found.index(None, at + 1)
            found[at] = self._numbers[distinct[at]] = len(self.values)
            self.values.append(made(distinct[at]))
        indices = encoded.indices.fill_null(len(found)) if keys.null_count else encoded.indices
        return np.asarray(np.array([*found, -1], np.int64).take(indices.to_numpy()))

    def get(self, number: int) -> T | None:
        """The value of a number; None of -1."""
        return None if number < 0 else self.values[number]


class ClassicMembers:
    """Reads the members of classic generations; those that it has given before it gives again.

    What a member is made of are numbers, of texts and of lists, so its bytes are what tells it from others.
    """

    def __init__(self, most_kept: int = _MOST_KEPT) -> None:
        self.book = 0  # another one: the numbers of members begin anew
        self._most_kept = most_kept
        self._begin()

    def _begin(self) -> None:
        self.book += 1
        self._texts = _Kept[str]()
        self._members = _Kept[Member]()
        self._topics = _Kept[tuple[str, ...]]()
        self._assigned: dict[tuple[int, ...], Assigned] = {}
        self._assignments = _Kept[Assignment]()

    def read(self, column: pa.ListArray) -> list[Roster]:
        """The members of each row; none of null."""
        kept = self._texts, self._members, self._topics, self._assigned, self._assignments
        if max(len(values) for values in kept) > self._most_kept:
            self._begin()
        values = column.values
        if is_coded(column.type):
            numbers, opaque = self._numbers_of(_fields(values.dictionary))
            index = values.indices.to_numpy()
            numbers, opaque = numbers[index], opaque[index]
        else:
            numbers, opaque = self._numbers_of(_fields(values))
        members = list(map(self._members.values.__getitem__, numbers.tolist()))
        first, end = _ranges(column)
        before = bounds(opaque)
        readable = before[first] == before[end]
        return [
            Roster(tuple(members[first:end]), numbers[first:end], readable)
            for first, end, readable in zip(first.tolist(), end.tolist(), readable.tolist(), strict=True)
        ]

    def _numbers_of(self, fields: dict[str, pa.Array]) -> tuple[Vector, Mask]:
        """The numbers of members, and whose assignments cannot be read."""
        assignment = self._assignments_of(_fields(fields["assignment"]))
        columns = (
            *(self._codes(fields[name]) for name in ("member_id", "group_instance_id", "client_id", "client_host")),
            self._subscribed(_fields(fields["subscription"])),
            *(_integers(fields[name]) for name in ("rebalance_timeout", "session_timeout")),
            assignment,
        )
        keys = _binary(np.full(len(assignment), _KEY.size), np.stack(columns, axis=1))
        return self._members.numbers(keys, self._member), assignment < 0

    def _member(self, key: bytes) -> Member:
        member_id, instance_id, client_id, client_host, topics, rebalance, session, assignment = _KEY.unpack(key)
        text = self._texts.get
        return Member(
            text(member_id) or "",
            text(instance_id),
            text(client_id),
            text(client_host),
            self._topics.get(topics),
            rebalance_timeout_ms=None if rebalance == _NULL else rebalance,
            session_timeout_ms=None if session == _NULL else session,
            assignment=self._assignments.get(assignment),
        )

    def _codes(self, column: pa.Array) -> Vector:
        """A number for each text; -1 for null."""
        return self._texts.numbers(column, str)

    def _subscribed(self, subscription: dict[str, pa.Array]) -> Vector:
        """The number of each member's topics; -1 where its bytes are not the consumer protocol's."""
        lists = subscription["topics"]
        found = self._topics.numbers(
            _parts(self._codes(lists.values).astype(np.int32), *_ranges(lists)), self._made_topics
        )
        readable = pc.and_(lists.is_valid(), subscription["hex"].is_null())
        return np.where(readable.to_numpy(zero_copy_only=False), found, -1)

    def _made_topics(self, key: bytes) -> tuple[str, ...]:
        return tuple(self._texts.get(number) or "" for number in np.frombuffer(key, np.int32).tolist())

    def _assignments_of(self, assignment: dict[str, pa.Array]) -> Vector:
        """The number of what each member was given; -1 where its bytes are not the consumer protocol's."""
        lists = assignment["assigned_partitions"]
        codes, place = self._assigned_codes(_fields(lists.values))
        first, end = _ranges(lists)
        # No bytes at all, "": nothing was assigned.
        found = self._assignments.numbers(_parts(codes, place[first], place[end]), self._made_assignment)
        opaque = pc.not_equal(assignment["hex"], "").fill_null(False)
        return np.where(opaque.to_numpy(zero_copy_only=False), -1, found)

    def _assigned_codes(self, assigned: dict[str, pa.Array]) -> tuple[Codes, Vector]:
        """For each topic its number, how many partitions, and these; and where each topic's begin, and all end."""
        lists = assigned["partitions"]
        first, end = _ranges(lists)
        count = end - first
        place = bounds(count + 2)
        codes = np.empty(place[-1], np.int32)
        codes[place[:-1]] = self._codes(assigned["topic"])
        codes[place[:-1] + 1] = count
        partitions = lists.values.to_numpy(zero_copy_only=False)
        at = within(count)
        codes[np.repeat(place[:-1] + 2, count) + at] = partitions[np.repeat(first, count) + at]
        return codes, place

    def _made_assignment(self, key: bytes) -> Assignment:
        codes = np.frombuffer(key, np.int32).tolist()
        found = []
        at = 0
        while at < len(codes):
            end = at + 2 + codes[at + 1]
            part = tuple(codes[at:end])
            if part not in self._assigned:
                self._assigned[part] = Assigned(self._texts.get(part[0]), None, None, part[2:])
            found.append(self._assigned[part])
            at = end
        return tuple(found)


def _fields(array: pa.StructArray) -> dict[str, pa.Array]:
    return dict(zip((field.name for field in array.type), array.flatten(), strict=True))


def _ranges(column: pa.ListArray) -> tuple[Vector, Vector]:
    """Which of the column's values each row has."""
    ends = column.offsets.to_numpy().astype(np.int64)
    first, last = ends[:-1], ends[1:]
    if column.null_count:
        last = np.where(column.is_valid().to_numpy(zero_copy_only=False), last, first)
    return first, last


def _parts(codes: Codes, first: Vector, end: Vector) -> pa.Array:
    """The bytes of some ranges of the codes."""
    count = end - first
    data = codes[np.repeat(first, count) + within(count)]
    return _binary(count * codes.itemsize, data)


def _binary(size: Vector, data: npt.NDArray[Any]) -> pa.Array:
    """An array of so many bytes each."""
    offsets = pa.py_buffer(bounds(size).astype(np.int32))
    return pa.Array.from_buffers(pa.binary(), len(size), [None, offsets, pa.py_buffer(data)])


def _integers(column: pa.Array) -> Vector:
    return np.asarray(column.cast(pa.int64()).fill_null(_NULL).to_numpy())
