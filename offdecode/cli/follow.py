"""A run on a live topic: rows to their sink, where to go on to the checkpoint, words to the terminal."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import click

from offdecode.cli import DAMAGED
from offdecode.cli.run import for_a_person, print_stats
from offdecode.errors import UsageError
from offdecode.model import DecodedChunk
from offdecode.options import Output
from offdecode.questions.tail import Beginning, Interrupted, Security, Tail, TailStep, read_security
from offdecode.request import Request
from offdecode.sinks.checkpoint import ResumedFile, TailCheckpoint, load_checkpoint
from offdecode.sinks.jsonl import JsonLinesSink
from offdecode.sinks.parquet import ParquetSink
from offdecode.sinks.parts import ParquetParts
from offdecode.writing import ProblemLines, begun, csv_row_type, line_sink, line_stream, parquet_sink, problem_stream

_SAVE_SECONDS = 1.0
_STATUS_SECONDS = 0.5
_WAIT_SECONDS = 0.2
_PART_BYTES = 128 << 20  # of rows in memory; the files are much smaller
_PART_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Following:
    """What is read, from where, until when, and how a later run goes on. rotate: bytes or seconds of a part."""

    servers: str
    command_config: Path | None
    beginning: Beginning
    until_end: bool
    hold_seconds: float
    wait_topic: bool
    checkpoint: Path | None
    rotate: tuple[int | None, float | None] | None


class _Target(Protocol):
    """Where rows go, and what makes them safe."""

    def write(self, chunk: DecodedChunk, log_partition: int) -> None: ...
    def flush(self) -> None: ...
    def save(self, offsets: dict[int, int], *, at_end: bool) -> None: ...


def run_tail(request: Request, following: Following, output: Output, *, terminal: bool) -> int:
    """Run until the end or a signal; the exit status."""
    start = time.monotonic()
    if following.rotate is not None and not (output.parquet and following.checkpoint):
        raise UsageError("--rotate is about Parquet parts: give --checkpoint FILE, and -o DIRECTORY --format parquet")
    if following.checkpoint is not None and (output.csv or output.format not in (None, "jsonl", "parquet")):
        raise UsageError("--checkpoint goes on in JSON lines or Parquet: give --format jsonl or parquet")
    if output.csv:
        csv_row_type(request.rows.row_types)
    security = Security() if following.command_config is None else read_security(following.command_config)
    saved = None if following.checkpoint is None else load_checkpoint(following.checkpoint)
    tail = Tail.of(following.servers, security, request, following.hold_seconds)
    with problem_stream(output) as problems, _signals(tail), for_a_person(output):
        report = ProblemLines(problems, tail.stats, output.strict)
        try:
            tail.open(following.beginning, saved.offsets if saved else {}, wait_topic=following.wait_topic)
            with _target(request, following, output, report, saved, tail) as target:
                _follow(tail, target, report, following, _Status(tail, terminal))
        except Interrupted:  # before anything was read
            pass
        finally:
            tail.close()
    if output.show_stats:
        print_stats(tail.stats, time.monotonic() - start)
    return DAMAGED if tail.stats.problems else 0


def _follow(tail: Tail, target: _Target, report: ProblemLines, following: Following, status: _Status) -> None:
    offsets = tail.offsets
    target.save(offsets, at_end=True)

    def write(steps: Iterator[TailStep]) -> bool:
        any_step = False
        for item in steps:
            any_step = True
            for chunk in tail.reader.read_reporting(item.step, report):
                target.write(chunk, item.log_partition)
            offsets[item.log_partition] = item.next_offset
            target.save(offsets, at_end=False)
            status.show()
        target.flush()
        return any_step

    try:
        if following.until_end:
            write(tail.catch_up())
        while not (following.until_end or tail.topic.stopping):
            if not write(tail.sweep()):
                target.save(offsets, at_end=False)
                tail.topic.wait(_WAIT_SECONDS)
            status.caught_up()
            status.show()
    except Interrupted:
        pass
    # With a checkpoint, rows that wait for a transaction's end are left to the next run, which will know it.
    if tail.topic.stopping and following.checkpoint is None:
        with suppress(Interrupted):
            write(tail.last_sweep())
    target.save(offsets, at_end=True)
    status.clear()


@contextmanager
def _signals(tail: Tail) -> Iterator[None]:
    """SIGINT and SIGTERM ask for the end."""
    before = {number: signal.signal(number, lambda *_: tail.stop()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Status:
    """What the user sees of the run: a line that is written over on a terminal, and notes."""

    def __init__(self, tail: Tail, terminal: bool) -> None:
        self._tail = tail
        self._terminal = terminal
        self._shown_at = time.monotonic()
        self._shown_rows = 0
        self._caught_up = False

    def show(self) -> None:
        for note in self._tail.topic.notes():
            self._say(note)
        now = time.monotonic()
        if not self._terminal or now < self._shown_at + _STATUS_SECONDS:
            return
        rows = self._tail.stats.rows
        rate = (rows - self._shown_rows) / (now - self._shown_at)
        self._shown_at, self._shown_rows = now, rows
        text = f"{len(self._tail.offsets)} partitions, {rate:,.0f} rows/s"
        sys.stderr.write(f"\r\x1b[K{text}, {self._tail.behind:,} behind the high watermark")
        sys.stderr.flush()

    def caught_up(self) -> None:
        if not self._caught_up and self._tail.caught_up:
            self._caught_up = True
            self._say(f"caught up: {len(self._tail.offsets)} partitions, {self._tail.stats.rows:,} rows")

    def _say(self, text: str) -> None:
        self.clear()
        click.echo(f"offdecode: {text}", err=True)

    def clear(self) -> None:
        if self._terminal:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


@contextmanager
def _target(  # noqa: C901 - a refusal each for what a checkpoint cannot go on from
    request: Request,
    following: Following,
    output: Output,
    report: ProblemLines,
    saved: TailCheckpoint | None,
    tail: Tail,
) -> Iterator[_Target]:
    if following.checkpoint is None:
        with parquet_sink(request, output, report) if output.parquet else line_stream(output) as sink:
            yield (
                _Plain(sink, None)
                if isinstance(sink, ParquetSink)
                else _Plain(begun(line_sink(sink, request, output)), sink)
            )
        return
    path = output.path
    if path is None:
        raise UsageError("--checkpoint needs -o: what went to a pipe cannot be taken back")
    if output.parquet and path.suffix == ".parquet":
        raise UsageError("--checkpoint makes many Parquet parts: give a directory (-o DIRECTORY --format parquet)")
    mark = TailCheckpoint(
        tail.cluster, request.source.topic_name, str(path.absolute()), None if output.parquet else 0, {}
    )
    if saved is not None:
        for name, meaning in (("cluster", "the cluster"), ("topic", "the topic"), ("output", "-o")):
            if getattr(saved, name) != getattr(mark, name):
                raise UsageError(
                    f"{following.checkpoint}: is of {meaning} {getattr(saved, name)!r}, this run of "
                    f"{getattr(mark, name)!r}; name another checkpoint"
                )
        if (saved.size is None) != (mark.size is None):
            raise UsageError(f"{following.checkpoint}: is of a run with another --format; name another checkpoint")
    if output.parquet:
        parts = ParquetParts(path, request.columns, report)
        try:
            _refuse_changed(following.checkpoint, saved)
            yield _Parts(parts, mark, saved, following)
        except BaseException:
            parts.discard()
            raise
        finally:
            parts.close()
        return
    if saved is None and path.exists() and path.stat().st_size:
        raise UsageError(f"{path}: is there already, and {following.checkpoint} is not; remove it or name another")
    file = ResumedFile(path)
    with file.stream:
        _refuse_changed(following.checkpoint, saved)
        file.cut_back((saved.size or 0) if saved else 0)
        yield _Resumed(JsonLinesSink(file.stream, request.columns, output.timestamps), file, mark, following.checkpoint)


def _refuse_changed(path: Path, saved: TailCheckpoint | None) -> None:
    """Another run may have gone on while this one connected; now that the output is ours, none can."""
    if load_checkpoint(path) != saved:
        raise UsageError(f"{path}: another run has gone on from it meanwhile; start this one again")


class _Plain:
    """Output without a checkpoint."""

    def __init__(self, sink: Any, stream: Any) -> None:
        self._sink = sink
        self._stream = stream

    def write(self, chunk: DecodedChunk, log_partition: int) -> None:
        self._sink.write(chunk)

    def flush(self) -> None:
        if self._stream is not None:
            self._stream.flush()

    def save(self, offsets: dict[int, int], *, at_end: bool) -> None:
        pass


class _Resumed:
    """JSON lines in a file that a later run cuts back to the checkpoint."""

    def __init__(self, sink: JsonLinesSink, file: ResumedFile, mark: TailCheckpoint, path: Path) -> None:
        self._sink = sink
        self._file = file
        self._mark = mark
        self._path = path
        self._saved: dict[int, int] = {}
        self._saved_at = 0.0

    def write(self, chunk: DecodedChunk, log_partition: int) -> None:
        self._sink.write(chunk)

    def flush(self) -> None:
        self._file.stream.flush()

    def save(self, offsets: dict[int, int], *, at_end: bool) -> None:
        now = time.monotonic()
        if offsets != self._saved and (at_end or now >= self._saved_at + _SAVE_SECONDS):
            self._saved, self._saved_at = dict(offsets), now
            replace(self._mark, size=self._file.make_safe(), offsets=offsets).save(self._path)


class _Parts:
    """Parquet parts; the checkpoint goes on when they are closed."""

    def __init__(
        self, parts: ParquetParts, mark: TailCheckpoint, saved: TailCheckpoint | None, following: Following
    ) -> None:
        self.parts = parts
        assert following.checkpoint is not None
        self._path = following.checkpoint
        self._mark = mark
        size, seconds = following.rotate or (None, None)
        self._bytes, self._seconds = size or _PART_BYTES, seconds or _PART_SECONDS
        self._saved: dict[int, int] = {}
        self._saved_at = time.monotonic()
        if saved is not None:
            parts.discard_after(saved.offsets)
        elif parts.holds_parts():
            raise UsageError(f"{parts.directory}: has parts already, and {self._path} is not there; name another")

    def write(self, chunk: DecodedChunk, log_partition: int) -> None:
        self.parts.write(chunk, log_partition)

    def flush(self) -> None:
        pass

    def save(self, offsets: dict[int, int], *, at_end: bool) -> None:
        now = time.monotonic()
        due = now >= self._saved_at + self._seconds or self.parts.buffered_bytes >= self._bytes
        if offsets != self._saved and (at_end or due):
            self.parts.rotate(self._saved, offsets)
            self._saved, self._saved_at = dict(offsets), now
            replace(self._mark, offsets=offsets).save(self._path)
