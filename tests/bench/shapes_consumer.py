"""Consumer groups of the new protocol, as their coordinator writes them: epochs, targets, and each member's way there.

References: GroupMetadataManager.consumerGroupHeartbeat and CurrentAssignmentBuilder. The same bytes every time.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterable, Iterator

from tests.bench.generate import SEED
from tests.consumer_records import commit_4, gone, held, member, target, target_epoch
from tests.consumer_records import epoch as epoch_of
from tests.segment_builder import BASE_TIME_MS, Header, Pair, batch

_GROUPS = 300
_FEWEST_MEMBERS, _MOST_MEMBERS = 3, 40
_CHANGE_EVERY = 80  # records
_BATCH = 50
_BIG_GROUP_MEMBERS, _BIG_GROUP_TOPICS, _BIG_GROUP_EACH = 500, 10, 2

_Partition = tuple[int, int]  # topic, partition


def consumer_changes(records: int) -> Iterator[bytes]:
    """Groups of 3 to 40 members: their commits and, one in eighty records, a member that comes or goes."""
    rnd = random.Random(SEED)
    groups = [_Group(rnd, number) for number in range(_GROUPS)]
    waiting: list[Pair] = [pair for group in groups for pair in group.begin()]
    offset = 0
    while offset < records:
        while len(waiting) < _BATCH:
            group = rnd.choice(groups)
            waiting += group.change() if rnd.random() * _CHANGE_EVERY < 1 else [group.commit()]
        pairs, waiting = waiting[: min(_BATCH, records - offset)], waiting[_BATCH:]
        yield batch(pairs, Header(offset, timestamp=BASE_TIME_MS + offset))
        offset += len(pairs)


def consumer_members(records: int) -> Iterator[bytes]:
    """One group of 500 members of ten topics: at every epoch all hold what they held, but for two that change places.

    Each epoch ends with a commit for every topic.
    """
    names = [f"member-{number:05}" for number in range(_BIG_GROUP_MEMBERS)]
    owned = [[(topic, number * _BIG_GROUP_EACH + at) for topic in range(_BIG_GROUP_TOPICS)
              for at in range(_BIG_GROUP_EACH)] for number in range(_BIG_GROUP_MEMBERS)]  # fmt: skip
    offset, epoch = 0, 0
    while offset < records:
        epoch += 1
        taken = epoch % _BIG_GROUP_MEMBERS
        owned[taken], owned[taken - 1] = owned[taken - 1], owned[taken]
        pairs = [epoch_of("big", epoch), target_epoch("big", epoch)]
        pairs += [held("big", name, epoch, _by_topic(owns)) for name, owns in zip(names, owned, strict=True)]
        pairs += [_commit("big", topic, epoch % _BIG_GROUP_MEMBERS, epoch) for topic in range(_BIG_GROUP_TOPICS)]
        for first in range(0, min(len(pairs), records - offset), _BATCH):
            part = pairs[first : min(first + _BATCH, records - offset)]
            yield batch(part, Header(offset + first, timestamp=BASE_TIME_MS + offset + first))
        offset += len(pairs)


class _Group:
    """A consumer group whose members come and go; all partitions are always some member's target."""

    def __init__(self, rnd: random.Random, number: int) -> None:
        self._rnd = rnd
        self._name = f"payments-service-{number}"
        self._topics = (number % 20, 20 + number % 15)
        self._owned: dict[str, list[_Partition]] = {}
        self._partitions = 2 * rnd.randint(_FEWEST_MEMBERS, _MOST_MEMBERS)
        self._members = self._partitions // 2
        self._epoch = 0
        self._committed = 0

    def begin(self) -> list[Pair]:
        """The first epoch: all come at once."""
        parts = [(topic, number) for topic in self._topics for number in range(self._partitions)]
        names = [self._newcomer() for _ in range(self._members)]
        self._owned = {name: parts[at :: self._members] for at, name in enumerate(names)}
        return [*(self._member(name) for name in names), *self._rebalanced(dict.fromkeys(names, ()))]

    def change(self) -> list[Pair]:
        """A member comes or goes: what the coordinator writes until all have reached the new epoch."""
        owned, before = self._owned, {name: tuple(parts) for name, parts in self._owned.items()}
        if len(owned) > _FEWEST_MEMBERS and (len(owned) == _MOST_MEMBERS or self._rnd.random() < 0.5):
            left = self._rnd.choice(list(owned))
            for part in owned.pop(left):
                min(owned.values(), key=len).append(part)
            del before[left]
            return [*gone(self._name, left), *self._rebalanced(before)]
        name = self._newcomer()
        before[name] = ()
        given = [max(owned.values(), key=len).pop() for _ in range(2 * self._partitions // (len(owned) + 1))]
        owned[name] = given
        return [self._member(name), *self._rebalanced(before)]

    def commit(self) -> Pair:
        self._committed += 1
        topic, partition = self._rnd.choice(self._topics), self._rnd.randrange(self._partitions)
        return _commit(self._name, topic, partition, self._committed)

    def _rebalanced(self, before: dict[str, tuple[_Partition, ...]]) -> list[Pair]:
        """A new epoch: the targets that change, and every member's steps to its own."""
        self._epoch += 1
        name, epoch = self._name, self._epoch
        changed = [one for one, parts in self._owned.items() if tuple(parts) != before[one]]
        pairs = [epoch_of(name, epoch)]
        pairs += [target(name, one, _by_topic(self._owned[one])) for one in changed]
        pairs.append(target_epoch(name, epoch))
        for one, parts in self._owned.items():
            kept = [part for part in before[one] if part in parts]
            if revoked := [part for part in before[one] if part not in parts]:
                pairs.append(held(name, one, epoch - 1, _by_topic(kept), _by_topic(revoked)))
            pairs.append(held(name, one, epoch, _by_topic(parts)))
        return pairs

    def _newcomer(self) -> str:
        return str(uuid.UUID(int=self._rnd.getrandbits(128)))

    def _member(self, name: str) -> Pair:
        return member(self._name, name, map(_topic, self._topics))


def _commit(group: str, topic: int, partition: int, committed: int) -> Pair:
    return commit_4(group, _topic(topic), _topic_id(topic), partition, committed)


def _by_topic(parts: Iterable[_Partition]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for topic, partition in sorted(parts):
        found.setdefault(_topic_id(topic), []).append(partition)
    return found


def _topic(number: int) -> str:
    return f"orders.events.v{number}"


def _topic_id(number: int) -> str:
    return uuid.uuid5(uuid.NAMESPACE_URL, _topic(number)).hex
