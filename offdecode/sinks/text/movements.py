"""Rows of movements to the lines of a timeline, one for each (group, topic, partition)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from offdecode.schemas.history_rows import HIDDEN_RANGE_ROW, PROGRESS
from offdecode.sinks.text.lines import Cells, Line, Listing, Style, Styled
from offdecode.sinks.text.words import name_words, offsets_words, partition_words, place_words, time_words

Row = dict[str, Any]


_HIDDEN = "Movements that are not in the evidence can have been in these offsets of the log:"
_UNKNOWN_GROUP = "no record of the group up to here: it is simple, or its records are not in the evidence"


def _unknown(row: Row) -> bool:
    return row["owner"] is None and row["no_owner_reason"] == _UNKNOWN_GROUP


class Timeline:
    """The lines of each row; a heading comes before the first row of a key."""

    def __init__(self) -> None:
        self._any_hidden = False
        self._key: tuple[Any, ...] | None = None
        self._noted = False  # whether the heading says that the group has no records

    def __call__(self, row: Row) -> Iterator[Line]:
        if row["type"] == HIDDEN_RANGE_ROW:
            yield from self._hidden(row)
            return
        key = row["group"], row["topic"], row["partition"]
        if key != self._key:
            if self._key is not None:
                yield ""
            self._key = key
            note = f" ({_UNKNOWN_GROUP})" if _unknown(row) else ""
            self._noted = bool(note)
            names = f"group {name_words(row['group'])}, topic {name_words(row['topic'])}"
            yield Styled(f"{names}, partition {row['partition']}{note}", Style.TITLE)
        words = [f"  {time_words(row['log_timestamp'])}", f"{_kind(row):<28}", _offsets(row)]
        words += [_transaction(row), "" if self._noted and _unknown(row) else _owner(row), _why(row)]
        place = f"[{place_words(row)}]"
        yield Styled("  ".join(word for word in [*words, place] if word), _style(row))

    def _hidden(self, row: Row) -> Iterator[Line]:
        if not self._any_hidden:
            yield ""
            yield Styled(_HIDDEN, Style.WARNING)
            self._any_hidden = True
        yield f"  log partition {partition_words(row['log_partition'])}, {_hidden_offsets(row)}: {row['reason']}"


def _hidden_offsets(row: Row) -> str:
    first, last = row["first_log_offset"], row["last_log_offset"]
    return "unknown" if first is None else offsets_words(first, last)


def _style(row: Row) -> Style:
    if row["type"] == HIDDEN_RANGE_ROW:
        return Style.WARNING
    return Style.PLAIN if row["kind"] in PROGRESS else Style.NOTABLE


def _cells(row: Row) -> Cells:
    if row["type"] == HIDDEN_RANGE_ROW:
        offsets = f"log offsets {_hidden_offsets(row)}"
        return (
            "-",
            f"{partition_words(row['log_partition'])}:",
            "-",
            "-",
            "-",
            "may be hidden",
            offsets,
            "-",
            row["reason"],
        )
    return (
        time_words(row["log_timestamp"]), place_words(row), name_words(row["group"]),
        name_words(row["topic"]), str(row["partition"]), _kind(row), _offsets(row),
        " ".join(word for word in (_producer(row), _owner(row)) if word) or "-", _why(row) or "-",
    )  # fmt: skip


MOVEMENT_LISTING = Listing(
    ("TIME", "LOG OFFSET", "GROUP", "TOPIC", "PARTITION", "KIND", "OFFSETS", "BY", "WHY"), _cells, _style
)


def _kind(row: Row) -> str:
    name = str(row["kind"]).replace("_", "-")
    if "deleted_before" in row["signals"]:
        name += " again"
    if not row["cause"]:
        return name
    return f"{name}: {row['cause'].replace('_', ' ')}{'' if row['confidence'] == 'high' else '?'}"


def _offsets(row: Row) -> str:
    before, after = row["before"], row["after"]
    moved = f"{'none' if before is None else before} -> {'none' if after is None else after}"
    return moved if row["commits"] == 1 else f"{moved} in {row['commits']} commits until {_until(row)}"


def movement_words(row: Row) -> list[str]:
    """What happened, to which offset, by whom, and what speaks for it."""
    return [word for word in (_kind(row), _offsets(row), _transaction(row), _owner(row), _why(row)) if word]


def _until(row: Row) -> str:
    return time_words(row["last_log_timestamp"])


def _owner(row: Row) -> str:
    generation = "" if row["generation"] is None else f", generation {row['generation']}"
    owner = row["owner"]
    if owner is None:
        return "" if row["kind"] == "tombstone" else f"({row['no_owner_reason']}{generation})"
    client = f"{name_words(owner['client_id'])} at {name_words(owner['client_host'])}"
    return f"(held by {client}, member {name_words(owner['member_id'])}{generation})"


def _producer(row: Row) -> str:
    """Who committed in a transaction."""
    if row["producer_id"] is None or row["producer_id"] < 0:
        return ""
    name = "" if row["transactional_id"] is None else f" ({name_words(row['transactional_id'])})"
    return f"by producer {row['producer_id']}{name}"


def _transaction(row: Row) -> str:
    """Who committed in a transaction, and when that was decided: a commit takes effect then, not where it stands."""
    producer, offset = _producer(row), row["decided_log_offset"]
    if not producer or offset is None:
        return producer
    marker = {"log_partition": row["log_partition"], "log_offset": offset}
    return f"{producer}, {row['transaction']} {time_words(row['decided_log_timestamp'])} [{place_words(marker)}]"


def _why(row: Row) -> str:
    if not row["signals"]:
        return ""
    shown = [signal.replace("_", " ") for signal in row["signals"] if signal not in ("group_unknown", "deleted_before")]
    return f"{row['confidence']}: {', '.join(shown)}" if shown else ""
