"""Which member held a commit's partition as it came, and in which generation: commits joined to group records.

A commit names neither. What is said here is inferred from the group's own records at that place of the log.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
import pyarrow as pa

from offdecode.history.groups.group_records import GROUP_ROW_TYPES, ClassicGeneration, GroupRecord, Role
from offdecode.history.groups.images import (
    STATIC_MEMBER_AWAY,
    ClassicHolding,
    Generation,
    GroupEvent,
    GroupType,
    Holding,
    Standing,
    Who,
)
from offdecode.history.groups.replay import GroupReplay
from offdecode.history.movements.commit_columns import CommitColumns, CommitKeys
from offdecode.history.movements.holders import Holders
from offdecode.history.movements.rosters import Rosters
from offdecode.history.movements.timeline import Timeline
from offdecode.history.topic_names import TopicNames
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

    def __init__(self, keys: CommitKeys, topic_names: TopicNames) -> None:
        self._events: list[GroupEvent] = []  # of one record
        self.replay = GroupReplay(self._events.append, topic_names)
        self.on_generation: list[Callable[[Generation], None]] = []
        self.members: list[Who] = []
        # In the chunk: (number of the group, log timestamp) of group tombstones, and of those that change the type.
        self.ended: set[tuple[int, int]] = set()
        self.turned: set[tuple[int, int]] = set()
        self._new_coordinator = _NEVER  # place of the chunk from which on the log is known to be the new coordinator's
        self._keys = keys
        self._numbers: dict[Who, int] = {}
        self._by_identity: dict[tuple[str | None, ...], int] = {}
        self._first_numbers: list[int] = []
        self._group_timeline = Timeline(_NO_GROUP)
        self._key_timeline = Timeline(_NO_HOLDER)
        self._rosters = Rosters(keys, self._member)
        self._holders = Holders(keys, self.replay.topic_names)  # of all other groups
        self._empty_since: dict[int, int] = {}

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
        for record in self.replay.records.of(chunk):
            if record.role in (Role.GENERATION, Role.EPOCH):
                self._note_ends(record)
            if self._new_coordinator == _NEVER and _is_new_coordinators(record):
                self._new_coordinator = record.place
            self.replay.apply_record(record)
            for event in self._events:
                self._apply(event, record.place)
            self._events.clear()
        self._rosters.note(self._key_timeline, self.replay.records.classic_members.book)
        self._holders.note(self._key_timeline)
        self._holders.end_chunk()
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
            if unnamed := self._holders.unnamed():
                owner[unowned & np.isin(commits.group, list(unnamed))] = NoOwner.TOPIC_UNKNOWN
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
        if self.on_generation:
            self.replay.finish()
            for event in self._events:
                if isinstance(event, Generation):
                    self._tell(event)

    def _tell(self, event: Generation) -> None:
        for tell in self.on_generation:
            tell(event)

    def _apply(self, event: GroupEvent, place: int) -> None:
        if isinstance(event, Holding):
            if event.group_type is not GroupType.SHARE:
                self._hold(event, place)
        elif isinstance(event, Standing):
            self._stand(event, place)
        elif isinstance(event, ClassicHolding):
            self._hold_all(event, place)
        else:
            self._tell(event)

    def _stand(self, event: Standing, place: int) -> None:
        number = self._keys.groups.number(event.group)
        if event.members or event.generation is None:
            self._empty_since.pop(number, None)
        elif event.log_timestamp is not None:
            self._empty_since.setdefault(number, event.log_timestamp)
        generation = ABSENT if event.generation is None else event.generation
        since = self._empty_since.get(number, ABSENT)
        self._group_timeline.note(number, place, generation, event.members, event.simple, event.readable, since)

    def _note_ends(self, record: GroupRecord) -> None:
        timestamp: Any = record.log_timestamp
        when = self._keys.groups.number(record.group), timestamp
        if record.told is None:
            self.ended.add(when)
        elif when in self.ended:
            self.turned.add(when)

    def _hold_all(self, event: ClassicHolding, place: int) -> None:
        """Take a generation at once: what its members hold, and what no one holds any more."""
        group = self._keys.groups.number(event.group)
        self._holders.end(group, place, self._key_timeline)
        self._rosters.add(group, event, place)

    def _hold(self, event: Holding, place: int) -> None:
        group = self._keys.groups.number(event.group)
        if group not in self._holders.members:
            self._one_by_one(group)
        self._holders.hold(group, event, self._member(event.who), place)

    def _one_by_one(self, group: int) -> None:
        """The group's members are changed one by one from here on."""
        classic = self._rosters.pop(group, self._key_timeline, self.replay.records.classic_members.book)
        if classic is not None:
            self._holders.set_holders(classic.keys, classic.owners)
            members = ((one.member_id, self._member(one.who), one.assignment or ()) for one in classic.members)
            self._holders.begin(group, members, classic.epoch)

    def _member(self, who: Who) -> int:
        """The number of a member that subscribes to these topics: they say what can happen to its offsets."""
        number = self._numbers.setdefault(who, len(self.members))
        if number == len(self.members):
            self.members.append(who)
            self._first_numbers.append(self._by_identity.setdefault(who[:4], number))
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
        self._holders.learn(new)


def _is_new_coordinators(record: GroupRecord) -> bool:
    """Whether only the new group coordinator writes such a record."""
    told = record.told
    return record.group_type is not GroupType.CLASSIC or (isinstance(told, ClassicGeneration) and told.generation == 0)
