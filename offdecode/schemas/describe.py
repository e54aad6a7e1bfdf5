"""Row types as a reference to read, and as JSON Schema."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from textwrap import fill
from typing import Any

from offdecode.model import Column, Kind
from offdecode.schemas.rows import (
    COMMON,
    TRAILING,
    RowOptions,
    all_row_type_names,
    is_record_row,
    row_type,
    row_type_names,
)

_JSON_TYPES = {
    Kind.INT32: "integer",
    Kind.INT64: "integer",
    Kind.DOUBLE: "number",
    Kind.BOOL: "boolean",
    Kind.CATEGORY: "string",
    Kind.TEXT: "string",
    Kind.JSON: "object",
    Kind.LIST: "array",
    Kind.STRUCT: "object",
    Kind.EMBEDDED: "object",
}

_KIND_TEXTS = {
    Kind.TIMESTAMP: "ms since 1970 UTC",
    Kind.TIMESTAMP_NUMBER: "ms since 1970 UTC",
    Kind.CATEGORY: "text",
    Kind.JSON: "object",
    Kind.EMBEDDED: "struct or {hex}",
}


def overview() -> str:
    """All row types, a line each, and the columns that every row has."""
    lines = ["Row types (offdecode schema TYPE tells one's columns):", ""]
    lines += [_line(name) for name in row_type_names()]
    lines += ["", "Every row of these:", "", *_lines(COMMON, "  "), *_lines(TRAILING, "  ")]
    lines += ["", "Row types of other commands:", ""]
    return "\n".join([*lines, *(_line(name) for name in all_row_type_names() if not is_record_row(name))])


def _line(name: str) -> str:
    first = " ".join(row_type(name).doc.split("\n\n")[0].split()).split(". ")[0].rstrip(".")
    return f"  {name:<44} {first}"


def describe(name: str) -> str:
    """One row type: what it is, and its own columns."""
    found = row_type(name)
    record = is_record_row(name)
    common = {column.name for column in (*COMMON, *TRAILING)} if record else set()
    own = [column for column in found.columns if column.name not in common]
    doc = "\n\n".join(fill(paragraph, 100) for paragraph in found.doc.split("\n\n"))
    title = "Columns beyond those of every row:" if record else "Columns:"
    return "\n".join([name, "", doc, "", title, "", *_lines(own, "  ")])


def _lines(columns: Sequence[Column], indent: str) -> Iterator[str]:
    for column in columns:
        optional = " (only where there is something)" if column.optional else ""
        yield f"{indent}{column.name:<34} {_kind_text(column):<22} {column.doc}{optional}".rstrip()
        yield from _lines(_fields(column), indent + "  ")


def _fields(column: Column) -> tuple[Column, ...]:
    """The fields below a column: a struct's, or those of a list's structs."""
    if column.kind is Kind.LIST:
        return _fields(column.children[0])
    return column.children


def _kind_text(column: Column) -> str:
    if column.kind is Kind.LIST:
        return f"list of {_kind_text(column.children[0])}"
    return _KIND_TEXTS.get(column.kind, str(column.kind.value))


def json_schema(names: Sequence[str] | None = None) -> dict[str, Any]:
    """JSON Schema (2020-12) of the JSON lines of these row types, or of all."""
    names = names or all_row_type_names()
    options = RowOptions(copies=True)  # nothing need be asked for: rows of a log in several copies have these columns
    schemas = [_object(row_type(name, options).columns, {"type": {"const": name}}) for name in names]
    for name, schema in zip(names, schemas, strict=True):
        schema["title"] = name
        schema["description"] = row_type(name).doc
    base: dict[str, Any] = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return {**base, **schemas[0]} if len(schemas) == 1 else {**base, "oneOf": schemas}


def _object(columns: Sequence[Column], fixed: dict[str, Any] | None = None) -> dict[str, Any]:
    properties = {column.name: _json_type(column) for column in columns}
    properties.update(fixed or {})
    return {
        "type": "object",
        "properties": properties,
        "required": [column.name for column in columns if not column.optional],
        "additionalProperties": False,
    }


def _json_type(column: Column) -> dict[str, Any]:
    described: dict[str, Any] = {"description": column.doc} if column.doc else {}
    if column.kind in (Kind.TIMESTAMP, Kind.TIMESTAMP_NUMBER):
        return {**described, "type": ["integer", "string", "null"]}
    if column.kind is Kind.LIST:
        return {**described, "type": ["array", "null"], "items": _json_type(column.children[0])}
    if column.kind is Kind.STRUCT:
        return {**described, "anyOf": [_object(column.children), {"type": "null"}]}
    if column.kind is Kind.EMBEDDED:
        opaque = [child for child in column.children if child.name in ("hex", "decoded")]
        hexadecimal = _object(opaque)
        hexadecimal["required"] = ["hex"]
        decoded = _object([child for child in column.children if child not in opaque])
        return {**described, "anyOf": [decoded, hexadecimal, {"type": "null"}]}
    return {**described, "type": [_JSON_TYPES[column.kind], "null"]}
