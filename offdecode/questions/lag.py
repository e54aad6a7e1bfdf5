"""lag: how far behind the ends of the users' partitions the committed offsets are, by what lies beside the log."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from offdecode.by_log import ByLog, answered
from offdecode.errors import UsageError
from offdecode.evidence import LogId
from offdecode.filtering import pushed
from offdecode.history.offsets.timeline import Timeline
from offdecode.model import LARGEST_INT64, DecodedChunk, rows_of
from offdecode.options import COMMITS, GROUPS, Filter, LagOptions, Reading, Source, StateOptions, TopicIds
from offdecode.questions.beside import Beside
from offdecode.questions.rows import chunk_of
from offdecode.questions.state import states_by_log
from offdecode.request import Request
from offdecode.run import LogRows, Run
from offdecode.schemas.registry import DEFAULT_ROW_TYPE
from offdecode.schemas.rows import MARKER_ROW
from offdecode.schemas.state_rows import COMMITTED_ROW

Row = dict[str, Any]

_COMMITTED = ("group", "topic", "partition", "log_partition", "offset", "commit_timestamp", "topic_id")
_MOST_MOMENTS = 1 << 20


def lag_request(source: Source, asked: LagOptions, rows: Filter, reading: Reading) -> Request:
    """The request of lag. Raises UsageError for options that do not go together."""
    if asked.every is None:
        if rows.since is not None or rows.until is not None:
            raise UsageError("--since and --until are for --every; --as-of names one moment")
    elif asked.as_of is not None:
        raise UsageError("--as-of and --every both name the moments: give one")
    elif asked.every <= 0:
        raise UsageError("--every 0 is no length of time")
    return Request(source, rows, reading=reading, user_logs=True)


def lag(run: Run, asked: LagOptions) -> Iterator[DecodedChunk]:
    """A row for each committed offset at each moment, beside what the user's partition held then."""
    if asked.every is not None:
        return _every(run, asked.every, Beside(run.evidence))
    return answered(run, lag_by_log(run, asked))


def lag_by_log(run: Run, asked: LagOptions) -> ByLog:
    """The same of one moment, of each log by itself."""
    beside = Beside(run.evidence)

    def shown(chunk: DecodedChunk) -> Iterator[DecodedChunk]:
        if COMMITTED_ROW in chunk.batches:
            yield from chunk_of(beside.rows(rows_of(chunk.batches[COMMITTED_ROW], _COMMITTED), asked.as_of))

    return states_by_log(run, StateOptions(as_of=asked.as_of), TopicIds(), shown)


def _every(run: Run, step: int, beside: Beside) -> Iterator[DecodedChunk]:
    """The same for each multiple of the step, one moment after the other."""
    rows = run.request.rows
    logs: dict[LogId, Timeline] = {}
    wanted = replace(pushed(rows, (*GROUPS, *COMMITS)), row_types=(DEFAULT_ROW_TYPE, MARKER_ROW))
    for item in run.rows_by_log(wanted):
        if isinstance(item, LogRows):
            logs.setdefault(item.log, Timeline(step, item.log.partition)).add(item.chunk)
    begun = [held.first for held in logs.values() if held.first is not None]
    ended = [held.last for held in logs.values() if held.last is not None]
    if not begun:
        return
    first = max(min(begun), -(-_or(rows.since, -LARGEST_INT64) // step))
    last = -(-max(ended) // step) if rows.until is None else rows.until // step
    if last - first >= _MOST_MOMENTS:
        raise UsageError(
            f"that is {last - first + 1:,} moments, and at most {_MOST_MOMENTS:,} are told: "
            "give a longer --every, or --since and --until (a wrong clock may have made the log look long)"
        )
    for moment in range(first, last + 1):
        found = [row for held in logs.values() for row in held.at(moment)]
        yield from chunk_of(beside.rows(sorted(found, key=_key), moment * step))


def _or(value: int | None, other: int) -> int:
    return other if value is None else value


def _key(row: Row) -> tuple[str, str, int]:
    return row["group"], row["topic"], row["partition"]
