"""Options that commands share, and the values that they take."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])
Option = Callable[[Callable[..., Any]], Callable[..., Any]]


_LARGEST_INT32 = (1 << 31) - 1  # not offdecode.model's: that imports what takes time
_LARGEST_INT64 = (1 << 63) - 1
_MOST_DIGITS = 20


class Time(click.ParamType[int]):
    """A moment: RFC 3339, or milliseconds since 1970 UTC. Text without an offset is UTC."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        if number := re.fullmatch(r"(-?)0*(\d+)", value):
            found = int(number[1] + number[2][:_MOST_DIGITS])
            return max(-_LARGEST_INT64, min(found, _LARGEST_INT64))  # no record is beyond
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is neither RFC 3339 (2026-11-23T14:03:00Z) nor milliseconds since 1970", param, ctx)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return round((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1000)


class LogPlace(click.ParamType[tuple[int, int]]):
    """A place in the offsets topic: PARTITION:OFFSET."""

    name = "place"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        match = re.fullmatch(r"(\d{1,10}):(\d{1,19})", value)
        if match is None:
            self.fail(f"{value!r} is no place in the offsets topic: PARTITION:OFFSET, as 17:123456", param, ctx)
        return int(match[1]), int(match[2])


class Pattern(click.ParamType[str]):
    """A regular expression."""

    name = "regex"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            re.compile(value)
        except re.error as error:
            self.fail(f"{value!r} is not a regular expression: {error}", param, ctx)
        return str(value)


def _all(*options: Option) -> Callable[[F], F]:
    def decorate(function: F) -> F:
        for option in reversed(options):
            option(function)  # notes itself on the function
        return function

    return decorate


log_partition_option = click.option(
    "--log-partition", "log_partitions", metavar="N", type=click.IntRange(0, _LARGEST_INT32), multiple=True,
    help="Only this partition of the offsets topic; repeatable.",
)  # fmt: skip


def source_options(function: F) -> F:
    """Where the log is."""
    return _all(
        click.argument("paths", metavar="PATH...", nargs=-1, required=True,
                       type=click.Path(path_type=Path, allow_dash=True)),
        click.option("--input-format", type=click.Choice(["segments", "records-jsonl"]), default="segments",
                     show_default=True, help="records-jsonl: PATH (or -) holds exported records, a JSON object a "
                     "line with key_hex or key_base64, value_hex or value_base64, partition, offset, timestamp."),
        click.option("--topic-name", metavar="TOPIC", default="__consumer_offsets", show_default=True,
                     help="Name of the offsets topic in a data directory, for copies under another name."),
        click.option("--as-log-partition", metavar="N", type=click.IntRange(0, _LARGEST_INT32),
                     help="Partition of segments that lie in no directory named TOPIC-N."),
        log_partition_option,
    )(function)


_GROUPS: tuple[Option, ...] = (
    click.option("--group", "groups", metavar="GROUP", multiple=True,
                 help="Only rows of this group, named exactly; repeatable. Markers pass every key filter."),
    click.option("--group-regex", metavar="REGEX", type=Pattern(),
                 help="Only rows of groups in whose id this regular expression is found."),
)
_COMMITS: tuple[Option, ...] = (
    click.option("--topic", "topics", metavar="TOPIC", multiple=True,
                 help="Only commits for this topic; repeatable."),
    click.option("--partition", "partitions", metavar="N", type=int, multiple=True,
                 help="Only commits for this partition of their topic; repeatable."),
)
_TIMES: tuple[Option, ...] = (
    click.option("--since", metavar="TIME", type=Time(),
                 help="Only records from this time on: RFC 3339, or milliseconds since 1970 UTC."),
    click.option("--until", metavar="TIME", type=Time(), help="Only records up to this time."),
)


def row_options(function: F) -> F:
    """Which rows are wanted."""
    return _all(
        click.option("--type", "row_types", metavar="TYPE", multiple=True,
                     help="Only rows of this type (see `offdecode schema`); repeatable."),
        *_GROUPS,
        *_COMMITS,
        *_TIMES,
        click.option("--from-offset", "first_offset", metavar="OFFSET", type=int,
                     help="Only records from this log offset on."),
        click.option("--to-offset", "last_offset", metavar="OFFSET", type=int,
                     help="Only records up to this log offset."),
    )(function)


def group_options(function: F) -> F:
    """Which groups, and which time of them, an answer is about."""
    return _all(*_GROUPS, *_TIMES)(function)


def key_options(function: F) -> F:
    """Which groups, topics and partitions an answer is about."""
    return _all(*_GROUPS, *_COMMITS)(function)


def topic_ids_option(function: F) -> F:
    """Names of topics that records name by id."""
    return _all(
        click.option("--topic-ids", "topic_ids", metavar="FILE", type=click.Path(path_type=Path),
                     help="Names of topic ids, a line `ID NAME` each, or what kafka-topics.sh --describe prints."),
    )(function)


def commit_options(function: F) -> F:
    """Which groups, topics, partitions and times an answer is about."""
    return _all(*_GROUPS, *_COMMITS, *_TIMES)(function)


_OUTPUT: tuple[Option, ...] = (
    click.option("-o", "--output", metavar="PATH", type=click.Path(path_type=Path),
                 help="Write rows to PATH: a file, or for Parquet a directory. Default: stdout."),
)
_FORMAT = "Default: parquet where -o is a directory or ends in .parquet, else jsonl."
_TIMESTAMPS: tuple[Option, ...] = (
    click.option("--timestamps", type=click.Choice(["ms", "iso"]), default="ms", show_default=True,
                 help="Times in JSON as stored milliseconds, or as RFC 3339 text."),
)
_PROBLEMS: tuple[Option, ...] = (
    click.option("--problems", "problems_file", metavar="FILE", type=click.Path(path_type=Path),
                 help="Write problems to FILE, as JSON lines. Default: stderr."),
    click.option("--strict", is_flag=True, help="Stop with status 2 at the first problem; no file appears."),
    click.option("--engine", type=click.Choice(["auto", "reference"]), default="auto", show_default=True,
                 help="auto reads in vectors and leaves doubtful records to the reference engine."),
)
_STATS: tuple[Option, ...] = (
    click.option("--stats", "show_stats", is_flag=True,
                 help="Print counts by type, version and codec, and rates, to stderr at the end."),
)
_ROWS: tuple[Option, ...] = (
    *_OUTPUT,
    click.option("--format", "output_format", type=click.Choice(["jsonl", "parquet"]), help=_FORMAT),
    *_TIMESTAMPS,
    click.option("--with-batch", is_flag=True, help="Add the columns of the record's batch."),
    click.option("--raw", is_flag=True, help="Add key_hex and value_hex, the record's own bytes."),
    click.option("--include-bad-crc", is_flag=True,
                 help="Decode batches with a wrong checksum too; every row then says crc_valid."),
    *_PROBLEMS,
)


def output_options(function: F) -> F:
    """Where rows and problems go, how they look, and how many processes share the work."""
    return _all(
        *_ROWS,
        click.option("--with-generation", is_flag=True,
                     help="Add to offset commits the group's generation and the member that held the partition then."),
        click.option("-j", "--jobs", metavar="N", type=click.IntRange(1),
                     help="Processes that share the work; the output is the same for any N. Default: all cores."),
        *_STATS,
    )(function)


def live_output_options(function: F) -> F:
    """The same for rows that come as they are made: one process keeps up with them."""
    return _all(*_ROWS, *_STATS)(function)


def answer_options(*formats: str) -> Callable[[F], F]:
    """Where the rows of an answer and the problems go. formats: those beside jsonl and parquet."""
    choice = click.Choice(["jsonl", "parquet", *formats])
    return _all(
        *_OUTPUT,
        click.option("--format", "output_format", type=choice, help=_FORMAT),
        *_TIMESTAMPS,
        *_PROBLEMS,
        *_STATS,
    )
