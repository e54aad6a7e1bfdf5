"""The state command: moments, what makes an answer incomplete, names of topic ids, forms of output."""

from __future__ import annotations

import csv
import json
import random
import shutil
import struct
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import offdecode
from offdecode.errors import SourceError
from offdecode.history.offsets.moment import AsOf, Cut
from offdecode.schemas.rows import row_type
from offdecode.sources.topic_ids import named_in_file
from tests.chunks import chunk_of
from tests.history.test_offsets import pieces
from tests.log.test_transactions import emptied
from tests.segment_builder import BASE_TIME_MS, TRANSACTIONAL, Header, Pair, batch, commit, marker, text
from tests.truth import FIXTURES, Row

ALL_GROUPS = FIXTURES / "kafka-4.4.0-all-groups" / "log"


def run(*arguments: object) -> tuple[int, bytes, str]:
    """Exit status, stdout and stderr of the command."""
    command = [sys.executable, "-m", "offdecode", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, check=False)
    return done.returncode, done.stdout, done.stderr.decode()


def state(*arguments: object, status: int = 0) -> list[Row]:
    code, out, words = run("state", *arguments)
    assert code == status, words
    return [json.loads(line) for line in out.split(b"\n")[:-1]]


@cache
def whole_state() -> list[Row]:
    return state(ALL_GROUPS)


def data_directory(folder: Path, batches: Sequence[bytes], *, name: int = 0, checkpoint: int | None = None) -> Path:
    """A data directory with one partition of the offsets topic."""
    partition = folder / "__consumer_offsets-0"
    partition.mkdir(parents=True)
    (partition / f"{name:020}.log").write_bytes(b"".join(batches))
    if checkpoint is not None:
        lines = f"0\n1\n__consumer_offsets 0 {checkpoint}\n"
        (folder / "cleaner-offset-checkpoint").write_text(lines, encoding="utf-8")
    return folder


def plain(offset: int, group: str = "g", committed: int = 7) -> bytes:
    header = Header(offset, timestamp=BASE_TIME_MS + offset * 1000)
    return batch([commit(group, offset=committed)], header)


def groups(rows: list[Row]) -> dict[str, tuple[bool, str | None]]:
    return {row["group"]: (row["complete"], row["incomplete_reason"]) for row in rows if row["type"] == "group"}


def legacy_key(group: str) -> Pair:
    key = struct.pack(">h", 0) + text(group) + text("orders") + struct.pack(">i", 0)
    return key, struct.pack(">hq", 0, 7) + text("") + struct.pack(">q", BASE_TIME_MS)


def test_a_moment_is_cut_by_each_rows_own_time() -> None:
    chance = random.Random(7)
    rows: list[Row] = []
    for offset in range(60):
        time = None if chance.random() < 0.4 else 1000 + 10 * offset + chance.randrange(-30, 30)
        name = chance.choice(("offset_commit", "group_metadata"))
        row: Row = {"type": name, "log_offset": offset, "log_timestamp": time, "group": "g"}
        if name == "offset_commit" and time is None and chance.random() < 0.5:
            row["commit_timestamp"] = 1000 + 10 * offset
        rows.append(row)
    last, expected, untimed = -(2**63), [], 0
    for row in rows:
        own = row["log_timestamp"] if row["log_timestamp"] is not None else row.get("commit_timestamp")
        untimed += own is None
        last = last if own is None else own
        expected += [row["log_offset"]] if last <= 1300 else []
    for seed in range(10):
        cut, found = Cut(AsOf(time=1300)), []
        for piece in pieces(rows, seed):
            chunk = cut.cut(chunk_of(piece))
            offsets = [offset for _, part in chunk for offset in part.column("log_offset").to_pylist()]
            found += [offsets[index] for index in chunk.order]
        assert found == expected
        assert (cut.left_out, cut.untimed, cut.last_offset) == (60 - len(expected), untimed, max(expected))


def test_a_moment_by_offset_includes_its_record(tmp_path: Path) -> None:
    data = data_directory(tmp_path, [plain(0, committed=1), plain(1, committed=2), plain(2, committed=3)])
    for arguments, offset in (((), 3), (("--as-of-offset", "0:1"), 2), (("--as-of", BASE_TIME_MS + 1999), 2)):
        (row,) = state(data, *arguments, "--type", "committed_offset")
        assert row["offset"] == offset
        assert list(row) == [column.name for column in row_type("committed_offset").columns if not column.optional]
    assert state(data, "--as-of", BASE_TIME_MS - 1) == []


def test_an_answer_is_complete_where_nothing_is_missing(tmp_path: Path) -> None:
    assert groups(state(data_directory(tmp_path, [plain(0), plain(1)]))) == {"g": (True, None)}


@pytest.mark.parametrize(
    ("batches", "name", "checkpoint", "moment", "reason"),
    [
        ([plain(0), plain(5)], 0, 3, (), "offsets 3 to 4 are missing: no batch with these offsets is here"),
        ([plain(0), plain(5)], 0, 3, ("--as-of-offset", "0:0"), None),
        ([plain(100), plain(101)], 100, None, (), "offsets 0 to 99 are missing: the segments that held these offsets"),
        ([plain(0), plain(5), plain(6)], 0, 6, (), None),
        ([plain(0), plain(5), plain(6)], 0, 6, ("--as-of-offset", "0:5"), "a lower bound: compaction"),
        ([plain(2), plain(5), plain(6)], 0, 6, ("--as-of-offset", "0:1"), None),
        ([plain(0), emptied(plain(1), 1), plain(5)], 0, None, ("--as-of-offset", "0:4"), "a lower bound: compaction"),
        ([plain(0)], 0, None, ("--as-of-offset", "0:9"), "the log in the evidence ends at offset 0"),
    ],
    ids=["lost", "lost_later", "late_start", "cleaned", "cleaned_before", "before_all", "sign_of_cleaning", "beyond"],
)
def test_what_is_missing_is_said(
    tmp_path: Path, batches: list[bytes], name: int, checkpoint: int | None, moment: tuple[str, ...], reason: str | None
) -> None:
    data = data_directory(tmp_path, batches, name=name, checkpoint=checkpoint)
    lost = checkpoint == 3  # the cleaner was never where the hole is
    for complete, said in groups(state(data, *moment, status=int(lost))).values():
        assert complete is (reason is None)
        assert (said or "").startswith(reason or "")


def test_damage_makes_every_group_of_its_log_incomplete(tmp_path: Path) -> None:
    bad = plain(1, "b")
    batches = [plain(0, "a"), bad[:-1] + bytes([bad[-1] ^ 1]), plain(2, "c")]
    found = groups(state(data_directory(tmp_path, batches), status=1))
    assert {name: said[0] for name, said in found.items()} == {"a": False, "c": False}
    assert all((said[1] or "").startswith("offsets 1 to 1 are damaged") for said in found.values())


def test_an_undecided_transaction_concerns_its_groups_only(tmp_path: Path) -> None:
    waits = batch([commit("waits", offset=9)], Header(1, TRANSACTIONAL, 5, 0, BASE_TIME_MS + 1000))
    data = data_directory(tmp_path, [plain(0, "waits", 3), waits, plain(2, "other")])
    rows = state(data)
    (pending,) = [row for row in rows if row["type"] == "pending_offset"]
    assert (pending["offset"], pending["producer_id"], pending["age_ms"]) == (9, 5, 1000)
    assert pending["transaction"] == "open"
    found = groups(rows)
    assert found["other"] == (True, None)
    assert found["waits"] == (False, "pending offsets of a transaction (not decided then) of producer 5")
    assert [row["offset"] for row in rows if row["type"] == "committed_offset" and row["group"] == "waits"] == [3]
    (later,) = [row for row in state(data, "--as-of", BASE_TIME_MS + 61_000) if row["type"] == "pending_offset"]
    assert later["age_ms"] == 60_000


@pytest.mark.parametrize("committed", [True, False])
def test_an_open_transaction_at_a_moment_may_be_decided_behind_it(tmp_path: Path, committed: bool) -> None:
    waits = batch([commit("g", offset=9)], Header(0, TRANSACTIONAL, 5, 0, BASE_TIME_MS - 1000))
    data = data_directory(tmp_path, [waits, marker(1, 5, commit=committed)])
    group, pending = state(data, "--as-of-offset", "0:0")
    assert (group["type"], pending["type"], pending["transaction"]) == ("group", "pending_offset", "open")
    assert [row["type"] for row in state(data)] == ["group", "committed_offset"] * committed
    (then,) = offdecode.explain(data, until=BASE_TIME_MS - 1).rows()
    assert (then["kind"], then["transaction"], then["signals"]) == (
        "pending", "open", ["group_unknown", "transaction_open"]
    )  # fmt: skip


def test_a_record_of_key_type_0_may_have_outlived_its_deletion(tmp_path: Path) -> None:
    old = batch([legacy_key("old")], Header(0))
    kept = groups(state(data_directory(tmp_path / "kept", [old, plain(1)])))
    cleaned = groups(state(data_directory(tmp_path / "cleaned", [old, plain(5)], checkpoint=5)))
    assert kept == {"g": (True, None), "old": (True, None)}
    assert cleaned["g"] == (True, None)
    assert "outlived its deletion" in (cleaned["old"][1] or "")


def test_exported_records_are_never_complete(tmp_path: Path) -> None:
    lines: list[str] = []
    for partition in (3, 4, 3):
        key, value = commit(f"g{partition}", offset=len(lines))
        assert key is not None
        assert value is not None
        lines.append(json.dumps({"partition": partition, "key_hex": key.hex(), "value_hex": value.hex()}))
    file = tmp_path / "records.jsonl"
    file.write_text("\n".join(lines), encoding="utf-8")
    rows = state("--input-format", "records-jsonl", file)
    committed = [(row["group"], row["offset"]) for row in rows if row["type"] == "committed_offset"]
    assert committed == [("g3", 2), ("g4", 1)]
    assert all(not complete for complete, _ in groups(rows).values())


def test_topic_ids_are_shown_by_name(tmp_path: Path) -> None:
    """The fixture's data directory names every topic; without it the commits name theirs, a file the others."""

    def assigned(*arguments: object) -> list[Row]:
        rows = state(*arguments, "--type", "group")
        held = [item for row in rows for member in row["members"] or () for item in member["assignment"] or ()]
        return [item for item in held if item["topic_id"] is not None]

    named = assigned(ALL_GROUPS)
    assert named
    assert all(item["topic"] for item in named)
    bare = [path / file.name for path in sorted(ALL_GROUPS.glob("__consumer_offsets-*"))
            for file in sorted(path.glob("*.log"))]  # fmt: skip
    for path in bare:
        (tmp_path / path.parent.name).mkdir(exist_ok=True)
        (tmp_path / path.parent.name / path.name).write_bytes(path.read_bytes())
    names = {item["topic_id"]: item["topic"] for item in named}
    by_log = assigned(tmp_path)
    assert any(item["topic"] for item in by_log)
    assert all(item["topic"] in (None, names[item["topic_id"]]) for item in by_log)
    file = tmp_path / "ids"
    file.write_text("".join(f"{topic_id} {name}\n" for topic_id, name in names.items()), encoding="utf-8")
    assert assigned(tmp_path, "--topic-ids", file) == named


def test_a_file_of_topic_ids_may_be_what_kafka_topics_prints(tmp_path: Path) -> None:
    file = tmp_path / "described"
    file.write_text(
        "Topic: orders\tTopicId: 0ODkHYrMRFyop2TacsJoZg\tPartitionCount: 6\tReplicationFactor: 1\tConfigs: \n"
        "\tTopic: orders\tPartition: 0\tLeader: 1\tReplicas: 1\tIsr: 1\n",
        encoding="utf-8",
    )
    assert named_in_file(file) == {"0ODkHYrMRFyop2TacsJoZg": "orders"}
    for broken in (tmp_path / "none", tmp_path):
        with pytest.raises(SourceError):
            named_in_file(broken)
    file.write_text("orders\n", encoding="utf-8")
    with pytest.raises(SourceError, match="names no topic"):
        named_in_file(file)


def test_forms_of_output_agree(tmp_path: Path) -> None:
    rows = whole_state()
    assert run("state", ALL_GROUPS, "-o", tmp_path / "parquet", "--format", "parquet")[0] == 0
    for name in ("committed_offset", "pending_offset", "group"):
        table = pq.read_table(tmp_path / "parquet" / f"{name}.parquet")
        assert len(table) == sum(row["type"] == name for row in rows)
        assert table.column_names == row_type(name).arrow_schema.names
    committed = [row for row in rows if row["type"] == "committed_offset"]
    lines = list(csv.reader(run("state", ALL_GROUPS, "--format", "csv")[1].decode().splitlines(keepends=True)))
    names = ("group", "topic", "partition", "offset")
    assert lines == [[str(row[name]) for name in names] for row in committed]
    table_text = run("state", ALL_GROUPS, "--format", "table")[1].decode()
    assert all(f"  {row['topic']}" in table_text for row in committed)


def test_offsets_can_be_chosen_by_topic_and_partition() -> None:
    rows = whole_state()
    chosen = state(ALL_GROUPS, "--topic", "orders", "--partition", 1, "--partition", 2)
    assert [row for row in chosen if row["type"] == "committed_offset"] == [
        row for row in rows
        if row["type"] == "committed_offset" and row["topic"] == "orders" and row["partition"] in (1, 2)
    ]  # fmt: skip
    with_offsets = {row["group"] for row in chosen if row["type"] != "group"}
    assert all(row["group"] in with_offsets or "differences" in row for row in chosen)


@pytest.mark.parametrize(("arguments", "words"), [
    (("--as-of", "0", "--as-of-offset", "0:0"), "both name the moment"),
    (("--as-of-offset", "7"), "not a place in the offsets topic"),
    (("--as-of-offset", "9:0"), "there is no log of partition 9"),
    (("--type", "offset_commit"), "there is no row type 'offset_commit'"),
    (("--topic-ids", "/nowhere"), "cannot be read"),
])  # fmt: skip
def test_what_cannot_be_asked_is_said(arguments: tuple[str, ...], words: str) -> None:
    status, out, said = run("state", ALL_GROUPS, *arguments)
    assert (status, out) == (2, b"")
    assert words in said


def test_offsets_of_a_deleted_topic_say_so(tmp_path: Path) -> None:
    """A directory of a deleted partition is evidence, unless another partition of the topic is still there."""
    data = tmp_path / "data"
    shutil.copytree(ALL_GROUPS, data)
    before = state(data)
    kept, gone = "click_stream", "dead-letters"
    for topic in (kept, gone):
        (data / f"{topic}-1.0123456789abcdef0123456789abcdef-delete").mkdir()
    shutil.rmtree(data / f"{gone}-0")
    rows = state(data)
    assert {row["topic"] for row in rows if row.get("topic_deleted")} == {gone}
    assert all(row["topic_deleted"] for row in rows if row.get("topic") == gone)
    assert [{name: value for name, value in row.items() if name != "topic_deleted"} for row in rows] == before
