"""From a request to the state of its logs at a moment, and to their transactions."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path

from offdecode.answers import Log, chunk_of, coverage_of, decode_by_log
from offdecode.errors import UsageError
from offdecode.history.offsets.state import LogState, Question
from offdecode.history.offsets.transactions import DECIDED, ROW_OPTIONS, ROW_TYPES, Row, TransactionReplay
from offdecode.model import DecodedChunk
from offdecode.pipeline import Report, Request, Stats, topic_names


def state(
    request: Request, report: Report, stats: Stats, question: Question, topic_ids: Path | None,
    row_types: Collection[str],
) -> Iterator[DecodedChunk]:
    """The state of the request's groups at the moment asked for, log by log. topic_ids: a file with names of ids."""
    names = topic_names(request, topic_ids)
    logs: dict[Log, LogState] = {}
    for log, chunk in decode_by_log(request, report, stats):
        if log not in logs:
            logs[log] = LogState(question, names)
        if chunk is not None:
            logs[log].add(chunk)
    if question.as_of.log_offset is not None and not logs:
        raise UsageError(f"there is no log of partition {request.log_partitions[0]} of the offsets topic")
    now = question.as_of.time
    if now is None:
        now = max((held.latest for held in logs.values() if held.latest is not None), default=None)
    for log, held in logs.items():
        for rows in held.chunks(coverage_of(log), now):
            yield rows.only(row_types)


def transactions(request: Request, report: Report, stats: Stats, undecided: bool) -> Iterator[DecodedChunk]:
    """The transactions of the request's groups: the decided ones log by log, then the others.

    undecided: only those that are open, or whose end is lost. The request's since and until choose by first record.
    """
    wanted = replace(request, since=None, until=None, row_types=ROW_TYPES, options=ROW_OPTIONS)
    filtered = bool(request.groups or request.group_regex is not None)
    logs: dict[Log, TransactionReplay] = {}

    def chosen(rows: Iterator[Row]) -> Iterator[DecodedChunk]:
        yield from chunk_of([
            row for row in rows
            if not (undecided and row["status"] in DECIDED) and _within(row, request)
        ])  # fmt: skip

    for log, chunk in decode_by_log(wanted, report, stats):
        if log not in logs:
            logs[log] = TransactionReplay(bare_markers=not filtered)
        if chunk is not None:
            yield from chosen(logs[log].add(chunk))
    now = max((held.latest for held in logs.values() if held.latest is not None), default=None)
    for log, held in logs.items():
        yield from chosen(held.finish(coverage_of(log), request.topic_name, now))


def _within(row: Row, request: Request) -> bool:
    time: int | None = row.get("first_timestamp") or row.get("marker_timestamp")
    if time is None:
        return True
    return (request.since is None or time >= request.since) and (request.until is None or time <= request.until)
