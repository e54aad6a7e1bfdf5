"""Movements to rows: the story of each (group, topic, partition)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from offdecode.history.movements.answer_columns import flags, generation_columns, named, number, numbered, time
from offdecode.history.movements.commit_columns import TRANSACTIONS
from offdecode.history.movements.movement import Confidence, MovementKind, Movements, Signal
from offdecode.history.movements.moves import Moves
from offdecode.history.movements.tombstones import Cause
from offdecode.history.offsets.rules import Coordinator
from offdecode.history.topic_names import TopicNames
from offdecode.model import DecodedChunk, Gaps, plain_column, repeated
from offdecode.schemas.history_rows import MOVEMENT_ROW
from offdecode.schemas.rows import row_type


class Explanation:
    """Explains the chunks of one log, in their order: the rows of its movements. Arguments as of Moves."""

    def __init__(
        self, retention_ms: int | None, topic_names: TopicNames, coordinator: Coordinator = Coordinator.NEW
    ) -> None:
        self._moves = Moves(retention_ms, topic_names, coordinator)
        self._rows = MovementRows(self._moves)

    def rows(self, chunk: DecodedChunk, gaps: Gaps) -> Iterator[DecodedChunk]:
        """The movements that came to an end in the chunk. gaps: what the log lacks."""
        return self._rows.chunk(self._moves.take(chunk, gaps))

    def finish(self) -> Iterator[DecodedChunk]:
        """The movements still going on where the log ends."""
        return self._rows.chunk(self._moves.finish())


class MovementRows:
    """Makes the rows of movements that Moves has given."""

    def __init__(self, moves: Moves) -> None:
        self._moves = moves

    def chunk(self, movements: Movements) -> Iterator[DecodedChunk]:
        """The rows as a chunk; none where there are no movements."""
        if len(movements):
            yield DecodedChunk({MOVEMENT_ROW: self._batch(movements)}, np.arange(len(movements)))

    def _batch(self, movements: Movements) -> pa.RecordBatch:
        pairs, pair = self._moves.keys.pairs, self._moves.keys.pairs_of(movements["key"])
        numbers, group = numbered(pairs.groups_of(pair))
        groups, group_numbers = self._moves.keys.groups, np.array(numbers, np.int64)
        numbers, topic = numbered(pairs.topics_of(pair))
        topics = pa.array([pairs.topics[number] for number in numbers], pa.string())
        columns: dict[str, pa.Array] = {
            "type": named(np.zeros(len(group), np.int64), [MOVEMENT_ROW]),
            "group": pa.DictionaryArray.from_arrays(group, groups.of(group_numbers)),
            "topic": pa.DictionaryArray.from_arrays(topic, topics),
            "partition": pa.array(self._moves.keys.partitions_of(movements["key"]), pa.int32()),
            "kind": named(movements["kind"], [kind.name.lower() for kind in MovementKind]),
            "cause": named(movements["cause"], [cause.name.lower() for cause in Cause]),
            "possible_causes": flags(movements["causes"], [cause.name.lower() for cause in Cause]),
            "before": number(movements["before"]),
            "after": number(movements["after"]),
            "commits": pa.array(movements["commits"], pa.int32()),
            "log_partition": repeated(self._moves.log_partition, pa.int32(), len(group)),
            "log_offset": number(movements["log_offset"]),
            "log_timestamp": time(movements["log_timestamp"]),
            "last_log_offset": number(movements["last_log_offset"]),
            "last_log_timestamp": time(movements["last_log_timestamp"]),
            "decided_log_offset": number(movements["decided_offset"]),
            "decided_log_timestamp": time(movements["decided_timestamp"]),
            "transaction": named(movements["transaction"] - 1, list(TRANSACTIONS[1:])),
            "producer_id": pa.array(movements["producer"], pa.int64(), mask=movements["producer"] < 0),
            "transactional_id": pa.nulls(len(group), pa.dictionary(pa.int32(), pa.string())),
            **generation_columns(movements["generation"], movements["owner"], self._moves.owners),
            "signals": flags(movements["signals"], [signal.name.lower() for signal in Signal if signal.name]),
            "confidence": named(movements["confidence"], [level.name.lower() for level in Confidence]),
        }
        schema = row_type(MOVEMENT_ROW).arrow_schema
        return pa.RecordBatch.from_arrays([plain_column(columns[name]) for name in schema.names], schema=schema)
