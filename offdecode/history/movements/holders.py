"""What the members of groups hold that change one by one, as those of consumer and streams groups do.

All changes of a chunk are noted at once. Most members hold at a new epoch what they held before, or what another did,
so the keys of what they hold are looked up once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np

from offdecode.growing import make_room
from offdecode.history.groups.images import Assignment, Holding
from offdecode.history.movements.commit_columns import CommitKeys
from offdecode.history.movements.key_lists import KeyLists
from offdecode.history.movements.timeline import Timeline
from offdecode.history.topic_names import TopicNames
from offdecode.model import ABSENT, Mask, Vector, distinct, stable_order

_MOST_KNOWN = 1 << 16  # of what was held, beside twice what is
_KEY = (1 << 32) - 1
_USUAL_KEYS = 16  # of what a member holds; more of them count for several

Subtopologies = dict[str, tuple[str, ...]]  # topics of each
_NONE: Subtopologies = {}


class _Parts(NamedTuple):
    """What a member of a group holds, as its records say it."""

    group: int
    assignment: Assignment
    revoking: Assignment = ()
    subtopologies: Subtopologies = _NONE


class _Holds(NamedTuple):
    """What a member holds now. keys: their number in _HeldKeys; member: its own number."""

    keys: int
    member: int
    epoch: int


_NOTHING = 0  # the number of no keys at all
_HOLDS_NOTHING = _Holds(_NOTHING, -1, ABSENT)


class Holders:
    """Takes the changes of members one by one, in the order of the log.

    members: by group, what each holds by its id.
    """

    def __init__(self, keys: CommitKeys, names: TopicNames) -> None:
        self._held = _HeldKeys(keys, names)
        self._kept = 0  # what was held at the latest stocktaking
        self.members: dict[int, dict[str, _Holds]] = defaultdict(dict)
        self._unnamed: dict[int, int] = {}  # by group, members that hold topics known by id only
        self._holder = np.empty(0, np.int64)  # by key, the member that holds it
        # Of each change: place, member, epoch, what it holds now, what it held before, and as which member.
        self._new: list[tuple[int, int, int, int, int, int]] = []

    def unnamed(self) -> Collection[int]:
        """Groups of which members hold topics that are known by id only."""
        return self._unnamed.keys()

    def hold(self, group: int, holding: Holding, member: int, place: int) -> None:
        """From this place on a member of a group, whose number this is, holds this and nothing else."""
        _, _, who, told_epoch, assignment, revoking, subtopologies = holding
        epoch = ABSENT if told_epoch is None else told_epoch
        now = _Holds(self._held.number(group, assignment, revoking, subtopologies), member, epoch)
        before = self._put(group, who.member_id, now)
        self._new.append((place, member, epoch, now.keys, before.keys, before.member))

    def begin(self, group: int, members: Iterable[tuple[str, int, Assignment]], epoch: int) -> None:
        """Take what the members of a generation hold, which is noted already."""
        for member_id, member, assignment in members:
            held = self._held.number(group, assignment)
            self._put(group, member_id, _Holds(held, member, epoch))

    def set_holders(self, key: Vector, member: Vector) -> None:
        """Which members hold keys is known; of several of a key the last one."""
        self._make_room()
        self._holder[key] = member

    def end(self, group: int, place: int, timeline: Timeline) -> None:
        """From this place on the group's members hold nothing that would be known here."""
        if (members := self.members.pop(group, None)) is None:
            return
        self.note(timeline)
        self._unnamed.pop(group, None)
        numbers = np.array([one.keys for one in members.values()], np.int64)
        key, _ = self._held.keys_of(numbers)
        timeline.note_all(key, place, -1, ABSENT)

    def learn(self, topic_ids: Collection[str]) -> None:
        """What is held of these topics can be told from the next chunk's first record on."""
        for group in [*self._unnamed]:
            for member_id, one in [*self.members[group].items()]:
                parts = self._held.parts[one.keys]
                items = (*parts.assignment, *parts.revoking)
                if self._held.unnamed[one.keys] and any(item.topic_id in topic_ids for item in items):
                    now = one._replace(keys=self._held.number(*parts))
                    self._put(group, member_id, now)
                    self._new.append((0, one.member, one.epoch, now.keys, _NOTHING, -1))

    def note(self, timeline: Timeline) -> None:
        """Note what was taken."""
        if not self._new:
            return
        place, member, epoch, now, before, before_member = np.array(self._new, np.int64).T
        self._new.clear()
        claimed, claim_of = self._held.keys_of(now)
        changed = np.flatnonzero((before != now) & (before != _NOTHING))
        had, given_up_by = self._held.keys_of(before[changed])
        given_up_by = changed[given_up_by]
        left = ~np.isin(given_up_by << 32 | had, (claim_of << 32 | claimed)[np.isin(claim_of, changed)])
        had, given_up_by = had[left], given_up_by[left]
        key, change = np.concatenate((claimed, had)), np.concatenate((claim_of, given_up_by))
        claims = np.arange(len(key)) < len(claimed)
        order = stable_order(change, key)
        key, change, claims = key[order], change[order], claims[order]
        self._make_room()
        # What is given up is free then, unless another member has it already.
        free = ~claims & (self._holders_before(key, claims, member[change]) == before_member[change])
        noted = claims | free
        key, change, free = key[noted], change[noted], free[noted]
        owner = np.where(free, -1, member[change])
        timeline.note_all(key, place[change], owner, np.where(free, ABSENT, epoch[change]))
        last = np.append(key[1:] != key[:-1], True)[: len(key)]
        self._holder[key[last]] = owner[last]

    def end_chunk(self) -> None:
        """What was held and is not need not be known any longer."""
        if len(self._held) > _MOST_KNOWN + 2 * self._kept:
            numbers = self._held.keep([one.keys for members in self.members.values() for one in members.values()])
            for members in self.members.values():
                for member_id, one in members.items():
                    members[member_id] = one._replace(keys=numbers[one.keys])
            self._kept = len(self._held)

    def _put(self, group: int, member_id: str, now: _Holds) -> _Holds:
        """What the member held before."""
        members = self.members[group]
        before = members.get(member_id, _HOLDS_NOTHING)
        if now.keys == _NOTHING:
            members.pop(member_id, None)
        else:
            members[member_id] = now
        if before.keys != now.keys:
            unnamed = self._held.unnamed
            count = self._unnamed.get(group, 0) - unnamed[before.keys] + unnamed[now.keys]
            if count > 0:
                self._unnamed[group] = count
            else:
                self._unnamed.pop(group, None)
        return before

    def _holders_before(self, key: Vector, claims: Mask, member: Vector) -> Vector:
        """Who has claimed each of these keys last, before each of these places in the order of keys and changes."""
        index = np.arange(len(key))
        last = np.maximum.accumulate(np.where(claims, index, -1))
        last[claims] = -1  # which nobody asks
        found = self._holder[key]
        here = (last >= 0) & (key[last] == key)
        found[here] = member[last[here]]
        return found

    def _make_room(self) -> None:
        self._holder = make_room(self._holder, self._held.key_count, np.array(-1))


class _HeldKeys:
    """Numbers what members of groups hold; its keys are looked up when they are asked for.

    parts: what each number stands for; unnamed: 1 where some of its topics are known by id only.
    """

    def __init__(self, keys: CommitKeys, names: TopicNames) -> None:
        self._keys = keys
        self._names = names
        self._begin()

    def _begin(self) -> None:
        self.parts = [_Parts(-1, ())]
        self.unnamed = [0]
        self._changes = self._names.changes
        self._numbers: dict[tuple[int, ...], int] = {}  # by the group and by identity
        self._new: list[list[tuple[str, Sequence[int]]]] = []  # topics and partitions of those not yet looked up
        self._held = KeyLists()  # by number
        self._held.add(np.empty(0, np.int64), np.zeros(1, np.int64))

    def __len__(self) -> int:
        return max(len(self.parts), self._held.size // _USUAL_KEYS)

    @property
    def key_count(self) -> int:
        return len(self._keys)

    def number(
        self, group: int, assignment: Assignment, revoking: Assignment = (), subtopologies: Subtopologies = _NONE
    ) -> int:
        """The number of what a member of a group holds, by the names of topics that are known now."""
        if not assignment and not revoking:
            return _NOTHING
        if self._changes != self._names.changes:
            self._changes = self._names.changes
            self._numbers.clear()
        identity = group, id(assignment), id(revoking), id(subtopologies)
        number = self._numbers.get(identity)
        if number is None:
            number = self._numbers[identity] = len(self.parts)
            parts = _Parts(group, assignment, revoking, subtopologies)
            self.parts.append(parts)
            self._resolve(parts)
        return number

    def _resolve(self, parts: _Parts) -> None:
        found: list[tuple[str, Sequence[int]]] = []
        unnamed = 0
        for item in (*parts.assignment, *parts.revoking):
            if item.subtopology is not None:
                topics = parts.subtopologies.get(item.subtopology, ())
            else:
                name = item.topic if item.topic_id is None else self._names.get(item.topic_id)
                topics = () if name is None else (name,)
            unnamed |= not topics
            found += [(topic, item.partitions) for topic in topics]
        self.unnamed.append(unnamed)
        self._new.append(found)

    def keys_of(self, numbers: Vector) -> tuple[Vector, Vector]:
        """The keys of these numbers one after the other, and for each the place of its number among them."""
        if self._new:
            self._look_up()
        keys, count = self._held.of(numbers)
        return keys, np.repeat(np.arange(len(numbers)), count)

    def _look_up(self) -> None:
        start = len(self._held)
        items = list(chain.from_iterable(self._new))
        which = np.repeat(np.arange(len(self._new)), list(map(len, self._new)))
        group = np.array([parts.group for parts in self.parts[start:]], np.int64)[which]
        topics, partitions = [topic for topic, _ in items], [partitions for _, partitions in items]
        keys = self._keys.of_lists(group, topics, partitions)
        # Some list a partition twice.
        once = distinct(np.repeat(which, list(map(len, partitions))) << 32 | keys)
        self._held.add(once & _KEY, np.bincount(once >> 32, minlength=len(self._new)))
        self._new.clear()

    def keep(self, numbers: Iterable[int]) -> dict[int, int]:
        """Forget all but these numbers: the new ones of each."""
        kept = list(dict.fromkeys(numbers))
        parts, unnamed = [self.parts[number] for number in kept], [self.unnamed[number] for number in kept]
        if self._new:
            self._look_up()
        keys, count = self._held.of(np.array(kept, np.int64))
        current = self._changes == self._names.changes
        known = {number: identity for identity, number in self._numbers.items()} if current else {}
        self._begin()
        self.parts += parts
        self.unnamed += unnamed
        self._numbers = {known[number]: new for new, number in enumerate(kept, 1) if number in known}
        self._held.add(keys, count)
        return dict(zip(kept, range(1, len(self.parts)), strict=True))
