"""offdecode check: inventories beside Kafka's own reading, completeness maps of logs that were built to have gaps."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import offdecode
from offdecode import Problem, check, decode
from offdecode.cli import cli
from offdecode.questions.check import Leftover, PartitionCheck, Unused
from offdecode.sinks.text.lines import printable
from tests.segment_builder import BASE_TIME_MS, Header, batch, commit, refused_by_its_codec
from tests.truth import LogSet, log_sets, set_id


def one(path: Path) -> PartitionCheck:
    found = list(check(path))
    assert len(found) == 1
    assert isinstance(found[0], PartitionCheck)
    return found[0]


@pytest.mark.parametrize("log_set", log_sets(), ids=set_id)
def test_inventory_equals_kafkas_reading(log_set: LogSet) -> None:
    found = [item for item in check(log_set.log) if isinstance(item, PartitionCheck)]
    records: dict[tuple[int, str], Counter[str]] = {}
    magics: dict[tuple[int, str], Counter[str]] = {}
    offsets: dict[tuple[int, str], list[int]] = {}
    for row in log_set.records:
        place = row["log_partition"], Path(row["segment"]).name
        records.setdefault(place, Counter())[str(row["magic"])] += 1
        offsets.setdefault(place, []).append(row["log_offset"])
    for row in log_set.batches:
        place = row["log_partition"], Path(row["segment"]).name
        magics.setdefault(place, Counter())[str(row["magic"])] += 1
    for item in found:
        assert item.problem_count == 0
        assert item.log_partition is not None
        for file in item.files:
            data = Path(file.path).read_bytes()
            place = item.log_partition, Path(file.path).name
            assert (file.size, file.sha256) == (len(data), hashlib.sha256(data).hexdigest())
            assert file.records_by_magic == records.get(place, {})
            assert sum(file.records_by_type.values()) == sum(file.records_by_codec.values())
            assert file.batches_by_magic == magics.get(place, {})
            assert (file.crc_failures, file.gaps, file.tail) == (0, 0, "clean")
            for offset in offsets.get(place, []):
                assert file.first_offset is not None
                assert file.last_offset is not None
                assert file.first_offset <= offset <= file.last_offset
        tiles = item.coverage.spans
        assert all(before.last_offset == after.first_offset - 1 for before, after in pairwise(tiles))


def a_batch(base: int, count: int = 10) -> bytes:
    records = [commit("group", offset=base + index) for index in range(count)]
    return batch(records, Header(base_offset=base, timestamp=BASE_TIME_MS + base))


def partition(tmp_path: Path, segments: dict[int, bytes], checkpoints: dict[str, int] | None = None) -> Path:
    directory = tmp_path / "__consumer_offsets-3"
    directory.mkdir()
    for base, data in segments.items():
        (directory / f"{base:020}.log").write_bytes(data)
    for name, offset in (checkpoints or {}).items():
        (tmp_path / name).write_text(f"0\n1\n__consumer_offsets 3 {offset}\n")
    return directory


def spans(found: PartitionCheck) -> list[tuple[str, int, int | None]]:
    every = (*found.coverage.spans, *found.coverage.over)
    return [(str(span.state), span.first_offset, span.last_offset) for span in every]


def kinds(found: PartitionCheck) -> list[str]:
    return [problem.kind for problem in found.problems]


def test_a_whole_log_is_complete(tmp_path: Path) -> None:
    found = one(partition(tmp_path, {0: a_batch(0) + a_batch(10), 20: a_batch(20)}))
    assert spans(found) == [("complete", 0, 29)]
    assert kinds(found) == []


def test_a_log_without_records_is_not_called_complete(tmp_path: Path) -> None:
    status, text = run(str(partition(tmp_path, {0: b""})))
    assert text.splitlines()[-4:] == [
        "  completeness: there are no records", "  problems: 0", "1 partition, 0 problems", "  without records: 3",
    ]  # fmt: skip
    assert status == 0


def test_a_lost_segment_is_missing(tmp_path: Path) -> None:
    found = one(partition(tmp_path, {0: a_batch(0), 20: a_batch(20)}))
    assert spans(found) == [("complete", 0, 9), ("missing", 10, 19), ("complete", 20, 29)]
    assert kinds(found) == ["missing_offsets"]


def test_a_bad_batch_is_damaged(tmp_path: Path) -> None:
    bad = bytearray(a_batch(10))
    bad[-3] ^= 1
    found = one(partition(tmp_path, {0: a_batch(0) + bytes(bad) + a_batch(20)}))
    assert spans(found) == [("complete", 0, 9), ("damaged", 10, 19), ("complete", 20, 29)]
    assert kinds(found) == ["bad_crc", "missing_offsets"]
    assert found.files[0].crc_failures == 1


def test_checkpoints_divide_the_log(tmp_path: Path) -> None:
    marks = {
        "cleaner-offset-checkpoint": 20, "replication-offset-checkpoint": 35,
        "log-start-offset-checkpoint": 0, "recovery-point-offset-checkpoint": 30,
    }  # fmt: skip
    found = one(partition(tmp_path, {0: a_batch(5) + a_batch(20), 30: a_batch(30)}, marks))
    assert spans(found) == [("compacted", 0, 19), ("complete", 20, 39), ("above_high_watermark", 35, 39)]
    assert kinds(found) == []
    assert found.checkpoints.recovery_point == 30


def test_overlaps_and_copies_are_kept_and_reported(tmp_path: Path) -> None:
    found = one(partition(tmp_path, {0: a_batch(0) + a_batch(10) + a_batch(10), 15: a_batch(15) + a_batch(3, 5)}))
    assert kinds(found) == ["duplicate_batch", "overlapping_segment", "offsets_jump_back"]
    assert sum(file.records_by_type["offset_commit"] for file in found.files) == 45


@pytest.mark.parametrize(
    ("tail", "name"),
    [(bytes(100), "zeros"), (a_batch(10)[:-1], "torn_batch"), (b"\xff" * 99, "garbage")],
    ids=["zeros", "torn", "garbage"],
)
def test_tails(tmp_path: Path, tail: bytes, name: str) -> None:
    file = one(partition(tmp_path, {0: a_batch(0) + tail})).files[0]
    assert (file.tail, file.tail_bytes) == (name, len(tail))


def test_what_is_left_over_is_listed(tmp_path: Path) -> None:
    """With what it would add: batches where the log of the partition has holes. Commands read it when asked to."""
    directory = partition(tmp_path, {0: a_batch(0) + a_batch(30), 40: a_batch(40)})
    before = [row["log_offset"] for row in decode(tmp_path, on_problem=lambda problem: None).rows()]
    old = a_batch(0) + a_batch(10) + a_batch(20) + a_batch(30)
    (directory / f"{0:020}.log.deleted").write_bytes(old)
    (directory / f"{0:020}.index.deleted").write_bytes(b"x")
    (directory / f"{40:020}.log.cleaned").write_bytes(a_batch(40))
    gone = tmp_path / f"__consumer_offsets-3.{'a1' * 16}-delete"
    gone.mkdir()
    (gone / f"{50:020}.log").write_bytes(a_batch(50) + b"junk")
    stray = tmp_path / f"__consumer_offsets-9.{'b2' * 16}-stray"
    stray.mkdir()
    (stray / f"{0:020}.log").write_bytes(a_batch(0))
    (tmp_path / f"orders-0.{'c3' * 16}-delete").mkdir()
    found = [item for item in check(tmp_path) if isinstance(item, Leftover)]
    told = {Path(item.file.path).relative_to(tmp_path): item for item in found}
    assert {str(path): (item.log_partition, item.file.batches, item.beyond_log) for path, item in told.items()} == {
        f"{directory.name}/{0:020}.log.deleted": (3, 4, 2),
        f"{directory.name}/{40:020}.log.cleaned": (3, 1, 0),
        f"{gone.name}/{50:020}.log": (3, 1, 0),
        f"{stray.name}/{0:020}.log": (9, 1, 1),
    }
    file = told[Path(directory.name, f"{0:020}.log.deleted")].file
    assert (file.size, file.sha256) == (len(old), hashlib.sha256(old).hexdigest())
    assert told[Path(gone.name, f"{50:020}.log")].file.tail == "garbage"
    assert [row["log_offset"] for row in decode(tmp_path, on_problem=lambda problem: None).rows()] == before
    shown = CliRunner().invoke(cli, ["check", str(tmp_path)]).output
    assert shown.count("left over, and read only with --leftovers: ") == 4
    assert "4 batches, of which 2 begin where the log of the partition lacks offsets" in shown
    rows = [(row["log_partition"], row["log_offset"], row["copies"]) for row in decode(
        tmp_path, leftovers=True, on_problem=lambda problem: None
    ).rows()]  # fmt: skip
    twice = {*range(10), *range(30, 50)}
    assert [row for row in rows if row[0] == 3] == [(3, at, 2 if at in twice else 1) for at in range(60)]
    assert [row[1] for row in rows if row[0] == 9] == list(range(10))
    taken = [item for item in check(tmp_path, leftovers=True) if isinstance(item, PartitionCheck)]
    assert [(item.log_partition, spans(item)) for item in taken] == [
        (3, [("complete", 0, 59), ("damaged", 60, None)]),
        (9, [("complete", 0, 9)]),
    ]


def test_a_leftover_directory_is_a_log_where_it_is_named(tmp_path: Path) -> None:
    gone = tmp_path / f"__consumer_offsets-3.{'a1' * 16}-delete"
    gone.mkdir()
    (gone / f"{0:020}.log").write_bytes(a_batch(0))
    assert [(row["log_partition"], row["log_offset"]) for row in decode(gone).rows()] == [(3, at) for at in range(10)]


def test_a_leftover_segment_that_is_named_is_a_copy_of_its_log(tmp_path: Path) -> None:
    directory = partition(tmp_path, {0: a_batch(0) + a_batch(30)})
    deleted = directory / f"{0:020}.log.deleted"
    deleted.write_bytes(a_batch(0) + a_batch(10))
    problems: list[Problem] = []
    rows = [
        (row["log_offset"], row["copies"]) for row in decode([directory, deleted], on_problem=problems.append).rows()
    ]
    assert rows == [(at, 2 if at < 10 else 1) for at in (*range(20), *range(30, 40))]
    assert [problem.kind for problem in problems] == ["missing_offsets"]


def test_two_copies_of_a_partition_are_said(tmp_path: Path) -> None:
    """Kept apart, their rows are told twice; never in silence."""
    for broker in ("broker1", "broker2"):
        (tmp_path / broker).mkdir()
        partition(tmp_path / broker, {0: a_batch(0)})
    problems: list[Problem] = []
    assert (
        len(
            list(
                decode(
                    [tmp_path / "broker1", tmp_path / "broker2"], copies_apart=True, on_problem=problems.append
                ).rows()
            )
        )
        == 20
    )
    (problem,) = problems
    one, other = (str(tmp_path / broker / "__consumer_offsets-3") for broker in ("broker1", "broker2"))
    assert (problem.kind, problem.source, problem.log_partition) == ("partition_copies", other, 3)
    assert f"is in {one} too" in problem.message
    assert decode(tmp_path / "broker1").table("offset_commit").num_rows == 10
    copies = [item.as_dict() for item in check(tmp_path, copies_apart=True) if isinstance(item, Unused)]
    assert [item["type"] for item in copies] == ["copies"]
    assert (
        f"{other}: partition 3 is in {one} too"
        in CliRunner().invoke(cli, ["check", str(tmp_path), "--copies-apart"]).output
    )
    (tmp_path / "broker2" / "meta.properties").write_text("#\nversion=1\nnode.id=12\n")
    together = CliRunner().invoke(cli, ["check", str(tmp_path)]).output
    assert f"copy {one}: 10 records" in together
    assert (
        f"copy of broker 12 {other}: 10 records, 0 of them in no other copy, 0 of a branch that did not stand"
        in together
    )


def test_what_is_no_file_is_reported_and_the_rest_is_read(tmp_path: Path) -> None:
    directory = partition(tmp_path, {0: a_batch(0)})
    (directory / "00000000000000000050.log").mkdir()
    os.mkfifo(directory / "00000000000000000060.log")
    (directory / "00000000000000000070.log").symlink_to("00000000000000000070.log")
    (tmp_path / "loop").symlink_to(tmp_path)
    found = list(check(tmp_path))
    assert [item.problem.kind for item in found if isinstance(item, Unused)] == ["unreadable"] * 3
    assert [spans(item) for item in found if isinstance(item, PartitionCheck)] == [[("complete", 0, 9)]]


def test_reading_leaves_the_access_time(tmp_path: Path) -> None:
    path = partition(tmp_path, {0: a_batch(0)}) / f"{0:020}.log"
    os.utime(path, ns=(1, 1))
    one(path)
    assert path.stat().st_atime_ns == 1


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli, ["check", *arguments], standalone_mode=False)
    assert result.exception is None
    return result.return_value, result.output


def test_names_are_escaped_for_a_terminal(tmp_path: Path) -> None:
    hostile = tmp_path / "\x1b[31mred\n"
    hostile.mkdir()
    status, text = run(str(partition(hostile, {0: a_batch(0) + b"\xff" * 99})))
    assert status == 1
    assert "\x1b" not in text
    assert "\\x1b[31mred\\n" in text


def test_json_and_status(tmp_path: Path) -> None:
    status, text = run("--json", str(partition(tmp_path, {0: a_batch(0)})))
    found: dict[str, Any] = json.loads(text)
    assert status == 0
    assert found["type"] == "partition"
    assert found["completeness"][0]["state"] == "complete"


@pytest.mark.parametrize("text", ["\x1b[0m", "\x9b", "a\tb", "\u202e", "\udc80"], ids=ascii)
def test_printable_has_nothing_a_terminal_obeys(text: str) -> None:
    assert printable(text).isprintable()


@pytest.mark.parametrize("copies", [1, 2])
def test_records_that_no_codec_gives_back_are_not_complete(tmp_path: Path, copies: int) -> None:
    data = (
        batch([commit("g", offset=5)], Header(0))
        + refused_by_its_codec([commit("g")] * 3, Header(1))
        + batch([commit("g")], Header(4))
    )
    for broker in range(copies):
        directory = tmp_path / f"broker-{broker}" / "__consumer_offsets-3"
        directory.mkdir(parents=True)
        (directory / f"{0:020}.log").write_bytes(data + refused_by_its_codec([commit("g")], Header(5)) * broker)
    end = 5 if copies == 2 else 4
    found = one(tmp_path)
    spans = [(str(span.state), span.first_offset, span.last_offset) for span in found.coverage.spans]
    assert spans == [("complete", 0, 0), ("damaged", 1, 3), ("complete", 4, 4), ("damaged", 5, 5)][: end - 1]
    rows = offdecode.explain(tmp_path, on_problem=lambda problem: None).rows()
    told = [(row["log_offset"], row["signals"]) if row["type"] == "movement" else
            (row["first_log_offset"], row["last_log_offset"]) for row in rows]  # fmt: skip
    assert (
        told == [(0, ["group_unknown"]), (4, ["group_unknown", "earlier_records_missing"]), (1, 3), (5, 5)][: end - 1]
    )
    (group, _) = offdecode.state(tmp_path, on_problem=lambda problem: None).rows()
    assert group["incomplete_reason"].count("damaged") == end - 3
    assert "cannot be decoded" not in group["incomplete_reason"]
