"""Batches to records: where in a buffer each record's key and value lie, as vectors.

Record format of message format 2 (org.apache.kafka.common.record.DefaultRecord): varint length, attributes,
varlong timestamp delta, varint offset delta, key, value, headers. All batches of a chunk are walked in
lockstep: one step finds the k-th record of every batch that still has one. A batch that is not sure to be
well-formed is walked by itself, record by record, to say exactly what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from offdecode.errors import CorruptError, LengthError, OffdecodeError, TruncatedError, VarintError
from offdecode.log.batches import HEADER_BYTES, Frames
from offdecode.log.compression import decompress
from offdecode.model import PADDING, Mask, Problem, Vector

GROUP_BYTES = 16 << 20  # decompressed bytes that are worked on at once
MIN_RECORD_BYTES = 7

Headers = tuple[tuple[str, bytes | None], ...]


@dataclass(frozen=True, slots=True)
class Records:
    """Records in log order. Positions count from the start of `buffer`, which ends in PADDING zeros.

    frame: the index of each record's batch in `frames`. A length of -1 is a null key or value.
    has_timestamp: false where the message format has none. headers: by record index, only of records that
    have any.
    """

    frames: Frames
    buffer: npt.NDArray[np.uint8]
    frame: Vector
    log_offset: Vector
    log_timestamp: Vector
    has_timestamp: Mask
    key_position: Vector
    key_length: Vector
    value_position: Vector
    value_length: Vector
    headers: dict[int, Headers] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()

    def __len__(self) -> int:
        return len(self.frame)

    def key(self, index: int) -> bytes | None:
        return self._bytes(int(self.key_position[index]), int(self.key_length[index]))

    def value(self, index: int) -> bytes | None:
        return self._bytes(int(self.value_position[index]), int(self.value_length[index]))

    def _bytes(self, position: int, length: int) -> bytes | None:
        return None if length < 0 else self.buffer[position : position + length].tobytes()


def iter_records(frames: Frames, wanted: Mask) -> Iterator[Records]:
    """The records of the frames that are `wanted`, in groups that keep decompressed bytes bounded.

    Always yields at least once, so that a chunk without records passes on its problems.
    """
    chosen = np.flatnonzero(wanted & (frames.count > 0))
    compressed = frames.codec[chosen] != 0
    if not compressed.any():
        yield _locate(frames, chosen, frames.chunk.buffer, frames.position[chosen] + HEADER_BYTES, frames.end[chosen])
        return
    group: list[int] = []
    bodies: list[bytes] = []
    size = 0
    problems: list[Problem] = []
    for index in chosen.tolist():
        data = frames.chunk.buffer[int(frames.position[index]) + HEADER_BYTES : int(frames.end[index])].tobytes()
        try:
            body = decompress(int(frames.codec[index]), data)
        except OffdecodeError as error:
            problems.append(frames.problem(index, "bad_compression", f"{error}; the batch's records are lost"))
            continue
        if group and size + len(body) > GROUP_BYTES:
            yield _join(frames, group, bodies, problems)
            group, bodies, size, problems = [], [], 0, []
        group.append(index)
        bodies.append(body)
        size += len(body)
    yield _join(frames, group, bodies, problems)


def _join(frames: Frames, group: Sequence[int], bodies: Sequence[bytes], problems: Sequence[Problem]) -> Records:
    buffer = np.frombuffer(b"".join((*bodies, bytes(PADDING))), np.uint8)
    ends = np.cumsum([len(body) for body in bodies], dtype=np.int64)
    starts = np.concatenate((np.zeros(1, np.int64), ends))[: len(bodies)]
    return _locate(frames, np.asarray(group, np.int64), buffer, starts, ends, problems)


def read_varints(buffer: npt.NDArray[np.uint8], position: Vector, most_bytes: int) -> tuple[Vector, Vector, Mask]:
    """Zigzag varints at each position: their values, the positions behind them, and which have no end."""
    last = len(buffer) - 1
    byte = buffer[np.minimum(position, last)]
    value = (byte & 0x7F).astype(np.int64)
    after = position + 1
    bad = np.zeros(len(position), np.bool_)
    more = np.flatnonzero(byte & 0x80)
    shift = 7
    while more.size:
        if shift >= most_bytes * 7:
            bad[more] = True
            break
        byte = buffer[np.minimum(after[more], last)]
        value[more] |= (byte & 0x7F).astype(np.int64) << shift
        after[more] += 1
        more = more[(byte & 0x80) != 0]
        shift += 7
    return ((value >> 1) & np.int64(0x7FFFFFFFFFFFFFFF)) ^ -(value & 1), after, bad


def _locate(
    frames: Frames,
    chosen: Vector,
    buffer: npt.NDArray[np.uint8],
    start: Vector,
    end: Vector,
    problems: Sequence[Problem] = (),
) -> Records:
    """Find all records of the batches `chosen`, whose record bytes lie at start:end of `buffer`."""
    count = frames.count[chosen]
    doubtful = count > (end - start) // MIN_RECORD_BYTES
    sure = np.where(doubtful, 0, count)
    position, starts_doubtful, finish = _walk_lockstep(buffer, start, end, sure)
    doubtful |= starts_doubtful | ((finish != end) & ~doubtful)
    owner = np.repeat(np.arange(len(chosen)), sure)
    if doubtful.any():
        keep = ~doubtful[owner]
        position, owner = position[keep], owner[keep]
    fields, bad = _read_fields(buffer, position, end[owner])
    if bad.any():
        doubtful[np.unique(owner[bad])] = True
        keep = ~doubtful[owner]
        owner = owner[keep]
        fields = tuple(vector[keep] for vector in fields)
    timestamp_delta, offset_delta, key_position, key_length, value_position, value_length = fields
    found = _Located(
        owner, offset_delta, timestamp_delta, key_position, key_length, value_position, value_length, {}, list(problems)
    )
    if doubtful.any():
        found = _walk_doubtful(frames, chosen, buffer, start, end, doubtful, found)
    frame = chosen[found.owner]
    append_time = frames.log_append_time[frame]
    timestamp = frames.base_timestamp[frame] + found.timestamp_delta
    return Records(
        frames=frames,
        buffer=buffer,
        frame=frame,
        log_offset=frames.base_offset[frame] + found.offset_delta,
        log_timestamp=np.where(append_time, frames.max_timestamp[frame], timestamp),
        has_timestamp=np.ones(len(frame), np.bool_),
        key_position=found.key_position,
        key_length=found.key_length,
        value_position=found.value_position,
        value_length=found.value_length,
        headers=found.headers,
        problems=tuple(found.problems),
    )


@dataclass(frozen=True, slots=True)
class _Located:
    owner: Vector
    offset_delta: Vector
    timestamp_delta: Vector
    key_position: Vector
    key_length: Vector
    value_position: Vector
    value_length: Vector
    headers: dict[int, Headers]
    problems: list[Problem]


def _walk_lockstep(
    buffer: npt.NDArray[np.uint8], start: Vector, end: Vector, count: Vector
) -> tuple[Vector, Mask, Vector]:
    """Positions of all records (batch by batch), which batches are not sure, and where each batch's records end."""
    total = int(count.sum())
    positions = np.empty(total, np.int64)
    doubtful = np.zeros(len(count), np.bool_)
    finish = start.copy()
    if not total:
        return positions, doubtful, finish
    order = np.argsort(-count, kind="stable")
    first_slot = (np.cumsum(count) - count)[order]
    ascending = count[order][::-1]
    at, limit = start[order], end[order]
    for k in range(int(count.max())):
        live = len(count) - int(np.searchsorted(ascending, k, side="right"))
        if live < len(at):
            finish[order[live : len(at)]] = at[live:]
            at, limit = at[:live], limit[:live]
        positions[first_slot[:live] + k] = at
        length, after, bad = read_varints(buffer, at, 5)
        at = after + length
        bad |= (length < 0) | (at > limit)
        if bad.any():
            doubtful[order[np.flatnonzero(bad)]] = True
            at = np.where(bad, limit, at)
    finish[order[: len(at)]] = at
    return positions, doubtful, finish


def _read_fields(buffer: npt.NDArray[np.uint8], position: Vector, end: Vector) -> tuple[tuple[Vector, ...], Mask]:
    """The fields of each record; a record that is not plain and exact is marked bad."""
    length, at, bad = read_varints(buffer, position, 5)
    record_end = at + length
    timestamp_delta, at, wrong = read_varints(buffer, at + 1, 10)
    bad |= wrong
    offset_delta, at, wrong = read_varints(buffer, at, 5)
    bad |= wrong
    key_length, key_position, wrong = read_varints(buffer, at, 5)
    bad |= wrong | (key_length < -1) | (key_length > record_end - key_position)
    at = np.minimum(key_position + np.maximum(key_length, 0), end)
    value_length, value_position, wrong = read_varints(buffer, at, 5)
    bad |= wrong | (value_length < -1) | (value_length > record_end - value_position)
    at = np.minimum(value_position + np.maximum(value_length, 0), end)
    no_headers = buffer[np.minimum(at, len(buffer) - 1)] == 0
    bad |= ~no_headers | (at + 1 != record_end) | (record_end > end)
    return (timestamp_delta, offset_delta, key_position, key_length, value_position, value_length), bad


def _walk_doubtful(
    frames: Frames,
    chosen: Vector,
    buffer: npt.NDArray[np.uint8],
    start: Vector,
    end: Vector,
    doubtful: Mask,
    sure: _Located,
) -> _Located:
    """Read the doubtful batches record by record and merge them with the sure ones, in log order."""
    rows: list[tuple[int, int, int, int, int, int, int]] = []
    headers: list[Headers] = []
    problems = list(sure.problems)
    for batch in np.flatnonzero(doubtful).tolist():
        index = int(chosen[batch])
        reader = _Scalar(buffer, int(start[batch]), int(end[batch]))
        left = int(frames.count[index])
        try:
            while left:
                left -= 1
                try:
                    row, row_headers = reader.read_record()
                except LengthError as error:  # the record's own length was good: go on behind it
                    problems.append(_bad_record(frames, index, error, "the record is lost"))
                    continue
                rows.append((batch, *row))
                headers.append(row_headers)
            if reader.at != reader.end:
                message = f"{reader.end - reader.at} bytes are left after the batch's {frames.count[index]} records"
                problems.append(frames.problem(index, "bad_batch", message))
        except CorruptError as error:
            lost = f"the record and {left} more of its batch are lost"
            problems.append(_bad_record(frames, index, error, lost))
    scalar = np.asarray(rows, np.int64).reshape(len(rows), 7).T
    vectors = (
        sure.owner, sure.offset_delta, sure.timestamp_delta,
        sure.key_position, sure.key_length, sure.value_position, sure.value_length,
    )  # fmt: skip
    merged = [np.concatenate((vector, extra)) for vector, extra in zip(vectors, scalar, strict=True)]
    order = np.argsort(merged[0], kind="stable")
    where = np.argsort(order, kind="stable")
    by_record = {int(where[len(sure.owner) + i]): found for i, found in enumerate(headers) if found}
    (owner, offset, time, key, key_length, value, value_length) = (vector[order] for vector in merged)
    return _Located(owner, offset, time, key, key_length, value, value_length, by_record, problems)


def _bad_record(frames: Frames, index: int, error: CorruptError, lost: str) -> Problem:
    return frames.problem(index, "bad_record", f"{error.reason} (at byte {error.position} of its records); {lost}")


class _Scalar:
    """Reads one batch record by record. Errors carry the position inside the batch's record bytes."""

    def __init__(self, buffer: npt.NDArray[np.uint8], start: int, end: int) -> None:
        self.data = buffer[start:end].tobytes()
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
                value = (value >> 1) ^ -(value & 1)
                bits = 32 if most_bytes == 5 else 64
                return (value + (1 << (bits - 1))) % (1 << bits) - (1 << (bits - 1))
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
        return None if length < 0 else self.data[offset : offset + length]
