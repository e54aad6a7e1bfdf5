"""Deletions of topics that one log speaks for, weighed by all logs.

A topic's commits are in as many partitions of the offsets topic as its groups are. Where another of them goes on
committing to the topic, one that loses it does not show its deletion.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from offdecode.evidence import LogId
from offdecode.filtering import among
from offdecode.model import ABSENT, DecodedChunk, Vector, arrow, rows_of
from offdecode.schemas.history_rows import MOVEMENT_ROW
from offdecode.schemas.rows import row_type

_TOPIC_DELETED = "topic_deleted"
_REMOVED = "topic_removed"
_MOVES = {"first", "advance", "repeat", "rewind", "jump", "reset_like"}
_SOON_MS = 600_000  # a coordinator learns of a deletion, and writes tombstones
_LATER_MS = 2000  # tombstones of one deletion, and commits on their way, lie within this


class TopicMoves(NamedTuple):
    """What logs tell each other: which of them tell of any topic, and by topic and log when an offset moved last."""

    logs: frozenset[LogId]
    latest: dict[str, dict[LogId, int]]

    @staticmethod
    def of_all(noted: Sequence[TopicMoves]) -> TopicMoves:
        """What was noted of logs, together."""
        latest: dict[str, dict[LogId, int]] = defaultdict(dict)
        for one in noted:
            for topic, known in one.latest.items():
                latest[topic].update(known)
        return TopicMoves(frozenset().union(*(one.logs for one in noted)), dict(latest))


class TopicDeletions:
    """Holds movements that a topic's deletion may have caused, until all logs are read.

    deleted: topics of which data directories hold nothing but deleted partitions. removed: times at which the cluster
    has removed topics.
    """

    def __init__(self, deleted: frozenset[str], removed: Mapping[str, Sequence[int]]) -> None:
        self._deleted = deleted
        self._removed = removed
        self._latest: dict[str, dict[LogId, int]] = defaultdict(dict)  # by topic, times of commits
        self._held: list[tuple[LogId, pa.RecordBatch]] = []
        self._logs: set[LogId] = set()

    def note(self, log: LogId, chunk: DecodedChunk) -> None:
        """Take notice of all movements of a log, those that nobody asked for too."""
        batch = chunk.batches[MOVEMENT_ROW]
        time = batch.column("last_log_timestamp").cast(pa.int64()).fill_null(ABSENT).to_numpy()
        moves = among(batch.column("kind"), _MOVES) & (time != ABSENT)
        topics = batch.column("topic")
        latest = np.full(len(topics.dictionary), ABSENT)
        np.maximum.at(latest, topics.indices.to_numpy()[moves], time[moves])
        self.note_latest(log, topics.dictionary.to_pylist(), latest)

    def note_latest(self, log: LogId, topics: Sequence[str], latest: Vector) -> None:
        """The same by the latest time at which an offset of each topic moved; ABSENT = it did not."""
        self._logs.add(log)
        for topic, known in zip(topics, latest.tolist(), strict=True):
            if known != ABSENT:
                by_log = self._latest[topic]
                by_log[log] = max(by_log.get(log, known), known)

    @property
    def noted(self) -> TopicMoves:
        """What was noted."""
        return TopicMoves(frozenset(self._logs), self._latest)

    def hold(self, log: LogId, chunk: DecodedChunk) -> DecodedChunk:
        """The chunk without the movements that are held."""
        batch = chunk.batches[MOVEMENT_ROW]
        held = among(batch.column("cause"), {_TOPIC_DELETED})
        if self._removed:
            known = np.flatnonzero(among(batch.column("topic"), set(self._removed)) & ~held)
            possible = batch.column("possible_causes").take(arrow(known)).to_pylist()
            held[known] = [causes is not None and _TOPIC_DELETED in causes for causes in possible]
        if not held.any():
            return chunk
        self._held.append((log, batch.filter(arrow(held))))
        return chunk.where(~held)

    def weighed(self, moves: TopicMoves) -> Iterator[tuple[LogId, DecodedChunk]]:
        """What was held, with its log. moves: what was noted of all logs.

        Of low confidence where another log goes on with the topic, of high only beside other logs.
        """
        for log, batch in self._held:
            rows = [self._weigh(log, row, moves) for row in rows_of(batch, batch.schema.names)]
            found = pa.RecordBatch.from_pylist(rows, schema=row_type(MOVEMENT_ROW).arrow_schema)
            yield log, DecodedChunk({MOVEMENT_ROW: found}, np.arange(len(found)))

    def _weigh(self, log: LogId, row: dict[str, Any], moves: TopicMoves) -> dict[str, Any]:
        others = [time for other, time in moves.latest.get(row["topic"], {}).items() if other != log]
        time = row["log_timestamp"]
        if time is not None and max(others, default=0) > time + _LATER_MS:
            return {**row, "confidence": "low", "signals": [*row["signals"], "other_logs_keep_topic"]}
        signals = list(self._proofs(row["topic"], time))
        if _REMOVED in signals:
            row = {**row, "cause": _TOPIC_DELETED, "confidence": "high"}
        if signals or row["cause"] != _TOPIC_DELETED:
            return {**row, "signals": [*row["signals"], *signals]}
        if row["confidence"] == "high" and len(moves.logs) == 1:
            return {**row, "confidence": "medium"}
        return row

    def _proofs(self, topic: str, time: int | None) -> Iterator[str]:
        """What else tells that the topic was deleted shortly before."""
        if topic in self._deleted:
            yield "topic_directory_deleted"
        removed = self._removed.get(topic, ())
        if time is not None and any(-_LATER_MS <= time - one <= _SOON_MS for one in removed):
            yield _REMOVED
