"""Questions that logs answer one by one: so the logs can be different processes'."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from offdecode.evidence import LogId
from offdecode.history.topic_names import TopicNames
from offdecode.model import Coverage, DecodedChunk
from offdecode.options import Filter
from offdecode.run import LogRows, Run
from offdecode.schemas.rows import RowOptions


class LogAnswer:
    """What a question makes of one log. This one makes nothing of it.

    coverage: of the log when it is through, None before. What turns out to be no offsets log never is.
    """

    coverage: Coverage | None = None

    def take(self, rows: LogRows) -> Iterable[DecodedChunk]:
        """The next rows of the log."""
        return ()

    def end(self, coverage: Coverage) -> Iterable[DecodedChunk]:
        """The log is through."""
        self.coverage = coverage
        return ()

    def told(self) -> Any:
        """What other logs must know of this one for the rest, when all are read; it can be pickled."""
        return None

    def rest(self, told: Any) -> Iterable[DecodedChunk]:
        """What can be told when all logs are read. told: what the question gathers of what each has told."""
        return ()


@dataclass(frozen=True, slots=True)
class ByLog:
    """A question that each log answers by itself.

    begin: the answer of a log, with the names of topic ids that are known; what a log tells is added to these. wanted,
    columns, lost: the rows that are read, as of Run.rows_by_log. names: {topic id: name} that lie beside the logs.
    names_first: whether those that a log tells are of use to logs behind it before all are read. gather: one of what
    the logs have told, in their order. alone: answers a run of one log instead, where logs do not tell each other
    anything. expected: kinds of problems with paths that are none to this question.
    """

    wanted: Filter
    begin: Callable[[LogId, TopicNames], LogAnswer]
    names: Mapping[str, str] = field(default_factory=dict)
    columns: RowOptions | None = None
    lost: bool = False
    names_first: bool = True
    gather: Callable[[Sequence[Any]], Any] = lambda told: None
    alone: Callable[[Run], Iterable[DecodedChunk]] | None = None
    expected: frozenset[str] = frozenset()


class Answers:
    """A question's answers for the logs of a run, in `logs`. names: {topic id: name} that others have told already."""

    def __init__(self, question: ByLog, names: Mapping[str, str] | None = None) -> None:
        self.names = TopicNames({**question.names, **(names or {})})
        self._question = question
        self.logs: dict[LogId, LogAnswer] = {}

    def first(self, run: Run) -> Iterator[DecodedChunk]:
        """What comes while the logs are read, one after the other."""
        asked = self._question
        if asked.alone is not None:
            yield from asked.alone(run)
            return
        for item in run.rows_by_log(asked.wanted, asked.columns, lost=asked.lost):
            log = self.logs.get(item.log)
            if log is None:
                log = self.logs[item.log] = asked.begin(item.log, self.names)
            yield from log.take(item) if isinstance(item, LogRows) else log.end(item.coverage)

    def told(self) -> list[Any]:
        """What the logs tell each other."""
        return [log.told() for log in self.logs.values()]

    def rest(self, told: Any) -> Iterator[DecodedChunk]:
        """What comes when all logs are read. told: as gathered."""
        for log in self.logs.values():
            yield from log.rest(told)


class Together:
    """Makes one answer of those of all logs. This one has their rows as they come."""

    def add(self, chunk: DecodedChunk) -> Iterable[DecodedChunk]:
        """The next rows."""
        return (chunk,)

    def finish(self) -> Iterable[DecodedChunk]:
        """What comes behind all."""
        return ()


def put_together(chunks: Iterable[DecodedChunk], together: Together) -> Iterator[DecodedChunk]:
    """One answer of rows of all logs."""
    for chunk in chunks:
        yield from together.add(chunk)
    yield from together.finish()


def latest(times: Sequence[int | None]) -> int | None:
    """The latest time of those that logs tell; None where none does."""
    return max((time for time in times if time is not None), default=None)


def answered(run: Run, question: ByLog) -> Iterator[DecodedChunk]:
    """The answers for all logs of a run: what each has alone, then the rest of each."""
    answers = Answers(question)
    yield from answers.first(run)
    yield from answers.rest(question.gather(answers.told()))
