"""Batches of format 2 to records: long ones, damaged ones, and compressed ones that are out of the ordinary."""

from __future__ import annotations

import gzip
import struct

import pytest

from offdecode.errors import DecompressionError
from offdecode.log.compression import decompress
from offdecode.log.doubtful import MOST_PROBLEMS
from tests.messages import GZIP, LZ4, SNAPPY, ZSTD, batch, compressed, read, record, varint

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
