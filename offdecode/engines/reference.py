"""The reference engine: a Layout becomes a construct parser, a record's bytes become one row's values.

Slow and exact: it reads every record type, names the position and field path of every error, and is the
judge of what the column engine may accept.
"""

from __future__ import annotations

import io
from functools import cache
from typing import Any

import construct

from offdecode.errors import CorruptError, TrailingBytesError, UnknownVersionError
from offdecode.schemas.layout import UNKNOWN_TAGGED_FIELDS, Field, Layout, RecordType, Struct, least_bytes
from offdecode.schemas.types import LayoutError, Presence, TaggedFields, WireType, count_block

Values = dict[str, Any]

_TAGS = "tagged_fields"


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


def read_layout(layout: Layout, version: int, data: bytes, position: int = 0, path: str = "") -> Values:
    """Read `data` from `position` to its last byte as `layout` at `version`.

    Gives {field name: value}; fields that the version does not have are left out, an absent tagged field
    too. Tagged fields that no table declares stand under UNKNOWN_TAGGED_FIELDS as (tag, bytes).
    Raises UnknownVersionError or a CorruptError whose position counts from the start of `data`.
    """
    known = layout.layout_version(version)
    if known is None:
        raise UnknownVersionError(layout.name, version)
    stream = io.BytesIO(data)
    stream.seek(position)
    try:
        values: Values = _parser(layout, known).parse_stream(stream, size=len(data))
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


def read_value(
    record: RecordType, version: int, data: bytes, position: int = 0, path: str = ""
) -> tuple[Layout, Values]:
    """Read a record's value by the first of its layouts that fits to the last byte; the layout says which it was.

    An older shape is taken only without tagged fields that its table does not declare: the brokers that wrote
    it had none. Raises UnknownVersionError, or the newest layout's CorruptError where no layout fits.
    """
    errors: list[CorruptError] = []
    for layout in record.values:
        if layout.layout_version(version) is None:
            continue
        try:
            return layout, read_layout(layout, version, data, position, path)
        except CorruptError as error:
            errors.append(error)
    if errors:
        raise errors[0]
    raise UnknownVersionError(record.name, version)


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
        return field.type.block(flexible=flexible, nullable=nullable)
    if isinstance(field.type, Struct):
        struct = _struct_block(field.type.fields, version, flexible, closed)
        return Presence(struct, tagged=field.tag is not None) if nullable else struct
    element = field.type.of
    if isinstance(element, WireType):
        block = element.block(flexible=flexible, nullable=False)
    else:
        block = _struct_block(element.fields, version, flexible, closed)
    least = least_bytes(element, version, flexible)
    return count_block(block, flexible=flexible, nullable=nullable, least=least)


def _field_path(path: str, prefix: str) -> str:
    names = path.replace("(parsing)", prefix).split(" -> ")
    return ".".join(name for name in names if name and name != "body")
