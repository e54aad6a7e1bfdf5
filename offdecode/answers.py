"""From a request to the rows that history makes of what it decodes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from offdecode.history.explain import Explanation, Wanted
from offdecode.history.generations import GenerationRows, GenerationSummary
from offdecode.history.group_records import GROUP_ROW_TYPES
from offdecode.history.groups import GroupReplay
from offdecode.history.images import Generation, GroupEvent
from offdecode.history.with_generation import Chosen, WithGeneration
from offdecode.model import DecodedChunk
from offdecode.pipeline import Report, Request, Stats, decode
from offdecode.schemas.history_rows import MOVEMENT_ROW
from offdecode.schemas.registry import DEFAULT_ROW_TYPE
from offdecode.schemas.rows import row_type

Row = dict[str, Any]

_EXPLAINED = (*GROUP_ROW_TYPES, DEFAULT_ROW_TYPE)


def generations(request: Request, report: Report, stats: Stats) -> Iterator[DecodedChunk]:
    """A row for each generation of the request's groups; its since and until choose among them."""
    for rows in _generation_rows(request, report, stats):
        yield from chunk_of(rows)


def generation_summary(request: Request, report: Report, stats: Stats) -> Iterator[DecodedChunk]:
    """A row for each of the request's groups, with its generations in numbers."""
    summary = GenerationSummary()
    for rows in _generation_rows(request, report, stats):
        for row in rows:
            summary.add(row)
    yield from chunk_of(summary.rows())


def _generation_rows(request: Request, report: Report, stats: Stats) -> Iterator[list[Row]]:
    replay = GroupReplay()
    rows = GenerationRows(replay.topic_names)

    def wanted(events: Iterator[GroupEvent]) -> list[Row]:
        found = [rows.row(event) for event in events if isinstance(event, Generation)]
        # A row without a time passes, as it does where rows are decoded.
        return [row for row in found if _since(row["log_timestamp"], request.since)]

    for chunk in decode(replace(request, row_types=GROUP_ROW_TYPES, since=None), report, stats):
        yield wanted(replay.apply(chunk))
    yield wanted(replay.finish())


def explanation(
    request: Request, report: Report, stats: Stats, retention_ms: int, *, by_key: bool = False
) -> Iterator[DecodedChunk]:
    """The movements of the request's offsets; its topics, partitions and since choose among them.

    What is not chosen is read all the same: other topics and earlier records tell of those that are.
    by_key: all in one chunk, one key's after the other's; else as they come to an end.
    """
    chunks = _movements(request, report, stats, retention_ms)
    if not by_key:
        yield from chunks
        return
    schema = row_type(MOVEMENT_ROW).arrow_schema
    rows = pa.Table.from_batches([chunk.batches[MOVEMENT_ROW] for chunk in chunks], schema).unify_dictionaries()
    keys = {name: rows.column(name).cast(pa.string()) for name in ("group", "topic")}
    keys |= {name: rows.column(name) for name in ("partition", "log_partition", "log_offset")}
    order = pc.sort_indices(pa.table(keys), [(name, "ascending") for name in keys])
    for batch in rows.take(order).combine_chunks().to_batches():
        yield DecodedChunk({MOVEMENT_ROW: batch}, np.arange(len(batch)))


def _movements(request: Request, report: Report, stats: Stats, retention_ms: int) -> Iterator[DecodedChunk]:
    wanted = Wanted(frozenset(request.topics), frozenset(request.partitions), request.since)
    explain = Explanation(wanted, retention_ms)
    for chunk in decode(replace(request, row_types=_EXPLAINED, topics=(), partitions=(), since=None), report, stats):
        yield from explain.rows(chunk)
    yield from explain.finish()


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
    add = WithGeneration().add
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
