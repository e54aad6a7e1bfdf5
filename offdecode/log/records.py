"""Batches to records: where in a buffer each record's key and value lie, as vectors.

Record format of message format 2 (org.apache.kafka.common.record.DefaultRecord): varint length, attributes,
varlong timestamp delta, varint offset delta, key, value, headers. All batches of a chunk are walked in
lockstep: one step finds the k-th record of every batch that still has one. A batch that is not sure to be
well-formed is walked by itself, record by record, to say exactly what is wrong with it. Messages of formats 0
and 1 are located by log/legacy.py and put in between.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from offdecode.errors import OffdecodeError
from offdecode.log.batches import Frames
from offdecode.log.compression import decompress
from offdecode.log.doubtful import Headers, hop_records, read_doubtful
from offdecode.log.headers import HEADER_BYTES, Buffer, unaligned
from offdecode.log.legacy import Outer, read_messages, unwrap
from offdecode.model import PADDING, Mask, Problem, Vector

GROUP_BYTES = 16 << 20  # decompressed bytes that are worked on at once
MIN_RECORD_BYTES = 7
_FEW_BATCHES = 32  # fewer than these are walked one by one: a step of all costs more


def _advances() -> Vector:
    """By a record's first two bytes, as one number: how far the next record is, where these bytes tell; else 0."""
    first, second = np.arange(1 << 16, dtype=np.uint16).view(np.uint8).reshape(-1, 2).astype(np.int64).T
    short = first < 0x80
    zigzag = np.where(short, first, first & 0x7F | second << 7)
    told = (short | (second < 0x80)) & (zigzag & 1 == 0)  # an odd one is a negative length
    return np.where(told, np.where(short, 1, 2) + (zigzag >> 1), 0)


_ADVANCE = _advances()


@dataclass(frozen=True, slots=True)
class Records:
    """Records in log order. Positions count from the start of `buffer`, which ends in PADDING zeros.

    frame: the index of each record's batch in `frames`. A length of -1 is a null key or value.
    has_timestamp: false where the message format has none. headers: by record index, only of records that
    have any.
    """

    frames: Frames
    buffer: Buffer
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
    has_offset: Mask | None = None  # None = all have one; exported records may come without

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
    problems = _without_count(frames, wanted)
    compressed = frames.codec[chosen] != 0
    if not compressed.any():
        yield _locate(frames, chosen, frames.chunk.buffer, _body_start(frames, chosen), frames.end[chosen], problems)
        return
    group: list[int] = []
    bodies: list[bytes] = []
    size = 0
    data = frames.chunk.buffer.data
    fields = (chosen, _body_start(frames, chosen), frames.end[chosen], frames.codec[chosen], frames.magic[chosen])
    for index, start, end, codec, magic in zip(*(vector.tolist() for vector in fields), strict=True):
        try:
            wrapped = codec and magic < 2
            body = unwrap(data, start, end) if wrapped else decompress(codec, bytes(data[start:end]))
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


def _without_count(frames: Frames, wanted: Mask) -> list[Problem]:
    """Batches that hold bytes, but no records by their headers."""
    body = frames.end - frames.position > HEADER_BYTES
    found = np.flatnonzero(wanted & (frames.magic == 2) & ((frames.count < 0) | ((frames.count == 0) & body)))
    return [
        frames.problem(index, "bad_batch", f"the header says {frames.count[index]} records; what is there is left out")
        for index in found.tolist()
    ]


def _body_start(frames: Frames, chosen: Vector) -> Vector:
    """Where a batch's records start. A message of format 0 or 1 is itself the record."""
    return frames.position[chosen] + np.where(frames.magic[chosen] == 2, HEADER_BYTES, 0)


def _join(frames: Frames, group: Sequence[int], bodies: Sequence[bytes], problems: Sequence[Problem]) -> Records:
    buffer = np.frombuffer(b"".join((*bodies, bytes(PADDING))), np.uint8)
    ends = np.cumsum([len(body) for body in bodies], dtype=np.int64)
    starts = np.concatenate((np.zeros(1, np.int64), ends))[: len(bodies)]
    return _locate(frames, np.asarray(group, np.int64), buffer, starts, ends, problems)


def read_varints(buffer: Buffer, position: Vector, most_bytes: int) -> tuple[Vector, Vector, Mask]:
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
    buffer: Buffer,
    start: Vector,
    end: Vector,
    problems: Sequence[Problem] = (),
) -> Records:
    """Find all records of the batches `chosen`, whose record bytes lie at start:end of `buffer`."""
    legacy = frames.magic[chosen] < 2
    if not legacy.any():
        return _locate_records(frames, chosen, buffer, start, end, problems)
    old = _locate_messages(frames, chosen[legacy], buffer, start[legacy], end[legacy])
    new = _locate_records(frames, chosen[~legacy], buffer, start[~legacy], end[~legacy], problems)
    return _in_log_order(new, old)


def _in_log_order(one: Records, other: Records) -> Records:
    """The records of two disjoint sets of batches of the same frames and buffer."""
    order = np.argsort(np.concatenate((one.frame, other.frame)), kind="stable")
    vectors = {
        name: np.concatenate((getattr(one, name), getattr(other, name)))[order]
        for name in (
            "frame", "log_offset", "log_timestamp", "has_timestamp",
            "key_position", "key_length", "value_position", "value_length",
        )
    }  # fmt: skip
    where = np.argsort(order, kind="stable")
    headers = {int(where[index]): found for index, found in one.headers.items()}
    headers |= {int(where[len(one) + index]): found for index, found in other.headers.items()}
    problems = sorted((*one.problems, *other.problems), key=lambda problem: problem.position or 0)
    return Records(one.frames, one.buffer, headers=headers, problems=tuple(problems), **vectors)


def _locate_messages(frames: Frames, chosen: Vector, buffer: Buffer, start: Vector, end: Vector) -> Records:
    """The same for messages of formats 0 and 1: at start:end lies a message, or what a wrapper holds."""
    outer = Outer(
        compressed=frames.codec[chosen] != 0,
        magic=frames.magic[chosen],
        offset=frames.last_offset[chosen],
        timestamp=frames.max_timestamp[chosen],
        log_append_time=frames.log_append_time[chosen],
    )
    found = read_messages(buffer, start, end, outer)
    problems = [
        frames.problem(int(chosen[lost.owner]), lost.kind, lost.message, lost.log_offset) for lost in found.lost
    ]
    return Records(
        frames=frames,
        buffer=buffer,
        frame=chosen[found.owner],
        log_offset=found.log_offset,
        log_timestamp=found.log_timestamp,
        has_timestamp=found.has_timestamp,
        key_position=found.key_position,
        key_length=found.key_length,
        value_position=found.value_position,
        value_length=found.value_length,
        problems=tuple(problems),
    )


def _locate_records(
    frames: Frames,
    chosen: Vector,
    buffer: Buffer,
    start: Vector,
    end: Vector,
    problems: Sequence[Problem] = (),
) -> Records:
    """The records of format 2 batches."""
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


def _walk_lockstep(buffer: Buffer, start: Vector, end: Vector, count: Vector) -> tuple[Vector, Mask, Vector]:
    """Positions of all records (batch by batch), which batches are not sure, and where each batch's records end."""
    total = int(count.sum())
    positions = np.empty(total, np.int64)
    taken = np.empty(total, np.int64)  # positions in the order of the steps
    doubtful = np.zeros(len(count), np.bool_)
    finish = start.copy()
    if not total:
        return positions, doubtful, finish
    order = np.argsort(-count, kind="stable")
    first_slot = (np.cumsum(count) - count)[order]
    ascending = count[order][::-1]
    at, limit = start[order], end[order]
    words = unaligned(buffer, np.uint16)
    done = 0
    lives = len(count) - np.searchsorted(ascending, np.arange(int(count[order[0]])), side="right")
    for k, live in enumerate(lives.tolist()):
        if live < len(at):
            finish[order[live : len(at)]] = at[live:]
            at, limit = at[:live], limit[:live]
        if live < _FEW_BATCHES:
            finish[order[:live]] = at
            for index, slot in zip(order[:live].tolist(), (first_slot[:live] + k).tolist(), strict=True):
                left = 0 if doubtful[index] else int(count[index]) - k
                found, finish[index] = hop_records(buffer.data, int(finish[index]), int(end[index]), left)
                positions[slot : slot + len(found)] = found
                doubtful[index] |= len(found) < left
            lives = lives[:k]
            break
        taken[done : done + live] = at
        done += live
        advance = _ADVANCE.take(words[at])
        if np.count_nonzero(advance) == live:
            at += advance
            np.minimum(at, limit, out=at)  # a record that goes beyond its batch is seen as its fields are read
            continue
        length, after, bad = read_varints(buffer, at, 5)
        at = after + length
        bad |= (length < 0) | (at > limit)
        if bad.any():
            doubtful[order[np.flatnonzero(bad)]] = True
            at = np.where(bad, limit, at)
    else:
        finish[order[: len(at)]] = at
    step = np.repeat(np.arange(len(lives)), lives)
    batch = np.arange(done) - np.repeat(np.cumsum(lives) - lives, lives)
    positions[first_slot[batch] + step] = taken[:done]
    return positions, doubtful, finish


def _read_fields(buffer: Buffer, position: Vector, end: Vector) -> tuple[tuple[Vector, ...], Mask]:
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
    buffer: Buffer,
    start: Vector,
    end: Vector,
    doubtful: Mask,
    sure: _Located,
) -> _Located:
    """Read the doubtful batches record by record and merge them with the sure ones, in log order."""
    batches: list[Vector] = []
    headers: dict[int, Headers] = {}
    problems = list(sure.problems)
    rows = len(sure.owner)
    for batch in np.flatnonzero(doubtful).tolist():
        index = int(chosen[batch])
        found = read_doubtful(buffer, int(start[batch]), int(end[batch]), int(frames.count[index]))
        problems += [frames.problem(index, kind, message) for kind, message in found.problems]
        headers |= {rows + row: header for row, header in found.headers.items()}
        rows += found.fields.shape[1]
        batches.append(np.concatenate((np.full((1, found.fields.shape[1]), batch), found.fields)))
    vectors = (
        sure.owner, sure.offset_delta, sure.timestamp_delta,
        sure.key_position, sure.key_length, sure.value_position, sure.value_length,
    )  # fmt: skip
    merged = np.concatenate((np.stack(vectors), *batches), axis=1)
    order = np.argsort(merged[0], kind="stable")
    if headers:
        where = np.argsort(order, kind="stable")
        headers = {int(where[row]): header for row, header in headers.items()}
    (owner, offset, time, key, key_length, value, value_length) = merged[:, order]
    return _Located(owner, offset, time, key, key_length, value, value_length, headers, problems)
