"""The words in which record layouts are declared: Field, Layout, RecordType.

A layout is a table and nothing else. The construct parser, the column decoder, the Arrow schema, the
JSON writer and README's row reference are all derived from it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from offdecode.schemas.types import WireType


@dataclass(frozen=True, slots=True)
class Versions:
    """A range of versions in upstream's notation: "0+", "1-3", "2" or "none"."""

    text: str
    lowest: int = field(init=False)
    highest: int = field(init=False)

    def __post_init__(self) -> None:
        if self.text == "none":
            lowest, highest = 0, -1
        elif self.text.endswith("+"):
            lowest, highest = int(self.text[:-1]), 2**15 - 1
        else:
            first, _, last = self.text.partition("-")
            lowest, highest = int(first), int(last or first)
        object.__setattr__(self, "lowest", lowest)
        object.__setattr__(self, "highest", highest)

    def __contains__(self, version: object) -> bool:
        return isinstance(version, int) and self.lowest <= version <= self.highest


NONE = "none"
UNKNOWN_TAGGED_FIELDS = "unknown_tagged_fields"  # where a struct keeps the tags that no table declares
USER_DATA = "user_data"  # the field of an embedded structure that is its assignor's own


@dataclass(frozen=True, slots=True, eq=False)
class ArrayOf:
    """A counted sequence of one wire type or of one struct."""

    of: WireType | Struct


@dataclass(frozen=True, slots=True, eq=False)
class Struct:
    """Fields that stand together inside another layout; in flexible versions tagged fields end it."""

    name: str
    fields: tuple[Field, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """One field: name (upstream's, in snake_case), wire type, the versions that have it, its meaning.

    nullable: versions in which the wire may say null. tag: number of a tagged field, which flexible
    versions write only when it has something to say. embedded: what opaque bytes may hold. encoded: what
    a text may hold.
    """

    name: str
    type: WireType | ArrayOf | Struct
    versions: str = "0+"
    doc: str = ""
    nullable: str = NONE
    tag: int | None = None
    embedded: Embedded | None = None
    encoded: EncodedText | None = None

    def exists_in(self, version: int) -> bool:
        return version in versions_of(self.versions)

    def nullable_in(self, version: int) -> bool:
        return version in versions_of(self.nullable)


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """The fields of one message over all its versions.

    versions: the ones this table declares; flexible: those with compact lengths and tagged fields.
    open_ended: a version above the highest is read as the highest (upstream's rule for ConsumerProtocol).
    shape: names an older layout that had the same version number; None for the current one.
    """

    name: str
    versions: str
    flexible: str
    fields: tuple[Field, ...]
    doc: str = ""
    open_ended: bool = False
    shape: str | None = None

    def layout_version(self, version: int) -> int | None:
        """The version whose fields read `version`, or None if this table cannot read it."""
        declared = versions_of(self.versions)
        if self.open_ended and version > declared.highest:
            return declared.highest
        return version if version in declared else None

    def flexible_in(self, version: int) -> bool:
        return version in versions_of(self.flexible)

    @property
    def ever_flexible(self) -> bool:
        """Whether any declared version ends its structs with tagged fields."""
        declared, flexible = versions_of(self.versions), versions_of(self.flexible)
        return flexible.lowest <= declared.highest and flexible.highest >= declared.lowest


@dataclass(frozen=True, slots=True, eq=False)
class OpaqueFormat:
    """A free-form reading of opaque bytes, shown beside them as `{format: name, ...}`.

    version_type: the wire type of a leading version number; of the layouts that declare that version, the first
    that fits to the last byte is taken. None when the bytes tell no version: then all versions of all layouts are
    tried, each layout's newest first.
    """

    name: str
    layouts: tuple[Layout, ...]
    version_type: WireType | None = None


@dataclass(frozen=True, slots=True, eq=False)
class EncodedText:
    """What a text may hold in base64, shown in `column` beside the untouched text.

    limits: by field of the opaque format, the numbers it can have; others say that the text fits by chance.
    """

    column: str
    opaque: OpaqueFormat
    limits: Mapping[str, range]
    doc: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Embedded:
    """What opaque bytes may hold, decided by other fields of the record.

    layouts: by protocol type, the structure that the bytes are shown as when they fit to the last byte.
    opaque: by protocol type, a free-form reading shown beside the bytes' hex.
    nested_opaque: by assignor name, a free-form reading of the structure's own `user_data`.
    protocol_type_field / protocol_field: the fields, looked up in the struct that holds the bytes and
    then in the structs around it, that tell the protocol type and the assignor; where no field tells
    the type it is `protocol_type`.
    """

    layouts: Mapping[str, Layout]
    opaque: Mapping[str, OpaqueFormat] = field(default_factory=dict)
    nested_opaque: Mapping[str, OpaqueFormat] = field(default_factory=dict)
    protocol_type_field: str | None = None
    protocol_field: str | None = None
    protocol_type: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class RecordType:
    """One kind of record: its key type number, the row type it becomes, and the layouts of key and value.

    values holds the current value layout first, then older shapes that had the same version number.
    """

    key_type: int
    row_type: str
    key: Layout
    values: tuple[Layout, ...]
    doc: str = ""

    @property
    def name(self) -> str:
        """Upstream's name of the value, the one that problems use."""
        return self.values[0].name


@cache
def versions_of(text: str) -> Versions:
    """Parse upstream's notation once per distinct text."""
    return Versions(text)


def iter_structs(fields: tuple[Field, ...]) -> Iterator[tuple[Field, ...]]:
    """Yield `fields` and the fields of every struct below them."""
    yield fields
    for item in fields:
        inner = item.type.of if isinstance(item.type, ArrayOf) else item.type
        if isinstance(inner, Struct):
            yield from iter_structs(inner.fields)


def least_bytes(element: WireType | Struct, version: int, flexible: bool) -> int:
    """The fewest bytes that one element of an array takes; never 0, so that a count is bounded."""
    if not isinstance(element, Struct):
        return element.least_bytes(flexible=flexible)
    total = int(flexible)
    for part in element.fields:
        if not part.exists_in(version) or part.tag is not None:
            continue
        if isinstance(part.type, ArrayOf):
            total += 1 if flexible else 4
        elif isinstance(part.type, Struct):
            total += 1 if part.nullable_in(version) else least_bytes(part.type, version, flexible)
        else:
            total += part.type.least_bytes(flexible=flexible)
    return max(total, 1)
