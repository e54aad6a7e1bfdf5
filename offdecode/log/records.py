"""Batches to records: where in a buffer each record's key and value lie, as vectors.

Record format of message format 2 (org.apache.kafka.common.record.DefaultRecord): varint length, attributes,
varlong timestamp delta, varint offset delta, key, value, headers. All batches of a chunk are walked in
lockstep: one step finds the k-th record of every batch that still has one. A batch that is not sure to be
well-formed is walked by itself, record by record, to say exactly what is wrong with it. Messages of formats 0
and 1 are located by log/legacy.py and put in between.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from offdecode.byte_vectors import Buffer
from offdecode.errors import OffdecodeError
from offdecode.log.batches import Frames
from offdecode.log.compression import decompress
from offdecode.log.doubtful import Headers, hop_records, iter_doubtful, read_doubtful
from offdecode.log.headers import HEADER_BYTES, LEGACY_HEADER_BYTES
from offdecode.log.legacy import Outer, read_messages, unwrap
from offdecode.log.lockstep import read_fields, walk_lockstep
from offdecode.model import PADDING, Mask, Problem, Vector

GROUP_BYTES = 16 << 20  # decompressed bytes that are worked on at once
MOST_RECORDS = 1 << 16  # that are worked on at once: small ones, and hostile ones, take much more than their bytes
MIN_RECORD_BYTES = 7

BY_RECORD = (
    "frame", "log_offset", "log_timestamp", "has_timestamp", "key_position", "key_length", "value_position",
    "value_length",
)  # fmt: skip


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
    copies: Vector | None = None  # a bit for each copy that holds the record; None = those of its batch

    def __len__(self) -> int:
        return len(self.frame)

    def key(self, index: int) -> bytes | None:
        return self._bytes(int(self.key_position[index]), int(self.key_length[index]))

    def value(self, index: int) -> bytes | None:
        return self._bytes(int(self.value_position[index]), int(self.value_length[index]))

    def slice(self, first: int, last: int) -> Records:
        """The records from `first` to before `last`; the first part has the problems."""
        if not first and last >= len(self):
            return self
        vectors = {name: getattr(self, name)[first:last] for name in BY_RECORD}
        headers = {index - first: found for index, found in self.headers.items() if first <= index < last}
        has_offset = None if self.has_offset is None else self.has_offset[first:last]
        problems = () if first else self.problems
        copies = None if self.copies is None else self.copies[first:last]
        return Records(
            self.frames,
            self.buffer,
            headers=headers,
            problems=problems,
            has_offset=has_offset,
            copies=copies,
            **vectors,
        )

    def _bytes(self, position: int, length: int) -> bytes | None:
        return None if length < 0 else self.buffer[position : position + length].tobytes()


def iter_records(frames: Frames, wanted: Mask, holding: Collection[bytes] | None = None) -> Iterator[Records]:
    """The records of the frames that are `wanted`, in groups that keep decompressed bytes and records bounded.

    holding: batches in which none of these bytes occur, and which are no control batches, are not looked into.
    Always yields at least once, so that a chunk without records passes on its problems.
    """
    chosen = np.flatnonzero(wanted & (frames.count > 0))
    problems = _without_count(frames, wanted)
    if holding is not None:
        chosen = chosen[frames.control[chosen] | (frames.codec[chosen] != 0) | _hold(frames, chosen, holding)]
    compressed = frames.codec[chosen] != 0
    if not compressed.any():
        start, end = _body_start(frames, chosen), frames.end[chosen]
        most = np.minimum(frames.count[chosen], (end - start) // MIN_RECORD_BYTES)
        for part in _bounded(np.where(frames.magic[chosen] < 2, 1, most)):
            yield from _located(frames, chosen[part], frames.chunk.buffer, start[part], end[part], problems)
            problems = []
        return
    group: list[int] = []
    bodies: list[bytes] = []
    size = total = 0
    data = frames.chunk.buffer.data
    fields = (
        chosen, _body_start(frames, chosen), frames.end[chosen], frames.codec[chosen], frames.magic[chosen],
        frames.count[chosen], frames.control[chosen],
    )  # fmt: skip
    for index, start, end, codec, magic, count, control in zip(*(vector.tolist() for vector in fields), strict=True):
        try:
            wrapped = codec and magic < 2
            body = unwrap(data, start, end) if wrapped else decompress(codec, bytes(data[start:end]))
        except OffdecodeError as error:
            problems.append(frames.problem(index, "bad_compression", f"{error}; the batch's records are lost"))
            continue
        if holding is not None and not control and not any(data in body for data in holding):
            continue
        records = len(body) // LEGACY_HEADER_BYTES if wrapped else min(count, len(body) // MIN_RECORD_BYTES)
        if group and (size + len(body) > GROUP_BYTES or total + records > MOST_RECORDS):
            yield from _join(frames, group, bodies, problems)
            group, size, total, problems = [], 0, 0, []
        group.append(index)
        bodies.append(body)
        size += len(body)
        total += records
        del body  # bodies alone holds it: it is given up when its records are located
    yield from _join(frames, group, bodies, problems)


def _hold(frames: Frames, chosen: Vector, texts: Collection[bytes]) -> Mask:
    """In which of the batches one of the texts occurs, as they lie in the chunk."""
    held = np.zeros(len(chosen), np.bool_)
    if not len(chosen):
        return held
    data = frames.chunk.buffer.tobytes()
    starts, ends = frames.position[chosen].tolist(), frames.end[chosen].tolist()
    for text in texts:
        at = data.find(text, starts[0])
        while at >= 0:
            index = bisect_right(starts, at) - 1
            held[index] = True
            at = data.find(text, max(at + 1, ends[index]))
    return held


def _bounded(most: Vector) -> Iterator[slice]:
    """Runs of batches that together have at most MOST_RECORDS, a larger one by itself. At least one, perhaps empty."""
    total = np.cumsum(most)
    first = 0
    while True:
        before = int(total[first - 1]) if first else 0
        last = max(int(np.searchsorted(total, before + MOST_RECORDS, side="right")), first + 1)
        yield slice(first, last)
        first = last
        if first >= len(most):
            return


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


def _join(frames: Frames, group: Sequence[int], bodies: list[bytes], problems: Sequence[Problem]) -> Iterator[Records]:
    """The records of decompressed batches. `bodies` is emptied."""
    ends = np.cumsum([len(body) for body in bodies], dtype=np.int64)
    starts = np.concatenate((np.zeros(1, np.int64), ends))[: len(bodies)]
    bodies.append(bytes(PADDING))
    buffer = np.frombuffer(b"".join(bodies), np.uint8)
    bodies.clear()
    yield from _located(frames, np.asarray(group, np.int64), buffer, starts, ends, problems)


def _located(
    frames: Frames, chosen: Vector, buffer: Buffer, start: Vector, end: Vector, problems: Sequence[Problem]
) -> Iterator[Records]:
    """The records of batches, at most MOST_RECORDS at a time."""
    if len(chosen) == 1 and frames.magic[chosen[0]] == 2 and frames.count[chosen[0]] > MOST_RECORDS:
        yield from _locate_many(frames, int(chosen[0]), buffer, int(start[0]), int(end[0]), problems)
        return
    records = _locate(frames, chosen, buffer, start, end, problems)
    for first in range(0, max(len(records), 1), MOST_RECORDS):
        yield records.slice(first, first + MOST_RECORDS)


def _locate_many(
    frames: Frames, index: int, buffer: Buffer, start: int, end: int, problems: Sequence[Problem]
) -> Iterator[Records]:
    """The records of one batch of format 2 that holds very many."""
    chosen = np.array([index])
    at, left = start, int(frames.count[index])
    while left:
        count = min(left, MOST_RECORDS)
        positions, after = hop_records(buffer.data, at, end, count)
        fields, bad = read_fields(buffer, np.asarray(positions, np.int64), np.full(len(positions), end))
        if len(positions) < count or bad.any() or (count == left and after != end):
            break
        time, offset, key, key_length, value, value_length = fields
        owner = np.zeros(count, np.int64)
        found = _Located(owner, offset, time, key, key_length, value, value_length, {}, problems)
        yield _records(frames, chosen, buffer, found)
        problems = ()
        at, left = after, left - count
    if not left:
        return
    for some in iter_doubtful(buffer, start, end, int(frames.count[index]), at, left, MOST_RECORDS):
        told = [*problems, *(frames.problem(index, kind, message) for kind, message in some.problems)]
        offset, time, key, key_length, value, value_length = some.fields
        owner = np.zeros(len(offset), np.int64)
        found = _Located(owner, offset, time, key, key_length, value, value_length, some.headers, told)
        yield _records(frames, chosen, buffer, found)
        problems = ()


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
    vectors = {name: np.concatenate((getattr(one, name), getattr(other, name)))[order] for name in BY_RECORD}
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
    position, starts_doubtful, finish = walk_lockstep(buffer, start, end, sure)
    doubtful |= starts_doubtful | ((finish != end) & ~doubtful)
    owner = np.repeat(np.arange(len(chosen)), sure)
    if doubtful.any():
        keep = ~doubtful[owner]
        position, owner = position[keep], owner[keep]
    fields, bad = read_fields(buffer, position, end[owner])
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
    return _records(frames, chosen, buffer, found)


def _records(frames: Frames, chosen: Vector, buffer: Buffer, found: _Located) -> Records:
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
    problems: Sequence[Problem]


def _walk_doubtful(  # noqa: PLR0913 - the vectors of one batch
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
