"""What offdecode says of a log, against a real broker that wrote it, loads it, or takes its answer back."""

from __future__ import annotations

import base64
import csv
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from offdecode.api import read_table
from offdecode.history.offsets.rules import Coordinator
from offdecode.model import Problem, rows_of
from offdecode.schemas.state_rows import COMMITTED_ROW, GROUP_ROW
from tests.asking import a_request, state, transactions
from tests.brokers import KAFKA_3, KAFKA_4, Broker, StartBroker
from tests.kafka_jars import classpath, run_java
from tests.truth import Row

pytestmark = [pytest.mark.broker, pytest.mark.slow]

JAVA = Path(__file__).parent.parent / "java"
TOOLS = "4.3.1"
QUOTED = 'grün, "quoted"'

Served = dict[tuple[str, str, int], tuple[int, int, str]]  # offset, leader epoch, metadata


def served(broker: Broker) -> Served:
    """The committed offsets that a broker serves."""
    found: Served = {}
    for line in run_java(JAVA / "ServedOffsets.java", broker.classpath, broker.bootstrap, "list").splitlines():
        group, topic, partition, offset, epoch, metadata = line.split("\t")
        texts = [base64.b64decode(text).decode("utf-8") for text in (group, topic, metadata)]
        found[texts[0], texts[1], int(partition)] = int(offset), int(epoch), texts[2]
    return found


def no_problem(problem: Problem) -> None:
    pytest.fail(str(problem))


def told(data: Path, coordinator: Coordinator) -> tuple[Served, dict[str, Row]]:
    """The committed offsets and the groups that we see in a data directory."""
    offsets: Served = {}
    groups: dict[str, Row] = {}
    for chunk in state(a_request(data), coordinator=coordinator.value):
        for row in rows_of(chunk.batches[GROUP_ROW], chunk.batches[GROUP_ROW].schema.names):
            groups[row["group"]] = row
        if COMMITTED_ROW in chunk.batches:
            batch = chunk.batches[COMMITTED_ROW]
            for row in rows_of(batch, batch.schema.names):
                value = row["offset"], row["leader_epoch"], row["metadata"]
                offsets[row["group"], row["topic"], row["partition"]] = value
    return offsets, groups


def open_transactions(data: Path) -> Iterator[Row]:
    for chunk in transactions(a_request(data), only_open=True):
        for _, batch in chunk:
            yield from rows_of(batch, batch.schema.names)


def run_tool(broker: Broker, main_class: str, *arguments: str) -> str:
    """What one of Kafka's command-line tools prints."""
    tools = classpath(f"org.apache.kafka:kafka-tools:{TOOLS}", "org.slf4j:slf4j-simple:1.7.36")
    command = ["java", "-Xmx200m", "-cp", tools, main_class, "--bootstrap-server", broker.bootstrap, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout}{done.stderr}"
    return done.stdout


def test_the_new_coordinator(start_broker: StartBroker, tmp_path: Path) -> None:
    """It serves what we tell, loads what we predict, ends the transaction that we name, takes our CSV."""
    broker = start_broker(KAFKA_4)
    run_java(JAVA / "ServedOffsets.java", broker.classpath, broker.bootstrap, "fill")
    run_java(JAVA / "GroupWorkload.java", broker.classpath, broker.bootstrap, "consumer", "3")
    offsets, groups = told(broker.data, Coordinator.NEW)
    assert served(broker) == offsets
    assert groups["plain"]["pending_offsets"] == 1
    assert groups["offset-deleted"]["differences"] == [
        {"topic": "shelves", "partition": 0, "new": None, "old_live": None, "old_load": 502}
    ]

    (hanging,) = open_transactions(broker.data)
    assert hanging["groups"] == ["plain"]
    _, _, address, *command = shlex.split(hanging["abort_command"])
    assert address == "HOST:PORT"
    run_tool(broker, "org.apache.kafka.tools.TransactionsCommand", *command)
    assert list(open_transactions(broker.data)) == []
    broker.stop()

    copy = tmp_path / "copy"
    shutil.copytree(broker.data, copy)
    offsets, _ = told(copy, Coordinator.NEW)
    loaded = start_broker(KAFKA_4, data=copy)
    assert served(loaded) == offsets

    commits = read_table(copy, groups=[QUOTED]).to_pylist()
    (earlier,) = [row for row in commits if row["offset"] == 30]
    file = tmp_path / "offsets.csv"
    moment = f"{earlier['log_partition']}:{earlier['log_offset']}"
    arguments = ["state", str(copy), "--as-of-offset", moment, "--topic", "shelves", "--format", "csv", "-o", str(file)]
    subprocess.run([sys.executable, "-m", "offdecode", *arguments], check=True)
    with file.open(encoding="utf-8", newline="") as lines:
        wanted = {(line[0], line[1], int(line[2])): int(line[3]) for line in csv.reader(lines)}
    assert wanted[QUOTED, "shelves", 0] == 30
    before = served(loaded)
    assert any(before[key][0] != offset for key, offset in wanted.items())
    chosen = [word for group in sorted({key[0] for key in wanted}) for word in ("--group", group)]
    run_tool(loaded, "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
             "--reset-offsets", "--from-file", str(file), "--execute", *chosen)  # fmt: skip
    after = served(loaded)
    assert {key: value[0] for key, value in after.items()} == {**{k: v[0] for k, v in before.items()}, **wanted}
    loaded.stop()


def test_the_old_coordinator_before_and_after_it_loads(start_broker: StartBroker) -> None:
    """The same log, two answers: what it held while it ran, and what it made of the log after a restart."""
    broker = start_broker(KAFKA_3)
    run_java(JAVA / "ServedOffsets.java", broker.classpath, broker.bootstrap, "fill")
    live, groups = told(broker.data, Coordinator.OLD_LIVE)
    assert served(broker) == live
    assert groups["group-deleted"]["differences"]
    broker.stop()
    broker.start()
    loaded, _ = told(broker.data, Coordinator.OLD_LOAD)
    assert loaded != live
    assert served(broker) == loaded
    broker.stop()
