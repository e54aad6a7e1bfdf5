"""Members of generations to the Arrow column that rows show, equal lists made once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from offdecode.history.groups.images import Assignment, Member
from offdecode.model import arrow

# A member, and what it gained and lost since the generation before; null where one of them is not known.
Standing = tuple[Member, Assignment | None, Assignment | None]


def member_column(members: Sequence[Sequence[Standing]], kind: pa.ListType) -> pa.ListArray:
    """The members of each generation as lists of structs."""
    flat = [standing for generation in members for standing in generation]
    each: list[Sequence[Any]] = list(zip(*flat, strict=True)) or [(), (), ()]
    once, index = _once(each[0])
    columns = []
    for field in kind.value_type:
        if field.name in ("gained", "lost"):
            columns.append(_lists(each[1 if field.name == "gained" else 2], _assignments))
            continue
        values = list(map(attrgetter(field.name), once))
        if field.name in ("assignment", "target"):
            column = _lists(values, _assignments)
        elif field.name == "subscribed_topics":
            column = _lists(values, _texts)
        else:
            column = pa.array(values, field.type)
        columns.append(column.take(arrow(index)))
    structs = pa.StructArray.from_arrays(columns, fields=list(kind.value_type))
    return pa.ListArray.from_arrays(_offsets(members), structs, kind)


def _once(values: Sequence[Any]) -> tuple[list[Any], npt.NDArray[np.int32]]:
    """Each object once, and which of them each value is; -1 for None."""
    identities = list(map(id, values))
    found = dict(zip(identities, values, strict=True))
    found.pop(id(None), None)
    numbers = dict(zip(found, range(len(found)), strict=True))
    numbers[id(None)] = -1
    return list(found.values()), np.array(list(map(numbers.__getitem__, identities)), np.int32)


def _lists(values: Sequence[Any], lists_of: Callable[[Sequence[Any]], pa.ListArray]) -> pa.Array:
    """Lists by value: those that are one object are made once."""
    once, index = _once(values)
    return lists_of(once).take(arrow(index, index < 0))


def _assignments(assignments: Sequence[Assignment]) -> pa.ListArray:
    items = [item for assignment in assignments for item in assignment]
    partitions = [partition for item in items for partition in item.partitions]
    structs = pa.StructArray.from_arrays(
        [
            *(pa.array([getattr(item, name) for item in items], pa.string()) for name in _TEXTS),
            pa.ListArray.from_arrays(_offsets([item.partitions for item in items]), pa.array(partitions, pa.int32())),
        ],
        [*_TEXTS, "partitions"],
    )
    return pa.ListArray.from_arrays(_offsets(assignments), structs)


_TEXTS = ("topic", "topic_id", "subtopology")


def _texts(lists: Sequence[Sequence[str]]) -> pa.ListArray:
    return pa.ListArray.from_arrays(_offsets(lists), pa.array([text for texts in lists for text in texts], pa.string()))


def _offsets(lists: Sequence[Sequence[Any]]) -> pa.Array:
    return arrow(np.cumsum([0, *map(len, lists)], dtype=np.int32))
