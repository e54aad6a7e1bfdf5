"""Logs to a report on the evidence: an inventory of each file, the checkpoints and completeness of each partition."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from offdecode.engines.decode import Decoder
from offdecode.errors import SourceError, UsageError
from offdecode.evidence import SegmentEvidence
from offdecode.log.batches import Frames
from offdecode.log.copies import iter_records_once
from offdecode.log.inventory import Inventory, InventoryBuilder
from offdecode.log.records import iter_records
from offdecode.log.transactions import Place, Status
from offdecode.logs import Copies, frames_from, iter_log, offset_map
from offdecode.model import LARGEST_INT64, Coverage, Problem, Span, Vector
from offdecode.options import CheckOptions
from offdecode.questions.loading import LoadCensus, LoadFinding
from offdecode.request import Meter
from offdecode.run import Run
from offdecode.schemas.releases import release
from offdecode.sources.checkpoints import Checkpoints, broker_id
from offdecode.sources.leftovers import LeftoverFile, find_leftovers
from offdecode.sources.locations import Location
from offdecode.sources.segments import PartitionLog, Segment

NOTHING_MORE = CheckOptions()
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
    """A path that could not be used; or one that is used, and holds a partition that another has too."""

    problem: Problem

    @property
    def problem_count(self) -> int:
        return 1

    def as_dict(self) -> dict[str, Any]:
        return {"type": "copies" if self.problem.kind == "partition_copies" else "unused", **self.problem.as_dict()}


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


def check(
    run: Run, asked: CheckOptions = NOTHING_MORE
) -> Iterator[PartitionCheck | Leftover | ContainerCheck | Unused]:
    """Check all logs of the request, partitions by number, what is left over beside them, then what they lie in.

    Every file is read once, an archive twice; records are decoded but for leftovers.

    Raises SourceError where the paths lead to nothing that is an offsets log, UsageError for exported records, and for
    a release that is not known.
    """
    loaded_by = None if asked.for_broker is None else release(asked.for_broker)
    evidence = run.evidence
    if not isinstance(evidence, SegmentEvidence):
        raise UsageError("check reads segments: exported records do not tell what is missing")
    for problem in evidence.problems:
        yield Unused(problem)
    refused: list[SourceError] = []
    gaps: dict[int | None, tuple[Span, ...]] = {}
    for copies in evidence.histories:
        decoder = Decoder(run.request.selection(), run.request.reading.engine)
        census = None if loaded_by is None else LoadCensus(loaded_by)
        try:
            check_one = _check_log if len(copies) == 1 else _check_copies
            found = check_one(copies, evidence.chunk_bytes, decoder, census, run.meter)
            if census is not None:
                found = replace(found, loading=tuple(census.findings()))
            gaps[copies[0].log_partition] = found.coverage.gaps
            yield found
        except SourceError as error:
            refused.append(error)
            if len(refused) < len(evidence.histories):
                yield Unused(Problem("not_an_offsets_log", error.source, error.reason))
    evidence.refuse_if_none(refused)
    yield from _leftovers(evidence, run.request.source.topic_name, gaps)
    for container in _containers(evidence.logs):
        yield _check_container(container)


def _leftovers(
    evidence: SegmentEvidence, topic: str, gaps: dict[int | None, tuple[Span, ...]]
) -> Iterator[Leftover | Unused]:
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


def _check_copies(
    copies: Copies, chunk_bytes: int, decoder: Decoder, census: LoadCensus | None, meter: Meter
) -> PartitionCheck:
    """Each copy's files by themselves, then all copies as one log."""
    found = _Found()

    def half(read: int, rows: int) -> None:
        meter(read // 2, rows)

    files = [file for log in copies for file in _inventories(log, chunk_bytes, decoder, found, half)]
    offsets = offset_map(copies)
    held, alone, lost = (np.zeros(len(copies), np.int64) for _ in range(3))
    bits = np.left_shift(1, np.arange(len(copies)))
    for frames, status in iter_log(copies, offsets, chunk_bytes):
        for problem in frames.problems:
            found.add(problem)
        if census is not None:
            for records in iter_records_once(frames, frames.crc_valid):
                census.add(decoder.decode(records, status, np.ones(len(records), np.bool_)))
        for masks, count in _holders(frames):
            held += [count[masks & bit != 0].sum() for bit in bits]
            alone += [count[masks == bit].sum() for bit in bits]
        for masks, count in _holders(frames.lost) if frames.lost is not None else ():
            lost += [count[masks & bit != 0].sum() for bit in bits]
        half(frames.size, 0)
    counted = zip(copies, held.tolist(), alone.tolist(), lost.tolist(), strict=True)
    told = tuple(
        CopyCheck(log.directory.text, broker_id(log.directory.parent), log.checkpoints, *counts)
        for log, *counts in counted
    )
    first = copies[0]
    return PartitionCheck(
        first.log_partition, first.checkpoints, tuple(files), offsets.coverage, tuple(found.problems), found.count, told
    )


def _inventories(
    log: PartitionLog, chunk_bytes: int, decoder: Decoder, found: _Found, meter: Meter
) -> Iterator[Inventory]:
    """The files of one copy. Of their problems, those that only decoding shows are added to what was found."""
    builders = {segment.name: InventoryBuilder(segment.name) for segment in log.segments}
    for _, frames in frames_from(log, chunk_bytes, Place(0, 0)):
        builder = builders[frames.chunk.segment]
        builder.add(frames)
        decoding = tuple(_decode(frames, np.full(len(frames), Status.NONE, np.int64), decoder, builder))
        for problem in (*frames.problems, *decoding):
            builder.add_problem(problem)
        for problem in decoding:
            found.add(problem)
        meter(frames.size, 0)
    for builder in builders.values():
        yield builder.result()


def _holders(frames: Frames) -> Iterator[tuple[Vector, Vector]]:
    """Which copies hold records, a bit each, and how many records."""
    origin = frames.origin
    if origin is not None and origin.mixed:
        for records in iter_records_once(frames, frames.crc_valid):
            if records.copies is not None:
                yield records.copies, np.ones(len(records), np.int64)
    elif origin is not None:
        yield origin.copies[frames.crc_valid], np.maximum(frames.count[frames.crc_valid], 0)


@dataclass(slots=True)
class _Found:
    """Problems of a partition: all are counted, so many are kept."""

    problems: list[Problem] = field(default_factory=list)
    count: int = 0

    def add(self, problem: Problem) -> None:
        self.count += 1
        if self.count <= _LISTED_PROBLEMS:
            self.problems.append(problem)


def _check_log(
    copies: Copies, chunk_bytes: int, decoder: Decoder, census: LoadCensus | None, meter: Meter
) -> PartitionCheck:
    (log,) = copies
    builders = {segment.name: InventoryBuilder(segment.name) for segment in log.segments}
    found = _Found()
    offsets = offset_map(copies)
    for frames, status in iter_log(copies, offsets, chunk_bytes):
        builder = builders[frames.chunk.segment]
        builder.add(frames)
        for problem in (*frames.problems, *_decode(frames, status, decoder, builder, census)):
            builders.get(problem.source, builder).add_problem(problem)
            found.add(problem)
        meter(frames.size, 0)
    files = tuple(builder.result() for builder in builders.values())
    return PartitionCheck(
        log.log_partition, log.checkpoints, files, offsets.coverage, tuple(found.problems), found.count
    )


def _decode(
    frames: Frames, status: Vector, decoder: Decoder, builder: InventoryBuilder, census: LoadCensus | None = None
) -> Iterator[Problem]:
    """Decode the records, count them, and give the problems that only decoding shows."""
    for records in iter_records(frames, frames.crc_valid):
        builder.add_records(frames, records.frame)
        chunk = decoder.decode(records, status, np.ones(len(records), np.bool_))
        for name, batch in chunk:
            builder.add_rows(name, len(batch))
        if census is not None:
            census.add(chunk)
        yield from chunk.problems
