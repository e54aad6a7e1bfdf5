"""Consumer groups of the new protocol, as their coordinator writes them: epochs, targets, and each member's way there.

References: GroupMetadataManager.consumerGroupHeartbeat and CurrentAssignmentBuilder. The same bytes every time.
"""

from __future__ import annotations

import random
import struct
import uuid
from collections.abc import Iterable, Iterator

from tests.bench.generate import SEED
from tests.segment_builder import BASE_TIME_MS, Header, Pair, batch, text

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
        pairs = [_epoch("big", epoch), _target_epoch("big", epoch)]
        pairs += [_held("big", name, epoch, owns) for name, owns in zip(names, owned, strict=True)]
        pairs += [_commit("big", topic, epoch % _BIG_GROUP_MEMBERS, epoch, epoch) for topic in range(_BIG_GROUP_TOPICS)]
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
            gone = self._rnd.choice(list(owned))
            for part in owned.pop(gone):
                min(owned.values(), key=len).append(part)
            del before[gone]
            return [*_gone(self._name, gone), *self._rebalanced(before)]
        name = self._newcomer()
        before[name] = ()
        given = [max(owned.values(), key=len).pop() for _ in range(2 * self._partitions // (len(owned) + 1))]
        owned[name] = given
        return [self._member(name), *self._rebalanced(before)]

    def commit(self) -> Pair:
        self._committed += 1
        topic, partition = self._rnd.choice(self._topics), self._rnd.randrange(self._partitions)
        return _commit(self._name, topic, partition, self._committed, self._epoch)

    def _rebalanced(self, before: dict[str, tuple[_Partition, ...]]) -> list[Pair]:
        """A new epoch: the targets that change, and every member's steps to its own."""
        self._epoch += 1
        name, epoch = self._name, self._epoch
        changed = [member for member, parts in self._owned.items() if tuple(parts) != before[member]]
        pairs = [_epoch(name, epoch)]
        pairs += [_target(name, member, self._owned[member]) for member in changed]
        pairs.append(_target_epoch(name, epoch))
        for member, parts in self._owned.items():
            kept = [part for part in before[member] if part in parts]
            if revoked := [part for part in before[member] if part not in parts]:
                pairs.append(_held(name, member, epoch - 1, kept, revoked))
            pairs.append(_held(name, member, epoch, parts))
        return pairs

    def _newcomer(self) -> str:
        return str(uuid.UUID(int=self._rnd.getrandbits(128)))

    def _member(self, member: str) -> Pair:
        value = struct.pack(">h", 0) + b"\0" + b"\0" + _compact(f"consumer-{self._name}".encode())
        value += _compact(b"/10.20.30.40") + _array(_compact(_topic(topic).encode()) for topic in self._topics)
        value += _compact(b"") + struct.pack(">i", 300_000) + _compact(b"uniform") + b"\0"
        return _key(5, self._name, member), value


def _commit(group: str, topic: int, partition: int, committed: int, epoch: int) -> Pair:
    """Of value version 4, which names the topic's id."""
    key = struct.pack(">h", 1) + text(group) + text(_topic(topic)) + struct.pack(">i", partition)
    value = struct.pack(">hqi", 4, committed, epoch) + _compact(b"") + struct.pack(">q", BASE_TIME_MS)
    return key, value + b"\x01\x00\x10" + _topic_id(topic)


def _epoch(group: str, epoch: int) -> Pair:
    return _key(3, group), struct.pack(">hi", 0, epoch) + b"\0"


def _target_epoch(group: str, epoch: int) -> Pair:
    return _key(6, group), struct.pack(">hi", 0, epoch) + b"\0"


def _target(group: str, member: str, parts: Iterable[_Partition]) -> Pair:
    return _key(7, group, member), struct.pack(">h", 0) + _by_topic(parts) + b"\0"


def _held(group: str, member: str, epoch: int, parts: Iterable[_Partition], revoked: Iterable[_Partition] = ()) -> Pair:
    state = 1 if revoked else 0
    value = struct.pack(">hiib", 0, epoch, max(epoch - 1, 0), state)
    return _key(8, group, member), value + _by_topic(parts) + _by_topic(revoked) + b"\0"


def _gone(group: str, member: str) -> list[Pair]:
    return [(_key(kind, group, member), None) for kind in (8, 7, 5)]


def _key(kind: int, *parts: str) -> bytes:
    return struct.pack(">h", kind) + b"".join(map(text, parts))


def _by_topic(parts: Iterable[_Partition]) -> bytes:
    topics: dict[int, list[int]] = {}
    for topic, partition in sorted(parts):
        topics.setdefault(topic, []).append(partition)
    return _array(
        _topic_id(topic) + _array(struct.pack(">i", partition) for partition in partitions) + b"\0"
        for topic, partitions in topics.items()
    )


def _array(items: Iterable[bytes]) -> bytes:
    """A compact array."""
    listed = list(items)
    return _uvarint(len(listed) + 1) + b"".join(listed)


def _compact(data: bytes) -> bytes:
    return _uvarint(len(data) + 1) + data


def _uvarint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*out, number))


def _topic(number: int) -> str:
    return f"orders.events.v{number}"


def _topic_id(number: int) -> bytes:
    return uuid.uuid5(uuid.NAMESPACE_URL, _topic(number)).bytes
