"""Chunks to rows of movements: the story of each (group, topic, partition), with owner and generation of its time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from offdecode.history.movements.answer_columns import flags, generation_columns, named, number, time
from offdecode.history.movements.commit_columns import ABSENT, TRANSACTIONS, CommitKeys, commit_columns
from offdecode.history.movements.effects import Effects, Events
from offdecode.history.movements.movement import Columns, Confidence, Movement, MovementKind, Movements, Signal
from offdecode.history.movements.owners import Owners
from offdecode.history.movements.tombstones import Cause, Tombstones
from offdecode.history.offsets.rules import Coordinator
from offdecode.model import DecodedChunk
from offdecode.schemas.history_rows import MOVEMENT_ROW
from offdecode.schemas.rows import row_type


class Explanation:
    """Explains the chunks of one log, in their order.

    retention_ms: for how long the broker kept offsets, None = not known.
    """

    def __init__(
        self, retention_ms: int | None = None, topic_names: dict[str, str] | None = None,
        coordinator: Coordinator = Coordinator.NEW,
    ) -> None:  # fmt: skip
        self._keys = CommitKeys()
        self._owners = Owners(self._keys, topic_names)
        self._effects = Effects(self._keys, coordinator)
        self._movement = Movement(coordinator)
        self._first_gap: int | None = None
        self._tombstones = Tombstones(self._keys, self._owners.members, retention_ms)

    def rows(self, chunk: DecodedChunk, first_gap: int | None) -> Iterator[DecodedChunk]:
        """The movements that came to an end in the chunk. first_gap: the first offset that the log lacks, if any."""
        commits = commit_columns(chunk, self._keys)
        joined = self._owners.join(chunk, commits)
        self._first_gap = first_gap
        yield from self._moved(self._effects.take(chunk, commits, joined, cleaned=first_gap is not None))

    def finish(self) -> Iterator[DecodedChunk]:
        """The movements still going on where the log ends."""
        self._owners.ended.clear()
        yield from self._moved(self._effects.finish())
        yield from self._chunk(self._movement.finish())

    def _moved(self, events: Events) -> Iterator[DecodedChunk]:
        if not len(events["key"]):
            return
        steps = self._movement.steps(events, len(self._keys))
        latest = int(steps.movement["log_timestamp"].max())
        self._tombstones.name(
            steps, events, self._owners.ended, self._owners.turned, lambda: self._oldest_idle(latest)
        )  # fmt: skip
        if self._first_gap is not None:
            _doubt(steps.movement, self._first_gap)
        yield from self._chunk(self._movement.merged(steps))

    def _oldest_idle(self, now: int) -> int:
        """For how long at most the broker has kept an offset of a group without members."""
        key, committed = self._movement.live()
        since = np.maximum(committed, self._owners.idle_since(self._keys.pairs.parts(self._keys.pairs_of(key))[0]))
        return now - int(since.min(initial=now))

    def _chunk(self, movements: Movements) -> Iterator[DecodedChunk]:
        if len(movements):
            yield DecodedChunk({MOVEMENT_ROW: self._batch(movements)}, np.arange(len(movements)))

    def _batch(self, movements: Movements) -> pa.RecordBatch:
        group_numbers, topic_numbers = self._keys.pairs.parts(self._keys.pairs_of(movements["key"]))
        numbers, group = np.unique(group_numbers, return_inverse=True)
        groups = [self._keys.groups[one] for one in numbers.tolist()]
        numbers, topic = np.unique(topic_numbers, return_inverse=True)
        topics = [self._keys.pairs.topic(one) for one in numbers.tolist()]
        log_partitions = pa.array([partition for partition, _ in groups], pa.int32())
        columns: dict[str, pa.Array] = {
            "type": named(np.zeros(len(group), np.int64), [MOVEMENT_ROW]),
            "group": named(group, [name for _, name in groups]),
            "topic": named(topic, topics),
            "partition": pa.array(self._keys.partitions_of(movements["key"]), pa.int32()),
            "kind": named(movements["kind"], [kind.name.lower() for kind in MovementKind]),
            "cause": named(movements["cause"], [cause.name.lower() for cause in Cause]),
            "possible_causes": flags(movements["causes"], [cause.name.lower() for cause in Cause]),
            "before": number(movements["before"]),
            "after": number(movements["after"]),
            "commits": pa.array(movements["commits"], pa.int32()),
            "log_partition": log_partitions.take(pa.array(group)),
            "log_offset": number(movements["log_offset"]),
            "log_timestamp": time(movements["log_timestamp"]),
            "last_log_offset": number(movements["last_log_offset"]),
            "last_log_timestamp": time(movements["last_log_timestamp"]),
            "decided_log_offset": number(movements["decided_offset"]),
            "decided_log_timestamp": time(movements["decided_timestamp"]),
            "transaction": named(movements["transaction"] - 1, list(TRANSACTIONS[1:])),
            **generation_columns(movements["generation"], movements["owner"], self._owners),
            "signals": flags(movements["signals"], [signal.name.lower() for signal in Signal if signal.name]),
            "confidence": named(movements["confidence"], [level.name.lower() for level in Confidence]),
        }
        schema = row_type(MOVEMENT_ROW).arrow_schema
        return pa.RecordBatch.from_arrays([columns[name] for name in schema.names], schema=schema)


def _doubt(movements: Columns, first_gap: int) -> None:
    """What has no offset before it in the evidence may have had one, where records before it are missing."""
    alone = (movements["before"] == ABSENT) & (movements["log_offset"] != ABSENT)
    doubtful = np.flatnonzero(alone & (movements["log_offset"] >= first_gap))
    movements["signals"][doubtful] |= int(Signal.EARLIER_RECORDS_MISSING)
    movements["confidence"][doubtful] = Confidence.LOW
