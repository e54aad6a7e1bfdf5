"""generations: who was in which generation of a group, and what changed with it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from offdecode.by_log import ByLog, LogAnswer, Together, answered, put_together
from offdecode.filtering import keep, pushed
from offdecode.history.groups.generations import GenerationRows, GenerationSummary
from offdecode.history.groups.group_records import GROUP_ROW_TYPES
from offdecode.history.groups.images import GroupEvent
from offdecode.history.groups.replay import GroupReplay
from offdecode.history.topic_names import TopicNames
from offdecode.model import DecodedChunk
from offdecode.options import GROUPS, Filter, GenerationOptions, TopicIds
from offdecode.questions.rows import chunk_of
from offdecode.run import LogRows, Run


def generations(run: Run, asked: GenerationOptions, names: TopicIds) -> Iterator[DecodedChunk]:
    """A row for each generation of the request's groups, or with `summary` one for each group.

    Generations before the request's `since` are read too, for what changed since.
    """
    chunks = answered(run, generations_by_log(run, names))
    return put_together(chunks, Summary()) if asked.summary else chunks


def generations_by_log(run: Run, names: TopicIds) -> ByLog:
    """The same, of which Summary makes one."""
    read = replace(pushed(run.request.rows, (*GROUPS, "until")), row_types=GROUP_ROW_TYPES)
    since = Filter(since=run.request.rows.since)
    return ByLog(read, lambda log, known: _Generations(since, known), run.evidence.topic_names(names.topic_ids))


class Summary(Together):
    """Makes a row for each group of those of its generations."""

    def __init__(self) -> None:
        self._summary = GenerationSummary()

    def add(self, chunk: DecodedChunk) -> Iterable[DecodedChunk]:
        self._summary.add(chunk)
        return ()

    def finish(self) -> Iterable[DecodedChunk]:
        return chunk_of(self._summary.rows())


class _Generations(LogAnswer):
    def __init__(self, since: Filter, names: TopicNames) -> None:
        self._since = since
        self._told: list[GroupEvent] = []
        self._replay = GroupReplay(self._told.append, names, holds=False)
        self._rows = GenerationRows(names)

    def take(self, rows: LogRows) -> Iterator[DecodedChunk]:
        self._replay.records_missing = rows.gaps.first is not None
        self._replay.apply(rows.chunk)
        yield from self._wanted()

    def rest(self, told: None) -> Iterator[DecodedChunk]:
        self._replay.finish()
        yield from self._wanted()

    def _wanted(self) -> Iterator[DecodedChunk]:
        told = self._told[:]
        self._told.clear()
        for chunk in self._rows.chunk(told):
            found = keep(self._since, chunk)
            if found.row_count:
                yield found
