"""A request's paths to logs, found once, and these to steps: pieces of work whose rows any process can read."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from offdecode.cluster import Cluster
from offdecode.engines.decode import Decoder
from offdecode.engines.printed import PRINTED
from offdecode.engines.sample import sample_looks_like_offsets
from offdecode.errors import SourceError, UsageError
from offdecode.filtering import names_in, names_of
from offdecode.log.batches import Frames
from offdecode.log.dumped import DUMP_HEAD, DumpedTransactions
from offdecode.log.export_forms import is_export
from offdecode.log.exported import Exports
from offdecode.log.headers import entry_with, whole_entries
from offdecode.log.json_exports import SEAM
from offdecode.log.lost_records import LostRecords
from offdecode.log.records import Records
from offdecode.log.records_once import iter_records_once
from offdecode.log.transactions import undecided
from offdecode.logs import NOT_OFFSETS, Copies, iter_log, offset_map
from offdecode.model import Coverage, DecodedChunk, Gaps, Mask, Problem, Vector
from offdecode.options import Filter, Source
from offdecode.request import Meter, Report, Request, Stats, unmetered
from offdecode.sources.checkpoints import broker_id, cluster_id
from offdecode.sources.exported import can_reread, export_name, exported_bytes, head_of, iter_lines
from offdecode.sources.leftovers import leftover_logs
from offdecode.sources.locations import LocalLocation, Location, is_standard_input, local_path
from offdecode.sources.names import SEGMENT_SUFFIX
from offdecode.sources.segments import (
    PartitionLog,
    copies_apart,
    copies_together,
    data_directories,
    find_logs,
    in_order,
    loose_copies,
    missing_partitions,
)
from offdecode.sources.spool import watched
from offdecode.sources.standard_input import standard_input_is
from offdecode.sources.topic_ids import data_directory_names, named_in_file

_CHUNK_BYTES = 4 << 20  # small enough for the vectors to stay in cache
_SMALL_LOGS = 4  # chunks; of less, chunks are a quarter: compressed, it may be a million records all the same


class LogId(NamedTuple):
    """Which log: where its first segment is ("" for exported records), and its partition of the offsets topic."""

    source: str
    partition: int | None


@dataclass(frozen=True, slots=True)
class Step:
    """A piece of work in its place in the output: problems to report, then what a StepReader reads rows from.

    size: bytes of evidence. log: None where the step is of no log. frames, status: batches of the log, and the
    transaction status of each. records: what stands there instead where the input has no batches; status then is of
    what stands for their batches. first_offset: a batch may begin before what was asked for; its records before this
    offset are left out. gaps: what the log lacks as far as it was read. coverage: where the log ends with this step,
    what there is of it.
    """

    problems: tuple[Problem, ...]
    size: int = 0
    log: LogId | None = None
    frames: Frames | None = None
    status: Vector = field(default_factory=lambda: np.empty(0, np.int64))
    records: tuple[Records, ...] = ()
    first_offset: int | None = None
    gaps: Gaps = field(default_factory=Gaps)
    coverage: Coverage | None = None

    @property
    def lost(self) -> bool:
        """Whether the batches are of a branch of the log that did not stand."""
        return self.frames is not None and self.frames.origin is not None and self.frames.origin.lost

    def to_be_read(self) -> Step:
        """Only what a StepReader needs, for another process."""
        frames = None if self.frames is None else self.frames.without_tail()
        return replace(self, frames=frames, coverage=None, gaps=Gaps())


class Watch:
    """Looks on while logs are read: is told of each step, then of its rows. This one does nothing of it."""

    def begin(self, step: Step) -> None:
        """The next step, before its rows."""

    def rows(self, records: Records, chunk: DecodedChunk) -> None:
        """Rows of the step, and the records that they are of."""


UNWATCHED = Watch()


class StepReader:
    """Reads the rows of steps. Any step may be left out or be another process's. stats: what was met is added.

    named: the filter whose names are looked out for, where it is not the request's. watch: is told of rows.
    """

    def __init__(self, request: Request, stats: Stats, named: Filter | None = None, watch: Watch = UNWATCHED) -> None:
        self._request = request
        self._stats = stats
        self._named = names_in(request.rows if named is None else named)
        selection = request.selection()
        self._marks = selection.keys.marks if request.reading.engine == "auto" else None
        self._decoder = Decoder(selection, request.reading.engine)
        self._watch = watch
        self._lost = LostRecords()

    def gaps(self, step: Step) -> Gaps:
        """What the log lacks as far as it was read, with records that decoding has shown to be lost."""
        return self._lost.gaps(step.gaps)

    def with_losses(self, step: Step) -> Step:
        """The same step; where a log ends, with records of it that decoding has shown to be lost."""
        if step.coverage is None:
            return step
        lost, self._lost = self._lost, LostRecords()
        return replace(step, coverage=lost.coverage(step.coverage))

    def read(self, step: Step) -> Iterator[DecodedChunk]:
        stats, frames = self._stats, step.frames
        stats.bytes_read += step.size
        for records in step.records:
            yield self._rows(records, step.status, None)
        if frames is not None:
            stats.add_frames(frames)
            wanted = frames.crc_valid | self._request.columns.crc_valid
            for records in iter_records_once(frames, wanted, self._marks):
                if not step.lost:
                    self._lost.note(records)
                yield self._rows(records, step.status, step.first_offset)

    def read_reporting(self, step: Step, report: Report) -> Iterator[DecodedChunk]:
        """The same; the problems of the step and of its rows are reported in their place."""
        for problem in step.problems:
            report(problem)
        for chunk in self.read(step):
            for problem in chunk.problems:
                report(problem)
            yield chunk

    def _rows(self, records: Records, status: Vector, first_offset: int | None) -> DecodedChunk:
        wanted = _wanted(records, self._request)
        if first_offset is not None:
            wanted &= records.log_offset >= first_offset
        before = self._decoder.fallbacks
        chunk = self._decoder.decode(records, status, wanted)
        self._stats.add_chunk(chunk)
        if not self._named <= self._stats.met:
            self._stats.met |= self._named.intersection(names_of(chunk))
        self._stats.fallbacks += self._decoder.fallbacks - before
        self._watch.rows(records, chunk)
        return chunk


def _wanted(records: Records, request: Request) -> Mask:
    """Which records the offset and time limits let through; those without a timestamp are judged later."""
    rows = request.rows
    wanted = np.ones(len(records), np.bool_)
    if rows.first_offset is not None:
        wanted &= records.log_offset >= rows.first_offset
    if rows.last_offset is not None:
        wanted &= records.log_offset <= rows.last_offset
    if rows.since is not None:
        wanted &= ~records.has_timestamp | (records.log_timestamp >= rows.since)
    if rows.until is not None:
        wanted &= ~records.has_timestamp | (records.log_timestamp <= rows.until)
    return wanted


class Evidence:
    """What the paths of a request lead to. problems: of paths that lead nowhere.

    exported: whether other tools have printed it, who do not tell what is missing. logs: what there is of segments;
    histories: the same, copies that are read as one together. merged: whether there are such copies. plain: whether
    all segments are local files as they are: then several processes can read them at once. survives_fork: whether a
    forked process can read it.
    """

    problems: tuple[Problem, ...] = ()
    exported = False
    can_reread = True
    merged = False
    plain = False
    survives_fork = True
    logs: tuple[PartitionLog, ...] = ()
    histories: Sequence[Copies] = ()
    chunk_bytes = _CHUNK_BYTES

    @property
    def parts(self) -> int:
        """Into how many parts it can be divided among processes."""
        return 1

    def only(self, number: int) -> Evidence:
        """What there is of one of the histories: to be read, by another process too."""
        raise NotImplementedError

    @property
    def missing(self) -> tuple[Problem, ...]:
        """What should be among the logs, by what lies beside them: one problem for each partition and archive."""
        return ()

    @property
    def size(self) -> int:
        """Bytes of segments or of exported records."""
        raise NotImplementedError

    @cached_property
    def cluster(self) -> Cluster:
        """What the cluster's own topics tell that lie beside the logs."""
        return Cluster(self.data_directories())

    def topic_names(self, file: Path | None = None) -> dict[str, str]:
        """{topic id: name} as data directories and the file tell them."""
        return {**self.cluster.topic_names, **({} if file is None else named_in_file(file))}

    def data_directories(self) -> list[Location]:
        """The directories in which partitions of the offsets topic lie, and those of users' topics."""
        return []

    @property
    def brokers(self) -> dict[str, int]:
        """{data directory: id of its broker}, for those that tell it."""
        found = ((directory.text, broker_id(directory)) for directory in self.data_directories())
        return {name: number for name, number in found if number is not None}

    def refuse_if_none(self, refused: Sequence[SourceError]) -> None:
        """Raise SourceError where there is no log, or where all were refused."""
        if refused and len(refused) == len(self.histories):
            raise refused[0]
        if not self.logs and self.problems:
            raise SourceError(self.problems[0].source, self.problems[0].message)

    def steps(self, stats: Stats) -> Iterator[Step]:
        """All steps, in order. stats: the number and size of the segments are put in.

        Raises SourceError where nothing is an offsets log.
        """
        raise NotImplementedError


def touches_evidence(target: Path, paths: tuple[Path, ...]) -> bool:
    """Whether to write to a file, of which this is the real path, changes what the paths lead to."""
    for path in paths:
        if is_standard_input(path) and standard_input_is(target):
            return True
        if (local := local_path(path)) is not None:
            source = Path(os.path.realpath(local))
            beside = target.parent == source.parent and target.suffix == ".log" and target.exists()
            if target == source or beside or source in target.parents:
                return True
    return False


def open_evidence(request: Request, meter: Meter = unmetered) -> Evidence:
    """Find the logs of a request. Nothing is decoded. Raises UsageError for exports among what is none.

    meter: is told of bytes that are fetched or unpacked for it.
    """
    with watched(lambda size: meter(size, 0)):
        return _opened(request)


def _opened(request: Request) -> Evidence:
    paths = request.source.paths
    if request.source.input_format == "records-jsonl" or (paths and all(is_export(head_of(path)) for path in paths)):
        return ExportedEvidence(request.source)
    for path in paths:
        if path.suffix != SEGMENT_SUFFIX and is_export(head_of(path)):
            raise UsageError(f"{path}: holds exported records, and other paths hold none: ask of it by itself")
    return SegmentEvidence(request)


def _live(url: str, topic: str) -> Location:
    from offdecode.sources.live_directory import live_directory  # most runs need none of what it imports

    return live_directory(url, topic, whole_entries, entry_with)


class SegmentEvidence(Evidence):
    """Logs of segment files, partitions by number."""

    def __init__(self, request: Request) -> None:
        source = request.source
        found = find_logs(
            source.paths, source.topic_name, source.as_log_partition, source.log_partitions, _live,
            user_logs=request.user_logs,
        )  # fmt: skip
        self.logs = found.logs
        problems = [*found.problems]
        if source.leftovers:
            more, unread = leftover_logs(found.logs, source.topic_name, source.log_partitions)
            self.logs = tuple(in_order((*found.logs, *more)))
            problems += unread
        problems += loose_copies(self.logs)
        if source.copies_apart:
            problems += copies_apart(self.logs)
        self.histories = [(log,) for log in self.logs] if source.copies_apart else copies_together(self.logs)
        _refuse_two_clusters(self.histories)
        self.problems = tuple(problems)
        self.merged = any(len(copies) > 1 for copies in self.histories)
        # Enough pieces for several processes to share.
        large = self.size >= _SMALL_LOGS * _CHUNK_BYTES
        self.chunk_bytes = request.reading.chunk_bytes or (_CHUNK_BYTES if large else _CHUNK_BYTES // 4)
        self.survives_fork = all(part.location.survives_fork for log in self.logs for part in log.segments)
        self.plain = all(isinstance(part.location, LocalLocation) for log in self.logs for part in log.segments)
        self._source = source
        self._passed_over = found.passed_over

    @cached_property
    def missing(self) -> tuple[Problem, ...]:
        source = self._source
        if source.log_partitions:
            return self._passed_over
        return (*missing_partitions(self.logs, source.paths, source.topic_name), *self._passed_over)

    @property
    def size(self) -> int:
        return sum(log.size for log in self.logs)

    def topic_names(self, file: Path | None = None) -> dict[str, str]:
        return {**data_directory_names(self.logs), **super().topic_names(file)}

    def data_directories(self) -> list[Location]:
        return data_directories(self.logs)

    def steps(self, stats: Stats) -> Iterator[Step]:
        yield Step(self.problems)
        stats.segments = sum(len(log.segments) for log in self.logs)
        stats.total_bytes = self.size
        refused: list[SourceError] = []
        for copies in self.histories:
            try:
                yield from _log_steps(copies, self.chunk_bytes)
            except SourceError as error:
                refused.append(error)
        self.refuse_if_none(refused)
        yield Step(refusals(refused))

    def only(self, number: int) -> SegmentEvidence:
        found = copy(self)
        found.histories = [self.histories[number]]
        found.logs, found.problems = tuple(self.histories[number]), ()
        found.cluster = self.cluster  # what lies beside any of the logs
        return found

    @property
    def parts(self) -> int:
        return max(self.size // self.chunk_bytes, 1)


def _refuse_two_clusters(histories: Iterable[Copies]) -> None:
    """Logs of two clusters are no copies of each other. Raises UsageError."""
    for copies in histories:
        found: dict[str, str] = {}
        for data in (log.directory.parent for log in copies) if len(copies) > 1 else ():
            if (told := cluster_id(data)) is not None:
                found.setdefault(told, data.text)
        if len(found) > 1:
            (first, one), (second, other), *_ = found.items()
            raise UsageError(
                f"{one} is of the cluster {first}, {other} of the cluster {second}: ask of each by itself, or take "
                "each log by itself (--copies-apart)"
            )


def refusals(refused: Iterable[SourceError]) -> tuple[Problem, ...]:
    """What turned out to be no log of the offsets topic, as problems."""
    return tuple(Problem("not_an_offsets_log", refusal.source, refusal.reason) for refusal in refused)


def log_id(copies: Copies) -> LogId:
    """By which steps name a log of segments."""
    return LogId(copies[0].segments[0].name, copies[0].log_partition)


def _log_steps(copies: Copies, chunk_bytes: int) -> Iterator[Step]:
    name = log_id(copies)
    offsets = offset_map(copies)
    for frames, status in iter_log(copies, offsets, chunk_bytes):
        size, lost, problems = frames.size, frames.lost, frames.problems
        frames = replace(frames, lost=None)
        yield Step(problems, size, name, frames, status, gaps=offsets.gaps)
        if lost is not None:
            yield Step((), 0, name, lost, undecided(lost), gaps=offsets.gaps)
    yield Step((), log=name, gaps=offsets.gaps, coverage=offsets.coverage)


class ExportedEvidence(Evidence):
    """Keys and values of records that another tool has exported."""

    exported = True

    def __init__(self, source: Source) -> None:
        self._source = source
        self.can_reread = all(map(can_reread, source.paths))

    @property
    def size(self) -> int:
        return sum(exported_bytes(path) for path in self._source.paths)

    def steps(self, stats: Stats) -> Iterator[Step]:
        logs: dict[LogId, None] = {}
        told = self._transactions() if self.can_reread else None
        for path in self._source.paths:
            for step in self._steps_of(path, told):
                if step.log is not None:
                    logs[step.log] = None
                yield step
        for log in logs:
            yield Step((), log=log, gaps=Gaps(0), coverage=Coverage(log.partition, exported=True))

    def _transactions(self) -> DumpedTransactions:
        """What all dumps tell of the ends of transactions."""
        told = DumpedTransactions()
        for path in self._source.paths:
            for position, lines in iter_lines(path, SEAM):
                if not position and not any(line.startswith(DUMP_HEAD) for line in lines):
                    break  # another export: it need not be read twice
                told.note(lines)
        told.finish()
        return told

    def _steps_of(self, path: Path, told: DumpedTransactions | None) -> Iterator[Step]:
        wanted, name = self._source.log_partitions, export_name(path)
        judged: bool | None = None
        for size, records in _records_of(path, Exports(name, PRINTED)):
            partition = None if records is None else records.frames.chunk.log_partition
            if records is None or (wanted and partition not in wanted):
                yield Step((), size)
                continue
            judged = sample_looks_like_offsets(records) if judged is None else judged
            if judged is False:
                raise SourceError(name, NOT_OFFSETS)
            status = undecided(records.frames) if told is None else told.decide(records.frames)
            yield Step((), size, LogId("", partition), status=status, records=(records,), gaps=Gaps(0))


def _records_of(path: Path, exports: Exports) -> Iterator[tuple[int, Records | None]]:
    """The records of an export, and with the first ones of some lines the size of these; None where there are none."""
    for position, lines in iter_lines(path, SEAM):
        size = sum(map(len, lines)) + len(lines)
        for records in exports.records(position, lines):
            yield size, records
            size = 0
        yield size, None
    for records in exports.rest():
        yield 0, records
