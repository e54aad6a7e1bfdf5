"""A data directory's checkpoint files to what the broker knew of one partition's offsets.

Format of org.apache.kafka.server.common.CheckpointFile: a version line, a line with the number of entries, then
`topic partition offset` a line; in a log's own directory `leader-epoch offset` a line, for each epoch its first
offset (LeaderEpochCheckpointFile). A file that is not there, or is damaged, tells nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from offdecode.model import LARGEST_INT64
from offdecode.sources.locations import Location
from offdecode.sources.names import LEADER_EPOCHS, META_PROPERTIES

_ENTRY = re.compile(rb"(?m)^[ \t]*([^ \t\r\n]+)[ \t]+([0-9]{1,10})[ \t]+([0-9]+)[ \t\r]*$")
_EPOCHS = re.compile(rb"0\s+([0-9]{1,10})((?:\s+[0-9]{1,10}[ \t]+[0-9]{1,19})*)\s*")
_MOST_BYTES = 64 << 20  # a line a partition; no broker has a million
_MOST_EPOCH_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """Offsets of one partition; None where the data directory does not tell.

    high_watermark: records from it on may never have been committed. log_start: the first offset of the log.
    cleaner: the first offset that the log cleaner has not cleaned. recovery_point: the first offset that may not
    have been flushed to the disk.
    """

    high_watermark: int | None = None
    log_start: int | None = None
    cleaner: int | None = None
    recovery_point: int | None = None


CHECKPOINT_FILES = {
    "high_watermark": "replication-offset-checkpoint",
    "log_start": "log-start-offset-checkpoint",
    "cleaner": "cleaner-offset-checkpoint",
    "recovery_point": "recovery-point-offset-checkpoint",
}


class CheckpointFiles:
    """The checkpoint files of a data directory, read once."""

    def __init__(self, data_directory: Location) -> None:
        self._entries = {name: _entries(data_directory, file) for name, file in CHECKPOINT_FILES.items()}

    def of(self, topic: str, partition: int) -> Checkpoints:
        """What they say of one partition."""
        place = os.fsencode(topic), partition
        return Checkpoints(**{name: entries.get(place) for name, entries in self._entries.items()})


def read_checkpoints(data_directory: Location, topic: str, partition: int) -> Checkpoints:
    """What the checkpoint files of a data directory say of one partition."""
    return CheckpointFiles(data_directory).of(topic, partition)


def high_watermarks(data_directory: Location, topic: str) -> dict[int, int]:
    """{partition: high watermark} of those that the broker of a data directory had of a topic."""
    entries, name = _entries(data_directory, CHECKPOINT_FILES["high_watermark"]), os.fsencode(topic)
    return {number: offset for (of, number), offset in entries.items() if of == name}


def leader_epochs(directory: Location) -> tuple[tuple[int, int], ...]:
    """The leader epochs of the log in a directory, each with its first offset, both ascending; none = not known."""
    found = _EPOCHS.fullmatch(directory.side_file(LEADER_EPOCHS, _MOST_EPOCH_BYTES) or b"")
    if found is None:
        return ()
    numbers = [int(one) for one in found[2].split()]
    epochs = tuple(zip(numbers[::2], numbers[1::2], strict=True))
    whole = len(epochs) == int(found[1]) and max(numbers, default=0) <= LARGEST_INT64
    return epochs if whole and _ascends(epochs) else ()


def _ascends(epochs: Iterable[tuple[int, int]]) -> bool:
    return all(epoch < later and start < after for (epoch, start), (later, after) in pairwise(epochs))


def broker_id(data_directory: Location) -> int | None:
    """Which broker a data directory is of, by its meta.properties; None where that does not tell."""
    found = _property(data_directory, rb"(?:node|broker)\.id", rb"[0-9]{1,10}")
    return None if found is None else int(found)


def cluster_id(data_directory: Location) -> str | None:
    """Which cluster's broker a data directory is of, by its meta.properties; None where that does not tell."""
    found = _property(data_directory, rb"cluster\.id", rb"[\w-]{1,64}")
    return None if found is None else found.decode()


def _property(data_directory: Location, name: bytes, value: bytes) -> bytes | None:
    text = data_directory.side_file(META_PROPERTIES, _MOST_BYTES) or b""
    found = re.search(rb"(?m)^[ \t]*" + name + rb"[ \t]*[=:][ \t]*(" + value + rb")[ \t\r]*$", text)
    return found[1] if found else None


def _entries(directory: Location, file: str) -> dict[tuple[bytes, int], int]:
    """The offsets of a checkpoint file, by topic and partition; of several of one partition the first."""
    found: dict[tuple[bytes, int], int] = {}
    for line in _ENTRY.finditer(directory.side_file(file, _MOST_BYTES) or b""):
        found.setdefault((line[1], int(line[2])), min(int(line[3][:19]), LARGEST_INT64))
    return found
