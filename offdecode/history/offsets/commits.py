"""Rows of offset commits, held with what the replay asks of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from offdecode.history.offsets.keys import KeyCodes
from offdecode.model import Mask, Vector
from offdecode.schemas import offset_commit
from offdecode.schemas.rows import row_type

UNKNOWN = "unknown"  # the state of a transaction whose end is lost
_NOT_HELD = ("type", "value_version", "headers")
_SCHEMA = pa.schema([field for field in row_type(offset_commit.ROW_TYPE).arrow_schema if field.name not in _NOT_HELD])


class Entry(NamedTuple):
    """One row's vectors as plain values."""

    key: int
    place: int
    producer: int | None
    tombstone: bool
    unknown: bool
    closed: bool


@dataclass(frozen=True, slots=True)
class Commits:
    """Rows of offset commits and their tombstones, and vectors beside them.

    place: where in the log the rows stand, counted over all its rows; key: the number of each row's key;
    producer: -1 where the row is not transactional; unknown: the end of the row's transaction is lost;
    closed: a marker of its producer has come nevertheless, of a later transaction maybe.
    """

    rows: pa.Table
    place: Vector
    key: Vector
    producer: Vector
    tombstone: Mask
    unknown: Mask
    closed: Mask

    def __len__(self) -> int:
        return len(self.place)

    @property
    def transactional(self) -> Mask:
        return np.asarray(self.producer >= 0)

    def where(self, mask: Mask) -> Commits:
        """The rows for which the mask is set."""
        return self if mask.all() else self.take(np.flatnonzero(mask))

    def take(self, index: Vector) -> Commits:
        vectors = {name: getattr(self, name)[index] for name in _VECTORS}
        return Commits(self.rows.take(pa.array(index)), **vectors)

    def entries(self) -> Iterator[Entry]:
        """The rows one by one."""
        for place, key, producer, *masks in zip(*(getattr(self, name).tolist() for name in _VECTORS), strict=True):
            yield Entry(key, place, producer if producer >= 0 else None, *masks)

    def last_of_each_key(self) -> Commits:
        """For each key its last row in the log, by number of the key."""
        return self.take(_last_of_each(self.place, self.key))

    def last_waiting(self) -> Commits:
        """For each key and producer its last row: a transaction's later offset replaces its earlier one."""
        return self.take(_last_of_each(self.place, self.closed, self.producer, self.key))

    def compacted(self, codes: KeyCodes) -> Commits:
        """The same in new memory, without texts that no row has; keys numbered by `codes`."""
        columns = [
            column.cast(pa.string()).dictionary_encode() if pa.types.is_dictionary(column.type) else column
            for column in self.rows.columns
        ]
        rows = pa.Table.from_arrays(columns, schema=self.rows.schema).unify_dictionaries().combine_chunks()
        return replace(self, rows=rows, key=codes.encode(rows))


_VECTORS = tuple(field.name for field in fields(Commits))[1:]


def commits_of(batch: pa.RecordBatch | None, place: Vector, codes: KeyCodes) -> Commits:
    """The rows of a decoded chunk; `place` says where in the log they stand."""
    rows = _SCHEMA.empty_table() if batch is None else pa.table(batch).select(_SCHEMA.names)
    transaction = rows.column("transaction")
    transactional = transaction.is_valid().to_numpy()
    unknown = np.zeros(len(rows), np.bool_)
    if transactional.any():
        unknown = pc.equal(transaction.cast(pa.string()), UNKNOWN).fill_null(False).to_numpy()
    return Commits(
        rows=rows,
        place=place,
        key=codes.encode(rows),
        producer=np.where(transactional, rows.column("producer_id").to_numpy(), -1),
        tombstone=rows.column("tombstone").to_numpy(),
        unknown=unknown,
        closed=np.zeros(len(rows), np.bool_),
    )


def joined(parts: Sequence[Commits]) -> Commits:
    """Several as one. There must be at least one."""
    parts = [part for part in parts if len(part)] or list(parts[:1])
    if len(parts) == 1:
        return parts[0]
    rows = pa.concat_tables([part.rows for part in parts]).unify_dictionaries().combine_chunks()
    return Commits(rows, **{name: np.concatenate([getattr(part, name) for part in parts]) for name in _VECTORS})


def _last_of_each(place: Vector, *keys: Vector | Mask) -> Vector:
    """Indices of the row with the highest place for each combination of keys, sorted by the last of them."""
    if len(keys) == 1 and (np.diff(place) > 0).all():
        order = np.argsort(keys[0], kind="stable")
    else:
        order = np.lexsort((place, *keys))
    last = np.ones(len(order), np.bool_)
    if len(order):
        last[:-1] = False
        for key in keys:
            last[:-1] |= key[order][1:] != key[order][:-1]
    return np.asarray(order[last])
