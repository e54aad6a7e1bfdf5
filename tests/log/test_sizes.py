"""Batches, records and strings of sizes that do not fit a chunk, or that many fit in: every record is read once."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from offdecode.model import Problem
from offdecode.request import Stats
from offdecode.schemas.rows import DEFAULT_OPTIONS
from offdecode.sinks.jsonl import JsonLinesSink
from tests.asking import a_request, decode
from tests.segment_builder import Header, batch, commit

_OFFSETS = re.compile(rb'"log_offset":([0-9]+),.*"group":"([^"]*)".*"offset":([0-9]+),')


def batches(counts: list[int], group: str = "g") -> Iterator[bytes]:
    """Batches of commits whose committed offset is the record's own offset in the log."""
    offset = 0
    for count in counts:
        yield batch([commit(group, offset=offset + index) for index in range(count)], Header(offset))
        offset += count


@pytest.mark.parametrize(
    ("counts", "group", "chunk_bytes"),
    [
        ([200_000], "g", 4 << 20),
        ([200_000], "g", 1 << 16),
        ([3, 200_000, 2] + [1] * 40, "g", 4 << 20),
        ([1] * 100_000, "g", 4 << 20),
        ([0] * 5000 + [1] + [0] * 5000, "g", 1 << 14),
        ([7, 1, 90] * 40, "group" * 20, 1009),
        ([2] * 50, "x" * 32_000, 1 << 12),
    ],
    ids=[
        "200k-in-a-batch", "200k-in-a-batch-over-many-chunks", "200k-between-small-ones", "100k-batches-of-one",
        "chunks-without-records", "records-across-borders", "strings-longer-than-chunks",
    ],
)  # fmt: skip
def test_every_record_is_read_once(counts: list[int], group: str, chunk_bytes: int, tmp_path: Path) -> None:
    path = tmp_path / "__consumer_offsets-0" / "00000000000000000000.log"
    path.parent.mkdir()
    path.write_bytes(b"".join(batches(counts, group)))
    stream, problems, stats = io.BytesIO(), list[Problem](), Stats()
    sink = JsonLinesSink(stream, DEFAULT_OPTIONS)
    for chunk in decode(a_request(path, chunk_bytes=chunk_bytes), problems.append, stats):
        sink.write(chunk)
    found = [_OFFSETS.search(line) for line in stream.getvalue().split(b"\n")[:-1]]
    rows = [match and (int(match[1]), match[2], int(match[3])) for match in found]
    assert rows == [(offset, group.encode(), offset) for offset in range(sum(counts))]
    assert (problems, stats.fallbacks, stats.batches) == ([], 0, len(counts))
