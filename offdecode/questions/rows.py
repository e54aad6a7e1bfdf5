"""Rows that history makes as dictionaries, to chunks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from offdecode.model import DecodedChunk
from offdecode.schemas.rows import row_type

Row = dict[str, Any]


def chunk_of(rows: Sequence[Row]) -> Iterator[DecodedChunk]:
    """Rows of one type as a chunk; none where there are no rows."""
    if rows:
        name = rows[0]["type"]
        batch = pa.RecordBatch.from_pylist(list(rows), schema=row_type(name).arrow_schema)
        yield DecodedChunk({name: batch}, np.arange(len(rows)))
