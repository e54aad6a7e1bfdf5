"""What the members of classic generations hold: all generations of a chunk at once.

Most list the same members as the one before, so what a member holds is looked up once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

import numpy as np

from offdecode.growing import make_room
from offdecode.history.groups.images import Assigned, ClassicHolding, Member, Who
from offdecode.history.movements.commit_columns import CommitKeys
from offdecode.history.movements.key_lists import KeyLists
from offdecode.history.movements.timeline import Timeline
from offdecode.history.numbers import Numbers
from offdecode.model import ABSENT, Vector, bounds, stable_order

_MOST_KNOWN = 1 << 16  # members that are kept


class _New(NamedTuple):
    """A generation that is to be noted. place: of its record, in its chunk."""

    group: int
    place: int
    holding: ClassicHolding

    @property
    def epoch(self) -> int:
        return ABSENT if self.holding.epoch is None else self.holding.epoch


@dataclass(frozen=True, slots=True)
class RosterKeys:
    """What a generation holds: keys, and for each the number of the member that lists it."""

    epoch: int
    members: tuple[Member, ...]
    keys: Vector
    owners: Vector


class Rosters:
    """The generations of classic groups, in the order of the log. number_of: the number of a member."""

    def __init__(self, keys: CommitKeys, number_of: Callable[[Who], int]) -> None:
        self._keys = keys
        self._number_of = number_of
        self._latest: dict[int, RosterKeys] = {}  # by group
        self._new: dict[int, list[_New]] = defaultdict(list)  # by group
        self._begin(0)

    def _begin(self, book: int) -> None:
        self._book = book
        self._known = Numbers()  # members of groups, by number of the group and the book's of the member
        self._owner = np.empty(0, np.int64)  # by number of these
        self._held = KeyLists()  # by the same

    def add(self, group: int, holding: ClassicHolding, place: int) -> None:
        """Take a generation."""
        self._new[group].append(_New(group, place, holding))

    def pop(self, group: int, timeline: Timeline, book: int) -> RosterKeys | None:
        """What the group holds, which is not known here any longer; None where it is not."""
        if group in self._new:
            self.note(timeline, book)
        return self._latest.pop(group, None)

    def note(self, timeline: Timeline, book: int) -> None:
        """Note what was taken. book: that of all numbers in it."""
        if not self._new:
            return
        if book != self._book or len(self._known) > _MOST_KNOWN:
            self._begin(book)
        before = [self._latest[group] for group in self._new if group in self._latest]
        old = len(before)
        new = list(chain.from_iterable(self._new.values()))
        first: list[int] = []  # of the new ones, the first one of each group that has one before
        following: list[int] = []  # behind each new one the next of its group
        count = old
        for group, generations in self._new.items():
            if group in self._latest:
                first.append(count)
            count += len(generations)
            following += [*range(count - len(generations) + 1, count), -1]
        key, owner, counts = self._keys_of(new)
        counts = np.concatenate((np.array([len(one.keys) for one in before], np.int64), counts))
        key = np.concatenate((*(one.keys for one in before), key))
        at = np.repeat(np.arange(len(counts)), counts)
        place = np.array([0] * old + [one.place for one in new], np.int64)
        epoch = np.array([one.epoch for one in before] + [one.epoch for one in new], np.int64)
        # A key is left where the group's next generation is not the next one that holds it.
        order = stable_order(key)
        left, by = key[order], at[order]
        next_by = np.append(by[1:], -1)
        next_by[:-1][left[1:] != left[:-1]] = -1
        then = np.array(first + following, np.int64)[by]
        gone = (then >= 0) & (next_by != then)
        # Where several members of one generation hold it, it is not; but what is noted later holds.
        timeline.note_all(left[gone], place[then[gone]], -1, ABSENT)
        start = int(counts[:old].sum())
        timeline.note_all(key[start:], place[at[start:]], owner, epoch[at[start:]])
        self._new.clear()
        self._keep(new, key[start:], owner, bounds(counts[old:]).tolist())

    def _keep(self, new: Sequence[_New], key: Vector, owner: Vector, begin: Sequence[int]) -> None:
        """The last generation of each group is what it holds."""
        for index in {one.group: index for index, one in enumerate(new)}.values():
            one, part = new[index], slice(begin[index], begin[index + 1])
            self._latest[one.group] = RosterKeys(one.epoch, one.holding.members, key[part].copy(), owner[part].copy())

    def _keys_of(self, new: Sequence[_New]) -> tuple[Vector, Vector, Vector]:
        """The keys of generations, one after the other, their owners, and how many keys each has."""
        sizes = np.array([len(one.holding.numbers) for one in new], np.int64)
        group = np.repeat(np.array([one.group for one in new], np.int64), sizes)
        number = np.concatenate([one.holding.numbers for one in new])
        count_known = len(self._known)
        known = self._known.find(group << 32 | number)
        if len(self._known) > count_known:
            unknown = np.flatnonzero(known >= count_known)
            at = np.empty(len(self._known) - count_known, np.int64)
            at[known[unknown] - count_known] = unknown  # one of each
            members = list(chain.from_iterable(one.holding.members for one in new))
            self._learn(count_known, group[at], [members[index] for index in at.tolist()])
        key, count = self._held.of(known)
        return key, np.repeat(self._owner[known], count), np.diff(bounds(count)[bounds(sizes)])

    def _learn(self, start: int, group: Vector, members: Sequence[Member]) -> None:
        """Look up what the members of groups hold. start: the number of the first one."""
        end = start + len(members)
        self._owner = make_room(self._owner, end)
        self._owner[start:end] = [self._number_of(member.who) for member in members]
        assignments: list[Sequence[Assigned]] = [member.assignment or () for member in members]
        items = list(chain.from_iterable(assignments))
        lengths = np.array(list(map(len, assignments)), np.int64)
        partitions = [item.partitions for item in items]
        keys = self._keys.of_lists(np.repeat(group, lengths), [item.topic or "" for item in items], partitions)
        sizes = np.array(list(map(len, partitions)), np.int64)
        self._held.add(keys, np.diff(bounds(sizes)[bounds(lengths)]))
