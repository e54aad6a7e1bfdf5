"""Parts: what an engine makes of some records, before the columns that every row has are added."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from offdecode.model import Mask, Vector, arrow


@dataclass(frozen=True, slots=True)
class TypeRows:
    """Rows of one type. rows: the record each row comes from, ascending; columns: the type's own, by name."""

    row_type: str
    rows: Vector
    columns: dict[str, pa.Array]


def merge_parts(parts: Sequence[TypeRows]) -> list[TypeRows]:
    """One part for each row type, its rows in the order of the records."""
    by_type: dict[str, list[TypeRows]] = {}
    for part in parts:
        if len(part.rows):
            by_type.setdefault(part.row_type, []).append(part)
    return [_join(same) for same in by_type.values()]


def _join(parts: list[TypeRows]) -> TypeRows:
    if len(parts) == 1:
        return parts[0]
    rows = np.concatenate([part.rows for part in parts])
    owner = np.repeat(np.arange(len(parts)), [len(part.rows) for part in parts])
    order = np.argsort(rows, kind="stable")
    owner, take = owner[order], arrow(order)
    types = {name: column.type for part in parts for name, column in part.columns.items()}
    columns = {}
    for name, kind in types.items():
        pieces = [part.columns[name] if name in part.columns else pa.nulls(len(part.rows), kind) for part in parts]
        filled = [index for index, piece in enumerate(pieces) if piece.null_count < len(piece)]
        if pa.types.is_list(kind) and len(filled) == 1:  # as members, beside tombstones
            columns[name] = scattered(pieces[filled[0]], np.flatnonzero(owner == filled[0]), len(rows))
        else:
            columns[name] = pa.chunked_array(pieces, kind).unify_dictionaries().combine_chunks().take(take)
    return TypeRows(parts[0].row_type, rows[order], columns)


def lists(count: Vector, elements: pa.Array) -> pa.Array:
    """A list array from the number of elements of each row; -1 is a null list."""
    offsets = np.concatenate((np.zeros(1, np.int32), np.cumsum(np.maximum(count, 0), dtype=np.int32)))
    null = count < 0
    mask = arrow(null) if null.any() else None
    return pa.ListArray.from_arrays(arrow(offsets), elements, mask=mask)


def scattered(array: pa.Array, rows: Vector, count: int) -> pa.Array:
    """An array of `count` values that has those of `array` at `rows`, and null elsewhere."""
    where = np.full(count, -1, np.int64)
    if pa.types.is_list(array.type) and (rows[1:] > rows[:-1]).all():  # the elements stay where they are
        where[rows] = pc.list_value_length(array).fill_null(-1).to_numpy()
        return lists(where, array.flatten())
    where[rows] = np.arange(len(rows))
    return array.take(arrow(where, null=where < 0))


def category(index: Vector, names: Sequence[str], null: Mask | None = None) -> pa.Array:
    """A dictionary-encoded text column from indices into `names`."""
    indices = arrow(index.astype(np.int32), null=null)
    return pa.DictionaryArray.from_arrays(indices, pa.array(names, pa.string()))


def constant_category(text: str, count: int) -> pa.Array:
    """A dictionary-encoded text column that says the same in every row."""
    return category(np.zeros(count, np.int64), (text,))


def text_hex(data: bytes | None) -> str | None:
    """Lower-case hex; null stays null."""
    return None if data is None else data.hex()
