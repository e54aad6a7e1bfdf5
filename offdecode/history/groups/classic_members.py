"""Members as the records of classic generations list them to Members, a column at a time.

Most generations repeat most of the one before. Equal members become one object, and so do equal assignments: what
compares them sees at once that they are the same, and nothing is made twice.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any, Generic, TypeVar

import numpy as np
import pyarrow as pa

from offdecode.history.groups.images import Assigned, Assignment, Member
from offdecode.model import Vector

_MOST_KEPT = 1 << 16  # of each kind; then it begins anew, for members come and go for ever

T = TypeVar("T")


class _Kept(Generic[T]):
    """Values with a number each, by what they are made of."""

    def __init__(self) -> None:
        self.values: list[T] = []
        self._numbers: dict[Hashable, int] = {}

    def __len__(self) -> int:
        return len(self.values)

    def find(self, key: Hashable) -> int | None:
        return self._numbers.get(key)

    def add(self, key: Hashable, value: T) -> int:
        self._numbers[key] = number = len(self.values)
        self.values.append(value)
        return number


class ClassicMembers:
    """Reads the members of classic generations; those that it has given before it gives again."""

    def __init__(self, most_kept: int = _MOST_KEPT) -> None:
        self._most_kept = most_kept
        self._begin()

    def _begin(self) -> None:
        self._members: dict[tuple[Any, ...], Member] = {}
        self._topics = _Kept[tuple[str, ...]]()
        self._assigned = _Kept[Assigned]()
        self._assignments = _Kept[Assignment]()

    def read(self, column: pa.ListArray) -> list[tuple[Member, ...]]:
        """The members of each row; () for null."""
        if max(len(self._members), len(self._topics), len(self._assigned), len(self._assignments)) > self._most_kept:
            self._begin()
        members = self._read_all(_fields(column.values))
        return [tuple(members[first:end]) for first, end in _ranges(column)]

    def _read_all(self, fields: dict[str, pa.Array]) -> list[Member]:
        found = []
        known = self._members
        for key in zip(
            *(_values(fields[name]) for name in ("member_id", "group_instance_id", "client_id", "client_host")),
            self._subscribed(_fields(fields["subscription"])),
            *(_values(fields[name]) for name in ("rebalance_timeout", "session_timeout")),
            self._assignments_of(_fields(fields["assignment"])),
            strict=True,
        ):
            member = known.get(key)
            if member is None:
                member_id, instance_id, client_id, client_host, topics, rebalance, session, assignment = key
                member = known[key] = Member(
                    member_id=member_id,
                    instance_id=instance_id,
                    client_id=client_id,
                    client_host=client_host,
                    subscribed_topics=None if topics is None else self._topics.values[topics],
                    rebalance_timeout_ms=rebalance,
                    session_timeout_ms=session,
                    assignment=None if assignment is None else self._assignments.values[assignment],
                )
            found.append(member)
        return found

    def _subscribed(self, subscription: dict[str, pa.Array]) -> Iterator[int | None]:
        """The number of each member's topics; None where its bytes are not the consumer protocol's."""
        lists, kept = subscription["topics"], self._topics
        texts = _values(lists.values)
        readable = (lists.is_valid().to_numpy(zero_copy_only=False)
                    & subscription["hex"].is_null().to_numpy(zero_copy_only=False))  # fmt: skip
        for (first, end), fits in zip(_ranges(lists), readable.tolist(), strict=True):
            if not fits:
                yield None
                continue
            topics = tuple(texts[first:end])
            number = kept.find(topics)
            yield kept.add(topics, topics) if number is None else number

    def _assignments_of(self, assignment: dict[str, pa.Array]) -> Iterator[int | None]:
        """The number of what each member was given; None where its bytes are not the consumer protocol's."""
        lists, kept = assignment["assigned_partitions"], self._assignments
        numbers = self._assigned_of(_fields(lists.values))
        for (first, end), opaque in zip(_ranges(lists), _values(assignment["hex"]), strict=True):
            if opaque:
                yield None
                continue
            parts = tuple(numbers[first:end])  # no bytes at all, "": nothing was assigned
            number = kept.find(parts)
            if number is None:
                number = kept.add(parts, tuple(self._assigned.values[part] for part in parts))
            yield number

    def _assigned_of(self, assigned: dict[str, pa.Array]) -> list[int]:
        """The number of each topic with its partitions."""
        lists, kept, found = assigned["partitions"], self._assigned, []
        partitions = lists.values.to_numpy(zero_copy_only=False)
        data, width = partitions.tobytes(), partitions.itemsize
        for topic, (first, end) in zip(_values(assigned["topic"]), _ranges(lists), strict=True):
            key = topic, data[first * width : end * width]
            number = kept.find(key)
            if number is None:
                number = kept.add(key, Assigned(topic, None, None, tuple(partitions[first:end].tolist())))
            found.append(number)
        return found


def _fields(array: pa.StructArray) -> dict[str, pa.Array]:
    return dict(zip((field.name for field in array.type), array.flatten(), strict=True))


def _ranges(column: pa.ListArray) -> Iterator[tuple[int, int]]:
    """Which of the column's values each row has."""
    ends: Vector = column.offsets.to_numpy()
    first, last = ends[:-1], ends[1:]
    if column.null_count:
        last = np.where(column.is_valid().to_numpy(zero_copy_only=False), last, first)
    return zip(first.tolist(), last.tolist(), strict=True)


def _values(column: pa.Array) -> list[Any]:
    """Texts or numbers, equal ones made once."""
    encoded = column.dictionary_encode()
    values = np.array([*encoded.dictionary.to_pylist(), None], np.object_)
    found: list[Any] = values[encoded.indices.fill_null(len(values) - 1).to_numpy()].tolist()
    return found
