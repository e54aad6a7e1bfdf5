"""Names of shapes to segments of them, the same bytes every time: templates of batches, filled in by numpy.

The bytes are built without offdecode's own code, from tests/segment_builder.py.
"""

from __future__ import annotations

import gzip
import itertools
import random
import struct
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cramjam
import crc32c
import numpy as np

from tests.segment_builder import (
    BASE_TIME_MS,
    TRANSACTIONAL,
    Header,
    Pair,
    batch,
    marker,
    sized,
    text,
    varint,
)

HEADER_BYTES = 61
SEED = 1
MEMBERS = 50
GROUPS = [f"payments-service-{number}-consumer-group" for number in range(200)]
_TOPICS = [f"orders.events.v{number}" for number in range(20)]
_TOPIC_IDS = [uuid.uuid5(uuid.NAMESPACE_URL, topic).bytes for topic in _TOPICS]
_PARTITIONS = 50
_TEMPLATE_RECORDS = 40_000  # in at most 400 distinct batches; offsets and times differ in every batch
_CODECS = {"gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
_LZ4_HEADER = bytes.fromhex("04224d18604082")  # independent blocks of at most 64 KiB, no checksums of contents
_LZ4_BLOCK_BYTES = 1 << 16
_FLUSH_BYTES = 4 << 20

Batches = Callable[[int], Iterator[bytes]]


@dataclass(frozen=True, slots=True)
class Shape:
    """What a segment holds. make(records): its batches. share: of the records that a run is asked for."""

    name: str
    make: Batches
    share: float = 1.0

    def write(self, folder: Path, records: int) -> Path:
        """The segment, in a partition's directory of its own; it is made only once."""
        path = folder / f"{self.name}-{records}" / "__consumer_offsets-0" / "00000000000000000000.log"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            unfinished = path.with_suffix(".unfinished")
            with unfinished.open("wb", buffering=_FLUSH_BYTES) as file:
                for part in self.make(max(int(records * self.share), 1)):
                    file.write(part)
            unfinished.replace(path)
        return path


def commits(version: int, each: int) -> Batches:
    """Commits, `each` in a batch: one group's for consecutive partitions, at one time."""

    def make(records: int) -> Iterator[bytes]:
        rnd = random.Random(SEED)
        wanted = min(400, _TEMPLATE_RECORDS // each, records // each + 1)
        templates = [_Template(rnd, version, each) for _ in range(wanted)]
        time = BASE_TIME_MS
        for offset in range(0, records, each):
            time += rnd.randrange(20)
            yield rnd.choice(templates).filled(offset, time)

    return make


class _Template:
    """A batch of commits whose offsets and times are filled in."""

    def __init__(self, rnd: random.Random, version: int, each: int) -> None:
        group, start = rnd.choice(GROUPS), rnd.randrange(len(_TOPICS) * _PARTITIONS)
        pairs = [commit_pair(version, group, start + number, 0, 0) for number in range(each)]
        records = [_record(number, key, value) for number, (key, value) in enumerate(pairs)]
        ends = np.cumsum([len(data) for data in records]) + HEADER_BYTES
        # A value begins with version and committed offset, and ends with the time, then the tags of version 4.
        values = ends - 1 - np.asarray([len(value or b"") for _, value in pairs])
        tags = 0 if version < 4 else len(_tags(0))
        self._offsets_at = (values + 2)[:, None] + np.arange(8)
        self._times_at = (ends - 1 - tags - 8)[:, None] + np.arange(8)
        self._data = np.frombuffer(_framed(records, Header()), np.uint8).copy()
        self._committed = rnd.randrange(10**6, 10**9) + np.arange(each) * 977
        self._count = each

    def filled(self, base_offset: int, time: int) -> bytes:
        data = self._data
        committed = (self._committed + base_offset).astype(">i8")
        data[self._offsets_at] = committed.view(np.uint8).reshape(-1, 8)
        data[self._times_at] = np.frombuffer(struct.pack(">q", time), np.uint8)
        struct.pack_into(">q", data.data, 0, base_offset)
        struct.pack_into(">qq", data.data, 27, time, time)
        struct.pack_into(">I", data.data, 17, crc32c.crc32c(data.data[21:]))
        return data.tobytes()


def compressed(codec: str, plain: Batches) -> Batches:
    """The same batches with their records compressed."""

    def make(records: int) -> Iterator[bytes]:
        for data in plain(records):
            body = _compress(codec, data[HEADER_BYTES:])
            covered = struct.pack(">h", _CODECS[codec]) + data[23:HEADER_BYTES] + body
            yield data[:8] + struct.pack(">iibI", 9 + len(covered), 0, 2, crc32c.crc32c(covered)) + covered

    return make


def generations(members: int, each: int = 4) -> Batches:
    """Group metadata with so many members, `each` in a batch."""

    def make(records: int) -> Iterator[bytes]:
        rnd = random.Random(SEED)
        pairs = [group_pair(rnd, members) for _ in range(20)]
        for offset in range(0, records, each):
            chosen = [rnd.choice(pairs) for _ in range(min(each, records - offset))]
            yield batch(chosen, Header(offset, timestamp=BASE_TIME_MS + offset))

    return make


def mixed(records: int) -> Iterator[bytes]:
    """Commits, 5 % group metadata with 3 to 50 members, 10 % tombstones; a tenth in transactions that end in markers.

    Batches hold 1 to 50 records.
    """
    rnd = random.Random(SEED)
    metadata = [group_pair(rnd, rnd.randint(3, 50)) for _ in range(300)]
    kept = [_mixed_pair(rnd, metadata) for _ in range(20_000)]
    offset, time = 0, BASE_TIME_MS
    for number in itertools.count():
        if offset >= records:
            return
        time += rnd.randrange(20)
        count = min(rnd.randint(1, 50), records - offset)
        if number % 10:
            yield batch(rnd.choices(kept, k=count), Header(offset, timestamp=time))
            offset += count
            continue
        producer = rnd.randrange(1000, 1020)
        pairs = [commit_pair(3, rnd.choice(GROUPS), number + index, offset, time) for index in range(count)]
        yield batch(pairs, Header(offset, TRANSACTIONAL, producer, 3, time))
        yield marker(offset + count, producer, commit=rnd.random() < 0.8)
        offset += count + 1


def _mixed_pair(rnd: random.Random, metadata: list[Pair]) -> Pair:
    kind = rnd.random()
    if kind < 0.05:
        key, value = rnd.choice(metadata)
        return key, None if rnd.random() < 0.1 else value
    place, committed = rnd.randrange(10**6), rnd.randrange(10**9)
    key, value = commit_pair(3, rnd.choice(GROUPS), place, committed, BASE_TIME_MS + place)
    return key, None if rnd.random() < 0.1 else value


def commit_pair(version: int, group: str, place: int, committed: int, time: int) -> Pair:
    """Key and value of a commit of version 3 or 4; `place` counts through the partitions of all topics."""
    topic, partition = place // _PARTITIONS % len(_TOPICS), place % _PARTITIONS
    key = struct.pack(">h", 1) + text(group) + text(_TOPICS[topic]) + struct.pack(">i", partition)
    metadata, tags = (b"\0\0", b"") if version == 3 else (b"\x01", _tags(topic))
    return key, struct.pack(">hqi", version, committed, 7) + metadata + struct.pack(">q", time) + tags


def group_pair(rnd: random.Random, members: int) -> Pair:
    """Key and value (version 3) of a generation of a group of classic consumers."""
    group = rnd.choice(GROUPS)
    topics = rnd.sample(_TOPICS, 2)
    ids = [f"consumer-{group}-{number}-{uuid.UUID(int=rnd.getrandbits(128))}" for number in range(members)]
    value = struct.pack(">h", 3) + text("consumer") + struct.pack(">i", rnd.randrange(1, 500)) + text("range")
    value += text(ids[0]) + struct.pack(">qi", BASE_TIME_MS, members)
    for number, member in enumerate(ids):
        subscription = struct.pack(">hi", 3, 2) + text(topics[0]) + text(topics[1])
        subscription += struct.pack(">iiih", -1, 0, -1, -1)
        assignment = struct.pack(">hi", 3, 2)
        for topic in topics:
            assignment += text(topic) + struct.pack(">iii", 2, number * 2, number * 2 + 1)
        assignment += struct.pack(">i", -1)
        value += text(member) + struct.pack(">h", -1) + text(f"consumer-{number}") + text("/10.20.30.40")
        value += struct.pack(">ii", 300_000, 45_000)
        for part in (subscription, assignment):
            value += struct.pack(">i", len(part)) + part
    return struct.pack(">h", 2) + text(group), value


def _tags(topic: int) -> bytes:
    return b"\x01\x00\x10" + _TOPIC_IDS[topic]


def _record(number: int, key: bytes | None, value: bytes | None) -> bytes:
    """A record whose time is its batch's."""
    body = b"\0\0" + varint(number) + sized(key) + sized(value) + b"\0"
    return varint(len(body)) + body


def _framed(records: list[bytes], header: Header) -> bytes:
    """A batch of records that are built already. Its checksum is filled in later."""
    empty = batch([(b"", b"")], header)
    body = b"".join(records)
    count = len(records)
    head = empty[:8] + struct.pack(">i", HEADER_BYTES - 12 + len(body)) + empty[12:23]
    return head + struct.pack(">i", count - 1) + empty[27 : HEADER_BYTES - 4] + struct.pack(">i", count) + body


def _compress(codec: str, data: bytes) -> bytes:
    if codec == "gzip":
        return gzip.compress(data, 6, mtime=0)
    if codec == "snappy":  # as xerial's SnappyOutputStream frames it
        block = bytes(cramjam.snappy.compress_raw(data))
        return b"\x82SNAPPY\x00" + struct.pack(">iii", 1, 1, len(block)) + block
    if codec == "lz4":  # a frame of blocks that do not depend on each other: Kafka takes no other
        blocks = [data[at : at + _LZ4_BLOCK_BYTES] for at in range(0, len(data), _LZ4_BLOCK_BYTES)]
        packed = [bytes(cramjam.lz4.compress_block(block, store_size=False)) for block in blocks]
        return _LZ4_HEADER + b"".join(struct.pack("<I", len(block)) + block for block in packed) + bytes(4)
    return bytes(cramjam.zstd.compress(data))


SHAPES = {
    shape.name: shape
    for shape in (
        *(Shape(f"v{version}-{each}", commits(version, each)) for version in (3, 4) for each in (500, 10, 1)),
        Shape("mixed", mixed),
        *(Shape(codec, compressed(codec, commits(3, 500))) for codec in _CODECS),
        Shape("members-50", generations(MEMBERS), share=0.02),
        Shape("1gb", commits(3, 500), share=12.0),
        Shape("4gb", commits(3, 500), share=48.0),
    )
}
