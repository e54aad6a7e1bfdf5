"""Decoded chunks to Parquet: one file per row type, or a single file of one.

The schema of a row type never depends on the data. Files appear under their names when all are complete.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from offdecode.model import DecodedChunk, Problem
from offdecode.schemas.rows import RowOptions, row_type
from offdecode.sinks.files import CompleteFile
from offdecode.sinks.times import FIRST_CALENDAR_MS, LAST_CALENDAR_MS

if TYPE_CHECKING:
    from concurrent.futures import Future

ROW_GROUP_ROWS = 256 * 1024
_BYTES_OF_A_ROW, _LEAST_ROWS = 64, 256
_BUFFERED_BYTES = 64 << 20  # a row group is closed earlier where its rows are this large

Report = Callable[[Problem], None]


class ParquetSink:
    """Writes the rows of each type to its file. files: {row type: path}.

    rotate: about how many bytes a file has at most; then the paths are those of directories of files.
    """

    def __init__(self, files: dict[str, Path], options: RowOptions, report: Report, rotate: int | None = None) -> None:
        self._report = report
        schemas = {name: row_type(name, options).arrow_schema for name in files}
        self._files: dict[str, TypeFile | TypeFiles] = {
            name: TypeFile(path, schemas[name]) if rotate is None else TypeFiles(path, schemas[name], rotate)
            for name, path in files.items()
        }

    def write(self, chunk: DecodedChunk) -> None:
        for name, batch in storable(chunk, self._files, self._report):
            self.add(name, batch)

    @property
    def row_types(self) -> Collection[str]:
        return self._files.keys()

    def add(self, name: str, batch: pa.RecordBatch) -> None:
        """Take rows that `storable` gave."""
        self._files[name].add(batch)

    def finish(self) -> None:
        for file in self._files.values():
            file.close()
        for file in self._files.values():
            file.finish()

    def discard(self) -> None:
        for file in self._files.values():
            file.discard()


class TypeFile:
    """The Parquet file of one row type, written a row group at a time, by a thread while the next one is read."""

    def __init__(self, path: Path, schema: pa.Schema, most_rows: int = ROW_GROUP_ROWS) -> None:
        # What JSON lines need not wait for: file systems and TLS come with Parquet, logging with threads.
        from concurrent.futures import ThreadPoolExecutor

        import pyarrow.parquet as pq

        self.target = CompleteFile(path)
        numbers = [field.name for field in schema if pa.types.is_int64(field.type) or pa.types.is_timestamp(field.type)]
        self._writer = pq.ParquetWriter(
            self.target.stream,
            schema,
            compression="zstd",
            # Offsets and times rise in small steps: deltas are smaller than a dictionary, and quicker to write.
            use_dictionary=[field.name for field in schema if pa.types.is_dictionary(field.type)],
            column_encoding=dict.fromkeys(numbers, "DELTA_BINARY_PACKED"),
        )
        self._schema = schema
        self._batches: list[pa.RecordBatch] = []
        self._rows = self._bytes = 0
        self._most_rows = most_rows
        self.written_bytes = 0  # by all row groups but the one that may be on its way
        self._encoder = ThreadPoolExecutor(1)
        self._writing: Future[None] | None = None

    def add(self, batch: pa.RecordBatch) -> None:
        self._batches.append(batch)
        self._rows += len(batch)
        self._bytes += batch.nbytes
        if self._rows >= self._most_rows or self._bytes >= _BUFFERED_BYTES:
            self._flush()

    def _flush(self) -> None:
        self._written()
        self.written_bytes = self.target.stream.tell()
        self._writing = self._encoder.submit(self._write, self._batches, self._rows)
        self._batches, self._rows, self._bytes = [], 0, 0

    def _write(self, batches: list[pa.RecordBatch], rows: int) -> None:
        table = pa.Table.from_batches(batches, self._schema).unify_dictionaries()
        self._writer.write_table(table, row_group_size=rows)

    def _written(self) -> None:
        """Wait for the row group that is being written."""
        if self._writing is not None:
            self._writing.result()

    def close(self) -> None:
        self._written()
        if self._rows:
            self._write(self._batches, self._rows)
        self._encoder.shutdown()
        self._writer.close()

    def finish(self) -> None:
        """Put the file, which is closed, in place."""
        self.target.finish()

    def discard(self) -> None:
        self._encoder.shutdown()
        with suppress(OSError):  # a full disk, say: the file goes anyway
            self._writer.close()
        self._writer.is_open = False  # or it would try again as it is collected
        self.target.discard()


class TypeFiles:
    """The Parquet files of one row type, DIRECTORY/NUMBER.parquet, of about so many bytes each."""

    def __init__(self, directory: Path, schema: pa.Schema, most_bytes: int) -> None:
        self._directory = directory
        self._schema = schema
        self._most_bytes = most_bytes
        self._closed: list[TypeFile] = []
        self._now = self._next()

    def _next(self) -> TypeFile:
        path = self._directory / f"{len(self._closed):05}.parquet"
        rows = self._most_bytes // _BYTES_OF_A_ROW  # an eighth of a file or less
        return TypeFile(path, self._schema, min(max(rows, _LEAST_ROWS), ROW_GROUP_ROWS))

    def add(self, batch: pa.RecordBatch) -> None:
        if self._now.written_bytes >= self._most_bytes:
            self.close()
            self._closed.append(self._now)
            self._now = self._next()
        self._now.add(batch)

    def close(self) -> None:
        self._now.close()
        self._now.target.stream.close()

    def finish(self) -> None:
        for file in (*self._closed, self._now):
            file.finish()

    def discard(self) -> None:
        for file in (*self._closed, self._now):
            file.discard()
        with suppress(OSError):  # another run may have begun to write there
            self._directory.rmdir()


def parquet_files(target: Path, row_types: Sequence[str], *, rotated: bool = False) -> dict[str, Path]:
    """The file of each row type in the directory `target`, or the directory of its files."""
    return {name: target / (name if rotated else f"{name}.parquet") for name in row_types}


def storable(chunk: DecodedChunk, wanted: Container[str], report: Report) -> Iterator[tuple[str, pa.RecordBatch]]:
    """The rows of the wanted types as Parquet takes them."""
    for name in chunk.batches:
        if name in wanted:
            taken, problems = within_calendar(name, chunk.batches[name])
            for problem in problems:
                report(problem)
            yield name, taken


_PLACES = ("log_offset", "first_offset")  # what tells, in a row, where it stands in the log


def within_calendar(name: str, batch: pa.RecordBatch) -> tuple[pa.RecordBatch, list[Problem]]:
    """Times outside the years 1 to 9999, which most readers of Parquet cannot take, become null with a problem."""
    problems: list[Problem] = []
    for index, field in enumerate(batch.schema):
        if not pa.types.is_timestamp(field.type):
            continue
        times = batch.column(index).cast(pa.int64())
        outside = pc.or_(pc.less(times, FIRST_CALENDAR_MS), pc.greater(times, LAST_CALENDAR_MS)).fill_null(False)
        if not pc.any(outside).as_py():
            continue
        found = batch.filter(outside)
        place = next((name for name in _PLACES if name in batch.schema.names), None)
        for partition, offset, value in zip(
            found.column("log_partition").to_pylist(),
            [None] * len(found) if place is None else found.column(place).to_pylist(),
            found.column(index).cast(pa.int64()).to_pylist(),
            strict=True,
        ):
            problems.append(Problem(
                "timestamp_out_of_range", name, f"{field.name} {value} is outside the years 1 to 9999: null",
                log_partition=partition, log_offset=offset,
            ))  # fmt: skip
        stored = pc.if_else(outside, None, batch.column(index)).cast(field.type)
        batch = batch.set_column(index, field, stored)
    return batch, problems
