"""A decoding run: rows to their sink, problems to theirs, progress and statistics to the terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

import click
import orjson

from offdecode.cli import DAMAGED
from offdecode.errors import UsageError
from offdecode.model import DecodedChunk, Problem
from offdecode.pipeline import Request, Stats, StrictStop, decode
from offdecode.schemas.registry import DEFAULT_ROW_TYPE
from offdecode.schemas.rows import row_type_names
from offdecode.sinks.files import CompleteFile
from offdecode.sinks.jsonl import JsonLinesSink, Timestamps
from offdecode.sinks.parquet import ParquetSink, parquet_files


@dataclass(frozen=True, slots=True)
class Output:
    """Where a run's rows and problems go."""

    path: Path | None
    format: str | None
    timestamps: Timestamps
    problems_file: Path | None
    strict: bool
    show_stats: bool

    @property
    def parquet(self) -> bool:
        if self.format is not None:
            return self.format == "parquet"
        return self.path is not None and (self.path.suffix == ".parquet" or self.path.is_dir())


class Sink(Protocol):
    def write(self, chunk: DecodedChunk) -> None: ...


def run_decode(request: Request, output: Output, *, terminal: bool) -> int:
    """Run a request; the exit status."""
    stats = Stats()
    _keep_off_the_evidence(request.paths, output)
    with _problem_log(output, stats) as report, _sink(request, output, report) as sink:
        start = time.monotonic()
        chunks = decode(request, report, stats)
        for chunk in _with_progress(chunks, stats) if terminal else chunks:
            sink.write(chunk)
    if output.show_stats:
        _print_stats(stats, time.monotonic() - start)
    return DAMAGED if stats.problems else 0


class _Problems:
    """Writes problems as JSON lines and counts them."""

    def __init__(self, stream: BinaryIO, stats: Stats, strict: bool) -> None:
        self._stream = stream
        self._stats = stats
        self._strict = strict

    def __call__(self, problem: Problem) -> None:
        self._stats.problems += 1
        self._stream.write(orjson.dumps(problem.as_dict(), option=orjson.OPT_APPEND_NEWLINE))
        self._stream.flush()
        if self._strict:
            raise StrictStop(problem)


@contextmanager
def _problem_log(output: Output, stats: Stats) -> Iterator[_Problems]:
    if output.problems_file is None:
        yield _Problems(sys.stderr.buffer, stats, output.strict)
        return
    try:
        stream = output.problems_file.open("wb")
    except OSError as error:
        raise UsageError(f"{output.problems_file}: cannot be written: {error.strerror}") from None
    with stream:
        yield _Problems(stream, stats, output.strict)


@contextmanager
def _sink(request: Request, output: Output, report: _Problems) -> Iterator[Sink]:
    """The sink of a run. Its files get their names when the run is through, and vanish when it fails."""
    if output.parquet:
        parquet = ParquetSink(_parquet_targets(request, output), request.options, report)
        try:
            yield parquet
            parquet.finish()
        except BaseException:
            parquet.discard()
            raise
    elif output.path is None:
        yield JsonLinesSink(sys.stdout.buffer, request.options, output.timestamps)
    else:
        file = CompleteFile(output.path)
        try:
            yield JsonLinesSink(file.stream, request.options, output.timestamps)
            file.finish()
        except BaseException:
            file.discard()
            raise


def _parquet_targets(request: Request, output: Output) -> dict[str, Path]:
    if output.path is None:
        raise UsageError("Parquet needs a place: give -o DIRECTORY or -o FILE.parquet")
    if output.path.suffix == ".parquet" and not output.path.is_dir():
        types = request.row_types or (DEFAULT_ROW_TYPE,)
        if len(types) > 1:
            raise UsageError("one Parquet file holds one row type: give -o DIRECTORY for several")
        return {types[0]: output.path}
    try:
        output.path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{output.path}: cannot be made a directory: {error.strerror}") from None
    return parquet_files(output.path, request.row_types or row_type_names())


def _keep_off_the_evidence(paths: tuple[Path, ...], output: Output) -> None:
    """Refuse to write over the input."""
    for target in (output.path, output.problems_file):
        if target is None:
            continue
        place = target.resolve()
        for path in paths:
            source = path.resolve()
            if (place == source and not place.is_dir()) or (source in place.parents and place.suffix == ".log"):
                raise UsageError(f"{target}: the input is never written to")


def _with_progress(chunks: Iterable[DecodedChunk], stats: Stats) -> Iterator[DecodedChunk]:
    from tqdm import tqdm

    with tqdm(unit="B", unit_scale=True, unit_divisor=1024, leave=False, file=sys.stderr) as bar:
        for chunk in chunks:
            bar.total = stats.total_bytes
            bar.update(stats.bytes_read - bar.n)
            bar.set_postfix_str(f"{stats.rows:,} rows", refresh=False)
            yield chunk


def _print_stats(stats: Stats, seconds: float) -> None:
    seconds = max(seconds, 1e-9)
    lines = [
        f"{stats.rows:,} rows in {seconds:.2f} s: {stats.rows / seconds:,.0f} rows/s, "
        f"{stats.bytes_read / seconds / 1e6:,.1f} MB/s",
        f"segments {stats.segments:,}, bytes {stats.bytes_read:,}, batches {stats.batches:,}, "
        f"problems {stats.problems:,}",
    ]
    lines += [f"codec {name}: {count:,} batches" for name, count in sorted(stats.by_codec.items())]
    lines += [
        f"{name} {'without value' if version is None else f'v{version}'}: {count:,} rows"
        for (name, version), count in sorted(stats.by_version.items(), key=lambda item: (item[0][0], item[0][1] or -1))
    ]
    click.echo("\n".join(lines), err=True)
