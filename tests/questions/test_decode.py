"""Whole logs written by real brokers: every row equals Kafka's own reading of the record."""

from __future__ import annotations

import io
import json
from collections import defaultdict
from functools import cache
from typing import Any

import pytest

from offdecode.engines.decode import Engine
from offdecode.model import Problem
from offdecode.request import Request
from offdecode.schemas.registry import RECORD_TYPES
from offdecode.schemas.rows import RowOptions, row_type
from offdecode.sinks.jsonl import JsonLinesSink
from tests.asking import a_request, decode
from tests.truth import LogSet, Row, differences, expected_transactions, log_sets, set_id

ROW_TYPES = {record.key_type: record.row_type for record in RECORD_TYPES}
SETS = log_sets()


@cache
def decoded(log_set: LogSet, engine: Engine) -> tuple[list[Row], list[Problem]]:
    return _decoded(a_request(log_set.log, engine=engine))


def _decoded(request: Request) -> tuple[list[Row], list[Problem]]:
    problems: list[Problem] = []
    stream = io.BytesIO()
    sink = JsonLinesSink(stream, request.columns)
    for chunk in decode(request, problems.append):
        sink.write(chunk)
    return [json.loads(line) for line in stream.getvalue().split(b"\n")[:-1]], problems


@pytest.fixture(params=SETS, ids=set_id)
def log_set(request: pytest.FixtureRequest) -> LogSet:
    found: LogSet = request.param
    return found


def expected_common(record: Row) -> Row:
    control = record["control"] is not None
    return {
        "log_partition": record["log_partition"],
        "log_offset": record["log_offset"],
        "log_timestamp": None if record["magic"] == 0 else record["log_timestamp"],
        "producer_id": record["producer_id"],
        "key_type": None if control else record["key_type"],
        "value_version": None if control else record["value_version"],
        "tombstone": not control and record["value_hex"] is None,
    }


def row_differences(row: Row, record: Row) -> list[str]:
    """Where a row differs from Kafka's reading of its record."""
    common = expected_common(record)
    found = [f"{name}: {row[name]!r} for {value!r}" for name, value in common.items() if row[name] != value]
    own = {name: value for name, value in row.items() if name not in common and name not in ("type", "transaction")}
    if record["control"] is not None:
        wanted: Any = {
            "producerEpoch": record["producer_epoch"],
            "marker": record["control"].lower(),
            "coordinatorEpoch": record["coordinator_epoch"],
        }
        found += [] if row["type"] == "transaction_marker" else [f"type {row['type']}"]
    elif record["key_type"] in ROW_TYPES:
        wanted = {**record["key"], **(record["value"] or {})}
        if "decode_error" in record or record.get("decoded_by", "").startswith("4.0.0"):
            own = {name: value for name, value in own.items() if name != "shape"}
        # What is read from opaque bytes beside them has judges of its own.
        own = {name: value for name, value in own.items() if name != "streams_metadata"}
        found += [] if row["type"] == ROW_TYPES[record["key_type"]] else [f"type {row['type']}"]
    else:
        wanted = {"keyHex": record["key_hex"], "valueHex": record["value_hex"]}
        own.pop("reason")
        found += [] if row["type"] == "unknown" else [f"type {row['type']}"]
    return found + list(differences(own, wanted))


def test_there_are_sets() -> None:
    assert len(SETS) >= 2


def test_rows_equal_kafkas_reading(log_set: LogSet, engine: Engine) -> None:
    rows, problems = decoded(log_set, engine)
    records = log_set.records
    assert problems == []
    assert len(rows) == len(records)
    wrong = [
        (record["log_partition"], record["log_offset"], found)
        for row, record in zip(rows, records, strict=True)
        if (found := row_differences(row, record))
    ]
    assert wrong == []


def test_keys_stand_in_the_contracts_order(log_set: LogSet, engine: Engine) -> None:
    for row in decoded(log_set, engine)[0]:
        columns = row_type(row["type"]).columns
        assert list(row) == [column.name for column in columns if not column.optional or column.name in row]


def test_transaction_status_follows_the_markers(log_set: LogSet, engine: Engine) -> None:
    rows = decoded(log_set, engine)[0]
    assert [row["transaction"] for row in rows] == expected_transactions(log_set)


def test_transaction_status_agrees_with_the_journal(log_set: LogSet, engine: Engine) -> None:
    """Every transactional commit that the journal knows by its content ended as the journal says."""
    outcomes = journalled_outcomes(log_set.journal)
    rows = [
        row for row in decoded(log_set, engine)[0]
        if row["type"] == "offset_commit" and row["transaction"] is not None and not row["tombstone"]
    ]  # fmt: skip
    by_content: dict[tuple[Any, ...], set[str]] = defaultdict(set)
    for row in rows:
        content = (row["group"], row["topic"], row["partition"], row["offset"], row["metadata"])
        by_content[content].add(row["transaction"])
    compared = 0
    for content, ends in outcomes.items():
        if len(ends) == 1 and content in by_content:
            assert by_content[content] == ends, content
            compared += 1
    assert compared or not by_content.keys() & outcomes.keys()


def journalled_outcomes(journal: list[Row]) -> dict[tuple[Any, ...], set[str]]:
    """(group, topic, partition, offset, metadata) -> how the transactions that committed it ended."""
    words = {"commit": "committed", "abort": "aborted"}
    outcomes: dict[tuple[Any, ...], set[str]] = defaultdict(set)
    pending: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
    for entry in journal:
        action = entry["action"]
        if action == "txn":
            end = words.get(entry["end"] or "", "unclear") if entry.get("result", 0) == 0 else "unclear"
            committed = entry["commits"] if "commits" in entry else [(entry["group"], entry["items"])]
            for group, items, *_ in committed:
                for topic, partition, offset, metadata, *_ in items:
                    outcomes[group, topic, partition, offset, metadata or ""].add(end)
        elif action == "txn-offset":
            content = tuple(entry[name] for name in ("group", "topic", "partition", "offset", "metadata"))
            pending[entry["transactional_id"]].append(content)
        elif action == "txn-init":  # fences the id's earlier producer and aborts what it has open
            for content in pending.pop(entry["transactional_id"], []):
                outcomes[content].add("aborted")
        elif action in ("txn-commit", "txn-abort"):
            end = words[action[4:]] if entry["result"] == "ok" else "unclear"
            for content in pending.pop(entry["transactional_id"], []):
                outcomes[content].add(end)
    for contents in pending.values():
        for content in contents:
            outcomes[content].add("unclear")
    return {content: ends for content, ends in outcomes.items() if "unclear" not in ends}


def test_raw_adds_the_records_own_bytes(log_set: LogSet, engine: Engine) -> None:
    rows, _ = _decoded(a_request(log_set.log, columns=RowOptions(raw=True)))
    without = [{name: value for name, value in row.items() if name not in ("key_hex", "value_hex")} for row in rows]
    assert without == decoded(log_set, engine)[0]
    records = {(record["log_partition"], record["log_offset"]): record for record in log_set.records}
    for row in rows:
        record = records[row["log_partition"], row["log_offset"]]
        if record["control"] is None:
            assert (row["key_hex"], row["value_hex"]) == (record["key_hex"], record["value_hex"])


def test_a_group_by_its_name_is_what_it_is_among_all(log_set: LogSet) -> None:
    """Batches are passed over by their bytes, compressed ones too; no row of the group goes with them."""
    every = decoded(log_set, "auto")[0]
    names = list(dict.fromkeys(row["group"] for row in every if "group" in row))
    chosen = names[:: max(len(names) // 5, 1)]
    for groups in ([], ["no such group"], chosen[:1], chosen):
        rows, problems = _decoded(a_request(log_set.log, groups=tuple(groups)))
        assert problems == []
        assert rows == [row for row in every if not groups or "group" not in row or row["group"] in groups]
