"""Parquet files of whole sets, read back by pandas and by DuckDB, equal the JSON lines."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from offdecode.model import Column, DecodedChunk, Kind, Problem, RowType
from offdecode.schemas.rows import RowOptions, row_type, row_type_names
from offdecode.sinks.jsonl import JsonLinesSink
from offdecode.sinks.parquet import ROW_GROUP_ROWS, ParquetSink, parquet_files, within_calendar
from tests.asking import a_request, decode
from tests.command import run
from tests.segment_builder import Header, batch, commit
from tests.truth import FIXTURES, LogSet, Row, log_sets, set_id

OPTIONS = [RowOptions(), RowOptions(with_batch=True)]


def shown(column: Column, value: Any) -> Any:
    """A value as Parquet readers give it, as JSON lines show it."""
    if value is None or value is pd.NaT or value is pd.NA:
        return None
    if column.kind is Kind.TIMESTAMP and isinstance(value, pd.Timestamp):
        return value.value // 10**6 if value.unit == "ns" else int(value.asm8.astype("datetime64[ms]").astype("int64"))
    if column.kind is Kind.JSON:
        return json.loads(value)
    if column.kind is Kind.LIST:
        return [shown(column.children[0], item) for item in value]
    if column.kind in (Kind.STRUCT, Kind.EMBEDDED):
        found = {child.name: shown(child, value[child.name]) for child in column.children}
        if column.kind is Kind.EMBEDDED and found["hex"] is not None:
            return {name: item for name, item in found.items() if name in ("hex", "decoded") and item is not None}
        optional = {child.name for child in column.children if child.optional}
        return {name: item for name, item in found.items() if item is not None or name not in optional}
    return value


def rows_of(kind: RowType, records: list[Row]) -> list[Row]:
    rows = [{column.name: shown(column, record[column.name]) for column in kind.columns} for record in records]
    optional = {column.name for column in kind.columns if column.optional}
    return [{name: value for name, value in row.items() if value is not None or name not in optional} for row in rows]


def read_by_pandas(path: Path) -> list[Row]:
    found: list[Row] = pd.read_parquet(path, dtype_backend="pyarrow").to_dict("records")
    return found


def read_by_duckdb(path: Path) -> list[Row]:
    times = [item.name for item in pq.read_schema(path) if pa.types.is_timestamp(item.type)]
    replaced = ", ".join(f'epoch_ms("{name}") AS "{name}"' for name in times)
    with duckdb.connect() as connection:
        cursor = connection.execute(f"SELECT * REPLACE ({replaced}) FROM read_parquet(?)", [str(path)])
        names = [item[0] for item in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


@pytest.mark.parametrize("options", OPTIONS, ids=["plain", "with-batch"])
@pytest.mark.parametrize("log_set", log_sets(), ids=set_id)
def test_parquet_equals_json_lines(log_set: LogSet, options: RowOptions, tmp_path: Path) -> None:
    request = a_request(log_set.log, columns=options)
    problems: list[Problem] = []
    files = parquet_files(tmp_path, row_type_names())
    parquet = ParquetSink(files, options, problems.append)
    with (tmp_path / "rows.jsonl").open("wb") as stream:
        lines = JsonLinesSink(stream, options)
        for chunk in decode(request, problems.append):
            lines.write(chunk)
            parquet.write(chunk)
    parquet.finish()
    assert problems == []
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_bytes().split(b"\n")[:-1]]
    assert rows
    for name in row_type_names():
        wanted = [row for row in rows if row["type"] == name]
        kind = row_type(name, options)
        assert rows_of(kind, read_by_pandas(files[name])) == wanted
        assert rows_of(kind, read_by_duckdb(files[name])) == wanted
        assert pq.read_schema(files[name]).remove_metadata() == kind.arrow_schema


def chunk_of(times: list[int | None]) -> DecodedChunk:
    schema = row_type("offset_commit").arrow_schema
    count = len(times)
    columns = {item.name: pa.nulls(count, item.type) for item in schema}
    columns["commit_timestamp"] = pa.array(times, pa.int64()).cast(schema.field("commit_timestamp").type)
    columns["log_offset"] = pa.array(range(count), pa.int64())
    batch = pa.RecordBatch.from_arrays([columns[item.name] for item in schema], schema=schema)
    return DecodedChunk({"offset_commit": batch}, pa.array(range(count)).to_numpy())


@pytest.mark.parametrize(
    ("stored", "kept"),
    [(-1, True), (0, True), (-62_135_596_800_000, True), (-62_135_596_800_001, False), (253_402_300_799_999, True),
     (253_402_300_800_000, False), (2**63 - 1, False), (-(2**63), False), (None, True)],
)  # fmt: skip
def test_times_outside_the_calendar_become_null(stored: int | None, kept: bool) -> None:
    batch, problems = within_calendar("offset_commit", chunk_of([5, stored]).batches["offset_commit"])
    assert batch.column("commit_timestamp").cast(pa.int64()).to_pylist() == [5, stored if kept else None]
    assert [(p.kind, p.log_offset) for p in problems] == ([] if kept else [("timestamp_out_of_range", 1)])


def test_row_groups_are_coalesced(tmp_path: Path) -> None:
    files = parquet_files(tmp_path, ["offset_commit"])
    sink = ParquetSink(files, RowOptions(), lambda problem: None)
    for _ in range(30):
        sink.write(chunk_of([1] * 10_000))
    sink.finish()
    metadata = pq.read_metadata(files["offset_commit"])
    assert [metadata.row_group(index).num_rows for index in range(metadata.num_row_groups)] == [270_000, 30_000]
    assert metadata.row_group(0).num_rows >= ROW_GROUP_ROWS


def test_files_have_no_name_before_they_are_complete(tmp_path: Path) -> None:
    files = parquet_files(tmp_path, ["offset_commit"])
    sink = ParquetSink(files, RowOptions(), lambda problem: None)
    sink.write(chunk_of([1]))
    assert not files["offset_commit"].exists()
    sink.discard()
    assert list(tmp_path.iterdir()) == []


def test_files_of_a_size_are_the_whole(tmp_path: Path) -> None:
    log = FIXTURES / "kafka-4.4.0-all-groups" / "log"
    whole, rotated = tmp_path / "whole", tmp_path / "rotated"
    asked = ("decode", log, "--format", "parquet", "-o")
    assert run(*asked, whole).status == 0
    assert run(*asked, rotated, "--rotate", "10KB").status == 0
    for name in row_type_names():
        files = sorted((rotated / name).iterdir())
        assert [path.name for path in files] == [f"{number:05}.parquet" for number in range(len(files))]
        assert all(10_000 < path.stat().st_size < 60_000 for path in files[:-1])  # Parquet's own footer is 10 KB
        expected = pq.read_table(whole / f"{name}.parquet")
        found = pa.concat_tables(pq.read_table(path) for path in files)
        assert found.schema == expected.schema
        assert found.to_pylist() == expected.to_pylist()
    assert len(list((rotated / "offset_commit").iterdir())) > 2
    with duckdb.connect() as connection:
        count = connection.execute(f"SELECT count(*) FROM '{rotated}/offset_commit/*.parquet'").fetchall()
    assert count == [(pq.read_metadata(whole / "offset_commit.parquet").num_rows,)]


def test_files_of_a_size_are_the_same_for_any_jobs(tmp_path: Path) -> None:
    """However fast the one that writes is."""
    logs = [tmp_path / str(number) / "__consumer_offsets-0" for number in range(24)]
    for number, log in enumerate(logs):
        log.mkdir(parents=True)
        commits = [commit(f"group-{one % 97}", offset=one * number) for one in range(200)]
        batches = [batch(commits, Header(first * 200)) for first in range(75)]
        (log / f"{0:020}.log").write_bytes(b"".join(batches))
    found: list[dict[str, bytes]] = []
    for jobs in ("1", "2", "3", "2"):
        place = tmp_path / f"out-{len(found)}"
        how = ("--copies-apart", "--format", "parquet", "--rotate", "2KB", "--jobs", jobs)
        assert run("decode", *logs, *how, "-o", place, "--problems", os.devnull).status == 1
        found.append({str(path.relative_to(place)): path.read_bytes() for path in place.rglob("*.parquet")})
    assert sum(name.startswith("offset_commit/") for name in found[0]) > 5
    assert all(one == found[0] for one in found)


def test_files_of_a_size_of_a_question(tmp_path: Path) -> None:
    log = FIXTURES / "kafka-4.4.0-transactions-tv1" / "log"
    assert run("explain", log, "--format", "parquet", "-o", tmp_path / "out", "--rotate", "1GB").status == 0
    assert sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.parquet")) == [
        "hidden_range/00000.parquet", "movement/00000.parquet",
    ]  # fmt: skip


def test_files_of_a_size_are_not_mixed_with_others(tmp_path: Path) -> None:
    log = FIXTURES / "kafka-4.4.0-transactions-tv1" / "log"
    asked = ("decode", log, "--rotate", "1MB")
    assert run(*asked, "--format", "parquet", "-o", tmp_path / "out").status == 0
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.parquet")}
    again = run(*asked, "--format", "parquet", "-o", tmp_path / "out")
    assert (again.status, "holds rows of another run" in again.words) == (2, True)
    mixed = run("decode", log, "--format", "parquet", "-o", tmp_path / "out")
    assert (mixed.status, "holds rows of another run" in mixed.words) == (2, True)
    assert run("decode", log, "--format", "parquet", "-o", tmp_path / "whole").status == 0
    mixed = run(*asked, "--format", "parquet", "-o", tmp_path / "whole")
    assert (mixed.status, "holds rows of another run" in mixed.words) == (2, True)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*") if path.is_file()} == before
    for more in ((), ("-o", tmp_path / "rows.jsonl"), ("-o", tmp_path / "rows.parquet")):
        assert run(*asked, *more).status == 2
    assert run("decode", log, "--rotate", "1 parsec").status == 2


def test_a_run_that_fails_leaves_no_files_of_a_size(tmp_path: Path) -> None:
    damaged = tmp_path / "data" / "__consumer_offsets-0"
    damaged.mkdir(parents=True)
    (log,) = (FIXTURES / "kafka-4.4.0-transactions-tv1" / "log" / "__consumer_offsets-0").glob("*.log")
    data = bytearray(log.read_bytes())
    data[5000] ^= 1
    (damaged / log.name).write_bytes(data)
    done = run("decode", damaged, "--strict", "--format", "parquet", "-o", tmp_path / "out", "--rotate", "1KB")
    assert done.status == 2
    assert not (tmp_path / "out").exists()
