"""Message formats 0 and 1: fixtures against Kafka's reading, hand-made edge cases, damage."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from offdecode.log.batches import iter_frames
from offdecode.log.compression import CODECS, MAX_DECOMPRESSED_BYTES
from offdecode.log.headers import checksum_right, entry_end
from offdecode.log.records import iter_records
from offdecode.model import Chunk, Problem
from offdecode.sources.segments import find_logs, open_segment, read_chunk
from tests.messages import (
    GZIP,
    LOG_APPEND_TIME,
    LZ4,
    SNAPPY,
    ZSTD,
    batch,
    compressed,
    entry,
    message,
    read,
    record,
    wrapper,
)

FIXTURES = Path(__file__).parent.parent.parent / "fixtures" / "segments"
SETS = {
    "kafka-0.9-magic0": {0},
    "kafka-0.10.2-lz4-magic0-compacted": {0},
    "kafka-0.10.2-gzip-magic1-compacted": {1},
    "kafka-0.10.2-snappy-magic1-logappend": {1},
    "kafka-2.8.2-versions": {0, 1, 2},
    "kafka-upgrade-0.10-0.11-2.8": {1, 2},
}
# Every format and codec; lengths differ, and in some places they are equal, so that wrong ones may fit by chance.
PARTS = [
    message(0, 10, b"key-ten", b"value"),
    message(1, 11, b"k", None, 1500),
    wrapper(1, 14, message(1, 0, b"a", b"1", 7) + message(1, 1, b"b", b"2", 8) + message(1, 2, b"c", None, 9), SNAPPY),
    batch(15, [record(0, b"k15", b"v"), record(1, b"k16", None)], 1000),
    wrapper(0, 18, message(0, 17, b"a" * 20, b"1") + message(0, 18, b"b", b"2" * 30), LZ4),
    batch(19, [record(0, b"k19", b"v" * 20)], 1000),
    message(0, 20, b"key", b"value" * 3),
    message(0, 21, b"key", b"value" * 3),
    message(1, 22, b"key", b"value" * 3, 2000),
    message(0, 23, b"x", b"y"),
]
SEGMENT = b"".join(PARTS)
STARTS = [sum(map(len, PARTS[:index])) for index in range(len(PARTS))]
WHOLE = read(SEGMENT)


def truth(name: str, file: str) -> list[dict[str, Any]]:
    with gzip.open(FIXTURES / name / file, "rt", encoding="utf-8") as stream:
        return [json.loads(line) for line in stream]


@pytest.mark.parametrize("chunk_bytes", [1 << 22, 1000], ids=["one-chunk", "small-chunks"])
@pytest.mark.parametrize("name", SETS)
def test_frames_and_positions_equal_kafkas_reading(name: str, chunk_bytes: int) -> None:
    found = find_logs([FIXTURES / name])
    problems: list[Problem] = list(found.problems)
    batches, rows = [], []
    for log in found.logs:
        for segment in log.segments:
            with open_segment(segment) as reader:

                def chunk_at(
                    position: int, size: int, reader: Any = reader, segment: Any = segment, log: Any = log
                ) -> Any:
                    return read_chunk(reader, segment, log.log_partition, position, size)

                for frames in iter_frames(chunk_at, chunk_bytes):
                    problems += frames.problems
                    for index in range(len(frames)):
                        legacy_kind = "LogAppendTime" if frames.log_append_time[index] else "CreateTime"
                        batches.append(
                            {
                                "log_partition": log.log_partition,
                                "segment": segment.location.name,
                                "batch_position": frames.chunk.position + int(frames.position[index]),
                                "size": int(frames.end[index] - frames.position[index]),
                                "batch_base_offset": int(frames.base_offset[index]),
                                "batch_last_offset": int(frames.last_offset[index]),
                                "magic": int(frames.magic[index]),
                                "codec": CODECS[frames.codec[index]],
                                "timestamp_type": "NoTimestampType" if frames.magic[index] == 0 else legacy_kind,
                                "max_timestamp": int(frames.max_timestamp[index]),
                                "crc_valid": bool(frames.crc_valid[index]),
                                "producer_id": int(frames.producer_id[index]),
                                "producer_epoch": int(frames.producer_epoch[index]),
                                "base_sequence": int(frames.base_sequence[index]),
                                "is_transactional": bool(frames.transactional[index]),
                                "is_control": bool(frames.control[index]),
                                "partition_leader_epoch": int(frames.leader_epoch[index]),
                                "records": int(frames.count[index]),
                            }
                        )
                    for records in iter_records(frames, frames.crc_valid):
                        problems += records.problems
                        for index in range(len(records)):
                            key, value = records.key(index), records.value(index)
                            assert records.has_timestamp[index] == (frames.magic[records.frame[index]] > 0)
                            rows.append(
                                (
                                    log.log_partition,
                                    segment.location.name,
                                    int(records.log_offset[index]),
                                    int(records.log_timestamp[index]),
                                    None if key is None else key.hex(),
                                    None if value is None else value.hex(),
                                )
                            )
    names = ("log_partition", "segment", "log_offset", "log_timestamp", "key_hex", "value_hex")
    wanted_batches = truth(name, "batches.jsonl.gz")
    assert problems == []
    assert rows == [tuple(line[field] for field in names) for line in truth(name, "records.jsonl.gz")]
    assert len(batches) == len(wanted_batches)
    for ours, theirs in zip(batches, wanted_batches, strict=True):
        assert ours == {field: theirs[field] for field in ours}
    assert {line["magic"] for line in batches} == SETS[name]


INNER = message(1, 0, b"a", b"1", 5) + message(1, 1, b"b", None, 6)


@pytest.mark.parametrize("codec", [GZIP, SNAPPY, LZ4], ids=["gzip", "snappy", "lz4"])
def test_wrappers_of_every_codec(codec: int) -> None:
    new = read(wrapper(1, 101, INNER, codec))
    old = read(wrapper(0, 101, message(0, 100, b"a", b"1") + message(0, 101, b"b", None), codec))
    assert (new.kinds, new.rows) == ([], [(100, 5, b"a", b"1"), (101, 6, b"b", None)])
    assert (old.kinds, old.rows) == ([], [(100, None, b"a", b"1"), (101, None, b"b", None)])


def test_holes_that_the_cleaner_left_keep_their_offsets() -> None:
    inner = b"".join(message(1, offset, b"k", b"v") for offset in (0, 6, 7, 8))
    found = read(wrapper(1, 235, inner))
    assert [row[0] for row in found.rows] == [227, 233, 234, 235]
    frames = found.frames[0]
    assert (frames.base_offset.tolist(), frames.last_offset.tolist(), frames.count.tolist()) == ([227], [235], [4])


def test_wrapper_offset_0_of_old_librdkafka() -> None:
    found = read(wrapper(1, 0, INNER))
    assert (found.kinds, [row[0] for row in found.rows]) == ([], [0, 1])


def test_log_append_time_stands_on_the_wrapper() -> None:
    found = read(wrapper(1, 7, INNER, timestamp=99, attributes=LOG_APPEND_TIME))
    assert [row[:2] for row in found.rows] == [(6, 99), (7, 99)]
    assert found.frames[0].log_append_time.all()


def test_inner_format_decides_on_the_timestamp() -> None:
    mixed = message(0, 3, b"a", b"1") + message(1, 4, b"b", b"2", 8)
    assert [row[:2] for row in read(wrapper(0, 4, mixed)).rows] == [(3, None), (4, 8)]
    assert [row[:2] for row in read(wrapper(1, 40, mixed)).rows] == [(39, None), (40, 8)]


@pytest.mark.parametrize("magic", [0, 1])
@pytest.mark.parametrize(
    ("key", "value"),
    [(None, None), (b"", b""), (None, b"v"), (b"k", None)],
    ids=["nulls", "empty", "no-key", "no-value"],
)
def test_null_is_not_empty(magic: int, key: bytes | None, value: bytes | None) -> None:
    found = read(message(magic, 3, key, value, 4))
    assert (found.kinds, found.rows) == ([], [(3, 4 if magic else None, key, value)])


def test_header_of_a_message_has_no_producer() -> None:
    frames = read(message(1, 3, b"k", b"v", 4, LOG_APPEND_TIME) + message(0, 4, b"k", b"v", attributes=0x78)).frames[0]
    for vector in (frames.leader_epoch, frames.producer_id, frames.producer_epoch, frames.base_sequence):
        assert vector.tolist() == [-1, -1]
    assert not (frames.transactional | frames.control | frames.delete_horizon).any()
    assert frames.log_append_time.tolist() == [True, False]
    assert frames.max_timestamp.tolist() == frames.base_timestamp.tolist() == [4, -1]


def lz4_frame(checksum: int | None) -> bytes:
    frame = bytearray(compressed(LZ4, message(0, 5, b"a", b"1")))
    if checksum is not None:
        frame[6] = checksum
    return bytes(frame)


def test_lz4_header_checksum_may_be_wrong_in_format_0_only() -> None:
    right = lz4_frame(None)[6]
    for checksum in (None, right ^ 0x98):  # what KAFKA-3160 wrote is in the fixtures: 0x1a where 0x82 is right
        value = lz4_frame(checksum)
        assert read(message(0, 5, None, value, attributes=LZ4)).rows == [(5, None, b"a", b"1")]
        found = read(message(1, 5, None, value, attributes=LZ4) + message(1, 6, b"k", b"v"))
        assert found.kinds == ([] if checksum is None else ["bad_compression"])
        assert found.rows[-1] == (6, 0, b"k", b"v")


REFUSED = {
    "zstd": (message(1, 5, None, compressed(ZSTD, INNER), attributes=ZSTD), "bad_compression"),
    "unknown-codec": (message(1, 5, None, INNER, attributes=7), "bad_compression"),
    "no-value": (message(1, 5, b"k", None, attributes=GZIP), "bad_compression"),
    "not-gzip": (message(1, 5, None, b"\x1f\x8bnot gzip", attributes=GZIP), "bad_compression"),
    "nested": (wrapper(1, 5, wrapper(1, 1, INNER)), "bad_batch"),
    "nested-beside-a-plain-one": (wrapper(1, 5, message(1, 0, b"k", b"v") + wrapper(1, 1, INNER)), "bad_batch"),
    "empty": (wrapper(1, 5, b""), "bad_batch"),
    "inner-batch-of-format-2": (wrapper(1, 5, batch(0, [record(0, b"k", b"v")])), "bad_batch"),
    "inner-offset-above-the-wrapper's": (wrapper(1, 5, message(1, 6, b"k", b"v")), "bad_batch"),
    "too-large": (wrapper(1, 5, message(1, 0, None, bytes(MAX_DECOMPRESSED_BYTES))), "bad_compression"),
    "key-longer-than-the-message": (entry(5, b"\x00\x00" + b"\x00\x00\x00\x09" + b"\x00" * 8), "bad_record"),
    "value-shorter-than-the-message": (entry(5, b"\x00\x00" + b"\xff" * 4 + b"\x00" * 4 + b"left over"), "bad_record"),
    "negative-lengths": (entry(5, b"\x00\x00" + b"\xff\xff\xff\xfe" * 2), "bad_record"),
    "wrapper-key-too-long": (entry(5, b"\x01\x01" + bytes(8) + b"\x7f" * 4 + b"\xff" * 4), "bad_compression"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_one_problem_and_reading_goes_on(name: str) -> None:
    bad, kind = REFUSED[name]
    found = read(message(1, 4, b"before", b"") + bad + message(0, 6, b"after", b""))
    assert found.kinds == [kind]
    assert found.problems[0].position == len(message(1, 4, b"before", b""))
    assert [row[2] for row in found.rows] == [b"before", b"after"]


def test_wrong_inner_checksum_loses_one_record() -> None:
    bad = bytearray(message(1, 1, b"b", b"2"))
    bad[-1] ^= 1
    found = read(wrapper(1, 12, message(1, 0, b"a", b"1") + bytes(bad) + message(1, 2, b"c", b"3")))
    assert [(row[0], row[2]) for row in found.rows] == [(10, b"a"), (12, b"c")]
    assert [(problem.kind, problem.log_offset) for problem in found.problems] == [("bad_record", 11)]


def test_bytes_behind_the_last_inner_message_are_reported() -> None:
    found = read(wrapper(1, 12, INNER + INNER[:20]))
    assert (found.kinds, [row[0] for row in found.rows]) == (["bad_batch"], [11, 12])
    assert "20 bytes" in found.problems[0].message


def test_problems_of_one_wrapper_are_bounded() -> None:
    bad = bytearray(message(0, 1, None, None))
    bad[13] ^= 1
    found = read(wrapper(0, 5, bytes(bad) * 1000 + message(0, 1, b"k", None)))
    assert found.kinds == ["bad_record"] * 17
    assert "984 more" in found.problems[-1].message
    assert len(found.rows) == 1


@pytest.mark.parametrize("offset", [2**63 - 1, -(2**63), -1], ids=["largest", "smallest", "-1"])
def test_extreme_offsets_raise_nothing(offset: int) -> None:
    for inner in (offset, 0, 2**63 - 1, -(2**63)):
        for magic in (0, 1):
            read(wrapper(magic, offset, message(magic, inner, b"k", b"v") + message(magic, -inner % 2**63, b"k", b"v")))


def test_formats_alternate_inside_a_segment() -> None:
    found = read(SEGMENT)
    assert found.problems == []
    assert found.frames[0].magic.tolist() == [0, 1, 1, 2, 0, 2, 0, 0, 1, 0]
    assert [row[0] for row in found.rows] == list(range(10, 24))
    assert found.rows[8] == (18, None, b"b", b"2" * 30)


@pytest.mark.parametrize("chunk_bytes", [1, 26, 61, 100, 300])
def test_chunk_borders_change_nothing(chunk_bytes: int) -> None:
    found = read(SEGMENT, chunk_bytes)
    assert (found.problems, found.rows, found.row_positions) == ([], WHOLE.rows, WHOLE.row_positions)


@pytest.mark.parametrize("chunk_bytes", [1 << 20, 100], ids=["one-chunk", "small-chunks"])
def test_every_prefix_gives_its_whole_batches_and_one_problem(chunk_bytes: int) -> None:
    for size in range(len(SEGMENT) + 1):
        found = read(SEGMENT[:size], chunk_bytes)
        whole = [start for start, part in zip(STARTS, PARTS, strict=True) if start + len(part) <= size]
        assert found.rows == [row for start in whole for row in WHOLE.rows_at(start)], size
        cut = SEGMENT[sum(map(len, PARTS[: len(whole)])) : size]
        # A cut inside the zeros that an offset starts with cannot be told from a zero tail.
        kinds = [] if not cut else ["torn_batch"] if any(cut) else ["zero_tail"]
        assert found.kinds == kinds, size


@pytest.mark.parametrize("chunk_bytes", [1 << 20, 400], ids=["one-chunk", "small-chunks"])
@pytest.mark.parametrize("mask", [0x01, 0x40, 0xFF], ids=hex)
def test_every_byte_flipped_costs_its_own_batch_only(mask: int, chunk_bytes: int) -> None:
    for position in range(len(SEGMENT)):
        damaged = bytearray(SEGMENT)
        damaged[position] ^= mask
        found = read(bytes(damaged), chunk_bytes)
        hit = max(index for index, start in enumerate(STARTS) if start <= position)
        for index, start in enumerate(STARTS):
            if index != hit:
                assert found.rows_at(start) == WHOLE.rows_at(start), (position, index, found.problems)
        byte = position - STARTS[hit]
        legacy = SEGMENT[STARTS[hit] + 16] < 2
        if byte < 8 or (not legacy and 12 <= byte < 16):  # the offset and the leader epoch are under no checksum
            assert set(found.kinds) <= {"bad_batch"}, position
        elif 8 <= byte < 12:  # a length may be wrong in a way that looks like two damages
            assert found.problems, position
            assert len(found.problems) <= 2, position
        else:
            assert len(found.problems) == 1, (position, found.problems)
            assert not found.rows_at(STARTS[hit]), position


@pytest.mark.parametrize("tail", [1, 25, 26, 60, 61, 5000])
def test_zero_tail_behind_messages(tail: int) -> None:
    found = read(SEGMENT + bytes(tail))
    assert (found.kinds, found.problems[0].length, found.rows) == (["zero_tail"], tail, WHOLE.rows)


def test_text_tail_behind_messages_is_no_torn_batch() -> None:
    found = read(SEGMENT + b"this is no message at all")
    assert (found.kinds, found.rows) == (["garbage_tail"], WHOLE.rows)


@pytest.mark.parametrize("chunk_bytes", [1 << 20, 300], ids=["one-chunk", "small-chunks"])
def test_garbage_between_messages_is_one_gap(chunk_bytes: int) -> None:
    random = np.random.default_rng(8)
    for seed in range(20):
        garbage = random.integers(0, 256, int(random.integers(1, 400)), np.uint8).tobytes()
        found = read(PARTS[0] + garbage + SEGMENT, chunk_bytes)
        assert found.kinds == ["damaged_bytes"], (seed, found.problems)
        assert (found.problems[0].position, found.problems[0].length) == (len(PARTS[0]), len(garbage))
        assert found.rows == WHOLE.rows_at(0) + WHOLE.rows


def test_wrong_length_does_not_swallow_equal_messages() -> None:
    """A length that is off by exactly one message ends where the next but one starts."""
    parts = [bytearray(message(1, offset, b"key", b"value" * 5)) for offset in range(9)]
    parts[3][8:12] = (len(parts[0]) * 2 - 12).to_bytes(4, "big")
    found = read(b"".join(parts))
    assert [row[0] for row in found.rows] == [0, 1, 2, 4, 5, 6, 7, 8]
    assert found.kinds == ["damaged_bytes"]
    assert found.problems[0].length == len(parts[3])


def test_many_bad_messages_are_passed_in_one_walk() -> None:
    bad = bytearray(message(0, 5, b"k", b"v"))
    bad[13] ^= 1
    found = read(message(0, 4, b"k", b"v") + bytes(bad) * 5000 + message(0, 6, b"k", b"v"))
    assert found.kinds == ["bad_crc"] * 5000
    assert [row[0] for row in found.rows] == [4, 6]


def test_overlapping_claims_cost_a_fixed_multiple(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where every place claims a batch that fills the segment, checksums run over a few times the segment only."""
    ran = 0

    def counting(chunk: Chunk, at: int) -> bool:
        nonlocal ran
        ran += entry_end(chunk, at) - at
        return checksum_right(chunk, at)

    monkeypatch.setattr("offdecode.log.resync.checksum_right", counting)
    size = 26 * 10_000
    heads = [
        entry(5, b"\x00\x00" + b"\xff" * 4 + (size - start - 26).to_bytes(4, "big"), crc=1)
        for start in range(0, size, 26)
    ]
    data = bytearray(b"".join(heads))
    for start in range(0, size, 26):
        data[start + 8 : start + 12] = (size - start - 12).to_bytes(4, "big")
    found = read(b"\xff" * 30 + bytes(data))
    assert len(found.problems) >= 1
    assert ran <= 17 * size + sum(range(0, 4096, 26))  # the small claims, at the end, are free


def damaged_pieces(seed: int) -> bytes:
    """A piece of a fixture with a few bytes flipped, overwritten, cut out, doubled."""
    random = Random(seed)
    paths = sorted(FIXTURES.glob("*/__consumer_offsets-*/*.log"))
    data = bytearray(random.choice([path for path in paths if path.parent.parent.name in SETS]).read_bytes())
    start = random.randrange(len(data))
    data = data[start : start + random.randrange(1, 12_000)]
    for _ in range(random.randrange(1, 6)):
        position = random.randrange(len(data) or 1)
        change = random.randrange(5)
        if change == 0:
            data[position : position + 1] = bytes(
                byte ^ 1 << random.randrange(8) for byte in data[position : position + 1]
            )
        elif change == 1:
            data[position : position + random.randrange(200)] = random.randbytes(random.randrange(200))
        elif change == 2:
            del data[position : position + random.randrange(3000)]
        elif change == 3:
            length = random.choice([-1, 0, 1, 14, 22, 26, 49, len(data), 2**31 - 1, -(2**31)])
            data[position : position + 4] = length.to_bytes(4, "big", signed=True)
        else:
            data[position:position] = data[: random.randrange(500)]
    return bytes(data)


@pytest.mark.parametrize("seed", range(40))
def test_damage_is_read_alike_whatever_the_chunks(seed: int) -> None:
    data = damaged_pieces(seed)
    whole = read(data)
    covered = sum(int((frames.end - frames.position).sum()) for frames in whole.frames)
    gaps = [problem for problem in whole.problems if problem.kind not in ("bad_crc", "bad_record", "bad_batch")]
    assert covered + sum(problem.length or 0 for problem in gaps) == len(data), (seed, whole.problems)
    for chunk_bytes in (1, 50, 300, 5000):
        found = read(data, chunk_bytes)
        assert found.rows == whole.rows, (seed, chunk_bytes, found.problems)
        assert len(found.problems) == len(whole.problems), (seed, chunk_bytes, found.problems)
