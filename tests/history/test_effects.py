"""Movements against the states of a plain coordinator: before and after are what was in force, at every place."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from offdecode.history.movements.explanation import Explanation
from offdecode.history.offsets.rules import Coordinator
from offdecode.history.topic_names import TopicNames
from offdecode.model import DecodedChunk, Gaps
from tests.asking import a_request, explain, state
from tests.chunks import chunk_of
from tests.history.test_offsets import Key, PlainCoordinator, pieces, random_log
from tests.truth import LogSet, Row, log_sets, set_id

EFFECTIVE = {"first", "advance", "repeat", "rewind", "jump", "reset_like", "tombstone"}
STANDING_STILL = {"overtaken", "aborted", "pending"}


def decided(rows: list[Row]) -> list[Row]:
    """The rows with the status that evidence shows: of the producer's next marker, or lost with all before it."""
    following: dict[int, str] = {}
    for row in reversed(rows):
        if row["type"] == "transaction_marker":
            following[row["producer_id"]] = {"commit": "committed", "abort": "aborted"}[row["marker"]]
        elif row["type"] == "offset_commit":
            row["offset"] = None if row["tombstone"] else 10 * row["log_offset"] % 70
            if row["transaction"] == "unknown":
                following[row["producer_id"]] = "unknown"
            elif row["transaction"] is not None:
                row["transaction"] = following.get(row["producer_id"], "open")
    return rows


def states(rows: list[Row], coordinator: Coordinator) -> Iterator[dict[Key, int]]:
    """After each row, the record in force for each key."""
    plain = PlainCoordinator(coordinator)
    for row in rows:
        plain.take(row)
        yield dict(plain.committed)


def movements(chunks: list[DecodedChunk], coordinator: Coordinator) -> list[Row]:
    told = Explanation(None, TopicNames({}), coordinator)
    found = [made for chunk in chunks for made in told.rows(chunk, Gaps())]
    found += told.finish()
    return [row for chunk in found for _, batch in chunk for row in batch.to_pylist()]


@pytest.mark.parametrize("coordinator", Coordinator, ids=lambda item: item.value)
@pytest.mark.parametrize("seed", range(80))
def test_movements_are_the_states_of_the_coordinator(seed: int, coordinator: Coordinator) -> None:
    rows = decided(random_log(seed))
    offsets = {row["log_offset"]: row.get("offset") for row in rows}
    after = [{key: offsets[place] for key, place in one.items()} for one in states(rows, coordinator)]
    found = movements([chunk_of(piece) for piece in pieces(rows, seed)], coordinator)
    assert sum(row["commits"] for row in found) == sum(row["type"] == "offset_commit" for row in rows)
    left: dict[Key, int | None] = defaultdict(lambda: None)
    by_effect = sorted((row for row in found if row["kind"] in EFFECTIVE), key=_effect)
    for row in by_effect:
        key = row["group"], row["topic"], row["partition"]
        assert row["before"] == left[key], (seed, row)
        assert row["after"] == after[_effect(row)].get(key), (seed, row)
        left[key] = row["after"]
    for key, offset in left.items():
        assert offset == after[-1].get(key), seed
    moves = sum(before.get(key) != now.get(key) for before, now in zip([{}, *after], after, strict=False)
                for key in before.keys() | now.keys())  # fmt: skip
    named = {"first", "advance", "rewind", "jump", "reset_like"}
    told = sum(row["commits"] for row in by_effect if row["kind"] in named or row["before"] is not None)
    assert told >= moves


def _effect(row: Row) -> int:
    """The place, here the log offset, at which the movement's last commit took effect."""
    place: int = row["last_log_offset"] if row["decided_log_offset"] is None else row["decided_log_offset"]
    return place


def test_a_commit_that_waits_does_not_rewind() -> None:
    """801 is written while 800 waits: when 800's transaction commits, 801 is in force and stays."""

    def written(log_offset: int, offset: int | None, producer: int = -1) -> Row:
        return {"type": "offset_commit", "log_offset": log_offset, "log_partition": 0, "producer_id": producer,
                "transaction": None if producer < 0 else "committed", "tombstone": False, "group": "g", "topic": "t",
                "partition": 0, "offset": offset}  # fmt: skip

    marker = {"type": "transaction_marker", "log_offset": 3, "log_partition": 0, "producer_id": 7, "marker": "commit"}
    found = movements([chunk_of([written(0, 1), written(1, 800, 7), written(2, 801), marker])], Coordinator.NEW)
    told = sorted((row["log_offset"], row["kind"], row["before"], row["after"]) for row in found)
    assert told == [(0, "first", None, 1), (1, "overtaken", 801, 800), (2, "advance", 1, 801)]
    late = next(row for row in found if row["kind"] == "overtaken")
    assert (late["decided_log_offset"], late["signals"]) == (3, ["group_unknown", "later_record_in_force"])


def in_force(log_set: LogSet, partition: int, log_offset: int) -> dict[Key, Any]:
    request = a_request(log_set.log, log_partitions=(partition,))
    found = {}
    for chunk in state(request, as_of_offset=(partition, log_offset)):
        for row in chunk.batches["committed_offset"].to_pylist() if "committed_offset" in chunk.batches else ():
            found[row["group"], row["topic"], row["partition"]] = row["offset"]
    return found


@pytest.mark.parametrize("log_set", log_sets(), ids=set_id)
def test_movements_agree_with_the_state_at_places_of_the_log(log_set: LogSet) -> None:
    """At a few offsets of each partition: what the last movement of each key left is what state tells."""
    by_partition: dict[int, list[Row]] = defaultdict(list)
    for chunk in explain(a_request(log_set.log)):
        for row in chunk.batches["movement"].to_pylist() if "movement" in chunk.batches else ():
            by_partition[row["log_partition"]].append(row)
    for partition, rows in by_partition.items():
        moved = sorted((row for row in rows if row["kind"] in EFFECTIVE), key=_effect)
        ends = sorted({_effect(row) for row in moved})
        for end in ends[:: max(len(ends) // 4, 1)]:
            told = in_force(log_set, partition, end)
            left = {}
            open_ = {(row["group"], row["topic"], row["partition"]) for row in moved
                     if row["log_offset"] <= end < _effect(row)}  # fmt: skip
            for row in moved:
                if _effect(row) <= end:
                    left[row["group"], row["topic"], row["partition"]] = row["after"]
            for key in left.keys() - open_:
                assert told.get(key) == left[key], (partition, end, key)


def test_a_chunk_without_rows_changes_nothing() -> None:
    """As where all its records are later than --until, while transactions wait for their end."""
    commits = [
        {"type": "offset_commit", "log_partition": 0, "log_offset": at, "log_timestamp": at, "tombstone": False,
         "group": "g", "topic": "t", "partition": 0, "offset": at, "metadata": "", "transaction": "committed",
         "producer_id": 5}
        for at in range(3)
    ]  # fmt: skip
    marker = {"type": "transaction_marker", "log_partition": 0, "log_offset": 3, "log_timestamp": 3, "producer_id": 5,
              "marker": "commit"}  # fmt: skip
    empty = DecodedChunk({}, np.empty(0, np.int64))
    chunks = [chunk_of(commits[:2]), chunk_of(commits[2:]), chunk_of([marker])]
    expected = movements(chunks, Coordinator.NEW)
    assert len(expected) == 3
    assert movements([chunks[0], empty, chunks[1], empty, chunks[2]], Coordinator.NEW) == expected
