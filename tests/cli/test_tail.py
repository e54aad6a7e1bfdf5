"""The live topic gives the rows of the broker's segments, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
import json
import os
import random
import struct
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic, RecordsToDelete
from aiokafka.structs import TopicPartition

from offdecode.schemas.placement import partition_for
from tests.brokers import KAFKA_3, KAFKA_4, OFFSETS_PARTITIONS, Broker, StartBroker
from tests.kafka_jars import run_java
from tests.tail_runs import Follower, offdecode, rows_of

WORKLOAD = Path(__file__).parent.parent / "java" / "GroupWorkload.java"
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")  # offsets.topic.compression.codec is the index
KILLS = int(os.environ.get("OFFDECODE_KILLS", "4"))  # of each format
ALL_CODECS = "OFFDECODE_ALL_CODECS" in os.environ

pytestmark = [pytest.mark.broker, pytest.mark.slow]


def group_list(broker: Broker) -> list[object]:
    async def ask() -> list[object]:
        admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
        await admin.start()
        try:
            return sorted(await admin.list_consumer_groups())
        finally:
            await admin.close()

    return asyncio.run(ask())


@pytest.mark.parametrize(
    ("version", "protocols", "codec"),
    [(KAFKA_4, "consumer", "zstd"), (KAFKA_3, "classic", "lz4")]
    + [(KAFKA_4, "consumer", codec) for codec in CODECS if ALL_CODECS and codec != "zstd"],
)
def test_rows_equal_those_of_the_segments(
    start_broker: StartBroker, tmp_path: Path, version: str, protocols: str, codec: str
) -> None:
    broker = start_broker(version, {"offsets.topic.compression.codec": str(CODECS.index(codec))})
    tail = ("tail", "--bootstrap-server", broker.bootstrap)
    early = offdecode(*tail, status=2)
    assert "there is no such topic yet" in early.stderr
    with Follower(tmp_path, *tail[1:], "--wait-topic") as follower:
        run_java(WORKLOAD, broker.classpath, broker.bootstrap, protocols, "10")
        groups = group_list(broker)
        now = int(time.time() * 1000)
        whole = offdecode(*tail, "--until-end", "--stats")
        assert f"codec {codec}:" in whole.stderr
        one = offdecode(*tail, "--until-end", "--group", "classic-1", "--problems", tmp_path / "problems.jsonl")
        assert offdecode(*tail, "--until-end", "--from", "latest").stdout == ""
        assert offdecode(*tail, "--until-end", "--from", now).stdout == ""
        offdecode(*tail, "--until-end", "-o", tmp_path / "rows", "--format", "parquet")
        follower.wait_for(whole.stdout.count("\n"))
        followed, words = follower.stop()
    assert words.count("caught up") == 1
    assert group_list(broker) == groups
    broker.stop()

    decoded = offdecode("decode", broker.data).stdout
    assert whole.stdout == decoded
    rows = rows_of(decoded)
    assert len(rows) > 200
    assert {row["transaction"] for row in rows} == {None, "committed", "aborted"}
    assert rows_of(followed) == rows
    place = partition_for("classic-1", OFFSETS_PARTITIONS)
    assert rows_of(one.stdout) == [
        row for row in rows if row["log_partition"] == place and row.get("group", "classic-1") == "classic-1"
    ]
    commits = pq.read_table(tmp_path / "rows" / "offset_commit.parquet")
    assert commits.num_rows == sum(row["type"] == "offset_commit" for row in rows)


def test_rows_wait_for_their_transaction(start_broker: StartBroker, tmp_path: Path) -> None:
    """Rows behind an undecided transaction leave with its marker, or as open after the hold, and the marker follows."""
    broker = start_broker(KAFKA_4)
    load(broker, 50)
    tail = ("--bootstrap-server", broker.bootstrap, "--group", "load-0")
    folders = [tmp_path / "patient", tmp_path / "hasty"]
    for folder in folders:
        folder.mkdir()
    patient = Follower(folders[0], *tail, "--hold", "60")
    hasty = Follower(folders[1], *tail, "--hold", "1")

    async def transact() -> None:
        producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap, transactional_id="slow")
        await producer.start()
        await producer.begin_transaction()
        await producer.send_offsets_to_transaction({TopicPartition("load", 0): 77}, "load-0")
        await asyncio.to_thread(load, broker, 50)
        await asyncio.to_thread(patient.wait_for, 50)
        await asyncio.to_thread(hasty.wait_for, 101)
        assert patient.text.count("\n") == 50
        await producer.commit_transaction()
        await producer.stop()

    with patient, hasty:
        asyncio.run(transact())
        for follower in (patient, hasty):
            follower.wait_for(102)
        decided, _ = patient.stop()
        opened, words = hasty.stop(status=1)
    broker.stop()
    log = broker.data / f"__consumer_offsets-{partition_for('load-0', OFFSETS_PARTITIONS)}"
    decoded = offdecode("decode", log, "--group", "load-0").stdout
    assert decided == decoded
    assert [row["transaction"] for row in rows_of(decoded)] == [None] * 50 + ["committed"] + [None] * 51
    assert opened == decoded.replace('"transaction":"committed"', '"transaction":"open"')
    (problem,) = [json.loads(line) for line in words.splitlines() if line.startswith("{")]
    row = rows_of(decoded)[50]
    assert problem["kind"] == "open_transaction"
    assert problem["log_offset"] == row["log_offset"]
    assert f"producer id {row['producer_id']}, epoch 0," in problem["message"]


def load(broker: Broker, commits: int, *, rate: int = 0) -> None:
    command = [sys.executable, "-m", "tests.commit_load", broker.bootstrap, str(commits), str(rate)]
    subprocess.run(command, check=True, timeout=300)


def test_killed_at_any_moment(start_broker: StartBroker, tmp_path: Path) -> None:
    """After kill -9 and a broker's restart, every row is there once: JSON lines and Parquet parts."""
    seed = random.randrange(1 << 32)
    moments = random.Random(seed)
    broker = start_broker(KAFKA_4)
    load(broker, 50)
    server = ("--bootstrap-server", broker.bootstrap)
    targets = {
        "jsonl": ("-o", tmp_path / "rows.jsonl", "--checkpoint", tmp_path / "checkpoint"),
        "parquet": (
            "-o", tmp_path / "parts", "--format", "parquet", "--rotate", "1s",
            "--checkpoint", tmp_path / "parquet.checkpoint",
        ),
    }  # fmt: skip
    rate = 50_000 // (6 * KILLS)  # about as long as there are kills
    command = [sys.executable, "-m", "tests.commit_load", broker.bootstrap, "50000", str(rate)]
    sizes: list[int] = []
    with subprocess.Popen(command) as loading:
        for number in range(KILLS):
            followers = [Follower(tmp_path, *server, *target) for target in targets.values()]
            if number % 4:  # some while they start, most while they write
                while followers[0].text.count("\n") <= sizes[-1] and loading.poll() is None:
                    time.sleep(0.1)
            time.sleep(moments.random() * 2)
            if number == KILLS // 2:
                broker.stop()
                broker.start()
                time.sleep(1)
            for follower in followers:
                with follower:
                    pass
            sizes.append(followers[0].text.count("\n"))
        assert loading.wait() == 0
    assert len(set(sizes)) > KILLS // 3, f"too few of the killed runs had written something: {sizes}"
    for target in targets.values():
        offdecode("tail", *server, "--until-end", *target)
    again = offdecode("tail", *server, "--until-end", *targets["jsonl"], "--stats")
    assert "0 rows in" in again.stderr
    broker.stop()
    wanted = rows_of(offdecode("decode", broker.data).stdout)
    assert len(wanted) >= 50_050
    assert rows_of((tmp_path / "rows.jsonl").read_text("utf-8")) == wanted, f"seed {seed}"
    parts = sorted((tmp_path / "parts" / "offset_commit").glob("*.parquet"))
    found = [
        (row["log_partition"], row["log_offset"], row["offset"])
        for part in parts
        for row in pq.read_table(part, columns=["log_partition", "log_offset", "offset"]).to_pylist()
    ]
    assert found == [(row["log_partition"], row["log_offset"], row["offset"]) for row in wanted], f"seed {seed}"


def test_broker_restart_is_survived(start_broker: StartBroker, tmp_path: Path) -> None:
    broker = start_broker(KAFKA_3)
    load(broker, 500)
    with Follower(tmp_path, "--bootstrap-server", broker.bootstrap) as follower:
        follower.wait_for(500)
        broker.stop()
        time.sleep(2)  # retries, of which one is told about
        broker.start()
        load(broker, 500)
        follower.wait_for(1000)
        out, words = follower.stop()
    assert words.count("does not answer") == words.count("answers again") == 1
    broker.stop()
    assert rows_of(out) == rows_of(offdecode("decode", broker.data).stdout)
    assert len(rows_of(out)) >= 1000


def test_new_leaders_are_found(start_broker: StartBroker, tmp_path: Path) -> None:
    """When one of two brokers goes, the other leads its partitions; when it is back, it leads some again."""
    replicated = {"offsets.topic.replication.factor": "2", "leader.imbalance.check.interval.seconds": "2"}
    first = start_broker(KAFKA_4, replicated)
    second = start_broker(KAFKA_4, replicated, joins=first)
    load(first, 1000)
    with Follower(tmp_path, "--bootstrap-server", f"{first.bootstrap},{second.bootstrap}") as follower:
        follower.wait_for(1000)
        second.stop()
        load(first, 1000)
        follower.wait_for(2000)
        second.start()
        time.sleep(5)  # for the partitions to go back
        load(first, 1000)
        follower.wait_for(3000)
        out, words = follower.stop()
    assert words.count("does not answer") <= 2, words
    second.stop()
    first.stop()
    assert rows_of(out) == rows_of(offdecode("decode", first.data).stdout)
    assert len(rows_of(out)) >= 3000


def test_gaps_and_new_partitions(start_broker: StartBroker, tmp_path: Path) -> None:
    """What the broker has deleted is a problem that names it; partitions that are added are read from their start."""
    broker = start_broker(KAFKA_4)

    async def copy(count: int, before_offset: int) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
        await admin.start()
        await admin.create_topics([NewTopic("copy", 1, 1)])
        await produce(0, count)
        await admin.delete_records({TopicPartition("copy", 0): RecordsToDelete(before_offset=before_offset)})
        await admin.close()

    async def produce(partition: int, count: int) -> None:
        producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap)
        await producer.start()
        for number in range(count):
            key = struct.pack(">hh5sh4si", 1, 5, b"group", 4, b"load", number)
            value = struct.pack(">hqih2sq", 3, number, -1, 2, b"{}", 0)
            await producer.send("copy", key=key, value=value, partition=partition)
        await producer.stop()

    async def add_partition() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
        await admin.start()
        await admin.create_partitions({"copy": NewPartitions(2)})
        await admin.close()
        await asyncio.sleep(1)
        await produce(1, 10)

    asyncio.run(copy(100, before_offset=40))
    tail = ("tail", "--bootstrap-server", broker.bootstrap, "--topic-name", "copy")
    resumed = (*tail, "--until-end", "-o", tmp_path / "rows.jsonl", "--checkpoint", tmp_path / "checkpoint")
    offdecode(*resumed)
    assert [row["offset"] for row in rows_of((tmp_path / "rows.jsonl").read_text())] == list(range(40, 100))

    asyncio.run(copy(100, before_offset=150))
    (problem,) = offdecode(*resumed, status=1).stderr.splitlines()
    assert json.loads(problem)["kind"] == "offset_out_of_range"
    assert "offsets 100 to 149 are gone" in json.loads(problem)["message"]
    rows = rows_of((tmp_path / "rows.jsonl").read_text())
    assert [row["log_offset"] for row in rows] == [*range(40, 100), *range(150, 200)]
    folder = tmp_path / "followed"
    folder.mkdir()
    with Follower(folder, *tail[1:]) as follower:
        follower.wait_for(50)
        asyncio.run(add_partition())
        follower.wait_for(60)
        out, words = follower.stop()
    assert [row["log_offset"] for row in rows_of(out) if row["log_partition"] == 1] == list(range(10))
    assert words.count("partition 1 was added to copy") == 1
