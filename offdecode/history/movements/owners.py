"""Which member held a commit's partition as it came, and in which generation: commits joined to group records.

A commit names neither. What is said here is inferred from the group's own records at that place of the log.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

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
from offdecode.history.movements.rosters import Rosters
from offdecode.history.movements.timeline import Timeline
from offdecode.model import ABSENT, LARGEST_INT64, DecodedChunk, Mask, Vector


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

_MOST_KNOWN = 1 << 16  # keys that are kept

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
        self._numbers: dict[tuple[object, ...], int] = {}
        self._by_identity: dict[tuple[str | None, ...], int] = {}
        self._first_numbers: list[int] = []
        self._group_timeline = Timeline(_NO_GROUP)
        self._key_timeline = Timeline(_NO_HOLDER)
        self._held: dict[int, dict[str, _Held]] = defaultdict(dict)  # by group, by member id
        self._rosters = Rosters(keys, self._member)  # of groups that are not in _held
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
        for name, batch in chunk.coded.items():
            if name in GROUP_ROW_TYPES and len(batch):
                self._keys.groups.remember(batch.column("group").dictionary)
        for record in iter_group_records(chunk, self.replay.classic_members):
            self._note_ends(record)
            if record.group_type is not GroupType.CLASSIC or record.values["generation"] == 0:
                self._new_coordinator = min(self._new_coordinator, record.place)
            for event in self.replay.apply_record(record):
                self._apply(event, record.place)
        self._rosters.note(self._key_timeline, self.replay.classic_members.book)
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

    def first_numbers(self, owner: Vector) -> Vector:
        """One number for a member, whatever it subscribed to when."""
        if len(self._by_identity) == len(self.members):  # as nearly always
            return owner
        return np.where(owner < 0, owner, np.array(self._first_numbers, np.int64)[np.maximum(owner, 0)])

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
        self._rosters.add(group, event, place)

    def _one_by_one(self, group: int) -> None:
        """Know again which member holds what: the group's members are changed one by one from here on."""
        if (classic := self._rosters.pop(group, self._key_timeline, self.replay.classic_members.book)) is None:
            return
        self._make_room()
        self._holder[classic.keys] = classic.owners  # of several members that list a partition the last one
        for member in classic.members:
            held = _Held(self._member(member), classic.epoch, member.assignment or (), {}, self.replay.topic_names)
            self._held[group].pop(member.member_id, None)
            if held.assignment:
                self._held[group][member.member_id] = held

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
        """The number of a member that subscribes to these topics: they say what can happen to its offsets."""
        identity = (member.member_id, member.instance_id, member.client_id, member.client_host)
        number = self._numbers.setdefault((identity, member.subscribed_topics), len(self.members))
        if number == len(self.members):
            self.members.append(member)
            self._first_numbers.append(self._by_identity.setdefault(identity, number))
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
