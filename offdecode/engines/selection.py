"""Which rows are wanted: by row type, by what the key says, and with which columns."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from offdecode.schemas.rows import DEFAULT_OPTIONS, UNDECODABLE_ROW, UNKNOWN_ROW, RowOptions


@dataclass(frozen=True, slots=True)
class KeyFilter:
    """Tests of key fields, {field name: test}. Markers have no such fields and always pass.

    groups: the only groups that pass, as the bytes that keys hold of them; None where the tests alone tell.
    """

    tests: Mapping[str, Callable[[object], bool]] = field(default_factory=dict)
    groups: frozenset[bytes] | None = None

    def __bool__(self) -> bool:
        return bool(self.tests)

    @property
    def marks(self) -> tuple[bytes, ...] | None:
        """Bytes of which one is in each key that passes: a group's name behind its length. None where nothing is."""
        return None if self.groups is None else tuple(len(group).to_bytes(2) + group for group in self.groups)

    def matches(self, key: Mapping[str, object]) -> bool:
        """Whether a key has all the fields that are tested, with values that pass."""
        return all(name in key and test(key[name]) for name, test in self.tests.items())


@dataclass(frozen=True, slots=True)
class Selection:
    """The wanted rows: row types (None = all), key filter, the columns beyond the default.

    since, until: for records without a timestamp of their own, whose commit timestamp must lie between.
    """

    row_types: Collection[str] | None = None
    keys: KeyFilter = KeyFilter()
    options: RowOptions = DEFAULT_OPTIONS
    since: int | None = None
    until: int | None = None

    def wants(self, name: str) -> bool:
        return self.row_types is None or name in self.row_types

    def wants_record(self, name: str) -> bool:
        """Whether records of this row type are read: for their rows, or for those that cannot be decoded."""
        return self.wants(name) or self.wants(UNKNOWN_ROW) or self.wants(UNDECODABLE_ROW)
