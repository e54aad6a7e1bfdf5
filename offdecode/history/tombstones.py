"""Tombstones of offsets to their probable cause: no record says it, so each name comes with what speaks for it.

Tombstones of one group that were appended at one time are judged together: how much of the group and of each
topic is gone with them, how old the offsets were, whether the group's own tombstone came along, and what
happened to the topic in other groups.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from offdecode.history.commit_columns import ABSENT, CommitColumns, CommitKeys
from offdecode.history.movements import Confidence, Kind, Movements, Signal, Steps
from offdecode.history.owners import Joined
from offdecode.model import Mask, Vector

DEFAULT_RETENTION_MS = 7 * 24 * 3600 * 1000  # offsets.retention.minutes since Kafka 2.0
_ONE_DELETION_MS = 2000  # tombstones of one topic's deletion in several groups lie within this


class Cause(IntEnum):
    EXPIRY = 0
    GROUP_DELETED = 1
    OFFSETS_DELETED = 2
    TOPIC_DELETED = 3
    GROUP_TYPE_CHANGED = 4
    UNKNOWN = 5


@dataclass(frozen=True, slots=True)
class _Append:
    """The tombstones of one group at one time."""

    rows: Vector  # indices of the steps
    topics: tuple[int, ...]
    topic_left: bool  # some offset of its (only) topic stays in the group
    group_left: bool  # some offset stays in the group
    timestamp: int
    last_place: int


class Tombstones:
    """Names the causes of tombstones, chunk by chunk. retention_ms: the broker's offsets.retention.minutes."""

    def __init__(self, keys: CommitKeys, retention_ms: int = DEFAULT_RETENTION_MS) -> None:
        self._keys = keys
        self._retention_ms = retention_ms
        self._topics: dict[tuple[int | None, str], int] = {}  # by log partition and name
        self._pair_topic = np.empty(0, np.int64)
        self._live: dict[str, Vector] = {name: np.zeros(0, np.int64) for name in ("group", "pair", "topic")}
        self._deleted: dict[str, int] = {}  # by topic, when several groups lost it at once

    def name(
        self, steps: Steps, commits: CommitColumns, joined: Joined, ended: set[tuple[int, int]],
        turned: set[tuple[int, int]],
    ) -> None:  # fmt: skip
        """Fill in cause, signals and confidence of the chunk's tombstones.

        ended, turned: (group, log timestamp) of group tombstones and of changes of type.
        """
        self._learn_pairs()
        movement = steps.movement
        group = commits.group[steps.index]
        pair = self._keys.pairs_of(movement["key"])
        numbers = {"group": group, "pair": pair, "topic": self._pair_topic[pair]}
        gone = movement["kind"] == Kind.TOMBSTONE
        change = np.where(steps.effective & (movement["before"] == ABSENT) & ~gone, 1, 0)
        change[gone & (movement["before"] != ABSENT)] = -1
        if gone.any():
            place = commits.place[steps.index]
            left = {name: self._left(name, number, change, place, gone) for name, number in numbers.items()}
            appends = _appends(np.flatnonzero(gone), group, movement, place, numbers["topic"], left)
            bursts = _bursts(appends, left["topic"], numbers["topic"])
            for append, (groups, topic_left) in zip(appends, bursts, strict=True):
                self._judge(append, groups, topic_left, steps, joined, group, ended, turned)
        for name, number in numbers.items():
            np.add.at(self._live[name], number, change)

    def _learn_pairs(self) -> None:
        topics = [
            self._topics.setdefault((self._keys.groups[group][0], topic), len(self._topics))
            for group, topic in self._keys.pairs[len(self._pair_topic) :]
        ]
        self._pair_topic = np.concatenate((self._pair_topic, np.array(topics, np.int64)))
        counts = {"group": len(self._keys.groups), "pair": len(self._pair_topic), "topic": len(self._topics)}
        for name, count in counts.items():
            missing = count - len(self._live[name])
            self._live[name] = np.concatenate((self._live[name], np.zeros(max(missing, 0), np.int64)))

    def _left(self, name: str, number: Vector, change: Vector, place: Vector, gone: Mask) -> Vector:
        """For each step the offsets that live behind it in its group, pair or topic; told where tombstones are."""
        rows = np.flatnonzero(np.isin(number, np.unique(number[gone])))
        rows = rows[np.lexsort((place[rows], number[rows]))]
        starts = np.flatnonzero(np.concatenate(([True], number[rows][1:] != number[rows][:-1])))
        start = np.repeat(starts, np.diff(np.append(starts, len(rows))))
        sums = np.concatenate((np.zeros(1, np.int64), np.cumsum(change[rows])))
        found = np.zeros(len(number), np.int64)
        found[rows] = self._live[name][number[rows]] + sums[1:] - sums[start]
        return found

    def _judge(
        self, append: _Append, groups: int, topic_left: bool, steps: Steps, joined: Joined, group: Vector,
        ended: set[tuple[int, int]], turned: set[tuple[int, int]],
    ) -> None:  # fmt: skip
        rows = append.rows
        movement, index = steps.movement, steps.index[rows]
        when = int(group[rows[0]]), append.timestamp
        owned = bool((joined.owner[index] >= 0).any())
        empty = bool((joined.members[index] == 0).all())
        valued = movement["before"][rows] != ABSENT
        expires = steps.expires[rows]
        past = bool(valued.any() and (expires[valued] >= 0).all() and (expires[valued] <= append.timestamp).all())
        age = append.timestamp - np.maximum(steps.committed[rows], joined.empty_since[index])
        old = bool(valued.any() and append.timestamp != ABSENT and (age[valued] >= self._retention_ms).all())
        one_topic = len(append.topics) == 1
        names = {self._keys.pairs[pair][1] for pair in np.unique(self._keys.pairs_of(movement["key"][rows])).tolist()}
        earlier = min((self._deleted.get(name, ABSENT) for name in names), default=ABSENT)
        others = one_topic and (groups > 1 or abs(append.timestamp - earlier) <= _ONE_DELETION_MS)
        cause, confidence = Cause.UNKNOWN, Confidence.LOW
        if when in turned:
            cause, confidence = Cause.GROUP_TYPE_CHANGED, Confidence.MEDIUM
        elif past:
            cause, confidence = Cause.EXPIRY, Confidence.HIGH
        elif old:
            cause, confidence = Cause.EXPIRY, Confidence.HIGH if empty else Confidence.MEDIUM
        elif when in ended:
            cause, confidence = Cause.GROUP_DELETED, Confidence.HIGH
        elif not valued.any():
            pass
        elif one_topic and (owned or (others and not append.topic_left and not topic_left)):
            cause, confidence = Cause.TOPIC_DELETED, Confidence.HIGH
        elif not append.group_left and empty:
            alone = one_topic and not topic_left
            cause, confidence = Cause.GROUP_DELETED, Confidence.LOW if alone else Confidence.MEDIUM
        elif one_topic and not append.topic_left and not topic_left:
            cause, confidence = Cause.TOPIC_DELETED, Confidence.LOW
        else:
            cause, confidence = Cause.OFFSETS_DELETED, Confidence.MEDIUM
        if cause is Cause.TOPIC_DELETED and confidence is Confidence.HIGH:
            self._deleted.update(dict.fromkeys(names, append.timestamp))
        marks = (
            (when in turned, Signal.TYPE_CHANGED),
            (past, Signal.PAST_EXPIRE_TIMESTAMP),
            (old, Signal.PAST_RETENTION),
            (when in ended, Signal.GROUP_TOMBSTONE),
            (empty, Signal.GROUP_EMPTY),
            (owned, Signal.PARTITION_OWNED),
            (not append.group_left, Signal.WHOLE_GROUP),
            (one_topic and not append.topic_left, Signal.WHOLE_TOPIC),
            (others, Signal.OTHER_GROUPS_TOO),
            (one_topic and topic_left, Signal.OTHER_GROUPS_KEEP_TOPIC),
        )
        movement["cause"][rows] = cause
        movement["confidence"][rows] = confidence
        movement["signals"][rows] |= sum(int(signal) for mark, signal in marks if mark)
        movement["signals"][rows[~valued]] |= int(Signal.NO_VALUE_BEFORE)


def _appends(
    rows: Vector, group: Vector, movement: Movements, place: Vector, topic: Vector, left: dict[str, Vector]
) -> list[_Append]:
    """Tombstones by group and time; where there are no timestamps, by group and as they follow each other."""
    timestamp = movement["log_timestamp"]
    rows = rows[np.lexsort((place[rows], timestamp[rows], group[rows]))]
    new = np.ones(len(rows), np.bool_)
    timeless = timestamp[rows[1:]] == ABSENT
    new[1:] = (group[rows[1:]] != group[rows[:-1]]) | (timestamp[rows[1:]] != timestamp[rows[:-1]])
    new[1:] |= timeless & (place[rows[1:]] != place[rows[:-1]] + 1)
    found = []
    for part in np.split(rows, np.flatnonzero(new)[1:]):
        last = part[-1]
        topics = tuple(np.unique(topic[part]).tolist())
        found.append(_Append(
            part, topics, bool(left["pair"][last] > 0), bool(left["group"][last] > 0), int(timestamp[last]),
            int(place[last]),
        ))  # fmt: skip
    return found


def _bursts(appends: list[_Append], topic_left: Vector, topic: Vector) -> list[tuple[int, bool]]:
    """For each append of one topic: in how many groups the topic went at that time, and whether any keeps it."""
    by_topic: dict[int, list[int]] = {}
    for number, append in enumerate(appends):
        if len(append.topics) == 1:
            by_topic.setdefault(append.topics[0], []).append(number)
    found = [(1, True)] * len(appends)
    for numbers in by_topic.values():
        numbers.sort(key=lambda number: appends[number].last_place)
        burst: list[int] = []
        for number, following in zip(numbers, [*numbers[1:], None], strict=True):
            burst.append(number)
            apart = following is None or appends[following].timestamp - appends[number].timestamp > _ONE_DELETION_MS
            if apart:
                kept = bool(topic_left[appends[number].rows[-1]] > 0)
                for member in burst:
                    found[member] = len(burst), kept
                burst = []
    return found
