"""Where the bytes are: against each record counted by itself, and the forecast against what a real cleaner left."""

from __future__ import annotations

import asyncio
import random
import shutil
import struct
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import offdecode
from offdecode.schemas.growth_rows import COMPACTION_ROW, GROWTH_ROW, PARTS
from tests.brokers import KAFKA_3, KAFKA_4, Broker, StartBroker
from tests.command import run
from tests.questions.test_state_broker import run_tool
from tests.segment_builder import (
    BASE_TIME_MS,
    TRANSACTIONAL,
    Header,
    batch,
    batch_around,
    commit,
    marker,
    record,
    with_right_checksum,
)
from tests.truth import LogSet, log_sets, set_id

Row = dict[str, Any]

every_set = pytest.mark.parametrize("log_set", log_sets(), ids=set_id)


def answer(*paths: Path, **options: Any) -> list[Row]:
    return list(offdecode.growth(list(paths), on_problem=lambda problem: None, **options).rows())


def growth_of(*paths: Path, **options: Any) -> list[Row]:
    return [row for row in answer(*paths, **options) if row["type"] == GROWTH_ROW]


def compaction_of(*paths: Path) -> list[Row]:
    return [row for row in answer(*paths) if row["type"] == COMPACTION_ROW]


def counted(path: Path) -> Counter[tuple[str | None, str, str]]:
    """How many records of each group and type are what, one record at a time."""
    found: Counter[tuple[str | None, str, str]] = Counter()
    latest: dict[tuple[int, str], tuple[tuple[str | None, str], str, int | None]] = {}
    for row in offdecode.decode(path, raw=True, on_problem=lambda problem: None).rows():
        place = row.get("group"), row["type"]
        if row["type"] in ("unknown", "undecodable"):
            place = None, row["type"]
        if row["type"] == "transaction_marker":
            found[(*place, "marker")] += 1
        elif row["transaction"] in ("aborted", "open", "unknown"):
            found[(*place, "aborted" if row["transaction"] == "aborted" else "undecided")] += 1
        else:
            key = row["log_partition"], row["key_hex"]
            before = latest.get(key)
            if before is not None:
                found[(*before[0], before[1])] += 1
            offset = row.get("offset")
            repeats = before is not None and offset is not None and offset == before[2]
            latest[key] = (place, "repeated" if repeats else "superseded", offset)
            latest[key, "now"] = "tombstone" if row["tombstone"] else "live"  # type: ignore[index,assignment]
    for key, (place, _, _) in [item for item in latest.items() if item[0][1] != "now"]:
        found[(*place, latest[key, "now"])] += 1  # type: ignore[index]
    return found


@every_set
def test_each_record_is_counted_once_as_what_it_is(log_set: LogSet) -> None:
    path = log_set.log
    found: Counter[tuple[str | None, str, str]] = Counter()
    for row in growth_of(path, by=("group", "type")):
        assert row["records"] == sum(row[f"{part}_records"] for part in PARTS)
        assert row["bytes"] == sum(row[f"{part}_bytes"] for part in PARTS)
        for part in PARTS:
            name = part.removeprefix("expired_")
            found[row["group"], row["row_type"], name] += row[f"{part}_records"]
    expected = counted(path)
    undecodable = {place for place in expected if place[1] in ("unknown", "undecodable")}
    if not undecodable:  # a key may be read where its value is not
        assert +found == expected
    assert found.total() == expected.total()


@every_set
@pytest.mark.parametrize("by", [("hour",), ("topic", "hour"), ("type",)], ids="-".join)
def test_sums_are_the_same_however_they_are_cut(log_set: LogSet, by: tuple[str, ...]) -> None:
    path = log_set.log
    whole, cut = growth_of(path, by=("group",)), growth_of(path, by=by)
    for name in ("records", "bytes", "live_bytes", "repeated_records"):
        assert sum(row[name] for row in whole) == sum(row[name] for row in cut)
    sizes = {row["log_partition"]: row["bytes"] for row in compaction_of(path)}
    for partition, size in sizes.items():
        counted = sum(row["bytes"] for row in whole if row["log_partition"] == partition)
        assert counted <= size
        if log_set.folder.name == "kafka-4.4.0-all-groups":
            assert counted == size  # no empty batches there, nothing is damaged


def test_hours_are_those_of_the_records(tmp_path: Path) -> None:
    day = 86_400_000
    first = BASE_TIME_MS // day * day
    data = b"".join(
        batch([commit("g", offset=number)], Header(number, timestamp=first + number * 1_800_000)) for number in range(5)
    )
    rows = growth_of(one_log(tmp_path, data), by=("hour",))
    hours = {round(row["hour"].timestamp() * 1000) - first: (row["records"], row["live_records"]) for row in rows}
    assert hours == {0: (2, 0), 3_600_000: (2, 0), 7_200_000: (1, 1)}


def one_log(folder: Path, *segments: bytes, starts: tuple[int, ...] = (0,), **checkpoints: int) -> Path:
    log = folder / "__consumer_offsets-0"
    log.mkdir(parents=True)
    for start, data in zip(starts, segments, strict=True):
        (log / f"{start:020}.log").write_bytes(data)
    for name, offset in checkpoints.items():
        (folder / f"{name.replace('_', '-')}-offset-checkpoint").write_text(f"0\n1\n__consumer_offsets 0 {offset}\n")
    return folder


def commits(first: int, count: int, group: str = "g") -> bytes:
    return b"".join(batch([commit(group, offset=number)], Header(number)) for number in range(first, first + count))


def test_an_open_transaction_holds_all_segments_from_its_own_on(tmp_path: Path) -> None:
    hangs = batch([commit("t")], Header(15, TRANSACTIONAL, 77, 0))
    segments = commits(0, 10), commits(10, 5) + hangs + commits(16, 4), commits(20, 10), commits(30, 3)
    (row,) = compaction_of(one_log(tmp_path, *segments, starts=(0, 10, 20, 30), cleaner=10))
    assert (row["first_dirty"], row["first_uncleanable"], row["active_segment"]) == (10, 10, 30)
    assert (row["blocked_by"], row["open_offset"], row["open_producer_id"]) == ("open_transaction", 15, 77)
    assert row["uncleanable_bytes"] == sum(map(len, segments[1:]))
    assert (row["kept_records"], row["kept_bytes"]) == (1, len(commits(9, 1)))
    assert row["left_bytes"] == row["kept_bytes"] + row["uncleanable_bytes"]
    assert (row["least_records"], row["least_bytes"]) == (2, len(commits(9, 1)) + len(hangs))
    assert row["cleanable_bytes"] == 0
    assert "transaction of producer 77 at offset 15 keeps" in row["why"]


def test_the_ratio_is_the_brokers(tmp_path: Path) -> None:
    segments = commits(0, 10), commits(10, 10), commits(20, 10), commits(30, 3)
    one, two, three, four = map(len, segments)
    (row,) = compaction_of(one_log(tmp_path / "a", *segments, starts=(0, 10, 20, 30), cleaner=10))
    assert (row["clean_bytes"], row["cleanable_bytes"], row["uncleanable_bytes"]) == (one, two + three, four)
    assert row["dirty_ratio"] == (two + three) / (one + two + three)
    assert (row["blocked_by"], row["why"].count("has stopped")) == ("active_segment", 1)
    (row,) = compaction_of(one_log(tmp_path / "b", *segments, starts=(0, 10, 20, 30), cleaner=20))
    assert row["why"].endswith("the log cleaner waits")
    # A checkpoint behind the log's end is not one of this log.
    (row,) = compaction_of(one_log(tmp_path / "c", *segments, starts=(0, 10, 20, 30), cleaner=99))
    assert (row["first_dirty"], row["cleaner_checkpoint"]) == (0, 99)
    (row,) = compaction_of(one_log(tmp_path / "d", *segments, starts=(0, 10, 20, 30), replication=25))
    assert (row["blocked_by"], row["first_uncleanable"]) == ("high_watermark", 20)


def test_a_tombstone_goes_when_its_time_has_come(tmp_path: Path) -> None:
    """An earlier cleaning has put the time into the batch, in place of its first timestamp."""
    key, _ = commit("gone")
    horizon = 0x40
    for name, at, part in (("a", BASE_TIME_MS - 1, "expired_tombstone"), ("b", BASE_TIME_MS + 1, "tombstone")):
        head = Header(0, horizon, timestamp=at)
        dead = batch_around(record(0, key, None, -99), head, 1, 0, at - 99)
        data = dead + batch([commit("g")], Header(1, timestamp=BASE_TIME_MS))
        folder = one_log(tmp_path / name, data, commits(2, 1, "other"), starts=(0, 2))
        (row,) = [row for row in growth_of(folder) if row["group"] == "gone"]
        assert row[f"{part}_records"] == 1
        (told,) = compaction_of(folder)
        assert told["kept_records"] == (1 if part == "expired_tombstone" else 2)


def test_what_is_no_record_of_a_group(tmp_path: Path) -> None:
    data = batch([(None, b"x"), (b"", b"x"), (b"\0\1\0\1", b"x"), (struct.pack(">h", 99), b"x"), commit("g")])
    data += marker(5, 7, commit=True)
    rows = growth_of(one_log(tmp_path, data), by=("type",))
    found = {
        row["row_type"]: {part: row[f"{part}_records"] for part in PARTS if row[f"{part}_records"]} for row in rows
    }
    assert found == {
        "undecodable": {"live": 2, "superseded": 1}, "unknown": {"live": 1}, "offset_commit": {"live": 1},
        "transaction_marker": {"marker": 1},
    }  # fmt: skip
    assert sum(row["bytes"] for row in rows) == len(data)


def test_each_copy_has_rows_of_its_own(tmp_path: Path) -> None:
    one_log(tmp_path / "broker1", commits(0, 10)), one_log(tmp_path / "broker2", commits(0, 5))
    problems: list[offdecode.Problem] = []
    rows = list(offdecode.growth(tmp_path, on_problem=problems.append).rows())
    found = {(row["type"], row["log"].split("/")[-2]): row["records"] for row in rows}
    sizes = {"broker1": 10, "broker2": 5}
    assert found == {(kind, name): size for kind in (COMPACTION_ROW, GROWTH_ROW) for name, size in sizes.items()}
    assert problems == []


def test_a_group_alone_and_one_that_is_not_there(tmp_path: Path) -> None:
    folder = one_log(tmp_path, commits(0, 10) + commits(10, 5, "h"))
    assert [(row["group"], row["records"]) for row in growth_of(folder, groups=("h",))] == [("h", 5)]
    done = run("growth", folder, "--group", "i")
    assert "group i is not in the evidence; there are 2" in done.stderr
    assert b'"records":15' in done.stdout
    lines = run("growth", folder, "--format", "table").stdout.decode().splitlines()
    assert lines[0].startswith("partition 0: ")
    assert [line.split()[0] for line in lines[3:6]] == ["GROUP", "g", "h"]
    share = run("growth", folder, "--format", "table", "--group", "h").stdout.decode().splitlines()[4]
    assert share.split()[:5] == next(line.split()[:5] for line in lines if line.split()[:1] == ["h"])  # of the log


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_table_of_several_logs_ends_with_the_sum(tmp_path: Path, jobs: str) -> None:
    for partition, log in enumerate((commits(0, 10), commits(0, 5) + marker(5, 7, commit=True))):
        directory = tmp_path / f"__consumer_offsets-{partition}"
        directory.mkdir()
        (directory / f"{0:020}.log").write_bytes(log)
    rows = growth_of(tmp_path, by=("type",))
    done = run("growth", tmp_path, "--format", "table", "--by", "type", "--jobs", jobs)
    title, left, _, *table = done.stdout.decode().splitlines()[-5:]
    assert title == f"all 2 logs: {sum(row['bytes'] for row in rows):,} bytes, 16 records in 2 segments"
    assert left.startswith("  cleaning now would leave ")
    assert [line.split()[:2] for line in table] == [["offset_commit", "15"], ["transaction_marker", "1"]]


@pytest.mark.parametrize("seed", range(8))
def test_any_bytes_give_sums(seed: int, tmp_path: Path) -> None:
    """Records whose bytes were changed under a right checksum."""
    rnd = random.Random(seed)
    pairs = [commit(f"g{number % 3}", offset=number) for number in range(20)]
    for round_ in range(20):
        data = b""
        for number in range(0, 20, 5):
            one = bytearray(batch(pairs[number : number + 5], Header(number)))
            for _ in range(rnd.randrange(4)):
                one[rnd.randrange(61, len(one))] = rnd.randrange(256)
            data += with_right_checksum(one)
        folder = one_log(tmp_path / str(round_), data)
        rows = growth_of(folder, by=("type", "group", "topic", "hour"))
        assert sum(row["bytes"] for row in rows) <= len(data)
        assert sum(row["records"] for row in rows) <= 20


def test_exported_records_have_sizes_and_no_segments(tmp_path: Path) -> None:
    key, value = commit("g")
    assert key is not None
    assert value is not None
    (tmp_path / "rows.jsonl").write_text(f'{{"partition":3,"key_hex":"{key.hex()}","value_hex":"{value.hex()}"}}\n' * 3)
    (row,) = answer(tmp_path / "rows.jsonl", input_format="records-jsonl")
    assert (row["type"], row["bytes"]) == (GROWTH_ROW, 3 * (len(key) + len(value)))
    assert [row[f"{part}_records"] for part in ("superseded", "repeated", "live")] == [1, 1, 1]


def segments_below(log: Path, offset: int) -> Iterator[Path]:
    yield from (path for path in log.glob("*.log") if int(path.stem) < offset)


async def commit_much(broker: Broker) -> None:
    """Commits that move, repeat and are deleted; members that come and go; a transaction that stays open."""
    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
    from aiokafka.admin import AIOKafkaAdminClient, NewTopic

    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic("orders", 3, 1)])
    partitions = [TopicPartition("orders", number) for number in range(3)]
    for group in range(8):
        member = AIOKafkaConsumer(
            "orders", bootstrap_servers=broker.bootstrap, group_id=f"m{group}", enable_auto_commit=False
        )
        await member.start()
        await member.commit(dict.fromkeys(partitions, group))
        await member.stop()
    consumers = []
    for group in range(8):
        consumer = AIOKafkaConsumer(bootstrap_servers=broker.bootstrap, group_id=f"g{group}", enable_auto_commit=False)
        await consumer.start()
        consumer.assign(partitions)
        consumers.append(consumer)
    producers = []
    for step in range(40):
        for consumer in consumers:
            await consumer.commit(dict.fromkeys(partitions, step // 2))
        if step == 20:
            for name, ends in (("commits", "commit"), ("aborts", "abort"), ("hangs", None)):
                producer = AIOKafkaProducer(
                    bootstrap_servers=broker.bootstrap, transactional_id=name, transaction_timeout_ms=600_000
                )
                await producer.start()
                producers.append(producer)
                for group in (0, 1) if ends else (0,):
                    await producer.begin_transaction()
                    await producer.send_offsets_to_transaction(dict.fromkeys(partitions, 500), f"g{group}")
                    if ends:
                        await getattr(producer, f"{ends}_transaction")()
        await asyncio.sleep(0.1)
    for client in (*consumers, *producers, admin):
        await (client.close() if client is admin else client.stop())


@pytest.mark.broker
@pytest.mark.slow
@pytest.mark.parametrize("version", [KAFKA_4, KAFKA_3])
def test_the_forecast_is_what_a_real_cleaner_leaves(version: str, start_broker: StartBroker, tmp_path: Path) -> None:
    """A log is written without a cleaner; what we foretell of it is what a cleaner then leaves, offset by offset."""
    broker = start_broker(version, {"log.roll.ms": "500"})
    asyncio.run(commit_much(broker))
    arguments = ("--delete", "--group", "m0", "--group", "m1")
    run_tool(broker, "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", "--timeout", "60000", *arguments)
    broker.stop()
    before = tmp_path / "before"
    shutil.copytree(broker.data, before)
    told = {row["log_partition"]: row for row in compaction_of(before)}
    blocked = [row for row in told.values() if row["blocked_by"] == "open_transaction"]
    assert len(blocked) == 1
    assert all(row["first_uncleanable"] > 0 for row in told.values() if row["segments"] > 5)
    broker.set({
        "log.cleaner.enable": "true", "log.cleaner.backoff.ms": "300", "log.cleaner.min.cleanable.ratio": "0.01",
        "log.roll.ms": "3600000",
    })  # fmt: skip
    broker.start()
    wait_for_checkpoint(broker, {number: row["first_uncleanable"] for number, row in told.items()})
    broker.stop()
    after = {row["log_partition"]: row for row in compaction_of(broker.data)}
    for partition, row in told.items():
        log = broker.data / f"__consumer_offsets-{partition}"
        border = row["first_uncleanable"]
        kept = [
            one for one in offdecode.decode(log, on_problem=lambda problem: None).rows() if one["log_offset"] < border
        ]
        assert len(kept) == row["kept_records"]
        size = sum(path.stat().st_size for path in segments_below(log, border))
        # The cleaner keeps the header of each producer's last batch.
        assert 0 <= size - row["kept_bytes"] <= 61 * 4
        assert after[partition]["cleaner_checkpoint"] == (border or None) or not border
        if row in blocked:
            assert border <= row["open_offset"] < row["active_segment"]


def wait_for_checkpoint(broker: Broker, wanted: dict[int, int]) -> None:
    deadline = time.monotonic() + 60
    path = broker.data / "cleaner-offset-checkpoint"
    while True:
        lines = path.read_text().splitlines()[2:] if path.exists() else []
        found = {int(line.split()[1]): int(line.split()[2]) for line in lines if line.startswith("__consumer_offsets ")}
        if all(found.get(partition, 0) >= offset for partition, offset in wanted.items()):
            return
        assert time.monotonic() < deadline, f"the cleaner came to {found}, not to {wanted}"
        time.sleep(0.5)
