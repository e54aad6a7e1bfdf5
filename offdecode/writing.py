"""Chunks to their sinks, rows and problems each in their place, in one process or shared among several."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import BinaryIO, Protocol

import orjson

from offdecode.by_log import ByLog, Together
from offdecode.errors import OffdecodeError, UsageError
from offdecode.evidence import Evidence, Step, StepReader, touches_evidence
from offdecode.model import DecodedChunk, Problem
from offdecode.options import Output
from offdecode.parallel import Turns, TurnStream, share, spawned
from offdecode.request import Report, Request, Stats
from offdecode.run import Run
from offdecode.schemas.registry import DEFAULT_ROW_TYPE
from offdecode.schemas.rows import row_type_names
from offdecode.sinks.carried import Carried, CarryingSink, InOrder
from offdecode.sinks.files import complete_file, make_directory, open_to_write
from offdecode.sinks.jsonl import JsonLinesSink, LineSink, Writable
from offdecode.sinks.parquet import ParquetSink, parquet_files
from offdecode.system import CAN_FORK, cpu_count

_WORTH_SPAWNING = 64 << 20  # bytes of evidence: a process takes a second to begin


class Sink(Protocol):
    """Takes chunks of rows."""

    def write(self, chunk: DecodedChunk) -> None: ...


@dataclass(frozen=True, slots=True)
class Answer:
    """What a question makes of a run: rows of these types, None = those that the request asks for.

    formats: sinks beside those of JSON lines, CSV and Parquet. by_log: the same where each log answers by itself, and
    together: what makes one answer of these, the class itself where nothing is to be done.
    """

    row_types: tuple[str, ...] | None
    chunks: Callable[[Run], Iterator[DecodedChunk]]
    formats: Mapping[str, Callable[[Writable], LineSink]] = field(default_factory=dict)
    by_log: Callable[[Run], ByLog] | None = None
    together: Callable[[], Together] = Together


class StrictStop(OffdecodeError):
    """The run has stopped at its first problem, as --strict asks."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(f"stopped at the first problem (--strict): {problem.source}: {problem.message}")


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


def write_answer(answer: Answer, run: Run, output: Output) -> None:
    """Write the rows of an answer."""
    with opened(run.request, output, run.report, answer.row_types) as target:
        sink = answer_sink(target, answer, run, output)
        for chunk in answer.chunks(run):
            sink.write(chunk)
            run.stats.answered |= chunk.row_count > 0
        end(sink)


def answer_sink(target: ParquetSink | BinaryIO, answer: Answer, run: Run, output: Output) -> Sink:
    """Writes the rows of an answer as the output's format has them; what stands before all rows is written."""
    if isinstance(target, ParquetSink):
        return target
    if output.format is not None and output.format in answer.formats:
        return begun(answer.formats[output.format](target))
    return begun(line_sink(target, run.request, output, answer.row_types))


def line_sink(target: Writable, request: Request, output: Output, row_types: tuple[str, ...] | None = None) -> LineSink:
    """Rows as the output's format has them. row_types: those that there are, None = those that the request asks for."""
    if output.format == "table":
        from offdecode.sinks.text.lines import ListingSink
        from offdecode.sinks.text.records import RECORD_LISTING

        return ListingSink(target, RECORD_LISTING)
    if not output.csv:
        return JsonLinesSink(target, request.columns, output.timestamps)
    from offdecode.sinks.csv import CsvSink

    name = csv_row_type(request.rows.row_types if row_types is None else row_types)
    return CsvSink(target, name, request.columns, output.timestamps)


def csv_row_type(row_types: tuple[str, ...]) -> str:
    """The row type of a CSV. Raises UsageError where that is not one."""
    if len(row_types) != 1:
        name = (*row_types, DEFAULT_ROW_TYPE)[0]
        raise UsageError(f"CSV holds rows of one type: choose it with --type, as --type {name}")
    return row_types[0]


def begun(sink: LineSink) -> LineSink:
    """A sink that has written what stands before all rows."""
    sink.begin()
    return sink


def end(sink: Sink) -> None:
    """Write what stands behind all rows."""
    if isinstance(sink, LineSink):
        sink.end()


def write_rows(run: Run, output: Output, problems: BinaryIO) -> None:
    """Write the decoded rows of a run; several processes share the work where they can."""
    jobs = 1
    # What stops at a problem must not have gone beyond it; the columns of a table are as wide as all before them.
    if not (output.strict or output.format == "table"):
        jobs = job_count(output.jobs, run.evidence)
    if jobs > 1 and CAN_FORK and run.evidence.survives_fork:
        _write_shared(run, output, problems, jobs)
    elif jobs > 1 and run.evidence.size >= _WORTH_SPAWNING:
        _write_spawned(run, output, jobs)
    else:
        _write_alone(run, output)


def job_count(jobs: int | None, evidence: Evidence) -> int:
    """How many processes are to share the evidence: no more than it has parts. jobs: None = all cores."""
    return min(jobs or cpu_count(), evidence.parts)


def _write_alone(run: Run, output: Output) -> None:
    request = run.request
    with opened(request, output, run.report, request.rows.row_types) as target:
        sink: Sink = target if isinstance(target, ParquetSink) else begun(line_sink(target, request, output))
        reader = StepReader(request, run.stats)
        for step in run.evidence.steps(run.stats):
            run.meter(step.size, _write_step(step, reader, sink, run.report))
        end(sink)


def _write_shared(run: Run, output: Output, problems: BinaryIO, jobs: int) -> None:
    """Steps go to forked processes in turn; what they write comes out in the order of the steps.

    JSON lines they write themselves. Parquet has one writer, this process, which they send their rows to.
    """
    request = run.request
    with opened(request, output, run.report, request.rows.row_types) as target:
        _begin_for_all(target, request, output)

        def feed(give: Callable[[Step], None]) -> Stats:
            stats = Stats()
            for step in run.evidence.steps(stats):
                give(step.to_be_read())
            return stats

        def work(steps: Iterator[Step], turns: Turns, note: Callable[[Carried | tuple[int, int]], None]) -> Stats:
            stats = Stats()
            reader = StepReader(request, stats)
            problems_out = TurnStream(problems, turns)
            report = ProblemLines(problems_out, stats, strict=False)
            sink: Sink
            if isinstance(target, ParquetSink):
                sink = carrying = CarryingSink(
                    target.row_types, report, partial(_send, turns, note), turns.index, turns.count
                )
                end_step = carrying.end_step
            else:
                rows_out = TurnStream(target, turns)
                sink, end_step = line_sink(rows_out, request, output), rows_out.flush
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
                run.meter(*noted)
            elif in_order:
                in_order.take(noted)

        for stats in share(jobs, feed, work, on_note):
            run.stats.add(stats)


def _write_spawned(run: Run, output: Output, jobs: int) -> None:
    """Steps go to processes that are begun anew; what they make of them comes back, to be written here in order."""
    request = run.request
    with opened(request, output, run.report, request.rows.row_types) as target:
        _begin_for_all(target, request, output)
        types = tuple(target.row_types) if isinstance(target, ParquetSink) else None
        steps = (step.to_be_read() for step in run.evidence.steps(run.stats))
        for made in spawned(jobs, partial(_StepWork, request, output, types), steps):
            if isinstance(target, ParquetSink):
                for carried in made.carried:
                    carried.write_to(target)
            else:
                target.write(made.lines)
            for problem in made.problems:
                run.report(problem)
            run.stats.add(made.stats)
            run.meter(made.size, made.rows)


@dataclass(frozen=True, slots=True)
class _Made:
    """What a process makes of a step: its rows as lines, or carried to the one that writes Parquet."""

    lines: bytes
    carried: list[Carried]
    problems: list[Problem]
    stats: Stats
    size: int
    rows: int


class _StepWork:
    """Reads steps in a process of its own. types: the row types that Parquet is written of, None = lines are."""

    def __init__(self, request: Request, output: Output, types: tuple[str, ...] | None) -> None:
        self._request = request
        self._output = output
        self._types = types

    def __call__(self, step: Step) -> _Made:
        stats = Stats()
        problems: list[Problem] = []
        carried: list[Carried] = []
        lines = io.BytesIO()
        reader = StepReader(self._request, stats)
        if self._types is None:
            rows = _write_step(step, reader, line_sink(lines, self._request, self._output), problems.append)
        else:
            carrying = CarryingSink(self._types, problems.append, carried.append, 0, 0)
            rows = _write_step(step, reader, carrying, problems.append)
            carrying.end_step()
        return _Made(lines.getvalue(), carried, problems, stats, step.size, rows)


def _begin_for_all(target: ParquetSink | BinaryIO, request: Request, output: Output) -> None:
    """Write what stands before all rows; no process is to have it in its buffer too."""
    if not isinstance(target, ParquetSink):
        line_sink(target, request, output).begin()
        target.flush()


def _send(turns: Turns, note: Callable[[Carried], None], carried: Carried) -> None:
    turns.wait()
    note(carried)


def _write_step(step: Step, reader: StepReader, sink: Sink, report: Report) -> int:
    """The number of rows written."""
    rows = 0
    for chunk in reader.read_reporting(step, report):
        sink.write(chunk)
        rows += chunk.row_count
    return rows


@contextmanager
def problem_stream(output: Output) -> Iterator[BinaryIO]:
    """Where problems go; a line appears as soon as it is written."""
    if output.problems_file is None:
        yield open(sys.stderr.fileno(), "wb", buffering=0, closefd=False)  # noqa: SIM115
        return
    try:
        stream = open_to_write(output.problems_file, buffering=0)
    except OSError as error:
        raise UsageError(f"{output.problems_file}: cannot be written: {error.strerror}") from None
    with stream:
        yield stream


def opened(
    request: Request, output: Output, report: Report, row_types: tuple[str, ...] | None
) -> AbstractContextManager[ParquetSink] | AbstractContextManager[BinaryIO]:
    """Where rows go: the files of Parquet, or one for lines. row_types: those that there are, None = as asked for."""
    if output.parquet:
        return parquet_sink(request, output, report, row_types)
    if output.rotate is not None:
        raise UsageError("--rotate is about Parquet: give -o DIRECTORY --format parquet")
    return line_stream(output)


@contextmanager
def parquet_sink(
    request: Request, output: Output, report: Report, only: tuple[str, ...] | None = None
) -> Iterator[ParquetSink]:
    """The files get their names when the run is through, and vanish when it fails. only: row types that there are."""
    wanted = request.rows.row_types if only is None else only
    new = output.path is not None and not output.path.exists()
    parquet = ParquetSink(_parquet_targets(wanted, output), request.columns, report, output.rotate)
    try:
        yield parquet
        parquet.finish()
    except BaseException:
        parquet.discard()
        if new and output.path is not None:
            with suppress(OSError):  # where a file has its place already
                output.path.rmdir()
        raise


@contextmanager
def line_stream(output: Output) -> Iterator[BinaryIO]:
    """Stdout, or a file that gets its name when the run is through and vanishes when it fails."""
    if output.path is None:
        if sys.stdout is None:
            raise UsageError("standard output is closed: give -o FILE")
        yield sys.stdout.buffer
        return
    with complete_file(output.path) as stream:
        yield stream


def _parquet_targets(row_types: tuple[str, ...] | None, output: Output) -> dict[str, Path]:
    if output.path is None:
        raise UsageError("Parquet needs a place: give -o DIRECTORY or -o FILE.parquet")
    if output.path.suffix == ".parquet" and not output.path.is_dir():
        if output.rotate is not None:
            raise UsageError("--rotate makes many files: give -o DIRECTORY --format parquet")
        types = row_types or (DEFAULT_ROW_TYPE,)
        if len(types) > 1:
            raise UsageError("one Parquet file holds one row type: give -o DIRECTORY for several")
        return {types[0]: output.path}
    make_directory(output.path)
    rotated = output.rotate is not None
    files = parquet_files(output.path, row_types or row_type_names(), rotated=rotated)
    for name, place in files.items():
        other = output.path / (f"{name}.parquet" if rotated else name)
        for found in (place, other) if rotated else (other,):
            if (found.suffix == ".parquet" and found.exists()) or any(found.glob("*.parquet")):
                raise UsageError(f"{found}: holds rows of another run; remove it or name another directory")
    for place in files.values() if rotated else ():
        make_directory(place)
    return files


def keep_off_the_evidence(paths: tuple[Path, ...], output: Output) -> None:
    """Refuse to write over the input, or into a directory of it; and rows and problems into one file."""
    targets = [Path(os.path.realpath(path)) for path in (output.path, output.problems_file) if path is not None]
    for target in targets:
        if touches_evidence(target, paths):
            raise UsageError(f"{target}: the input is never written to")
    if len(set(targets)) < len(targets) and not (targets[0].exists() and not targets[0].is_file()):
        raise UsageError(f"{targets[0]}: rows and problems need a file each")
