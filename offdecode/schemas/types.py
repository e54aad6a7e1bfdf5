"""Kafka's wire types: what the engines need to know of each, and what its bytes are as text.

Source: the message protocol of Kafka (clients/src/main/resources/common/message/README.md, KIP-482 for the
flexible forms).
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

MAX_STRING_BYTES = 0x7FFF  # upstream refuses longer strings in every encoding
MAX_BYTES = 0x7FFFFFFF


class WireKind(Enum):
    """How a column engine reads a type and what its rows show."""

    INTEGER = "integer"
    TIMESTAMP = "timestamp"
    TIMESTAMP_NUMBER = "timestamp_number"  # values outside the calendar are usual: a plain int64 column
    TEXT = "text"
    BYTES = "bytes"
    UUID = "uuid"


class InvalidText(str):
    """Text whose bytes were not UTF-8; the bad bytes stand in it as backslash escapes."""

    __slots__ = ()


def decode_text(data: bytes) -> str:
    """UTF-8 text; InvalidText with backslash escapes where the bytes are not UTF-8."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return InvalidText(data.decode("utf-8", "backslashreplace"))


def decode_java_text(data: bytes) -> str:
    """Text of java.io.DataOutput.writeUTF ("modified UTF-8"): U+0000 in two bytes, others than the BMP as surrogates.

    InvalidText with backslash escapes where DataInput.readUTF refuses the bytes or a surrogate stands alone.
    """
    try:
        if max(data, default=0) >= 0xF0:  # the four-byte forms of UTF-8, which modified UTF-8 does not have
            raise ValueError
        units = data.replace(b"\xc0\x80", b"\0").decode("utf-8", "surrogatepass")
        return units.encode("utf-16-be", "surrogatepass").decode("utf-16-be")
    except ValueError:
        return InvalidText(data.decode("utf-8", "backslashreplace"))


def decode_java_chars(data: bytes) -> str:
    """Text of java.io.DataOutput.writeChars: UTF-16, big-endian; InvalidText where a surrogate stands alone."""
    try:
        return data.decode("utf-16-be")
    except UnicodeDecodeError:
        return InvalidText(data.decode("utf-16-be", "backslashreplace"))


def uuid_text(data: bytes) -> str:
    """Upstream's text form of 16 bytes (org.apache.kafka.common.Uuid.toString)."""
    return base64.urlsafe_b64encode(data).decode("ascii").rstrip("=")


@dataclass(frozen=True, slots=True)
class WireType:
    """One primitive: upstream's name, its kind, its width in bytes (None = length-prefixed), its sign."""

    name: str
    kind: WireKind
    width: int | None = None
    signed: bool = True

    def least_bytes(self, *, flexible: bool) -> int:
        """The fewest bytes that a value of this type takes."""
        if self.width is not None:
            return self.width
        if flexible:
            return 1
        return 2 if self.kind is WireKind.TEXT else 4


@dataclass(frozen=True, slots=True)
class CountedText(WireType):
    """Text behind a plain count of its units, whatever the version: what Java code writes by hand.

    count: the count's integer; unit: bytes of one unit; decode: bytes to text.
    """

    count: WireType = field(kw_only=True)
    unit: int = field(kw_only=True, default=1)
    decode: Callable[[bytes], str] = field(kw_only=True)

    def least_bytes(self, *, flexible: bool) -> int:
        return self.count.least_bytes(flexible=flexible)


Int8 = WireType("int8", WireKind.INTEGER, 1)
Int16 = WireType("int16", WireKind.INTEGER, 2)
UInt16 = WireType("uint16", WireKind.INTEGER, 2, signed=False)
Int32 = WireType("int32", WireKind.INTEGER, 4)
Int64 = WireType("int64", WireKind.INTEGER, 8)
TimestampMs = WireType("int64", WireKind.TIMESTAMP, 8)
UncheckedTimestampMs = WireType("int64", WireKind.TIMESTAMP_NUMBER, 8)
Uuid = WireType("uuid", WireKind.UUID, 16)
String = WireType("string", WireKind.TEXT)
Bytes = WireType("bytes", WireKind.BYTES)
TextBytes = CountedText("bytes", WireKind.TEXT, count=Int32, decode=decode_text)  # upstream's bytes that hold UTF-8
JavaText = CountedText("java_utf", WireKind.TEXT, count=UInt16, decode=decode_java_text)
JavaChars = CountedText("java_chars", WireKind.TEXT, count=Int32, unit=2, decode=decode_java_chars)
