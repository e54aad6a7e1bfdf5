"""state: committed and pending offsets and the groups, as of a moment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from offdecode.errors import UsageError
from offdecode.evidence import LogId
from offdecode.filtering import pushed
from offdecode.history.offsets.moment import AsOf
from offdecode.history.offsets.rules import Coordinator
from offdecode.history.offsets.state import LogState, Question
from offdecode.model import Coverage, DecodedChunk, rows_of
from offdecode.options import COMMITS, GROUPS, Filter, Reading, Source, StateOptions, TopicIds
from offdecode.questions.beside import COMMIT, Beside
from offdecode.request import Request, checked_row_type
from offdecode.run import LogRows, Run
from offdecode.schemas.state_rows import COMMITTED_ROW, STATE_ROW_TYPES, TOPIC_DELETED


def state_request(source: Source, asked: StateOptions, rows: Filter, reading: Reading) -> Request:
    """The request of a moment: one that names a record is about its partition only.

    Raises UsageError where two moments are named, or a row type that there is not.
    """
    for name in asked.types:
        checked_row_type(name, STATE_ROW_TYPES)
    if asked.as_of_offset is None:
        return Request(source, rows, reading=reading)
    if asked.with_lag:
        raise UsageError("--with-lag needs a moment in time: --as-of, not --as-of-offset")
    if asked.as_of is not None:
        raise UsageError("--as-of and --as-of-offset both name the moment: give one")
    return Request(replace(source, log_partitions=(asked.as_of_offset[0],)), rows, reading=reading)


def state(run: Run, asked: StateOptions, names: TopicIds) -> Iterator[DecodedChunk]:
    """The state of the request's groups at the moment asked for, log by log."""
    rows = run.request.rows
    known_names = run.evidence.topic_names(names.topic_ids)
    moment = AsOf(asked.as_of) if asked.as_of_offset is None else AsOf(log_offset=asked.as_of_offset[1])
    question = Question(moment, Coordinator(asked.coordinator), pushed(rows, COMMITS))
    logs: dict[LogId, LogState] = {}
    ends: dict[LogId, Coverage] = {}
    for item in run.rows_by_log(pushed(rows, GROUPS)):
        if item.log not in logs:
            logs[item.log] = LogState(question, known_names)
        if isinstance(item, LogRows):
            logs[item.log].add(item.chunk)
        else:
            ends[item.log] = item.coverage
    if asked.as_of_offset is not None and not logs:
        raise UsageError(f"there is no log of partition {asked.as_of_offset[0]} of the offsets topic")
    now = moment.time
    if now is None:
        now = max((held.latest for held in logs.values() if held.latest is not None), default=None)
    deleted = run.evidence.cluster.deleted_topics
    beside = Beside(run.evidence) if asked.with_lag else None
    for log, coverage in ends.items():  # what is no offsets log has none
        for chunk in logs[log].chunks(coverage, now):
            found = _with_deleted(chunk.only(asked.types or STATE_ROW_TYPES), deleted)
            yield found if beside is None else _with_lag(found, beside, moment.time)


def _with_lag(chunk: DecodedChunk, beside: Beside, as_of: int | None) -> DecodedChunk:
    """The chunk, in which committed offsets say how far behind they were."""
    batch = chunk.batches.get(COMMITTED_ROW)
    if batch is None:
        return chunk
    rows = [beside.row(row, as_of) for row in rows_of(batch, COMMIT)]
    for name in ("lag", "lag_most"):
        column = pa.array([row.get(name) for row in rows], pa.int64())
        batch = batch.set_column(batch.schema.get_field_index(name), name, column)
    return replace(chunk, batches={**chunk.batches, COMMITTED_ROW: batch})


def _with_deleted(chunk: DecodedChunk, deleted: frozenset[str]) -> DecodedChunk:
    """The chunk, in which offsets of deleted topics say so."""
    batches = dict(chunk)
    for name, batch in chunk:
        if not deleted or TOPIC_DELETED not in batch.schema.names:
            continue
        topic = batch.column("topic").cast(pa.string())
        told = pc.if_else(pc.is_in(topic, pa.array(sorted(deleted))), True, None).cast(pa.bool_())
        batches[name] = batch.set_column(batch.schema.get_field_index(TOPIC_DELETED), TOPIC_DELETED, told)
    return replace(chunk, batches=batches)
