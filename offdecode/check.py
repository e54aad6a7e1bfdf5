"""Logs to a report on the evidence: an inventory of each file, the checkpoints and completeness of each partition."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from offdecode.engines.decode import Decoder
from offdecode.errors import SourceError
from offdecode.log.batches import Frames
from offdecode.log.inventory import Inventory, InventoryBuilder
from offdecode.log.records import iter_records
from offdecode.model import Coverage, Problem, Vector
from offdecode.pipeline import Request, find, iter_log, offset_map
from offdecode.sources.checkpoints import Checkpoints
from offdecode.sources.segments import PartitionLog

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
    """A path that could not be used."""

    problem: Problem

    def as_dict(self) -> dict[str, Any]:
        return {"type": "unused", **self.problem.as_dict()}


def check(request: Request) -> Iterator[PartitionCheck | Unused]:
    """Check all logs of the request, partitions by number. Every file is read once, and decoded.

    Raises SourceError where the paths lead to nothing that is an offsets log.
    """
    found = find(request)
    for problem in found.problems:
        yield Unused(problem)
    refused: list[SourceError] = []
    for log in found.logs:
        try:
            yield _check_log(log, Decoder(request.selection(), request.engine))
        except SourceError as error:
            refused.append(error)
            if len(refused) < len(found.logs):
                yield Unused(Problem("not_an_offsets_log", error.source, error.reason))
    if refused and len(refused) == len(found.logs):
        raise refused[0]
    if not found.logs and found.problems:
        raise SourceError(found.problems[0].source, found.problems[0].message)


def _check_log(log: PartitionLog, decoder: Decoder) -> PartitionCheck:
    builders = {segment.name: InventoryBuilder(segment.name) for segment in log.segments}
    problems: list[Problem] = []
    count = 0
    offsets = offset_map(log)
    for frames, status in iter_log(log, offsets):
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
