"""Bytes that a disk or a server refuses, in the middle of a segment: what is around them is read."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from offdecode import check
from offdecode.model import Problem
from offdecode.questions.check import Leftover, PartitionCheck
from offdecode.sources.unreadable import FILLER, PatientReader
from tests.asking import a_request, decode
from tests.segment_builder import Header, batch, commit

_GRAIN = 16


class BadPlaces:
    """A file in which some grains cannot be read. refused: how often."""

    def __init__(self, data: bytes, bad: set[int], grain: int = _GRAIN) -> None:
        self.data, self.bad, self.grain = data, bad, grain
        self.size = len(data)
        self.refused = 0

    def __enter__(self) -> BadPlaces:
        return self

    def __exit__(self, *exc: object) -> None:
        pass

    def read(self, position: int, size: int) -> bytes:
        part = self.data[position : position + size]
        if any(at // self.grain in self.bad for at in range(position, position + len(part))):
            self.refused += 1
            raise OSError(5, "Input/output error")
        return part

    def read_into(self, target: memoryview, position: int) -> int:
        part = self.read(position, len(target))
        target[: len(part)] = part
        return len(part)

    def changed(self, size: int) -> str | None:
        return None


def read_all(reader: BadPlaces, piece: int) -> tuple[bytes, list[tuple[int, int]]]:
    patient = PatientReader(reader, reader.size)
    data, ranges = bytearray(), []
    while len(data) < reader.size:
        target = bytearray(min(piece, reader.size - len(data)))
        assert patient.read_into(memoryview(target), len(data)) == len(target)
        data += target
        ranges += [(one.start, one.end) for one in patient.found_before(len(data))]
    return bytes(data), ranges


@pytest.mark.parametrize("piece", [_GRAIN // 2, 100, 1000, 10_000])
@pytest.mark.parametrize(("first", "last"), [(0, 0), (3, 3), (312, 312), (0, 2), (100, 179), (250, 312), (0, 312)])
def test_one_bad_range_is_found_exactly(first: int, last: int, piece: int) -> None:
    bad = set(range(first, last + 1))
    data = random.Random(1).randbytes(313 * _GRAIN - 5)
    reader = BadPlaces(data, bad)
    expected = bytearray(data)
    for grain in bad:
        length = len(data[grain * _GRAIN : (grain + 1) * _GRAIN])
        expected[grain * _GRAIN : grain * _GRAIN + length] = bytes([FILLER]) * length
    read, ranges = read_all(reader, piece)
    assert read == expected
    assert ranges == [(first * _GRAIN, min((last + 1) * _GRAIN, len(data)))]
    assert reader.refused <= 3 * 9 + 1


@pytest.mark.parametrize("seed", range(20))
def test_many_bad_ranges(seed: int) -> None:
    """No readable byte is wrong, and what is not given is told, with borders that are readable."""
    source = random.Random(seed)
    data = source.randbytes(400 * _GRAIN)
    bad = {grain for grain in range(400) if source.random() < 0.05}
    read, ranges = read_all(BadPlaces(data, bad), 777)
    missing = {at for start, end in ranges for at in range(start, end)}
    assert missing >= {at for at in range(len(data)) if at // _GRAIN in bad}
    assert all(read[at] == (FILLER if at in missing else data[at]) for at in range(len(data)))
    assert all(start // _GRAIN in bad and (end - 1) // _GRAIN in bad for start, end in ranges)


def test_what_refuses_everywhere_is_given_up() -> None:
    reader = BadPlaces(bytes(_GRAIN * 10_000), set(range(0, 10_000, 2)))
    _, ranges = read_all(reader, 4096)
    assert len(ranges) <= 1001
    assert ranges[-1][1] == reader.size


@pytest.fixture
def bad_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, tuple[int, int]]:
    """A segment of 4,000 batches on a disk whose sectors 40 to 49 are bad; and the bad bytes."""
    directory = tmp_path / "__consumer_offsets-0"
    directory.mkdir()
    segment = directory / f"{0:020}.log"
    segment.write_bytes(b"".join(batch([commit("g", offset=number)], Header(number)) for number in range(4000)))
    bad = (40 * 4096, 50 * 4096)
    really_read, really_fill = os.pread, os.preadv

    def refuse(position: int, size: int) -> None:
        if position < bad[1] and position + size > bad[0]:
            raise OSError(5, "Input/output error")

    def reading(descriptor: int, size: int, position: int) -> bytes:
        refuse(position, size)
        return really_read(descriptor, size, position)

    def filling(descriptor: int, buffers: list[memoryview], position: int) -> int:
        refuse(position, sum(map(len, buffers)))
        return really_fill(descriptor, buffers, position)

    monkeypatch.setattr(os, "pread", reading)
    monkeypatch.setattr(os, "preadv", filling)
    return segment, bad


@pytest.mark.parametrize("chunk_bytes", [4096, 100_000, 4 << 20])
def test_a_bad_place_of_a_disk_costs_only_its_batches(bad_disk: tuple[Path, tuple[int, int]], chunk_bytes: int) -> None:
    segment, (start, end) = bad_disk
    problems: list[Problem] = []
    rows = [
        row
        for chunk in decode(a_request(segment.parent, chunk_bytes=chunk_bytes), problems.append)
        for _, batches in chunk
        for row in batches.to_pylist()
    ]
    each = segment.stat().st_size // 4000
    assert [row["log_offset"] for row in rows] == [
        number for number in range(4000) if (number + 1) * each <= start or number * each >= end
    ]
    unreadable = [problem for problem in problems if problem.kind == "unreadable"]
    assert [(problem.position, problem.length) for problem in unreadable] == [(start, end - start)]
    assert unreadable[0].message == f"{end - start} bytes cannot be read: Input/output error"
    assert "missing_offsets" in {problem.kind for problem in problems}


def test_no_checksum_is_given_of_what_was_not_read(bad_disk: tuple[Path, tuple[int, int]]) -> None:
    (found,) = check(bad_disk[0].parent)
    assert isinstance(found, PartitionCheck)
    assert found.files[0].sha256 is None
    assert "damaged" in {span.state for span in found.coverage.spans}


def test_nor_of_what_is_left_over(bad_disk: tuple[Path, tuple[int, int]]) -> None:
    segment = bad_disk[0]
    segment.rename(segment.with_suffix(".log.deleted"))
    (segment.parent / f"{4000:020}.log").write_bytes(batch([commit("g")], Header(4000)))
    (found,) = (item for item in check(segment.parent) if isinstance(item, Leftover))
    assert found.file.problems["unreadable"] == 1
    assert found.file.sha256 is None
