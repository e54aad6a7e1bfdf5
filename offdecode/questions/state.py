"""state: committed and pending offsets and the groups, as of a moment."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from offdecode.by_log import Answers, ByLog, LogAnswer, latest
from offdecode.errors import UsageError
from offdecode.evidence import LogId
from offdecode.filtering import pushed
from offdecode.history.offsets.moment import AsOf
from offdecode.history.offsets.rules import Coordinator
from offdecode.history.offsets.state import LogState, Question
from offdecode.history.topic_names import TopicNames
from offdecode.model import DecodedChunk, rows_of
from offdecode.options import COMMITS, GROUPS, Filter, Reading, Source, StateOptions, TopicIds
from offdecode.questions.beside import COMMIT, Beside
from offdecode.request import Request, checked_row_type
from offdecode.run import LogRows, Run
from offdecode.schemas.state_rows import COMMITTED_ROW, STATE_ROW_TYPES, TOPIC_DELETED

Shown = Callable[[DecodedChunk], Iterable[DecodedChunk]]


def state_request(source: Source, asked: StateOptions, rows: Filter, reading: Reading) -> Request:
    """The request of a moment: one that names a record is about its partition only.

    Raises UsageError where two moments are named, or a row type that there is not.
    """
    for name in asked.types:
        checked_row_type(name, STATE_ROW_TYPES)
    if asked.as_of_offset is None:
        return Request(source, rows, reading=reading, user_logs=asked.with_lag)
    if asked.with_lag:
        raise UsageError("--with-lag needs a moment in time: --as-of, not --as-of-offset")
    if asked.as_of is not None:
        raise UsageError("--as-of and --as-of-offset both name the moment: give one")
    return Request(replace(source, log_partitions=(asked.as_of_offset[0],)), rows, reading=reading)


def state(run: Run, asked: StateOptions, names: TopicIds) -> Iterator[DecodedChunk]:
    """The state of the request's groups at the moment asked for, log by log."""
    question = state_by_log(run, asked, names)
    answers = Answers(question)
    yield from answers.first(run)
    told = answers.told()
    if asked.as_of_offset is not None and not told:
        raise UsageError(f"there is no log of partition {asked.as_of_offset[0]} of the offsets topic")
    yield from answers.rest(question.gather(told))


def state_by_log(run: Run, asked: StateOptions, names: TopicIds) -> ByLog:
    """The same; of a moment that names a record nothing is said where there is no log of it."""
    deleted = run.evidence.cluster.deleted_topics
    beside = Beside(run.evidence) if asked.with_lag else None

    def shown(chunk: DecodedChunk) -> Iterable[DecodedChunk]:
        found = _with_deleted(chunk.only(asked.types or STATE_ROW_TYPES), deleted)
        return (found if beside is None else _with_lag(found, beside, asked.as_of),)

    return states_by_log(run, asked, names, shown)


def states_by_log(run: Run, asked: StateOptions, names: TopicIds, shown: Shown) -> ByLog:
    """What is shown of the state of each log."""
    rows = run.request.rows
    moment = AsOf(asked.as_of) if asked.as_of_offset is None else AsOf(log_offset=asked.as_of_offset[1])
    question = Question(moment, Coordinator(asked.coordinator), pushed(rows, COMMITS))

    def begin(log: LogId, known: TopicNames) -> LogAnswer:
        return _State(question, known, shown)

    return ByLog(
        pushed(rows, GROUPS), begin, run.evidence.topic_names(names.topic_ids), names_first=False, gather=latest
    )


class _State(LogAnswer):
    def __init__(self, question: Question, names: TopicNames, shown: Shown) -> None:
        self._moment = question.as_of.time
        self._state = LogState(question, names)
        self._shown = shown

    def take(self, rows: LogRows) -> Iterable[DecodedChunk]:
        self._state.add(rows.chunk)
        return ()

    def told(self) -> int | None:
        return self._state.latest

    def rest(self, told: int | None) -> Iterator[DecodedChunk]:
        now = told if self._moment is None else self._moment
        if self.coverage is not None:
            for chunk in self._state.chunks(self.coverage, now):
                yield from self._shown(chunk)


def _with_lag(chunk: DecodedChunk, beside: Beside, as_of: int | None) -> DecodedChunk:
    """The chunk, in which committed offsets say how far behind they were."""
    batch = chunk.batches.get(COMMITTED_ROW)
    if batch is None:
        return chunk
    rows = beside.rows(rows_of(batch, COMMIT), as_of, timed=False)
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
