"""A running cluster is a PATH: every question gives of it what it gives of the broker's own files."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete
from aiokafka.structs import TopicPartition

import offdecode
from offdecode.errors import SourceError, UsageError
from offdecode.log.headers import entry_with, whole_entries
from offdecode.model import LARGEST_INT64, Chunk, Problem
from offdecode.questions.check import PartitionCheck, Unused
from offdecode.sources import kafka_client, live_directory, told_partitions
from offdecode.sources.client_config import Security
from offdecode.sources.kafka_client import KafkaClient, TopicLayout
from offdecode.sources.kept import Jump
from offdecode.sources.live import LiveTopic
from offdecode.sources.locations import is_live
from tests.brokers import KAFKA_3, KAFKA_4, Broker, StartBroker, free_port
from tests.commit_load import load
from tests.kafka_jars import run_java
from tests.segment_builder import commit
from tests.tail_runs import offdecode as run

WORKLOAD = Path(__file__).parent.parent / "java" / "GroupWorkload.java"
QUESTIONS = (
    ("decode",), ("decode", "--with-generation", "--raw"), ("groups",), ("state",), ("generations",),
    ("generations", "--summary"), ("transactions",), ("explain",), ("explain", "--format", "text"), ("lag",),
    ("decode", "--jobs", "2"),
)  # fmt: skip


def url_of(broker: Broker) -> str:
    return f"kafka://{broker.bootstrap}"


def checked(*arguments: object) -> list[dict[str, Any]]:
    done = run("check", "--json", *arguments)
    return [row for row in map(json.loads, done.stdout.splitlines()) if row["type"] == "partition"]


@pytest.mark.broker
@pytest.mark.slow
@pytest.mark.parametrize(("version", "protocols"), [(KAFKA_4, "consumer"), (KAFKA_3, "classic")])
def test_every_question_gives_what_it_gives_of_the_files(
    start_broker: StartBroker, tmp_path: Path, version: str, protocols: str
) -> None:
    properties = {"offsets.retention.minutes": "20160"}
    if version == KAFKA_3:
        properties["offsets.topic.segment.bytes"] = "16384"
    broker = start_broker(version, properties)
    run_java(WORKLOAD, broker.classpath, broker.bootstrap, protocols, "10")
    url = url_of(broker)
    told = {question: run(*question, url).stdout for question in QUESTIONS}
    with_batch = run("decode", "--with-batch", url).stdout
    one = run("decode", "--log-partition", "1", url).stdout
    found = checked(url)
    report = tmp_path / "report.html"
    run("report", url, "-o", report)
    from_python = list(offdecode.state(url).rows())
    broker.stop()
    files = broker.data  # topic ids, the transaction coordinator's log and the users' partitions lie there, too
    for question, printed in told.items():
        # A broker tells a setting of its own, which is in no file here.
        retention = ("--offsets-retention-minutes", "20160") if question[0] in ("explain", "groups") else ()
        assert printed.replace(url, str(files)) == run(*question, *retention, files).stdout, question
        assert printed, question
    assert '"transactional_id":"' in told["transactions",]
    assert one == run("decode", "--log-partition", "1", files).stdout
    assert from_python == list(offdecode.state(files).rows())
    assert report.stat().st_size > 100_000
    for row in map(json.loads, with_batch.splitlines()):
        assert row["segment"] == f"{url}/__consumer_offsets-{row['log_partition']}/{0:020}.log"
    for live, own in zip(found, checked(files), strict=True):
        assert live["completeness"] == own["completeness"]
        assert live["checkpoints"] == {
            "high_watermark": own["completeness"][-1]["last_offset"] + 1, "log_start": 0, "cleaner": None,
            "recovery_point": None,
        }  # fmt: skip
        if len(own["files"]) == 1:  # a broker hands out the very bytes
            assert [file["sha256"] for file in live["files"]] == [file["sha256"] for file in own["files"]]


@pytest.mark.broker
@pytest.mark.slow
def test_what_the_cleaner_removed_is_no_loss(start_broker: StartBroker) -> None:
    broker = start_broker(KAFKA_3, {
        "offsets.topic.segment.bytes": "4096", "offsets.topic.num.partitions": "1",
        "log.cleaner.enable": "true", "log.cleaner.backoff.ms": "100", "log.cleaner.min.cleanable.ratio": "0.01",
    })  # fmt: skip
    asyncio.run(load(broker.bootstrap, 2000, 0, 0))
    deadline = time.monotonic() + 60
    while all(span["state"] == "complete" for span in checked(url_of(broker))[0]["completeness"]):
        assert time.monotonic() < deadline, "the log cleaner has not removed anything"
        time.sleep(0.5)
    (row,) = checked(url_of(broker))
    assert row["problem_count"] == 0
    assert {span["state"] for span in row["completeness"]} == {"complete", "compacted"}
    assert {one["type"] for one in map(json.loads, run("growth", url_of(broker)).stdout.splitlines())} == {"growth"}


@pytest.mark.broker
@pytest.mark.slow
def test_a_log_of_another_name_begins_where_it_was_deleted_to(start_broker: StartBroker) -> None:
    broker = start_broker(KAFKA_4)

    async def copy() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
        await admin.start()
        await admin.create_topics([NewTopic("copy", 1, 1)])
        producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap)
        await producer.start()
        for number in range(100):
            key, value = commit("group", "load", number)
            await producer.send_and_wait("copy", key=key, value=value, partition=0)  # a batch for each
        await producer.stop()
        await admin.delete_records({TopicPartition("copy", 0): RecordsToDelete(before_offset=60)})
        await admin.close()

    asyncio.run(copy())
    (row,) = checked(url_of(broker), "--topic-name", "copy")
    assert [(span["state"], span["first_offset"]) for span in row["completeness"]] == [("complete", 60)]
    assert row["checkpoints"]["log_start"] == 60
    rows = run("decode", url_of(broker), "--topic-name", "copy").stdout.splitlines()
    assert [json.loads(one)["log_offset"] for one in rows] == list(range(60, 100))


@pytest.mark.broker
@pytest.mark.slow
def test_a_topic_that_is_not_there_yet_and_one_of_another_name(start_broker: StartBroker) -> None:
    broker = start_broker(KAFKA_4)
    done = run("state", url_of(broker), status=2)
    assert done.stderr == f"offdecode: {url_of(broker)}: there is no topic __consumer_offsets yet " \
                          "(it comes with the first commit)\n"  # fmt: skip
    asyncio.run(load(broker.bootstrap, 20, 0, 0))
    assert run("decode", url_of(broker), "--topic-name", "load").stdout == ""
    assert "there is no log of partition 77; there are: 0, 1, 2, 3" in (
        run("decode", url_of(broker), "--log-partition", "77", status=2).stderr
    )


@pytest.mark.broker
@pytest.mark.slow
def test_a_broker_that_goes_ends_the_reading(start_broker: StartBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_directory, "_PATIENCE_SECONDS", 2)
    broker = start_broker(KAFKA_4)
    asyncio.run(load(broker.bootstrap, 200, 0, 0))
    cluster = live_directory.live_directory(url_of(broker), "__consumer_offsets", whole_entries, entry_with)
    partitions = [cluster.child(name) for name in cluster.names() if name.startswith("__consumer_offsets-")]
    segments = [one.child(one.names()[0]) for one in partitions]
    assert all(one.is_file() for one in segments)
    later = live_directory.live_directory(url_of(broker), "__consumer_offsets", whole_entries, entry_with)
    told = (later.side_file("replication-offset-checkpoint", 1 << 20) or b"").decode().splitlines()[2:]
    ends = {int(partition): int(end) for _, partition, end in map(str.split, told)}
    asyncio.run(load(broker.bootstrap, 600, 0, 0))
    for partition in [later.child(one.name) for one in partitions]:
        with partition.child(partition.names()[0]).open() as reader:
            data = reader.read(0, reader.size)
        assert whole_entries(data) == (len(data), ends[int(partition.name.rpartition("-")[2])])
    follow = LiveTopic.follow

    def alone(self: LiveTopic, *given: Any) -> None:
        broker.stop()
        follow(self, *given)

    monkeypatch.setattr(LiveTopic, "follow", alone)
    with pytest.raises(SourceError, match="no broker has given any more of it for 2 s"):
        segments[0].open()
    assert not [thread for thread in threading.enumerate() if thread.name == "fetch"]


@pytest.mark.broker
@pytest.mark.slow
def test_what_one_partition_lacks_is_told_and_the_others_are_read(
    start_broker: StartBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = start_broker(KAFKA_4)
    asyncio.run(load(broker.bootstrap, 1000, 0, 0))
    whole = {row.log_partition: row for row in offdecode.check(url_of(broker)) if isinstance(row, PartitionCheck)}
    connect, read = LiveTopic.connect, LiveTopic.read

    def without_a_leader(self: LiveTopic) -> TopicLayout | None:
        layout = connect(self)
        return layout and replace(layout, leaders={**layout.leaders, 3: -1})

    monkeypatch.setattr(LiveTopic, "connect", without_a_leader)
    found = list(offdecode.check(url_of(broker)))
    assert [row.log_partition for row in found if isinstance(row, PartitionCheck)] == [0, 1, 2]
    (problem,) = [row.problem for row in found if isinstance(row, Unused)]
    assert (problem.kind, problem.message) == (
        "unreadable", "cannot be read: no broker leads the partition at the moment")  # fmt: skip
    assert problem.source == f"{url_of(broker)}/__consumer_offsets-3"
    monkeypatch.setattr(LiveTopic, "connect", connect)

    def only_half(self: LiveTopic, number: int, offset: int, end: int) -> Iterator[tuple[int, Chunk]]:
        """The broker has deleted what comes next."""
        for after, chunk in read(self, number, offset, end):
            half = entry_with(chunk.buffer.data[: chunk.size], after // 2)
            first = Chunk(chunk.segment, number, 0, chunk.buffer, half, half) if number == 1 else chunk
            at = whole_entries(first.buffer.data[: first.size])[1]
            yield at, first
            if number == 1:
                gone = Problem("offset_out_of_range", "t", f"offsets {at} to {end - 1} are gone")
                self._partitions[number].jump = Jump(at, end, gone)
                return

    monkeypatch.setattr(LiveTopic, "read", only_half)
    found = list(offdecode.check(url_of(broker)))
    assert not [row for row in found if isinstance(row, Unused)]
    rows = {row.log_partition: row for row in found if isinstance(row, PartitionCheck)}
    (problem,) = rows[1].problems
    assert (problem.kind, problem.message[-8:]) == ("changed_while_read", "are gone")
    assert 0 < sum(rows[1].files[0].records_by_type.values()) < sum(whole[1].files[0].records_by_type.values())
    assert all(rows[number] == whole[number] for number in (0, 2, 3))


@pytest.mark.broker
@pytest.mark.slow
def test_what_brokers_lead_together_is_had_while_one_of_them_goes(start_broker: StartBroker) -> None:
    twice = {"offsets.topic.replication.factor": "2", "transaction.state.log.replication.factor": "2"}
    first = start_broker(KAFKA_4, twice)
    second = start_broker(KAFKA_4, twice, joins=first)
    topics = ["load", "__consumer_offsets"]

    async def work() -> list[set[int]]:
        admin = AIOKafkaAdminClient(bootstrap_servers=first.bootstrap)
        await admin.start()
        await admin.create_topics([NewTopic("load", 50, 2)])
        await load(first.bootstrap, 2000, 0, 0)
        found = await admin.describe_topics(topics)
        await admin.close()
        return [{one["leader"] for one in topic["partitions"]} for topic in found]

    assert asyncio.run(work()) == [{1, 2}, {1, 2}]
    url = url_of(first)
    rows = list(offdecode.decode(url).rows())
    lags = list(offdecode.lag(url).rows())
    assert {row["certainty"] for row in lags} == {"exact"}
    assert len(lags) == len({(row["group"], row["partition"]) for row in rows}) > 100
    second.stop()
    deadline = time.monotonic() + 60
    while (left := list(offdecode.lag(url).rows())) != lags:  # until broker 1 leads all
        assert time.monotonic() < deadline, left
        time.sleep(1)
    assert list(offdecode.decode(url).rows()) == rows


async def produce(broker: Broker, topic: str, times: Sequence[int], partitions: int = 1) -> None:
    """A record of each time to each partition of a new topic."""
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(topic, partitions, 1)])
    await admin.close()
    producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap, max_batch_size=1)
    await producer.start()
    for moment in times:
        for partition in range(partitions):
            await producer.send_and_wait(topic, b"x", partition=partition, timestamp_ms=moment)
    await producer.stop()


@pytest.mark.broker
@pytest.mark.slow
def test_times_of_wrong_clocks_and_at_the_ends_of_time(start_broker: StartBroker) -> None:
    broker = start_broker(KAFKA_3, {"num.partitions": "1"})
    now = round(time.time() * 1000)
    micros = [(now + number * 1000) * 1000 for number in range(50)]
    asyncio.run(produce(broker, "load", micros, 50))  # commits to come name this topic
    asyncio.run(load(broker.bootstrap, 50, 0, 0))
    rows = {row["partition"]: row for row in offdecode.lag(url_of(broker)).rows()}
    assert {number: row["lag_ms"] for number, row in rows.items()} == {
        number: micros[49] - micros[number] for number in range(50)
    }
    assert {row["certainty"] for row in rows.values()} == {"exact"}
    for moment in (-1 << 63, -4, -3, -2, -1, 0, now, micros[10], LARGEST_INT64 - 1, LARGEST_INT64):
        for row in offdecode.lag(url_of(broker), as_of=moment, on_problem=lambda problem: None).rows():
            end = sum(one <= moment for one in micros)
            assert (row["log_end"], row["certainty"]) == (end, "exact")


@pytest.mark.broker
@pytest.mark.slow
def test_a_broker_that_does_not_answer_is_waited_for_once(
    start_broker: StartBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = start_broker(KAFKA_4)
    now = round(time.time() * 1000)
    asyncio.run(produce(broker, "load", [now - 5000, now - 3000], 50))
    asyncio.run(load(broker.bootstrap, 200, 0, 0))
    monkeypatch.setattr(kafka_client, "_REQUEST_MS", 2000)
    monkeypatch.setattr(told_partitions, "_SLOW_SECONDS", 1)
    rows = offdecode.lag(url_of(broker), every=100, until=now + 60_000).rows()
    told = next(rows)
    assert told["certainty"] == "exact"
    broker.signal(signal.SIGSTOP)
    begun = time.monotonic()
    try:
        later = list(rows)
    finally:
        broker.signal(signal.SIGCONT)
    assert time.monotonic() - begun < 30
    assert [row["signals"] for row in later if row["certainty"] == "unknown"][-1] == ["no_log_of_the_partition"]
    assert not any("before_the_first_record" in row["signals"] for row in later)


@pytest.mark.broker
@pytest.mark.slow
def test_requests_of_old_brokers(start_broker: StartBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    """0.11 has no ids of topics, and no version 5 of metadata; what it does not have at all is not known."""
    broker = start_broker(KAFKA_4)
    asyncio.run(load(broker.bootstrap, 200, 0, 0))
    whole, lags = (list(ask(url_of(broker)).rows()) for ask in (offdecode.decode, offdecode.lag))
    prepare = kafka_client._TopicsRequest.prepare
    monkeypatch.setattr(kafka_client._TopicsRequest, "prepare", lambda self, versions: prepare(self, {3: (0, 4)}))
    assert list(offdecode.decode(url_of(broker)).rows()) == whole
    assert list(offdecode.lag(url_of(broker)).rows()) == lags
    monkeypatch.setattr(kafka_client._TopicsRequest, "prepare", lambda self, versions: prepare(self, {3: (0, 3)}))
    assert list(offdecode.decode(url_of(broker)).rows()) == whole
    assert {row["certainty"] for row in offdecode.lag(url_of(broker)).rows()} == {"unknown"}


def test_a_forked_process_does_not_wait_for_a_thread_that_it_has_not() -> None:
    loop = asyncio.new_event_loop()
    client = KafkaClient("localhost:1", Security(), "")
    told_partitions._end(client, loop, threading.Thread(target=loop.run_forever), os.getpid() + 1)
    loop.close()


def test_nothing_is_left_running_where_nobody_answers() -> None:
    for _ in range(3):
        with pytest.raises(SourceError):
            list(offdecode.groups(f"kafka://127.0.0.1:{free_port()}").rows())
    assert not [thread for thread in threading.enumerate() if thread.name == "fetch"]


@pytest.mark.parametrize(("path", "live"), [
    ("kafka://b:9092", True), ("kafka:/b:9092", True), ("kafka/b", False), ("s3://kafka/b", False), ("-", False),
])  # fmt: skip
def test_paths_that_name_a_cluster(path: str, live: bool) -> None:
    assert is_live(Path(path)) is live


@pytest.mark.parametrize("question", [("decode",), ("report", "-o", "x.html"), ("check",)])
def test_nobody_there_is_a_sentence(question: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    port = free_port()
    done = run(*question, f"kafka://127.0.0.1:{port}", status=2)
    assert done.stderr.startswith(f"offdecode: 127.0.0.1:{port}: nothing listens there")
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "url",
    [
        "kafka://b:9092/topic",
        "kafka://b:9092?user=me",
        "kafka://b:x",
        "kafka://:1",
        "kafka://b:99999",
        "kafka://b:-1",
        "kafka://,",
        "kafka://a..b:1",
        "kafka://b:1#x",
        "kafka://user:me@b:1",
        "kafka://b:1,user:me@c:1",
        "kafka://user:me/x@b:1",
        "kafka://b:9092/?x=1&y=2",
    ],
)
def test_other_urls_are_told_what_one_looks_like(url: str) -> None:
    done = run("groups", url, status=2)
    assert "a running cluster is kafka://HOST:PORT[,HOST:PORT...]" in done.stderr
    assert not re.search("user[:=]me", done.stderr)


@pytest.mark.parametrize("servers", ["b:x", ":1", "b:70000", ""])
def test_servers_that_are_none(servers: str) -> None:
    done = run("tail", "--bootstrap-server", servers, "--until-end", status=2)
    assert "--bootstrap-server takes HOST:PORT" in done.stderr


def test_what_cannot_be_asked_of_a_cluster(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="gives something else each time"):
        offdecode.decode("kafka://b:9092").pieces()
    with pytest.raises(UsageError, match="cannot be read"):
        list(offdecode.state(f"kafka://b:9092?command-config={tmp_path / 'none'}").rows())
    with pytest.raises(SourceError, match="is a running cluster; this is for files") as refused:
        offdecode.carve("kafka://user:me@b:9092?command-config=mine", tmp_path / "out")
    assert str(refused.value).startswith("kafka:/b:9092: ")
