"""Batches of several copies in one order, those of the same bytes once; and which of them contradict each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from offdecode.log.batches import Frames, Origin
from offdecode.log.copy_readings import Copy, Taken
from offdecode.log.records import iter_records
from offdecode.log.repeats import checksums
from offdecode.model import PADDING, Chunk, Mask, Vector

_VECTORS = (
    "position", "end", "base_offset", "last_offset", "leader_epoch", "magic", "attributes", "base_timestamp",
    "max_timestamp", "producer_id", "producer_epoch", "base_sequence", "count", "crc_valid",
)  # fmt: skip


class Batches:
    """The batches of a window, of all copies, as vectors. key: what they are put in order by."""

    def __init__(self, taken: list[Taken]) -> None:
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


class Parts:
    """Batches of a window that are kept, in order, each once, and which copies hold it."""

    def __init__(self, every: Batches, preferred: int, chosen: Vector, *, apart: bool = False) -> None:
        self._every = every
        self._preferred = preferred
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
        """Take out the batches that one of a higher leader epoch overlaps, but for the preferred copy's; which."""
        epoch = self._every.epoch[self.chosen]
        if not len(epoch):
            return self.chosen
        highest = np.full(int(self.component[-1]) + 1, -1, np.int64)
        np.maximum.at(highest, self.component, epoch)
        return self.without((epoch < highest[self.component]) & (self.copies >> self._preferred & 1 == 0))

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
        directories, brokers = names_of(copies)
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


def names_of(copies: Sequence[Copy]) -> tuple[tuple[str, ...], tuple[int | None, ...]]:
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


def some_of(frames: Frames, index: Vector) -> Frames:
    """Some of the batches, without problems."""
    columns = {name: getattr(frames, name)[index] for name in _VECTORS}
    origin = frames.origin
    if origin is not None:
        own = {
            name: getattr(origin, name)[index] for name in ("segment", "position", "copies", "component", "going_on")
        }
        origin = replace(origin, **own)
    return replace(frames, **columns, origin=origin, problems=(), breaks=())


def contradictions(frames: Frames, preferred: int) -> tuple[Mask, dict[int, int]]:
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


def representatives(whole: Frames, counts: dict[int, int]) -> Frames:
    """One batch of each component: that with the most records, saying how many all of them hold."""
    origin = whole.origin
    if origin is None or not origin.mixed:
        return whole
    component = origin.component
    first = np.flatnonzero(np.concatenate(([True], component[1:] != component[:-1])))
    order = np.lexsort((-whole.count, component))
    frames = some_of(whole, order[first])
    count = frames.count.copy()
    for owner, records in counts.items():
        count[owner] = max(int(count[owner]), records)
    return replace(
        frames, whole=whole, count=count,
        base_offset=np.minimum.reduceat(whole.base_offset, first),
        last_offset=np.maximum.reduceat(whole.last_offset, first),
    )  # fmt: skip
