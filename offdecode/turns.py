"""Processes that share a sequence of work and write its results in turn.

Every process goes over the same sequence and does every n-th piece. A byte that goes round through pipes says
whose turn it is to write, so the output is the same for any number of processes and no result crosses from one
to another. Forked before threads exist; where there is no fork, one process does all.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from typing import Any, BinaryIO

from offdecode.errors import OffdecodeError

CAN_SHARE = hasattr(os, "fork") and sys.platform == "linux"
_TURN = b"."
_HELD_BYTES = 32 << 20  # more than this is not held back while others write


class Stopped(Exception):
    """Another process has failed: this one has nothing more to do."""


class WorkerError(OffdecodeError):
    """A process ended without a word, killed by the system perhaps."""


class Turns:
    """One process's place in the round. `mine` tells which pieces of work are its own."""

    def __init__(self, index: int, count: int, read_end: int, write_end: int) -> None:
        self.index = index
        self.count = count
        self._read_end = read_end
        self._write_end = write_end
        self._has_turn = False

    def mine(self, piece: int) -> bool:
        return piece % self.count == self.index

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


Work = Callable[[Turns, Callable[[Any], None]], Any]


def share(count: int, work: Work, on_note: Callable[[Any], None]) -> list[Any]:
    """Run work(turns, note) in `count` processes; their results. note(x) calls on_note(x) in this process.

    An exception in one process ends them all and is raised here.
    """
    rings = [os.pipe() for _ in range(count)]
    inlets: list[Connection] = []
    workers: list[int] = []
    sys.stdout.flush()
    sys.stderr.flush()
    for index in range(count):
        inlet, outlet = Pipe(duplex=False)
        worker = os.fork()
        if not worker:
            for other in (*inlets, inlet):
                other.close()
            after = (index + 1) % count
            for place, (read_end, write_end) in enumerate(rings):
                if place != index:
                    os.close(read_end)
                if place != after:
                    os.close(write_end)
            _work(Turns(index, count, rings[index][0], rings[after][1]), work, outlet)
        outlet.close()
        inlets.append(inlet)
        workers.append(worker)
    os.write(rings[0][1], _TURN)
    for read_end, write_end in rings:
        os.close(read_end)
        os.close(write_end)
    try:
        return _collect(inlets, on_note)
    finally:
        for inlet in inlets:
            inlet.close()
        for worker in workers:
            os.waitpid(worker, 0)


def _work(turns: Turns, work: Work, outlet: Connection) -> None:
    """Do the work in a forked process, say what came of it, and leave without the parent's clean-up."""
    try:
        try:
            outlet.send(("result", work(turns, lambda note: outlet.send(("note", note)))))
        except Stopped:
            outlet.send(("stopped", None))
        except BaseException as error:  # raised again in the process that waits for this one
            outlet.send(("error", error))
    except OSError:
        pass  # nobody waits any more
    finally:
        os._exit(0)


def _collect(inlets: list[Connection], on_note: Callable[[Any], None]) -> list[Any]:
    results: list[Any] = []
    errors: list[BaseException] = []
    waiting = list(inlets)
    while waiting:
        for inlet in wait(waiting):
            if not isinstance(inlet, Connection):
                continue
            try:
                kind, value = inlet.recv()
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
    if errors:
        raise errors[0]
    if len(results) < len(inlets):
        raise WorkerError("a worker process ended unexpectedly; the output is not complete")
    return results
