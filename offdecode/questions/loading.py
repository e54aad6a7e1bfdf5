"""The records of a log to what a release of Kafka would make of them when it loads it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from offdecode.model import DecodedChunk
from offdecode.schemas.releases import Loading, Release
from offdecode.schemas.rows import MARKER_ROW, SHAPE, UNDECODABLE_ROW

_Kind = tuple[str, int | None, int | None, str | None]  # row type, key type, value version, shape


@dataclass(frozen=True, slots=True)
class LoadFinding:
    """Records of one type that the release would not read as they were meant. key_type: None for a field of a type."""

    loading: str
    row_type: str
    key_type: int | None
    records: int
    first_offset: int | None
    reason: str


class LoadCensus:
    """Counts the records of one log by what a release makes of them."""

    def __init__(self, release: Release) -> None:
        self._release = release
        self._kinds: dict[_Kind, tuple[int, int | None]] = {}
        self._ignored: dict[tuple[str, str], tuple[int, int | None]] = {}

    def add(self, chunk: DecodedChunk) -> None:
        """Count the rows of all records."""
        for name, batch in chunk.coded.items():
            if name == MARKER_ROW:
                continue
            shape = SHAPE.name in batch.schema.names
            columns = ["key_type", "value_version", *([SHAPE.name] if shape else [])]
            for count, first, (key_type, version, *rest) in _counted(batch, columns):
                kind = name, key_type, version, rest[0] if rest else None
                self._kinds[kind] = _more(self._kinds.get(kind), count, first)
            for field in self._release.ignored_columns(name):
                there = batch.filter(batch.column(field).is_valid())
                for count, first, _ in _counted(there, []):
                    self._ignored[name, field] = _more(self._ignored.get((name, field)), count, first)

    def findings(self) -> Iterator[LoadFinding]:
        """What would not be read as it was meant, the worst first."""
        found: dict[tuple[Loading, str, int | None, str], tuple[int, int | None]] = {}
        for (row_type, known_type, version, shape), (count, first) in self._kinds.items():
            verdict, why = self._release.loading(known_type, version, shape)
            if verdict is Loading.READ and row_type == UNDECODABLE_ROW:
                verdict, why = Loading.REFUSED, "their bytes break their layout"
            if verdict is not Loading.READ:
                same = verdict, row_type, known_type, why
                found[same] = _more(found.get(same), count, first)
        for (name, field), (count, first) in self._ignored.items():
            reason = f"it does not know the field {field}, and passes over it"
            found[Loading.IN_PART, name, None, reason] = count, first
        worst_first = list(Loading)
        for told in sorted(found, key=lambda one: (worst_first.index(one[0]), *map(str, one[1:]))):
            loading, name, key_type, reason = told
            yield LoadFinding(str(loading), name, key_type, *found[told], reason)


def _counted(batch: pa.RecordBatch, columns: list[str]) -> Iterator[tuple[int, int | None, list[Any]]]:
    """How many rows there are of each combination of columns, the least log offset, and the columns' values."""
    if not len(batch):
        return
    table = pa.table({name: _plain(batch.column(name)) for name in (*columns, "log_offset")})
    found = table.group_by(columns, use_threads=False).aggregate([([], "count_all"), ("log_offset", "min")])
    for row in found.to_pylist():
        yield row["count_all"], row["log_offset_min"], [row[name] for name in columns]


def _plain(column: pa.Array) -> pa.Array:
    return column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column


def _more(known: tuple[int, int | None] | None, count: int, first: int | None) -> tuple[int, int | None]:
    if known is None:
        return count, first
    offsets = [one for one in (known[1], first) if one is not None]
    return known[0] + count, min(offsets, default=None)
