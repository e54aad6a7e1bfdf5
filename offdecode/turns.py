"""Processes that share a sequence of work and write its results in turn.

One process makes the pieces of work and gives them to the workers round and round. A byte that goes round through
pipes says whose turn it is to write, so the output is the same for any number of workers, and no result need cross
from one process to another. Forked before threads exist; where there is no fork, one process does all.
"""

from __future__ import annotations

import fcntl
import os
import pickle
import select
import signal
import struct
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from queue import Queue
from threading import Thread
from typing import Any, BinaryIO

import numpy as np

from offdecode.errors import OffdecodeError

CAN_SHARE = hasattr(os, "fork") and sys.platform == "linux"
_TURN = b"."
_HELD_BYTES = 32 << 20  # more than this is not held back while others write
_PIPE_BYTES = 1 << 20
_SIZE = struct.Struct("<q")


class Stopped(Exception):
    """Another process has failed: this one has nothing more to do."""


class WorkerError(OffdecodeError):
    """A process ended without a word, killed by the system perhaps."""


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
_Job = Callable[[Callable[[Any], None]], Any]


def share(count: int, feed: Feed, work: Work, on_note: Callable[[Any], None]) -> list[Any]:
    """Run feed(give) in one process and work(pieces, turns, note) in `count` others; the results of all.

    give(piece) sends a piece to the next worker; note(x) calls on_note(x) in this process. An exception in one
    process ends them all and is raised here.
    """
    rings = [os.pipe() for _ in range(count)]
    lanes = [_wide_pipe() for _ in range(count)]
    pipes = {end for pipe in (*rings, *lanes) for end in pipe}
    processes = _Processes(pipes)
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    for index in range(count):
        turns = Turns(index, count, rings[index][0], rings[(index + 1) % count][1])

        def job(note: Callable[[Any], None], turns: Turns = turns) -> Any:
            return work(_received(lanes[turns.index][0]), turns, note)

        processes.start(job, {rings[index][0], rings[(index + 1) % count][1], lanes[index][0]})
    processes.start(lambda note: _feed(feed, [write_end for _, write_end in lanes]), {end for _, end in lanes})
    os.write(rings[0][1], _TURN)
    for end in pipes:
        os.close(end)
    return processes.collect(on_note)


def _feed(feed: Feed, lanes: list[int]) -> Any:
    """Feed the lanes in turn."""
    given = 0

    def give(piece: Any) -> None:
        nonlocal given
        try:
            _send(lanes[given % len(lanes)], piece)
        except BrokenPipeError:
            raise Stopped from None
        given += 1

    return feed(give)


def _received(lane: int) -> Iterator[Any]:
    """The pieces that come through a lane. A thread takes the next one in while one is worked on."""
    waiting: Queue[Any] = Queue(1)

    def receive() -> None:
        try:
            while True:
                waiting.put(_receive(lane))
        except EOFError as end:
            waiting.put(end)

    Thread(target=receive, daemon=True).start()
    while not isinstance(piece := waiting.get(), EOFError):
        yield piece


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
    with suppress(OSError):
        fcntl.fcntl(ends[1], fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    return ends


class _Processes:
    """Forked processes, each with a pipe through which it sends this one its notes and what came of it."""

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

    def collect(self, on_note: Callable[[Any], None]) -> list[Any]:
        """What the jobs return. Gives on_note what they note meanwhile."""
        results: list[Any] = []
        errors: list[BaseException] = []
        waiting = list(self._started)
        through = False
        try:
            while waiting:
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
            through = True
        finally:
            for inlet, process in self._started.items():
                os.close(inlet)
                if not through:
                    os.kill(process, signal.SIGKILL)
                os.waitpid(process, 0)
        if errors:
            raise errors[0]
        if len(results) < len(self._started):
            raise WorkerError("a worker process ended unexpectedly; the output is not complete")
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
