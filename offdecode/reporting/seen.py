"""What a report has found: the whole of what the page can show."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from offdecode.model import Problem, Span
from offdecode.options import ExplainOptions, TopicIds
from offdecode.reporting.counts import Bars
from offdecode.reporting.marks import Sparse
from offdecode.reporting.stories import Bar, Hidden, Story
from offdecode.request import Request

Row = dict[str, Any]


@dataclass(slots=True)
class Line:
    """The committed offset of one (topic, partition) of a group. points: as of Points, by time.

    lag: the row of `offdecode lag`, None where the user's partition is not in the evidence. ends: where its log ended,
    (moment, at least, at most).
    """

    topic: str
    partition: int
    points: np.ndarray
    lag: Row | None = None
    ends: list[tuple[int, int, int]] = field(default_factory=list)


NUMBER = "number"  # the column that tells the number of a group in its log


@dataclass(slots=True)
class Group:
    """One group. row: of `offdecode groups`; log, number: of its log, and its own there. marks: rows of `explain`.

    bars: each of one partition; hidden: partitions of which bars are left out; hidden_lines, hidden_bars: how many
    partitions and how many bars are not drawn.
    """

    row: Row
    log: int
    number: int
    lines: list[Line] = field(default_factory=list)
    marks: list[Row] = field(default_factory=list)
    story: Story = field(default_factory=Story)
    bars: list[tuple[str, int, Bar]] = field(default_factory=list)
    hidden: list[tuple[str, int, Hidden]] = field(default_factory=list)
    hidden_lines: int = 0
    hidden_bars: int = 0


@dataclass(frozen=True, slots=True)
class Log:
    """One log. spans: ranges of offsets that the evidence does not show whole. exported: it does not tell that.

    read: it is an offsets log.
    """

    spans: tuple[Span, ...] = ()
    exported: bool = False
    read: bool = False

    @property
    def complete(self) -> bool:
        return not self.spans and not self.exported


@dataclass(slots=True)
class Problems:
    """Problems as they are reported: all are counted, the first are kept."""

    most: int = 1000
    count: int = 0
    by_kind: dict[str, int] = field(default_factory=dict)
    first: list[Problem] = field(default_factory=list)

    def add(self, problem: Problem) -> None:
        self.count += 1
        self.by_kind[problem.kind] = self.by_kind.get(problem.kind, 0) + 1
        if len(self.first) < self.most:
            self.first.append(problem)


@dataclass(frozen=True, slots=True)
class Seen:
    """All of a report on a request. known, names: options of `offdecode explain`, which hold here too.

    checks: as of `offdecode check`, None where the input is exported records; brokers: by data directory; groups:
    notable ones first; group_count: all that there are; transactions: without an end, those that hold back most first;
    marks: by kind, how many there were and are kept; resolution_ms: points of a line within so many milliseconds are
    reduced to four; untimed: commits without a time; rows, bytes: that were read.
    """

    request: Request
    title: str | None
    known: ExplainOptions
    names: TopicIds
    checks: list[Row] | None
    brokers: dict[str, int]
    logs: list[Log]
    bars: Bars
    groups: list[Group]
    group_count: int
    transactions: list[Row]
    transaction_count: int
    problems: Problems
    marks: dict[str, Sparse]
    resolution_ms: int
    untimed: int
    rows: int
    bytes: int
