"""What the column engine reads: numbers, and where texts, bytes and ids lie, for many rows at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from offdecode.model import Mask, Vector
from offdecode.schemas.layout import EncodedText, OpaqueFormat


@dataclass(frozen=True, slots=True)
class Numbers:
    """Integers, one a row."""

    values: npt.NDArray[np.signedinteger]


@dataclass(frozen=True, slots=True)
class Ranges:
    """Texts, or bytes that rows show in hex: where each row's lie in the buffer; a length of -1 is null."""

    position: Vector
    length: Vector
    text: bool = True


@dataclass(frozen=True, slots=True)
class Uuids:
    """Where each row's 16 bytes lie."""

    position: Vector


@dataclass(frozen=True, slots=True)
class Items:
    """Arrays: how many elements each row has (-1 = null), and all elements one after the other."""

    count: Vector
    elements: Reading


@dataclass(frozen=True, slots=True)
class Repeated:
    """Structs of which many are the same: the reading of each once, and which of them each is."""

    once: Fields
    index: Vector


@dataclass(frozen=True, slots=True)
class Sparse:
    """Something that only some rows have: which (ascending), and their reading."""

    rows: Vector
    reading: Reading


@dataclass(frozen=True, slots=True)
class UnknownTags:
    """Tagged fields that no table declares: the row, tag, position and length of each, rows ascending."""

    row: Vector
    tag: Vector
    position: Vector
    length: Vector


@dataclass(frozen=True, slots=True)
class Fields:
    """A struct's readings by field name; fields that the version does not have are left out."""

    values: dict[str, Reading]
    unknown_tags: UnknownTags | None = None


@dataclass(frozen=True, slots=True)
class EmbeddedBytes:
    """Bytes that hold a structure in some rows: their ranges, and per layout version the rows and their readings.

    opaque, nested_opaque: free-form readings of the bytes, and of the structure's user data, and the rows they are for.
    """

    ranges: Ranges
    read: tuple[tuple[Vector, Vector, Fields], ...]
    opaque: tuple[tuple[OpaqueFormat, Mask], ...]
    nested_opaque: tuple[tuple[OpaqueFormat, Mask], ...]


@dataclass(frozen=True, slots=True)
class Encoded:
    """Texts that may hold something in base64."""

    texts: Ranges
    encoded: EncodedText


Reading = Numbers | Ranges | Uuids | Items | Repeated | Sparse | Fields | EmbeddedBytes | Encoded
