"""Logs to a report on the evidence: an inventory of each file, the checkpoints and completeness of each partition."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from offdecode.engines.decode import Decoder
from offdecode.errors import SourceError, UsageError
from offdecode.evidence import SegmentEvidence
from offdecode.log.batches import Frames
from offdecode.log.inventory import Inventory, InventoryBuilder
from offdecode.log.records import iter_records
from offdecode.log.transactions import Place
from offdecode.logs import frames_from, iter_log, offset_map
from offdecode.model import LARGEST_INT64, Coverage, Problem, Span, Vector
from offdecode.run import Run
from offdecode.sources.checkpoints import Checkpoints
from offdecode.sources.leftovers import LeftoverFile, find_leftovers
from offdecode.sources.segments import PartitionLog, Segment

_LISTED_PROBLEMS = 100_000  # a damaged disk image must not fill the memory


@dataclass(frozen=True, slots=True)
class PartitionCheck:
    """One partition's log. problems: those of its files, the first 100,000; problem_count: all of them."""

    log_partition: int | None
    checkpoints: Checkpoints
    files: tuple[Inventory, ...]
    coverage: Coverage
    problems: tuple[Problem, ...]
    problem_count: int

    def as_dict(self) -> dict[str, Any]:
        return {
            "type": "partition",
            "log_partition": self.log_partition,
            "checkpoints": asdict(self.checkpoints),
            "files": [file.as_dict() for file in self.files],
            "completeness": [span.as_dict() for span in (*self.coverage.spans, *self.coverage.over)],
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
    """A segment file that is part of no log, and is not read by other questions. why: what its name tells.

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


def check(run: Run) -> Iterator[PartitionCheck | Leftover | Unused]:
    """Check all logs of the request, partitions by number, then what is left over beside them.

    Every file is read once; records are decoded but for leftovers.

    Raises SourceError where the paths lead to nothing that is an offsets log, UsageError for exported records.
    """
    evidence = run.evidence
    if not isinstance(evidence, SegmentEvidence):
        raise UsageError("check reads segments: exported records do not tell what is missing")
    for problem in evidence.problems:
        yield Unused(problem)
    refused: list[SourceError] = []
    gaps: dict[int | None, tuple[Span, ...]] = {}
    for log in evidence.logs:
        try:
            found = _check_log(log, evidence.chunk_bytes, Decoder(run.request.selection(), run.request.reading.engine))
            gaps[log.log_partition] = found.coverage.gaps
            yield found
        except SourceError as error:
            refused.append(error)
            if len(refused) < len(evidence.logs):
                yield Unused(Problem("not_an_offsets_log", error.source, error.reason))
    evidence.refuse_if_none(refused)
    for file in find_leftovers(evidence.logs, run.request.source.topic_name):
        try:
            yield _check_leftover(file, evidence.chunk_bytes, gaps.get(file.log_partition))
        except OSError as error:
            message = f"left over, and cannot be read: {error.strerror}"
            yield Unused(Problem("unreadable", file.location.text, message, file.log_partition))


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


def _check_log(log: PartitionLog, chunk_bytes: int, decoder: Decoder) -> PartitionCheck:
    builders = {segment.name: InventoryBuilder(segment.name) for segment in log.segments}
    problems: list[Problem] = []
    count = 0
    offsets = offset_map(log)
    for frames, status in iter_log(log, offsets, chunk_bytes):
        builder = builders[frames.chunk.segment]
        builder.add(frames)
        for problem in (*frames.problems, *_decode(frames, status, decoder, builder)):
            builders.get(problem.source, builder).add_problem(problem)
            count += 1
            if count <= _LISTED_PROBLEMS:
                problems.append(problem)
    files = tuple(builder.result() for builder in builders.values())
    return PartitionCheck(log.log_partition, log.checkpoints, files, offsets.coverage, tuple(problems), count)


def _decode(frames: Frames, status: Vector, decoder: Decoder, builder: InventoryBuilder) -> Iterator[Problem]:
    """Decode the records, count them, and give the problems that only decoding shows."""
    for records in iter_records(frames, frames.crc_valid):
        builder.add_records(frames, records.frame)
        chunk = decoder.decode(records, status, np.ones(len(records), np.bool_))
        for name, batch in chunk:
            builder.add_rows(name, len(batch))
        yield from chunk.problems
