"""Parts: what an engine makes of some records, before the columns that every row has are added."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from offdecode.model import Mask, Vector, arrow


@dataclass(frozen=True, slots=True)
class Part:
    """Rows of one type. rows: the record each row comes from, ascending; columns: the type's own, by name."""

    row_type: str
    rows: Vector
    columns: dict[str, pa.Array]


def merge_parts(parts: Sequence[Part]) -> list[Part]:
    """One part for each row type, its rows in the order of the records."""
    by_type: dict[str, list[Part]] = {}
    for part in parts:
        if len(part.rows):
            by_type.setdefault(part.row_type, []).append(part)
    return [_join(same) for same in by_type.values()]


def _join(parts: list[Part]) -> Part:
    if len(parts) == 1:
        return parts[0]
    rows = np.concatenate([part.rows for part in parts])
    order = np.argsort(rows, kind="stable")
    types = {name: column.type for part in parts for name, column in part.columns.items()}
    take = arrow(order)
    columns = {}
    for name, kind in types.items():
        pieces = [part.columns[name] if name in part.columns else pa.nulls(len(part.rows), kind) for part in parts]
        columns[name] = pa.chunked_array(pieces, kind).unify_dictionaries().combine_chunks().take(take)
    return Part(parts[0].row_type, rows[order], columns)


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
