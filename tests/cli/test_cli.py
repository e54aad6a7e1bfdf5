"""Each option of the command line does what it says, on logs of real brokers, judged by Kafka's own reading."""

from __future__ import annotations

import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import sysconfig
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from jsonschema import Draft202012Validator

import offdecode
from offdecode.cli import COMMANDS, PURPOSES
from offdecode.schemas.rows import all_row_type_names, row_type_names
from tests.command import (
    CLASSIC,
    COMMAND,
    ENVIRONMENT,
    ROOT,
    SECONDS,
    TRANSACTIONS,
    decode,
    places,
    rows_of,
    run,
    shell,
)
from tests.segment_builder import Header, Pair, batch, commit
from tests.truth import FIXTURES, LogSet, Row

SETS = {"transactions": LogSet(TRANSACTIONS), "classic": LogSet(CLASSIC)}
LAST_YEAR = 253_402_300_799_999  # the end of 9999; RFC 3339 cannot say more, the row shows the number
TIMES = ("log_timestamp", "commit_timestamp", "current_state_timestamp", "expire_timestamp")


@cache
def truth(name: str) -> tuple[Row, ...]:
    return tuple(SETS[name].records)


@cache
def lines(name: str) -> bytes:
    """The set, decoded without options."""
    return decode(SETS[name].log).stdout


def wanted(name: str, test: Callable[[Row], bool]) -> list[tuple[int, int]]:
    """Where the records of the truth stand that pass a test."""
    return places([record for record in truth(name) if test(record)])


def is_marker(record: Row) -> bool:
    return record["control"] is not None


def key(record: Row, field: str) -> Any:
    return (record.get("key") or {}).get(field)


# What is read


def test_all_records_are_rows() -> None:
    for name in SETS:
        assert places(rows_of(lines(name))) == places(list(truth(name)))


def test_a_partitions_directory_a_segment_and_several_paths() -> None:
    log = SETS["classic"].log
    of_two = wanted("classic", lambda record: record["log_partition"] == 2)
    assert places(decode(log / "__consumer_offsets-2").rows) == of_two
    segments = sorted((log / "__consumer_offsets-2").iterdir(), reverse=True)
    assert places(decode(*(path for path in segments if path.suffix == ".log")).rows) == of_two
    second = [record for record in truth("classic") if record["log_partition"] == 2 and "129" in record["segment"]]
    assert places(decode(log / "__consumer_offsets-2" / "00000000000000000129.log").rows) == places(second)
    both = decode(log / "__consumer_offsets-2", log / "__consumer_offsets-0", log)
    assert places(both.rows) == places(list(truth("classic"))), "paths that overlap are read once"


def test_segments_under_other_names_are_ordered_by_what_is_in_them(tmp_path: Path) -> None:
    folder = tmp_path / "evidence" / "__consumer_offsets-2"
    folder.mkdir(parents=True)
    for index, path in enumerate(sorted((SETS["classic"].log / "__consumer_offsets-2").glob("*.log"))):
        shutil.copy(path, folder / f"{'zyx'[index]} copy of a segment.log")
    assert decode(tmp_path).stdout == decode(SETS["classic"].log, "--log-partition", "2").stdout


def test_topic_name(tmp_path: Path) -> None:
    shutil.copytree(SETS["classic"].log / "__consumer_offsets-2", tmp_path / "offsets.backup-2")
    assert decode(tmp_path, status=2).words.startswith(f"offdecode: {tmp_path}: no segment")
    assert decode(tmp_path, "--topic-name", "offsets.backup").stdout == decode(
        SETS["classic"].log / "__consumer_offsets-2"
    ).stdout  # fmt: skip


def test_as_log_partition(tmp_path: Path) -> None:
    for path in (SETS["classic"].log / "__consumer_offsets-2").glob("*.log"):
        shutil.copy(path, tmp_path / f"copy-{path.name}")
    without = decode(tmp_path).rows
    assert {row["log_partition"] for row in without} == {None}
    given = decode(tmp_path, "--as-log-partition", "2")
    assert given.stdout == decode(SETS["classic"].log / "__consumer_offsets-2").stdout
    named = SETS["classic"].log / "__consumer_offsets-0"
    assert {row["log_partition"] for row in decode(named, "--as-log-partition", "2").rows} == {0}


# Which rows


@pytest.mark.parametrize("partitions", [[1], [2, 0]], ids=str)
def test_log_partition(partitions: list[int]) -> None:
    options = [word for number in partitions for word in ("--log-partition", str(number))]
    rows = decode(SETS["transactions"].log, *options).rows
    assert places(rows) == wanted("transactions", lambda record: record["log_partition"] in partitions)


@pytest.mark.parametrize("types", [["group_metadata"], ["transaction_marker"], ["offset_commit", "group_metadata"]],
                         ids="+".join)  # fmt: skip
def test_type(types: list[str]) -> None:
    rows = decode(SETS["classic"].log, *(word for name in types for word in ("--type", name))).rows
    assert rows == [row for row in rows_of(lines("classic")) if row["type"] in types]
    assert {row["type"] for row in rows} == set(types)


def test_type_that_does_not_exist() -> None:
    done = decode(SETS["classic"].log, "--type", "offsets", status=2)
    assert done.words.startswith("offdecode: there is no row type 'offsets'; did you mean offset_commit? ")


@pytest.mark.parametrize("groups", [["team:app:0"], ["члены::クループ"], ["new\nline"], [""], ["quote\"'\\back"],
                                    ["trailing space "], ["", "new\nline"], ["no such group"]], ids=repr)  # fmt: skip
def test_group(groups: list[str]) -> None:
    rows = decode(SETS["classic"].log, *(word for group in groups for word in ("--group", group))).rows
    assert places(rows) == wanted("classic", lambda record: is_marker(record) or key(record, "group") in groups)
    assert {row["group"] for row in rows if "group" in row} == set(groups) - {"no such group"}


@pytest.mark.parametrize(("regex", "test"), [
    (r"\.txn$", lambda group: group.endswith(".txn")),
    (r"::", lambda group: "::" in group),
    (r"^$", lambda group: group == ""),
    (r"(?s)new.line", lambda group: group == "new\nline"),
], ids=["end", "middle", "empty", "newline"])  # fmt: skip
def test_group_regex(regex: str, test: Callable[[str], bool]) -> None:
    rows = decode(SETS["classic"].log, "--group-regex", regex).rows
    assert places(rows) == wanted("classic", lambda record: is_marker(record) or test(key(record, "group")))
    assert any("group" in row for row in rows)


def test_group_and_group_regex_together_let_either_pass() -> None:
    rows = decode(SETS["classic"].log, "--group", "", "--group-regex", "::").rows
    groups = {row["group"] for row in rows if "group" in row}
    every = {key(record, "group") for record in truth("classic") if not is_marker(record)}
    assert groups == {group for group in every if group == "" or "::" in group}
    assert "" in groups


@pytest.mark.parametrize(("command", "words"), [
    (["decode", "--group", "team:app:1"], "group team:app:1 is not in the evidence; the nearest: team:app:0"),
    (["explain", "--group", "team:app:1"], "group team:app:1 is not in the evidence; the nearest: team:app:0"),
    (["state", "--topic", "order"], "topic order is not in the evidence; the nearest: orders"),
    (["generations", "--group", "zzzzzzzz"], "group zzzzzzzz is not in the evidence; there are "),
    (["decode", "--partition", "4711"], "partition 4711 is not in the evidence; the nearest: "),
    (["decode", "--type", "streams_group_metadata"], "row type streams_group_metadata is not in the evidence; "),
    (["groups", "--group", "\x1b[2J"], 'group "\\u001b[2J" is not in the evidence; there are '),
], ids=" ".join)  # fmt: skip
def test_names_that_are_not_there_are_said(command: list[str], words: str) -> None:
    done = run(*command, SETS["classic"].log)
    assert done.status == 0
    assert done.words.startswith(f"offdecode: {words}")
    assert done.words.count("\n") == 0


@pytest.mark.parametrize("options", [
    ("--group", "team:app:0"), ("--group", "team:app:0", "--from-offset", "999999"),
    ("--group", "team:app:0", "--type", "transaction_marker"), ("--topic", "orders", "--jobs", "2"),
], ids=" ".join)  # fmt: skip
def test_names_that_are_there_are_not(options: tuple[str, ...]) -> None:
    assert "not in the evidence" not in run("decode", *options, SETS["classic"].log).words


@pytest.mark.parametrize(("command", "words"), [
    (["decode", "--until", "1970-01-01"], "--until 1970-01-01T00:00:00.000Z is before all records here: the first is"),
    (["explain", "--since", "2100-01-01"], "--since 2100-01-01T00:00:00.000Z is after all records here: the last is"),
    (["state", "--as-of", "1795422458"], "--as-of 1970-01-21T18:43:42.458Z is before all records here: the first"),
    (["lag", "--as-of", "2020-01-01", "--jobs", "2"], "--as-of 2020-01-01T00:00:00.000Z is before all records here"),
    (["state", "--as-of", "2100-01-01"], "--as-of 2100-01-01T00:00:00.000Z is after all records here: the last is of"),
    (["lag", "--as-of", "2100-01-01"], "--as-of 2100-01-01T00:00:00.000Z is after all records here: the last is of"),
    (["groups", "--until", "2000-01-01", "--timestamps", "iso"], "--until 2000-01-01T00:00:00.000Z is before all"),
], ids=lambda value: value[0] if isinstance(value, list) else "")  # fmt: skip
def test_times_that_nothing_is_of_are_said(command: list[str], words: str) -> None:
    done = run(*command, SETS["classic"].log)
    assert done.words.startswith(f"offdecode: {words}")
    assert done.words.count("\n") == 0
    assert (done.status, bool(done.rows)) == (0, "2100-01-01" in command and "--as-of" in command)


@pytest.mark.parametrize(("command", "words"), [
    (["explain", "--since", "2026-11-24", "--until", "2026-11-23"], "since is later than until"),
    (["report", "--since", "2026-11-24", "--until", "2026-11-23"], "since is later than until"),
    (["decode", "--from-offset", "100", "--to-offset", "50"], "the first offset is greater than the last one"),
], ids=lambda value: value[0] if isinstance(value, list) else "")  # fmt: skip
def test_limits_that_nothing_is_between_are_refused(command: list[str], words: str) -> None:
    done = run(*command, SETS["classic"].log)
    assert (done.status, done.rows) == (2, [])
    assert words in done.words


@pytest.mark.parametrize("jobs", ["1", "2"])
@pytest.mark.parametrize("command", [
    ["transactions", "--open"], ["explain", "--kind", "jump", "--group", "inventory-prod-31.del"],
    ["groups", "--idle-for", "900d", "--format", "table"], ["state", "--type", "pending_offset"],
    ["decode", "--from-offset", "999999"],
], ids=" ".join)  # fmt: skip
def test_that_nothing_was_found_is_said(command: list[str], jobs: str) -> None:
    done = run(*command, "--jobs", jobs, SETS["classic"].log)
    assert (done.status, done.rows) == (0, [])
    assert done.words.startswith("offdecode: nothing found: ")


def test_a_dash_is_standard_output_and_an_empty_name_is_refused(tmp_path: Path) -> None:
    assert run("groups", SETS["classic"].log, "-o", "-", cwd=tmp_path).rows == run("groups", SETS["classic"].log).rows
    done = run("groups", SETS["classic"].log, "-o", "", cwd=tmp_path)
    assert (done.status, "an empty name is no file" in done.words) == (2, True)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("place", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_rows_go_to_what_a_process_has_open(place: str) -> None:
    words = ("decode", SETS["classic"].log)
    assert run(*words, "-o", place).stdout == run(*words).stdout


@pytest.mark.parametrize("place", ["/dev/stdout", "/dev/fd/1", "/proc/thread-self/fd/1", "/dev/fd/3", "link"])
def test_what_the_shell_has_open_is_written_on(place: str, tmp_path: Path) -> None:
    groups = f"{' '.join(COMMAND)} groups {SETS['classic'].log}"
    (tmp_path / "link").symlink_to("/dev/stdout")
    script = f"{{ echo one; {groups} -o {place}; echo two; }} > found 3>&1"
    subprocess.run(["sh", "-c", script], cwd=tmp_path, env=ENVIRONMENT, check=True, timeout=SECONDS)
    assert (tmp_path / "found").read_bytes() == b"one\n" + run("groups", SETS["classic"].log).stdout + b"two\n"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["found", "link"]


def test_what_is_open_for_something_else_is_not_written_to() -> None:
    for number in range(3, 12):
        done = run("groups", SETS["classic"].log, "-o", f"/dev/fd/{number}")
        assert (done.status, f"/dev/fd/{number}: nothing is open there" in done.words) == (2, True)
    done = run("groups", SETS["classic"].log, "-o", "/dev/fd/0")
    assert (done.status, done.words) == (2, "offdecode: /dev/fd/0: cannot be written: Bad file descriptor")


def test_a_name_that_ends_in_csv_is_csv(tmp_path: Path) -> None:
    log, place = SETS["classic"].log, tmp_path / "rows.csv"
    run("groups", log, "-o", place)
    assert place.read_bytes() == run("groups", log, "--format", "csv").stdout
    run("groups", log, "-o", place, "--format", "jsonl")
    assert place.read_bytes() == run("groups", log).stdout
    for question in ("decode", "state"):
        assert "CSV holds rows of one type" in run(question, log, "-o", place).words
    run("state", log, "-o", place, "--type", "group")
    assert place.read_bytes() == run("state", log, "--type", "group", "--format", "csv").stdout
    tail = ("tail", "--bootstrap-server", "127.0.0.1:1", "--type", "offset_commit", "-o", place)
    assert "--checkpoint goes on in JSON lines" in run(*tail, "--checkpoint", tmp_path / "checkpoint").words
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows").rename(tmp_path / "d.csv")
    assert run("groups", log, "-o", tmp_path / "d.csv").status == 0
    assert [one.suffix for one in (tmp_path / "d.csv").iterdir()] == [".parquet"]


def test_logs_of_two_clusters_are_no_copies(tmp_path: Path) -> None:
    for number in range(2):
        shutil.copytree(SETS["classic"].log, tmp_path / f"broker{number}")
        properties = tmp_path / f"broker{number}" / "meta.properties"
        properties.write_text(f"version=1\ncluster.id=cluster-{number}\nnode.id=1\n")
    done = run("groups", tmp_path)
    assert done.status == 2
    assert f"{tmp_path}/broker0 is of the cluster cluster-0, {tmp_path}/broker1 of the cluster cluster-1" in done.words
    assert len(run("groups", tmp_path, "--copies-apart").rows) == 2 * len(run("groups", SETS["classic"].log).rows)
    (tmp_path / "broker1" / "meta.properties").unlink()
    assert run("groups", tmp_path).status == 0


def test_a_segment_without_a_directory_has_no_partition(tmp_path: Path) -> None:
    shutil.copy(min(SETS["classic"].log.glob("*/*.log")), tmp_path / "copied.log")
    for words in (("explain", "--format", "text"), ("state", "--format", "table"), ("decode", "--format", "table"),
                  ("generations", "--format", "text"), ("explain", "--format", "table")):  # fmt: skip
        out = run(*words, tmp_path / "copied.log").stdout
        assert out
        assert b"None" not in out
        assert b"?:" in out


def test_what_came_by_a_pipe_is_not_read_again() -> None:
    line = '{"key_hex":"0002000167","value_hex":null,"partition":0,"offset":0,"timestamp":0}'
    done = shell(f"echo '{line}' | \"$@\" decode - --input-format records-jsonl --group h")
    assert (done.status, done.words) == (0, "offdecode: nothing found: no record that was asked for is here")


def test_a_bad_regex() -> None:
    done = decode(SETS["classic"].log, "--group-regex", "(", status=2)
    assert "'(' is not a regular expression: missing ), unterminated subpattern at position 0" in done.words


def test_topic_and_partition() -> None:
    log = SETS["classic"].log
    topics = {"orders", "click_stream"}
    rows = decode(log, "--topic", "orders", "--topic", "click_stream").rows
    assert places(rows) == wanted("classic", lambda record: is_marker(record) or key(record, "topic") in topics)
    rows = decode(log, "--partition", "3", "--partition", "1").rows
    assert places(rows) == wanted("classic", lambda record: is_marker(record) or key(record, "partition") in (1, 3))
    rows = decode(log, "--topic", "orders", "--partition", "1", "--type", "offset_commit").rows
    assert places(rows) == wanted("classic", lambda r: key(r, "topic") == "orders" and key(r, "partition") == 1)
    assert rows


def iso(milliseconds: int) -> str:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def ahead(milliseconds: int) -> str:
    """The same moment by a clock two hours ahead."""
    return iso(milliseconds + 7_200_000).replace("Z", "+02:00")


def without_offset(milliseconds: int) -> str:
    return iso(milliseconds).removesuffix("Z")


@pytest.mark.parametrize("write", [str, iso, ahead, without_offset],
                         ids=["ms", "rfc3339", "offset", "without-offset"])  # fmt: skip
def test_since_and_until_include_both_ends(write: Callable[[int], str]) -> None:
    times = sorted(record["log_timestamp"] for record in truth("transactions"))
    since, until = times[len(times) // 3], times[len(times) // 2]
    rows = decode(SETS["transactions"].log, "--since", write(since), "--until", write(until)).rows
    assert places(rows) == wanted("transactions", lambda record: since <= record["log_timestamp"] <= until)
    assert {since, until} <= {row["log_timestamp"] for row in rows}


def test_since_and_until_alone() -> None:
    times = sorted(record["log_timestamp"] for record in truth("transactions"))
    middle = times[len(times) // 2]
    for option, test in (("--since", int.__ge__), ("--until", int.__le__)):
        rows = decode(SETS["transactions"].log, option, str(middle)).rows
        assert rows == [row for row in rows_of(lines("transactions")) if test(row["log_timestamp"], middle)]


def test_times_of_records_without_a_timestamp_are_their_commits() -> None:
    """Message format 0 has no timestamp: a commit's own time decides, and other records pass."""
    folder = FIXTURES / "kafka-0.9-magic0"
    everything = decode(folder).rows
    assert {row["log_timestamp"] for row in everything} == {None}
    times = sorted(row["commit_timestamp"] for row in everything if row.get("commit_timestamp") is not None)
    since, until = times[len(times) // 3], times[len(times) // 2]
    rows = decode(folder, "--since", str(since), "--until", str(until)).rows
    assert rows == [row for row in everything
                    if row.get("commit_timestamp") is None or since <= row["commit_timestamp"] <= until]  # fmt: skip
    assert len(rows) < len(everything)


@pytest.mark.parametrize("number", ["9" * 30, "-" + "9" * 30], ids=["high", "low"])
@pytest.mark.parametrize("option", ["--since", "--until", "--from-offset", "--to-offset", "--partition"])
@pytest.mark.parametrize("name", ["kafka-0.9-magic0", "kafka-4.4.0-transactions-tv1"])
def test_numbers_beyond_64_bits(name: str, option: str, number: str) -> None:
    done = run("decode", LogSet(FIXTURES / name).log, "--type", "offset_commit", option, number)
    assert done.status in (0, 2), done.stderr
    if done.status == 0:
        passes = number.startswith("-") == (option in ("--since", "--from-offset")) and option != "--partition"
        assert bool(done.rows) == passes


def test_a_time_that_is_none() -> None:
    done = decode(SETS["classic"].log, "--since", "yesterday", status=2)
    assert "'yesterday' is neither RFC 3339 (2026-11-23T14:03:00Z) nor milliseconds since 1970" in done.words


def test_from_and_to_offset_include_both_ends() -> None:
    log = SETS["transactions"].log
    rows = decode(log, "--from-offset", "30", "--to-offset", "50").rows
    assert places(rows) == wanted("transactions", lambda record: 30 <= record["log_offset"] <= 50)
    assert {30, 50} <= {row["log_offset"] for row in rows}
    rows = decode(log, "--from-offset", "90").rows
    assert places(rows) == wanted("transactions", lambda record: record["log_offset"] >= 90)
    rows = decode(log, "--to-offset", "0").rows
    assert places(rows) == wanted("transactions", lambda record: record["log_offset"] == 0)


def test_a_filter_leaves_the_transaction_status_as_it_is() -> None:
    """Markers that are filtered out decide all the same."""
    rows = decode(SETS["transactions"].log, "--type", "offset_commit", "--to-offset", "40").rows
    assert rows == [row for row in rows_of(lines("transactions"))
                    if row["type"] == "offset_commit" and row["log_offset"] <= 40]  # fmt: skip
    assert {"committed", "aborted"} <= {row["transaction"] for row in rows}


def test_a_log_partition_that_is_not_there() -> None:
    done = run("decode", SETS["classic"].log, "--log-partition", "77")
    assert (done.status, done.stdout) == (2, b"")
    assert "77" in done.words


# How rows look


def test_timestamps_iso() -> None:
    for name in SETS:
        rows = decode(SETS[name].log, "--timestamps", "iso").rows
        expected = []
        for row in rows_of(lines(name)):
            times = {field: row[field] for field in TIMES if row.get(field) is not None}
            shown = {field: iso(time) if time <= LAST_YEAR else time for field, time in times.items()}
            expected.append({**row, **shown})
        assert rows == expected


def test_timestamps_ms_is_the_default() -> None:
    assert decode(SETS["classic"].log, "--timestamps", "ms").stdout == lines("classic")


def test_with_batch_equals_kafkas_reading() -> None:
    same = ("batch_position", "batch_base_offset", "batch_last_offset", "magic", "codec", "timestamp_type",
            "producer_epoch", "base_sequence")  # fmt: skip
    names = {**{name: name for name in same}, "log_leader_epoch": "partition_leader_epoch"}
    for name, log_set in SETS.items():
        rows = decode(log_set.log, "--with-batch").rows
        for row, record in zip(rows, truth(name), strict=True):
            assert {ours: row[ours] for ours in names} == {ours: record[theirs] for ours, theirs in names.items()}
            segment = log_set.log / f"__consumer_offsets-{record['log_partition']}" / record["segment"]
            assert row["segment"] == str(segment)
            assert row["crc_valid"] is True
        added = {"segment", "crc_valid", *names}
        plain = [{field: row[field] for field in row if field not in added
                  or (field == "producer_epoch" and row["type"] == "transaction_marker")} for row in rows]  # fmt: skip
        assert plain == rows_of(lines(name))


# Where they go


def test_output_to_a_file(tmp_path: Path) -> None:
    done = decode(SETS["classic"].log, "-o", tmp_path / "rows.jsonl")
    assert (done.stdout, done.stderr) == (b"", "")
    assert (tmp_path / "rows.jsonl").read_bytes() == lines("classic")
    decode(SETS["transactions"].log, "--output", tmp_path / "rows.jsonl")
    assert (tmp_path / "rows.jsonl").read_bytes() == lines("transactions"), "a second run replaces the file"
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]


def test_a_name_that_ends_in_parquet_is_one_parquet_file(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    decode(SETS["classic"].log, "-o", path)
    commits = [row for row in rows_of(lines("classic")) if row["type"] == "offset_commit"]
    assert pq.read_table(path).column("log_offset").to_pylist() == [row["log_offset"] for row in commits]
    decode(SETS["classic"].log, "-o", path, "--type", "group_metadata")
    groups = [row for row in rows_of(lines("classic")) if row["type"] == "group_metadata"]
    assert pq.read_table(path).column("group").to_pylist() == [row["group"] for row in groups]
    done = decode(SETS["classic"].log, "-o", path, "--type", "group_metadata", "--type", "offset_commit", status=2)
    assert done.words == "offdecode: one Parquet file holds one row type: give -o DIRECTORY for several"


def test_a_directory_gets_a_parquet_file_of_every_type(tmp_path: Path) -> None:
    rows = rows_of(lines("classic"))
    decode(SETS["classic"].log, "-o", tmp_path)
    decode(SETS["classic"].log, "-o", tmp_path / "new" / "one", "--format", "parquet")
    for folder in (tmp_path, tmp_path / "new" / "one"):
        found = {path.stem: pq.read_metadata(path).num_rows for path in folder.glob("*.parquet")}
        assert found == {name: sum(row["type"] == name for row in rows) for name in row_type_names()}
    decode(SETS["classic"].log, "-o", tmp_path / "few", "--format", "parquet", "--type", "offset_commit")
    assert [path.name for path in (tmp_path / "few").iterdir()] == ["offset_commit.parquet"]


def test_format_jsonl_beats_the_name(tmp_path: Path) -> None:
    decode(SETS["classic"].log, "-o", tmp_path / "rows.parquet", "--format", "jsonl")
    assert (tmp_path / "rows.parquet").read_bytes() == lines("classic")


def test_parquet_needs_a_place() -> None:
    done = decode(SETS["classic"].log, "--format", "parquet", status=2)
    assert done.words == "offdecode: Parquet needs a place: give -o DIRECTORY or -o FILE.parquet"


@pytest.mark.parametrize("option", ["-o", "--problems"])
def test_a_place_that_cannot_be_written(tmp_path: Path, option: str) -> None:
    target = tmp_path / "missing" / "x"
    done = decode(SETS["classic"].log, option, target, status=2)
    assert done.words == f"offdecode: {target}: cannot be written: No such file or directory"
    assert done.stdout == b""


def test_jsonl_to_a_directory(tmp_path: Path) -> None:
    done = decode(SETS["classic"].log, "-o", tmp_path, "--format", "jsonl", status=2)
    assert str(tmp_path) in done.words
    assert ".partial" not in done.words
    assert list(tmp_path.iterdir()) == []
    assert [path.name for path in tmp_path.parent.glob(".*.partial")] == []


# Files appear only when they are complete


def damaged(folder: Path) -> Path:
    """A good batch, and 2000 undecodable records: more problems than a pipe holds."""
    undecodable: list[Pair] = [(commit("g")[0], b"\x00\x03\x00")] * 2000
    path = folder / "__consumer_offsets-3" / "00000000000000000000.log"
    path.parent.mkdir()
    path.write_bytes(batch([commit("good")]) + batch(undecodable, Header(base_offset=1)))
    return path


@pytest.mark.parametrize("form", ["rows.jsonl", "rows.parquet", "rows"])
def test_strict_stops_at_the_first_problem(tmp_path: Path, form: str) -> None:
    log = damaged(tmp_path)
    target = tmp_path / form
    if form != "rows":
        target.write_bytes(b"what was there before")
    options = ["--format", "parquet"] if form == "rows" else []
    done = decode(log, "-o", target, "--strict", *options, status=2, problems=1)
    assert done.problems[0]["kind"] == "undecodable_record"
    assert done.problems[0]["log_offset"] == 1
    assert done.words.startswith("offdecode: stopped at the first problem (--strict): ")
    left = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {log} | ({target} if form != "rows" else set())
    if form == "rows":
        assert not target.exists()
    else:
        assert target.read_bytes() == b"what was there before"


def test_strict_changes_nothing_without_problems() -> None:
    assert decode(SETS["classic"].log, "--strict").stdout == lines("classic")


@pytest.mark.parametrize("form", ["rows.jsonl", "rows.parquet", "rows"])
def test_a_full_disk_leaves_nothing(tmp_path: Path, form: str) -> None:
    """The process may write no file of more than 4 KiB."""
    options = ["--format", "parquet"] if form == "rows" else []
    done = shell('ulimit -f 4; "$@"', "decode", str(CLASSIC / "log"), "-o", str(tmp_path / form), *options)
    assert done.status == 2
    assert "File too large" in done.words
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.fixture
def stuck(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """A run that is held in the middle: nobody reads the pipe to which it writes its problems."""
    log, target, pipe = damaged(tmp_path), tmp_path / "rows.jsonl", tmp_path / "problems"
    os.mkfifo(pipe)
    arguments = ["decode", str(log), "-o", str(target), "--problems", str(pipe)]
    process = subprocess.Popen([*COMMAND, *arguments], stderr=subprocess.PIPE, env=ENVIRONMENT)
    with pipe.open("rb", buffering=0) as stream:
        assert stream.read(1) == b"{"
        assert process.poll() is None
        yield process, target
        process.kill()
    process.communicate()


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGKILL"])
def test_a_killed_run_leaves_no_file(stuck: tuple[subprocess.Popen[bytes], Path], name: str) -> None:
    process, target = stuck
    process.send_signal(signal.Signals[name])
    stderr = process.communicate(timeout=SECONDS)[1].decode()
    assert process.returncode != 0
    assert not target.exists()
    assert "Traceback" not in stderr
    if name != "SIGKILL":  # which nobody can catch: a hidden file with another name may stay
        assert [path.name for path in target.parent.iterdir() if "rows" in path.name] == []


@pytest.mark.parametrize("form", ["fifo", "device"])
def test_a_special_file_is_never_replaced(tmp_path: Path, form: str) -> None:
    """`-o /dev/null` as root must not make a file of the device."""
    target = tmp_path / "special"
    if form == "fifo":
        os.mkfifo(target)
    else:
        try:
            os.mknod(target, 0o600 | 0o020000, os.makedev(1, 3))
        except PermissionError:
            pytest.skip("making a device needs root")
    mode = target.lstat().st_mode
    done = shell('exec 3<> "${@: -1}"; "$@"', "decode", str(CLASSIC / "log"), "--to-offset", "3", "-o", str(target))
    assert done.status in (0, 2)
    assert target.lstat().st_mode == mode


# Evidence is read-only


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("arguments", [
    ["{first}", "-o", "{first}"],
    ["{first}", "-o", "{second}"],
    ["{first}", "--problems", "{second}"],
    ["{folder}", "-o", "{second}"],
    ["{folder}", "-o", "{folder}"],
    ["{folder}", "-o", "{folder}/rows.jsonl"],
    ["{folder}", "-o", "{folder}/rows.parquet"],
    ["{data}", "-o", "{folder}"],
    ["{data}", "-o", "{data}/parquet", "--format", "parquet"],
    ["{link}", "-o", "{first}"],
    ["file://{first}", "-o", "{first}"],
    ["file:{first}", "--problems", "{first}"],
    ["file://{folder}", "-o", "{folder}/rows.jsonl"],
], ids=" ".join)  # fmt: skip
def test_nothing_is_written_beside_the_evidence(tmp_path: Path, arguments: list[str]) -> None:
    data = tmp_path / "data"
    shutil.copytree(SETS["classic"].log / "__consumer_offsets-2", data / "__consumer_offsets-2")
    (tmp_path / "link.log").symlink_to(data / "__consumer_offsets-2" / "00000000000000000000.log")
    before = snapshot(data)
    folder = data / "__consumer_offsets-2"
    first, second = sorted(folder.glob("*.log"))[:2]
    words = {"data": data, "folder": folder, "first": first, "second": second, "link": tmp_path / "link.log"}
    done = run("decode", *(argument.format(**words) for argument in arguments))
    assert snapshot(data) == before
    assert done.status == 2
    assert done.words.endswith("the input is never written to")


@pytest.mark.parametrize("option", ["-o", "--problems"])
def test_what_standard_input_is_read_from_is_not_written_over(tmp_path: Path, option: str) -> None:
    log = tmp_path / "a.log"
    shutil.copy(min(SETS["classic"].log.rglob("*.log")), log)
    before = snapshot(tmp_path)
    with log.open("rb") as stream:
        done = subprocess.run(
            [sys.executable, "-m", "offdecode", "decode", "-", option, log],
            stdin=stream,
            capture_output=True,
            text=True,
        )
    assert snapshot(tmp_path) == before
    assert done.returncode == 2
    assert done.stderr.endswith("the input is never written to\n")


def test_a_url_is_not_taken_for_a_directory_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "http:").mkdir()
    done = run("decode", "http://127.0.0.1:1/a.log", "-o", "http:/127.0.0.1:1/a.log")
    assert "never written to" not in done.words


def test_rows_and_problems_to_the_same_file(tmp_path: Path) -> None:
    done = run("decode", damaged(tmp_path), "-o", tmp_path / "out", "--problems", tmp_path / "out")
    assert done.status == 2


# Problems, statistics, pipes


def test_problems_to_a_file(tmp_path: Path) -> None:
    log = damaged(tmp_path)
    plain = decode(log, status=1, problems=2000)
    done = decode(log, "--problems", tmp_path / "problems.jsonl", status=1)
    assert done.stderr == ""
    assert rows_of((tmp_path / "problems.jsonl").read_bytes()) == plain.problems
    assert list(plain.problems[0]) == [
        "kind", "source", "log_partition", "position", "length", "log_offset", "message"
    ]  # fmt: skip
    decode(SETS["classic"].log, "--problems", tmp_path / "problems.jsonl")
    assert (tmp_path / "problems.jsonl").read_bytes() == b""


def test_stats() -> None:
    log_set = SETS["transactions"]
    done = decode(log_set.log, "--stats")
    assert done.stdout == lines("transactions")
    size = sum(path.stat().st_size for path in log_set.log.rglob("*.log"))
    records = truth("transactions")
    assert f"{len(records)} rows in " in done.stderr
    assert f"segments 4, bytes {size:,}, batches {len(log_set.batches)}, problems 0" in done.stderr
    assert f"codec none: {len(log_set.batches)} batches" in done.stderr
    by_version = Counter((record.get("key_type"), record.get("value_version")) for record in records)
    assert f"offset_commit v4: {by_version[1, 4]} rows" in done.stderr
    assert f"offset_commit without value: {by_version[1, None]} rows" in done.stderr
    assert f"group_metadata v3: {by_version[2, 3]} rows" in done.stderr
    assert f"transaction_marker without value: {by_version[None, None]} rows" in done.stderr


def test_a_closed_pipe_ends_quietly() -> None:
    assert len(lines("transactions")) > 1 << 16, "more than a pipe holds"
    done = shell('set -o pipefail; "$@" | head -1', "decode", str(TRANSACTIONS / "log"))
    assert done.stdout == lines("transactions").split(b"\n")[0] + b"\n"
    assert (done.status, done.stderr) == (0, "")


@pytest.mark.parametrize(("redirection", "status"), [(">&-", (0, 2)), ("2>&-", (0,)), (">/dev/full", (2,))])
def test_streams_that_are_not_there(redirection: str, status: tuple[int, ...]) -> None:
    done = shell(f'"$@" {redirection}', "decode", str(TRANSACTIONS / "log"))
    assert done.status in status, done.stderr
    if redirection == "2>&-":
        assert done.stdout == lines("transactions")
    if redirection == ">/dev/full":
        assert "No space left on device" in done.words


def test_names_that_are_not_utf_8(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/copy \xff-2"
    os.mkdir(folder)
    shown = os.fsdecode(folder).encode("utf-8", "backslashreplace").decode()
    name = b"/00000000000000000280.log"
    data = (SETS["classic"].log / "__consumer_offsets-2" / os.fsdecode(name[1:])).read_bytes()
    with open(folder + name, "wb") as stream:
        stream.write(data + b"junk")
    done = decode(folder, "--with-batch", status=1, problems=1)
    assert {row["segment"] for row in done.rows} == {shown + name.decode()}
    assert done.problems[0]["source"] == shown + name.decode()


@pytest.mark.parametrize("option", ["--group", "--group-regex", "--topic"])
def test_arguments_that_are_not_utf_8(option: str) -> None:
    assert decode(SETS["transactions"].log, option, b"\xff", "--type", "offset_commit").stdout == b""


# Engines and processes


@cache
def large(path: Path) -> Path:
    """A log of some 10 MB: one batch again and again. Its offsets and epoch are not under its checksum."""
    count = 500
    one = batch([commit(f"group-{index % 7}", partition=index % 50, offset=index) for index in range(count)])
    copies = range(10_000_000 // len(one))
    path.mkdir()
    target = path / "00000000000000000000.log"
    target.write_bytes(b"".join(struct.pack(">q", copy * count) + one[8:] for copy in copies))
    return target


@pytest.mark.parametrize("options", [["--engine", "reference", "--to-offset", "20000"], ["--jobs", "2"], ["-j", "1"],
                                     ["-j", "3"]], ids=" ".join)  # fmt: skip
def test_rows_are_the_same_by_any_engine_and_any_number_of_processes(
    options: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    log = large(tmp_path_factory.getbasetemp() / "large-1")
    limit = options[2:] if "--to-offset" in options else []
    plain = decode(log, *limit).stdout
    assert plain.count(b"\n") > 20000
    assert decode(log, *options).stdout == plain


def test_first_rows_come_with_several_processes(tmp_path_factory: pytest.TempPathFactory) -> None:
    log = large(tmp_path_factory.getbasetemp() / "large-1")
    done = shell('set -o pipefail; "$@" | head -1', "decode", str(log), "-j", "2")
    assert (done.status, done.stdout.count(b"\n"), done.stderr) == (0, 1, "")


# schema, help, version


def test_schema_lists_every_row_type() -> None:
    text = run("schema").stdout.decode()
    for name in row_type_names():
        assert f"\n  {name} " in text


@pytest.mark.parametrize("name", row_type_names())
def test_schema_of_a_type_names_its_columns(name: str) -> None:
    done = run("schema", name)
    assert done.status == 0
    text = done.stdout.decode()
    assert text.startswith(f"{name}\n")
    schema = json.loads(run("schema", name, "--json").stdout)
    common = set(json.loads(run("schema", "transaction_marker", "--json").stdout)["properties"])
    for column in set(schema["properties"]) - common:
        assert f"\n  {column} " in text


def test_schema_of_a_type_that_does_not_exist() -> None:
    done = run("schema", "offsets")
    assert (done.status, done.stdout) == (2, b"")
    assert done.words.startswith("offdecode: there is no row type 'offsets'; did you mean offset_commit? ")


@pytest.mark.parametrize("options", [[], ["--timestamps", "iso"]], ids=["ms", "iso"])
def test_rows_obey_the_json_schema(options: list[str]) -> None:
    schema = json.loads(run("schema", "--json").stdout)
    Draft202012Validator.check_schema(schema)
    by_type = {one["title"]: Draft202012Validator(one) for one in schema["oneOf"]}
    assert list(by_type) == list(all_row_type_names())
    seen = Counter[str]()
    for folder in (TRANSACTIONS, CLASSIC, FIXTURES / "kafka-2.8.2-versions"):
        for row in decode(LogSet(folder).log, *options).rows:
            errors = [error.message for error in by_type[row["type"]].iter_errors(row)]
            assert errors == [], row
            seen[row["type"]] += 1
    assert {"offset_commit", "group_metadata", "transaction_marker"} <= seen.keys()


def test_version() -> None:
    done = run("--version")
    assert (done.status, done.stdout.decode()) == (0, f"offdecode, version {offdecode.__version__}\n")


@pytest.mark.parametrize("arguments", [[], ["decode"], ["schema"]], ids=["offdecode", "decode", "schema"])
def test_help(arguments: list[str]) -> None:
    done = run(*arguments, "--help")
    assert (done.status, done.stderr) == (0, "")
    assert done.stdout.decode().startswith(" ".join(["Usage: offdecode", *arguments]))
    assert run(*arguments, "-h").stdout == done.stdout


@pytest.mark.parametrize("arguments", [["decode"], ["nothing"], ["decode", "--nothing", "x"], ["--nothing"],
                                       ["decode", "x", "--format", "xml"]], ids=" ".join)  # fmt: skip
def test_wrong_usage(arguments: list[str]) -> None:
    done = run(*arguments)
    assert (done.status, done.stdout) == (2, b"")
    assert done.words


def test_the_installed_command_is_the_module() -> None:
    script = Path(sysconfig.get_path("scripts"), "offdecode")
    if not script.exists():
        pytest.skip(f"offdecode is not installed for {sys.executable}")
    done = subprocess.run([script, "schema"], capture_output=True, env=ENVIRONMENT, cwd=ROOT, timeout=SECONDS,
                          check=False)  # fmt: skip
    assert (done.returncode, done.stdout) == (0, run("schema").stdout)


def test_near_misses_are_named() -> None:
    done = run("decod")
    assert (done.status, "No such command 'decod'. Did you mean decode?" in done.stderr) == (2, True)
    assert "Did you mean" not in run("zzz").stderr
    assert "did you mean offset_commit?" in run("decode", FIXTURES, "--type", "offset_comit").stderr
    assert "--group" in run("decode", FIXTURES, "--grup", "g").stderr


def test_every_command_has_a_purpose() -> None:
    named = [name for names in PURPOSES.values() for name in names]
    assert sorted(named) == sorted(COMMANDS)
    shown = run("--help").stdout.decode()
    assert [line.split()[0] for line in shown.splitlines() if line[2:].split(" ")[0] in COMMANDS] == named
    assert "offdecode groups /var/lib/kafka/data" in shown


@pytest.mark.parametrize("kind", ["bash", "zsh", "fish"])
def test_shells_complete(kind: str) -> None:
    environment = {**ENVIRONMENT, "_OFFDECODE_COMPLETE": f"{kind}_source"}
    done = subprocess.run(COMMAND, env=environment, capture_output=True, encoding="utf-8", check=False)
    assert "_OFFDECODE_COMPLETE" in done.stdout


def test_help_prints_the_pages() -> None:
    pages = sorted(path.stem for path in (ROOT / "docs").glob("*.md"))
    listed = [line.split()[0] for line in run("help").stdout.decode().splitlines()]
    assert listed == pages
    assert set(COMMANDS) <= set(pages)
    for name in pages:
        assert run("help", name).stdout == (ROOT / "docs" / f"{name}.md").read_bytes()
    done = run("help", "evidense")
    assert done.status == 2
    assert "Did you mean evidence?" in done.words


@pytest.mark.parametrize(("line", "expected"), [
    ("decode --type offset_", {"offset_commit"}),
    ("state --type ", {"group", "committed_offset", "pending_offset"}),
    ("schema movem", {"movement"}),
    ("help evid", {"evidence"}),
    ("transactions --status ab", {"aborted"}),
    ("groups --format t", {"table"}),
])  # fmt: skip
def test_a_shell_is_told_what_may_follow(line: str, expected: set[str]) -> None:
    words = f"offdecode {line}"
    environment = {
        **ENVIRONMENT, "_OFFDECODE_COMPLETE": "bash_complete", "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
    }  # fmt: skip
    done = subprocess.run(COMMAND, env=environment, capture_output=True, encoding="utf-8", check=False)
    assert {found.partition(",")[2] for found in done.stdout.split()} == expected


def test_transactions_of_a_status() -> None:
    log = TRANSACTIONS / "log"
    every = run("transactions", log).rows
    for status in ("committed", "aborted", "open", "unknown"):
        chosen = [row for row in every if row["status"] == status]
        assert run("transactions", log, "--status", status).rows == chosen
        assert bool(chosen) == (status != "unknown")
    assert run("transactions", log, "--status", "aborted", "--open").rows == []
