"""groups: a row for each group of the evidence, and what is notable about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from offdecode.evidence import LogId
from offdecode.filtering import key_mask, pushed
from offdecode.history.movements.moves import Moves
from offdecode.history.offsets.rules import Coordinator
from offdecode.history.overview import Overview, notability
from offdecode.model import LARGEST_INT64, Coverage, DecodedChunk
from offdecode.options import GROUPS, ExplainOptions, OverviewOptions, TopicIds
from offdecode.run import LogRows, Run
from offdecode.schemas.history_rows import GROUP_OVERVIEW_ROW
from offdecode.schemas.rows import row_type

_MOST_ROWS = 1 << 16  # in a chunk


def groups(run: Run, asked: OverviewOptions, known: ExplainOptions, names: TopicIds) -> Iterator[DecodedChunk]:
    """The request's groups. Others are read all the same: they tell of deletions."""
    wanted = pushed(run.request.rows, GROUPS)
    topic_names = run.evidence.topic_names(names.topic_ids)
    retention_ms = run.retention_ms(known)
    logs: dict[LogId, tuple[Moves, Overview]] = {}
    ends: dict[LogId, Coverage] = {}
    for item in run.rows_by_log(pushed(run.request.rows, ("until",)), replace(run.request.columns, sizes=True)):
        if item.log not in logs:
            moves = Moves(retention_ms, topic_names, Coordinator(known.coordinator))
            logs[item.log] = moves, Overview(moves, retention_ms)
        if isinstance(item, LogRows):
            moves, overview = logs[item.log]
            overview.take(item.chunk, moves.take(item.chunk, item.first_gap))
        else:
            ends[item.log] = item.coverage
    latest = max((held.latest for _, held in logs.values() if held.latest is not None), default=None)
    schema = row_type(GROUP_OVERVIEW_ROW).arrow_schema
    batches = [  # what is no offsets log has no end
        overview.batch(moves.finish(), ends[log]) for log, (moves, overview) in logs.items() if log in ends
    ]
    rows = pa.Table.from_batches(batches, schema).unify_dictionaries()
    mask = key_mask(wanted, rows)
    rows = _chosen(rows if mask.all() else rows.filter(mask), asked, latest)
    for batch in rows.combine_chunks().to_batches(_MOST_ROWS):
        yield DecodedChunk({GROUP_OVERVIEW_ROW: batch}, np.arange(len(batch)))


def _chosen(rows: pa.Table, asked: OverviewOptions, latest: int | None) -> pa.Table:
    """The rows that are asked for, in the order that is."""
    if asked.notable:
        kinds, times = notability(rows)
        rows, kinds, times = rows.filter(kinds > 0), kinds[kinds > 0], times[kinds > 0]
    order = {"group": rows.column("group").cast(pa.string()), "log_partition": rows.column("log_partition")}
    by = [(name, "ascending") for name in order]
    if asked.sort is not None:
        column = rows.column(asked.sort)
        text = pa.types.is_dictionary(column.type)
        order["sorted"] = column.cast(pa.string()) if text else column
        by.insert(0, ("sorted", "ascending" if text else "descending"))
    elif asked.notable:
        order |= {"kinds": pa.array(kinds), "times": pa.array(times)}
        by = [("kinds", "descending"), ("times", "descending"), *by]
    rows = rows.take(pc.sort_indices(pa.table(order), by))
    if asked.idle_for is None or latest is None:
        return rows
    last = rows.column("last_record").cast(pa.int64())
    return rows.filter(pc.less_equal(last, max(latest - asked.idle_for, -LARGEST_INT64)).fill_null(False))
