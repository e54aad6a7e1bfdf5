"""Names of topic ids, and what commits tell of them: one of value version 4 names both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from offdecode.model import DecodedChunk
from offdecode.schemas import offset_commit


class TopicNames(dict[str, str]):
    """{topic id: name}. missed: ids whose name was asked for and not known."""

    def __init__(self, names: Mapping[str, str]) -> None:
        super().__init__(names)
        self.missed: set[str] = set()

    def get(self, key: str, default: Any = None) -> Any:
        found = super().get(key)
        if found is not None:
            return found
        self.missed.add(key)
        return default


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
