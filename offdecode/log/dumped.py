"""Lines of kafka-dump-log: the segments, batches and records that they tell of, and how transactions ended."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from offdecode.log.batches import Frames
from offdecode.log.transactions import Status
from offdecode.model import LARGEST_INT64, Vector

DUMP_HEAD = b"Dumping "
BATCH_HEAD = b"baseOffset: "
RECORD_HEAD = b"| offset: "
_TIME = rb"(?P<type>\w+): (?P<time>-?\d{1,18}) "
_SIZES = rb"key[sS]ize: \S+ value[sS]ize: (?P<value_bytes>-?\d{1,10}) "
_CONTENT = rb"(?:endTxnMarker: (?P<marker>COMMIT|ABORT) coordinatorEpoch: (?P<epoch>-?\d{1,9})|(?P<content>.*))"
_RECORDS = tuple(
    re.compile(rb"\| offset: (?P<offset>\d{1,18}) " + form + _CONTENT, re.S)
    for form in (
        # Of messages of formats 0 and 1 behind the sizes: since 3.0, with the tool's own brace, and up to 2.7.
        _TIME + _SIZES + rb"(?:sequence: \S+ headerKeys: \[.*?\]|isValid: \w+ crc: \d+\}|crc: \d+ isvalid: \w+) ",
        rb"isValid: \w+ crc: \w+ " + _SIZES + _TIME + rb"baseOffset: .{1,300}? position: \d+ "  # 2.8
        rb"(?:sequence: \S+ headerKeys: \[.*?\]|crc: \d+ isvalid: \w+) ",
    )
)
_NO_TIME = b"NoTimestampType"
_PARTITION = re.compile(rb"-(\d{1,9})/\d{20}\.")
_BATCH = re.compile(
    rb"baseOffset: (\d{1,18}) lastOffset: (\d{1,18}) count: (-?\d{1,9}) .{0,200}?producerId: (-?\d{1,18}) "
    rb"producerEpoch: (-?\d{1,9}) .{0,200}?isTransactional: (true|false) "
)


class Batch(NamedTuple):
    """What a dump tells of a batch before its records. records: how many it has."""

    base_offset: int
    last_offset: int
    producer_id: int
    producer_epoch: int
    transactional: bool
    records: int


class Dumped(NamedTuple):
    """A record as a dump prints it. marker: whether a transaction ends by commit, None where none ends.

    content: what is printed of key and value, empty for a marker; value_bytes: how many bytes the value has.
    """

    offset: int
    timestamp: int | None
    value_bytes: int
    marker: bool | None
    coordinator_epoch: int
    content: bytes


def dumped(line: bytes) -> Dumped | None:
    """The record that a line begins with; None where it begins with none."""
    for form in _RECORDS:
        if match := form.match(line):
            return Dumped(
                int(match["offset"]),
                None if match["type"] == _NO_TIME else int(match["time"]),
                int(match["value_bytes"]),
                None if match["marker"] is None else match["marker"] == b"COMMIT",
                int(match["epoch"] or 0),
                match["content"] or b"",
            )
    return None


def partition_of(line: bytes) -> int | None:
    """The partition of the segment whose dump a line begins; None where its path does not tell."""
    match = _PARTITION.search(line)
    return int(match[1]) if match else None


def batch_of(line: bytes) -> Batch | None:
    """The batch that a line tells of; None where it tells of none, or of one without a producer."""
    match = _BATCH.match(line) if line.startswith(BATCH_HEAD) else None
    if match is None:
        return None
    base, last, count, producer_id, epoch = (int(match[one]) for one in range(1, 6))
    return Batch(base, last, producer_id, epoch, match[6] == b"true", count)


class DumpedTransactions:
    """The ends of transactions in dumps: from all of them, before any record is judged.

    As in segments, a record is decided by its producer's next marker in the same log partition. Where one dumped
    segment does not join the one before, a marker may be missing, unless later batches show that the log was cleaned.
    """

    def __init__(self) -> None:
        self._markers: dict[tuple[int | None, int], list[tuple[int, bool]]] = defaultdict(list)
        self._spans: dict[int | None, list[list[int]]] = defaultdict(list)  # first and last offset of each segment
        self._cleaned_to: dict[int | None, int] = defaultdict(int)
        self._breaks: dict[int | None, list[int]] = {}
        self._partition: int | None = None
        self._batch: Batch | None = None
        self._span: list[int] | None = None

    def note(self, lines: Sequence[bytes]) -> None:
        """Take the next lines of a dump."""
        for line in lines:
            if line.startswith(DUMP_HEAD):
                self._partition, self._batch, self._span = partition_of(line), None, None
            elif (batch := batch_of(line)) is not None:
                self._batch = batch
                self._cover(batch)
            elif self._batch is not None and b"endTxnMarker: " in line:
                record = dumped(line)
                if record is not None and record.marker is not None:
                    marker = record.offset, record.marker
                    self._markers[self._partition, self._batch.producer_id].append(marker)

    def _cover(self, batch: Batch) -> None:
        """Make the segment's span longer; what the log cleaner has removed shows."""
        hole = self._span is not None and batch.base_offset > self._span[1] + 1
        if hole or batch.records <= batch.last_offset - batch.base_offset:
            self._cleaned_to[self._partition] = max(self._cleaned_to[self._partition], batch.base_offset)
        if self._span is None:
            self._span = [batch.base_offset, batch.last_offset]
            self._spans[self._partition].append(self._span)
        else:
            self._span[1] = max(self._span[1], batch.last_offset)

    def finish(self) -> None:
        """All has been noted."""
        for markers in self._markers.values():
            markers.sort()
        for partition, spans in self._spans.items():
            cleaned_to = self._cleaned_to[partition]
            self._breaks[partition] = [
                first for (_, last), (first, _) in pairwise(sorted(spans)) if first != last + 1 and first > cleaned_to
            ]

    def _status(self, partition: int | None, producer_id: int, first: int, last: int) -> Status:
        """What became of the transaction of a producer's records from one offset to another."""
        markers = self._markers.get((partition, producer_id), [])
        at = bisect_right(markers, (last, True))
        until = markers[at][0] if at < len(markers) else LARGEST_INT64
        if any(first < one <= until for one in self._breaks.get(partition, ())):
            return Status.UNKNOWN
        if at == len(markers):
            return Status.OPEN
        return Status.COMMITTED if markers[at][1] else Status.ABORTED

    def decide(self, frames: Frames) -> Vector:
        """The status of each of the batches that stand for exported records."""
        status = np.full(len(frames), Status.NONE, np.int64)
        rows = np.flatnonzero(frames.transactional & ~frames.control)
        numbers = (frames.producer_id, frames.base_offset, frames.last_offset)
        for row, *batch in zip(rows.tolist(), *(vector[rows].tolist() for vector in numbers), strict=True):
            status[row] = self._status(frames.chunk.log_partition, *batch)
        return status
