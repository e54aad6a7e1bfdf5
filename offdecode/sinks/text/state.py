"""Rows of the state to what a person reads, and to the lines that kafka-consumer-groups reads."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from offdecode.schemas.state_rows import COMMITTED_ROW, GROUP_ROW, PENDING_ROW
from offdecode.sinks.text.lines import Cells, Line, Listing, Style, Styled, table_lines
from offdecode.sinks.text.words import (
    assignment_words,
    count_words,
    duration_words,
    lag_words,
    name_words,
    partition_words,
    place_words,
    time_words,
)

Row = dict[str, Any]
Rows = dict[str, list[Row]]

# What `kafka-consumer-groups --reset-offsets --from-file` reads for several groups: no header, one offset a line.
RESET_ROW, RESET_COLUMNS = COMMITTED_ROW, ("group", "topic", "partition", "offset")

_OFFSETS = ("TOPIC", "PARTITION", "OFFSET", "COMMITTED", "LOG OFFSET", "TRANSACTION", "METADATA")
_MEMBERS = ("CLIENT", "HOST", "MEMBER", "INSTANCE", "HAS")


def state_lines(rows: Rows) -> Iterator[Line]:
    """Each group with its members and offsets, as tables."""
    found: dict[str, Rows] = defaultdict(lambda: defaultdict(list))
    for name in (GROUP_ROW, COMMITTED_ROW, PENDING_ROW):
        for row in rows.get(name, ()):
            found[row["group"]][name].append(row)
    for name, of_group in found.items():
        for group in of_group[GROUP_ROW]:
            yield from _group_lines(group)
            members = group["members"] or ()
            yield from table_lines(_MEMBERS, [_member_cells(member) for member in members])
        if not of_group[GROUP_ROW]:
            yield Styled(name_words(name), Style.TITLE)
        yield from _offset_lines(of_group[COMMITTED_ROW])
        if of_group[PENDING_ROW]:
            yield Styled("  pending, without effect until their transaction commits", Style.NOTABLE)
            yield from _offset_lines(of_group[PENDING_ROW])
        yield ""


def _group_lines(group: Row) -> Iterator[Line]:
    words = [group["group_type"], group["state"]]
    if group["generation"] is not None:
        words.append(f"generation {group['generation']}")
    if group["epoch"] is not None:
        words.append(f"epoch {group['epoch']}")
    if group["protocol"]:
        words.append(name_words(group["protocol"]))
    yield Styled(f"{name_words(group['group'])}: {', '.join(words)}", Style.TITLE)
    if not group["complete"]:
        yield Styled(f"  INCOMPLETE: {group['incomplete_reason']}", Style.WARNING)
    for key in group["differences"] or ():
        offsets = ", ".join(
            f"{name.replace('_', '-')} {'none' if key[name] is None else key[name]}"
            for name in ("new", "old_live", "old_load")
        )
        where = f"{name_words(key['topic'])}-{key['partition']}"
        yield Styled(f"  the coordinators differ on {where}: {offsets}", Style.NOTABLE)


def _offset_lines(rows: list[Row]) -> Iterator[Line]:
    titles: Sequence[str] = _OFFSETS
    cells: list[Sequence[str]] = [_offset_cells(row) for row in rows]
    if any(row.get("lag") is not None for row in rows):
        titles = (*titles[:3], "LAG", *titles[3:])
        cells = [(*line[:3], lag_words(row), *line[3:]) for row, line in zip(rows, cells, strict=True)]
    yield from table_lines(titles, cells)


def _offset_cells(row: Row) -> Sequence[str]:
    transaction = row["transaction"] or "-"
    if row["type"] == PENDING_ROW:
        age = "" if row["age_ms"] is None else f" for {duration_words(row['age_ms'])}"
        transaction = f"{transaction}{age}, producer {row['producer_id']}"
    metadata = "null" if row["metadata"] is None else name_words(row["metadata"]) if row["metadata"] else "-"
    place = place_words(row)
    # The time that --as-of goes by; messages of format 0 have none.
    written = row["commit_timestamp"] if row["log_timestamp"] is None else row["log_timestamp"]
    return (
        name_words(row["topic"]), str(row["partition"]), str(row["offset"]), time_words(written), place, transaction,
        metadata,
    )  # fmt: skip


def _member_cells(member: Row) -> Sequence[str]:
    instance = "-" if member["instance_id"] is None else name_words(member["instance_id"])
    assigned = "?" if member["assignment"] is None else assignment_words(member["assignment"]) or "-"
    names = (name_words(member[name]) for name in ("client_id", "client_host", "member_id"))
    return (*names, instance, assigned)


def transaction_lines(row: Row) -> Iterator[Line]:
    """One line for the transaction, and one with the command that would end it."""
    if row["first_offset"] is None:
        held = "no records"
    else:
        count = count_words(row["commits"], "commit")
        held = f"{count} at {_places(row)} for {', '.join(map(name_words, row['groups']))}"
    took = "" if row["duration_ms"] is None else f" ({duration_words(row['duration_ms'])})"
    when = f"{_when(row)}{took}"
    name = "" if row["transactional_id"] is None else f" ({name_words(row['transactional_id'])})"
    who = f"{partition_words(row['log_partition'])}: producer {row['producer_id']}{name} epoch {_epoch(row)}"
    yield Styled(f"{who}: {row['status']} {when}, {held}", _transaction_style(row))
    if row["coordinator_state"] is not None:
        timeout = duration_words(row["transaction_timeout_ms"])
        yield f"    its coordinator says {row['coordinator_state']}; timeout {timeout}"
    if row["held_back_records"] is not None:
        count = count_words(row["held_back_records"], "record")
        yield f"    holds back {count}; {row['abort_command'] or 'unknown partition'}"


def _transaction_cells(row: Row) -> Cells:
    offsets = "-" if row["first_offset"] is None else _places(row)
    return (
        partition_words(row["log_partition"]), str(row["producer_id"]), str(_epoch(row)),
        "-" if row["transactional_id"] is None else name_words(row["transactional_id"]), row["status"], _when(row),
        "-" if row["duration_ms"] is None else duration_words(row["duration_ms"]), str(row["commits"]), offsets,
        "-" if row["held_back_records"] is None else f"{row['held_back_records']:,}",
        ", ".join(map(name_words, row["groups"])) or "-",
    )  # fmt: skip


def _places(row: Row) -> str:
    first, last = row["first_offset"], row["last_offset"]
    return str(first) if first == last else f"{first}-{last}"


def _when(row: Row) -> str:
    """When it ended, or since when it is open."""
    if row["marker_offset"] is None:
        return f"since {time_words(row['first_timestamp'])}"
    return f"at {time_words(row['marker_timestamp'])}"


def _epoch(row: Row) -> int:
    epoch: int = row["marker_epoch"] if row["producer_epoch"] is None else row["producer_epoch"]
    return epoch


def _transaction_style(row: Row) -> Style:
    return Style.PLAIN if row["status"] == "committed" else Style.NOTABLE


TRANSACTION_LISTING = Listing(
    (
        "LOG PARTITION", "PRODUCER", "EPOCH", "TRANSACTIONAL ID", "STATUS", "WHEN", "TOOK", "COMMITS", "LOG OFFSETS",
        "HOLDS BACK", "GROUPS",
    ),
    _transaction_cells, _transaction_style,
)  # fmt: skip
