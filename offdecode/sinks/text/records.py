"""Rows of records to a listing of the log: when, where, what, of which group."""

from __future__ import annotations

from typing import Any

from offdecode.sinks.text.lines import Cells, Listing, Style
from offdecode.sinks.text.words import name_words, place_words, time_words

Row = dict[str, Any]

# What a cell of its own tells, and what says nothing to a person.
_OF_EACH = frozenset({
    "type", "log_partition", "log_offset", "log_timestamp", "producer_id", "transaction", "key_type", "value_version",
    "tombstone", "group",
})  # fmt: skip
_COMMIT = ("topic", "partition", "offset")


def _cells(row: Row) -> Cells:
    return (
        time_words(row["log_timestamp"]), place_words(row), row["type"],
        "-" if row["transaction"] is None else f"{row['transaction']}, producer {row['producer_id']}",
        name_words(row["group"]) if row.get("group") is not None else "-", _values(row) or "-",
    )  # fmt: skip


def _values(row: Row) -> str:
    """What the record says of itself: a commit in short, then values by their names, how many where they are lists."""
    words = ["deleted"] if row["tombstone"] else []
    told = _OF_EACH
    if all(name in row for name in _COMMIT):
        offset = "" if row["tombstone"] else f" -> {row['offset']}"
        words.append(f"{name_words(row['topic'])} {row['partition']}{offset}")
        told = told.union(_COMMIT)
    words += [f"{name}={_word(name, value)}" for name, value in row.items() if name not in told and _says(row, value)]
    if (owner := row.get("owner")) is not None:
        words.append(f"owner={name_words(owner['member_id'])}")
    return " ".join(words)


def _says(row: Row, value: Any) -> bool:
    return value not in (None, "", -1, row["log_timestamp"]) and not isinstance(value, dict)


def _word(name: str, value: Any) -> str:
    if isinstance(value, list):
        return str(len(value))
    if name.endswith("timestamp"):
        return time_words(value)
    return name_words(value) if isinstance(value, str) else str(value)


def _or_dash(value: int | None) -> str:
    return "-" if value is None else str(value)


def _style(row: Row) -> Style:
    return Style.NOTABLE if row["tombstone"] or row["transaction"] not in (None, "committed") else Style.PLAIN


RECORD_LISTING = Listing(("TIME", "LOG OFFSET", "TYPE", "TRANSACTION", "GROUP", "VALUES"), _cells, _style)
