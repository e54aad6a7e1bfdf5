"""One batch to records, record by record: for batches whose bytes are not sure to be well-formed.

Says exactly what is wrong with a batch, and gives all of its records that can still be read.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from offdecode.byte_vectors import Buffer
from offdecode.errors import CorruptError, LengthError, TruncatedError, VarintError

MOST_PROBLEMS = 16  # of one batch; a small bomb of bad records must not become a large one of problems
_FIELDS = 6
_COPIED_BYTES = 1 << 20

Headers = tuple[tuple[str, bytes | None], ...]


@dataclass(frozen=True, slots=True)
class Doubtful:
    """A batch's records. fields: offset delta, timestamp delta, key position and length, value position and length.

    headers: by record, only of records that have any. problems: kind and message.
    """

    fields: npt.NDArray[np.int64]
    headers: dict[int, Headers]
    problems: list[tuple[str, str]]


def hop_records(data: memoryview, at: int, end: int, count: int) -> tuple[list[int], int]:
    """The positions of up to `count` records from `at` on, and where they end; fewer where a length is not sure."""
    positions: list[int] = []
    append = positions.append
    for _ in range(count):
        start = at
        length = shift = 0
        while at < end:
            byte = data[at]
            at += 1
            length |= (byte & 0x7F) << shift
            if byte < 0x80 or shift == 28:
                break
            shift += 7
        else:
            return positions, end
        at += length >> 1
        if byte >= 0x80 or length & 1 or at > end:
            return positions, end
        append(start)
    return positions, at


def read_doubtful(buffer: Buffer, start: int, end: int, count: int) -> Doubtful:
    """The records of a batch that says it has `count` of them, whose record bytes lie at start:end of `buffer`."""
    return next(iter_doubtful(buffer, start, end, count, start, count, max(end - start, 1)))


def iter_doubtful(  # noqa: PLR0913 - a place in a batch, and how far to go from it
    buffer: Buffer, start: int, end: int, count: int, at: int, left: int, most: int
) -> Iterator[Doubtful]:
    """The same from byte `at` on, where `left` records are still to come, at most `most` of them at a time."""
    reader = _Reader(buffer, start, end)
    reader.offset = at - start
    rows = array("q")  # there may be millions of records
    headers: dict[int, Headers] = {}
    problems: list[tuple[str, str]] = []
    bad = 0
    try:
        while left:
            if len(rows) == most * _FIELDS:
                yield _doubtful(rows, headers, problems)
                rows, headers, problems = array("q"), {}, []
            left -= 1
            try:
                row, row_headers = reader.read_record()
            except LengthError as error:  # the record's own length was good: go on behind it
                bad += 1
                if bad <= MOST_PROBLEMS:
                    problems.append(_bad_record(error, "the record is lost"))
                continue
            if row_headers:
                headers[len(rows) // _FIELDS] = row_headers
            rows.extend(row)
        if reader.at != reader.end:
            message = f"{reader.end - reader.at} bytes are left after the batch's {count} records"
            problems.append(("bad_batch", message))
    except CorruptError as error:
        problems.append(_bad_record(error, f"the record and {left} more of its batch are lost"))
    if bad > MOST_PROBLEMS:
        problems.append(("bad_record", f"{bad - MOST_PROBLEMS} more bad records of the batch are lost"))
    yield _doubtful(rows, headers, problems)


def _doubtful(rows: array[int], headers: dict[int, Headers], problems: list[tuple[str, str]]) -> Doubtful:
    return Doubtful(np.asarray(rows, np.int64).reshape(-1, _FIELDS).T, headers, problems)


def _bad_record(error: CorruptError, lost: str) -> tuple[str, str]:
    return "bad_record", f"{error.reason} (at byte {error.position} of its records); {lost}"


class _Reader:
    """Reads one batch record by record. Errors carry the position inside the batch's record bytes."""

    def __init__(self, buffer: Buffer, start: int, end: int) -> None:
        data = buffer.data[start:end]
        # Bytes are read faster, but not worth a second copy of a large batch.
        self.data: bytes | memoryview = bytes(data) if len(data) <= _COPIED_BYTES else data
        self.origin = start
        self.offset = 0

    @property
    def at(self) -> int:
        return self.origin + self.offset

    @property
    def end(self) -> int:
        return self.origin + len(self.data)

    def read_record(self) -> tuple[tuple[int, int, int, int, int, int], Headers]:
        """One record: offset delta, timestamp delta, key and value positions and lengths; its headers.

        Raises LengthError when the record is bad inside a good length, another CorruptError when its end is
        not known.
        """
        start = self.offset
        length = self._varint(5, len(self.data))
        record_end = self.offset + length
        if length < 0 or record_end > len(self.data):
            reason = f"record of {length} bytes, {len(self.data) - self.offset} are left in the batch"
            raise TruncatedError(reason, position=start)
        try:
            self.offset += 1
            timestamp_delta = self._varint(10, record_end)
            offset_delta = self._varint(5, record_end)
            key = self._sized(record_end, "key")
            value = self._sized(record_end, "value")
            headers = self._headers(record_end)
            if self.offset != record_end:
                raise LengthError(f"{record_end - self.offset} bytes are left in the record", position=self.offset)
        except CorruptError as error:
            self.offset = record_end
            raise LengthError(error.reason, position=error.position) from None
        return (offset_delta, timestamp_delta, *key, *value), headers

    def _varint(self, most_bytes: int, limit: int) -> int:
        start = self.offset
        value = shift = 0
        while self.offset < limit:
            byte = self.data[self.offset]
            self.offset += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                value &= 0xFFFFFFFF if most_bytes == 5 else 0xFFFFFFFFFFFFFFFF  # as Kafka drops what is beyond
                return (value >> 1) ^ -(value & 1)
            shift += 7
            if shift >= most_bytes * 7:
                raise VarintError(f"varint has no end within {most_bytes} bytes", position=start)
        raise TruncatedError("the bytes end inside a varint", position=start)

    def _sized(self, limit: int, what: str) -> tuple[int, int]:
        start = self.offset
        length = self._varint(5, limit)
        position = self.at
        if length < -1 or length > limit - self.offset:
            raise LengthError(f"{what} of {length} bytes, {limit - self.offset} are left", position=start)
        self.offset += max(length, 0)
        return position, length

    def _headers(self, limit: int) -> Headers:
        start = self.offset
        count = self._varint(5, limit)
        if not 0 <= count <= (limit - self.offset) // 2:
            raise LengthError(f"{count} headers in {limit - self.offset} bytes", position=start)
        headers: list[tuple[str, bytes | None]] = []
        for _ in range(count):
            key, value = self._bytes(limit), self._bytes(limit)
            headers.append(((key or b"").decode("utf-8", "backslashreplace"), value))
        return tuple(headers)

    def _bytes(self, limit: int) -> bytes | None:
        position, length = self._sized(limit, "header")
        offset = position - self.origin
        return None if length < 0 else bytes(self.data[offset : offset + length])
