"""check --for-broker: what a release makes of a log, against that release's own classes and real brokers."""

from __future__ import annotations

import re
import shutil
import struct
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import offdecode
from offdecode.questions.check import PartitionCheck
from offdecode.schemas.registry import RECORD_TYPES
from offdecode.schemas.releases import Loading, release
from tests import older_shapes
from tests.brokers import KAFKA_3, OFFSETS_PARTITIONS, StartBroker
from tests.command import run
from tests.definitions import messages
from tests.kafka_jars import classpath, jar, run_java
from tests.questions.test_state_broker import JAVA, run_tool
from tests.segment_builder import batch, commit, text
from tests.truth import FIXTURES, log_sets
from tests.vectors import load

Row = dict[str, Any]

# By version: the jar that has its message definitions.
JARS = {
    "2.8.2": "kafka_2.13", "3.0.2": "kafka_2.13", "3.3.1": "kafka_2.13", "3.4.0": "kafka_2.13", "3.4.1": "kafka_2.13",
    "3.7.2": "kafka-group-coordinator", "3.9.1": "kafka-group-coordinator", "4.0.0": "kafka-group-coordinator",
    "4.1.1": "kafka-group-coordinator", "4.2.0": "kafka-group-coordinator", "4.3.1": "kafka-group-coordinator",
    "4.4.0": "kafka-group-coordinator",
}  # fmt: skip
OLD_COORDINATOR_TYPES = {0, 1, 2}
CLASSES = {"3.3.1": "kafka_2.13", "3.9.1": "kafka_2.13", "4.0.0": "kafka-group-coordinator",
           "4.1.1": "kafka-group-coordinator", "4.4.0": "kafka-group-coordinator"}  # fmt: skip


KEYS = {record.name.removesuffix("Value") + "Key" for record in RECORD_TYPES}
ALL_KINDS = ("kafka-4.4.0-all", "kafka-4.4.0-trans", "kafka-3.9.1", "kafka-4.0", "kafka-0.8")  # of log sets


GROUPS = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"


def is_old(version: str) -> bool:
    return version < "4"


@pytest.mark.broker
@pytest.mark.parametrize("version", JARS)
def test_versions_are_those_of_the_jars(version: str) -> None:
    """Which key types and value versions there are, and which tagged fields."""
    found = messages(jar("org.apache.kafka", JARS[version], version))
    highest: dict[int, int] = {}
    tagged: dict[str, set[str]] = {}
    for name, message in found.items():
        value = found.get(name.removesuffix("Key") + "Value")
        if name not in KEYS or value is None or message.key_type is None:
            continue
        if is_old(version) and message.key_type not in OLD_COORDINATOR_TYPES:
            continue  # the new coordinator's, which is off by default up to 3.9
        types = message.versions if is_old(version) or version == "4.0.0" else {message.key_type}
        for key_type in types if name == "OffsetCommitKey" else {message.key_type}:
            highest[key_type] = max(value.versions)
        tagged[value.name] = {field.name for field in value.fields if field.tag is not None}
    asked = release(version)
    assert asked.highest == highest
    if not is_old(version):
        later = {
            field for record in RECORD_TYPES if record.key_type in highest
            for layout in record.values for field in (one.name for one in layout.fields if one.tag is not None)
            if field not in tagged.get(record.name, set())
        }  # fmt: skip
        assert later - {"classic_member_metadata"} <= asked.later_fields
        assert not any(field in fields for fields in tagged.values() for field in asked.later_fields)


def pairs_of(log: Path) -> list[tuple[str, str | None, Row]]:
    """Keys and values of a log in hex, and the row of each."""
    return [
        (row["key_hex"], row["value_hex"], row)
        for row in offdecode.decode(log, raw=True, on_problem=lambda problem: None).rows()
        if row["type"] != "transaction_marker"
    ]


def odd_pairs() -> list[tuple[str, str | None]]:
    """Every key type and value version around those that there are; their values are made up."""
    key, value = commit("g")
    assert key is not None
    assert value is not None
    found: list[tuple[str, str | None]] = []
    found += [(key.hex(), struct.pack(">h", version).hex() + value[2:].hex()) for version in range(-2, 8)]
    for key_type in (24, 25, 99, 300):
        found += [((struct.pack(">h", key_type) + text("g")).hex(), one) for one in ("0000", None)]
    return found


@pytest.mark.broker
@pytest.mark.slow
@pytest.mark.parametrize("version", CLASSES)
def test_loading_is_what_the_releases_own_classes_do(version: str) -> None:
    every: dict[tuple[str, str | None], Row | None] = dict.fromkeys(odd_pairs())
    for log_set in log_sets():
        if log_set.folder.name.startswith(ALL_KINDS):
            every |= {(key, value): row for key, value, row in pairs_of(log_set.log)}
    for older in load(older_shapes.FILE, sample_only=True):
        every[(struct.pack(">h", older["key_type"]) + text("g") + text("m")).hex(), older["value_hex"]] = older
    lines = "".join(f"{key} {value or '-'}\n" for key, value in every)
    path = classpath(f"org.apache.kafka:{CLASSES[version]}:{version}", "org.slf4j:slf4j-simple:1.7.36")
    told = run_java(JAVA / "LoadRecords.java", path, "old" if is_old(version) else "new", stdin=lines).splitlines()
    assert len(told) == len(every)
    asked = release(version)
    counts: Counter[str] = Counter()
    for (key, value), row, line in zip(every, every.values(), told, strict=True):
        key_type = int.from_bytes(bytes.fromhex(key[:4]), "big", signed=True)
        value_version = None if value is None else int.from_bytes(bytes.fromhex(value[:4]), "big", signed=True)
        loading, _ = asked.loading(key_type, value_version, None if row is None else row.get("shape"))
        counts[str(loading)] += 1
        if row is None and value is not None and loading is Loading.READ:
            continue  # the made-up value is none of this version
        if loading is Loading.MISREAD:
            assert line.split()[0] in ("read", "refused")
        else:
            assert line.split()[0] == loading, (key, value, line)
    print(version, counts)
    assert counts["read"] > 1000
    assert counts["refused"] > 0


def test_findings_of_a_log() -> None:
    log = FIXTURES / "kafka-4.4.0-all-groups" / "log"
    (found,) = offdecode.check(log, for_broker="4.0", log_partitions=(0,))
    rows = found.as_dict()["loading"]
    assert {(row["loading"], row["row_type"], row["records"], row["first_offset"]) for row in rows} >= {
        ("read_in_part", "offset_commit", 693, 73),
    }  # fmt: skip
    assert {row["loading"] for row in rows} == {"read_in_part", "misread"}  # share groups of 4.0 had another layout
    every = {row["row_type"]: row for row in rows if row["loading"] == "read_in_part"}
    decoded = [row for row in offdecode.decode(log, log_partitions=(0,)).rows() if row["type"] == "offset_commit"]
    assert every["offset_commit"]["records"] == sum(row["topic_id"] is not None for row in decoded)
    (found,) = offdecode.check(log, for_broker="3.9", log_partitions=(0,))
    assert {row["loading"] for row in found.as_dict()["loading"]} == {"skipped", "read_in_part"}
    assert "loading" not in next(offdecode.check(log)).as_dict()


def test_what_is_refused_is_said(tmp_path: Path) -> None:
    key, value = commit("g")
    assert value is not None
    folder = tmp_path / "__consumer_offsets-0"
    folder.mkdir()
    newer = struct.pack(">h", 9) + value[2:]
    data = batch([(key, value), (key, newer), (struct.pack(">h", 99), b"\0\0"), (b"\0", b""), (b"\0\2\0\5x", None)])
    (folder / f"{0:020}.log").write_bytes(data)
    (row,) = run("check", tmp_path, "--for-broker", "4.4", "--json").rows
    found = {(one["loading"], one["row_type"], one["first_offset"], one["reason"]) for one in row["loading"]}
    assert found == {
        ("refused", "unknown", 1, "value version 9: it reads those up to 4"),
        ("skipped", "unknown", 2, "it does not know key type 99"),
        ("refused", "undecodable", 3, "its key is too short"),
        ("refused", "undecodable", 4, "their bytes break their layout"),
    }
    lines = run("check", tmp_path, "--for-broker", "3.3").stdout.decode()
    assert "refused: 1 record unknown, the first at offset 2: it does not know key type 99" in lines
    (folder / f"{0:020}.log").write_bytes(batch([(key, value)]))
    assert "that release would read every record" in run("check", tmp_path, "--for-broker", "2.8").stdout.decode()
    for wrong in ("4.5", "2.7", "three", "4"):
        done = run("check", tmp_path, "--for-broker", wrong)
        assert (done.status, "Kafka" in done.stderr) == (2, True)


@pytest.mark.parametrize(("release", "told", "status"), [
    ("3.3", "Kafka 3.3 would refuse 2 records", 1), ("3.9", "Kafka 3.9 would skip 2 records", 0),
])  # fmt: skip
def test_the_verdict_is_at_the_end(release: str, told: str, status: int, tmp_path: Path) -> None:
    segment = tmp_path / "x.log"
    later = struct.pack(">h", 99), b"\0\0"
    segment.write_bytes(batch([later, later, commit("g")]))
    done = run("check", segment, "--for-broker", release)
    assert done.stdout.decode().splitlines()[-1] == f"  {told}"
    assert done.status == status
    segment.write_bytes(batch([commit("g")]))
    done = run("check", segment, "--for-broker", release)
    assert done.stdout.decode().splitlines()[-1] == f"  Kafka {release} would read every record that is here"
    assert done.status == 0


def test_copies_are_judged_once(tmp_path: Path) -> None:
    log = FIXTURES / "kafka-4.4.0-all-groups" / "log" / "__consumer_offsets-0"
    for broker in ("a", "b"):
        shutil.copytree(log, tmp_path / broker / log.name)
    one = next(offdecode.check(log.parent, for_broker="3.9", log_partitions=(0,))).as_dict()["loading"]
    assert next(offdecode.check(tmp_path, for_broker="3.9")).as_dict()["loading"] == one


@pytest.mark.broker
@pytest.mark.slow
@pytest.mark.parametrize("version", ["3.3.1", KAFKA_3])
def test_old_brokers_load_it_so(version: str, start_broker: StartBroker) -> None:
    """A log of 4.4.0 is put under an old broker: one gives up, one skips what we say and serves the rest."""
    log = FIXTURES / "kafka-4.4.0-all-groups" / "log"
    broker = start_broker(version)

    run_tool(broker, "org.apache.kafka.tools.TopicCommand", "--create", "--topic", "orders")
    to_zero = ("--reset-offsets", "--group", "g", "--topic", "orders:0", "--to-offset", "0", "--execute")
    run_tool(broker, GROUPS, "--timeout", "60000", *to_zero)
    broker.stop()
    for number in range(OFFSETS_PARTITIONS):
        place = broker.data / f"__consumer_offsets-{number}"
        for file in (*place.glob("*.log"), *place.glob("*index"), *place.glob("*.snapshot")):
            file.unlink()
        for file in (log / place.name).glob("*.log"):
            shutil.copy(file, place)
    (broker.data / ".kafka_cleanshutdown").unlink(missing_ok=True)
    checked = [one for one in offdecode.check(broker.data, for_broker=version) if isinstance(one, PartitionCheck)]
    told = {one.log_partition: one.loading or () for one in checked}
    refused = {number for number, found in told.items() if any(one.loading == "refused" for one in found)}
    skipped = {one.key_type for found in told.values() for one in found if one.loading == "skipped"}
    before = len(broker.log)
    broker.start()
    time.sleep(5)
    printed = broker.log[before:]
    listed = run_tool(broker, GROUPS, "--list").split()
    groups = {
        row["group"] for row in offdecode.state(log, types=["group"], coordinator="old-load").rows()
        if row["group_type"] in ("classic", "simple") and row["protocol_type"] in (None, "", "consumer")
        and re.fullmatch(r"[\w.-]+", row["group"])  # the tool prints others as they are
    }  # fmt: skip
    if version == KAFKA_3:
        assert refused == set()
        assert skipped == {int(kind) for kind in re.findall(r"Unknown message key with version (\d+)", printed)}
        assert "Error loading offsets" not in printed
        assert groups <= set(listed)
    else:
        assert refused == set(range(OFFSETS_PARTITIONS))
        gone = {number for number in refused if f"Error loading offsets from __consumer_offsets-{number}" in printed}
        assert gone == refused
        assert listed == []
