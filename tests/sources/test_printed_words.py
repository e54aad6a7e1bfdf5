"""What Kafka's tools before 4.0 put into words gives the rows of the segments, null where they do not tell."""

from __future__ import annotations

import gzip
import json
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import offdecode
from tests.kafka_jars import classpath, require_java, run_java
from tests.truth import FIXTURES, LogSet, Row, log_sets, set_id

PRINTED = FIXTURES.parent / "printed"
CLASSIC = FIXTURES / "kafka-3.9.1-classic"
FIRST_SEGMENT = CLASSIC / "log" / "__consumer_offsets-0" / "00000000000000000000.log"
OFFSETS, GROUPS = PRINTED / "console-offsets-3.8.1.txt", PRINTED / "console-groups-3.8.1.txt"
DUMPS = [PRINTED / f"dump-log-{release}.txt" for release in ("2.8.2", "3.7.2")]
JAVA = Path(__file__).parent.parent / "java" / "PrintRecords.java"
FORMATTERS = [
    f"kafka.coordinator.group.GroupMetadataManager${name}"
    for name in ("OffsetsMessageFormatter", "GroupMetadataMessageFormatter")
]
UNTOLD = {"key_type", "value_version", "topic_id", "invalid_text", "headers"}
PLACE = {"log_partition", "log_offset", "log_timestamp", "producer_id", "transaction"}
GROUP, NEW = 2, "0004"  # a key type, and a version of an offset that 3.7 does not know
# Of the fixtures those that 3.7 can read all of; of further sets all.
OLDER_SETS = [
    one for one in log_sets() if not (one.folder.parent == FIXTURES and one.folder.name.startswith("kafka-4."))
]
Forget = Callable[[Row], Row]


def rows_of(path: Path | list[Path], **options: Any) -> tuple[list[Row], list[offdecode.Problem]]:
    problems: list[offdecode.Problem] = []
    return list(offdecode.decode(path, on_problem=problems.append, **options).rows()), problems


def console(row: Row) -> Row:
    """A segment's row as far as the console consumer tells it."""
    told = {name: None if name in UNTOLD | PLACE else value for name, value in row.items()}
    told["producer_id"] = -1
    if row["type"] == "group_metadata":
        told["key_type"] = row["key_type"]
        told["protocol_type"] = row["protocol_type"] or None
        told["protocol"] = told["leader"] = told["current_state_timestamp"] = None
        told["members"] = row["members"] and [
            {
                **member,
                "subscription": None,
                "assignment": None,
                # A record of version 0 has none; the tool prints the session timeout.
                "rebalance_timeout": member["session_timeout"]
                if member["rebalance_timeout"] is None
                else member["rebalance_timeout"],
            }
            for member in row["members"]
        ]
    else:
        told["leader_epoch"] = None if row["leader_epoch"] == -1 else row["leader_epoch"]
        told["expire_timestamp"] = None if row["expire_timestamp"] == -1 else row["expire_timestamp"]
    return told


def dumped(row: Row) -> Row:
    """A segment's row as far as a dump tells it."""
    if row["type"] == "transaction_marker":
        return {**row, "headers": None}
    told = {name: None if name in UNTOLD else value for name, value in row.items()}
    if row["type"] == "group_metadata":
        told["key_type"] = row["key_type"]
        told["leader"] = told["current_state_timestamp"] = None
        told["members"] = row["members"] and [_dumped_member(member) for member in row["members"]]
    else:
        told["leader_epoch"] = told["commit_timestamp"] = told["expire_timestamp"] = None
    return told


def _dumped_member(member: Row) -> Row:
    assignment = member["assignment"]
    if assignment is not None and assignment.get("hex") is None:
        assignment = {**assignment, "version": None, "user_data": None, "user_data_decoded": None}
    else:
        assignment = None
    return {**dict.fromkeys(member), "member_id": member["member_id"], "assignment": assignment}


def text(row: Row) -> str:
    """A row to compare: members and topics in any order, for the tools print them from maps."""
    members = row.get("members")
    for member in members or ():
        assigned = (member["assignment"] or {}).get("assigned_partitions")
        if assigned is not None:
            every = sorted((one["topic"], number) for one in assigned for number in one["partitions"])
            member["assignment"]["assigned_partitions"] = every
    if members is not None:
        row = {**row, "members": sorted(members, key=lambda member: str(member["member_id"]))}
    return json.dumps(row, sort_keys=True, default=str)


def same(found: list[Row], wanted: list[Row], forget: Forget) -> None:
    assert Counter(map(text, found)) == Counter(text(forget(row)) for row in wanted)


def segment_rows(kind: str) -> list[Row]:
    return [row for row in rows_of(CLASSIC / "log", log_partitions=(0,))[0] if row["type"] == kind]


def test_the_console_consumer_tells_offsets_and_times() -> None:
    rows, problems = rows_of(OFFSETS)
    assert problems == []
    same(rows, segment_rows("offset_commit")[: len(rows)], console)
    assert len(rows) == 146  # in 150 lines
    assert {row["leader_epoch"] for row in rows} > {None, 0}


def test_the_console_consumer_tells_groups_and_members() -> None:
    rows, problems = rows_of(GROUPS)
    assert problems == []
    same(rows, segment_rows("group_metadata")[: len(rows)], console)
    assert any(row["members"] for row in rows)


@pytest.mark.parametrize("dump", DUMPS, ids=lambda path: path.stem)
def test_a_dump_tells_places_offsets_and_assignments(dump: Path) -> None:
    rows, problems = rows_of(dump)
    assert problems == []
    wanted, _ = rows_of(FIRST_SEGMENT)
    same(rows, wanted, dumped)
    assert [row["log_offset"] for row in rows] == [row["log_offset"] for row in wanted]


def test_bytes_of_the_log_are_not_made_up() -> None:
    for path in (OFFSETS, GROUPS, *DUMPS):
        assert {(row["key_hex"], row["value_hex"]) for row in rows_of(path, raw=True)[0]} == {(None, None)}


def test_questions_take_them() -> None:
    """State, generations and movements, as far as what they rest on is told."""
    quiet: dict[str, Any] = {"on_problem": lambda problem: None}

    def told(answer: offdecode.Answer, *names: str) -> list[tuple[Any, ...]]:
        return [tuple(row.get(name) for name in names) for row in answer.rows() if row["type"] != "hidden_range"]

    for dump in DUMPS:
        for ask, names in (
            (partial(offdecode.state, types=("committed_offset",)), "group topic partition offset metadata"),
            (offdecode.generations, "group generation protocol"),
            (offdecode.explain, "group topic partition kind before after"),
        ):
            ours, theirs = (told(ask(one, **quiet), *names.split()) for one in (dump, FIRST_SEGMENT))
            assert ours == theirs
            assert ours
    for path in (OFFSETS, GROUPS):
        assert list(offdecode.groups(path, **quiet).rows())
        assert offdecode.report(path, **quiet).html


def commit_line(
    group: str = "g", partition: object = 0, offset: object = 5, epoch: str = ".empty", metadata: str = ""
) -> str:
    told = f"offset={offset}, leaderEpoch=Optional{epoch}, metadata={metadata}, commitTimestamp=9, expireTimestamp=None"
    return f"[{group},t,{partition}]::OffsetAndMetadata({told})\n"


DUMPING = "Dumping /data/__consumer_offsets-7/00000000000000000000.log\n"
RECORD = "| offset: 3 CreateTime: 9 keySize: 1 valueSize: 3 sequence: 0 headerKeys: [] "
HOSTILE = [
    "a\nb", "a\n\nb\n", "]::NULL", ",t,1]::NULL", "x), commitTimestamp=1", "[g,t,0]", "NO_METADATA",
    " payload: <DELETE>",
    "| offset 7", "a,b,c", "::", '}{"key":', "é\N{RIGHT-TO-LEFT OVERRIDE}", "expireTimestamp=None)",
]  # fmt: skip


@pytest.mark.parametrize("hostile", HOSTILE)
def test_texts_that_look_like_parts_of_a_line(hostile: str, tmp_path: Path) -> None:
    """As metadata of an offset, between two others, in all forms."""
    path = tmp_path / "printed"
    new = commit_line(partition="{}", offset=7, epoch="[2]", metadata="{}")
    old = "[g,t,{}]::[OffsetMetadata[7,{}],CommitTime 9,ExpirationTime 11]\n"
    for form in (new, old):
        path.write_text("".join(form.format(number, part) for number, part in enumerate(("x", hostile, "y"))), "utf-8")
        rows, problems = rows_of(path)
        assert problems == []
        empty = form is old and hostile == "NO_METADATA"
        assert [row["metadata"] for row in rows] == ["x", "" if empty else hostile, "y"]
        assert [row["offset"] for row in rows] == [7] * 3
        assert {row["expire_timestamp"] and int(row["expire_timestamp"]) for row in rows} == {
            None if form is new else 11
        }
    head = f"{DUMPING}Log starting offset: 0\n"
    line = "| offset: {} CreateTime: 9 keySize: 1 valueSize: {} sequence: 0 headerKeys: [] "
    content = "key: offset_commit::group=g,partition=t-0 payload: offset=7,metadata={}\n"
    for fixed in (20, 24, 28):
        parts = [
            line.format(number, len(part.encode()) + fixed) + content.format(part)
            for number, part in enumerate(("x", hostile, "y"))
        ]
        path.write_text(head + "".join(parts) + "a line of something else\n", "utf-8")
        rows, problems = rows_of(path)
        assert [row["metadata"] for row in rows] == ["x", hostile, "y"]
        assert problems == []


def test_names_of_groups_with_several_lines(tmp_path: Path) -> None:
    path = tmp_path / "printed"
    commit = commit_line("a\nb")
    path.write_text(commit.replace("a\nb", "c") + commit + commit.replace("a\nb", "d"))
    rows, problems = rows_of(path)
    assert ([row["group"] for row in rows], problems) == (["c", "a\nb", "d"], [])
    content = "key: offset_commit::group={},partition=t-1 payload: offset=7,metadata={}\n"
    path.write_text(DUMPING + "".join(f"{RECORD.replace('valueSize: 3', 'valueSize: 23')}{content.format(*names)}"
                                      for names in (("c", "x"), ("a\nb", "x\ny"), ("d", ""))))  # fmt: skip
    rows, problems = rows_of(path)
    assert [(row["group"], row["metadata"]) for row in rows] == [("c", "x"), ("a\nb", "x\ny"), ("d", "")]
    assert problems == []
    # Of the other form only the last line of a name is at the front: the name inside counts, the rest is no record.
    group = "{}::GroupMetadata(groupId={}, generation=4, protocolType=None, currentState=Empty, members=Map())\n"
    path.write_text(group.format("c", "c") + group.format("a\nb", "a\nb"))
    rows, problems = rows_of(path)
    assert [row["group"] for row in rows] == ["c", "a\nb"]
    assert [(problem.kind, problem.length) for problem in problems] == [("bad_export_line", 1)]
    path.write_text("c::NULL\na\nb::NULL\nd::NULL\n")
    rows, problems = rows_of(path)
    assert [row["group"] for row in rows] == ["c", "d"]
    assert [(problem.kind, problem.length) for problem in problems] == [("bad_export_line", 1), ("bad_export_line", 7)]


@pytest.mark.parametrize("line", [
    commit_line(offset="x").rstrip(),
    "[g,t,4294967295]::NULL",
    commit_line(offset=99999999999999999999).rstrip(),
    commit_line(offset=9999999999999999999).rstrip(),
    "[2024-01-01 10:00:00,123] WARN something (kafka.Foo)",
    "g::GroupMetadata(groupId=h, generation=4, protocolType=None, currentState=Empty, members=Map())",
    "g::GroupMetadata(groupId=g, generation=4, protocolType=None, currentState=Empty, "
    "members=Map(m -> MemberMetadata(memberId=m, x)))",
    "Processed a total of 3 messages",
])  # fmt: skip
def test_a_line_that_is_no_record_costs_nothing_else(line: str, tmp_path: Path) -> None:
    good = commit_line()
    path = tmp_path / "printed"
    path.write_text(good + line + "\n" + good.replace("offset=5", "offset=6"))
    rows, problems = rows_of(path)
    assert [row["offset"] for row in rows] == [5, 6]
    assert [(problem.kind, problem.position, problem.length) for problem in problems] == [
        ("bad_export_line", len(good), len(line))
    ]


def test_a_dump_of_what_the_tool_did_not_know(tmp_path: Path) -> None:
    path = tmp_path / "printed"
    line = f"{RECORD}key: "
    bad = ["unknown::version=5", "offset_commit::group=g", "group_metadata::group=g payload: {}", "??"]
    path.write_text(DUMPING + "".join(f"{line}{one}\n" for one in bad)
                    + f"{line}offset_commit::group=g,partition=t-1 payload: offset=5\n")  # fmt: skip
    rows, problems = rows_of(path)
    assert [row["offset"] for row in rows] == [5]
    assert [problem.kind for problem in problems] == ["bad_export_line"] * len(bad)
    assert "type 5" in problems[0].message


def test_assignments_with_user_data_and_of_other_protocols(tmp_path: Path) -> None:
    path = tmp_path / "printed"
    line = f"{RECORD}key: group_metadata::group=g payload: "
    told = [
        ("consumer", "{m=[t-0, t-1, a-b-2]:A0FF,n=[],o=[u-3]}"),
        ("connect", "{w-1=A0A0A,w-2=}"),
    ]
    texts = [
        json.dumps({"protocolType": kind, "protocol": "p", "generationId": 4, "assignment": assignment})
        for kind, assignment in told
    ]
    path.write_text(DUMPING + "".join(f"{line}{one}\n" for one in texts))
    (consumers, workers), problems = rows_of(path)
    assert problems == []
    assigned = [member["assignment"]["assigned_partitions"] for member in consumers["members"]]
    assert [[(one["topic"], one["partitions"]) for one in member] for member in assigned] == [
        [("t", [0, 1]), ("a-b", [2])], [], [("u", [3])],
    ]  # fmt: skip
    assert [member["member_id"] for member in workers["members"]] == ["w-1", "w-2"]
    assert all(member["assignment"] is None for member in workers["members"])


def test_they_are_told_by_their_content(tmp_path: Path) -> None:
    for path in (OFFSETS, GROUPS, *DUMPS):
        packed = tmp_path / f"{path.name}.gz"
        packed.write_bytes(gzip.compress(path.read_bytes()))
        assert rows_of(packed) == rows_of(path)


def test_no_text_takes_long(tmp_path: Path) -> None:
    """Parts that are begun again and again, each of which could be the one."""
    path = tmp_path / "printed"
    dump = f"{DUMPING}{RECORD}key: "
    commit, many = commit_line().rstrip(), 20_000
    head, told = "g::GroupMetadata(groupId=g", ", generation=1, protocolType=Some(c), currentState=S, members=Map("
    json_head = '{"protocolType":"consumer","protocol":"","generationId":1,"assignment":"{'
    texts = [
        "[g" + ",t,1]::OffsetAndMetadata(" * many + "]",
        "[g" + ",t,1]::[OffsetMetadata[" * many + ")",
        commit[:-40] + ", commitTimestamp=1, expireTimestamp=Some(" * many,
        "[" + "a," * many,
        "[" + "a" * 9 * many,
        "g" + "::GroupMetadata(groupId=" * many,
        head + ", generation=1, protocolType=Some(" * many,
        head + told * many,
        head + told + "m -> MemberMetadata(memberId=m, clientId=" * many + "))",
        head + told + " -> MemberMetadata(memberId=" + ", groupInstanceId=Some(, clientId=, clientHost=" * many + "))",
        dump + "offset_commit::group=" + ",partition=a-1 payload: " * many,
        dump + "offset_commit::group=,partition=" + "-1" * many,
        dump + "group_metadata::group=g" + " payload: {" * many,
        dump + "group_metadata::group=g payload: " + json_head + "m=[a-1" * many + '}"}',
        '{"topic":"' + "\\\\" * many + '","payload":"\\',
        "{" + '"key":{' * many,
    ]
    for text in texts:
        path.write_text(text + "\n")
        began = time.monotonic()
        rows, problems = rows_of(path, input_format="records-jsonl")
        assert (rows, {problem.kind for problem in problems}) == ([], {"bad_export_line"}), text[:100]
        assert time.monotonic() - began < 5, text[:100]


def test_lines_that_end_as_on_windows(tmp_path: Path) -> None:
    for path in (OFFSETS, GROUPS, *DUMPS):
        saved = tmp_path / path.name
        saved.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
        assert rows_of(saved)[0] == rows_of(path)[0]
        assert rows_of(saved)[1] == []


def test_lines_that_never_end_take_no_time(tmp_path: Path) -> None:
    path = tmp_path / "printed"
    start = "[g,t,0]::OffsetAndMetadata(offset=5, leaderEpoch=Optional.empty, metadata="
    path.write_text((start + "x\n" * 50 + "\n") * 2000 + "[\n" * 20_000 + "{\n" * 20_000)
    began = time.monotonic()
    rows, problems = rows_of(path, input_format="records-jsonl")
    assert rows == []
    assert problems
    assert time.monotonic() - began < 20


@pytest.mark.slow
@pytest.mark.broker
@pytest.mark.parametrize("log_set", OLDER_SETS, ids=set_id)
def test_every_record_that_older_tools_print(log_set: LogSet, tmp_path: Path) -> None:
    """The formatters of 3.7.2 and its dump, of what that release can read."""
    require_java()
    path = classpath("org.apache.kafka:kafka_2.13:3.7.2", "org.slf4j:slf4j-simple:1.7.36")
    records = [one for one in log_set.records if not one.get("control") and one["key_type"] in (0, 1, 2)]
    records = [
        one for one in records if one["key_type"] == GROUP or one["value_hex"] is None or one["value_hex"][:4] != NEW
    ]
    printed = tmp_path / "printed"
    pairs = "".join(f"{one['key_hex']} {one['value_hex'] or '-'}\n" for one in records)
    printed.write_bytes(run_java(JAVA, path, *FORMATTERS, stdin=pairs).encode())
    rows, problems = rows_of(printed)
    places = {(one["log_partition"], one["log_offset"]) for one in records}
    wanted = [row for row in rows_of(log_set.log)[0] if (row["log_partition"], row["log_offset"]) in places]
    if any("\n" in row["group"] for row in wanted):  # of such a group's end only a part is on the line
        wanted = [row for row in wanted if "\n" not in row["group"] or row["type"] != "group_metadata"]
        rows = [row for row in rows if "\n" not in row["group"] or row["type"] != "group_metadata"]
    else:
        assert problems == []
    same(rows, wanted, console)
    for segment in sorted(log_set.log.glob("*-*/*.log")):
        dump = ["java", "-cp", path, "kafka.tools.DumpLogSegments", "--offsets-decoder", "--print-data-log"]
        done = subprocess.run([*dump, "--files", str(segment)], capture_output=True, check=False)
        printed.write_bytes(done.stdout)
        rows, _ = rows_of(printed)
        known = {row["log_offset"] for row in rows}
        partition = int(segment.parent.name.rpartition("-")[2])
        wanted = [row for row in rows_of(segment, as_log_partition=partition)[0] if row["log_offset"] in known]
        same(rows, wanted, dumped)
        if done.returncode == 0 and not log_set.folder.name.startswith("kafka-4."):
            assert len(rows) == len(rows_of(segment)[0])


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("line", ["[g,orders,3]::NULL", "g::NULL"])
def test_a_file_that_begins_with_a_tombstone(line: str, end: str, tmp_path: Path) -> None:
    file = tmp_path / "printed.txt"
    file.write_bytes(f"{line}{end}{line}{end}".encode())
    rows = list(offdecode.decode(file).rows())
    assert [(row["group"], row["tombstone"]) for row in rows] == [("g", True)] * 2
