"""Committed and pending offsets, and what is told of groups, to the chunks of a state: group by group."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from offdecode.history.offsets.commits import Commits, WithTexts
from offdecode.history.offsets.keys import KeyCodes
from offdecode.model import DecodedChunk, Vector, arrow, distinct, repeated
from offdecode.schemas.rows import row_type
from offdecode.schemas.state_rows import COMMITTED_ROW, GROUP_ROW, PENDING_ROW

Row = dict[str, Any]

_ROWS_A_CHUNK = 1 << 15
_DESCRIBED_A_CHUNK = 500  # groups with members
_ALWAYS = ("group", "log_timestamp")  # columns that others rest on


@dataclass(frozen=True, slots=True)
class DescribedGroups:
    """The rows of groups without the numbers of their offsets.

    simple: of every group that is not among `rows`, without its name; rows: by number of the group's name;
    shown: numbers of groups that have a row though they have no offset.
    """

    simple: Row
    rows: dict[int, Row]
    shown: Vector

    @property
    def with_row(self) -> Vector:
        """The numbers of those that have a row of their own."""
        return np.fromiter(self.rows, np.int64, len(self.rows))


def iter_state(
    committed: Commits, pending: Commits, described: DescribedGroups, codes: KeyCodes, now: int | None
) -> Iterator[DecodedChunk]:
    """The chunks. now: the moment from which ages count, in milliseconds."""
    texts, with_texts = codes.names.all(), WithTexts(codes)
    rank = codes.names.rank()
    offsets = {COMMITTED_ROW: committed, PENDING_ROW: pending}
    shown = {name: _shown(name, commits.rows) for name, commits in offsets.items()}
    of_group = {name: rows.column("group").to_numpy() for name, rows in shown.items()}
    groups = distinct(np.concatenate((described.shown, *of_group.values())))
    groups = groups[np.argsort(rank[groups])]
    count = {name: np.bincount(found, minlength=len(texts))[groups] for name, found in of_group.items()}
    order = {name: codes.order(commits.key, rank) for name, commits in offsets.items()}
    place = _places(count)
    for start, end in _cuts(place[GROUP_ROW], groups, described, sum(map(len, place.values()))):
        batches, places = {}, []
        for name, at in place.items():
            first, last = np.searchsorted(at, (start, end))
            if last == first:
                continue
            places.append(at[first:last] - start)
            if name == GROUP_ROW:
                counts = {kind: found[first:last] for kind, found in count.items()}
                batches[name] = _group_batch(groups[first:last], counts, described, texts)
            else:
                rows = shown[name].take(arrow(order[name][first:last]))
                batches[name] = _offset_batch(name, with_texts.rows(rows), now)
        number = np.empty(end - start, np.int64)
        number[np.concatenate(places)] = np.arange(end - start)
        yield DecodedChunk(batches, number)


def _shown(name: str, rows: pa.Table) -> pa.Table:
    """What the state's rows have of commits, without columns that say nothing."""
    columns = row_type(name).arrow_schema.names
    told = [
        column for column in rows.schema.names
        if column in _ALWAYS or (column in columns and rows.column(column).null_count < len(rows))
    ]  # fmt: skip
    return rows.select(told).combine_chunks()  # in one piece: of many, each take() would copy all


def _places(count: dict[str, Vector]) -> dict[str, Vector]:
    """Where among all rows those of each type stand: each group, its committed offsets, its pending ones."""
    begin = np.cumsum(1 + count[COMMITTED_ROW] + count[PENDING_ROW]) - count[COMMITTED_ROW] - count[PENDING_ROW] - 1
    behind = {GROUP_ROW: begin, COMMITTED_ROW: begin + 1, PENDING_ROW: begin + 1 + count[COMMITTED_ROW]}
    found = {GROUP_ROW: begin}
    for name, counts in count.items():
        before = np.cumsum(counts) - counts
        found[name] = np.repeat(behind[name] - before, counts) + np.arange(counts.sum())
    return found


def _cuts(group_place: Vector, groups: Vector, described: DescribedGroups, rows: int) -> Iterator[tuple[int, int]]:
    """Where to cut the rows: so many in a chunk, and not too many groups with members."""
    with_row = group_place[np.isin(groups, described.with_row)]
    cuts = distinct(np.concatenate((
        np.arange(0, rows, _ROWS_A_CHUNK), with_row[_DESCRIBED_A_CHUNK::_DESCRIBED_A_CHUNK], np.array([rows])
    )))  # fmt: skip
    return zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True)


def _group_batch(
    groups: Vector, count: dict[str, Vector], described: DescribedGroups, texts: pa.Array
) -> pa.RecordBatch:
    numbers = {
        "committed_offsets": count[COMMITTED_ROW].astype(np.int32),
        "pending_offsets": count[PENDING_ROW].astype(np.int32),
    }  # fmt: skip
    has_row = np.isin(groups, described.with_row)
    schema = row_type(GROUP_ROW).arrow_schema
    parts, places = [], []
    if not has_row.all():
        simple = np.flatnonzero(~has_row)
        names = texts.take(arrow(groups[simple]))
        own = {"group": pa.DictionaryArray.from_arrays(arrow(np.arange(len(simple), dtype=np.int32)), names)}
        own |= {name: arrow(found[simple]) for name, found in numbers.items()}
        parts.append(pa.table([
            own.get(field.name) or repeated(described.simple.get(field.name), field.type, len(simple))
            for field in schema
        ], schema=schema))  # fmt: skip
        places.append(simple)
    if has_row.any():
        told = np.flatnonzero(has_row)
        rows = [
            described.rows[group] | {name: int(found[at]) for name, found in numbers.items()}
            for at, group in zip(told.tolist(), groups[told].tolist(), strict=True)
        ]  # fmt: skip
        parts.append(pa.Table.from_pylist(rows, schema=schema))
        places.append(told)
    table = pa.concat_tables(parts)
    if len(parts) > 1:
        table = table.unify_dictionaries().take(arrow(np.argsort(np.concatenate(places))))
    return table.combine_chunks().to_batches()[0]


def _offset_batch(name: str, rows: pa.Table, now: int | None) -> pa.RecordBatch:
    schema = row_type(name).arrow_schema
    own = {"type": repeated(name, schema.field("type").type, len(rows))}
    if "age_ms" in schema.names:
        own["age_ms"] = _age(rows.column("log_timestamp").cast(pa.int64()), now)
    if name == PENDING_ROW and "transaction" in rows.column_names:
        own["transaction"] = _not_ended(rows.column("transaction"), schema.field("transaction").type)
    columns = []
    for field in schema:
        if field.name in own:
            columns.append(own[field.name])
        elif field.name in rows.column_names:
            columns.append(rows.column(field.name))
        else:  # what the log does not tell: who asks may know it
            columns.append(pa.nulls(len(rows), field.type))
    return pa.table(columns, schema=schema).combine_chunks().to_batches()[0]


def _not_ended(transaction: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """What transactions were at the moment that is asked about: those that ended later were open."""
    told = transaction.cast(pa.string())
    ended = pc.is_in(told, value_set=pa.array(["committed", "aborted"]))
    return pc.if_else(ended, "open", told).cast(kind)


def _age(written: pa.ChunkedArray, now: int | None) -> pa.ChunkedArray | pa.Array:
    if now is None:
        return pa.nulls(len(written), pa.int64())
    age = pc.subtract(pa.scalar(now, pa.int64()), written)
    fits = pc.equal(pc.greater_equal(age, 0), pc.greater_equal(now, written))  # else 64 bits were too few
    return pc.if_else(fits, age, None)
