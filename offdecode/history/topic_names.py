"""Names of topic ids, and what commits tell of them: one of value version 4 names both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from offdecode.model import DecodedChunk
from offdecode.schemas import offset_commit


class TopicNames(dict[str, str]):
    """{topic id: name}: those given, and those that a log tells. The last one that is told counts.

    told: what was told. asked: ids whose name was looked up before it was told, be it known or not. changes: how
    many times a name became another.
    """

    def __init__(self, names: Mapping[str, str]) -> None:
        super().__init__(names)
        self.told: dict[str, str] = {}
        self.asked: set[str] = set()
        self.changes = 0

    def get(self, key: str, default: Any = None) -> Any:
        if key not in self.told:
            self.asked.add(key)
        return super().get(key, default)

    def __setitem__(self, key: str, name: str) -> None:
        self.told[key] = name
        if super().get(key) != name:
            self.changes += 1
            super().__setitem__(key, name)

    def update(self, names: Mapping[str, str]) -> None:  # type: ignore[override]
        for key, name in names.items():
            self[key] = name


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
