"""Values some bytes of which are lost, though not their places: what the others tell.

Who prints bytes as if they were text puts one U+FFFD for each that is none: a byte from 0x80 on. Where 0xff stands for
all of them the value is read; then some are changed. A field that changes is not told. Where nothing can be read any
more, the byte is of a length, of which only -1, null, has such bytes side by side.
"""

from __future__ import annotations

from typing import Any

from offdecode.engines.plain import Plain
from offdecode.engines.reference import Values, read_value
from offdecode.engines.reference_rows import INVALID_TEXT
from offdecode.errors import CorruptError, OffdecodeError
from offdecode.log.told import RAW, Told
from offdecode.schemas.layout import RecordType
from offdecode.schemas.registry import by_key_type

_CHANGED = 0xFE
_MOST_BYTES = 4 << 20  # that are read to find out; a group of thousands of members may need more


def from_lost(key: bytes, value: bytes, lost: list[int]) -> Told:
    """The record with 0xff at lost places of its value, ascending. Raises CorruptError where they tell a length."""
    record = by_key_type().get(int.from_bytes(key[:2], "big", signed=True))
    if record is None:
        raise CorruptError("bytes of the value were replaced as it was printed, and are lost", path="value")
    try:
        found = _Found(record, value)
        found.try_without(lost)
    except OffdecodeError:
        raise CorruptError(
            "bytes that tell how long a field is were replaced as it was printed", path="value"
        ) from None
    return Told(key, value, RAW | found.untold | {INVALID_TEXT})


class _Found:
    """What depends on lost bytes: columns that are not told."""

    def __init__(self, record: RecordType, value: bytes) -> None:
        self.untold: set[str] = set()
        self._record = record
        self._value = value
        self._row = self._shown(value)
        self._left = max(_MOST_BYTES // max(len(value), 1), 1)
        self._lengths: list[int] = []

    def try_without(self, lost: list[int]) -> None:
        self._try(lost)
        alone = set(self._lengths)
        if any(at - 1 not in alone and at + 1 not in alone for at in alone):
            raise CorruptError("a length is lost")

    def _try(self, places: list[int]) -> None:
        self._left -= 1
        if self._left < 0:
            raise CorruptError("too much is lost")
        changed = bytearray(self._value)
        for at in places:
            changed[at] = _CHANGED
        try:
            row = self._shown(bytes(changed))
        except OffdecodeError:
            if len(places) == 1:
                self._lengths += places
                return
            half = len(places) // 2
            self._try(places[:half])
            self._try(places[half:])
            return
        self._note(self._row, row, "")

    def _shown(self, value: bytes) -> Values:
        version = int.from_bytes(value[:2], "big", signed=True)
        layout, values = read_value(self._record, version, value, 2, "value")
        return Plain().struct(layout.fields, values)

    def _note(self, one: Any, other: Any, path: str) -> None:
        """Take the columns in which two rows differ; where lists do not go together, the list."""
        if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
            for name, value in one.items():
                self._note(value, other[name], f"{path}.{name}" if path else name)
        elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other) and path:
            for left, right in zip(one, other, strict=True):
                self._note(left, right, path)
        elif one != other:
            self.untold.add(path)
