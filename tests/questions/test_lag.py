"""Lag by what lies beside the offsets log: partitions that were built, and those of a real broker."""

from __future__ import annotations

import asyncio
import base64
import struct
import threading
import time
import uuid
from collections import defaultdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import offdecode
from offdecode.sources.readers import FileReader
from tests.brokers import KAFKA_4, StartBroker
from tests.command import run
from tests.segment_builder import BASE_TIME_MS, Header, batch, commit, text
from tests.truth import LogSet, log_sets, set_id

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


def lag_of(folder: Path, **asked: Any) -> Row:
    (row,) = offdecode.lag(folder, **asked).rows()
    return row


def with_time_indexes(directory: Path, *segments: tuple[int, list[tuple[int, int]]]) -> None:
    """As a broker writes them: the latest time so far and its record's offset, and of closed segments the last one."""
    for first, batches in segments:
        every = batches[1::2] if first == segments[-1][0] else batches[-1:]
        last = ((base, count, base + count - 1) for base, count in every)
        entries = (struct.pack(">qi", BASE_TIME_MS + end, end - first) for _, _, end in last)
        (directory / f"{first:020}.timeindex").write_bytes(b"".join(entries) + bytes(120))


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


@pytest.mark.parametrize("indexed", [True, False])
@pytest.mark.parametrize("at", range(99, 203))
def test_a_moment_in_the_past(tmp_path: Path, at: int, indexed: bool) -> None:
    """Each record is a millisecond: the log's end at a time is known to the batch."""
    directory = orders(tmp_path, *TWO_SEGMENTS)
    if indexed:
        with_time_indexes(directory, *TWO_SEGMENTS)
    rows = list(offdecode.lag(evidence(tmp_path, {("orders", 0): 105}), as_of=BASE_TIME_MS + at).rows())
    if at < 100:
        assert [row["signals"] for row in rows] == [["before_the_first_record"]]
        assert rows[0]["lag"] is None
        return
    (row,) = rows
    end = min(at + 1, 200)
    assert row["lag"] <= max(end - 105, 0) <= row["lag_most"]
    batches = [one for _, batches in TWO_SEGMENTS for one in batches]
    whole = at >= 199 or any(at == base + count - 1 for base, count in batches)
    assert row["certainty"] == ("exact" if whole or row["lag"] == row["lag_most"] else "bounded")
    if whole:
        assert row["log_end"] == end
    assert row["log_start"] is None
    assert row["signals"] == (["beyond_log_end"] if row["log_end"] < 105 else [])


def test_a_damaged_time_index_tells_nothing(tmp_path: Path) -> None:
    directory = orders(tmp_path, *TWO_SEGMENTS)
    wrong = struct.pack(">qi", BASE_TIME_MS + 105, 39) + struct.pack(">qi", BASE_TIME_MS + 101, 3)
    (directory / f"{100:020}.timeindex").write_bytes(wrong)
    row = lag_of(evidence(tmp_path, {("orders", 0): 105}), as_of=BASE_TIME_MS + 112)
    assert (row["lag"], row["lag_most"], row["log_end"]) == (5, 14, 119)


def test_a_log_that_begins_at_0_began_there_always(tmp_path: Path) -> None:
    orders(tmp_path, (0, [(0, 10), (10, 10)]))
    folder = evidence(tmp_path, {("orders", 0): 0})
    row = lag_of(folder, as_of=BASE_TIME_MS + 9)
    assert (row["log_start"], row["log_end"], row["lag"], row["certainty"]) == (0, 10, 10, "exact")
    assert round(row["as_of"].timestamp() * 1000) == BASE_TIME_MS + 9


def test_a_topic_that_was_made_anew(tmp_path: Path) -> None:
    """The commit names the topic's id (since 4.1), and so does the partition's directory."""
    directory = orders(tmp_path, (0, [(0, 10)]))
    key, _ = commit("g")
    old = uuid.UUID(int=7)
    tagged = struct.pack(">hqi", 4, 5, -1) + b"\1" + struct.pack(">q", BASE_TIME_MS) + b"\1\0\x10" + old.bytes
    log = tmp_path / "__consumer_offsets-0"
    log.mkdir()
    (log / f"{0:020}.log").write_bytes(batch([(key, tagged)], Header(0)))
    for known, signals in ((old, []), (uuid.UUID(int=8), ["topic_made_anew"])):
        topic_id = base64.urlsafe_b64encode(known.bytes).decode().rstrip("=")
        (directory / "partition.metadata").write_text(f"version: 0\ntopic_id: {topic_id}\n")
        row = lag_of(tmp_path)
        assert (row["lag"], row["signals"]) == (None if signals else 5, signals)


@pytest.mark.parametrize("log_set", log_sets(), ids=set_id)
def test_every_moment_is_that_moment(log_set: LogSet) -> None:
    log = log_set.log
    ignored: dict[str, Any] = {"on_problem": lambda problem: None}
    every = [
        time for row in offdecode.decode(log, **ignored).rows()
        if (time := row["log_timestamp"] or row.get("commit_timestamp")) is not None
    ]  # fmt: skip
    step = (max(every) - min(every)) // timedelta(milliseconds=7)
    names = ("group", "topic", "partition", "log_partition", "offset", "commit_timestamp", "lag", "certainty")
    found: dict[datetime, list[list[Any]]] = defaultdict(list)
    for row in offdecode.lag(log, every=step, **ignored).rows():
        found[row["as_of"]].append([row[name] for name in names])
    assert len(found) in range(2, 10)
    for moment, rows in found.items():
        one = [[row[name] for name in names] for row in offdecode.lag(log, as_of=moment, **ignored).rows()]
        assert sorted(rows, key=str) == sorted(one, key=str)


WIDE = (10_000, [(10_000, 2000), (12_000, 2000), (14_000, 2000)])  # to 16,000, a record a millisecond
SLOW = range(10_001, 10_021)


@pytest.mark.parametrize(("offsets", "at", "signals"), [
    ([16_300, 11_000], 20_000, ["beyond_log_end"]),
    ([16_300, 10_000], 20_000, ["beyond_log_end", "to_log_start"]),
    ([15_000, 11_000], 20_000, []),
    ([*range(40, 60), 15_000], 20_000, ["large_step", "before_log_start"]),
    ([*SLOW, 16_000], 20_000, ["large_step", "to_log_end"]),
    ([*SLOW, 14_000], 13_999, ["large_step", "to_log_end"]),
    ([*SLOW, 14_000], 13_000, ["large_step", "to_log_end"]),
    ([*SLOW, 12_000], 13_000, ["large_step", "to_log_end"]),
    ([*SLOW, 13_000], 13_000, ["large_step"]),
    ([*SLOW, 14_000], 11_000, ["large_step"]),
])  # fmt: skip
def test_sudden_steps_beside_the_log(tmp_path: Path, offsets: list[int], at: int, signals: list[str]) -> None:
    """Rewinds and jumps, the last of them at a time at which the log ended somewhere."""
    orders(tmp_path, WIDE)
    log = tmp_path / "__consumer_offsets-0"
    log.mkdir()
    # Members commit with a leader epoch; without it, it could be an administrator.
    data = b""
    for number, offset in enumerate(offsets):
        key, _ = commit("g")
        value = struct.pack(">hqi", 3, offset, 5) + text("") + struct.pack(">q", BASE_TIME_MS)
        time_ms = BASE_TIME_MS + (at if offset == offsets[-1] else number)
        data += batch([(key, value)], Header(number, timestamp=time_ms))
    (log / f"{0:020}.log").write_bytes(data)
    (moved,) = [row for row in offdecode.explain(tmp_path, notable=True).rows() if row["type"] == "movement"]
    assert moved["kind"] in ("rewind", "jump")
    assert [one for one in moved["signals"] if one != "group_unknown"] == signals


def test_what_cannot_be_asked(tmp_path: Path) -> None:
    folder = evidence(tmp_path, {("orders", 0): 5})
    for arguments, words in (
        (("--as-of", "5", "--every", "1m"), "give one"),
        (("--since", "5"), "are for --every"),
        (("--every", "0s"), "no length of time"),
        (("--every", "1s", "--until", str(BASE_TIME_MS + 9000), "--since", "0"), None),
    ):
        done = run("lag", folder, *arguments)
        assert (done.status == 2) is (words is not None)
        assert words is None or words in done.stderr
    key, value = commit("g")
    assert value is not None
    wrong_clock = batch([(key, value)], Header(1, timestamp=4_000_000_000_000))
    with (tmp_path / "__consumer_offsets-0" / f"{0:020}.log").open("ab") as file:
        file.write(wrong_clock)
    done = run("lag", folder, "--every", "1s")
    assert (done.status, "a wrong clock" in done.stderr) == (2, True)
    assert run("lag", folder, "--every", "1s", "--until", str(BASE_TIME_MS + 5000)).status == 0


def test_the_state_shows_it(tmp_path: Path) -> None:
    orders(tmp_path, *TWO_SEGMENTS)
    folder = evidence(tmp_path, {("orders", 0): 133, ("elsewhere", 0): 1})
    lines = run("state", folder, "--format", "table").stdout.decode().splitlines()
    assert lines[1].split()[:5] == ["TOPIC", "PARTITION", "OFFSET", "LAG", "COMMITTED"]
    assert [line.split()[3] for line in lines[2:4]] == ["?", "67"]
    rows = {row["topic"]: row for row in offdecode.state(folder, with_lag=True, types=["committed_offset"]).rows()}
    assert {topic: (row["lag"], row["lag_most"]) for topic, row in rows.items()} == {
        "orders": (67, 67), "elsewhere": (None, None),
    }  # fmt: skip
    assert "lag" not in run("state", folder, "--type", "committed_offset").rows[0]
    assert run("state", folder, "--as-of-offset", "0:0", "--with-lag").status == 2
    table = run("state", folder, "--as-of-offset", "0:0", "--format", "table")
    assert (table.status, b"LAG" in table.stdout) == (0, False)


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
    assert signals == {"gone": (None, ["topic_deleted"]), "elsewhere": (None, ["no_log_of_the_partition"])}


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
    running = list(offdecode.lag(f"kafka://{broker.bootstrap}", groups=["g"]).rows())
    times = asyncio.run(_times_of(broker.bootstrap, {(0, 700), (0, 2999), (1, 2500), (1, 2999)}))
    broker.stop()
    stopped = list(offdecode.lag(broker.data, groups=["g"]).rows())
    for rows in ({row["partition"]: row for row in found} for found in (running, stopped)):
        assert {number: (row["log_start"], row["log_end"]) for number, row in rows.items()} == told
        assert told == {0: (700, 3000), 1: (0, 3000), 2: (0, 0)}
        assert {number: row["lag"] for number, row in rows.items()} == {0: 2900, 1: 500, 2: 0}
        assert rows[0]["signals"] == ["before_log_start"]
        assert rows[1]["lag_ms"] > 0
        assert rows[2]["lag_ms"] == 0
    for row, other in zip(running, stopped, strict=True):
        assert {**row, "log": None, "lag_ms": None} == {**other, "log": None, "lag_ms": None}
        assert row["log"] == f"kafka://{broker.bootstrap}/orders-{row['partition']}"
    # Of a running broker to the record, not to the batch.
    assert [row["lag_ms"] for row in running] == [times[0, 2999] - times[0, 700], times[1, 2999] - times[1, 2500], 0]


async def _times_of(bootstrap: str, wanted: set[tuple[int, int]]) -> dict[tuple[int, int], int]:
    """The timestamps of records of `orders`: {(partition, offset): milliseconds}."""
    from aiokafka import AIOKafkaConsumer, TopicPartition

    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap)
    await consumer.start()
    found = {}
    for partition, offset in wanted:
        consumer.assign([TopicPartition("orders", partition)])
        consumer.seek(TopicPartition("orders", partition), offset)
        found[partition, offset] = (await consumer.getone()).timestamp
    await consumer.stop()
    return found


@pytest.mark.broker
@pytest.mark.slow
def test_earlier_moments_are_what_a_real_broker_says(
    start_broker: StartBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log's end at times between and within bursts, by its own look-up of timestamps, and little of it read."""
    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
    from aiokafka.admin import AIOKafkaAdminClient, NewTopic

    broker = start_broker(KAFKA_4)
    partition = TopicPartition("orders", 0)

    async def work() -> dict[int, int]:
        admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
        await admin.start()
        await admin.create_topics([NewTopic("orders", 1, 1, topic_configs={"segment.bytes": "2097152"})])
        producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap, max_batch_size=16384)
        consumer = AIOKafkaConsumer(bootstrap_servers=broker.bootstrap, group_id="g", enable_auto_commit=False)
        await producer.start()
        await consumer.start()
        consumer.assign([partition])
        await consumer.commit({partition: 0})
        times = []
        for burst in range(8):
            times.append(round(time.time() * 1000))
            await asyncio.sleep(0.1)
            for number in range(1500):
                await producer.send("orders", b"%d" % (burst * number) * 300, partition=0)
            await producer.flush()
            await asyncio.sleep(0.1)
        ends = {}
        for moment in sorted({*times, *range(times[1], times[-1], 37), round(time.time() * 1000)}):
            # The first record behind the moment, or the end.
            found = (await consumer.offsets_for_times({partition: moment + 1}))[partition]
            end = (await consumer.end_offsets([partition]))[partition]
            ends[moment] = end if found is None else found.offset
        for client in (producer, consumer, admin):
            await (client.close() if client is admin else client.stop())
        return ends

    told = asyncio.run(work())
    running = f"kafka://{broker.bootstrap}"
    for moment, end in told.items():
        for row in offdecode.lag(running, groups=["g"], as_of=moment).rows():
            assert (row["lag"], row["lag_most"], row["certainty"]) == (end, end, "exact")
    live = list(offdecode.lag(running, groups=["g"], every=50, until=max(told)).rows())
    assert not [thread for thread in threading.enumerate() if thread.name in ("ask", "fetch")]
    broker.stop()
    exact = 0
    for moment, end in told.items():
        rows = list(offdecode.lag(broker.data, groups=["g"], as_of=moment).rows())
        for row in rows:
            assert row["lag"] <= end <= row["lag_most"]
            exact += row["certainty"] == "exact"
    assert exact >= 8
    every = list(offdecode.lag(broker.data, groups=["g"], every=50, until=max(told)).rows())
    assert len({row["as_of"] for row in every}) > 20
    for row, other in zip(live, every, strict=True):
        assert row["as_of"] == other["as_of"]
        assert other["lag"] <= row["lag"] <= other["lag_most"]
    read = 0
    plain = FileReader.read

    def counting(self: FileReader, position: int, size: int) -> bytes:
        nonlocal read
        found = plain(self, position, size)
        read += len(found)
        return found

    monkeypatch.setattr(FileReader, "read", counting)
    list(offdecode.lag(broker.data, groups=["g"], as_of=sorted(told)[len(told) // 2]).rows())
    size = sum(path.stat().st_size for path in (broker.data / "orders-0").glob("*.log"))
    print(f"{read:,} bytes of {size:,} were read, beside indexes")
    assert read <= 0.05 * size


@pytest.mark.broker
@pytest.mark.slow
def test_a_group_that_fell_out_of_the_log_was_reset(start_broker: StartBroker) -> None:
    """Retention overtakes two groups: one comes back and is reset by its client, one never does."""
    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
    from aiokafka.admin import AIOKafkaAdminClient, NewTopic

    broker = start_broker(KAFKA_4, {"log.retention.check.interval.ms": "300", "log.segment.delete.delay.ms": "100"})
    partition = TopicPartition("orders", 0)

    def client(group: str) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            bootstrap_servers=broker.bootstrap, group_id=group, enable_auto_commit=False, auto_offset_reset="earliest"
        )  # fmt: skip

    async def produce(producer: AIOKafkaProducer, count: int) -> None:
        for number in range(count):
            await producer.send("orders", b"%d" % number * 300, partition=0)
        await producer.flush()

    async def work() -> int:
        admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
        await admin.start()
        short = {"segment.bytes": "1048576", "retention.ms": "1500"}
        await admin.create_topics([NewTopic("orders", 1, 1, topic_configs=short)])
        producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap)
        await producer.start()
        await produce(producer, 3000)
        for group in ("back", "away"):
            consumer = client(group)
            await consumer.start()
            consumer.assign([partition])
            for offset in range(0, 101, 10):
                await consumer.commit({partition: offset})
            await consumer.stop()
        consumer = client("back")
        await consumer.start()
        while (await consumer.beginning_offsets([partition]))[partition] <= 100:
            await asyncio.sleep(0.3)
        start: int = (await consumer.beginning_offsets([partition]))[partition]
        await produce(producer, 100)
        consumer.assign([partition])
        assert (await consumer.getone(partition)).offset >= start
        await consumer.commit()
        for one in (producer, consumer, admin):
            await (one.close() if one is admin else one.stop())
        return start

    start = asyncio.run(work())
    (running,) = offdecode.explain(f"kafka://{broker.bootstrap}", groups=["back"], notable=True).rows()
    broker.stop()
    (moved,) = offdecode.explain(broker.data, groups=["back"], notable=True).table("movement").to_pylist()
    assert (moved["kind"], moved["before"]) == ("jump", 100)
    assert moved["after"] > start
    assert "before_log_start" in moved["signals"]
    assert running["signals"] == moved["signals"]
    assert "jump" in run("explain", broker.data, "--group", "back", "--format", "text").stdout.decode()
    signals = {row["group"]: row["signals"] for row in offdecode.lag(broker.data).rows()}
    assert signals["away"] == ["before_log_start"]


def _records_before(offset: int) -> Any:
    from aiokafka.admin.records_to_delete import RecordsToDelete

    return RecordsToDelete(before_offset=offset)
