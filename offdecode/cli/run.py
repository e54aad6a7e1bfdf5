"""A decoding run: rows to their sink, problems to theirs, progress and statistics to the terminal."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import BinaryIO, Protocol

import click
import orjson

from offdecode.cli import DAMAGED
from offdecode.errors import UsageError
from offdecode.model import DecodedChunk, Problem
from offdecode.parallel import CAN_SHARE, Turns, TurnStream, share
from offdecode.pipeline import Request, Stats, Step, StepReader, StrictStop, chunk_bytes, evidence_bytes, iter_steps
from offdecode.schemas.registry import DEFAULT_ROW_TYPE
from offdecode.schemas.rows import row_type_names
from offdecode.sinks.carried import Carried, CarryingSink, InOrder
from offdecode.sinks.files import CompleteFile
from offdecode.sinks.jsonl import JsonLinesSink, Timestamps, Writable
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
    jobs: int | None

    @property
    def parquet(self) -> bool:
        if self.format is not None:
            return self.format == "parquet"
        return self.path is not None and (self.path.suffix == ".parquet" or self.path.is_dir())


class Sink(Protocol):
    def write(self, chunk: DecodedChunk) -> None: ...


@dataclass(frozen=True, slots=True)
class Answer:
    """What history makes of a request: rows of these types, None = those that the request asks for.

    formats: sinks beside those of JSON lines and Parquet.
    """

    row_types: tuple[str, ...] | None
    chunks: Callable[[Request, Callable[[Problem], None], Stats], Iterator[DecodedChunk]]
    formats: Mapping[str, Callable[[Writable], Sink]] = field(default_factory=dict)


Meter = Callable[[int, int], None]  # called with the bytes read and the rows written since the last call


def run_decode(request: Request, output: Output, *, terminal: bool) -> int:
    """Run a request; the exit status."""
    start = time.monotonic()
    _keep_off_the_evidence(request.paths, output)
    size = evidence_bytes(request)
    jobs = 1
    if _may_share(request, output):
        jobs = min(output.jobs or len(os.sched_getaffinity(0)), max(size // chunk_bytes(size), 1))
    with _meter(size, terminal) as meter, problem_stream(output) as problems:
        stats = _run_shared(request, output, problems, meter, jobs) if jobs > 1 else (
            _run_alone(request, output, problems, meter)
        )
    if output.show_stats:
        print_stats(stats, time.monotonic() - start)
    return DAMAGED if stats.problems else 0


def run_answer(answer: Answer, request: Request, output: Output, *, terminal: bool) -> int:
    """Run a request whose rows are history's; the exit status."""
    start = time.monotonic()
    _keep_off_the_evidence(request.paths, output)
    stats = Stats()
    with _meter(evidence_bytes(request), terminal) as meter, problem_stream(output) as problems:
        report = ProblemLines(problems, stats, output.strict)
        with parquet_sink(request, output, report, answer.row_types) if output.parquet else (
            json_stream(output)
        ) as target:
            sink: Sink
            if isinstance(target, ParquetSink):
                sink = target
            elif output.format is not None and output.format in answer.formats:
                sink = answer.formats[output.format](target)
            else:
                sink = JsonLinesSink(target, request.options, output.timestamps)
            read = 0
            for chunk in answer.chunks(request, report, stats):
                sink.write(chunk)
                meter(stats.bytes_read - read, chunk.row_count)
                read = stats.bytes_read
    if output.show_stats:
        print_stats(stats, time.monotonic() - start)
    return DAMAGED if stats.problems else 0


def _may_share(request: Request, output: Output) -> bool:
    """Standard input has one reader; and what stops at a problem must not have gone beyond it."""
    return CAN_SHARE and request.input_format == "segments" and not output.strict


def _run_alone(request: Request, output: Output, problems: BinaryIO, meter: Meter) -> Stats:
    stats = Stats()
    report = ProblemLines(problems, stats, output.strict)
    with _opened(request, output, report) as target:
        sink = target if isinstance(target, ParquetSink) else JsonLinesSink(target, request.options, output.timestamps)
        reader = StepReader(request, stats)
        for step in iter_steps(request, stats):
            meter(step.size, _write_step(step, reader, sink, report))
    return stats


def _run_shared(request: Request, output: Output, problems: BinaryIO, meter: Meter, jobs: int) -> Stats:
    """Steps go to forked processes in turn; what they write comes out in the order of the steps.

    JSON lines they write themselves. Parquet has one writer, this process, which they send their rows to.
    """
    total = Stats()
    with _opened(request, output, ProblemLines(problems, total, strict=False)) as target:

        def feed(give: Callable[[Step], None]) -> Stats:
            stats = Stats()
            for step in iter_steps(request, stats):
                frames = None if step.frames is None else step.frames.without_tail()
                give(replace(step, offsets=None, frames=frames))
            return stats

        def work(steps: Iterator[Step], turns: Turns, note: Callable[[Carried | tuple[int, int]], None]) -> Stats:
            stats = Stats()
            reader = StepReader(request, stats)
            problems_out = TurnStream(problems, turns)
            report = ProblemLines(problems_out, stats, strict=False)
            sink: Sink
            if isinstance(target, ParquetSink):
                sink = carrying = CarryingSink(target.row_types, report, partial(_send, turns, note),
                                               turns.index, turns.count)
                end_step = carrying.end_step
            else:
                rows_out = TurnStream(target, turns)
                sink, end_step = JsonLinesSink(rows_out, request.options, output.timestamps), rows_out.flush
            for step in steps:
                rows = _write_step(step, reader, sink, report)
                end_step()
                problems_out.flush()
                note((step.size, rows))
                turns.pass_on()
            return stats

        in_order = InOrder(target) if isinstance(target, ParquetSink) else None

        def on_note(noted: Carried | tuple[int, int]) -> None:
            if isinstance(noted, tuple):
                meter(*noted)
            elif in_order:
                in_order.take(noted)

        for stats in share(jobs, feed, work, on_note):
            total.add(stats)
    return total


def _opened(
    request: Request, output: Output, report: ProblemLines
) -> AbstractContextManager[ParquetSink] | AbstractContextManager[BinaryIO]:
    return parquet_sink(request, output, report, request.row_types) if output.parquet else json_stream(output)


def _send(turns: Turns, note: Callable[[Carried], None], carried: Carried) -> None:
    turns.wait()
    note(carried)


def _write_step(step: Step, reader: StepReader, sink: Sink, report: ProblemLines) -> int:
    """The number of rows written."""
    rows = 0
    for problem in step.problems:
        report(problem)
    for chunk in reader.read(step):
        for problem in chunk.problems:
            report(problem)
        sink.write(chunk)
        rows += chunk.row_count
    return rows


class ProblemLines:
    """Writes problems as JSON lines and counts them."""

    def __init__(self, stream: Writable, stats: Stats, strict: bool) -> None:
        self._stream = stream
        self._stats = stats
        self._strict = strict

    def __call__(self, problem: Problem) -> None:
        self._stats.problems += 1
        self._stream.write(orjson.dumps(problem.as_dict(), option=orjson.OPT_APPEND_NEWLINE))
        if self._strict:
            raise StrictStop(problem)


@contextmanager
def problem_stream(output: Output) -> Iterator[BinaryIO]:
    """Where problems go; a line appears as soon as it is written."""
    if output.problems_file is None:
        yield open(sys.stderr.fileno(), "wb", buffering=0, closefd=False)  # noqa: SIM115
        return
    try:
        stream = output.problems_file.open("wb", buffering=0)
    except OSError as error:
        raise UsageError(f"{output.problems_file}: cannot be written: {error.strerror}") from None
    with stream:
        yield stream


@contextmanager
def parquet_sink(
    request: Request, output: Output, report: ProblemLines, only: tuple[str, ...] | None = None
) -> Iterator[ParquetSink]:
    """The files get their names when the run is through, and vanish when it fails. only: row types that there are."""
    wanted = request.row_types if only is None else only
    parquet = ParquetSink(_parquet_targets(wanted, output), request.options, report)
    try:
        yield parquet
        parquet.finish()
    except BaseException:
        parquet.discard()
        raise


@contextmanager
def json_stream(output: Output) -> Iterator[BinaryIO]:
    """Stdout, or a file that gets its name when the run is through and vanishes when it fails."""
    if output.path is None:
        if sys.stdout is None:
            raise UsageError("standard output is closed: give -o FILE")
        yield sys.stdout.buffer
        return
    file = CompleteFile(output.path)
    try:
        yield file.stream
        file.finish()
    except BaseException:
        file.discard()
        raise


def _parquet_targets(row_types: tuple[str, ...] | None, output: Output) -> dict[str, Path]:
    if output.path is None:
        raise UsageError("Parquet needs a place: give -o DIRECTORY or -o FILE.parquet")
    if output.path.suffix == ".parquet" and not output.path.is_dir():
        types = row_types or (DEFAULT_ROW_TYPE,)
        if len(types) > 1:
            raise UsageError("one Parquet file holds one row type: give -o DIRECTORY for several")
        return {types[0]: output.path}
    try:
        output.path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{output.path}: cannot be made a directory: {error.strerror}") from None
    return parquet_files(output.path, row_types or row_type_names())


def _keep_off_the_evidence(paths: tuple[Path, ...], output: Output) -> None:
    """Refuse to write over the input, or into a directory of it; and rows and problems into one file."""
    targets = [Path(os.path.realpath(path)) for path in (output.path, output.problems_file) if path is not None]
    sources = [Path(os.path.realpath(path)) for path in paths]
    for target in targets:
        for source in sources:
            beside = target.parent == source.parent and target.suffix == ".log" and target.exists()
            if target == source or beside or source in target.parents:
                raise UsageError(f"{target}: the input is never written to")
    if len(set(targets)) < len(targets) and not (targets[0].exists() and not targets[0].is_file()):
        raise UsageError(f"{targets[0]}: rows and problems need a file each")


@contextmanager
def _meter(size: int, terminal: bool) -> Iterator[Meter]:
    """A progress bar on a terminal: bytes of the evidence, rows, rate, time left."""
    if not terminal:
        yield lambda read, rows: None
        return
    from tqdm import tqdm

    with tqdm(total=size, unit="B", unit_scale=True, unit_divisor=1024, leave=False, file=sys.stderr) as bar:
        total = 0

        def advance(read: int, rows: int) -> None:
            nonlocal total
            total += rows
            bar.set_postfix_str(f"{total:,} rows", refresh=False)
            bar.update(read)

        yield advance


def print_stats(stats: Stats, seconds: float) -> None:
    seconds = max(seconds, 1e-9)
    lines = [
        f"{stats.rows:,} rows in {seconds:.2f} s: {stats.rows / seconds:,.0f} rows/s, "
        f"{stats.bytes_read / seconds / 1e6:,.1f} MB/s",
        f"segments {stats.segments:,}, bytes {stats.bytes_read:,}, batches {stats.batches:,}, "
        f"problems {stats.problems:,}, fallbacks {stats.fallbacks:,}",
    ]
    lines += [f"codec {name}: {count:,} batches" for name, count in sorted(stats.by_codec.items())]
    lines += [
        f"{name} {'without value' if version is None else f'v{version}'}: {count:,} rows"
        for (name, version), count in sorted(stats.by_version.items(), key=lambda item: (item[0][0], item[0][1] or -1))
    ]
    click.echo("\n".join(lines), err=True)
