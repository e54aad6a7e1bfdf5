"""decode: the rows of the log, as they were written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from offdecode.by_log import ByLog, LogAnswer, answered
from offdecode.evidence import LogId
from offdecode.filtering import keep, pushed
from offdecode.history.groups.group_records import GROUP_ROW_TYPES
from offdecode.history.movements.with_generation import WithGeneration
from offdecode.history.topic_names import TopicNames
from offdecode.model import DecodedChunk
from offdecode.options import GROUPS, Filter
from offdecode.questions.producers import Producers
from offdecode.run import LogRows, Run
from offdecode.schemas.registry import DEFAULT_ROW_TYPE

EXPLAINED = (*GROUP_ROW_TYPES, DEFAULT_ROW_TYPE)  # what tells generations and owners of commits


def decode(run: Run) -> Iterator[DecodedChunk]:
    """The request's rows; with generation, owner and names of producers where its columns have them."""
    if run.request.columns.with_generation or run.request.columns.with_transactional_id:
        return answered(run, decode_by_log(run))
    return run.rows(run.request.rows)


def decode_by_log(run: Run) -> ByLog:
    """The same with the columns that are not in the log's own rows.

    For generations, group records that the request leaves out are read all the same, and so is what was before its
    rows.
    """
    rows, columns = run.request.rows, run.request.columns
    producers = Producers(run.evidence.cluster) if columns.with_transactional_id else None
    if not columns.with_generation:
        return ByLog(rows, lambda log, names: _Rows(rows, producers, None), lost=True)
    types = (*dict.fromkeys((*rows.row_types, *EXPLAINED)),) if rows.row_types else ()
    read = replace(pushed(rows, (*GROUPS, "until", "last_offset")), row_types=types)

    def begin(log: LogId, names: TopicNames) -> LogAnswer:
        return _Rows(rows, producers, WithGeneration(names))

    # What decoding makes has these columns not yet.
    return ByLog(read, begin, run.evidence.topic_names(), replace(columns, with_generation=False), lost=True)


class _Rows(LogAnswer):
    def __init__(self, wanted: Filter, producers: Producers | None, generations: WithGeneration | None) -> None:
        self._wanted = wanted
        self._producers = producers
        self._generations = generations

    def take(self, rows: LogRows) -> Iterator[DecodedChunk]:
        chunk = rows.chunk
        if self._generations is not None:
            # What did not stand has no generation, and moves none.
            chunk = keep(self._wanted, (WithGeneration(TopicNames({})) if rows.lost else self._generations).add(chunk))
            if not chunk.row_count:
                return
        yield chunk if self._producers is None else self._producers.named(chunk)
