"""Replicas of real brokers read as one log: one of them cleaned, and one that an unclean election left behind."""

from __future__ import annotations

import time
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


@pytest.mark.parametrize(
    ("version", "protocol", "coordinator"), [(KAFKA_4, "consumer", "new"), (KAFKA_3, "classic", "old-live")]
)
def test_a_cleaned_replica_and_one_that_is_not(
    version: str, protocol: str, coordinator: str, start_broker: StartBroker
) -> None:
    """Together they hold what the uncleaned one holds, each record once; state is what AdminClient says."""
    both = {"offsets.topic.replication.factor": "2", "log.roll.ms": "500"}
    cleaning = {
        "log.cleaner.enable": "true", "log.cleaner.backoff.ms": "300", "log.cleaner.min.cleanable.ratio": "0.01",
    }  # fmt: skip
    first = start_broker(version, {**both, **cleaning})
    second = start_broker(version, both, joins=first)
    run_java(JAVA / "GroupWorkload.java", first.classpath, first.bootstrap, protocol, "3")
    run_java(JAVA / "ServedOffsets.java", first.classpath, first.bootstrap, "fill")
    deadline = time.monotonic() + _SECONDS
    while len(rows_of(first.data)[0]) >= len(rows_of(second.data)[0]):
        assert time.monotonic() < deadline, "the log cleaner has not removed anything"
        time.sleep(1)
    asked = served(first)
    second.stop()
    first.stop()
    merged, problems = rows_of(first.data, second.data)
    assert problems == []
    cleaned, whole = rows_of(first.data)[0], rows_of(second.data)[0]
    assert len(cleaned) < len(whole)
    assert sorted(places(merged)) == sorted({*places(cleaned), *places(whole)})
    held = {*places(cleaned)}, {*places(whole)}
    assert all(
        row["copies"] == sum(place in one for one in held) for row, place in zip(merged, places(merged), strict=True)
    )
    assert not any(row["lost_branch"] for row in merged)
    for paths in ((first.data, second.data), (second.data, first.data)):
        assert committed(*paths, coordinator=coordinator) == asked
    checked = [item.as_dict() for item in offdecode.check([first.data, second.data])]
    assert {tuple(copy["broker"] for copy in item["copies"]) for item in checked if "copies" in item} == {(1, 2)}


def test_an_unclean_election(start_broker: StartBroker) -> None:
    """What only the old leader had is shown, marked, and in no state; what the new one wrote there stands."""
    common = {"offsets.topic.num.partitions": "1"}
    controller = start_broker(KAFKA_4, common)
    old = start_broker(KAFKA_4, common, joins=controller)
    new = start_broker(KAFKA_4, {**common, "node.id": "3"}, joins=controller)
    for topic, replicas, config in (
        ("__consumer_offsets", "2:3", ("cleanup.policy=compact", "unclean.leader.election.enable=true")),
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
