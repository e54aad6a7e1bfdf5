"""Markers to status: whether each transactional batch was committed, aborted, or cannot be known.

A batch is decided by the next marker of its producer id in the same log partition, never by epoch (a marker's
epoch may be above the records'). Batches are read ahead only while a transaction is open, and only as far as
its marker. Whatever could hide an earlier marker makes the answer `unknown`: offsets that damage or something else
than the log cleaner has removed, a marker batch that cleaning has emptied. The cleaner keeps a marker as long as
there are records of its transaction.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from offdecode.log.batches import Frames
from offdecode.log.holes import Cleaning, Reached, pass_over
from offdecode.log.records import iter_records
from offdecode.model import LARGEST_INT64, Mask, Vector, distinct

ABORT, COMMIT = 0, 1  # control record types that end a transaction
_EMPTY = -1  # a control batch without records: was a marker once, says nothing now
_NOT_CONTROL = -2
_UNDECIDED = -3
_MOST_VERDICTS = 1 << 16  # that are kept without looking which are out of date
_AHEAD_CHUNKS = 4  # chunks that are kept while reading ahead; beyond them only what was found is kept


class Status(IntEnum):
    """Status of a batch; the values above NONE index the contract's names."""

    NONE = -1
    COMMITTED = 0
    ABORTED = 1
    OPEN = 2
    UNKNOWN = 3


_BY_KIND = {ABORT: Status.ABORTED, COMMIT: Status.COMMITTED, _EMPTY: Status.UNKNOWN, _UNDECIDED: Status.OPEN}


@dataclass(frozen=True, slots=True)
class Place:
    """Where reading goes on: a segment of the log, by index, and a byte of it."""

    segment: int
    position: int


FramesFrom = Callable[[Place], Iterator[tuple[Place, Frames]]]


@dataclass(frozen=True, slots=True)
class _Chunk:
    """A chunk's frames, numbered on from `first`, and what in them decides transactions. Vectors ascend.

    breaks: batches before which bytes are lost, or whose offsets jump back. hole: those after other holes;
    hole_end: the offset of each. reached: what the frames come to.
    """

    frames: Frames
    after: Place
    first: int
    marker: Vector
    marker_producer: Vector
    marker_kind: Vector
    breaks: Vector
    hole: Vector
    hole_end: Vector
    reached: Reached

    @property
    def end(self) -> int:
        return self.first + len(self.frames)


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What follows a producer's open batches: the next marker, and what was passed on the way to it."""

    number: int
    kind: int
    last_break: int
    last_hole: int
    last_hole_end: int


class TransactionResolver:
    """Gives the frames of one log in order, each chunk with the status of its batches.

    frames_from(place) yields the log's chunks from there on, each with the place behind it. cleaning: tells which
    holes the log cleaner has made; what the frames show of it is added, of those that are read ahead too.
    """

    def __init__(self, frames_from: FramesFrom, cleaning: Cleaning) -> None:
        self._frames_from = frames_from
        self._cleaning = cleaning
        self._stream = self._chunks(Place(0, 0), 0, Reached())
        self._ahead: deque[_Chunk] = deque()
        self._current: _Chunk
        self._ended = False
        self._verdicts: dict[int, _Verdict] = {}
        self._last_marker: dict[int, int] | None = None
        self._end_verdict = _Verdict(-1, _UNDECIDED, -1, -1, -1)
        self._all_signs_known = False

    def __iter__(self) -> Iterator[tuple[Frames, Vector]]:
        while True:
            if not self._ahead and self._read_ahead() is None:
                return
            chunk = self._current = self._ahead.popleft()
            yield chunk.frames, self._resolve(chunk)

    def _read_ahead(self) -> _Chunk | None:
        chunk = next(self._stream, None)
        if chunk is None:
            self._ended = True
            return None
        self._ahead.append(chunk)
        return chunk

    def _chunks(self, place: Place, first: int, reached: Reached) -> Iterator[_Chunk]:
        for after, frames in self._frames_from(place):
            chunk = self._summarize(frames, after, first, reached)
            yield chunk
            first, reached = chunk.end, chunk.reached

    def _summarize(self, frames: Frames, after: Place, first: int, reached: Reached) -> _Chunk:
        types = control_types(frames)
        marker = np.flatnonzero((types == ABORT) | (types == COMMIT) | (types == _EMPTY))
        passage = pass_over(frames, reached)
        self._cleaning.add(passage)
        back = np.flatnonzero(passage.base <= passage.before[:-1])  # a copy: what follows may be others' markers
        holes = passage.hole[~passage.broken]
        breaks = np.concatenate((passage.hole[passage.broken], back))
        return _Chunk(
            frames=frames,
            after=after,
            first=first,
            marker=first + marker,
            marker_producer=frames.producer_id[marker],
            marker_kind=types[marker],
            breaks=first + distinct(passage.valid[breaks]),
            hole=first + passage.valid[holes],
            hole_end=passage.base[holes],
            reached=passage.after,
        )

    def _resolve(self, chunk: _Chunk) -> Vector:
        frames = chunk.frames
        status = np.full(len(frames), Status.NONE, np.int64)
        data = np.flatnonzero(frames.transactional & ~frames.control)
        if not data.size:
            return status
        number, producer = chunk.first + data, frames.producer_id[data]
        marker, kind = _next_markers(number, producer, chunk)
        found = marker >= 0
        last_break = np.where(found, _latest(chunk.breaks, marker), _latest(chunk.breaks, np.int64(chunk.end)))
        hole = np.where(found, _latest(chunk.hole, marker), _latest(chunk.hole, np.int64(chunk.end)))
        where = np.searchsorted(chunk.hole, hole)
        offset = np.append(chunk.hole_end, -1)[np.where(hole >= 0, where, len(chunk.hole))]
        for one, verdict in self._look_ahead(chunk, distinct(producer[~found])):
            mine = ~found & (producer == one)
            kind[mine] = verdict.kind
            last_break[mine] = np.maximum(last_break[mine], verdict.last_break)
            if verdict.last_hole >= 0:
                hole[mine], offset[mine] = verdict.last_hole, verdict.last_hole_end
        result = np.full(len(data), Status.UNKNOWN, np.int64)
        for kind_number, meaning in _BY_KIND.items():
            result[kind == kind_number] = meaning
        lost = (last_break > number) | ((hole > number) & self._missing(hole, offset))
        lost |= ~frames.crc_valid[data]
        status[data] = np.where(lost, Status.UNKNOWN, result)
        return status

    def _missing(self, hole: Vector, end: Vector) -> Mask:
        """Which holes are lost evidence rather than the cleaner's work. end: the offset after each."""
        latest = int(end[hole >= 0].max(initial=-1))
        if latest > self._cleaning.border and not self._all_signs_known:
            self._all_signs_known = not any(latest <= self._cleaning.border for _ in self._beyond())
        return np.asarray(end > self._cleaning.border)

    def _beyond(self) -> Iterator[_Chunk]:
        """The chunks behind those that are kept. Reads them without keeping them."""
        if self._ended:
            return
        last = self._ahead[-1] if self._ahead else self._current
        yield from self._chunks(last.after, last.end, last.reached)

    def _look_ahead(  # noqa: C901 - what is known, what is ahead, what is beyond: in this order
        self, chunk: _Chunk, producers: Vector
    ) -> Iterator[tuple[int, _Verdict]]:
        """For each producer the next marker behind the chunk, or that there is none."""
        wanted: set[int] = set()
        for producer in producers.tolist():
            verdict = self._verdicts.get(producer)
            if verdict is not None and verdict.number >= chunk.end:
                yield producer, verdict
            elif self._last_marker is not None and self._last_marker.get(producer, -1) < chunk.end:
                yield producer, self._end_verdict
            else:
                wanted.add(producer)
        if not wanted:
            return
        if len(self._verdicts) > _MOST_VERDICTS:
            self._verdicts = {one: found for one, found in self._verdicts.items() if found.number >= chunk.end}
        search = _Search(wanted)
        reached = chunk.reached
        for ahead in self._kept_then_beyond():
            for producer, verdict in search.add(ahead):
                self._verdicts[producer] = verdict  # the others' too: they need not be looked for again
                if producer in wanted:
                    yield producer, verdict
            if not search.wanted:
                return
            reached = ahead.reached
        if reached.broken:
            search.bytes_lost()
        self._last_marker = search.last_marker
        self._end_verdict = search.verdict(-1, _UNDECIDED)
        for producer in search.wanted:
            yield producer, self._end_verdict

    def _kept_then_beyond(self) -> Iterator[_Chunk]:
        yield from self._ahead
        while len(self._ahead) < _AHEAD_CHUNKS:
            ahead = self._read_ahead()
            if ahead is None:
                return
            yield ahead
        yield from self._beyond()


class _Search:
    """Goes over chunks for the next marker of each producer, until all that are wanted have one.

    Keeps the last marker of every one.
    """

    def __init__(self, wanted: set[int]) -> None:
        self.wanted = set(wanted)
        self.last_marker: dict[int, int] = {}
        self._break = self._hole = self._hole_end = -1

    def bytes_lost(self) -> None:
        """Bytes are lost where the log ends."""
        self._break = LARGEST_INT64

    def verdict(self, number: int, kind: int) -> _Verdict:
        return _Verdict(number, kind, self._break, self._hole, self._hole_end)

    def add(self, chunk: _Chunk) -> Iterator[tuple[int, _Verdict]]:
        for number, producer, kind in zip(
            chunk.marker.tolist(), chunk.marker_producer.tolist(), chunk.marker_kind.tolist(), strict=True
        ):
            if producer not in self.last_marker:
                self.wanted.discard(producer)
                self._pass(chunk, number)
                yield producer, self.verdict(number, kind)
            self.last_marker[producer] = number
        self._pass(chunk, chunk.end)

    def _pass(self, chunk: _Chunk, number: int) -> None:
        passed = int(np.searchsorted(chunk.breaks, number, side="right"))
        if passed:
            self._break = max(self._break, int(chunk.breaks[passed - 1]))
        passed = int(np.searchsorted(chunk.hole, number, side="right"))
        if passed:
            self._hole, self._hole_end = int(chunk.hole[passed - 1]), int(chunk.hole_end[passed - 1])


def undecided(frames: Frames) -> Vector:
    """The status of batches where nobody looks for what decides them."""
    return np.where(frames.transactional & ~frames.control, Status.UNKNOWN, Status.NONE).astype(np.int64)


def control_types(frames: Frames) -> Vector:
    """The control record type of each control batch, _EMPTY where it has no record."""
    types = np.full(len(frames), _NOT_CONTROL, np.int64)
    control = frames.control & frames.crc_valid
    types[control] = _EMPTY
    if control.any():
        for records in iter_records(frames, control):
            at = records.key_position
            readable = records.key_length >= 4
            low = records.buffer[np.minimum(at + 2, len(records.buffer) - 1)].astype(np.int64) << 8
            low |= records.buffer[np.minimum(at + 3, len(records.buffer) - 1)]
            types[records.frame[readable]] = low[readable]
    return types


def _latest(ascending: Vector, number: Vector | np.int64) -> Vector:
    """The last entry of `ascending` that is not above each number; -1 where there is none."""
    where = np.searchsorted(ascending, number, side="right")
    return np.concatenate((np.array([-1], np.int64), ascending))[where]


def _next_markers(number: Vector, producer: Vector, chunk: _Chunk) -> tuple[Vector, Vector]:
    """For each batch the number and kind of its producer's next marker within the chunk; -1 where none."""
    numbers = np.concatenate((number, chunk.marker))
    producers = np.concatenate((producer, chunk.marker_producer))
    order = np.lexsort((numbers, producers))
    is_marker = order >= len(number)
    # The next marker at or behind each place of the sorted order, then the check that it is the same producer's.
    place = np.where(is_marker, np.arange(len(order)), len(order))
    following = np.minimum.accumulate(place[::-1])[::-1]
    known = following < len(order)
    target = order[np.minimum(following, len(order) - 1)]
    known &= producers[target] == producers[order]
    index = np.where(known, target - len(number), -1)
    found = np.full(len(order), -1, np.int64)
    found[order] = index
    found = found[: len(number)]
    ok = found >= 0
    marker = np.where(ok, np.append(chunk.marker, -1)[found], -1)
    kind = np.where(ok, np.append(chunk.marker_kind, _EMPTY)[found], _UNDECIDED)
    return marker, kind
