"""decode: the rows of the log, as they were written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from offdecode.filtering import keep, pushed
from offdecode.history.groups.group_records import GROUP_ROW_TYPES
from offdecode.history.movements.with_generation import WithGeneration
from offdecode.model import DecodedChunk
from offdecode.options import GROUPS
from offdecode.questions.producers import Producers
from offdecode.run import LogRows, Run
from offdecode.schemas.registry import DEFAULT_ROW_TYPE

EXPLAINED = (*GROUP_ROW_TYPES, DEFAULT_ROW_TYPE)  # what tells generations and owners of commits


def decode(run: Run) -> Iterator[DecodedChunk]:
    """The request's rows; with generation, owner and names of producers where its columns have them."""
    chunks = _with_generation(run) if run.request.columns.with_generation else run.rows(run.request.rows)
    return map(Producers(run.evidence.cluster).named, chunks) if run.request.columns.with_transactional_id else chunks


def _with_generation(run: Run) -> Iterator[DecodedChunk]:
    """Group records that the request leaves out are read all the same, and so is what was before its rows."""
    rows = run.request.rows
    types = (*dict.fromkeys((*rows.row_types, *EXPLAINED)),) if rows.row_types else ()
    read = replace(pushed(rows, (*GROUPS, "until", "last_offset")), row_types=types)
    columns = replace(run.request.columns, with_generation=False)  # what decoding makes has these columns not yet
    add = WithGeneration(run.evidence.topic_names()).add
    for item in run.rows_by_log(read, columns, lost=True):
        if not isinstance(item, LogRows):
            continue
        # What did not stand has no generation, and moves none.
        found = keep(rows, WithGeneration({}).add(item.chunk) if item.lost else add(item.chunk))
        if found.row_count:
            yield found
