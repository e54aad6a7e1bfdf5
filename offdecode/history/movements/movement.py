"""Commits to movements: how each one moved the offset of its (group, topic, partition), and what speaks for it.

Everything is done on a chunk's vectors, sorted by key and by the place at which they take effect, and compared with
the neighbour; what a key was left at is carried to the next chunk. So the offsets before and after a movement are
the coordinator's states. Advances and repeats that follow each other are one movement.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from offdecode.growing import make_room
from offdecode.history.movements.commit_columns import COMMITTED, PLAIN, TRANSACTIONS
from offdecode.history.movements.effects import Events
from offdecode.history.movements.owners import NoOwner
from offdecode.history.offsets.rules import Coordinator
from offdecode.history.vectors import Vectors
from offdecode.model import ABSENT, Mask, Vector, bounds, stable_order, take_structs

# A step is a jump where it is so many times the mean of the key's steps before it, of which there are enough.
_JUMP_FACTOR, _JUMP_STEPS, _JUMP_LEAST = 20, 5, 1000
_STEP_LIMIT = 1 << 31  # a longer step counts as this in the mean


class MovementKind(IntEnum):
    """What a movement is. The first three are plain progress, the last three have no effect, so far or for good."""

    FIRST = 0
    ADVANCE = 1
    REPEAT = 2
    REWIND = 3
    JUMP = 4
    TOMBSTONE = 5
    RESET_LIKE = 6
    ABORTED = 7
    PENDING = 8
    OVERTAKEN = 9


def is_progress(kind: Vector) -> Mask:
    """Which movements are plain progress: first, advance, repeat."""
    return np.asarray(kind <= MovementKind.REPEAT)


def leaves_offset(kind: Vector) -> Mask:
    """Which movements took effect and left an offset: all but tombstones and those without effect."""
    return np.asarray((kind < MovementKind.ABORTED) & (kind != MovementKind.TOMBSTONE))


class Confidence(IntEnum):
    """How sure the signals make a kind or a cause."""

    LOW = 0
    MEDIUM = 1
    HIGH = 2


class Signal(IntFlag):
    """What a movement's name rests on."""

    NO_LEADER_EPOCH = 1
    EMPTY_METADATA = 1 << 1
    GROUP_EMPTY = 1 << 2
    GROUP_UNKNOWN = 1 << 3
    PARTITION_UNOWNED = 1 << 4
    MANY_PARTITIONS = 1 << 5
    BACKWARDS = 1 << 6
    AHEAD = 1 << 7
    LARGE_STEP = 1 << 8
    TOPIC_ID_CHANGED = 1 << 9
    TRANSACTION_ABORTED = 1 << 10
    TRANSACTION_OPEN = 1 << 11
    TRANSACTION_UNKNOWN = 1 << 12
    NO_VALUE_BEFORE = 1 << 13
    GROUP_TOMBSTONE = 1 << 14
    WHOLE_GROUP = 1 << 15
    WHOLE_TOPIC = 1 << 16
    OTHER_GROUPS_TOO = 1 << 17
    OTHER_GROUPS_KEEP_TOPIC = 1 << 18
    PARTITION_OWNED = 1 << 19
    PAST_RETENTION = 1 << 20
    PAST_EXPIRE_TIMESTAMP = 1 << 21
    TYPE_CHANGED = 1 << 22
    EARLIER_RECORDS_MISSING = 1 << 23
    LATER_RECORD_IN_FORCE = 1 << 24
    DELETED_BEFORE = 1 << 25
    RETENTION_ASSUMED = 1 << 26
    RETENTION_INFERRED = 1 << 27


MOVEMENT = np.dtype([(name, np.int64) for name in (
    "key", "kind", "cause", "causes", "before", "after", "commits", "log_offset", "log_timestamp", "last_log_offset",
    "last_log_timestamp", "decided_offset", "decided_timestamp", "transaction", "producer", "generation", "owner",
    "signals", "confidence",
)])  # fmt: skip
_SAME = ("kind", "generation", "owner", "signals", "transaction")  # what commits of one movement have in common

_TAKEN = ("log_offset", "log_timestamp", "transaction", "generation", "owner")
_DECIDED = ("decided_offset", "decided_timestamp")
_TIMES = ("commit_timestamp", "expire_timestamp")

# What a key is left at, until something is. topic_id: its number; leftover: 1 = the offset may have outlived its
# deletion; place: where the record in force stands; seen: 1 = it had an offset; steps, distance: how often the offset
# advanced, and how far in all.
_LEFT = {
    "offset": ABSENT, "topic_id": -1, "commit_timestamp": ABSENT, "expire_timestamp": ABSENT, "leftover": 0,
    "place": -1, "seen": 0, "steps": 0, "distance": 0,
}  # fmt: skip

_STARTS = ("before", "log_offset", "log_timestamp")  # of the first commit of a movement

Movements = npt.NDArray[np.void]
Columns = dict[str, Vector]


@dataclass(frozen=True, slots=True)
class Steps:
    """A chunk's events beside what their keys were left at; sorted by key, within it as they take effect.

    index: of the event; group: its number; movement: its movement for itself, a vector for each field; effective:
    whether it moved the offset; previous: the place here of the effective one of its key before it, where that is not
    before its key's `start`; committed, expires: commit and expire timestamp of the offset before it, ABSENT = not
    known; leftover: whether that offset may have outlived its deletion.
    """

    index: Vector
    group: Vector
    movement: Columns
    effective: Mask
    previous: Vector
    start: Vector
    committed: Vector
    expires: Vector
    leftover: Mask


class Held(NamedTuple):
    """Keys with the offsets that they were left at; ABSENT = not known. live: whether they have one.

    topic_id: its number among those of Effects; -1 = none.
    """

    key: Vector
    live: Mask
    offset: Vector
    topic_id: Vector
    committed: Vector
    expires: Vector


class _Ordered(Events):
    """Events in another order. Each vector is put in it when it is asked for."""

    def __init__(self, events: Events, order: Vector) -> None:
        super().__init__()
        self._events = events
        self._order = order

    def __missing__(self, name: str) -> Vector:
        values = self._events[name]
        # Most vectors of a chunk often hold one value, which is the same in any order.
        self[name] = found = values if (values == values[0]).all() else values.take(self._order)
        return found


class Movement:
    """Turns chunks into movements. Keeps, for each key, what it was left at and the movement still going on."""

    def __init__(self, coordinator: Coordinator = Coordinator.NEW) -> None:
        self._old_load = coordinator is Coordinator.OLD_LOAD
        self._left = Vectors(_LEFT)
        self._open = _Open()
        self._any_leftover = False

    def steps(self, events: Events, keys: int) -> Steps:
        """Each event as a movement of its own. keys: how many keys there are by now."""
        self._left.grow(keys)
        written = events
        delayed = bool((written["effect"] != written["place"]).any())
        order = _by_effect(written, delayed=delayed)
        events = _Ordered(written, order)
        key = events["key"]
        starts = np.flatnonzero(np.concatenate(([True], key[1:] != key[:-1])))
        start = np.repeat(starts, np.diff(np.append(starts, len(key))))
        effective = self._effective(events, start) if delayed else events["may"] == 1
        # The effective commit before each one, in its key.
        latest = np.maximum.accumulate(np.where(effective, np.arange(len(key)), -1))
        previous = np.concatenate(([-1], latest[:-1]))
        outside = np.flatnonzero(previous < start)

        def before(values: Vector, name: str) -> Vector:
            found = values[previous]
            found[outside] = self._left.of(name, key[outside])
            return found

        offset, topic_id = events["offset"], events["topic_id"]
        movement = {
            "key": key,
            "cause": np.full(len(key), -1, np.int64),
            "causes": np.zeros(len(key), np.int64),
            "before": before(offset, "offset"),
            "after": offset,
            **{name: events[name] for name in _TAKEN},
            **{name: (events if delayed else written)[name] for name in _DECIDED},
            # Where there is none, their order is nothing.
            "producer": (events if (written["producer"] >= 0).any() else written)["producer"],
        }
        self._name(movement, events, effective, start)
        known = (movement["before"] != ABSENT) & (movement["after"] != ABSENT)
        had_id = before(topic_id, "topic_id")
        changed = known & (topic_id >= 0) & (had_id >= 0) & (topic_id != had_id)
        movement["signals"][changed] |= int(Signal.TOPIC_ID_CHANGED)
        committed, expires = (before(events[name], name) for name in _TIMES)
        self._any_leftover |= bool(written["leftover"].any())
        leftover = np.zeros(len(key), np.bool_)
        if self._any_leftover:
            leftover = before(events["leftover"], "leftover") == 1
        found = Steps(
            order, events["group"], movement, effective, previous, start, committed, expires, leftover
        )  # fmt: skip
        ends = np.append(starts[1:], len(key)) - 1
        last = latest[ends]
        moved = last >= starts
        mine, at = key[ends[moved]], order[last[moved]]
        for name in ("offset", "topic_id", "place", "leftover", *_TIMES):
            self._left.put(name, mine, written[name][at])
        if self._old_load:
            self._left.put("place", mine[written["tombstone"][at] == 1], -1)
        self._left.put("seen", mine, 1)
        return found

    def held(self) -> Held:
        """What every key that ever had an offset was left at."""
        key = np.flatnonzero(self._left["seen"] == 1)
        offset, *others = (self._left.of(name, key) for name in ("offset", "topic_id", *_TIMES))
        return Held(key, offset != ABSENT, offset, *others)

    def _effective(self, events: Events, start: Vector) -> Mask:
        """Which events take effect: those that may, unless a record that stands after theirs is in force already.

        A tombstone is in force like an offset; but to the old coordinator that loads the log it is nothing.
        """
        may, place = events["may"] == 1, events["place"]
        part = start.copy()
        if self._old_load:
            nothing = np.concatenate(([False], (may & (events["tombstone"] == 1))[:-1]))
            part = np.maximum.accumulate(np.where(nothing, np.arange(len(place)), start))
        span = int(place.max()) + 2
        number = np.cumsum(np.concatenate(([False], part[1:] != part[:-1])))
        latest = np.maximum.accumulate(np.where(may, place, -1) + number * span) - number * span
        in_force = np.concatenate(([-1], latest[:-1]))
        in_force[part == np.arange(len(place))] = -1
        first = part == start
        in_force[first] = np.maximum(in_force, self._left.of("place", events["key"]))[first]
        return np.asarray(may & (place > in_force))

    def _name(self, movement: Columns, events: Events, effective: Mask, start: Vector) -> None:
        """Kind, signals and confidence of each event, tombstones but for their cause."""
        before, after = movement["before"], movement["after"]
        tombstone = events["tombstone"] == 1
        started = before == ABSENT
        back, ahead = ~started & ~tombstone & (after < before), ~started & ~tombstone & (after > before)
        jump = self._jumps(movement, ahead & effective, start)
        kind = np.select(
            [tombstone, started, back, jump, ahead],
            [
                MovementKind.TOMBSTONE,
                MovementKind.FIRST,
                MovementKind.REWIND,
                MovementKind.JUMP,
                MovementKind.ADVANCE,
            ],
            MovementKind.REPEAT,
        )
        leader_epoch = events["leader_epoch"]
        no_epoch = ((leader_epoch == -1) | (leader_epoch == ABSENT)) & ~tombstone
        bare, empty = events["bare"] == 1, events["members"] == 0
        known = (events["known"] == 1) & (events["simple"] == 0)
        # A group without records of its own may be a simple consumer, whose every commit looks so.
        alike = effective & (movement["transaction"] == PLAIN) & no_epoch & bare & empty & (known | back)
        reset = alike & known
        many = _many(reset, events)
        owner = movement["owner"]
        unsure = kind != MovementKind.TOMBSTONE
        marks: tuple[tuple[Mask, Signal], ...] = (
            (alike, Signal.NO_LEADER_EPOCH | Signal.EMPTY_METADATA),
            (reset & many, Signal.MANY_PARTITIONS),
            (unsure & (owner == NoOwner.GROUP_EMPTY), Signal.GROUP_EMPTY),
            (unsure & (owner == NoOwner.GROUP_UNKNOWN), Signal.GROUP_UNKNOWN),
            (unsure & (owner == NoOwner.PARTITION_UNOWNED), Signal.PARTITION_UNOWNED),
            (alike & back, Signal.BACKWARDS),
            (reset & ahead, Signal.AHEAD),
            (jump, Signal.LARGE_STEP),
            (self._again((kind == MovementKind.FIRST) & effective, events, effective, start), Signal.DELETED_BEFORE),
        )
        signals = np.zeros(len(kind), np.int64)
        for mask, signal in marks:
            if mask.any():
                signals[mask] |= int(signal)
        kind[reset] = MovementKind.RESET_LIKE
        decided = movement["decided_offset"] != ABSENT
        # Their end lies behind what is asked about.
        ends_later = (movement["transaction"] > PLAIN) & ~effective & ~decided & ~tombstone
        ends_later &= movement["transaction"] <= TRANSACTIONS.index("aborted")
        movement["transaction"][ends_later] = TRANSACTIONS.index("open")
        confidence = np.full(len(kind), Confidence.HIGH, np.int64)
        confidence[jump] = Confidence.MEDIUM
        confidence[reset] = np.where(many | back, Confidence.HIGH, Confidence.MEDIUM)[reset]
        for state, name, signal in (
            (TRANSACTIONS.index("aborted"), MovementKind.ABORTED, Signal.TRANSACTION_ABORTED),
            (TRANSACTIONS.index("open"), MovementKind.PENDING, Signal.TRANSACTION_OPEN),
            (TRANSACTIONS.index("unknown"), MovementKind.PENDING, Signal.TRANSACTION_UNKNOWN),
        ):
            mine = (movement["transaction"] == state) & ~effective
            kind[mine] = name
            signals[mine] |= int(signal)
        late = (movement["transaction"] == COMMITTED) & ~effective
        kind[late] = np.where(decided, MovementKind.OVERTAKEN, MovementKind.PENDING)[late]
        signals[late] |= np.where(decided, int(Signal.LATER_RECORD_IN_FORCE), int(Signal.TRANSACTION_OPEN))[late]
        movement["kind"], movement["signals"], movement["confidence"] = kind, signals, confidence

    def _again(self, first: Mask, events: Events, effective: Mask, start: Vector) -> Mask:
        """Which of the first ones have an effective one of their key before them all the same."""
        if not first.any():
            return first
        earlier = _sums_before(effective.astype(np.int64), start) > 0
        return np.asarray(first & (earlier | (self._left.of("seen", events["key"]) == 1)))

    def _jumps(self, movement: Columns, ahead: Mask, start: Vector) -> Mask:
        """Which advances are far beyond the key's steps before them; the steps are counted for later ones."""
        counted = ahead & (movement["before"] >= 0)
        if not counted.any():
            return counted
        step = np.where(counted, np.minimum(movement["after"] - movement["before"], _STEP_LIMIT), 0)
        key = movement["key"]
        steps, distance = _sums_before(counted.astype(np.int64), start), _sums_before(step, start)
        steps += self._left.of("steps", key)
        distance += self._left.of("distance", key)
        jump = counted & (steps >= _JUMP_STEPS) & (step >= _JUMP_LEAST) & (step * steps > distance * _JUMP_FACTOR)
        ends = np.flatnonzero(np.append(key[1:] != key[:-1], True))
        self._left.put("steps", key[ends], steps[ends] + counted[ends])
        self._left.put("distance", key[ends], distance[ends] + step[ends])
        return np.asarray(jump)

    def merged(self, steps: Steps) -> Movements:
        """The movements that ended by the chunk, in the order in which they ended; others stay open."""
        self._open.grow(self._left.count)
        movement = steps.movement
        merges = _merges(movement["kind"])
        same = np.concatenate(([False], merges[1:] & (movement["key"][1:] == movement["key"][:-1])))
        for name in _SAME:
            same[1:] &= movement[name][1:] == movement[name][:-1]
        first = np.flatnonzero(~same)
        runs = _runs(movement, first, np.append(first[1:], len(same)) - 1)
        key = runs["key"]
        starts = np.concatenate(([True], key[1:] != key[:-1]))
        at, before = self._open.take(key, np.flatnonzero(starts))
        begun = take_structs(runs, at)
        continues = _merges(begun["kind"])
        for name in _SAME:
            continues &= before[name] == begun[name]
        on = at[continues]
        for name in _STARTS:
            runs[name][on] = before[name][continues]
        runs["commits"][on] += before["commits"][continues]
        stays = np.append(starts[1:], True) & _merges(runs["kind"])
        self._open.put(take_structs(runs, np.flatnonzero(stays)))
        found = np.concatenate((np.flatnonzero(~continues), np.flatnonzero(~stays) + len(before)))
        return _in_order(np.concatenate((before, runs)) if len(before) else runs, found)

    def finish(self) -> Movements:
        """The movements still going on where the evidence ends."""
        movements = self._open.take_all()
        return _in_order(movements, np.arange(len(movements)))


class _Open:
    """The movements still going on, at most one a key: most keys of a log may have none, so a key only has a slot."""

    def __init__(self) -> None:
        self._slot = np.empty(0, np.int64)  # by key; -1 where there is none
        self._movements = np.empty(0, MOVEMENT)  # by slot
        self._free = np.empty(0, np.int64)

    def grow(self, keys: int) -> None:
        """Make room for so many keys."""
        self._slot = make_room(self._slot, keys, np.array(-1))

    def take(self, key: Vector, at: Vector) -> tuple[Vector, Movements]:
        """Take out those of the keys at these places: the places that have one, and the movements."""
        slot = self._slot[key[at]]
        has = slot >= 0
        slot, at = slot[has], at[has]
        self._slot[key[at]] = -1
        self._free = np.concatenate((self._free, slot))
        return at, take_structs(self._movements, slot)

    def put(self, movements: Movements) -> None:
        """Movements of keys that have none."""
        missing = len(movements) - len(self._free)
        if missing > 0:
            known = len(self._movements)
            self._movements = make_room(self._movements, known + missing)
            self._free = np.concatenate((np.arange(len(self._movements) - 1, known - 1, -1), self._free))
        left = len(self._free) - len(movements)
        self._free, slot = self._free[:left], self._free[left:]
        self._slot[movements["key"]] = slot
        self._movements[slot] = movements

    def take_all(self) -> Movements:
        """Take out all, by key."""
        return self.take(np.arange(len(self._slot)), np.arange(len(self._slot)))[1]


def single(steps: Columns, chosen: Mask) -> Movements:
    """Some of the steps as movements, which are of kinds that do not merge, in the order in which they ended."""
    at = np.flatnonzero(chosen)
    return _in_order(_runs(steps, at, at), np.arange(len(at)))


def _runs(steps: Columns, first: Vector, last: Vector) -> Movements:
    """Steps that follow each other as one movement each."""
    runs = np.empty(len(first), MOVEMENT)
    for name, values in steps.items():
        runs[name] = values[first]
    runs["after"] = steps["after"][last]
    runs["last_log_offset"] = steps["log_offset"][last]
    runs["last_log_timestamp"] = steps["log_timestamp"][last]
    if (steps["producer"] >= 0).any():
        runs["producer"] = steps["producer"][last]
    runs["decided_offset"] = steps["decided_offset"][last]
    runs["decided_timestamp"] = steps["decided_timestamp"][last]
    runs["commits"] = last - first + 1
    return runs


def _by_effect(events: Events, *, delayed: bool) -> Vector:
    """The order by key and effect. Of one transaction's commits the last counts, so it comes first."""
    if delayed:
        return stable_order(-events["place"], events["effect"], events["key"])
    return stable_order(events["key"])


def _many(reset: Mask, events: Events) -> Mask:
    """Which of these commits came with others of their group, at the same time on the broker's clock."""
    many = np.zeros(len(reset), np.bool_)
    at = np.flatnonzero(reset)
    if at.size:
        pairs = np.stack((events["group"][at], events["commit_timestamp"][at]), axis=1)
        _, inverse, counts = np.unique(pairs, axis=0, return_inverse=True, return_counts=True)
        many[at] = counts[inverse.reshape(-1)] > 1
    return many


def _merges(kind: Vector) -> Mask:
    """Which movements are one with others of their kind."""
    return np.asarray((kind == MovementKind.ADVANCE) | (kind == MovementKind.REPEAT))


def _in_order(movements: Movements, index: Vector) -> Movements:
    """Some of the movements, in the order in which they ended."""
    decided = np.maximum(movements["last_log_offset"].take(index), movements["decided_offset"].take(index))
    return take_structs(movements, index[stable_order(decided)])


def _sums_before(values: Vector, start: Vector) -> Vector:
    """The sum of the values before each one, from its key's start on."""
    sums = bounds(values)
    return np.asarray(sums[:-1] - sums[start])
