"""Lag by what lies beside the offsets log: partitions that were built, and those of a real broker."""

from __future__ import annotations

import asyncio
import struct
import time
from pathlib import Path
from typing import Any

import pytest

import offdecode
from tests.brokers import KAFKA_4, StartBroker
from tests.command import run
from tests.segment_builder import BASE_TIME_MS, Header, batch, commit

Row = dict[str, Any]


def user_batch(base: int, count: int) -> bytes:
    """Records that are no coordinator's, one a millisecond."""
    return batch([(b"k", b"v" * 100)] * count, Header(base, timestamp=BASE_TIME_MS + base))


def evidence(folder: Path, committed: dict[tuple[str, int], int]) -> Path:
    log = folder / "__consumer_offsets-0"
    log.mkdir()
    records = [commit("g", topic, partition, offset) for (topic, partition), offset in committed.items()]
    (log / f"{0:020}.log").write_bytes(batch(records, Header(0)))
    return folder


def orders(folder: Path, *segments: tuple[int, list[tuple[int, int]]], name: str = "orders-0") -> Path:
    """A user's partition: {base offset: [(base, count) of each batch]}, with an index entry a second batch."""
    directory = folder / name
    directory.mkdir()
    for first, batches in segments:
        data, index = b"", b""
        for number, (base, count) in enumerate(batches):
            if number % 2:
                index += struct.pack(">ii", base + count - 1 - first, len(data))
            data += user_batch(base, count)
        (directory / f"{first:020}.log").write_bytes(data)
        (directory / f"{first:020}.index").write_bytes(index + bytes(80))  # preallocated
    return directory


def lag_of(folder: Path) -> Row:
    (row,) = offdecode.lag(folder).rows()
    return row


TWO_SEGMENTS = ((100, [(100, 10), (110, 10), (120, 10), (130, 10)]), (140, [(140, 5), (145, 5), (150, 50)]))


@pytest.mark.parametrize(("offset", "lag", "lag_ms", "signals"), [
    (200, 0, 0, []),
    (199, 1, 0, []),
    (150, 50, 0, []),
    (149, 51, 50, []),
    (133, 67, 60, []),
    (100, 100, 90, []),
    (99, 101, 90, ["before_log_start"]),
    (201, 0, 0, ["beyond_log_end"]),
])  # fmt: skip
def test_offsets_beside_a_log(tmp_path: Path, offset: int, lag: int, lag_ms: int, signals: list[str]) -> None:
    orders(tmp_path, *TWO_SEGMENTS)
    row = lag_of(evidence(tmp_path, {("orders", 0): offset}))
    assert (row["log_start"], row["log_end"], row["high_watermark"]) == (100, 200, None)
    assert (row["lag"], row["signals"]) == (lag, signals)
    # A batch has one timestamp here: that of its first record.
    assert row["lag_ms"] == lag_ms


def test_checkpoints_narrow_the_log(tmp_path: Path) -> None:
    orders(tmp_path, *TWO_SEGMENTS)
    for name, offset in (("replication-offset-checkpoint", 190), ("log-start-offset-checkpoint", 120)):
        (tmp_path / name).write_text(f"0\n1\norders 0 {offset}\n")
    row = lag_of(evidence(tmp_path, {("orders", 0): 110}))
    assert (row["log_start"], row["log_end"], row["high_watermark"], row["lag"]) == (120, 200, 190, 80)
    assert row["signals"] == ["before_log_start"]


@pytest.mark.parametrize("damage", ["no index", "wrong index", "torn", "empty last segment", "no segment"])
def test_what_is_damaged_beside_the_log(tmp_path: Path, damage: str) -> None:
    directory = orders(tmp_path, *TWO_SEGMENTS)
    end = 200
    match damage:
        case "no index":
            for path in directory.glob("*.index"):
                path.unlink()
        case "wrong index":
            (directory / f"{140:020}.index").write_bytes(struct.pack(">ii", 7, 333) * 9 + b"xyz")
        case "torn":
            path = directory / f"{140:020}.log"
            path.write_bytes(path.read_bytes()[:-1])
            end = 150
        case "empty last segment":
            (directory / f"{200:020}.log").write_bytes(b"")
        case _:
            for path in directory.iterdir():
                path.unlink()
    row = lag_of(evidence(tmp_path, {("orders", 0): 120}))
    if damage == "no segment":
        assert (row["lag"], row["signals"]) == (None, ["no_log_of_the_partition"])
    else:
        assert (row["log_end"], row["lag"]) == (end, end - 120)


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    (tmp_path / f"gone-0.{'0f' * 16}-delete").mkdir()
    rows = offdecode.lag(evidence(tmp_path, {("gone", 0): 1, ("elsewhere", 0): 1})).rows()
    signals = {row["topic"]: (row["lag"], row["signals"]) for row in rows}
    assert signals == {"gone": (None, ["topic_directory_deleted"]), "elsewhere": (None, ["no_log_of_the_partition"])}


def test_the_copy_that_reaches_farthest_counts(tmp_path: Path) -> None:
    for broker, batches in (("broker1", [(0, 10)]), ("broker2", [(0, 10), (10, 10)])):
        (tmp_path / broker).mkdir()
        orders(tmp_path / broker, (0, batches))
        evidence(tmp_path / broker, {("orders", 0): 5})
    found = offdecode.lag([tmp_path / "broker1", tmp_path / "broker2"], on_problem=lambda problem: None).rows()
    assert {(row["log_end"], row["log"]) for row in found} == {(20, str(tmp_path / "broker2" / "orders-0"))}


def test_a_table(tmp_path: Path) -> None:
    orders(tmp_path, *TWO_SEGMENTS)
    lines = run("lag", evidence(tmp_path, {("orders", 0): 133}), "--format", "table").stdout.decode().splitlines()
    assert lines[0].split()[:4] == ["GROUP", "TOPIC", "PARTITION", "OFFSET"]
    assert lines[1].split()[-6:] == ["100", "200", "67", "60", "ms", "-"]


@pytest.mark.broker
@pytest.mark.slow
def test_lag_is_what_a_real_broker_says(start_broker: StartBroker) -> None:
    """Log start and end of what was produced, rolled and deleted, and of groups behind it."""
    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
    from aiokafka.admin import AIOKafkaAdminClient, NewTopic

    broker = start_broker(KAFKA_4)

    async def work() -> dict[int, tuple[int, int]]:
        admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
        await admin.start()
        await admin.create_topics([NewTopic("orders", 3, 1, topic_configs={"segment.bytes": "1048576"})])
        producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap)
        await producer.start()
        for number in range(6000):
            await producer.send("orders", b"%d" % number * 200, partition=number % 2)
        await producer.stop()
        await admin.delete_records({TopicPartition("orders", 0): _records_before(700)})
        consumer = AIOKafkaConsumer(bootstrap_servers=broker.bootstrap, group_id="g", enable_auto_commit=False)
        await consumer.start()
        partitions = [TopicPartition("orders", number) for number in range(3)]
        consumer.assign(partitions)
        await consumer.commit({partitions[0]: 100, partitions[1]: 2500, partitions[2]: 0})
        starts, ends = await consumer.beginning_offsets(partitions), await consumer.end_offsets(partitions)
        await consumer.stop()
        await admin.close()
        return {one.partition: (starts[one], ends[one]) for one in partitions}

    told = asyncio.run(work())
    time.sleep(1)
    broker.stop()
    rows = {row["partition"]: row for row in offdecode.lag(broker.data, groups=["g"]).rows()}
    assert {number: (row["log_start"], row["log_end"]) for number, row in rows.items()} == told
    assert told == {0: (700, 3000), 1: (0, 3000), 2: (0, 0)}
    assert {number: row["lag"] for number, row in rows.items()} == {0: 2900, 1: 500, 2: 0}
    assert rows[0]["signals"] == ["before_log_start"]
    assert rows[1]["lag_ms"] > 0
    assert rows[2]["lag_ms"] == 0


def _records_before(offset: int) -> Any:
    from aiokafka.admin.records_to_delete import RecordsToDelete

    return RecordsToDelete(before_offset=offset)
