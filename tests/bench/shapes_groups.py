"""Names of shapes that questions about groups and transactions find hard to segments of them.

Whole logs in small: many groups, many keys, big groups, open transactions. The same bytes every time.
"""

from __future__ import annotations

import itertools
import random
import struct
import uuid
from collections.abc import Iterable, Iterator

from tests.bench.generate import SEED, Shape
from tests.bench.shapes_consumer import consumer_changes, consumer_members
from tests.segment_builder import BASE_TIME_MS, TRANSACTIONAL, Header, Pair, batch, commit, marker, text

_BATCH = 500
_KEYS_GROUPS = 1000
_MIXED_GROUPS = 300
_FEWEST_MEMBERS, _MOST_MEMBERS = 3, 40
_GENERATION_EVERY = 80  # records
_BIG_GROUP_MEMBERS = 20_000
_IN_OPEN, _IN_DECIDED = 5, 3  # commits of a transaction
_FLEET_GROUPS, _FLEET_PARTITIONS, _FLEET_BATCH = 2000, 3, 50
_FLEET_REWIND_EVERY, _FLEET_GENERATION_EVERY = 5000, 200  # records
_MONTH_MS = 30 * 86_400_000
_AT_ONCE = 50  # transactions that overlap


def many_groups(records: int) -> Iterator[bytes]:
    """Groups with one commit each."""
    return _plain(commit(f"consumer-group-{number}", "orders", number % 12, number) for number in range(records))


def many_keys(records: int) -> Iterator[bytes]:
    """As many keys as records, of a thousand groups."""
    keys = (divmod(number, _KEYS_GROUPS) for number in range(records))
    return _plain(commit(f"group-{group}", f"topic-{at % 20}", at // 20, at) for at, group in keys)


def group_changes(records: int) -> Iterator[bytes]:
    """Groups of 3 to 40 members: their commits and, one in eighty records, a generation with a member more or less."""
    rnd = random.Random(SEED)
    groups = [_Group(rnd, number) for number in range(_MIXED_GROUPS)]
    pairs: list[Pair] = []
    offset = 0
    while offset < records:
        wanted = min(rnd.randint(1, 50), records - offset)
        pairs = [
            rnd.choice(groups).generation() if rnd.random() * _GENERATION_EVERY < 1 else rnd.choice(groups).commit()
            for _ in range(wanted)
        ]  # fmt: skip
        yield batch(pairs, Header(offset, timestamp=BASE_TIME_MS + offset))
        offset += wanted


def big_group(records: int) -> Iterator[bytes]:
    """Generations of one group of 20,000 members; in each of them one member is another."""
    members = [f"member-{number:05}" for number in range(_BIG_GROUP_MEMBERS)]
    for generation in range(1, records + 1):
        members[generation % len(members)] = f"member-{generation + _BIG_GROUP_MEMBERS:05}"
        pair = _generation("big", generation, ("orders",), members, 1)
        yield batch([pair], Header(generation - 1, timestamp=BASE_TIME_MS + generation))


def open_transactions(records: int) -> Iterator[bytes]:
    """Transactions of five commits, each of a producer of its own, that nothing ends."""
    for number in range(records // _IN_OPEN):
        yield _transaction(number * _IN_OPEN, number, _IN_OPEN)


def decided_transactions(records: int) -> Iterator[bytes]:
    """Transactions of three commits, fifty at once, then their markers; one in five is aborted."""
    offset = 0
    count = records // (_IN_DECIDED + 1)
    for first in range(0, count, _AT_ONCE):
        under_way = range(first, min(first + _AT_ONCE, count))
        for number in under_way:
            yield _transaction(offset, number, _IN_DECIDED)
            offset += _IN_DECIDED
        for number in under_way:
            yield marker(offset, number, commit=number % 5 > 0)
            offset += 1


def fleet(records: int) -> Iterator[bytes]:
    """A month of 2,000 groups of three partitions each: they advance, some rewind; each has generations."""
    rnd = random.Random(SEED)
    at = [[0] * _FLEET_PARTITIONS for _ in range(_FLEET_GROUPS)]
    generation = [0] * _FLEET_GROUPS
    step = _MONTH_MS * _FLEET_BATCH // max(records, _FLEET_BATCH)
    for offset in range(0, records, _FLEET_BATCH):
        pairs: list[Pair] = []
        for _ in range(min(_FLEET_BATCH, records - offset)):
            group = rnd.randrange(_FLEET_GROUPS)
            name, partition = f"service-{group}", rnd.randrange(_FLEET_PARTITIONS)
            if rnd.random() * _FLEET_GENERATION_EVERY < 1:
                generation[group] += 1
                members = [f"{name}-{number + generation[group]}" for number in range(_FLEET_PARTITIONS)]
                pairs.append(_generation(name, generation[group], (f"topic-{group % 100}",), members, 1))
                continue
            back = rnd.random() * _FLEET_REWIND_EVERY < 1
            at[group][partition] = max(at[group][partition] + (-5000 if back else rnd.randrange(200)), 0)
            pairs.append(commit(name, f"topic-{group % 100}", partition, at[group][partition]))
        yield batch(pairs, Header(offset, timestamp=BASE_TIME_MS + offset // _FLEET_BATCH * step))


def _transaction(offset: int, number: int, count: int) -> bytes:
    pairs = [commit(f"app-{number % 1000}", f"topic-{at}", number % 64, number) for at in range(count)]
    return batch(pairs, Header(offset, TRANSACTIONAL, number, 0, BASE_TIME_MS + offset))


def _plain(pairs: Iterable[Pair]) -> Iterator[bytes]:
    """Batches of these records."""
    left = iter(pairs)
    offset = 0
    while records := list(itertools.islice(left, _BATCH)):
        yield batch(records, Header(offset, timestamp=BASE_TIME_MS + offset))
        offset += len(records)


class _Group:
    """A classic group of consumers whose members come and go."""

    def __init__(self, rnd: random.Random, number: int) -> None:
        self._rnd = rnd
        self._name = f"payments-service-{number}"
        self._topics = (f"orders.events.v{number % 20}", f"orders.keys.v{number % 15}")
        self._members = [self._newcomer() for _ in range(rnd.randint(_FEWEST_MEMBERS, _MOST_MEMBERS))]
        self._partitions = 2 * len(self._members)
        self._generation = 0
        self._committed = 0

    def _newcomer(self) -> str:
        return f"consumer-{self._name}-{uuid.UUID(int=self._rnd.getrandbits(128))}"

    def generation(self) -> Pair:
        rnd, members = self._rnd, self._members
        self._generation += 1
        if len(members) > _FEWEST_MEMBERS and (len(members) == _MOST_MEMBERS or rnd.random() < 0.5):
            del members[rnd.randrange(len(members))]
        else:
            members.append(self._newcomer())
        return _generation(self._name, self._generation, self._topics, members, self._partitions // len(members))

    def commit(self) -> Pair:
        self._committed += 1
        partition = self._rnd.randrange(self._partitions)
        return commit(self._name, self._rnd.choice(self._topics), partition, self._committed)


def _generation(group: str, generation: int, topics: tuple[str, ...], members: list[str], each: int) -> Pair:
    """A generation whose members have `each` partitions of each topic (value version 3)."""
    value = struct.pack(">h", 3) + text("consumer") + struct.pack(">i", generation) + text("range")
    value += text(members[0]) + struct.pack(">q", BASE_TIME_MS)
    listed = [struct.pack(">i", len(members))]
    subscription = struct.pack(">hi", 0, len(topics)) + b"".join(map(text, topics)) + struct.pack(">i", -1)
    for number, member in enumerate(members):
        partitions = range(number * each, (number + 1) * each)
        owned = struct.pack(f">i{each}i", each, *partitions)
        assignment = struct.pack(">hi", 0, len(topics)) + b"".join(text(topic) + owned for topic in topics)
        assignment += struct.pack(">i", -1)
        listed += [
            text(member), struct.pack(">h", -1), text("consumer"), text("/10.20.30.40"),
            struct.pack(">iii", 300_000, 45_000, len(subscription)), subscription,
            struct.pack(">i", len(assignment)), assignment,
        ]  # fmt: skip
    return struct.pack(">h", 2) + text(group), value + b"".join(listed)


# A million records asked for are the sizes that the targets are for.
GROUP_SHAPES = {
    shape.name: shape
    for shape in (
        Shape("group-changes", group_changes, share=0.4),
        Shape("big-group", big_group, share=20e-6),
        Shape("many-groups", many_groups, share=0.5),
        Shape("many-keys", many_keys),
        Shape("open-transactions", open_transactions, share=0.5),
        Shape("transactions", decided_transactions, share=0.8),
        Shape("fleet", fleet),
        Shape("consumer-changes", consumer_changes, share=0.4),
        Shape("consumer-members", consumer_members, share=0.06),
    )
}
