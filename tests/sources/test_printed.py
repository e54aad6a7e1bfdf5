"""What Kafka's own tools print of the offsets topic gives the rows of its segments, as far as it tells them."""

from __future__ import annotations

import gzip
import json
import subprocess
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import offdecode
from offdecode.sources import exported
from tests.bench.peers import dump_command
from tests.command import run, shell
from tests.kafka_jars import classpath, require_java, run_java
from tests.segment_builder import batch, commit
from tests.truth import FIXTURES, LogSet, Row, log_sets, set_id

PRINTED = FIXTURES.parent / "printed"
CONSOLE, DUMP = PRINTED / "console-consumer-4.3.1.json", PRINTED / "dump-log-4.1.1.txt"
CLASSIC, TRANSACTIONS = FIXTURES / "kafka-3.9.1-classic", FIXTURES / "kafka-4.4.0-transactions-tv1"
JAVA = Path(__file__).parent.parent / "java" / "PrintRecords.java"
TOOLS = ("org.apache.kafka:kafka-tools:4.3.1", "org.apache.kafka:kafka_2.13:4.3.1", "org.slf4j:slf4j-simple:1.7.36")
FORMATTERS = [
    f"org.apache.kafka.tools.consumer.{name}" for name in ("OffsetsMessageFormatter", "GroupMetadataMessageFormatter")
]
NOT_TOLD = ("headers", "unknown_tagged_fields")


def rows_of(path: Path, **options: Any) -> tuple[list[Row], list[offdecode.Problem]]:
    problems: list[offdecode.Problem] = []
    return list(offdecode.decode(path, on_problem=problems.append, **options).rows()), problems


def told(row: Row, *, versions: bool = True) -> str:
    """A row without what a dump does not tell. versions: of assignments too."""
    shown = {name: value for name, value in row.items() if name not in NOT_TOLD}
    if not versions:
        for member in shown.get("members") or ():
            if member.get("assignment"):
                member["assignment"]["version"] = None
    return json.dumps(shown, sort_keys=True, default=str)


def pairs(rows: list[Row]) -> list[tuple[str, str | None]]:
    return [(row["key_hex"], row["value_hex"]) for row in rows]


def test_a_console_consumers_objects_without_newlines() -> None:
    rows, problems = rows_of(CONSOLE, raw=True)
    records = [one for one in LogSet(CLASSIC).records if one["log_partition"] == 0 and not one.get("control")][:150]
    assert Counter(pairs(rows)) == Counter((one["key_hex"], one["value_hex"]) for one in records)
    assert problems == []
    assert {row["log_offset"] for row in rows} == {row["log_partition"] for row in rows} == {None}
    assert b"\n" not in CONSOLE.read_bytes()


def test_a_dump_tells_partition_offset_time_and_markers() -> None:
    rows, problems = rows_of(DUMP)
    segment = TRANSACTIONS / "log" / "__consumer_offsets-3"
    wanted, _ = rows_of(segment)
    assert [told(row) for row in rows] == [told(row, versions=False) for row in wanted]
    assert {row["type"] for row in rows} >= {"transaction_marker", "offset_commit"}
    assert problems == []


def sections(count: int) -> list[str]:
    """The dump as if the log had been in so many segments."""
    head, *lines = DUMP.read_text("utf-8").splitlines(keepends=True)
    starts = [number for number, line in enumerate(lines) if line.startswith("baseOffset: ")]
    cuts = [0, *(starts[len(starts) * part // count] for part in range(1, count)), len(lines)]
    return [head + "".join(lines[first:end]) for first, end in pairwise(cuts)]


def test_transactions_are_decided_across_dumped_segments(tmp_path: Path) -> None:
    parts = sections(7)
    paths = [tmp_path / f"{number}.txt" for number in range(len(parts))]
    for path, part in zip(paths, parts, strict=True):
        path.write_text(part, "utf-8")
    (tmp_path / "all.txt").write_text("".join(parts), "utf-8")
    whole = [told(row) for row in rows_of(DUMP)[0]]
    assert [told(row) for row in rows_of(tmp_path / "all.txt")[0]] == whole
    several = offdecode.decode(paths[::-1], on_problem=lambda problem: None).rows()
    assert sorted(told(row) for row in several) == sorted(whole)


def test_a_dumped_segment_that_is_missing_makes_transactions_unknown(tmp_path: Path) -> None:
    parts = sections(7)
    (tmp_path / "some.txt").write_text("".join(parts[:3] + parts[4:]), "utf-8")
    whole = {row["log_offset"]: row["transaction"] for row in rows_of(DUMP)[0]}
    found = {row["log_offset"]: row["transaction"] for row in rows_of(tmp_path / "some.txt")[0]}
    changed = {offset for offset, status in found.items() if status != whole[offset]}
    missing = min(whole.keys() - found.keys())
    assert {found[offset] for offset in changed} <= {"unknown"}
    assert all(offset < missing for offset in changed)
    # Whatever was open where the missing segment began could have been ended in it.
    before = [row for row in rows_of(DUMP)[0] if row["log_offset"] < missing]
    ended = {(row["producer_id"], row["log_offset"]) for row in before if row["type"] == "transaction_marker"}
    for row in before:
        if row["transaction"] is not None:
            decided = any(who == row["producer_id"] and at > row["log_offset"] for who, at in ended)
            assert found[row["log_offset"]] == (row["transaction"] if decided else "unknown")


def test_a_compressed_dump_decides_its_transactions(tmp_path: Path) -> None:
    """Told by what is in it, wherever it lies; only its name does not tell that it is a dump."""
    (tmp_path / "dump.txt.gz").write_bytes(gzip.compress(DUMP.read_bytes()))
    rows, _ = rows_of(tmp_path / "dump.txt.gz", input_format="records-jsonl")
    assert [told(row) for row in rows] == [told(row) for row in rows_of(DUMP)[0]]


def test_exports_that_are_no_dumps_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read = 0
    plain = exported.iter_lines

    def counting(path: Path, seam: bytes) -> Iterator[tuple[int, list[bytes]]]:
        nonlocal read
        for position, lines in plain(path, seam):
            read += sum(map(len, lines))
            yield position, lines

    monkeypatch.setattr("offdecode.evidence.iter_lines", counting)
    monkeypatch.setattr(exported, "_READ_BYTES", 1000)
    size = CONSOLE.stat().st_size
    rows_of(CONSOLE)
    assert size <= read <= size + 2000
    read = 0
    rows_of(DUMP)
    assert read > 1.9 * DUMP.stat().st_size


def test_of_a_stream_transactions_are_unknown() -> None:
    done = shell(f'"$@" < {DUMP}', "decode", "--input-format", "records-jsonl", "-")
    assert {row["transaction"] for row in done.rows if row["type"] == "offset_commit"} == {None, "unknown"}


def test_every_command_takes_them() -> None:
    for command in ("state", "generations", "explain", "groups", "transactions"):
        assert run(command, DUMP).status == 0
    assert {row["offset"] for row in run("state", "--type", "committed_offset", CONSOLE).rows}


@pytest.mark.parametrize("piece", [64, 1000, 47_000])
def test_objects_are_found_however_the_file_is_read(piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    at_once, _ = rows_of(CONSOLE, raw=True)
    monkeypatch.setattr(exported, "_READ_BYTES", piece)
    rows, problems = rows_of(CONSOLE, raw=True)
    assert Counter(pairs(rows)) == Counter(pairs(at_once))
    assert (len(rows), problems) == (150, [])


def test_texts_that_look_like_seams(tmp_path: Path) -> None:
    """Group, topic and metadata may hold whatever parts objects, or a key from its payload."""
    names = ['}{"key":', "} payload: <DELETE>", '"}} payload: {', "a\nb", "| offset: 1 "]
    path = tmp_path / "printed"
    objects = [
        {"key": {"type": 1, "data": {"group": one, "topic": one, "partition": 0}},
         "value": {"version": 3, "data": {"offset": 5, "leaderEpoch": -1, "metadata": one, "commitTimestamp": 9}}}
        for one in names
    ]  # fmt: skip
    path.write_text("".join(json.dumps(one, separators=(",", ":")) for one in objects))
    rows, problems = rows_of(path)
    assert [(row["group"], row["metadata"]) for row in rows] == list(zip(names, names, strict=True))
    head = "| offset: 7 CreateTime: 9 keySize: 1 valueSize: 1 sequence: -1 headerKeys: [] "
    lines = [f"{head}key: {json.dumps(one['key'])} payload: {json.dumps(one['value'])}" for one in objects]
    path.write_text("\n".join(["Dumping /data/__consumer_offsets-7/00000000000000000000.log", *lines]))
    rows, more = rows_of(path)
    assert [(row["log_partition"], row["group"], row["metadata"]) for row in rows] == [(7, one, one) for one in names]
    assert problems == more == []


def test_what_is_not_printed_so_is_a_problem_with_its_place(tmp_path: Path) -> None:
    good = CONSOLE.read_bytes()[: CONSOLE.read_bytes().index(b'}{"key":') + 1]
    path = tmp_path / "printed"
    bad = [
        b'{"key":{"type":99,"data":{}},"value":null}', b'{"key":{"type":1,"data":{"group":7}},"value":null}',
        b'{"key":{"type":1,"data":{"group":"g","topic":"t","partition":0}},"value":{"version":77,"data":{}}}',
        b'{"key":{"type":2,"data":{"group":"g"}},"value":"x"}', good[:-9],
    ]  # fmt: skip
    for one in bad:
        path.write_bytes(good + one + good)
        rows, problems = rows_of(path)
        kept = 1 if one == good[:-9] else 2
        assert len(rows) == kept
        assert [(problem.kind, problem.position) for problem in problems] == [("bad_export_line", len(good))]
    dump = DUMP.read_text()
    path.write_text(
        dump.replace('key: {"type":"1"', "key: offset_commit::group=", 1).replace("keySize: 41", "keySize", 1)
    )
    rows, problems = rows_of(path)
    assert len(rows) == len(rows_of(DUMP)[0]) - len(problems)
    assert {problem.kind for problem in problems} == {"bad_export_line"}
    assert all(problem.log_partition == 3 for problem in problems)


@pytest.mark.slow
@pytest.mark.broker
@pytest.mark.parametrize("log_set", log_sets(), ids=set_id)
def test_every_record_that_the_tools_print(log_set: LogSet, tmp_path: Path) -> None:
    """The console formatters of 4.3.1 byte for byte; of the dump of 4.1.1 what that release knows of a record."""
    require_java()
    records = [one for one in log_set.records if not one.get("control") and one["key_type"] in (0, 1, 2)]
    lines = "".join(f"{one['key_hex']} {one['value_hex'] or '-'}\n" for one in records)
    printed = tmp_path / "printed"
    printed.write_text(run_java(JAVA, classpath(*TOOLS), *FORMATTERS, stdin=lines), "utf-8")
    rows, problems = rows_of(printed, raw=True)
    assert Counter(pairs(rows)) == Counter((one["key_hex"], one["value_hex"]) for one in records)
    assert problems == []
    for segment in sorted(log_set.log.glob("*-*/*.log")):
        printed.write_bytes(subprocess.run(dump_command(segment), capture_output=True, check=True).stdout)
        rows, _ = rows_of(printed)
        partition = int(segment.parent.name.rpartition("-")[2])
        wanted, _ = rows_of(segment, as_log_partition=partition)
        ours, theirs = [told(row) for row in rows], [told(row, versions=False) for row in wanted]
        if not log_set.folder.name.startswith("kafka-4."):  # 4.1.1 leaves out fields of 4.2 on, and a type of 4.0
            assert ours == theirs
        commits = [[told(row) for row in some if row["type"] == "offset_commit"] for some in (rows, wanted)]
        assert commits[0] == commits[1]


def test_a_segment_is_not_taken_for_text(tmp_path: Path) -> None:
    path = tmp_path / "00000000000000000000.log"
    path.write_bytes(batch([commit("g")]))
    assert len(rows_of(path)[0]) == 1


def test_exports_among_segments_are_refused() -> None:
    done = run("decode", CLASSIC / "log", CONSOLE)
    assert done.status == 2
    assert done.words == f"offdecode: {CONSOLE}: holds exported records, and other paths hold none: ask of it by itself"
