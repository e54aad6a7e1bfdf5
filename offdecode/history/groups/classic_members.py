"""Members as the records of classic generations list them to Members, a column at a time.

Most generations repeat most of the one before. Equal members become one object, and so do equal assignments: what
compares them sees at once that they are the same, and nothing is made twice.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from typing import Any, Generic, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from offdecode.history.groups.images import Assigned, Assignment, Member
from offdecode.model import Mask, Vector

_MOST_KEPT = 1 << 16  # of each kind; then it begins anew, for members come and go for ever

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")
V = TypeVar("V")


class _Kept(Generic[T]):
    """Values with a number each, by what they are made of."""

    def __init__(self) -> None:
        self.values: list[T] = []
        self._numbers: dict[Hashable, int] = {}

    def __len__(self) -> int:
        return len(self.values)

    def numbers(self, keys: list[K], made: Callable[[K], T]) -> list[int]:
        """The number of the value that is made of each key; it is made once."""

        def add(key: K) -> int:
            self.values.append(made(key))
            return len(self.values) - 1

        return _each(self._numbers, keys, add)


def _each(known: dict[Any, V], keys: list[K], made: Callable[[K], V]) -> list[V]:
    """What is known for each key; what is not is made. Nearly all is known, and found without a call for each."""
    found: list[Any] = list(map(known.get, keys))
    at = -1
    for _ in range(found.count(None)):
        at = found.index(None, at + 1)
        key = keys[at]
        value = known.get(key)
        found[at] = known.setdefault(key, made(key)) if value is None else value
    return found


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
        columns = (
            *(_values(fields[name]) for name in ("member_id", "group_instance_id", "client_id", "client_host")),
            self._subscribed(_fields(fields["subscription"])),
            *(_values(fields[name]) for name in ("rebalance_timeout", "session_timeout")),
            self._assignments_of(_fields(fields["assignment"])),
        )
        return _each(self._members, list(zip(*columns, strict=True)), self._member)

    def _member(self, key: tuple[Any, ...]) -> Member:
        member_id, instance_id, client_id, client_host, topics, rebalance, session, assignment = key
        return Member(
            member_id=member_id,
            instance_id=instance_id,
            client_id=client_id,
            client_host=client_host,
            subscribed_topics=None if topics is None else self._topics.values[topics],
            rebalance_timeout_ms=rebalance,
            session_timeout_ms=session,
            assignment=None if assignment is None else self._assignments.values[assignment],
        )

    def _subscribed(self, subscription: dict[str, pa.Array]) -> list[int | None]:
        """The number of each member's topics; None where its bytes are not the consumer protocol's."""
        lists = subscription["topics"]
        texts = _values(lists.values)
        found = self._topics.numbers([tuple(texts[first:end]) for first, end in _ranges(lists)], lambda topics: topics)
        readable = (lists.is_valid().to_numpy(zero_copy_only=False)
                    & subscription["hex"].is_null().to_numpy(zero_copy_only=False))  # fmt: skip
        return _where(found, readable)

    def _assignments_of(self, assignment: dict[str, pa.Array]) -> list[int | None]:
        """The number of what each member was given; None where its bytes are not the consumer protocol's."""
        lists, assigned = assignment["assigned_partitions"], self._assigned.values
        numbers = self._assigned_of(_fields(lists.values))
        found = self._assignments.numbers(
            # No bytes at all, "": nothing was assigned.
            [tuple(numbers[first:end]) for first, end in _ranges(lists)],
            lambda parts: tuple(assigned[part] for part in parts),
        )
        opaque = pc.not_equal(assignment["hex"], "").fill_null(False).to_numpy(zero_copy_only=False)
        return _where(found, ~opaque)

    def _assigned_of(self, assigned: dict[str, pa.Array]) -> list[int]:
        """The number of each topic with its partitions."""
        lists = assigned["partitions"]
        partitions = lists.values.to_numpy(zero_copy_only=False)
        data, width = partitions.tobytes(), partitions.itemsize

        def made(key: tuple[str | None, bytes]) -> Assigned:
            return Assigned(key[0], None, None, tuple(np.frombuffer(key[1], partitions.dtype).tolist()))

        parts = [data[first * width : end * width] for first, end in _ranges(lists)]
        return self._assigned.numbers(list(zip(_values(assigned["topic"]), parts, strict=True)), made)


def _where(found: list[int], readable: Mask) -> list[int | None]:
    """The numbers; None where what they stand for is not readable."""
    numbers: list[int | None] = [*found]
    for index in np.flatnonzero(~readable).tolist():
        numbers[index] = None
    return numbers


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
