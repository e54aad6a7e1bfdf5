"""Members of generations to the Arrow column that rows show, equal lists made once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from operator import attrgetter, itemgetter
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from offdecode.history.groups.images import Assignment, Member
from offdecode.model import arrow


class Standings(NamedTuple):
    """Members, and what each gained and lost since the generation before; null where one of them is not known."""

    members: Sequence[Member]
    gained: Sequence[Assignment | None]
    lost: Sequence[Assignment | None]


def member_column(generations: Sequence[Standings], kind: pa.ListType) -> pa.ListArray:
    """The members of each generation as lists of structs."""
    members, gained, lost = (list(chain.from_iterable(map(itemgetter(at), generations))) for at in range(3))
    once, index = _once(members)
    columns = []
    for field in kind.value_type:
        if field.name in ("gained", "lost"):
            columns.append(_lists(gained if field.name == "gained" else lost, _assignments))
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
    return pa.ListArray.from_arrays(_offsets([one.members for one in generations]), structs, kind)


def _once(values: Sequence[Any]) -> tuple[list[Any], npt.NDArray[np.int32]]:
    """Each object once, and which of them each value is; -1 for None."""
    known = [value for value in values if value is not None]
    identities = arrow(np.fromiter(map(id, known), np.int64, len(known))).dictionary_encode()
    index = np.asarray(identities.indices.to_numpy())
    place = np.empty(len(identities.dictionary), np.int64)
    place[index] = np.arange(len(known))  # one of each
    once = [known[at] for at in place.tolist()]
    if len(known) == len(values):
        return once, index
    found = np.full(len(values), -1, np.int32)
    found[[at for at, value in enumerate(values) if value is not None]] = index
    return once, found


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
