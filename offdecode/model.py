"""What passes between stages: columns and row types, decoded chunks, problems."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import Enum, StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

LARGEST_INT32 = (1 << 31) - 1
LARGEST_INT64 = (1 << 63) - 1
ABSENT = -(1 << 63)  # a null, in a vector of numbers

Vector = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


def distinct(values: Vector) -> Vector:
    """The values in rising order, each once: np.unique without its import of numpy.ma, which costs every start."""
    if len(values) and (values == values[0]).all():
        return values[:1]
    ordered = np.sort(values)
    first = np.ones(len(ordered), np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    return ordered[first]


def stable_order(*keys: Vector | Mask) -> Vector:
    """The indices that sort by the last key, then by the one before it; what is equal stays in its order.

    np.lexsort does the same. Of numbers of 16 bits numpy has a radix sort, which is several times as fast.
    """
    order = _order(keys[0])
    for key in keys[1:]:
        order = order.take(_order(key.take(order)))
    return order


def _order(values: Vector | Mask) -> Vector:
    if (values[1:] >= values[:-1]).all():
        return np.arange(len(values))
    lowest = int(values.min())
    spread = int(values.max()) - lowest
    if spread >> 32:
        return np.argsort(values, kind="stable")
    beyond = values - lowest
    order = np.argsort(beyond.astype(np.uint16), kind="stable")
    if spread >> 16:
        order = order.take(np.argsort((beyond >> 16).astype(np.uint16).take(order), kind="stable"))
    return order


def take_structs(structs: npt.NDArray[np.void], index: Vector) -> npt.NDArray[np.void]:
    """Some of the structs, of int64 fields only: as rows of a matrix they are taken faster than as structs."""
    matrix = structs.view(np.int64).reshape(len(structs), len(structs.dtype.names or ()))
    return matrix.take(index, axis=0).view(structs.dtype).reshape(-1)


def arrow(values: npt.NDArray[Any], null: Mask | None = None) -> pa.Array:
    """Whole numbers or truth values as an Arrow array; `null` tells which are null.

    pa.array does the same, but imports pandas and numpy.ma first, which costs every start.
    """
    validity = None if null is None else pa.py_buffer(np.packbits(~null, bitorder="little"))
    data = np.packbits(values, bitorder="little") if values.dtype == np.bool_ else np.ascontiguousarray(values)
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [validity, pa.py_buffer(data)])


def lists(count: Vector, elements: pa.Array) -> pa.Array:
    """A list array from the number of elements of each row; -1 is a null list."""
    offsets = np.concatenate((np.zeros(1, np.int32), np.cumsum(np.maximum(count, 0), dtype=np.int32)))
    null = count < 0
    mask = arrow(null) if null.any() else None
    return pa.ListArray.from_arrays(arrow(offsets), elements, mask=mask)


def bounds(count: Vector | Mask) -> Vector:
    """Where the elements of each row begin, and where all end. count: of each row."""
    found = np.zeros(len(count) + 1, np.int64)
    np.cumsum(count, out=found[1:])
    return found


def within(count: Vector) -> Vector:
    """The place of each element in its row."""
    return np.arange(int(count.sum())) - np.repeat(np.cumsum(count) - count, count)


def scattered(array: pa.Array, rows: Vector, count: int) -> pa.Array:
    """An array of `count` values that has those of `array` at `rows`, and null elsewhere."""
    where = np.full(count, -1, np.int64)
    if pa.types.is_list(array.type) and (rows[1:] > rows[:-1]).all():  # the elements stay where they are
        where[rows] = pc.list_value_length(array).fill_null(-1).to_numpy()
        return lists(where, array.flatten())
    where[rows] = np.arange(len(rows))
    return array.take(arrow(where, null=where < 0))


def category(index: Vector, names: Sequence[str], null: Mask | None = None) -> pa.Array:
    """A dictionary-encoded text column from indices into `names`."""
    indices = arrow(index.astype(np.int32), null=null)
    return pa.DictionaryArray.from_arrays(indices, pa.array(names, pa.string()))


def constant_category(text: str, count: int) -> pa.Array:
    """A dictionary-encoded text column that says the same in every row."""
    return category(np.zeros(count, np.int64), (text,))


def repeated(value: Any, kind: pa.DataType, count: int) -> pa.Array:
    """A column of this type that says the same in every row; None = null."""
    if value is None:
        return pa.nulls(count, kind)
    return constant_category(value, count) if pa.types.is_dictionary(kind) else pa.repeat(pa.scalar(value, kind), count)


def typed(column: pa.Array | npt.NDArray[Any], kind: pa.DataType) -> pa.Array:
    """A column of this type. Vectors are whole numbers that fit it: 32 or 64 bits."""
    if isinstance(column, np.ndarray):
        return arrow(column.astype(np.int32 if kind == pa.int32() else np.int64, copy=False))
    return column if column.type == kind else column.cast(kind)


def text_ends(texts: pa.Array) -> npt.NDArray[np.int32]:
    """Where in the buffer of an array of strings or binary the first text begins, and where each ends."""
    return np.frombuffer(texts.buffers()[1], np.int32)[texts.offset : texts.offset + len(texts) + 1]


class Kind(Enum):
    """What a column holds; the Arrow type follows from it."""

    INT32 = "int32"
    INT64 = "int64"
    DOUBLE = "double"
    BOOL = "bool"
    TIMESTAMP = "timestamp"  # milliseconds since 1970 UTC
    TIMESTAMP_NUMBER = "timestamp_number"  # the same, as a plain int64: values outside the calendar are usual
    CATEGORY = "category"  # text, dictionary-encoded
    TEXT = "text"
    JSON = "json"  # a free-form object, as JSON text
    LIST = "list"
    STRUCT = "struct"
    EMBEDDED = "embedded"  # a struct, or where its bytes did not fit one: {"hex": ...}

    @property
    def arrow(self) -> pa.DataType:
        """The Arrow type of a kind without children."""
        return _ARROW[self]


_ARROW = {
    Kind.INT32: pa.int32(),
    Kind.INT64: pa.int64(),
    Kind.DOUBLE: pa.float64(),
    Kind.BOOL: pa.bool_(),
    Kind.TIMESTAMP: pa.timestamp("ms", tz="UTC"),
    Kind.TIMESTAMP_NUMBER: pa.int64(),
    Kind.CATEGORY: pa.dictionary(pa.int32(), pa.string()),
    Kind.TEXT: pa.string(),
    Kind.JSON: pa.string(),
}


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a row type, or one field of a struct in it.

    optional: JSON shows it only where it is not null. children: a struct's fields, or a list's one element.
    """

    name: str
    kind: Kind
    doc: str = ""
    optional: bool = False
    children: tuple[Column, ...] = ()

    @property
    def arrow_type(self) -> pa.DataType:
        if self.kind is Kind.LIST:
            return pa.list_(self.children[0].arrow_type)
        if self.kind in (Kind.STRUCT, Kind.EMBEDDED):
            return pa.struct([pa.field(child.name, child.arrow_type) for child in self.children])
        return self.kind.arrow


@dataclass(frozen=True, slots=True)
class RowType:
    """A row type: its name and its columns in the order of the contract."""

    name: str
    columns: tuple[Column, ...]
    doc: str = ""

    @property
    def arrow_schema(self) -> pa.Schema:
        return pa.schema([pa.field(column.name, column.arrow_type) for column in self.columns])


def is_utf8(data: bytes) -> bool:
    """Whether bytes are text, as Kafka has it."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def path_text(path: Path) -> str:
    """A path as text for rows and messages; bytes of it that are no UTF-8 as escapes."""
    return str(path).encode("utf-8", "backslashreplace").decode("utf-8")


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that could not be read, and where: `position` and `length` are bytes of `source`."""

    kind: str
    source: str
    message: str
    log_partition: int | None = None
    position: int | None = None
    length: int | None = None
    log_offset: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """The problem in the key order of the contract."""
        fields = asdict(self)
        order = ("kind", "source", "log_partition", "position", "length", "log_offset", "message")
        return {name: fields[name] for name in order}


class CodedBatches(Mapping[str, pa.RecordBatch]):
    """Batches that may hold coded structs, and are given with plain ones; these are made when they are asked for."""

    def __init__(self, coded: dict[str, pa.RecordBatch]) -> None:
        self.coded = coded
        self._plain: dict[str, pa.RecordBatch] = {}

    def __getitem__(self, name: str) -> pa.RecordBatch:
        found = self._plain.get(name)
        if found is None:
            found = self._plain[name] = plain_batch(self.coded[name])
        return found

    def __contains__(self, name: object) -> bool:
        return name in self.coded

    def __iter__(self) -> Iterator[str]:
        return iter(self.coded)

    def __len__(self) -> int:
        return len(self.coded)


def is_coded(kind: pa.DataType) -> bool:
    """Whether it is of structs that are dictionary-encoded, or of lists of such: of equal ones each is there once."""
    value = kind.value_type if pa.types.is_list(kind) else kind
    return pa.types.is_dictionary(value) and bool(pa.types.is_struct(value.value_type))


def plain_column(column: pa.Array) -> pa.Array:
    """A column with coded structs themselves."""
    if not is_coded(column.type):
        return column
    if not pa.types.is_list(column.type):
        return column.dictionary.take(column.indices)
    values = column.flatten()
    count = pc.list_value_length(column).fill_null(-1).to_numpy()
    return lists(count, values.dictionary.take(values.indices))


def plain_batch(batch: pa.RecordBatch) -> pa.RecordBatch:
    """A batch whose structs are all plain."""
    for index, item in enumerate(batch.schema):
        if is_coded(item.type):
            column = plain_column(batch.column(index))
            batch = batch.set_column(index, item.with_type(column.type), column)
    return batch


@dataclass(frozen=True, slots=True)
class DecodedChunk:
    """Rows of one chunk: a record batch per row type, and the vector that puts them in log order.

    order: indices into the concatenation of `batches`' rows (in the mapping's own order), in log order.
    """

    batches: Mapping[str, pa.RecordBatch]
    order: Vector
    problems: tuple[Problem, ...] = ()

    @property
    def coded(self) -> Mapping[str, pa.RecordBatch]:
        """The batches as they are kept: some structs may be coded, which to make plain takes time."""
        return self.batches.coded if isinstance(self.batches, CodedBatches) else self.batches

    @property
    def row_count(self) -> int:
        return len(self.order)

    def __iter__(self) -> Iterator[tuple[str, pa.RecordBatch]]:
        return iter(self.batches.items())

    def where(self, kept: Mask) -> DecodedChunk:
        """The rows for which the mask is set; it goes over the rows of the batches one after the other."""
        if kept.all():
            return self
        number = np.cumsum(kept) - 1
        coded = self.coded
        masks = np.split(kept, np.cumsum(list(map(len, coded.values())))[:-1])
        found = {name: batch.filter(arrow(mask)) for (name, batch), mask in zip(coded.items(), masks, strict=True)}
        order = number[self.order[kept[self.order]]]
        rest = {name: batch for name, batch in found.items() if len(batch)}
        return DecodedChunk(CodedBatches(rest), order, self.problems)

    def only(self, row_types: Collection[str]) -> DecodedChunk:
        """The rows of these types."""
        kept = [np.full(len(batch), name in row_types) for name, batch in self.coded.items()]
        return self.where(np.concatenate([np.empty(0, np.bool_), *kept]))


def rows_of(batch: pa.RecordBatch, names: Sequence[str]) -> list[dict[str, Any]]:
    """These columns of a batch as dictionaries, one a row; times in milliseconds."""
    columns = [plain_values(batch.column(name)) for name in names]
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def plain_values(array: pa.Array) -> list[Any]:
    """A column as plain values: what to_pylist gives, without an object of Arrow's for each value."""
    kind = array.type
    values: list[Any]
    if pa.types.is_dictionary(kind):
        texts = [*array.dictionary.to_pylist(), None]  # None at -1
        return [texts[index] for index in array.indices.fill_null(-1).to_numpy().tolist()]
    if pa.types.is_timestamp(kind):
        array = array.cast(pa.int64())
    elif not (pa.types.is_integer(kind) or pa.types.is_boolean(kind)):
        values = array.to_pylist()
        return values
    if not array.null_count:
        values = array.to_numpy(zero_copy_only=False).tolist()
        return values
    known = array.is_valid().to_numpy(zero_copy_only=False).tolist()
    values = array.fill_null(False if pa.types.is_boolean(kind) else 0).to_numpy(zero_copy_only=False).tolist()
    return [value if valid else None for value, valid in zip(values, known, strict=True)]


class SpanState(StrEnum):
    """What the evidence says about a range of offsets."""

    COMPLETE = "complete"  # every record that was written is here
    COMPACTED = "compacted"  # the log cleaner was here: the latest value of a key, but not every earlier one
    MISSING = "missing"  # not here, and cleaning does not explain that
    DAMAGED = "damaged"  # bytes are here that cannot be read
    UNDECIDED = "undecided"  # cannot be told: cleaned or missing; or the transaction's end is not known
    ABOVE_HIGH_WATERMARK = "above_high_watermark"  # here, but perhaps never committed to the topic


@dataclass(frozen=True, slots=True)
class Span:
    """A range of log offsets, both ends included. last_offset None = without a known end.

    first_timestamp, last_timestamp: the greatest batch times (ms since 1970 UTC) at or before the range and in it;
    None where no batch tells. reason: why the range is not complete.
    """

    state: SpanState
    first_offset: int
    last_offset: int | None
    first_timestamp: int | None
    last_timestamp: int | None
    reason: str

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "state": str(self.state)}


@dataclass(frozen=True, slots=True)
class Coverage:
    """Which offsets of one partition's log the evidence holds.

    last_offset: the last one that was read, None where there is none. spans: they tile the log by offset. over:
    spans that lie over these, `above_high_watermark` and those that are `undecided` because of transactions.
    undecoded: the first offset whose record cannot be decoded, None where there is none. exported: the input is
    exported records, which do not tell what is missing.
    """

    log_partition: int | None
    last_offset: int | None = None
    spans: tuple[Span, ...] = ()
    over: tuple[Span, ...] = ()
    undecoded: int | None = None
    exported: bool = False

    @property
    def gaps(self) -> tuple[Span, ...]:
        """The ranges of offsets whose records are not all here."""
        return tuple(span for span in self.spans if span.state is not SpanState.COMPLETE)


@dataclass(frozen=True, slots=True)
class Gaps:
    """What a log lacks as far as it was read. first: the first offset that is not here, None where there is none.

    lost: offsets, rising, at which records are gone that nothing shows to be the log cleaner's work.
    """

    first: int | None = None
    lost: Vector = field(default_factory=lambda: np.empty(0, np.int64))


# Vectors gather up to 16 bytes at a position that may be a buffer's last: every buffer ends in zeros of its own.
PADDING = 16


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive bytes of one segment: `buffer` holds `size` of them, then PADDING zeros.

    position: byte of the segment at which the chunk starts; segment_size: bytes of the whole segment.
    """

    segment: str
    log_partition: int | None
    position: int
    buffer: npt.NDArray[np.uint8]
    size: int
    segment_size: int

    @property
    def final(self) -> bool:
        """Whether the segment ends with this chunk."""
        return self.position + self.size >= self.segment_size
