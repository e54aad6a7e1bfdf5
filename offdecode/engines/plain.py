"""What the reference engine has read, as what rows show: hex, embedded structures, the names of invalid text."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import orjson

from offdecode.engines.reference import Values, read_layout
from offdecode.errors import CorruptError, OffdecodeError
from offdecode.schemas.layout import (
    UNKNOWN_TAGGED_FIELDS,
    USER_DATA,
    ArrayOf,
    Embedded,
    EncodedText,
    Field,
    Layout,
    OpaqueFormat,
    Struct,
    versions_of,
)
from offdecode.schemas.rows import DECODED, USER_DATA_DECODED
from offdecode.schemas.types import InvalidText

_DISTINCT = 1 << 14  # opaque bytes whose readings are kept: members repeat theirs from record to record


class Plain:
    """Turns the values of one record into plain ones and collects the paths of its invalid text."""

    def __init__(self) -> None:
        self.invalid_text: list[str] = []

    def struct(
        self, fields: tuple[Field, ...], values: Values, around: tuple[Values, ...] = (), path: str = ""
    ) -> Values:
        """{field name: plain value}; fields that are not there are null. around: the structs outside this one."""
        scopes = (values, *around)
        shown: Values = {}
        for field in fields:
            value, place = values.get(field.name), path + field.name
            if value is None:
                shown[field.name] = None
            elif field.embedded is not None:
                shown[field.name] = self._embedded(field.embedded, value, scopes, place)
            elif isinstance(field.type, ArrayOf):
                inner = field.type.of
                shown[field.name] = [
                    self._value(inner, item, scopes, f"{place}[{index}]") for index, item in enumerate(value)
                ]
            else:
                shown[field.name] = self._value(field.type, value, scopes, place)
            if field.encoded is not None and value is not None:
                _add(shown, field.encoded.column, encoded_json(field.encoded, value))
        unknown = values.get(UNKNOWN_TAGGED_FIELDS)
        if unknown:
            shown[UNKNOWN_TAGGED_FIELDS] = [{"tag": tag, "hex": data.hex()} for tag, data in unknown]
        return shown

    def _value(self, kind: object, value: Any, scopes: tuple[Values, ...], path: str) -> Any:
        if isinstance(kind, Struct):
            return self.struct(kind.fields, value, scopes, path + ".")
        if isinstance(value, bytes):
            return value.hex()
        if isinstance(value, InvalidText):
            self.invalid_text.append(path)
        return value

    def _embedded(self, embedded: Embedded, data: bytes, scopes: tuple[Values, ...], path: str) -> Values:
        protocol_type = embedded.protocol_type
        if embedded.protocol_type_field is not None:
            protocol_type = _look_up(embedded.protocol_type_field, scopes)
        layout = embedded.layouts.get(protocol_type)
        if layout is not None and len(data) >= 2:
            version = int.from_bytes(data[:2], "big", signed=True)
            try:
                values = read_layout(layout, version, data, 2)
            except OffdecodeError:
                pass
            else:
                shown = {"version": version, **self.struct(layout.fields, values, scopes, path + ".")}
                nested = embedded.nested_opaque.get(_look_up(embedded.protocol_field, scopes))
                if nested is not None and values.get(USER_DATA) is not None:
                    _add(shown, USER_DATA_DECODED.name, opaque_json(nested, values[USER_DATA]))
                return shown
        shown = {"hex": data.hex()}
        opaque = embedded.opaque.get(protocol_type)
        if opaque is not None:
            _add(shown, DECODED.name, opaque_json(opaque, data))
        return shown


def read_opaque(opaque: OpaqueFormat, data: bytes) -> Values | None:
    """`data` as the first layout of the format that fits to the last byte; None where none does.

    Gives values for JSON: {"format": name, "version": only if the bytes tell it, "shape": only of an older layout,
    the layout's fields in order}. As in rows, bytes are hex, fields that the version does not have are null, and
    "invalid_text" names the fields whose text was none, if there are any. Raises nothing, whatever the bytes.
    """
    width = opaque.version_type.width or 0 if opaque.version_type else 0
    if len(data) < width:
        return None
    told = int.from_bytes(data[:width], "big", signed=True) if width else None
    for layout, version in _candidates(opaque, told):
        try:
            values = read_layout(layout, version, data, width)
        except CorruptError:
            continue
        shown: Values = {"format": opaque.name}
        if told is not None:
            shown["version"] = told
        if layout.shape is not None:
            shown["shape"] = layout.shape
        plain = Plain()
        shown.update(plain.struct(layout.fields, values))
        if plain.invalid_text:
            shown["invalid_text"] = plain.invalid_text
        return shown
    return None


def read_encoded(encoded: EncodedText, text: str) -> Values | None:
    """What a text holds in base64, as `read_opaque` gives it; None for every other text.

    It is taken only at its own word: base64 in the one form that an encoder gives, a layout that fits to the last
    byte, and numbers within their limits.
    """
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        return None
    if base64.b64encode(data).decode("ascii") != text:
        return None
    shown = read_opaque(encoded.opaque, data)
    if shown is None or any(shown[name] not in limits for name, limits in encoded.limits.items()):
        return None
    return shown


@lru_cache(_DISTINCT)
def opaque_json(opaque: OpaqueFormat, data: bytes) -> str | None:
    """JSON text of `read_opaque`."""
    return _json(read_opaque(opaque, data))


@lru_cache(_DISTINCT)
def encoded_json(encoded: EncodedText, text: str) -> str | None:
    """JSON text of `read_encoded`."""
    return _json(read_encoded(encoded, text))


def _json(shown: Values | None) -> str | None:
    return None if shown is None else orjson.dumps(shown).decode("utf-8")


def _add(shown: Values, name: str, text: str | None) -> None:
    if text is not None:
        shown[name] = text


def _candidates(opaque: OpaqueFormat, told: int | None) -> Iterator[tuple[Layout, int]]:
    for layout in opaque.layouts:
        if told is None:
            declared = versions_of(layout.versions)
            yield from ((layout, version) for version in range(declared.highest, declared.lowest - 1, -1))
        elif layout.layout_version(told) is not None:
            yield layout, told


def _look_up(name: str | None, scopes: tuple[Values, ...]) -> Any:
    for values in scopes:
        if name in values:
            return values[name]
    return None
