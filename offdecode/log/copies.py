"""Copies of one partition's log to one log: each record once, in the order of offsets.

Batches of the same bytes become one. A cleaned batch keeps its range of offsets: what other copies still hold of it
is put in between (records_once). Where copies hold different records at one offset, the log has forked: the copy
that has the highest leader epoch, by its last batch or its broker's note of epochs, has the history that stood, for
a leader that is behind truncates nobody; batches of an epoch that its own batches before and after exclude, or such
notes, are of a lost branch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from offdecode.log.batches import Frames, Origin
from offdecode.log.copy_batches import Batches, Parts, contradictions, names_of, representatives, some_of
from offdecode.log.copy_readings import Copy, CopyPlace, Reading, Taken, window_of
from offdecode.log.lineage import Lineage
from offdecode.log.transactions import Place
from offdecode.model import LARGEST_INT64, Mask, Problem, Vector


@dataclass(frozen=True, slots=True)
class _MergedPlace(Place):
    """Where reading of all copies goes on. last: the greatest offset before; epoch: of the preferred copy there."""

    copies: tuple[CopyPlace, ...]
    last: int
    epoch: int


def merged_from(
    copies: Sequence[Copy], preferred: int, lineage: Lineage, place: Place
) -> Iterator[tuple[Place, Frames]]:
    """The frames of all copies as those of one log from a place on, with the place behind each.

    preferred: the index of the copy whose history stood; lineage: what is noted of that one.
    """
    start = place if isinstance(place, _MergedPlace) else _MergedPlace(0, 0, (CopyPlace(),) * len(copies), -1, -1)
    readings = [Reading(copy, one) for copy, one in zip(copies, start.copies, strict=True)]
    merge = _Merge(copies, preferred, lineage, start)
    while True:
        for reading in readings:
            if not reading.pieces and not reading.ended:
                reading.load()
        taken = window_of(readings)
        if not taken and any(not reading.ended for reading in readings):
            limit = min(reading.limit for reading in readings)
            for reading in readings:
                if reading.limit == limit and not reading.ended:
                    reading.load()
            if not any(reading.problems for reading in readings):
                continue
        readings[preferred].load_behind()
        ended = not taken and all(reading.ended and not reading.pieces for reading in readings)
        frames = merge.window(taken, readings, ended=ended)
        if frames is not None:
            yield merge.place(readings), frames
        if ended:
            return


class _Merge:
    """Windows of batches of all copies to frames."""

    def __init__(self, copies: Sequence[Copy], preferred: int, lineage: Lineage, start: _MergedPlace) -> None:
        self._copies = copies
        self._preferred = preferred
        self._lineage = lineage
        self._epoch = start.epoch  # of the preferred copy's last batch so far
        self._last = start.last

    def place(self, readings: Sequence[Reading]) -> _MergedPlace:
        """Where reading goes on behind the last window."""
        return _MergedPlace(0, 0, tuple(reading.resume for reading in readings), self._last, self._epoch)

    def window(
        self, taken: list[Taken], readings: Sequence[Reading], *, ended: bool
    ) -> Frames | None:  # fmt: skip
        """The frames of a window; None where there is nothing in it."""
        problems = [problem for reading in readings for problem in reading.problems]
        size = sum(reading.size for reading in readings)
        for reading in readings:
            reading.problems, reading.size = [], 0
        if not taken:
            broken = ended and any(low == self._last + 1 for reading in readings for low, _ in reading.lost)
            return self._empty(readings, problems, size, broken) if problems or size or broken else None
        every = Batches(taken)
        stands = self._stands(every, readings[self._preferred])
        parts = Parts(every, self._preferred, np.flatnonzero(stands))
        lost = np.concatenate((np.flatnonzero(~stands), parts.give_up_lower_epochs()))
        whole = parts.frames(self._copies, size)
        contrary, counts = contradictions(whole, self._preferred)
        if contrary.any():
            lost = np.concatenate((lost, parts.without(contrary)))
            whole = parts.frames(self._copies, size)
            counts = contradictions(whole, self._preferred)[1]
        for at in np.unique(every.copy[lost]).tolist():
            readings[at].forked = min(readings[at].forked, int(every.base[lost[every.copy[lost] == at]].min()))
        if whole.origin is not None:
            whole = replace(whole, origin=replace(whole.origin, going_on=_going_on(whole, readings)))
        frames = representatives(whole, counts)
        if len(lost):
            lost.sort()
            branch = Parts(every, self._preferred, lost, apart=True).frames(self._copies, 0, lost=True)
            frames = replace(frames, lost=branch)
            problems += _fork_problems(branch, whole, self._lineage)
        breaks = self._breaks(frames, readings)
        good = frames.crc_valid
        self._last = max(self._last, int(frames.last_offset[good].max(initial=-1)))
        for reading in readings:
            reading.lost = [one for one in reading.lost if one[1] > self._last or one[0] == self._last + 1]
            reading.unexplained = [one for one in reading.unexplained if one[1] > self._last]
        return replace(frames, problems=tuple(problems), breaks=breaks)

    def _empty(self, readings: Sequence[Reading], problems: list[Problem], size: int, broken: bool) -> Frames:
        """No batches. broken: bytes are lost behind the last one."""
        template = next(reading.template for reading in readings if reading.template is not None)
        none = some_of(template, np.empty(0, np.int64))
        names, brokers = names_of(self._copies)
        none_of_them = np.empty(0, np.int64)
        held_in = np.empty((0, len(names)), np.int32)
        origin = Origin(names, (), *(none_of_them,) * 4, size, brokers, held_in, none_of_them)
        return replace(none, problems=tuple(problems), breaks=(0,) if broken else (), origin=origin)

    def _stands(self, every: Batches, preferred: Reading) -> Mask:
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
        excluded = ((every.epoch < low) | (every.epoch > high)) & (every.epoch >= 0) & (high >= 0)
        noted = self._lineage.excludes(every.base, every.last, every.epoch)
        own_there, other_epoch = _beside_own(every, own)
        stands: Mask = ~(np.where(own_there, other_epoch, excluded | noted) & every.straight)
        return stands

    def _breaks(self, frames: Frames, readings: Sequence[Reading]) -> tuple[int, ...]:
        """Before which batches offsets are missing where a copy has lost bytes."""
        ranges = [one for reading in readings for one in reading.lost]
        if not ranges:
            return ()
        good = np.flatnonzero(frames.crc_valid)
        before = np.maximum.accumulate(np.concatenate(([self._last], frames.last_offset[good])))[:-1]
        hole = np.flatnonzero(frames.base_offset[good] > before + 1)
        lost = _reached(ranges, before[hole] + 1, frames.base_offset[good[hole]] - 1)
        return tuple(good[hole[lost]].tolist())


def _beside_own(every: Batches, own: Vector) -> tuple[Mask, Mask]:
    """Which batches have offsets in common with these of one copy, and which of those are of another epoch."""
    first = np.searchsorted(every.last[own], every.base, side="left")
    final = np.searchsorted(every.base[own], every.last, side="right") - 1
    there = first <= final
    if not len(own):
        return there, there
    epoch = every.epoch[own]
    at = np.minimum(first, len(own) - 1)
    differs = (epoch[at] != every.epoch) | (epoch[np.maximum(final, 0)] != every.epoch)
    return there, there & differs & (every.epoch >= 0) & (epoch[at] >= 0)


def _reached(ranges: list[tuple[int, int]], first: Vector, last: Vector) -> Mask:
    """Into which ranges of offsets, from `first` to `last` of each, one of these reaches."""
    if not ranges:
        return np.zeros(len(first), np.bool_)
    lows, highs = np.array(sorted(ranges), np.int64).T
    highest = np.maximum.accumulate(np.maximum(lows, highs))
    before = np.searchsorted(lows, last, side="right") - 1
    found: Mask = (before >= 0) & (highest[before] >= first)
    return found


def _going_on(frames: Frames, readings: Sequence[Reading]) -> Vector:
    """A bit for each copy that goes from before to behind each batch, and has lost no bytes there."""
    base, last = frames.base_offset, frames.last_offset
    found = np.zeros(len(frames), np.int64)
    for bit, reading in enumerate(readings):
        here = (last < min(reading.copy.end, reading.forked)) & frames.crc_valid
        if reading.start is not None:
            here &= base >= reading.start
        here &= ~_reached([*reading.lost, *reading.unexplained], base, last)
        found |= here.astype(np.int64) << bit
    return found


def _fork_problems(branch: Frames, stood: Frames, lineage: Lineage) -> Iterator[Problem]:
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
        noted = lineage.at(high)
        if not len(here) and noted is not None and noted[0] > int(epoch[first]):
            other = f"the broker of the log that stood has noted that leader epoch {noted[0]} began at {noted[1]}"
        if len(here) and int(here.max()) == int(epoch[first]):
            other = "of the same leader epoch: nothing tells which stood, and the copy that goes on further is taken"
        message = (
            f"offsets {low} to {high} of leader epoch {int(epoch[first])} are a branch that did not stand ({other}); "
            "their rows say lost_branch, and no question counts them"
        )
        yield branch.problem(first, "forked_log", message)
