"""The overview of groups against what other commands tell one by one, and Kafka's own reading of the records."""

from __future__ import annotations

import asyncio
import re
import struct
from collections import Counter, defaultdict
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import offdecode
from tests.brokers import KAFKA_4, StartBroker
from tests.command import run
from tests.kafka_jars import run_java
from tests.questions.test_explain import Key, replay, retention_minutes
from tests.questions.test_state_broker import JAVA, run_tool
from tests.segment_builder import BASE_TIME_MS, Header, Pair, batch, commit, text
from tests.truth import LogSet, log_sets, set_id

Row = dict[str, Any]
SETS = log_sets()
HOUR_MS = 3_600_000
_KINDS = {"rewind": "rewinds", "reset_like": "reset_likes", "jump": "jumps", "aborted": "aborted",
          "pending": "pending", "overtaken": "overtaken"}  # fmt: skip


@pytest.fixture(params=SETS, ids=set_id)
def log_set(request: pytest.FixtureRequest) -> LogSet:
    found: LogSet = request.param
    return found


@cache
def overview(log_set: LogSet) -> dict[str, Row]:
    rows = list(offdecode.groups(log_set.log, offsets_retention_minutes=retention_minutes(log_set)).rows())
    assert len({row["group"] for row in rows}) == len(rows)
    return {row["group"]: row for row in rows}


def milliseconds(time: datetime | None) -> int | None:
    return None if time is None else round(time.timestamp() * 1000)


def test_records_are_kafkas(log_set: LogSet) -> None:
    keys = [record["key"] for record in log_set.records if record["control"] is None]
    counts = Counter(key.get("group", key.get("groupId")) for key in keys if key)
    assert {name: row["records"] for name, row in overview(log_set).items()} == counts


def test_commits_and_offsets_are_those_of_a_plain_replay(log_set: LogSet) -> None:
    commits: Counter[str] = Counter()
    times: dict[str, list[int]] = defaultdict(list)
    keys: dict[str, set[Key]] = defaultdict(set)
    for move in replay(log_set).values():
        group = move.key[1]
        if move.after is not None:
            commits[group] += 1
            times[group] += [] if move.timestamp is None else [move.timestamp]
        if move.effective:
            keys[group].add(move.key)
    for name, row in overview(log_set).items():
        assert (row["commits"], row["partitions"]) == (commits[name], len(keys[name]))
        assert row["topics"] == len({key[2] for key in keys[name]})
        known = times[name]
        shown = [
            None if row[at] is None else round(row[at].timestamp() * 1000) for at in ("first_commit", "last_commit")
        ]
        assert shown == ([min(known), max(known)] if known else [None, None])


def test_offsets_are_those_of_the_state(log_set: LogSet) -> None:
    held = Counter(row["group"] for row in offdecode.state(log_set.log, types=["committed_offset"]).rows())
    assert {name: row["offsets"] for name, row in overview(log_set).items() if row["offsets"]} == held


def test_bytes_are_those_of_growth(log_set: LogSet) -> None:
    rows = [row for row in offdecode.growth(log_set.log).rows() if row["type"] == "growth"]
    sizes = {row["group"]: row["bytes"] for row in rows if row["group"] is not None}
    assert {name: row["bytes"] for name, row in overview(log_set).items()} == sizes


def test_movements_are_those_of_explain(log_set: LogSet) -> None:
    kinds: dict[str, Counter[str]] = defaultdict(Counter)
    causes: dict[str, Counter[str]] = defaultdict(Counter)
    unmoved: Counter[str] = Counter()
    answer = offdecode.explain(log_set.log, offsets_retention_minutes=retention_minutes(log_set))
    for row in answer.table("movement").to_pylist():
        name, kind = row["group"], row["kind"]
        kinds[name][_KINDS.get(kind, kind)] += row["commits"]
        # All logs are asked before explain says that a topic was deleted; it lowers no more than the confidence.
        causes[name][row["cause"]] += kind == "tombstone"
        unmoved[name] += row["commits"] if row["before"] == row["after"] and kind != "tombstone" else 0
    for name, row in overview(log_set).items():
        assert {kind: row[kind] for kind in _KINDS.values()} == {kind: kinds[name][kind] for kind in _KINDS.values()}
        assert row["tombstones"] == {cause: causes[name][cause] for cause in row["tombstones"]}
        assert sum(row["tombstones"].values()) == kinds[name]["tombstone"]
        share = unmoved[name] / row["commits"] if row["commits"] else None
        assert row["unmoved_share"] == share


def test_generations_are_those_of_generations(log_set: LogSet) -> None:
    summary = {row["group"]: row for row in offdecode.generations(log_set.log, summary=True).rows()}
    clients: dict[str, set[str]] = defaultdict(set)
    times: dict[str, list[int]] = defaultdict(list)
    members: dict[str, int] = {}
    numbers: dict[str, int | None] = {}
    for row in offdecode.generations(log_set.log).rows():
        name = row["group"]
        clients[name] |= {member["client_id"] for member in row["members"]}
        members[name] = len(row["members"])
        if row["generation"] not in (None, 0, numbers.get(name)) and row["log_timestamp"] is not None:
            times[name].append(round(row["log_timestamp"].timestamp() * 1000))
        numbers[name] = row["generation"] or numbers.get(name)
    for name, row in overview(log_set).items():
        if name not in summary:
            assert (row["group_type"], row["generations"], row["members"]) == ("simple", 0, 0)
            continue
        told = summary[name]
        assert row["generations"] == told["rebalances"]
        assert row["generations_per_hour"] == pytest.approx(told["rebalances_per_hour"])
        lives_on = told["state"] == "Dead" and (row["offsets"] or row["pending"])  # it committed after its end
        assert (row["group_type"], row["state"]) == (
            ("simple", "Empty") if lives_on else (told["group_type"], told["state"])
        )
        assert (row["most_members"], row["members"]) == (told["most_members"], members[name])
        assert row["clients"] == sorted(one for one in clients[name] if one is not None)[:10]
        densest = max((sum(0 <= one - first <= HOUR_MS for one in times[name]) for first in times[name]), default=0)
        assert row["most_generations_an_hour"] == densest


def test_what_is_not_whole_says_so(log_set: LogSet) -> None:
    gaps = {row["log_partition"] for row in offdecode.explain(log_set.log).table("hidden_range").to_pylist()}
    for row in overview(log_set).values():
        assert row["complete"] is (row["log_partition"] not in gaps)


LOG = SETS[0].log


def names_of(*options: str) -> list[str]:
    return [row["group"] for row in run("groups", *options, LOG).rows]


def test_selection_and_order() -> None:
    every = overview(SETS[0])
    assert names_of() == sorted(every)
    assert names_of("--group", "no such group") == []
    some = sorted(every)[:2]
    assert names_of("--group", some[1], "--group", some[0]) == some
    assert set(names_of("--notable")) == {name for name, row in every.items() if row["why"]}
    assert [every[name]["commits"] for name in names_of("--sort", "commits")] == sorted(
        (row["commits"] for row in every.values()), reverse=True
    )
    assert len(names_of("--format", "jsonl", "--idle-for", "0s")) == len(every)
    assert run("groups", LOG, "--idle-for", "soon").status == 2


def one_group(tmp_path: Path, *pairs: Pair) -> Path:
    path = tmp_path / "a.log"
    path.write_bytes(b"".join(batch([pair], Header(number)) for number, pair in enumerate(pairs)))
    return path


@pytest.mark.parametrize(("minutes", "expected"), [(None, 7 * 24 * 60), (90, 90)])
def test_when_a_group_expires(tmp_path: Path, minutes: int | None, expected: int) -> None:
    path = one_group(tmp_path, commit("idle"), commit("idle", partition=1))
    (row,) = offdecode.groups(path, offsets_retention_minutes=minutes).rows()
    written = max(milliseconds(one["commit_timestamp"]) or 0 for one in offdecode.decode(path).rows())
    assert written >= BASE_TIME_MS
    assert row["expires"] == written + expected * 60_000


def test_a_group_may_be_known_by_a_record_that_tells_nothing_of_its_members(tmp_path: Path) -> None:
    """As where a log begins in the middle: the first record that is left is that of a regular expression."""
    key = struct.pack(">h", 16) + text("g") + text("orders.*")
    value = struct.pack(">h", 0) + b"\x01" + struct.pack(">qq", 1, BASE_TIME_MS) + b"\0"
    path = tmp_path / "00000000000000000000.log"
    path.write_bytes(batch([(key, value)]))
    (row,) = offdecode.groups(path).rows()
    assert (row["group"], row["records"], row["commits"]) == ("g", 1, 0)
    assert [group["group"] for group in offdecode.groups(path, sort="records").rows()] == ["g"]


def test_groups_are_those_of_state(log_set: LogSet) -> None:
    told = {row["group"]: row for row in offdecode.state(log_set.log, types=["group"]).rows()}
    for name, row in overview(log_set).items():
        if row["state"] != "Dead":
            assert (row["group_type"], row["state"]) == (told[name]["group_type"], told[name]["state"])
        else:
            assert name not in told or told[name]["differences"]  # between what coordinators make of the log


def test_a_table_is_a_line_a_group() -> None:
    lines = run("groups", LOG, "--format", "table").stdout.decode().splitlines()
    assert lines[0].split()[:3] == ["GROUP", "STATE", "NOTABLE"]
    assert len(lines) == 1 + len(overview(SETS[0]))


@pytest.mark.broker
@pytest.mark.slow
def test_groups_are_those_that_a_broker_lists(start_broker: StartBroker) -> None:
    """Its AdminClient lists and describes them, with members that are there, just before we read its directory."""
    from aiokafka import AIOKafkaConsumer

    broker = start_broker(KAFKA_4)
    run_java(JAVA / "ServedOffsets.java", broker.classpath, broker.bootstrap, "fill")
    run_java(JAVA / "GroupWorkload.java", broker.classpath, broker.bootstrap, "consumer", "2")
    run_java(JAVA / "GroupWorkload.java", broker.classpath, broker.bootstrap, "classic", "2")
    tool = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"

    async def ask() -> tuple[str, str, list[Row]]:
        members = [
            AIOKafkaConsumer("shelves", bootstrap_servers=broker.bootstrap, group_id="alive", client_id=f"c{number}")
            for number in range(3)
        ]
        await asyncio.gather(*(member.start() for member in members))
        await asyncio.sleep(2)
        listed = await asyncio.to_thread(run_tool, broker, tool, "--list", "--type", "--state")
        described = await asyncio.to_thread(run_tool, broker, tool, "--describe", "--members", "--group", "alive")
        ours = await asyncio.to_thread(lambda: list(offdecode.groups(broker.data).rows()))
        for member in members:
            await member.stop()
        return listed, described, ours

    listed, described, ours = asyncio.run(ask())
    names, *lines = [line.split() for line in listed.splitlines() if line.strip()]
    assert names == ["GROUP", "TYPE", "STATE"]
    told = {line[0]: (line[1].lower(), line[2]) for line in lines if len(line) == len(names)}
    found = {
        row["group"]: ("classic" if row["group_type"] == "simple" else row["group_type"], row["state"])
        for row in ours if row["state"] != "Dead"
    }  # fmt: skip
    assert len(told) > 5
    assert {name: found.get(name) for name in told} == told
    assert {name for name in found if re.fullmatch(r"[\w.-]+", name)} <= {*told}
    (alive,) = [row for row in ours if row["group"] == "alive"]
    assert alive["members"] == sum(line.startswith("alive ") for line in described.splitlines()) == 3
    assert alive["clients"] == ["c0", "c1", "c2"]
