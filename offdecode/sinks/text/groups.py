"""Rows of groups to a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from offdecode.schemas.history_rows import GROUP_OVERVIEW_ROW
from offdecode.sinks.text.lines import Line, Style, table_lines
from offdecode.sinks.text.words import name_words, time_words

Row = dict[str, Any]

# A narrow terminal loses what is on the right.
_TITLES = ("GROUP", "STATE", "NOTABLE", "LAST RECORD", "OFFSETS", "COMMITS", "MEMBERS", "GENERATIONS", "TYPE")


def overview_lines(rows: dict[str, list[Row]]) -> Iterator[Line]:
    """A line a group."""
    found = rows[GROUP_OVERVIEW_ROW]
    yield from table_lines(_TITLES, [_cells(row) for row in found], indent="", styles=map(_style, found))


def _style(row: Row) -> Style:
    if not row["complete"]:
        return Style.WARNING
    return Style.NOTABLE if row["why"] else Style.PLAIN


def _cells(row: Row) -> Sequence[str]:
    members = f"{row['members']:,}"
    if row["most_members"] > row["members"]:
        members += f" of {row['most_members']:,}"
    why = row["why"] or "-"
    return (
        name_words(row["group"]), row["state"], why if row["complete"] else f"{why} (the log is not whole)",
        time_words(row["last_record"]), f"{row['offsets']:,}", f"{row['commits']:,}", members,
        f"{row['generations']:,}", row["group_type"],
    )  # fmt: skip
