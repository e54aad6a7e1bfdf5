"""Rows of growth to sentences and a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from offdecode.schemas.growth_rows import COMPACTION_ROW, GROWTH_ROW
from offdecode.sinks.jsonl import Writable
from offdecode.sinks.text.lines import Line, Style, Styled, TableSink, encoded, table_lines
from offdecode.sinks.text.words import count_words, name_words, time_words

Row = dict[str, Any]

_PARTS = ("live", "superseded", "repeated", "tombstone", "aborted", "undecided")
_DIMENSIONS = ("group", "topic", "row_type", "hour")
_COUNTED = ("records", "bytes", *(f"{part}_bytes" for part in (*_PARTS, "expired_tombstone")))
_SUMMED = ("segments", "bytes", "records", "left_bytes", "least_records", "least_bytes")


class GrowthSink(TableSink):
    """Writes a paragraph for each log, and where there are several, what there is of all."""

    def __init__(self, stream: Writable) -> None:
        super().__init__(stream, self._noted)
        self._logs = 0
        self._log_bytes = 0
        self._sums = dict.fromkeys(_SUMMED, 0)
        self._by: dict[tuple[Any, ...], Row] = {}  # but by group, which lies in one log but for copies of that

    def _noted(self, rows: dict[str, list[Row]]) -> Iterator[Line]:
        for row in rows.get(COMPACTION_ROW, ()):
            self._logs += 1
            self._log_bytes = row["bytes"]
            for name in _SUMMED:
                self._sums[name] += row[name]
        for row in rows.get(GROWTH_ROW, ()):
            if row["group"] is None:
                self._add(row)
        # An export has no log, and so no row of one.
        total = self._log_bytes if self._logs else sum(row["bytes"] for row in rows.get(GROWTH_ROW, ()))
        return _log_lines(rows, total)

    def _add(self, row: Row) -> None:
        key = tuple(row[name] for name in _DIMENSIONS)
        known = self._by.setdefault(key, dict.fromkeys(_COUNTED, 0) | dict(zip(_DIMENSIONS, key, strict=True)))
        for name in _COUNTED:
            known[name] += row[name]

    def end(self) -> None:
        if self._logs > 1:
            self._stream.write(encoded(self._of_all()))

    def _of_all(self) -> Iterator[Line]:
        sums = self._sums
        yield Styled(
            f"all {self._logs} logs: {sums['bytes']:,} bytes, {count_words(sums['records'], 'record')} in "
            f"{count_words(sums['segments'], 'segment')}",
            Style.TITLE,
        )
        yield _left_words(sums)
        if len(self._by) > 1:
            yield from _table(sorted(self._by.values(), key=lambda row: -row["bytes"]), sums["bytes"])


def _log_lines(rows: dict[str, list[Row]], total: int) -> Iterator[Line]:
    """What there is of a log of so many bytes, and a line for each of its parts."""
    for row in rows.get(COMPACTION_ROW, ()):
        yield from _compaction_lines(row)
    if found := rows.get(GROWTH_ROW, []):
        yield from _table(found, total)
        yield ""


def _table(found: Sequence[Row], total: int) -> Iterator[Line]:
    """total: bytes of which each line is a share."""
    names = [name for name in _DIMENSIONS if any(row[name] is not None for row in found)]
    titles = [*(name.replace("row_type", "type").upper() for name in names), "RECORDS", "BYTES", "SHARE"]
    titles += [part.upper() for part in _PARTS]
    yield from table_lines(titles, [_cells(row, names, total) for row in found])


def _compaction_lines(row: Row) -> Iterator[Line]:
    partition = "" if row["log_partition"] is None else f"partition {row['log_partition']}: "
    counts = f"{count_words(row['records'], 'record')} in {count_words(row['segments'], 'segment')}"
    counts = f"{partition}{row['bytes']:,} bytes, {counts}  ({row['log']})"
    yield Styled(counts, Style.TITLE)
    yield f"  {row['why']}"
    if row["open_offset"] is not None:
        since = f"since {time_words(row['open_since'])}, from offset {row['open_offset']} on"
        yield Styled(f"  producer {row['open_producer_id']} has a transaction open {since}", Style.NOTABLE)
    yield _left_words(row)
    if not row["complete"]:
        yield Styled("  the log is not whole: see offdecode check", Style.WARNING)


def _left_words(row: Row) -> str:
    return (
        f"  cleaning now would leave {row['left_bytes']:,} bytes; of all of it "
        f"{count_words(row['least_records'], 'record')}, {row['least_bytes']:,} bytes"
    )


def _cells(row: Row, names: Sequence[str], total: int) -> Sequence[str]:
    shown = [time_words(row[name]) if name == "hour" else _name(row, name) for name in names]
    parts = {part: row[f"{part}_bytes"] for part in _PARTS}
    parts["tombstone"] += row["expired_tombstone_bytes"]
    share = f"{100 * row['bytes'] / total:.1f} %" if total else "-"
    numbers = (f"{size:,}" if size else "-" for size in parts.values())
    return (*shown, f"{row['records']:,}", f"{row['bytes']:,}", share, *numbers)


def _name(row: Row, name: str) -> str:
    return "-" if row[name] is None else name_words(row[name])
