"""Logs to a report on the evidence: an inventory of each file, the checkpoints and completeness of each partition."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from offdecode.engines.decode import Decoder
from offdecode.errors import SourceError, UsageError
from offdecode.evidence import Evidence, LogId, Step, StepReader, Watch, log_id, refusals
from offdecode.log.batches import Frames
from offdecode.log.inventory import Inventory, InventoryBuilder
from offdecode.log.records import Records, iter_records
from offdecode.log.records_once import iter_records_once
from offdecode.log.transactions import Place, undecided
from offdecode.logs import Copies, frames_from
from offdecode.model import LARGEST_INT64, Coverage, DecodedChunk, Problem, Span, Vector
from offdecode.options import CheckOptions
from offdecode.questions.loading import LoadCensus, LoadFinding
from offdecode.request import Meter, Request, Stats
from offdecode.run import Run
from offdecode.schemas.releases import release
from offdecode.sources.checkpoints import Checkpoints, broker_id
from offdecode.sources.leftovers import LeftoverFile, find_leftovers
from offdecode.sources.locations import Location
from offdecode.sources.segments import PartitionLog, Segment

NOTHING_MORE = CheckOptions()
_TYPES = {"partition_copies": "copies", "loose_copy": "copies", "missing_partition": "missing_partition"}
_HASHED_AT_ONCE = 4 << 20
_LISTED_PROBLEMS = 100_000  # a damaged disk image must not fill the memory


@dataclass(frozen=True, slots=True)
class CopyCheck:
    """One of several copies of a log. broker: its id, None where the data directory does not tell.

    records: those of the history that stood; alone: those of them that no other copy holds; lost_branch: those of a
    branch of the log that did not stand.
    """

    directory: str
    broker: int | None
    checkpoints: Checkpoints
    records: int
    alone: int
    lost_branch: int


@dataclass(frozen=True, slots=True)
class PartitionCheck:
    """One partition's log. problems: those of its files, the first 100,000; problem_count: all of them.

    copies: where the log lies in several; files are those of all, completeness that of all together. loading: what the
    release that was asked about would not read as it was meant, None = none was asked about.
    """

    log_partition: int | None
    checkpoints: Checkpoints
    files: tuple[Inventory, ...]
    coverage: Coverage
    problems: tuple[Problem, ...]
    problem_count: int
    copies: tuple[CopyCheck, ...] = ()
    loading: tuple[LoadFinding, ...] | None = None

    def as_dict(self) -> dict[str, Any]:
        return {
            "type": "partition",
            "log_partition": self.log_partition,
            "checkpoints": asdict(self.checkpoints),
            **({"copies": [asdict(copy) for copy in self.copies]} if self.copies else {}),
            "files": [file.as_dict() for file in self.files],
            "completeness": [span.as_dict() for span in (*self.coverage.spans, *self.coverage.over)],
            **({} if self.loading is None else {"loading": [asdict(finding) for finding in self.loading]}),
            "problem_count": self.problem_count,
            "problems": [problem.as_dict() for problem in self.problems],
        }


@dataclass(frozen=True, slots=True)
class Unused:
    """A path that could not be used, that holds a partition that another has too, or that lacks one."""

    problem: Problem

    @property
    def problem_count(self) -> int:
        return 1

    def as_dict(self) -> dict[str, Any]:
        return {"type": _TYPES.get(self.problem.kind, "unused"), **self.problem.as_dict()}


@dataclass(frozen=True, slots=True)
class Leftover:
    """A segment file that is part of no log, and is not read without `leftovers`. why: what its name tells.

    beyond_log: how many of its batches begin at an offset that the partition's log lacks.
    """

    log_partition: int | None
    why: str
    file: Inventory
    beyond_log: int

    @property
    def problem_count(self) -> int:
        return 0

    def as_dict(self) -> dict[str, Any]:
        return {"type": "leftover", **asdict(self)}


@dataclass(frozen=True, slots=True)
class ContainerCheck:
    """An archive or compressed file that files of a log lie in. sha256: None where some of it could not be read."""

    path: str
    size: int
    sha256: str | None

    @property
    def problem_count(self) -> int:
        return 0

    def as_dict(self) -> dict[str, Any]:
        return {"type": "container", **asdict(self)}


Found = PartitionCheck | Leftover | ContainerCheck | Unused


@dataclass(frozen=True, slots=True)
class LogFound:
    """What a check finds of one log. gaps: by partition; refused: why it is none of the offsets topic."""

    found: list[Found]
    gaps: dict[int | None, tuple[Span, ...]]
    refused: SourceError | None


# What a function finds of each log of some evidence, in their order; the meter is told of what is read.
EachLog = Callable[[Evidence, Callable[[Evidence, Meter], LogFound], Meter], Iterable[LogFound]]


def _in_turn(evidence: Evidence, work: Callable[[Evidence, Meter], LogFound], meter: Meter) -> Iterator[LogFound]:
    return (work(evidence.only(log), meter) for log in range(len(evidence.histories)))


def check(run: Run, asked: CheckOptions = NOTHING_MORE, each: EachLog = _in_turn) -> Iterator[Found]:
    """Check all logs of the request, partitions by number, what is left over beside them, then what they lie in.

    Every file is read once, an archive twice; records are decoded but for leftovers. each: goes over the logs.

    Raises SourceError where the paths lead to nothing that is an offsets log, UsageError for exported records, and for
    a release that is not known.
    """
    checking = Checking(run, asked)
    evidence, refused = checking.evidence, []
    yield from map(Unused, evidence.problems)
    for one in each(evidence, partial(_check_log, run.request, asked), run.meter):
        yield from one.found
        checking.gaps |= one.gaps
        refused += [] if one.refused is None else [one.refused]
    evidence.refuse_if_none(refused)
    yield from map(Unused, refusals(refused))
    yield from checking.rest()


def _check_log(request: Request, asked: CheckOptions, evidence: Evidence, meter: Meter) -> LogFound:
    """Read the one log of some evidence."""
    run = Run(request, lambda problem: None, evidence=evidence)
    run.meter = meter
    checking = Checking(run, asked)
    reader = StepReader(run.request, Stats(), watch=checking)
    refused = None
    try:
        for step in map(reader.with_losses, evidence.steps(Stats())):
            checking.begin(step)
            for _ in reader.read(step) if checking.wants_rows else ():
                pass
            meter(step.size // checking.readings, 0)
    except SourceError as error:
        refused = error
    return LogFound(list(checking.found()), checking.gaps, refused)


class Checking(Watch):
    """The check of a run's logs, told of every step that is read of them and of all its rows. gaps: by partition.

    Raises UsageError for exported records, and for a release that is not known.
    """

    def __init__(self, run: Run, asked: CheckOptions = NOTHING_MORE) -> None:
        if run.evidence.exported:
            raise UsageError("check reads segments: exported records do not tell what is missing")
        self._run = run
        self.evidence = run.evidence
        self._loaded_by = None if asked.for_broker is None else release(asked.for_broker)
        self._logs = {log_id(copies): copies for copies in run.evidence.histories}
        self._now: tuple[LogId, _LogCheck] | None = None  # the log that is read
        self._found: list[Found] = []
        self.gaps: dict[int | None, tuple[Span, ...]] = {}

    def begin(self, step: Step) -> None:
        """The next step, before its rows."""
        if step.log is None:
            self._found += map(Unused, step.problems)
            return
        if self._now is None or self._now[0] != step.log:
            self._now = step.log, self._begin(self._logs[step.log])
        log = self._now[1]
        if step.frames is not None:
            log.take(step, step.frames)
        if step.coverage is not None:
            self.gaps[step.log.partition] = step.coverage.gaps
            self._found.append(log.result(step.coverage))

    def _begin(self, copies: Copies) -> _LogCheck:
        census = None if self._loaded_by is None else LoadCensus(self._loaded_by)
        if len(copies) == 1:
            return _LogCheck(copies, census)
        log = _CopiesCheck(copies, census)
        request = self._run.request
        log.read_files(self.evidence.chunk_bytes, Decoder(request.selection(), request.reading.engine), self._run.meter)
        return log

    @property
    def wants_rows(self) -> bool:
        """Whether the rows of the step are needed."""
        return self._now is not None and self._now[1].wants_rows

    @property
    def readings(self) -> int:
        """How often the step's log is read."""
        return 1 if self._now is None else self._now[1].readings

    def rows(self, records: Records, chunk: DecodedChunk) -> None:
        """Rows of the step, and the records that they are of."""
        if self._now is not None:
            self._now[1].rows(records, chunk)

    def found(self) -> Iterator[Found]:
        """What was found since the last call."""
        found, self._found = self._found, []
        return iter(found)

    def rest(self) -> Iterator[Found]:
        """What lies beside the logs or should, and what they lie in, when they are through."""
        evidence = self.evidence
        yield from map(Unused, evidence.missing)
        yield from _leftovers(evidence, self._run.request.source.topic_name, self.gaps)
        for container in _containers(evidence.logs):
            yield _check_container(container)


def _leftovers(evidence: Evidence, topic: str, gaps: dict[int | None, tuple[Span, ...]]) -> Iterator[Leftover | Unused]:
    read = {segment.name for log in evidence.logs for segment in log.segments}
    for file in find_leftovers(evidence.logs, topic):
        if file.location.text in read:
            continue
        try:
            yield _check_leftover(file, evidence.chunk_bytes, gaps.get(file.log_partition))
        except OSError as error:
            message = f"left over, and cannot be read: {error.strerror}"
            yield Unused(Problem("unreadable", file.location.text, message, file.log_partition))


def _containers(logs: Iterable[PartitionLog]) -> list[Location]:
    """What segments lie in, whatever that lies in again among it."""
    found: dict[str, Location] = {}
    for log in logs:
        for segment in log.segments:
            container = segment.location.container
            while container is not None and container.identity not in found:
                found[container.identity] = container
                container = container.container
    return sorted(found.values(), key=lambda one: one.text)


def _check_container(container: Location) -> ContainerCheck:
    digest = hashlib.sha256()
    size = 0
    try:
        with container.open() as reader:
            while data := reader.read(size, _HASHED_AT_ONCE):
                digest.update(data)
                size += len(data)
            return ContainerCheck(container.text, size, digest.hexdigest() if size == reader.size else None)
    except OSError:
        return ContainerCheck(container.text, size, None)


def _check_leftover(file: LeftoverFile, chunk_bytes: int, gaps: tuple[Span, ...] | None) -> Leftover:
    """gaps: of the partition's log; None where there is no log. Raises OSError where the file cannot be opened."""
    with file.location.open() as reader:
        size = reader.size
    builder = InventoryBuilder(file.location.text)
    beyond = 0
    alone = PartitionLog(file.log_partition, (Segment(file.location, size, 0),))
    for _, frames in frames_from(alone, chunk_bytes, Place(0, 0)):
        builder.add(frames)
        for problem in frames.problems:
            builder.add_problem(problem)
        first = frames.base_offset[frames.crc_valid]
        lacking = np.full(len(first), gaps is None)
        for span in gaps or ():
            last = LARGEST_INT64 if span.last_offset is None else span.last_offset
            lacking |= (first >= span.first_offset) & (first <= last)
        beyond += int(np.count_nonzero(lacking))
    return Leftover(file.log_partition, file.why, builder.result(), beyond)


class _LogCheck:
    """The check of a log that lies in one place, told of its steps and of all rows of each.

    readings: how often its files are read; wants_rows: whether it is to be told of rows.
    """

    readings = 1
    wants_rows = True

    def __init__(self, copies: Copies, census: LoadCensus | None) -> None:
        self._copies = copies
        self._census = census
        self._builders = {segment.name: InventoryBuilder(segment.name) for log in copies for segment in log.segments}
        self._problems: list[Problem] = []
        self._problem_count = 0

    def take(self, step: Step, frames: Frames) -> None:
        builder = self._builders[frames.chunk.segment]
        builder.add(frames)
        self._add(step.problems, builder)

    def rows(self, records: Records, chunk: DecodedChunk) -> None:
        self._count(records, chunk)
        if self._census is not None:
            self._census.add(chunk)

    def _count(self, records: Records, chunk: DecodedChunk) -> None:
        """Enter the records of a file, and what they became."""
        builder = self._builders[records.frames.chunk.segment]
        builder.add_records(records.frames, records.frame)
        for name, batch in chunk.coded.items():
            builder.add_rows(name, len(batch))
        self._add(chunk.problems, builder)

    def _add(self, problems: Iterable[Problem], builder: InventoryBuilder) -> None:
        """Problems of the file that they name, else of this one, and of the partition."""
        for problem in problems:
            self._builders.get(problem.source, builder).add_problem(problem)
            self._keep(problem)

    def _keep(self, problem: Problem) -> None:
        """A problem of the partition: all are counted, so many are kept."""
        self._problem_count += 1
        if self._problem_count <= _LISTED_PROBLEMS:
            self._problems.append(problem)

    def result(self, coverage: Coverage) -> PartitionCheck:
        log = self._copies[0]
        return PartitionCheck(
            log.log_partition, log.checkpoints, tuple(builder.result() for builder in self._builders.values()),
            coverage, tuple(self._problems), self._problem_count,
            loading=None if self._census is None else tuple(self._census.findings()),
        )  # fmt: skip


class _CopiesCheck(_LogCheck):
    """The same where a log lies in several copies: the files of each were read before, the steps are of all together.

    Of the problems of a file, those that only decoding shows are problems of the partition too.
    """

    readings = 2

    def __init__(self, copies: Copies, census: LoadCensus | None) -> None:
        super().__init__(copies, census)
        self.wants_rows = census is not None
        self._held, self._alone, self._lost = (np.zeros(len(copies), np.int64) for _ in range(3))
        self._bits = np.left_shift(1, np.arange(len(copies)))

    def read_files(self, chunk_bytes: int, decoder: Decoder, meter: Meter) -> None:
        """Each copy's files by themselves."""
        for log in self._copies:
            for _, frames in frames_from(log, chunk_bytes, Place(0, 0)):
                builder = self._builders[frames.chunk.segment]
                builder.add(frames)
                for problem in frames.problems:
                    builder.add_problem(problem)
                status = undecided(frames)
                for records in iter_records(frames, frames.crc_valid):
                    self.wants_rows |= bool(records.problems)  # of the union, to tell which records no copy has whole
                    self._count(records, decoder.decode(records, status, np.ones(len(records), np.bool_)))
                meter(frames.size // self.readings, 0)

    def take(self, step: Step, frames: Frames) -> None:
        for problem in step.problems:
            self._keep(problem)
        for masks, count in _holders(frames):
            if step.lost:
                self._lost += [count[masks & bit != 0].sum() for bit in self._bits]
            else:
                self._held += [count[masks & bit != 0].sum() for bit in self._bits]
                self._alone += [count[masks == bit].sum() for bit in self._bits]

    def rows(self, records: Records, chunk: DecodedChunk) -> None:
        origin = records.frames.origin
        if self._census is not None and (origin is None or not origin.lost):
            self._census.add(chunk)

    def result(self, coverage: Coverage) -> PartitionCheck:
        counted = zip(self._copies, self._held.tolist(), self._alone.tolist(), self._lost.tolist(), strict=True)
        told = tuple(
            CopyCheck(log.directory.text, broker_id(log.directory.parent), log.checkpoints, *counts)
            for log, *counts in counted
        )
        return replace(super().result(coverage), copies=told)


def _holders(frames: Frames) -> Iterator[tuple[Vector, Vector]]:
    """Which copies hold records, a bit each, and how many records."""
    origin = frames.origin
    if origin is not None and origin.mixed:
        for records in iter_records_once(frames, frames.crc_valid):
            if records.copies is not None:
                yield records.copies, np.ones(len(records), np.int64)
    elif origin is not None:
        yield origin.copies[frames.crc_valid], np.maximum(frames.count[frames.crc_valid], 0)
