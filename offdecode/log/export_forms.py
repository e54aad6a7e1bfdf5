"""The forms that exports have: which lines make a record, and what the record's text tells.

Kafka's console consumer prints JSON, without newlines between the objects, or words; kcat and rpk print JSON, rpk over
several lines; kafka-dump-log prints words of its own. A new form is a class here, and one of FORMS.
"""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from typing import Any

from offdecode.errors import CorruptError
from offdecode.log.dumped import BATCH_HEAD, DUMP_HEAD, RECORD_HEAD, Batch, batch_of, dumped, partition_of
from offdecode.log.json_exports import SEAM, json_of, objects, record_of
from offdecode.log.told import Place, Printed, Told, ToldRecord

MARKER_KEYS = (b"\0\0\0\0", b"\0\0\0\1")  # abort, commit
_MOST_HELD_BYTES = 64 << 20

_LEAST_OBJECT_BYTES = 8
_BEGINS, _ENDS = b"{", b"}"  # lines of an object that goes over several
_HEADS = (
    re.compile(rb'\{\s*"key":\s*\{'),  # kafka-console-consumer with a formatter of the coordinator
    re.compile(rb'\{\s*"topic":\s*"'),  # kcat, rpk
    re.compile(rb'\{.*"(?:key_hex|key_base64)":'),
)

_CONSOLE_HEAD = re.compile(
    rb"\[.*,[\w.-]+,\d{1,10}\]::(?:NULL$|OffsetAndMetadata\(|\[OffsetMetadata\[)"
    rb"|(?!.*,[\w.-]+,\d{1,10}\]::NULL$).*::(?:NULL$|GroupMetadata\()"  # not what ends the name of a group
)
_CONSOLE_END = re.compile(rb"NULL$|, expireTimestamp=(?:None|Some\(-?\d+\))\)$|,ExpirationTime -?\d+\]$|\)\)$")

_DUMP_HEADS = (DUMP_HEAD, BATCH_HEAD, RECORD_HEAD, b"offset: ", b"Starting offset: ", b"Log starting offset: ")
_DUMPED_KEY, _DUMPED_VALUE, _DELETED = "key: ", " payload: ", "<DELETE>"
_DUMPED_JSON = "key: {"
_KEY, _PAYLOAD = b" key: ", b" payload: "
_OPEN_ENDED = re.compile(rb".*? payload: offset=-?\d+,metadata=(.*)", re.S)
_MOST_NAME_BYTES = 1 << 15
_VALUE_BYTES = 20  # of a committed offset without its text, at least
_JSON = json.JSONDecoder()


class Form(ABC):
    """How the lines of an export are put together and read. partition: what was told of it last."""

    partition: int | None = None

    def __init__(self, printed: Printed) -> None:
        self.printed = printed

    @classmethod
    @abstractmethod
    def begins(cls, head: bytes) -> bool:
        """Whether an export that begins so is surely of this form. head: from its first byte that is no blank on."""

    def is_whole(self, line: bytes) -> bool:
        """Whether a line surely is a record by itself, as it is."""
        return False

    def is_head(self, line: bytes) -> bool:
        """Whether a line tells of what follows, and is noted; it is of no record."""
        return False

    def room_behind(self, line: bytes) -> int:
        """How many bytes more the record may have that a line begins."""
        return 0

    def goes_on(self, line: bytes) -> bool:
        """Whether a line may be of the record before it, which has room for it."""
        return False

    def room_left(self, held: list[bytes], room: int) -> int:
        """How much room there is behind the last of the lines that are held. room: what there was before it."""
        return room - len(held[-1]) - 1

    def is_end(self, line: bytes) -> bool:
        """Whether a record of several lines ends with a line, as far as that tells."""
        return False

    def parts(self, line: bytes) -> list[bytes]:
        """The texts of the records of a line that is of none before it."""
        return [line]

    @abstractmethod
    def read(self, text: bytes) -> ToldRecord | None:
        """The record of a text, None where it tells of none. Raises CorruptError."""


class Objects(Form):
    """JSON: an object a line, several in one, or one over several."""

    @classmethod
    def begins(cls, head: bytes) -> bool:
        return any(known.match(head) for known in _HEADS)

    def is_whole(self, line: bytes) -> bool:
        return line.startswith(_BEGINS) and len(line) > _LEAST_OBJECT_BYTES and SEAM not in line

    def room_behind(self, line: bytes) -> int:
        return _MOST_HELD_BYTES if line.rstrip() == _BEGINS else 0

    def goes_on(self, line: bytes) -> bool:
        return line.rstrip() != _BEGINS  # the next begins though this one did not end

    def is_end(self, line: bytes) -> bool:
        return line.rstrip() == _ENDS

    def parts(self, line: bytes) -> list[bytes]:
        return objects(line) if line.startswith(_BEGINS) else [line]

    def read(self, text: bytes) -> ToldRecord | None:
        return record_of(text, self.printed)


class Words(Form):
    """What the console consumer's older formatters print; names and metadata may have line breaks."""

    def __init__(self, printed: Printed) -> None:
        super().__init__(printed)
        self._stray = False  # whether the text before was no record

    @classmethod
    def begins(cls, head: bytes) -> bool:
        line = _first_line(head)
        return _CONSOLE_HEAD.match(line) is not None and not _is_object(line)

    def room_behind(self, line: bytes) -> int:
        begins = line.startswith(b"[") or _CONSOLE_HEAD.match(line)
        return _MOST_HELD_BYTES if begins and not self.is_end(line) else 0

    def goes_on(self, line: bytes) -> bool:
        return _CONSOLE_HEAD.match(line) is None

    def is_end(self, line: bytes) -> bool:
        return _CONSOLE_END.search(line) is not None

    def read(self, text: bytes) -> ToldRecord | None:
        stray, self._stray = self._stray, True
        told = self.printed.of_console(text.decode("utf-8", "replace"))
        self._stray = False
        if stray and told.value is None and not text.startswith(b"["):
            raise CorruptError("the line before may be of the group's name")
        return ToldRecord(Place(), told)


class Dump(Form):
    """What kafka-dump-log prints: heads of segments and of batches, and records, the names in which may have lines."""

    def __init__(self, printed: Printed) -> None:
        super().__init__(printed)
        self._batch: Batch | None = None  # of the records that follow

    @classmethod
    def begins(cls, head: bytes) -> bool:
        return head.startswith(DUMP_HEAD)

    def is_head(self, line: bytes) -> bool:
        line = line.lstrip()
        if line.startswith(DUMP_HEAD):
            self.partition = partition_of(line)
        elif line.startswith(BATCH_HEAD):
            self._batch = batch_of(line)
        else:
            return False
        return True

    def room_behind(self, line: bytes) -> int:
        return _open_room(line) if line.startswith(RECORD_HEAD) else 0

    def goes_on(self, line: bytes) -> bool:
        return not line.startswith(_DUMP_HEADS)

    def room_left(self, held: list[bytes], room: int) -> int:
        return _open_room(b"\n".join(held)) if _PAYLOAD in held[-1] else super().room_left(held, room)

    def read(self, text: bytes) -> ToldRecord | None:
        if not text.startswith(RECORD_HEAD):
            return None
        record = dumped(text)
        if record is None:
            raise CorruptError("the line is not as kafka-dump-log prints a record")
        place = Place(self.partition, record.offset, record.timestamp)
        if record.marker is not None:
            value = bytes(2) + record.coordinator_epoch.to_bytes(4, signed=True)
            return ToldRecord(place, Told(MARKER_KEYS[record.marker], value), self._batch)
        words = record.content.decode("utf-8", "replace")
        pair = _dumped_pair(words)
        told = self.printed.of_dump(words) if pair is None else self.printed.of_json(*pair)
        return ToldRecord(place, told, self._batch)


def _open_room(text: bytes) -> int:
    """How many bytes more a dumped record may have than its first lines: names and metadata may have several."""
    if _PAYLOAD not in text:
        return _MOST_NAME_BYTES if _KEY in text else 0
    match = _OPEN_ENDED.fullmatch(text)
    record = dumped(text) if match else None
    return record.value_bytes - _VALUE_BYTES - len(match[1]) if match and record else 0


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


FORMS: tuple[type[Form], ...] = (Dump, Objects, Words)


def is_export(head: bytes) -> bool:
    """Whether a file that begins so is an export."""
    head = head.lstrip()
    return b"\0" not in _first_line(head) and any(form.begins(head) for form in FORMS)


def form_of(line: bytes, printed: Printed) -> Form:
    """The form of an export whose first line with anything in it is this one; of one that none begins with, a guess."""
    head = line.lstrip()
    guess = Objects if head.startswith(_BEGINS) else Words
    return next((form for form in FORMS if form.begins(head)), guess)(printed)


def _is_object(line: bytes) -> bool:
    """Whether a line is JSON: what looks like words then is a text in it."""
    try:
        return line.startswith(_BEGINS) and isinstance(json_of(line), dict)
    except CorruptError:
        return False


def _first_line(head: bytes) -> bytes:
    return head.partition(b"\n")[0].removesuffix(b"\r")
