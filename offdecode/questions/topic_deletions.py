"""Deletions of topics that one log speaks for, weighed by all logs.

A topic's commits are in as many partitions of the offsets topic as its groups are. Where another of them goes on
committing to the topic, one that loses it does not show its deletion.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from offdecode.evidence import LogId
from offdecode.model import DecodedChunk
from offdecode.schemas.history_rows import MOVEMENT_ROW
from offdecode.schemas.rows import row_type

_TOPIC_DELETED = "topic_deleted"
_MOVES = pa.array(["first", "advance", "repeat", "rewind", "jump", "reset_like"])
_LATER_MS = 2000  # tombstones of one deletion, and commits on their way, lie within this


class TopicDeletions:
    """Holds movements that a topic's deletion may have caused, until all logs are read."""

    def __init__(self) -> None:
        self._latest: dict[str, dict[LogId, int]] = defaultdict(dict)  # by topic, times of commits
        self._held: list[tuple[LogId, pa.RecordBatch]] = []
        self._logs: set[LogId] = set()

    def note(self, log: LogId, chunk: DecodedChunk) -> None:
        """Take notice of all movements of a log, those that nobody asked for too."""
        self._logs.add(log)
        batch = chunk.batches[MOVEMENT_ROW]
        moves = pa.table({
            "topic": batch.column("topic").cast(pa.string()),
            "time": batch.column("last_log_timestamp").cast(pa.int64()),
        }).filter(pc.is_in(batch.column("kind").cast(pa.string()), _MOVES))  # fmt: skip
        for row in moves.group_by("topic").aggregate([("time", "max")]).to_pylist():
            known = self._latest[row["topic"]]
            if row["time_max"] is not None:
                known[log] = max(known.get(log, row["time_max"]), row["time_max"])

    def hold(self, log: LogId, chunk: DecodedChunk) -> DecodedChunk:
        """The chunk without the movements that are held."""
        batch = chunk.batches[MOVEMENT_ROW]
        causes = pc.equal(batch.column("cause").cast(pa.string()), _TOPIC_DELETED).fill_null(False)
        if not pc.any(causes).as_py():
            return chunk
        self._held.append((log, batch.filter(causes)))
        return chunk.where(~np.asarray(causes))

    def weighed(self) -> Iterator[DecodedChunk]:
        """What was held: of low confidence where another log goes on with the topic, of high only beside others."""
        for log, batch in self._held:
            rows = [self._weigh(log, row) for row in batch.to_pylist()]
            found = pa.RecordBatch.from_pylist(rows, schema=row_type(MOVEMENT_ROW).arrow_schema)
            yield DecodedChunk({MOVEMENT_ROW: found}, np.arange(len(found)))

    def _weigh(self, log: LogId, row: dict[str, Any]) -> dict[str, Any]:
        others = [time for other, time in self._latest.get(row["topic"], {}).items() if other != log]
        time = row["log_timestamp"]
        if time is not None and max(others, default=0) > time.timestamp() * 1000 + _LATER_MS:
            return {**row, "confidence": "low", "signals": [*row["signals"], "other_logs_keep_topic"]}
        if row["confidence"] == "high" and len(self._logs) == 1:
            return {**row, "confidence": "medium"}
        return row
