"""Where structs end, row by row in plain numbers: for the few rows that have very many elements.

A step of all rows in lockstep (see walk) costs the same for one row as for hundreds. As there, positions only:
nothing that is passed over is checked, and no way leads behind the end.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from struct import Struct as Packed

from offdecode.engines.walk import Form
from offdecode.schemas.layout import ArrayOf, Field, Struct, least_bytes
from offdecode.schemas.types import WireKind, WireType

# bytes, position, end -> where the value ends
Hop = Callable[[memoryview, int, int], int]

_FIXED, _SHORT, _LONG, _VARINT, _OTHER = range(5)
_INT32 = Packed(">i")
_Step = tuple[int, int, Hop]


@cache
def element_hop(kind: WireType | Struct, form: Form) -> Hop:
    """The hop over an element of an array."""
    steps = _struct_steps(kind.fields, form) if isinstance(kind, Struct) else [_step(kind, False, form)]

    def hop(data: memoryview, at: int, end: int) -> int:
        for code, size, other in steps:
            if code == _SHORT:
                length = data[at] << 8 | data[at + 1]
                at += 2 + (length if length < 0x8000 else 0)
            elif code == _LONG:
                at += 4 + max(_INT32.unpack_from(data, at)[0], 0)
            elif code == _FIXED:
                at += size
            elif code == _VARINT:
                length, at = _varint(data, at, end)
                at += max(length - 1, 0)
            else:
                at = other(data, at, end)
            if at > end:
                at = end
        return at

    return hop


def _struct_steps(fields: tuple[Field, ...], form: Form) -> list[_Step]:
    steps = [
        _step(item.type, item.nullable_in(form.version), form)
        for item in fields
        if item.exists_in(form.version) and item.tag is None
    ]
    return [*steps, (_OTHER, 0, _tagged_fields)] if form.flexible else steps


def _step(kind: WireType | Struct | ArrayOf, nullable: bool, form: Form) -> _Step:
    if isinstance(kind, WireType):
        if kind.width is not None:
            return _FIXED, kind.width, _stay
        return (_VARINT if form.flexible else _SHORT if kind.kind is WireKind.TEXT else _LONG), 0, _stay
    if isinstance(kind, ArrayOf):
        return _OTHER, 0, _array_hop(kind.of, form)
    inner = element_hop(kind, form)
    return _OTHER, 0, (_if_there(inner) if nullable else inner)


def _stay(data: memoryview, at: int, end: int) -> int:
    return at


def _if_there(inner: Hop) -> Hop:
    def hop(data: memoryview, at: int, end: int) -> int:
        there = data[at] == 1
        at = min(at + 1, end)
        return inner(data, at, end) if there else at

    return hop


def _array_hop(element: WireType | Struct, form: Form) -> Hop:
    least = least_bytes(element, form.version, form.flexible)
    width = element.width if isinstance(element, WireType) else None
    inner = element_hop(element, form)

    def hop(data: memoryview, at: int, end: int) -> int:
        if form.flexible:
            count, at = _varint(data, at, end)
            count -= 1
        else:
            count, at = _INT32.unpack_from(data, at)[0], min(at + 4, end)
        if count <= 0 or count * least > end - at:
            return at
        if width is not None:
            return at + width * count
        for _ in range(count):
            at = inner(data, at, end)
        return at

    return hop


def _tagged_fields(data: memoryview, at: int, end: int) -> int:
    count, at = _varint(data, at, end)
    if count * 2 > end - at:
        return at
    for _ in range(count):
        _, at = _varint(data, at, end)
        size, at = _varint(data, at, end)
        at = min(at + size, end)
    return at


def _varint(data: memoryview, at: int, end: int) -> tuple[int, int]:
    """An unsigned 32-bit varint and where it ends; a wrong one is 1."""
    byte = data[at]
    at += 1
    value, shift = byte & 0x7F, 7
    while byte & 0x80 and shift <= 28:
        byte = data[min(at, len(data) - 1)]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
    if value > 0xFFFFFFFF or at > end:
        return 1, min(at, end)
    return value, at
