"""Processes that share a sequence of work and write its results in turn.

One process makes the pieces of work and gives them to the workers round and round. A byte that goes round through
pipes says whose turn it is to write, so the output is the same for any number of workers, and no result need cross
from one process to another. Forked before threads exist. Where there is no fork, processes are begun anew, and what
they make of a piece crosses to the one that writes (`spawned`).
"""

from __future__ import annotations

import mmap
import os
import pickle
import select
import signal
import struct
import sys
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO

import numpy as np

from offdecode.errors import OffdecodeError
from offdecode.system import widen_pipe

_ENDED = "a worker process ended unexpectedly; the output is not complete"
_TURN = b"."
_HELD_BYTES = 32 << 20  # more than this is not held back while others write
_SLOTS = 2
_SLOT_BYTES = 12 << 20  # a chunk of 4 MiB, and the vectors of its batches where each holds one small record
_ALIGNED_BYTES = 64
_SIZE = struct.Struct("<q")


class Stopped(Exception):
    """Another process has failed, so this one stops too."""


class WorkerError(OffdecodeError):
    """A worker process ended without a result; the system may have killed it."""


class Turns:
    """One worker's place in the round: pieces index, index + count, ... are its own."""

    def __init__(self, index: int, count: int, read_end: int, write_end: int) -> None:
        self.index = index
        self.count = count
        self._read_end = read_end
        self._write_end = write_end
        self._has_turn = False

    def wait(self) -> None:
        """Wait until all earlier pieces are written."""
        if not self._has_turn:
            if os.read(self._read_end, 1) != _TURN:
                raise Stopped
            self._has_turn = True

    def pass_on(self) -> None:
        self.wait()
        self._has_turn = False
        with suppress(BrokenPipeError):  # the next one has done all of its work already
            os.write(self._write_end, _TURN)


class TurnStream:
    """A stream whose writes reach their file in this process's turn only."""

    def __init__(self, stream: BinaryIO, turns: Turns) -> None:
        self._stream = stream
        self._turns = turns
        self._held: list[bytes | memoryview] = []
        self._size = 0

    def write(self, data: bytes | memoryview) -> int:
        self._held.append(data)
        self._size += len(data)
        if self._size > _HELD_BYTES:
            self.flush()
        return len(data)

    def flush(self) -> None:
        """Wait for the turn and write what is held."""
        self._turns.wait()
        for data in self._held:
            self._stream.write(data)
        self._stream.flush()
        self._held, self._size = [], 0


Feed = Callable[[Callable[[Any], None]], Any]
Work = Callable[[Iterator[Any], Turns, Callable[[Any], None]], Any]
OnNote = Callable[[int, Any, Callable[[int, Any], None]], None]
_Job = Callable[[Callable[[Any], None]], Any]


def share(count: int, feed: Feed, work: Work, on_note: Callable[[Any], None]) -> list[Any]:
    """Run feed(give) in one process and work(pieces, turns, note) in `count` others; the results of all.

    give(piece) sends a piece to the next worker; note(x) calls on_note(x) in this process. A piece's buffers are the
    worker's until it asks for the next one. An exception in one process ends them all and is raised here.
    """
    rings = [os.pipe() for _ in range(count)]
    lanes = [_Lane() for _ in range(count)]
    pipes = {end for pipe in rings for end in pipe}.union(*(lane.ends for lane in lanes))
    processes = _Processes(pipes)
    _flush()
    for index in range(count):
        turns = Turns(index, count, rings[index][0], rings[(index + 1) % count][1])

        def job(note: Callable[[Any], None], turns: Turns = turns) -> Any:
            return work(lanes[turns.index].pieces(), turns, note)

        processes.start(job, {rings[index][0], rings[(index + 1) % count][1], *lanes[index].outlets})
    processes.start(lambda note: _feed(feed, lanes), {end for lane in lanes for end in lane.inlets})
    os.write(rings[0][1], _TURN)
    for end in pipes:
        os.close(end)
    return processes.collect(on_note)


def converse(count: int, work: Callable[[Callable[[], Any], Callable[[Any], None]], None], on_note: OnNote) -> None:
    """Run work(ask, note) in `count` forked processes, which are told one by one what to do.

    note(x) calls on_note(worker, x, reply) in this process, worker being its number; ask() waits for what it gives to
    reply(worker, y). An exception in one process, or its end, ends them all and is raised here.
    """
    asked = [os.pipe() for _ in range(count)]
    pipes = {end for pipe in asked for end in pipe}
    processes = _Processes(pipes)
    _flush()
    for index in range(count):
        replies = asked[index][0]

        def ask(replies: int = replies) -> Any:
            try:
                return _receive(replies)
            except EOFError:
                raise Stopped from None

        def job(note: Callable[[Any], None], index: int = index, ask: Callable[[], Any] = ask) -> None:
            work(ask, lambda value: note((index, value)))

        processes.start(job, {replies})
    for replies, _ in asked:
        os.close(replies)

    def reply(worker: int, value: Any) -> None:
        try:
            _send(asked[worker][1], value)
        except BrokenPipeError:  # not to be taken for a reader of the output that has gone
            raise WorkerError(_ENDED) from None

    try:
        # Those that wait to be told more would wait for ever when one has ended.
        processes.collect(lambda noted: on_note(noted[0], noted[1], reply), until_failure=True)
    finally:
        for _, outlet in asked:
            os.close(outlet)


def spawned(count: int, begin: Callable[[], Callable[[Any], Any]], pieces: Iterator[Any]) -> Iterator[Any]:
    """What `count` fresh processes make of pieces, in the order of these. Pieces, results and `begin` must pickle.

    begin: called once in each process, gives what is called with each piece. Raises what that raises.
    """
    from concurrent.futures import Future, ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool
    from multiprocessing import get_context

    waiting: deque[Future[Any]] = deque()
    with ProcessPoolExecutor(count, get_context("spawn")) as pool:
        try:
            for piece in pieces:
                with _without_interrupts():  # which the processes that are begun here do not get then, either
                    waiting.append(pool.submit(_work_spawned, begin, piece))
                if len(waiting) > count + 1:  # each has a piece, and there is one more to go on with
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool:
            raise WorkerError(_ENDED) from None
        finally:
            for future in waiting:
                future.cancel()


_spawned_work: list[Callable[[Any], Any]] = []  # in a process that was begun by `spawned`


def _work_spawned(begin: Callable[[], Callable[[Any], Any]], piece: Any) -> Any:
    if not _spawned_work:
        _spawned_work.append(begin())
    return _spawned_work[0](piece)


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Within, SIGINT is ignored, by processes that are begun too. Only the main thread can have it so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _flush() -> None:
    """No process is to have what was written before it began in its buffer too."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()


def _feed(feed: Feed, lanes: list[_Lane]) -> Any:
    """Feed the lanes in turn."""
    given = 0

    def give(piece: Any) -> None:
        nonlocal given
        lanes[given % len(lanes)].give(piece)
        given += 1

    return feed(give)


class _Lane:
    """Pieces on their way to one worker.

    Their buffers lie in memory that both processes share, in one of two slots: one is filled while the other is
    worked on. What is too large for a slot goes through the pipe.
    """

    def __init__(self) -> None:
        self._read_end, self._write_end = _wide_pipe()
        self._freed, self._free = os.pipe()  # numbers of slots that the worker has done with
        self._memory = np.frombuffer(mmap.mmap(-1, _SLOTS * _SLOT_BYTES), np.uint8)
        os.write(self._free, bytes(range(_SLOTS)))

    @property
    def ends(self) -> tuple[int, int, int, int]:
        return (self._read_end, self._write_end, self._freed, self._free)

    @property
    def inlets(self) -> tuple[int, int]:
        """What the feeding process needs."""
        return (self._write_end, self._freed)

    @property
    def outlets(self) -> tuple[int, int]:
        """What the worker needs."""
        return (self._read_end, self._free)

    def give(self, piece: Any) -> None:
        buffers: list[pickle.PickleBuffer] = []
        pickled = pickle.dumps(piece, protocol=5, buffer_callback=buffers.append)
        parts = [buffer.raw() for buffer in buffers]
        sizes = [len(part) for part in parts]
        places = _places(sizes)
        slot = b""
        if places[-1] <= _SLOT_BYTES:
            slot = os.read(self._freed, 1)
            if not slot:
                raise Stopped
            memory = self._slot(slot)
            for part, place in zip(parts, places, strict=False):
                memory.data[place : place + len(part)] = part
        try:
            _send(self._write_end, (slot, pickled, sizes if slot else buffers))
        except BrokenPipeError:
            raise Stopped from None

    def pieces(self) -> Iterator[Any]:
        while True:
            try:
                slot, pickled, parts = _receive(self._read_end)
            except EOFError:
                return
            if slot:
                memory = self._slot(slot)
                parts = [memory[at : at + size] for at, size in zip(_places(parts), parts, strict=False)]
            yield pickle.loads(pickled, buffers=parts)
            if slot:
                with suppress(BrokenPipeError):  # nothing more is to come
                    os.write(self._free, slot)

    def _slot(self, slot: bytes) -> np.ndarray:
        return self._memory[slot[0] * _SLOT_BYTES : (slot[0] + 1) * _SLOT_BYTES]


def _places(sizes: list[int]) -> list[int]:
    """Where in a slot buffers of these sizes begin, and where the last one ends."""
    places = [0]
    for size in sizes:
        places.append(-(-(places[-1] + size) // _ALIGNED_BYTES) * _ALIGNED_BYTES)
    return places


def _send(pipe: int, value: Any) -> None:
    """Send a value through a pipe: the sizes of its parts, then the parts: what pickle says, and the buffers in it."""
    buffers: list[pickle.PickleBuffer] = []
    parts = [memoryview(pickle.dumps(value, protocol=5, buffer_callback=buffers.append))]
    parts += [buffer.raw() for buffer in buffers]
    sizes = b"".join(_SIZE.pack(size) for size in (len(parts), *map(len, parts)))
    for part in (memoryview(sizes), *parts):
        while part:
            part = part[os.write(pipe, part) :]


def _receive(pipe: int) -> Any:
    """The next value that was sent through a pipe. EOFError where it has ended, amid a value too."""
    (count,) = _SIZE.unpack(_read(pipe, _SIZE.size))
    sizes = np.frombuffer(_read(pipe, count * _SIZE.size), "<i8").tolist()
    pickled, *buffers = [_read(pipe, size) for size in sizes]
    return pickle.loads(pickled, buffers=buffers)


def _read(pipe: int, size: int) -> memoryview:
    data = left = np.empty(size, np.uint8).data  # a bytearray would be filled with zeros first
    while left:
        count = os.readv(pipe, [left])
        if not count:
            raise EOFError
        left = left[count:]
    return data


def _wide_pipe() -> tuple[int, int]:
    """Both ends of a pipe that holds much, where the system grants it."""
    ends = os.pipe()
    widen_pipe(ends[1])
    return ends


class _Processes:
    """Forked processes, each with a pipe on which it sends its notes and its result to the parent."""

    def __init__(self, pipes: set[int]) -> None:
        self._pipes = pipes
        self._started: dict[int, int] = {}  # by the end of the pipe that is read here

    def start(self, job: _Job, keep: set[int]) -> None:
        """Run a job in a new process, which keeps of the pipes only these ends."""
        inlet, outlet = _wide_pipe()
        with warnings.catch_warnings():
            # Python 3.12 and later warn of the threads that numpy and Arrow keep; both are made to be forked.
            warnings.simplefilter("ignore", DeprecationWarning)
            process = os.fork()
        if not process:
            for end in {inlet, *self._started, *(self._pipes - keep)}:
                os.close(end)
            _run(job, outlet)
        os.close(outlet)
        self._started[inlet] = process

    def collect(self, on_note: Callable[[Any], None], *, until_failure: bool = False) -> list[Any]:  # noqa: C901
        """What the jobs return. Gives on_note what they note meanwhile. until_failure: of one job, which ends all."""
        results: list[Any] = []
        errors: list[BaseException] = []
        waiting = list(self._started)
        through = False
        try:
            failed = False
            while waiting and not failed:
                for inlet in select.select(waiting, (), ())[0]:
                    try:
                        kind, value = _receive(inlet)
                    except EOFError:
                        kind, value = "gone", None
                    if kind == "note":
                        on_note(value)
                        continue
                    waiting.remove(inlet)
                    if kind == "result":
                        results.append(value)
                    elif kind == "error":
                        errors.append(value)
                    if until_failure and kind in ("error", "gone"):
                        failed = True
                        break
            through = not failed
        finally:
            for inlet, process in self._started.items():
                os.close(inlet)
                if not through:
                    os.kill(process, signal.SIGKILL)
                os.waitpid(process, 0)
        if errors:
            raise errors[0]
        if len(results) < len(self._started):
            raise WorkerError(_ENDED)
        return results


def _run(job: _Job, outlet: int) -> None:
    """Do a job in a forked process, say what came of it, and leave without the parent's clean-up."""
    try:
        try:
            _send(outlet, ("result", job(lambda note: _send(outlet, ("note", note)))))
        except Stopped:
            _send(outlet, ("stopped", None))
        except BaseException as error:  # raised again in the process that waits for this one
            _send(outlet, ("error", error))
    except OSError:
        pass  # nobody waits any more
    finally:
        os._exit(0)
