"""Records of a consumer group, and of commits that name topic ids, without offdecode's own code.

References: the definitions of ConsumerGroup*Value and OffsetCommitValue in Kafka's group-coordinator.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence

from tests.segment_builder import BASE_TIME_MS, Pair, text

_NO_TAGS = b"\0"

Partitions = Mapping[str, Sequence[int]]  # by topic id, as 32 hexadecimal digits
NOTHING: Partitions = {}


def _compact(value: str) -> bytes:
    data = value.encode()
    return bytes([len(data) + 1]) + data


def _array(items: Iterable[bytes]) -> bytes:
    held = list(items)
    return bytes([len(held) + 1]) + b"".join(held)


def _record(key_type: int, names: Sequence[str], value: bytes) -> Pair:
    return _key(key_type, names), struct.pack(">h", 0) + value + _NO_TAGS


def _key(key_type: int, names: Sequence[str]) -> bytes:
    return struct.pack(">h", key_type) + b"".join(map(text, names))


def epoch(group: str, number: int) -> Pair:
    return _record(3, [group], struct.pack(">i", number))


def topics(group: str, names: dict[str, str]) -> Pair:
    """The topics that a group subscribes to. names: {topic id, as 32 hexadecimal digits: name}."""
    items = (
        bytes.fromhex(one) + _compact(name) + struct.pack(">i", 4) + _array([]) + _NO_TAGS
        for one, name in names.items()
    )
    return _record(4, [group], _array(items))


def target_epoch(group: str, number: int) -> Pair:
    return _record(6, [group], struct.pack(">i", number))


def member(group: str, member_id: str, subscribed: Iterable[str] = ()) -> Pair:
    """Without instance id, rack and classic protocol. subscribed: to these topics by name."""
    client = _compact("client") + _compact("/host") + _array(map(_compact, subscribed))
    return _record(5, [group, member_id], b"\0\0" + client + b"\0" + struct.pack(">i", 1000) + b"\0")


def target(group: str, member_id: str, partitions: Partitions) -> Pair:
    return _record(7, [group, member_id], _by_topic(partitions))


def held(group: str, member_id: str, member_epoch: int, partitions: Partitions, revoking: Partitions = NOTHING) -> Pair:
    """What a member holds, and what it has to give up; stable where that is nothing."""
    head = struct.pack(">iib", member_epoch, member_epoch - 1, 1 if revoking else 0)
    return _record(8, [group, member_id], head + _by_topic(partitions) + _by_topic(revoking))


def gone(group: str, member_id: str) -> list[Pair]:
    """The tombstones of a member that leaves."""
    return [(_key(key_type, [group, member_id]), None) for key_type in (8, 7, 5)]


def _by_topic(partitions: Partitions) -> bytes:
    return _array(
        bytes.fromhex(one) + _array(struct.pack(">i", number) for number in numbers) + _NO_TAGS
        for one, numbers in partitions.items()
    )


def commit_4(group: str, topic: str, topic_id: str, partition: int, offset: int) -> Pair:
    """An offset commit of value version 4."""
    key = struct.pack(">h", 1) + text(group) + text(topic) + struct.pack(">i", partition)
    value = struct.pack(">hqi", 4, offset, -1) + _compact("") + struct.pack(">q", BASE_TIME_MS)
    return key, value + b"\x01\x00\x10" + bytes.fromhex(topic_id)
