"""Decoded chunks made from plain rows, in the given order: what the history is fed in tests."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from offdecode.model import DecodedChunk
from offdecode.schemas.rows import RowOptions, row_type
from tests.truth import Row


def chunk_of(rows: Sequence[Row], *, with_batch: bool = False) -> DecodedChunk:
    """The rows (each with its "type"; what it does not name is null) as a chunk."""
    by_type: dict[str, list[int]] = defaultdict(list)
    for index, row in enumerate(rows):
        by_type[row["type"]].append(index)
    batches = {}
    for name, indices in by_type.items():
        schema = row_type(name, RowOptions(with_batch=with_batch)).arrow_schema
        columns = [pa.array([rows[index].get(field.name) for index in indices], field.type) for field in schema]
        batches[name] = pa.RecordBatch.from_arrays(columns, schema=schema)
    stored = np.concatenate([np.array(indices, np.int64) for indices in by_type.values()] or [np.empty(0, np.int64)])
    return DecodedChunk(batches, np.argsort(stored, kind="stable"))
