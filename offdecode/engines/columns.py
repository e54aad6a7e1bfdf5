"""Layouts read over vectors of positions: all records of a chunk that share a layout, field by field.

Gives readings: numbers, and where texts, bytes and ids lie. Accept-only: a row that does not fit its layout to
the last byte is marked, never guessed; the reference engine says what is wrong with it. What is accepted here is
exactly what the reference engine accepts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from offdecode.byte_vectors import Buffer, big_endian, equal_ranges
from offdecode.engines.hops import element_hop
from offdecode.engines.readings import (
    EmbeddedBytes,
    Encoded,
    Fields,
    Items,
    Numbers,
    Ranges,
    Reading,
    Repeated,
    Sparse,
    UnknownTags,
    Uuids,
)
from offdecode.engines.walk import Form, advance, element_end, steps, varint
from offdecode.model import LARGEST_INT32, Mask, Vector, arrow, distinct, within
from offdecode.schemas.layout import ArrayOf, Embedded, Field, Layout, OpaqueFormat, Struct, least_bytes
from offdecode.schemas.types import MAX_STRING_BYTES, WireKind, WireType

_MANY_ELEMENTS = 256  # so many, and it is worth while to look for equal ones
_SAMPLE = 1024
_MOST_DIFFERENT = 1.25  # so many elements for each different one, or looking for equal ones does not pay
_FEW_ROWS = 16  # fewer are quicker one by one than in lockstep


@dataclass(frozen=True, slots=True)
class _Scope:
    """The readings of a struct around the one being read, and which of its rows each of ours belongs to."""

    values: dict[str, Reading]
    owner: Vector | None = None


@dataclass(slots=True)
class VectorReader:
    """Reads layouts at positions of one buffer, which ends in at least 16 bytes that belong to no record."""

    buffer: Buffer

    def read(
        self, layout: Layout, version: int, position: Vector, end: Vector, *, coded: bool = False
    ) -> tuple[Fields, Mask]:
        """Read `layout` at `version` in every row from its position to its end; which rows fit to the last byte.

        coded: equal structs of an array may be read once.
        """
        fits = np.ones(len(position), np.bool_)
        form = Form(version, layout.flexible_in(version), layout.shape is not None, coded)
        fields, at = self._struct(layout.fields, form, position, end, fits, ())
        fits &= at == end
        return fields, fits

    def integers(self, position: Vector, width: int, *, signed: bool = True) -> npt.NDArray[np.signedinteger]:
        """Big-endian integers at any positions."""
        return big_endian(self.buffer, f"{'i' if signed else 'u'}{width}", position)

    def equal(self, ranges: Ranges, text: bytes) -> Mask:
        """Which ranges hold exactly these bytes."""
        same: Mask = ranges.length == len(text)
        for index, byte in enumerate(text):
            same &= self.buffer[np.minimum(ranges.position + index, len(self.buffer) - 1)] == byte
        return same

    def _struct(
        self,
        fields: Sequence[Field],
        form: Form,
        at: Vector,
        end: Vector,
        fits: Mask,
        around: tuple[_Scope, ...],
    ) -> tuple[Fields, Vector]:
        """Read a struct; narrows `fits` in place and gives where each row goes on, never behind its end."""
        values: dict[str, Reading] = {}
        scopes = (_Scope(values), *around)
        tagged: dict[int, Field] = {}
        for item in fields:
            if not item.exists_in(form.version):
                continue
            if item.tag is not None:
                tagged[item.tag] = item
            else:
                reading, at = self._field(item, form, at, end, fits, scopes)
                values[item.name] = reading
                if item.encoded is not None and isinstance(reading, Ranges):
                    values[item.encoded.column] = Encoded(reading, item.encoded)
        unknown = None
        if form.flexible:
            unknown, at = self._tagged_fields(tagged, form, values, at, end, fits, scopes)
        return Fields(values, unknown), at

    def _field(
        self,
        item: Field,
        form: Form,
        at: Vector,
        end: Vector,
        fits: Mask,
        scopes: tuple[_Scope, ...],
    ) -> tuple[Reading, Vector]:
        nullable = item.nullable_in(form.version)
        if isinstance(item.type, WireType):
            reading, at = self._primitive(item.type, form, nullable, at, end, fits)
            if item.embedded is not None and isinstance(reading, Ranges):
                return self._parts(item.embedded, reading, scopes), at
            return reading, at
        if isinstance(item.type, ArrayOf):
            return self._array(item.type.of, form, nullable, at, end, fits, scopes)
        if not nullable:
            return self._struct(item.type.fields, form, at, end, fits, scopes)
        return self._nullable_struct(item.type, item.tag is not None, form, at, end, fits, scopes)

    def _primitive(
        self, kind: WireType, form: Form, nullable: bool, at: Vector, end: Vector, fits: Mask
    ) -> tuple[Reading, Vector]:
        if kind.width is not None:
            after = advance(at, kind.width, end, fits)
            if kind.kind is WireKind.UUID:
                return Uuids(at), after
            return Numbers(self.integers(at, kind.width, signed=kind.signed)), after
        most = MAX_STRING_BYTES if kind.kind is WireKind.TEXT else 2**31 - 1
        length, at = self._length(2 if kind.kind is WireKind.TEXT else 4, form, nullable, at, end, fits)
        wrong = length > end - at
        if form.flexible:  # elsewhere the width of the length is limit enough
            wrong |= length > most
        if np.count_nonzero(wrong):
            fits &= ~wrong
            length = np.where(wrong, 0, length)
        return Ranges(at, length, kind.kind is WireKind.TEXT), at + np.maximum(length, 0)

    def _length(
        self, width: int, form: Form, nullable: bool, at: Vector, end: Vector, fits: Mask
    ) -> tuple[Vector, Vector]:
        """A length or count, -1 for null, and where what it counts begins. Rows with a wrong one get 0."""
        if form.flexible:
            length, after = varint(self.buffer, at, end, fits)
            length = length - 1
        else:
            after = advance(at, width, end, fits)
            length = self.integers(at, width).astype(np.int64)
        wrong = length < (-1 if nullable else 0)
        if np.count_nonzero(wrong):
            fits &= ~wrong
            length = np.where(wrong, 0, length)
        return length, after

    def _array(  # noqa: PLR0913 - where the walk stands is five vectors; an object around them costs each step
        self,
        element: WireType | Struct,
        form: Form,
        nullable: bool,
        at: Vector,
        end: Vector,
        fits: Mask,
        scopes: tuple[_Scope, ...],
    ) -> tuple[Reading, Vector]:
        shown, at = self._length(4, form, nullable, at, end, fits)
        wrong = shown * least_bytes(element, form.version, form.flexible) > end - at
        if wrong.any():
            fits &= ~wrong
            shown = np.where(wrong, 0, shown)
        count = np.maximum(shown, 0)
        total = int(count.sum())
        owner = np.repeat(np.arange(len(count)), count)
        slot = np.cumsum(count) - count
        if isinstance(element, WireType) and element.width is not None:
            position = at[owner] + element.width * within(count)
            inside = np.ones(total, np.bool_)
            reading, _ = self._primitive(element, form, False, position, end[owner], inside)
            return Items(shown, reading), at + element.width * count
        start, at = self._starts(element, form, count, slot, at, end)
        if isinstance(element, WireType):
            good = np.ones(total, np.bool_)
            texts, _ = self._primitive(element, form, False, start, end[owner], good)
            fits[owner[~good]] = False
            return Items(shown, texts), at
        index = None
        last = end[owner]
        around = owner
        few = total < _MANY_ELEMENTS or len(scopes) > 1  # arrays in arrays are short
        if form.coded and not few and len(self.buffer) <= LARGEST_INT32:
            last = self._ends(start, count, slot, at)
            index = self._repeats(element, start, last, owner, scopes)
        if index is not None:
            example = np.empty(int(index.max()) + 1, np.int64)
            example[index] = np.arange(total)
            start, last, around = start[example], last[example], owner[example]
        good = np.ones(len(start), np.bool_)
        below = tuple(_Scope(scope.values, around if scope.owner is None else scope.owner[around]) for scope in scopes)
        fields, _ = self._struct(element.fields, form, start, last, good, below)
        if index is None:
            fits[owner[~good]] = False
            return Items(shown, fields), at
        fits[owner[~good[index]]] = False
        return Items(shown, Repeated(fields, index)), at

    def _repeats(
        self, element: Struct, start: Vector, end: Vector, owner: Vector, scopes: tuple[_Scope, ...]
    ) -> Vector | None:
        """Numbers of elements from 0 on, the same for those that read the same; None where too few are."""
        stride = len(start) // _SAMPLE + 1
        if stride > 1:
            some = equal_ranges(self.buffer, start[::stride], end[::stride])
            repeats = len(some) - 1 - int(some.max())
            # So many repeats in n of them tell of some n * n / 2 / repeats different ones.
            if 2 * repeats * len(start) < _MOST_DIFFERENT * len(some) ** 2:
                return None
        index = equal_ranges(self.buffer, start, end)
        for name in sorted(_names_around(element.fields)):
            around, inside = _look_up(name, scopes)
            if around is not None:
                kind = equal_ranges(self.buffer, around.position, around.position + np.maximum(around.length, 0))
                kind = (kind + 1) * (around.length >= 0)
                kind = kind[owner if inside is None else inside[owner]]
                if (kind != kind[0]).any():
                    index = _numbered(index * (int(kind.max()) + 1) + kind)
        return index if int(index.max()) * _MOST_DIFFERENT < len(index) else None

    @staticmethod
    def _ends(start: Vector, count: Vector, slot: Vector, at: Vector) -> Vector:
        """Where each element of arrays ends; at: where the arrays do."""
        end = np.empty(len(start), np.int64)
        end[:-1] = start[1:]
        filled = count > 0
        end[(slot + count - 1)[filled]] = at[filled]
        return end

    def _starts(
        self, element: WireType | Struct, form: Form, count: Vector, slot: Vector, at: Vector, end: Vector
    ) -> tuple[Vector, Vector]:
        """Where each element of arrays starts, and where the arrays end. slot: the number of each one's first."""
        start = np.empty(int(count.sum()), np.int64)
        at = at.copy()
        for rows, k in steps(count):
            if len(rows) < _FEW_ROWS:
                hop, data = element_hop(element, form), self.buffer.data
                for row in rows.tolist():
                    place, last = int(at[row]), int(end[row])
                    places = []
                    for _ in range(int(count[row]) - k):
                        places.append(place)
                        place = hop(data, place, last)
                    start[slot[row] + k : slot[row] + count[row]] = places
                    at[row] = place
                break
            start[slot[rows] + k] = at[rows]
            at[rows] = element_end(self.buffer, element, form, at[rows], end[rows])
        return start, at

    def _nullable_struct(  # noqa: PLR0913 - where the walk stands is five vectors; an object around them costs each step
        self,
        struct: Struct,
        tagged: bool,
        form: Form,
        at: Vector,
        end: Vector,
        fits: Mask,
        scopes: tuple[_Scope, ...],
    ) -> tuple[Reading, Vector]:
        """A mark, then the struct if the mark is 1 (see types.Presence)."""
        if tagged:
            mark, after = varint(self.buffer, at, end, fits)
        else:
            after = advance(at, 1, end, fits)
            mark = self.integers(at, 1).astype(np.int64)
        fits &= (mark == 1) | (mark == (0 if tagged else -1))
        rows = np.flatnonzero(fits & (mark == 1))
        good = np.ones(len(rows), np.bool_)
        below = tuple(_Scope(scope.values, rows if scope.owner is None else scope.owner[rows]) for scope in scopes)
        fields, last = self._struct(struct.fields, form, after[rows], end[rows], good, below)
        fits[rows] = good
        after[rows] = last
        return Sparse(rows, fields), after

    def _tagged_fields(  # noqa: PLR0913 - where the walk stands is five vectors; an object around them costs each step
        self,
        known: dict[int, Field],
        form: Form,
        values: dict[str, Reading],
        at: Vector,
        end: Vector,
        fits: Mask,
        scopes: tuple[_Scope, ...],
    ) -> tuple[UnknownTags | None, Vector]:
        """The tagged fields that end a struct: puts the known ones among `values`, gives the unknown ones."""
        count, at = varint(self.buffer, at, end, fits)
        fits &= count * 2 <= end - at
        count = np.where(fits, count, 0)
        if not count.any():
            return None, at
        found: list[tuple[Vector, Vector, Vector, Vector]] = []
        previous = np.full(len(at), -1, np.int64)
        at = at.copy()
        for rows, _ in steps(count):
            good = fits[rows]
            tag, after = varint(self.buffer, at[rows], end[rows], good)
            size, after = varint(self.buffer, after, end[rows], good)
            good &= (tag > previous[rows]) & (size <= end[rows] - after)
            previous[rows] = tag
            size = np.where(good, size, 0)
            fits[rows] = good
            at[rows] = after + size
            found.append((rows[good], tag[good], after[good], size[good]))
        row, tag, position, size = (np.concatenate(vectors) for vectors in zip(*found, strict=True))
        order = np.argsort(row, kind="stable")
        row, tag, position, size = row[order], tag[order], position[order], size[order]
        for number, item in known.items():
            mine = tag == number
            if mine.any():
                values[item.name] = self._tagged(item, form, row[mine], position[mine], size[mine], fits, scopes)
        strange = ~np.isin(tag, list(known))
        if form.closed:
            fits[row[strange]] = False
        unknown = UnknownTags(row[strange], tag[strange], position[strange], size[strange])
        return (unknown if strange.any() else None), at

    def _tagged(  # noqa: PLR0913 - where the walk stands is five vectors; an object around them costs each step
        self,
        item: Field,
        form: Form,
        rows: Vector,
        position: Vector,
        size: Vector,
        fits: Mask,
        scopes: tuple[_Scope, ...],
    ) -> Reading:
        good = np.ones(len(rows), np.bool_)
        below = tuple(_Scope(scope.values, rows if scope.owner is None else scope.owner[rows]) for scope in scopes)
        reading, at = self._field(item, form, position, position + size, good, below)
        good &= at == position + size
        fits[rows[~good]] = False
        return Sparse(rows, reading)

    def _parts(self, embedded: Embedded, ranges: Ranges, scopes: tuple[_Scope, ...]) -> EmbeddedBytes:
        """Read the structures that opaque bytes hold; rows whose bytes do not fit keep their bytes only."""
        protocol_type, owner = _look_up(embedded.protocol_type_field, scopes)
        read: list[tuple[Vector, Vector, Fields]] = []
        for name, layout in embedded.layouts.items():
            mine = ranges.length >= 2
            if protocol_type is not None:
                mine &= self._owned(self.equal(protocol_type, name.encode()), owner)
            elif embedded.protocol_type_field is not None or name != embedded.protocol_type:
                continue
            version = self.integers(ranges.position, 2).astype(np.int64)
            for known in distinct(version[mine & (version >= 0)]).tolist():
                layout_version = layout.layout_version(known)
                if layout_version is None:
                    continue
                rows = np.flatnonzero(mine & (version == known))
                rows, fields = self._fitting(layout, layout_version, rows, ranges)
                if len(rows):
                    read.append((rows, version[rows], fields))
        opaque = self._chosen(embedded.opaque, protocol_type, owner)
        nested_opaque = self._chosen(embedded.nested_opaque, *_look_up(embedded.protocol_field, scopes))
        return EmbeddedBytes(ranges, tuple(read), opaque, nested_opaque)

    def _chosen(
        self, formats: Mapping[str, OpaqueFormat], names: Ranges | None, owner: Vector | None
    ) -> tuple[tuple[OpaqueFormat, Mask], ...]:
        if names is None:
            return ()
        chosen = ((opaque, self.equal(names, name.encode())) for name, opaque in formats.items())
        return tuple((opaque, self._owned(rows, owner)) for opaque, rows in chosen if rows.any())

    @staticmethod
    def _owned(rows: Mask, owner: Vector | None) -> Mask:
        """What holds for structs, for the rows inside them."""
        return rows if owner is None else rows[owner]

    def _fitting(self, layout: Layout, version: int, rows: Vector, ranges: Ranges) -> tuple[Vector, Fields]:
        start, length = ranges.position[rows], ranges.length[rows]
        fields, fits = self.read(layout, version, start + 2, start + length)
        if fits.all():
            return rows, fields
        rows = rows[fits]
        start, length = ranges.position[rows], ranges.length[rows]
        return rows, self.read(layout, version, start + 2, start + length)[0]


def _look_up(name: str | None, scopes: tuple[_Scope, ...]) -> tuple[Ranges | None, Vector | None]:
    """The text field of this name in the nearest struct that has it, and which of its rows each of ours belongs to."""
    if name is not None:
        for scope in scopes:
            reading = scope.values.get(name)
            if isinstance(reading, Ranges):
                return reading, scope.owner
    return None, None


def _names_around(fields: Sequence[Field]) -> set[str]:
    """The fields around a struct that tell how its bytes are read."""
    found = set()
    for item in fields:
        kind = item.type.of if isinstance(item.type, ArrayOf) else item.type
        if isinstance(kind, Struct):
            found |= _names_around(kind.fields)
        if item.embedded is not None:
            found |= {name for name in (item.embedded.protocol_type_field, item.embedded.protocol_field) if name}
    return found


def _numbered(values: Vector) -> Vector:
    """Numbers from 0 on, the same for the same values."""
    index: Vector = arrow(values).dictionary_encode().indices.to_numpy().astype(np.int64)
    return index
