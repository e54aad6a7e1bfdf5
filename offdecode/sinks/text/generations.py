"""Rows of generations and their summaries to lines that a person reads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from offdecode.schemas.history_rows import DEAD
from offdecode.sinks.text.words import assignment_words, duration_words, name_words, time_words

Row = dict[str, Any]


def generation_lines(row: Row) -> Iterator[str]:
    """One line for the generation, one for each member that came, went or changed what it has."""
    title = "deleted" if row["state"] == DEAD else f"{_counted(row)} {row['generation']}, {row['state']}"
    place = f"{row['log_partition']}:{row['log_offset']}"
    yield f"{time_words(row['log_timestamp'])}  {name_words(row['group'])}  {title}  [{place}]{_notes(row)}"
    if row["missing_before"]:
        yield f"    ? {row['missing_before']} before it missing: {row['missing_reason']}"
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
    yield (
        f"{name_words(row['group'])}  {row['group_type']}, {row['state']}: {row['rebalances']} rebalances{rate}, "
        f"{row['joins']} joined, {row['leaves']} left, {row['replacements']} static restarts, "
        f"at most {row['most_members']} at a time"
        f"{'' if stable is None else ', longest stable ' + duration_words(stable)}"
        f"{', missing ' + str(row['missing']) if row['missing'] else ''}"
    )


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
