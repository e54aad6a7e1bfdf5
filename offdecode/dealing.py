"""The answers of logs to their sink, each log's by one of several processes.

What is written is the same for any number of them: answers are held back until all before them are written, and a log
whose answer would be another one with the names of topic ids that logs before it tell is given to a process again,
with those names.
"""

from __future__ import annotations

import heapq
import pickle
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, BinaryIO, NamedTuple

import pyarrow as pa

from offdecode.by_log import Answers, ByLog, Together
from offdecode.errors import SourceError, UsageError
from offdecode.evidence import Evidence, refusals
from offdecode.model import DecodedChunk, Vector
from offdecode.options import Output
from offdecode.parallel import converse
from offdecode.per_log import log_jobs
from offdecode.request import Report, Stats
from offdecode.run import Run
from offdecode.sinks.carried import Carried, CarryingSink, packed, unpacked
from offdecode.sinks.parquet import ParquetSink
from offdecode.writing import Answer, ProblemLines, Sink, answer_sink, end, line_sink, opened, write_answer

_MOST_IN_MEMORY = 1 << 20  # bytes of a log's answer that are held back; more of it is in a temporary file
_SENT_BYTES = 1 << 20

Names = dict[str, str]  # of topic ids


class _Slot(NamedTuple):
    """A place in the output: what a log tells while it is read, or the rest, when all are read."""

    rest: bool
    log: int


@dataclass(frozen=True, slots=True)
class _Lines:
    """Lines of rows; they cross from one process to another without a copy of their own."""

    data: bytes | memoryview | pickle.PickleBuffer


@dataclass(frozen=True, slots=True)
class _Problems:
    """Lines of problems."""

    lines: bytes


@dataclass(frozen=True, slots=True)
class _Read:
    """So many bytes and rows were read."""

    size: int
    rows: int


@dataclass(frozen=True, slots=True)
class _Through:
    """A slot has nothing more. names: that its log told; asked: ids whose names it needed before it told any."""

    told: list[Any] = field(default_factory=list)
    names: Names = field(default_factory=dict)
    asked: set[str] = field(default_factory=set)
    stats: Stats = field(default_factory=Stats)
    refused: SourceError | None = None


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Rows as they are: an Arrow stream for each row type, and their order."""

    streams: list[tuple[str, pa.Buffer]]
    order: Vector

    @staticmethod
    def of(chunk: DecodedChunk) -> _Chunk:
        return _Chunk([(name, packed(batch)) for name, batch in chunk], chunk.order)

    def chunk(self) -> DecodedChunk:
        return DecodedChunk({name: unpacked(stream) for name, stream in self.streams}, self.order)


_Rows = _Lines | Carried | _Chunk
_Made = _Rows | _Problems | _Read | _Through
_Note = tuple[_Slot, _Made] | None  # None: the process asks what to do


@dataclass(frozen=True, slots=True)
class _Rest:
    """What a process needs for the rest of its logs."""

    logs: list[int]
    names: Names
    told: Any


def write_by_log(answer: Answer, run: Run, output: Output, problems: BinaryIO) -> None:
    """Write the rows of an answer; several processes share the logs where they can."""
    evidence = run.evidence
    if answer.by_log is None or not _can_be_shared(evidence, output):
        write_answer(answer, run, output)
        return
    question = answer.by_log(run)
    with opened(run.request, output, run.report, answer.row_types) as target:
        sink = answer_sink(target, answer, run, output)
        if not isinstance(target, ParquetSink):
            target.flush()  # no process is to have what was begun in its buffer too
        writer = _Writer(target, sink, problems, answer.together())
        deal = _Deal(run, evidence, question, writer.write)
        with closing(deal):
            converse(
                log_jobs(output.jobs, evidence), _Worker(run, evidence, question, answer, output, target), deal.take
            )
        writer.finish()
        run.stats.answered = writer.wrote
        end(sink)


def _can_be_shared(evidence: Evidence, output: Output) -> bool:
    """Whether processes can share logs. What stops at a problem must not have gone beyond it."""
    return log_jobs(output.jobs, evidence) > 1 and not output.strict and _has_temporary_files()


def _has_temporary_files() -> bool:
    try:
        return bool(tempfile.gettempdir())
    except FileNotFoundError:
        return False


class _Worker:
    """A process: answers for the logs that it is given, until it is given the rest."""

    def __init__(
        self, run: Run, evidence: Evidence, question: ByLog, answer: Answer, output: Output,
        target: ParquetSink | BinaryIO,
    ) -> None:  # fmt: skip
        self._run = run
        self._evidence = evidence
        self._question = question
        self._answer = answer
        self._output = output
        self._types = target.row_types if isinstance(target, ParquetSink) else None
        # Texts and tables have lines that depend on those before them.
        text = output.format == "table" or output.format in answer.formats
        self._whole = text or answer.together is not Together

    def __call__(self, ask: Callable[[], Any], note: Callable[[_Note], None]) -> None:
        answers: dict[int, Answers] = {}
        while True:
            note(None)
            given = ask()
            if isinstance(given, _Rest):
                break
            log, names = given
            answers[log] = self._first(log, names, note)
        for log in given.logs:
            answers[log].names.update(given.names)
            self._rest(answers[log], given.told, _Slot(True, log), note)

    def _rest(self, answers: Answers, told: Any, slot: _Slot, note: Callable[[_Note], None]) -> None:
        def send(made: _Made) -> None:
            note((slot, made))

        stats = Stats()
        self._write(answers.rest(told), _problem_lines(stats, send), send)
        send(_Through(stats=stats))

    def _first(self, log: int, names: Names, note: Callable[[_Note], None]) -> Answers:
        def send(made: _Made) -> None:
            note((_Slot(False, log), made))

        answers, stats, refused = Answers(self._question, names), Stats(), None
        report = _problem_lines(stats, send)
        run = Run(self._run.request, report, stats, self._evidence.only(log))
        run.meter = lambda size, rows: send(_Read(size, rows))
        try:
            self._write(answers.first(run), report, send)
        except SourceError as error:
            refused = error
        asked = answers.names.asked if self._question.names_first else set()
        send(_Through(answers.told(), answers.names.told, asked, stats, refused))
        return answers

    def _write(self, chunks: Iterable[DecodedChunk], report: Report, send: Callable[[_Made], None]) -> None:
        """Send what a sink makes of chunks, of those before an error too."""
        sink: Sink
        end: Callable[[], None]
        if self._whole:
            sink, end = _ChunkSink(send), lambda: None
        elif self._types is not None:
            sink = carrying = CarryingSink(self._types, report, send, 0, 0)
            end = carrying.end_step
        else:
            lines = _Sending(lambda data: send(_Lines(pickle.PickleBuffer(data))), _SENT_BYTES)
            sink, end = line_sink(lines, self._run.request, self._output, self._answer.row_types), lines.flush
        try:
            for chunk in chunks:
                sink.write(chunk)
        finally:
            end()


def _problem_lines(stats: Stats, send: Callable[[_Problems], None]) -> ProblemLines:
    return ProblemLines(_Sending(lambda data: send(_Problems(bytes(data))), 1), stats, strict=False)


class _Sending:
    """A stream that sends what was written to it, at least so many bytes at a time."""

    def __init__(self, send: Callable[[bytes | memoryview], None], least: int) -> None:
        self._send = send
        self._least = least
        self._held: list[bytes | memoryview] = []
        self._size = 0

    def write(self, data: bytes | memoryview) -> int:
        self._held.append(data)
        self._size += len(data)
        if self._size >= self._least:
            self.flush()
        return len(data)

    def flush(self) -> None:
        if self._held:
            self._send(self._held[0] if len(self._held) == 1 else b"".join(self._held))
        self._held, self._size = [], 0


class _ChunkSink:
    def __init__(self, send: Callable[[_Chunk], None]) -> None:
        self._send = send

    def write(self, chunk: DecodedChunk) -> None:
        self._send(_Chunk.of(chunk))


class _Writer:
    """Writes what processes have made, when its turn has come."""

    def __init__(self, target: ParquetSink | BinaryIO, sink: Sink, problems: BinaryIO, together: Together) -> None:
        self._target = target
        self._sink = sink
        self._problems = problems
        self._together = together
        self.wrote = False  # a row

    def write(self, made: _Rows | _Problems) -> None:
        if isinstance(made, _Problems):
            self._problems.write(made.lines)
        elif isinstance(made, _Chunk):
            self._write_chunks(self._together.add(made.chunk()))
        elif isinstance(made, Carried):
            assert isinstance(self._target, ParquetSink)
            made.write_to(self._target)
            self.wrote = True
        else:
            assert not isinstance(self._target, ParquetSink)
            self._target.write(made.data)
            self.wrote = True

    def finish(self) -> None:
        self._write_chunks(self._together.finish())

    def _write_chunks(self, chunks: Iterable[DecodedChunk]) -> None:
        for chunk in chunks:
            self._sink.write(chunk)
            self.wrote |= chunk.row_count > 0


class _Held:
    """What was made of a slot, until its turn comes."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(_MOST_IN_MEMORY, prefix="offdecode-")  # noqa: SIM115
        self._parts: list[tuple[int, bool]] = []  # bytes, and whether they are lines of rows as they are

    def add(self, made: _Rows | _Problems) -> None:
        data = made.data if isinstance(made, _Lines) else pickle.dumps(made, protocol=5)
        with _full_disks_told():
            self._parts.append((self._file.write(data), isinstance(made, _Lines)))
            self._file.flush()

    def all(self) -> Iterator[_Rows | _Problems]:
        with _full_disks_told():
            self._file.seek(0)
        for size, are_lines in self._parts:
            data = self._file.read(size)
            yield _Lines(data) if are_lines else pickle.loads(data)

    def close(self) -> None:
        with suppress(OSError):
            self._file.close()


@contextmanager
def _full_disks_told() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = f"rows that wait for those before them cannot be kept in a temporary file: {error.strerror}"
        raise UsageError(f"{reason}; TMPDIR names a place for it, and --jobs 1 needs none") from None


class _Deal:
    """Gives logs to processes and hands on what these make of them, in order."""

    def __init__(
        self, run: Run, evidence: Evidence, question: ByLog, hand_on: Callable[[_Rows | _Problems], None]
    ) -> None:
        self._run = run
        self._evidence = evidence
        self._gather = question.gather
        self._hand_on = hand_on
        count = len(evidence.histories)
        self._todo = list(range(count))  # logs that wait for a process, as a heap
        self._idle: deque[int] = deque()
        self._worker: dict[int, int] = {}  # by log, the process that was given it last
        self._given: dict[int, Names] = {}  # by log, with these names
        self._learned: dict[int, Names] = {}  # by log that is through, what it tells
        self._judged = 0  # of so many logs it is known with which names they are to be answered
        self._names = dict(question.names)  # with what those logs tell
        self._again: dict[int, Names] = {}  # logs that were answered with other names than these
        self._slots = deque(_Slot(rest, log) for rest in (False, True) for log in range(count))  # still to be written
        self._held: dict[_Slot, _Held] = {}
        self._through: dict[_Slot, _Through] = {}
        self._told: list[Any] = []
        self._gathered: Any = None
        self._refused: list[SourceError] = []
        for problem in evidence.problems:
            if problem.kind not in question.expected:
                run.report(problem)

    def take(self, worker: int, note: _Note, reply: Callable[[int, Any], None]) -> None:
        """A process has made something, or asks what to do."""
        if note is None:
            self._idle.append(worker)
        else:
            self._add(*note)
        while self._idle and (given := self._next(self._idle[0])) is not None:
            reply(self._idle.popleft(), given)

    def _next(self, worker: int) -> _Rest | tuple[int, Names] | None:
        """What an idle process is to do; None: wait."""
        if not self._slots or self._slots[0].rest:
            own = [log for log, its in sorted(self._worker.items()) if its == worker]
            return _Rest(own, self._names, self._gathered)
        if not self._todo:
            return None
        log = heapq.heappop(self._todo)
        names = self._again.get(log)
        if names is None:
            names = dict(self._names)
            for before in range(self._judged, log):  # of those between, what is known already
                names |= self._learned.get(before, {})
        self._worker[log], self._given[log] = worker, names
        return log, names

    def _add(self, slot: _Slot, made: _Made) -> None:
        if isinstance(made, _Read):
            if slot.log not in self._again:
                self._run.meter(made.size, made.rows)
        elif isinstance(made, _Through):
            self._through[slot] = made
            if not slot.rest:
                self._learned[slot.log] = made.names
                self._judge()
            self._write()
        elif slot == self._slots[0] and slot not in self._held and self._stands(slot):
            self._hand_on(made)
        else:
            if slot not in self._held:
                self._held[slot] = _Held()
            self._held[slot].add(made)

    def _judge(self) -> None:
        """Ask for answers again that names change which logs before theirs tell."""
        while (log := self._judged) in self._learned:
            slot, given = _Slot(False, log), self._given[log]
            if any(given.get(key) != self._names.get(key) for key in self._through[slot].asked):
                self._again[log] = dict(self._names)
                self._drop(slot)
                del self._through[slot]
                heapq.heappush(self._todo, log)
            self._names |= self._learned[log]
            self._judged += 1

    def _drop(self, slot: _Slot) -> None:
        held = self._held.pop(slot, None)
        if held is not None:
            held.close()

    def close(self) -> None:
        """Let go of what is held back; nothing is after all went well."""
        for slot in list(self._held):
            self._drop(slot)

    def _stands(self, slot: _Slot) -> bool:
        """Whether what is made of the next slot will not be made again."""
        return slot.rest or slot.log < self._judged or self._given.get(slot.log) == self._names

    def _write(self) -> None:
        """Write what its turn has come to."""
        while self._slots and self._stands(slot := self._slots[0]):
            for made in self._held[slot].all() if slot in self._held else ():
                self._hand_on(made)
            self._drop(slot)
            through = self._through.pop(slot, None)
            if through is None:
                return
            self._slots.popleft()
            self._run.stats.add(through.stats)
            self._told += through.told
            self._refused += [through.refused] if through.refused is not None else []
            if not slot.rest and self._slots[0].rest:
                self._evidence.refuse_if_none(self._refused)
                for problem in refusals(self._refused):
                    self._run.report(problem)
                self._gathered = self._gather(self._told)
