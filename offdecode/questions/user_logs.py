"""Partitions of users' topics beside the offsets log: where they start and end, and when an offset was written.

Batch headers, offset indexes and checkpoints are read, no payload: so no checksum is verified here. Of a running
cluster the brokers tell it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from offdecode.log.batches import TIMESTAMP_TYPE_BIT
from offdecode.log.headers import (
    HEADER,
    HEADER_BYTES,
    LEGACY_HEADER,
    LEGACY_HEADER_BYTES,
    LEGACY_LENGTHS,
    LENGTH_END,
    MAGIC_AT,
)
from offdecode.model import LARGEST_INT64
from offdecode.sources.checkpoints import CheckpointFiles, Checkpoints
from offdecode.sources.locations import Location, ToldPartition, listed
from offdecode.sources.names import PARTITION_DIRECTORY, SEGMENT_SUFFIX
from offdecode.sources.readers import Reader
from offdecode.sources.topic_ids import topic_id_of

_INDEX_ENTRY = np.dtype([("offset", ">i4"), ("position", ">i4")])
_TIME_INDEX_ENTRY = np.dtype([("timestamp", ">i8"), ("offset", ">i4")])
_MOST_INDEX_BYTES = 64 << 20
_MOST_INDEXES = 2  # that a log keeps: those of one segment


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch by its header. Timestamps: milliseconds since 1970 UTC; None in format 0."""

    base_offset: int
    last_offset: int
    first_timestamp: int | None
    max_timestamp: int | None
    next_position: int


class UserLog(ABC):
    """A user's partition. Times are in milliseconds since 1970 UTC; None = not known."""

    def __init__(self, directory: Location) -> None:
        self.directory = directory

    @cached_property
    def topic_id(self) -> str | None:
        """The id of the topic that the partition is of."""
        return topic_id_of(self.directory)

    @property
    @abstractmethod
    def start(self) -> int | None:
        """Its first offset."""

    @property
    @abstractmethod
    def end(self) -> int | None:
        """The offset behind its last record."""

    @property
    @abstractmethod
    def high_watermark(self) -> int | None: ...

    @property
    @abstractmethod
    def last_timestamp(self) -> int | None:
        """The latest time of the last records."""

    @abstractmethod
    def ends_at(self, time: int) -> tuple[int, int] | None:
        """At least and at most where the log ended at a time, by the records' timestamps; None where that is not known.

        OSError where it cannot be read.
        """

    @abstractmethod
    def note(self, offset: int) -> None:
        """That it is going to be asked about, about the time of an offset, too."""

    @abstractmethod
    def time_of(self, offset: int) -> int | None:
        """The time of what is read next from an offset on. OSError where it cannot be read."""


class _ToldLog(UserLog):
    """One of which a broker tells, to the record."""

    def __init__(self, directory: Location, told: ToldPartition) -> None:
        super().__init__(directory)
        self._told = told

    @property
    def start(self) -> int:
        return self._told.start

    @property
    def end(self) -> int:
        return self._told.end

    @property
    def high_watermark(self) -> int:
        return self._told.end

    @property
    def last_timestamp(self) -> int | None:
        return self._told.time_of(self._told.end - 1)

    def ends_at(self, time: int) -> tuple[int, int] | None:
        end = self._told.first_offset_after(time)
        return None if end <= self.start and self.start else (end, end)  # what was there then is gone

    def note(self, offset: int) -> None:
        for one in (offset, self.end - 1):
            self._told.note(one)

    def time_of(self, offset: int) -> int | None:
        return self._told.time_of(offset)


class _FilesLog(UserLog):
    """A partition's directory."""

    def __init__(self, directory: Location, checkpoints: Checkpoints) -> None:
        super().__init__(directory)
        self._checkpoints = checkpoints
        found = [name for name in directory.names() if name.endswith(SEGMENT_SUFFIX) and name[:-4].isdecimal()]
        self._segments = sorted((int(name[:-4]), name) for name in found)
        self._indexes: dict[str, np.ndarray] = {}
        self._latest: dict[str, int] = {}
        self._last = self._last_batch()

    @property
    def start(self) -> int | None:
        if not self._segments:
            return None
        return max(self._segments[0][0], self._checkpoints.log_start or 0)

    @property
    def end(self) -> int | None:
        if self._last is not None:
            return self._last.last_offset + 1
        return self._segments[-1][0] if self._segments else None

    @property
    def high_watermark(self) -> int | None:
        return self._checkpoints.high_watermark

    @property
    def last_timestamp(self) -> int | None:
        return None if self._last is None else self._last.max_timestamp

    def ends_at(self, time: int) -> tuple[int, int] | None:
        """Between the two lies the batch in which the first later record is."""
        if self.end is None or self.last_timestamp is None:
            return None
        if time >= self.last_timestamp:
            return self.end, self.end
        for number, (base, name) in enumerate(self._segments):
            if number + 1 < len(self._segments) and self._latest_in(name) <= time:
                continue
            entries = self._time_index(name)
            early = entries["offset"][entries["timestamp"] <= time]
            start = base + (int(early[-1]) if len(early) else 0)
            for batch in self._batches(base, name, start):
                if batch.max_timestamp is None:
                    return None
                if batch.max_timestamp > time:
                    return self._ends_in(batch, time)
        return self.end, self.end

    def _ends_in(self, batch: Batch, time: int) -> tuple[int, int] | None:
        """Where the log ended at a time within a batch, or before it."""
        later = batch.first_timestamp is None or batch.first_timestamp > time
        if later and batch.base_offset <= (self.start or 0):
            return (0, 0) if not batch.base_offset else None  # what was there then is gone
        return batch.base_offset, batch.base_offset if later else batch.last_offset

    def _latest_in(self, name: str) -> int:
        """The latest time in a closed segment, which is entered when it is closed; LARGEST_INT64 = not known."""
        if name not in self._latest:
            entries = self._time_index(name)
            self._latest[name] = int(entries["timestamp"][-1]) if len(entries) else LARGEST_INT64
        return self._latest[name]

    def _time_index(self, name: str) -> np.ndarray:
        """The entries of a segment's time index: behind them it may be zeros."""
        entries = self._index(f"{name[:-4]}.timeindex", _TIME_INDEX_ENTRY)
        entries = entries[entries["timestamp"] > 0]
        rises = all((np.diff(entries[field]) >= 0).all() for field in ("timestamp", "offset"))
        return entries if rises else entries[:0]  # a damaged one tells nothing

    def _index(self, name: str, entry: np.dtype[np.void]) -> np.ndarray:
        """The whole entries of an index. The last ones that were read are kept: many moments ask for the same."""
        if name not in self._indexes:
            if len(self._indexes) >= _MOST_INDEXES:
                self._indexes.clear()
            data = self.directory.side_file(name, _MOST_INDEX_BYTES) or b""
            self._indexes[name] = np.frombuffer(data[: len(data) // entry.itemsize * entry.itemsize], entry)
        return self._indexes[name]

    def note(self, offset: int) -> None:
        pass

    def time_of(self, offset: int) -> int | None:
        """The latest of the batch that is read next."""
        batch = self._batch_of(offset)
        return None if batch is None else batch.max_timestamp

    def _batch_of(self, offset: int) -> Batch | None:
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
        entries = self._index(f"{name[:-4]}.index", _INDEX_ENTRY)
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
    head = reader.read(position, HEADER_BYTES)
    if len(head) < LEGACY_HEADER_BYTES:
        return None
    start = np.frombuffer(head, LEGACY_HEADER, 1)[0]  # offset, length and magic stand there in every format
    base, length, magic = int(start["base_offset"]), int(start["length"]), head[MAGIC_AT]
    after = position + LENGTH_END + length
    if magic > 2 or base < 0 or length < LEGACY_LENGTHS[0] or after > reader.size:
        return None
    if magic < 2:  # the offset of a wrapper is its last message's
        time = int(start["timestamp"]) if magic == 1 else None
        return Batch(base, base, time, time, after)
    if len(head) < HEADER_BYTES:
        return None
    header = np.frombuffer(head, HEADER, 1)[0]
    times = int(header["base_timestamp"]), int(header["max_timestamp"])
    first = times[1] if int(header["attributes"]) & TIMESTAMP_TYPE_BIT else times[0]
    return Batch(base, base + max(int(header["last_offset_delta"]), 0), first, times[1], after)


class _DataDirectory(NamedTuple):
    location: Location
    names: frozenset[str]
    checkpoints: CheckpointFiles


class UserLogs:
    """The partitions of users' topics in data directories, each opened once. topics: those that have any there."""

    def __init__(self, directories: Iterable[Location]) -> None:
        self._directories = [
            _DataDirectory(one, frozenset(listed(one)), CheckpointFiles(one)) for one in directories
        ]  # fmt: skip
        matches = (PARTITION_DIRECTORY.fullmatch(name) for data in self._directories for name in data.names)
        self.topics = frozenset(match["topic"] for match in matches if match is not None)
        self._known: dict[tuple[str, int], UserLog | None] = {}

    def find(self, topic: str, partition: int) -> UserLog | None:
        """The copy of a partition that reaches farthest; None where there is none, or none can be read."""
        key = topic, partition
        if key not in self._known:
            name = f"{topic}-{partition}"
            copies = [
                copy for data in self._directories if name in data.names
                if (copy := _opened(data.location.child(name), data.checkpoints.of(topic, partition))) is not None
            ]  # fmt: skip
            self._known[key] = max(copies, key=lambda copy: copy.end or 0, default=None)
        return self._known[key]


def _opened(directory: Location, checkpoints: Checkpoints) -> UserLog | None:
    try:
        told = directory.told()
        return _FilesLog(directory, checkpoints) if told is None else _ToldLog(directory, told)
    except OSError:
        return None
