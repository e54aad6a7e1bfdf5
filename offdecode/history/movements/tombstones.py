"""Tombstones of offsets to their probable cause: no record says it, so each name comes with what speaks for it.

Tombstones of one group that were appended at one time are judged together: how much of the group and of each
topic is gone with them, how old the offsets were, whether the group's own tombstone came along, and what
happened to the topic in other groups.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from offdecode.growing import make_room
from offdecode.history.groups.images import Who
from offdecode.history.movements.commit_columns import CommitKeys
from offdecode.history.movements.effects import Events
from offdecode.history.movements.movement import Columns, Confidence, MovementKind, Signal, Steps
from offdecode.history.movements.retention import Retention
from offdecode.model import ABSENT, Mask, Vector, bounds, distinct, stable_order

_ONE_DELETION_MS = 2000  # tombstones of one topic's deletion in several groups lie within this


class Cause(IntEnum):
    """Why an offset was deleted."""

    EXPIRY = 0
    GROUP_DELETED = 1
    OFFSETS_DELETED = 2
    TOPIC_DELETED = 3
    GROUP_TYPE_CHANGED = 4
    UNKNOWN = 5


_FROM_LIKELY = (Cause.EXPIRY, Cause.GROUP_DELETED, Cause.TOPIC_DELETED, Cause.OFFSETS_DELETED)


@dataclass(frozen=True, slots=True)
class _Append:
    """The tombstones of one group at one time."""

    rows: Vector  # indices of the steps
    topics: tuple[int, ...]
    topic_left: bool  # some offset of its (only) topic stays in the group
    group_left: bool  # some offset stays in the group
    timestamp: int
    last_place: int


@dataclass(frozen=True, slots=True)
class _Burst:
    """In how many groups a topic went at one time; whether any keeps it; whether that time is over in the chunk.

    Where it is not, the next chunk may tell that the rest of the topic went too.
    """

    groups: int
    kept: bool
    over: bool


class Tombstones:
    """Names the causes of tombstones, chunk by chunk.

    members: what the numbers of owners stand for; retention_ms: the broker's offsets.retention.minutes, None = not
    known: then sweeps may show it, else the default is assumed; neither excludes anything.
    """

    def __init__(self, keys: CommitKeys, members: Sequence[Who], retention_ms: int | None = None) -> None:
        self._keys = keys
        self._members = members
        self._retention = Retention(retention_ms)
        self._live: dict[str, Vector] = {name: np.zeros(0, np.int64) for name in ("group", "pair", "topic")}
        self._deleted: dict[str, int] = {}  # by topic, when several groups lost it at once

    def name(
        self, steps: Steps, events: Events, ended: set[tuple[int, int]], turned: set[tuple[int, int]],
        oldest: Callable[[], int],
    ) -> None:  # fmt: skip
        """Fill in cause, signals and confidence of the chunk's tombstones.

        ended, turned: (group, log timestamp) of group tombstones and of changes of type. oldest: see Retention.
        """
        self._make_room()
        movement = steps.movement
        group, pair = steps.group, self._keys.pairs_of(movement["key"])
        topic = self._keys.pairs.topics_of(pair)
        numbers = {"group": group, "pair": pair, "topic": topic}
        gone = movement["kind"] == MovementKind.TOMBSTONE
        # What may have outlived its deletion does not show that a group or a topic keeps offsets.
        lives = (movement["before"] != ABSENT) & ~steps.leftover
        change = np.where(steps.effective, (~gone & (events["leftover"][steps.index] == 0)).astype(np.int64) - lives, 0)
        if gone.any():
            place = events["effect"][steps.index]
            left = {name: self._left(name, number, change, place, gone) for name, number in numbers.items()}
            appends = _appends(np.flatnonzero(gone), group, movement, place, topic, left)
            bursts = _bursts(appends, left["topic"], int(movement["log_timestamp"].max()))
            if not self._retention.told:
                sweeps = [append for append in appends if self._may_be_sweep(append, steps, events, turned)]
                ages = [(append.timestamp, _ages(append, steps, events)) for append in sweeps]
                self._retention.learn([(time, int(age.min())) for time, age in ages if age.size], oldest)
            self._judge_all(appends, bursts, steps, events, (ended, turned))
        for name, number in numbers.items():
            np.add.at(self._live[name], number, change)

    def _make_room(self) -> None:
        counts = {"group": len(self._keys.groups), "pair": len(self._keys.pairs), "topic": len(self._keys.pairs.topics)}
        for name, count in counts.items():
            self._live[name] = make_room(self._live[name], count)

    def _left(self, name: str, number: Vector, change: Vector, place: Vector, gone: Mask) -> Vector:
        """For each step the offsets that live behind it in its group, pair or topic; told where tombstones are."""
        rows = np.flatnonzero(np.isin(number, distinct(number[gone])))
        rows = rows[stable_order(place[rows], number[rows])]
        starts = np.flatnonzero(np.concatenate(([True], number[rows][1:] != number[rows][:-1])))
        start = np.repeat(starts, np.diff(np.append(starts, len(rows))))
        sums = bounds(change[rows])
        found = np.zeros(len(number), np.int64)
        found[rows] = self._live[name][number[rows]] + sums[1:] - sums[start]
        return found

    def _may_be_sweep(self, append: _Append, steps: Steps, events: Events, turned: set[tuple[int, int]]) -> bool:
        """Whether the broker's retention alone may have ended these offsets: the group was idle, they had no term."""
        index = steps.index[append.rows]
        return bool(
            append.timestamp != ABSENT
            and (steps.expires[append.rows] < 0).all()
            and (events["members"][index] == 0).all()
            and (int(events["group"][index[0]]), append.timestamp) not in turned
        )

    def _judge_all(
        self, appends: list[_Append], bursts: list[_Burst], steps: Steps, events: Events,
        told: tuple[set[tuple[int, int]], set[tuple[int, int]]],
    ) -> None:  # fmt: skip
        """told: what has ended, and what turned."""
        movement = steps.movement
        counts = np.array([len(append.rows) for append in appends])
        rows = np.concatenate([append.rows for append in appends])
        facts = self._facts(appends, rows, counts, steps, events)
        verdicts = [
            self._judge(append, burst, _Facts(*fact), told)
            for append, burst, fact in zip(appends, bursts, zip(*facts, strict=True), strict=True)
        ]
        cause, confidence, causes, signals = np.repeat(np.array(verdicts, np.int64), counts, axis=0).T
        movement["cause"][rows], movement["confidence"][rows], movement["causes"][rows] = cause, confidence, causes
        movement["signals"][rows] |= signals
        movement["signals"][rows[movement["before"][rows] == ABSENT]] |= int(Signal.NO_VALUE_BEFORE)

    def _facts(
        self, appends: list[_Append], rows: Vector, counts: Vector, steps: Steps, events: Events
    ) -> list[list[Any]]:
        """For all appends at once what _Facts says of each. rows: those of all, counts: how many each has."""
        first = np.cumsum(counts) - counts
        index = steps.index[rows]
        stamp = np.repeat(np.array([append.timestamp for append in appends]), counts)
        valued, expires = steps.movement["before"][rows] != ABSENT, steps.expires[rows]
        age = stamp - np.maximum(steps.committed[rows], events["empty_since"][index])
        bound = expires >= 0

        def some(mask: Mask) -> Mask:
            return np.logical_or.reduceat(mask, first)

        any_value = some(valued)
        timed = any_value & (stamp[first] != ABSENT)
        untold = timed & some(valued & ~bound)
        owner = events["owner"][index]
        vectors = {
            "group": events["group"][index[first]],
            "valued": any_value,
            "timed": timed,
            "past": timed & ~some(valued & (~bound | (expires > stamp))),
            "old": timed & ~some(valued & (age < self._retention.ms)),
            "young": timed & some(valued & np.where(bound, expires > stamp, age < self._retention.least_ms)),
            "assumed": untold & self._retention.assumed,
            "inferred": untold & self._retention.inferred,
            "first_era": some(events["key_type"][index] == 0),
            "known": ~some(events["known"][index] != 1),
            "empty": ~some(events["members"][index] != 0),
            "always_ends": ~some(events["new_coordinator"][index] != 1),
        }
        owners: list[set[int]] = [set()] * len(appends)
        for number in np.flatnonzero(some(owner >= 0)).tolist():
            own = owner[first[number] : first[number] + counts[number]]
            owners[number] = set(own[own >= 0].tolist())
        return [*(vectors[name].tolist() for name in _Facts._fields[:-1]), owners]

    def _judge(
        self, append: _Append, burst: _Burst, facts: _Facts, told: tuple[set[tuple[int, int]], set[tuple[int, int]]]
    ) -> tuple[int, int, int, int]:
        """Cause, confidence, the possible causes and the signals, as numbers."""
        when = facts.group, append.timestamp
        names = [self._keys.pairs.topics[topic] for topic in append.topics]
        one_topic = len(names) == 1
        before = self._deleted.get(names[0], ABSENT) if one_topic else ABSENT
        found = _Found(
            valued=facts.valued,
            past=facts.past,
            old=facts.old,
            young=facts.young,
            timed=facts.timed,
            assumed=facts.assumed,
            inferred=facts.inferred,
            first_era=facts.first_era,
            known=facts.known,
            empty=facts.empty,
            owned=bool(facts.owners) and self._subscribed(facts.owners, set(names)),
            ended=when in told[0],
            turned=when in told[1],
            group_left=append.group_left,
            one_topic=one_topic,
            topic_left=append.topic_left,
            others_keep=one_topic and burst.kept and burst.over,
            over=burst.over,
            others_too=one_topic and (burst.groups > 1 or abs(append.timestamp - before) <= _ONE_DELETION_MS),
            always_ends=facts.always_ends,
        )
        verdict = _verdict(found)
        if verdict[0] == Cause.TOPIC_DELETED and verdict[1] != Confidence.LOW:
            self._deleted.update(dict.fromkeys(names, append.timestamp))
        return verdict

    def _subscribed(self, owners: set[int], topics: set[str]) -> bool:
        """Whether a member that holds one of the partitions subscribes to its topic."""
        members = (self._members[number] for number in owners)
        return any(member.subscribed_topics is None or topics & set(member.subscribed_topics) for member in members)


class _Facts(NamedTuple):
    """What the tombstones of one append tell by themselves: see _Found. owners: numbers of members."""

    group: int
    valued: bool
    timed: bool
    past: bool
    old: bool
    young: bool
    assumed: bool
    inferred: bool
    first_era: bool
    known: bool
    empty: bool
    always_ends: bool
    owners: set[int]


@dataclass(frozen=True, slots=True)
class _Found:
    """What is known of the tombstones of one append.

    valued: some offset that they end is in the evidence; past: its expire timestamp is over, old: it is older
    than the retention; young: some offset cannot have expired; timed: times tell of that; assumed, inferred: by a
    retention that is not known, or that sweeps show; first_era: written by Kafka 0.8.2, which can do nothing to
    offsets but let them expire; known: the group has records; empty: it had no members; owned: a member held one of
    the partitions and subscribes to the topic; ended: the group's own tombstone came along; turned: the group changed
    its type; group_left, topic_left: offsets of the group, or of the one topic in it, stay; others_keep, others_too:
    other groups keep, lose offsets of the topic; over: no more groups can lose it at that time; always_ends: written
    by the new coordinator, which deletes no group without a tombstone of its own.
    """

    valued: bool
    past: bool
    old: bool
    young: bool
    timed: bool
    assumed: bool
    inferred: bool
    first_era: bool
    known: bool
    empty: bool
    owned: bool
    ended: bool
    turned: bool
    group_left: bool
    one_topic: bool
    topic_left: bool
    others_keep: bool
    others_too: bool
    over: bool
    always_ends: bool

    def possible(self) -> list[Cause]:
        """The causes that nothing here excludes, the likelier ones first."""
        if self.turned:
            return [Cause.GROUP_TYPE_CHANGED]
        return [cause for cause in _FROM_LIKELY if not self._excluded(cause)] or [Cause.UNKNOWN]

    def _excluded(self, cause: Cause) -> bool:
        if cause is Cause.EXPIRY:
            return self.young
        if self.first_era:
            return True
        if cause is Cause.GROUP_DELETED:
            return not self.ended and (self.group_left or not self.empty or self.always_ends)
        # The old coordinator ends an empty group with its last offset, whatever took that.
        by_group = self.ended and self.always_ends
        if cause is Cause.TOPIC_DELETED:
            return by_group or not self.one_topic or self.topic_left or self.others_keep
        return by_group or self.owned  # a coordinator refuses to delete offsets that members subscribe to

    def cause(self) -> tuple[Cause, Confidence]:
        """The likeliest cause."""
        possible = self.possible()
        whole_topic = Cause.TOPIC_DELETED in possible
        if len(possible) == 1:
            return possible[0], Confidence.LOW if Cause.UNKNOWN in possible else Confidence.HIGH
        expired = Cause.EXPIRY in possible and self.empty and (self.past or self.old)
        if whole_topic and (self.owned or self.others_too) and not (expired and self.old):
            unsure = expired or Cause.GROUP_DELETED in possible or not (self.owned or self.over)
            sure = Confidence.MEDIUM if unsure else Confidence.HIGH
            return Cause.TOPIC_DELETED, sure if self.valued else Confidence.LOW
        if not self.valued:
            return Cause.UNKNOWN, Confidence.LOW
        if Cause.EXPIRY in possible and not self.timed:
            return Cause.EXPIRY, Confidence.LOW
        if Cause.EXPIRY in possible and (self.past or self.old):
            doubtful = not self.empty or self.inferred or (whole_topic and self.others_too)
            return Cause.EXPIRY, Confidence.MEDIUM if doubtful else Confidence.HIGH
        if Cause.GROUP_DELETED in possible:
            if self.ended and Cause.EXPIRY not in possible:
                return Cause.GROUP_DELETED, Confidence.HIGH
            return Cause.GROUP_DELETED, Confidence.LOW if whole_topic else Confidence.MEDIUM
        return Cause.OFFSETS_DELETED, Confidence.LOW

    def signals(self) -> Signal:
        marks = {
            Signal.TYPE_CHANGED: self.turned,
            Signal.PAST_EXPIRE_TIMESTAMP: self.past,
            Signal.PAST_RETENTION: self.old,
            Signal.GROUP_TOMBSTONE: self.ended,
            Signal.RETENTION_ASSUMED: self.assumed,
            Signal.RETENTION_INFERRED: self.inferred,
            Signal.GROUP_EMPTY: self.empty and self.known,
            Signal.GROUP_UNKNOWN: not self.known,
            Signal.PARTITION_OWNED: self.owned,
            Signal.WHOLE_GROUP: not self.group_left,
            Signal.WHOLE_TOPIC: self.one_topic and not self.topic_left,
            Signal.OTHER_GROUPS_TOO: self.others_too,
            Signal.OTHER_GROUPS_KEEP_TOPIC: self.others_keep and not self.others_too,
        }
        found = Signal(0)
        for signal, marked in marks.items():
            if marked:
                found |= signal
        return found


@lru_cache(1 << 12)
def _verdict(found: _Found) -> tuple[int, int, int, int]:
    """Cause, confidence, the possible causes and the signals, as numbers: few combinations come time and again."""
    cause, confidence = found.cause()
    return int(cause), int(confidence), sum(1 << other for other in found.possible()), int(found.signals())


def _ages(append: _Append, steps: Steps, events: Events) -> Vector:
    """For how long the broker had kept the offsets that an append ends, in milliseconds, as far as they are known."""
    valued = steps.movement["before"][append.rows] != ABSENT
    since = np.maximum(steps.committed[append.rows], events["empty_since"][steps.index[append.rows]])
    return np.asarray(append.timestamp - since[valued])


def _appends(
    rows: Vector, group: Vector, movement: Columns, place: Vector, topic: Vector, left: dict[str, Vector]
) -> list[_Append]:
    """Tombstones by group and time; where there are no timestamps, by group and as they follow each other."""
    timestamp = movement["log_timestamp"]
    rows = rows[stable_order(place[rows], timestamp[rows], group[rows])]
    new = np.ones(len(rows), np.bool_)
    timeless = timestamp[rows[1:]] == ABSENT
    new[1:] = (group[rows[1:]] != group[rows[:-1]]) | (timestamp[rows[1:]] != timestamp[rows[:-1]])
    new[1:] |= timeless & (place[rows[1:]] != place[rows[:-1]] + 1)
    found = []
    for part in np.split(rows, np.flatnonzero(new)[1:]):
        last = part[-1]
        topics = tuple(sorted(set(topic[part].tolist())))
        found.append(_Append(
            part, topics, bool(left["pair"][last] > 0), bool(left["group"][last] > 0), int(timestamp[last]),
            int(place[last]),
        ))  # fmt: skip
    return found


def _bursts(appends: list[_Append], topic_left: Vector, latest: int) -> list[_Burst]:
    """For each append of one topic what happened to the topic at that time. latest: the chunk's latest timestamp."""
    by_topic: dict[int, list[int]] = {}
    for number, append in enumerate(appends):
        if len(append.topics) == 1:
            by_topic.setdefault(append.topics[0], []).append(number)
    found = [_Burst(1, True, True)] * len(appends)
    for numbers in by_topic.values():
        numbers.sort(key=lambda number: appends[number].last_place)
        burst: list[int] = []
        for number, following in zip(numbers, [*numbers[1:], None], strict=True):
            burst.append(number)
            apart = following is None or appends[following].timestamp - appends[number].timestamp > _ONE_DELETION_MS
            if apart:
                over = appends[number].timestamp + _ONE_DELETION_MS < latest
                kept = bool(topic_left[appends[number].rows[-1]] > 0)
                for member in burst:
                    found[member] = _Burst(len(burst), kept, over)
                burst = []
    return found
