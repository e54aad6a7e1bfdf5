"""Lines of exported records to records: what somebody has who only got keys and values, not the segments.

One JSON object a line: `key_hex` or `key_base64`, `value_hex` or `value_base64` (null = tombstone), and where
known `partition`, `offset` and `timestamp` (milliseconds). Such a record has no batch: nothing tells whether it
was transactional. Old clients hand out control records as if they were others: what is written like the end of a
transaction is one, for no record of the offsets topic has so short a key.

What tools have printed is read too: Kafka's console consumer, in JSON without newlines between the objects or in words,
and kafka-dump-log --offsets-decoder; `kcat -J`; `rpk topic consume`, whose objects go over several lines.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from offdecode.errors import CorruptError
from offdecode.log.batches import CONTROL_BIT, TRANSACTIONAL_BIT, Frames
from offdecode.log.dumped import BATCH_HEAD, DUMP_HEAD, RECORD_HEAD, Batch, batch_of, dumped, partition_of
from offdecode.log.json_exports import SEAM, json_of, objects, record_of
from offdecode.log.records import Records
from offdecode.log.told import Place, Printed, Told, ToldRecord
from offdecode.model import PADDING, Chunk, Problem, Vector

_LINES_AT_ONCE = 1 << 16
_MOST_HELD_BYTES = 64 << 20

_MARKER_KEYS = (b"\0\0\0\0", b"\0\0\0\1")  # abort, commit
_MARKER_VALUE_BYTES = 6

_CONSOLE_HEAD = re.compile(
    rb"\[.*,[\w.-]+,\d{1,10}\]::(?:NULL$|OffsetAndMetadata\(|\[OffsetMetadata\[)"
    rb"|(?!.*,[\w.-]+,\d{1,10}\]::NULL$).*::(?:NULL$|GroupMetadata\()"  # not what ends the name of a group
)
_DUMP_HEADS = (DUMP_HEAD, BATCH_HEAD, RECORD_HEAD, b"offset: ", b"Starting offset: ", b"Log starting offset: ")
_CONSOLE_END = re.compile(rb"NULL$|, expireTimestamp=(?:None|Some\(-?\d+\))\)$|,ExpirationTime -?\d+\]$|\)\)$")
_LEAST_OBJECT_BYTES = 8
_JSON_BEGINS, _JSON_ENDS = b"{", b"}"  # lines of an object that goes over several
_DUMPED_KEY, _DUMPED_VALUE, _DELETED = "key: ", " payload: ", "<DELETE>"
_DUMPED_JSON = "key: {"
_KEY, _PAYLOAD = b" key: ", b" payload: "
_OPEN_ENDED = re.compile(rb".*? payload: offset=-?\d+,metadata=(.*)", re.S)
_MOST_NAME_BYTES = 1 << 15
_VALUE_BYTES = 20  # of a committed offset without its text, at least
_JSON = json.JSONDecoder()

_JSON_HEADS = (
    re.compile(rb'\{\s*"key":\s*\{'),  # kafka-console-consumer with a formatter of the coordinator
    re.compile(rb'\{\s*"topic":\s*"'),  # kcat, rpk
    re.compile(rb'\{.*"(?:key_hex|key_base64)":'),
)


# What records share an entry of the frames for: whether they are control records, their batch, what is not told.
_Entry = tuple[bool, Batch | None, frozenset[str]]
Found = dict[int | None, tuple[list[ToldRecord], list[Problem]]]


def is_export(head: bytes) -> bool:
    """Whether a file that begins so is an export."""
    head = head.lstrip()
    line = head.partition(b"\n")[0]
    if b"\0" in line:
        return False
    if head.startswith(DUMP_HEAD) or _CONSOLE_HEAD.match(line):
        return True
    return any(form.match(head) for form in _JSON_HEADS)


def _open_room(text: bytes) -> int:
    """How many bytes more a dumped record may have than its first lines: names and metadata may have several."""
    if _PAYLOAD not in text:
        return _MOST_NAME_BYTES if _KEY in text else 0
    match = _OPEN_ENDED.fullmatch(text)
    record = dumped(text) if match else None
    return record.value_bytes - _VALUE_BYTES - len(match[1]) if match and record else 0


class Exports:
    """Reads the lines of one export in order.

    printed: makes the bytes of a key and a value of what Kafka's tools print of them.
    """

    def __init__(self, source: str, printed: Printed) -> None:
        self._source = source
        self._printed = printed
        self._partition: int | None = None  # of the record before
        self._dumped = False  # whether it is what kafka-dump-log prints
        self._in_words: bool | None = None  # whether it does not begin as JSON
        self._returns: bool | None = None  # whether lines end as Windows ends them
        self._stray = False  # whether the line before was no record
        self._batch: Batch | None = None  # of the records that follow
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
                if self._is_object(line):
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

    def _is_object(self, line: bytes) -> bool:
        """Whether a line surely is a record by itself: what most lines of most exports are."""
        if self._in_words is not False or self._held or self._dumped:
            return False
        return line.startswith(_JSON_BEGINS) and len(line) > _LEAST_OBJECT_BYTES and SEAM not in line

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
        if self._held and self._goes_on(line):
            self._held.append(line)
            self._room -= len(line) + 1
            if self._dumped and _PAYLOAD in line:
                self._room = _open_room(b"\n".join(self._held))
            if self._room <= 0 or self._is_end(line):
                yield from self._released()
            return
        yield from self._released()
        if line.startswith(DUMP_HEAD):
            self._dumped = True
            self._partition, self._batch = partition_of(line), None
        elif line.startswith(BATCH_HEAD) and self._dumped:
            self._batch = batch_of(line)
        elif (room := self._room_behind(line)) > 0:
            self._held, self._held_at, self._room = [line], position, room
        elif line.startswith(_JSON_BEGINS):
            for part in objects(line):
                yield position, part
                position += len(part)
        else:
            yield position, line

    def _room_behind(self, line: bytes) -> int:
        """How many bytes more the record may have that a line begins."""
        if self._dumped:
            return _open_room(line) if line.startswith(RECORD_HEAD) else 0
        if self._in_words is None and line.strip():
            self._in_words = not line.lstrip().startswith(_JSON_BEGINS)
        in_words = self._in_words and line.startswith(b"[")
        begins = line.rstrip() == _JSON_BEGINS or in_words or _CONSOLE_HEAD.match(line)
        return _MOST_HELD_BYTES if begins and not self._is_end(line) else 0

    def _goes_on(self, line: bytes) -> bool:
        """Whether a line is of the record that is held."""
        if len(line) >= self._room:
            return False
        if self._dumped:
            return not line.startswith(_DUMP_HEADS)
        if self._held[0].startswith(_JSON_BEGINS):
            return line.rstrip() != _JSON_BEGINS  # the next begins though this one did not end
        return _CONSOLE_HEAD.match(line) is None

    def _is_end(self, line: bytes) -> bool:
        """Whether a record that is held ends with a line, as far as that tells."""
        if self._dumped:
            return False
        if self._held and self._held[0].startswith(_JSON_BEGINS):
            return line.rstrip() == _JSON_ENDS
        return _CONSOLE_END.search(line) is not None

    def _released(self) -> Iterator[tuple[int, bytes]]:
        if self._held:
            yield self._held_at, b"\n".join(self._held)
            self._held = []

    def _take(self, position: int, text: bytes, found: Found) -> None:
        try:
            record = self._read(text) if text.strip() else None
            if record is not None:
                self._partition = record.place.partition
                found.setdefault(self._partition, ([], []))[0].append(record)
        except CorruptError as error:
            problem = Problem("bad_export_line", self._source, str(error), self._partition, position, len(text))
            found.setdefault(self._partition, ([], []))[1].append(problem)

    def _read(self, text: bytes) -> ToldRecord | None:
        """The record of a text; None where it tells of none."""
        if self._dumped:
            return self._read_dumped(text) if text.startswith(RECORD_HEAD) else None
        if self._in_words:
            return self._read_words(text)
        return record_of(text, self._printed)

    def _read_words(self, text: bytes) -> ToldRecord:
        stray, self._stray = self._stray, True
        told = self._printed.of_console(text.decode("utf-8", "replace"))
        self._stray = False
        if stray and told.value is None and not text.startswith(b"["):
            raise CorruptError("the line before may be of the group's name")
        return ToldRecord(Place(), told)

    def _read_dumped(self, text: bytes) -> ToldRecord:
        record = dumped(text)
        if record is None:
            raise CorruptError("the line is not as kafka-dump-log prints a record")
        place = Place(self._partition, record.offset, record.timestamp)
        if record.marker is not None:
            value = bytes(2) + record.coordinator_epoch.to_bytes(4, signed=True)
            return ToldRecord(place, Told(_MARKER_KEYS[record.marker], value), self._batch)
        words = record.content.decode("utf-8", "replace")
        pair = _dumped_pair(words)
        told = self._printed.of_dump(words) if pair is None else self._printed.of_json(*pair)
        return ToldRecord(place, told, self._batch)


def _dumped_pair(words: str) -> tuple[Any, Any] | None:
    """What the dump tool has printed of a key and a value in JSON; None where it did not."""
    if not words.startswith(_DUMPED_JSON):
        return None
    try:
        key, end = _JSON.raw_decode(words, len(_DUMPED_KEY))
    except (ValueError, RecursionError):
        return None
    if not words.startswith(_DUMPED_VALUE, end):
        return None
    value = words[end + len(_DUMPED_VALUE) :]
    return key, None if value == _DELETED else json_of(value.encode())


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
    return key in _MARKER_KEYS and value is not None and len(value) == _MARKER_VALUE_BYTES and value[:2] == b"\0\0"


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
