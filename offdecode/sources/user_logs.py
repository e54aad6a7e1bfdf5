"""Partitions of users' topics beside the offsets log: where they start and end, and when an offset was written.

Batch headers, offset indexes and checkpoints are read, no payload: so no checksum is verified here.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from offdecode.sources.checkpoints import Checkpoints, read_checkpoints
from offdecode.sources.locations import Location, listed
from offdecode.sources.names import SEGMENT_SUFFIX
from offdecode.sources.readers import Reader

_HEADER_BYTES = 61  # of a batch of message format 2
_LEAST_BYTES = 26  # of a message of format 0
_LENGTH_END = 12
_MAGIC_AT = 16
_OLD_TIMESTAMP = struct.Struct(">q")  # of format 1, behind magic and attributes
_INDEX_ENTRY = np.dtype([("offset", ">i4"), ("position", ">i4")])
_MOST_INDEX_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch by its header: position in the segment, offsets, timestamps in milliseconds (None in format 0)."""

    position: int
    next_position: int
    base_offset: int
    last_offset: int
    first_timestamp: int | None
    max_timestamp: int | None


class UserLog:
    """A partition's directory. start: its first offset; end: the offset behind its last record. None = not known."""

    def __init__(self, directory: Location, topic: str, partition: int) -> None:
        self.directory = directory
        self.checkpoints: Checkpoints = read_checkpoints(directory.parent, topic, partition)
        found = [name for name in directory.names() if name.endswith(SEGMENT_SUFFIX) and name[:-4].isdecimal()]
        self._segments = sorted((int(name[:-4]), name) for name in found)
        self._last = self._last_batch()

    @property
    def start(self) -> int | None:
        if not self._segments:
            return None
        return max(self._segments[0][0], self.checkpoints.log_start or 0)

    @property
    def end(self) -> int | None:
        if self._last is not None:
            return self._last.last_offset + 1
        return self._segments[-1][0] if self._segments else None

    @property
    def last_timestamp(self) -> int | None:
        """Of the last batch, the latest."""
        return None if self._last is None else self._last.max_timestamp

    def batch_of(self, offset: int) -> Batch | None:
        """The first batch that ends at or behind an offset; None where the log has none."""
        for number, (base, name) in enumerate(self._segments):
            following = self._segments[number + 1][0] if number + 1 < len(self._segments) else None
            if following is None or following > offset:
                found = next((one for one in self._batches(base, name, offset) if one.last_offset >= offset), None)
                if found is not None:
                    return found
        return None

    def _last_batch(self) -> Batch | None:
        for base, name in reversed(self._segments):
            last = deque(self._batches(base, name, None), maxlen=1)
            if last:
                return last[0]
        return None

    def _batches(self, base: int, name: str, offset: int | None) -> Iterator[Batch]:
        """The batches of a segment from the last place of its index before an offset on; None = from the last one."""
        with self.directory.child(name).open() as reader:
            position = self._indexed(base, name, offset, reader)
            while (batch := _batch_at(reader, position)) is not None:
                yield batch
                position = batch.next_position

    def _indexed(self, base: int, name: str, offset: int | None, reader: Reader) -> int:
        """A place in a segment to start from: where the index says a batch is, if one is there; else its start."""
        data = self.directory.side_file(f"{name[:-4]}.index", _MOST_INDEX_BYTES) or b""
        entries = np.frombuffer(data[: len(data) // 8 * 8], _INDEX_ENTRY)
        wanted = (entries["position"] > 0) & (entries["position"] < reader.size)  # behind them it may be zeros
        if offset is not None:
            wanted &= entries["offset"] <= offset - base
        for at in np.flatnonzero(wanted)[-1:].tolist():
            position = int(entries["position"][at])
            batch = _batch_at(reader, position)
            if batch is not None and batch.base_offset <= base + int(entries["offset"][at]) <= batch.last_offset:
                return position
        return 0


def _batch_at(reader: Reader, position: int) -> Batch | None:
    """The batch whose header stands at a position; None where none is whole there."""
    head = reader.read(position, _HEADER_BYTES)
    if len(head) < _LEAST_BYTES:
        return None
    base, length = struct.unpack_from(">qi", head)
    magic = head[_MAGIC_AT]
    after = position + _LENGTH_END + length
    if magic > 2 or base < 0 or length < _LEAST_BYTES - _LENGTH_END or after > reader.size:
        return None
    if magic < 2:  # the offset of a wrapper is its last message's
        time = _OLD_TIMESTAMP.unpack_from(head, _MAGIC_AT + 2)[0] if magic == 1 else None
        return Batch(position, after, base, base, time, time)
    if len(head) < _HEADER_BYTES:
        return None
    (delta,) = struct.unpack_from(">i", head, 23)
    first, latest = struct.unpack_from(">qq", head, 27)
    return Batch(position, after, base, base + max(delta, 0), first, latest)


class UserLogs:
    """The partitions of users' topics in data directories, each opened once."""

    def __init__(self, directories: Iterable[Location]) -> None:
        self._directories = [(directory, set(listed(directory))) for directory in directories]
        self._known: dict[tuple[str, int], UserLog | None] = {}

    def find(self, topic: str, partition: int) -> UserLog | None:
        """The copy of a partition that reaches farthest; None where there is none, or none can be read."""
        key = topic, partition
        if key not in self._known:
            name = f"{topic}-{partition}"
            copies = [
                copy for directory, names in self._directories if name in names
                if (copy := _opened(directory.child(name), topic, partition)) is not None
            ]  # fmt: skip
            self._known[key] = max(copies, key=lambda copy: copy.end or 0, default=None)
        return self._known[key]


def _opened(directory: Location, topic: str, partition: int) -> UserLog | None:
    try:
        return UserLog(directory, topic, partition)
    except OSError:
        return None
