"""What the reference engine has read, as what rows show: hex, embedded structures, the names of invalid text."""

from __future__ import annotations

from typing import Any

from offdecode.engines.reference import Values, read_layout
from offdecode.errors import OffdecodeError
from offdecode.schemas.layout import UNKNOWN_TAGGED_FIELDS, ArrayOf, Embedded, Field, Struct
from offdecode.schemas.types import InvalidText


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
        if layout is None or len(data) < 2:
            return {"hex": data.hex()}
        version = int.from_bytes(data[:2], "big", signed=True)
        try:
            values = read_layout(layout, version, data, 2)
        except OffdecodeError:
            return {"hex": data.hex()}
        return {"version": version, **self.struct(layout.fields, values, scopes, path + ".")}


def _look_up(name: str, scopes: tuple[Values, ...]) -> Any:
    for values in scopes:
        if name in values:
            return values[name]
    return None
