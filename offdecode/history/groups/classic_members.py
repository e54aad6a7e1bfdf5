"""Members as the records of classic generations list them to Members, a column at a time.

Most generations repeat most of the one before. Equal members become one object, and so do equal assignments: what
compares them sees at once that they are the same, and nothing is made twice.
"""

from __future__ import annotations

import struct

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from offdecode.history.groups.assignments import MOST_KEPT, Assignments, Kept, binary, parts, ranges, struct_fields
from offdecode.history.groups.images import Member, Roster
from offdecode.model import Mask, Vector, bounds, is_coded

_NULL = 1 << 40  # in the place of a number
_KEY = struct.Struct("=8q")  # what a member is made of


class ClassicMembers:
    """Reads the members of classic generations; those that it has given before it gives again.

    What a member is made of are numbers, of texts and of lists, so its bytes are what tells it from others.
    """

    def __init__(self, most_kept: int = MOST_KEPT) -> None:
        self.book = 0  # another one: the numbers of members begin anew
        self._most_kept = most_kept
        self._begin()

    def _begin(self) -> None:
        self.book += 1
        self._texts = Kept[str]()
        self._members = Kept[Member]()
        self._topics = Kept[tuple[str, ...]]()
        self._assignments = Assignments("topic", self._texts)

    def read(self, column: pa.ListArray) -> list[Roster]:
        """The members of each row; none of null."""
        kept = self._texts, self._members, self._topics, self._assignments
        if max(len(values) for values in kept) > self._most_kept:
            self._begin()
        values = column.values
        if is_coded(column.type):
            numbers, opaque = self._numbers_of(struct_fields(values.dictionary))
            index = values.indices.to_numpy()
            numbers, opaque = numbers[index], opaque[index]
        else:
            numbers, opaque = self._numbers_of(struct_fields(values))
        members = list(map(self._members.values.__getitem__, numbers.tolist()))
        first, end = ranges(column)
        before = bounds(opaque)
        readable = before[first] == before[end]
        return [
            Roster(tuple(members[first:end]), numbers[first:end], readable)
            for first, end, readable in zip(first.tolist(), end.tolist(), readable.tolist(), strict=True)
        ]

    def _numbers_of(self, fields: dict[str, pa.Array]) -> tuple[Vector, Mask]:
        """The numbers of members, and whose assignments cannot be read."""
        assignment = self._assignments_of(struct_fields(fields["assignment"]))
        columns = (
            *(self._codes(fields[name]) for name in ("member_id", "group_instance_id", "client_id", "client_host")),
            self._subscribed(struct_fields(fields["subscription"])),
            *(_integers(fields[name]) for name in ("rebalance_timeout", "session_timeout")),
            assignment,
        )
        keys = binary(np.full(len(assignment), _KEY.size), np.stack(columns, axis=1))
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
            assignment=None if assignment < 0 else self._assignments.values[assignment],
        )

    def _codes(self, column: pa.Array) -> Vector:
        """A number for each text; -1 for null."""
        return self._texts.numbers(column, str)

    def _subscribed(self, subscription: dict[str, pa.Array]) -> Vector:
        """The number of each member's topics; -1 where its bytes are not the consumer protocol's."""
        lists = subscription["topics"]
        found = self._topics.numbers(
            parts(self._codes(lists.values).astype(np.int32), *ranges(lists)), self._made_topics
        )
        readable = pc.and_(lists.is_valid(), subscription["hex"].is_null())
        return np.where(readable.to_numpy(zero_copy_only=False), found, -1)

    def _made_topics(self, key: bytes) -> tuple[str, ...]:
        return tuple(self._texts.get(number) or "" for number in np.frombuffer(key, np.int32).tolist())

    def _assignments_of(self, assignment: dict[str, pa.Array]) -> Vector:
        """The number of what each member was given; -1 where its bytes are not the consumer protocol's."""
        lists = assignment["assigned_partitions"]
        found = self._assignments.numbers(lists)
        # No bytes at all, "": nothing was assigned.
        opaque = pc.not_equal(assignment["hex"], "").fill_null(False)
        return np.where(opaque.to_numpy(zero_copy_only=False), -1, found)


def _integers(column: pa.Array) -> Vector:
    return np.asarray(column.cast(pa.int64()).fill_null(_NULL).to_numpy())
