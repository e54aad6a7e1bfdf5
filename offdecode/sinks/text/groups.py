"""Rows of groups to a table that fits a terminal."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from typing import Any

from offdecode.schemas.history_rows import GROUP_OVERVIEW_ROW
from offdecode.sinks.text.lines import table_lines
from offdecode.sinks.text.words import short_name, time_words

Row = dict[str, Any]

_TITLES = ("GROUP", "TYPE", "STATE", "MEMBERS", "OFFSETS", "COMMITS", "GENERATIONS", "LAST RECORD", "NOTABLE")


def overview_lines(rows: dict[str, list[Row]]) -> Iterator[str]:
    """A line a group; lines are cut to the width of the terminal, where there is one."""
    width = shutil.get_terminal_size().columns if os.isatty(1) else None
    for line in table_lines(_TITLES, [_cells(row) for row in rows[GROUP_OVERVIEW_ROW]], indent=""):
        yield line if width is None or len(line) <= width else line[: max(width - 1, 1)] + "…"


def _cells(row: Row) -> Sequence[str]:
    members = f"{row['members']:,}"
    if row["most_members"] > row["members"]:
        members += f" of {row['most_members']:,}"
    why = row["why"] or "-"
    return (
        short_name(row["group"]), row["group_type"], row["state"],
        members, f"{row['offsets']:,}", f"{row['commits']:,}", f"{row['generations']:,}",
        time_words(row["last_record"]), why if row["complete"] else f"{why} (the log is not whole)",
    )  # fmt: skip
