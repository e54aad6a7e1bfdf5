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
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import orjson

from offdecode.errors import CorruptError
from offdecode.log.batches import CONTROL_BIT, Frames
from offdecode.log.records import Records
from offdecode.model import PADDING, Chunk, Problem, Vector

_LINES_AT_ONCE = 1 << 16
_LONG_LINE_BYTES = 1 << 16
_MOST_VALUES = 10_000

_MARKER_KEYS = (b"\0\0\0\0", b"\0\0\0\1")  # abort, commit
_MARKER_VALUE_BYTES = 6

SEAM = b'}{"key":'
_DUMP_HEAD = b"Dumping "
_DUMPED_PARTITION = re.compile(rb"-(\d{1,9})/\d{20}\.")
_DUMPED_RECORD = b"| offset: "
_DUMPED = re.compile(
    rb"\| offset: (?P<offset>\d{1,18}) (?P<type>\w+): (?P<time>-?\d{1,18}) keySize: \S+ valueSize: \S+ "
    rb"(?:sequence: \S+ headerKeys: \[.*?\]|isValid: \w+ crc: \d+\}) "  # the brace is the tool's
    rb"(?:endTxnMarker: (?P<marker>COMMIT|ABORT) coordinatorEpoch: (?P<epoch>-?\d{1,9})|(?P<rest>.*))",
    re.S,
)
_DUMPED_KEY, _DUMPED_VALUE, _DELETED = "key: ", " payload: ", "<DELETE>"
_JSON = json.JSONDecoder()
Printed = Callable[[Any, Any], tuple[bytes, bytes | None]]

NO_BATCH = -1  # the magic of records that come without a batch

_Line = tuple[int | None, int | None, int | None, bytes | None, bytes | None]


class Exports:
    """Reads the lines of one export in order.

    printed: makes the bytes of a key and a value of what Kafka's tools print of them.
    """

    def __init__(self, source: str, printed: Printed) -> None:
        self._source = source
        self._printed = printed
        self._partition: int | None = None  # of the record before
        self._dumped = False  # whether it is what kafka-dump-log prints

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
                            self._partition = record[0]
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
        if line.startswith(_DUMP_HEAD):
            self._dumped = True
            match = _DUMPED_PARTITION.search(line)
            self._partition = int(match[1]) if match else None
        if self._dumped:
            return self._read_dumped(line) if line.startswith(_DUMPED_RECORD) else None
        if len(line) > _LONG_LINE_BYTES and sum(map(line.count, (b",", b"[", b"{"))) > _MOST_VALUES:
            raise CorruptError(f"the line holds more than {_MOST_VALUES} values")  # each takes more memory than text
        entry = _json(line)
        if not isinstance(entry, dict):
            raise CorruptError("the line is no JSON object")
        if isinstance(entry.get("key"), dict):
            return None, None, None, *self._printed(entry["key"], entry.get("value"))
        return (
            _integer(entry, "partition", 31),
            _integer(entry, "offset", 63),
            _integer(entry, "timestamp", 63),
            _bytes(entry, "key"),
            _bytes(entry, "value"),
        )

    def _read_dumped(self, line: bytes) -> _Line:
        match = _DUMPED.match(line)
        if match is None:
            raise CorruptError("the line is not as kafka-dump-log prints a record")
        time = int(match["time"])
        place = self._partition, int(match["offset"]), None if match["type"] == b"NoTimestampType" else time
        if match["marker"]:
            kind = _MARKER_KEYS[match["marker"] == b"COMMIT"]
            return *place, kind, bytes(2) + int(match["epoch"]).to_bytes(4, signed=True)
        return *place, *self._printed(*_dumped_pair(match["rest"]))


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
    parts = [data or b"" for line in lines for data in line[3:]]
    length = np.array([-1 if data is None else len(data) for line in lines for data in line[3:]], np.int64)
    ends = np.cumsum(np.maximum(length, 0))
    position = ends - np.maximum(length, 0)
    buffer = np.frombuffer(b"".join((*parts, bytes(PADDING))), np.uint8)
    offsets = [line[1] for line in lines]
    timestamps = [line[2] for line in lines]
    control = np.array([_ends_transaction(*line[3:]) for line in lines], np.int64)
    return Records(
        frames=_no_batches(source, partition, control),
        buffer=buffer,
        frame=control,
        log_offset=np.array([offset or 0 for offset in offsets], np.int64),
        log_timestamp=np.array([timestamp or 0 for timestamp in timestamps], np.int64),
        has_timestamp=np.array([timestamp is not None for timestamp in timestamps], np.bool_),
        key_position=position[0::2],
        key_length=length[0::2],
        value_position=position[1::2],
        value_length=length[1::2],
        problems=problems,
        has_offset=np.array([offset is not None for offset in offsets], np.bool_),
    )


def _ends_transaction(key: bytes | None, value: bytes | None) -> bool:
    """Whether a record is written like a marker of version 0: its key is version and kind, its value starts with 0."""
    return key in _MARKER_KEYS and value is not None and len(value) == _MARKER_VALUE_BYTES and value[:2] == b"\0\0"


def _no_batches(source: str, partition: int | None, control: Vector) -> Frames:
    """Two entries that stand for batches, which exported records do not have: of records, and of control records."""
    chunk = Chunk(source, partition, 0, np.zeros(PADDING, np.uint8), 0, 0)
    zero, none = np.zeros(2, np.int64), np.full(2, -1, np.int64)
    return Frames(
        chunk=chunk,
        position=zero,
        end=zero,
        base_offset=zero,
        last_offset=zero,
        leader_epoch=none,
        magic=np.full(2, NO_BATCH, np.int64),
        attributes=np.array([0, CONTROL_BIT], np.int64),
        base_timestamp=zero,
        max_timestamp=zero,
        producer_id=none,
        producer_epoch=none,
        base_sequence=none,
        count=np.bincount(control, minlength=2).astype(np.int64),
        crc_valid=np.ones(2, np.bool_),
        next_position=0,
    )
