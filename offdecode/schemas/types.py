"""Kafka's wire types, each with its construct block for the reference engine and its kind and width for the columns.

Source: the message protocol of Kafka (clients/src/main/resources/common/message/README.md, KIP-482 for the
flexible forms). Blocks are interpreted, never compiled: compiled construct accepts truncated input.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import construct

from offdecode.errors import CorruptError, LengthError, TruncatedError, VarintError

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


class LayoutError(construct.ConstructError):  # type: ignore[misc]
    """Carries one of our errors through construct's parser."""

    def __init__(self, error: CorruptError) -> None:
        self.error = error
        super().__init__(str(error))


def read_exactly(stream: Any, length: int, path: str) -> bytes:
    """Read `length` bytes; TruncatedError at the field's start where fewer are left."""
    start = stream.tell()
    data: bytes = stream.read(length)
    if len(data) < length:
        raise LayoutError(TruncatedError(f"needs {length} bytes, {len(data)} are left", position=start, path=path))
    return data


class UnsignedVarint(construct.Construct):  # type: ignore[misc]
    """An unsigned 32-bit varint of at most five bytes."""

    def _parse(self, stream: Any, context: Any, path: str) -> int:
        start = stream.tell()
        value = 0
        for shift in range(0, 35, 7):
            byte = read_exactly(stream, 1, path)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                if value > 0xFFFFFFFF:
                    raise LayoutError(VarintError("varint exceeds 32 bits", position=start, path=path))
                return value
        raise LayoutError(VarintError("varint has no end within 5 bytes", position=start, path=path))


VARINT = UnsignedVarint()


class FixedWidth(construct.Construct):  # type: ignore[misc]
    """A big-endian integer whose errors name position and path (construct's own names neither)."""

    def __init__(self, width: int, signed: bool) -> None:
        super().__init__()
        self.width = width
        self.signed = signed

    def _parse(self, stream: Any, context: Any, path: str) -> int:
        return int.from_bytes(read_exactly(stream, self.width, path), "big", signed=self.signed)


class Sized(construct.Construct):  # type: ignore[misc]
    """A length and that many units of `unit` bytes; null where the version allows it."""

    def __init__(
        self, length: construct.Construct, *, compact: bool, nullable: bool, most: int, unit: int = 1
    ) -> None:
        super().__init__()
        self.length = length
        self.compact = compact
        self.nullable = nullable
        self.most = most
        self.unit = unit

    def _parse(self, stream: Any, context: Any, path: str) -> bytes | None:
        start = stream.tell()
        length = self.length._parsereport(stream, context, path) - self.compact
        if length == -1 and self.nullable:
            return None
        if length < 0:
            reason = "null where the layout allows none" if length == -1 else f"negative length {length}"
            raise LayoutError(LengthError(reason, position=start, path=path))
        if length > self.most:
            raise LayoutError(LengthError(f"length {length} exceeds {self.most}", position=start, path=path))
        return read_exactly(stream, length * self.unit, path)


class Text(construct.Construct):  # type: ignore[misc]
    """Length-prefixed text; bytes that are no text in its encoding become InvalidText."""

    def __init__(self, data: Sized, decode: Callable[[bytes], str]) -> None:
        super().__init__()
        self.data = data
        self.decode = decode

    def _parse(self, stream: Any, context: Any, path: str) -> str | None:
        data = self.data._parse(stream, context, path)
        return None if data is None else self.decode(data)


class UuidText(construct.Construct):  # type: ignore[misc]
    """Sixteen bytes as upstream's text form: base64url without padding, 22 characters."""

    def _parse(self, stream: Any, context: Any, path: str) -> str:
        return uuid_text(read_exactly(stream, 16, path))


class Counted(construct.Construct):  # type: ignore[misc]
    """A count and that many elements; every element takes `least` bytes or more, which bounds the count."""

    def __init__(
        self, element: construct.Construct, length: construct.Construct, *, compact: bool, nullable: bool, least: int
    ) -> None:
        super().__init__()
        self.element = element
        self.length = length
        self.compact = compact
        self.nullable = nullable
        self.least = least

    def _parse(self, stream: Any, context: Any, path: str) -> list[Any] | None:
        start = stream.tell()
        count = self.length._parsereport(stream, context, path) - self.compact
        if count == -1 and self.nullable:
            return None
        if count < 0:
            reason = "null where the layout allows none" if count == -1 else f"negative count {count}"
            raise LayoutError(LengthError(reason, position=start, path=path))
        left = context._params.size - stream.tell()
        if count * self.least > left:
            reason = f"count {count} cannot fit in the {left} bytes that are left"
            raise LayoutError(LengthError(reason, position=start, path=path))
        return [self.element._parsereport(stream, context, f"{path}[{index}]") for index in range(count)]


class Presence(construct.Construct):  # type: ignore[misc]
    """A struct that may be null: a mark, then the struct if the mark is 1.

    The mark for null is a byte of -1, in a tagged field a varint of 0 (upstream's MessageDataGenerator).
    """

    def __init__(self, struct: construct.Construct, *, tagged: bool) -> None:
        super().__init__()
        self.struct = struct
        self.mark = VARINT if tagged else FixedWidth(1, signed=True)
        self.null = 0 if tagged else -1

    def _parse(self, stream: Any, context: Any, path: str) -> Any:
        start = stream.tell()
        mark = self.mark._parsereport(stream, context, path)
        if mark == self.null:
            return None
        if mark != 1:
            reason = f"presence mark {mark} is neither {self.null} nor 1"
            raise LayoutError(LengthError(reason, position=start, path=path))
        return self.struct._parsereport(stream, context, path)


class TaggedFields(construct.Construct):  # type: ignore[misc]
    """The tagged fields that end a struct of a flexible version (KIP-482).

    Gives {field name: value} of the known ones and under `None` the unknown ones as (tag, bytes).
    Tags must ascend and a known field must fill its size: what the size says is what was written.
    closed: unknown ones are refused.
    """

    def __init__(self, known: dict[int, tuple[str, construct.Construct]], *, closed: bool = False) -> None:
        super().__init__()
        self.known = known
        self.closed = closed

    def _parse(self, stream: Any, context: Any, path: str) -> dict[str | None, Any]:
        values: dict[str | None, Any] = {}
        unknown: list[tuple[int, bytes]] = []
        previous = -1
        for _ in range(VARINT._parsereport(stream, context, path)):
            start = stream.tell()
            tag = VARINT._parsereport(stream, context, path)
            if tag <= previous:
                raise LayoutError(LengthError(f"tag {tag} after tag {previous}", position=start, path=path))
            previous = tag
            size = VARINT._parsereport(stream, context, path)
            end = stream.tell() + size
            if end > context._params.size:
                reason = f"tag {tag} claims {size} bytes, {context._params.size - stream.tell()} are left"
                raise LayoutError(TruncatedError(reason, position=start, path=path))
            if tag not in self.known:
                if self.closed:
                    raise LayoutError(LengthError(f"tag {tag} is not of this shape", position=start, path=path))
                unknown.append((tag, read_exactly(stream, size, path)))
                continue
            name, block = self.known[tag]
            values[name] = block._parsereport(stream, context, f"{path}.{name}")
            if stream.tell() != end:
                reason = f"tag {tag} claims {size} bytes, its field took {stream.tell() - end + size}"
                raise LayoutError(LengthError(reason, position=start, path=f"{path}.{name}"))
        values[None] = unknown
        return values


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

    def block(self, *, flexible: bool, nullable: bool) -> construct.Construct:
        """The construct block that reads this type in a flexible or older version."""
        if self.kind is WireKind.UUID:
            return UuidText()
        if self.width is not None:
            return FixedWidth(self.width, self.signed)
        length: construct.Construct = VARINT
        if not flexible:
            length = FixedWidth(2 if self.kind is WireKind.TEXT else 4, signed=True)
        if self.kind is WireKind.TEXT:
            return Text(Sized(length, compact=flexible, nullable=nullable, most=MAX_STRING_BYTES), decode_text)
        return Sized(length, compact=flexible, nullable=nullable, most=MAX_BYTES)

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

    def block(self, *, flexible: bool, nullable: bool) -> construct.Construct:
        length = self.count.block(flexible=flexible, nullable=False)
        return Text(Sized(length, compact=False, nullable=nullable, most=MAX_BYTES, unit=self.unit), self.decode)

    def least_bytes(self, *, flexible: bool) -> int:
        return self.count.least_bytes(flexible=flexible)


def count_block(
    element: construct.Construct, *, flexible: bool, nullable: bool, least: int
) -> construct.Construct:
    """An array: int32 count in older versions, varint count + 1 in flexible ones."""
    length = VARINT if flexible else FixedWidth(4, signed=True)
    return Counted(element, length, compact=flexible, nullable=nullable, least=least)


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
