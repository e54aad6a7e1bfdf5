"""Damaged segments of real brokers: every batch that was not touched gives its rows, every other byte is reported."""

from __future__ import annotations

import io
import json
import os
import random
import struct
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from offdecode.engines.decode import Engine
from offdecode.errors import SourceError
from offdecode.model import Problem
from offdecode.schemas.rows import RowOptions
from offdecode.sinks.jsonl import JsonLinesSink
from tests.asking import a_request, decode
from tests.damage import Pieces, batch_ranges, damaged, joined, untouched
from tests.messages import Read, read
from tests.truth import LogSet, Row, log_sets, set_id

SEEDS = range(200 if os.environ.get("OFFDECODE_SEGMENTS") else 42)
ROWS_EVERY, REFERENCE_EVERY = 14, 42  # of the seeds: whole runs of decode, and of the slow engine, cost more
SETS = log_sets()


@cache
def files_of(log_set: LogSet) -> tuple[list[Path], list[bytes], list[Read]]:
    paths = [path for path in sorted(log_set.log.rglob("__consumer_offsets-*/*.log")) if path.stat().st_size]
    data = [path.read_bytes() for path in paths]
    return paths, data, [read(one) for one in data]


@cache
def ranges_of(log_set: LogSet) -> list[list[tuple[int, int]]]:
    return [batch_ranges(data) for data in files_of(log_set)[1]]


def damage_of(log_set: LogSet, seed: int) -> tuple[int, str, Pieces]:
    """The file that is damaged, how, and the result."""
    files = files_of(log_set)[1]
    file = random.Random(seed + 10_000).randrange(len(files))
    return file, *damaged(seed, file, files)


def uncovered(data: bytes, found: Read) -> list[int]:
    """Bytes that lie neither in a batch with a right checksum nor in a problem."""
    seen = bytearray(len(data))
    for frames in found.frames:
        for index in frames.crc_valid.nonzero()[0].tolist():
            start, end = int(frames.position[index]), int(frames.end[index])
            origin = frames.chunk.position
            seen[origin + start : origin + end] = b"\1" * (end - start)
    for problem in found.problems:
        start, length = problem.position or 0, problem.length or 0
        seen[start : start + length] = b"\1" * length
    return [at for at, byte in enumerate(seen) if not byte]


def covered_bytes(batch: bytes) -> bytes:
    """What the checksum is over: neither the offset nor, in format 2, the leader epoch."""
    return batch[21:] if batch[16] == 2 else batch[16:]


@pytest.mark.parametrize("log_set", SETS, ids=set_id)
def test_untouched_batches_are_read_and_all_else_is_reported(log_set: LogSet) -> None:
    files = files_of(log_set)[1]
    originals = {
        covered_bytes(data[start:end])
        for data, ranges in zip(files, ranges_of(log_set), strict=True)
        for start, end in ranges
    }
    for seed in SEEDS:
        _, name, pieces = damage_of(log_set, seed)
        data = joined(pieces)
        case = f"{log_set.folder.name} seed {seed} {name}"
        found = read(data, chunk_bytes=random.Random(seed).choice((1 << 20, 5000)))
        rows: dict[int, list[Any]] = {}
        for position, row in zip(found.row_positions, found.rows, strict=True):
            rows.setdefault(position, []).append(row)
        expected = list(untouched(pieces, ranges_of(log_set)))
        for position, file, start in expected:
            assert rows.get(position, []) == whole_rows(log_set)[file].get(start, []), f"{case}: batch at {position}"
        positions = {position for position, _, _ in expected}
        for position in rows.keys() - positions:  # only bytes that no checksum covers may differ
            end = position + 12 + struct.unpack_from(">i", data, position + 8)[0]
            assert covered_bytes(data[position:end]) in originals, f"{case}: batch at {position}"
        assert uncovered(data, found)[:1] == [], case


@cache
def whole_rows(log_set: LogSet) -> list[dict[int, list[Any]]]:
    result = []
    for one in files_of(log_set)[2]:
        rows: dict[int, list[Any]] = {}
        for position, row in zip(one.row_positions, one.rows, strict=True):
            rows.setdefault(position, []).append(row)
        result.append(rows)
    return result


def decoded(path: Path, engine: Engine) -> tuple[dict[tuple[str, int], list[Row]], list[Problem]]:
    """Rows by file name and position of their batch."""
    problems: list[Problem] = []
    request = a_request(path, engine=engine, columns=RowOptions(with_batch=True))
    stream = io.BytesIO()
    sink = JsonLinesSink(stream, request.columns)
    for chunk in decode(request, problems.append):
        sink.write(chunk)
    rows: dict[tuple[str, int], list[Row]] = {}
    for line in stream.getvalue().split(b"\n")[:-1]:
        row = json.loads(line)
        rows.setdefault((Path(row.pop("segment")).name, row.pop("batch_position")), []).append(row)
    return rows, problems


@cache
def decoded_whole(directory: Path) -> dict[tuple[str, int], list[Row]]:
    return decoded(directory, "auto")[0]


def status_may_differ(row: Row, whole: Row, *, ends_early: bool) -> bool:
    """Where bytes were lost, what decides a transaction may be unknown; in a log that is cut off it is open."""
    allowed = ("unknown", "open") if ends_early else ("unknown",)
    return row["transaction"] in allowed and whole["transaction"] is not None


@pytest.mark.parametrize("log_set", SETS, ids=set_id)
def test_decoded_rows_of_untouched_batches(log_set: LogSet, tmp_path: Path) -> None:
    paths, files, _ = files_of(log_set)
    for seed in SEEDS[::ROWS_EVERY]:
        file, name, pieces = damage_of(log_set, seed + seed // ROWS_EVERY)
        case = f"{log_set.folder.name} seed {seed + seed // ROWS_EVERY} {name}"
        is_last = paths[file] == max(path for path in paths if path.parent == paths[file].parent)
        ends_early = name == "cut" and is_last
        directory = tmp_path / str(seed) / paths[file].parent.name
        directory.mkdir(parents=True)
        for path, data in zip(paths, files, strict=True):
            if path.parent == paths[file].parent:
                (directory / path.name).write_bytes(joined(pieces) if path == paths[file] else data)
        try:
            rows, problems = decoded(directory, "auto")
        except SourceError:
            assert len(list(directory.iterdir())) == 1
            assert not list(untouched(pieces, ranges_of(log_set)))
            continue
        for position, number, start in untouched(pieces, ranges_of(log_set)):
            if paths[number].parent != paths[file].parent:
                continue  # joined from another partition, whose markers are another's
            whole = decoded_whole(paths[number].parent).get((paths[number].name, start), [])
            got = rows.get((paths[file].name, position), [])
            assert len(got) == len(whole), case
            for row, expected in zip(got, whole, strict=True):
                if row != expected:
                    assert status_may_differ(row, expected, ends_early=ends_early), (case, row, expected)
                    assert row == {**expected, "transaction": row["transaction"]}, case
        if seed % REFERENCE_EVERY == 0:
            assert decoded(directory, "reference") == (rows, problems), case
