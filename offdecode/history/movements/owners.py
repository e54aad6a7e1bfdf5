"""Which member held a commit's partition as it came, and in which generation: commits joined to group records.

A commit names neither. What is said here is inferred from the group's own records at that place of the log.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
import pyarrow as pa

from offdecode.growing import make_room
from offdecode.history.groups.group_records import GROUP_ROW_TYPES, GroupRecord, Role, iter_group_records
from offdecode.history.groups.images import (
    STATIC_MEMBER_AWAY,
    Assignment,
    ClassicHolding,
    Generation,
    GroupEvent,
    GroupType,
    Holding,
    Member,
    Standing,
)
from offdecode.history.groups.replay import GroupReplay
from offdecode.history.movements.commit_columns import CommitColumns, CommitKeys
from offdecode.model import ABSENT, LARGEST_INT64, DecodedChunk, Mask, Vector, stable_order, take_structs


class NoOwner(IntEnum):
    """Why a commit has no owner; negative, where the number of a member would be."""

    GROUP_UNKNOWN = -1
    GROUP_EMPTY = -2
    PARTITION_UNOWNED = -3
    ASSIGNMENT_UNREADABLE = -4
    TOPIC_UNKNOWN = -5


NO_OWNER_TEXTS = {
    NoOwner.GROUP_UNKNOWN: "no record of the group up to here: it is simple, or its records are not in the evidence",
    NoOwner.GROUP_EMPTY: "the group had no members",
    NoOwner.PARTITION_UNOWNED: "no member held the partition",
    NoOwner.ASSIGNMENT_UNREADABLE: "the members' assignments are not in the consumer protocol's format",
    NoOwner.TOPIC_UNKNOWN: "members held partitions of topics that are known by id only",
}

_GROUP_STATE = np.dtype([
    ("generation", np.int64), ("members", np.int64), ("simple", np.int64), ("readable", np.int64),
    ("empty_since", np.int64),
])  # fmt: skip
_KEY_STATE = np.dtype([("owner", np.int64), ("epoch", np.int64)])
_NO_GROUP = np.array((ABSENT, 0, True, True, ABSENT), _GROUP_STATE)
_NO_HOLDER = np.array((-1, ABSENT), _KEY_STATE)

_NEVER, _BEFORE = 1 << 62, -1
_NEW_COORDINATORS_VERSION = 4  # of commit values: Kafka 4.1 writes it, which has no other coordinator

_NO_KEYS = np.empty(0, np.int64)
_MOST_KNOWN = 1 << 16  # members and keys that are kept

_Partition = tuple[str, int]  # topic by name, partition


@dataclass(frozen=True, slots=True)
class Joined:
    """Vectors beside a chunk's commits. owner: number of a member, or a NoOwner; generation: ABSENT = not known.

    members: of the group then; known: whether the group had a record by then; simple: whether that told nothing
    but its birth; empty_since: log timestamp at which the last member left, ABSENT where it is not known.
    new_coordinator: whether the log partition had a record by then that only the new group coordinator writes.
    """

    owner: Vector
    generation: Vector
    members: Vector
    known: Mask
    simple: Mask
    empty_since: Vector
    new_coordinator: Mask


class _Timeline:
    """A state for each number, as it changes within a chunk and at its end.

    Most logs have many keys and groups of which nothing is ever noted: no memory is taken before something is.
    """

    def __init__(self, initial: Any) -> None:
        self._initial = initial
        self._now = np.empty(0, initial.dtype)
        self._notes: list[tuple[Vector, Any]] = []  # number and place in one, and the states
        self._when: list[int] = []  # the latest ones, not yet vectors
        self._state: list[Any] = []

    def note(self, number: int, place: int, *state: Any) -> None:
        self._when.append(number << 32 | place)
        self._state.append(state)

    def note_all(self, number: Vector, place: int | Vector, *state: Any) -> None:
        """Several at once. place, state: a value, or a vector of one for each number."""
        if not len(number):
            return
        self._take_single()
        states = np.empty(len(number), self._now.dtype)
        for name, values in zip(self._now.dtype.names or (), state, strict=True):
            states[name] = values
        self._notes.append((number << 32 | place, states))

    def _take_single(self) -> None:
        if self._when:
            self._notes.append((np.array(self._when, np.int64), np.array(self._state, self._now.dtype)))
            self._when, self._state = [], []

    def take(self, number: Vector, place: Vector, count: int) -> Any:
        """The state of each number at each place of the chunk; the chunk's notes then are the past. count: numbers."""
        self._take_single()
        if self._notes or len(self._now):
            self._now = make_room(self._now, count, self._initial)
        found = self.now(number)
        if self._notes:
            when = np.concatenate([when for when, _ in self._notes])
            states = np.concatenate([states for _, states in self._notes])
            order = np.argsort(when, kind="stable")
            when, states = when[order], states[order]
            at = np.searchsorted(when, number << 32 | place, side="right") - 1
            since = (at >= 0) & (when[at] >> 32 == number)
            found[since] = states[at[since]]
            last = np.append(when[1:] >> 32 != when[:-1] >> 32, True)
            self._now[when[last] >> 32] = states[last]
            self._notes = []
        return found

    def now(self, number: Vector) -> Any:
        """The state of each number at the end of the latest chunk."""
        if not len(self._now):
            return np.broadcast_to(self._initial, len(number))
        return take_structs(self._now, number)

    def end_chunk(self, count: int) -> None:
        """The chunk's notes are the past, though no row asks for them."""
        self.take(np.empty(0, np.int64), np.empty(0, np.int64), count)


class Owners:
    """Joins the commits of chunks, in the order of the log, to the owners and generations of their time."""

    def __init__(self, keys: CommitKeys, topic_names: dict[str, str] | None = None) -> None:
        self.replay = GroupReplay(topic_names)
        self.on_generation: list[Callable[[Generation], None]] = []
        self.members: list[Member] = []
        # In the chunk: (number of the group, log timestamp) of group tombstones, and of those that change the type.
        self.ended: set[tuple[int, int]] = set()
        self.turned: set[tuple[int, int]] = set()
        self._new_coordinator = _NEVER  # place of the chunk from which on the log is known to be the new coordinator's
        self._keys = keys
        self._numbers: dict[tuple[str | None, ...], int] = {}
        self._group_timeline = _Timeline(_NO_GROUP)
        self._key_timeline = _Timeline(_NO_HOLDER)
        self._held: dict[int, dict[str, _Held]] = defaultdict(dict)  # by group, by member id
        self._classic: dict[int, _ClassicHeld] = {}  # by group; what is here is not in _held
        self._new: dict[int, list[_ClassicHeld]] = defaultdict(list)  # by group, its generations that are not noted yet
        self._known: dict[int, dict[int, _Known]] = defaultdict(dict)  # by group and the member's identity
        self._keyless: list[tuple[int, _Known]] = []  # members with their groups, whose keys are not looked up yet
        self._count_known = 0
        self._key_numbers: dict[tuple[int, str, int], int] = {}  # of keys that were looked up one by one
        self._holder = np.full(1024, -1)  # by key, the member that holds it, where members are changed one by one
        self._empty_since: dict[int, int] = {}
        self._unnamed: dict[int, int] = {}  # by group, members that hold topics known by id only

    def join(self, chunk: DecodedChunk, commits: CommitColumns | None) -> Joined | None:
        """Replay the chunk's group records and join its commits; None where it has none."""
        if commits is not None:
            self._learn(commits)
        self.ended.clear()
        self.turned.clear()
        self._new_coordinator = _NEVER if self._new_coordinator == _NEVER else _BEFORE
        self.replay.tells = bool(self.on_generation)
        for name, batch in chunk:
            if name in GROUP_ROW_TYPES and len(batch):
                self._keys.groups.remember(batch.column("group").dictionary)
        for record in iter_group_records(chunk, self.replay.classic_members):
            self._note_ends(record)
            if record.group_type is not GroupType.CLASSIC or record.values["generation"] == 0:
                self._new_coordinator = min(self._new_coordinator, record.place)
            for event in self.replay.apply_record(record):
                self._apply(event, record.place)
        self._note_generations()
        if commits is not None and self._new_coordinator != _BEFORE:
            newest = commits.place[commits.numbers("value_version") >= _NEW_COORDINATORS_VERSION]
            self._new_coordinator = min(self._new_coordinator, int(newest.min(initial=_NEVER)))
        if commits is None:
            self._group_timeline.end_chunk(len(self._keys.groups))
            self._key_timeline.end_chunk(len(self._keys))
            return None
        return self._joined(commits)

    def idle_since(self, group: Vector) -> Vector:
        """When the last member of each group left; -1 where that is not known, later than any time where members are.

        As of the end of the latest chunk.
        """
        states = self._group_timeline.now(group)
        return np.where(states["members"] > 0, LARGEST_INT64, np.maximum(states["empty_since"], -1))

    def _joined(self, commits: CommitColumns) -> Joined:
        groups = self._group_timeline.take(commits.group, commits.place, len(self._keys.groups))
        holders = self._key_timeline.take(commits.key, commits.place, len(self._keys))
        known = groups["generation"] != ABSENT
        owner = holders["owner"].copy()
        unowned = owner < 0
        if unowned.any():
            owner[unowned] = NoOwner.PARTITION_UNOWNED
            unnamed = np.isin(commits.group, list(self._unnamed)) if self._unnamed else np.zeros(len(owner), np.bool_)
            owner[unowned & unnamed] = NoOwner.TOPIC_UNKNOWN
            owner[unowned & (groups["readable"] == 0)] = NoOwner.ASSIGNMENT_UNREADABLE
            owner[unowned & (groups["members"] == 0)] = NoOwner.GROUP_EMPTY
            owner[unowned & ~known] = NoOwner.GROUP_UNKNOWN
        epoch = holders["epoch"]
        by_member = (owner >= 0) & (epoch != ABSENT) & (epoch != STATIC_MEMBER_AWAY)
        return Joined(
            owner=owner,
            generation=np.where(by_member, epoch, groups["generation"]),
            members=groups["members"],
            known=known,
            simple=groups["simple"] != 0,
            empty_since=groups["empty_since"],
            new_coordinator=commits.place > self._new_coordinator,
        )

    def finish(self) -> None:
        """The log is through."""
        self.ended.clear()
        for event in self.replay.finish() if self.on_generation else ():
            if isinstance(event, Generation):
                self._tell(event)

    def _tell(self, event: Generation) -> None:
        for tell in self.on_generation:
            tell(event)

    def _apply(self, event: GroupEvent, place: int) -> None:
        if isinstance(event, Generation):
            self._tell(event)
        elif isinstance(event, ClassicHolding):
            self._hold_all(event, place)
        elif isinstance(event, Holding) and event.group_type is not GroupType.SHARE:
            self._hold(event, place)
        elif isinstance(event, Standing):
            number = self._keys.groups.number(event.group)
            if event.members or event.generation is None:
                self._empty_since.pop(number, None)
            elif event.log_timestamp is not None:
                self._empty_since.setdefault(number, event.log_timestamp)
            generation = ABSENT if event.generation is None else event.generation
            since = self._empty_since.get(number, ABSENT)
            self._group_timeline.note(number, place, generation, event.members, event.simple, event.readable, since)

    def _note_ends(self, record: GroupRecord) -> None:
        if record.role in (Role.GENERATION, Role.EPOCH):
            values = record.values
            when = self._keys.groups.number(values["group"]), values["log_timestamp"]
            if record.tombstone:
                self.ended.add(when)
            elif when in self.ended:
                self.turned.add(when)

    def _hold_all(self, event: ClassicHolding, place: int) -> None:
        """Take a generation at once: what its members hold, and what no one holds any more."""
        group = self._keys.groups.number(event.group)
        if (members := self._held.pop(group, None)) is not None:
            self._unnamed.pop(group, None)
            held = dict.fromkeys(partition for member in members.values() for partition in member.partitions)
            keys = np.array([self._key(group, *partition) for partition in held], np.int64)
            self._key_timeline.note_all(keys, place, -1, ABSENT)
        epoch = ABSENT if event.epoch is None else event.epoch
        self._new[group].append(_ClassicHeld(place, epoch, self._known_in(group, event.members)))

    def _note_generations(self) -> None:
        """Note the chunk's classic generations, all at once."""
        if not self._new:
            return
        if self._keyless:
            self._look_up_keys()
        held: list[_ClassicHeld] = []
        following: list[int] = []  # the group's next generation
        old: list[int] = []  # of chunks before
        for group, generations in self._new.items():
            if (before := self._classic.get(group)) is not None:
                old.append(len(held))
                held.append(before)
                following.append(len(held))
            following += [*range(len(held) + 1, len(held) + len(generations)), -1]
            held += generations
            self._classic[group] = generations[-1]
        self._new.clear()
        listed = [(number, one) for number, item in enumerate(held) for one in item.known if len(one.keys)]
        if not listed:
            return
        counts = [len(one.keys) for _, one in listed]
        key = np.concatenate([one.keys for _, one in listed])
        at, owner = np.repeat(np.array([(number, one.number) for number, one in listed], np.int64), counts, axis=0).T
        place, epoch = np.array([(item.place, item.epoch) for item in held], np.int64).T
        # A key is left where the group's next generation is not the next one that holds it.
        order = stable_order(key)
        left, by = key[order], at[order]
        next_by = np.append(by[1:], -1)
        next_by[:-1][left[1:] != left[:-1]] = -1
        then = np.array(following, np.int64)[by]
        gone = (then >= 0) & (next_by != then)
        # Where several members of one generation hold it, it is not; but what is noted later holds.
        self._key_timeline.note_all(left[gone], place[then[gone]], -1, ABSENT)
        fresh = ~np.isin(at, old)
        self._key_timeline.note_all(key[fresh], place[at[fresh]], owner[fresh], epoch[at[fresh]])

    def _known_in(self, group: int, members: Sequence[Member]) -> list[_Known]:
        """Members of a group; equal ones are one object, and most are those of the generation before."""
        known = self._known[group]
        found: list[Any] = list(map(known.get, map(id, members)))
        if None not in found:
            return found
        new = {id(member): member for member, one in zip(members, found, strict=True) if one is None}
        self._count_known += len(new)
        if self._count_known > _MOST_KNOWN:
            self._known.clear()
            self._count_known = len(new)
            known = self._known[group]
        made = {identity: _Known(member, self._member(member)) for identity, member in new.items()}
        known |= made
        self._keyless += [(group, one) for one in made.values()]
        return [made[id(member)] if one is None else one for member, one in zip(members, found, strict=True)]

    def _look_up_keys(self) -> None:
        """Find the keys of all members that are new, at once."""
        items = [(group, item) for group, one in self._keyless for item in one.member.assignment or ()]
        topics = {item.topic or "": 0 for _, item in items}
        places = dict(zip(topics, range(len(topics)), strict=True))
        topic = np.array([places[item.topic or ""] for _, item in items], np.int64)
        pair = self._keys.all_pairs(np.array([group for group, _ in items], np.int64), list(topics), topic)
        counts = [len(item.partitions) for _, item in items]
        partitions = np.fromiter(itertools.chain.from_iterable(item.partitions for _, item in items), np.int64)
        keys = self._keys.keys(np.repeat(pair, counts), partitions)
        start = 0
        for _, one in self._keyless:
            end = start + sum(len(item.partitions) for item in one.member.assignment or ())
            one.keys = keys[start:end].copy()  # a view would keep those of all
            start = end
        self._keyless.clear()

    def _one_by_one(self, group: int) -> None:
        """Know again which member holds what: the group's members are changed one by one from here on."""
        if group in self._new:
            self._note_generations()
        classic = self._classic.pop(group, None)
        if classic is not None:
            names = self.replay.topic_names
            self._make_room()
            for one in classic.known:
                held = _Held(one.number, classic.epoch, one.member.assignment or (), {}, names)
                self._holder[one.keys] = one.number  # of several members that list a partition the last one
                self._held[group].pop(one.member.member_id, None)
                if held.assignment:
                    self._held[group][one.member.member_id] = held

    def _make_room(self) -> None:
        self._holder = make_room(self._holder, len(self._keys), np.array(-1))

    def _hold(self, event: Holding, place: int) -> None:
        group = self._keys.groups.number(event.group)
        self._one_by_one(group)
        member_id = event.member.member_id
        before = self._held[group].pop(member_id, None)
        member = self._member(event.member)
        epoch = ABSENT if event.epoch is None else event.epoch
        held = _Held(member, epoch, event.assignment or (), event.subtopologies, self.replay.topic_names)
        if held.assignment:
            self._held[group][member_id] = held
        self._count_unnamed(group, before, held)
        if before is not None:
            for topic, partition in before.partitions:
                if (topic, partition) in held.partitions:
                    continue
                key = self._key(group, topic, partition)
                if self._holder[key] == before.member:  # else another member has it already
                    self._holder[key] = -1
                    self._key_timeline.note(key, place, -1, ABSENT)
        self._note(group, held, place)

    def _note(self, group: int, held: _Held, place: int) -> None:
        for topic, partition in held.partitions:
            key = self._key(group, topic, partition)
            self._make_room()
            self._holder[key] = held.member
            self._key_timeline.note(key, place, held.member, held.epoch)

    def _key(self, group: int, topic: str, partition: int) -> int:
        known = self._key_numbers.get((group, topic, partition))
        if known is None:
            pair = self._keys.pair(group, topic)
            known = int(self._keys.keys(np.array([pair]), np.array([partition]))[0])
            if len(self._key_numbers) > _MOST_KNOWN:
                self._key_numbers.clear()
            self._key_numbers[group, topic, partition] = known
        return known

    def _count_unnamed(self, group: int, before: _Held | None, now: _Held) -> None:
        count = self._unnamed.get(group, 0) - (before.unnamed if before is not None else 0) + now.unnamed
        if count > 0:
            self._unnamed[group] = count
        else:
            self._unnamed.pop(group, None)

    def _member(self, member: Member) -> int:
        identity = (member.member_id, member.instance_id, member.client_id, member.client_host)
        number = self._numbers.setdefault(identity, len(self.members))
        if number == len(self.members):
            self.members.append(member)
        return number

    def _learn(self, commits: CommitColumns) -> None:
        """Commits of version 4 name their topic and its id: then what is held of it can be told."""
        names = self.replay.topic_names
        if commits.batch.column("topic_id").null_count == len(commits.batch):
            return
        pairs = pa.table({
            "id": commits.batch.column("topic_id"), "name": commits.batch.column("topic")
        }).group_by(["id", "name"]).aggregate([]).to_pylist()  # fmt: skip
        told = {pair["id"]: pair["name"] for pair in pairs if pair["id"] is not None}
        new = {key for key, name in told.items() if dict.get(names, key) != name}  # so looked up, it is not asked for
        names.update(told)
        if not new:
            return
        for group, members in self._held.items():
            for member_id, held in list(members.items()):
                if held.unnamed and any(item.topic_id in new for item in held.assignment):
                    named = _Held(held.member, held.epoch, held.assignment, held.subtopologies, names)
                    members[member_id] = named
                    self._count_unnamed(group, held, named)
                    self._note(group, named, 0)


@dataclass(frozen=True, slots=True)
class _ClassicHeld:
    """A generation of a classic group, and what its members hold. place: of its record, in its chunk."""

    place: int
    epoch: int
    known: list[_Known]


class _Known:
    """A member of a classic generation: its number, and the keys that it was given."""

    __slots__ = ("keys", "member", "number")

    def __init__(self, member: Member, number: int) -> None:
        self.member = member  # so that no other object gets its identity
        self.number = number
        self.keys = _NO_KEYS


class _Held:
    """What a member holds: partitions of topics by name; unnamed counts 1 where some topics are known by id only."""

    __slots__ = ("assignment", "epoch", "member", "partitions", "subtopologies", "unnamed")

    def __init__(
        self,
        member: int,
        epoch: int,
        assignment: Assignment,
        subtopologies: dict[str, tuple[str, ...]],
        names: dict[str, str],
    ) -> None:
        self.member = member
        self.epoch = epoch
        self.assignment = assignment
        self.subtopologies = subtopologies
        self.partitions: dict[_Partition, None] = {}  # a set in order: keys are numbered as they are met
        self.unnamed = 0
        for item in assignment:
            if item.subtopology is not None:
                topics = subtopologies.get(item.subtopology, ())
            else:
                name = item.topic if item.topic_id is None else names.get(item.topic_id)
                topics = () if name is None else (name,)
            self.unnamed |= not topics
            self.partitions |= dict.fromkeys((topic, partition) for topic in topics for partition in item.partitions)
