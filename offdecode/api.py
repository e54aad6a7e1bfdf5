"""The Python API: every question of the command line, its rows as Arrow data.

Options have the names and values of the command line's (`offdecode.options` declares them for both): where the log
is, which rows are wanted. Times may be milliseconds since 1970 UTC, RFC 3339 text or a datetime.
"""

from __future__ import annotations

import functools
import inspect
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import Field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

import pyarrow as pa

from offdecode.errors import OffdecodeError, SourceError, UsageError
from offdecode.model import DecodedChunk, Problem
from offdecode.option_values import from_values
from offdecode.options import (
    COMMITS,
    EACH_LOG,
    GROUPS,
    OFFSETS_TOPIC,
    ROWS,
    TIMES,
    CarveOptions,
    CheckOptions,
    Columns,
    ExplainOptions,
    Filter,
    GenerationOptions,
    GrowthOptions,
    LagOptions,
    MovementOptions,
    Option,
    OverviewOptions,
    PathLike,
    Reading,
    ReportOptions,
    Source,
    StateOptions,
    TopicIds,
    TransactionOptions,
    options_of,
)
from offdecode.pieces import MOST_BYTES, Cut, Piece, pieces_of
from offdecode.questions.check import ContainerCheck, Leftover, PartitionCheck, Unused
from offdecode.questions.names import missing_names
from offdecode.reporting.document import Page
from offdecode.request import Request, checked_row_type, row_request
from offdecode.run import Run
from offdecode.schemas.growth_rows import GROWTH_ROW_TYPES
from offdecode.schemas.history_rows import (
    GENERATION_ROW,
    GENERATION_SUMMARY_ROW,
    GROUP_OVERVIEW_ROW,
    HIDDEN_RANGE_ROW,
    MOVEMENT_ROW,
)
from offdecode.schemas.registry import DEFAULT_ROW_TYPE
from offdecode.schemas.rows import DEFAULT_OPTIONS, row_type, row_type_names
from offdecode.schemas.state_rows import LAG_ROW, STATE_ROW_TYPES, TRANSACTION_ROW
from offdecode.sinks.parquet import within_calendar

__all__ = [
    "Answer",
    "OffdecodeError",
    "Page",
    "Problem",
    "ProblemWarning",
    "SourceError",
    "UsageError",
    "carve",
    "check",
    "decode",
    "explain",
    "generations",
    "groups",
    "growth",
    "lag",
    "read",
    "read_table",
    "report",
    "state",
    "transactions",
]

Paths = PathLike | Sequence[PathLike]
OnProblem = Callable[[Problem], None]
Question = Callable[[Run], Iterator[DecodedChunk]]
F = TypeVar("F", bound=Callable[..., Any])

TAKEN: dict[str, list[tuple[Field[Any], Option]]] = {}  # by function: the options that it takes


class ProblemWarning(UserWarning):
    """Something in the log could not be read; the text says what and where."""


class Answer:
    """The rows that answer a question. The log is read when they are asked for, each time anew.

    row_types: the types of rows that there may be. on_problem: is called with each Problem. cut: where it may be cut
    into pieces. piece: which part of the logs is read, None = all of them. Iterating gives (row type,
    pyarrow.RecordBatch), within a row type in the order of the log. Times outside the years 1 to 9999 are null, with a
    problem. Names that were asked for and were not met are looked for in all of the evidence once more; those that are
    not there become UserWarnings. Raises SourceError where there is no offsets log.
    """

    def __init__(
        self, request: Request, question: Question, row_types: Sequence[str], on_problem: OnProblem | None,
        cut: Cut, piece: Piece | None = None,
    ) -> None:  # fmt: skip
        self.row_types = tuple(row_types)
        self._request = request
        self._question = question
        self.on_problem = _warn if on_problem is None else on_problem
        self._cut = cut
        self.piece = piece

    def pieces(self, most_bytes: int = MOST_BYTES, *, alone: bool = False) -> list[Answer]:
        """The answer in pieces for as many processes, on this machine or on others that see the same paths.

        Each is an Answer, which pickle takes if it takes `on_problem`. Together they have the rows and problems of the
        whole: decoded rows in their order, cut into ranges of at most so many bytes of segments; the rest is cut into
        partitions of the offsets topic. Where partitions tell of each other there is one piece: `explain` (a topic is
        deleted in all), `transactions` and `state` without a moment (ages count from the latest record of all) and
        `groups` with `idle_for`. alone: cut these too; each partition then is asked as if it were the only one.

        Raises UsageError for standard input, SourceError where there are no logs.
        """
        if self.piece is not None:
            return [self]
        cut = Cut.LOGS if alone and self._cut is Cut.NOT else self._cut
        return [
            Answer(self._request, self._question, self.row_types, self.on_problem, cut, piece)
            for piece in pieces_of(self._request, cut, most_bytes)
        ]

    def __iter__(self) -> Iterator[tuple[str, pa.RecordBatch]]:
        return self._of(self._run())

    def _run(self) -> Run:
        evidence = None if self.piece is None else self.piece.evidence(self._request)
        return Run(self._request, self.on_problem, evidence=evidence)

    def _of(self, run: Run) -> Iterator[tuple[str, pa.RecordBatch]]:
        for chunk in self._question(run):
            for name, batch in chunk:
                stored, problems = within_calendar(name, batch)
                for problem in problems:
                    self.on_problem(problem)
                yield name, stored
        for missing in missing_names(run) if self.piece is None else ():
            warnings.warn(missing.words(repr), stacklevel=_callers_level())

    def rows(self) -> Iterator[dict[str, Any]]:
        """Every row as a dictionary with its type, times as datetime. Rows of a chunk come type by type."""
        for name, batch in self:
            for row in batch.to_pylist():
                yield {"type": name, **row}

    def reader(self, row_type_name: str | None = None) -> pa.RecordBatchReader:
        """The rows of one type as a stream, as DuckDB, polars and others take it. Default: the only type there is."""
        name = self._one_type(row_type_name)
        run = self._run()
        schema = _schema(run, name)
        return pa.RecordBatchReader.from_batches(schema, self._batches(run, name, schema))

    def table(self, row_type_name: str | None = None) -> pa.Table:
        """All rows of one type; `.to_pandas()` is one call away. Default: the only type there is."""
        return self.tables()[self._one_type(row_type_name)]

    def tables(self) -> dict[str, pa.Table]:
        """All rows, a table for each row type."""
        found: dict[str, list[pa.RecordBatch]] = {name: [] for name in self.row_types}
        run = self._run()
        for name, batch in self._of(run):
            if name in found:
                found[name].append(batch)
        return {
            name: pa.Table.from_batches(batches, _schema(run, name)).unify_dictionaries()
            for name, batches in found.items()
        }

    def schema(self, row_type_name: str | None = None) -> pa.Schema:
        """The schema of the table of one type. Default: the only type there is."""
        return _schema(self._run(), self._one_type(row_type_name))

    def _batches(self, run: Run, name: str, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        for found, batch in self._of(run):
            if found == name:
                yield batch.select(schema.names)

    def _one_type(self, name: str | None) -> str:
        if name is not None:
            return checked_row_type(name, self.row_types)
        if len(self.row_types) == 1:
            return self.row_types[0]
        raise UsageError(f"which row type? There are {', '.join(self.row_types)}")


def _schema(run: Run, name: str) -> pa.Schema:
    options = run.request.columns if name in row_type_names() else DEFAULT_OPTIONS
    return row_type(name, options).arrow_schema


def _takes(*groups: tuple[type, tuple[str, ...] | None]) -> Callable[[F], F]:
    """Let a function take these options only, and say so in its signature and documentation."""
    every = [(item, option) for group, names in groups for item, option in options_of(group, names)]

    def decorate(function: F) -> F:
        TAKEN[function.__name__] = every
        own = [
            parameter for parameter in inspect.signature(function).parameters.values()
            if parameter.kind is not inspect.Parameter.VAR_KEYWORD
        ]  # fmt: skip
        own += [
            inspect.Parameter(item.name, inspect.Parameter.KEYWORD_ONLY, default=item.default, annotation=item.type)
            for item, _ in every
        ]
        lines = [f"    {item.name}: {_plain(option.help)}" for item, option in every]
        taken = sorted(item.name for item, _ in every)
        known = {*taken, *(parameter.name for parameter in own)}

        @functools.wraps(function)
        def checked(*path: Any, **options: Any) -> Any:
            if "paths" in options:
                raise UsageError("the paths come first, without a name")
            if strange := options.keys() - known:
                raise UsageError(f"there is no option {min(strange)!r}; the options are {', '.join(taken)}")
            return function(*path, **options)

        checked.__signature__ = inspect.Signature(own)  # type: ignore[attr-defined]
        checked.__doc__ = "\n".join((inspect.cleandoc(function.__doc__ or ""), "", "Options:", *lines))
        return cast(F, checked)

    return decorate


def _plain(text: str) -> str:
    return text.replace("; repeatable", "")


_SOURCE = (Source, None)
_READING = (Reading, None)


@_takes(_SOURCE, (Filter, ROWS), (Columns, None), _READING)
def decode(path: Paths, *, on_problem: OnProblem | None = None, **options: Any) -> Answer:
    """The rows of an offsets log, as they were written; with `with_generation` also who held the partition then.

    Args:
        path: a segment, a partition's directory, a data directory, an archive, a URL, or several of them.
        on_problem: is called with each Problem; without it each becomes a ProblemWarning.
        **options: of the command line, listed below.

    Returns:
        The rows, which are read when they are asked for.

    Raises:
        UsageError: there is no such option, or it cannot have this value.

    """
    from offdecode.questions.decode import decode as ask

    source, rows, columns, reading = _groups(path, options, Source, Filter, Columns, Reading)
    request = row_request(source, rows, columns, reading)
    cut = Cut.LOGS if columns.with_generation else Cut.ROWS
    return Answer(request, ask, request.rows.row_types or row_type_names(), on_problem, cut)


@_takes(_SOURCE, (StateOptions, None), (Filter, (*GROUPS, *COMMITS)), (TopicIds, None), _READING)
def state(path: Paths, *, on_problem: OnProblem | None = None, **options: Any) -> Answer:
    """Committed and pending offsets and the groups, as of a moment. Path, problems and errors as of `decode`."""
    from offdecode.questions.state import state as ask
    from offdecode.questions.state import state_request

    source, asked, rows, names, reading = _groups(path, options, Source, StateOptions, Filter, TopicIds, Reading)
    request = state_request(source, asked, rows, reading)
    cut = Cut.NOT if asked.as_of is None else Cut.LOGS
    return Answer(request, partial(ask, asked=asked, names=names), asked.types or STATE_ROW_TYPES, on_problem, cut)


@_takes(_SOURCE, (Filter, (*GROUPS, *TIMES)), (GenerationOptions, None), (TopicIds, None), _READING)
def generations(path: Paths, *, on_problem: OnProblem | None = None, **options: Any) -> Answer:
    """The generations or epochs of groups, what changed with each. Path, problems and errors as of `decode`."""
    from offdecode.questions.generations import generations as ask

    source, rows, asked, names, reading = _groups(path, options, Source, Filter, GenerationOptions, TopicIds, Reading)
    name = GENERATION_SUMMARY_ROW if asked.summary else GENERATION_ROW
    request = Request(source, rows, reading=reading)
    return Answer(request, partial(ask, asked=asked, names=names), (name,), on_problem, Cut.LOGS)


@_takes(
    _SOURCE, (Filter, (*GROUPS, *COMMITS, *TIMES)), (MovementOptions, None), (ExplainOptions, None), (TopicIds, None),
    _READING,
)  # fmt: skip
def explain(path: Paths, *, on_problem: OnProblem | None = None, **options: Any) -> Answer:
    """How each committed offset moved, and what speaks for why. Path, problems and errors as of `decode`."""
    from offdecode.questions.explain import explain as ask

    kinds = (Source, Filter, MovementOptions, ExplainOptions, TopicIds, Reading)
    source, rows, chosen, asked, names, reading = _groups(path, options, *kinds)
    types = (MOVEMENT_ROW, HIDDEN_RANGE_ROW)
    request = Request(source, rows, reading=reading)
    return Answer(request, partial(ask, asked=asked, names=names, chosen=chosen), types, on_problem, Cut.NOT)


@_takes(
    _SOURCE, (Filter, (*GROUPS, "until")), (OverviewOptions, None), (ExplainOptions, None), (TopicIds, None), _READING
)
def groups(path: Paths, *, on_problem: OnProblem | None = None, **options: Any) -> Answer:
    """Every group at a glance, and what is worth a look. Path, problems and errors as of `decode`."""
    from offdecode.questions.groups import groups as ask

    kinds = (Source, Filter, OverviewOptions, ExplainOptions, TopicIds, Reading)
    source, rows, asked, known, names, reading = _groups(path, options, *kinds)
    request = Request(source, rows, reading=reading)
    question = partial(ask, asked=asked, known=known, names=names)
    cut = Cut.LOGS if asked.idle_for is None else Cut.NOT
    return Answer(request, question, (GROUP_OVERVIEW_ROW,), on_problem, cut)


@_takes(_SOURCE, (LagOptions, None), (Filter, (*GROUPS, *COMMITS, *TIMES)), _READING)
def lag(path: Paths, *, on_problem: OnProblem | None = None, **options: Any) -> Answer:
    """How far committed offsets are behind the ends of their partitions. Path, problems and errors as of `decode`."""
    from offdecode.questions.lag import lag as ask
    from offdecode.questions.lag import lag_request

    source, asked, rows, reading = _groups(path, options, Source, LagOptions, Filter, Reading)
    return Answer(
        lag_request(source, asked, rows, reading), partial(ask, asked=asked), (LAG_ROW,), on_problem, Cut.LOGS
    )


@_takes((Source, EACH_LOG), (Filter, (*GROUPS, "topics")), (GrowthOptions, None), _READING)
def growth(path: Paths, *, on_problem: OnProblem | None = None, **options: Any) -> Answer:
    """Where the bytes are, and what the log cleaner would leave. Path, problems and errors as of `decode`."""
    from offdecode.questions.growth import growth as ask
    from offdecode.questions.growth import growth_request

    source, rows, asked, reading = _groups(path, options, Source, Filter, GrowthOptions, Reading)
    return Answer(
        growth_request(source, rows, reading), partial(ask, asked=asked), GROWTH_ROW_TYPES, on_problem, Cut.LOGS
    )


@_takes(_SOURCE, (Filter, (*GROUPS, *TIMES)), (TransactionOptions, None), _READING)
def transactions(path: Paths, *, on_problem: OnProblem | None = None, **options: Any) -> Answer:
    """Transactions, and what open ones hold back. Path, problems and errors as of `decode`."""
    from offdecode.questions.transactions import transactions as ask

    source, rows, asked, reading = _groups(path, options, Source, Filter, TransactionOptions, Reading)
    request = Request(source, rows, reading=reading)
    return Answer(request, partial(ask, asked=asked), (TRANSACTION_ROW,), on_problem, Cut.NOT)


@_takes(_SOURCE, (Filter, (*GROUPS, *TIMES)), (ReportOptions, None), (ExplainOptions, None), (TopicIds, None), _READING)
def report(path: Paths, *, on_problem: OnProblem | None = None, **options: Any) -> Page:
    """A page to look at: the history of the groups, and the evidence for it. Problems and errors as of `decode`.

    The log is read at once. Raises SourceError where there is no offsets log.
    """
    from offdecode.reporting.page import chunks
    from offdecode.reporting.walk import report as ask

    kinds = (Source, Filter, ReportOptions, ExplainOptions, TopicIds, Reading)
    source, rows, asked, known, names, reading = _groups(path, options, *kinds)
    run = Run(Request(source, rows, reading=reading), _warn if on_problem is None else on_problem)
    return Page(b"".join(chunks(ask(run, asked, known, names))), source.paths)


@_takes(_SOURCE, (CheckOptions, None))
def check(path: Paths, **options: Any) -> Iterator[PartitionCheck | Leftover | ContainerCheck | Unused]:
    """What evidence there is, whether it is whole, and where not.

    Args:
        path: as of `decode`.
        **options: listed below.

    Returns:
        An object for each partition, leftover file, archive and unused path; `as_dict()` gives what the command line
        prints.

    Raises:
        SourceError: there is no offsets log.

    """
    from offdecode.questions.check import check as ask

    source, asked = _groups(path, options, Source, CheckOptions)
    return ask(Run(Request(source), lambda problem: None), asked)


def carve(
    path: Paths,
    output: PathLike,
    *,
    topic_partitions: int | None = None,
    topic_name: str = OFFSETS_TOPIC,
    on_problem: OnProblem | None = None,
) -> dict[str, Any]:
    """Find batches of the offsets topic in disk images, and write them as segments that every function here reads.

    Args:
        path: an image, file or block device, or several.
        output: a directory that does not exist or is empty.
        topic_partitions: of the offsets topic; None = as the groups that are found tell.
        topic_name: the directories in `output` are named by it.
        on_problem: as of `decode`.

    Returns:
        The summary, as in the first line of `manifest.jsonl`.

    Raises:
        SourceError: an image cannot be opened, or none holds a batch of the offsets topic.
        UsageError: the directory cannot be written.

    """
    from offdecode.questions.carve import carve as ask

    report = _warn if on_problem is None else on_problem
    asked = CarveOptions(topic_partitions)
    return ask(_each(path), Path(output), asked, topic_name, report, lambda read, found: None)


def read(
    path: Paths, *, types: Sequence[str] | None = None, on_problem: OnProblem | None = None, **options: Any
) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Read an offsets log: `iter(decode(...))`.

    Args:
        path: as of `decode`.
        types: row types wanted; None = all.
        on_problem: as of `decode`.
        **options: as of `decode`.

    Returns:
        Pairs of a row type and a record batch, with the columns that `offdecode schema` lists.

    Raises:
        SourceError: there is no offsets log, when the first pair is asked for.
        UsageError: there is no such row type or option.

    """
    return iter(decode(path, row_types=tuple(types or ()), on_problem=on_problem, **options))


def read_table(
    path: Paths, type: str = DEFAULT_ROW_TYPE, *, on_problem: OnProblem | None = None, **options: Any
) -> pa.Table:
    """All rows of one type as a table; `.to_pandas()` is one call away. Arguments and errors as of `decode`."""
    return decode(path, row_types=(type,), on_problem=on_problem, **options).table()


def _groups(path: Paths, options: dict[str, Any], *groups: type) -> list[Any]:
    """The groups of options, from the path and the options as they were given."""
    left = {**options, "paths": _each(path)}
    return [from_values(group, left) for group in groups]


def _each(path: Paths) -> tuple[Path, ...]:
    """The path, or each of several."""
    if path is None:
        raise UsageError("the path is None")
    return tuple(Path(item) for item in ((path,) if isinstance(path, (str, os.PathLike)) else path))


def _warn(problem: Problem) -> None:
    place = "" if problem.position is None else f" at byte {problem.position}"
    warnings.warn(f"{problem.source}{place}: {problem.message}", ProblemWarning, stacklevel=_callers_level())


def _callers_level() -> int:
    """The level of a warning that is about what the user's own code asked for."""
    frame, level, package = sys._getframe(1), 1, os.path.dirname(__file__) + os.sep
    while frame.f_back is not None and frame.f_code.co_filename.startswith(package):
        frame, level = frame.f_back, level + 1
    return level
