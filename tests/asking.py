"""Questions as tests ask them: a request in one line, and the chunks of each answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from offdecode.model import DecodedChunk, Problem
from offdecode.option_values import from_values
from offdecode.options import (
    ExplainOptions,
    Filter,
    GenerationOptions,
    Reading,
    Source,
    StateOptions,
    TopicIds,
    TransactionOptions,
)
from offdecode.questions import decode as rows
from offdecode.questions import explain as movements
from offdecode.questions import generations as groups
from offdecode.questions import state as states
from offdecode.questions import transactions as producers
from offdecode.request import Request, Stats
from offdecode.run import Run
from offdecode.schemas.rows import DEFAULT_OPTIONS, RowOptions

Report = Callable[[Problem], None]


def a_request(*paths: Path, columns: RowOptions = DEFAULT_OPTIONS, **options: Any) -> Request:
    """A request for these paths, with options of Source, Filter and Reading by their names."""
    source = from_values(Source, options | {"paths": paths})
    wanted, reading = from_values(Filter, options), from_values(Reading, options)
    return Request(source, wanted, columns, reading)


def no_problem(problem: Problem) -> None:
    raise AssertionError(problem)


def decode(request: Request, report: Report = no_problem, stats: Stats | None = None) -> Iterator[DecodedChunk]:
    return rows.decode(Run(request, report, stats))


def explain(request: Request, report: Report = no_problem, minutes: int | None = None) -> Iterator[DecodedChunk]:
    return movements.explain(Run(request, report), ExplainOptions(offsets_retention_minutes=minutes), TopicIds())


def generations(request: Request, report: Report = no_problem, *, summary: bool = False) -> Iterator[DecodedChunk]:
    return groups.generations(Run(request, report), GenerationOptions(summary), TopicIds())


def state(request: Request, report: Report = no_problem, **asked: Any) -> Iterator[DecodedChunk]:
    return states.state(Run(request, report), StateOptions(**asked), TopicIds())


def transactions(request: Request, report: Report = no_problem, *, only_open: bool = False) -> Iterator[DecodedChunk]:
    return producers.transactions(Run(request, report), TransactionOptions(only_open))
