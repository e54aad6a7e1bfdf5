"""From a request to the rows that history makes of what it decodes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from offdecode.history.generations import GenerationRows, GenerationSummary
from offdecode.history.group_records import GROUP_ROW_TYPES
from offdecode.history.groups import GroupReplay
from offdecode.history.images import Generation, GroupEvent
from offdecode.model import DecodedChunk
from offdecode.pipeline import Report, Request, Stats, decode
from offdecode.schemas.rows import row_type

Row = dict[str, Any]


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


def _since(timestamp: int | None, since: int | None) -> bool:
    return since is None or timestamp is None or timestamp >= since


def chunk_of(rows: Sequence[Row]) -> Iterator[DecodedChunk]:
    """Rows of one type as a chunk; none where there are no rows."""
    if rows:
        name = rows[0]["type"]
        batch = pa.RecordBatch.from_pylist(list(rows), schema=row_type(name).arrow_schema)
        yield DecodedChunk({name: batch}, np.arange(len(rows)))
