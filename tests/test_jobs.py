"""Any number of processes writes the same bytes, whatever lies across the borders of chunks."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from offdecode.cli.run import run_decode
from offdecode.errors import OffdecodeError
from offdecode.model import DecodedChunk, Vector
from offdecode.options import Output
from offdecode.parallel import Turns, WorkerError, share
from offdecode.sinks.carried import Carried, CarryingSink, InOrder
from offdecode.system import CAN_FORK
from tests.asking import a_request
from tests.segment_builder import TRANSACTIONAL as IN_TRANSACTION
from tests.segment_builder import Header, batch, commit, log, marker

pytestmark = pytest.mark.skipif(not CAN_FORK, reason="work is shared by fork, on Linux only")


_CHUNK_BYTES = 1 << 16  # so that small files have many


def written(paths: list[Path], place: Path, jobs: int, **selected: Any) -> tuple[bytes, list[bytes], int]:
    """Rows, problem lines and status of a run."""
    rows, problems = place / f"rows-{jobs}.jsonl", place / f"problems-{jobs}.jsonl"
    request = a_request(*paths, chunk_bytes=_CHUNK_BYTES, **selected)
    output = Output(rows, "jsonl", "ms", problems, strict=False, show_stats=False, jobs=jobs)
    status = run_decode(request, output)
    return rows.read_bytes(), problems.read_bytes().split(b"\n")[:-1], status


def assert_same_for_all_jobs(paths: list[Path], place: Path) -> tuple[list[bytes], list[bytes], int]:
    place.mkdir(exist_ok=True)
    alone = written(paths, place, 1)
    for jobs in (2, 4):
        assert written(paths, place, jobs) == alone
    assert written(paths, place, 3, engine="reference") == alone
    return alone[0].split(b"\n")[:-1], alone[1], alone[2]


def segment(tmp_path: Path, data: bytes, partition: int = 0) -> Path:
    path = tmp_path / f"__consumer_offsets-{partition}" / "00000000000000000000.log"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    return path


def transactions(rnd: random.Random, count: int) -> Iterator[bytes]:
    """Batches of several producers whose markers come now and then."""
    offset = 0
    for _ in range(count):
        producer = rnd.randrange(5)
        if rnd.random() < 0.1:
            yield marker(offset, producer, commit=rnd.random() < 0.5)
            offset += 1
            continue
        records = [commit(f"group-{rnd.randrange(9)}", offset=offset) for _ in range(rnd.randrange(1, 30))]
        yield batch(records, Header(offset, rnd.choice((0, IN_TRANSACTION)), producer, 0))
        offset += len(records)


def test_transactions_across_chunks_and_partitions(tmp_path: Path) -> None:
    rnd = random.Random(7)
    paths = [segment(tmp_path, b"".join(transactions(rnd, 900)), partition) for partition in range(3)]
    rows, problems, status = assert_same_for_all_jobs(paths, tmp_path / "out")
    assert (len(rows) > 10_000, problems, status) == (True, [], 0)


def test_damage_is_reported_in_order(tmp_path: Path) -> None:
    rnd = random.Random(8)
    data = bytearray(b"".join(transactions(rnd, 900)))
    for _ in range(40):
        at = rnd.randrange(len(data) - 5000)
        data[at : at + rnd.choice((1, 1, 3000))] = rnd.randbytes(rnd.choice((1, 40)))
    _, problems, status = assert_same_for_all_jobs([segment(tmp_path, bytes(data))], tmp_path / "out")
    assert len(problems) > 10
    assert status == 1


@pytest.mark.parametrize(
    ("data", "count"),
    [
        (lambda: log([[commit("g")] * 20_000]), 20_000),
        (lambda: log([[commit("g")]] * 10_000), 10_000),
        (lambda: log([[], [], [commit("g")], []] * 1500), 1500),
        (lambda: log([[commit("x" * 30_000, "t" * 30_000)]] * 20), 20),
    ],
    ids=["one-giant-batch", "batches-of-one", "empty-batches", "records-as-long-as-chunks"],
)
def test_shapes(data: object, count: int, tmp_path: Path) -> None:
    assert callable(data)
    rows, problems, status = assert_same_for_all_jobs([segment(tmp_path, data())], tmp_path / "out")
    assert (len(rows), problems, status) == (count, [], 0)


def test_parquet_has_one_writer_and_the_same_rows(tmp_path: Path) -> None:
    rnd = random.Random(9)
    paths = [segment(tmp_path, b"".join(transactions(rnd, 900)), partition) for partition in range(2)]
    tables = {}
    for jobs in (1, 3):
        output = Output(
            tmp_path / str(jobs), "parquet", "ms", tmp_path / "problems", strict=False, show_stats=False, jobs=jobs
        )
        assert run_decode(a_request(*paths, chunk_bytes=_CHUNK_BYTES), output) == 0
        tables[jobs] = {path.name: pq.read_table(path) for path in (tmp_path / str(jobs)).iterdir()}
    assert tables[1]["offset_commit.parquet"].num_rows > 5000
    assert tables[1] == tables[3]


def test_rows_that_are_carried_come_in_order() -> None:
    written: list[int] = []

    class Sink:
        def add(self, name: str, batch: pa.RecordBatch) -> None:
            written.extend(batch.column(0).to_pylist())

    def carried(step: int, values: list[int], *, last: bool = True) -> Carried:
        sent: list[Carried] = []
        sink = CarryingSink({"t"}, lambda problem: None, sent.append, step, 1)
        batch = pa.RecordBatch.from_pydict({"value": pa.array(values, pa.int64())})
        sink.write(DecodedChunk({"t": batch}, np.arange(len(values))))
        sink.end_step()
        return replace(sent[0], last=last)

    in_order = InOrder(Sink())  # type: ignore[arg-type]
    for piece in (carried(1, [3]), carried(0, [1], last=False), carried(2, []), carried(0, [2]), carried(3, [4, 5])):
        in_order.take(piece)
    assert written == [1, 2, 3, 4, 5]


def test_no_rows(tmp_path: Path) -> None:
    paths = [segment(tmp_path, log([[commit("g")]] * 5000))]
    (tmp_path / "out").mkdir()
    assert written(paths, tmp_path / "out", 4, groups=("other",)) == (b"", [], 0)


def test_an_error_in_one_process_ends_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: object, chunk: DecodedChunk) -> None:
        if chunk.row_count:
            raise OffdecodeError("no room")

    monkeypatch.setattr("offdecode.sinks.jsonl.JsonLinesSink.write", fail)
    (tmp_path / "out").mkdir()
    with pytest.raises(OffdecodeError, match="no room"):
        written([segment(tmp_path, log([[commit("g")]] * 5000))], tmp_path / "out", 3)
    assert not list((tmp_path / "out").glob("*rows*"))


def test_a_process_that_vanishes_is_an_error() -> None:
    def work(pieces: Iterator[int], turns: Turns, note: object) -> int:
        for _ in pieces:
            if turns.index == 1:
                os._exit(9)
            turns.pass_on()
        return 0

    def feed(give: Callable[[int], None]) -> int:
        for piece in range(1000):
            give(piece)
        return 0

    with pytest.raises(WorkerError, match="not complete"):
        share(3, feed, work, lambda note: None)


def test_what_makes_the_pieces_may_vanish_too() -> None:
    def feed(give: Callable[[int], None]) -> None:
        give(0)
        os._exit(9)

    def work(pieces: Iterator[int], turns: Turns, note: object) -> list[int]:
        return list(pieces)

    with pytest.raises(WorkerError, match="not complete"):
        share(2, feed, work, lambda note: None)


def test_pieces_go_round_with_their_buffers() -> None:
    sent = [np.arange(size) for size in (0, 1, 3_000_000, 5, 7)]

    def feed(give: Callable[[object], None]) -> str:
        for number, vector in enumerate(sent):
            give((number, vector))
        return "fed"

    def work(pieces: Iterator[tuple[int, Vector]], turns: Turns, note: Callable[[object], None]) -> list[int]:
        done = []
        for number, vector in pieces:
            turns.wait()
            note((number, vector))
            turns.pass_on()
            done.append(number)
        return done

    noted: dict[int, Vector] = {}
    results = share(2, feed, work, lambda note: noted.update([note]))
    assert [result for result in results if result != "fed"] in ([[0, 2, 4], [1, 3]], [[1, 3], [0, 2, 4]])
    assert all(np.array_equal(noted[number], vector) for number, vector in enumerate(sent))
