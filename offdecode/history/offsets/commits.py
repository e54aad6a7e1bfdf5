"""Rows of offset commits, held with what the replay asks of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from offdecode.history.offsets.keys import KeyCodes
from offdecode.model import Mask, Vector, arrow, stable_order
from offdecode.schemas import offset_commit
from offdecode.schemas.rows import row_type
from offdecode.schemas.state_rows import GONE_ELSEWHERE

UNKNOWN = "unknown"  # the state of a transaction whose end is lost
_NOT_HELD = ("type", "value_version", "headers")
_NAMES = ("group", "topic")
_GONE = pa.field(GONE_ELSEWHERE.name, pa.bool_())  # only rows of a log in several copies have it
_ROWS = pa.schema([
    *(field for field in row_type(offset_commit.ROW_TYPE).arrow_schema if field.name not in _NOT_HELD), _GONE,
])  # fmt: skip
_CODED = frozenset(field.name for field in _ROWS if pa.types.is_dictionary(field.type))
_HELD = pa.schema([field.with_type(pa.int32()) if field.name in _CODED else field for field in _ROWS])


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

    rows: texts of few values are numbers of a KeyCodes' names or texts.
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
        return Commits(self.rows.take(arrow(index)), **vectors)

    def entries(self) -> Iterator[Entry]:
        """The rows one by one."""
        for place, key, producer, *masks in zip(*(getattr(self, name).tolist() for name in _VECTORS), strict=True):
            yield Entry(key, place, producer if producer >= 0 else None, *masks)

    def last_of_each_key(self) -> Commits:
        """For each key its last row in the log, in the order they are in."""
        last = _last_of_each(self.place, self.key)
        return self if len(last) == len(self) else self.take(np.sort(last))

    def last_waiting(self) -> Commits:
        """For each key and producer its last row: a transaction's later offset replaces its earlier one."""
        return self.take(_last_of_each(self.place, self.closed, self.producer, self.key))

    def renumbered(self, old: KeyCodes, new: KeyCodes) -> Commits:
        """The same in one piece, its texts and keys numbered by `new`, which learns only the texts that are here."""
        rows = _numbered(WithTexts(old).rows(self.rows).combine_chunks(), new).combine_chunks()
        return replace(self, rows=rows, key=_keys(rows, new))


class WithTexts:
    """Gives rows the texts that their numbers stand for."""

    def __init__(self, codes: KeyCodes) -> None:
        names, texts = codes.names.all(), codes.texts.all()
        self._texts = {name: names if name in _NAMES else texts for name in _CODED}

    def rows(self, rows: pa.Table) -> pa.Table:
        """The rows with columns of texts, dictionary-encoded: each column's dictionary holds what the column has."""
        return pa.table({
            name: self._column(name, column) if name in self._texts else column
            for name, column in zip(rows.schema.names, rows.columns, strict=True)
        })  # fmt: skip

    def _column(self, name: str, numbers: pa.ChunkedArray) -> pa.Array:
        encoded = numbers.combine_chunks().dictionary_encode()
        return pa.DictionaryArray.from_arrays(encoded.indices, self._texts[name].take(encoded.dictionary))


def _numbered(rows: pa.RecordBatch | pa.Table, codes: KeyCodes) -> pa.Table:
    """The columns that are held, texts as numbers."""
    none = pa.nulls(len(rows), pa.bool_())
    columns = [
        none if name == _GONE.name and name not in rows.schema.names else rows.column(name) for name in _HELD.names
    ]
    return pa.table([
        (codes.names if name in _NAMES else codes.texts).encode(column) if name in _CODED else column
        for name, column in zip(_HELD.names, columns, strict=True)
    ], schema=_HELD)  # fmt: skip


def _keys(rows: pa.Table, codes: KeyCodes) -> Vector:
    return codes.keys(*(rows.column(name).to_numpy() for name in ("group", "topic", "partition")))


_VECTORS = tuple(field.name for field in fields(Commits))[1:]


def commits_of(batch: pa.RecordBatch | None, place: Vector, codes: KeyCodes) -> Commits:
    """The rows of a decoded chunk; `place` says where in the log they stand."""
    rows = _HELD.empty_table() if batch is None else _numbered(batch, codes)
    transaction = rows.column("transaction")
    transactional = transaction.is_valid().to_numpy()
    unknown = np.zeros(len(rows), np.bool_)
    if transactional.any():
        unknown = pc.equal(transaction, codes.texts.number(UNKNOWN)).fill_null(False).to_numpy()
    return Commits(
        rows=rows,
        place=place,
        key=_keys(rows, codes),
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
    rows = pa.concat_tables([part.rows for part in parts])  # of many pieces: copying them would take as much again
    return Commits(rows, **{name: np.concatenate([getattr(part, name) for part in parts]) for name in _VECTORS})


def _last_of_each(place: Vector, *keys: Vector | Mask) -> Vector:
    """Indices of the row with the highest place for each combination of keys, sorted by the last of them."""
    order = stable_order(place, *keys)
    last = np.ones(len(order), np.bool_)
    if len(order):
        last[:-1] = False
        for key in keys:
            last[:-1] |= key[order][1:] != key[order][:-1]
    return np.asarray(order[last])
