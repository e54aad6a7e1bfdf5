"""What a tombstone may be, and what it cannot be: small logs with one answer each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from offdecode.history.movements.explanation import Explanation
from offdecode.history.topic_names import TopicNames
from offdecode.model import Gaps
from tests.asking import a_request, explain
from tests.chunks import chunk_of
from tests.segment_builder import BASE_TIME_MS, Header, batch
from tests.segment_builder import commit as builder_commit
from tests.truth import LogSet, Row, log_sets, set_id

MINUTE = 60_000
TIME = 1_700_000_000_000


def commit(log_offset: int, topic: str = "t", offset: int | None = 7, **more: Any) -> Row:
    """A commit, or with offset=None a tombstone, a minute after the one before."""
    time = TIME + log_offset * MINUTE
    return {
        "type": "offset_commit", "log_offset": log_offset, "log_partition": 0, "log_timestamp": time,
        "producer_id": -1, "transaction": None, "key_type": 1, "tombstone": offset is None, "group": "g",
        "topic": topic, "partition": 0, "offset": offset, "leader_epoch": -1, "metadata": "",
        "commit_timestamp": None if offset is None else time, **more,
    }  # fmt: skip


def told(*rows: Row, retention_ms: int | None = None, first_gap: int | None = None) -> list[Row]:
    explanation = Explanation(retention_ms, TopicNames({}))
    chunks = [*explanation.rows(chunk_of(rows), Gaps(first_gap)), *explanation.finish()]
    return [row for chunk in chunks for _, batch in chunk for row in batch.to_pylist()]


def tombstones(rows: list[Row]) -> list[Row]:
    return [row for row in rows if row["kind"] == "tombstone"]


def test_a_broker_that_can_only_let_offsets_expire_did() -> None:
    """Kafka 0.8.2, which alone writes keys of type 0, deletes neither groups nor offsets nor those of topics."""
    old: dict[str, Any] = {"key_type": 0, "log_timestamp": None}
    (found,) = tombstones(told(commit(0, **old), commit(1, offset=None, **old)))
    assert (found["cause"], found["possible_causes"], found["confidence"]) == ("expiry", ["expiry"], "high")


def test_expiry_is_not_excluded_where_no_time_tells() -> None:
    (found,) = tombstones(told(commit(0, log_timestamp=None), commit(1, offset=None, log_timestamp=None)))
    assert "expiry" in found["possible_causes"]


@pytest.mark.parametrize(("retention_ms", "possible"), [(None, True), (7 * 24 * 60 * MINUTE, False), (MINUTE, True)])
def test_a_retention_that_is_assumed_excludes_nothing(retention_ms: int | None, possible: bool) -> None:
    (found,) = tombstones(told(commit(0), commit(5, offset=None), retention_ms=retention_ms))
    assert ("expiry" in found["possible_causes"]) is possible
    assert ("retention_assumed" in found["signals"]) is (retention_ms is None)
    assert found["confidence"] != "high" or retention_ms == MINUTE


def idle_groups(ages: list[int], *more: Row) -> list[Row]:
    """Tombstones of groups that went, a minute after each other, so many seconds after their one commit."""
    rows = []
    for number, age in enumerate(ages):
        gone = TIME + number * MINUTE
        name: dict[str, Any] = {"group": f"idle-{number}", "topic": f"t{number}"}
        rows.append(commit(0, **name, log_timestamp=gone - age * 1000, commit_timestamp=gone - age * 1000))
        rows.append(commit(0, offset=None, **name, log_timestamp=gone))
    rows = sorted([*rows, *more], key=lambda row: row["log_timestamp"])
    return [{**row, "log_offset": place} for place, row in enumerate(rows)]


@pytest.mark.parametrize(("ages", "inferred"), [
    ([3605, 3601, 3625, 3610], True),
    ([3605, 3601, 3605], False),  # too few to tell
    ([3600, 3660, 3720, 3780], False),  # all went idle at one time, and one after the other was deleted
    ([3605, 3601, 3625, 1800], False),  # what went earlier did not expire
    ([55, 58, 52, 57], False),  # younger than any retention
], ids=str)  # fmt: skip
def test_sweeps_show_the_retention(ages: list[int], inferred: bool) -> None:
    found = tombstones(told(*idle_groups(ages)))
    assert len(found) == len(ages)
    for row in found:
        assert ("retention_inferred" in row["signals"]) is inferred
        if inferred:
            assert (row["cause"], row["confidence"]) == ("expiry", "medium")
            assert "offsets_deleted" in row["possible_causes"]
        else:
            assert row["cause"] != "expiry"


def test_an_idle_group_that_keeps_its_offsets_shows_that_no_sweep_took_the_others() -> None:
    early = TIME - 3 * 60 * MINUTE
    kept = commit(0, group="kept", log_timestamp=early, commit_timestamp=early)
    found = tombstones(told(*idle_groups([3605, 3601, 3625, 3610], kept)))
    assert not any("retention_inferred" in row["signals"] for row in found)


def test_a_retention_that_is_told_needs_no_sweeps() -> None:
    found = tombstones(told(*idle_groups([3605, 3601, 3625, 3610]), retention_ms=2 * 60 * MINUTE))
    assert not any({"retention_inferred", "retention_assumed"} & set(row["signals"]) for row in found)
    assert not any("expiry" in row["possible_causes"] for row in found)


def test_nothing_expires_within_the_least_retention() -> None:
    (found,) = tombstones(told(commit(0), {**commit(1, offset=None), "log_timestamp": TIME + 59_000}))
    assert "expiry" not in found["possible_causes"]


@pytest.mark.parametrize(("first_gap", "whole"), [(0, True), (None, False)])
def test_leftovers_of_a_cleaned_log_do_not_keep_a_group(first_gap: int | None, whole: bool) -> None:
    """In a log that was cleaned a record of key type 0 may have outlived a deletion whose tombstone is gone."""
    rows = told(commit(0, "left", key_type=0), commit(1), commit(2, offset=None), first_gap=first_gap)
    (found,) = tombstones(rows)
    assert ("whole_group" in found["signals"]) is whole
    assert ("group_deleted" in found["possible_causes"]) is whole


def test_a_group_without_records_rewinds() -> None:
    """A simple consumer's commits look like a reset, every one of them."""
    rewind = told(commit(0, offset=9), commit(1, offset=3))[-1]
    assert (rewind["kind"], rewind["before"], rewind["after"]) == ("rewind", 9, 3)
    assert {"no_leader_epoch", "empty_metadata", "backwards", "group_unknown"} <= set(rewind["signals"])


def test_an_offset_that_was_deleted_begins_again() -> None:
    first, again = [row for row in told(commit(0), commit(1, offset=None), commit(2)) if row["kind"] == "first"]
    assert "deleted_before" not in first["signals"]
    assert "deleted_before" in again["signals"]


@pytest.mark.parametrize("log_set", log_sets(), ids=set_id)
def test_a_selection_does_not_change_what_is_said(log_set: LogSet) -> None:
    every = movements(log_set)
    deleted = sorted({row["group"] for row in every if row["kind"] == "tombstone"})
    for group in deleted[:: max(len(deleted) // 3, 1)]:
        assert movements(log_set, groups=(group,)) == [row for row in every if row["group"] == group]
    topics = sorted({row["topic"] for row in every if row["kind"] == "tombstone"})
    for topic in topics[:1]:
        wanted = [row for row in every if row["topic"] == topic and row["partition"] == 0]
        assert movements(log_set, topics=(topic,), partitions=(0,)) == wanted


def movements(log_set: LogSet, **wanted: Any) -> list[Row]:
    chunks = explain(a_request(log_set.log, **wanted))
    return [row for chunk in chunks for name, batch in chunk if name == "movement" for row in batch.to_pylist()]


@pytest.mark.parametrize(("directories", "shown"), [
    (["doomed-0.{id}-delete", "doomed-1.{id}-delete"], True),
    (["doomed-0.{id}-delete", "doomed-1"], False),  # one replica went to another broker
    (["doomed-0.{id}-stray"], False),
    (["kept-0.{id}-delete"], False),
    ([], False),
], ids=str)  # fmt: skip
def test_a_deleted_directory_of_the_topic_speaks_for_its_deletion(
    directories: list[str], shown: bool, tmp_path: Path
) -> None:
    def at(offset: int, minutes: int, *records: tuple[bytes | None, bytes | None]) -> bytes:
        return batch(records, Header(offset, timestamp=BASE_TIME_MS + minutes * MINUTE))

    pairs = [builder_commit(group, "doomed") for group in ("a", "b")]
    keeps = [builder_commit(group, "kept") for group in ("a", "b")]
    log = tmp_path / "__consumer_offsets-0"
    log.mkdir()
    parts = at(0, 0, *pairs, *keeps), at(4, 1, *((key, None) for key, _ in pairs)), at(6, 9, *keeps)
    (log / f"{0:020}.log").write_bytes(b"".join(parts))
    for name in directories:
        (tmp_path / name.format(id="0f" * 16)).mkdir()
    batches = [found for chunk in explain(a_request(tmp_path), minutes=10080) for _, found in chunk]
    rows = tombstones([row for found in batches for row in found.to_pylist()])
    assert [row["cause"] for row in rows] == ["topic_deleted"] * 2
    assert ["topic_directory_deleted" in row["signals"] for row in rows] == [shown] * 2
    assert [row["confidence"] for row in rows] == ["high" if shown else "medium"] * 2


@pytest.mark.parametrize("elsewhere", ["later", "before", None])
def test_a_topic_that_another_partition_commits_to_was_not_deleted(elsewhere: str | None, tmp_path: Path) -> None:
    """Two groups lose the only offsets of a topic at once; a third one, in another log, goes on or not."""

    def write(partition: int, *parts: bytes) -> None:
        directory = tmp_path / f"__consumer_offsets-{partition}"
        directory.mkdir()
        (directory / f"{0:020}.log").write_bytes(b"".join(parts))

    def at(offset: int, minutes: int, *records: tuple[bytes | None, bytes | None]) -> bytes:
        return batch(records, Header(offset, timestamp=BASE_TIME_MS + minutes * MINUTE))

    pairs = [builder_commit(group, "doomed") for group in ("a", "b")]
    keeps = [builder_commit(group, "kept") for group in ("a", "b")]
    gone = [(key, None) for key, _ in pairs]
    write(0, at(0, 0, *pairs, *keeps), at(4, 1, *gone), at(6, 9, *keeps))
    if elsewhere is not None:
        write(1, at(0, 5 if elsewhere == "later" else 0, builder_commit("c", "doomed")))
    chunks = explain(a_request(tmp_path), minutes=10080)
    batches = [found for chunk in chunks for name, found in chunk if name == "movement"]
    rows = tombstones([row for found in batches for row in found.to_pylist()])
    assert [row["cause"] for row in rows] == ["topic_deleted"] * 2
    confidence = {"later": "low", "before": "high", None: "medium"}[elsewhere]
    assert [row["confidence"] for row in rows] == [confidence] * 2
    assert ["other_logs_keep_topic" in row["signals"] for row in rows] == [elsewhere == "later"] * 2


def generation(log_offset: int, number: int, *topics: str) -> Row:
    """Of one member that subscribes to these topics, and holds partition 0 of each."""
    member = {
        "member_id": "m", "client_id": "c", "client_host": "/h", "rebalance_timeout": 1, "session_timeout": 1,
        "subscription": {"version": 0, "topics": list(topics)},
        "assignment": {"version": 0, "assigned_partitions": [{"topic": topic, "partitions": [0]} for topic in topics]},
    }  # fmt: skip
    return {
        "type": "group_metadata", "log_offset": log_offset, "log_partition": 0, "tombstone": False, "group": "g",
        "log_timestamp": TIME + log_offset * MINUTE, "generation": number, "protocol_type": "consumer",
        "members": [member],
    }  # fmt: skip


@pytest.mark.parametrize("topics", [("t", "u"), ("u",)])
def test_offsets_that_a_member_subscribes_to_now_are_not_deleted_by_an_admin(topics: tuple[str, ...]) -> None:
    """Upstream refuses it: GROUP_SUBSCRIBED_TO_TOPIC. What the member subscribed to before does not matter."""
    rows = (generation(0, 1, "t"), generation(1, 2, *topics), commit(2, "u"), commit(3, "u", offset=None))
    (found,) = tombstones(told(*rows))
    assert "partition_owned" in found["signals"]
    assert "offsets_deleted" not in found["possible_causes"]


def record(log_offset: int, row_type: str, **values: Any) -> Row:
    return {
        "type": row_type, "log_offset": log_offset, "log_partition": 0, "tombstone": False, "group": "g",
        "log_timestamp": TIME + log_offset * MINUTE, **values,
    }  # fmt: skip


def consumer_group(log_offset: int, *topics: str, epoch: int = 5) -> list[Row]:
    """Four records: a group with a member that holds partition 0 of `t` and subscribes to these topics."""
    return [
        record(log_offset, "consumer_group_metadata", epoch=epoch),
        record(log_offset + 1, "consumer_group_partition_metadata", topics=[
            {"topic_id": "A", "topic_name": "t", "num_partitions": 2}]),
        subscription(log_offset + 2, *topics),
        holding(log_offset + 3, epoch),
    ]  # fmt: skip


def subscription(log_offset: int, *topics: str) -> Row:
    return record(log_offset, "consumer_group_member_metadata", member_id="m", client_id="c", client_host="/h",
                  subscribed_topic_names=list(topics))  # fmt: skip


def holding(log_offset: int, epoch: int, state: int = 0) -> Row:
    return record(log_offset, "consumer_group_current_member_assignment", member_id="m", member_epoch=epoch,
                  state=state, assigned_partitions=[{"topic_id": "A", "partitions": [0]}],
                  partitions_pending_revocation=[])  # fmt: skip


@pytest.mark.parametrize("later", [[], [holding(5, 6)]], ids=["a member's record", "and what it holds"])
def test_a_subscription_counts_from_its_record_on(later: list[Row]) -> None:
    rows = [*consumer_group(0, "u"), subscription(4, "t"), *later, commit(6), commit(7, offset=None)]
    (found,) = tombstones(told(*rows))
    assert "partition_owned" in found["signals"]
    assert "offsets_deleted" not in found["possible_causes"]


def test_a_movement_goes_on_while_its_member_subscribes_to_more() -> None:
    rows = [
        *consumer_group(0, "t"), commit(4, offset=1), commit(5, offset=2), subscription(6, "t", "u"),
        record(7, "consumer_group_metadata", epoch=6), holding(8, 5, state=1), commit(9, offset=3),
        commit(10, offset=4),
    ]  # fmt: skip
    assert [(row["kind"], row["commits"], row["generation"]) for row in told(*rows)] == [
        ("first", 1, 5),
        ("advance", 3, 5),
    ]
