"""Records as Kafka's own tools have printed them, back to bytes that a broker would have read as what is told.

In JSON: kafka-console-consumer with OffsetsMessageFormatter or GroupMetadataMessageFormatter, and kafka-dump-log
--offsets-decoder, print `{"type": ..., "data": {...}}` of a key and `{"version": ..., "data": {...}}` of a value, by
the JsonConverter of each message: names in camel case, bytes in base64, tagged fields where they say something. What
was no text, or a tagged field that Kafka does not know, is not in it.

In the words of older tools (schemas/printed_text.py) only some fields are told. The others are zero or empty in the
bytes, and named as untold, for their columns to be null.
"""

from __future__ import annotations

import base64
import binascii
import re
from functools import cache
from typing import Any

from offdecode.engines.lost import from_lost
from offdecode.errors import CorruptError
from offdecode.log.told import RAW, Printed, Told
from offdecode.schemas.layout import ArrayOf, Embedded, Field, Layout, Struct, versions_of
from offdecode.schemas.printed_text import ToldFields, console_record, dumped_record
from offdecode.schemas.registry import KEY_VERSION, by_key_type
from offdecode.schemas.types import CountedText, WireKind, WireType

_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_INDEX = re.compile(r"\[\d+\]")
_INT16_BITS = 15
_CONSUMER = "consumer"


def from_json(key: Any, value: Any) -> Told:
    """The bytes of a printed key and value; None of a tombstone. Raises CorruptError for what is not printed so."""
    key_type, data = _headed(key, "key")
    record = by_key_type().get(key_type)
    if record is None:
        raise CorruptError(f"no record has keys of type {key_type}", path="key")
    key_bytes = key_type.to_bytes(2, signed=True) + _Writer().layout(record.key, KEY_VERSION, data, "key")
    if value is None:
        return Told(key_bytes, None)
    version, data = _headed(value, "value")
    errors: list[CorruptError] = []
    for layout in record.values:
        if layout.layout_version(version) is None:
            continue
        writer = _Writer()
        try:
            value_bytes = version.to_bytes(2, signed=True) + writer.layout(layout, version, data, "value")
        except CorruptError as error:
            errors.append(error)
        else:
            return Told(key_bytes, value_bytes, writer.untold_columns())
    raise errors[0] if errors else CorruptError(f"{record.name} has no version {version}", path="value")


def from_console(text: str) -> Told:
    """The bytes of a line of the console consumer before 4.0. Raises CorruptError for what is none."""
    return _from_words(console_record(text))


def from_dump(text: str) -> Told:
    """The bytes of what a dump before 3.8 tells of a record. Raises CorruptError for what is not printed so."""
    return _from_words(dumped_record(text))


PRINTED = Printed(from_json, from_console, from_dump, from_lost)


def _from_words(told: ToldFields) -> Told:
    record = by_key_type()[told.key_type]
    key = told.key_type.to_bytes(2, signed=True) + _Writer().layout(record.key, KEY_VERSION, told.key, "key")
    writer = _Writer(partly=True)
    writer.untold.add("value_version")
    if _has_several_keys(record.row_type):
        writer.untold.add("key_type")
    if told.version is None or told.value is None:
        return Told(key, None, writer.untold_columns())
    value = told.version.to_bytes(2, signed=True) + writer.layout(record.values[0], told.version, told.value, "value")
    return Told(key, value, writer.untold_columns())


@cache
def _has_several_keys(row_type: str) -> bool:
    return sum(record.row_type == row_type for record in by_key_type().values()) > 1


def _headed(printed: Any, what: str) -> tuple[int, dict[str, Any]]:
    """The type or version in front, which some tools print as text, and the data."""
    if isinstance(printed, dict) and isinstance(printed.get("data"), dict):
        number = printed.get("type", printed.get("version"))
        if isinstance(number, str) and number.isdecimal():
            number = int(number)
        if isinstance(number, int) and 0 <= number < 1 << _INT16_BITS:
            return number, printed["data"]
    raise CorruptError(f"the {what} is not as Kafka's tools print it", path=what)


@cache
def _snake(name: str) -> str:
    """Upstream's name as our tables have it."""
    words = _WORD.sub("_", name).lower()
    return "group" if words == "group_id" else words


class _Writer:
    """Writes fields as their layouts have them. untold: columns of the row that are not as was told.

    partly: fields that are not told are zero or empty; else they are a fault.
    """

    def __init__(self, *, partly: bool = False) -> None:
        self._partly = partly
        self.untold: set[str] = set()

    def untold_columns(self) -> frozenset[str]:
        """The same; where there are any, the bytes are not those of the log either."""
        return frozenset(self.untold) | RAW if self.untold else frozenset()

    def layout(self, layout: Layout, version: int, data: dict[str, Any], path: str) -> bytes:
        known = layout.layout_version(version)
        return self._struct(layout.fields, version if known is None else known, layout.flexible_in(version), data, path)

    def _struct(self, fields: tuple[Field, ...], version: int, flexible: bool, data: Any, path: str) -> bytes:
        if not isinstance(data, dict):
            raise CorruptError("is no object", path=path)
        values = {_snake(name): value for name, value in data.items()}
        out: list[bytes] = []
        tagged: list[tuple[int, bytes]] = []
        for field in fields:
            if not field.exists_in(version):
                continue
            inside = f"{path}.{field.name}"
            if field.tag is not None:
                if field.name in values:
                    tagged.append((field.tag, self._field(field, version, flexible, values[field.name], inside)))
                continue
            if field.name not in values:
                if not self._partly:
                    raise CorruptError("is missing", path=inside)
                self._note(inside)
                values[field.name] = _nothing(field, version)
            out.append(self._field(field, version, flexible, values[field.name], inside))
        if flexible:
            out.append(_varint(len(tagged)))
            out += [_varint(tag) + _varint(len(part)) + part for tag, part in sorted(tagged)]
        return b"".join(out)

    def _field(self, field: Field, version: int, flexible: bool, value: Any, path: str) -> bytes:
        kind = field.type
        if field.embedded is not None and isinstance(value, dict):
            value = self._unfolded(field.embedded, value, path)
        if value is None and not field.nullable_in(version):
            raise CorruptError("is null where the layout allows none", path=path)
        if isinstance(kind, WireType):
            return _wire(kind, flexible, value, path)
        if isinstance(kind, Struct):
            if not field.nullable_in(version):
                return self._struct(kind.fields, version, flexible, value, path)
            null, there = (b"\0", b"\1") if field.tag is not None else (b"\xff", b"\1")
            return null if value is None else there + self._struct(kind.fields, version, flexible, value, path)
        return self._array(kind, version, flexible, value, path)

    def _unfolded(self, embedded: Embedded, value: dict[str, Any], path: str) -> str:
        """The bytes, in base64, that kafka-dump-log prints as the consumer protocol's structure, without its version.

        It is the newest version all of whose fields are there; it is told where no other has the same fields.
        """
        layout = embedded.layouts[_CONSUMER]
        there = {_snake(name) for name in value}
        declared = versions_of(layout.versions)
        fields = {
            version: {field.name for field in layout.fields if field.exists_in(version)}
            for version in range(declared.lowest, declared.highest + 1)
        }
        version = max((one for one, names in fields.items() if names <= there), default=declared.highest)
        if list(fields.values()).count(fields[version]) > 1:
            self._note(f"{path}.version")
        data = version.to_bytes(2, signed=True) + self.layout(layout, version, value, path)
        return base64.b64encode(data).decode()

    def _array(self, kind: ArrayOf, version: int, flexible: bool, value: Any, path: str) -> bytes:
        if value is not None and not isinstance(value, list):
            raise CorruptError("is no array", path=path)
        count = -1 if value is None else len(value)
        out = [_varint(count + 1) if flexible else count.to_bytes(4, signed=True)]
        for index, one in enumerate(value or ()):
            inside = f"{path}[{index}]"
            if isinstance(kind.of, Struct):
                out.append(self._struct(kind.of.fields, version, flexible, one, inside))
            else:
                out.append(_wire(kind.of, flexible, one, inside))
        return b"".join(out)

    def _note(self, path: str) -> None:
        """Take the column of a path, which begins with what it is a field of."""
        self.untold.add(_INDEX.sub("", path).partition(".")[2])


def _nothing(field: Field, version: int) -> Any:
    """What stands for a field that is not told."""
    if field.nullable_in(version):
        return None
    if isinstance(field.type, ArrayOf):
        return []
    if isinstance(field.type, Struct):
        return {}
    return 0 if field.type.width is not None else ""


def _wire(kind: WireType, flexible: bool, value: Any, path: str) -> bytes:
    try:
        if kind.kind is WireKind.UUID:
            return _from_base64url(value)
        if kind.width is not None:
            return int(value).to_bytes(kind.width, signed=kind.signed)
        if kind.kind is WireKind.TEXT and not isinstance(kind, CountedText):
            return _sized(None if value is None else value.encode("utf-8", "surrogatepass"), flexible, 2)
        return _sized(None if value is None else base64.b64decode(value, validate=True), flexible, 4)
    except (ValueError, TypeError, AttributeError, OverflowError, binascii.Error):
        raise CorruptError(f"is no {kind.name}", path=path) from None


def _from_base64url(text: str) -> bytes:
    data = base64.urlsafe_b64decode(text + "==")
    if len(data) != 16:
        raise ValueError(text)
    return data


def _sized(data: bytes | None, flexible: bool, width: int) -> bytes:
    length = -1 if data is None else len(data)
    return (_varint(length + 1) if flexible else length.to_bytes(width, signed=True)) + (data or b"")


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*out, number))
