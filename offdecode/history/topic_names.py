"""Commits to the names of topic ids: a commit of value version 4 names both."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from offdecode.model import DecodedChunk
from offdecode.schemas import offset_commit


def learn_topic_names(chunk: DecodedChunk, names: dict[str, str]) -> None:
    """Add the name of every topic id that a commit of the chunk holds."""
    commits: pa.RecordBatch | None = chunk.batches.get(offset_commit.ROW_TYPE)
    if commits is None:
        return
    ids = commits.column("topic_id")
    rows = np.flatnonzero(ids.is_valid().to_numpy(zero_copy_only=False))
    if not len(rows):
        return
    index = ids.indices.fill_null(0).to_numpy()[rows]
    _, first = np.unique(index, return_index=True)
    chosen = commits.select(["topic_id", "topic"]).take(pa.array(rows[first]))
    for row in chosen.to_pylist():
        names[row["topic_id"]] = row["topic"]
