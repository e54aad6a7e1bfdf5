"""Bad input: what the command says about it, how many problems it finds, and that all other rows are there."""

from __future__ import annotations

import os
import shutil
import struct
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from tests.command import TRANSACTIONS, Place, decode, places, run
from tests.segment_builder import (
    BASE_TIME_MS,
    TRANSACTIONAL,
    Header,
    Pair,
    batch,
    commit,
    log,
    marker,
    redpanda_batch,
    text,
    with_right_checksum,
)
from tests.truth import LogSet, Row

SEGMENT = "00000000000000000000.log"
NOT_OFFSETS = "this does not look like an offsets log"
PARTITION = 2


@cache
def batches() -> tuple[Row, ...]:
    """Kafka's own reading of the batches of one partition."""
    return tuple(item for item in LogSet(TRANSACTIONS).batches if item["log_partition"] == PARTITION)


@cache
def records() -> tuple[Row, ...]:
    return tuple(item for item in LogSet(TRANSACTIONS).records if item["log_partition"] == PARTITION)


@cache
def good() -> bytes:
    return (TRANSACTIONS / "log" / f"__consumer_offsets-{PARTITION}" / SEGMENT).read_bytes()


def places_without(*positions: int) -> list[Place]:
    """The records of the partition, but for those of the batches that start at these bytes."""
    return places([record for record in records() if record["batch_position"] not in positions])


def write(folder: Path, data: bytes, name: str = f"__consumer_offsets-{PARTITION}/{SEGMENT}") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


# What cannot be run


def missing(folder: Path) -> Path:
    return folder / "missing"


def directory_named_log(folder: Path) -> Path:
    (folder / "x.log").mkdir()
    return folder / "x.log"


def dangling_link(folder: Path) -> Path:
    (folder / "x.log").symlink_to("nowhere")
    return folder / "x.log"


def link_to_itself(folder: Path) -> Path:
    (folder / "x.log").symlink_to("x.log")
    return folder / "x.log"


def fifo(folder: Path) -> Path:
    os.mkfifo(folder / "x.log")
    return folder / "x.log"


def empty_directory(folder: Path) -> Path:
    return folder


def directory_without_log(folder: Path) -> Path:
    write(folder, b"", "orders-0/00000000000000000000.index")
    return folder


def below_a_file(folder: Path) -> Path:
    write(folder, b"", "file")
    return folder / "file" / "x.log"


@pytest.mark.parametrize(("make", "reason"), [
    (missing, "there is no such file or directory"),
    (directory_named_log, "the directory is empty"),
    (dangling_link, "there is no such file or directory"),
    (link_to_itself, ""),
    (fifo, "is neither a file nor a directory"),
    (empty_directory, "the directory is empty"),
    (directory_without_log, "no segment (*.log) and no directory __consumer_offsets-<partition> is in it; "
                            "--topic-name names a copy of the topic"),
    (below_a_file, ""),
], ids=lambda value: getattr(value, "__name__", ""))  # fmt: skip
def test_paths_that_lead_to_no_log(tmp_path: Path, make: Callable[[Path], Path], reason: str) -> None:
    path = make(tmp_path)
    done = decode(path, status=2)
    assert done.stdout == b""
    assert done.words.startswith(f"offdecode: {path}: {reason}" if reason else f"offdecode: {path}")
    # The same beside a good path: the mistake is said before anything is decoded.
    done = decode(TRANSACTIONS / "log", path, status=2)
    assert done.stdout == b""


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    path = write(tmp_path, good())
    path.chmod(0)
    done = decode(path, status=2, problems=1)
    assert done.problems[0]["kind"] == "unreadable"
    assert f"{path}: cannot be read: Permission denied" in done.words


@pytest.mark.parametrize("make", [directory_named_log, dangling_link, fifo], ids=lambda make: str(make.__name__))
def test_what_is_no_file_beside_a_good_segment(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    folder = write(tmp_path, good()).parent
    path = make(folder)
    done = decode(folder, status=1, problems=1)
    assert done.problems == [{
        "kind": "unreadable", "source": str(path), "log_partition": None, "position": None, "length": None,
        "log_offset": None, "message": "is not a regular file",
    }]  # fmt: skip
    assert places(done.rows) == places_without()


# What is no offsets log


def keys(count: int, key: Callable[[int], bytes | None]) -> list[Pair]:
    return [(key(index), f'{{"order":{index}}}'.encode()) for index in range(count)]


USER_KEYS: dict[str, Callable[[int], bytes | None]] = {
    "null": lambda index: None,
    "empty": lambda index: b"",
    "ascii": lambda index: f"customer-{index}".encode(),
    "digits": lambda index: str(index).encode(),
    "uuid": lambda index: f"{index * 7919:032x}".encode(),
    "json": lambda index: f'{{"id":{index}}}'.encode(),
    "int32": lambda index: struct.pack(">i", index),
    "int32-from-100000": lambda index: struct.pack(">i", 100_000 + index),
    "int32-from-131072": lambda index: struct.pack(">i", 0x20000 + index),
    "int64": lambda index: struct.pack(">q", index),
    "int64-time": lambda index: struct.pack(">q", BASE_TIME_MS + index),
    "int64-from-2-to-48": lambda index: struct.pack(">q", (1 << 48) + index),
    "avro": lambda index: b"\0" + struct.pack(">i", 3) + bytes([2 * index]),
}


@pytest.mark.parametrize("name", USER_KEYS)
def test_a_user_topics_log(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, log([keys(50, USER_KEYS[name])]), f"orders-0/{SEGMENT}")
    done = decode(path, status=2)
    assert done.stdout == b""
    assert done.words.startswith(f"offdecode: {path}: {NOT_OFFSETS}")


@pytest.mark.parametrize("name", ["null", "empty", "ascii", "digits", "uuid", "json"])
def test_a_single_record_of_a_user_topic(tmp_path: Path, name: str) -> None:
    """Of one record alone, numbers cannot be told from a damaged key: those become an undecodable row."""
    done = decode(write(tmp_path, log([keys(1, USER_KEYS[name])])), status=2)
    assert NOT_OFFSETS in done.words


def test_tombstones_of_a_user_topic(tmp_path: Path) -> None:
    pairs: list[Pair] = [(struct.pack(">q", index), None) for index in range(50)]
    done = decode(write(tmp_path, log([pairs])), status=2)
    assert NOT_OFFSETS in done.words


def test_a_user_topics_log_beside_an_offsets_log(tmp_path: Path) -> None:
    write(tmp_path, good())
    other = write(tmp_path, log([keys(50, USER_KEYS["ascii"])]), f"__consumer_offsets-7/{SEGMENT}")
    done = decode(tmp_path, status=1, problems=1)
    assert done.problems[0]["kind"] == "not_an_offsets_log"
    assert done.problems[0]["source"] == str(other)
    assert places(done.rows) == places_without()


@pytest.mark.parametrize("data", [b"hello there\n", b"a,b,c\n1,2,3\n" * 3, b'{"type":"offset_commit"}\n' * 10_000],
                         ids=["12-bytes", "36-bytes", "250-kB"])  # fmt: skip
def test_a_text_file(tmp_path: Path, data: bytes) -> None:
    path = write(tmp_path, data, "notes.txt")
    done = decode(path, status=2, problems=1)
    assert done.stdout == b""
    assert done.problems[0]["kind"] == "garbage_tail"
    assert (done.problems[0]["position"], done.problems[0]["length"]) == (0, len(data))
    assert done.problems[0]["message"].endswith("look like text")
    assert done.words.startswith(f"offdecode: {path}: {NOT_OFFSETS}")


@pytest.mark.parametrize(
    "question", ["groups", "state", "lag", "transactions", "generations", "explain", "growth", "check", "report"]
)
def test_a_text_file_beside_an_offsets_log(tmp_path: Path, question: str) -> None:
    """What is no offsets log is told; it has no end, and questions that wait for one answer from the others."""
    folder = tmp_path / f"__consumer_offsets-{PARTITION}"
    write(folder, good())
    notes = write(tmp_path, b"hello there\n", "notes.txt")
    alone, both = run(question, folder), run(question, folder, notes)
    assert both.status == 1
    assert "Traceback" not in both.stderr
    if question not in ("check", "report"):  # these tell of the file itself
        assert both.stdout == alone.stdout


def test_a_redpanda_segment(tmp_path: Path) -> None:
    path = write(tmp_path, redpanda_batch() * 3, "0-1-v1.log")
    done = decode(path, status=2)
    assert done.stdout == b""
    assert done.words == (
        f"offdecode: {path}: this is a Redpanda segment, whose batches differ from Kafka's; offdecode reads Kafka's"
    )


# What is fine


@pytest.mark.parametrize("form", ["alone", "first", "last"])
def test_a_segment_of_no_bytes(tmp_path: Path, form: str) -> None:
    names = {"alone": [], "first": [SEGMENT, "x.log"], "last": [f"{90:020}.log", SEGMENT]}[form]
    folder = tmp_path / f"__consumer_offsets-{PARTITION}"
    write(folder, b"", names[0] if names else SEGMENT)
    if names:
        write(folder, good(), names[1])
    assert places(decode(folder).rows) == (places_without() if names else [])


# Damage


@pytest.mark.parametrize("left", [1, 7, 16, 17, 60, 61, 62, -20, -1], ids=str)
def test_a_torn_last_batch(tmp_path: Path, left: int) -> None:
    """left: how many bytes of the last batch are there, or with a minus, are not."""
    last = batches()[-1]
    left %= last["batch_size"]
    path = write(tmp_path, good()[: last["batch_position"] + left])
    done = decode(path, status=1, problems=1)
    (problem,) = done.problems
    zeros = not any(good()[last["batch_position"] :][:left])  # the first bytes of its offset
    assert (problem["kind"], problem["source"]) == ("zero_tail" if zeros else "torn_batch", str(path))
    assert (problem["position"], problem["length"]) == (last["batch_position"], left)
    assert problem["log_partition"] == PARTITION
    assert problem["log_offset"] in (None, last["batch_base_offset"])
    assert places(done.rows) == places_without(last["batch_position"])


@pytest.mark.parametrize("size", [1, 60, 61, 4096, 10 << 20], ids=str)
def test_a_zero_tail(tmp_path: Path, size: int) -> None:
    done = decode(write(tmp_path, good() + bytes(size)), status=1, problems=1)
    (problem,) = done.problems
    assert (problem["kind"], problem["position"], problem["length"]) == ("zero_tail", len(good()), size)
    assert places(done.rows) == places_without()


def test_a_segment_of_zeros_only(tmp_path: Path) -> None:
    done = decode(write(tmp_path, bytes(5000)), status=1, problems=1)
    assert (done.problems[0]["kind"], done.stdout) == ("zero_tail", b"")


def test_a_tail_of_garbage(tmp_path: Path) -> None:
    done = decode(write(tmp_path, good() + b"\xde\xad\xbe\xef" * 500), status=1, problems=1)
    assert (done.problems[0]["kind"], done.problems[0]["position"]) == ("garbage_tail", len(good()))
    assert places(done.rows) == places_without()


def flipped(data: bytes, position: int, bit: int = 0) -> bytes:
    changed = bytearray(data)
    changed[position] ^= 1 << bit
    return bytes(changed)


def assert_missing(problems: list[Row], first: int, last: int) -> None:
    """Where a batch is lost between two others, its offsets are named."""
    for problem in problems:
        assert (problem["kind"], problem["log_offset"]) == ("missing_offsets", first)
        assert problem["message"].startswith(f"offsets {first} to {last} are missing")


@pytest.mark.parametrize("which", ["first", "middle", "last"])
def test_a_flipped_bit(tmp_path: Path, which: str) -> None:
    index = {"first": 0, "middle": len(batches()) // 2, "last": len(batches()) - 1}[which]
    bad = batches()[index]
    start, size = bad["batch_position"], bad["batch_size"]
    path = write(tmp_path, flipped(good(), start + size - 3))
    done = decode(path, status=1, problems=2 if which == "middle" else 1)
    assert done.problems[0] == {
        "kind": "bad_crc", "source": str(path), "log_partition": PARTITION, "position": start, "length": size,
        "log_offset": bad["batch_base_offset"], "message": done.problems[0]["message"],
    }  # fmt: skip
    assert "checksum is wrong" in done.problems[0]["message"]
    assert_missing(done.problems[1:], bad["batch_base_offset"], bad["batch_last_offset"])
    assert places(done.rows) == places_without(start)
    assert all("crc_valid" not in row for row in done.rows)


def test_include_bad_crc_shows_the_batch(tmp_path: Path) -> None:
    pairs = [commit("g", partition=index) for index in range(3)]
    size = len(log([pairs]))
    path = write(tmp_path, flipped(log([pairs] * 3), 2 * size - 4))  # the last record's commit timestamp
    without = decode(path, status=1, problems=2)
    assert_missing(without.problems[1:], 3, 5)
    assert [row["log_offset"] for row in without.rows] == [0, 1, 2, 6, 7, 8]
    done = decode(path, "--include-bad-crc", status=1, problems=2)
    assert [(row["log_offset"], row["crc_valid"]) for row in done.rows] == [
        (offset, offset not in (3, 4, 5)) for offset in range(9)
    ]
    assert done.rows[5]["commit_timestamp"] != BASE_TIME_MS
    assert "left out" not in done.problems[0]["message"]
    batch_columns = decode(path, "--include-bad-crc", "--with-batch", status=1, problems=2).rows
    assert [row["crc_valid"] for row in batch_columns] == [row["crc_valid"] for row in done.rows]


def test_the_status_is_unknown_behind_lost_bytes(tmp_path: Path) -> None:
    """A marker that was lost cannot be known: neither it nor the next one decides what lies before it."""
    transactional = [
        batch([commit("g", offset=offset)], Header(offset, TRANSACTIONAL, producer_id=5, producer_epoch=0))
        for offset in (0, 2)
    ]
    data = [transactional[0], marker(1, 5, commit=True), transactional[1], marker(3, 5, commit=False)]
    rows = decode(write(tmp_path, b"".join(data))).rows
    assert [row["transaction"] for row in rows] == ["committed", None, "aborted", None]
    data[1] = flipped(data[1], len(data[1]) - 1)
    done = decode(write(tmp_path, b"".join(data)), status=1, problems=2)
    assert_missing(done.problems[1:], 1, 1)
    assert [(row["log_offset"], row["transaction"]) for row in done.rows] == [(0, "unknown"), (2, "aborted"), (3, None)]


def test_bytes_between_batches(tmp_path: Path) -> None:
    middle = batches()[len(batches()) // 2]["batch_position"]
    done = decode(write(tmp_path, good()[:middle] + b"junk" * 250 + good()[middle:]), status=1, problems=1)
    (problem,) = done.problems
    assert (problem["kind"], problem["position"], problem["length"]) == ("damaged_bytes", middle, 1000)
    assert places(done.rows) == places_without()


def test_a_bad_length_does_not_swallow_what_follows(tmp_path: Path) -> None:
    bad = batches()[len(batches()) // 2]
    start, size = bad["batch_position"], bad["batch_size"]
    done = decode(write(tmp_path, flipped(good(), start + 9, bit=2)), status=1, problems=2)
    problem, *missing = done.problems
    assert_missing(missing, bad["batch_base_offset"], bad["batch_last_offset"])
    assert (problem["kind"], problem["position"], problem["length"]) == ("damaged_bytes", start, size)
    assert places(done.rows) == places_without(start)


def test_bytes_that_no_codec_takes(tmp_path: Path) -> None:
    for codec in (1, 2, 3, 4, 5, 7):
        one = batch([commit("lost")], Header(1, attributes=codec))
        path = write(tmp_path, log([[commit("good")]]) + one + batch([commit("good")], Header(2)))
        done = decode(path, status=1, problems=1)
        assert done.problems[0]["kind"] == "bad_compression"
        assert (done.problems[0]["log_offset"], done.problems[0]["length"]) == (1, len(one))
        assert [row["log_offset"] for row in done.rows] == [0, 2]


# Records


def test_undecodable_and_unknown_records(tmp_path: Path) -> None:
    key, value = commit("g")
    assert key is not None
    assert value is not None
    group = struct.pack(">h", 2) + text("g")
    pairs: list[tuple[Pair, str, str | None]] = [
        ((key, value), "offset_commit", None),
        ((key, value[:-1]), "undecodable", "value.commit_timestamp: "),
        ((key, value + b"\0"), "undecodable", "value"),
        ((key[:-1], value), "undecodable", "key.partition: "),
        ((key + b"\0", None), "undecodable", "key"),
        ((key, b""), "undecodable", "value: needs 2 bytes of version"),
        ((key, b"\0"), "undecodable", "value: needs 2 bytes of version"),
        ((b"\0", value), "undecodable", "key: needs 2 bytes"),
        ((b"", value), "undecodable", "key: needs 2 bytes"),
        ((group, struct.pack(">hh", 3, -5) + bytes(40)), "undecodable", "value.protocol_type: "),
        ((struct.pack(">h", 99) + b"new", b"\0\0new"), "unknown", "unknown key type 99"),
        ((struct.pack(">h", -1) + b"new", None), "unknown", "unknown key type -1"),
        ((key, struct.pack(">h", 9) + b"new"), "unknown", "unknown version 9 of OffsetCommitValue"),
        ((key, struct.pack(">h", -1) + b"new"), "unknown", "unknown version -1 of OffsetCommitValue"),
        ((key, None), "offset_commit", None),
    ]
    data = log([[pair for pair, _, _ in pairs]])
    path = write(tmp_path, data)
    expected = [(offset, reason) for offset, (_, name, reason) in enumerate(pairs) if name == "undecodable"]
    done = decode(path, status=1, problems=len(expected))
    for (pair, name, reason), row in zip(pairs, done.rows, strict=True):
        assert row["type"] == name
        if reason is not None:
            assert row["reason"].startswith(reason)
            assert (row["key_hex"], row["value_hex"]) == tuple(None if item is None else item.hex() for item in pair)
    for (offset, _), problem in zip(expected, done.problems, strict=True):
        assert (problem["kind"], problem["log_offset"]) == ("undecodable_record", offset)
        assert (problem["position"], problem["length"]) == (0, len(data)), "the place of the record's batch"
        assert problem["message"] == done.rows[offset]["reason"]


def test_unknown_records_are_no_problem(tmp_path: Path) -> None:
    newer: Pair = (struct.pack(">h", 99) + b"new", b"\0\0new")
    done = decode(write(tmp_path, log([[commit("g"), newer]])))
    assert [row["type"] for row in done.rows] == ["offset_commit", "unknown"]


def test_a_filter_on_rows_does_not_hide_problems(tmp_path: Path) -> None:
    key, value = commit("g")
    assert value is not None
    path = write(tmp_path, log([[(key, value), (key, value[:-1])]]))
    done = decode(path, "--type", "offset_commit", status=1, problems=1)
    assert len(done.rows) == 1


def test_a_record_that_its_batch_cannot_hold(tmp_path: Path) -> None:
    """A batch with a right checksum that says three records and holds two."""
    whole = bytearray(batch([commit("a"), commit("b")], Header(1)))
    whole[57:61] = struct.pack(">i", 3)
    done = decode(write(tmp_path, log([[commit("g")]]) + with_right_checksum(whole)), status=1, problems=1)
    assert done.problems[0]["kind"] == "bad_record"
    assert [row["log_offset"] for row in done.rows] == [0, 1, 2]


def test_bytes_left_behind_a_batchs_records(tmp_path: Path) -> None:
    whole = bytearray(batch([commit("a"), commit("b")], Header(1)))
    whole[57:61] = struct.pack(">i", 1)
    done = decode(write(tmp_path, log([[commit("g")]]) + with_right_checksum(whole)), status=1, problems=1)
    assert done.problems[0]["kind"] == "bad_batch"
    assert [row["log_offset"] for row in done.rows] == [0, 1]


def test_times_outside_the_calendar(tmp_path: Path) -> None:
    key, value = commit("g")
    assert value is not None
    late = value[:-8] + struct.pack(">q", 1 << 60)
    path = write(tmp_path, log([[commit("g"), (key, late)]]))
    assert [row["commit_timestamp"] for row in decode(path).rows] == [BASE_TIME_MS, 1 << 60]
    assert [row["commit_timestamp"] for row in decode(path, "--timestamps", "iso").rows][1] == 1 << 60
    done = decode(path, "-o", tmp_path / "rows.parquet", status=1, problems=1)
    (problem,) = done.problems
    assert problem["kind"] == "timestamp_out_of_range"
    assert (problem["log_partition"], problem["log_offset"]) == (PARTITION, 1)


def test_a_good_log_has_no_problems(tmp_path: Path) -> None:
    shutil.copytree(TRANSACTIONS / "log", tmp_path / "log")
    assert places(decode(tmp_path).rows) == places(LogSet(TRANSACTIONS).records)
