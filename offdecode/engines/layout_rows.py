"""Records that have no row type of their own, by their layouts: what fits to the last byte, as plain values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from offdecode.byte_vectors import Buffer
from offdecode.engines.arrow_columns import ArrowColumns, DoubtfulRows
from offdecode.engines.columns import VectorReader
from offdecode.engines.readings import Items
from offdecode.model import Vector, plain_values
from offdecode.schemas.layout import Layout
from offdecode.schemas.rows import columns_of

Row = dict[str, Any]


def layout_rows(
    buffer: Buffer, layout: Layout, version: int, position: Vector, end: Vector
) -> Iterator[tuple[int, Row]]:
    """(which of the positions, {field: value}) of each record that fits and whose texts are UTF-8.

    Arrays, and tagged fields that no record here has, are left out.
    """
    rows = np.arange(len(position))
    while True:
        fields, fits = VectorReader(buffer).read(layout, version, position[rows], end[rows])
        if not fits.all():
            rows = rows[fits]
            continue
        shown = {name: value for name, value in fields.values.items() if not isinstance(value, Items)}
        columns = [column for column in columns_of(layout.fields, flexible=False) if column.name in shown]
        try:
            arrays = ArrowColumns(buffer).fields(columns, fields, np.arange(len(rows)))
        except DoubtfulRows as doubt:
            rows = np.delete(rows, doubt.rows)
            continue
        break
    values = [plain_values(array) for array in arrays]
    for row, *found in zip(rows.tolist(), *values, strict=True):
        yield row, {column.name: value for column, value in zip(columns, found, strict=True)}
