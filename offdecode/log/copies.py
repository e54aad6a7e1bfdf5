"""Copies of one partition's log to one log: each record once, in the order of offsets.

Batches of the same bytes become one. A cleaned batch keeps its range of offsets: what other copies still hold of it
is put in between (iter_records_once). Where copies hold different records at one offset, the log has forked: the copy
whose last batch has the highest leader epoch has the history that stood, for a leader that is behind truncates
nobody; batches of an epoch that its own batches before and after exclude are of a lost branch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from offdecode.log.batches import Frames, Origin
from offdecode.log.holes import in_place
from offdecode.log.records import BY_RECORD, Records, iter_records
from offdecode.log.repeats import checksums
from offdecode.log.transactions import FramesFrom, Place
from offdecode.model import LARGEST_INT64, PADDING, Chunk, Mask, Problem, Vector

_VECTORS = (
    "position", "end", "base_offset", "last_offset", "leader_epoch", "magic", "attributes", "base_timestamp",
    "max_timestamp", "producer_id", "producer_epoch", "base_sequence", "count", "crc_valid",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Copy:
    """One copy of a log. directory: where it lies; broker: whose it is, start: its first offset; None = not known."""

    directory: str
    frames_from: FramesFrom
    broker: int | None = None
    start: int | None = None


@dataclass(frozen=True, slots=True)
class _CopyPlace:
    """Where reading of a copy goes on: a place, batches to pass over there, the greatest offset before it."""

    place: Place = Place(0, 0)  # noqa: RUF009 - frozen
    used: int = 0
    reached: int = -1


@dataclass(frozen=True, slots=True)
class _MergedPlace(Place):
    """Where reading of all copies goes on. last: the greatest offset before; epoch: of the preferred copy there."""

    copies: tuple[_CopyPlace, ...]
    last: int
    epoch: int


@dataclass(slots=True)
class _Piece:
    """A chunk of a copy that is not used up. straight: batches whose offsets are above all before them in the copy.

    reached: the greatest offset up to each batch. start: where it was read from.
    """

    frames: Frames
    start: _CopyPlace
    straight: Mask
    reached: Vector
    used: int = 0


class _Reading:
    """How far a copy has been read, and what of it is not used yet."""

    def __init__(self, copy: Copy, start: _CopyPlace) -> None:
        self.pieces: deque[_Piece] = deque()
        self.ended = False
        self.template: Frames | None = None
        self._place = start.place
        self._stream = copy.frames_from(start.place)
        self.loaded = start.reached
        self.start = copy.start
        self.forked = LARGEST_INT64  # the first offset of its own branch, if that did not stand
        self._skip = start.used
        self._broken = False
        self.lost: list[tuple[int, int]] = []  # ranges of offsets at which bytes were lost
        self.problems: list[Problem] = []
        self.size = 0

    def load(self) -> None:
        """Read the next chunk; a copy whose bytes were lost at its end has lost the offset behind it."""
        found = next(self._stream, None)
        if found is None:
            self.ended = True
            if self._broken:
                self.lost.append((self.loaded + 1, self.loaded + 1))
            return
        after, frames = found
        good = in_place(frames, np.flatnonzero(frames.crc_valid))
        if self.start is None and len(good):
            self.start = int(frames.base_offset[good[0]])
        straight = np.zeros(len(frames), np.bool_)
        lasts = np.full(len(frames), -1, np.int64)
        lasts[good] = frames.last_offset[good]
        reached = np.maximum.accumulate(np.concatenate(([self.loaded], lasts)))
        straight[good] = frames.base_offset[good] > reached[:-1][good]
        self._note_lost(frames, straight, reached)
        piece = _Piece(frames, _CopyPlace(self._place, 0, self.loaded), straight, reached[1:], self._skip)
        if not piece.used:
            self.problems += frames.problems
            self.size += frames.size
        self._skip = 0
        self.pieces.append(piece)
        self.template = frames
        self._place = after
        self.loaded = int(reached[-1])

    def _note_lost(self, frames: Frames, straight: Mask, reached: Vector) -> None:
        places = [0, *frames.breaks] if self._broken else list(frames.breaks)
        self._broken = False
        for at in places:
            following = np.flatnonzero(straight[at:])
            if len(following):
                index = at + int(following[0])
                self.lost.append((int(reached[index]) + 1, int(frames.base_offset[index]) - 1))
            else:
                self._broken = True

    @property
    def limit(self) -> int:
        """The offset up to which everything of this copy is loaded."""
        return LARGEST_INT64 if self.ended else self.loaded

    def next_epoch(self) -> int | None:
        """The leader epoch of the first batch that is not used; None where none is loaded."""
        for piece in self.pieces:
            rest = np.flatnonzero(piece.straight[piece.used :])
            if len(rest):
                return int(piece.frames.leader_epoch[piece.used + int(rest[0])])
        return None

    def across(self, bound: int) -> int:
        """The bound, lowered so that no batch lies across it."""
        for piece in self.pieces:
            frames = piece.frames
            split = piece.straight & (frames.base_offset <= bound) & (frames.last_offset > bound)
            if split.any():
                return int(frames.base_offset[split].min()) - 1
        return bound

    def take(self, bound: int) -> Iterator[tuple[_Piece, Vector]]:
        """What is loaded up to an offset and not used yet: indices of batches of a piece."""
        while self.pieces:
            piece = self.pieces[0]
            until = max(int(np.searchsorted(piece.reached, bound, side="right")), piece.used)
            if until > piece.used:
                yield piece, np.arange(piece.used, until)
                piece.used = until
            if until < len(piece.frames):
                return
            self.pieces.popleft()

    @property
    def resume(self) -> _CopyPlace:
        if self.pieces:
            return replace(self.pieces[0].start, used=self.pieces[0].used)
        return _CopyPlace(self._place, 0, self.loaded)


class _Taken(NamedTuple):
    """Batches of a copy for a window: their indices in the piece."""

    copy: int
    piece: _Piece
    which: Vector


def merged_from(copies: Sequence[Copy], preferred: int, place: Place) -> Iterator[tuple[Place, Frames]]:
    """The frames of all copies as those of one log from a place on, with the place behind each.

    preferred: the index of the copy whose history stood.
    """
    start = place if isinstance(place, _MergedPlace) else _MergedPlace(0, 0, (_CopyPlace(),) * len(copies), -1, -1)
    readings = [_Reading(copy, one) for copy, one in zip(copies, start.copies, strict=True)]
    merge = _Merge(copies, preferred, start)
    while True:
        for reading in readings:
            if not reading.pieces and not reading.ended:
                reading.load()
        taken = _window(readings)
        if not taken and any(not reading.ended for reading in readings):
            limit = min(reading.limit for reading in readings)
            for reading in readings:
                if reading.limit == limit and not reading.ended:
                    reading.load()
            if not any(reading.problems for reading in readings):
                continue
        ended = not taken and all(reading.ended and not reading.pieces for reading in readings)
        frames = merge.window(taken, readings, ended=ended)
        if frames is not None:
            yield merge.place(readings), frames
        if ended:
            return


def _window(readings: Sequence[_Reading]) -> list[_Taken]:
    """What can be merged: everything up to an offset that all copies are loaded to, and that no batch lies across."""
    bound = min(reading.limit for reading in readings)
    while True:
        lower = min(reading.across(bound) for reading in readings)
        if lower == bound:
            break
        bound = lower
    return [_Taken(index, *one) for index, reading in enumerate(readings) for one in reading.take(bound)]


class _Merge:
    """Windows of batches of all copies to frames."""

    def __init__(self, copies: Sequence[Copy], preferred: int, start: _MergedPlace) -> None:
        self._copies = copies
        self._preferred = preferred
        self._epoch = start.epoch  # of the preferred copy's last batch so far
        self._last = start.last

    def place(self, readings: Sequence[_Reading]) -> _MergedPlace:
        """Where reading goes on behind the last window."""
        return _MergedPlace(0, 0, tuple(reading.resume for reading in readings), self._last, self._epoch)

    def window(
        self, taken: list[_Taken], readings: Sequence[_Reading], *, ended: bool
    ) -> Frames | None:  # fmt: skip
        """The frames of a window; None where there is nothing in it."""
        problems = [problem for reading in readings for problem in reading.problems]
        size = sum(reading.size for reading in readings)
        for reading in readings:
            reading.problems, reading.size = [], 0
        if not taken:
            broken = ended and any(low == self._last + 1 for reading in readings for low, _ in reading.lost)
            return self._empty(readings, problems, size, broken) if problems or size or broken else None
        every = _Batches(taken)
        stands = self._stands(every, readings[self._preferred])
        parts = _Parts(every, self._preferred, np.flatnonzero(stands))
        lost = np.concatenate((np.flatnonzero(~stands), parts.give_up_lower_epochs()))
        whole = parts.frames(self._copies, size)
        contrary, counts = _compare(whole, self._preferred)
        if contrary.any():
            lost = np.concatenate((lost, parts.without(contrary)))
            whole = parts.frames(self._copies, size)
            counts = _compare(whole, self._preferred)[1]
        for at in np.unique(every.copy[lost]).tolist():
            readings[at].forked = min(readings[at].forked, int(every.base[lost[every.copy[lost] == at]].min()))
        if whole.origin is not None:
            whole = replace(whole, origin=replace(whole.origin, going_on=_going_on(whole, readings)))
        frames = _representatives(whole, counts)
        if len(lost):
            lost.sort()
            branch = _Parts(every, self._preferred, lost, apart=True).frames(self._copies, 0, lost=True)
            frames = replace(frames, lost=branch)
            problems += _fork_problems(branch, whole)
        breaks = self._breaks(frames, readings)
        good = frames.crc_valid
        self._last = max(self._last, int(frames.last_offset[good].max(initial=-1)))
        for reading in readings:
            reading.lost = [one for one in reading.lost if one[1] > self._last or one[0] == self._last + 1]
        return replace(frames, problems=tuple(problems), breaks=breaks)

    def _empty(self, readings: Sequence[_Reading], problems: list[Problem], size: int, broken: bool) -> Frames:
        """No batches. broken: bytes are lost behind the last one."""
        template = next(reading.template for reading in readings if reading.template is not None)
        none = _take(template, np.empty(0, np.int64))
        names, brokers = _names(self._copies)
        none_of_them = np.empty(0, np.int64)
        held_in = np.empty((0, len(names)), np.int32)
        origin = Origin(names, (), *(none_of_them,) * 4, size, brokers, held_in, none_of_them)
        return replace(none, problems=tuple(problems), breaks=(0,) if broken else (), origin=origin)

    def _stands(self, every: _Batches, preferred: _Reading) -> Mask:
        """Which batches may be of the history that the preferred copy has, by their leader epochs."""
        own = np.flatnonzero((every.copy == self._preferred) & every.straight)
        bases, epochs = every.base[own], every.epoch[own]
        where = np.searchsorted(bases, every.base, side="right")
        following = preferred.next_epoch()
        after = LARGEST_INT64 if following is None else following
        low = np.concatenate(([self._epoch], epochs))[where]
        high = np.concatenate((epochs, [after]))[np.searchsorted(bases, every.base, side="left")]
        if len(epochs):
            self._epoch = int(epochs[-1])
        excluded = (every.epoch < low) | (every.epoch > high)
        stands: Mask = ~(excluded & every.straight & (every.epoch >= 0) & (high >= 0))
        return stands

    def _breaks(self, frames: Frames, readings: Sequence[_Reading]) -> tuple[int, ...]:
        """Before which batches offsets are missing where a copy has lost bytes."""
        ranges = [one for reading in readings for one in reading.lost]
        if not ranges:
            return ()
        good = np.flatnonzero(frames.crc_valid)
        before = np.maximum.accumulate(np.concatenate(([self._last], frames.last_offset[good])))[:-1]
        hole = np.flatnonzero(frames.base_offset[good] > before + 1)
        lost = _reached(ranges, before[hole] + 1, frames.base_offset[good[hole]] - 1)
        return tuple(good[hole[lost]].tolist())


class _Batches:
    """The batches of a window, of all copies, as vectors. key: what they are put in order by."""

    def __init__(self, taken: list[_Taken]) -> None:
        counts = [len(one.which) for one in taken]
        self._taken = taken
        self.pieces = [one.piece.frames for one in taken]
        self.index = np.concatenate([one.which for one in taken])
        self.piece = np.repeat(np.arange(len(taken)), counts)
        self.copy = np.repeat(np.array([one.copy for one in taken], np.int64), counts)
        self.straight = np.concatenate([one.piece.straight[one.which] for one in taken])
        reached = np.concatenate([one.piece.reached[one.which] for one in taken])
        self.base = self.gather("base_offset")
        self.last = np.where(self.straight, self.gather("last_offset"), reached)
        self.epoch = self.gather("leader_epoch")
        self.start, self.end = self.gather("position"), self.gather("end")
        self.checksum = np.concatenate([checksums(one.piece.frames, one.which) for one in taken])
        self.key = np.where(self.straight, self.base, reached)

    def gather(self, name: str) -> Any:
        """A column of Frames."""
        return np.concatenate([getattr(one.piece.frames, name)[one.which] for one in self._taken])

    def bytes(self, which: int) -> memoryview:
        frames: Frames = self.pieces[self.piece[which]]
        return frames.chunk.buffer.data[self.start[which] : self.end[which]]


class _Parts:
    """Batches of a window that are kept, in order, each once, and which copies hold it."""

    def __init__(self, every: _Batches, preferred: int, chosen: Vector, *, apart: bool = False) -> None:
        self._every = every
        rank = np.where(every.copy[chosen] == preferred, -1, every.copy[chosen])
        order = np.lexsort((every.index[chosen], rank, every.last[chosen], ~every.straight[chosen], every.key[chosen]))
        chosen = chosen[order]
        same = self._same(chosen)
        kept = np.flatnonzero(~same)
        self.copies = np.bitwise_or.reduceat(np.left_shift(1, every.copy[chosen]), kept) if len(kept) else kept
        self.chosen = chosen[kept]
        self._apart = apart
        self._holders = chosen  # all of them, those that are equal too
        self._held = np.cumsum(~same) - 1  # which of those kept each is
        self._join()

    def _same(self, chosen: Vector) -> Mask:
        """Which batches are, byte for byte, the one before."""
        every = self._every
        columns = (every.base, every.last, every.epoch, every.checksum, every.end - every.start)
        same = every.straight[chosen].copy()
        same[:1] = False
        for column in columns:
            same[1:] &= column[chosen[1:]] == column[chosen[:-1]]
        for at in np.flatnonzero(same).tolist():
            same[at] = every.bytes(int(chosen[at])) == every.bytes(int(chosen[at - 1]))
        return same

    def _join(self) -> None:
        """Number the batches whose offsets overlap alike; what is not straight is by itself."""
        every, chosen = self._every, self.chosen
        straight = every.straight[chosen]
        reached = np.maximum.accumulate(np.concatenate(([-1], np.where(straight, every.last[chosen], -1))))
        new = ~straight | (every.base[chosen] > reached[:-1])
        new[1:] |= ~straight[:-1]
        if self._apart:
            new[:] = True
        self.component = np.cumsum(new) - 1

    def give_up_lower_epochs(self) -> Vector:
        """Take out the batches that one of a higher leader epoch overlaps; which."""
        epoch = self._every.epoch[self.chosen]
        if not len(epoch):
            return self.chosen
        highest = np.full(int(self.component[-1]) + 1, -1, np.int64)
        np.maximum.at(highest, self.component, epoch)
        return self.without(epoch < highest[self.component])

    def without(self, mask: Mask) -> Vector:
        """Take batches out; which they were."""
        gone = self.chosen[mask]
        if len(gone):
            self.chosen, self.copies = self.chosen[~mask], self.copies[~mask]
            stays = ~mask[self._held]
            self._holders, self._held = self._holders[stays], (np.cumsum(~mask) - 1)[self._held[stays]]
            self._join()
        return gone

    def _held_in(self, copies: int, segment: Vector) -> npt.NDArray[np.int32]:
        """For each component and copy, the segment that holds it. segment: of each chunk."""
        every = self._every
        count = int(self.component[-1]) + 1 if len(self.component) else 0
        found = np.full((count, copies), -1, np.int32)
        found[self.component[self._held], every.copy[self._holders]] = segment[every.piece[self._holders]]
        return found

    def frames(self, copies: Sequence[Copy], size: int, *, lost: bool = False) -> Frames:
        """The batches as frames of one chunk, which is a copy's where all of them are in it one behind the other."""
        every, chosen = self._every, self.chosen
        columns = {name: every.gather(name)[chosen] for name in _VECTORS}
        piece, start, end = every.piece[chosen], every.start[chosen], every.end[chosen]
        chunks = [frames.chunk for frames in every.pieces]
        names = tuple(dict.fromkeys(chunk.segment for chunk in chunks))
        numbers = np.array([names.index(chunk.segment) for chunk in chunks], np.int64)
        base = np.array([chunk.position for chunk in chunks], np.int64)
        directories, brokers = _names(copies)
        origin = Origin(
            directories, names, numbers[piece], base[piece] + start, self.copies, self.component, size, brokers,
            self._held_in(len(copies), numbers), np.zeros(len(chosen), np.int64), lost,
        )  # fmt: skip
        if len(piece) and (piece == piece[0]).all():
            chunk = chunks[piece[0]]
        else:
            chunk = _gathered(chunks, piece, start, end)
            columns["end"] = np.cumsum(end - start)
            columns["position"] = columns["end"] - (end - start)
        return replace(
            every.pieces[0], chunk=chunk, next_position=chunk.position + chunk.size, problems=(), breaks=(),
            origin=origin, **columns,
        )  # fmt: skip


def _names(copies: Sequence[Copy]) -> tuple[tuple[str, ...], tuple[int | None, ...]]:
    """The directories and brokers of copies."""
    return tuple(copy.directory for copy in copies), tuple(copy.broker for copy in copies)


def _gathered(chunks: list[Chunk], piece: Vector, start: Vector, end: Vector) -> Chunk:
    """The bytes of batches one behind the other."""
    new = np.ones(len(piece), np.bool_)
    new[1:] = (piece[1:] != piece[:-1]) | (start[1:] != end[:-1])
    firsts = np.flatnonzero(new)
    lasts = np.append(firsts[1:], len(piece))[: len(firsts)] - 1
    runs = [
        chunks[which].buffer[low:high]
        for which, low, high in zip(piece[firsts].tolist(), start[firsts].tolist(), end[lasts].tolist(), strict=True)
    ]
    buffer = np.concatenate([*runs, np.zeros(PADDING, np.uint8)])
    size = len(buffer) - PADDING
    return Chunk(chunks[0].segment, chunks[0].log_partition, 0, buffer, size, size)


def _take(frames: Frames, index: Vector) -> Frames:
    """Some of the batches, without problems."""
    columns = {name: getattr(frames, name)[index] for name in _VECTORS}
    origin = frames.origin
    if origin is not None:
        own = {
            name: getattr(origin, name)[index] for name in ("segment", "position", "copies", "component", "going_on")
        }
        origin = replace(origin, **own)
    return replace(frames, **columns, origin=origin, problems=(), breaks=())


def _compare(frames: Frames, preferred: int) -> tuple[Mask, dict[int, int]]:
    """Which batches contradict another at an offset; how many records the batches of a component hold.

    Of two that contradict each other it is the one that is not the preferred copy's, else the later one.
    """
    contrary = np.zeros(len(frames), np.bool_)
    origin = frames.origin
    if origin is None or not origin.mixed:
        return contrary, {}
    component = origin.component
    shared = np.zeros(len(frames), np.bool_)
    shared[1:] = component[1:] == component[:-1]
    shared[:-1] |= shared[1:].copy()
    stronger = (origin.copies >> preferred & 1 == 1).tolist()
    known: dict[int, tuple[tuple[Any, ...], int]] = {}  # of one component: what stands at an offset, and in which batch
    counts: dict[int, int] = {}
    current = -1
    for records in iter_records(frames, shared & frames.crc_valid):
        owners = component[records.frame]
        fields = zip(owners.tolist(), records.log_offset.tolist(), records.log_timestamp.tolist(),
                     records.frame.tolist(), strict=True)  # fmt: skip
        for index, (owner, offset, timestamp, frame) in enumerate(fields):
            if owner != current:
                counts[current], current = len(known), owner
                known.clear()
            content = (records.key(index), records.value(index), timestamp)
            other, holder = known.setdefault(offset, (content, frame))
            if other == content:
                continue
            if stronger[frame] and not stronger[holder]:
                known[offset] = (content, frame)
                contrary[holder] = True
            else:
                contrary[frame] = True
    counts[current] = len(known)
    counts.pop(-1, None)
    return contrary, counts


def _reached(ranges: list[tuple[int, int]], first: Vector, last: Vector) -> Mask:
    """Into which ranges of offsets, from `first` to `last` of each, one of these reaches."""
    if not ranges:
        return np.zeros(len(first), np.bool_)
    lows, highs = np.array(sorted(ranges), np.int64).T
    highest = np.maximum.accumulate(np.maximum(lows, highs))
    before = np.searchsorted(lows, last, side="right") - 1
    found: Mask = (before >= 0) & (highest[before] >= first)
    return found


def _going_on(frames: Frames, readings: Sequence[_Reading]) -> Vector:
    """A bit for each copy that goes from before to behind each batch, and has lost no bytes there."""
    base, last = frames.base_offset, frames.last_offset
    found = np.zeros(len(frames), np.int64)
    for bit, reading in enumerate(readings):
        here = (last < min(reading.loaded, reading.forked)) & frames.crc_valid
        if reading.start is not None:
            here &= base >= reading.start
        here &= ~_reached(reading.lost, base, last)
        found |= here.astype(np.int64) << bit
    return found


def _representatives(whole: Frames, counts: dict[int, int]) -> Frames:
    """One batch of each component: that with the most records, saying how many all of them hold."""
    origin = whole.origin
    if origin is None or not origin.mixed:
        return whole
    component = origin.component
    first = np.flatnonzero(np.concatenate(([True], component[1:] != component[:-1])))
    order = np.lexsort((-whole.count, component))
    frames = _take(whole, order[first])
    count = frames.count.copy()
    for owner, records in counts.items():
        count[owner] = max(int(count[owner]), records)
    return replace(
        frames, whole=whole, count=count,
        base_offset=np.minimum.reduceat(whole.base_offset, first),
        last_offset=np.maximum.reduceat(whole.last_offset, first),
    )  # fmt: skip


def _fork_problems(branch: Frames, stood: Frames) -> Iterator[Problem]:
    """A problem for each run of batches of one segment and epoch that are of a lost branch."""
    assert branch.origin is not None
    segment, epoch = branch.origin.segment, branch.leader_epoch
    new = np.ones(len(branch), np.bool_)
    new[1:] = (segment[1:] != segment[:-1]) | (epoch[1:] != epoch[:-1])
    firsts = np.flatnonzero(new)
    for first, after in zip(firsts.tolist(), np.append(firsts[1:], len(branch)).tolist(), strict=True):
        low, high = int(branch.base_offset[first]), int(branch.last_offset[first:after].max())
        here = stood.leader_epoch[(stood.last_offset >= low) & (stood.base_offset <= high) & stood.crc_valid]
        other = f"the leader epoch there is {int(here.max())}" if len(here) else "the log that stood has none there"
        if len(here) and int(here.max()) == int(epoch[first]):
            other = "of the same leader epoch: nothing tells which stood, and the copy that goes on further is taken"
        message = (
            f"offsets {low} to {high} of leader epoch {int(epoch[first])} are a branch that did not stand ({other}); "
            "their rows say lost_branch, and no question counts them"
        )
        yield branch.problem(first, "forked_log", message)


def iter_records_once(frames: Frames, wanted: Mask, holding: Collection[bytes] | None = None) -> Iterator[Records]:
    """As iter_records; what several batches hold comes once and in order. A component's records stay together."""
    origin, parts = frames.origin, iter_records(frames, wanted, holding)
    if origin is None or not origin.mixed:
        yield from parts
        return
    held: Records | None = None
    for part in parts:
        joined = part if held is None else _joined(held, part)
        owner = origin.component[joined.frame]
        settled = int(np.searchsorted(owner, owner[-1])) if len(owner) else 0
        if settled or joined.problems:
            yield _once(joined.slice(0, settled), origin)
        held = joined.slice(settled, len(joined)) if settled else replace(joined, problems=())
    if held is not None:
        yield _once(held, origin)


def _joined(held: Records, part: Records) -> Records:
    """Two parts as one, on one buffer."""
    shift = len(held.buffer)
    columns = {name: np.concatenate((getattr(held, name), getattr(part, name))) for name in BY_RECORD}
    buffer, moved = held.buffer, 0
    if part.buffer is not held.buffer:
        buffer, moved = np.concatenate((held.buffer, part.buffer)), shift
    for name in ("key_position", "value_position"):
        columns[name] = np.concatenate((getattr(held, name), getattr(part, name) + moved))
    headers = {**held.headers, **{len(held) + index: found for index, found in part.headers.items()}}
    return Records(part.frames, buffer, headers=headers, problems=(*held.problems, *part.problems), **columns)


def _once(records: Records, origin: Origin) -> Records:
    owner, copies = origin.component[records.frame], origin.copies[records.frame]
    if not len(owner):
        return replace(records, copies=copies)
    order = np.lexsort((np.arange(len(owner)), records.log_offset, owner))
    owner, offset = owner[order], records.log_offset[order]
    first = np.concatenate(([True], (owner[1:] != owner[:-1]) | (offset[1:] != offset[:-1])))
    firsts = np.flatnonzero(first)
    kept = order[firsts]
    columns = {name: getattr(records, name)[kept] for name in BY_RECORD}
    headers = records.headers and {
        at: records.headers[index] for at, index in enumerate(kept.tolist()) if index in records.headers
    }
    masks = np.bitwise_or.reduceat(copies[order], firsts)
    return replace(records, headers=headers, copies=masks, **columns)
