"""Generations, and owners of commits, against the journals of real workloads."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter, defaultdict
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from offdecode.model import rows_of
from offdecode.schemas.rows import RowOptions, row_type
from tests.acts import acts
from tests.asking import a_request, decode, generations
from tests.truth import FIXTURES, LogSet, log_sets, set_id

Row = dict[str, Any]

JOURNALLED = [log_set for log_set in log_sets() if log_set.journal]
ALL_GROUPS = FIXTURES / "kafka-4.4.0-all-groups" / "log"


@cache
def generation_rows(log_set: LogSet) -> list[Row]:
    found = []
    for chunk in generations(a_request(log_set.log)):
        for _, batch in chunk:
            found += rows_of(batch, batch.schema.names)
    return found


@cache
def records(log_set: LogSet) -> list[Row]:
    return [record for record in log_set.records if record.get("key_type") not in (None, 0, 1)]


@cache
def recorded(log_set: LogSet) -> dict[str, set[str]]:
    """{group: every member id that a record of the log names}, by Kafka's reading."""
    found: dict[str, set[str]] = defaultdict(set)
    for record in records(log_set):
        key, value = record.get("key") or {}, record.get("value") or {}
        if record.get("key_type") == 2:
            found[key["group"]] |= {member["memberId"] for member in value.get("members", ())}
        elif key and "memberId" in key and value:
            found[key["groupId"]].add(key["memberId"])
    return found


def topic_names(log_set: LogSet) -> dict[str, str]:
    path = log_set.truth / "state.json"
    topics = json.loads(path.read_text("utf-8")).get("topics", []) if path.exists() else []
    return {topic["topic_id"]: topic["name"] for topic in topics if "topic_id" in topic}


def named(assignment: list[Row] | None, names: dict[str, str]) -> set[str]:
    return {
        f"{item['topic'] or names.get(item['topic_id'], item['topic_id'])}-{partition}"
        for item in assignment or ()
        for partition in item["partitions"]
    }


@pytest.mark.parametrize("log_set", JOURNALLED, ids=set_id)
def test_generations_are_those_of_the_journal(log_set: LogSet) -> None:
    """Every generation that members were told of and that left a record: its leader and members."""
    rows = {
        (row["group"], row["generation"], frozenset(member["member_id"] for member in row["members"])): row["leader"]
        for row in generation_rows(log_set)
    }
    written = {
        (record["key"]["group"], record["value"]["generation"], frozenset(
            member["memberId"] for member in record["value"]["members"]
        ))
        for record in records(log_set)
        if record.get("key_type") == 2 and record["value"] is not None
    }  # fmt: skip
    told = [
        act for act in acts(log_set)
        if act.what == "generation" and (act.group, act.generation, act.members) in written
    ]  # fmt: skip
    assert told or not any(act.what == "generation" for act in acts(log_set))
    keys = [(act.group or "", act.generation, act.members) for act in told]
    assert [key for key in keys if key not in rows] == []
    # A static member that restarts as the leader is the leader under its new id.
    assert [key for key, act in zip(keys, told, strict=True) if act.leader and rows[key] not in act.members] == []


@pytest.mark.parametrize("log_set", JOURNALLED, ids=set_id)
def test_assignments_are_those_of_the_journal(log_set: LogSet) -> None:
    """What members say they were given is given to them in the generation that they name."""
    names = topic_names(log_set)
    given: dict[tuple[str, int, str], set[str]] = defaultdict(set)
    for row in generation_rows(log_set):
        for member in row["members"]:
            both = named(member["assignment"], names) | named(member["target"], names)
            given[row["group"], row["generation"], member["member_id"]] |= both
    told = [act for act in acts(log_set) if act.what == "assigned" and act.partitions]
    known = [act for act in told if act.member in recorded(log_set)[act.group or ""]]
    if "compacted" in log_set.folder.name:
        known = [act for act in known if (act.group, act.generation, act.member) in given]
    gone = {record["topic"] for record in log_set.journal if record.get("action") == "topic-delete"}  # ids without name
    wrong = []
    for act in known:
        partitions = {name for name in act.partitions if name.rpartition("-")[0] not in gone}
        if not partitions <= given[act.group or "", act.generation or 0, act.member or ""]:
            wrong.append(act)
    assert wrong == []


@pytest.mark.parametrize("log_set", JOURNALLED, ids=set_id)
def test_members_come_and_go_as_in_the_journal(log_set: LogSet) -> None:
    """Every member in the records joined or took a static member's place; those that left are gone."""
    rows, written = generation_rows(log_set), recorded(log_set)
    came: dict[str, Counter[str]] = defaultdict(Counter)
    went: dict[str, set[str]] = defaultdict(set)
    replaced = set()
    for row in rows:
        came[row["group"]].update(row["joined"])
        came[row["group"]].update(item["member_id"] for item in row["replaced"])
        went[row["group"]] |= {member["member_id"] for member in row["left"]}
        went[row["group"]] |= {item["old_member_id"] for item in row["replaced"]}
        replaced |= {(row["group"], item["old_member_id"], item["member_id"]) for item in row["replaced"]}
    listed = {(row["group"], member["member_id"]) for row in rows for member in row["members"]}
    assert [pair for pair in listed if pair[1] not in came[pair[0]]] == []
    known = [act for act in acts(log_set) if act.member in written[act.group or ""]]
    if "compacted" in log_set.folder.name:
        return
    ends = {row["group"]: {member["member_id"] for member in row["members"]} for row in rows}
    left = [act for act in known if act.what == "left"]
    assert [act for act in left if act.member not in went[act.group or ""] | ends[act.group or ""]] == []
    restarts = [act for act in known if act.what == "static_restart" and act.was in written[act.group or ""]]
    assert [act for act in restarts if (act.group, act.was, act.member) not in replaced] == []


@pytest.mark.parametrize("log_set", JOURNALLED, ids=set_id)
def test_owners_are_the_members_that_committed(log_set: LogSet, capsys: pytest.CaptureFixture[str]) -> None:
    """Clients note member id and generation with each commit; the log has neither, and the group's records tell them.

    Only commits that no other member made alike are compared. A commit on its way while the group moves on is told
    in the generation behind it, so a few differ; those of clients that commit what they do not own are left out.
    """
    made: dict[tuple[Any, ...], list[tuple[int, int, str]]] = defaultdict(list)
    for row in log_set.journal:
        if "member_id" in row and row.get("result") == "ok" and "offset" in row:
            content = _content({**row, "metadata": row["metadata"] or ""})
            made[content].append((row["ts"], row["generation"], row["member_id"]))
    if not made or "compacted" in log_set.folder.name:
        return
    right = wrong = 0
    request = a_request(log_set.log, row_types=("offset_commit",), columns=RowOptions(with_generation=True))
    for chunk in decode(request):
        for row in rows_of(chunk.batches["offset_commit"], chunk.batches["offset_commit"].schema.names):
            assert (row["owner"] is None) == (row["no_owner_reason"] is not None)
            alike = made.get(_content(row), [])
            by = {(generation, member) for time, generation, member in alike if abs(time - row["log_timestamp"]) < 1000}
            if len(by) == 1 and "" not in {member for _, member in by}:
                owner = (row["owner"] or {}).get("member_id")
                right += (row["generation"], owner) in by
                wrong += (row["generation"], owner) not in by
    with capsys.disabled():
        print(f"\\n{log_set.folder.name}: owner and generation right for {right} of {right + wrong}", end="")
    assert wrong <= 0.02 * (right + wrong)


def _content(row: Row) -> tuple[Any, ...]:
    return tuple(row[name] for name in ("group", "topic", "partition", "offset", "leader_epoch", "metadata"))


def test_a_summary_counts_what_the_rows_tell() -> None:
    log_set = LogSet(ALL_GROUPS.parent)
    rows = generation_rows(log_set)
    (chunk,) = generations(a_request(log_set.log), summary=True)
    summaries = {row["group"]: row for row in chunk.batches["generation_summary"].to_pylist()}
    assert summaries.keys() == {row["group"] for row in rows}
    for name, summary in summaries.items():
        mine = [row for row in rows if row["group"] == name]
        assert summary["joins"] == sum(len(row["joined"]) for row in mine)
        assert summary["leaves"] == sum(len(row["left"]) for row in mine)
        assert summary["replacements"] == sum(len(row["replaced"]) for row in mine)
        assert summary["state"] == mine[-1]["state"]
        assert summary["first_generation"] == next(row["generation"] for row in mine if row["generation"] is not None)


def run(*arguments: str) -> list[str]:
    """The lines that the command prints; nothing on stderr, status 0."""
    done = subprocess.run([sys.executable, "-m", "offdecode", *arguments], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout.decode("utf-8").split("\n")[:-1]


def lines(*arguments: str) -> list[Row]:
    return [json.loads(line) for line in run(*arguments)]


@pytest.mark.parametrize(("command", "kind"), [
    (["generations"], "generation"), (["generations", "--summary"], "generation_summary"), (["explain"], "movement"),
])  # fmt: skip
def test_json_and_parquet_hold_the_same_and_fit_the_schema(command: list[str], kind: str, tmp_path: Path) -> None:
    import jsonschema
    import pyarrow.parquet as pq

    from offdecode.schemas.describe import json_schema

    rows = lines(*command, str(ALL_GROUPS))
    validator = jsonschema.Draft202012Validator(json_schema([kind]))
    for row in rows:
        validator.validate(row)
    assert lines(*command, str(ALL_GROUPS), "-o", str(tmp_path / "rows.parquet")) == []
    table = pq.read_table(tmp_path / "rows.parquet")
    stored = [row for batch in table.to_batches() for row in rows_of(batch, batch.schema.names)]
    optional = {column.name for column in row_type(kind).columns if column.optional}
    shown = [{name: at for name, at in row.items() if at is not None or name not in optional} for row in stored]
    assert shown == rows
    assert {row["type"] for row in rows} == {kind}  # nothing of this log is hidden


def test_since_and_topics_choose_among_the_rows_of_a_whole_reading() -> None:
    every = lines("explain", str(ALL_GROUPS))
    since = sorted(row["last_log_timestamp"] for row in every)[len(every) // 2]
    chosen = lines("explain", str(ALL_GROUPS), "--topic", "orders", "--partition", "1", "--since", str(since))
    wanted = [row for row in every if (row["topic"], row["partition"]) == ("orders", 1)]
    assert chosen == [row for row in wanted if row["last_log_timestamp"] >= since] != []
    told = lines("generations", str(ALL_GROUPS), "--since", str(since))
    assert told == [row for row in lines("generations", str(ALL_GROUPS)) if row["log_timestamp"] >= since] != []


def test_generations_are_added_to_the_rows_that_decode_gives() -> None:
    options = ["--topic", "orders", "--since", "2026-11-23T08:27:00Z", "--from-offset", "700"]
    plain = lines("decode", str(ALL_GROUPS), *options, "--jobs", "1")
    joined = lines("decode", str(ALL_GROUPS), *options, "--with-generation")
    added = {"generation", "owner", "no_owner_reason"}
    commits = [row for row in joined if row["type"] == "offset_commit"]
    assert commits
    assert all(added <= row.keys() for row in commits)
    bare = [
        {name: value for name, value in row.items() if name not in added} if row["type"] == "offset_commit" else row
        for row in joined
    ]
    assert bare == plain


@pytest.mark.parametrize("command", ["generations", "explain"])
def test_text_has_a_line_for_every_row(command: str) -> None:
    shown = run(command, str(ALL_GROUPS), "--format", "text")
    rows = lines(command, str(ALL_GROUPS))
    times = [line for line in shown if "  2026-11-23T08:" in line or line.startswith("2026-11-23T08:")]
    assert len(times) == len(rows)
    assert all(line.isprintable() for line in shown)


def test_a_topic_is_a_topic_with_generations_too() -> None:
    """Markers pass filters of keys; a record without a key is no marker."""
    log = FIXTURES.parent / "cases" / "nullkey"
    offsets = []
    for with_owner in (False, True):
        request = a_request(log, topics=["orders"], columns=RowOptions(with_generation=with_owner))
        batches = [batch for chunk in decode(request, lambda problem: None) for _, batch in chunk]
        offsets.append([offset for batch in batches for offset in batch.column("log_offset").to_pylist()])
    assert offsets[0] == offsets[1]
    assert len(offsets[0]) == 12
