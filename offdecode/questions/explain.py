"""explain: how each committed offset moved, who held its partition, and what speaks for why."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from offdecode.by_log import ByLog, LogAnswer, Together, answered
from offdecode.evidence import LogId
from offdecode.filtering import keep, pushed
from offdecode.history.movements.explanation import Explanation
from offdecode.history.movements.hidden import hidden_ranges
from offdecode.history.offsets.rules import Coordinator
from offdecode.history.topic_names import TopicNames
from offdecode.model import Coverage, DecodedChunk
from offdecode.options import COMMITS, GROUPS, ExplainOptions, Filter, MovementOptions, TopicIds
from offdecode.questions.beside import Beside
from offdecode.questions.decode import EXPLAINED
from offdecode.questions.producers import Producers
from offdecode.questions.rows import chunk_of
from offdecode.questions.topic_deletions import TopicDeletions, TopicMoves
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
    return answered(run, explain_by_log(run, asked, names, chosen))


def explain_by_log(run: Run, asked: ExplainOptions, names: TopicIds, chosen: MovementOptions = ALL_MOVEMENTS) -> ByLog:
    """The same."""
    rows = run.request.rows
    cluster = run.evidence.cluster
    asking = _Asking(
        chosen, pushed(rows, (*GROUPS, *COMMITS, "since")), run.retention_ms(asked), Coordinator(asked.coordinator),
        Beside(run.evidence), Producers(cluster),
    )  # fmt: skip

    def begin(log: LogId, known: TopicNames) -> LogAnswer:
        return _Explained(asking, log, known, TopicDeletions(cluster.deleted_directories, cluster.removed_topics))

    read = replace(pushed(rows, ("until",)), row_types=(*EXPLAINED, MARKER_ROW))
    return ByLog(read, begin, run.evidence.topic_names(names.topic_ids), gather=TopicMoves.of_all)


@dataclass(frozen=True, slots=True)
class _Asking:
    """What the answers of all logs have in common."""

    chosen: MovementOptions
    wanted: Filter
    retention_ms: int | None
    coordinator: Coordinator
    beside: Beside
    producers: Producers


class _Explained(LogAnswer):
    def __init__(self, asking: _Asking, log: LogId, names: TopicNames, deletions: TopicDeletions) -> None:
        self._asking = asking
        self._log = log
        self._deletions = deletions
        self._explanation = Explanation(asking.retention_ms, names, asking.coordinator)

    def take(self, rows: LogRows) -> Iterator[DecodedChunk]:
        return self._wanted(self._explanation.rows(rows.chunk, rows.gaps))

    def end(self, coverage: Coverage) -> Iterator[DecodedChunk]:
        yield from self._wanted(self._explanation.finish())
        del self._explanation  # there may be many logs
        yield from chunk_of(list(hidden_ranges(coverage)))

    def told(self) -> TopicMoves:
        return self._deletions.noted

    def rest(self, told: TopicMoves) -> Iterator[DecodedChunk]:
        for _, chunk in self._deletions.weighed(told):
            yield chunk

    def _wanted(self, chunks: Iterator[DecodedChunk]) -> Iterator[DecodedChunk]:
        asking = self._asking
        for chunk in chunks:
            self._deletions.note(self._log, chunk)
            kept = _of_kinds(asking.chosen, keep(asking.wanted, chunk, times=("last_log_timestamp",)))
            if kept.row_count:
                yield asking.producers.named(asking.beside.with_ranges(self._deletions.hold(self._log, kept)))


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


class ByKey(Together):
    """Has all movements in one chunk, one key's after the other's; then the rest."""

    def __init__(self) -> None:
        self._movements: list[pa.RecordBatch] = []
        self._hidden: list[DecodedChunk] = []

    def add(self, chunk: DecodedChunk) -> Iterable[DecodedChunk]:
        if HIDDEN_RANGE_ROW in chunk.batches:
            self._hidden.append(chunk)
        elif MOVEMENT_ROW in chunk.batches:
            self._movements.append(chunk.batches[MOVEMENT_ROW])
        return ()

    def finish(self) -> Iterator[DecodedChunk]:
        schema = row_type(MOVEMENT_ROW).arrow_schema
        rows = pa.Table.from_batches(self._movements, schema).unify_dictionaries()
        keys = {name: rows.column(name).cast(pa.string()) for name in ("group", "topic")}
        keys |= {name: rows.column(name) for name in ("partition", "log_partition", "log_offset")}
        order = pc.sort_indices(pa.table(keys), [(name, "ascending") for name in keys])
        for batch in rows.take(order).combine_chunks().to_batches():
            yield DecodedChunk({MOVEMENT_ROW: batch}, np.arange(len(batch)))
        yield from self._hidden
