"""Vectors of history to the Arrow columns of its rows."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

import numpy as np
import pyarrow as pa

from offdecode.history.movements.owners import NO_OWNER_TEXTS, NoOwner, Owners
from offdecode.model import ABSENT, Vector, arrow, category
from offdecode.schemas.history_rows import OWNER_FIELDS


def generation_columns(generation: Vector, owner: Vector, owners: Owners) -> dict[str, pa.Array]:
    """The columns of WITH_GENERATION, the owners coded."""
    return {
        "generation": number(generation).cast(pa.int32()),
        "owner": _owners(owner, owners),
        "no_owner_reason": named(np.where(owner < 0, -owner - 1, -1), [NO_OWNER_TEXTS[reason] for reason in NoOwner]),
    }


def _owners(owner: Vector, owners: Owners) -> pa.DictionaryArray:
    """The members of these numbers as coded structs, null for a NoOwner."""
    encoded = arrow(owner, owner < 0).dictionary_encode()
    members = [owners.members[number] for number in encoded.dictionary.to_pylist()]
    columns = [pa.array(list(map(attrgetter(field.name), members)), field.arrow_type) for field in OWNER_FIELDS]
    structs = pa.StructArray.from_arrays(columns, [field.name for field in OWNER_FIELDS])
    return pa.DictionaryArray.from_arrays(encoded.indices, structs)


def named(numbers: Vector, names: Sequence[str]) -> pa.Array:
    """Numbers as the names they stand for, null below zero."""
    return category(numbers, names, numbers < 0)


def number(numbers: Vector) -> pa.Array:
    """Numbers as int64; ABSENT is null."""
    return arrow(numbers, numbers == ABSENT)


def time(numbers: Vector) -> pa.Array:
    """Milliseconds since 1970 UTC as timestamps; ABSENT is null."""
    return number(numbers).cast(pa.timestamp("ms", tz="UTC"))


def flags(masks: Vector, names: Sequence[str]) -> pa.Array:
    """Bits as lists of the names they stand for, the lowest bit first; no bits at all are an empty list."""
    found, index = numbered(masks)
    lists = [[name for bit, name in enumerate(names) if mask >> bit & 1] for mask in found]
    return pa.array(lists, pa.list_(pa.string())).take(index)


def numbered(values: Vector) -> tuple[list[int], pa.Array]:
    """The distinct values, and for each value the place of its own among them."""
    encoded = pa.array(values, pa.int64()).dictionary_encode()
    return encoded.dictionary.to_pylist(), encoded.indices
