"""What a broker leaves behind beside a log: segments that were to be deleted or put in place, partitions that moved."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from offdecode.model import Problem
from offdecode.sources.locations import Location, listed
from offdecode.sources.names import (
    LEFTOVER_SEGMENT,
    PARTITION_DIRECTORY,
    SEGMENT_NAME,
    is_cut,
    leftover_pattern,
    named_offset,
)
from offdecode.sources.segments import PartitionLog, Segment, partition_of

_WHY = {
    "deleted": "the broker was about to delete it",
    "cleaned": "the log cleaner had not finished it",
    "swap": "the log cleaner was about to put it in place",
    "delete": "the partition was deleted here",
    "stray": "the broker should not have had the partition",
    "future": "the partition was on its way to another disk",
}


class LeftoverFile(NamedTuple):
    """A segment that is part of no log. why: what its name tells."""

    location: Location
    log_partition: int | None
    why: str


def find_leftovers(logs: Iterable[PartitionLog], topic: str) -> Iterator[LeftoverFile]:
    """The segments that are left over in the directories of logs, and in directories beside these."""
    known: set[str] = set()
    for log in logs:
        directory = log.directory
        if directory.key in known or partition_of(directory, topic) is None:
            continue
        known.add(directory.key)
        for name in listed(directory):
            if match := LEFTOVER_SEGMENT.fullmatch(name):
                yield LeftoverFile(directory.child(name), log.log_partition, _WHY[match["why"]])
        data = directory.parent
        if data.key in known:
            continue
        known.add(data.key)
        for place in (data.child(name) for name in listed(data) if leftover_pattern(topic).fullmatch(name)):
            why = _WHY[place.name.rpartition("-")[2]]
            for name in listed(place) if place.key not in known else ():
                if SEGMENT_NAME.fullmatch(name) or LEFTOVER_SEGMENT.fullmatch(name):
                    yield LeftoverFile(place.child(name), partition_of(place, topic), why)


def leftover_logs(
    logs: Iterable[PartitionLog], topic: str, log_partitions: Sequence[int]
) -> tuple[list[PartitionLog], list[Problem]]:
    """What is left over as logs, one for each directory and reason, and problems of files that cannot be opened."""
    found: dict[tuple[str, str], list[LeftoverFile]] = {}
    for file in find_leftovers(logs, topic):
        if not log_partitions or file.log_partition in log_partitions:
            found.setdefault((file.location.parent.key, file.why), []).append(file)
    made: list[PartitionLog] = []
    problems: list[Problem] = []
    for files in found.values():
        segments = []
        for file in sorted(files, key=lambda one: one.location.name):
            try:
                with file.location.open() as reader:
                    size = reader.size
            except OSError as error:
                message = f"left over, and cannot be read: {error.strerror}"
                problems.append(Problem("unreadable", file.location.text, message, file.log_partition))
                continue
            start = named_offset(file.location.name)
            segments.append(Segment(file.location, size, start or 0, start))
        if segments:
            made.append(PartitionLog(files[0].log_partition, tuple(segments)))
    return made, problems


def deleted_topics(directories: Iterable[Location]) -> frozenset[str]:
    """Topics of which data directories hold partitions that were deleted, and no other."""
    deleted: set[str] = set()
    there: set[str] = set()
    for name in (name for data in directories for name in listed(data)):
        match = PARTITION_DIRECTORY.fullmatch(name)
        if match is not None and not is_cut(name):
            (deleted if name.endswith("-delete") else there).add(match["topic"])
    return frozenset(deleted - there)
