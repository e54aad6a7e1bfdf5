"""A Filter's two uses: tests of keys, which the engines apply before they decode; masks over rows that are made.

A question says which parts of the filter the engines may apply (`pushed`); what it needs to read beyond its rows,
it leaves out there and filters from its rows afterwards (`keep`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from offdecode.model import DecodedChunk, Mask
from offdecode.options import Filter
from offdecode.schemas.rows import MARKER_ROW
from offdecode.schemas.types import MAX_STRING_BYTES

_MOST_SOUGHT = 16  # groups that are looked for by their bytes
Name = tuple[str, str | int]  # "group", "topic", "partition" or "row type", and which
TIME_COLUMNS = ("log_timestamp", "commit_timestamp")  # when a row was written: the first that is not null


def pushed(rows: Filter, names: Iterable[str]) -> Filter:
    """Only these parts of a filter."""
    return Filter(**{name: getattr(rows, name) for name in names})


def key_tests(rows: Filter) -> dict[str, Callable[[object], bool]]:
    """{field of a key: test of its value}, for the fields that the filter is about."""
    tests: dict[str, Callable[[object], bool]] = {}
    if rows.groups or rows.group_regex is not None:
        groups = frozenset(rows.groups)
        pattern = None if rows.group_regex is None else re.compile(rows.group_regex)
        tests["group"] = lambda group: group in groups or bool(pattern and pattern.search(str(group)))
    if rows.topics:
        tests["topic"] = frozenset(rows.topics).__contains__
    if rows.partitions:
        tests["partition"] = frozenset(rows.partitions).__contains__
    return tests


def group_bytes(rows: Filter) -> frozenset[bytes] | None:
    """The wanted groups as keys hold them, None where their names do not tell that, or are many.

    Bytes that are no text are shown with backslashes, and are found by what is shown.
    """
    groups = rows.groups
    if not groups or rows.group_regex is not None or len(groups) > _MOST_SOUGHT or any("\\" in one for one in groups):
        return None
    found = (group.encode("utf-8", "surrogatepass") for group in groups)
    return frozenset(one for one in found if len(one) <= MAX_STRING_BYTES)


def matches(rows: Filter, **key: object) -> bool:
    """Whether a key with these fields is wanted."""
    return all(name in key and test(key[name]) for name, test in key_tests(rows).items())


def names_in(rows: Filter) -> set[Name]:
    """The groups, topics, partitions and row types that a filter names."""
    named: dict[str, tuple[str | int, ...]] = {
        "group": rows.groups,
        "topic": rows.topics,
        "partition": rows.partitions,
        "row type": rows.row_types,
    }
    return {(what, name) for what, names in named.items() for name in names}


def names_of(chunk: DecodedChunk) -> Iterator[Name]:
    """The groups, topics, partitions and row types of a chunk's rows."""
    for row_type, batch in chunk.coded.items():
        yield "row type", row_type
        for what in ("group", "topic", "partition"):
            if what in batch.schema.names:
                column = batch.column(what)
                values = column.dictionary if pa.types.is_dictionary(column.type) else column.unique()
                yield from ((what, value) for value in values.to_pylist() if value is not None)


def keep(rows: Filter, chunk: DecodedChunk, times: tuple[str, ...] = TIME_COLUMNS) -> DecodedChunk:
    """The rows of a chunk that the filter wants. times: columns of a row's time, the first that is not null counts."""
    masks = [_mask(rows, name, batch, times) for name, batch in chunk.coded.items()]
    return chunk.where(np.concatenate([np.zeros(0, np.bool_), *masks]))


def key_mask(rows: Filter, batch: pa.RecordBatch | pa.Table) -> Mask:
    """Which rows have a key that the filter wants; those without a field that it is about have not."""
    stays = np.ones(len(batch), np.bool_)
    for name, test in key_tests(rows).items():
        if name not in batch.schema.names:
            return np.zeros(len(batch), np.bool_)
        stays &= _passing(batch.column(name), test)
    return stays


def _mask(rows: Filter, name: str, batch: pa.RecordBatch, times: tuple[str, ...]) -> Mask:
    stays = np.full(len(batch), not rows.row_types or name in rows.row_types)
    if name != MARKER_ROW:  # markers have no key, and pass every filter of keys
        stays &= key_mask(rows, batch)
    stays &= _within(batch, ("log_offset",), rows.first_offset, rows.last_offset)
    return stays & _within(batch, times, rows.since, rows.until)


def among(column: pa.Array | pa.ChunkedArray, names: Collection[str]) -> Mask:
    """Which values of a column are among these; null is not."""
    return _passing(column, names.__contains__)


def _passing(column: pa.Array | pa.ChunkedArray, test: Callable[[object], bool]) -> Mask:
    """Which values pass; each different one is tested once."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    passes = np.array([test(value) for value in column.dictionary.to_pylist()] + [False], np.bool_)
    codes = column.indices.fill_null(len(passes) - 1)
    mask: Mask = passes[np.asarray(codes)]
    return mask


def _within(batch: pa.RecordBatch, names: tuple[str, ...], least: int | None, most: int | None) -> Mask:
    """Which rows lie between; those without a value do."""
    columns = [batch.column(name).cast(pa.int64()) for name in names if name in batch.schema.names]
    stays = np.ones(len(batch), np.bool_)
    if not columns or (least is None and most is None):
        return stays
    value = pc.coalesce(*columns)
    if least is not None:
        stays &= np.asarray(value.fill_null(least)) >= least
    if most is not None:
        stays &= np.asarray(value.fill_null(most)) <= most
    return stays
