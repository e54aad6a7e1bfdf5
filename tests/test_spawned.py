"""Where there is no fork, processes that are begun anew write the same bytes as one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from offdecode import writing
from offdecode.cli.run import run_decode
from offdecode.options import Output
from offdecode.parallel import WorkerError, spawned
from tests.asking import a_request
from tests.truth import FIXTURES

LOG = FIXTURES / "kafka-4.4.0-transactions-tv1" / "log"
_CHUNK_BYTES = 4_000


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many processes were begun by each run, on a system without fork."""
    found: list[int] = []

    def counted(count: int, *work: Any) -> Iterator[Any]:
        found.append(count)
        return spawned(count, *work)

    monkeypatch.setattr(writing, "CAN_FORK", False)
    monkeypatch.setattr(writing, "_WORTH_SPAWNING", 0)
    monkeypatch.setattr(writing, "spawned", counted)
    return found


def damaged(folder: Path) -> Path:
    (log,) = (LOG / "__consumer_offsets-0").glob("*.log")
    data = bytearray(log.read_bytes())
    data[5000] ^= 1
    place = folder / "__consumer_offsets-0"
    place.mkdir()
    (place / log.name).write_bytes(data)
    return place


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_lines_and_problems(form: str, calls: list[int], tmp_path: Path) -> None:
    types = ("offset_commit",) if form == "csv" else ()
    request = a_request(LOG, damaged(tmp_path), chunk_bytes=_CHUNK_BYTES, row_types=types)
    written = []
    for jobs in (1, 2):
        rows, problems = tmp_path / f"rows-{jobs}", tmp_path / f"problems-{jobs}"
        status = run_decode(request, Output(rows, form, "ms", problems, jobs=jobs))
        written.append((status, rows.read_bytes(), problems.read_bytes()))
    assert calls == [2]
    assert written[0] == written[1]
    assert (written[0][0], b"bad_crc" in written[0][2]) == (1, True)


def test_parquet(calls: list[int], tmp_path: Path) -> None:
    request = a_request(LOG, chunk_bytes=_CHUNK_BYTES)
    for jobs in (1, 2):
        assert run_decode(request, Output(tmp_path / str(jobs), "parquet", "ms", tmp_path / "problems", jobs=jobs)) == 0
    assert calls == [2]
    for path in (tmp_path / "1").iterdir():
        assert pq.read_table(path).equals(pq.read_table(tmp_path / "2" / path.name))


def test_a_small_log_is_not_worth_it(calls: list[int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(writing, "_WORTH_SPAWNING", 64 << 20)
    assert run_decode(a_request(LOG, chunk_bytes=_CHUNK_BYTES), Output(tmp_path / "rows", jobs=2)) == 0
    assert calls == []


def squares() -> Any:
    return square


def square(number: int) -> int:
    if number == 13:
        raise ValueError("thirteen")
    return number * number


def test_results_come_in_order_and_errors_are_raised() -> None:
    assert list(spawned(2, squares, iter(range(12)))) == [number * number for number in range(12)]
    with pytest.raises(ValueError, match="thirteen"):
        list(spawned(2, squares, iter(range(10, 20))))


def killer() -> Any:
    return end


def end(number: int) -> None:
    os._exit(1)


def test_a_process_that_dies_is_said() -> None:
    with pytest.raises(WorkerError):
        list(spawned(1, killer, iter(range(3))))
