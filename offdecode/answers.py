"""From a request to the rows that history makes of what it decodes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from offdecode.history.groups.generations import GenerationRows, GenerationSummary
from offdecode.history.groups.group_records import GROUP_ROW_TYPES
from offdecode.history.groups.images import Generation, GroupEvent
from offdecode.history.groups.replay import GroupReplay
from offdecode.history.movements.explanation import Explanation, Wanted
from offdecode.history.movements.hidden import hidden_ranges
from offdecode.history.movements.with_generation import Chosen, WithGeneration
from offdecode.log.offset_map import OffsetMap
from offdecode.model import Coverage, DecodedChunk
from offdecode.pipeline import Report, Request, Stats, StepReader, decode, iter_steps, topic_names
from offdecode.schemas.history_rows import HIDDEN_RANGE_ROW, MOVEMENT_ROW
from offdecode.schemas.registry import DEFAULT_ROW_TYPE
from offdecode.schemas.rows import row_type

Row = dict[str, Any]
Log = OffsetMap | int | None  # what a log's frames show; of exported records the partition

_EXPLAINED = (*GROUP_ROW_TYPES, DEFAULT_ROW_TYPE)


def generations(
    request: Request, report: Report, stats: Stats, topic_ids: Path | None = None
) -> Iterator[DecodedChunk]:
    """A row for each generation of the request's groups; its since and until choose among them.

    topic_ids: a file with names of topic ids.
    """
    for rows in _generation_rows(request, report, stats, topic_ids):
        yield from chunk_of(rows)


def generation_summary(
    request: Request, report: Report, stats: Stats, topic_ids: Path | None = None
) -> Iterator[DecodedChunk]:
    """A row for each of the request's groups, with its generations in numbers."""
    summary = GenerationSummary()
    for rows in _generation_rows(request, report, stats, topic_ids):
        for row in rows:
            summary.add(row)
    yield from chunk_of(summary.rows())


def _generation_rows(
    request: Request, report: Report, stats: Stats, topic_ids: Path | None
) -> Iterator[list[Row]]:
    replay = GroupReplay(topic_names(request, topic_ids))
    rows = GenerationRows(replay.topic_names)

    def wanted(events: Iterator[GroupEvent]) -> list[Row]:
        found = [rows.row(event) for event in events if isinstance(event, Generation)]
        # A row without a time passes, as it does where rows are decoded.
        return [row for row in found if _since(row["log_timestamp"], request.since)]

    for chunk in decode(replace(request, row_types=GROUP_ROW_TYPES, since=None), report, stats):
        yield wanted(replay.apply(chunk))
    yield wanted(replay.finish())


def explanation(
    request: Request, report: Report, stats: Stats, retention_ms: int, topic_ids: Path | None = None,
    *, by_key: bool = False,
) -> Iterator[DecodedChunk]:  # fmt: skip
    """The movements of the request's offsets, and the ranges of the logs where others could have hidden.

    The request's topics, partitions and since choose among movements. What is not chosen is read all the same:
    other topics and earlier records tell of those that are. by_key: all movements in one chunk, one key's after
    the other's; else as they come to an end.
    """
    chunks = _movements(request, report, stats, retention_ms, topic_ids)
    if not by_key:
        yield from chunks
        return
    hidden: list[DecodedChunk] = []
    movements: list[DecodedChunk] = []
    for chunk in chunks:
        (hidden if HIDDEN_RANGE_ROW in chunk.batches else movements).append(chunk)
    schema = row_type(MOVEMENT_ROW).arrow_schema
    rows = pa.Table.from_batches([chunk.batches[MOVEMENT_ROW] for chunk in movements], schema).unify_dictionaries()
    keys = {name: rows.column(name).cast(pa.string()) for name in ("group", "topic")}
    keys |= {name: rows.column(name) for name in ("partition", "log_partition", "log_offset")}
    order = pc.sort_indices(pa.table(keys), [(name, "ascending") for name in keys])
    for batch in rows.take(order).combine_chunks().to_batches():
        yield DecodedChunk({MOVEMENT_ROW: batch}, np.arange(len(batch)))
    yield from hidden


def _movements(
    request: Request, report: Report, stats: Stats, retention_ms: int, topic_ids: Path | None
) -> Iterator[DecodedChunk]:
    wanted = Wanted(frozenset(request.topics), frozenset(request.partitions), request.since)
    names = topic_names(request, topic_ids)
    whole = replace(request, row_types=_EXPLAINED, topics=(), partitions=(), since=None)
    logs: dict[Log, Explanation] = {}
    for log, chunk in decode_by_log(whole, report, stats):
        if log not in logs:
            if isinstance(log, OffsetMap):  # the log before is at its end
                yield from _finished(logs)
            logs[log] = Explanation(wanted, retention_ms, names)
        if chunk is not None:
            yield from logs[log].rows(chunk, log.first_gap if isinstance(log, OffsetMap) else 0)
    yield from _finished(logs)


def _finished(logs: dict[Log, Explanation]) -> Iterator[DecodedChunk]:
    for log, explain in logs.items():
        yield from explain.finish()
        yield from chunk_of(list(hidden_ranges(coverage_of(log))))
    logs.clear()


def with_generation(request: Request, report: Report, stats: Stats) -> Iterator[DecodedChunk]:
    """The request's rows, offset commits with generation and owner.

    Group records that the request leaves out are read all the same, and so is what was before its rows.
    """
    chosen = Chosen(request.row_types, request.topics, request.partitions, request.since, request.first_offset)
    types = None if request.row_types is None else (*dict.fromkeys((*request.row_types, *_EXPLAINED)),)
    options = replace(request.options, with_generation=False)  # what decoding makes has these columns not yet
    whole = replace(
        request, row_types=types, topics=(), partitions=(), since=None, first_offset=None, options=options
    )  # fmt: skip
    add = WithGeneration(topic_names(request, None)).add
    for chunk in decode(whole, report, stats):
        found = chosen.of(add(chunk))
        if found.row_count:
            yield found


def _since(timestamp: int | None, since: int | None) -> bool:
    return since is None or timestamp is None or timestamp >= since


def chunk_of(rows: Sequence[Row]) -> Iterator[DecodedChunk]:
    """Rows of one type as a chunk; none where there are no rows."""
    if rows:
        name = rows[0]["type"]
        batch = pa.RecordBatch.from_pylist(list(rows), schema=row_type(name).arrow_schema)
        yield DecodedChunk({name: batch}, np.arange(len(rows)))


def coverage_of(log: Log) -> Coverage:
    """What the evidence holds of a log, as far as it was read."""
    return log.coverage if isinstance(log, OffsetMap) else Coverage(log, exported=True)


def decode_by_log(
    request: Request, report: Report, stats: Stats
) -> Iterator[tuple[Log, DecodedChunk | None]]:
    """Every decoded chunk with its log: what the log covers or, for exported records, its partition."""
    reader = StepReader(request, stats)
    for step in iter_steps(request, stats):
        for problem in step.problems:
            report(problem)
        if step.offsets is not None:
            yield step.offsets, None
        for chunk in reader.read(step):
            for problem in chunk.problems:
                report(problem)
            if step.offsets is not None:
                yield step.offsets, chunk
            elif chunk.row_count:
                batch = next(iter(chunk.batches.values()))
                yield batch.column("log_partition")[0].as_py(), chunk
