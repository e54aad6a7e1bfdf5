"""Vectors of history to the Arrow columns of its rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from offdecode.history.movements.owners import NO_OWNER_TEXTS, NoOwner, Owners
from offdecode.model import ABSENT, Vector
from offdecode.schemas.history_rows import OWNER_FIELDS


def generation_columns(generation: Vector, owner: Vector, owners: Owners) -> dict[str, pa.Array]:
    """The columns of WITH_GENERATION."""
    return {
        "generation": number(generation).cast(pa.int32()),
        "owner": _owners(owner, owners),
        "no_owner_reason": named(np.where(owner < 0, -owner - 1, -1), [NO_OWNER_TEXTS[reason] for reason in NoOwner]),
    }


def _owners(owner: Vector, owners: Owners) -> pa.Array:
    """The members of these numbers as structs, null for a NoOwner."""
    found, index = np.unique(owner, return_inverse=True)
    own = found[found >= 0].tolist()
    columns = [
        pa.array([getattr(owners.members[number], field.name) for number in own], field.arrow_type)
        for field in OWNER_FIELDS
    ]  # fmt: skip
    members = pa.StructArray.from_arrays(columns, [field.name for field in OWNER_FIELDS])
    at = index.reshape(-1) - (len(found) - len(own))  # those below zero come first
    return members.take(pa.array(at, mask=at < 0))


def named(numbers: Vector, names: Sequence[str | None]) -> pa.Array:
    """Numbers as the names they stand for, null below zero."""
    return pa.DictionaryArray.from_arrays(pa.array(numbers, pa.int32(), mask=numbers < 0), pa.array(names, pa.string()))


def number(numbers: Vector) -> pa.Array:
    """Numbers as int64; ABSENT is null."""
    return pa.array(numbers, pa.int64(), mask=numbers == ABSENT)


def time(numbers: Vector) -> pa.Array:
    """Milliseconds since 1970 UTC as timestamps; ABSENT is null."""
    return number(numbers).cast(pa.timestamp("ms", tz="UTC"))


def flags(masks: Vector, names: Sequence[str]) -> pa.Array:
    """Bits as lists of the names they stand for, the lowest bit first; no bits at all are an empty list."""
    found, index = np.unique(masks, return_inverse=True)
    lists = [[name for bit, name in enumerate(names) if mask >> bit & 1] for mask in found.tolist()]
    return pa.array(lists, pa.list_(pa.string())).take(pa.array(index.reshape(-1)))
