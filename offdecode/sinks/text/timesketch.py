"""Rows to events of a timeline in CSV, as Timesketch imports them: a message, a time and what it is of, then fields.

Source: Timesketch's guide "Import from JSON or CSV"; its `timestamp` is in microseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from offdecode.model import DecodedChunk, rows_of
from offdecode.schemas.history_rows import GENERATION_ROW, MOVEMENT_ROW
from offdecode.sinks.csv import csv_lines
from offdecode.sinks.jsonl import LineSink, Writable
from offdecode.sinks.text.generations import generation_lines
from offdecode.sinks.text.lines import printable, text_of
from offdecode.sinks.text.movements import movement_words
from offdecode.sinks.text.words import name_words, time_words

Row = dict[str, Any]

_OF_EACH = ("message", "timestamp", "datetime", "timestamp_desc", "data_type")
_PLACE = ("group", "log_partition", "log_offset")
_CLIENT = ("client_id", "client_host", "member_id")


class Events(NamedTuple):
    """How rows of one type become events. fields: those beside what each event has."""

    row_type: str
    fields: tuple[str, ...]
    message: Callable[[Row], str]
    values: Callable[[Row], Row]


class EventSink(LineSink):
    """Writes an event for each row of one type to a binary stream, below a header; other rows are left out."""

    def __init__(self, stream: Writable, events: Events) -> None:
        self._stream = stream
        self._events = events

    def begin(self) -> None:
        """The names of the fields."""
        self._stream.write(csv_lines([(*_OF_EACH, *_PLACE, *self._events.fields)]))

    def write(self, chunk: DecodedChunk) -> None:
        batch = chunk.batches.get(self._events.row_type)
        if batch is not None:
            self._stream.write(csv_lines(map(self._event, rows_of(batch, batch.schema.names))))

    def _event(self, row: Row) -> Sequence[Any]:
        events, time = self._events, row["log_timestamp"]
        values = {**row, **events.values(row)}
        when = ("", "") if time is None else (time * 1000, time_words(time).replace("Z", "+00:00"))
        own = (values[name] for name in (*_PLACE, *events.fields))
        return (printable(events.message(row)), *when, "Record Written", f"kafka:offdecode:{events.row_type}", *own)


def _movement_message(row: Row) -> str:
    where = f"{name_words(row['group'])}: {name_words(row['topic'])} {row['partition']}"
    return f"{where}: {'  '.join(movement_words(row))}"


def _movement_values(row: Row) -> Row:
    owner = row["owner"] or dict.fromkeys(_CLIENT)
    return {**{name: owner[name] for name in _CLIENT}, "signals": " ".join(row["signals"])}


def _generation_message(row: Row) -> str:
    first, *changes = map(text_of, generation_lines(row))
    return "; ".join([first.partition("  ")[2], *(line.strip() for line in changes)])


def _generation_values(row: Row) -> Row:
    return {name: len(row[name]) for name in ("members", "joined", "left", "replaced", "changed")}


MOVEMENT_EVENTS = Events(
    MOVEMENT_ROW,
    (
        "topic", "partition", "kind", "cause", "before", "after", "commits", "last_log_offset", "transaction",
        "generation", *_CLIENT, "no_owner_reason", "signals", "confidence",
    ),
    _movement_message, _movement_values,
)  # fmt: skip
GENERATION_EVENTS = Events(
    GENERATION_ROW,
    (
        "group_type", "generation", "state", "protocol_type", "protocol", "leader", "members", "joined", "left",
        "replaced", "changed", "missing_before",
    ),
    _generation_message, _generation_values,
)  # fmt: skip
