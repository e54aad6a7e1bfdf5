"""The Python API: the rows of an offsets log as Arrow record batches and tables."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from offdecode.errors import UsageError
from offdecode.model import Problem
from offdecode.pipeline import Request, decode
from offdecode.schemas.registry import DEFAULT_ROW_TYPE
from offdecode.schemas.rows import RowOptions, row_type, row_type_names
from offdecode.sinks.parquet import within_calendar
from offdecode.sources.segments import OFFSETS_TOPIC

PathLike = str | os.PathLike[str]
OnProblem = Callable[[Problem], None]


class ProblemWarning(UserWarning):
    """Something in the log could not be read; the text says what and where."""


def read(
    path: PathLike | Sequence[PathLike],
    *,
    types: Sequence[str] | None = None,
    groups: Sequence[str] = (),
    topics: Sequence[str] = (),
    partitions: Sequence[int] = (),
    log_partitions: Sequence[int] = (),
    since: int | None = None,
    until: int | None = None,
    with_batch: bool = False,
    topic_name: str = OFFSETS_TOPIC,
    as_log_partition: int | None = None,
    on_problem: OnProblem | None = None,
) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Read an offsets log: yields (row type, record batch) with the columns that `offdecode schema` lists.

    path: a segment, a partition's directory, a data directory, or several of them. types: row types wanted
    (default all). groups, topics, partitions: exact values wanted; markers pass. since, until: log timestamps
    in milliseconds since 1970 UTC, both included. on_problem is called with each Problem; without it each
    becomes a ProblemWarning.

    Within a row type, rows come in the order of the log. Times outside the years 1 to 9999 are null, with a
    problem. Raises SourceError where there is no offsets log, UsageError for a row type that does not exist.
    """
    paths = (path,) if isinstance(path, (str, os.PathLike)) else path
    request = Request(
        paths=tuple(Path(item) for item in paths),
        topic_name=topic_name,
        as_log_partition=as_log_partition,
        log_partitions=tuple(log_partitions),
        row_types=None if types is None else tuple(checked_row_type(name) for name in types),
        groups=tuple(groups),
        topics=tuple(topics),
        partitions=tuple(partitions),
        since=since,
        until=until,
        options=RowOptions(with_batch=with_batch),
    )
    report = _warn if on_problem is None else on_problem
    return _batches(request, report)


def _batches(request: Request, report: OnProblem) -> Iterator[tuple[str, pa.RecordBatch]]:
    for chunk in decode(request, report):
        for name, batch in chunk:
            stored, problems = within_calendar(name, batch)
            for problem in problems:
                report(problem)
            yield name, stored


def read_table(
    path: PathLike | Sequence[PathLike],
    type: str = DEFAULT_ROW_TYPE,
    *,
    groups: Sequence[str] = (),
    topics: Sequence[str] = (),
    partitions: Sequence[int] = (),
    log_partitions: Sequence[int] = (),
    since: int | None = None,
    until: int | None = None,
    with_batch: bool = False,
    topic_name: str = OFFSETS_TOPIC,
    as_log_partition: int | None = None,
    on_problem: OnProblem | None = None,
) -> pa.Table:
    """All rows of one type as a table; `.to_pandas()` is one call away. Arguments and errors as of `read`."""
    batches = read(
        path,
        types=[type],
        groups=groups,
        topics=topics,
        partitions=partitions,
        log_partitions=log_partitions,
        since=since,
        until=until,
        with_batch=with_batch,
        topic_name=topic_name,
        as_log_partition=as_log_partition,
        on_problem=on_problem,
    )
    schema = row_type(type, RowOptions(with_batch=with_batch)).arrow_schema
    return pa.Table.from_batches([batch for _, batch in batches], schema).unify_dictionaries()


def checked_row_type(name: str, among: Sequence[str] = row_type_names()) -> str:
    """The name of a row type; UsageError where there is none of that name."""
    if name not in among:
        raise UsageError(f"there is no row type {name!r}; the row types are {', '.join(among)}")
    return name


def _warn(problem: Problem) -> None:
    place = "" if problem.position is None else f" at byte {problem.position}"
    warnings.warn(f"{problem.source}{place}: {problem.message}", ProblemWarning, stacklevel=4)
