"""Texts to numbers, many at a time: a hash table made of vectors.

A million names as Python objects take hundreds of megabytes, and half a microsecond each time they are looked up.
"""

from __future__ import annotations

import os

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from offdecode.byte_vectors import Buffer, byte_views, unaligned
from offdecode.errors import UsageError
from offdecode.growing import make_room
from offdecode.model import Mask, Vector, arrow, text_ends

_WORD = 8  # bytes that are compared at once
_BEHIND = 16  # bytes behind all texts, so that a read may reach beyond one
_LONG = 128  # bytes; what is behind them is compared text by text
_EMPTY = -1
_FEW = 32  # texts that are quicker looked up one by one
_MOST_REMEMBERED = 1 << 16
_MOST_BYTES = (1 << 31) - 1  # that Arrow's strings can be

Words = npt.NDArray[np.uint64]

_SEED, _FACTOR = np.frombuffer(os.urandom(16), np.uint64) | np.uint64(1)  # so that no log can be made to collide
_FIRST = np.array([(1 << 8 * count) - 1 for count in range(_WORD)], np.uint64)  # so many bytes of a word


class Texts:
    """Numbers texts by their bytes, from 0 on, as they appear."""

    def __init__(self) -> None:
        self._bytes = np.zeros(1 << 12, np.uint8)  # all texts one after the other, and some more
        self._ends = np.zeros(1 << 8, np.int64)  # the entry before a text's is where it starts
        self._hashes = np.zeros(1 << 8, np.int64)
        self._slots = np.full(1 << 9, _EMPTY, np.int32)  # numbers, by hash; at least half of them empty
        self._count = 0
        self._all = pa.array([], pa.string())
        self._remembered: dict[str | bytes, int] = {}

    def __len__(self) -> int:
        return self._count

    def numbers(self, texts: pa.Array) -> Vector:
        """The number of each of these texts (string or binary, none null); new ones get the next, in their order."""
        if len(texts) <= _FEW:
            return np.array(list(map(self.number, texts.to_pylist())), np.int64)
        return self._look_up(texts)

    def _look_up(self, texts: pa.Array) -> Vector:
        given = _Given(texts)
        found = self._find(given)
        new = np.flatnonzero(found < 0)
        if len(new):
            hashes = np.sort(given.hash[new])
            if (hashes[1:] == hashes[:-1]).any():  # some may be there twice
                encoded = texts.dictionary_encode()
                if len(encoded.dictionary) < len(texts):
                    return np.asarray(self._look_up(encoded.dictionary)[encoded.indices.to_numpy()])
            found[new] = self._add(given, new)
        return found

    def number(self, text: str | bytes) -> int:
        """The number of one text; those that are asked for again are remembered."""
        known = self._remembered.get(text)
        if known is None:
            known = int(self._look_up(pa.array([text]))[0])
            if len(self._remembered) >= _MOST_REMEMBERED:
                self._remembered.clear()
            if len(text) <= _LONG:
                self._remembered[text] = known
        return known

    def remember(self, texts: pa.Array) -> None:
        """Be ready to be asked for the number of each of these texts by itself."""
        if len(self._remembered) >= _MOST_REMEMBERED:
            self._remembered.clear()
        self._remembered |= zip(texts.to_pylist(), self.numbers(texts).tolist(), strict=True)

    def encode(self, column: pa.Array | pa.ChunkedArray) -> pa.Array:
        """The number of each text of a dictionary-encoded column; null for null."""
        if isinstance(column, pa.ChunkedArray):
            column = column.combine_chunks()
        return arrow(self.numbers(column.dictionary).astype(np.int32)).take(column.indices)

    def all(self) -> pa.Array:
        """All texts, each in the place of its number."""
        if len(self._all) < self._count:
            self._check_size()
            self._all = self._run(0, self._count)
        return self._all

    def rank(self) -> Vector:
        """For each text its place among all in the order of texts."""
        found = np.empty(self._count, np.int64)
        found[pc.sort_indices(self.all()).to_numpy()] = np.arange(self._count)
        return found

    def of(self, numbers: Vector, kind: pa.DataType | None = None) -> pa.Array:
        """The texts of some numbers. kind: string or binary."""
        self._check_size()
        if kind is None and len(numbers) and (numbers[1:] == numbers[:-1] + 1).all():
            return self._run(int(numbers[0]), int(numbers[-1]) + 1)
        start, end = self._ends[numbers], self._ends[numbers + 1]
        return byte_views(self._bytes, start, end - start).cast(kind or pa.string())

    def _run(self, first: int, end: int) -> pa.Array:
        """The texts of numbers that follow each other."""
        ends = self._ends[first : end + 1]
        data = self._bytes[ends[0] : ends[-1]].copy()  # texts that are added later may move all bytes
        buffers = [None, pa.py_buffer((ends - ends[0]).astype(np.int32)), pa.py_buffer(data)]
        return pa.Array.from_buffers(pa.string(), end - first, buffers)

    def _check_size(self) -> None:
        if self._ends[self._count] > _MOST_BYTES:
            raise UsageError("names and keys are more than 2 GiB together; ask for some groups only (--group)")

    def _find(self, given: _Given) -> Vector:
        """The number of each text, -1 for new ones."""
        found = np.full(len(given.hash), _EMPTY, np.int64)
        last = len(self._slots) - 1
        row, slot = np.arange(len(found)), given.hash & last
        while len(row):
            number = self._slots.take(slot)
            taken = number >= 0
            row, slot, number = row[taken], slot[taken], number[taken]
            alike = self._hashes.take(number) == given.hash.take(row)
            alike[alike] = self._same(given, row[alike], number[alike])
            found[row[alike]] = number[alike]
            row, slot = row[~alike], slot[~alike] + 1 & last
        return found

    def _same(self, given: _Given, row: Vector, number: Vector) -> Mask:
        """Which rows are these texts."""
        start, at = self._ends[number], given.start[row]
        length = self._ends[number + 1] - start
        same: Mask = length == given.length[row]
        for word in range(_words(length)):
            skip = word * _WORD
            ahead = np.flatnonzero(same & (length > skip))
            left = length[ahead] - skip
            same[ahead] = _word(self._bytes, start[ahead] + skip, left) == _word(given.data, at[ahead] + skip, left)
        for one in np.flatnonzero(same & (length > _LONG)).tolist():
            ours = self._bytes[start[one] : start[one] + length[one]]
            same[one] = np.array_equal(ours, given.data[at[one] : at[one] + length[one]])
        return same

    def _add(self, given: _Given, new: Vector) -> Vector:
        """The numbers of new texts, all different."""
        first, count = self._count, self._count + len(new)
        length = given.length[new]
        ends = self._ends[first] + np.cumsum(length)
        self._ends = make_room(self._ends, count + 1)
        self._hashes = make_room(self._hashes, count)
        self._bytes = make_room(self._bytes, int(ends[-1]) + _BEHIND)
        self._bytes[self._ends[first] : ends[-1]] = given.bytes_of(new)
        self._ends[first + 1 : count + 1] = ends
        self._hashes[first:count] = given.hash[new]
        self._count = count
        numbers = np.arange(first, count)
        if 2 * count > len(self._slots):
            self._slots = np.full(4 << count.bit_length(), _EMPTY, np.int32)
            self._put(np.arange(count))
        else:
            self._put(numbers)
        return numbers

    def _put(self, number: Vector) -> None:
        """Give slots to numbers that have none."""
        last = len(self._slots) - 1
        slot = self._hashes[number] & last
        while len(number):
            free = self._slots.take(slot) < 0
            self._slots[slot[free]] = number[free]
            lost = self._slots.take(slot) != number
            number, slot = number[lost], slot[lost] + 1 & last


class _Given:
    """Texts that are looked up: where each one lies in the data, and its hash."""

    def __init__(self, texts: pa.Array) -> None:
        if texts.type not in (pa.string(), pa.binary()):
            texts = texts.cast(pa.binary())
        data = texts.buffers()[2]
        place = text_ends(texts).astype(np.int64)
        self.start, self.length = place[:-1], np.diff(place)
        self.data = np.zeros(int(place[-1]) + _BEHIND, np.uint8)
        if data is not None:
            self.data[: place[-1]] = np.frombuffer(data, np.uint8, int(place[-1]))
        self.hash = self._hashed()

    def _hashed(self) -> Vector:
        found = self.length.astype(np.uint64) * _FACTOR ^ _SEED
        least = int(self.length.min(initial=0))
        for word in range(_words(self.length)):
            skip = word * _WORD
            if least > skip:
                found = _mixed(found ^ _word(self.data, self.start + skip, self.length - skip))
                continue
            ahead = np.flatnonzero(self.length > skip)
            read = _word(self.data, self.start[ahead] + skip, self.length[ahead] - skip)
            found[ahead] = _mixed(found[ahead] ^ read)
        for row in np.flatnonzero(self.length > _LONG).tolist():
            rest = hash(self.data[self.start[row] : self.start[row] + self.length[row]].tobytes())
            found[row] ^= np.uint64(rest & (1 << 64) - 1)
        return _mixed(found).view(np.int64)

    def bytes_of(self, rows: Vector) -> Buffer:
        """The bytes of some texts, one after the other."""
        if len(rows) == len(self.start):
            return self.data[self.start[0] : len(self.data) - _BEHIND]
        length = self.length[rows]
        before = np.cumsum(length) - length
        return self.data[np.repeat(self.start[rows] - before, length) + np.arange(int(length.sum()))]


def _words(length: Vector) -> int:
    """How many words the longest text has, as far as words are compared."""
    return -(-min(int(length.max(initial=0)), _LONG) // _WORD)


def _word(data: Buffer, at: Vector, left: Vector) -> Words:
    """The words at these places; of the last one of a text, the bytes that are left."""
    found: Words = unaligned(data, "<u8")[at]  # take() would copy all data: they are not aligned
    short = np.flatnonzero(left < _WORD)
    found[short] &= _FIRST[left[short]]
    return found


def _mixed(values: Words) -> Words:
    values = values * _FACTOR
    return values ^ values >> np.uint64(32)
