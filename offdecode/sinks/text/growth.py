"""Rows of growth to sentences and a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from offdecode.schemas.growth_rows import COMPACTION_ROW, GROWTH_ROW
from offdecode.sinks.text.lines import Line, Style, Styled, table_lines
from offdecode.sinks.text.words import name_words, time_words

Row = dict[str, Any]

_PARTS = ("live", "superseded", "repeated", "tombstone", "aborted", "undecided")
_DIMENSIONS = ("group", "topic", "row_type", "hour")


def growth_lines(rows: dict[str, list[Row]]) -> Iterator[Line]:
    """What there is of a log, and a line for each of its parts."""
    for row in rows.get(COMPACTION_ROW, ()):
        yield from _compaction_lines(row)
    found = rows.get(GROWTH_ROW, [])
    if not found:
        return
    names = [name for name in _DIMENSIONS if any(row[name] is not None for row in found)]
    titles = [*(name.replace("row_type", "type").upper() for name in names), "RECORDS", "BYTES", "SHARE"]
    titles += [part.upper() for part in _PARTS]
    total = sum(row["bytes"] for row in found)
    yield from table_lines(titles, [_cells(row, names, total) for row in found])
    yield ""


def _compaction_lines(row: Row) -> Iterator[Line]:
    partition = "" if row["log_partition"] is None else f"partition {row['log_partition']}: "
    segments = "1 segment" if row["segments"] == 1 else f"{row['segments']:,} segments"
    counts = f"{partition}{row['bytes']:,} bytes, {row['records']:,} records in {segments}  ({row['log']})"
    yield Styled(counts, Style.TITLE)
    yield f"  {row['why']}"
    if row["open_offset"] is not None:
        since = f"since {time_words(row['open_since'])}, from offset {row['open_offset']} on"
        yield Styled(f"  producer {row['open_producer_id']} has a transaction open {since}", Style.NOTABLE)
    yield (
        f"  cleaning now would leave {row['left_bytes']:,} bytes; of all of it "
        f"{row['least_records']:,} records, {row['least_bytes']:,} bytes"
    )
    if not row["complete"]:
        yield Styled("  the log is not whole: see offdecode check", Style.WARNING)


def _cells(row: Row, names: Sequence[str], total: int) -> Sequence[str]:
    shown = [time_words(row[name]) if name == "hour" else _name(row, name) for name in names]
    parts = {part: row[f"{part}_bytes"] for part in _PARTS}
    parts["tombstone"] += row["expired_tombstone_bytes"]
    share = f"{100 * row['bytes'] / total:.1f} %" if total else "-"
    numbers = (f"{size:,}" if size else "-" for size in parts.values())
    return (*shown, f"{row['records']:,}", f"{row['bytes']:,}", share, *numbers)


def _name(row: Row, name: str) -> str:
    return "-" if row[name] is None else name_words(row[name])
