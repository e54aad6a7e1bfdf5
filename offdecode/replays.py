"""From a request to the state of its logs at a moment, and to their transactions."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path

from offdecode.errors import UsageError
from offdecode.history.state import LogState, Question
from offdecode.log.coverage import LogCoverage
from offdecode.model import Coverage, DecodedChunk
from offdecode.pipeline import Report, Request, Stats, iter_steps, topic_names


def state(
    request: Request, report: Report, stats: Stats, question: Question, topic_ids: Path | None,
    row_types: Collection[str],
) -> Iterator[DecodedChunk]:
    """The state of the request's groups at the moment asked for, log by log. topic_ids: a file with names of ids."""
    names = topic_names(request, topic_ids)
    logs: dict[LogCoverage | int | None, LogState] = {}
    for log, chunk in _by_log(request, report, stats):
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
        coverage = log.result if isinstance(log, LogCoverage) else Coverage(log, exported=True)
        for rows in held.chunks(coverage, now):
            yield rows.only(row_types)


def _by_log(
    request: Request, report: Report, stats: Stats
) -> Iterator[tuple[LogCoverage | int | None, DecodedChunk | None]]:
    """Every decoded chunk with its log: what the log covers or, for exported records, its partition."""
    for step in iter_steps(replace(request, row_types=None), stats):
        for problem in step.problems:
            report(problem)
        if step.coverage is not None:
            yield step.coverage, None
        for chunk in step.read():
            for problem in chunk.problems:
                report(problem)
            if step.coverage is not None:
                yield step.coverage, chunk
            elif chunk.row_count:
                batch = next(iter(chunk.batches.values()))
                yield batch.column("log_partition")[0].as_py(), chunk
