"""What a broker leaves behind beside a log: segments that were to be deleted or put in place, partitions that moved."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from offdecode.sources.locations import Location
from offdecode.sources.names import LEFTOVER_DIRECTORY, LEFTOVER_SEGMENT, SEGMENT_NAME, leftover_pattern
from offdecode.sources.segments import PartitionLog, partition_of

_PARTITION = re.compile(rf"(?P<topic>.+)-\d+(?P<leftover>(?:{LEFTOVER_DIRECTORY})?)")
_LONGEST_NAME = 255
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
        directory = log.segments[0].location.parent
        if directory.key in known or partition_of(directory) is None:
            continue
        known.add(directory.key)
        for name in _names(directory):
            if match := LEFTOVER_SEGMENT.fullmatch(name):
                yield LeftoverFile(directory.child(name), log.log_partition, _WHY[match["why"]])
        data = directory.parent
        if data.key in known:
            continue
        known.add(data.key)
        for place in (data.child(name) for name in _names(data) if leftover_pattern(topic).fullmatch(name)):
            why = _WHY[place.name.rpartition("-")[2]]
            for name in _names(place) if place.key not in known else ():
                if SEGMENT_NAME.fullmatch(name) or LEFTOVER_SEGMENT.fullmatch(name):
                    yield LeftoverFile(place.child(name), partition_of(place), why)


def deleted_topics(logs: Iterable[PartitionLog]) -> frozenset[str]:
    """Topics of which the data directories beside the logs hold partitions that were deleted, and no other."""
    deleted: set[str] = set()
    there: set[str] = set()
    for data in {found.key: found for log in logs for found in (log.segments[0].location.parent.parent,)}.values():
        for name in _names(data):
            match = _PARTITION.fullmatch(name)
            if match is not None and len(name) < _LONGEST_NAME:  # longer ones are cut
                (deleted if match["leftover"].endswith("-delete") else there).add(match["topic"])
    return frozenset(deleted - there)


def _names(directory: Location) -> list[str]:
    try:
        return directory.names()
    except OSError:  # it may be no directory: a file that was named, standard input
        return []
