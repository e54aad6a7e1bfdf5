"""Batches of format 2 to records: long ones, damaged ones, and compressed ones that are out of the ordinary."""

from __future__ import annotations

import gzip
import random
import struct

import pytest

import offdecode.log.records
from offdecode.errors import DecompressionError
from offdecode.log.batches import iter_frames
from offdecode.log.compression import decompress
from offdecode.log.doubtful import MOST_PROBLEMS
from offdecode.model import Chunk
from tests import segment_builder
from tests.messages import GZIP, LZ4, SNAPPY, ZSTD, batch, compressed, message, read, reader_of, record, wrapper
from tests.segment_builder import varint

CODECS = {"none": 0, "gzip": GZIP, "snappy": SNAPPY, "lz4": LZ4, "zstd": ZSTD}


def numbered(count: int) -> list[bytes]:
    return [record(offset, b"key" + bytes(offset % 200), str(offset).encode()) for offset in range(count)]


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
@pytest.mark.parametrize("batches", [1, 40], ids=["one-by-one", "in-lockstep"])
def test_long_and_short_batches_together(batches: int, codec: int) -> None:
    """Few long batches are walked one by one, many together: both find every record."""
    counts = [3 + 97 * (index % 7) for index in range(batches)]
    data, offset, wanted = b"", 0, []
    for count in counts:
        data += batch(offset, numbered(count), codec=codec)
        wanted += [(offset + at, str(at).encode()) for at in range(count)]
        offset += count
    found = read(data)
    assert found.problems == []
    assert [(row[0], row[3]) for row in found.rows] == wanted


@pytest.mark.parametrize("others", [0, 40], ids=["alone", "among-others"])
@pytest.mark.parametrize(
    ("tail", "count", "kept", "problem"),
    [
        (varint(50) + bytes(10), 6, 5, "record of 50 bytes, 10 are left"),
        (varint(-3) + bytes(10), 6, 5, "record of -3 bytes"),
        (b"\x80" * 9, 6, 5, "varint has no end within 5 bytes"),
        (b"\x80" * 2, 6, 5, "the bytes end inside a varint"),
        (b"", 6, 5, "the bytes end inside a varint"),
        (b"", 2**31 - 1, 5, "more of its batch are lost"),
        (b"left over", 5, 5, "9 bytes are left after the batch's 5 records"),
        (varint(7) + b"\x00" * 7, 6, 5, "1 bytes are left in the record"),
    ],
    ids=["long", "negative", "endless", "cut", "missing", "lying-count", "left-over", "inexact"],
)
def test_bad_record_after_good_ones(tail: bytes, count: int, kept: int, problem: str, others: int) -> None:
    data = batch(0, [*numbered(5), tail], count=count) + batch(10, numbered(9)) * others
    found = read(data)
    assert len(found.problems) == 1
    assert problem in found.problems[0].message
    assert len(found.rows) == kept + 9 * others


def test_problems_of_one_batch_are_bounded() -> None:
    bad = varint(7) + bytes(7)
    found = read(batch(0, [bad] * 1000 + numbered(2)))
    assert found.kinds == ["bad_record"] * (MOST_PROBLEMS + 1)
    assert f"{1000 - MOST_PROBLEMS} more" in found.problems[-1].message
    assert len(found.rows) == 2


def test_gzip_members_follow_each_other() -> None:
    members = gzip.compress(b"one ") + gzip.compress(b"") * 1000 + gzip.compress(b"two" * 100_000)
    assert decompress(GZIP, members) == b"one " + b"two" * 100_000


@pytest.mark.parametrize("codec", [GZIP, SNAPPY, LZ4, ZSTD], ids=["gzip", "snappy", "lz4", "zstd"])
def test_limit_is_exact(codec: int) -> None:
    data = bytes(100_000)
    assert decompress(codec, compressed(codec, data), 100_000) == data
    with pytest.raises(DecompressionError, match="more than 99999 bytes"):
        decompress(codec, compressed(codec, data), 99_999)


@pytest.mark.parametrize("codec", [GZIP, SNAPPY, LZ4, ZSTD], ids=["gzip", "snappy", "lz4", "zstd"])
def test_every_prefix_of_compressed_bytes_is_refused_or_shorter(codec: int) -> None:
    data = struct.pack(">100i", *range(100))
    whole = compressed(codec, data)
    for size in range(1, len(whole)):
        try:
            assert data.startswith(decompress(codec, whole[:size]))
        except DecompressionError:
            continue


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
@pytest.mark.parametrize("count", [3, 2**31 - 1])
def test_records_that_are_claimed_and_not_there(count: int, codec: int) -> None:
    found = read(batch(0, [], codec=codec, count=count) + batch(3, numbered(1)))
    assert [problem.kind for problem in found.problems] == ["bad_record"]
    assert f"{count - 1} more of its batch are lost" in found.problems[0].message
    assert len(found.rows) == 1


def damaged_batches(seed: int) -> bytes:
    """Batches of all codecs between messages of formats 0 and 1, some with lying counts, bad records or headers."""
    randomly = random.Random(seed)
    data, offset = b"", 0
    for _ in range(randomly.randrange(1, 9)):
        count = randomly.randrange(1, 40)
        records = numbered(count)
        kind = randomly.randrange(6)
        if kind == 0:
            records[randomly.randrange(count)] = randomly.randbytes(9)
        elif kind == 1:
            records[randomly.randrange(count)] = with_header(3)
        claimed = randomly.choice((count - 1, count + 1, 2**31 - 1)) if kind == 2 else count
        if kind == 3:
            inner = b"".join(message(1, number, b"k", b"%d" % number) for number in range(count))
            data += wrapper(1, offset + count - 1, inner, randomly.choice((GZIP, SNAPPY, LZ4)))
        elif kind == 4:
            data += message(randomly.randrange(2), offset, b"k", b"v")
        else:
            data += batch(offset, records, codec=randomly.choice(list(CODECS.values())), count=claimed)
        offset += count
    return data


def with_header(offset_delta: int) -> bytes:
    body = b"\x00\x00" + varint(offset_delta) + varint(1) + b"k" + varint(1) + b"v" + varint(1) + varint(1) + b"h\x01"
    return varint(len(body)) + body


@pytest.mark.parametrize("most", [1, 2, 3, 7, 20])
def test_any_bound_finds_the_same_records(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(40):
        data = damaged_batches(seed)
        whole = read(data)
        with monkeypatch.context() as patched:
            patched.setattr(offdecode.log.records, "MOST_RECORDS", most)
            found = read(data)
        assert (found.rows, found.row_positions) == (whole.rows, whole.row_positions), f"seed {seed}"
        assert sorted(map(str, found.problems)) == sorted(map(str, whole.problems)), f"seed {seed}"


@pytest.mark.parametrize("headers", [False, True])
def test_varints_beyond_32_bits_lose_what_is_beyond(headers: bool) -> None:
    """As ByteUtils.readUnsignedVarint shifts it out: the offset delta is 1 here."""
    plain = record(0, b"k", b"v")
    assert plain[3:4] == b"\x00"
    rest = plain[4:] if not headers else with_header(0)[4:]
    body = plain[1:3] + bytes.fromhex("8280808010") + rest
    assert [row[0] for row in read(batch(0, [varint(len(body)) + body])).rows] == [1]


@pytest.mark.parametrize(
    ("value_bytes", "times"), [(100, 1), (400, 2), (1 << 17, 1)], ids=["commits", "generations", "huge"]
)
def test_more_is_read_at_once_where_records_are_as_large_as_generations(value_bytes: int, times: int) -> None:
    asked: list[int] = []
    data = segment_builder.log([[(b"key", bytes(value_bytes))]] * 20)
    read_chunk = reader_of(data)

    def noted(position: int, size: int) -> Chunk:
        asked.append(size)
        return read_chunk(position, size)

    chunk_bytes = len(data) // 5
    assert sum(int(frames.count.sum()) for frames in iter_frames(noted, chunk_bytes)) == 20
    assert set(asked) == {chunk_bytes, times * chunk_bytes}
