"""Replicas of real brokers read as one log: one of them cleaned, and one that an unclean election left behind."""

from __future__ import annotations

import time
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

import offdecode
from tests.brokers import KAFKA_3, KAFKA_4, Broker, StartBroker
from tests.kafka_jars import run_java
from tests.questions.test_state_broker import JAVA, Served, run_tool, served
from tests.truth import Row

pytestmark = [pytest.mark.broker, pytest.mark.slow]

_SECONDS = 60


def rows_of(*paths: Path, **options: Any) -> tuple[list[Row], list[offdecode.Problem]]:
    problems: list[offdecode.Problem] = []
    return list(offdecode.decode(list(paths), on_problem=problems.append, **options).rows()), problems


def committed(*paths: Path, coordinator: str = "new") -> Served:
    """The committed offsets that we see in these copies together."""
    asked = offdecode.state(
        list(paths), types=("committed_offset",), coordinator=coordinator, on_problem=lambda _: None
    )  # fmt: skip
    return {
        (row["group"], row["topic"], row["partition"]): (row["offset"], row["leader_epoch"], row["metadata"])
        for row in asked.rows()
    }


def commit(broker: Broker, group: str, offset: int) -> None:
    """Commit as an admin does. Tried again while a coordinator is on its way."""
    arguments = ("--reset-offsets", "--group", group, "--topic", "t:0", "--to-offset", str(offset), "--execute")
    run_tool(broker, "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", "--timeout", "60000", *arguments)


def places(rows: list[Row]) -> list[tuple[int, int]]:
    return [(row["log_partition"], row["log_offset"]) for row in rows]


CLEANING = {
    "log.cleaner.enable": "true", "log.cleaner.backoff.ms": "300", "log.cleaner.min.cleanable.ratio": "0.01",
}  # fmt: skip


def wait_for_cleaning(broker: Broker, than: Broker) -> None:
    """Wait until a broker's log cleaner has removed what another one has."""
    deadline = time.monotonic() + _SECONDS
    while len(rows_of(broker.data)[0]) >= len(rows_of(than.data)[0]):
        assert time.monotonic() < deadline, "the log cleaner has not removed anything"
        time.sleep(1)


@pytest.mark.parametrize(
    ("version", "protocol", "coordinator"), [(KAFKA_4, "consumer", "new"), (KAFKA_3, "classic", "old-live")]
)
def test_replicas_that_were_cleaned_at_different_times(
    version: str, protocol: str, coordinator: str, start_broker: StartBroker
) -> None:
    """Three brokers: one cleans all the time, one never, one later. Each record comes once; state is AdminClient's."""
    common = {"offsets.topic.replication.factor": "3", "log.roll.ms": "500"}
    first = start_broker(version, {**common, **CLEANING})
    never = start_broker(version, common, joins=first)
    later = start_broker(version, {**common, "node.id": "3"}, joins=first)
    run_java(JAVA / "GroupWorkload.java", first.classpath, first.bootstrap, protocol, "3")
    wait_for_cleaning(first, never)
    later.stop()
    first.set({"log.cleaner.enable": "false"})
    first.stop()
    first.start()
    later.set(CLEANING)
    later.start()
    run_java(JAVA / "ServedOffsets.java", first.classpath, first.bootstrap, "fill")
    wait_for_cleaning(later, never)
    asked = served(first)
    for broker in (later, never, first):
        broker.stop()
    brokers = (first, never, later)
    held = {broker: {*places(rows_of(broker.data)[0])} for broker in brokers}
    assert len({len(found) for found in held.values()}) == 3
    for given in [brokers, brokers[::-1], *combinations(brokers, 2)]:
        merged, problems = rows_of(*(broker.data for broker in given))
        assert problems == []
        assert sorted(places(merged)) == sorted(set().union(*(held[broker] for broker in given)))
        assert [row["copies"] for row in merged] == [
            sum(place in held[broker] for broker in given) for place in places(merged)
        ]
        assert not any(row["lost_branch"] for row in merged)
        assert committed(*(broker.data for broker in given), coordinator=coordinator) == asked
    checked = [item.as_dict() for item in offdecode.check([broker.data for broker in brokers])]
    assert {tuple(copy["broker"] for copy in item["copies"]) for item in checked if "copies" in item} == {(1, 2, 3)}


def wait_until_gone(broker: Broker, places: set[int]) -> None:
    """Wait until a broker's log cleaner has removed all records at these offsets."""
    deadline = time.monotonic() + _SECONDS
    while places & {row["log_offset"] for row in rows_of(broker.data)[0]}:
        assert time.monotonic() < deadline, "the log cleaner has not removed them"
        time.sleep(0.5)


@pytest.mark.parametrize("cleaned", [False, True])
def test_an_unclean_election(cleaned: bool, start_broker: StartBroker) -> None:
    """What only the old leader had is shown, marked, and in no state; what the new one wrote there stands.

    cleaned: that is gone by now, and nothing but the new leader's note of epochs tells of it.
    """
    common = {"offsets.topic.num.partitions": "1", **(CLEANING if cleaned else {})}
    controller = start_broker(KAFKA_4, common)
    old = start_broker(KAFKA_4, common, joins=controller)
    new = start_broker(KAFKA_4, {**common, "node.id": "3"}, joins=controller)
    for topic, replicas, config in (
        (
            "__consumer_offsets",
            "2:3",
            ("cleanup.policy=compact", "unclean.leader.election.enable=true", "segment.ms=500"),
        ),
        ("t", "1", ()),
    ):
        configs = [word for one in config for word in ("--config", one)]
        run_tool(controller, "org.apache.kafka.tools.TopicCommand", "--create", "--topic", topic,
                 "--replica-assignment", replicas, *configs)  # fmt: skip
    commit(controller, "both", 0)
    new.stop()
    for group in ("only-old-1", "only-old-2", "only-old-3"):
        commit(controller, group, 0)
    old.kill()
    new.start()
    commit(controller, "only-new", 0)
    if cleaned:
        there = {row["log_offset"] for row in rows_of(old.data)[0] if row["group"].startswith("only-old")}
        for _ in range(len(there) + 2):  # beyond the old leader's log
            commit(controller, "only-new", 0)
        wait_until_gone(new, there)
    asked = served(controller)
    assert {group for group, _, _ in asked} == {"both", "only-new"}
    new.stop()
    controller.stop()
    for paths in ((old.data, new.data), (new.data, old.data)):
        rows, problems = rows_of(*paths)
        assert {problem.kind for problem in problems} == {"forked_log"}
        lost = [row["group"] for row in rows if row["lost_branch"] and row["type"] == "offset_commit"]
        assert lost == ["only-old-1", "only-old-2", "only-old-3"]
        stood = [row for row in rows if not row["lost_branch"]]
        assert {row["group"] for row in stood if row["type"] == "offset_commit"} == {"both", "only-new"}
        assert len(set(places(stood))) == len(stood)
        assert committed(*paths) == asked
