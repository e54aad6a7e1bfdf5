"""generations: who was in which generation of a group, and what changed with it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from offdecode.filtering import keep, pushed
from offdecode.history.groups.generations import GenerationRows, GenerationSummary
from offdecode.history.groups.group_records import GROUP_ROW_TYPES
from offdecode.history.groups.images import GroupEvent
from offdecode.history.groups.replay import GroupReplay
from offdecode.model import DecodedChunk
from offdecode.options import GROUPS, Filter, GenerationOptions, TopicIds
from offdecode.questions.rows import chunk_of
from offdecode.run import LogRows, Run


def generations(run: Run, asked: GenerationOptions, names: TopicIds) -> Iterator[DecodedChunk]:
    """A row for each generation of the request's groups, or with `summary` one for each group.

    Generations before the request's `since` are read too, for what changed since.
    """
    chunks = _generations(run, names)
    if not asked.summary:
        yield from chunks
        return
    summary = GenerationSummary()
    for chunk in chunks:
        summary.add(chunk)
    yield from chunk_of(summary.rows())


def _generations(run: Run, names: TopicIds) -> Iterator[DecodedChunk]:
    replay = GroupReplay(run.evidence.topic_names(names.topic_ids))
    rows = GenerationRows(replay.topic_names)
    since = Filter(since=run.request.rows.since)

    def wanted(events: Iterable[GroupEvent]) -> Iterator[DecodedChunk]:
        for chunk in rows.chunk(events):
            found = keep(since, chunk)
            if found.row_count:
                yield found

    read = replace(pushed(run.request.rows, (*GROUPS, "until")), row_types=GROUP_ROW_TYPES)
    for item in run.rows_by_log(read):
        if isinstance(item, LogRows):
            replay.records_missing = item.first_gap is not None
            yield from wanted(replay.apply(item.chunk))
    yield from wanted(replay.finish())
