"""Parts: what an engine makes of some records, before the columns that every row has are added."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from offdecode.model import Vector, arrow, plain_column, scattered


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
            if pa.types.is_list(kind):
                pieces = list(map(plain_column, pieces))  # each has distinct elements of its own
                kind = pieces[0].type
            columns[name] = pa.chunked_array(pieces, kind).unify_dictionaries().combine_chunks().take(take)
    return TypeRows(parts[0].row_type, rows[order], columns)


def text_hex(data: bytes | None) -> str | None:
    """Lower-case hex; null stays null."""
    return None if data is None else data.hex()
