"""Records of one log, with their sizes, to where its bytes go, and what the log cleaner would leave of them.

The cleaner's rules are those of org.apache.kafka.storage.internals.log.Cleaner: of each key it keeps the latest
record, a tombstone until the time that the batch has got for it at an earlier cleaning; records of aborted
transactions go, and it comes no further than the first segment that is in use, or that an open transaction holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from offdecode.history.numbers import Numbers
from offdecode.history.vectors import Vectors
from offdecode.model import ABSENT, Mask, Vector, distinct, stable_order

HOUR_MS = 3_600_000
_FIRST_ROOM = 1 << 10
_MUCH_ROOM = 1 << 14


class Part(IntEnum):
    """What a record is to the log."""

    LIVE = 0
    SUPERSEDED = 1
    REPEATED = 2
    TOMBSTONE = 3
    EXPIRED_TOMBSTONE = 4
    ABORTED = 5
    UNDECIDED = 6
    MARKER = 7


OF_KEY = -1  # instead of a part: later records of the key decide


@dataclass(frozen=True, slots=True)
class SizedRecords:
    """Records in log order. Vectors of one entry each.

    cell: the line of the tally that counts it; key: number of its key; part: a Part, or OF_KEY. said: the offset that
    a commit commits, ABSENT for other records and tombstones. body, head: bytes, as log.sizes shares them out. batch:
    a number for each batch, -1 where a record has a batch to itself or none. time: ABSENT = none. horizon: when a
    tombstone or marker may go, ABSENT = no cleaning has set it.
    """

    cell: Vector
    key: Vector
    part: Vector
    tombstone: Mask
    said: Vector
    body: Vector
    head: Vector
    batch: Vector
    time: Vector
    horizon: Vector


# The latest record of a key. part: -1 = none yet. replaced: what it becomes when a later one comes.
_HELD = np.dtype([
    ("part", "i1"), ("replaced", "i1"), ("cell", "i4"), ("size", "i4"), ("body", "i4"), ("said", "i8"), ("batch", "i8"),
    ("horizon", "i8"),
])  # fmt: skip


@dataclass(frozen=True, slots=True)
class Kept:
    """Records that the log cleaner would leave, and their bytes."""

    records: int
    bytes: int


@dataclass(frozen=True, slots=True)
class _Below:
    """What was known where a segment began.

    undecided: records that stay whatever their key; markers: how many pieces of those there were.
    """

    held: np.ndarray
    undecided: Kept
    markers: int


class Tally:
    """Records and bytes by line and Part. A part that no record is of takes no memory."""

    def __init__(self) -> None:
        self._lines = 0
        self._records = Vectors()
        self._bytes = Vectors()

    def grow(self, lines: int) -> None:
        """Make room for so many lines."""
        self._lines = max(self._lines, lines)
        self._records.grow(lines)
        self._bytes.grow(lines)

    def add(self, line: Vector, part: Vector, size: Vector) -> None:
        """Count records. line, part, size: one entry each."""
        for one in distinct(part).tolist():
            mine = part == one
            self._records.add(one, line[mine], 1)
            self._bytes.add(one, line[mine], size[mine].astype(np.int64))

    def of(self, part: Part) -> tuple[Vector, Vector]:
        """Records and bytes of a part, by line."""
        return self._records[part][: self._lines], self._bytes[part][: self._lines]

    @property
    def total(self) -> tuple[Vector, Vector]:
        """Records and bytes of all parts, by line."""
        records, size = np.zeros((2, self._lines), np.int64)
        for total, counts in ((records, self._records), (size, self._bytes)):
            for values in counts.values():
                total += values[: self._lines]
        return records, size


class Growth:
    """Takes the records of one log in order. header_bytes: what a batch takes beside its records."""

    def __init__(self, header_bytes: int) -> None:
        self._header_bytes = header_bytes
        self._tally = Tally()
        self._held = _nobody(_FIRST_ROOM)
        self._undecided = Kept(0, 0)
        self._markers: list[np.ndarray] = []  # bytes and horizons
        self._below: _Below | None = None
        self.latest = ABSENT  # the latest time of a record

    def add(self, records: SizedRecords, keys: int) -> None:
        """The next records. keys: how many keys there are so far."""
        if not len(records.key):
            return
        self.latest = max(self.latest, int(records.time.max()))
        _lengthen(self._held, keys)
        cell = records.cell.astype(np.int64)
        self._tally.grow(int(cell.max()) + 1)
        size = records.body + records.head
        fixed = records.part != OF_KEY
        self._tally.add(cell[fixed], records.part[fixed], size[fixed])
        undecided, marker = records.part == Part.UNDECIDED, records.part == Part.MARKER
        self._undecided = Kept(
            self._undecided.records + int(undecided.sum()), self._undecided.bytes + int(size[undecided].sum())
        )
        if marker.any():
            self._markers.append(np.stack((size[marker], records.horizon[marker])))
        rows = np.flatnonzero(~fixed)
        if len(rows):
            self._replace(records, rows[stable_order(records.key[rows])], cell, size)

    def _replace(self, records: SizedRecords, rows: Vector, cell: Vector, size: Vector) -> None:
        """Enter records that later ones of their key replace. rows: by key, in log order."""
        key = records.key[rows]
        first = np.ones(len(rows), np.bool_)
        first[1:] = key[1:] != key[:-1]
        last = np.append(first[1:], True)
        said = records.said[rows]
        before = np.empty(len(rows), np.int64)
        before[1:] = said[:-1]
        known = self._held[key[first]]
        before[first] = np.where(known["part"] < 0, ABSENT, known["said"])
        replaced = np.where((said != ABSENT) & (said == before), Part.REPEATED, Part.SUPERSEDED)
        gone = known[known["part"] >= 0]
        self._tally.add(gone["cell"], gone["replaced"], gone["size"])
        self._tally.add(cell[rows[~last]], replaced[~last], size[rows[~last]])
        stays = rows[last]
        held = np.empty(len(stays), _HELD)
        held["part"] = np.where(records.tombstone[stays], Part.TOMBSTONE, Part.LIVE)
        held["replaced"] = replaced[last]
        held["cell"], held["size"], held["body"] = cell[stays], size[stays], records.body[stays]
        held["said"], held["batch"], held["horizon"] = said[last], records.batch[stays], records.horizon[stays]
        self._held[key[last]] = held

    def mark(self) -> None:
        """A segment begins: what would be kept of all before it can be asked for."""
        self._below = _Below(self._held.copy(), self._undecided, len(self._markers))

    @property
    def kept_below(self) -> Kept:
        """What the log cleaner would leave of the records before the last mark."""
        below = self._below
        return Kept(0, 0) if below is None else self._kept(below)

    @property
    def kept(self) -> Kept:
        """What it would leave of all records, if nothing kept it from them."""
        return self._kept(_Below(self._held, self._undecided, len(self._markers)))

    def _kept(self, below: _Below) -> Kept:
        held = below.held[(below.held["part"] == Part.LIVE) | self._waiting(below.held)]
        size, horizon = np.concatenate((np.empty((2, 0), np.int64), *self._markers[: below.markers]), axis=1)
        stays = (horizon == ABSENT) | (horizon > self.latest)
        batches = distinct(held["batch"])
        return Kept(
            len(held) + below.undecided.records + int(stays.sum()),
            int(held["body"].sum(dtype=np.int64)) + self._header_bytes * int((batches >= 0).sum())
            + below.undecided.bytes + int(size[stays].sum()),
        )  # fmt: skip

    def _waiting(self, held: np.ndarray) -> Mask:
        """Which are tombstones whose time has not come."""
        dead = (held["horizon"] != ABSENT) & (held["horizon"] <= self.latest)
        return np.asarray((held["part"] == Part.TOMBSTONE) & ~dead)

    def tally(self) -> Tally:
        """Records and bytes by cell and part, when the log is through."""
        held = self._held[self._held["part"] >= 0]
        part = np.where(self._waiting(held) | (held["part"] == Part.LIVE), held["part"], Part.EXPIRED_TOMBSTONE)
        self._tally.add(held["cell"], part, held["size"])
        self._held = _nobody(0)
        return self._tally


class Cells:
    """Numbers combinations of so many small numbers, as they appear."""

    def __init__(self, width: int) -> None:
        self._pairs = [Numbers() for _ in range(width - 1)]
        self._count = 0

    def numbers(self, parts: Sequence[Vector]) -> Vector:
        """The number of each combination."""
        first, *others = parts
        cell = first
        for part, pairs in zip(others, self._pairs, strict=True):
            cell = pairs.find(cell << 32 | part)
        self._count = max(self._count, int(cell.max(initial=-1)) + 1)
        return cell

    def parts(self) -> list[Vector]:
        """The parts of each combination, by number."""
        found = []
        cell = np.arange(self._count)
        for pairs in self._pairs[::-1]:
            codes = pairs.codes[cell]
            found.append(codes & (1 << 32) - 1)
            cell = codes >> 32
        return [cell, *found[::-1]]


def _nobody(count: int) -> np.ndarray:
    found = np.zeros(count, _HELD)
    found["part"] = -1
    return found


def _lengthen(held: np.ndarray, count: int) -> None:
    """Lengthen it in place where it has no room for so many keys: each entry says that there is none, so room costs."""
    known = len(held)
    if count > known:
        held.resize(known + _more(known, count), refcheck=False)
        held["part"][known:] = -1


def _more(room: int, wanted: int) -> int:
    """How much room to add."""
    return max(wanted - room, min(room, room // 4 + _MUCH_ROOM))
