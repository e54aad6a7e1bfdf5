"""Lines of exported records to records: what somebody has who only got keys and values, not the segments.

One JSON object a line: `key_hex` or `key_base64`, `value_hex` or `value_base64` (null = tombstone), and where
known `partition`, `offset` and `timestamp` (milliseconds). Such a record has no batch: nothing tells whether it
was transactional. Old clients hand out control records as if they were others: what is written like the end of a
transaction is one, for no record of the offsets topic has so short a key.

What Kafka's own tools have printed is read too: the JSON objects of kafka-console-consumer, which prints no newline
between them, and the lines of kafka-dump-log --offsets-decoder.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import orjson

from offdecode.errors import CorruptError
from offdecode.log.batches import CONTROL_BIT, TRANSACTIONAL_BIT, Frames
from offdecode.log.dumped import BATCH_HEAD, DUMP_HEAD, RECORD, RECORD_HEAD, Batch, batch_of, partition_of
from offdecode.log.records import Records
from offdecode.model import PADDING, Chunk, Problem, Vector

_LINES_AT_ONCE = 1 << 16
_LONG_LINE_BYTES = 1 << 16
_MOST_VALUES = 10_000

_MARKER_KEYS = (b"\0\0\0\0", b"\0\0\0\1")  # abort, commit
_MARKER_VALUE_BYTES = 6

SEAM = b'}{"key":'
_DUMPED_KEY, _DUMPED_VALUE, _DELETED = "key: ", " payload: ", "<DELETE>"
_JSON = json.JSONDecoder()
Printed = Callable[[Any, Any], tuple[bytes, bytes | None]]

NO_BATCH = -1  # the magic of records that come without a batch


class _Line(NamedTuple):
    """A record as a line tells it; batch: None where nothing is told of it."""

    partition: int | None
    offset: int | None
    timestamp: int | None
    key: bytes | None
    value: bytes | None
    batch: Batch | None = None


class Exports:
    """Reads the lines of one export in order.

    printed: makes the bytes of a key and a value of what Kafka's tools print of them.
    """

    def __init__(self, source: str, printed: Printed) -> None:
        self._source = source
        self._printed = printed
        self._partition: int | None = None  # of the record before
        self._dumped = False  # whether it is what kafka-dump-log prints
        self._batch: Batch | None = None  # of the records that follow

    def records(self, position: int, lines: Sequence[bytes]) -> Iterator[Records]:
        """The records of lines that start at byte `position`, some thousand lines at a time.

        Of these, those of one partition are a group: consumers write partitions in turn, a few records of each. A line
        that is no record is a problem of the group before it.
        """
        for first in range(0, len(lines), _LINES_AT_ONCE):
            found: dict[int | None, tuple[list[_Line], list[Problem]]] = {}
            for line in lines[first : first + _LINES_AT_ONCE]:
                for part in _objects(line):
                    try:
                        record = self._read(part) if part.strip() else None
                        if record is not None:
                            self._partition = record.partition
                            found.setdefault(self._partition, ([], []))[0].append(record)
                    except CorruptError as error:
                        problem = Problem(
                            "bad_export_line", self._source, str(error), self._partition, position, len(part)
                        )
                        found.setdefault(self._partition, ([], []))[1].append(problem)
                    position += len(part)
                position += 1
            for log_partition, (records, problems) in found.items():
                yield _records(self._source, log_partition, records, tuple(problems))

    def _read(self, line: bytes) -> _Line | None:
        """A line's record; None where it tells of none."""
        if line.startswith(DUMP_HEAD):
            self._dumped = True
            self._partition, self._batch = partition_of(line), None
        if self._dumped:
            if line.startswith(BATCH_HEAD):
                self._batch = batch_of(line)
            return self._read_dumped(line) if line.startswith(RECORD_HEAD) else None
        if len(line) > _LONG_LINE_BYTES and sum(map(line.count, (b",", b"[", b"{"))) > _MOST_VALUES:
            raise CorruptError(f"the line holds more than {_MOST_VALUES} values")  # each takes more memory than text
        entry = _json(line)
        if not isinstance(entry, dict):
            raise CorruptError("the line is no JSON object")
        if isinstance(entry.get("key"), dict):
            return _Line(None, None, None, *self._printed(entry["key"], entry.get("value")))
        return _Line(
            _integer(entry, "partition", 31),
            _integer(entry, "offset", 63),
            _integer(entry, "timestamp", 63),
            _bytes(entry, "key"),
            _bytes(entry, "value"),
        )

    def _read_dumped(self, line: bytes) -> _Line:
        match = RECORD.match(line)
        if match is None:
            raise CorruptError("the line is not as kafka-dump-log prints a record")
        time = int(match["time"])
        place = self._partition, int(match["offset"]), None if match["type"] == b"NoTimestampType" else time
        if match["marker"]:
            kind = _MARKER_KEYS[match["marker"] == b"COMMIT"]
            return _Line(*place, kind, bytes(2) + int(match["epoch"]).to_bytes(4, signed=True), self._batch)
        return _Line(*place, *self._printed(*_dumped_pair(match["rest"])), self._batch)


def _dumped_pair(text: bytes) -> tuple[Any, Any]:
    """What the dump tool has printed of a key and a value."""
    words = text.decode("utf-8", "replace")
    try:
        key, end = _JSON.raw_decode(words, len(_DUMPED_KEY))
    except (ValueError, RecursionError):
        key, end = None, 0
    if not words.startswith(_DUMPED_KEY) or not words.startswith(_DUMPED_VALUE, end):
        raise CorruptError("the dump tool could not decode the record, or was not asked to (--offsets-decoder)")
    value = words[end + len(_DUMPED_VALUE) :]
    return key, None if value == _DELETED else _json(value.encode())


def _json(text: bytes) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise CorruptError(f"the line is no JSON: {error}") from None


def _objects(line: bytes) -> list[bytes]:
    """The objects in a line: a console consumer prints them one behind the other. No text holds the seam unescaped."""
    parts = line.split(SEAM)
    return [
        (SEAM[1:] if index else b"") + part + (SEAM[:1] if index < len(parts) - 1 else b"")
        for index, part in enumerate(parts)
    ]


def _integer(entry: dict[str, Any], name: str, bits: int) -> int | None:
    value = entry.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not -(1 << bits) <= value < 1 << bits:
        raise CorruptError(f"{name} is no integer of {bits + 1} bits", path=name)
    return value


def _from_base64(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


_ENCODINGS: dict[str, Callable[[str], bytes]] = {"hex": bytes.fromhex, "base64": _from_base64}


def _bytes(entry: dict[str, Any], what: str) -> bytes | None:
    for encoding, decode in _ENCODINGS.items():
        name = f"{what}_{encoding}"
        if name in entry:
            text = entry[name]
            if text is None:
                return None
            try:
                return decode(text)
            except (ValueError, TypeError, binascii.Error):
                raise CorruptError(f"{name} is no {encoding} text", path=name) from None
    raise CorruptError(f"there is no {what}_hex and no {what}_base64", path=what)


def _records(source: str, partition: int | None, lines: list[_Line], problems: tuple[Problem, ...]) -> Records:
    pairs = [data for line in lines for data in (line.key, line.value)]
    length = np.array([-1 if data is None else len(data) for data in pairs], np.int64)
    ends = np.cumsum(np.maximum(length, 0))
    position = ends - np.maximum(length, 0)
    buffer = np.frombuffer(b"".join((*(data or b"" for data in pairs), bytes(PADDING))), np.uint8)
    # Records of one batch, or all of which nothing is told, share an entry of the frames.
    batches: dict[tuple[bool, Batch | None], int] = {}
    kinds = [(_ends_transaction(line.key, line.value), line.batch) for line in lines]
    frame = np.array([batches.setdefault(kind, len(batches)) for kind in kinds], np.int64)
    return Records(
        frames=_told_batches(source, partition, list(batches), frame),
        buffer=buffer,
        frame=frame,
        log_offset=np.array([line.offset or 0 for line in lines], np.int64),
        log_timestamp=np.array([line.timestamp or 0 for line in lines], np.int64),
        has_timestamp=np.array([line.timestamp is not None for line in lines], np.bool_),
        key_position=position[0::2],
        key_length=length[0::2],
        value_position=position[1::2],
        value_length=length[1::2],
        problems=problems,
        has_offset=np.array([line.offset is not None for line in lines], np.bool_),
    )


def _ends_transaction(key: bytes | None, value: bytes | None) -> bool:
    """Whether a record is written like a marker of version 0: its key is version and kind, its value starts with 0."""
    return key in _MARKER_KEYS and value is not None and len(value) == _MARKER_VALUE_BYTES and value[:2] == b"\0\0"


def _told_batches(
    source: str, partition: int | None, batches: Sequence[tuple[bool, Batch | None]], frame: Vector
) -> Frames:
    """Entries that stand for batches: whether their records are control records, and what is told of them, if that is.

    Exported records have no bytes of batches. frame: the entry of each record.
    """
    chunk = Chunk(source, partition, 0, np.zeros(PADDING, np.uint8), 0, 0)
    count = len(batches)
    zero, none = np.zeros(count, np.int64), np.full(count, -1, np.int64)
    told = np.array([batch[:4] if batch else (0, 0, -1, -1) for _, batch in batches], np.int64).reshape(-1, 4).T
    attributes = [
        CONTROL_BIT * control | TRANSACTIONAL_BIT * bool(batch and batch.transactional) for control, batch in batches
    ]
    base_offset, last_offset, producer_id, producer_epoch = told
    return Frames(
        chunk=chunk,
        position=zero,
        end=zero,
        base_offset=base_offset,
        last_offset=last_offset,
        leader_epoch=none,
        magic=np.full(count, NO_BATCH, np.int64),
        attributes=np.array(attributes, np.int64),
        base_timestamp=zero,
        max_timestamp=zero,
        producer_id=producer_id,
        producer_epoch=producer_epoch,
        base_sequence=none,
        count=np.bincount(frame, minlength=count).astype(np.int64),
        crc_valid=np.ones(count, np.bool_),
        next_position=0,
    )
