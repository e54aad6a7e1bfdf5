"""Values as words for a person: times, names that may hold anything, assignments."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from typing import Any

from offdecode.sinks.times import EPOCH, FIRST_CALENDAR_MS, LAST_CALENDAR_MS, UTC_ZONE, local_time

_local = ContextVar("local", default=False)


def time_words(milliseconds: int | None) -> str:
    """A time as RFC 3339 text; a number outside the calendar as it is."""
    if milliseconds is None:
        return "(no time)"
    if not FIRST_CALENDAR_MS <= milliseconds <= LAST_CALENDAR_MS:
        return str(milliseconds)
    shown, zone = local_time(milliseconds) if _local.get() else (milliseconds, UTC_ZONE)
    moment = EPOCH + timedelta(seconds=shown // 1000)  # what Windows' C library could not tell, too
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{shown % 1000:03}{zone}"


@contextmanager
def local_times(wanted: bool) -> Iterator[None]:
    """Within, times are told in local time, if that is wanted; else in UTC."""
    before = _local.set(wanted)
    try:
        yield
    finally:
        _local.reset(before)


def digest_words(file: Mapping[str, Any]) -> str:
    """A file's size and checksum."""
    return f"{file['size']:,} bytes, sha256 {file['sha256'] or 'not known: not all bytes could be read'}"


def duration_words(milliseconds: int) -> str:
    """A duration in its two largest units."""
    if abs(milliseconds) < 1000:
        return f"{milliseconds} ms"
    seconds = milliseconds / 1000
    if abs(seconds) < 120:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if abs(minutes) < 120:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if abs(hours) < 48 else f"{hours // 24} d {hours % 24} h"


def count_words(count: int, one: str, more: str = "") -> str:
    """How many there are of something. more: its plural, if that is not an s more."""
    return f"{count:,} {one if count == 1 else more or one + 's'}"


def partition_words(log_partition: int | None) -> str:
    """A partition of the offsets topic; "?" where a segment lies in no directory that tells it."""
    return "?" if log_partition is None else str(log_partition)


def place_words(row: Mapping[str, Any]) -> str:
    """Where a record stands in the offsets topic, PARTITION:OFFSET."""
    offset = row["log_offset"]
    return f"{partition_words(row['log_partition'])}:{'?' if offset is None else offset}"


def name_words(name: str | None) -> str:
    """A name as it is; quoted and escaped where it is empty, or holds what a terminal would not show."""
    if name is None:
        return "?"
    return name if name.isprintable() and name.strip() == name and name else json.dumps(name)


def lag_words(row: Mapping[str, Any]) -> str:
    """How many offsets something is behind, in bounds where that is not known exactly."""
    lag, most = row.get("lag"), row.get("lag_most")
    if lag is None:
        return "?"
    return f"{lag:,}" if lag == most else f"{lag:,}-{most:,}"


def offsets_words(first: int | None, last: int | None) -> str:
    """A range of offsets, both ends included; first None = none, last None = without a known end."""
    return "none" if first is None else f"{first} to {'the end' if last is None else last}"


def range_words(numbers: Iterable[int]) -> str:
    """Numbers with runs shortened: 0-3,7."""
    found: list[list[int]] = []
    for number in sorted(numbers):
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in found)


def _assigned_words(item: Mapping[str, Any]) -> str:
    if item["topic"] is not None:
        return name_words(item["topic"])
    if item["topic_id"] is not None:
        return f"topic id {item['topic_id']}"
    return f"subtopology {name_words(item['subtopology'])}"


def assignment_words(assignment: Iterable[Mapping[str, Any]]) -> str:
    """Partitions by topic: orders 0-3, payments 1."""
    return ", ".join(
        f"{_assigned_words(item)} {range_words(item['partitions'])}" for item in assignment if item["partitions"]
    )
