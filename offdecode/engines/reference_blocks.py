"""Layouts as construct parsers, for the reference engine.

Source: as of schemas/types.py. Blocks are interpreted, never compiled: compiled construct accepts truncated input.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import cache
from typing import Any

import construct

from offdecode.engines.reference import Values
from offdecode.errors import CorruptError, LengthError, TrailingBytesError, TruncatedError, VarintError
from offdecode.schemas.layout import UNKNOWN_TAGGED_FIELDS, Field, Layout, Struct, least_bytes
from offdecode.schemas.types import (
    MAX_BYTES,
    MAX_STRING_BYTES,
    CountedText,
    WireKind,
    WireType,
    decode_text,
    uuid_text,
)

_TAGS = "tagged_fields"


def parse(layout: Layout, version: int, data: bytes, position: int, path: str) -> Values:
    """As of reference.read_layout, at a version that the layout declares."""
    stream = io.BytesIO(data)
    stream.seek(position)
    try:
        values: Values = _parser(layout, version).parse_stream(stream, size=len(data))
    except LayoutError as carrier:
        error = carrier.error
        raise type(error)(error.reason, position=error.position, path=_field_path(error.path, path)) from None
    except construct.TerminatedError:
        end = stream.tell() - 1
        raise TrailingBytesError(
            f"{len(data) - end} bytes are left after the last field", position=end, path=path
        ) from None
    except construct.ConstructError as error:
        raise CorruptError(str(error), position=stream.tell(), path=path) from None
    return values


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

    def __init__(self, length: construct.Construct, *, compact: bool, nullable: bool, most: int, unit: int = 1) -> None:
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


class FieldsStruct(construct.Struct):  # type: ignore[misc]
    """construct's Struct as a plain dict, with the tagged fields among the others."""

    def _parse(self, stream: Any, context: Any, path: str) -> Values:
        values: Values = dict(super()._parse(stream, context, path))
        values.pop("_io", None)
        tagged = values.pop(_TAGS, None)
        if tagged:
            unknown = tagged.pop(None)
            values.update(tagged)
            if unknown:
                values[UNKNOWN_TAGGED_FIELDS] = unknown
        return values


@cache
def _parser(layout: Layout, version: int) -> construct.Construct:
    struct = _struct_block(layout.fields, version, layout.flexible_in(version), layout.shape is not None)
    return construct.FocusedSeq("body", "body" / struct, construct.Terminated)


def _struct_block(fields: tuple[Field, ...], version: int, flexible: bool, closed: bool) -> construct.Construct:
    """closed: tagged fields that the table does not declare are refused."""
    present = [field for field in fields if field.exists_in(version)]
    blocks = [field.name / _field_block(field, version, flexible, closed) for field in present if field.tag is None]
    if flexible:
        tagged = {
            field.tag: (field.name, _field_block(field, version, flexible, closed))
            for field in present
            if field.tag is not None
        }
        blocks.append(_TAGS / TaggedFields(tagged, closed=closed))
    return FieldsStruct(*blocks)


def _field_block(field: Field, version: int, flexible: bool, closed: bool) -> construct.Construct:
    nullable = field.nullable_in(version)
    if isinstance(field.type, WireType):
        return _wire_block(field.type, flexible=flexible, nullable=nullable)
    if isinstance(field.type, Struct):
        struct = _struct_block(field.type.fields, version, flexible, closed)
        return Presence(struct, tagged=field.tag is not None) if nullable else struct
    element = field.type.of
    if isinstance(element, WireType):
        block = _wire_block(element, flexible=flexible, nullable=False)
    else:
        block = _struct_block(element.fields, version, flexible, closed)
    length = VARINT if flexible else FixedWidth(4, signed=True)
    least = least_bytes(element, version, flexible)
    return Counted(block, length, compact=flexible, nullable=nullable, least=least)


def _wire_block(kind: WireType, *, flexible: bool, nullable: bool) -> construct.Construct:
    """Reads one primitive in a flexible or older version."""
    if isinstance(kind, CountedText):
        length = _wire_block(kind.count, flexible=flexible, nullable=False)
        return Text(Sized(length, compact=False, nullable=nullable, most=MAX_BYTES, unit=kind.unit), kind.decode)
    if kind.kind is WireKind.UUID:
        return UuidText()
    if kind.width is not None:
        return FixedWidth(kind.width, kind.signed)
    length = VARINT
    if not flexible:
        length = FixedWidth(2 if kind.kind is WireKind.TEXT else 4, signed=True)
    if kind.kind is WireKind.TEXT:
        return Text(Sized(length, compact=flexible, nullable=nullable, most=MAX_STRING_BYTES), decode_text)
    return Sized(length, compact=flexible, nullable=nullable, most=MAX_BYTES)


def _field_path(path: str, prefix: str) -> str:
    names = path.replace("(parsing)", prefix).split(" -> ")
    return ".".join(name for name in names if name and name != "body")
