"""Lists of topics, or of subtopologies, and their partitions to Assignments: equal ones become one object."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from offdecode.history.groups.images import Assigned, Assignment
from offdecode.history.topic_names import TopicNames
from offdecode.model import Vector, bounds, within

MOST_KEPT = 1 << 16  # of each kind; then it begins anew, for members come and go for ever
_USUAL_PARTS = 16  # topics and partitions of an assignment; one of more counts for several

_CODE_BYTES = 4

T = TypeVar("T")
Codes = npt.NDArray[np.int32]


class Kept(Generic[T]):
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


class Assignments:
    """Numbers assignments. field: of Assigned, the one that the lists' structs name beside their partitions.

    texts: the names, whose numbers may be shared.
    """

    def __init__(self, field: str, texts: Kept[str] | None = None) -> None:
        self._field = field
        self._texts = Kept[str]() if texts is None else texts
        self._assigned: dict[bytes, Assigned] = {}  # by their codes
        self._assignments = Kept[Assignment]()
        self._parts = 0

    def __len__(self) -> int:
        """Of that of which there is most."""
        return max(len(self._texts), len(self._assignments), self._parts // _USUAL_PARTS)

    @property
    def values(self) -> list[Assignment]:
        """What the numbers stand for."""
        return self._assignments.values

    def numbers(self, lists: pa.ListArray) -> Vector:
        """The number of each row's assignment; of null, that of ()."""
        codes, place = self._codes(struct_fields(lists.values))
        first, end = ranges(lists)
        return self._assignments.numbers(parts(codes, place[first], place[end]), self._made)

    def _codes(self, assigned: dict[str, pa.Array]) -> tuple[Codes, Vector]:
        """For each topic its number, how many partitions, and these; and where each topic's begin, and all end."""
        lists = assigned["partitions"]
        first, end = ranges(lists)
        count = end - first
        place = bounds(count + 2)
        codes = np.empty(place[-1], np.int32)
        codes[place[:-1]] = self._texts.numbers(assigned[self._field], str)
        codes[place[:-1] + 1] = count
        partitions = lists.values.to_numpy(zero_copy_only=False)
        at = within(count)
        codes[np.repeat(place[:-1] + 2, count) + at] = partitions[np.repeat(first, count) + at]
        return codes, place

    def _made(self, key: bytes) -> Assignment:
        codes = np.frombuffer(key, np.int32).tolist()
        self._parts += len(codes)
        found = []
        at = 0
        while at < len(codes):
            end = at + 2 + codes[at + 1]
            part = key[at * _CODE_BYTES : end * _CODE_BYTES]
            assigned = self._assigned.get(part)
            if assigned is None:
                names: dict[str, Any] = {"topic": None, "topic_id": None, "subtopology": None}
                names[_FIELDS[self._field]] = self._texts.get(codes[at])
                assigned = self._assigned[part] = Assigned(**names, partitions=tuple(codes[at + 2 : end]))
            found.append(assigned)
            at = end
        return tuple(found)


# What an assignment's structs name to the field of Assigned.
_FIELDS = {"topic": "topic", "topic_id": "topic_id", "subtopology_id": "subtopology"}


class Named:
    """Gives assignments of topics by id with the names of these, as far as they are known by then."""

    def __init__(self, names: TopicNames) -> None:
        self._names = names
        self._changes = names.changes
        self._parts = 0
        self._known: dict[int, tuple[Assignment, Assignment]] = {}  # by identity

    def __call__(self, assignment: Assignment) -> Assignment:
        if not assignment or assignment[0].topic_id is None:
            return assignment
        if self._changes != self._names.changes or max(len(self._known), self._parts // _USUAL_PARTS) > MOST_KEPT:
            self._changes, self._parts = self._names.changes, 0
            self._known.clear()
        known = self._known.get(id(assignment))
        if known is None:
            self._parts += sum(len(item.partitions) for item in assignment)
            named = (item._replace(topic=self._names.get(item.topic_id or "")) for item in assignment)
            known = self._known[id(assignment)] = assignment, tuple(named)
        return known[1]


def struct_fields(array: pa.StructArray) -> dict[str, pa.Array]:
    """The fields of structs, by name."""
    return dict(zip((field.name for field in array.type), array.flatten(), strict=True))


def ranges(column: pa.ListArray) -> tuple[Vector, Vector]:
    """Which of the column's values each row has."""
    ends = column.offsets.to_numpy().astype(np.int64)
    first, last = ends[:-1], ends[1:]
    if column.null_count:
        last = np.where(column.is_valid().to_numpy(zero_copy_only=False), last, first)
    return first, last


def parts(codes: Codes, first: Vector, end: Vector) -> pa.Array:
    """The bytes of some ranges of the codes."""
    count = end - first
    data = codes[np.repeat(first, count) + within(count)]
    return binary(count * codes.itemsize, data)


def binary(size: Vector, data: npt.NDArray[Any]) -> pa.Array:
    """An array of so many bytes each."""
    offsets = pa.py_buffer(bounds(size).astype(np.int32))
    return pa.Array.from_buffers(pa.binary(), len(size), [None, offsets, pa.py_buffer(data)])
