"""Rows of records that an export tells of only in part: what it does not tell is null, whatever the bytes say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from offdecode.log.records import Records
from offdecode.model import Mask, Vector, arrow


def without_untold(batch: pa.RecordBatch, records: Records, rows: Vector) -> pa.RecordBatch:
    """The batch of these records' rows without the columns, and fields in them, that are not told of each."""
    untold = records.frames.untold
    names = frozenset[str]().union(*untold)
    if not names:
        return batch
    entry = records.frame[rows]
    arrays = dict(zip(batch.schema.names, batch.columns, strict=True))
    for name in sorted(names):
        column, *inside = name.split(".")
        if column in arrays:
            arrays[column] = _without(arrays[column], inside, np.array([name in one for one in untold])[entry])
    return pa.RecordBatch.from_arrays(list(arrays.values()), schema=batch.schema)


def _without(column: pa.Array, inside: list[str], untold: Mask) -> pa.Array:
    if not untold.any():
        return column
    if not inside:
        return column.take(arrow(np.arange(len(column)), null=untold))
    values = column.to_pylist()
    for index in np.flatnonzero(untold).tolist():
        _forget(values[index], inside)
    return pa.array(values, column.type)


def _forget(value: Any, path: list[str]) -> None:
    """Make a field null, of all elements where a list is in its way."""
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, dict) and path[0] in one:
            if path[1:]:
                _forget(one[path[0]], path[1:])
            else:
                one[path[0]] = None
