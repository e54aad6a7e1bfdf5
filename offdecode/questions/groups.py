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
from offdecode.history.overview import MOST_ROWS, Overview, notability
from offdecode.model import LARGEST_INT64, Coverage, DecodedChunk, arrow, distinct, stable_order
from offdecode.options import GROUPS, ExplainOptions, Filter, OverviewOptions, TopicIds
from offdecode.run import LogRows, Run
from offdecode.schemas.history_rows import GROUP_OVERVIEW_ROW


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
    found = []
    for log, (moves, overview) in logs.items():
        if log in ends:  # what is no offsets log has no end
            overview.finish(moves.finish(), ends[log])
            found.append(overview)
    if tables := list(_index(found, asked)):
        index = _chosen(pa.concat_tables(tables), wanted, asked, latest)
        for start in range(0, len(index), MOST_ROWS):
            yield _chunk(found, index.slice(start, MOST_ROWS))


def _index(overviews: list[Overview], asked: OverviewOptions) -> Iterator[pa.Table]:
    """What chooses the rows of all logs and puts them in order; and where they come from."""
    for log, overview in enumerate(overviews):
        for numbers in overview.numbers():
            columns = {**overview.names(numbers), "log": np.full(len(numbers), log), "number": numbers}
            if asked.notable or asked.sort is not None or asked.idle_for is not None:
                rows = pa.Table.from_batches([overview.rows(numbers)])
                kinds, times = notability(rows)
                columns |= {"kinds": kinds, "times": times, "last_record": rows.column("last_record")}
                if asked.sort is not None:
                    column = rows.column(asked.sort)
                    columns["sorted"] = column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column
            yield pa.table(columns)


def _chosen(index: pa.Table, wanted: Filter, asked: OverviewOptions, latest: int | None) -> pa.Table:
    """The rows that are asked for, in the order that is."""
    mask = key_mask(wanted, index)
    if asked.notable:
        mask &= np.asarray(index.column("kinds")) > 0
    if asked.idle_for is not None and latest is not None:
        last = index.column("last_record").cast(pa.int64())
        mask &= np.asarray(pc.less_equal(last, max(latest - asked.idle_for, -LARGEST_INT64)).fill_null(False))
    by = [("group", "ascending"), ("log_partition", "ascending")]
    if asked.sort is not None:
        by.insert(0, ("sorted", "ascending" if index.column("sorted").type == pa.string() else "descending"))
    elif asked.notable:
        by = [("kinds", "descending"), ("times", "descending"), *by]
    index = index if mask.all() else index.filter(mask)
    return index.take(pc.sort_indices(index, by))


def _chunk(overviews: list[Overview], index: pa.Table) -> DecodedChunk:
    """The rows of a part of the index."""
    log, number = (index.column(name).to_numpy() for name in ("log", "number"))
    batches = [overviews[one].rows(number[log == one]) for one in distinct(log).tolist()]
    batch = batches[0]
    if len(batches) > 1:
        table = pa.Table.from_batches(batches).unify_dictionaries().combine_chunks()
        batch = table.take(arrow(np.argsort(stable_order(log)))).to_batches()[0]
    return DecodedChunk({GROUP_OVERVIEW_ROW: batch}, np.arange(len(batch)))
