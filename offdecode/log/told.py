"""What an export tells of a record."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from offdecode.log.dumped import Batch

NOTHING = frozenset[str]()
RAW = frozenset(("key_hex", "value_hex"))  # columns of the bytes themselves


class Told(NamedTuple):
    """A key and a value. untold: columns of the row that the export does not tell of, whatever the bytes say."""

    key: bytes | None
    value: bytes | None
    untold: frozenset[str] = NOTHING


class Printed(NamedTuple):
    """How to make keys and values of what tools print: key and value in JSON, or a text with both.

    of_lost: of a key and a value with 0xff at places where bytes from 0x80 on were lost.
    """

    of_json: Callable[[Any, Any], Told]
    of_console: Callable[[str], Told]
    of_dump: Callable[[str], Told]
    of_lost: Callable[[bytes, bytes, list[int]], Told]


class Place(NamedTuple):
    """Where and when a record is in the log, numbers of 32, 64 and 64 bits. None = not told."""

    partition: int | None = None
    offset: int | None = None
    timestamp: int | None = None


class ToldRecord(NamedTuple):
    """A record that an export tells of; batch: None where nothing is told of it."""

    place: Place
    told: Told
    batch: Batch | None = None
