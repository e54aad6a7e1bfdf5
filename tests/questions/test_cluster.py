"""What the cluster's own topics tell beside the offsets log: a real broker's, and damaged ones."""

from __future__ import annotations

import asyncio
import random
import re
import struct
import tarfile
import time
import uuid
from pathlib import Path
from typing import Any

import pytest

import offdecode
from offdecode.cluster import Cluster
from offdecode.sources.locations import LocalLocation
from tests.brokers import KAFKA_3, KAFKA_4, StartBroker
from tests.command import run
from tests.containers import ARCHIVES
from tests.questions.test_state_broker import run_tool
from tests.segment_builder import (
    BASE_TIME_MS,
    TRANSACTIONAL,
    Header,
    batch,
    commit,
    text,
    with_right_checksum,
)

Row = dict[str, Any]

GONE, THERE = uuid.UUID(int=7), uuid.UUID(int=8)


def compact(data: bytes) -> bytes:
    return bytes([len(data) + 1]) + data


def topic(name: str, topic_id: uuid.UUID) -> tuple[None, bytes]:
    return None, b"\1\2\0" + compact(name.encode()) + topic_id.bytes + b"\0"


def removed(topic_id: uuid.UUID) -> tuple[None, bytes]:
    return None, b"\1\x09\0" + topic_id.bytes + b"\0"


def setting(kind: int, of: str, name: str, value: str) -> tuple[None, bytes]:
    words = (compact(one.encode()) for one in (of, name, value))
    return None, b"\1\4\0" + bytes([kind]) + b"".join(words) + b"\0"


def transaction(
    name: str, producer: int, status: int, *, previous: int | None = None, updated: int = 0
) -> tuple[bytes, bytes]:
    """A value of version 1, which a broker writes since 4.0."""
    tags = b"\0" if previous is None else b"\1\0\x08" + struct.pack(">q", previous)
    value = struct.pack(">hqhib", 1, producer, 3, 60_000, status) + b"\1" + struct.pack(">qq", updated, 0) + tags
    return struct.pack(">h", 0) + text(name), value


def data_directory(folder: Path, **logs: bytes) -> Path:
    for name, data in logs.items():
        (folder / name.replace("_at_", "-")).mkdir(parents=True)
        (folder / name.replace("_at_", "-") / f"{0:020}.log").write_bytes(data)
    return folder


WAITS = Header(2, TRANSACTIONAL, 71, 3)
CREATED = batch([topic("orders", THERE), topic("left", GONE), setting(4, "", "a", "1")])
METADATA = CREATED + batch([removed(GONE)], Header(3, timestamp=BASE_TIME_MS + 5000))


def test_names_and_deletions(tmp_path: Path) -> None:
    folder = data_directory(tmp_path, __cluster_metadata_at_0=METADATA)
    cluster = Cluster([LocalLocation(folder)])
    assert set(cluster.topic_names.values()) == {"orders", "left"}
    assert cluster.removed_topics == {"left": [BASE_TIME_MS + 5000]}
    assert cluster.deleted_topics == {"left"}
    assert cluster.setting("t", "x", "a") == "1"
    assert cluster.producers == {}


def test_snapshots_name_what_the_log_no_longer_has(tmp_path: Path) -> None:
    folder = data_directory(tmp_path, __cluster_metadata_at_0=batch([removed(GONE)], Header(9)))
    snapshot = batch([topic("old", GONE), setting(2, "t", "x", "0.3")], Header(0))
    (folder / "__cluster_metadata-0" / f"{9:020}-{1:010}.checkpoint").write_bytes(snapshot)
    cluster = Cluster([LocalLocation(folder)])
    assert cluster.removed_topics == {"old": [BASE_TIME_MS]}
    assert cluster.setting("t", "x", "a") == "0.3"


def test_producers_are_named(tmp_path: Path) -> None:
    pairs = [
        transaction("billing", 70, 1), transaction("billing", 71, 1, previous=70), transaction("other", 9, 99),
        (transaction("x", 1, 1)[0], None), (b"\0\5x", b"\0\1"), (b"\0\0", b"\0\1"),
    ]  # fmt: skip
    waits = Header(0, TRANSACTIONAL, 71, 3)
    folder = data_directory(
        tmp_path,
        __transaction_state_at_0=batch(pairs),
        __consumer_offsets_at_0=batch([commit("g")], waits) + batch([commit("h")], Header(1)),
    )
    (row,) = run("transactions", folder).rows
    assert (row["transactional_id"], row["transaction_timeout_ms"], row["coordinator_state"]) == (
        "billing", 60_000, "Ongoing",
    )  # fmt: skip
    lines = run("transactions", folder, "--format", "text").stdout.decode()
    assert "producer 71 (billing) epoch 3: open" in lines
    assert "its coordinator says Ongoing; timeout 60.0 s" in lines
    cluster = Cluster([LocalLocation(folder)])
    assert {number: one.transactional_id for number, one in cluster.producers.items()} == {
        70: "billing", 71: "billing", 9: "other",
    }  # fmt: skip
    assert cluster.producers[9].state == "99"
    rows = run("decode", folder, "--with-transactional-id").rows
    assert [row["transactional_id"] for row in rows] == ["billing", None]
    assert "transactional_id" not in run("decode", folder).rows[0]
    (moved,) = [row for row in run("explain", folder).rows if row.get("group") == "g"]
    assert (moved["kind"], moved["producer_id"], moved["transactional_id"]) == ("pending", 71, "billing")
    run("decode", folder, "--with-transactional-id", "-o", tmp_path / "rows", "--format", "parquet")
    table = offdecode.decode(folder, with_transactional_id=True).table("offset_commit")
    assert table.column("transactional_id").to_pylist() == ["billing", None]


@pytest.mark.parametrize("order", [1, -1])
def test_of_several_copies_the_newest_counts(order: int, tmp_path: Path) -> None:
    early, late = transaction("billing", 70, 1, updated=5), transaction("billing", 70, 4, updated=9)
    now = batch([setting(4, "", "a", "2")], Header(4))
    a = data_directory(tmp_path / "a", __transaction_state_at_0=batch([early]), __cluster_metadata_at_0=METADATA)
    b = data_directory(
        tmp_path / "b", __transaction_state_at_0=batch([early, late]), __cluster_metadata_at_0=METADATA + now
    )
    cluster = Cluster([LocalLocation(one) for one in (a, b)[::order]])
    assert cluster.producers[70].state == "CompleteCommit"
    assert cluster.removed_topics == {"left": [BASE_TIME_MS + 5000]}
    assert cluster.setting("t", "x", "a") == "2"


def test_a_deletion_in_the_metadata_is_the_cause(tmp_path: Path) -> None:
    """Of one group alone, whose only offsets are gone: that could have been its own doing."""
    key, _ = commit("g", topic="left")
    at = BASE_TIME_MS + 6000
    offsets = batch([commit("g", topic="left")], Header(0)) + batch([(key, None)], Header(1, timestamp=at))
    alone = data_directory(tmp_path / "alone", __consumer_offsets_at_0=offsets)
    both = data_directory(tmp_path / "both", __consumer_offsets_at_0=offsets, __cluster_metadata_at_0=METADATA)
    (one,) = [row for row in offdecode.explain(alone).rows() if row.get("kind") == "tombstone"]
    (other,) = [row for row in offdecode.explain(both).rows() if row.get("kind") == "tombstone"]
    assert (other["cause"], other["confidence"], other["signals"][-1]) == ("topic_deleted", "high", "topic_removed")
    assert (one["confidence"], "topic_removed" in one["signals"]) != ("high", True)


def test_lag_of_a_topic_that_was_deleted_and_made_again(tmp_path: Path) -> None:
    """Commits that name no topic id: the controllers' log tells that there was another topic then."""
    metadata = METADATA + batch([topic("left", THERE)], Header(4, timestamp=BASE_TIME_MS + 9000))
    folder = data_directory(
        tmp_path,
        __cluster_metadata_at_0=metadata,
        __consumer_offsets_at_0=batch([commit("g", topic="left")]),
        left_at_0=batch([(b"k", b"v")] * 20),
    )
    (row,) = offdecode.lag(folder).rows()
    assert (row["lag"], row["signals"]) == (None, ["topic_made_anew"])
    (row,) = offdecode.lag(folder, as_of=BASE_TIME_MS + 10).rows()
    assert (row["lag"], row["lag_most"], row["signals"]) == (0, 12, [])


def test_the_cluster_says_when_it_cleans(tmp_path: Path) -> None:
    folder = data_directory(
        tmp_path,
        __cluster_metadata_at_0=batch([setting(4, "", "log.cleaner.min.cleanable.ratio", "0.2")]),
        __consumer_offsets_at_0=batch([commit("g")]),
    )
    (folder / "__consumer_offsets-0" / f"{1:020}.log").write_bytes(batch([commit("g")], Header(1)))
    rows = [row for row in offdecode.growth(folder).rows() if row["type"] == "compaction"]
    assert "above the cluster's 0.2" in rows[0]["why"]


def test_the_cluster_says_when_offsets_expire(tmp_path: Path) -> None:
    folder = data_directory(
        tmp_path,
        __cluster_metadata_at_0=batch([setting(4, "", "offsets.retention.minutes", "5")]),
        __consumer_offsets_at_0=batch([commit("g")]),
    )
    (row,) = offdecode.groups(folder).rows()
    assert row["expires"] == BASE_TIME_MS + 300_000
    (row,) = offdecode.groups(folder, offsets_retention_minutes=7).rows()
    assert row["expires"] == BASE_TIME_MS + 420_000


@pytest.mark.parametrize("form", [*ARCHIVES, "zip in tar"])
def test_an_archive_tells_what_its_directory_does(form: str, tmp_path: Path) -> None:
    """Of the controllers' log with a snapshot, of producers, and of users' partitions beside the offsets log."""
    left, _ = commit("g", topic="left")
    folder = data_directory(
        tmp_path / "data",
        __cluster_metadata_at_0=METADATA + batch([setting(4, "", "offsets.retention.minutes", "5")], Header(4)),
        __transaction_state_at_0=batch([transaction("billing", 71, 1)]),
        __consumer_offsets_at_0=batch([commit("g", "orders"), commit("g", "left")]) + batch([commit("g")], WAITS)
        + batch([(left, None)], Header(3, timestamp=BASE_TIME_MS + 6000)),
        orders_at_0=batch([(b"k", b"v")] * 20), t_at_0=batch([(b"k", b"v")] * 5),
    )  # fmt: skip
    snapshot = batch([setting(4, "", "log.cleaner.min.cleanable.ratio", "0.2")])
    (folder / "__cluster_metadata-0" / f"{3:020}-{1:010}.checkpoint").write_bytes(snapshot)
    archive = tmp_path / "ticket.any"
    archive.write_bytes(ARCHIVES["zip" if form == "zip in tar" else form](folder))
    if form == "zip in tar":
        archive.rename(tmp_path / "data.zip")
        with tarfile.open(archive, "w") as tar:
            tar.add(tmp_path / "data.zip", "data.zip")
    asked: list[tuple[Any, dict[str, Any]]] = [
        (offdecode.transactions, {}), (offdecode.explain, {}), (offdecode.lag, {}), (offdecode.groups, {}),
        (offdecode.state, {"with_lag": True}), (offdecode.decode, {"with_transactional_id": True}),
        (offdecode.lag, {"every": "1s"}),
    ]  # fmt: skip
    rows: dict[Path, list[list[Row]]] = {place: [] for place in (folder, archive)}
    for place, found in rows.items():
        for question, options in asked:
            found.append(list(question(place, on_problem=unexpected, **options).rows()))
    for from_folder, from_archive in zip(*rows.values(), strict=True):
        assert from_folder
        for row in (*from_folder, *from_archive):
            row.pop("log", None)
        assert from_archive == from_folder
    transactions, explained, lag = rows[archive][:3]
    assert transactions[0]["transactional_id"] == "billing"
    assert "topic_deleted" in {row.get("cause") for row in explained}
    assert {(row["topic"], row["log_end"]) for row in lag} == {("orders", 20)}
    assert rows[archive][3][0]["expires"] is not None


@pytest.mark.parametrize("seed", range(30))
def test_what_is_damaged_there_tells_nothing(seed: int, tmp_path: Path) -> None:
    rnd = random.Random(seed)
    pairs = [transaction("billing", 70, 1), transaction("other", 9, 2, previous=8)]
    logs = {}
    for name, whole in (
        ("__cluster_metadata_at_0", METADATA[: len(METADATA) // 2]),
        ("__transaction_state_at_0", batch(pairs)),
    ):
        changed = bytearray(whole)
        for _ in range(3):
            changed[rnd.randrange(61, len(changed))] = rnd.randrange(256)
        logs[name] = with_right_checksum(changed) if rnd.random() < 0.8 else bytes(changed)
    waits = Header(0, TRANSACTIONAL, 70, 3)
    folder = data_directory(tmp_path, **logs, __consumer_offsets_at_0=batch([commit("g")], waits))
    asked: list[tuple[Any, dict[str, Any]]] = [
        (offdecode.transactions, {}), (offdecode.explain, {}), (offdecode.lag, {}), (offdecode.state, {}),
        (offdecode.decode, {"with_transactional_id": True}),
    ]  # fmt: skip
    for question, options in asked:
        list(question(folder, on_problem=unexpected, **options).rows())


def unexpected(problem: offdecode.Problem) -> None:
    raise AssertionError(problem)


@pytest.mark.broker
@pytest.mark.slow
@pytest.mark.parametrize("version", [KAFKA_4, KAFKA_3])
def test_names_are_a_real_brokers(version: str, start_broker: StartBroker) -> None:
    """Topic ids, a topic that was deleted, transactional ids and their states, as the broker itself says."""
    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
    from aiokafka.admin import AIOKafkaAdminClient, NewTopic

    broker = start_broker(version)
    partition, doomed = TopicPartition("orders", 0), TopicPartition("doomed", 0)

    async def work() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
        await admin.start()
        await admin.create_topics([NewTopic("orders", 1, 1), NewTopic("doomed", 1, 1)])
        consumer = AIOKafkaConsumer(bootstrap_servers=broker.bootstrap, group_id="g", enable_auto_commit=False)
        await consumer.start()
        consumer.assign([partition, doomed])
        await consumer.commit({partition: 0, doomed: 0})
        producers = []
        for name, ends in (("commits", "commit"), ("aborts", "abort"), ("hangs", None)):
            producer = AIOKafkaProducer(
                bootstrap_servers=broker.bootstrap, transactional_id=name, transaction_timeout_ms=300_000
            )
            await producer.start()
            producers.append(producer)
            await producer.begin_transaction()
            await producer.send_offsets_to_transaction({partition: 5}, "g")
            if ends:
                await getattr(producer, f"{ends}_transaction")()
        for client in (*producers, consumer):  # first: who asks for a topic that is gone makes it anew
            await client.stop()
        await admin.delete_topics(["doomed"])
        await admin.close()

    asyncio.run(work())
    time.sleep(1)
    ids = dict(re.findall(r"Topic: (\S+)\s+TopicId: (\S+)", run_tool(broker, TOPICS, "--describe")))
    listed = run_tool(broker, TRANSACTIONS, "list").splitlines()[1:]
    told = {line.split()[0]: line.split()[2:4] for line in listed}
    broker.stop()
    cluster = Cluster([LocalLocation(broker.data)])
    assert {cluster.topic_names[topic_id] for topic_id in ids.values()} == set(ids)
    assert cluster.deleted_topics == {"doomed"}
    assert list(cluster.removed_topics) == ["doomed"]
    ours = {one.transactional_id: [str(number), one.state] for number, one in cluster.producers.items()}
    assert ours == told
    assert {name: state for name, (_, state) in ours.items()} == {
        "commits": "CompleteCommit", "aborts": "CompleteAbort", "hangs": "Ongoing",
    }  # fmt: skip
    rows = list(offdecode.transactions(broker.data).rows())
    assert {(row["transactional_id"], row["status"]) for row in rows} == {
        ("commits", "committed"), ("aborts", "aborted"), ("hangs", "open"),
    }  # fmt: skip
    assert {row["transaction_timeout_ms"] for row in rows} == {300_000}
    (gone,) = [row for row in offdecode.explain(broker.data).rows() if row.get("kind") == "tombstone"]
    assert (gone["topic"], gone["cause"], gone["confidence"]) == ("doomed", "topic_deleted", "high")
    assert "topic_removed" in gone["signals"]


TOPICS = "org.apache.kafka.tools.TopicCommand"
TRANSACTIONS = "org.apache.kafka.tools.TransactionsCommand"
