"""Records of a consumer group, and of commits that name topic ids, without offdecode's own code.

References: the definitions of ConsumerGroup*Value and OffsetCommitValue in Kafka's group-coordinator.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

from tests.segment_builder import BASE_TIME_MS, Pair, text

_NO_TAGS = b"\0"


def _compact(value: str) -> bytes:
    data = value.encode()
    return bytes([len(data) + 1]) + data


def _array(items: Iterable[bytes]) -> bytes:
    held = list(items)
    return bytes([len(held) + 1]) + b"".join(held)


def _record(key_type: int, names: Sequence[str], value: bytes) -> Pair:
    return struct.pack(">h", key_type) + b"".join(map(text, names)), struct.pack(">h", 0) + value + _NO_TAGS


def epoch(group: str, number: int) -> Pair:
    return _record(3, [group], struct.pack(">i", number))


def topics(group: str, names: dict[str, str]) -> Pair:
    """The topics that a group subscribes to. names: {topic id, as 32 hexadecimal digits: name}."""
    items = (
        bytes.fromhex(one) + _compact(name) + struct.pack(">i", 4) + _array([]) + _NO_TAGS
        for one, name in names.items()
    )
    return _record(4, [group], _array(items))


def member(group: str, member_id: str) -> Pair:
    """Without instance id, rack and classic protocol; subscribed to nothing by name."""
    client = _compact("client") + _compact("/host") + _array([]) + b"\0" + struct.pack(">i", 1000) + b"\0"
    return _record(5, [group, member_id], b"\0\0" + client)


def held(group: str, member_id: str, member_epoch: int, partitions: dict[str, Sequence[int]]) -> Pair:
    """What a stable member holds, by topic id."""
    items = (
        bytes.fromhex(one) + _array(struct.pack(">i", number) for number in numbers) + _NO_TAGS
        for one, numbers in partitions.items()
    )
    head = struct.pack(">iib", member_epoch, member_epoch - 1, 0)
    return _record(8, [group, member_id], head + _array(items) + _array([]))


def commit_4(group: str, topic: str, topic_id: str, partition: int, offset: int) -> Pair:
    """An offset commit of value version 4."""
    key = struct.pack(">h", 1) + text(group) + text(topic) + struct.pack(">i", partition)
    value = struct.pack(">hqi", 4, offset, -1) + _compact("") + struct.pack(">q", BASE_TIME_MS)
    return key, value + b"\x01\x00\x10" + bytes.fromhex(topic_id)
