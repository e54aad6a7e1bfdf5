"""Rows of generations and their summaries to lines that a person reads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from offdecode.schemas.history_rows import DEAD
from offdecode.sinks.text.lines import Cells, Line, Listing, Style, Styled
from offdecode.sinks.text.words import (
    assignment_words,
    count_words,
    duration_words,
    name_words,
    place_words,
    time_words,
)

Row = dict[str, Any]


def generation_lines(row: Row) -> Iterator[Line]:
    """One line for the generation, one for each member that came, went or changed what it has."""
    title = "deleted" if row["state"] == DEAD else f"{_counted(row)} {row['generation']}, {row['state']}"
    place = place_words(row)
    text = f"{time_words(row['log_timestamp'])}  {name_words(row['group'])}  {title}  [{place}]{_notes(row)}"
    yield Styled(text, Style.NOTABLE if row["state"] == DEAD else Style.TITLE)
    if row["missing_before"]:
        yield Styled(f"    ? {row['missing_before']} before it missing: {row['missing_reason']}", Style.WARNING)
    if row["turned_from"]:
        yield f"    = was a {row['turned_from']} group"
    replaced = {item["member_id"]: item for item in row["replaced"]}
    for member in row["members"]:
        sign = "+" if member["member_id"] in row["joined"] else "~"
        moves = [
            f"{verb} {assignment_words(member[name])}"
            for verb, name in (("gains", "gained"), ("loses", "lost"))
            if member[name]
        ]
        was = replaced.get(member["member_id"])
        if was:
            moves.insert(0, f"static restart of {name_words(was['old_member_id'])}")
        if member["member_id"] in row["changed"]:
            moves.insert(0, "changed its client, subscription or timeouts")
        if sign == "+" or moves:
            yield f"    {sign} {_who(member)}: {'; '.join(moves) or 'has nothing'}"
    for member in row["left"]:
        lost = assignment_words(member["lost"] or ())
        yield f"    - {_who(member)}{': had ' + lost if lost else ''}"


def summary_lines(row: Row) -> Iterator[str]:
    """The numbers of one group."""
    rate = "" if row["rebalances_per_hour"] is None else f" ({row['rebalances_per_hour']:.1f} an hour)"
    stable = row["longest_stable_ms"]
    rebalances = count_words(row["rebalances"], "rebalance")
    yield (
        f"{name_words(row['group'])}  {row['group_type']}, {row['state']}: {rebalances}{rate}, "
        f"{row['joins']} joined, {row['leaves']} left, {row['replacements']} static restarts, "
        f"at most {row['most_members']} at a time"
        f"{'' if stable is None else ', longest stable ' + duration_words(stable)}"
        f"{', missing ' + str(row['missing']) if row['missing'] else ''}"
    )


def _generation_cells(row: Row) -> Cells:
    counts = (len(row[name]) for name in ("members", "joined", "left", "replaced", "changed"))
    return (
        time_words(row["log_timestamp"]), place_words(row), name_words(row["group"]),
        row["group_type"], "-" if row["generation"] is None else str(row["generation"]), row["state"],
        *(str(count) if count else "-" for count in counts),
        f"{row['missing_before']:,}" if row["missing_before"] else "-",
        "-" if row["since_previous_ms"] is None else duration_words(row["since_previous_ms"]),
    )  # fmt: skip


def _generation_style(row: Row) -> Style:
    if row["missing_before"]:
        return Style.WARNING
    return Style.NOTABLE if row["state"] == DEAD else Style.PLAIN


def _summary_cells(row: Row) -> Cells:
    rate, stable = row["rebalances_per_hour"], row["longest_stable_ms"]
    numbers = (row[name] for name in ("rebalances", "joins", "leaves", "replacements", "most_members", "missing"))
    return (
        name_words(row["group"]), row["group_type"], row["state"], *(f"{number:,}" for number in numbers),
        "-" if rate is None else f"{rate:.1f}", "-" if stable is None else duration_words(stable),
    )  # fmt: skip


GENERATION_LISTING = Listing(
    (
        "TIME", "LOG OFFSET", "GROUP", "TYPE", "GENERATION", "STATE", "MEMBERS", "JOINED", "LEFT", "RESTARTED",
        "CHANGED", "MISSING", "AFTER",
    ),
    _generation_cells, _generation_style,
)  # fmt: skip
SUMMARY_LISTING = Listing(
    (
        "GROUP", "TYPE", "STATE", "REBALANCES", "JOINED", "LEFT", "RESTARTED", "MOST MEMBERS", "MISSING", "AN HOUR",
        "LONGEST STABLE",
    ),
    _summary_cells,
)  # fmt: skip


def _counted(row: Row) -> str:
    return "generation" if row["group_type"] == "classic" else "epoch"


def _notes(row: Row) -> str:
    count = len(row["members"])
    notes = [f"{count} member{'s' if count > 1 else ''}"] if count else []
    if row["protocol"]:
        notes.append(name_words(row["protocol"]))
    if row["since_previous_ms"] is not None:
        notes.append(f"{duration_words(row['since_previous_ms'])} after the one before")
    return f"  ({', '.join(notes)})" if notes else ""


def _who(member: Row) -> str:
    instance = f", static {name_words(member['instance_id'])}" if member["instance_id"] is not None else ""
    return (
        f"{name_words(member['client_id'])} at {name_words(member['client_host'])} "
        f"({name_words(member['member_id'])}{instance})"
    )
