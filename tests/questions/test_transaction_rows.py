"""The transactions of broker-written logs, against a plain reading of Kafka's own list of the records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from offdecode.history.offsets.transactions import TransactionReplay
from offdecode.model import Coverage, Problem, rows_of
from offdecode.request import Request
from tests.asking import a_request, transactions
from tests.chunks import chunk_of
from tests.history.test_offsets import pieces
from tests.truth import LogSet, Row, log_sets, set_id

SETS = [log_set for log_set in log_sets() if any(record["control"] for record in log_set.records)]
_NAMES = ("log_partition", "producer_id", "status", "first_offset", "last_offset", "commits", "groups", "marker_offset",
          "marker_timestamp", "marker_epoch", "coordinator_epoch", "producer_epoch", "duration_ms")  # fmt: skip


def no_problem(problem: Problem) -> None:
    pytest.fail(str(problem))


def told(request: Request, *, only_open: bool = False) -> list[Row]:
    return [
        row
        for chunk in transactions(request, only_open=only_open)
        for _, batch in chunk
        for row in rows_of(batch, batch.schema.names)
    ]


def expected(records: Sequence[Row]) -> list[tuple[Any, ...]]:
    """The transactions that markers end, in the order of the log."""
    found = []
    open_: dict[tuple[int, int], list[Row]] = {}
    for record in records:
        place = record["log_partition"], record["producer_id"]
        if record["control"] is not None:
            held = open_.pop(place, [])
            time = record["log_timestamp"]
            found.append((
                *place, {"COMMIT": "committed", "ABORT": "aborted"}[record["control"]],
                held[0]["log_offset"] if held else None, held[-1]["log_offset"] if held else None, len(held),
                sorted({item["key"]["group"] for item in held}), record["log_offset"], time, record["producer_epoch"],
                record["coordinator_epoch"], held[-1]["producer_epoch"] if held else None,
                time - held[0]["log_timestamp"] if held else None,
            ))  # fmt: skip
        elif record["is_transactional"]:
            open_.setdefault(place, []).append(record)
    return found


@pytest.mark.parametrize("log_set", SETS, ids=set_id)
def test_transactions_end_at_the_markers(log_set: LogSet) -> None:
    rows = told(a_request(log_set.log))
    decided = [row for row in rows if row["status"] in ("committed", "aborted")]
    lost = {(row["log_partition"], row["marker_offset"]) for row in rows if row["status"] == "unknown"}
    theirs = [item for item in expected(log_set.records) if (item[0], item[7]) not in lost]
    assert [tuple(row[name] for name in _NAMES) for row in decided] == theirs
    assert not lost or "compacted" in log_set.folder.name


@pytest.mark.parametrize("log_set", SETS, ids=set_id)
def test_rows_do_not_depend_on_how_many_a_chunk_has(log_set: LogSet, monkeypatch: pytest.MonkeyPatch) -> None:
    request = a_request(log_set.log, on_problem=no_problem)
    whole = told(request)
    monkeypatch.setattr("offdecode.questions.transactions._MOST_ROWS", 2)
    assert told(request) == whole


@pytest.mark.parametrize("log_set", SETS, ids=set_id)
def test_open_transactions_are_those_without_a_marker(log_set: LogSet) -> None:
    open_: dict[tuple[int, int], int] = {}
    ends: dict[int, int] = {}
    for record in log_set.records:
        place = record["log_partition"], record["producer_id"]
        ends[place[0]] = max(ends.get(place[0], 0), record["log_offset"])
        if record["control"] is not None:
            open_.pop(place, None)
        elif record["is_transactional"]:
            open_.setdefault(place, record["log_offset"])
    rows = [row for row in told(a_request(log_set.log), only_open=True) if row["status"] == "open"]
    assert {(row["log_partition"], row["producer_id"]): row["first_offset"] for row in rows} == open_
    for row in rows:
        partition, first = row["log_partition"], row["first_offset"]
        assert row["held_back_records"] == ends[partition] - first + 1
        assert row["abort_command"].endswith(f" --partition {partition} --start-offset {first}")


def log() -> list[Row]:
    """Two producers in turn, a lost end, an empty transaction, one that stays open."""

    def commit(offset: int, producer: int, group: str, transaction: str) -> Row:
        return {"type": "offset_commit", "log_partition": 3, "log_offset": offset, "log_timestamp": offset * 10,
                "producer_id": producer, "transaction": transaction, "group": group, "topic": "t", "partition": 0,
                "tombstone": False, "producer_epoch": 1}  # fmt: skip

    def marker(offset: int, producer: int, what: str) -> Row:
        return {"type": "transaction_marker", "log_partition": 3, "log_offset": offset, "log_timestamp": offset * 10,
                "producer_id": producer, "producer_epoch": 2, "marker": what, "coordinator_epoch": 0}  # fmt: skip

    return [
        commit(0, 1, "a", "committed"), commit(1, 2, "b", "aborted"), commit(2, 1, "c", "committed"),
        marker(3, 1, "commit"), marker(4, 2, "abort"), marker(5, 2, "commit"), commit(6, 1, "a", "unknown"),
        marker(7, 1, "commit"), commit(8, 2, "b", "open"),
    ]  # fmt: skip


@pytest.mark.parametrize("seed", range(20))
def test_chunks_do_not_matter(seed: int) -> None:
    replay = TransactionReplay(bare_markers=True)
    rows = [row for piece in pieces(log(), seed) for row in replay.add(chunk_of(piece, with_batch=True))]
    rows += replay.finish(Coverage(3, last_offset=9), "__consumer_offsets", now=100)
    names = ("producer_id", "status", "first_offset", "commits", "groups")
    shown = [tuple(row.get(name) for name in names) for row in rows]
    assert shown == [
        (1, "committed", 0, 2, ["a", "c"]), (2, "aborted", 1, 1, ["b"]), (2, "committed", None, 0, []),
        (1, "unknown", 6, 1, ["a"]), (2, "open", 8, 1, ["b"]),
    ]  # fmt: skip
    assert rows[-1]["held_back_records"] == 2
    assert rows[-1]["duration_ms"] == 20
    assert "abort_command" not in rows[-2]


def test_a_group_alone_shows_no_bare_markers() -> None:
    fixture = next(log_set for log_set in SETS if any(row["commits"] for row in told(a_request(log_set.log))))
    group = next(row["groups"][0] for row in told(a_request(fixture.log)) if row["groups"])
    rows = told(a_request(fixture.log, groups=(group,)))
    assert rows
    assert all(row["groups"] == [group] for row in rows)
