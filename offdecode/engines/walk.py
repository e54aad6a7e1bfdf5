"""Where structs end: the way over arrays whose elements differ in length, all rows in lockstep.

Positions only. Nothing that is passed over is checked: that is done where it is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from offdecode.byte_vectors import Buffer, big_endian
from offdecode.model import Mask, Vector
from offdecode.schemas.layout import ArrayOf, Field, Struct, least_bytes
from offdecode.schemas.types import WireKind, WireType


@dataclass(frozen=True, slots=True)
class Form:
    """How a layout is written: its version, whether that is flexible, whether undeclared tags are refused.

    coded: whether equal structs of its arrays may be read once.
    """

    version: int
    flexible: bool
    closed: bool
    coded: bool = False


def struct_end(buffer: Buffer, fields: Sequence[Field], form: Form, at: Vector, end: Vector) -> Vector:
    """Where a struct ends, and never behind `end`. Nothing is checked: that is done where it is read."""
    fixed = 0
    for item in fields:
        if not item.exists_in(form.version) or item.tag is not None:
            continue
        if isinstance(item.type, WireType) and item.type.width is not None:
            fixed += item.type.width
            continue
        if fixed:
            at, fixed = np.minimum(at + fixed, end), 0
        at = _field_end(buffer, item.type, item.nullable_in(form.version), form, at, end)
    if fixed:
        at = np.minimum(at + fixed, end)
    if not form.flexible:
        return at
    count, at = _any_varint(buffer, at, end)
    count[count * 2 > end - at] = 0
    for rows, _ in steps(count):
        _, after = _any_varint(buffer, at[rows], end[rows])
        size, after = _any_varint(buffer, after, end[rows])
        at[rows] = np.minimum(after + size, end[rows])
    return at


def element_end(buffer: Buffer, kind: WireType | Struct, form: Form, at: Vector, end: Vector) -> Vector:
    """Where an element of an array ends, as struct_end."""
    return _field_end(buffer, kind, False, form, at, end)


def _field_end(
    buffer: Buffer, kind: WireType | Struct | ArrayOf, nullable: bool, form: Form, at: Vector, end: Vector
) -> Vector:
    if isinstance(kind, Struct):
        if not nullable:
            return struct_end(buffer, kind.fields, form, at, end)
        after = np.minimum(at + 1, end)
        rows = np.flatnonzero(buffer[at] == 1)
        after[rows] = struct_end(buffer, kind.fields, form, after[rows], end[rows])
        return after
    width = 2 if isinstance(kind, WireType) and kind.kind is WireKind.TEXT else 4
    if form.flexible:
        length, at = _any_varint(buffer, at, end)
        length -= 1
    else:
        length = big_endian(buffer, f"i{width}", at)
        at = np.minimum(at + width, end)
    if isinstance(kind, WireType):
        return np.minimum(at + np.maximum(length, 0), end)
    element = kind.of
    count = length.astype(np.int64)
    count[count * least_bytes(element, form.version, form.flexible) > end - at] = 0
    np.maximum(count, 0, out=count)
    if isinstance(element, WireType) and element.width is not None:
        return at + element.width * count
    for rows, _ in steps(count):
        at[rows] = _field_end(buffer, element, False, form, at[rows], end[rows])
    return at


def _any_varint(buffer: Buffer, at: Vector, end: Vector) -> tuple[Vector, Vector]:
    """Unsigned varints, wrong ones too."""
    return varint(buffer, at, end, np.ones(len(at), np.bool_))


def varint(buffer: Buffer, at: Vector, end: Vector, fits: Mask) -> tuple[Vector, Vector]:
    """Unsigned 32-bit varints."""
    byte = buffer[at]
    value = (byte & 0x7F).astype(np.int64)
    after = at + 1
    more = np.flatnonzero(byte & 0x80)
    for shift in (7, 14, 21, 28):
        if not more.size:
            break
        byte = buffer[np.minimum(after[more], len(buffer) - 1)]
        value[more] |= (byte & 0x7F).astype(np.int64) << shift
        after[more] += 1
        more = more[(byte & 0x80) != 0]
    fits[more] = False
    wrong = (value > 0xFFFFFFFF) | (after > end)
    if np.count_nonzero(wrong):
        fits &= ~wrong
        value = np.where(wrong, 1, value)
        after = np.minimum(after, end)
    return value, after


def advance(at: Vector, width: int, end: Vector, fits: Mask) -> Vector:
    """The positions `width` bytes on; rows that end before do not fit, which is noted."""
    after = at + width
    wrong = after > end
    if np.count_nonzero(wrong):
        fits &= ~wrong
        after = np.minimum(after, end)
    return after


def steps(count: Vector) -> Iterator[tuple[Vector, int]]:
    """For k = 0, 1, ...: the rows that have a k-th element."""
    if not count.any():
        return
    order = np.argsort(-count, kind="stable")
    ascending = count[order][::-1]
    for k in range(int(count.max())):
        yield order[: len(count) - int(np.searchsorted(ascending, k, side="right"))], k
