"""explain: how each committed offset moved, who held its partition, and what speaks for why."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from offdecode.evidence import LogId
from offdecode.filtering import keep, pushed
from offdecode.history.movements.explanation import Explanation
from offdecode.history.movements.hidden import hidden_ranges
from offdecode.history.offsets.rules import Coordinator
from offdecode.model import DecodedChunk
from offdecode.options import COMMITS, GROUPS, ExplainOptions, MovementOptions, TopicIds
from offdecode.questions.beside import Beside
from offdecode.questions.decode import EXPLAINED
from offdecode.questions.producers import Producers
from offdecode.questions.rows import chunk_of
from offdecode.questions.topic_deletions import TopicDeletions
from offdecode.run import LogRows, Run
from offdecode.schemas.history_rows import HIDDEN_RANGE_ROW, MOVEMENT_ROW, PROGRESS
from offdecode.schemas.rows import MARKER_ROW, row_type

ALL_MOVEMENTS = MovementOptions()


def explain(
    run: Run, asked: ExplainOptions, names: TopicIds, chosen: MovementOptions = ALL_MOVEMENTS
) -> Iterator[DecodedChunk]:
    """The movements of the request's offsets as they end, and where others could have hidden: log by log.

    The request's groups, topics, partitions and since, and the kinds, choose among movements. What is not chosen is
    read all the same: other groups, other topics and earlier records tell of those that are. Movements that the
    deletion of a topic may have caused come last: all logs tell of it.
    """
    rows = run.request.rows
    wanted = pushed(rows, (*GROUPS, *COMMITS, "since"))
    known_names = run.evidence.topic_names(names.topic_ids)
    logs: dict[LogId, Explanation] = {}
    cluster = run.evidence.cluster
    retention_ms = run.retention_ms(asked)
    deletions = TopicDeletions(cluster.deleted_directories, cluster.removed_topics)
    beside, producers = Beside(run.evidence), Producers(cluster)
    read = replace(pushed(rows, ("until",)), row_types=(*EXPLAINED, MARKER_ROW))
    for item in run.rows_by_log(read):
        if item.log not in logs:
            logs[item.log] = Explanation(retention_ms, known_names, Coordinator(asked.coordinator))
        if isinstance(item, LogRows):
            found = logs[item.log].rows(item.chunk, item.first_gap)
        else:
            found = logs.pop(item.log).finish()
        for chunk in found:
            deletions.note(item.log, chunk)
            kept = _of_kinds(chosen, keep(wanted, chunk, times=("last_log_timestamp",)))
            if kept.row_count:
                yield producers.named(beside.with_ranges(deletions.hold(item.log, kept)))
        if not isinstance(item, LogRows):
            yield from chunk_of(list(hidden_ranges(item.coverage)))
    for _, chunk in deletions.weighed():
        yield chunk


def _of_kinds(chosen: MovementOptions, chunk: DecodedChunk) -> DecodedChunk:
    """The movements of the kinds that are asked for."""
    if not chunk.row_count or not (chosen.kinds or chosen.notable):
        return chunk
    kind = chunk.batches[MOVEMENT_ROW].column("kind").cast(pa.string())
    stays = np.ones(chunk.row_count, np.bool_)
    if chosen.kinds:
        stays &= np.asarray(pc.is_in(kind, pa.array(chosen.kinds, pa.string())))
    if chosen.notable:
        stays &= ~np.asarray(pc.is_in(kind, pa.array(PROGRESS)))
    return chunk.where(stays)


def by_key(chunks: Iterator[DecodedChunk]) -> Iterator[DecodedChunk]:
    """All movements in one chunk, one key's after the other's; then the rest."""
    hidden: list[DecodedChunk] = []
    movements: list[pa.RecordBatch] = []
    for chunk in chunks:
        if HIDDEN_RANGE_ROW in chunk.batches:
            hidden.append(chunk)
        elif MOVEMENT_ROW in chunk.batches:
            movements.append(chunk.batches[MOVEMENT_ROW])
    schema = row_type(MOVEMENT_ROW).arrow_schema
    rows = pa.Table.from_batches(movements, schema).unify_dictionaries()
    keys = {name: rows.column(name).cast(pa.string()) for name in ("group", "topic")}
    keys |= {name: rows.column(name) for name in ("partition", "log_partition", "log_offset")}
    order = pc.sort_indices(pa.table(keys), [(name, "ascending") for name in keys])
    for batch in rows.take(order).combine_chunks().to_batches():
        yield DecodedChunk({MOVEMENT_ROW: batch}, np.arange(len(batch)))
    yield from hidden
