"""Lines of exported records to records: what somebody has who only got keys and values, not the segments.

One JSON object a line: `key_hex` or `key_base64`, `value_hex` or `value_base64` (null = tombstone), and where
known `partition`, `offset` and `timestamp` (milliseconds). Such a record has no batch: nothing tells whether it
was transactional. Old clients hand out control records as if they were others: what is written like the end of a
transaction is one, for no record of the offsets topic has so short a key.

What tools have printed is read too: export_forms knows their forms.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from offdecode.errors import CorruptError
from offdecode.log.batches import CONTROL_BIT, TRANSACTIONAL_BIT, Frames
from offdecode.log.dumped import DUMP_HEAD, Batch
from offdecode.log.export_forms import MARKER_KEYS, Form, form_of
from offdecode.log.records import Records
from offdecode.log.told import Printed, ToldRecord
from offdecode.model import PADDING, Chunk, Problem, Vector

_LINES_AT_ONCE = 1 << 16
_MARKER_VALUE_BYTES = 6

# What records share an entry of the frames for: whether they are control records, their batch, what is not told.
_Entry = tuple[bool, Batch | None, frozenset[str]]
Found = dict[int | None, tuple[list[ToldRecord], list[Problem]]]


class Exports:
    """Reads the lines of one export in order.

    printed: makes the bytes of a key and a value of what Kafka's tools print of them.
    """

    def __init__(self, source: str, printed: Printed) -> None:
        self._source = source
        self._printed = printed
        self._partition: int | None = None  # of the record before
        self._form: Form | None = None  # None until a line is not empty
        self._returns: bool | None = None  # whether lines end as Windows ends them
        self._held: list[bytes] = []  # lines of a record that may go on
        self._held_at = 0
        self._room = 0  # how many bytes more it may have

    def records(self, position: int, lines: Sequence[bytes]) -> Iterator[Records]:
        """The records of lines that start at byte `position`, some thousand lines at a time.

        Of these, those of one partition are a group: consumers write partitions in turn, a few records of each. A line
        that is no record is a problem of the group before it.
        """
        for first in range(0, len(lines), _LINES_AT_ONCE):
            found: Found = {}
            for line in lines[first : first + _LINES_AT_ONCE]:
                if self._form is not None and not self._held and self._form.is_whole(line):
                    self._take(position, line, found)
                else:
                    for at, text in self._whole(position, self._bare(line)):
                        self._take(at, text, found)
                position += len(line) + 1
            yield from self._groups(found)

    def _bare(self, line: bytes) -> bytes:
        """A line without the return that stands before each line's end where a file was saved so."""
        if self._returns is None and line.strip():
            self._returns = line.endswith(b"\r")
        return line.removesuffix(b"\r") if self._returns else line

    def rest(self) -> Iterator[Records]:
        """What was held at the end of the lines."""
        found: Found = {}
        for at, text in self._released():
            self._take(at, text, found)
        yield from self._groups(found)

    def _groups(self, found: Found) -> Iterator[Records]:
        for log_partition, (records, problems) in found.items():
            yield _records(self._source, log_partition, records, tuple(problems))

    def _whole(self, position: int, line: bytes) -> Iterator[tuple[int, bytes]]:
        """The texts of records that are through with a line, and where they begin."""
        if self._form is None:
            if not line.strip():
                return
            self._form = form_of(line, self._printed)
        if self._held and len(line) < self._room and self._form.goes_on(line):
            self._held.append(line)
            self._room = self._form.room_left(self._held, self._room)
            if self._room <= 0 or self._form.is_end(line):
                yield from self._released()
            return
        yield from self._released()
        if line.startswith(DUMP_HEAD):  # of the next segment, or behind what was said before the first
            self._form = form_of(line, self._printed)
        if self._form.is_head(line):
            self._partition = self._form.partition
        elif (room := self._form.room_behind(line)) > 0:
            self._held, self._held_at, self._room = [line], position, room
        else:
            for part in self._form.parts(line):
                yield position, part
                position += len(part)

    def _released(self) -> Iterator[tuple[int, bytes]]:
        if self._held:
            yield self._held_at, b"\n".join(self._held)
            self._held = []

    def _take(self, position: int, text: bytes, found: Found) -> None:
        try:
            record = None if self._form is None or not text.strip() else self._form.read(text)
            if record is not None:
                self._partition = record.place.partition
                found.setdefault(self._partition, ([], []))[0].append(record)
        except CorruptError as error:
            problem = Problem("bad_export_line", self._source, str(error), self._partition, position, len(text))
            found.setdefault(self._partition, ([], []))[1].append(problem)


def _records(source: str, partition: int | None, lines: list[ToldRecord], problems: tuple[Problem, ...]) -> Records:
    pairs = [data for line in lines for data in line.told[:2]]
    length = np.array([-1 if data is None else len(data) for data in pairs], np.int64)
    ends = np.cumsum(np.maximum(length, 0))
    position = ends - np.maximum(length, 0)
    buffer = np.frombuffer(b"".join((*(data or b"" for data in pairs), bytes(PADDING))), np.uint8)
    # Records of one batch, or all of which nothing is told, share an entry of the frames.
    entries: dict[_Entry, int] = {}
    kinds = [(_ends_transaction(*line.told[:2]), line.batch, line.told.untold) for line in lines]
    frame = np.array([entries.setdefault(kind, len(entries)) for kind in kinds], np.int64)
    return Records(
        frames=_told_batches(source, partition, list(entries), frame),
        buffer=buffer,
        frame=frame,
        log_offset=np.array([line.place.offset or 0 for line in lines], np.int64),
        log_timestamp=np.array([line.place.timestamp or 0 for line in lines], np.int64),
        has_timestamp=np.array([line.place.timestamp is not None for line in lines], np.bool_),
        key_position=position[0::2],
        key_length=length[0::2],
        value_position=position[1::2],
        value_length=length[1::2],
        problems=problems,
        has_offset=np.array([line.place.offset is not None for line in lines], np.bool_),
    )


def _ends_transaction(key: bytes | None, value: bytes | None) -> bool:
    """Whether a record is written like a marker of version 0: its key is version and kind, its value starts with 0."""
    return key in MARKER_KEYS and value is not None and len(value) == _MARKER_VALUE_BYTES and value[:2] == b"\0\0"


def _told_batches(source: str, partition: int | None, entries: Sequence[_Entry], frame: Vector) -> Frames:
    """Entries that stand for batches: whether their records are control records, and what is told of them, if that is.

    Exported records have no bytes of batches. frame: the entry of each record.
    """
    chunk = Chunk(source, partition, 0, np.zeros(PADDING, np.uint8), 0, 0)
    count = len(entries)
    zero, none = np.zeros(count, np.int64), np.full(count, -1, np.int64)
    told = np.array([batch[:4] if batch else (0, 0, -1, -1) for _, batch, _ in entries], np.int64).reshape(-1, 4).T
    attributes = [
        CONTROL_BIT * control | TRANSACTIONAL_BIT * bool(batch and batch.transactional) for control, batch, _ in entries
    ]
    base_offset, last_offset, producer_id, producer_epoch = told
    return Frames(
        chunk=chunk,
        position=zero,
        end=zero,
        base_offset=base_offset,
        last_offset=last_offset,
        leader_epoch=none,
        magic=none,
        attributes=np.array(attributes, np.int64),
        base_timestamp=zero,
        max_timestamp=zero,
        producer_id=producer_id,
        producer_epoch=producer_epoch,
        base_sequence=none,
        count=np.bincount(frame, minlength=count).astype(np.int64),
        crc_valid=np.ones(count, np.bool_),
        next_position=0,
        untold=tuple(untold for *_, untold in entries),
    )
