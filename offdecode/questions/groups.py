"""groups: a row for each group of the evidence, and what is notable about it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from offdecode.by_log import Answers, ByLog, LogAnswer, Together, latest
from offdecode.evidence import LogId
from offdecode.filtering import key_mask, pushed
from offdecode.history.movements.moves import Moves
from offdecode.history.offsets.rules import Coordinator
from offdecode.history.overview import MOST_ROWS, Overview, notability
from offdecode.history.topic_names import TopicNames
from offdecode.model import LARGEST_INT32, LARGEST_INT64, Coverage, DecodedChunk, Vector, arrow, distinct, stable_order
from offdecode.options import GROUPS, ExplainOptions, Filter, OverviewOptions, TopicIds
from offdecode.run import LogRows, Run
from offdecode.schemas.history_rows import GROUP_OVERVIEW_ROW


def groups(run: Run, asked: OverviewOptions, known: ExplainOptions, names: TopicIds) -> Iterator[DecodedChunk]:
    """The request's groups. Others are read all the same: they tell of deletions."""
    answers = Answers(groups_by_log(run, asked, known, names))
    yield from answers.first(run)
    logs = [log for log in answers.logs.values() if isinstance(log, _Groups)]
    wanted = pushed(run.request.rows, GROUPS)
    yield from _rows([log.overview for log in logs if log.coverage is not None], wanted, asked, latest(answers.told()))


def groups_by_log(run: Run, asked: OverviewOptions, known: ExplainOptions, names: TopicIds) -> ByLog:
    """The same, of each log by itself: GroupsTogether puts those of all in order."""
    rows = run.request.rows
    retention_ms = run.retention_ms(known)

    def begin(log: LogId, topic_names: TopicNames) -> LogAnswer:
        moves = Moves(retention_ms, topic_names, Coordinator(known.coordinator))
        return _Groups(moves, Overview(moves, retention_ms), pushed(rows, GROUPS), asked)

    columns = replace(run.request.columns, sizes=True)
    return ByLog(pushed(rows, ("until",)), begin, run.evidence.topic_names(names.topic_ids), columns, gather=latest)


class _Groups(LogAnswer):
    def __init__(self, moves: Moves, overview: Overview, wanted: Filter, asked: OverviewOptions) -> None:
        self.overview = overview
        self._moves = moves
        self._wanted = wanted
        self._asked = asked

    def take(self, rows: LogRows) -> Iterable[DecodedChunk]:
        self.overview.take(rows.chunk, self._moves.take_steps(rows.chunk, rows.gaps))
        return ()

    def end(self, coverage: Coverage) -> Iterable[DecodedChunk]:
        self.overview.finish(self._moves.finish_steps(), coverage)
        return super().end(coverage)

    def told(self) -> int | None:
        return self.overview.latest

    def rest(self, told: int | None) -> Iterator[DecodedChunk]:
        if self.coverage is not None:
            yield from _rows([self.overview], self._wanted, self._asked, told)


class GroupsTogether(Together):
    """Has the rows of all logs in the order that is asked for."""

    def __init__(self, asked: OverviewOptions) -> None:
        self._asked = asked
        self._rows: list[pa.RecordBatch] = []

    def add(self, chunk: DecodedChunk) -> Iterable[DecodedChunk]:
        self._rows.append(chunk.batches[GROUP_OVERVIEW_ROW])
        return ()

    def finish(self) -> Iterator[DecodedChunk]:
        if not self._rows:
            return
        rows = pa.Table.from_batches(self._rows).unify_dictionaries()
        keys = {"group": rows.column("group").cast(pa.string()), "log_partition": rows.column("log_partition")}
        keys |= _sorted_by(rows, self._asked)
        order = _order(pa.table(keys), self._asked)
        for start in range(0, len(order), MOST_ROWS):
            (batch,) = rows.take(order[start : start + MOST_ROWS]).combine_chunks().to_batches()
            yield _as_they_appear(batch)


def _rows(overviews: list[Overview], wanted: Filter, asked: OverviewOptions, now: int | None) -> Iterator[DecodedChunk]:
    """The rows of logs that are asked for, in the order that is, some at a time."""
    if tables := list(_index(overviews, asked)):
        index = _chosen(pa.concat_tables(tables).combine_chunks(), wanted, asked, now)
        for start in range(0, len(index), MOST_ROWS):
            yield _chunk(overviews, index.slice(start, MOST_ROWS))


def _index(overviews: list[Overview], asked: OverviewOptions) -> Iterator[pa.Table]:
    """What chooses the rows of all logs and puts them in order; and where they come from."""
    for log, overview in enumerate(overviews):
        rows_tell = asked.notable or asked.sort is not None or asked.idle_for is not None
        for numbers in overview.numbers(MOST_ROWS if rows_tell else LARGEST_INT32):
            columns = {**overview.names(numbers), "log": pa.repeat(log, len(numbers)), "number": arrow(numbers)}
            if rows_tell:
                columns |= _sorted_by(pa.Table.from_batches([overview.rows(numbers)]), asked)
            yield pa.table(columns)


def _chosen(index: pa.Table, wanted: Filter, asked: OverviewOptions, now: int | None) -> pa.Table:
    """Where the rows that are asked for come from, in the order that is."""
    mask = key_mask(wanted, index)
    if asked.notable:
        mask &= np.asarray(index.column("kinds")) > 0
    if asked.idle_for is not None and now is not None:
        last = index.column("last_record").cast(pa.int64())
        mask &= np.asarray(pc.less_equal(last, max(now - asked.idle_for, -LARGEST_INT64)).fill_null(False))
    index = index if mask.all() else index.filter(mask)
    return index.select(["log", "number"]).take(_order(index, asked))


def _sorted_by(rows: pa.Table, asked: OverviewOptions) -> dict[str, Vector | pa.ChunkedArray]:
    """What of rows chooses them and puts them in order, beside the name."""
    kinds, times = notability(rows)
    columns: dict[str, Vector | pa.ChunkedArray] = {
        "kinds": kinds, "times": times, "last_record": rows.column("last_record"),
    }  # fmt: skip
    if asked.sort is not None:
        column = rows.column(asked.sort)
        columns["sorted"] = column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column
    return columns


def _order(index: pa.Table, asked: OverviewOptions) -> pa.Array:
    """Where the rows of an index stand in the order that is asked for."""
    by = [("group", "ascending"), ("log_partition", "ascending")]
    if asked.sort is not None:
        by.insert(0, ("sorted", "ascending" if index.column("sorted").type == pa.string() else "descending"))
    elif asked.notable:
        by = [("kinds", "descending"), ("times", "descending"), *by]
    return pc.sort_indices(index, by)


def _chunk(overviews: list[Overview], index: pa.Table) -> DecodedChunk:
    """The rows of a part of the index."""
    log, number = (index.column(name).to_numpy() for name in ("log", "number"))
    batches = [overviews[one].rows(number[log == one]) for one in distinct(log).tolist()]
    batch = batches[0]
    if len(batches) > 1:
        table = pa.Table.from_batches(batches).unify_dictionaries().combine_chunks()
        batch = table.take(arrow(np.argsort(stable_order(log)))).to_batches()[0]
    return _as_they_appear(batch) if len(overviews) > 1 else _chunk_of(batch)


def _as_they_appear(batch: pa.RecordBatch) -> DecodedChunk:
    """The rows, whose texts are numbered as they appear, from whatever logs they come: so files are the same."""
    columns = [
        column.cast(pa.string()).dictionary_encode() if pa.types.is_dictionary(column.type) else column
        for column in batch.columns
    ]
    return _chunk_of(pa.RecordBatch.from_arrays(columns, schema=batch.schema))


def _chunk_of(batch: pa.RecordBatch) -> DecodedChunk:
    return DecodedChunk({GROUP_OVERVIEW_ROW: batch}, np.arange(len(batch)))
