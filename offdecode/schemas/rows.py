"""From the record tables to row types: the columns of each row, in the order of the contract.

Nothing here knows a single record: every column of a record's row comes from its Layout.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from offdecode.model import Column, Kind, RowType
from offdecode.schemas import offset_commit
from offdecode.schemas import types as wire
from offdecode.schemas.growth_rows import GROWTH_ROWS
from offdecode.schemas.history_rows import HISTORY_ROWS, WITH_GENERATION
from offdecode.schemas.layout import (
    UNKNOWN_TAGGED_FIELDS,
    USER_DATA,
    ArrayOf,
    Embedded,
    Field,
    Layout,
    RecordType,
    Struct,
)
from offdecode.schemas.registry import DEFAULT_ROW_TYPE, RECORD_TYPES
from offdecode.schemas.state_rows import GONE_ELSEWHERE, state_rows

MARKER_ROW = "transaction_marker"
UNKNOWN_ROW = "unknown"
UNDECODABLE_ROW = "undecodable"

TRANSACTION_STATES = ("committed", "aborted", "open", "unknown")
MARKERS = ("abort", "commit")  # by control record type

COMMON = (
    Column("type", Kind.CATEGORY, "the row type"),
    Column("log_partition", Kind.INT32, "partition of the offsets topic, from the directory's name; else null"),
    Column("log_offset", Kind.INT64, "the record's own offset in the log"),
    Column("log_timestamp", Kind.TIMESTAMP, "the record's timestamp; null in message format 0, which has none"),
    Column("producer_id", Kind.INT64, "the transactional producer; -1 = none"),
    Column("transaction", Kind.CATEGORY,
           "null = not transactional; committed, aborted; open = undecided where the evidence ends; "
           "unknown = bytes or segments are missing between the record and what could have decided it"),
    Column("key_type", Kind.INT32, "the key's first two bytes: the kind of record"),
    Column("value_version", Kind.INT32, "the value's first two bytes; null for a tombstone"),
    Column("tombstone", Kind.BOOL, "whether the value is null: the key is deleted"),
)
TRAILING = (
    Column("headers", Kind.LIST, "record headers; no broker writes any", optional=True, children=(
        Column("header", Kind.STRUCT, children=(
            Column("key", Kind.TEXT, "header name"),
            Column("value", Kind.TEXT, "header value in hex"),
        )),
    )),
    Column("invalid_text", Kind.LIST, "fields whose bytes are not UTF-8; their bad bytes are backslash escapes",
           optional=True, children=(Column("field", Kind.TEXT),)),
)
WITH_BATCH = (
    Column("segment", Kind.CATEGORY, "file that holds the record"),
    Column("batch_position", Kind.INT64, "byte of the file at which the batch starts"),
    Column("batch_base_offset", Kind.INT64, "the batch's first offset"),
    Column("batch_last_offset", Kind.INT64, "the batch's last offset, also where that record is compacted away"),
    Column("magic", Kind.INT32, "message format: 0, 1 or 2"),
    Column("codec", Kind.CATEGORY, "compression: none, gzip, snappy, lz4, zstd"),
    Column("timestamp_type", Kind.CATEGORY, "CreateTime or LogAppendTime; null in message format 0"),
    Column("producer_epoch", Kind.INT32, "the producer's epoch; -1 = none"),
    Column("base_sequence", Kind.INT32, "the batch's first sequence number; -1 = none"),
    Column("log_leader_epoch", Kind.INT32, "leader epoch of the offsets partition as the batch was appended"),
    Column("crc_valid", Kind.BOOL, "whether the batch's checksum is right"),
)
CRC_VALID = WITH_BATCH[-1]
COPIES = (
    Column("copies", Kind.INT32, "how many copies of the partition's log hold the record", optional=True),
    Column("lost_branch", Kind.BOOL, "true: the log forked here, and the record is of a branch that did not stand",
           optional=True),
    GONE_ELSEWHERE,
)
COPIES_WITH_BATCH = (
    Column("copy_directories", Kind.LIST, "directories of the copies that hold the record", optional=True,
           children=(Column("directory", Kind.TEXT),)),
    Column("copy_brokers", Kind.LIST, "the broker of each of these, by meta.properties; null = not known",
           optional=True, children=(Column("broker", Kind.INT32),)),
    Column("copy_segments", Kind.LIST, "the segment in each of these", optional=True,
           children=(Column("segment", Kind.TEXT),)),
)
RAW = (
    Column("key_hex", Kind.TEXT, "the key's bytes in hex; null for a null key"),
    Column("value_hex", Kind.TEXT, "the value's bytes in hex; null for a tombstone"),
)
TRANSACTIONAL_ID = Column("transactional_id", Kind.CATEGORY, "the transactional producer's own id; null = not known")
RECORD_BYTES = Column("record_bytes", Kind.INT64, "the record's share of its batch's bytes in the segment")
REASON = Column("reason", Kind.TEXT, "why the record is not decoded")

# Rows that no record table describes: (row type, what it is, its own columns).
OTHER_ROWS: tuple[tuple[str, str, tuple[Column, ...]], ...] = (
    (MARKER_ROW, "The end of a producer's transaction in this log partition (a control record).", (
        Column("producer_epoch", Kind.INT32, "the marker's epoch; may be above the records' own"),
        Column("marker", Kind.CATEGORY, "commit or abort"),
        Column("coordinator_epoch", Kind.INT32, "epoch of the transaction coordinator that wrote it"),
    )),
    (UNKNOWN_ROW, "A record of a key type, value version or control type that offdecode does not know.",
     (*RAW, REASON)),
    (UNDECODABLE_ROW, "A record of a known type whose bytes break its layout.",
     (*RAW, REASON, Column("position", Kind.INT64, "byte inside the key or value at which the layout breaks"))),
)


@dataclass(frozen=True, slots=True)
class RowOptions:
    """Which columns beyond the contract's default rows are wanted."""

    with_batch: bool = False
    crc_valid: bool = False
    raw: bool = False
    with_generation: bool = False
    copies: bool = False
    sizes: bool = False
    with_transactional_id: bool = False


DEFAULT_OPTIONS = RowOptions()

_SCALARS = {
    wire.WireKind.TIMESTAMP: Kind.TIMESTAMP,
    wire.WireKind.TIMESTAMP_NUMBER: Kind.TIMESTAMP_NUMBER,
    wire.WireKind.TEXT: Kind.TEXT,
    wire.WireKind.UUID: Kind.TEXT,
    wire.WireKind.BYTES: Kind.TEXT,
}


def column_of(field: Field, *, nested: bool, flexible: bool) -> Column:
    """The column that shows a field; text is dictionary-encoded at the top level of a row only."""
    inner = field.type.of if isinstance(field.type, ArrayOf) else field.type
    if field.embedded is not None:
        column = Column(field.name, Kind.EMBEDDED, field.doc, children=_embedded_columns(field.embedded))
    elif isinstance(inner, Struct):
        column = Column(field.name, Kind.STRUCT, field.doc, children=columns_of(inner.fields, flexible=flexible))
    else:
        kind = _SCALARS.get(inner.kind, Kind.INT64 if inner.width == 8 else Kind.INT32)
        plain = nested or isinstance(field.type, ArrayOf) or kind is not Kind.TEXT or inner.kind is wire.WireKind.BYTES
        column = Column(field.name, kind if plain else Kind.CATEGORY, field.doc)
    if isinstance(field.type, ArrayOf):
        return Column(field.name, Kind.LIST, field.doc, children=(column,))
    return column


def columns_of(fields: tuple[Field, ...], *, flexible: bool, nested: bool = True) -> tuple[Column, ...]:
    """The columns of a struct; structs that may end in tagged fields show the unknown ones."""
    columns: list[Column] = []
    for field in fields:
        columns.append(column_of(field, nested=nested, flexible=flexible))
        if field.encoded is not None:
            columns.append(Column(field.encoded.column, Kind.JSON, field.encoded.doc, optional=True))
    return (*columns, _TAGGED_COLUMN) if flexible else tuple(columns)


_TAGGED_COLUMN = Column(
    UNKNOWN_TAGGED_FIELDS, Kind.LIST, "tagged fields that no table declares", optional=True, children=(
        Column("field", Kind.STRUCT, children=(
            Column("tag", Kind.INT64, "the field's number"),
            Column("hex", Kind.TEXT, "its bytes"),
        )),
    ))


def _embedded_columns(embedded: Embedded) -> tuple[Column, ...]:
    columns: dict[str, Column] = {}
    for layout in embedded.layouts.values():
        columns["version"] = Column("version", Kind.INT32, f"version of {layout.name}")
        for column in columns_of(layout.fields, flexible=False):
            columns.setdefault(column.name, column)
            if column.name == USER_DATA and embedded.nested_opaque:
                columns[USER_DATA_DECODED.name] = USER_DATA_DECODED
    columns["hex"] = Column("hex", Kind.TEXT, "the bytes, where they are none of the known structures", optional=True)
    if embedded.opaque:
        columns[DECODED.name] = DECODED
    return tuple(columns.values())


USER_DATA_DECODED = Column(f"{USER_DATA}_decoded", Kind.JSON, "what the assignor's bytes say", optional=True)
DECODED = Column("decoded", Kind.JSON, "what else can be read from the bytes", optional=True)
SHAPE = Column("shape", Kind.CATEGORY, "the older layout that the value fits, where it is not today's", optional=True)


@cache
def record_columns(row_type: str) -> tuple[Column, ...]:
    """The key's and the value's columns of a row type, over all record types and shapes that become it.

    The layout of the newest key type and shape gives the order.
    """
    records = record_types(row_type)[::-1]
    layouts = (*(record.key for record in records), *(value for record in records for value in record.values))
    merged: dict[str, Column] = {}
    for layout in layouts:
        for column in columns_of(layout.fields, flexible=layout.ever_flexible, nested=False):
            merged.setdefault(column.name, column)
    shapes = any(layout.shape is not None for layout in layouts)
    tagged = merged.pop(UNKNOWN_TAGGED_FIELDS, None)
    return (*merged.values(), *((tagged,) if tagged else ()), *((SHAPE,) if shapes else ()))


def record_types(row_type: str) -> tuple[RecordType, ...]:
    """The record types that become this row type."""
    return tuple(record for record in RECORD_TYPES if record.row_type == row_type)


def row_type_names() -> tuple[str, ...]:
    """All row types that decoding makes, records first, in the order of their key types."""
    names = dict.fromkeys(record.row_type for record in RECORD_TYPES)
    return (*names, *(name for name, _, _ in OTHER_ROWS))


def all_row_type_names() -> tuple[str, ...]:
    """All row types, those of history last."""
    return (*row_type_names(), *(name for name, _, _ in _history_rows()))


def is_record_row(name: str) -> bool:
    """Whether a row of this type is one record, and so has the columns of every record."""
    return name in row_type_names()


@cache
def _history_rows() -> tuple[tuple[str, str, tuple[Column, ...]], ...]:
    commit = {column.name: column for column in (*COMMON, *record_columns(offset_commit.ROW_TYPE), *TRAILING)}
    return (*HISTORY_ROWS, *state_rows(commit), *GROWTH_ROWS)


@cache
def row_type(name: str, options: RowOptions = DEFAULT_OPTIONS) -> RowType:
    """The full row type: common columns, the record's own, and those that the options add."""
    for history_name, history_doc, history_columns in _history_rows():
        if name == history_name:
            return RowType(name, history_columns, history_doc)
    others = {other: (doc, columns) for other, doc, columns in OTHER_ROWS}
    if name in others:
        doc, own = others[name]
    else:
        doc, own = _record_doc(name), record_columns(name)
    taken = {column.name for column in own}
    extra = tuple(column for column in _extra(name, options) if column.name not in taken)
    return RowType(name, (*COMMON, *own, *TRAILING, *extra), doc)


def _extra(name: str, options: RowOptions) -> tuple[Column, ...]:
    """The columns that options add to the rows of records."""
    extra: tuple[Column, ...] = ()
    if options.with_batch:
        extra = WITH_BATCH
    elif options.crc_valid:
        extra = (CRC_VALID,)
    if options.raw:
        extra = (*extra, *RAW)
    if options.copies:
        extra = (*extra, *COPIES, *(COPIES_WITH_BATCH if options.with_batch else ()))
    if options.with_transactional_id:
        extra = (*extra, TRANSACTIONAL_ID)
    if options.sizes:
        extra = (*extra, RECORD_BYTES)
    if options.with_generation and name == DEFAULT_ROW_TYPE:
        extra = (*extra, *WITH_GENERATION)
    return extra


def _record_doc(name: str) -> str:
    layouts: dict[str, Layout] = {record.values[0].name: record.values[0] for record in record_types(name)[::-1]}
    return "\n\n".join(" ".join(layout.doc.split()) for layout in layouts.values())
