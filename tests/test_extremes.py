"""Times, offsets and numbers at the ends of their types, and side files that are none, in every command."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import offdecode.logs
from offdecode.model import Problem
from offdecode.sources.checkpoints import Checkpoints, read_checkpoints
from offdecode.sources.locations import LocalLocation
from offdecode.sources.segments import read_chunk
from tests.asking import a_request, decode
from tests.command import run
from tests.segment_builder import BASE_TIME_MS, TRANSACTIONAL, Header, Pair, batch, commit, log, marker, text

FIRST_MS, LAST_MS = -(1 << 63), (1 << 63) - 1
BEYOND_CALENDAR_MS = 1 << 60


def group(generation: int) -> Pair:
    value = struct.pack(">h", 3) + text("consumer") + struct.pack(">i", generation) + text("range") + text("m")
    return struct.pack(">h", 2) + text("g"), value + struct.pack(">qi", BASE_TIME_MS, 0)


def transactions_far_apart() -> bytes:
    waits = Header(0, TRANSACTIONAL, 5, 0)
    return (
        batch([commit("g")], replace(waits, timestamp=1 << 62))
        + marker(1, 5, commit=True)
        + batch([commit("g")], replace(waits, base_offset=2, producer_id=6, timestamp=FIRST_MS))
        + batch([commit("g")], Header((1 << 63) - 2))
    )


def generations_far_apart() -> bytes:
    return (
        batch([group(1)], Header(0, timestamp=FIRST_MS))
        + batch([group(2)], Header(1, timestamp=LAST_MS))
        + batch([group(-5)], Header(2))
        + batch([group((1 << 31) - 1)], Header(3))
    )


def disputed_beyond_the_calendar() -> bytes:
    key, value = commit("g")
    assert value is not None
    late = value[:-8] + struct.pack(">q", BEYOND_CALENDAR_MS)
    return (
        batch([(key, value)], Header(0))
        + batch([(key, late)], Header(1, TRANSACTIONAL, 5, 0, timestamp=BEYOND_CALENDAR_MS))
        + batch([(key, None)], Header(2))
        + marker(3, 5, commit=True)
    )


def topic_gone_beyond_the_calendar() -> bytes:
    keys = [commit(group)[0] for group in ("a", "b", "c")]
    return log([[commit(group) for group in ("a", "b", "c")]]) + b"".join(
        batch([(key, None)], Header(3 + index, timestamp=BEYOND_CALENDAR_MS)) for index, key in enumerate(keys)
    )


SEGMENTS: dict[str, Callable[[], bytes]] = {
    "transactions": transactions_far_apart,
    "generations": generations_far_apart,
    "disputed": disputed_beyond_the_calendar,
    "topic_gone": topic_gone_beyond_the_calendar,
}
FEW_COMMANDS = [["decode"], ["check"], ["state"], ["explain"]]
COMMANDS = [
    ["decode"], ["check"], ["check", "--json"], ["state"], ["state", "--format", "table"], ["transactions"],
    ["transactions", "--format", "text"], ["generations"], ["generations", "--summary"], ["explain"],
    ["explain", "--format", "text"], ["decode", "--timestamps", "iso"], ["groups"], ["groups", "--format", "table"],
    ["groups", "--timestamps", "iso", "--idle-for", "999999999d"], ["groups", "--offsets-retention-minutes", "9" * 18],
    ["explain", "--offsets-retention-minutes", "9" * 18], ["lag", "--as-of", "9" * 19],
    ["growth"], ["report"], ["report", "--since", "-5"], ["growth", "--by", "hour", "--format", "table"],
]  # fmt: skip


def partition(folder: Path, data: bytes, name: str = f"{0:020}.log", directory: str = "__consumer_offsets-0") -> Path:
    """A data directory with a segment in it."""
    place = folder / "data" / directory
    place.mkdir(exist_ok=True, parents=True)
    (place / name).write_bytes(data)
    return place.parent


@pytest.mark.parametrize("name", SEGMENTS)
def test_no_command_breaks_at_the_ends_of_numbers(name: str, tmp_path: Path) -> None:
    place = partition(tmp_path, SEGMENTS[name]())
    for command in COMMANDS:
        assert run(*command, place).status in (0, 1), command
    for name in ("decode", "state", "transactions", "generations", "explain", "groups", "growth"):
        done = run(name, place, "-o", tmp_path / name, "--format", "parquet")
        assert done.status in (0, 1), done.stderr


def test_what_64_bits_do_not_hold_is_null(tmp_path: Path) -> None:
    place = partition(tmp_path, transactions_far_apart() + generations_far_apart())
    rows = run("transactions", place).rows
    assert [row["duration_ms"] for row in rows if row["status"] == "open"] in ([None], [])
    rows = run("generations", partition(tmp_path, generations_far_apart())).rows
    assert [row["since_previous_ms"] for row in rows][:2] == [None, None]
    assert rows[-1]["missing_before"] == (1 << 31) - 1 + 5 - 1


@pytest.mark.parametrize("name", ["9999999999999999999.log", "99999999999999999999999999.log", "-5.log", "x.log"])
def test_names_that_are_no_offsets(name: str, tmp_path: Path) -> None:
    place = partition(tmp_path, log([[commit("g")]]), name)
    for command in FEW_COMMANDS:
        assert run(*command, place).status == 0, command


def test_partitions_beyond_int32(tmp_path: Path) -> None:
    place = partition(tmp_path, log([[commit("g")]]), directory="__consumer_offsets-2147483648")
    segment = place / "__consumer_offsets-2147483648" / f"{0:020}.log"
    for command in FEW_COMMANDS:
        assert run(*command, segment).status == 0, command
    assert run("decode", segment).rows[0]["log_partition"] is None
    assert run("decode", "--as-log-partition", "2147483648", segment).status == 2
    assert run("decode", "--log-partition", "2147483648", segment).status == 2


@pytest.mark.parametrize("time", ["9" * 30, "-" + "9" * 30, "9" * 5000])
def test_times_beyond_all(time: str, tmp_path: Path) -> None:
    place = partition(tmp_path, log([[commit("g")]]))
    for command in (["state", "--as-of", time], ["decode", "--since", time], ["decode", "--until", time]):
        assert run(*command, place).status == 0, command


def test_times_with_leading_zeros(tmp_path: Path) -> None:
    place = partition(tmp_path, log([[commit("g")]]))
    for time, count in ((f"{'0' * 30}{BASE_TIME_MS}", 1), (f"{'0' * 30}{BASE_TIME_MS + 1}", 0)):
        assert len(run("decode", "--since", time, place).rows) == count


def test_side_files_that_are_no_files(tmp_path: Path) -> None:
    """A FIFO must not be waited for, and much text is no checkpoint."""
    place = partition(tmp_path, log([[commit("g")]]))
    (place / "orders-0").mkdir()
    os.mkfifo(place / "orders-0" / "partition.metadata")
    os.mkfifo(place / "cleaner-offset-checkpoint")
    (place / "log-start-offset-checkpoint").mkdir()
    (place / "replication-offset-checkpoint").write_bytes(b"0\n1\n" + b"ab\n" * 1_000_000)
    for command in FEW_COMMANDS:
        assert run(*command, place).status == 0, command


def test_checkpoint_lines(tmp_path: Path) -> None:
    place = partition(tmp_path, log([[commit("g")]]))
    lines = "0\n3\n__consumer_offsets 10 5\n__consumer_offsets 0 7 \nother 0 9\n"
    (place / "replication-offset-checkpoint").write_text(lines, "utf-8")
    (place / "cleaner-offset-checkpoint").write_text("0\n1\n__consumer_offsets 0 x\n", "utf-8")
    (place / "log-start-offset-checkpoint").write_text(f"0\n1\n__consumer_offsets 0 {'9' * 30}\n", "utf-8")
    assert read_checkpoints(LocalLocation(place), "__consumer_offsets", 0) == Checkpoints(7, (1 << 63) - 1, None, None)
    assert read_checkpoints(LocalLocation(place), "__consumer_offsets", 10).high_watermark == 5


def test_many_open_producers_are_looked_for_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each segment opens a transaction that a marker in the last one ends: the log is not read for each anew."""
    count = 100
    for number in range(count):
        opened = batch([commit("g", partition=number)], Header(number, TRANSACTIONAL, 1000 + number, 0))
        partition(tmp_path, opened, f"{number:020}.log")
    ended = b"".join(marker(count + number, 1000 + number, commit=number % 2 == 0) for number in range(count))
    partition(tmp_path, ended, f"{count:020}.log")
    read = 0

    def counting(*arguments: object) -> object:
        nonlocal read
        read += 1
        return read_chunk(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(offdecode.logs, "read_chunk", counting)
    problems: list[Problem] = []
    chunks = decode(a_request(tmp_path, row_types=("offset_commit",)), problems.append)
    status = [one for chunk in chunks for _, rows in chunk for one in rows.column("transaction").to_pylist()]
    assert status == ["committed", "aborted"] * (count // 2)
    assert not problems
    assert read < 4 * count


def test_exported_lines_in_turn(tmp_path: Path) -> None:
    """Partitions that alternate cost no more than those that do not, and rows stay in order within each."""
    key, value = commit("g")
    line = {"key_hex": (key or b"").hex(), "value_hex": (value or b"").hex()}
    count = 20_000
    lines = [json.dumps({**line, "partition": number % 7, "offset": number}) for number in range(count)]
    file = tmp_path / "export.jsonl"
    file.write_text("\n".join(lines) + "\n", "utf-8")
    rows = run("decode", "--input-format", "records-jsonl", file).rows
    assert len(rows) == count
    for number in range(7):
        assert [row["log_offset"] for row in rows if row["log_partition"] == number] == list(range(number, count, 7))
    assert run("state", "--input-format", "records-jsonl", file).status == 0


def test_exported_lines_of_many_values(tmp_path: Path) -> None:
    file = tmp_path / "export.jsonl"
    good = json.dumps({"key_hex": (commit("g")[0] or b"").hex(), "value_hex": None})
    file.write_text(f'{good}\n{{"x":[{",".join(["{}"] * 50_000)}],"key_hex":"00"}}\n{good}\n', "utf-8")
    done = run("decode", "--input-format", "records-jsonl", file)
    assert len(done.rows) == 2
    assert [(problem["kind"], problem["message"]) for problem in done.problems] == [
        ("bad_export_line", "the line holds more than 10000 values")
    ]
