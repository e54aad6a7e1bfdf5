"""Rows of lag to a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from offdecode.schemas.state_rows import LAG_ROW
from offdecode.sinks.text.lines import table_lines
from offdecode.sinks.text.words import duration_words, name_words, time_words

Row = dict[str, Any]

_TITLES = ("GROUP", "TOPIC", "PARTITION", "OFFSET", "COMMITTED", "START", "END", "LAG", "BEHIND", "NOTES")


def lag_lines(rows: dict[str, list[Row]]) -> Iterator[str]:
    """A line an offset."""
    yield from table_lines(_TITLES, [_cells(row) for row in rows[LAG_ROW]], indent="")


def _cells(row: Row) -> Sequence[str]:
    numbers = ("?" if row[name] is None else str(row[name]) for name in ("log_start", "log_end", "lag"))
    behind = "?" if row["lag_ms"] is None else duration_words(row["lag_ms"])
    notes = ", ".join(signal.replace("_", " ") for signal in row["signals"]) or "-"
    return (
        name_words(row["group"]), name_words(row["topic"]), str(row["partition"]), str(row["offset"]),
        time_words(row["commit_timestamp"]), *numbers, behind, notes,
    )  # fmt: skip
