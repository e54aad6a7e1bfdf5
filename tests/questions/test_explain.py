"""Movements against the journals of real workloads: what was done is found, and named for what it was.

Offsets before and after, and with them every rewind, are held against a plain replay of Kafka's own reading of
the records. Recall is 1.0 for every kind of act that left a record; precision is printed, and held where the
signals suffice.
"""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import offdecode
from offdecode.errors import UsageError
from offdecode.model import rows_of
from tests import segment_builder as built
from tests.acts import Act, acts
from tests.asking import a_request, explain
from tests.command import TRANSACTIONS, run
from tests.damage import batch_ranges
from tests.log.test_copies import cleaned as cleaned_batch
from tests.truth import LogSet, log_sets, set_id

Row = dict[str, Any]
Key = tuple[int, str, str, int]  # log partition, group, topic, partition
Place = tuple[int, int]  # log partition, log offset

SETS = log_sets()
JOURNALLED = [log_set for log_set in SETS if log_set.journal]
DELETIONS = ("group_deleted", "offsets_deleted", "topic_deleted")
ACTS = {"reset", "expiry", *DELETIONS}
_NEAR_MS = 3000  # between a record's timestamp and the journal's note of the answer


@dataclass(frozen=True)
class Move:
    """What a record of an offset commit did, by a plain replay."""

    key: Key
    before: int | None
    after: int | None
    effective: bool
    timestamp: int | None


def retention_minutes(log_set: LogSet) -> int:
    about = (log_set.truth / "about.json").read_text("utf-8")
    found = json.loads(about)
    configs = [phase["config"] for phase in found.get("phases", [])] or [found.get("broker_config", {})]
    return min(int(config.get("offsets.retention.minutes", 10080)) for config in configs)


@cache
def replay(log_set: LogSet) -> dict[Place, Move]:
    """Every offset commit of the log with the effective offset before it, by Kafka's reading.

    In the order in which they take effect: a transactional commit does so with its marker, if no record behind
    it is in force by then; of a transaction's commits of a key the last one.
    """
    offsets: dict[Key, tuple[int, int | None]] = defaultdict(lambda: (-1, None))  # record in force, its offset
    pending: dict[tuple[int, int], dict[Key, Place]] = defaultdict(dict)
    moves: dict[Place, Move] = {}
    for record in log_set.records:
        partition, log_offset = place = record["log_partition"], record["log_offset"]
        producer = partition, record["producer_id"]
        if record["control"] is not None:
            ended = pending.pop(producer, {})
            for key, (_, written) in ended.items() if record["control"] == "COMMIT" else ():
                if offsets[key][0] < written:
                    move = moves[partition, written]
                    moves[partition, written] = replace(move, before=offsets[key][1], effective=True)
                    offsets[key] = written, move.after
            continue
        if record["key_type"] not in (0, 1):
            continue
        name = record["key"]
        key = partition, name["group"], name["topic"], name["partition"]
        after = None if record["value"] is None else record["value"]["offset"]
        timestamp = None if record["magic"] == 0 else record["log_timestamp"]
        plain = not record["is_transactional"]
        moves[place] = Move(key, offsets[key][1], after, plain, timestamp)
        if plain:
            offsets[key] = log_offset, after
        else:
            pending[producer][key] = place
    return moves


@cache
def movements(log_set: LogSet, chunk_bytes: int = 0) -> list[Row]:
    found = []
    request = a_request(log_set.log, chunk_bytes=chunk_bytes)
    for chunk in explain(request, minutes=retention_minutes(log_set)):
        for name, batch in chunk:
            found += rows_of(batch, batch.schema.names) if name == "movement" else []
    return found


@cache
def by_place(log_set: LogSet) -> dict[Place, Row]:
    """The movement that each record of an offset commit belongs to."""
    spans: dict[Key, list[Row]] = defaultdict(list)
    for row in movements(log_set):
        spans[row["log_partition"], row["group"], row["topic"], row["partition"]].append(row)
    found = {}
    for place, move in replay(log_set).items():
        rows = [row for row in spans[move.key] if row["log_offset"] <= place[1] <= row["last_log_offset"]]
        # A commit without effect stands inside the run of those around it.
        rows = [row for row in rows if row["commits"] == 1 and row["log_offset"] == place[1]] or rows
        found[place] = rows[0]
    return found


@pytest.mark.parametrize("log_set", SETS, ids=set_id)
def test_every_commit_is_in_one_movement(log_set: LogSet) -> None:
    moves = replay(log_set)
    assert sum(row["commits"] for row in movements(log_set)) == len(moves)
    assert len(by_place(log_set)) == len(moves)


@pytest.mark.parametrize("log_set", SETS, ids=set_id)
def test_movements_are_named_by_the_offset_before(log_set: LogSet) -> None:
    places = by_place(log_set)
    wrong = []
    for place, move in replay(log_set).items():
        row = places[place]
        if not move.effective:
            expected = {"aborted", "pending", "overtaken"}
        elif move.after is None:
            expected = {"tombstone"}
        elif move.before is None:
            expected = {"first", "reset_like"}
        elif move.after == move.before:
            expected = {"repeat", "reset_like"}
        elif move.after < move.before:
            expected = {"rewind", "reset_like"}
        else:
            expected = {"advance", "jump", "reset_like"}
        single = move.effective and row["commits"] == 1 and (row["before"], row["after"]) != (move.before, move.after)
        if row["kind"] not in expected or single:
            wrong.append((place, move, row["kind"], row["before"], row["after"]))
    assert wrong == []


@pytest.mark.parametrize("log_set", SETS, ids=set_id)
def test_chunks_do_not_show(log_set: LogSet) -> None:
    """But for the causes of tombstones: what other groups lose at the same time may be in the next chunk."""
    small = movements(log_set, 4096)
    judged = {"cause", "possible_causes", "signals", "confidence"}

    def told(rows: list[Row]) -> list[str]:
        return sorted(
            str({name: value for name, value in row.items() if row["kind"] != "tombstone" or name not in judged})
            for row in rows
        )

    assert told(small) == told(movements(log_set))


@pytest.mark.parametrize("log_set", SETS, ids=set_id)
def test_where_something_could_have_hidden_is_said(log_set: LogSet) -> None:
    """Logs whose offsets have no holes hide nothing; those that were cleaned name the range, and doubt beginnings."""
    offsets: dict[int, set[int]] = defaultdict(set)
    for record in log_set.records:
        offsets[record["log_partition"]].add(record["log_offset"])
    holes = {partition for partition, known in offsets.items() if len(known) != max(known) - min(known) + 1}
    hidden = [
        row
        for chunk in explain(a_request(log_set.log))
        for row in chunk.batches.get("hidden_range", pa.RecordBatch.from_pylist([])).to_pylist()
    ]
    assert {row["log_partition"] for row in hidden} == holes
    for row in movements(log_set):
        after_hole = any(
            row["log_partition"] == item["log_partition"] and item["first_log_offset"] <= row["log_offset"]
            for item in hidden
        )
        doubted = "earlier_records_missing" in row["signals"]
        assert doubted == (after_hole and row["before"] is None)


def near(act: Act, moves: dict[Place, Move]) -> Iterator[Place]:
    """The records that an act may have left: those of its keys, near its time."""
    for place, move in moves.items():
        _, group, topic, partition = move.key
        fits = (
            (act.group is None or act.group == group)
            and (act.topic is None or act.topic == topic)
            and (act.partition is None or act.partition == partition)
        )
        # A commit may name a time of its own; a deletion is known by its time alone.
        if fits and (act.what == "memberless" or move.timestamp is None or abs(move.timestamp - act.time) <= _NEAR_MS):
            yield place


@cache
def truth(log_set: LogSet) -> dict[Place, set[str]]:
    """What the journal says of records: for each place the acts that may have written it."""
    moves = replay(log_set)
    by_group: dict[str | None, dict[Place, Move]] = defaultdict(dict)
    by_topic: dict[str | None, dict[Place, Move]] = defaultdict(dict)
    for place, move in moves.items():
        by_group[move.key[1]][place] = move
        by_topic[move.key[2]][place] = move
    found: dict[Place, set[str]] = defaultdict(set)
    distance: dict[Place, int] = {}
    for act in acts(log_set):
        if act.what not in ("reset", "memberless", *DELETIONS):
            continue
        places = list(near(act, by_topic[act.topic] if act.group is None else by_group[act.group]))
        if act.what in DELETIONS:
            places = [place for place in places if moves[place].after is None]
        else:
            places = [place for place in places if moves[place].after == act.offset and moves[place].effective]
            if act.what == "reset":  # others of the same offset may be near; none is left where the log was cleaned
                places = sorted(places, key=lambda place: abs((moves[place].timestamp or act.time) - act.time))[:1]
        for place in places:  # the nearest act has written it; for magic 0, which has no time, any of them
            away = abs((moves[place].timestamp or act.time) - act.time) if act.what in DELETIONS else 0
            if away < distance.get(place, away + 1):
                found[place] = set()
            if away <= distance.get(place, away):
                found[place].add(act.what)
                distance[place] = away
    if retention_minutes(log_set) < 10080:  # else nothing can have expired
        for place, move in moves.items():
            if move.after is None and not found.get(place):
                found[place] = {"expiry"}
    return found


def cleaned(log_set: LogSet) -> bool:
    return "compacted" in log_set.folder.name


@pytest.mark.parametrize("log_set", JOURNALLED, ids=set_id)
def test_what_was_done_is_found(log_set: LogSet, capsys: pytest.CaptureFixture[str]) -> None:
    """Recall: the act is among the causes that a row holds possible. Precision: of those named, how many are right.

    Both are 1 where the log decides: where one cause alone is possible. Names of high confidence are right. Others
    are guesses between what the log cannot tell apart: where one group alone loses the only offsets that it has of a
    topic, the offsets, the group (by the old coordinator) or the topic may have been deleted; and a commit backwards
    to a group that is not known is a reset or a simple consumer's own. A commit without a member to a group whose
    members have left is, byte by byte, a reset.
    """
    places, expected = by_place(log_set), truth(log_set)
    right, among, missed, wrong, decided = (Counter[str]() for _ in range(5))
    surely_wrong = []
    for place, row in places.items():
        acted = expected.get(place, set())
        if row["kind"] == "tombstone":
            name, possible = row["cause"], set(row["possible_causes"])
        elif row["kind"] == "reset_like":
            name, possible = "reset", {"reset"}
            acted = {"reset"} if "memberless" in acted else acted
        else:
            name, possible = "", set()
        for act in acted & ACTS:
            (right if act == name else among if acted & possible else missed)[act] += 1
        if name in ACTS and name not in acted:
            wrong[name] += 1
            if (row["confidence"] == "high" or len(possible) == 1) and acted:
                surely_wrong.append((place, name, acted, row["signals"]))
        decided[name] += name in acted and len(possible) == 1
    with capsys.disabled():
        for act in sorted(right + among + missed + wrong):
            total, named = right[act] + among[act] + missed[act], right[act] + wrong[act]
            recall = f"recall {(right[act] + among[act]) / total:.3f} of {total}" if total else "none done"
            precision = f"precision {right[act] / named:.3f} of {named} named" if named else "none named"
            print(f"\n{log_set.folder.name}: {act}: {recall}, {precision}, {decided[act]} decided", end="")
    assert not missed
    assert surely_wrong == []
    resets = [place for place, row in places.items() if row["kind"] == "reset_like" and row["confidence"] != "low"]
    assert [place for place in resets if not expected.get(place, set()) & {"reset", "memberless"}] == []


@pytest.mark.parametrize("log_set", SETS, ids=set_id)
def test_kinds_choose_among_the_same_rows(log_set: LogSet) -> None:
    def told(**options: Any) -> list[Row]:
        return [row for row in offdecode.explain(log_set.log, **options).rows() if row["type"] == "movement"]

    every = told()
    progress = {"first", "advance", "repeat"}
    assert told(notable=True) == [row for row in every if row["kind"] not in progress]
    assert told(kinds=["rewind", "tombstone"]) == [row for row in every if row["kind"] in ("rewind", "tombstone")]
    assert told(kinds=["first"], notable=True) == []


def test_a_kind_that_there_is_not() -> None:
    with pytest.raises(UsageError, match="kinds: 'reset' is not one of first, "):
        offdecode.explain(SETS[0].log, kinds=["reset"])


@pytest.mark.parametrize("chunk_bytes", [4096, 0])
def test_an_offset_before_a_commit_is_doubted_where_records_between_are_lost(tmp_path: Path, chunk_bytes: int) -> None:
    """Some batches are damaged: who is told another offset than without damage is doubted; before it nobody is."""
    log_set = next(log_set for log_set in SETS if "all-groups" in set_id(log_set))
    whole = {
        (row["log_partition"], row["log_offset"]): row["before"] for row in all_movements(log_set.log, chunk_bytes)
    }
    damaged = tmp_path / "log"
    shutil.copytree(log_set.log, damaged)
    for segment in damaged.rglob("*.log"):
        data = bytearray(segment.read_bytes())
        for start, end in batch_ranges(bytes(data))[20::40]:
            data[(start + end) // 2] ^= 0xFF
        segment.write_bytes(data)
    wrong = doubted = 0
    for row in all_movements(damaged, chunk_bytes):
        lost = "earlier_records_missing" in row["signals"]
        doubted += lost
        place = row["log_partition"], row["log_offset"]
        if place in whole and row["before"] != whole[place]:  # else it began a movement here only
            wrong += 1
            assert lost, row
            assert row["confidence"] == "low" or row["kind"] == "tombstone"
    assert 20 < wrong < doubted < len(whole) / 2


def all_movements(log: Path, chunk_bytes: int) -> list[Row]:
    chunks = explain(a_request(log, chunk_bytes=chunk_bytes), lambda problem: None)
    batches = [chunk.batches["movement"] for chunk in chunks if "movement" in chunk.batches]
    return [row for batch in batches for row in rows_of(batch, batch.schema.names)]


@pytest.mark.parametrize("sign", [True, False], ids=["cleaned below it", "not cleaned"])
def test_an_offset_is_doubted_behind_a_batch_that_is_missing_above_the_checkpoint(tmp_path: Path, sign: bool) -> None:
    log = tmp_path / "__consumer_offsets-0"
    log.mkdir()
    head = cleaned_batch(0, [0, 2], 5) if sign else built.batch([built.commit("g", offset=1)] * 5, built.Header(0))
    kept = b"".join(
        built.batch([built.commit("x", offset=offset)], built.Header(at)) for at, offset in ((6, 8), (7, 100), (9, 3))
    )
    (log / f"{0:020}.log").write_bytes(head + built.batch([built.commit("x", offset=7)], built.Header(5)))
    (log / f"{6:020}.log").write_bytes(kept)
    (tmp_path / "cleaner-offset-checkpoint").write_text("0\n1\n__consumer_offsets 0 6\n")
    rows = offdecode.explain(tmp_path, groups=["x"], on_problem=lambda problem: None).rows()
    found = {row["log_offset"]: row for row in rows if row["type"] == "movement"}
    assert (found[9]["before"], found[9]["confidence"]) == (100, "low")
    assert [at for at, row in found.items() if "earlier_records_missing" in row["signals"]] == [5] * sign + [9]


def test_the_text_says_when_a_transaction_was_decided() -> None:
    """By the marker's own record."""
    log = TRANSACTIONS / "log"
    markers = {
        (row["log_partition"], row["log_offset"]): (row["producer_id"], row["marker"], row["log_timestamp"])
        for row in run("decode", log, "--type", "transaction_marker").rows
    }
    text = run("explain", log, "--format", "text").stdout.decode()
    said = re.findall(r"by producer (\d+), (commit|abort)t?ed (\S+) \[(\d+):(\d+)\]", text)
    assert len(said) == sum(row["decided_log_offset"] is not None for row in run("explain", log).rows) > 0
    for producer, result, time, partition, offset in said:
        at = datetime.fromisoformat(time.replace("Z", "+00:00"))
        told = int(producer), result, round(at.timestamp() * 1000)
        assert told == markers[int(partition), int(offset)]
