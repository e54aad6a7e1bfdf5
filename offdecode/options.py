"""What can be asked for: each option of the command line and the Python API is declared here, once.

A group of options is a dataclass; the field's metadata says how the command line calls it. This module is imported
before `--help` is printed, so it imports nothing that takes time.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import Field, dataclass, field, fields
from enum import Enum
from pathlib import Path
from typing import Any, Literal

OFFSETS_TOPIC = "__consumer_offsets"
PathLike = str | os.PathLike[str]

LARGEST_INT64 = (1 << 63) - 1  # not offdecode.model's: that imports what takes time
_MINUTE_MS = 60_000


class OptionKind(Enum):
    """What an option's value is."""

    FLAG = "flag"
    TEXT = "text"
    INTEGER = "integer"
    PARTITION = "partition"  # an int32 that is not negative
    COUNT = "count"  # a whole number from 0 on
    POSITIVE = "positive"  # a whole number from 1 on
    TIME = "time"  # milliseconds since 1970 UTC
    PLACE = "place"  # (log partition, log offset)
    REGEX = "regex"
    FILE = "file"
    CHOICE = "choice"
    DURATION = "duration"  # milliseconds
    SIZE = "size"  # bytes


@dataclass(frozen=True, slots=True)
class Option:
    """How the command line shows an option. name: what the function that takes it calls it."""

    flags: tuple[str, ...]
    kind: OptionKind
    help: str
    metavar: str | None = None
    choices: tuple[str, ...] = ()
    show_default: bool = False
    repeatable: bool = False


def option(
    *flags: str,
    help: str,
    kind: OptionKind = OptionKind.TEXT,
    metavar: str | None = None,
    choices: tuple[str, ...] = (),
    default: Any = None,
    repeatable: bool = False,
) -> Any:
    """A dataclass field that is an option. A default that is not empty is shown."""
    if repeatable and default is None:
        default = ()
    if kind is OptionKind.FLAG:
        default = False
    shown = default not in (None, (), False)
    return field(default=default, metadata={"option": Option(flags, kind, help, metavar, choices, shown, repeatable)})


@dataclass(frozen=True, slots=True)
class Source:
    """Where the log is."""

    paths: tuple[Path, ...] = ()
    input_format: Literal["segments", "records-jsonl"] = option(
        "--input-format", kind=OptionKind.CHOICE, choices=("segments", "records-jsonl"), default="segments",
        help="records-jsonl: PATH (or -) holds exported records, a JSON object a line with key_hex or key_base64, "
        "value_hex or value_base64, partition, offset, timestamp; or what other tools have printed.",
    )  # fmt: skip
    topic_name: str = option(
        "--topic-name", metavar="TOPIC", default=OFFSETS_TOPIC,
        help="Name of the offsets topic in a data directory, for copies under another name.",
    )  # fmt: skip
    as_log_partition: int | None = option(
        "--as-log-partition", kind=OptionKind.PARTITION, metavar="N",
        help="Partition of segments that lie in no directory named TOPIC-N.",
    )  # fmt: skip
    log_partitions: tuple[int, ...] = option(
        "--log-partition", kind=OptionKind.PARTITION, metavar="N", repeatable=True,
        help="Only this partition of the offsets topic; repeatable.",
    )  # fmt: skip
    leftovers: bool = option(
        "--leftovers", kind=OptionKind.FLAG,
        help="Read what is left over beside logs too, as more copies of them: *.log.deleted, *.log.cleaned, "
        "*.log.swap, directories TOPIC-N.ID-delete, -stray and -future.",
    )  # fmt: skip
    copies_apart: bool = option(
        "--copies-apart", kind=OptionKind.FLAG,
        help="Read copies of a partition (of several brokers, of several days) each as a log of its own, not as one.",
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Filter:
    """Which rows are wanted. Empty and None mean all.

    groups, topics, partitions: a row passes where its field is one of them; group_regex: where it is found in the
    group id. Markers pass all of these. since, until: milliseconds since 1970 UTC, both included; first_offset,
    last_offset: log offsets, both included.
    """

    row_types: tuple[str, ...] = option(
        "--type", metavar="TYPE", repeatable=True,
        help="Only rows of this type (see `offdecode schema`); repeatable.",
    )  # fmt: skip
    groups: tuple[str, ...] = option(
        "--group", metavar="GROUP", repeatable=True,
        help="Only rows of this group, named exactly; repeatable. Markers pass every key filter.",
    )  # fmt: skip
    group_regex: str | None = option(
        "--group-regex", kind=OptionKind.REGEX, metavar="REGEX",
        help="Only rows of groups in whose id this regular expression is found.",
    )  # fmt: skip
    topics: tuple[str, ...] = option(
        "--topic", metavar="TOPIC", repeatable=True, help="Only commits for this topic; repeatable."
    )
    partitions: tuple[int, ...] = option(
        "--partition", kind=OptionKind.INTEGER, metavar="N", repeatable=True,
        help="Only commits for this partition of their topic; repeatable.",
    )  # fmt: skip
    since: int | None = option(
        "--since", kind=OptionKind.TIME, metavar="TIME",
        help="Only records from this time on: RFC 3339, or milliseconds since 1970 UTC.",
    )  # fmt: skip
    until: int | None = option("--until", kind=OptionKind.TIME, metavar="TIME", help="Only records up to this time.")
    first_offset: int | None = option(
        "--from-offset", kind=OptionKind.INTEGER, metavar="OFFSET", help="Only records from this log offset on."
    )
    last_offset: int | None = option(
        "--to-offset", kind=OptionKind.INTEGER, metavar="OFFSET", help="Only records up to this log offset."
    )


ALL_ROWS = Filter()

# The parts of a filter that go together.
GROUPS = ("groups", "group_regex")
COMMITS = ("topics", "partitions")
TIMES = ("since", "until")
OFFSETS = ("first_offset", "last_offset")
EACH_LOG = ("input_format", "topic_name", "as_log_partition", "log_partitions", "leftovers")  # of a Source
ROWS = ("row_types", *GROUPS, *COMMITS, *TIMES, *OFFSETS)


@dataclass(frozen=True, slots=True)
class Reading:
    """How the log is read. chunk_bytes: how much at once; 0 = as fits its size."""

    engine: Literal["auto", "reference"] = option(
        "--engine", kind=OptionKind.CHOICE, choices=("auto", "reference"), default="auto",
        help="auto reads in vectors and leaves doubtful records to the reference engine.",
    )  # fmt: skip
    chunk_bytes: int = 0


DEFAULT_READING = Reading()


@dataclass(frozen=True, slots=True)
class Columns:
    """What rows say beside the default."""

    with_batch: bool = option("--with-batch", kind=OptionKind.FLAG, help="Add the columns of the record's batch.")
    raw: bool = option("--raw", kind=OptionKind.FLAG, help="Add key_hex and value_hex, the record's own bytes.")
    include_bad_crc: bool = option(
        "--include-bad-crc", kind=OptionKind.FLAG,
        help="Decode batches with a wrong checksum too; every row then says crc_valid.",
    )  # fmt: skip
    with_generation: bool = option(
        "--with-generation", kind=OptionKind.FLAG,
        help="Add to offset commits the group's generation and the member that held the partition then.",
    )  # fmt: skip
    with_transactional_id: bool = option(
        "--with-transactional-id", kind=OptionKind.FLAG,
        help="Add the producer's transactional.id, where __transaction_state lies beside the log and tells it.",
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class TopicIds:
    """Names of topics that records name by id."""

    topic_ids: Path | None = option(
        "--topic-ids", kind=OptionKind.FILE, metavar="FILE",
        help="Names of topic ids, a line `ID NAME` each, or what kafka-topics.sh --describe prints.",
    )  # fmt: skip


_COORDINATOR = option(
    "--coordinator", kind=OptionKind.CHOICE, choices=("new", "old-live", "old-load"), default="new",
    help="Whose rules hold for offsets deleted while a transaction was open: the new coordinator's, the old one's "
    "while it ran, or the old one's that loaded the log.",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class StateOptions:
    """The moment that is asked about. types: row types; () = all."""

    as_of: int | None = option(
        "--as-of", kind=OptionKind.TIME, metavar="TIME",
        help="The state at this time, end included: RFC 3339, or milliseconds since 1970 UTC. Default: where the "
        "log ends.",
    )  # fmt: skip
    as_of_offset: tuple[int, int] | None = option(
        "--as-of-offset", kind=OptionKind.PLACE, metavar="PARTITION:OFFSET",
        help="The state of one partition of the offsets topic after the record at this offset.",
    )  # fmt: skip
    coordinator: Literal["new", "old-live", "old-load"] = _COORDINATOR
    types: tuple[str, ...] = option(
        "--type", metavar="TYPE", repeatable=True,
        help="Only rows of this type: group, committed_offset or pending_offset; repeatable.",
    )  # fmt: skip
    with_lag: bool = option(
        "--with-lag", kind=OptionKind.FLAG,
        help="Add to committed offsets how far they were behind their partition, as `offdecode lag` tells it.",
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class LagOptions:
    """The moments that are asked about."""

    as_of: int | None = option(
        "--as-of", kind=OptionKind.TIME, metavar="TIME",
        help="The lag at this time: RFC 3339, or milliseconds since 1970 UTC. Default: where the evidence ends.",
    )  # fmt: skip
    every: int | None = option(
        "--every", kind=OptionKind.DURATION, metavar="DURATION",
        help="The lag at each multiple of this, from the first commit, or --since, to the last record, or --until: "
        "1m, 6h.",
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class GenerationOptions:
    """What is told of generations."""

    summary: bool = option(
        "--summary", kind=OptionKind.FLAG, help="One row per group: rebalances per hour, churn, longest stable time."
    )


@dataclass(frozen=True, slots=True)
class CheckOptions:
    """What is asked beside the state of the evidence."""

    for_broker: str | None = option(
        "--for-broker", metavar="RELEASE",
        help="Tell which records this release of Kafka (2.8 to 4.4) would refuse, skip or misread if it loaded the "
        "log: before a downgrade or a restore.",
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class CarveOptions:
    """What is known of what is looked for."""

    topic_partitions: int | None = option(
        "--topic-partitions", kind=OptionKind.POSITIVE, metavar="N",
        help="Partitions of the offsets topic (offsets.topic.num.partitions). Default: as the groups that lie "
        "together tell.",
    )  # fmt: skip


_SORTABLE = (
    "group", "group_type", "state", "members", "most_members", "topics", "partitions", "offsets", "first_commit",
    "last_commit", "last_record", "commits", "commits_per_hour", "unmoved_share", "generations",
    "generations_per_hour", "most_generations_an_hour", "rewinds", "reset_likes", "jumps", "aborted", "pending",
    "overtaken", "expires", "records", "bytes",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class OverviewOptions:
    """Which groups are listed, and in which order."""

    notable: bool = option(
        "--notable", kind=OptionKind.FLAG,
        help="Only groups with something to explain, those with the most kinds of it first.",
    )  # fmt: skip
    idle_for: int | None = option(
        "--idle-for", kind=OptionKind.DURATION, metavar="DURATION",
        help="Only groups without a record for so long before the end of the evidence: 90s, 30m, 12h, 7d.",
    )  # fmt: skip
    sort: str | None = option(
        "--sort", kind=OptionKind.CHOICE, metavar="COLUMN", choices=_SORTABLE,
        help="Sort by this column, the largest and latest first, texts by the alphabet. Default: group.",
    )  # fmt: skip


_DIMENSIONS = ("group", "topic", "type", "hour")


@dataclass(frozen=True, slots=True)
class GrowthOptions:
    """What bytes are summed up by."""

    by: tuple[str, ...] = option(
        "--by", kind=OptionKind.CHOICE, choices=_DIMENSIONS, repeatable=True,
        help="Sum up by this; repeatable. Default: by group.",
    )  # fmt: skip

    @property
    def dimensions(self) -> tuple[str, ...]:
        """What there is a row for, each once."""
        return tuple(one for one in _DIMENSIONS if one in (self.by or ("group",)))


@dataclass(frozen=True, slots=True)
class ExplainOptions:
    """What is known of the broker."""

    coordinator: Literal["new", "old-live", "old-load"] = _COORDINATOR

    offsets_retention_minutes: int | None = option(
        "--offsets-retention-minutes", kind=OptionKind.COUNT, metavar="N",
        help="The broker's offsets.retention.minutes: an offset that was gone earlier did not expire. Default: 10080, "
        "which is assumed and excludes nothing.",
    )  # fmt: skip

    @property
    def retention_ms(self) -> int | None:
        """The same in milliseconds, as far as 64 bits hold it."""
        minutes = self.offsets_retention_minutes
        return None if minutes is None else min(minutes * _MINUTE_MS, LARGEST_INT64)


_KINDS = (
    "first", "advance", "repeat", "rewind", "jump", "tombstone", "reset_like", "aborted", "pending", "overtaken",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class MovementOptions:
    """Which movements are told."""

    kinds: tuple[str, ...] = option(
        "--kind", kind=OptionKind.CHOICE, choices=_KINDS, repeatable=True,
        help="Only movements of this kind; repeatable.",
    )  # fmt: skip
    notable: bool = option(
        "--notable", kind=OptionKind.FLAG, help="Leave out plain progress: first, advance and repeat."
    )


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """What the page is."""

    title: str | None = option("--title", metavar="TEXT", help="What the page is called. Default: the paths.")


@dataclass(frozen=True, slots=True)
class TransactionOptions:
    """Which transactions are told."""

    only_open: bool = option(
        "--open", kind=OptionKind.FLAG, help="Only transactions that are open, or whose end is lost."
    )
    statuses: tuple[str, ...] = option(
        "--status", kind=OptionKind.CHOICE, choices=("committed", "aborted", "open", "unknown"), repeatable=True,
        help="Only transactions of this status; repeatable.",
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Output:
    """Where rows and problems go, on the command line. jobs: processes that share the work, None = all cores."""

    path: Path | None = option(
        "-o", "--output", kind=OptionKind.FILE, metavar="PATH",
        help="Write rows to PATH: a file, or for Parquet a directory. Default: stdout.",
    )  # fmt: skip
    format: str | None = option(
        "--format", kind=OptionKind.CHOICE, choices=("jsonl", "parquet", "csv", "table"),
        help="How rows are written. Default: parquet where -o is a directory or ends in .parquet, csv where it ends in "
        ".csv, else jsonl.",
    )  # fmt: skip
    timestamps: Literal["ms", "iso", "local"] = option(
        "--timestamps", kind=OptionKind.CHOICE, choices=("ms", "iso", "local"), default="ms",
        help="Times in JSON as stored milliseconds, or as RFC 3339 text in UTC or in local time, which texts and "
        "tables then have too.",
    )  # fmt: skip
    problems_file: Path | None = option(
        "--problems", kind=OptionKind.FILE, metavar="FILE",
        help="Write problems to FILE, as JSON lines. Default: stderr.",
    )  # fmt: skip
    strict: bool = option(
        "--strict", kind=OptionKind.FLAG, help="Stop with status 2 at the first problem; no file appears."
    )
    jobs: int | None = option(
        "-j", "--jobs", kind=OptionKind.POSITIVE, metavar="N",
        help="Processes that share the work; the output is the same for any N. Default: all cores.",
    )  # fmt: skip
    rotate: int | None = option(
        "--rotate", kind=OptionKind.SIZE, metavar="SIZE",
        help="Parquet in a directory: begin another file of a row type when one has grown so large (256MB). Files "
        "then are DIRECTORY/TYPE/NUMBER.parquet.",
    )  # fmt: skip
    show_stats: bool = option(
        "--stats", kind=OptionKind.FLAG,
        help="Print counts by type, version and codec, and rates, to stderr at the end.",
    )  # fmt: skip

    @property
    def csv(self) -> bool:
        """Whether it is CSV, by the format or the file's name."""
        if self.format is not None:
            return self.format == "csv"
        return self.path is not None and self.path.suffix == ".csv" and not self.path.is_dir()

    @property
    def one_type(self) -> bool:
        """Whether it is CSV or one Parquet file, which have rows of one type."""
        if self.format is not None and self.format != "parquet":
            return self.csv
        return self.csv or (self.path is not None and self.path.suffix == ".parquet" and not self.path.is_dir())

    @property
    def parquet(self) -> bool:
        if self.format is not None:
            return self.format == "parquet"
        return self.path is not None and (self.path.suffix == ".parquet" or self.path.is_dir())


def words_of(value: object, names: Iterable[str] | None = None) -> list[str]:
    """A group of options as the words of a command line: those that are not the default, all or of these names.

    Places and durations are not among them: the command line takes these in forms of their own.
    """
    found: list[str] = []
    for item, declared in options_of(type(value), names):
        given = getattr(value, item.name)
        if given == item.default:
            continue
        flag = next(flag for flag in declared.flags if flag.startswith("--"))
        if declared.kind is OptionKind.FLAG:
            found.append(flag)
            continue
        for one in map(str, given if declared.repeatable else (given,)):
            found += [f"{flag}={one}"] if one.startswith("-") else [flag, one]
    return found


def options_of(group: type, names: Iterable[str] | None = None) -> list[tuple[Field[Any], Option]]:
    """The options of a group, all or those of these names, in their order."""
    found = [(item, item.metadata["option"]) for item in fields(group) if "option" in item.metadata]
    return found if names is None else [pair for pair in found if pair[0].name in set(names)]
