"""Rows of lag to a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from offdecode.schemas.state_rows import LAG_ROW
from offdecode.sinks.text.lines import Line, Style, Styled, table_lines
from offdecode.sinks.text.words import duration_words, lag_words, name_words, time_words

Row = dict[str, Any]

_TITLES = ("GROUP", "TOPIC", "PARTITION", "OFFSET", "COMMITTED", "START", "END", "LAG", "BEHIND", "NOTES")


def lag_lines(rows: dict[str, list[Row]]) -> Iterator[Line]:
    """A line an offset, under the moment where one was asked for."""
    found = rows[LAG_ROW]
    if found[0]["as_of"] is not None:
        yield Styled(f"at {time_words(found[0]['as_of'])}", Style.TITLE)
    yield from table_lines(_TITLES, [_cells(row) for row in found], indent="", styles=map(_style, found))


def _style(row: Row) -> Style:
    return Style.NOTABLE if row["signals"] else Style.PLAIN


def _cells(row: Row) -> Sequence[str]:
    start, end = ("?" if row[name] is None else str(row[name]) for name in ("log_start", "log_end"))
    behind = "?" if row["lag_ms"] is None else duration_words(row["lag_ms"])
    notes = ", ".join(signal.replace("_", " ") for signal in row["signals"]) or "-"
    return (
        name_words(row["group"]), name_words(row["topic"]), str(row["partition"]), str(row["offset"]),
        time_words(row["commit_timestamp"]), start, end, lag_words(row), behind, notes,
    )  # fmt: skip
